//! Changes of snapshots' documents that follow from work on image files.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::collect::Collected;
use super::moves::Moves;
use crate::error::Result;
use crate::snapshot::Snapshot;
use crate::tree::{Plan, Tree};
use crate::xml::{self, LayerRecord};

/// Makes every snapshot that stays name images where they are once the work is done.
pub(super) fn apply(tree: &Tree, plan: &mut Plan, work: &Collected) -> Result<()> {
    if !work.moves.is_empty() {
        apply_moves(tree, plan, &work.moves)?;
    }
    if !work.records.is_empty() {
        keep_records(tree, plan, &work.records)?;
    }
    Ok(())
}

fn apply_moves(tree: &Tree, plan: &mut Plan, moves: &Moves) -> Result<()> {
    for snapshot in staying(tree, plan)? {
        let moved = moves.snapshot(&snapshot)?;
        if moved != *snapshot {
            put(plan, moved);
        }
    }
    Ok(())
}

/// Writes records down with the snapshot that is current, or else with the first. Without any
/// snapshot there is nobody who could need them.
fn keep_records(tree: &Tree, plan: &mut Plan, records: &[LayerRecord]) -> Result<()> {
    let staying = staying(tree, plan)?;
    let is_current = |snapshot: &&Arc<Snapshot>| Some(&snapshot.name) == plan.current.as_ref();
    let Some(holder) = staying.iter().find(is_current).or(staying.first()) else {
        return Ok(());
    };
    let mut holder = Snapshot::clone(holder);
    let mut all: BTreeSet<LayerRecord> = xml::layer_records(&holder.other).into_iter().collect();
    all.extend(records.iter().cloned());
    let all: Vec<LayerRecord> = all.into_iter().collect();
    xml::set_layer_records(&mut holder.other, &all);
    put(plan, holder);
    Ok(())
}

/// The overlays of a revert to the current snapshot are its own no more once another is made on
/// them: libvirt (9.9 on) drops their names. What they are is remembered.
pub(super) fn end_revert(tree: &Tree, plan: &mut Plan) -> Result<()> {
    let Some(current) = tree
        .current()
        .filter(|current| !current.revert_disks.is_empty())
    else {
        return Ok(());
    };
    let mut current = Snapshot::clone(current);
    let reverted = std::mem::take(&mut current.revert_disks);
    let records: Vec<LayerRecord> = reverted
        .iter()
        .filter_map(|disk| disk.image.as_ref()?.path.as_deref())
        .map(|path| LayerRecord {
            path: path.to_owned(),
            is_made: true,
        })
        .collect();
    put(plan, current);
    keep_records(tree, plan, &records)
}

/// The snapshots after a plan, in the tree's order; new ones last.
fn staying(tree: &Tree, plan: &Plan) -> Result<Vec<Arc<Snapshot>>> {
    let gone = plan.gone();
    let changed = |name: &str| plan.put.iter().find(|snapshot| *snapshot.name == *name);
    let mut staying: Vec<Arc<Snapshot>> = tree
        .all()
        .filter(|snapshot| !gone.contains(&*snapshot.name))
        .map(|snapshot| Arc::clone(changed(&snapshot.name).unwrap_or(snapshot)))
        .collect();
    let new = plan.put.iter().filter(|new| !tree.contains(&new.name));
    staying.extend(new.cloned());
    Ok(staying)
}

/// Puts a snapshot into a plan, in place of what the plan has of that name.
pub(super) fn put(plan: &mut Plan, snapshot: Snapshot) {
    let snapshot = Arc::new(snapshot);
    match plan
        .put
        .iter_mut()
        .find(|known| known.name == snapshot.name)
    {
        Some(known) => *known = snapshot,
        None => plan.put.push(snapshot),
    }
}
