//! Images that are made to be measured for ever: each has its answer, or none, after few reads.

use std::cell::Cell;
use std::io;

use super::below::{Below, is_shown_below};
use super::growth::grown;
use super::usage::{Usage, usage};
use super::{Entry, Facts, ReadAt, Result, read};
use crate::data::blocks::Blocks;
use crate::limits;

/// Bytes at some places, and zeros without end between them.
struct Sparse {
    parts: Vec<(u64, Vec<u8>)>,
    reads: Cell<u64>,
    bytes: Cell<u64>,
}

impl ReadAt for Sparse {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.reads.set(self.reads.get() + 1);
        self.bytes.set(self.bytes.get() + buffer.len() as u64);
        // What never ends fails instead.
        assert!(self.reads.get() < 100_000);
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        for (start, bytes) in &self.parts {
            let (from, to) = (offset.max(*start), end.min(start + bytes.len() as u64));
            if from < to {
                let part = &bytes[index(from - start)..index(to - start)];
                buffer[index(from - offset)..index(to - offset)].copy_from_slice(part);
            }
        }
        Ok(buffer.len())
    }
}

fn index(place: u64) -> usize {
    usize::try_from(place).unwrap()
}

/// An image of version 2 whose L1 table is its second cluster and on, written by hand after the
/// specification. It counts no references.
fn image(cluster_bits: u32, size: u64, l1_entries: u32) -> Sparse {
    let mut header = vec![0; 72];
    header[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
    header[20..24].copy_from_slice(&cluster_bits.to_be_bytes());
    header[24..32].copy_from_slice(&size.to_be_bytes());
    header[36..40].copy_from_slice(&l1_entries.to_be_bytes());
    header[40..48].copy_from_slice(&(1_u64 << cluster_bits).to_be_bytes());
    Sparse {
        parts: vec![(0, header)],
        reads: Cell::new(0),
        bytes: Cell::new(0),
    }
}

impl Sparse {
    /// Puts a word somewhere.
    fn put(&mut self, place: u64, word: u64) {
        self.parts.push((place, word.to_be_bytes().to_vec()));
    }

    /// Its facts, and what the guest sees as a snapshot.
    fn opened(&self) -> (Facts, Entry) {
        let facts = read(self).unwrap();
        let entry = Entry::of_present(facts.l1, facts.virtual_size);
        (facts, entry)
    }

    fn usage(&self, budget: u64) -> Result<Usage> {
        let (facts, entry) = self.opened();
        let blocks = &mut Blocks::of_device();
        usage(self, &facts, &[&entry], blocks, 1 << 50, budget)
    }
}

const MIB: u64 = 1 << 20;

/// 2^61 bytes of disk in clusters of 2 MiB: all but the last 512 GiB, of which one cluster is there, are
/// empty.
#[test]
fn an_empty_disk_of_any_size_is_passed_over() {
    let mut top = image(21, 1 << 61, 1 << 22);
    top.put(2 * MIB + 8 * ((1 << 22) - 1), 1 << 40);
    top.put((1 << 40) + 8 * 5, 1 << 41);
    let (facts, _) = top.opened();
    let base = image(16, MIB, 1);
    let (base_facts, _) = base.opened();
    let tops = [(&top, &facts)];
    let base = || (&base, Some(&base_facts), Blocks::of_device());
    let grown = |budget| grown(base(), &tops, 1 << 40, budget);
    assert_eq!(grown(limits::MEASURED_BYTES).unwrap(), 2 * MIB);
    // The L1 table alone has 32 MiB.
    assert!(grown(31 * MIB).is_err());
}

/// Two compressed clusters, 2^40 clusters of the file from each other.
#[test]
fn compressed_data_far_from_other_is_found_at_once() {
    let mut image = image(9, 1 << 15, 1);
    image.put(512, 4096);
    let compressed = |start: u64| 1 << 62 | start;
    image.put(4096, compressed(1 << 13));
    image.put(4096 + 8, compressed(1 << 49));
    let usage = image.usage(limits::MEASURED_BYTES).unwrap();
    // The L1 table, the L2 table, and a sector of each.
    assert_eq!(usage.held, 4 * 512);
    assert!(image.reads.get() < 50, "{}", image.reads.get());
}

/// Tables of 2 MiB for 128 GiB of file.
#[test]
fn no_more_is_read_than_is_allowed() {
    let mut image = image(21, 1 << 45, 64);
    for table in 0..64 {
        image.put(2 * MIB + 8 * table, (1 << 40) + 2 * MIB * table);
    }
    assert_eq!(image.usage(129 * MIB).unwrap().held, 65 * 2 * MIB);
    image.bytes.set(0);
    assert!(image.usage(64 * MIB).is_err());
    assert!(image.bytes.get() <= 65 * MIB);
}

/// As many tables, of both images, as lead to nothing.
#[test]
fn no_more_is_compared_than_is_allowed() {
    let mut image = image(21, 1 << 61, 1 << 22);
    let (facts, _) = image.opened();
    let shown = |image: &Sparse, budget| {
        is_shown_below(image, &facts, Below::Qcow2(image, &facts), budget).unwrap()
    };
    assert_eq!(shown(&image, 32 * MIB), Some(true));
    assert_eq!(shown(&image, 31 * MIB), None);
    for table in 0..8 {
        image.put(2 * MIB + 8 * table, (1 << 40) + 2 * MIB * table);
    }
    assert_eq!(shown(&image, (32 + 16) * MIB), Some(true));
    image.bytes.set(0);
    assert_eq!(shown(&image, 8 * MIB), None);
    // Of both.
    assert!(image.bytes.get() <= 2 * 8 * MIB);
}

/// An image may have 65536 snapshots of one name.
#[test]
fn so_many_snapshots_are_measured_together_and_no_more() {
    let mut image = image(16, 1 << 30, 1);
    image.put(1 << 16, 1 << 20);
    let (facts, entry) = image.opened();
    let usage = |count| {
        let entries = vec![&entry; count];
        let blocks = &mut Blocks::of_device();
        usage(
            &image,
            &facts,
            &entries,
            blocks,
            1 << 50,
            limits::MEASURED_BYTES,
        )
    };
    assert!(usage(limits::MEASURED_TOGETHER).is_ok());
    assert!(usage(limits::MEASURED_TOGETHER + 1).is_err());
}
