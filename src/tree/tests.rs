//! The tree against libvirt's rules, and random operations against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::snapshot::{Disk, DiskMode, Memory, State};

fn snapshot(name: &str, parent: Option<&str>, time: i64) -> Snapshot {
    Snapshot {
        name: name.into(),
        description: None,
        state: State::Shutoff,
        parent: parent.map(Arc::from),
        creation_time: time,
        memory: Some(Memory::None),
        disks: [].into(),
        revert_disks: Vec::new(),
        domain: None,
        inactive_domain: None,
        cookie: None,
        other: Vec::new(),
    }
}

fn tree(links: &[(&str, Option<&str>)], current: Option<&str>) -> Tree {
    let snapshots = links
        .iter()
        .enumerate()
        .map(|(time, (name, parent))| Arc::new(snapshot(name, *parent, time as i64)));
    Tree::load(snapshots, current)
}

/// r1 → { a → a1 → a2, b → b1, c }, c current: the example of libvirt's list calls.
fn example() -> Tree {
    tree(
        &[
            ("r1", None),
            ("a", Some("r1")),
            ("a1", Some("a")),
            ("a2", Some("a1")),
            ("b", Some("r1")),
            ("b1", Some("b")),
            ("c", Some("r1")),
        ],
        Some("c"),
    )
}

fn names(tree: &Tree, scope: Scope<'_>, filter: Filter) -> Vec<String> {
    tree.list(scope, filter)
        .unwrap()
        .map(|listed| listed.name().to_string())
        .collect()
}

fn leaves(wanted: bool) -> Filter {
    Filter {
        leaves: Some(wanted),
        ..Filter::default()
    }
}

#[test]
fn a_place_is_good_until_a_snapshot_goes() {
    let mut tree = example();
    let found = tree.look_up("c").unwrap();
    let named = Named::at(&found.name, &found.place);
    // Found by its place alone, whatever its name.
    let by_place = Named::at("no such name", &found.place);
    assert_eq!(tree.get(by_place).unwrap().name.as_ref(), "c");
    let plan = tree
        .plan_redefine(snapshot("new", Some("c"), 9), false)
        .unwrap();
    tree.apply(&plan);
    assert_eq!(tree.get(by_place).unwrap().name.as_ref(), "c");
    let plan = tree.plan_delete("new", Deletion::One).unwrap();
    tree.apply(&plan);
    assert!(tree.get(by_place).is_err());
    // By its name, and where that is, is noted.
    assert_eq!(tree.get(named).unwrap().name.as_ref(), "c");
    assert_eq!(tree.get(by_place).unwrap().name.as_ref(), "c");
}

#[test]
fn the_number_of_one_that_went_leads_to_no_other() {
    let mut tree = example();
    let found = tree.look_up("c").unwrap();
    let plan = tree.plan_delete("c", Deletion::One).unwrap();
    tree.apply(&plan);
    let plan = tree.plan_redefine(snapshot("new", None, 9), false).unwrap();
    tree.apply(&plan);
    let gone = tree.get(Named::at(&found.name, &found.place));
    assert!(matches!(gone, Err(Error::SnapshotMissing { name }) if name == "c"));
}

#[test]
fn places_of_one_tree_are_none_of_another() {
    let (one, other) = (example(), example());
    let found = one.look_up("c").unwrap();
    assert!(one.get(Named::at("x", &found.place)).is_ok());
    assert!(other.get(Named::at("x", &found.place)).is_err());
    assert!(Tree::default().get(Named::at("c", &found.place)).is_err());
    assert!(
        Tree::default()
            .get(Named::at("c", &Place::default()))
            .is_err()
    );
}

#[test]
fn lists_hold_parents_before_descendants_and_oldest_siblings_first() {
    let tree = example();
    let all = names(&tree, Scope::All, Filter::default());
    assert_eq!(all, ["r1", "a", "a1", "a2", "b", "b1", "c"]);
    assert_eq!(names(&tree, Scope::Roots, Filter::default()), ["r1"]);
    assert_eq!(names(&tree, Scope::All, leaves(true)), ["a2", "b1", "c"]);
    assert!(names(&tree, Scope::Roots, leaves(true)).is_empty());
    assert_eq!(
        names(&tree, Scope::Children("r1".into()), Filter::default()),
        ["a", "b", "c"]
    );
    assert_eq!(
        names(&tree, Scope::Descendants("r1".into()), Filter::default()),
        ["a", "a1", "a2", "b", "b1", "c"]
    );
    assert_eq!(
        names(&tree, Scope::Children("r1".into()), leaves(false)),
        ["a", "b"]
    );
    assert_eq!(
        names(&tree, Scope::Descendants("r1".into()), leaves(false)),
        ["a", "a1", "b"]
    );
}

#[test]
fn order_does_not_depend_on_the_order_of_loading() {
    let mut snapshots: Vec<_> = example().all().cloned().collect();
    snapshots.reverse();
    let reversed = Tree::load(snapshots, Some("c"));
    let forward = names(&example(), Scope::All, Filter::default());
    assert_eq!(names(&reversed, Scope::All, Filter::default()), forward);
}

#[test]
fn state_classes_and_location_filter() {
    let mut running = snapshot("running", None, 1);
    running.state = State::Running;
    running.memory = Some(Memory::Internal);
    let mut disk_only = snapshot("disk-only", None, 2);
    disk_only.state = State::DiskSnapshot;
    disk_only.disks = [Disk {
        name: "vda".into(),
        mode: Some(DiskMode::External),
        image: None,
        delete_in_progress: false,
    }]
    .into();
    let tree = Tree::load(
        [running, disk_only, snapshot("off", None, 3)].map(Arc::new),
        None,
    );
    let states = |inactive, disk_only, active| Filter {
        states: Some(States {
            inactive,
            disk_only,
            active,
        }),
        ..Filter::default()
    };
    assert_eq!(
        names(&tree, Scope::All, states(true, false, false)),
        ["off"]
    );
    assert_eq!(
        names(&tree, Scope::All, states(false, true, false)),
        ["disk-only"]
    );
    assert_eq!(
        names(&tree, Scope::All, states(false, false, true)),
        ["running"]
    );
    assert_eq!(
        names(&tree, Scope::All, states(true, false, true)),
        ["running", "off"]
    );
    let external = |wanted| Filter {
        external: Some(wanted),
        ..Filter::default()
    };
    assert_eq!(names(&tree, Scope::All, external(true)), ["disk-only"]);
    assert_eq!(
        names(&tree, Scope::All, external(false)),
        ["running", "off"]
    );
    let none = Filter {
        without_metadata: true,
        ..Filter::default()
    };
    assert_eq!(tree.count(Scope::All, none).unwrap(), 0);
}

#[test]
fn creating_hangs_below_the_current_snapshot_and_becomes_current() {
    let mut tree = example();
    let plan = tree
        .plan_create(snapshot("new", Some("ignored"), 9))
        .unwrap();
    let change = tree.change(&plan);
    let marks: Vec<_> = change
        .write
        .iter()
        .map(|(s, mark)| (s.name.to_string(), *mark))
        .collect();
    assert_eq!(marks, [("new".to_owned(), true), ("c".to_owned(), false)]);
    tree.apply(&plan);
    assert_eq!(tree.parent("new").unwrap().name.as_ref(), "c");
    assert!(tree.is_current("new").unwrap());
    assert!(matches!(
        tree.plan_create(snapshot("new", None, 9)),
        Err(Error::SnapshotExists { name }) if name == "new"
    ));
}

#[test]
fn redefining_moves_a_subtree_and_keeps_the_current_snapshot() {
    let mut tree = example();
    let plan = tree
        .plan_redefine(snapshot("a1", Some("b1"), 2), false)
        .unwrap();
    tree.apply(&plan);
    assert_eq!(
        names(&tree, Scope::Descendants("b".into()), Filter::default()),
        ["b1", "a1", "a2"]
    );
    assert_eq!(tree.current().unwrap().name.as_ref(), "c");
    assert!(
        tree.plan_redefine(snapshot("x", None, 9), true)
            .unwrap()
            .current
            .is_some()
    );
}

#[test]
fn impossible_parents_are_refused_and_named() {
    let tree = example();
    let refusal = |name, parent| {
        tree.plan_redefine(snapshot(name, Some(parent), 1), false)
            .unwrap_err()
    };
    assert_eq!(
        refusal("a", "a").to_string(),
        "cannot set moment a as its own parent"
    );
    assert_eq!(
        refusal("a", "zz").to_string(),
        "parent zz for moment a not found"
    );
    // libvirt names the node whose stored parent is the moved one.
    assert_eq!(
        refusal("a", "a2").to_string(),
        "parent a1 would create cycle to a"
    );
    assert_eq!(
        refusal("r1", "b1").to_string(),
        "parent b would create cycle to r1"
    );
}

#[test]
fn d41_deleting_one_moves_its_children_up_and_writes_no_other() {
    let mut tree = example();
    let plan = tree.plan_delete("a", Deletion::One).unwrap();
    let change = tree.change(&plan);
    assert_eq!(change.write.len(), 1, "only the child's document changes");
    assert_eq!(change.remove.len(), 1);
    tree.apply(&plan);
    assert_eq!(tree.parent("a1").unwrap().name.as_ref(), "r1");
    assert_eq!(
        names(&tree, Scope::Children("r1".into()), Filter::default()),
        ["a1", "b", "c"]
    );
}

#[test]
fn deleting_the_current_snapshot_hands_its_role_up() {
    let cases = [
        ("c", Deletion::One, Some("r1")),
        ("a", Deletion::One, Some("c")),
        ("r1", Deletion::WithDescendants, None),
        ("r1", Deletion::DescendantsOnly, Some("r1")),
        ("b", Deletion::WithDescendants, Some("c")),
    ];
    for (target, deletion, expected) in cases {
        let mut tree = example();
        let plan = tree.plan_delete(target, deletion).unwrap();
        tree.apply(&plan);
        let current = tree.current().map(|current| current.name.to_string());
        assert_eq!(current.as_deref(), expected, "{target} {deletion:?}");
    }
    let mut tree = tree(&[("root", None), ("child", Some("root"))], Some("root"));
    let plan = tree.plan_delete("root", Deletion::One).unwrap();
    tree.apply(&plan);
    assert!(
        tree.current().is_none(),
        "a removed current root hands its role to nobody"
    );
    assert!(matches!(tree.parent("child"), Err(Error::NoParent { .. })));
}

#[test]
fn deleting_the_descendants_of_a_leaf_changes_nothing() {
    let tree = example();
    let plan = tree.plan_delete("a2", Deletion::DescendantsOnly).unwrap();
    let change = tree.change(&plan);
    assert!(change.write.is_empty() && change.remove.is_empty());
}

#[test]
fn d55_a_missing_parent_is_an_error_and_leaves_the_node_visible() {
    let mut tree = tree(
        &[("a", None), ("lost", Some("gone")), ("leaf", Some("lost"))],
        Some("a"),
    );
    assert_eq!(names(&tree, Scope::Roots, Filter::default()), ["a", "lost"]);
    assert_eq!(tree.current().unwrap().name.as_ref(), "a");
    assert!(matches!(tree.parent("lost"), Err(Error::SnapshotMissing { name }) if name == "gone"));
    let plan = tree
        .plan_redefine(snapshot("gone", Some("a"), 0), false)
        .unwrap();
    tree.apply(&plan);
    assert_eq!(
        names(&tree, Scope::Descendants("a".into()), Filter::default()),
        ["gone", "lost", "leaf"]
    );
}

#[test]
fn a_cycle_is_opened_at_its_oldest_node() {
    let tree = tree(
        &[
            ("sound", None),
            ("x", Some("y")),
            ("y", Some("z")),
            ("z", Some("x")),
        ],
        Some("sound"),
    );
    assert_eq!(
        names(&tree, Scope::Roots, Filter::default()),
        ["sound", "x"]
    );
    assert_eq!(
        names(&tree, Scope::All, Filter::default()),
        ["sound", "x", "z", "y"]
    );
    assert_eq!(tree.current().unwrap().name.as_ref(), "sound");
}

#[test]
fn depth_needs_no_stack() {
    // A call of each level within the one above would need more than this for a tenth of them.
    let small = std::thread::Builder::new().stack_size(256 * 1024);
    small.spawn(in_a_deep_chain).unwrap().join().unwrap();
}

fn in_a_deep_chain() {
    const DEPTH: usize = 1_000_000;
    let chain = (0..DEPTH).map(|level| {
        let parent = (level > 0).then(|| format!("{}", level - 1));
        Arc::new(snapshot(&level.to_string(), parent.as_deref(), 0))
    });
    let last = (DEPTH - 1).to_string();
    let mut tree = Tree::load(chain, Some("0"));
    let below = |tree: &Tree| tree.count(Scope::Descendants("0".into()), Filter::default());
    assert_eq!(below(&tree).unwrap(), DEPTH - 1);
    assert_eq!(names(&tree, Scope::All, leaves(true)), [&*last]);
    assert_eq!(tree.all().count(), DEPTH);
    assert_eq!(tree.orphans().count(), 0);
    assert!(tree.parent(&last).is_ok());
    assert!(tree.look_up(&last).is_ok());
    let cycle = tree.plan_redefine(snapshot("0", Some(&last), 0), false);
    assert!(matches!(cycle, Err(Error::Cycle { .. })));
    let plan = tree
        .plan_redefine(snapshot("new", Some(&last), 0), true)
        .unwrap();
    tree.apply(&plan);
    assert_eq!(below(&tree).unwrap(), DEPTH);
    let plan = tree.plan_delete("1", Deletion::One).unwrap();
    assert_eq!(tree.change(&plan).write.len(), 1);
    tree.apply(&plan);
    assert_eq!(below(&tree).unwrap(), DEPTH - 1);
    assert_eq!(tree.plan_clear().drop.len(), DEPTH);
    let plan = tree.plan_delete("2", Deletion::WithDescendants).unwrap();
    tree.apply(&plan);
    assert_eq!(tree.len(), 1);
    assert_eq!(tree.current().unwrap().name.as_ref(), "0");
}

/// The rules once more, with nothing but maps from name to parent.
#[derive(Debug, Default)]
struct Model {
    parents: BTreeMap<String, Option<String>>,
    current: Option<String>,
}

impl Model {
    fn below(&self, top: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        loop {
            let more: Vec<_> = self
                .parents
                .iter()
                .filter(|(name, _)| !found.contains(*name))
                .filter(|(_, parent)| {
                    parent
                        .as_ref()
                        .is_some_and(|p| p == top || found.contains(p))
                })
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    fn delete(&mut self, target: &str, deletion: Deletion) {
        let mut gone = match deletion {
            Deletion::One => BTreeSet::new(),
            _ => self.below(target),
        };
        if deletion != Deletion::DescendantsOnly {
            gone.insert(target.to_owned());
        }
        while let Some(current) = self.current.clone().filter(|c| gone.contains(c)) {
            self.current = self.parents.get(&current).cloned().flatten();
        }
        let parent = self.parents.get(target).cloned().flatten();
        for up in self.parents.values_mut() {
            if deletion == Deletion::One && up.as_deref() == Some(target) {
                up.clone_from(&parent);
            }
        }
        self.parents.retain(|name, _| !gone.contains(name));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Create(u8),
    Redefine(u8, Option<u8>, bool),
    Delete(u8, Deletion),
    Current(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let deletion = prop_oneof![
        4 => Just(Deletion::One),
        1 => Just(Deletion::WithDescendants),
        1 => Just(Deletion::DescendantsOnly),
    ];
    let name = 0u8..24;
    prop_oneof![
        4 => name.clone().prop_map(Step::Create),
        4 => (name.clone(), proptest::option::of(name.clone()), any::<bool>())
            .prop_map(|(own, parent, current)| Step::Redefine(own, parent, current)),
        2 => (name.clone(), deletion).prop_map(|(own, kind)| Step::Delete(own, kind)),
        1 => name.prop_map(Step::Current),
    ]
}

fn run(tree: &mut Tree, model: &mut Model, time: i64, step: &Step) {
    let name = |number: u8| format!("s{number}");
    let plan = match step {
        Step::Create(own) => {
            let own = name(*own);
            let plan = tree.plan_create(snapshot(&own, None, time));
            assert_eq!(plan.is_err(), model.parents.contains_key(&own));
            if plan.is_ok() {
                let parent = model.current.replace(own.clone());
                model.parents.insert(own, parent);
            }
            plan
        }
        Step::Redefine(own, parent, current) => {
            let (own, parent) = (name(*own), parent.map(name));
            // Times go down for every third step, so that siblings change their order.
            let time = if time % 3 == 0 { -time } else { time };
            let mut redefined = snapshot(&own, parent.as_deref(), time);
            if time % 5 == 0 {
                redefined.memory = Some(Memory::External { file: "/m".into() });
            }
            let plan = tree.plan_redefine(redefined, *current);
            let possible = parent.as_ref().is_none_or(|p| {
                *p != own && model.parents.contains_key(p) && !model.below(&own).contains(p)
            });
            assert_eq!(plan.is_ok(), possible);
            if possible {
                if *current {
                    model.current = Some(own.clone());
                }
                model.parents.insert(own, parent);
            }
            plan
        }
        Step::Delete(own, deletion) => {
            let own = name(*own);
            let plan = tree.plan_delete(&own, *deletion);
            assert_eq!(plan.is_ok(), model.parents.contains_key(&own));
            if plan.is_ok() {
                model.delete(&own, *deletion);
            }
            plan
        }
        Step::Current(own) => {
            let own = name(*own);
            let plan = tree.plan_current(&own);
            if plan.is_ok() {
                model.current = Some(own);
            }
            plan
        }
    };
    if let Ok(plan) = plan {
        tree.apply(&plan);
    }
}

fn assert_same(tree: &Tree, model: &Model) {
    // Parts first, walked one by one; then the whole, which makes the order that the rest uses.
    for name in model.parents.keys() {
        assert_same_below(tree, model, name);
    }
    let listed = names(tree, Scope::All, Filter::default());
    assert_eq!(listed.len(), tree.len());
    assert_eq!(
        listed.iter().cloned().collect::<BTreeSet<_>>(),
        model.parents.keys().cloned().collect()
    );
    assert_eq!(tree.current().map(|c| c.name.to_string()), model.current);
    let with_files = tree.all().any(|each| each.may_have_files());
    assert_eq!(tree.may_have_files(), with_files);
    for (place, name) in listed.iter().enumerate() {
        let parent = tree.parent(name).ok().map(|parent| parent.name.to_string());
        assert_eq!(parent, model.parents[name], "parent of {name}");
        if let Some(parent) = parent {
            assert!(listed.iter().position(|other| *other == parent).unwrap() < place);
        }
        assert_same_below(tree, model, name);
    }
}

fn assert_same_below(tree: &Tree, model: &Model, name: &str) {
    let scope = Scope::Descendants(name.into());
    let below = names(tree, scope, Filter::default());
    let is_leaf = |name: &&String| model.below(name).is_empty();
    let leaves: Vec<_> = below.iter().filter(is_leaf).cloned().collect();
    let only_leaves = Filter {
        leaves: Some(true),
        ..Filter::default()
    };
    assert_eq!(names(tree, scope, only_leaves), leaves);
    assert_eq!(tree.count(scope, only_leaves).unwrap(), leaves.len());
    assert_eq!(tree.count(scope, Filter::default()).unwrap(), below.len());
    assert_eq!(
        below.into_iter().collect::<BTreeSet<_>>(),
        model.below(name)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_histories_agree_with_the_model(steps in prop::collection::vec(step(), 1..80)) {
        let (mut tree, mut model) = (Tree::default(), Model::default());
        for (time, step) in steps.iter().enumerate() {
            run(&mut tree, &mut model, time as i64, step);
            assert_same(&tree, &model);
        }
        // What was built step by step is what loading its documents gives.
        let documents: Vec<_> = tree.all().cloned().collect();
        let loaded = Tree::load(documents, model.current.as_deref());
        prop_assert_eq!(names(&loaded, Scope::All, Filter::default()), names(&tree, Scope::All, Filter::default()));
    }
}
