//! Reverts a domain to a snapshot: everything is verified before anything changes.

use super::domain::Domain;
use super::flags::RevertFlags;
use super::intent::Intent;
use super::point::OwnedPoint;
use crate::error::{Error, Result};
use crate::snapshot::Snapshot;
use crate::xml;

impl Domain {
    /// Makes the domain what it was when the snapshot was taken.
    pub fn revert(&self, name: &str, flags: RevertFlags) -> Result<()> {
        flags.check_driver()?;
        let writing = self.write()?;
        writing.check_name(name)?;
        let snapshot = self.tree()?.get(name)?.clone();
        let definition = self.restored_definition(&snapshot)?;
        let way = self.way(&snapshot, &definition, flags)?;
        let plan = self.tree()?.plan_current(name)?;
        let point = OwnedPoint::of(&snapshot)?;
        let change = writing.change_with_definition(&plan, &definition)?;
        // Before the intent: what is recorded will be finished after a crash, so it must be possible.
        self.data.check_revert(&writing.point(&point))?;
        self.host.begin();
        writing.intend(&Intent::Revert {
            name: name.to_owned(),
            flags: flags.bits(),
            definition: definition.clone(),
        })?;
        let reverted = self
            .before_data(way, &definition)
            .and_then(|()| self.data.revert(&writing.point(&point), flags.bits()));
        if let Err(cause) = reverted {
            // All or nothing: the images are as before.
            return writing.give_up(&[point]).and(Err(cause));
        }
        writing.finish(writing.commit_change(&plan, &change))?;
        self.after_data(way, &definition)
    }

    /// The definition that the snapshot kept, under the domain's present name.
    fn restored_definition(&self, snapshot: &Snapshot) -> Result<String> {
        if snapshot.is_external() {
            return Err(Error::Unsupported {
                what: "revert to external snapshot",
            });
        }
        let Some(kept) = &snapshot.domain else {
            return Err(Error::RevertRisky {
                detail: format!(
                    "snapshot '{}' lacks domain '{}' rollback info",
                    snapshot.name,
                    self.name()
                ),
            });
        };
        xml::named_and_identified(&xml::unnested(kept), self.name(), self.uuid())
    }
}
