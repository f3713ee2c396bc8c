//! Snapshots as bytes: each fact in turn, numbers with the low byte first, texts behind their length.
//!
//! What is written is [`Packed`], what is read [`Unpacked`]; each has a function for each kind of fact, in the same
//! order here.

use std::sync::Arc;

use super::Texts;
use crate::limits;
use crate::snapshot::{Disk, DiskMode, ExternalImage, Memory, Snapshot, State};
use crate::store::Mark;

/// Bytes that are written: nothing more once there is no memory for them, or they are more than a summary may have.
#[derive(Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    is_cut_off: bool,
}

/// Bytes that are still to be read. What is not there is `None`.
pub(super) struct Unpacked<'i>(pub &'i [u8]);

impl Packed {
    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes from that place on.
    pub(super) fn behind(&self, place: usize) -> &[u8] {
        self.bytes.get(place..).unwrap_or_default()
    }

    /// Whether nothing more is taken.
    pub(super) fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// All of them, if none is missing.
    pub(super) fn whole(self) -> Option<Vec<u8>> {
        (!self.is_cut_off).then_some(self.bytes)
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        let fits = self.bytes.len() + bytes.len() <= limits::SUMMARY_BYTES;
        self.is_cut_off |= !fits || self.bytes.try_reserve(bytes.len()).is_err();
        if !self.is_cut_off {
            self.bytes.extend_from_slice(bytes);
        }
    }

    pub(super) fn count(&mut self, count: usize) {
        // Nothing here is longer than a summary may be; one that were would not be read again.
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.raw(&count.to_le_bytes());
    }

    pub(super) fn flag(&mut self, flag: bool) {
        self.raw(&[u8::from(flag)]);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.raw(text.as_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Packed, T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn all<T>(&mut self, values: &[T], write: impl Fn(&mut Packed, &T)) {
        self.count(values.len());
        for value in values {
            write(self, value);
        }
    }

    /// What can be skipped as a whole.
    pub(super) fn part(&mut self, write: impl FnOnce(&mut Packed)) {
        let place = self.len();
        self.count(0);
        let start = self.len();
        write(self);
        let length = u32::try_from(self.len() - start).unwrap_or(u32::MAX);
        self.put(place, length.to_le_bytes());
    }

    /// Writes over what is there.
    pub(super) fn put<const N: usize>(&mut self, place: usize, bytes: [u8; N]) {
        if let Some(there) = self
            .bytes
            .get_mut(place..)
            .and_then(<[u8]>::first_chunk_mut)
        {
            *there = bytes;
        }
    }

    pub(super) fn mark(&mut self, mark: &Mark) {
        let Mark {
            device,
            inode,
            size,
            modified_ns,
            changed_ns,
        } = mark;
        for number in [device, inode, size] {
            self.raw(&number.to_le_bytes());
        }
        for time in [modified_ns, changed_ns] {
            self.raw(&time.to_le_bytes());
        }
    }

    /// All of it but its name.
    pub(super) fn snapshot(&mut self, snapshot: &Snapshot, texts: &Texts<'_>) {
        let Snapshot {
            name: _,
            description,
            state,
            parent,
            creation_time,
            memory,
            disks,
            revert_disks,
            domain,
            inactive_domain,
            cookie,
            other,
        } = snapshot;
        self.option(description.as_deref(), Packed::text);
        self.text(state.word());
        self.option(parent.as_deref(), Packed::text);
        self.raw(&creation_time.to_le_bytes());
        self.option(memory.as_ref(), Packed::memory);
        self.all(disks, Packed::disk);
        self.all(revert_disks, Packed::disk);
        for text in [domain, inactive_domain, cookie] {
            let place = text.as_ref().map(|text| texts.place_of(text));
            self.option(place, Packed::count);
        }
        self.all(other, |packed, text| packed.text(text));
    }

    fn memory(&mut self, memory: &Memory) {
        match memory {
            Memory::None => self.raw(&[0]),
            Memory::Internal => self.raw(&[1]),
            Memory::External { file } => {
                self.raw(&[2]);
                self.text(file);
            }
        }
    }

    fn disk(&mut self, disk: &Disk) {
        let Disk {
            name,
            mode,
            image,
            delete_in_progress,
        } = disk;
        self.text(name);
        self.option(mode.map(DiskMode::word), Packed::text);
        self.option(image.as_deref(), Packed::image);
        self.flag(*delete_in_progress);
    }

    fn image(&mut self, image: &ExternalImage) {
        let ExternalImage {
            source_type,
            format,
            cache_bytes,
            path,
            source,
        } = image;
        self.text(source_type);
        self.option(format.as_deref(), Packed::text);
        self.option(*cache_bytes, |packed, bytes| {
            packed.raw(&bytes.to_le_bytes());
        });
        self.option(path.as_deref(), Packed::text);
        self.option(source.as_deref(), Packed::text);
    }
}

impl<'i> Unpacked<'i> {
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        let [byte] = self.array()?;
        Some(byte != 0)
    }

    pub(super) fn text(&mut self) -> Option<&'i str> {
        std::str::from_utf8(self.part()?.0).ok()
    }

    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? {
            read(self).map(Some)
        } else {
            Some(None)
        }
    }

    fn all<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        // Each takes four bytes at least: no more is believed than can be there.
        let mut values = Vec::new();
        values.try_reserve(count.min(self.0.len() / 4)).ok()?;
        for _ in 0..count {
            values.push(read(self)?);
        }
        Some(values)
    }

    pub(super) fn part(&mut self) -> Option<Unpacked<'i>> {
        let length = self.count()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(Unpacked(part))
    }

    pub(super) fn mark(&mut self) -> Option<Mark> {
        Some(Mark {
            device: u64::from_le_bytes(self.array()?),
            inode: u64::from_le_bytes(self.array()?),
            size: u64::from_le_bytes(self.array()?),
            modified_ns: i64::from_le_bytes(self.array()?),
            changed_ns: i64::from_le_bytes(self.array()?),
        })
    }

    pub(super) fn snapshot(&mut self, name: &str, texts: &[Arc<str>]) -> Option<Snapshot> {
        Some(Snapshot {
            name: name.into(),
            description: self.option(Unpacked::boxed)?,
            state: State::from_word(self.text()?)?,
            parent: self.option(|unpacked| unpacked.text().map(Into::into))?,
            creation_time: i64::from_le_bytes(self.array()?),
            memory: self.option(Unpacked::memory)?,
            disks: self.all(Unpacked::disk)?.into(),
            revert_disks: self.all(Unpacked::disk)?,
            domain: self.shared(texts)?,
            inactive_domain: self.shared(texts)?,
            cookie: self.shared(texts)?,
            other: self.all(Unpacked::boxed)?,
        })
    }

    fn boxed(&mut self) -> Option<Box<str>> {
        self.text().map(Into::into)
    }

    fn shared(&mut self, texts: &[Arc<str>]) -> Option<Option<Arc<str>>> {
        self.option(|unpacked| texts.get(unpacked.count()?).map(Arc::clone))
    }

    fn memory(&mut self) -> Option<Memory> {
        match self.array()? {
            [0] => Some(Memory::None),
            [1] => Some(Memory::Internal),
            [2] => Some(Memory::External {
                file: self.boxed()?,
            }),
            _ => None,
        }
    }

    fn disk(&mut self) -> Option<Disk> {
        Some(Disk {
            name: self.boxed()?,
            mode: match self.option(Unpacked::text)? {
                Some(word) => Some(DiskMode::from_word(word)?),
                None => None,
            },
            image: self.option(|unpacked| unpacked.image().map(Box::new))?,
            delete_in_progress: self.flag()?,
        })
    }

    fn image(&mut self) -> Option<ExternalImage> {
        Some(ExternalImage {
            source_type: self.boxed()?,
            format: self.option(Unpacked::boxed)?,
            cache_bytes: self.option(|unpacked| unpacked.array().map(u64::from_le_bytes))?,
            path: self.option(Unpacked::boxed)?,
            source: self.option(Unpacked::boxed)?,
        })
    }
}
