//! Completes a snapshot's disks against the domain's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::definitions::Definitions;
use super::disk::image_path;
use super::document::Kind;
use super::domain::{DomainDisk, DomainFacts};
use super::element;
use crate::error::{Error, Result};
use crate::snapshot::{Disk, DiskMode, ExternalImage, Snapshot};

/// Whether disks may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Participation {
    /// Every disk must take part with the default mode (libvirt's "uniform").
    Uniform,
    /// As [`Participation::Uniform`], but for disks that the snapshot lists with another mode.
    Listed,
    /// Each disk as it says.
    Individual,
}

/// Makes `snapshot.disks` one entry a domain disk, in the domain's order, by target, with a mode;
/// external disks without a path get a generated one.
///
/// `is_regular_file` says whether the path is one (links followed); it is asked for sources of
/// disks whose external name has to be generated. After an error the snapshot is as it was.
pub fn align(
    snapshot: &mut Snapshot,
    domain: &DomainFacts,
    default: DiskMode,
    participation: Participation,
    is_regular_file: &dyn Fn(&str) -> bool,
) -> Result<()> {
    if snapshot.disks.len() > domain.disks.len() {
        return Err(Error::TooManyDisks);
    }
    let names = Names::of(&domain.disks);
    let mut listed: HashMap<usize, Disk> = HashMap::with_capacity(snapshot.disks.len());
    for disk in snapshot.disks.iter() {
        let missing = || Error::NoSuchDisk {
            disk: disk.name.to_string(),
        };
        let index = names.find(&disk.name).ok_or_else(missing)?;
        let domain_disk = domain.disks.get(index).ok_or_else(missing)?;
        match listed.entry(index) {
            Entry::Occupied(_) => {
                return Err(Error::DiskTwice {
                    disk: disk.name.to_string(),
                });
            }
            Entry::Vacant(entry) => {
                entry.insert(complete(disk, domain_disk, default, participation)?);
            }
        }
    }
    let mut aligned: Vec<Disk> = domain
        .disks
        .iter()
        .enumerate()
        .map(|(index, disk)| {
            listed
                .remove(&index)
                .unwrap_or_else(|| unlisted(disk, default))
        })
        .collect();
    generate_names(&mut aligned, &domain.disks, &snapshot.name, is_regular_file)?;
    snapshot.disks = aligned.into();
    Ok(())
}

/// How a snapshot may call the domain's disks.
struct Names<'a> {
    targets: HashMap<&'a str, usize>,
    /// `None` where two disks have one source: it names neither.
    sources: HashMap<&'a str, Option<usize>>,
}

impl<'a> Names<'a> {
    fn of(disks: &'a [DomainDisk]) -> Names<'a> {
        let mut sources: HashMap<&str, Option<usize>> = HashMap::with_capacity(disks.len());
        for (index, source) in disks
            .iter()
            .enumerate()
            .filter_map(|(index, disk)| Some((index, disk.source.as_deref()?)))
        {
            sources
                .entry(source)
                .and_modify(|twice| *twice = None)
                .or_insert(Some(index));
        }
        let targets = disks
            .iter()
            .enumerate()
            .map(|(index, disk)| (disk.target.as_str(), index))
            .collect();
        Names { targets, sources }
    }

    fn find(&self, name: &str) -> Option<usize> {
        if name.starts_with('/') {
            self.sources.get(name).copied().flatten()
        } else {
            self.targets.get(name).copied()
        }
    }
}

/// A disk that the snapshot lists.
fn complete(
    disk: &Disk,
    domain_disk: &DomainDisk,
    default: DiskMode,
    participation: Participation,
) -> Result<Disk> {
    let uniform = participation != Participation::Individual;
    let mode = match (disk.mode, domain_disk.snapshot) {
        (None, Some(own)) if !uniform || own == DiskMode::No => own,
        (None, _) => default,
        (Some(mode), own) => {
            let left_out = mode == DiskMode::No && own == Some(DiskMode::No);
            if participation == Participation::Uniform && mode != default && !left_out {
                return Err(Error::DiskMode {
                    disk: disk.name.to_string(),
                    mode: default.word(),
                });
            }
            mode
        }
    };
    let path = disk.image.as_deref().and_then(path_of);
    if let Some(path) = path.filter(|_| mode != DiskMode::External) {
        return Err(Error::DiskFileUnexpected {
            path,
            disk: disk.name.to_string(),
        });
    }
    let image = disk
        .image
        .clone()
        .filter(|image| mode == DiskMode::External || image.format.is_some());
    Ok(Disk {
        name: domain_disk.target.as_str().into(),
        mode: Some(mode),
        image,
        delete_in_progress: disk.delete_in_progress,
    })
}

/// What libvirt takes for an image's path: the local one, or the name of a remote one.
fn path_of(image: &ExternalImage) -> Option<String> {
    if let Some(path) = &image.path {
        return Some(path.to_string());
    }
    let source = image.source.as_deref()?;
    let document = element::read(source, Kind::Snapshot, &Definitions::default()).ok()?;
    image_path(document.root(), &image.source_type).map(str::to_owned)
}

/// A disk that the snapshot does not list.
fn unlisted(domain_disk: &DomainDisk, default: DiskMode) -> Disk {
    let mode = if domain_disk.is_empty_drive() {
        DiskMode::No
    } else {
        domain_disk.snapshot.unwrap_or(default)
    };
    Disk {
        name: domain_disk.target.as_str().into(),
        mode: Some(mode),
        image: None,
        delete_in_progress: false,
    }
}

/// Gives each external disk without a path one.
fn generate_names(
    disks: &mut [Disk],
    domain_disks: &[DomainDisk],
    snapshot: &str,
    is_regular_file: &dyn Fn(&str) -> bool,
) -> Result<()> {
    let mut taken: HashMap<String, Box<str>> = HashMap::new();
    for (disk, domain_disk) in disks.iter_mut().zip(domain_disks) {
        if disk.mode != Some(DiskMode::External) {
            continue;
        }
        let given = disk.image.as_deref().and_then(path_of);
        let path = match given {
            Some(path) => path,
            None => {
                let path = generated(disk, domain_disk, snapshot, is_regular_file)?;
                if let Some(other) = taken.get(&path) {
                    return Err(Error::GenerateCollision {
                        disk: disk.name.to_string(),
                        other: other.to_string(),
                    });
                }
                let image = disk.image.get_or_insert_default();
                image.source_type = "file".into();
                image.path = Some(path.as_str().into());
                path
            }
        };
        taken.entry(path).or_insert_with(|| disk.name.clone());
    }
    Ok(())
}

/// The path of a new image: the domain disk's, with the snapshot's name for an extension.
fn generated(
    disk: &Disk,
    domain_disk: &DomainDisk,
    snapshot: &str,
    is_regular_file: &dyn Fn(&str) -> bool,
) -> Result<String> {
    let kind = disk
        .image
        .as_ref()
        .map_or("file", |image| &image.source_type);
    let name = disk.name.to_string();
    if !matches!(kind, "" | "file") {
        return Err(Error::GenerateOnDevice {
            disk: name,
            kind: kind.to_owned(),
        });
    }
    if domain_disk.is_empty_drive() {
        return Err(Error::GenerateWithoutSource { disk: name });
    }
    match domain_disk.source.as_deref() {
        Some(source) if is_regular_file(source) => {
            let path = format!("{}.{snapshot}", stem(source));
            // A document that gives such a path is refused, also when it is loaded again.
            if path.starts_with('/') {
                Ok(path)
            } else {
                Err(Error::DiskPathRelative { path })
            }
        }
        _ => Err(Error::GenerateNotRegular { disk: name }),
    }
}

/// A path without the extension of its last component.
fn stem(path: &str) -> &str {
    match path.rsplit_once('.') {
        Some((stem, extension)) if !extension.contains('/') => stem,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{Memory, State};

    fn domain_disk(target: &str, source: &str, snapshot: Option<DiskMode>) -> DomainDisk {
        DomainDisk {
            target: target.into(),
            device: "disk".into(),
            source_type: "file".into(),
            protocol: None,
            source: Some(source.to_owned()).filter(|source| !source.is_empty()),
            format: None,
            read_only: false,
            shareable: false,
            transient: false,
            snapshot,
        }
    }

    /// The domain that libvirt was asked about.
    fn domain() -> DomainFacts {
        let network = DomainDisk {
            source_type: "network".into(),
            ..domain_disk("vdc", "", None)
        };
        let device = DomainDisk {
            source_type: "block".into(),
            ..domain_disk("vdd", "/dev/x", None)
        };
        let disks = vec![
            domain_disk("vda", "/d/r1.img", None),
            domain_disk("vdb", "/d/r1.qcow2", None),
            network,
            device,
            domain_disk("vde", "/d/r2.raw", Some(DiskMode::Internal)),
            domain_disk("vdf", "/d/r3.raw", Some(DiskMode::Manual)),
            domain_disk("vdg", "/d/r3.raw", None),
            domain_disk("hda", "/d/r3.iso", Some(DiskMode::No)),
            domain_disk("hdb", "", Some(DiskMode::External)),
        ];
        DomainFacts {
            name: "n".into(),
            uuid: None,
            disks,
            pflash: false,
            nvram: None,
            tpm: None,
        }
    }

    const OTHERS_LEFT_OUT: &str = "<disk name='vdb' snapshot='no'/><disk name='vdc' snapshot='no'/>\
        <disk name='vdd' snapshot='no'/><disk name='vdf' snapshot='no'/><disk name='vdg' snapshot='no'/>";

    fn listing(disks: &str) -> Snapshot {
        let text = format!(
            "<domainsnapshot><name>q</name><state>shutoff</state><creationTime>5</creationTime>\
             <disks>{disks}</disks></domainsnapshot>"
        );
        super::super::parse(&text, super::super::Mode::Redefine)
            .expect("good")
            .snapshot
    }

    /// The aligned disks as `target=mode[:path]`, or the refusal.
    fn aligned(disks: &str, default: DiskMode) -> String {
        let participation = match default {
            DiskMode::Internal => Participation::Uniform,
            _ => Participation::Individual,
        };
        let mut snapshot = listing(disks);
        let before = snapshot.clone();
        let is_file = |path: &str| path.starts_with("/d/r") && path != "/d/r3.iso";
        match align(&mut snapshot, &domain(), default, participation, &is_file) {
            Ok(()) => {
                let word = |disk: &Disk| {
                    let path = disk.image.as_ref().and_then(|image| image.path.as_deref());
                    let path = path.map(|path| format!(":{path}")).unwrap_or_default();
                    format!("{}={}{path}", disk.name, disk.mode.expect("chosen").word())
                };
                snapshot
                    .disks
                    .iter()
                    .map(word)
                    .collect::<Vec<_>>()
                    .join(" ")
            }
            Err(error) => {
                assert_eq!(
                    snapshot, before,
                    "a failed call leaves everything as it was"
                );
                error.to_string()
            }
        }
    }

    // libvirt 9.0.0's answers, redefining a disk-snapshot with the same domain and disks.
    #[test]
    fn disks_of_an_external_snapshot_are_completed() {
        let with_rest = |first: &str| format!("{first}{OTHERS_LEFT_OUT}");
        let rest = "vdb=no vdc=no vdd=no vde=internal vdf=no vdg=no hda=no hdb=no";
        for (disks, expected) in [
            (
                "<disk name='vda'/>".into(),
                "cannot generate external snapshot name for disk 'vdb': collision with disk 'vda'".to_owned(),
            ),
            (
                "<disk name='vda'/><disk name='vdb' snapshot='no'/>".into(),
                "source for disk 'vdc' is not a regular file; refusing to generate external snapshot name".into(),
            ),
            (with_rest("<disk name='/d/r1.img'/>"), format!("vda=external:/d/r1.q {rest}")),
            (
                with_rest("<disk name='vda'/><disk name='vde'/><disk name='hda'/><disk name='hdb'/>"),
                "cannot generate external snapshot name for disk 'hdb' without source".into(),
            ),
            (
                with_rest("<disk name='vda' snapshot='no'/><disk name='hda' snapshot='external'/>"),
                "source for disk 'hda' is not a regular file; refusing to generate external snapshot name".into(),
            ),
            ("<disk name='/d/r3.raw' snapshot='no'/>".into(), "no disk named '/d/r3.raw'".into()),
            ("<disk name='r1' snapshot='no'/>".into(), "no disk named 'r1'".into()),
            (
                with_rest("<disk name='vda' snapshot='no'><source file='/x'/></disk>"),
                "file '/x' for disk 'vda' requires use of external snapshot mode".into(),
            ),
            (
                with_rest("<disk name='vda' snapshot='no' type='network'><source protocol='nbd' name='ee'><host name='h'/></source></disk>"),
                "file 'ee' for disk 'vda' requires use of external snapshot mode".into(),
            ),
            (
                with_rest("<disk name='vda' snapshot='external' type='network'><source protocol='nbd'/></disk>"),
                "cannot generate external snapshot name for disk 'vda' on a 'network' device".into(),
            ),
            (
                with_rest("<disk name='vda' snapshot='external' type='block'><source file='/x'/></disk>"),
                "cannot generate external snapshot name for disk 'vda' on a 'block' device".into(),
            ),
            (
                with_rest("<disk name='vda'><source file='/d/r2.q'/></disk><disk name='vde' snapshot='external'/>"),
                "cannot generate external snapshot name for disk 'vde': collision with disk 'vda'".into(),
            ),
            (
                with_rest("<disk name='vda' snapshot='internal'/>"),
                format!("vda=internal {rest}"),
            ),
        ] {
            assert_eq!(aligned(&disks, DiskMode::External), expected, "{disks}");
        }
    }

    // libvirt 9.0.0's answers, redefining a shutoff snapshot.
    #[test]
    fn disks_of_an_internal_snapshot_must_all_take_part() {
        let all = "vda=internal vdb=internal vdc=internal vdd=internal vde=internal vdf=manual vdg=internal hda=no hdb=no";
        for (disks, expected) in [
            ("<disk name='vda' snapshot='internal'/>", all),
            (
                "<disk name='hda' snapshot='no'/><disk name='vda' type='block'/>",
                all,
            ),
            (
                "<disk name='vda' snapshot='manual'/>",
                "disk 'vda' must use snapshot mode 'internal'",
            ),
            (
                "<disk name='vda' snapshot='no'/>",
                "disk 'vda' must use snapshot mode 'internal'",
            ),
            (
                "<disk name='vda'/><disk name='/d/r1.img'/>",
                "disk '/d/r1.img' specified twice",
            ),
            ("<disk name='vdz'/>", "no disk named 'vdz'"),
            ("<disk name=''/>", "no disk named ''"),
            (
                &"<disk name='vda'/>".repeat(10),
                "too many disk snapshot requests for domain",
            ),
        ] {
            assert_eq!(aligned(disks, DiskMode::Internal), expected, "{disks}");
        }
        // Listed without a mode, a disk loses the mode of the domain's disk unless that is `no`.
        let listed = aligned("<disk name='vdf'/><disk name='hda'/>", DiskMode::Internal);
        assert_eq!(listed, all.replace("vdf=manual", "vdf=internal"));
    }

    #[test]
    fn a_format_stays_with_a_disk_that_is_not_external() {
        let mut snapshot =
            listing("<disk name='vda' snapshot='internal'><driver type='qcow2'/></disk>");
        let facts = DomainFacts {
            disks: vec![domain_disk("vda", "/a", None)],
            ..domain()
        };
        align(
            &mut snapshot,
            &facts,
            DiskMode::External,
            Participation::Individual,
            &|_| true,
        )
        .expect("good");
        let image = snapshot.disks[0].image.as_deref().expect("kept");
        assert_eq!(
            (image.format.as_deref(), image.path.as_deref()),
            (Some("qcow2"), None)
        );
        assert_eq!(
            (snapshot.state, snapshot.memory),
            (State::Shutoff, Some(Memory::None))
        );
    }

    #[test]
    fn a_generated_name_replaces_the_last_extension_only() {
        for (source, expected) in [
            ("/a.tar.gz", "/a.tar.N"),
            ("/noext", "/noext.N"),
            ("/x.d/img", "/x.d/img.N"),
            ("/.hid", "/.N"),
            ("/a.e1", "/a.N"),
        ] {
            let mut snapshot = Snapshot {
                name: "N".into(),
                ..listing("")
            };
            let facts = DomainFacts {
                disks: vec![domain_disk("vda", source, None)],
                ..domain()
            };
            align(
                &mut snapshot,
                &facts,
                DiskMode::External,
                Participation::Individual,
                &|_| true,
            )
            .expect("good");
            let image = snapshot.disks[0].image.as_deref().expect("generated");
            assert_eq!(image.path.as_deref(), Some(expected));
            assert_eq!(&*image.source_type, "file");
        }
    }

    #[test]
    fn a_generated_name_that_could_not_be_loaded_again_is_refused() {
        let mut snapshot = Snapshot {
            name: "N".into(),
            ..listing("")
        };
        let facts = DomainFacts {
            disks: vec![domain_disk("vda", "there/a.qcow2", None)],
            ..domain()
        };
        let answer = align(
            &mut snapshot,
            &facts,
            DiskMode::External,
            Participation::Individual,
            &|_| true,
        );
        let error = answer.expect_err("relative").to_string();
        assert_eq!(
            error,
            "disk snapshot image path 'there/a.N' must be absolute"
        );
    }

    #[test]
    fn a_domain_without_disks_needs_nothing() {
        let mut snapshot = listing("");
        let facts = DomainFacts {
            disks: vec![],
            ..domain()
        };
        align(
            &mut snapshot,
            &facts,
            DiskMode::Internal,
            Participation::Uniform,
            &|_| false,
        )
        .expect("good");
        assert!(snapshot.disks.is_empty());
    }
}
