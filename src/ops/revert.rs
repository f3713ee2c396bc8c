//! Reverts a domain to a snapshot: everything is verified before anything changes.

use super::domain::Domain;
use super::flags::RevertFlags;
use super::intent::Intent;
use super::point::OwnedPoint;
use crate::error::{Error, Result};
use crate::snapshot::{Snapshot, State};
use crate::xml;

impl Domain {
    /// Makes the domain what it was when the snapshot was taken.
    pub fn revert(&self, name: &str, flags: RevertFlags) -> Result<()> {
        flags.check_driver()?;
        let writing = self.write()?;
        writing.check_name(name)?;
        let snapshot = self.tree()?.get(name)?.clone();
        let definition = self.restored_definition(&snapshot)?;
        check_state(&snapshot, flags)?;
        let plan = self.tree()?.plan_current(name)?;
        let point = OwnedPoint::of(&snapshot)?;
        writing.intend(&Intent::Revert {
            name: name.to_owned(),
            flags: flags.bits(),
            definition: definition.clone(),
        })?;
        if let Err(cause) = self.data.revert(&writing.point(&point), flags.bits()) {
            // All or nothing: the images are as before.
            return writing.withdraw().and(Err(cause));
        }
        writing.commit_with_definition(&plan, &definition)
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

fn check_state(snapshot: &Snapshot, flags: RevertFlags) -> Result<()> {
    match snapshot.state {
        State::PmSuspended => return Err(Error::RevertPmSuspended),
        State::Blocked | State::DiskSnapshot => {
            return Err(Error::RevertState {
                word: snapshot.state.word(),
            });
        }
        State::Running | State::Paused => {
            return Err(Error::Unsupported {
                what: "revert to the memory of a running guest",
            });
        }
        State::Shutdown | State::Shutoff | State::Crashed => {}
    }
    if flags.has(RevertFlags::RUNNING) || flags.has(RevertFlags::PAUSED) {
        return Err(Error::Unsupported {
            what: "starting the guest after a revert is",
        });
    }
    Ok(())
}
