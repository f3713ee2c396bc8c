//! Brings a domain's stored snapshots into memory, and resolves what a crash cut off.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::RwLock;

use super::change;
use super::domain::{Domain, Hierarchy};
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::store::Damage;
use crate::tree::Tree;
use crate::xml;

/// Loads a domain's snapshots. Every sound document is there; the others are in the report.
pub(super) fn hierarchy(domain: &Domain) -> Result<Hierarchy> {
    // Only when nobody is at work on the domain is a recorded intent one that was cut off.
    if domain.may_settle() && domain.store().pending(domain.key())?.is_some() {
        let lock = domain.store().lock(domain.key())?;
        let loaded = read(domain)?;
        let hierarchy = change::resolve(domain, loaded);
        drop(lock);
        return hierarchy;
    }
    read(domain)
}

fn read(domain: &Domain) -> Result<Hierarchy> {
    let listing = domain.store().snapshots(domain.key())?;
    let mut damaged = listing.damaged;
    let mut snapshots = Vec::with_capacity(listing.documents.len());
    let mut current: Option<Arc<Snapshot>> = None;
    for (name, text) in listing.documents {
        match parse(domain, &name, &text) {
            Ok(parsed) => {
                let snapshot = Arc::new(parsed.snapshot);
                if parsed.active {
                    current = Some(newest(current, &snapshot));
                }
                snapshots.push(snapshot);
            }
            Err(cause) => damaged.push(Damage { name, cause }),
        }
    }
    let tree = Tree::load(
        snapshots,
        current.as_ref().map(|snapshot| snapshot.name.as_ref()),
    );
    Ok(Hierarchy {
        tree: RwLock::new(tree),
        damaged,
    })
}

/// Several documents that claim to be current can only come from elsewhere: libvirt leaves the
/// deleted snapshot and its parent so. The newest is the one the others lead to.
fn newest(one: Option<Arc<Snapshot>>, other: &Arc<Snapshot>) -> Arc<Snapshot> {
    match one {
        Some(one) if (one.creation_time, &one.name) > (other.creation_time, &other.name) => one,
        _ => Arc::clone(other),
    }
}

/// Reads one document and refuses what would lead writes astray: a name that is not the file's,
/// another domain's definition.
fn parse(domain: &Domain, name: &str, text: &str) -> Result<xml::Parsed> {
    let parsed = xml::parse(text, xml::Mode::Load)?;
    let damaged = |reason: String| Error::Damaged {
        path: PathBuf::from(name),
        reason,
    };
    if parsed.snapshot.name.as_ref() != name {
        return Err(damaged(format!(
            "it holds a snapshot named '{}'",
            parsed.snapshot.name
        )));
    }
    if let Some(definition) = &parsed.snapshot.domain {
        let uuid = xml::domain_facts(definition)?.uuid;
        if uuid.is_some_and(|uuid| uuid != *domain.uuid()) {
            return Err(damaged(
                "it belongs to a domain with another uuid".to_owned(),
            ));
        }
    }
    Ok(parsed)
}
