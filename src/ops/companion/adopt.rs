//! Snapshots that libvirt itself keeps: seen by every call, and taken over by the first change.

use std::collections::HashSet;
use std::sync::Arc;

use super::place::{Place, Sources, View};
use crate::data::{Executor, Secrets};
use crate::error::{Error, Result};
use crate::ops::change::Writing;
use crate::ops::domain::{Domain, Records};
use crate::ops::intent::Intent;
use crate::snapshot::Snapshot;
use crate::store::{Change, Memory, Store};
use crate::tree::{Plan, Tree};
use crate::xml;

/// The domain with its own snapshots and those that libvirt keeps.
pub(super) fn view(place: &Place, domain: Domain, kept: Vec<String>) -> Result<Domain> {
    let Some(executor) = domain.data.executor() else {
        return Ok(domain);
    };
    let hidden = being_taken(&domain)?;
    let sources = {
        let tree = domain.tree()?;
        let mut kept: Vec<String> = kept
            .into_iter()
            .filter(|name| !tree.contains(name) && hidden.as_ref() != Some(name))
            .collect();
        kept.sort();
        Sources {
            kept,
            kept_current: executor.kept_current()?,
            own: tree
                .all()
                .map(|snapshot| Arc::clone(&snapshot.name))
                .collect(),
            own_current: tree.current().map(|current| Arc::clone(&current.name)),
        }
    };
    if sources.kept.is_empty() {
        return Ok(domain);
    }
    let records = match known_view(place, &domain, &sources) {
        Some(records) => records,
        None => make_view(place, &domain, executor, sources)?,
    };
    let (host, data) = (Arc::clone(&domain.host), Arc::clone(&domain.data));
    Ok(Domain::called(
        Arc::clone(domain.name()),
        records,
        host,
        data,
    ))
}

/// A snapshot that is only just being taken is not there yet.
fn being_taken(domain: &Domain) -> Result<Option<String>> {
    let pending = domain.store().pending(domain.key())?;
    Ok(match pending.as_deref().and_then(Intent::decode) {
        Some(Intent::Create { document, .. }) => super::create::requested(&document)
            .ok()
            .map(|request| request.name.to_string()),
        _ => None,
    })
}

fn known_view(place: &Place, domain: &Domain, sources: &Sources) -> Option<Arc<Records>> {
    let views = place.views.lock();
    let known = views.get(domain.uuid())?;
    (known.made_of == *sources).then(|| Arc::clone(&known.records))
}

fn make_view(
    place: &Place,
    domain: &Domain,
    executor: &dyn Executor,
    sources: Sources,
) -> Result<Arc<Records>> {
    let secrets = if executor.may_change() {
        Secrets::Shown
    } else {
        Secrets::Hidden
    };
    let mut snapshots: Vec<Arc<Snapshot>> = domain.tree()?.all().map(Arc::clone).collect();
    snapshots.extend(documents(executor, &sources.kept, secrets)?);
    let current = sources.own_current.as_deref();
    let current = current.or(sources.kept_current.as_deref());
    let write = snapshots.iter().map(|snapshot| {
        let active = current == Some(&*snapshot.name);
        let text = xml::format(snapshot, xml::Form::Stored { active });
        (snapshot.name.to_string(), text)
    });
    let store = Memory::default();
    let change = Change {
        write: write.collect(),
        ..Change::default()
    };
    store.commit(domain.key(), &change)?;
    let records = Records::new(
        *domain.uuid(),
        domain.key().into(),
        Arc::new(store),
        Arc::default(),
        Arc::default(),
    );
    let records = Arc::new(records);
    let view = View {
        made_of: sources,
        records: Arc::clone(&records),
    };
    place.views.lock().insert(*domain.uuid(), view);
    Ok(records)
}

/// What libvirt keeps under these names. One that cannot be read here stays with libvirt.
fn documents(
    executor: &dyn Executor,
    names: &[String],
    secrets: Secrets,
) -> Result<Vec<Arc<Snapshot>>> {
    let mut snapshots = Vec::with_capacity(names.len());
    for name in names {
        let document = executor.kept_document(name, secrets)?;
        if let Ok(parsed) = xml::parse(&document, xml::Mode::Redefine) {
            snapshots.push(Arc::new(parsed.snapshot));
        }
    }
    Ok(snapshots)
}

/// Takes over what libvirt keeps: first it is stored here, in one transaction, then libvirt forgets
/// it. If that is interrupted both have it, and the next change goes on.
pub(super) fn adopt(domain: &Domain, executor: &dyn Executor, writing: &Writing<'_>) -> Result<()> {
    let kept = executor.kept()?;
    if kept.is_empty() {
        return Ok(());
    }
    let snapshots = documents(executor, &kept, Secrets::Shown)?;
    let plan = plan_adoption(&*domain.tree()?, &snapshots, executor.kept_current()?);
    if !plan.put.is_empty() {
        writing.commit(&plan)?;
    }
    let forgettable: Vec<Arc<Snapshot>> = {
        let tree = domain.tree()?;
        let is_ours = |theirs: &&Arc<Snapshot>| {
            let ours = tree.get(&theirs.name);
            ours.is_ok_and(|ours| ours.creation_time == theirs.creation_time)
        };
        snapshots.iter().filter(is_ours).cloned().collect()
    };
    forget(executor, forgettable)
}

/// Refuses to make libvirt keep a snapshot of a name that it keeps another one of.
pub(super) fn check_free(domain: &Domain, executor: &dyn Executor, name: &str) -> Result<()> {
    if executor.kept()?.iter().any(|kept| kept == name) {
        return Err(Error::KeptElsewhere {
            name: name.to_owned(),
            domain: domain.name().to_string(),
        });
    }
    Ok(())
}

/// Puts what is not here yet, parents first.
fn plan_adoption(tree: &Tree, snapshots: &[Arc<Snapshot>], current: Option<String>) -> Plan {
    let new = snapshots
        .iter()
        .filter(|snapshot| !tree.contains(&snapshot.name))
        .cloned();
    let ordered = Tree::load(new, None);
    let put: Vec<_> = ordered.all().map(Arc::clone).collect();
    let mut plan = tree.plan_keep();
    if plan.current.is_none() {
        let is_current = |snapshot: &&Arc<Snapshot>| Some(&*snapshot.name) == current.as_deref();
        let adopted = put.iter().find(is_current);
        plan.current = adopted.map(|snapshot| Arc::clone(&snapshot.name));
    }
    plan.put = put;
    plan
}

/// Children first: libvirt 9.0 rewrites the descendants of what it forgets (differences.md, D17).
pub(super) fn forget(executor: &dyn Executor, snapshots: Vec<Arc<Snapshot>>) -> Result<()> {
    let names: HashSet<String> = executor.kept()?.into_iter().collect();
    let ordered = Tree::load(snapshots, None);
    let mut ordered: Vec<_> = ordered.all().map(|each| each.name.to_string()).collect();
    ordered.reverse();
    ordered
        .iter()
        .filter(|name| names.contains(*name))
        .try_for_each(|name| executor.forget(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str, parent: Option<&str>, time: i64) -> Arc<Snapshot> {
        let parent = parent.map_or(String::new(), |parent| {
            format!("<parent><name>{parent}</name></parent>")
        });
        let text = format!(
            "<domainsnapshot><name>{name}</name><state>shutoff</state>{parent}\
             <creationTime>{time}</creationTime></domainsnapshot>"
        );
        Arc::new(xml::parse(&text, xml::Mode::Redefine).unwrap().snapshot)
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.put.iter().map(|snapshot| &*snapshot.name).collect()
    }

    #[test]
    fn what_is_not_here_yet_comes_parents_first() {
        let tree = Tree::load([snapshot("own", None, 1)], None);
        let theirs = [
            snapshot("leaf", Some("root"), 1),
            snapshot("root", None, 2),
            snapshot("own", None, 3),
        ];
        let plan = plan_adoption(&tree, &theirs, Some("leaf".into()));
        assert_eq!(names(&plan), ["root", "leaf"]);
        assert_eq!(plan.current.as_deref(), Some("leaf"));
    }

    #[test]
    fn our_own_current_snapshot_stays_so() {
        let tree = Tree::load([snapshot("own", None, 1)], Some("own"));
        let plan = plan_adoption(&tree, &[snapshot("a", None, 2)], Some("a".into()));
        assert_eq!(plan.current.as_deref(), Some("own"));
    }
}
