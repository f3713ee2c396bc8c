//! What is kept about a migration: a text of a few lines, or all that another host has sent.

use std::io::{Cursor, Read};
use std::sync::Arc;

use super::Fill;
use super::commit::Decided;
use super::fs::{Content, FileSystem};
use super::journal::{Journal, Step};
use super::rooms::{Room, Rooms, check_domain, if_there, is_there, staged_file};
use crate::error::Result;
use crate::limits;

impl<F: FileSystem + 'static> Rooms<F> {
    /// [`super::Store::migration`].
    pub(super) fn migration(
        self: &Arc<Self>,
        domain: &str,
    ) -> Result<Option<Box<dyn Read + Send>>> {
        check_domain(domain)?;
        let journal = self.read_journal(domain)?;
        let steps = match &journal {
            Journal::Commit(steps) => steps.as_slice(),
            _ => &[],
        };
        for step in steps {
            match step {
                Step::Migration { staged } => {
                    let staged = staged_file(domain, *staged);
                    if let Some(kept) = self.read_small(&self.stage, &staged)? {
                        return Ok(Some(kept));
                    }
                }
                Step::NoMigration => return Ok(None),
                _ => {}
            }
        }
        if !is_there(&self.fs, &self.migration, domain)? {
            return Ok(None);
        }
        if_there(self.fs.reader(&self.migration.dir, domain))
            .map_err(self.migration.failed("read", domain))
    }

    /// A file that a change has staged.
    fn read_small(&self, room: &Room<F::Dir>, file: &str) -> Result<Option<Box<dyn Read + Send>>> {
        let content = if_there(self.fs.read(&room.dir, file, limits::STATE_FILE_BYTES))
            .map_err(room.failed("read", file))?;
        Ok(match content {
            Some(Content::Bytes(bytes)) => Some(Box::new(Cursor::new(bytes))),
            Some(Content::NotRegular | Content::TooLarge) | None => None,
        })
    }

    /// [`super::Store::receive`].
    pub(super) fn receive(self: &Arc<Self>, domain: &str, fill: &mut Fill<'_>) -> Result<()> {
        check_domain(domain)?;
        let _guard = self.exclusive(domain)?;
        self.drop_prepared(domain);
        self.settle(domain)?;
        let replaces = is_there(&self.fs, &self.migration, domain)?;
        let staged = staged_file(domain, 0);
        self.fill(&staged, fill)
            .inspect_err(|_| self.unstage(&staged))?;
        match self.put(domain, &staged, &self.migration, domain, replaces)? {
            Decided::Durable => Ok(()),
            Decided::Unproven(error) => {
                self.set_owing(domain, true);
                Err(error)
            }
        }
    }

    fn fill(&self, staged: &str, fill: &mut Fill<'_>) -> Result<()> {
        let dir = &self.stage.dir;
        let failed = self.stage.failed("write", staged);
        self.unstage(staged);
        let file = self.fs.create(dir, staged).map_err(&failed)?;
        fill(&mut |bytes| self.fs.write(&file, bytes).map_err(&failed))?;
        self.fs.sync(&file).map_err(&failed)
    }
}
