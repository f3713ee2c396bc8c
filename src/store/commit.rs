//! How a change becomes durable: whole, or not at all.
//!
//! Everything that needs space or can be refused happens first, in `stage/`. Then comes the one call
//! that decides: the rename of the change's record onto the domain's journal or, where the change
//! is a single file and no intent is open, the rename of that file. From there on readers see the
//! change, and its steps are only renames and removals, which can be repeated until they succeed.
//!
//! The deciding rename is followed by an fsync of its directory. If that fails the rename is taken
//! back and the change has failed. If not even that works, the change stands: an error would make
//! the caller undo what it did to the guest's data while each reader sees the change as made. Only
//! where a migration comes or goes is it an error: the other host must not believe what a power cut may
//! take back. Whoever repeats the call proves it or fails again.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use rustix::io::Errno;

use super::folders::Folder;
use super::fs::{Answer, FileSystem};
use super::journal::{self, Step};
use super::rooms::{
    RESERVES, Room, Rooms, again, check_domain, document_file, if_there, is_there, set_aside,
    staged_file, staged_journal,
};
use super::{Change, DefinitionChange, Made, MigrationChange, check_name};
use crate::error::{Error, Result};
use crate::limits;

/// A change as its steps, against what is there.
#[derive(Default)]
pub(super) struct Plan<'a> {
    /// What is done to the domain's files.
    pub steps: Vec<Planned>,
    /// The text of each staged file, by number.
    pub texts: Vec<Text<'a>>,
}

impl Plan<'_> {
    fn journalled(&self) -> Vec<Step> {
        let steps = self.steps.iter();
        steps.map(|planned| planned.step.clone()).collect()
    }

    /// The journal that decides that it is made.
    pub fn record(&self) -> Vec<u8> {
        journal::commit(&self.journalled())
    }
}

/// A text to be staged.
pub(super) enum Text<'a> {
    /// It is there.
    Given(Cow<'a, [u8]>),
    /// It is made when it is needed.
    Made(&'a dyn Made, usize),
}

impl Text<'_> {
    /// Whether it is given, and has these bytes.
    pub fn is(&self, bytes: &[u8]) -> bool {
        matches!(self, Text::Given(given) if **given == *bytes)
    }

    /// Its bytes.
    pub fn get(&self) -> Result<Cow<'_, [u8]>> {
        match self {
            Text::Given(bytes) => Ok(Cow::Borrowed(bytes)),
            Text::Made(made, index) => {
                let text = made.text(*index)?;
                check_size("snapshot document", &text)?;
                Ok(Cow::Owned(text.into_bytes()))
            }
        }
    }
}

/// A step, and what it meets.
pub(super) struct Planned {
    step: Step,
    /// A file stands where the step writes.
    replaces: bool,
}

/// All that a change writes is in it.
pub(super) struct NothingMade;

impl Made for NothingMade {
    fn count(&self) -> usize {
        0
    }
    fn name(&self, _index: usize) -> String {
        String::new()
    }
    fn text(&self, _index: usize) -> Result<String> {
        Ok(String::new())
    }
}

/// What has become of a deciding call.
pub(super) enum Decided {
    /// It is durable.
    Durable,
    /// It is done and could be neither made durable nor taken back.
    Unproven(Error),
}

impl<F: FileSystem + 'static> Rooms<F> {
    /// [`super::Store::intend`].
    pub(super) fn intend(self: &Arc<Self>, domain: &str, text: &str) -> Result<()> {
        check_domain(domain)?;
        let _guard = self.exclusive(domain)?;
        self.drop_prepared(domain);
        let replaces = self.settle(domain)?.is_some();
        match self.put_journal(domain, &journal::intent(text), replaces)? {
            Decided::Durable => Ok(()),
            // The guest's data is not touched, so an intent that stands describes nothing done.
            Decided::Unproven(error) => Err(error),
        }
    }

    /// [`super::Store::withdraw`].
    pub(super) fn withdraw(self: &Arc<Self>, domain: &str) -> Result<()> {
        check_domain(domain)?;
        let _guard = self.exclusive(domain)?;
        self.drop_prepared(domain);
        if self.settle(domain)?.is_some() {
            self.take_intent(domain)?;
        }
        Ok(())
    }

    /// [`super::Store::commit`].
    pub(super) fn commit(self: &Arc<Self>, domain: &str, change: &Change) -> Result<()> {
        self.commit_made(domain, change, &NothingMade)
    }

    /// [`super::Store::commit_made`].
    pub(super) fn commit_made(
        self: &Arc<Self>,
        domain: &str,
        change: &Change,
        made: &dyn Made,
    ) -> Result<()> {
        check_domain(domain)?;
        check_change(change, made)?;
        let _guard = self.exclusive(domain)?;
        let has_intent = self.settle(domain)?.is_some();
        let folder = self.open_folder(domain)?;
        let writes = !change.write.is_empty() || made.count() > 0;
        if let (Some(folder), true) = (&folder, writes) {
            self.prove_folder(folder)?;
        }
        let plan = self.plan(domain, change, made, folder.as_deref())?;
        let is_prepared = self.is_prepared(domain, &plan, has_intent);
        if change.definition == DefinitionChange::Remove {
            self.drop_summary(domain);
        }
        let decided = match plan.steps.as_slice() {
            [] => {
                if has_intent {
                    self.take_intent(domain)?;
                }
                Decided::Durable
            }
            [only] if !has_intent && change.then.is_none() => {
                self.commit_one(domain, only, &plan.texts, folder)?
            }
            _ => self.commit_many(domain, &plan, folder.is_some(), has_intent, is_prepared)?,
        };
        match change.definition {
            DefinitionChange::Keep => {}
            DefinitionChange::Write(_) => self.set_gone(domain, false),
            DefinitionChange::Remove => {
                self.remove_folder(domain);
                self.set_gone(domain, true);
            }
        }
        self.tell(domain, change.definition != DefinitionChange::Keep);
        match decided {
            // The other host would build on it. No guest data waits for an answer.
            Decided::Unproven(error) if change.migration != MigrationChange::Keep => Err(error),
            Decided::Unproven(_) | Decided::Durable => Ok(()),
        }
    }

    /// The steps of a change, against what is there.
    pub(super) fn plan<'a>(
        &self,
        domain: &str,
        change: &'a Change,
        made: &'a dyn Made,
        folder: Option<&Folder<F::Dir>>,
    ) -> Result<Plan<'a>> {
        let is_there_in = |name: &str| match folder {
            Some(folder) => is_there(&self.fs, folder, &document_file(name)),
            None => Ok(false),
        };
        let mut plan = Plan::default();
        let given = change.write.iter();
        let given = given.map(|(name, text)| (name.clone(), Text::Given(text.as_bytes().into())));
        let made = (0..made.count()).map(|index| (made.name(index), Text::Made(made, index)));
        for (name, text) in given.chain(made) {
            plan.steps.push(Planned {
                replaces: is_there_in(&name)?,
                step: Step::Write {
                    staged: plan.texts.len(),
                    name,
                },
            });
            plan.texts.push(text);
        }
        let written: HashSet<&str> = change.write.iter().map(|(name, _)| name.as_str()).collect();
        for name in &change.remove {
            if !written.contains(name.as_str()) && is_there_in(name)? {
                let step = Step::Remove { name: name.clone() };
                plan.steps.push(Planned {
                    step,
                    replaces: true,
                });
            }
        }
        let defined = || is_there(&self.fs, &self.domain, &document_file(domain));
        match &change.definition {
            DefinitionChange::Keep => {}
            DefinitionChange::Write(text) => {
                let step = Step::Define {
                    staged: plan.texts.len(),
                };
                plan.texts.push(Text::Given(text.as_bytes().into()));
                plan.steps.push(Planned {
                    step,
                    replaces: defined()?,
                });
            }
            DefinitionChange::Remove => {
                if defined()? {
                    plan.steps.push(Planned {
                        step: Step::Undefine,
                        replaces: true,
                    });
                }
            }
        }
        self.plan_migration(domain, change, &mut plan)?;
        if let Some(text) = &change.then {
            plan.steps.push(Planned {
                step: Step::Then {
                    staged: plan.texts.len(),
                },
                replaces: false,
            });
            plan.texts.push(Text::Given(journal::intent(text).into()));
        }
        Ok(plan)
    }

    fn plan_migration<'a>(
        &self,
        domain: &str,
        change: &'a Change,
        plan: &mut Plan<'a>,
    ) -> Result<()> {
        let is_kept = || is_there(&self.fs, &self.migration, domain);
        match &change.migration {
            MigrationChange::Keep => {}
            MigrationChange::Write(text) => {
                plan.steps.push(Planned {
                    step: Step::Migration {
                        staged: plan.texts.len(),
                    },
                    replaces: is_kept()?,
                });
                plan.texts.push(Text::Given(text.as_bytes().into()));
            }
            MigrationChange::Remove => {
                if is_kept()? {
                    plan.steps.push(Planned {
                        step: Step::NoMigration,
                        replaces: true,
                    });
                }
            }
        }
        Ok(())
    }

    fn commit_one(
        &self,
        domain: &str,
        planned: &Planned,
        texts: &[Text<'_>],
        folder: Option<Arc<Folder<F::Dir>>>,
    ) -> Result<Decided> {
        let has_folder = folder.is_some();
        let made;
        let (room, file) = match &planned.step {
            Step::Define { .. } | Step::Undefine | Step::Then { .. } => {
                (&self.domain, document_file(domain))
            }
            Step::Migration { .. } | Step::NoMigration => (&self.migration, domain.to_owned()),
            Step::Write { name, .. } | Step::Remove { name } => {
                made = folder.map_or_else(|| self.make_folder(domain), Ok)?;
                (&**made, document_file(name))
            }
        };
        let done = match texts.first() {
            None => self.take(domain, room, &file),
            Some(text) => {
                let staged = staged_file(domain, 0);
                text.get()
                    .and_then(|text| {
                        let failed = self.stage.failed("write", &staged);
                        self.stage(&staged, &text).map_err(failed)
                    })
                    .and_then(|()| self.put(domain, &staged, room, &file, planned.replaces))
            }
        };
        if done.is_err() && !has_folder {
            self.remove_folder(domain);
        }
        let decided = done?;
        if let Decided::Unproven(_) = decided {
            self.set_owing(domain, true);
        }
        Ok(decided)
    }

    fn commit_many(
        &self,
        domain: &str,
        plan: &Plan<'_>,
        has_folder: bool,
        has_intent: bool,
        is_prepared: bool,
    ) -> Result<Decided> {
        let steps = plan.journalled();
        let needs_folder = steps.iter().any(|step| matches!(step, Step::Write { .. }));
        let folder = match needs_folder && !has_folder {
            true => self.make_folder(domain).map(drop),
            false => Ok(()),
        };
        let decided = folder
            .and_then(|()| match is_prepared {
                true => Ok(()),
                false => self.stage_plan(domain, plan),
            })
            .and_then(|()| self.put_staged_journal(domain, has_intent));
        let decided = decided.inspect_err(|_| {
            self.unstage_change(domain, plan.texts.len());
            if needs_folder && !has_folder {
                self.remove_folder(domain);
            }
        })?;
        if let Decided::Unproven(_) = decided {
            self.set_owing(domain, true);
        }
        // The change is made. What cannot be carried out now, every reader sees through the journal,
        // and the next one who can write carries it out.
        if self.carry_out(domain, &steps).is_ok() {
            self.fill_reserves();
        }
        Ok(decided)
    }

    fn stage_plan(&self, domain: &str, plan: &Plan<'_>) -> Result<()> {
        self.stage_texts(domain, &plan.texts)?;
        self.stage_journal(domain, &plan.record())
    }

    /// Stages all texts, durably. After an error some may be staged.
    pub(super) fn stage_texts(&self, domain: &str, texts: &[Text<'_>]) -> Result<()> {
        let failed_here = self.stage.failed_here("write to");
        let mut open = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let staged = staged_file(domain, number);
            let failed = self.stage.failed("write", &staged);
            let text = text.get()?;
            let stage = || self.stage_unsynced(&staged, &text);
            if open.len() == limits::FILES_AT_ONCE {
                self.sync_staged(&mut open).map_err(&failed_here)?;
            }
            let file = match stage() {
                Err(Errno::MFILE | Errno::NFILE) if !open.is_empty() => {
                    self.sync_staged(&mut open).map_err(&failed_here)?;
                    stage()
                }
                answer => answer,
            };
            open.push(file.map_err(failed)?);
        }
        self.sync_staged(&mut open).map_err(failed_here)?;
        if texts.is_empty() {
            return Ok(());
        }
        self.fs
            .sync_dir(&self.stage.dir)
            .map_err(self.stage.failed_here("sync directory"))
    }

    fn sync_staged(&self, open: &mut Vec<F::File>) -> Answer<()> {
        let answer = self.fs.sync_all(open);
        open.clear();
        answer
    }

    fn put_journal(&self, domain: &str, bytes: &[u8], replaces: bool) -> Result<Decided> {
        self.stage_journal(domain, bytes)?;
        self.put_staged_journal(domain, replaces)
    }

    fn stage_journal(&self, domain: &str, bytes: &[u8]) -> Result<()> {
        if bytes.len() > limits::JOURNAL_BYTES {
            return Err(Error::TooLarge {
                what: "journal",
                limit: limits::JOURNAL_BYTES,
            });
        }
        let staged = staged_journal(domain);
        self.stage_from_reserve(&staged, bytes)
            .map_err(self.stage.failed("write", &staged))
    }

    fn put_staged_journal(&self, domain: &str, replaces: bool) -> Result<Decided> {
        self.set_no_journal(domain, false);
        let staged = staged_journal(domain);
        self.put(domain, &staged, &self.journal, domain, replaces)
    }

    /// Stages a journal; on a full disk in space that was kept for that.
    fn stage_from_reserve(&self, staged: &str, bytes: &[u8]) -> Answer<()> {
        let full = match self.stage(staged, bytes) {
            Err(errno @ (Errno::NOSPC | Errno::DQUOT)) => errno,
            answer => return answer,
        };
        if bytes.len() > limits::JOURNAL_RESERVE_BYTES {
            return Err(full);
        }
        let dir = &self.stage.dir;
        if !RESERVES
            .iter()
            .any(|file| self.fs.rename(dir, file, dir, staged).is_ok())
        {
            return Err(full);
        }
        let write = || {
            let open = self.fs.overwrite(dir, staged)?;
            self.fs.write(&open, bytes)?;
            self.fs.sync(&open)
        };
        write().inspect_err(|_| self.unstage(staged))
    }

    /// Makes a staged file `file` of a room, durably. On failure all is as before and nothing is
    /// staged.
    pub(super) fn put(
        &self,
        domain: &str,
        staged: &str,
        room: &Room<F::Dir>,
        file: &str,
        replaces: bool,
    ) -> Result<Decided> {
        let (fs, stage, dir) = (&self.fs, &self.stage.dir, &room.dir);
        let before = set_aside(domain);
        let mut kept = false;
        if replaces {
            kept = self
                .keep(room, file, &before)
                .inspect_err(|_| self.unstage(staged))?;
        }
        if let Err(errno) = fs.rename(stage, staged, dir, file) {
            self.unstage(staged);
            if kept {
                self.unstage(&before);
            }
            return Err(room.failed("write", file)(errno));
        }
        let synced = again(|| fs.sync_dir(dir)).map_err(room.failed_here("sync directory"));
        let Err(error) = synced else {
            if kept {
                self.unstage(&before);
            }
            return Ok(Decided::Durable);
        };
        let back = match (replaces, kept) {
            (false, _) => again(|| fs.unlink(dir, file)),
            (true, true) => again(|| fs.rename(stage, &before, dir, file)),
            (true, false) => Err(Errno::NOTSUP),
        };
        if back.is_err() {
            return Ok(Decided::Unproven(error));
        }
        let _ = fs.sync_dir(dir);
        Err(error)
    }

    /// Gives a file that will be replaced a second name in `stage/`; `false` where the file system
    /// has no second names.
    fn keep(&self, room: &Room<F::Dir>, file: &str, before: &str) -> Result<bool> {
        let link = || self.fs.link(&room.dir, file, &self.stage.dir, before);
        let answer = match link() {
            Err(Errno::EXIST) => {
                self.unstage(before);
                link()
            }
            answer => answer,
        };
        match answer {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::MLINK) => Ok(false),
            Err(errno) => Err(room.failed("keep", file)(errno)),
        }
    }

    /// Removes a file of a room, durably. On failure it is there as before.
    fn take(&self, domain: &str, room: &Room<F::Dir>, file: &str) -> Result<Decided> {
        let (fs, stage, dir) = (&self.fs, &self.stage.dir, &room.dir);
        let before = set_aside(domain);
        let kept = match fs.rename(dir, file, stage, &before) {
            Ok(()) => true,
            Err(Errno::NOENT) => return Ok(Decided::Durable),
            // On a full disk a directory may have no room for one more name.
            Err(Errno::NOSPC | Errno::DQUOT) => {
                if_there(fs.unlink(dir, file)).map_err(room.failed("remove", file))?;
                false
            }
            Err(errno) => return Err(room.failed("remove", file)(errno)),
        };
        let synced = again(|| fs.sync_dir(dir)).map_err(room.failed_here("sync directory"));
        if let Err(error) = synced {
            if kept && again(|| fs.rename(stage, &before, dir, file)).is_ok() {
                let _ = fs.sync_dir(dir);
                return Err(error);
            }
            return Ok(Decided::Unproven(error));
        }
        if kept {
            self.unstage(&before);
        }
        Ok(Decided::Durable)
    }

    fn take_intent(&self, domain: &str) -> Result<()> {
        if let Decided::Unproven(_) = self.take(domain, &self.journal, domain)? {
            self.distrust_journal(domain);
        }
        Ok(())
    }
}

/// Refuses a change that could not be stored, or not be read again.
pub(super) fn check_change(change: &Change, made: &dyn Made) -> Result<()> {
    let check = |name: &String| {
        check_name(name, limits::SNAPSHOT_NAME_BYTES).map_err(|reason| Error::SnapshotName {
            name: name.clone(),
            reason,
        })
    };
    let written = change.write.iter().map(|(name, _)| name);
    written.chain(&change.remove).try_for_each(check)?;
    (0..made.count()).try_for_each(|index| check(&made.name(index)))?;
    for (_, text) in &change.write {
        check_size("snapshot document", text)?;
    }
    match &change.definition {
        DefinitionChange::Write(text) => check_size("domain definition", text),
        DefinitionChange::Keep | DefinitionChange::Remove => Ok(()),
    }
}

fn check_size(what: &'static str, text: &str) -> Result<()> {
    let limit = limits::STATE_FILE_BYTES;
    if text.len() > limit {
        Err(Error::TooLarge { what, limit })
    } else {
        Ok(())
    }
}
