//! An image made of any bytes is read or refused.

use super::{content, read};

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
}
