//! A file system in memory that fails when told to and knows what a power cut may leave.
//!
//! Of a file what no fsync covered may be lost, kept or torn. Of a directory each change of a name
//! that no fsync covered may be missing, whatever came before or after it. A rename is one change:
//! it may leave both names, but never neither.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io::{Cursor, Read};
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::Mark;
use super::fs::{Answer, Content, Entry, FileSystem, Identity, Kind, Stamp};

/// Between two processes: what was written before is old then.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A name in a directory.
type Place = (usize, String);

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call with this number fails, and no other.
    Once(usize, Errno),
    /// That call fails and so many in all, one after the other.
    Several(usize, usize, Errno),
    /// That call fails and each after it.
    From(usize, Errno),
    /// Each of these calls fails.
    These([(usize, Errno); 3]),
}

#[derive(Clone, Debug)]
enum Node {
    File {
        bytes: Vec<u8>,
        durable: Option<Vec<u8>>,
        /// When bytes or names of it changed last.
        changed_ns: i64,
    },
    Dir,
}

/// A change of names: those that come or go together.
#[derive(Clone, Debug)]
struct Rename {
    sets: Vec<(Place, usize)>,
    clears: Vec<Place>,
}

/// The disk and what the kernel knows beyond it.
#[derive(Clone, Debug)]
pub(super) struct World {
    nodes: Vec<Node>,
    names: BTreeMap<Place, usize>,
    durable: BTreeMap<Place, usize>,
    pending: Vec<Rename>,
    locked: BTreeSet<String>,
    /// Lock files with an owner in them.
    owned: BTreeSet<String>,
    words: BTreeMap<usize, u64>,
    calls: usize,
    changes: i128,
    clock_ns: i64,
    fault: Option<Fault>,
    /// No new directory and no longer file fits.
    pub(super) is_full: bool,
    /// So many more looks at an open directory, and others may write to all of them.
    pub(super) trusted_looks: Option<usize>,
    at_unlock: Unlocked,
    /// Files that were open to be synced together, at most.
    pub(super) most_synced: usize,
}

/// What somebody else does as soon as a lock is let go.
#[derive(Clone, Default)]
struct Unlocked(Option<Arc<dyn Fn() + Send + Sync>>);

impl std::fmt::Debug for Unlocked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Unlocked({})", self.0.is_some())
    }
}

impl World {
    /// An empty disk.
    pub(super) fn new() -> World {
        World {
            nodes: vec![Node::Dir],
            names: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            locked: BTreeSet::new(),
            owned: BTreeSet::new(),
            words: BTreeMap::new(),
            calls: 0,
            changes: 0,
            clock_ns: 0,
            fault: None,
            is_full: false,
            trusted_looks: None,
            at_unlock: Unlocked::default(),
            most_synced: 0,
        }
    }

    /// Has that done once, by somebody else, when the next lock is let go.
    pub(super) fn at_unlock(&mut self, act: Arc<dyn Fn() + Send + Sync>) {
        self.at_unlock = Unlocked(Some(act));
    }

    fn identity(&self, node: usize) -> Identity {
        let is_distrusted = self.trusted_looks == Some(0);
        Identity {
            device: 0,
            inode: node as u64,
            distrust: is_distrusted.then_some("others may write to it"),
        }
    }

    /// The same disk after its processes died.
    pub(super) fn restarted(&self) -> World {
        let mut world = self.clone();
        world.locked.clear();
        world.calls = 0;
        world.fault = None;
        world.pass_time(DAY);
        world
    }

    /// The clock goes on, and nothing happens meanwhile.
    pub(super) fn pass_time(&mut self, time: Duration) {
        self.clock_ns += i64::try_from(time.as_nanos()).unwrap_or(0);
    }

    /// Notes that a file has changed.
    fn touch(&mut self, node: usize) {
        self.pass_time(Duration::from_millis(1));
        if let Node::File { changed_ns, .. } = &mut self.nodes[node] {
            *changed_ns = self.clock_ns;
        }
    }

    /// Everything written so far has reached the disk.
    pub(super) fn settled(&self) -> World {
        let mut world = self.restarted();
        world.sync_all();
        world
    }

    fn sync_all(&mut self) {
        self.durable = self.names.clone();
        self.pending.clear();
        for node in &mut self.nodes {
            if let Node::File { bytes, durable, .. } = node {
                *durable = Some(bytes.clone());
            }
        }
    }

    /// Sets what will happen; calls count from here.
    pub(super) fn set_fault(&mut self, fault: Fault) {
        self.calls = 0;
        self.fault = Some(fault);
    }

    /// Path and content of each file.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        self.walk(0, "", &mut files);
        files
    }

    /// What stands under a path.
    pub(super) fn file(&self, path: &str) -> Option<&[u8]> {
        let parts = path.split('/').filter(|part| !part.is_empty());
        let mut parts = parts;
        let node = parts.try_fold(0, |dir, part| self.find(dir, part).ok())?;
        match &self.nodes[node] {
            Node::File { bytes, .. } => Some(bytes),
            Node::Dir => None,
        }
    }

    fn walk(&self, dir: usize, path: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        for ((_, name), node) in self.inside(dir) {
            let path = format!("{path}/{name}");
            match &self.nodes[*node] {
                Node::File { bytes, .. } => drop(files.insert(path, bytes.clone())),
                Node::Dir => self.walk(*node, &path, files),
            }
        }
    }

    /// The disks that a power cut now may leave.
    pub(super) fn power_cuts(&self) -> Vec<World> {
        let mut disks: BTreeSet<BTreeMap<Place, usize>> = BTreeSet::new();
        for outcomes in outcomes(self.pending.len()) {
            let mut names = self.durable.clone();
            for (rename, outcome) in self.pending.iter().zip(outcomes) {
                if outcome != Outcome::Missing {
                    names.extend(rename.sets.iter().cloned());
                }
                if outcome == Outcome::Whole {
                    names.retain(|place, _| !rename.clears.contains(place));
                }
            }
            disks.insert(names);
        }
        let unsynced = |node: &Node| match node {
            Node::File { bytes, durable, .. } => durable.as_ref() != Some(bytes),
            Node::Dir => false,
        };
        let losses: &[Loss] = if self.nodes.iter().any(unsynced) {
            &[Loss::Nothing, Loss::Everything, Loss::Half]
        } else {
            &[Loss::Nothing]
        };
        let mut worlds = Vec::new();
        for names in disks {
            for loss in losses {
                let mut world = self.restarted();
                world.names = names.clone();
                world.nodes.iter_mut().for_each(|node| lose(node, *loss));
                world.sync_all();
                worlds.push(world);
            }
        }
        worlds
    }

    /// Whether calls fail from now on.
    pub(super) fn has_failed_for_good(&self) -> bool {
        matches!(self.fault, Some(Fault::From(at, _)) if at < self.calls)
    }

    /// One of the disks that a power cut now may leave. `choose` answers a number below the one
    /// that it is given.
    pub(super) fn power_cut(&self, mut choose: impl FnMut(usize) -> usize) -> World {
        let mut world = self.restarted();
        world.names = self.durable.clone();
        for rename in &self.pending {
            let outcome = choose(3);
            if outcome > 0 {
                world.names.extend(rename.sets.iter().cloned());
            }
            if outcome > 1 {
                world
                    .names
                    .retain(|place, _| !rename.clears.contains(place));
            }
        }
        for node in &mut world.nodes {
            lose(
                node,
                match choose(3) {
                    0 => Loss::Nothing,
                    1 => Loss::Everything,
                    _ => Loss::Half,
                },
            );
        }
        world.sync_all();
        world
    }

    /// The same disk without the files that no name leads to.
    pub(super) fn compacted(mut self) -> World {
        if self.pending.is_empty() && self.nodes.len() > 4 * (self.names.len() + 16) {
            let mut new_numbers = BTreeMap::from([(0, 0)]);
            let mut nodes = vec![Node::Dir];
            for node in self.names.values() {
                new_numbers.entry(*node).or_insert_with(|| {
                    nodes.push(self.nodes[*node].clone());
                    nodes.len() - 1
                });
            }
            let renumbered = |names: &BTreeMap<Place, usize>| {
                names
                    .iter()
                    // A directory that was lost with the power has no number.
                    .filter_map(|((dir, name), node)| {
                        let dir = new_numbers.get(dir)?;
                        Some(((*dir, name.clone()), new_numbers[node]))
                    })
                    .collect()
            };
            let names: BTreeMap<Place, usize> = renumbered(&self.names);
            self.durable = names.clone();
            self.names = names;
            self.nodes = nodes;
        }
        self
    }

    /// Puts a file there, durably, with the directories above it. What stands in the way stays.
    pub(super) fn plant(&mut self, path: &str, bytes: &[u8]) {
        let mut dir = 0;
        let mut parts = path.split('/').peekable();
        while let Some(part) = parts.next() {
            let place = (dir, part.to_owned());
            let found = self.names.get(&place).copied();
            match (found, parts.peek()) {
                (Some(node), Some(_)) if matches!(self.nodes[node], Node::Dir) => dir = node,
                (Some(_), _) => return,
                (None, Some(_)) => {
                    dir = self.new_node(Node::Dir);
                    self.names.insert(place, dir);
                }
                (None, None) => {
                    let file = self.new_file(bytes);
                    self.names.insert(place, file);
                }
            }
        }
        self.sync_all();
    }

    /// Takes a file away, durably.
    #[cfg(test)]
    pub(super) fn remove(&mut self, path: &str) {
        if let Some((place, _)) = self.at(path) {
            self.names.remove(&place);
            self.sync_all();
        }
    }

    /// The bytes of a file are others, and nobody has changed it.
    #[cfg(test)]
    pub(super) fn rot(&mut self, path: &str) {
        if let Some((_, node)) = self.at(path)
            && let Node::File { bytes, .. } = &mut self.nodes[node]
        {
            bytes.fill(b'?');
            self.sync_all();
        }
    }

    /// Where a path leads, and to what.
    #[cfg(test)]
    fn at(&self, path: &str) -> Option<(Place, usize)> {
        let (mut place, mut node) = ((0, String::new()), 0);
        for part in path.split('/') {
            place = (node, part.to_owned());
            node = *self.names.get(&place)?;
        }
        Some((place, node))
    }

    pub(super) fn step(&mut self) -> Answer<()> {
        let number = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::Once(at, errno)) if at == number => Err(errno),
            Some(Fault::Several(at, count, errno)) if (at..at + count).contains(&number) => {
                Err(errno)
            }
            Some(Fault::From(at, errno)) if at <= number => Err(errno),
            Some(Fault::These(calls)) => {
                let found = calls.iter().find(|(at, _)| *at == number);
                found.map_or(Ok(()), |(_, errno)| Err(*errno))
            }
            _ => Ok(()),
        }
    }

    fn find(&self, dir: usize, name: &str) -> Answer<usize> {
        self.names
            .get(&(dir, name.to_owned()))
            .copied()
            .ok_or(Errno::NOENT)
    }

    fn mark(&self, node: usize) -> Option<Mark> {
        match &self.nodes[node] {
            Node::Dir => None,
            Node::File {
                bytes, changed_ns, ..
            } => Some(Mark {
                device: 0,
                inode: node as u64,
                size: bytes.len() as u64,
                modified_ns: *changed_ns,
                changed_ns: *changed_ns,
            }),
        }
    }

    /// The names in a directory.
    fn inside(&self, dir: usize) -> impl Iterator<Item = (&Place, &usize)> {
        self.names
            .range((dir, String::new())..(dir + 1, String::new()))
    }

    fn change(&mut self, sets: Vec<(Place, usize)>, clears: Vec<Place>) {
        self.changes += 1;
        for place in &clears {
            if let Some(node) = self.names.remove(place) {
                self.touch(node);
            }
        }
        for (_, node) in &sets {
            self.touch(*node);
        }
        self.names.extend(sets.iter().cloned());
        self.pending.push(Rename { sets, clears });
    }

    fn sync_names(&mut self, dir: usize) {
        let mut left = Vec::new();
        for mut rename in std::mem::take(&mut self.pending) {
            let is_here = |place: &Place| place.0 == dir;
            let touches = rename.sets.iter().any(|(place, _)| is_here(place))
                || rename.clears.iter().any(is_here);
            if !touches {
                left.push(rename);
                continue;
            }
            // What comes is never later than what goes.
            self.durable.extend(rename.sets.drain(..));
            let (here, elsewhere) = rename.clears.into_iter().partition(is_here);
            let here: Vec<Place> = here;
            for place in &here {
                self.durable.remove(place);
            }
            rename.clears = elsewhere;
            if !rename.clears.is_empty() {
                left.push(rename);
            }
        }
        self.pending = left;
    }

    fn new_file(&mut self, bytes: &[u8]) -> usize {
        let node = self.new_node(Node::File {
            bytes: bytes.to_vec(),
            durable: None,
            changed_ns: 0,
        });
        self.touch(node);
        node
    }

    fn new_node(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Missing,
    OnlyComing,
    Whole,
}

#[derive(Clone, Copy)]
enum Loss {
    Nothing,
    Everything,
    Half,
}

fn lose(node: &mut Node, loss: Loss) {
    let Node::File { bytes, durable, .. } = node else {
        return;
    };
    if durable.as_ref() == Some(bytes) {
        return;
    }
    match loss {
        Loss::Nothing => {}
        Loss::Everything => *bytes = durable.clone().unwrap_or_default(),
        Loss::Half => bytes.truncate(bytes.len() / 2),
    }
}

/// All combinations where they are few; else those in order, and those with one change missing,
/// alone or half.
fn outcomes(count: usize) -> Vec<Vec<Outcome>> {
    const ALL: [Outcome; 3] = [Outcome::Missing, Outcome::OnlyComing, Outcome::Whole];
    if count <= 4 {
        return (0..count).fold(vec![vec![]], |starts, _| {
            let longer = |start: &Vec<Outcome>, next| [start.as_slice(), &[next]].concat();
            starts
                .iter()
                .flat_map(|start| ALL.map(|next| longer(start, next)))
                .collect()
        });
    }
    let mut all = Vec::new();
    for cut in 0..=count {
        let prefix = |at| {
            if at < cut {
                Outcome::Whole
            } else {
                Outcome::Missing
            }
        };
        all.push((0..count).map(prefix).collect());
        for odd in [Outcome::Missing, Outcome::OnlyComing] {
            all.push(
                (0..count)
                    .map(|at| if at == cut { odd } else { Outcome::Whole })
                    .collect(),
            );
        }
        let alone = |at| {
            if at == cut {
                Outcome::Whole
            } else {
                Outcome::Missing
            }
        };
        all.push((0..count).map(alone).collect());
    }
    all
}

/// A process' view of the world. Clones share it.
#[derive(Clone)]
pub(super) struct Simulated(pub(super) Arc<Mutex<World>>);

impl Simulated {
    pub(super) fn new(world: World) -> Simulated {
        Simulated(Arc::new(Mutex::new(world)))
    }

    /// How many calls were made since the fault was set.
    pub(super) fn calls(&self) -> usize {
        self.0.lock().calls
    }
}

/// A file that is open for writing.
pub(super) struct SimulatedFile {
    node: usize,
    /// Where the next write begins.
    position: Mutex<usize>,
}

impl SimulatedFile {
    fn of(node: usize) -> SimulatedFile {
        SimulatedFile {
            node,
            position: Mutex::default(),
        }
    }
}

/// A lock in the world.
pub(super) struct SimulatedLock {
    world: Arc<Mutex<World>>,
    name: String,
    had_owner: bool,
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut world = self.world.lock();
        world.locked.remove(&self.name);
        let act = std::mem::take(&mut world.at_unlock);
        drop(world);
        if let Some(act) = act.0 {
            act();
        }
    }
}

impl FileSystem for Simulated {
    type Dir = usize;
    type File = SimulatedFile;
    type Locked = SimulatedLock;
    type Words = ();

    fn open_dir(&self, parent: &usize, name: &str) -> Answer<usize> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*parent, name)?;
        matches!(world.nodes[node], Node::Dir)
            .then_some(node)
            .ok_or(Errno::NOTDIR)
    }

    fn identity_of(&self, dir: &usize) -> Answer<Identity> {
        let mut world = self.0.lock();
        let identity = world.identity(*dir);
        world.trusted_looks = world.trusted_looks.map(|looks| looks.saturating_sub(1));
        Ok(identity)
    }

    fn identity(&self, parent: &usize, name: &str) -> Answer<Identity> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*parent, name)?;
        Ok(world.identity(node))
    }

    fn make_dir(&self, parent: &usize, name: &str) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        if world.find(*parent, name).is_ok() {
            return Err(Errno::EXIST);
        }
        if world.is_full {
            return Err(Errno::NOSPC);
        }
        let node = world.new_node(Node::Dir);
        world.change(vec![((*parent, name.to_owned()), node)], vec![]);
        Ok(())
    }

    fn remove_dir(&self, parent: &usize, name: &str) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*parent, name)?;
        if world.inside(node).next().is_some() {
            return Err(Errno::NOTEMPTY);
        }
        world.change(vec![], vec![(*parent, name.to_owned())]);
        Ok(())
    }

    fn is_empty(&self, dir: &usize) -> Answer<bool> {
        let mut world = self.0.lock();
        world.step()?;
        Ok(world.inside(*dir).next().is_none())
    }

    fn entries(&self, dir: &usize) -> Answer<Vec<Entry>> {
        let mut world = self.0.lock();
        world.step()?;
        let names = world.inside(*dir);
        let entry = |((_, name), node): (&Place, &usize)| Entry {
            name: name.clone().into_bytes(),
            kind: kind(&world.nodes[*node]),
        };
        Ok(names.map(entry).collect())
    }

    fn kind(&self, dir: &usize, name: &str) -> Answer<Kind> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*dir, name)?;
        Ok(kind(&world.nodes[node]))
    }

    fn stamp(&self, dir: &usize) -> Answer<Stamp> {
        let mut world = self.0.lock();
        world.step()?;
        Ok(Stamp {
            inode: *dir as u64,
            changed_ns: world.changes,
            age: Duration::MAX,
        })
    }

    fn mark(&self, dir: &usize, name: &str) -> Answer<Option<Mark>> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*dir, name)?;
        Ok(world.mark(node))
    }

    fn now_ns(&self) -> i128 {
        self.0.lock().clock_ns.into()
    }

    fn read_marked(
        &self,
        dir: &usize,
        name: &str,
        limit: usize,
    ) -> Answer<(Content, Option<Mark>)> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*dir, name)?;
        Ok(match &world.nodes[node] {
            Node::Dir => (Content::NotRegular, None),
            Node::File { bytes, .. } if bytes.len() > limit => (Content::TooLarge, None),
            Node::File { bytes, .. } => (Content::Bytes(bytes.clone()), world.mark(node)),
        })
    }

    fn reader(&self, dir: &usize, name: &str) -> Answer<Box<dyn Read + Send>> {
        match self.read(dir, name, usize::MAX)? {
            Content::Bytes(bytes) => Ok(Box::new(Cursor::new(bytes))),
            Content::NotRegular | Content::TooLarge => Err(Errno::INVAL),
        }
    }

    fn create(&self, dir: &usize, name: &str) -> Answer<SimulatedFile> {
        let mut world = self.0.lock();
        world.step()?;
        if world.find(*dir, name).is_ok() {
            return Err(Errno::EXIST);
        }
        let node = world.new_file(&[]);
        world.change(vec![((*dir, name.to_owned()), node)], vec![]);
        Ok(SimulatedFile::of(node))
    }

    fn overwrite(&self, dir: &usize, name: &str) -> Answer<SimulatedFile> {
        let mut world = self.0.lock();
        world.step()?;
        world.find(*dir, name).map(SimulatedFile::of)
    }

    fn write(&self, file: &SimulatedFile, new: &[u8]) -> Answer<()> {
        let mut world = self.0.lock();
        let failed = world.step();
        let is_full = world.is_full;
        let Node::File { bytes, .. } = &mut world.nodes[file.node] else {
            return Err(Errno::ISDIR);
        };
        let mut position = file.position.lock();
        if is_full && *position + new.len() > bytes.len() {
            return Err(Errno::NOSPC);
        }
        // A write that fails may have written something.
        let count = if failed.is_ok() {
            new.len()
        } else {
            new.len() / 3
        };
        let end = *position + count;
        let kept = bytes.split_off(end.min(bytes.len()));
        bytes.truncate(*position);
        bytes.extend(&new[..count]);
        bytes.extend(kept);
        *position = end;
        world.touch(file.node);
        failed
    }

    fn sync(&self, file: &SimulatedFile) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        if let Node::File { bytes, durable, .. } = &mut world.nodes[file.node] {
            *durable = Some(bytes.clone());
        }
        Ok(())
    }

    fn sync_all(&self, files: &[SimulatedFile]) -> Answer<()> {
        let mut world = self.0.lock();
        world.most_synced = world.most_synced.max(files.len());
        drop(world);
        files.iter().try_for_each(|file| self.sync(file))
    }

    fn sync_dir(&self, dir: &usize) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        world.sync_names(*dir);
        Ok(())
    }

    fn link(&self, from: &usize, name: &str, to: &usize, new: &str) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*from, name)?;
        if world.find(*to, new).is_ok() {
            return Err(Errno::EXIST);
        }
        world.change(vec![((*to, new.to_owned()), node)], vec![]);
        Ok(())
    }

    fn rename(&self, from: &usize, name: &str, to: &usize, new: &str) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        let node = world.find(*from, name)?;
        let (old, new) = ((*from, name.to_owned()), (*to, new.to_owned()));
        // POSIX: two names of one file are left as they are.
        if world.names.get(&new) != Some(&node) {
            world.change(vec![(new, node)], vec![old]);
        }
        Ok(())
    }

    fn move_new(&self, from: &usize, name: &OsStr, to: &usize, new: &OsStr) -> Answer<()> {
        let names = (name.to_str(), new.to_str());
        let (Some(name), Some(new)) = names else {
            return Err(Errno::ILSEQ);
        };
        if self.0.lock().find(*to, new).is_ok() {
            return Err(Errno::EXIST);
        }
        self.rename(from, name, to, new)
    }

    fn unlink(&self, dir: &usize, name: &str) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        world.find(*dir, name)?;
        world.change(vec![], vec![(*dir, name.to_owned())]);
        Ok(())
    }

    fn try_lock(&self, _dir: &usize, name: &str, _owner: &str) -> Answer<Option<SimulatedLock>> {
        let mut world = self.0.lock();
        world.step()?;
        if !world.locked.insert(name.to_owned()) {
            return Ok(None);
        }
        let had_owner = !world.owned.insert(name.to_owned());
        Ok(Some(SimulatedLock {
            world: Arc::clone(&self.0),
            name: name.to_owned(),
            had_owner,
        }))
    }

    fn had_owner(&self, locked: &SimulatedLock) -> bool {
        locked.had_owner
    }

    fn disown(&self, locked: &SimulatedLock) {
        let mut world = self.0.lock();
        if world.step().is_ok() {
            world.owned.remove(&locked.name);
        }
    }

    fn descriptor<'a>(&self, _locked: &'a SimulatedLock) -> Option<BorrowedFd<'a>> {
        None
    }

    fn open_words(&self, _dir: &usize, _name: &str, _count: usize) -> Answer<()> {
        self.0.lock().step()
    }

    fn word(&self, (): &(), index: usize) -> u64 {
        self.0.lock().words.get(&index).copied().unwrap_or(0)
    }

    fn renew_word(&self, (): &(), index: usize) -> Answer<()> {
        let mut world = self.0.lock();
        world.step()?;
        *world.words.entry(index).or_default() += 1;
        Ok(())
    }

    fn pause(&self, _time: Duration) {}
}

fn kind(node: &Node) -> Kind {
    match node {
        Node::File { .. } => Kind::Regular,
        Node::Dir => Kind::Other,
    }
}
