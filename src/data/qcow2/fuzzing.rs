//! An image made of any bytes is read or refused.

use super::below::{Below, is_shown_below};
use super::growth::grown;
use super::usage::usage;
use super::{Entry, content, read};
use crate::data::blocks::Blocks;

/// Bytes that are read to measure an input: 256 times the largest that is in the corpus.
const BUDGET: u64 = 1 << 20;

/// A qcow2 image.
pub fn qcow2(input: &[u8]) {
    let Ok(facts) = read(input) else {
        return;
    };
    for entry in facts.snapshots.iter().take(4) {
        let _ = content::is_made_of(input, facts.l1, &[entry.l1]);
        let name = String::from_utf8_lossy(&entry.name);
        assert!(facts.named(&name).count() <= facts.snapshots.len());
    }
    let sources: Vec<_> = facts
        .snapshots
        .iter()
        .take(4)
        .map(|entry| entry.l1)
        .collect();
    let _ = content::is_made_of(input, facts.l1, &sources);
    // Every part of an image is part of itself.
    if let Ok(same) = content::is_made_of(input, facts.l1, &[facts.l1]) {
        assert!(same);
    }
    let present = Entry::of_present(facts.l1, facts.virtual_size);
    let clusters = (input.len() as u64).div_ceil(facts.cluster());
    let entries: Vec<&Entry> = facts.snapshots.iter().take(4).chain([&present]).collect();
    let blocks = &mut Blocks::of_device();
    if let Ok(usage) = usage(input, &facts, &entries, blocks, clusters, BUDGET) {
        assert!(usage.alone <= usage.held);
    }
    // An image shows what it shows.
    if let Ok(Some(same)) = is_shown_below(input, &facts, Below::Qcow2(input, &facts), BUDGET) {
        assert!(same);
    }
    let tops = [(input, &facts)];
    for base in [None, Some(&facts)] {
        let _ = grown((input, base, Blocks::of_device()), &tops, clusters, BUDGET);
    }
}
