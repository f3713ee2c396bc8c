use super::*;
use crate::error::Error;
use crate::fuzzing::simulated_domain;
use crate::memory;
use crate::ops::{CreateFlags, Domain, ListFlags, ProblemKind, RedefineRules};
use crate::store::disk::Disk;
use crate::xml;

const UUID: [u8; 16] = [7; 16];

const MARK: Mark = Mark {
    device: 1,
    inode: 2,
    size: 3,
    modified_ns: 4,
    changed_ns: 5,
};

const DEFINITION: &str = "<domain type='qemu'><name>d</name>\
    <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><os><type>hvm</type></os></domain>";

/// With everything that a snapshot can have.
fn full(name: &str) -> Snapshot {
    let text = format!(
        "<domainsnapshot><name>{name}</name><description>a &lt;b&gt;</description>\
         <state>running</state><parent><name>p</name></parent><creationTime>-9</creationTime>\
         <memory snapshot='external' file='/m'/><disks>\
         <disk name='vda' snapshot='external' type='file'><driver type='qcow2'>\
         <metadata_cache><max_size unit='bytes'>9</max_size></metadata_cache></driver>\
         <source file='/a.1'/></disk>\
         <disk name='vdb' snapshot='external' type='network'><source protocol='nbd' name='x'>\
         <host name='h'/></source></disk><disk name='vdc' snapshot='no'/></disks>\
         <revertDisks><disk name='vda' snapshot='external' type='file'><source file='/a.2'/></disk>\
         </revertDisks>{DEFINITION}<inactiveDomain type='qemu'><name>d</name></inactiveDomain>\
         <cookie><x/></cookie><ours y='z'/><active>1</active></domainsnapshot>"
    );
    xml::parse(&text, xml::Mode::Load).unwrap().snapshot
}

/// With nothing that it need not have.
fn bare(name: &str) -> Snapshot {
    let text = format!(
        "<domainsnapshot><name>{name}</name><state>shutoff</state><creationTime>7</creationTime>\
         <active>0</active></domainsnapshot>"
    );
    xml::parse(&text, xml::Mode::Load).unwrap().snapshot
}

fn loaded(snapshot: Snapshot, active: bool, mark: Option<Mark>) -> Loaded {
    Loaded {
        snapshot: Arc::new(snapshot),
        active,
        mark,
    }
}

/// More than the reserve has room for.
fn large() -> Vec<Loaded> {
    let each = |number: usize| {
        let text = format!(
            "<domain type='qemu'><name>{number}</name>{}</domain>",
            " ".repeat(8192)
        );
        let snapshot = Snapshot {
            domain: Some(text.into()),
            ..bare(&format!("s{number:05}"))
        };
        loaded(snapshot, false, Some(MARK))
    };
    let all: Vec<_> = (0..2_000).map(each).collect();
    assert!(all.len() * 8192 > limits::MEMORY_RESERVE_BYTES);
    all
}

#[test]
fn without_memory_there_is_no_summary_and_that_is_nobodys_failure() {
    let all = large();
    let bytes = pack(&UUID, &all).unwrap();
    let mut known = Definitions::default();
    assert!(Summary::open(bytes.clone(), &UUID, &mut known).is_some());
    let ((packed, opened), reserved) = memory::testing::without_memory(|| {
        let packed = pack(&UUID, &all);
        assert!(!memory::was_refused());
        let opened = Summary::open(bytes, &UUID, &mut Definitions::default());
        assert!(!memory::was_refused());
        (packed.is_some(), opened.is_some())
    });
    assert!(!packed && !opened);
    assert!(reserved < limits::MEMORY_RESERVE_BYTES / 4, "{reserved}");
}

#[test]
fn what_is_too_large_for_a_summary_has_none() {
    let text: Arc<str> = " ".repeat(limits::STATE_FILE_BYTES).into();
    let each = |number: usize| {
        let snapshot = Snapshot {
            description: Some((*text).into()),
            ..bare(&format!("s{number:05}"))
        };
        loaded(snapshot, false, Some(MARK))
    };
    let fits = limits::SUMMARY_BYTES / limits::STATE_FILE_BYTES - 1;
    let mut all: Vec<_> = (0..fits).map(each).collect();
    assert!(pack(&UUID, &all).is_some());
    all.push(each(fits));
    assert!(pack(&UUID, &all).is_none());
}

#[test]
fn more_than_there_can_be_is_not_believed() {
    let with = |count: u32, texts: u32| {
        let mut body = Packed::default();
        body.text(VERSION);
        body.raw(&UUID);
        body.raw(&count.to_le_bytes());
        body.raw(&texts.to_le_bytes());
        for _ in 0..texts.min(100_000) {
            body.text("");
        }
        body.raw(&vec![0; LEAST_ENTRY * count.min(1_000) as usize]);
        let body = body.whole().unwrap();
        let bytes = [&MAGIC[..], &checksum(&body).to_le_bytes(), &body].concat();
        Summary::open(bytes, &UUID, &mut Definitions::default()).is_some()
    };
    assert!(with(0, 0));
    assert!(!with(0, 1) && !with(u32::MAX, 0) && !with(1_000, u32::MAX));
    assert!(with(100, 300) && !with(100, 301));
}

fn packed() -> Vec<u8> {
    let unmarked = loaded(bare("c"), false, None);
    let all = [
        loaded(full("a"), true, Some(MARK)),
        loaded(bare("b"), false, Some(MARK)),
        unmarked,
        loaded(full("e"), false, Some(MARK)),
    ];
    pack(&UUID, &all).unwrap()
}

fn open(bytes: Vec<u8>) -> Option<Summary> {
    Summary::open(bytes, &UUID, &mut Definitions::default())
}

#[test]
fn what_was_kept_comes_back() {
    let mut summary = open(packed()).unwrap();
    assert_eq!(summary.count(), 3);
    for _ in 0..2 {
        let a = summary.find("a", || Some(MARK)).unwrap();
        assert_eq!(
            (&*a.snapshot, a.active, a.mark),
            (&full("a"), true, Some(MARK))
        );
        assert!(summary.find("aa", || Some(MARK)).is_none());
        // It was not kept: its mark was none.
        assert!(summary.find("c", || Some(MARK)).is_none());
        let e = summary.find("e", || Some(MARK)).unwrap();
        assert_eq!((&*e.snapshot, e.active), (&full("e"), false));
        assert!(summary.find("f", || Some(MARK)).is_none());
        summary.restart();
    }
    let b = summary.find("b", || Some(MARK)).unwrap();
    assert_eq!(*b.snapshot, bare("b"));
}

#[test]
fn equal_definitions_are_one_again() {
    let definition: Arc<str> = DEFINITION.into();
    let with = |name| {
        let domain = Some(Arc::clone(&definition));
        let snapshot = Snapshot {
            domain,
            ..bare(name)
        };
        loaded(snapshot, false, Some(MARK))
    };
    let bytes = pack(&UUID, &[with("a"), with("b")]).unwrap();
    let count = bytes
        .windows(DEFINITION.len())
        .filter(|at| *at == DEFINITION.as_bytes())
        .count();
    assert_eq!(count, 1);
    let mut known = Definitions::default();
    let mut summary = Summary::open(bytes, &UUID, &mut known).unwrap();
    let mut domain_of = |name| {
        summary
            .find(name, || Some(MARK))
            .unwrap()
            .snapshot
            .domain
            .clone()
            .unwrap()
    };
    let (a, b) = (domain_of("a"), domain_of("b"));
    assert!(Arc::ptr_eq(&a, &b));
    // The next document that is read has it, too.
    assert!(Arc::ptr_eq(&a, &known.shared(DEFINITION)));
}

#[test]
fn any_other_mark_is_another_document() {
    let others = [
        Mark { device: 9, ..MARK },
        Mark { inode: 9, ..MARK },
        Mark { size: 9, ..MARK },
        Mark {
            modified_ns: 9,
            ..MARK
        },
        Mark {
            changed_ns: 9,
            ..MARK
        },
    ];
    for other in others {
        let mut summary = open(packed()).unwrap();
        assert!(summary.find("a", || Some(other)).is_none(), "{other:?}");
        assert!(summary.find("b", || Some(MARK)).is_some());
    }
    let mut summary = open(packed()).unwrap();
    assert!(summary.find("a", || None).is_none());
    // One that it does not have is not looked at.
    assert!(summary.find("c", || unreachable!()).is_none());
}

#[test]
fn a_summary_that_is_torn_or_garbled_is_none() {
    let whole = packed();
    assert!(open(whole.clone()).is_some());
    for length in 0..whole.len() {
        assert!(open(whole[..length].to_vec()).is_none(), "cut at {length}");
        let zeros = vec![0; whole.len() - length];
        assert!(
            open([&whole[..length], &zeros].concat()).is_none(),
            "zeros from {length}"
        );
        for bit in 0..8 {
            let mut other = whole.clone();
            other[length] ^= 1 << bit;
            assert!(open(other).is_none(), "bit {bit} of byte {length}");
        }
    }
    assert!(open([&whole[..], b"x"].concat()).is_none());
    let (mut swapped, at) = (whole.clone(), MAGIC.len() + 16);
    swapped.swap(at, at + 8);
    swapped.swap(at + 1, at + 9);
    assert!(swapped == whole || open(swapped).is_none());
}

/// With the checksum of what it says.
fn sealed(body: &[u8]) -> Vec<u8> {
    [MAGIC.as_slice(), &checksum(body).to_le_bytes(), body].concat()
}

#[test]
fn a_summary_of_another_version_or_domain_is_none() {
    let body = packed().split_off(MAGIC.len() + 8);
    assert!(open(sealed(&body)).is_some());
    let mut later = body.clone();
    later[4] += 1;
    assert!(open(sealed(&later)).is_none());
    let mut known = Definitions::default();
    assert!(Summary::open(packed(), &[8; 16], &mut known).is_none());
}

/// Nobody writes such a thing; who does must not be believed more than is there.
#[test]
fn a_sealed_summary_with_nonsense_in_it_ends_where_that_begins() {
    let body = packed().split_off(MAGIC.len() + 8);
    for at in 0..body.len() {
        for byte in [0, 0x7f, 0xff] {
            let mut other = body.clone();
            other[at] = byte;
            if let Some(mut summary) = open(sealed(&other)) {
                for name in ["a", "b", "e"] {
                    let _ = summary.find(name, || Some(MARK));
                }
            }
        }
    }
}

fn document(name: &str) -> String {
    format!(
        "<domainsnapshot><name>{name}</name><state>shutoff</state><creationTime>9</creationTime>\
         {DEFINITION}<active>0</active></domainsnapshot>"
    )
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Where [`NAMES`] are stored and were loaded once, a while after they had been written.
fn summarized() -> Disk {
    let disk = Disk::new();
    disk.plant("domain/d.xml", DEFINITION.as_bytes());
    for name in NAMES {
        disk.plant(&format!("snapshot/d/{name}.xml"), document(name).as_bytes());
    }
    disk.pass_time();
    assert_eq!(names(&simulated_domain(&disk).unwrap()), NAMES);
    disk
}

fn names(domain: &Domain) -> Vec<String> {
    let found = domain.list(ListFlags::new(0, "test").unwrap()).unwrap();
    found.iter().map(|found| found.name.to_string()).collect()
}

fn unreadable(domain: &Domain) -> Vec<String> {
    let problems = domain.problems().unwrap().into_iter();
    let unreadable = problems.filter(|problem| problem.kind == ProblemKind::Unreadable);
    unreadable.map(|problem| problem.name).collect()
}

const KEPT: &str = "summary/d";

#[test]
fn a_document_that_has_not_changed_is_not_read() {
    let mut disk = summarized();
    assert!(disk.file(KEPT).is_some());
    disk.rot("snapshot/d/b.xml");
    let domain = simulated_domain(&disk).unwrap();
    assert_eq!(names(&domain), NAMES);
    assert_eq!(
        domain
            .snapshot_xml("b", true)
            .unwrap()
            .matches("<name>b</name>")
            .count(),
        1
    );
    // Who asks what is wrong is told, and from then on everybody sees it.
    assert_eq!(unreadable(&domain), ["b"]);
    assert_eq!(names(&domain), ["a", "c", "d"]);
    disk.restart();
    assert_eq!(names(&simulated_domain(&disk).unwrap()), ["a", "c", "d"]);
}

#[test]
fn without_its_summary_a_domain_is_the_same() {
    for content in [None, Some("garbage"), Some("")] {
        let disk = summarized();
        disk.rot("snapshot/d/b.xml");
        disk.remove(KEPT);
        if let Some(content) = content {
            disk.plant(KEPT, content.as_bytes());
        }
        let domain = simulated_domain(&disk).unwrap();
        assert_eq!(names(&domain), ["a", "c", "d"], "{content:?}");
        assert_eq!(unreadable(&domain), ["b"], "{content:?}");
    }
}

#[test]
fn what_has_just_been_written_is_not_kept() {
    let disk = Disk::new();
    disk.plant("domain/d.xml", DEFINITION.as_bytes());
    for name in NAMES {
        disk.plant(&format!("snapshot/d/{name}.xml"), document(name).as_bytes());
    }
    assert_eq!(names(&simulated_domain(&disk).unwrap()), NAMES);
    assert_eq!(disk.file(KEPT), None);
    disk.pass_time();
    disk.plant("snapshot/d/e.xml", document("e").as_bytes());
    let five = ["a", "b", "c", "d", "e"];
    assert_eq!(names(&simulated_domain(&disk).unwrap()), five);
    let kept = Summary::open(
        disk.file(KEPT).unwrap(),
        simulated_domain(&disk).unwrap().uuid(),
        &mut Definitions::default(),
    );
    assert_eq!(kept.unwrap().count(), NAMES.len());
}

#[test]
fn a_change_is_seen_beside_a_summary() {
    let disk = summarized();
    let before = disk.file(KEPT);
    let domain = simulated_domain(&disk).unwrap();
    let text = document("c").replace(
        "<creationTime>9",
        "<description>new</description><creationTime>9",
    );
    let flags = CreateFlags::new(1, "test").unwrap();
    domain
        .create(&text, flags, RedefineRules::default())
        .unwrap();
    assert_eq!(disk.file(KEPT), before);
    let domain = simulated_domain(&disk).unwrap();
    assert_eq!(names(&domain), NAMES);
    assert!(
        domain
            .snapshot_xml("c", true)
            .unwrap()
            .contains("<description>new")
    );
    let error = domain.snapshot_xml("e", true).unwrap_err();
    assert!(matches!(error, Error::SnapshotMissing { .. }), "{error}");
}

#[test]
fn a_disk_that_refuses_the_summary_refuses_nothing_else() {
    let (mut unread, mut refused) = (0, 0);
    for call in 0..60 {
        let mut disk = summarized();
        disk.remove(KEPT);
        disk.restart();
        let domain = simulated_domain(&disk).unwrap();
        disk.fail_at(call, rustix::io::Errno::NOSPC);
        let Ok(found) = domain.list(ListFlags::new(0, "test").unwrap()) else {
            continue;
        };
        // A document that cannot be read is a problem, and is not the summary's.
        unread += usize::from(found.len() < NAMES.len());
        disk.restart();
        refused += usize::from(disk.file(KEPT).is_none());
        assert_eq!(names(&simulated_domain(&disk).unwrap()), NAMES);
        let left = disk
            .files()
            .into_keys()
            .filter(|path| path.ends_with(".summary"));
        assert_eq!(left.count(), 0, "refused at {call}");
    }
    assert_eq!(unread, NAMES.len());
    assert!(
        refused >= 4,
        "only {refused} calls of keeping it were refused"
    );
}
