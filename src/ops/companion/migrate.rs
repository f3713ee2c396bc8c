//! Migration where libvirt takes part: its own migrations, and hosts that have libvirt alone.

use std::collections::HashMap;
use std::sync::Arc;

use super::adopt;
use super::settings::{Migrate, settings};
use crate::error::{Error, Result};
use crate::libvirt::{self, Driver, Rights};
use crate::ops::Carry;
use crate::ops::domain::Domain;
use crate::snapshot::Snapshot;
use crate::store::Lock;
use crate::tree::Tree;
use crate::{uuid, xml};

/// virDomainSnapshotCreateFlags and virDomainSnapshotDeleteFlags.
const CREATE_REDEFINE: u32 = 1;
const CREATE_CURRENT: u32 = 2;
const DELETE_METADATA_ONLY: u32 = 2;

/// What libvirt does with its snapshots once they are adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Original {
    /// It keeps them.
    Stays,
    /// It forgets their metadata.
    Goes,
}

/// Held while libvirt migrates a domain: nobody changes its snapshots.
pub struct Permit(#[expect(dead_code, reason = "it is held, not looked at")] Option<Box<dyn Lock>>);

/// Whether libvirt may migrate a domain of its own now: as libvirt decides, not if there are
/// snapshots; with VIRSNAP_MIGRATE=carry they stay here, under the UUID that it has everywhere.
pub fn permit_migration(guest: libvirt::Domain) -> Result<Permit> {
    if guest.rights() == Some(Rights::ReadOnly) {
        // libvirt's to refuse.
        return Ok(Permit(None));
    }
    let checked = super::to_read(guest.again()?)?.migrate_check(Carry::Nothing);
    let refusal = match checked {
        Ok(()) => return Ok(Permit(None)),
        Err(refusal) => refusal,
    };
    if settings()?.migrate == Migrate::Refuse {
        return Err(refusal);
    }
    let (_, domain) = super::open(guest)?;
    domain.take_over()?;
    let lock = domain.store().lock(domain.key())?;
    domain.migrate_check(Carry::Metadata)?;
    Ok(Permit(Some(lock)))
}

/// Gives the snapshots of a domain whose migration has begun to a libvirt that keeps them itself, by
/// redefining them there: parents first, the current one as such. If that fails midway, what was
/// redefined is dropped there. Repeated, it goes on with what is missing.
pub fn replay(source: &Domain, target: &libvirt::Domain) -> Result<()> {
    check_same(source, target)?;
    let (snapshots, current) = source.migrating_snapshots()?;
    let there = kept_by(target)?;
    let missing = |snapshot: &&Arc<Snapshot>| !there.contains_key(&*snapshot.name);
    for snapshot in &snapshots {
        let known = there.get(&*snapshot.name);
        if known.is_some_and(|known| !is_same(known, snapshot)) {
            return Err(Error::KeptElsewhere {
                name: snapshot.name.to_string(),
                domain: source.name().to_string(),
            });
        }
    }
    let mut done = Vec::new();
    for snapshot in &snapshots {
        let is_current = Some(&snapshot.name) == current.as_ref();
        if !missing(&snapshot) && !is_current {
            continue;
        }
        let flags = if is_current {
            CREATE_REDEFINE | CREATE_CURRENT
        } else {
            CREATE_REDEFINE
        };
        let document = xml::format(snapshot, xml::Form::Public { secure: true });
        if let Err(cause) = target.create_snapshot(&document, flags) {
            return Err(take_back(target, &done, cause));
        }
        if missing(&snapshot) {
            done.push(Arc::clone(&snapshot.name));
        }
    }
    Ok(())
}

/// Takes the snapshots that libvirt keeps of a domain over into another place, with parents and
/// current one, in one transaction.
pub fn adopt_from(destination: &Domain, source: libvirt::Domain, original: Original) -> Result<()> {
    check_same(destination, &source)?;
    let current = source.current_snapshot()?;
    let current = current.map(|current| current.name()).transpose()?;
    let snapshots: Vec<_> = kept_by(&source)?.into_values().collect();
    destination.put_all(&snapshots, current.as_deref())?;
    if original == Original::Stays {
        return Ok(());
    }
    let (_, domain) = super::open(source)?;
    match domain.data.executor() {
        Some(executor) => adopt::forget(executor, snapshots),
        None => Ok(()),
    }
}

impl Domain {
    /// Takes over what libvirt itself still keeps of it.
    pub(in crate::ops) fn take_over(&self) -> Result<()> {
        match self.data.executor() {
            Some(executor) => adopt::adopt(self, executor, &self.write()?),
            None => Ok(()),
        }
    }

    fn put_all(&self, snapshots: &[Arc<Snapshot>], current: Option<&str>) -> Result<()> {
        let writing = self.write()?;
        let ordered = Tree::load(snapshots.iter().cloned(), current);
        let mut plan = writing.plan_keep()?;
        for snapshot in ordered.all() {
            self.check_name(&snapshot.name)?;
            if self.is_new(snapshot)? {
                plan.put.push(Arc::clone(snapshot));
            }
        }
        if let Some(current) = ordered.current() {
            plan.current = Some(Arc::clone(&current.name));
        }
        writing.commit(&plan)
    }
}

fn check_same(ours: &Domain, theirs: &libvirt::Domain) -> Result<()> {
    let found = theirs.uuid()?;
    if found == *ours.uuid() {
        return Ok(());
    }
    Err(Error::DomainUuidTaken {
        name: theirs.name()?,
        uuid: uuid::format(&found),
    })
}

/// The snapshots that libvirt itself keeps, by name.
fn kept_by(domain: &libvirt::Domain) -> Result<HashMap<String, Arc<Snapshot>>> {
    let mut kept = HashMap::new();
    if domain.snapshot_count()? == 0 {
        return Ok(kept);
    }
    for snapshot in domain.snapshots()? {
        let parsed = xml::parse(&snapshot.xml(true)?, xml::Mode::Redefine)?;
        kept.insert(snapshot.name()?, Arc::new(parsed.snapshot));
    }
    Ok(kept)
}

/// libvirt completes a definition, so documents are not the same to the letter.
fn is_same(one: &Snapshot, other: &Snapshot) -> bool {
    (one.creation_time, &one.parent, one.state) == (other.creation_time, &other.parent, other.state)
}

/// Drops what was redefined, children first.
fn take_back(target: &libvirt::Domain, done: &[Arc<str>], cause: Error) -> Error {
    let flags = match target.driver() {
        Ok(Driver::Test) => 0,
        _ => DELETE_METADATA_ONLY,
    };
    let drop = |name: &Arc<str>| target.snapshot(name)?.delete(flags);
    match done.iter().rev().try_for_each(drop) {
        Ok(()) => cause,
        Err(undo) => cause.with_failed_undo(&undo),
    }
}
