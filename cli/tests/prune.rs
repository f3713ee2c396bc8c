//! `prune` against a model that counts days itself.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test says so by failing"
)]
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "as above"
)]

use std::collections::BTreeSet;

use std::process::{Child, Stdio};
use std::time::Duration;

use common::{UUID, World, qemu_img};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

mod common;

const DAY: i64 = 86_400;

/// 2026-11-29 12:00:00 UTC, a Sunday: 20786 days after 1970-01-01.
const NOON: i64 = 20_786 * DAY + DAY / 2;

/// A domain with a chain of snapshots of these times; metadata alone, so that many are quickly made.
fn taken(times: &[i64]) -> World {
    let world = World::with_domain();
    let domain = world.document("vm", UUID, &["vda.qcow2"]);
    let mut parent = String::new();
    for (index, time) in times.iter().enumerate() {
        qemu_img(&[
            "snapshot",
            "-c",
            &format!("s{index}"),
            &world.text("vda.qcow2"),
        ]);
        let xml = format!(
            "<domainsnapshot><name>s{index}</name><state>shutoff</state>{parent}\
             <creationTime>{time}</creationTime>\
             <disks><disk name='vda' snapshot='internal'/></disks>{domain}</domainsnapshot>"
        );
        std::fs::write(world.path("snapshot.xml"), xml).unwrap();
        let file = world.text("snapshot.xml");
        world.done(&["redefine", "vm", "--current", &file]);
        parent = format!("<parent><name>s{index}</name></parent>");
    }
    world
}

fn names(world: &World) -> BTreeSet<String> {
    world
        .done(&["list", "vm", "--names"])
        .lines()
        .map(str::to_owned)
        .collect()
}

/// What a plan says stays.
fn stays(plan: &Value) -> BTreeSet<String> {
    let snapshots = plan["snapshots"].as_array().unwrap();
    let kept = snapshots
        .iter()
        .filter(|it| !it["kept"].as_array().unwrap().is_empty());
    kept.map(|it| it["name"].as_str().unwrap().to_owned())
        .collect()
}

/// The year and month of a day: years and months are counted off one by one.
fn month_of(day: i64) -> (i64, usize) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let (mut day, mut year) = (day, 1970);
    while day >= 365 + i64::from(is_leap(year)) {
        day -= 365 + i64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + i64::from(is_leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while day >= lengths[month] {
        day -= lengths[month];
        month += 1;
    }
    (year, month)
}

/// Which stay, by the numbers of the rule. 1970-01-01 was a Thursday.
fn model(times: &[i64], rule: &[(&str, usize)]) -> BTreeSet<String> {
    let mut kept = BTreeSet::from([format!("s{}", times.len() - 1)]);
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|index| -times[*index]);
    for (word, number) in rule {
        let period = |index: usize| {
            let day = times[index].div_euclid(DAY);
            let (year, month) = month_of(day);
            match *word {
                "last" => (index as i64, 0),
                "hourly" => (times[index].div_euclid(3600), 0),
                "daily" => (day, 0),
                "weekly" => ((day + 3).div_euclid(7), 0),
                "monthly" => (year, month),
                _ => (year, 0),
            }
        };
        let mut seen = BTreeSet::new();
        for index in &order {
            if seen.len() < *number && seen.insert(period(*index)) {
                kept.insert(format!("s{index}"));
            }
        }
    }
    kept
}

#[test]
fn plans_are_those_of_the_model() {
    // Steps of uneven length, so that hours, days, weeks, months and years begin in between.
    let mut times = vec![];
    let (mut time, mut step) = (NOON, 1_100);
    while times.len() < 36 {
        times.push(time);
        time -= step;
        step = step * 4 / 3 + 777;
    }
    times.reverse();
    let world = taken(&times);
    let rules: [&[(&str, usize)]; 9] = [
        &[("last", 1)],
        &[("last", 7)],
        &[("hourly", 5)],
        &[("daily", 4)],
        &[("weekly", 4)],
        &[("monthly", 6)],
        &[("yearly", 3)],
        &[
            ("hourly", 3),
            ("daily", 3),
            ("weekly", 2),
            ("monthly", 3),
            ("yearly", 9),
        ],
        &[("last", 2), ("yearly", 100)],
    ];
    for rule in rules {
        let words: Vec<String> = rule
            .iter()
            .map(|(word, number)| format!("--keep-{word}={number}"))
            .collect();
        let mut arguments = vec!["prune", "vm", "--json"];
        arguments.extend(words.iter().map(String::as_str));
        let said = world.run(&arguments);
        let plan: Value = serde_json::from_str(&said.out).unwrap();
        assert_eq!(plan["done"], false);
        assert_eq!(stays(&plan), model(&times, rule), "{rule:?}");
    }
    assert_eq!(names(&world).len(), 36, "a plan has changed something");
}

#[test]
fn yes_does_the_very_plan() {
    let times: Vec<i64> = (0..6).map(|day| NOON + day * DAY).collect();
    let world = taken(&times);
    let arguments = ["prune", "vm", "--keep-daily", "2"];
    let plan = world.run(&arguments);
    assert!(
        plan.err.contains("4 snapshots would go; --yes does it"),
        "{plan:?}"
    );
    assert_eq!(names(&world).len(), 6);
    world.done(&[&arguments[..], &["--yes"]].concat());
    assert_eq!(
        names(&world),
        BTreeSet::from(["s4".to_owned(), "s5".to_owned()])
    );
    let inside = qemu_img(&["snapshot", "-l", &world.text("vda.qcow2")]);
    assert_eq!(inside.lines().count(), 2 + 2, "{inside}");
}

#[test]
fn the_current_one_stays_whatever_the_rule() {
    let times: Vec<i64> = (0..4).map(|day| NOON + day * DAY).collect();
    let world = taken(&times);
    world.done(&["revert", "vm", "s1"]);
    world.done(&["prune", "vm", "--keep-last", "1", "--yes"]);
    assert_eq!(
        names(&world),
        BTreeSet::from(["s1".to_owned(), "s3".to_owned()])
    );
    assert_eq!(world.tree("state").1.as_deref(), Some("s1"));
}

#[test]
fn what_kept_ones_show_stays() {
    let world = World::with_domain();
    for (number, name) in [(1, "a"), (2, "b"), (3, "c")] {
        world.write(
            if number == 1 {
                "vda.qcow2"
            } else {
                ["vda.a", "vda.b"][number - 2]
            },
            number as u8,
        );
        world.done(&["create", "vm", name, "--disk-only"]);
    }
    world.done(&["prune", "vm", "--keep-last", "1", "--yes"]);
    assert_eq!(names(&world), BTreeSet::from(["c".to_owned()]));
    world.done(&["revert", "vm", "c"]);
    let xml = world.done(&["show", "vm", "--xml"]);
    let image = xml
        .rsplit("<source file='")
        .next()
        .unwrap()
        .split('\'')
        .next()
        .unwrap();
    let name = image.rsplit('/').next().unwrap();
    world.reads(name, 3);
}

#[test]
fn without_a_rule_nothing_is_asked_for() {
    let world = World::with_domain();
    world.fails(&["prune", "vm", "--yes"], 2, "required");
}

#[test]
fn the_newest_is_the_newest_where_the_clock_is_set_back() {
    // 2026-10-25 01:00 UTC, 20751 days after 1970-01-01, is when Central Europe's clock goes from 03:00 to 02:00.
    let change = 20_751 * DAY + 3_600;
    let world = taken(&[change - 600, change + 600, change + 9_000]);
    world.done(&["revert", "vm", "s0"]);
    let plan = |rule: &str| {
        let mut command = world.command(&["prune", "vm", "--json", rule]);
        let said = command
            .env("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
            .output()
            .unwrap();
        stays(&serde_json::from_slice(&said.stdout).unwrap())
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(plan("--keep-last=2"), names(&["s0", "s1", "s2"]));
    assert_eq!(plan("--keep-hourly=2"), names(&["s0", "s1", "s2"]));
}

/// All but the last of many are going, and some have gone; whoever prunes is stopped, and has no lock.
fn stopped_prune(arguments: &[&str]) -> (World, Child) {
    (0..20)
        .find_map(|_| stopped_in_time(arguments))
        .expect("it was never seen without the lock")
}

#[allow(clippy::zombie_processes, reason = "goes_on() waits for it")]
fn stopped_in_time(arguments: &[&str]) -> Option<(World, Child)> {
    let world = taken(&(0..24).map(|day| NOON + day * DAY).collect::<Vec<_>>());
    let mut prune = world
        .command(&[&["prune", "vm", "--keep-last", "1", "--yes"], arguments].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(prune.id() as i32).unwrap();
    let send = |signal| kill_process(pid, signal).unwrap();
    let is_there = |name: &str| {
        world
            .path(&format!("state/snapshot/vm/{name}.xml"))
            .exists()
    };
    while is_there("s22") {
        std::thread::sleep(Duration::from_millis(1));
    }
    loop {
        send(Signal::STOP);
        std::thread::sleep(Duration::from_millis(2));
        let lock = std::fs::File::open(world.path("state/lock/vm"));
        let is_free =
            lock.is_ok_and(|lock| flock(lock, FlockOperation::NonBlockingLockExclusive).is_ok());
        if is_free && is_there("s3") {
            return Some((world, prune));
        }
        send(Signal::CONT);
        if !is_there("s3") {
            prune.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_micros(700));
    }
}

fn goes_on(prune: Child) -> common::Said {
    kill_process(Pid::from_raw(prune.id() as i32).unwrap(), Signal::CONT).unwrap();
    prune.wait_with_output().unwrap().into()
}

/// How many ended so.
fn count(plan: &Value, result: &str) -> usize {
    let snapshots = plan["snapshots"].as_array().unwrap();
    snapshots.iter().filter(|it| it["result"] == result).count()
}

#[test]
fn one_that_becomes_current_meanwhile_stays() {
    let (world, prune) = stopped_prune(&["--json"]);
    world.done(&["current", "vm", "s0"]);
    let said = goes_on(prune);
    assert_eq!(said.code, 0, "{said:?}");
    let both = BTreeSet::from(["s0".to_owned(), "s23".to_owned()]);
    assert_eq!(names(&world), both);
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(stays(&plan), both);
    assert_eq!((count(&plan, "gone"), count(&plan, "stays")), (22, 2));
}

#[test]
fn what_has_gone_is_told_when_the_rest_is_refused() {
    let (world, prune) = stopped_prune(&["--json"]);
    world.done(&["-q", "export", "vm", "--move", "-o", &world.text("moved")]);
    let said = goes_on(prune);
    assert_eq!(said.code, 1, "{said:?}");
    let left = names(&world).len();
    let gone = format!("{} of 23 snapshots are gone", 24 - left);
    assert!(
        said.err.contains(&gone) && said.err.contains("migrat"),
        "{said:?}"
    );
    let plan: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(plan["done"], false);
    assert_eq!(count(&plan, "gone"), 24 - left);
    assert_eq!(count(&plan, "failed"), 1);
    assert_eq!(count(&plan, "not tried"), left - 2);
    // Nothing has gone yet: that is a refusal.
    let said = world.run(&["prune", "vm", "--keep-last", "1", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("refused: "), "{said:?}");
}
