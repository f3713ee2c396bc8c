//! Whether an overlay shows just what the image below it shows, told from both images' tables and data.
//!
//! What an overlay has no cluster for shows through from below, so only its own clusters are looked at.

use std::cell::Cell;

use super::entries::{Mapping, l2_offsets, mappings};
use super::meter::spend;
use super::{Encryption, Facts, ReadAt, Result, fill_what_is_there};
use crate::memory;

/// The image below an overlay.
pub(super) enum Below<'a, S: ?Sized> {
    /// A disk's bytes as they are.
    Raw(&'a S),
    /// A qcow2 image.
    Qcow2(&'a S, &'a Facts),
}

/// Of L1 entries, and of L2 entries, that are read at once.
const WINDOW: usize = 512;

/// Whether both show the same. `None` where that takes more than is known here: data that is compressed,
/// encrypted or in another file, entries for parts of clusters, clusters of two sizes, and where the image
/// below shows what is below itself; or more bytes than may be looked at.
pub(super) fn is_shown_below<S: ReadAt + ?Sized>(
    source: &S,
    facts: &Facts,
    below: Below<'_, S>,
    budget: u64,
) -> Result<Option<bool>> {
    let is_known = match &below {
        Below::Raw(_) => is_plain(facts),
        Below::Qcow2(_, other) => {
            is_plain(facts)
                && is_plain(other)
                && other.cluster_bits == facts.cluster_bits
                && other.virtual_size == facts.virtual_size
        }
    };
    if !is_known {
        return Ok(None);
    }
    let mut comparing = Comparing {
        source,
        facts,
        below,
        left: Cell::new(budget),
        ours: memory::zeros(usize::try_from(facts.cluster()).unwrap_or(usize::MAX))?,
        theirs: memory::zeros(usize::try_from(facts.cluster()).unwrap_or(usize::MAX))?,
    };
    let entries = u64::from(facts.l1.entries);
    for from in (0..entries).step_by(WINDOW) {
        let count = (WINDOW as u64).min(entries - from);
        if !comparing.take(count * size_of::<u64>() as u64) {
            return Ok(None);
        }
        let ours = l2_offsets(source, facts.l1, from, count)?;
        let theirs = match &comparing.below {
            Below::Raw(_) => vec![0; ours.len()],
            Below::Qcow2(other, facts) => l2_offsets(*other, facts.l1, from, count)?,
        };
        for ((place, ours), theirs) in (from..).zip(ours).zip(theirs) {
            if ours == 0 {
                continue;
            }
            match comparing.tables(place * facts.l2_entries(), ours, theirs)? {
                Some(true) => {}
                other => return Ok(other),
            }
        }
    }
    Ok(Some(true))
}

/// Whether each cluster is in the image as the guest sees it.
fn is_plain(facts: &Facts) -> bool {
    facts.encryption == Encryption::None && facts.incompatible_features == 0
}

struct Comparing<'a, S: ?Sized> {
    source: &'a S,
    facts: &'a Facts,
    below: Below<'a, S>,
    /// Bytes that may be looked at yet.
    left: Cell<u64>,
    /// Room for a cluster of each.
    ours: Vec<u8>,
    theirs: Vec<u8>,
}

impl<S: ReadAt + ?Sized> Comparing<'_, S> {
    /// Whether so many bytes may be looked at, too. A table that leads to others for ever ends here.
    fn take(&self, bytes: u64) -> bool {
        spend(&self.left, bytes).is_ok()
    }

    /// What two L2 tables lead to; the lower one may be missing.
    fn tables(&mut self, first: u64, ours: u64, theirs: u64) -> Result<Option<bool>> {
        if !self.take(self.facts.cluster()) {
            return Ok(None);
        }
        for from in (0..self.facts.l2_entries()).step_by(WINDOW) {
            let count = (WINDOW as u64).min(self.facts.l2_entries() - from);
            let upper = mappings(self.source, self.facts, ours, from, count)?;
            let lower = match &self.below {
                Below::Qcow2(other, facts) if theirs != 0 => {
                    mappings(*other, facts, theirs, from, count)?
                }
                _ => vec![Mapping::Nothing; upper.len()],
            };
            for ((place, upper), lower) in (first + from..).zip(upper).zip(lower) {
                match self.clusters(place * self.facts.cluster(), upper, lower)? {
                    Some(true) => {}
                    other => return Ok(other),
                }
            }
        }
        Ok(Some(true))
    }

    /// What a cluster of the guest's disk, which begins there, shows in both.
    fn clusters(&mut self, at: u64, upper: Mapping, lower: Mapping) -> Result<Option<bool>> {
        if upper == Mapping::Nothing {
            return Ok(Some(true));
        }
        let length = self.facts.virtual_size.saturating_sub(at);
        let length = length.min(self.facts.cluster());
        if !self.take(length) {
            return Ok(None);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let ours = self.ours.get_mut(..length).unwrap_or_default();
        let theirs = self.theirs.get_mut(..length).unwrap_or_default();
        match upper {
            Mapping::Zeros(_) => ours.fill(0),
            Mapping::Cluster(offset) => read(self.source, offset, ours)?,
            Mapping::Nothing | Mapping::Compressed(..) => return Ok(None),
        }
        match (&self.below, lower) {
            (Below::Raw(disk), _) => read(*disk, at, theirs)?,
            (Below::Qcow2(..), Mapping::Zeros(_)) => theirs.fill(0),
            (Below::Qcow2(_, facts), Mapping::Nothing) if facts.backing_file.is_none() => {
                theirs.fill(0);
            }
            (Below::Qcow2(disk, _), Mapping::Cluster(offset)) => read(*disk, offset, theirs)?,
            (Below::Qcow2(..), Mapping::Nothing | Mapping::Compressed(..)) => return Ok(None),
        }
        Ok(Some(ours == theirs))
    }
}

/// Fills the buffer; behind the end of the file are zeros.
fn read<S: ReadAt + ?Sized>(source: &S, offset: u64, buffer: &mut [u8]) -> Result<()> {
    let length = fill_what_is_there(source, offset, buffer)?;
    buffer.get_mut(length..).unwrap_or_default().fill(0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;
    use std::path::Path;
    use std::process::Command;

    use proptest::prelude::*;

    use super::super::ImageFile;
    use super::{Below, is_shown_below};

    const CLUSTER: u64 = 64 << 10;

    fn run(program: &str, directory: &Path, arguments: &[&str]) -> bool {
        let mut command = Command::new(program);
        let output = command.current_dir(directory).args(arguments).output();
        output
            .expect("these tests need QEMU's programs")
            .status
            .success()
    }

    fn must(program: &str, directory: &Path, arguments: &[&str]) {
        assert!(
            run(program, directory, arguments),
            "{program} {arguments:?}"
        );
    }

    fn shown(directory: &Path, format: &str) -> Option<bool> {
        let (top, base) = (
            ImageFile::open(&directory.join("top")).unwrap(),
            ImageFile::open(&directory.join("base")).unwrap(),
        );
        let below = (format == "qcow2").then(|| base.facts().unwrap());
        top.is_shown_below(&top.facts().unwrap(), &base, below.as_ref())
            .unwrap()
    }

    /// Two images of six clusters, the last one cut off, and the program's word.
    fn overlay(directory: &Path, format: &str, options: &str) {
        must(
            "qemu-img",
            directory,
            &["create", "-q", "-f", format, "base", "350K"],
        );
        let top = [
            "create", "-q", "-f", "qcow2", "-F", format, "-b", "base", "-o", options, "top",
        ];
        must("qemu-img", directory, &top);
    }

    /// Writes the overlay down into the image below it, and keeps what it has.
    fn commit(directory: &Path) {
        must(
            "qemu-img",
            directory,
            &["commit", "-q", "-d", "-f", "qcow2", "top"],
        );
    }

    fn is_same(directory: &Path, format: &str) -> bool {
        run(
            "qemu-img",
            directory,
            &["compare", "-q", "-f", "qcow2", "-F", format, "top", "base"],
        )
    }

    fn write(directory: &Path, format: &str, image: &str, commands: &[impl AsRef<str>]) {
        let mut arguments = vec!["-f", format];
        arguments.extend(commands.iter().flat_map(|command| ["-c", command.as_ref()]));
        arguments.push(image);
        must("qemu-io", directory, &arguments);
    }

    /// Bytes or zeros, somewhere.
    fn command() -> impl Strategy<Value = String> {
        let place = (0..7_u64, 1..3_u64).prop_map(|(at, count)| {
            let (at, end) = (at * CLUSTER / 2, (at + count) * CLUSTER / 2);
            format!("{at} {}", end.min(350 << 10) - at)
        });
        (0..3, place).prop_map(|(what, place)| match what {
            0 => format!("write -q -z {place}"),
            what => format!("write -q -P {} {place}", what - 1),
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        // The oracle is `qemu-img compare`.
        #[test]
        fn what_is_shown_below_is_what_qemu_img_finds(
            is_raw: bool,
            below in proptest::collection::vec(command(), 0..4),
            above in proptest::collection::vec(command(), 1..4),
            then_below in proptest::collection::vec(command(), 0..2),
            is_committed: bool,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let directory = directory.path();
            let format = if is_raw { "raw" } else { "qcow2" };
            overlay(directory, format, "compat=1.1");
            if !below.is_empty() {
                write(directory, format, "base", &below);
            }
            write(directory, "qcow2", "top", &above);
            if is_committed {
                commit(directory);
                prop_assert_eq!(shown(directory, format), Some(true));
            }
            if !then_below.is_empty() {
                write(directory, format, "base", &then_below);
            }
            prop_assert_eq!(shown(directory, format), Some(is_same(directory, format)));
        }
    }

    #[test]
    fn one_byte_is_a_difference() {
        for format in ["raw", "qcow2"] {
            let directory = tempfile::tempdir().unwrap();
            let directory = directory.path();
            overlay(directory, format, "compat=1.1");
            write(directory, "qcow2", "top", &["write -q -P 7 0 350K"]);
            commit(directory);
            assert_eq!(shown(directory, format), Some(true));
            write(
                directory,
                format,
                "base",
                &[format!("write -q -P 8 {} 512", (350 << 10) - 512)],
            );
            assert_eq!(shown(directory, format), Some(false));
        }
    }

    #[test]
    fn what_only_qemu_reads_is_not_told() {
        for options in [
            "extended_l2=on",
            "data_file=data",
            "cluster_size=4k",
            "compression_type=zstd",
        ] {
            let directory = tempfile::tempdir().unwrap();
            let directory = directory.path();
            overlay(directory, "qcow2", options);
            write(directory, "qcow2", "top", &["write -q -P 7 0 128K"]);
            assert_eq!(shown(directory, "qcow2"), None, "{options}");
        }
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        overlay(directory, "qcow2", "compat=1.1");
        write(directory, "qcow2", "top", &["write -q -c -P 7 0 64K"]);
        assert_eq!(shown(directory, "qcow2"), None, "compressed");
    }

    #[test]
    fn what_shows_through_from_further_below_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        must(
            "qemu-img",
            directory,
            &["create", "-q", "-f", "qcow2", "lowest", "350K"],
        );
        for (image, below) in [("base", "lowest"), ("top", "base")] {
            let arguments = [
                "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, image,
            ];
            must("qemu-img", directory, &arguments);
        }
        write(directory, "qcow2", "lowest", &["write -q -P 7 0 64K"]);
        write(directory, "qcow2", "top", &["write -q -z 0 64K"]);
        assert_eq!(shown(directory, "qcow2"), None);
    }

    #[test]
    fn a_raw_image_of_another_size_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        overlay(directory, "raw", "compat=1.1");
        let base = OpenOptions::new()
            .write(true)
            .open(directory.join("base"))
            .unwrap();
        base.write_all_at(&[7], 350 << 10).unwrap();
        assert_eq!(shown(directory, "raw"), None);
    }

    #[test]
    fn what_takes_too_long_is_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        overlay(directory, "qcow2", "compat=1.1");
        write(directory, "qcow2", "top", &["write -q -P 7 0 128K"]);
        commit(directory);
        let (top, base) = (
            ImageFile::open(&directory.join("top")).unwrap(),
            ImageFile::open(&directory.join("base")).unwrap(),
        );
        let (facts, below) = (top.facts().unwrap(), base.facts().unwrap());
        // The one entry of the L1 table, one L2 table, two clusters.
        let all = 8 + 3 * CLUSTER;
        for (budget, told) in [(all, Some(true)), (all - 1, None), (0, None)] {
            let below = Below::Qcow2(&base.file, &below);
            let found = is_shown_below(&top.file, &facts, below, budget).unwrap();
            assert_eq!(found, told, "{budget}");
        }
    }
}
