//! A session with the `virt` crate, as a program in Rust uses libvirt: for test_rust.py.
//!
//! usage: `virsnap-by-virt URI DOMAIN DRIVER [IMAGE]`, where `DRIVER` is the error domain that the connection has

use std::process::Command;

use virt::connect::Connect;
use virt::domain::Domain;
use virt::domain_snapshot::DomainSnapshot;
use virt::error::{Error, ErrorDomain, ErrorNumber, clear_error_callback};
use virt::sys;

const REDEFINE: u32 = sys::VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE;
const CURRENT: u32 = sys::VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT;

/// What stands in for the guest: it writes a byte to its image, or reads which it is.
struct Guest(Option<String>);

impl Guest {
    fn writes(&self, byte: u8) {
        self.qemu_io(&format!("write -q -P {byte} 0 64k"));
    }

    fn reads(&self, byte: u8) {
        self.qemu_io(&format!("read -q -P {byte} 0 64k"));
    }

    fn qemu_io(&self, command: &str) {
        if let Self(Some(image)) = self {
            let done = Command::new("qemu-io")
                .args(["-c", command, image])
                .output()
                .expect("qemu-io");
            assert!(
                done.status.success() && done.stdout.is_empty(),
                "{command}: {done:?}"
            );
        }
    }
}

fn take(domain: &Domain, name: &str) -> DomainSnapshot {
    let xml = format!(
        "<domainsnapshot><name>{name}</name><description>&lt;{name}&gt;</description></domainsnapshot>"
    );
    DomainSnapshot::create_xml(domain, &xml, 0).expect("create")
}

fn names(snapshots: Result<Vec<DomainSnapshot>, Error>) -> Vec<String> {
    let mut names: Vec<_> = snapshots
        .expect("list")
        .iter()
        .map(|one| one.get_name().expect("name"))
        .collect();
    names.sort();
    names
}

fn fails<T>(result: Result<T, Error>, code: ErrorNumber, domain: ErrorDomain, message: &str) {
    let error = result.err().expect("an error");
    assert_eq!(
        (error.code(), error.domain(), error.message()),
        (code, domain, message)
    );
}

fn main() {
    let words: Vec<_> = std::env::args().collect();
    let driver = match words[3].as_str() {
        "qemu" => ErrorDomain::Qemu,
        _ => ErrorDomain::Test,
    };
    let guest = Guest(words.get(4).cloned());
    clear_error_callback();
    let mut connection = Connect::open(Some(&words[1])).expect("open");
    let domain = Domain::lookup_by_name(&connection, &words[2]).expect("look-up");
    assert_eq!(DomainSnapshot::num(&domain, 0), Ok(0));

    guest.writes(0x11);
    let root = take(&domain, "r");
    guest.writes(0x22);
    let leaf = take(&domain, "a");
    guest.writes(0x33);
    assert_eq!(names(domain.list_all_snapshots(0)), ["a", "r"]);
    assert_eq!(
        names(domain.list_all_snapshots(sys::VIR_DOMAIN_SNAPSHOT_LIST_ROOTS)),
        ["r"]
    );
    assert_eq!(names(root.list_all_children(0)), ["a"]);
    assert_eq!((root.num_children(0), leaf.num_children(0)), (Ok(1), Ok(0)));
    assert_eq!(
        leaf.get_parent(0)
            .expect("parent")
            .get_name()
            .expect("name"),
        "r"
    );
    assert_eq!(
        (root.is_current(0), leaf.is_current(0), leaf.has_metadata(0)),
        (Ok(false), Ok(true), Ok(true))
    );
    let document = leaf
        .get_xml_desc(sys::VIR_DOMAIN_SNAPSHOT_XML_SECURE)
        .expect("document");
    assert!(
        document.contains("<description>&lt;a&gt;</description>"),
        "{document}"
    );
    assert!(
        document.contains("<parent>\n    <name>r</name>\n  </parent>"),
        "{document}"
    );

    root.revert(0).expect("revert");
    guest.reads(0x11);
    assert_eq!(
        DomainSnapshot::current(&domain, 0)
            .expect("current")
            .get_name()
            .expect("name"),
        "r"
    );
    leaf.revert(0).expect("revert");
    guest.reads(0x22);

    let missing = "Domain snapshot not found: no domain snapshot with matching name 'nope'";
    fails(
        DomainSnapshot::lookup_by_name(&domain, "nope", 0),
        ErrorNumber::NoDomainSnapshot,
        driver,
        missing,
    );
    fails(
        DomainSnapshot::create_xml(
            &domain,
            "<domainsnapshot><name>r</name></domainsnapshot>",
            0,
        ),
        ErrorNumber::OperationFailed,
        ErrorDomain::Domain,
        "operation failed: domain moment r already exists",
    );

    // Metadata goes and comes back; the data is what it was.
    if guest.0.is_some() {
        leaf.delete(sys::VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)
            .expect("forget");
        let again =
            DomainSnapshot::create_xml(&domain, &document, REDEFINE | CURRENT).expect("redefine");
        guest.writes(0x44);
        again.revert(0).expect("revert");
        guest.reads(0x22);
    }
    root.delete(sys::VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY)
        .expect("delete");
    assert_eq!(names(domain.list_all_snapshots(0)), ["r"]);
    drop((root, leaf, domain));
    assert_eq!(connection.close(), Ok(0), "all handles are given back");
    println!("everything holds");
}
