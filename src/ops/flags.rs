//! Flag words of the API: checked, then asked by name.
//!
//! Values and rules: libvirt 9.0.0, libvirt-domain-snapshot.h, and the masks of its QEMU driver.
//! What libvirt's public functions check is checked by `new`; what its driver checks after it has
//! found the domain, by `check_driver`.

use crate::error::{Error, Layer, Result};
use crate::libvirt::Driver;
use crate::tree::{Deletion, Filter, States};

/// A flag's value and its name in C.
type Flag = (u32, &'static str);

/// virDomainSnapshotCreateFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreateFlags {
    bits: u32,
    function: &'static str,
}

impl CreateFlags {
    /// Restore or alter metadata only.
    pub const REDEFINE: Flag = (1, "VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE");
    /// With REDEFINE: make it current.
    pub const CURRENT: Flag = (2, "VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT");
    /// Keep no metadata.
    pub const NO_METADATA: Flag = (4, "VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA");
    /// The domain is off afterwards.
    pub const HALT: Flag = (8, "VIR_DOMAIN_SNAPSHOT_CREATE_HALT");
    /// No memory state.
    pub const DISK_ONLY: Flag = (16, "VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY");
    /// External targets exist already.
    pub const REUSE_EXT: Flag = (32, "VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT");
    /// Freeze and thaw through the guest agent.
    pub const QUIESCE: Flag = (64, "VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE");
    /// Do not pause while saving memory.
    pub const LIVE: Flag = (256, "VIR_DOMAIN_SNAPSHOT_CREATE_LIVE");
    /// Check the document against the schema.
    pub const VALIDATE: Flag = (512, "VIR_DOMAIN_SNAPSHOT_CREATE_VALIDATE");
    const MASK: u32 = 0x3ff;
    const TEST_MASK: u32 = 0x3cb;

    /// A flag word of C, after the checks of libvirt's public function.
    pub fn new(bits: u32, function: &'static str) -> Result<CreateFlags> {
        requires(bits, Self::CURRENT, Self::REDEFINE, function, Layer::Public)?;
        excludes(
            bits,
            Self::REDEFINE,
            Self::NO_METADATA,
            function,
            Layer::Public,
        )?;
        excludes(bits, Self::REDEFINE, Self::HALT, function, Layer::Public)?;
        Ok(CreateFlags { bits, function })
    }

    /// The word as C gave it.
    pub(super) fn bits(self) -> u32 {
        self.bits
    }

    /// Whether a flag is set.
    pub fn has(self, flag: Flag) -> bool {
        self.bits & flag.0 != 0
    }

    /// The checks of libvirt's driver.
    pub(super) fn check_driver(self) -> Result<()> {
        self.check_driver_of(Driver::Qemu)
    }

    /// The checks of that driver of libvirt's.
    pub(super) fn check_driver_of(self, driver: Driver) -> Result<()> {
        known(
            self.bits,
            mask(driver, Self::MASK, Self::TEST_MASK),
            self.function,
        )?;
        if driver == Driver::Test {
            return Ok(());
        }
        requires(
            self.bits,
            Self::QUIESCE,
            Self::DISK_ONLY,
            self.function,
            Layer::Driver,
        )?;
        excludes(
            self.bits,
            Self::LIVE,
            Self::REDEFINE,
            self.function,
            Layer::Driver,
        )
    }
}

/// virDomainSnapshotRevertFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevertFlags {
    bits: u32,
    function: &'static str,
}

impl RevertFlags {
    /// Run the guest afterwards.
    pub const RUNNING: Flag = (1, "VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING");
    /// Leave the guest paused afterwards.
    pub const PAUSED: Flag = (2, "VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED");
    /// Whatever libvirt takes for risky.
    pub const FORCE: Flag = (4, "VIR_DOMAIN_SNAPSHOT_REVERT_FORCE");
    /// The firmware's variables are made anew from their template.
    pub const RESET_NVRAM: Flag = (8, "VIR_DOMAIN_SNAPSHOT_REVERT_RESET_NVRAM");
    const MASK: u32 = 0xf;
    const TEST_MASK: u32 = 0x7;

    /// The word of a request that was recorded.
    pub(super) fn recorded(bits: u32) -> RevertFlags {
        RevertFlags { bits, function: "" }
    }

    /// A flag word of C, after the checks of libvirt's public function.
    pub fn new(bits: u32, function: &'static str) -> Result<RevertFlags> {
        excludes(bits, Self::RUNNING, Self::PAUSED, function, Layer::Public)?;
        Ok(RevertFlags { bits, function })
    }

    /// The word as C gave it.
    pub(super) fn bits(self) -> u32 {
        self.bits
    }

    /// Whether a flag is set.
    pub fn has(self, flag: Flag) -> bool {
        self.bits & flag.0 != 0
    }

    /// The checks of libvirt's driver.
    pub(super) fn check_driver(self) -> Result<()> {
        self.check_driver_of(Driver::Qemu)
    }

    /// The checks of that driver of libvirt's.
    pub(super) fn check_driver_of(self, driver: Driver) -> Result<()> {
        known(
            self.bits,
            mask(driver, Self::MASK, Self::TEST_MASK),
            self.function,
        )
    }
}

/// virDomainSnapshotDeleteFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteFlags {
    bits: u32,
    function: &'static str,
}

impl DeleteFlags {
    /// The snapshot and everything below it.
    pub const CHILDREN: Flag = (1, "VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN");
    /// Leave all data.
    pub const METADATA_ONLY: Flag = (2, "VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY");
    /// Everything below the snapshot.
    pub const CHILDREN_ONLY: Flag = (4, "VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY");
    const MASK: u32 = 0x7;
    const TEST_MASK: u32 = 0x5;

    /// A flag word of C, after the checks of libvirt's public function.
    pub fn new(bits: u32, function: &'static str) -> Result<DeleteFlags> {
        excludes(
            bits,
            Self::CHILDREN,
            Self::CHILDREN_ONLY,
            function,
            Layer::Public,
        )?;
        Ok(DeleteFlags { bits, function })
    }

    /// Whether a flag is set.
    pub fn has(self, flag: Flag) -> bool {
        self.bits & flag.0 != 0
    }

    /// Which snapshots go.
    pub(super) fn deletion(self) -> Deletion {
        if self.has(Self::CHILDREN) {
            Deletion::WithDescendants
        } else if self.has(Self::CHILDREN_ONLY) {
            Deletion::DescendantsOnly
        } else {
            Deletion::One
        }
    }

    /// The checks of libvirt's driver.
    pub(super) fn check_driver(self) -> Result<()> {
        self.check_driver_of(Driver::Qemu)
    }

    /// The checks of that driver of libvirt's.
    pub(super) fn check_driver_of(self, driver: Driver) -> Result<()> {
        known(
            self.bits,
            mask(driver, Self::MASK, Self::TEST_MASK),
            self.function,
        )
    }
}

/// virDomainSnapshotListFlags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFlags {
    bits: u32,
}

impl ListFlags {
    /// ROOTS of a domain's list, DESCENDANTS of a snapshot's.
    const FIRST: u32 = 1;
    const METADATA: u32 = 2;
    const LEAVES: u32 = 4;
    const NO_LEAVES: u32 = 8;
    const NO_METADATA: u32 = 16;
    const INACTIVE: u32 = 32;
    const ACTIVE: u32 = 64;
    const DISK_ONLY: u32 = 128;
    const INTERNAL: u32 = 256;
    const EXTERNAL: u32 = 512;
    const MASK: u32 = 0x7ff;
    /// All but ROOTS, METADATA, which all have, and TOPOLOGICAL.
    const FILTERING: u32 = 0x3fc;

    /// A flag word of C. libvirt's driver checks it before it looks for the domain.
    pub fn new(bits: u32, function: &'static str) -> Result<ListFlags> {
        known(bits, Self::MASK, function)?;
        Ok(ListFlags { bits })
    }

    /// ROOTS for a domain, DESCENDANTS for a snapshot: one bit with two names.
    pub(super) fn has_first(self) -> bool {
        self.has(Self::FIRST)
    }

    /// The filter that the groups of bits mean: no bit or every bit of a group filters nothing.
    ///
    /// LEAVES with NO_LEAVES follows the documentation; libvirt 9.0 then lists nothing
    /// (docs/differences.md, D50).
    pub(super) fn filter(self) -> Filter {
        if !self.has(Self::FILTERING) {
            return Filter::default();
        }
        let states = States {
            inactive: self.has(Self::INACTIVE),
            disk_only: self.has(Self::DISK_ONLY),
            active: self.has(Self::ACTIVE),
        };
        let all = States {
            inactive: true,
            disk_only: true,
            active: true,
        };
        Filter {
            leaves: self.either(Self::LEAVES, Self::NO_LEAVES),
            external: self.either(Self::EXTERNAL, Self::INTERNAL),
            states: (states != States::default() && states != all).then_some(states),
            without_metadata: self.either(Self::METADATA, Self::NO_METADATA) == Some(false),
        }
    }

    fn has(self, bit: u32) -> bool {
        self.bits & bit != 0
    }

    fn either(self, yes: u32, no: u32) -> Option<bool> {
        (self.has(yes) != self.has(no)).then(|| self.has(yes))
    }
}

/// Refuses any bit: for functions whose flags are reserved.
pub fn no_flags(bits: u32, function: &'static str) -> Result<()> {
    known(bits, 0, function)
}

/// The bits that a driver of libvirt 9.0's knows: of QEMU's, and of its test driver.
fn mask(driver: Driver, qemu: u32, test: u32) -> u32 {
    match driver {
        Driver::Test => test,
        Driver::Qemu | Driver::Other => qemu,
    }
}

fn known(bits: u32, mask: u32, function: &'static str) -> Result<()> {
    match bits & !mask {
        0 => Ok(()),
        bits => Err(Error::UnsupportedFlags { function, bits }),
    }
}

fn requires(
    bits: u32,
    given: Flag,
    needed: Flag,
    function: &'static str,
    layer: Layer,
) -> Result<()> {
    if bits & given.0 != 0 && bits & needed.0 == 0 {
        return Err(Error::FlagRequired {
            function,
            needed: needed.1,
            given: given.1,
            layer,
        });
    }
    Ok(())
}

fn excludes(
    bits: u32,
    first: Flag,
    second: Flag,
    function: &'static str,
    layer: Layer,
) -> Result<()> {
    if bits & first.0 != 0 && bits & second.0 != 0 {
        return Err(Error::FlagsExclusive {
            function,
            first: first.1,
            second: second.1,
            layer,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const F: &str = "virDomainSnapshotCreateXML";

    #[test]
    fn public_pairs_come_before_the_drivers_mask() {
        let error = CreateFlags::new(2 | 0x1000, F).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Flag 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' is required by flag \
             'VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT'"
        );
        let error = CreateFlags::new(1 | 4 | 8, F).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Flags 'VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE' and \
             'VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA' are mutually exclusive"
        );
        let flags = CreateFlags::new(0x1000, F).unwrap();
        assert_eq!(
            flags.check_driver().unwrap_err().to_string(),
            "unsupported flags (0x1000) in function virDomainSnapshotCreateXML"
        );
    }

    #[test]
    fn driver_pairs() {
        let refused = |bits| CreateFlags::new(bits, F).unwrap().check_driver().is_err();
        assert!(refused(64), "QUIESCE needs DISK_ONLY");
        assert!(!refused(64 | 16));
        assert!(refused(256 | 1), "LIVE excludes REDEFINE");
        assert!(!refused(0x3ff & !(1 | 2)));
    }

    #[test]
    fn a_group_with_all_or_no_bits_filters_nothing() {
        let filter = |bits| ListFlags::new(bits, F).unwrap().filter();
        for bits in [0, 1, 1024, 2, 2 | 16, 4 | 8, 32 | 64 | 128, 256 | 512] {
            assert_eq!(filter(bits), Filter::default(), "{bits:#x}");
        }
        assert_eq!(filter(4).leaves, Some(true));
        assert_eq!(filter(8).leaves, Some(false));
        assert!(filter(16).without_metadata);
        assert_eq!(filter(256).external, Some(false));
        assert!(ListFlags::new(0x800, F).is_err());
    }
}
