//! Random trees of mixed snapshots: after every operation the content of each snapshot is what it was
//! when it was taken.

use std::collections::HashMap;

use crate::guest::{CHILDREN, CHILDREN_ONLY, DISK_ONLY, Guest, check, image};

const TARGETS: [&str; 2] = ["vda", "vdb"];

/// Numbers that only depend on the seed (xorshift64*).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(number).unwrap() % bound
    }
}

/// What each snapshot must show, and who is its parent.
#[derive(Default)]
struct Model {
    content: HashMap<String, HashMap<&'static str, Vec<u8>>>,
    parent: HashMap<String, Option<String>>,
    /// What firmware and TPM remember.
    remembered: HashMap<String, u8>,
}

impl Model {
    fn descends(&self, name: &str, from: &str) -> bool {
        let mut above = self.parent[name].as_deref();
        while let Some(parent) = above {
            if parent == from {
                return true;
            }
            above = self.parent[parent].as_deref();
        }
        false
    }

    fn delete(&mut self, name: &str, flags: u32) {
        let all: Vec<String> = self.parent.keys().cloned().collect();
        if flags != 0 {
            for other in &all {
                if self.descends(other, name) {
                    self.content.remove(other);
                }
            }
        }
        if flags != CHILDREN_ONLY {
            self.content.remove(name);
            let parent = self.parent[name].clone();
            for above in self.parent.values_mut() {
                if above.as_deref() == Some(name) {
                    above.clone_from(&parent);
                }
            }
        }
        let content = &self.content;
        self.parent.retain(|name, _| content.contains_key(name));
    }
}

fn take(guest: &Guest, model: &mut Model, random: &mut Random, name: &str) {
    let modes = ["internal", "external", "external", "no"];
    let mut disks = String::new();
    let mut content = HashMap::new();
    let mut taken = 0;
    for target in TARGETS {
        let mode = modes[random.below(modes.len())];
        let mode = if target == "vdb" && taken == 0 && mode == "no" {
            "external"
        } else {
            mode
        };
        disks += &format!("<disk name='{target}' snapshot='{mode}'/>");
        if mode != "no" {
            taken += 1;
            content.insert(target, guest.content(target));
        }
    }
    let current = guest.domain.current().unwrap();
    guest.create(name, &disks, DISK_ONLY).unwrap();
    model.content.insert(name.to_owned(), content);
    model.remembered.insert(name.to_owned(), guest.remembered());
    let parent = current.map(|current| current.to_string());
    model.parent.insert(name.to_owned(), parent);
}

fn verify(guest: &Guest, model: &Model, what: &str) {
    let mut names = guest.names();
    names.sort();
    let mut expected: Vec<String> = model.content.keys().cloned().collect();
    expected.sort();
    assert_eq!(names, expected, "{what}");
    for (name, disks) in &model.content {
        for (target, content) in disks {
            assert_eq!(
                &guest.content_of(name, target),
                content,
                "{what}: {name} {target}"
            );
        }
    }
    assert_eq!(guest.differences(None), [""; 0], "{what}");
    for target in TARGETS {
        check(&image(&guest.active(target)));
    }
}

fn grow_and_fell(seed: u64) {
    let mut random = Random(seed);
    let mut guest = Guest::with_firmware(&[("vda", "qcow2"), ("vdb", "qcow2")], "");
    let mut model = Model::default();
    let mut pattern = 1_u8;
    let mut number = 0;
    while model.content.len() < 12 {
        for target in TARGETS {
            if random.below(3) > 0 {
                guest.write(target, pattern, 1 + random.below(3));
                pattern = pattern % 250 + 1;
            }
        }
        guest.remember(pattern);
        let names = guest.names();
        match random.below(5) {
            0 | 1 if !names.is_empty() => {
                let name = names[random.below(names.len())].clone();
                let left_out: Vec<(&str, Vec<u8>)> = TARGETS
                    .iter()
                    .filter(|target| !model.content[&name].contains_key(*target))
                    .map(|target| (*target, guest.content(target)))
                    .collect();
                guest.revert(&name).unwrap();
                for (target, content) in &model.content[&name] {
                    assert_eq!(
                        &guest.content(target),
                        content,
                        "seed {seed}: {name} {target}"
                    );
                }
                assert_eq!(
                    guest.remembered(),
                    model.remembered[&name],
                    "seed {seed}: {name}"
                );
                for (target, content) in left_out {
                    assert_eq!(
                        guest.content(target),
                        content,
                        "seed {seed}: {name} {target}"
                    );
                }
            }
            _ => {
                number += 1;
                take(&guest, &mut model, &mut random, &format!("s{number}"));
            }
        }
        verify(&guest, &model, &format!("seed {seed}, growing"));
    }
    guest.reopened("");
    while !model.content.is_empty() {
        let names = guest.names();
        let name = names[random.below(names.len())].clone();
        let flags = match random.below(8) {
            0 => CHILDREN,
            1 => CHILDREN_ONLY,
            _ => 0,
        };
        let before = TARGETS.map(|target| guest.content(target));
        guest.delete(&name, flags).unwrap();
        model.delete(&name, flags);
        assert_eq!(
            before,
            TARGETS.map(|target| guest.content(target)),
            "seed {seed}: {name}"
        );
        verify(
            &guest,
            &model,
            &format!("seed {seed}, after {name} went with {flags}"),
        );
        if random.below(4) == 0 && !model.content.is_empty() {
            let names = guest.names();
            let name = names[random.below(names.len())].clone();
            guest.revert(&name).unwrap();
            assert_eq!(
                guest.remembered(),
                model.remembered[&name],
                "seed {seed}: {name}"
            );
            verify(
                &guest,
                &model,
                &format!("seed {seed}, after revert to {name}"),
            );
        }
    }
    // Nothing but what the guest uses, and the images that it began with: two each, variables and TPM.
    let files = guest.files().len();
    assert!(files <= 6, "seed {seed}: {:?}", guest.files());
}

#[test]
fn every_content_stays() {
    let seeds = std::env::var("VIRSNAP_TREE_SEEDS").map_or(3, |seeds| seeds.parse().unwrap());
    for seed in 1..=seeds {
        grow_and_fell(seed * 0x9e37_79b9);
    }
}
