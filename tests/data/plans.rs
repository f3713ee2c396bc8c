//! Plans: what an operation said that it would do is what it did, over random trees of mixed snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use virsnap::data::{Layer, chain};
use virsnap::ops::{
    Carry, CreateFlags, DeleteFlags, ListFlags, Outcome, Planned, RevertFlags, StepKind, Undefine,
};

use crate::guest::{
    CHILDREN, CHILDREN_ONLY, DISK_ONLY, Guest, METADATA_ONLY, REDEFINE, image, qemu_img,
};
use crate::trees::Random;

const TARGETS: [&str; 2] = ["vda", "vdb"];

/// Bytes by which a plan may be wrong: some blocks for a snapshot table, refcounts or an extent tree.
const SLACK: i128 = 64 * 1024;

/// A file as it is seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    changed: SystemTime,
    /// Names of its internal snapshots.
    inside: BTreeSet<String>,
}

/// All that an operation may change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    files: BTreeMap<PathBuf, Seen>,
    parents: BTreeMap<String, Option<String>>,
    current: Option<String>,
    disks: BTreeMap<String, PathBuf>,
}

impl World {
    fn files_of(guest: &Guest) -> BTreeMap<PathBuf, Seen> {
        let mut files = BTreeMap::new();
        for name in guest.files() {
            let path = image(&guest.path(&name));
            let found = std::fs::metadata(&path).unwrap();
            if !found.is_file() {
                continue;
            }
            let layer = Layer {
                path: path.clone(),
                format: None,
            };
            let facts = chain::open(&layer).unwrap().facts;
            let inside = facts.map_or_else(BTreeSet::new, |facts| {
                let names = facts.snapshots.iter();
                names
                    .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
                    .collect()
            });
            let seen = Seen {
                bytes: found.blocks() * 512,
                changed: found.modified().unwrap(),
                inside,
            };
            files.insert(path, seen);
        }
        files
    }

    fn of(guest: &Guest) -> World {
        let flags = ListFlags::new(0, "").unwrap();
        let names = guest.domain.list(flags).unwrap();
        let definition = guest.domain.definition(true).unwrap();
        World {
            files: World::files_of(guest),
            parents: names
                .iter()
                .map(|name| {
                    let parent = guest.domain.parent(name).ok();
                    (name.to_string(), parent.map(|parent| parent.to_string()))
                })
                .collect(),
            current: guest.domain.current().unwrap().map(|name| name.to_string()),
            disks: TARGETS
                .iter()
                .filter(|target| definition.contains(&format!("<target dev='{target}'")))
                .map(|target| ((*target).to_owned(), guest.active(target).into()))
                .collect(),
        }
    }

    fn bytes(&self) -> u64 {
        self.files.values().map(|seen| seen.bytes).sum()
    }

    /// The world that a plan promises; of new files only the names are known.
    fn after(&self, plan: &Planned) -> World {
        let mut world = self.clone();
        for step in &plan.steps {
            let name = || step.name.as_deref().unwrap().to_owned();
            let parent = || step.parent.as_deref().map(str::to_owned);
            let file = || step.file.clone().unwrap();
            match step.kind {
                StepKind::Drop => assert!(world.parents.remove(&name()).is_some()),
                StepKind::Add => assert!(world.parents.insert(name(), parent()).is_none()),
                StepKind::Reparent => assert!(world.parents.insert(name(), parent()).is_some()),
                StepKind::Current => world.current = step.name.as_deref().map(str::to_owned),
                StepKind::CreateFile => {
                    let seen = Seen {
                        bytes: step.bytes,
                        changed: SystemTime::UNIX_EPOCH,
                        inside: BTreeSet::new(),
                    };
                    assert!(world.files.insert(file(), seen).is_none());
                }
                StepKind::RemoveFile => assert!(world.files.remove(&file()).is_some()),
                StepKind::DropData => {
                    assert!(world.files.get_mut(&file()).unwrap().inside.remove(&name()));
                }
                StepKind::TakeData => {
                    assert!(world.files.get_mut(&file()).unwrap().inside.insert(name()));
                }
                StepKind::SwitchDisk => {
                    world.disks.insert(step.disk.clone().unwrap(), file());
                }
                StepKind::Redefine | StepKind::WriteFile | StepKind::RelinkFile => {}
                StepKind::RestoreData => {
                    assert!(world.files[&file()].inside.contains(&name()));
                }
                other => panic!("{other:?} of a guest that is off"),
            }
        }
        world
    }
}

/// A path without the time that a new file is named by.
fn timeless(path: &Path) -> PathBuf {
    let text = path.to_str().unwrap();
    match text.rsplit_once('.') {
        Some((stem, time)) if time.len() == 10 && time.parse::<u64>().is_ok() => {
            format!("{stem}.TIME").into()
        }
        _ => path.to_owned(),
    }
}

/// Files with their internal snapshots, and disks, in a form in which what was promised and what is there
/// can be compared.
type Comparable = (Vec<(PathBuf, BTreeSet<String>)>, Vec<(String, PathBuf)>);

fn comparable(world: &World) -> Comparable {
    let files = world.files.iter();
    let mut files: Vec<_> = files
        .map(|(path, seen)| (timeless(path), seen.inside.clone()))
        .collect();
    files.sort();
    let disks = world.disks.iter();
    let disks = disks.map(|(disk, path)| (disk.clone(), timeless(path)));
    (files, disks.collect())
}

fn check(before: &World, plan: &Planned, after: &World, what: &str) {
    assert_eq!(plan.refusals, [""; 0], "{what}");
    let promised = before.after(plan);
    assert_eq!(
        comparable(&promised),
        comparable(after),
        "{what}\n{}",
        plan.text()
    );
    assert_eq!(promised.parents, after.parents, "{what}\n{}", plan.text());
    assert_eq!(promised.current, after.current, "{what}\n{}", plan.text());
    let named: BTreeSet<&PathBuf> = plan
        .steps
        .iter()
        .filter_map(|step| step.file.as_ref())
        .collect();
    for (path, seen) in &after.files {
        let is_as_before = before
            .files
            .get(path)
            .is_some_and(|before| before.changed == seen.changed);
        let is_new = !before.files.contains_key(path);
        assert!(
            is_as_before || is_new || named.contains(path),
            "{what}: {} was written to\n{}",
            path.display(),
            plan.text()
        );
    }
    check_bytes(before, plan, after, what);
}

/// Bytes: of what only goes they are exact; a merge may take some clusters for its tables, and some of
/// what it writes may need none.
fn check_bytes(before: &World, plan: &Planned, after: &World, what: &str) {
    let given = i128::from(before.bytes()) - i128::from(after.bytes());
    let sum = |kinds: &[StepKind]| -> i128 {
        let steps = plan.steps.iter().filter(|step| kinds.contains(&step.kind));
        steps.map(|step| i128::from(step.bytes)).sum()
    };
    let back = sum(&[
        StepKind::RemoveFile,
        StepKind::DropData,
        StepKind::RestoreData,
    ]);
    let taken = sum(&[
        StepKind::CreateFile,
        StepKind::WriteFile,
        StepKind::TakeData,
    ]);
    assert_eq!(i128::from(plan.freed), (back - taken).max(0), "{what}");
    assert_eq!(i128::from(plan.needed), taken, "{what}");
    // Of a copy only the most is known that it may take.
    let is_copy = |step: &virsnap::ops::Step| {
        let other = step
            .other
            .as_ref()
            .and_then(|other| before.files.get(other));
        step.kind == StepKind::CreateFile && other.is_some_and(|other| !other.inside.is_empty())
    };
    let more = given - (back - taken);
    let is_right = more.abs() <= SLACK || (more > 0 && plan.steps.iter().any(is_copy));
    assert!(
        is_right,
        "{what}: {given} given back, not {back} - {taken}\n{}",
        plan.text()
    );
}

fn take(guest: &Guest, random: &mut Random, name: &str, seed: u64) {
    let modes = ["internal", "external", "no"];
    // Its own image is raw.
    let (first, second) = if guest.active("vdb").ends_with("vdb.img") {
        ("internal", "external")
    } else {
        match modes[random.below(3)] {
            "no" => ("no", "external"),
            first => (first, modes[random.below(3)]),
        }
    };
    let xml = format!(
        "<domainsnapshot><name>{name}</name><disks><disk name='vda' snapshot='{first}'/>\
         <disk name='vdb' snapshot='{second}'/></disks></domainsnapshot>"
    );
    let before = World::of(guest);
    let flags = CreateFlags::new(DISK_ONLY, "").unwrap();
    let rules = guest.connection.redefine_rules();
    let plan = guest.domain.plan_create(&xml, flags, rules).unwrap();
    assert_eq!(before, World::of(guest), "a plan changes nothing");
    guest.create_xml(&xml, DISK_ONLY).unwrap();
    check(
        &before,
        &plan,
        &World::of(guest),
        &format!("seed {seed}: {name} taken"),
    );
}

fn grow_and_fell(seed: u64) {
    let mut random = Random(seed);
    let guest = Guest::with_firmware(&[("vda", "qcow2"), ("vdb", "raw")], "");
    let mut pattern = 0_u8;
    for number in 0..10 {
        for target in TARGETS {
            pattern = pattern % 250 + 1;
            guest.write(target, pattern, 1 + random.below(3));
        }
        guest.remember(pattern);
        let names = guest.names();
        if !names.is_empty() && random.below(3) == 0 {
            revert(&guest, &names[random.below(names.len())], seed);
        }
        take(&guest, &mut random, &format!("s{number}"), seed);
    }
    while !guest.names().is_empty() {
        let names = guest.names();
        let name = &names[random.below(names.len())];
        if random.below(4) == 0 {
            revert(&guest, name, seed);
            continue;
        }
        let flags = [0, 0, 0, CHILDREN, CHILDREN_ONLY][random.below(5)];
        delete(&guest, name, flags, seed);
    }
}

fn delete(guest: &Guest, name: &str, flags: u32, seed: u64) {
    let before = World::of(guest);
    let asked = DeleteFlags::new(flags, "").unwrap();
    let plan = guest.domain.plan_delete(name, asked).unwrap();
    assert_eq!(before, World::of(guest), "a plan changes nothing");
    guest.delete(name, flags).unwrap();
    check(
        &before,
        &plan,
        &World::of(guest),
        &format!("seed {seed}: {name} deleted, {flags}"),
    );
}

fn revert(guest: &Guest, name: &str, seed: u64) {
    let before = World::of(guest);
    let asked = RevertFlags::new(0, "").unwrap();
    let plan = guest.domain.plan_revert(name, asked).unwrap();
    assert_eq!(before, World::of(guest), "a plan changes nothing");
    guest.revert(name).unwrap();
    check(
        &before,
        &plan,
        &World::of(guest),
        &format!("seed {seed}: reverted to {name}"),
    );
}

#[test]
fn what_was_planned_is_what_happens() {
    let seeds = std::env::var("VIRSNAP_TREE_SEEDS").map_or(2, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        grow_and_fell(seed * 0x9e37_79b9);
    }
}

#[test]
fn metadata_only_plans_no_data() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    for name in ["a", "b", "c"] {
        guest.create(name, "", 0).unwrap();
    }
    let before = World::of(&guest).files;
    let flags = DeleteFlags::new(METADATA_ONLY, "").unwrap();
    let plan = guest.domain.plan_delete("b", flags).unwrap();
    let kinds: Vec<StepKind> = plan.steps.iter().map(|step| step.kind).collect();
    assert_eq!(kinds, [StepKind::Drop, StepKind::Reparent]);
    assert_eq!((plan.freed, plan.needed), (0, 0));
    guest.delete("b", METADATA_ONLY).unwrap();
    assert_eq!(before, World::of(&guest).files);
}

/// Redefines what was deleted with its metadata only, in another place, and replaces it.
#[test]
fn redefining_is_planned() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    for name in ["a", "b", "c"] {
        guest.create(name, "", 0).unwrap();
    }
    let document = guest.xml("b");
    for (xml, flags, steps) in [
        (
            document.replace("<name>a</name>", "<name>c</name>"),
            REDEFINE,
            vec![],
        ),
        (document.clone(), REDEFINE | 2, vec![StepKind::Current]),
        (
            document.replace("<domain ", "<description>new</description><domain "),
            REDEFINE,
            vec![StepKind::Redefine],
        ),
    ] {
        let before = World::of(&guest);
        let asked = CreateFlags::new(flags, "").unwrap();
        let rules = guest.connection.redefine_rules();
        let plan = guest.domain.plan_create(&xml, asked, rules).unwrap();
        let kinds: Vec<StepKind> = plan.steps.iter().map(|step| step.kind).collect();
        match guest.create_xml(&xml, flags) {
            Ok(_) => {
                assert_eq!(kinds, steps, "{}", plan.text());
                check(&before, &plan, &World::of(&guest), "redefined");
            }
            Err(cause) => assert_eq!(plan.refusals, [cause.to_string()]),
        }
    }
    guest.delete("b", METADATA_ONLY).unwrap();
    let before = World::of(&guest);
    let asked = CreateFlags::new(REDEFINE, "").unwrap();
    let rules = guest.connection.redefine_rules();
    let plan = guest.domain.plan_create(&document, asked, rules).unwrap();
    guest.create_xml(&document, REDEFINE).unwrap();
    check(&before, &plan, &World::of(&guest), "taken in");
    assert_eq!(plan.steps[0].kind, StepKind::Add);
}

/// What is written down into an image that has nothing there yet is taken before it is given back.
#[test]
fn a_merge_takes_what_its_image_grows_by() {
    // `qemu-img create` gives a raw image its first block.
    for (format, present) in [("qcow2", 0), ("raw", 4096)] {
        let guest = Guest::new(&[("vda", format)]);
        guest.create("s", "", DISK_ONLY).unwrap();
        guest.write("vda", 7, 3);
        let before = World::of(&guest);
        let flags = DeleteFlags::new(0, "").unwrap();
        let plan = guest.domain.plan_delete("s", flags).unwrap();
        // Three clusters that the guest has written.
        assert_eq!(
            plan.needed,
            3 * 64 * 1024 - present,
            "{format}\n{}",
            plan.text()
        );
        let kinds: Vec<StepKind> = plan.steps.iter().map(|step| step.kind).collect();
        let expected = [
            StepKind::WriteFile,
            StepKind::Drop,
            StepKind::Current,
            StepKind::SwitchDisk,
            StepKind::RemoveFile,
        ];
        assert_eq!(kinds, expected, "{format}");
        guest.delete("s", 0).unwrap();
        check(&before, &plan, &World::of(&guest), format);
    }
}

/// Every reason is told, the operation's own error first; and the operation is refused.
#[test]
fn every_reason_is_told() {
    let guest = Guest::new(&[("vda", "qcow2"), ("vdb", "qcow2")]);
    guest.create("i", "", 0).unwrap();
    for target in ["vda", "vdb"] {
        qemu_img(&["snapshot", "-d", "i", &guest.active(target)]);
    }
    let flags = RevertFlags::new(0, "").unwrap();
    let plan = guest.domain.plan_revert("i", flags).unwrap();
    let error = guest.revert("i").unwrap_err();
    assert_eq!(plan.refusals, [error.to_string()]);

    let both = "<disk name='vda' snapshot='external'><source file='{a}'/></disk>\
                <disk name='vdb' snapshot='external'><source file='{b}'/></disk>";
    let (a, b) = (guest.path("a"), guest.path("b"));
    let disks = both.replace("{a}", &a).replace("{b}", &b);
    for path in [&a, &b] {
        std::fs::write(path, "in the way").unwrap();
    }
    let xml = format!("<domainsnapshot><name>i</name><disks>{disks}</disks></domainsnapshot>");
    let flags = CreateFlags::new(DISK_ONLY, "").unwrap();
    let rules = guest.connection.redefine_rules();
    let plan = guest.domain.plan_create(&xml, flags, rules).unwrap();
    let error = guest.create_xml(&xml, DISK_ONLY).unwrap_err();
    assert_eq!(plan.refusals[0], error.to_string());
    let has = |text: &str| plan.refusals.iter().any(|reason| reason.contains(text));
    assert!(
        has("disk vda") && has("disk vdb") && has("already exists"),
        "{:?}",
        plan.refusals
    );
    assert!(plan.text().starts_with("refused: "));

    let plan = guest
        .domain
        .plan_undefine(Undefine::RefuseSnapshots)
        .unwrap();
    let error = guest
        .connection
        .undefine(&guest.domain, Undefine::RefuseSnapshots);
    assert_eq!(plan.refusals, [error.unwrap_err().to_string()]);
    let plan = guest.domain.plan_migrate(Carry::Nothing).unwrap();
    let error = guest.domain.migrate_check(Carry::Nothing).unwrap_err();
    assert_eq!(plan.refusals, [error.to_string()]);
}

#[test]
fn undefine_and_migrate_leave_all_data() {
    let guest = Guest::new(&[("vda", "qcow2")]);
    for (name, flags) in [("a", 0), ("b", DISK_ONLY), ("c", DISK_ONLY)] {
        guest.create(name, "", flags).unwrap();
    }
    let files = World::of(&guest).files;
    let kinds = |plan: &Planned| plan.steps.iter().map(|step| step.kind).collect::<Vec<_>>();
    let all = [
        StepKind::Drop,
        StepKind::Drop,
        StepKind::Drop,
        StepKind::Current,
    ];

    let plan = guest.domain.plan_migrate(Carry::Metadata).unwrap();
    assert_eq!(kinds(&plan), [&[StepKind::Freeze], &all[..]].concat());
    let cookie = guest.domain.migrate_begin(Carry::Metadata).unwrap();
    let again = guest.domain.plan_migrate(Carry::Metadata).unwrap();
    assert_eq!(kinds(&again), all, "nothing more is frozen");
    assert_eq!(again.refusals, [""; 0]);
    assert_eq!(guest.domain.migrate_begin(Carry::Metadata).unwrap(), cookie);
    let without = guest.domain.plan_migrate(Carry::Nothing).unwrap();
    let error = guest.domain.migrate_begin(Carry::Nothing).unwrap_err();
    assert_eq!(without.refusals[0], error.to_string());
    let frozen = DeleteFlags::new(0, "").unwrap();
    let refused = guest.domain.plan_delete("a", frozen).unwrap();
    let error = guest.delete("a", 0).unwrap_err();
    assert_eq!(refused.refusals, [error.to_string()]);
    assert!(
        !refused.steps.is_empty(),
        "what it would do is told all the same"
    );
    guest
        .domain
        .migrate_confirm(cookie.as_deref(), Outcome::Success)
        .unwrap();
    assert_eq!(guest.names(), [""; 0]);
    assert_eq!(World::of(&guest).files, files);

    guest.create("d", "", DISK_ONLY).unwrap();
    let files = World::of(&guest).files;
    let plan = guest.domain.plan_undefine(Undefine::DropSnapshots).unwrap();
    assert_eq!(
        kinds(&plan),
        [StepKind::Drop, StepKind::Current, StepKind::Undefine]
    );
    assert_eq!((plan.freed, plan.refusals.len()), (0, 0));
    guest
        .connection
        .undefine(&guest.domain, Undefine::DropSnapshots)
        .unwrap();
    assert_eq!(World::files_of(&guest), files);
}
