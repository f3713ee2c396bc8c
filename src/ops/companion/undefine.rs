//! Undefines a domain of libvirt's: snapshots are a reason to refuse, or go with it.

use crate::error::{Error, Result};
use crate::libvirt::{self, Driver};

/// VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA.
const SNAPSHOTS_METADATA: u32 = 2;

/// The flags that libvirt's drivers know. Source: run, libvirt 9.0.0.
fn known(driver: Driver) -> u32 {
    match driver {
        Driver::Test => 0x3,
        _ => 0x7f,
    }
}

/// What libvirt refuses before it looks at snapshots: to keep and to delete NVRAM, or the TPM.
fn is_contradictory(bits: u32) -> bool {
    [0xc, 0x60].iter().any(|pair| bits & pair == *pair)
}

/// virDomainUndefine(), or with flags virDomainUndefineFlags(), of a domain of libvirt's.
///
/// As in libvirt the snapshots of a running domain are no reason to refuse: it goes on without a
/// definition. They stay here, unless the flags say otherwise (docs/differences.md, D25).
pub fn undefine(guest: libvirt::Domain, flags: Option<u32>) -> Result<()> {
    let bits = flags.unwrap_or_default();
    if bits & !known(guest.driver()?) != 0
        || is_contradictory(bits)
        || guest.rights() == Some(libvirt::Rights::ReadOnly)
    {
        return guest.undefine(flags);
    }
    let count = super::to_read(guest.again()?)?.tree()?.len();
    let drops = bits & SNAPSHOTS_METADATA != 0;
    if count > 0 && !drops && !guest.is_active()? {
        return Err(Error::DomainHasSnapshots { count });
    }
    if count == 0 || !drops {
        return guest.undefine(flags);
    }
    let (_, domain) = super::open(guest.again()?)?;
    let writing = domain.write()?;
    domain.check_whole()?;
    guest.undefine(flags)?;
    let plan = domain.tree()?.plan_clear();
    writing.commit(&plan)
}
