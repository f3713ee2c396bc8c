//! Documents that mean harm: each is taken or refused in bounded memory and time, and what is taken is
//! there again after the next start.
//!
//! Each document is read in a process of its own, whose peak of memory is looked at: 64 MiB, and
//! eight times the document. So is its time on a processor, which a busy machine makes little longer: 2 seconds,
//! and 2 for each MiB of the document, in a debug build. Rows: libvirt 9.0 under the same documents aborts, dies, takes minutes
//! or loses the snapshot at its next start (docs/security.md).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail like a test"
)]

use std::env;
use std::fs;
use std::process::Command;
use std::sync::Arc;

use proptest::prelude::*;
use virsnap::limits;
use virsnap::ops::{
    Access, Connection, CreateFlags, Domain, ListFlags, RedefineCheck, RedefineCurrent,
    RedefineRules,
};

const UUID: &str = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
const REDEFINE: u32 = 1;
const INPUT: &str = "VIRSNAP_TEST_HOSTILE";

fn definition(inside: &str) -> String {
    format!(
        "<domain type='qemu'><name>d</name><uuid>{UUID}</uuid><os><type>hvm</type></os>{inside}</domain>"
    )
}

/// A document for REDEFINE: a name, and whatever else it holds.
fn document(name: &str, rest: &str) -> String {
    with_definition(name, rest, &definition(""))
}

fn with_definition(name: &str, rest: &str, definition: &str) -> String {
    format!(
        "<domainsnapshot><name>{name}</name><state>shutoff</state>\
         <creationTime>5</creationTime>{rest}{definition}</domainsnapshot>"
    )
}

/// The documents here are of no images.
const RULES: RedefineRules = RedefineRules {
    current: RedefineCurrent::Parent,
    check: RedefineCheck::Trust,
};

fn open(state: &std::path::Path) -> Arc<Domain> {
    let uri = format!("virsnap://{}", state.display());
    let connection = Connection::open(&uri, Access::ReadWrite).unwrap();
    connection.define(&definition("")).unwrap()
}

fn redefine(domain: &Domain, xml: &str) -> Result<String, String> {
    let flags = CreateFlags::new(REDEFINE, "test").unwrap();
    domain
        .create(xml, flags, RULES)
        .map(|name| name.to_string())
        .map_err(|error| error.to_string())
}

fn names(domain: &Domain) -> Vec<String> {
    let names = domain.list(ListFlags::new(0, "test").unwrap()).unwrap();
    names.iter().map(ToString::to_string).collect()
}

/// What is expected of a document.
#[derive(Clone, Copy)]
enum Outcome {
    Taken,
    /// With words that the error has.
    Refused(&'static str),
}

struct Row {
    name: &'static str,
    document: fn() -> String,
    outcome: Outcome,
}

const fn taken(name: &'static str, document: fn() -> String) -> Row {
    Row {
        name,
        document,
        outcome: Outcome::Taken,
    }
}

const fn refused(name: &'static str, document: fn() -> String, words: &'static str) -> Row {
    Row {
        name,
        document,
        outcome: Outcome::Refused(words),
    }
}

fn entities() -> String {
    let mut laughs = "<!DOCTYPE d [<!ENTITY a0 'ha'>".to_owned();
    for level in 1..20 {
        let below = format!("&a{};", level - 1).repeat(10);
        laughs.push_str(&format!("<!ENTITY a{level} '{below}'>"));
    }
    laughs + "]>" + &document("s", "<description>&a19;</description>")
}

fn one_entity_often() -> String {
    let large = "x".repeat(100_000);
    let uses = "&a;".repeat(50_000);
    let inside = format!("<description>{uses}</description>");
    format!("<!DOCTYPE d [<!ENTITY a '{large}'>]>") + &document("s", &inside)
}

fn attributes(count: usize) -> String {
    let all: String = (0..count).map(|number| format!(" a{number}=''")).collect();
    document("s", &format!("<own{all}/>"))
}

fn nested(depth: usize) -> String {
    let inside = format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    document("s", &inside)
}

fn described(bytes: usize) -> String {
    document(
        "s",
        &format!("<description>{}</description>", "x".repeat(bytes)),
    )
}

fn named(bytes: usize) -> String {
    document(&"n".repeat(bytes), "")
}

fn disks(count: usize) -> String {
    let all: String = (0..count)
        .map(|number| format!("<disk name='v{number}'/>"))
        .collect();
    document("s", &format!("<disks>{all}</disks>"))
}

fn of_time(time: &str) -> String {
    document("s", "").replace(
        "<creationTime>5<",
        &format!("<creationTime>{time}</creationTime><creationTime>5<"),
    )
}

const SIZE: &str = "exceeds the limit of 4194304";
const ROWS: [Row; 42] = [
    refused("billion laughs", entities, "document type declaration"),
    refused(
        "one entity 50 000 times",
        one_entity_often,
        "document type declaration",
    ),
    refused(
        "external entity",
        || {
            "<!DOCTYPE d [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>".to_owned()
                + &document("s", "<description>&a;</description>")
        },
        "document type declaration",
    ),
    refused(
        "undeclared entity",
        || document("s", "<description>&a;</description>"),
        "unknown entity",
    ),
    taken("4294967295 CPUs", || {
        with_definition("s", "", &definition("<vcpu>4294967295</vcpu>"))
    }),
    taken("CPUs beyond any number", || {
        with_definition(
            "s",
            "",
            &definition(&format!("<vcpu>{}</vcpu>", "9".repeat(400))),
        )
    }),
    taken("256 attributes", || attributes(256)),
    refused(
        "257 attributes",
        || attributes(257),
        "attributes of an element exceeds the limit of 256",
    ),
    refused(
        "100 000 attributes",
        || attributes(100_000),
        "exceeds the limit of 256",
    ),
    taken("depth 256", || nested(255)),
    refused("depth 257", || nested(256), "depth"),
    refused("depth 100 000", || nested(100_000), "depth"),
    refused("depth 500 000", || nested(500_000), "depth"),
    taken("name of 247 bytes", || named(247)),
    refused("name of 248 bytes", || named(248), "too long"),
    refused("name of 300 bytes", || named(300), "too long"),
    refused("name of 1 MB", || named(1_000_000), "too long"),
    refused("name of 100 MB", || named(100_000_000), SIZE),
    taken("description of 1 MB", || described(1_000_000)),
    refused(
        "description of 1.1 MB",
        || described(1_100_000),
        "snapshot document exceeds",
    ),
    refused("description of 9 MB", || described(9_000_000), SIZE),
    refused("description of 100 MB", || described(100_000_000), SIZE),
    refused(
        "comment of 50 MB",
        || document("s", &format!("<!--{}-->", "x".repeat(50_000_000))),
        SIZE,
    ),
    refused("1 000 disks too many", || disks(1_000), "too many disk"),
    refused("100 000 disks", || disks(100_000), "number of elements"),
    refused(
        "200 000 elements",
        || document("s", &"<a/>".repeat(200_000)),
        "number of elements",
    ),
    refused("NUL", || document("s\0", ""), ""),
    refused("reference to NUL", || document("s&#0;", ""), ""),
    refused("reference to a surrogate", || document("s&#xd800;", ""), ""),
    refused(
        "reference beyond Unicode",
        || document("s&#x110000;", ""),
        "",
    ),
    refused("escape character", || document("s\u{1b}[31m", ""), ""),
    refused(
        "time of 10^22",
        || of_time("10000000000000000000000"),
        "creationTime",
    ),
    refused("hexadecimal time", || of_time("0x10"), "creationTime"),
    taken("time before 1970", || of_time("-5")),
    taken("two names, the first counts", || {
        document("s</name><name>t", "")
    }),
    taken("two definitions, the first counts", || {
        document("s", &definition("<title>other</title>"))
    }),
    refused(
        "its own parent",
        || document("s", "<parent><name>s</name></parent>"),
        "as its own parent",
    ),
    refused(
        "unknown parent",
        || document("s", "<parent><name>t</name></parent>"),
        "not found",
    ),
    refused(
        "another domain's UUID",
        || document("s", "").replace(UUID, "00000000-edaf-9455-926a-d65c16db1809"),
        "must use uuid",
    ),
    refused("another root", || definition(""), "domainsnapshot"),
    refused("two roots", || document("s", "") + "<a/>", ""),
    refused("no end", || "<domainsnapshot>".to_owned(), ""),
];

/// The other half of `a_document_is_taken_or_refused_in_bounded_memory_and_time`.
#[test]
fn child_that_reads_one_document() {
    let Ok(name) = env::var(INPUT) else {
        return;
    };
    let row = ROWS.iter().find(|row| row.name == name).unwrap();
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    let domain = open(&state);
    let xml = (row.document)();
    let result = redefine(&domain, &xml);
    match (&result, row.outcome) {
        (Ok(_), Outcome::Taken) => {}
        (Err(error), Outcome::Refused(words)) => {
            assert!(error.contains(words), "{error}");
        }
        (result, _) => panic!("{result:?}"),
    }
    let listed = names(&domain);
    drop(domain);
    let loaded = open(&state);
    assert_eq!(names(&loaded), listed, "after the next start");
    assert_eq!(listed.len(), usize::from(result.is_ok()));
    assert!(loaded.problems().unwrap().is_empty());
    let allowed = (64 << 20) + 8 * xml.len();
    let peak = peak_bytes();
    assert!(
        peak <= allowed,
        "{peak} bytes for a document of {}",
        xml.len()
    );
    let allowed = 2.0 + 2.0 * xml.len() as f64 / f64::from(1 << 20);
    let taken = processor_seconds();
    assert!(
        taken <= allowed,
        "{taken} seconds for a document of {}",
        xml.len()
    );
    println!("read with a peak of {peak} in {taken} seconds");
}

/// Time that this process has had, in itself and in the system. Source: proc(5), stat, fields 14 and
/// 15, in hundredths of a second (`USER_HZ`).
fn processor_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // The second field is the program's name in brackets.
    let rest = stat.rsplit_once(')').unwrap().1;
    let fields = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / 100.0
}

/// Most memory that this process ever had. Source: proc(5), VmHWM.
fn peak_bytes() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

#[test]
fn a_document_is_taken_or_refused_in_bounded_memory_and_time() {
    for row in &ROWS {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child_that_reads_one_document", "--nocapture"])
            .env(INPUT, row.name)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let is_done = output.status.success() && printed.contains("read with a peak of");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(is_done, "{}: {printed}{errors}", row.name);
        println!(
            "{}: {}",
            row.name,
            printed
                .lines()
                .find(|line| line.contains("peak"))
                .unwrap_or("")
        );
    }
}

/// In a snapshot the definition stands one level deeper than it was defined with.
#[test]
fn d34_a_definition_that_fits_alone_only_is_refused_before_anything_is_done() {
    let base = tempfile::tempdir().unwrap();
    let uri = format!("virsnap://{}", base.path().display());
    let connection = Connection::open(&uri, Access::ReadWrite).unwrap();
    let depth = limits::DOCUMENT_DEPTH - 1;
    let deepest = definition(&format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth)));
    let domain = connection.define(&deepest).unwrap();
    let error = redefine(&domain, &with_definition("s", "", &deepest)).unwrap_err();
    assert!(error.contains("depth"), "{error}");
    assert!(names(&domain).is_empty());
    let one_less = deepest.replacen("<a>", "", 1).replacen("</a>", "", 1);
    redefine(&domain, &with_definition("s", "", &one_less)).unwrap();
}

/// The number of elements is bounded too, and a missing UUID is one more.
#[test]
fn a_definition_that_outgrows_a_bound_by_its_uuid_is_refused() {
    let base = tempfile::tempdir().unwrap();
    let uri = format!("virsnap://{}", base.path().display());
    let connection = Connection::open(&uri, Access::ReadWrite).unwrap();
    let bare = "<domain type='qemu'><name>d</name><os><type>hvm</type></os></domain>";
    let most = (0..12).rev().fold(0, |count, bit| {
        let more = count + (1 << bit);
        let with = bare.replace("</os>", &format!("</os>{}", "<a/>".repeat(197_000 + more)));
        if virsnap::xml::domain_facts(&with).is_ok() {
            more
        } else {
            count
        }
    });
    let full = bare.replace("</os>", &format!("</os>{}", "<a/>".repeat(197_000 + most)));
    assert!(connection.define(&full).is_err());
    assert!(connection.domains().unwrap().is_empty());
}

/// Else the parent could never be deleted: its children would not fit any more.
#[test]
fn a_document_of_any_accepted_size_can_get_the_longest_parent() {
    let base = tempfile::tempdir().unwrap();
    let state = base.path().join("state");
    let domain = open(&state);
    let quotes = "\"".repeat(limits::SNAPSHOT_NAME_BYTES);
    redefine(&domain, &document(&quotes.replace('"', "&quot;"), "")).unwrap();
    let parent = |name: &str| format!("<parent><name>{name}</name></parent>");
    redefine(&domain, &document("short", &parent(&quotes))).unwrap();
    let largest = (0..16).rev().fold(1_030_000, |bytes, bit| {
        let more = bytes + (1 << bit);
        let text = format!("<description>{}</description>", "x".repeat(more));
        match redefine(&domain, &document("large", &(parent("short") + &text))) {
            Ok(_) => more,
            Err(_) => bytes,
        }
    });
    assert!(largest > 1_040_000, "{largest}");
    let flags = virsnap::ops::DeleteFlags::new(0, "test").unwrap();
    domain.delete("short", flags).unwrap();
    assert_eq!(domain.parent("large").unwrap().as_ref(), quotes);
    drop(domain);
    assert_eq!(names(&open(&state)).len(), 2);
}

/// A piece of a document: things that documents have, at or about their bounds.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        (250..260_usize).prop_map(|count| {
            let all: String = (0..count)
                .map(|number| format!(" a{number}='&lt;'"))
                .collect();
            format!("<own{all}/>")
        }),
        (250..258_usize).prop_map(|depth| format!(
            "{}{}",
            "<a>".repeat(depth),
            "</a>".repeat(depth)
        )),
        (1_040_000..1_049_000_usize)
            .prop_map(|bytes| format!("<description>{}</description>", "x".repeat(bytes))),
        (1_000..200_000_usize)
            .prop_map(|count| format!("<description>{}</description>", "&amp;".repeat(count))),
        (1..250_usize).prop_map(|count| {
            let all: String = (0..count)
                .map(|number| format!("<n{number}:x xmlns:n{number}='urn:{number}'/>"))
                .collect();
            all
        }),
        (90_000..100_000_usize).prop_map(|count| "<e a=''/>".repeat(count)),
        "[ -~\u{a0}-\u{ff}]{0,40}".prop_map(|text| {
            let text = text.replace('&', "&amp;").replace('<', "&lt;");
            format!("<description>{text}</description>")
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_document_that_was_accepted_loads_again(
        pieces in prop::collection::vec(piece(), 1..3),
        name in "[a-z<>&'\"\t\n ]{1,20}",
    ) {
        let base = tempfile::tempdir().unwrap();
        let state = base.path().join("state");
        let domain = open(&state);
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        if redefine(&domain, &document(&name, &pieces.concat())).is_ok() {
            let listed = names(&domain);
            let dumped = domain.snapshot_xml(&listed[0], true).unwrap();
            drop(domain);
            let loaded = open(&state);
            prop_assert!(loaded.problems().unwrap().is_empty());
            prop_assert_eq!(names(&loaded), listed.clone());
            prop_assert_eq!(loaded.snapshot_xml(&listed[0], true).unwrap(), dumped);
        }
    }
}
