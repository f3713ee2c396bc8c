//! The table "libvirt's defects" of docs/testing.md names tests that there are, each after its row.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what helps a test may fail like a test"
)]

use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/testing.md";
const HEADING: &str = "## libvirt's defects";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rows with the tests that they name.
fn rows() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(root().join(PAGE)).unwrap();
    let section = page.split_once(HEADING).unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with("| D"));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let tests = cells[3].split('`').skip(1).step_by(2);
            (cells[1].to_owned(), tests.map(str::to_owned).collect())
        })
        .collect()
}

/// The text of all files below a directory with that ending.
fn texts(directory: &Path, ending: &str, into: &mut String) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, ending, into);
        } else if path.extension().is_some_and(|found| found == ending) {
            into.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn each_row_names_tests_that_there_are() {
    let mut rust = String::new();
    texts(&root().join("src"), "rs", &mut rust);
    texts(&root().join("tests"), "rs", &mut rust);
    let mut c = String::new();
    texts(&root().join("c-tests"), "c", &mut c);
    let rows = rows();
    assert!(rows.len() >= 40, "{} rows are left", rows.len());
    for (row, tests) in rows {
        assert!(!tests.is_empty(), "{row} names no test");
        for test in tests {
            let word = format!("{}_", row.to_lowercase());
            assert!(
                test.starts_with(&word) || test.contains(&format!("_{word}")),
                "{row}: {test} is named after another row"
            );
            let in_rust = rust.contains(&format!("#[test]\nfn {test}()"))
                || rust.contains(&format!("#[test]\n    fn {test}()"));
            // A test of C's that no list runs would not compile: static and unused.
            let in_c = c.contains(&format!("static void {test}(void **state)"));
            assert!(in_rust || in_c, "{row}: there is no test {test}");
        }
    }
}
