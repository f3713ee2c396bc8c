//! A state directory on a simulated disk, for the tests of the rooms above.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::Store;
use super::directory::Directory;
use super::simulated::{Fault, Simulated, World};
use crate::error::{Error, Result};

/// A disk, and the machine that uses it.
#[derive(Clone)]
pub(crate) struct Disk(Simulated);

impl Disk {
    /// An empty disk.
    pub(crate) fn new() -> Disk {
        Disk(Simulated::new(World::new()))
    }

    /// Puts a file there, durably, with the directories above it. What stands in the way stays.
    pub(crate) fn plant(&self, path: &str, bytes: &[u8]) {
        self.0.0.lock().plant(path, bytes);
    }

    /// Path and content of each file.
    pub(crate) fn files(&self) -> std::collections::BTreeMap<String, Vec<u8>> {
        self.0.0.lock().files()
    }

    /// What stands under a path.
    pub(crate) fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.0.0.lock().file(path).map(<[u8]>::to_vec)
    }

    /// Opens the state directory: a process starts.
    pub(crate) fn open(&self) -> Result<Arc<dyn Store>> {
        let directory = Directory::on(self.0.clone(), 0, Path::new("/state"))?;
        Ok(Arc::new(directory))
    }

    /// From the call with that number on every call fails: the process is as good as dead.
    pub(crate) fn die_at(&self, call: usize) {
        self.0.0.lock().set_fault(Fault::From(call, Errno::IO));
    }

    /// Whether the process has come to its last call.
    pub(crate) fn is_dead(&self) -> bool {
        self.0.0.lock().has_failed_for_good()
    }

    /// The call with that number fails, and no other.
    pub(crate) fn fail_at(&self, call: usize, errno: Errno) {
        self.0.0.lock().set_fault(Fault::Once(call, errno));
    }

    /// So many calls fail one after the other, from the one with that number on.
    pub(crate) fn fail_several(&self, call: usize, count: usize, errno: Errno) {
        let fault = Fault::Several(call, count, errno);
        self.0.0.lock().set_fault(fault);
    }

    /// A call that changes something beside the state directory: an image.
    pub(crate) fn call(&self) -> Result<()> {
        let failed = |errno| Error::io("write", "/image", errno);
        self.0.0.lock().step().map_err(failed)
    }

    /// Has that done once, by somebody else, when the next lock is let go.
    pub(crate) fn at_unlock(&self, act: Arc<dyn Fn() + Send + Sync>) {
        self.0.0.lock().at_unlock(act);
    }

    /// Takes a file away, durably.
    #[cfg(test)]
    pub(crate) fn remove(&self, path: &str) {
        self.0.0.lock().remove(path);
    }

    /// The bytes of a file are others, and nobody has changed it.
    #[cfg(test)]
    pub(crate) fn rot(&self, path: &str) {
        self.0.0.lock().rot(path);
    }

    /// What was written is old now.
    pub(crate) fn pass_time(&self) {
        self.0.0.lock().pass_time(Duration::from_secs(60));
    }

    /// All processes end; the machine runs on.
    pub(crate) fn restart(&mut self) {
        let world = self.0.0.lock().restarted();
        self.0 = Simulated::new(world.compacted());
    }

    /// Everything written so far reaches the disk.
    pub(crate) fn settle(&mut self) {
        let world = self.0.0.lock().settled();
        self.0 = Simulated::new(world.compacted());
    }

    /// The power goes. `choose` picks what became of whatever was not synced, below a bound.
    pub(crate) fn cut_power(&mut self, choose: impl FnMut(usize) -> usize) {
        let world = self.0.0.lock().power_cut(choose);
        self.0 = Simulated::new(world.compacted());
    }
}
