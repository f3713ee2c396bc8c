//! What each target of fuzz/ does with an input: a broken promise is a panic.
//!
//! The tests replay fuzz/corpus/TARGET through the same functions, so that each input that once
//! found something is tried on every run.

mod documents;
pub(crate) mod memory;
mod state;

pub use crate::capi::fuzzing::{c_abi, c_abi_on_directory};
pub use crate::data::qcow2::fuzzing::qcow2;
pub use documents::{domain_xml, snapshot_xml};
pub use state::{journal, state_directory};

/// What a target does with an input.
pub type Target = fn(&[u8]);

/// Each target by its name.
pub const TARGETS: [(&str, Target); 6] = [
    ("snapshot_xml", snapshot_xml),
    ("domain_xml", domain_xml),
    ("state_directory", state_directory),
    ("journal", journal),
    ("qcow2", qcow2),
    ("c_abi", c_abi),
];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{TARGETS, Target, c_abi_on_directory};

    /// Gives each file of the target's corpus to the target.
    fn replay(name: &str) {
        give(
            name,
            TARGETS.iter().find(|(known, _)| *known == name).unwrap().1,
        );
    }

    fn give(name: &str, target: Target) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz/corpus")
            .join(name);
        let mut count = 0;
        for entry in fs::read_dir(&corpus).unwrap() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "no inputs in {}", corpus.display());
    }

    #[test]
    fn corpus_of_snapshot_xml() {
        replay("snapshot_xml");
    }

    #[test]
    fn corpus_of_domain_xml() {
        replay("domain_xml");
    }

    #[test]
    fn corpus_of_state_directory() {
        replay("state_directory");
    }

    #[test]
    fn corpus_of_journal() {
        replay("journal");
    }

    #[test]
    fn corpus_of_qcow2() {
        replay("qcow2");
    }

    #[test]
    fn corpus_of_c_abi() {
        replay("c_abi");
    }

    #[test]
    fn corpus_of_c_abi_on_a_directory() {
        give("c_abi", c_abi_on_directory);
    }
}
