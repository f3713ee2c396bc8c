//! Deletes snapshots: with their data, or the metadata only.

use super::change::Writing;
use super::domain::Domain;
use super::flags::DeleteFlags;
use super::intent::Intent;
use super::point::OwnedPoint;
use crate::error::{Error, Result};
use crate::tree::Plan;

impl Domain {
    /// Deletes the snapshots that the flags select.
    pub fn delete(&self, name: &str, flags: DeleteFlags) -> Result<()> {
        flags.check_driver()?;
        let writing = self.write()?;
        writing.check_name(name)?;
        let plan = self.tree()?.plan_delete(name, flags.deletion())?;
        if flags.has(DeleteFlags::METADATA_ONLY) {
            return writing.commit(&plan);
        }
        let points = dropped_points(&plan)?;
        let before = self.count_data(&points)?;
        if before == 0 {
            return writing.commit(&plan);
        }
        let change = writing.change(&plan)?;
        writing.intend(&Intent::Delete {
            name: name.to_owned(),
            deletion: flags.deletion(),
        })?;
        if let Err(cause) = self.drop_data(&writing, &points) {
            return match self.count_data(&points) {
                Ok(now) if now == before => writing.give_up(&points).and(Err(cause)),
                _ => writing.finish(Err(cause)),
            };
        }
        writing.finish(writing.commit_change(&plan, &change))
    }

    fn count_data(&self, points: &[OwnedPoint]) -> Result<usize> {
        let mut count = 0;
        for point in points {
            count += self.data.count(&point.borrow(None))?;
        }
        Ok(count)
    }

    fn drop_data(&self, writing: &Writing<'_>, points: &[OwnedPoint]) -> Result<()> {
        points
            .iter()
            .try_for_each(|point| self.data.delete(&writing.point(point)))
    }
}

/// The data of the snapshots that go, children before their parents.
fn dropped_points(plan: &Plan) -> Result<Vec<OwnedPoint>> {
    plan.drop
        .iter()
        .map(|snapshot| {
            if snapshot.is_external() {
                return Err(Error::Unsupported {
                    what: "deletion of external snapshots is",
                });
            }
            OwnedPoint::of(snapshot)
        })
        .collect()
}
