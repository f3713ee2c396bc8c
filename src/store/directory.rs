//! The state directory, in the layout of libvirt's QEMU driver.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use super::changes;
use super::fs::{FileSystem, Machine};
use super::rooms::{Rooms, check_domain, check_trust, document_file};
use super::{Change, Damage, Documents, Fill, Listing, Lock, Made, Store};
use crate::error::{Error, Result};

/// The lock of those who define and undefine. No domain's name begins with a dot.
const DEFINITIONS: &str = ".definitions";

/// A state directory.
///
/// Its directories are kept open: what is done later is done to the directory that was checked here,
/// whatever its path has come to mean.
pub struct Directory<F: FileSystem = Machine> {
    rooms: Arc<Rooms<F>>,
}

impl Directory {
    /// Opens a state directory, making it (mode 0700) where it is missing.
    ///
    /// The path is absolute; the directory is ours or root's and nobody else may write to it.
    pub fn open(root: &Path) -> Result<Directory> {
        if !root.is_absolute() {
            return Err(refused(root, "its path is not absolute"));
        }
        let dir = match open_dir(root) {
            Err(rustix::io::Errno::NOENT) => {
                make(root).map_err(|error| Error::io("create directory", root, error))?;
                open_dir(root)
            }
            answer => answer,
        };
        let dir = match dir {
            Err(rustix::io::Errno::NOTDIR) => return Err(refused(root, "it is not a directory")),
            answer => answer.map_err(|errno| Error::io("open directory", root, errno))?,
        };
        check_trust(&Machine, &dir, root)?;
        Directory::on(Machine, dir, root)
    }
}

impl<F: FileSystem> Directory<F> {
    /// The state directory that is open as `dir`.
    pub(super) fn on(fs: F, dir: F::Dir, path: &Path) -> Result<Directory<F>> {
        let rooms = Arc::new(Rooms::open(fs, dir, path)?);
        Ok(Directory { rooms })
    }
}

impl<F: FileSystem> fmt::Debug for Directory<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Directory")
            .field("path", &self.rooms.root.path)
            .finish_non_exhaustive()
    }
}

impl<F: FileSystem + Send + Sync + 'static> Store for Directory<F>
where
    F::Dir: Send + Sync,
{
    fn domains(&self) -> Result<Listing> {
        self.rooms.domains()
    }
    fn is_defined(&self, domain: &str) -> Result<bool> {
        self.rooms.is_defined(domain)
    }
    fn snapshots(&self, domain: &str) -> Result<Listing> {
        self.rooms.snapshots(domain)
    }
    fn read_snapshots(&self, domain: &str, documents: &mut dyn Documents) -> Result<Vec<Damage>> {
        self.rooms.read_snapshots(domain, documents)
    }
    fn summary(&self, domain: &str) -> Option<Vec<u8>> {
        self.rooms.summary(domain).unwrap_or_default()
    }
    fn keep_summary(&self, domain: &str, make: &dyn Fn() -> Option<Vec<u8>>) {
        // Whoever has none reads the documents.
        let _ = self.rooms.keep_summary(domain, make);
    }
    fn drop_summary(&self, domain: &str) {
        self.rooms.drop_summary(domain);
    }
    fn lock(&self, domain: &str) -> Result<Box<dyn Lock>> {
        check_domain(domain)?;
        Ok(Box::new(self.rooms.wait_lock(domain)?))
    }
    fn document_path(&self, domain: &str, name: &str) -> PathBuf {
        let folder = self.rooms.snapshot.path.join(domain);
        folder.join(document_file(name))
    }
    fn definition_path(&self, domain: &str) -> PathBuf {
        self.rooms.domain.path.join(document_file(domain))
    }
    fn journal_path(&self, domain: &str) -> PathBuf {
        self.rooms.journal.path.join(domain)
    }
    fn set_aside(&self, domain: &str, file: &OsStr) -> Result<()> {
        self.rooms.set_aside(domain, file)
    }
    fn lock_definitions(&self) -> Result<Box<dyn Lock>> {
        Ok(Box::new(self.rooms.wait_lock(DEFINITIONS)?))
    }
    fn try_lock(&self, domain: &str) -> Result<Option<Box<dyn Lock>>> {
        check_domain(domain)?;
        let held = self.rooms.try_lock(domain)?;
        Ok(held.map(|held| Box::new(held) as Box<dyn Lock>))
    }
    fn generation(&self, domain: &str) -> Option<u64> {
        self.rooms.generation(domain)
    }
    fn generation_place(&self, domain: &str) -> usize {
        changes::word_of(domain)
    }
    fn generation_at(&self, _domain: &str, place: usize) -> Option<u64> {
        self.rooms.word(place)
    }
    fn definitions_generation(&self) -> Option<u64> {
        self.rooms.definitions_generation()
    }
    fn pending(&self, domain: &str) -> Result<Option<String>> {
        self.rooms.pending(domain)
    }
    fn intend(&self, domain: &str, intent: &str) -> Result<()> {
        self.rooms.intend(domain, intent)
    }
    fn withdraw(&self, domain: &str) -> Result<()> {
        self.rooms.withdraw(domain)
    }
    fn prepare(&self, domain: &str, change: &Change) {
        self.rooms.prepare(domain, change);
    }
    fn commit(&self, domain: &str, change: &Change) -> Result<()> {
        self.rooms.commit(domain, change)
    }
    fn commit_made(&self, domain: &str, change: &Change, made: &dyn Made) -> Result<()> {
        self.rooms.commit_made(domain, change, made)
    }
    fn migration(&self, domain: &str) -> Result<Option<Box<dyn Read + Send>>> {
        self.rooms.migration(domain)
    }
    fn migration_path(&self, domain: &str) -> PathBuf {
        self.rooms.migration.path.join(domain)
    }
    fn receive(&self, domain: &str, fill: &mut Fill<'_>) -> Result<()> {
        self.rooms.receive(domain, fill)
    }
}

fn open_dir(path: &Path) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Makes the directory, durably; missing ones above it as `mkdir -p` does.
fn make(root: &Path) -> std::io::Result<()> {
    let parent = root.parent().unwrap_or(root);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)?;
    match DirBuilder::new().mode(0o700).create(root) {
        Ok(()) => std::fs::set_permissions(root, PermissionsExt::from_mode(0o700))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    File::open(parent)?.sync_all()
}

fn refused(root: &Path, reason: &'static str) -> Error {
    Error::StateDirectory {
        path: root.to_owned(),
        reason,
    }
}
