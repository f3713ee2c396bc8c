//! The domain of a snapshot: one of ours, or one of the real libvirt's whose snapshots are kept
//! here.

use std::sync::Arc;

use super::boundary::Call;
use super::dispatch::Told;
use super::objects::{DomainObject, Handle, Now};
use super::types::{virConnectPtr, virDomainPtr};
use crate::error::{Error, Result};
use crate::libvirt;
use crate::ops::companion;
use crate::ops::{self, Access, RedefineRules};

/// A domain, valid as long as the call or longer.
pub(super) enum SnapshotDomain {
    /// Of an embedded connection.
    Ours(Handle<DomainObject>),
    /// Of libvirt's. In a box: a handle of ours is to be small.
    Libvirt(Box<libvirt::Domain>),
}

impl SnapshotDomain {
    /// Keeps it valid beyond the call.
    pub(super) fn again(&self, function: &'static str) -> Result<SnapshotDomain> {
        match self {
            SnapshotDomain::Ours(domain) => domain
                .again()
                .map(SnapshotDomain::Ours)
                .ok_or_else(|| Error::InvalidDomain { function }),
            SnapshotDomain::Libvirt(domain) => {
                Ok(SnapshotDomain::Libvirt(Box::new(domain.again()?)))
            }
        }
    }

    /// As [`SnapshotDomain::again`], that many times.
    pub(super) fn many(&self, count: usize, function: &'static str) -> Result<Vec<SnapshotDomain>> {
        match self {
            SnapshotDomain::Ours(domain) => {
                let many = domain.many(count).ok_or(Error::OutOfMemory { function })?;
                Ok(many.into_iter().map(SnapshotDomain::Ours).collect())
            }
            SnapshotDomain::Libvirt(_) => (0..count).map(|_| self.again(function)).collect(),
        }
    }

    /// The domain as it is now, for a call that changes nothing; or that it is gone.
    #[inline(always)]
    pub(super) fn now(&self) -> Result<Now<'_>> {
        match self {
            SnapshotDomain::Ours(domain) => domain.now(),
            SnapshotDomain::Libvirt(domain) => of_libvirt_now(domain),
        }
    }

    /// As [`SnapshotDomain::now`], for a call that changes snapshots.
    pub(super) fn to_change(&self) -> Result<Arc<ops::Domain>> {
        match self {
            SnapshotDomain::Ours(domain) => domain.now().map(|domain| Arc::clone(&domain)),
            SnapshotDomain::Libvirt(domain) => companion::to_change(domain.again()?).map(Arc::new),
        }
    }

    /// How REDEFINE is carried out.
    pub(super) fn redefine_rules(&self) -> Result<RedefineRules> {
        match self {
            SnapshotDomain::Ours(domain) => Ok(domain.connection.connection.redefine_rules()),
            SnapshotDomain::Libvirt(_) => companion::redefine_rules(),
        }
    }

    /// What its connection allows.
    pub(super) fn access(&self) -> Result<Access> {
        match self {
            SnapshotDomain::Ours(domain) => Ok(domain.connection.connection.access()),
            SnapshotDomain::Libvirt(domain) => Ok(if domain.is_read_only()? {
                Access::ReadOnly
            } else {
                Access::ReadWrite
            }),
        }
    }

    /// What C calls it.
    pub(super) fn pointer(&self) -> virDomainPtr {
        match self {
            SnapshotDomain::Ours(domain) => domain.pointer(),
            SnapshotDomain::Libvirt(domain) => domain.pointer().cast(),
        }
    }

    /// What C calls its connection.
    pub(super) fn connection(&self) -> virConnectPtr {
        match self {
            SnapshotDomain::Ours(domain) => domain.connection.pointer(),
            SnapshotDomain::Libvirt(domain) => domain.connection().cast(),
        }
    }

    /// Who is told of an error.
    pub(super) fn told(&self) -> Option<Told> {
        match self {
            SnapshotDomain::Ours(domain) => domain.connection.again().map(Told::Ours),
            // Of a domain that libvirt does not hold any more the handler of the process is told.
            SnapshotDomain::Libvirt(domain) => domain.again().ok().map(Told::Libvirt),
        }
    }
}

fn of_libvirt_now(domain: &libvirt::Domain) -> Result<Now<'static>> {
    companion::to_read(domain.again()?).map(|domain| Now::Found(Arc::new(domain)))
}

impl Call {
    /// The domain that C means, for a function of snapshots.
    pub(super) fn snapshot_domain(&mut self, pointer: virDomainPtr) -> Result<SnapshotDomain> {
        let not_ours = match self.domain(pointer) {
            Ok(domain) => return Ok(SnapshotDomain::Ours(domain)),
            Err(not_ours) => not_ours,
        };
        let guest = super::forward::guest_of(pointer)?.ok_or(not_ours)?;
        let domain = SnapshotDomain::Libvirt(Box::new(guest));
        self.tell(domain.told());
        Ok(domain)
    }

    /// Refuses a connection that reads only.
    pub(super) fn may_change(&self, domain: &SnapshotDomain) -> Result<()> {
        match domain.access()? {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::ReadOnly {
                function: self.function,
                family: self.family,
            }),
        }
    }

    /// Refuses to show secrets on a connection that reads only.
    pub(super) fn may_see_secrets_of(&self, domain: &SnapshotDomain) -> Result<()> {
        match domain.access()? {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::SecureOnReadOnly {
                function: self.function,
                family: self.family,
            }),
        }
    }
}
