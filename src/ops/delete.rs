//! Deletes snapshots: with their data, or the metadata only.

use super::domain::Domain;
use super::flags::DeleteFlags;
use super::intent::Intent;
use crate::data::Image;
use crate::error::{Error, Result};
use crate::tree::Plan;

impl Domain {
    /// Deletes the snapshots that the flags select.
    pub fn delete(&self, name: &str, flags: DeleteFlags) -> Result<()> {
        flags.check_driver()?;
        let writing = self.write()?;
        let plan = self.tree()?.plan_delete(name, flags.deletion())?;
        if flags.has(DeleteFlags::METADATA_ONLY) {
            return writing.commit(&plan);
        }
        let data = self.dropped_data(&plan)?;
        if data.iter().all(|(_, images)| images.is_empty()) {
            return writing.commit(&plan);
        }
        let before = self.count_data(&data)?;
        writing.intend(&Intent::Delete {
            name: name.to_owned(),
            deletion: flags.deletion(),
            data: data.clone(),
        })?;
        if let Err(cause) = self.drop_data(&data) {
            // What is gone cannot be brought back: then the intent stays, and the next writer,
            // in this process or another, finishes it.
            return match self.count_data(&data) {
                Ok(now) if now == before => writing.withdraw().and(Err(cause)),
                _ => Err(cause),
            };
        }
        writing.commit(&plan)
    }

    /// What the dropped snapshots have where, children before their parents.
    fn dropped_data(&self, plan: &Plan) -> Result<Vec<(String, Vec<Image>)>> {
        plan.drop
            .iter()
            .map(|snapshot| {
                if snapshot.is_external() {
                    return Err(Error::Unsupported {
                        what: "deletion of external snapshots is",
                    });
                }
                Ok((snapshot.name.to_string(), self.images(snapshot)?))
            })
            .collect()
    }

    fn count_data(&self, data: &[(String, Vec<Image>)]) -> Result<usize> {
        let mut count = 0;
        for (name, images) in data {
            count += self.data.count(name, images)?;
        }
        Ok(count)
    }

    fn drop_data(&self, data: &[(String, Vec<Image>)]) -> Result<()> {
        data.iter()
            .try_for_each(|(name, images)| self.data.delete(name, images))
    }
}
