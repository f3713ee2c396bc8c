//! Gives a domain another name: libvirt takes its snapshots along, and so does this.
//!
//! The store's transactions are of one domain each. So the old name's journal gets an intent first;
//! then one transaction writes everything under the new name, and decides; a last one removes what
//! is under the old name. An intent whose new name is defined with the same UUID means: renamed.
//! One whose new name is not means: nothing has happened.

use std::io::Read;

use super::change::Writing;
use super::domain::Domain;
use super::driver::Driver;
use super::intent::Intent;
use super::stored;
use crate::error::{Error, Result};
use crate::snapshot::State;
use crate::store::{Change, DefinitionChange, Lock, MigrationChange, Store, check_name};
use crate::{limits, xml};

impl Driver {
    /// Gives a domain another name.
    pub fn rename(&self, domain: &Domain, name: &str) -> Result<()> {
        check_new_name(name)?;
        {
            let _defining = self.defining.lock();
            let _definitions = self.store.lock_definitions()?;
            self.check_renaming(domain, name)?;
            let (writing, _target) = both_locks(domain, name)?;
            domain.check_whole()?;
            check_unused(domain.store(), name)?;
            move_documents(domain, &writing, name)?;
        }
        // What cannot be read now is read by the next call.
        let _ = self.reread();
        Ok(())
    }

    /// libvirt's order: its state, the name itself, then who has it.
    fn check_renaming(&self, domain: &Domain, name: &str) -> Result<()> {
        if domain.state()? != State::Shutoff {
            return Err(Error::GuestState {
                detail: "cannot rename active domain".to_owned(),
            });
        }
        if **domain.name() == *name {
            return Err(Error::RenamedToItself);
        }
        if self.domain_by_name(name).is_ok() {
            return Err(Error::NewNameTaken {
                name: name.to_owned(),
            });
        }
        match self.problems()?.iter().find(|problem| problem.name == name) {
            Some(problem) => Err(problem.refusal()),
            None => Ok(()),
        }
    }
}

/// Whoever takes two names' locks takes the lesser one first.
fn both_locks<'a>(domain: &'a Domain, name: &str) -> Result<(Writing<'a>, Box<dyn Lock>)> {
    if name < domain.key() {
        let target = domain.store().lock(name)?;
        Ok((domain.write()?, target))
    } else {
        let writing = domain.write()?;
        Ok((writing, domain.store().lock(name)?))
    }
}

fn check_new_name(name: &str) -> Result<()> {
    if name.contains('/') {
        return Err(Error::NewNameWithSlash {
            name: name.to_owned(),
        });
    }
    check_name(name, limits::DOMAIN_NAME_BYTES).map_err(|reason| Error::DomainName {
        name: name.to_owned(),
        reason,
    })
}

/// Refuses a name under which snapshots of a domain are kept that is not defined now: libvirt
/// removes them unseen.
fn check_unused(store: &dyn Store, name: &str) -> Result<()> {
    let kept = store.snapshots(name)?;
    if kept.documents.is_empty() && kept.damaged.is_empty() {
        return Ok(());
    }
    Err(Error::NewNameHasSnapshots {
        name: name.to_owned(),
    })
}

fn move_documents(domain: &Domain, writing: &Writing<'_>, name: &str) -> Result<()> {
    let store = domain.store();
    let definition = xml::named_and_identified(&domain.definition(true)?, name, domain.uuid())?;
    let arrival = Change {
        write: all_documents(store, domain.key())?,
        definition: DefinitionChange::Write(stored::definition(&definition)?),
        migration: finished_migration(store, domain.key())?,
        ..Change::default()
    };
    writing.intend(&Intent::Rename {
        to: name.to_owned(),
    })?;
    if let Err(cause) = store.commit(name, &arrival) {
        return match has_arrived(store, name, domain.uuid()) {
            // Not proven durable, so what is under the old name is kept for now.
            Ok(true) => Ok(()),
            // Nobody can tell: the intent lets the next one find out.
            Err(_) => Err(cause),
            Ok(false) => match writing.withdraw() {
                Ok(()) => Err(cause),
                Err(undo) => Err(cause.with_failed_undo(&undo)),
            },
        };
    }
    // The domain has its new name for every reader; what stays here is removed by the next one.
    let _ = depart(store, domain.key()).or_else(|_| depart(store, domain.key()));
    Ok(())
}

/// The documents of a domain's snapshots: one that cannot be read would be left behind.
fn all_documents(store: &dyn Store, name: &str) -> Result<Vec<(String, String)>> {
    let mut listing = store.snapshots(name)?;
    match listing.damaged.pop() {
        None => Ok(listing.documents),
        Some(damage) => Err(damage.cause),
    }
}

/// What is kept about a migration that is over: each of its phases may be repeated under the new name.
fn finished_migration(store: &dyn Store, name: &str) -> Result<MigrationChange> {
    let Some(kept) = store.migration(name)? else {
        return Ok(MigrationChange::Keep);
    };
    let limit = u64::try_from(limits::STATE_FILE_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    kept.take(limit)
        .read_to_string(&mut text)
        .map_err(|cause| Error::io("read", store.migration_path(name), cause))?;
    Ok(MigrationChange::Write(text))
}

/// Removes what is under the old name of a domain that has been renamed, and closes the intent.
fn depart(store: &dyn Store, name: &str) -> Result<()> {
    store.commit(name, &departure(store, name)?)
}

/// As [`depart`], if it is still so that the domain was renamed to `other`: somebody may have
/// finished that, and defined another one. For the writer of `name`.
pub(super) fn depart_to(store: &dyn Store, name: &str, other: &str) -> Result<()> {
    if leads_to(store, name, other)? {
        depart(store, name)?;
    }
    Ok(())
}

/// The change that [`depart`] makes.
pub(super) fn departure(store: &dyn Store, name: &str) -> Result<Change> {
    let documents = all_documents(store, name)?.into_iter();
    Ok(Change {
        remove: documents.map(|(name, _)| name).collect(),
        definition: DefinitionChange::Remove,
        migration: MigrationChange::Remove,
        ..Change::default()
    })
}

/// Whether the domain that is defined as `name` has been renamed to `other`, as far as its intent
/// tells. That `other` is defined is for the caller to know.
pub(super) fn leads_to(store: &dyn Store, name: &str, other: &str) -> Result<bool> {
    let Some(text) = store.pending(name)? else {
        return Ok(false);
    };
    Ok(matches!(Intent::decode(&text), Some(Intent::Rename { to }) if to == other))
}

/// Whether a domain with that UUID is defined under the name.
pub(super) fn has_arrived(store: &dyn Store, name: &str, uuid: &[u8; 16]) -> Result<bool> {
    let listing = store.domains()?;
    let definition = listing.documents.iter().find(|(known, _)| known == name);
    Ok(definition.is_some_and(|(_, text)| {
        xml::domain_facts(text).is_ok_and(|facts| facts.uuid.as_ref() == Some(uuid))
    }))
}
