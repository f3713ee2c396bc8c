//! The sessions in docs/tool.md say what is said there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever fails here is the test's own failure"
)]

use std::process::{Command, Stdio};

use common::World;

mod common;

const PAGE: &str = include_str!("../../docs/tool.md");

/// Commands, each with what it says.
fn session() -> Vec<(String, String)> {
    let mut session: Vec<(String, String)> = Vec::new();
    let mut is_inside = false;
    for line in PAGE.lines() {
        if line.starts_with("```") {
            is_inside = line == "```console";
        } else if !is_inside {
        } else if let Some(command) = line.strip_prefix("$ ") {
            session.push((command.to_owned(), String::new()));
        } else if let (Some(more), Some((command, _))) =
            (line.strip_prefix("> "), session.last_mut())
        {
            command.push('\n');
            command.push_str(more);
        } else {
            session.last_mut().unwrap().1 += &format!("{line}\n");
        }
    }
    session
}

/// Without what differs from run to run: numbers, the words of an age, the width of columns, the
/// directory; lines in the order of the alphabet, as those of one second have none.
fn masked(said: &str, directory: &str) -> Vec<String> {
    let said = said
        .replace(&format!("{directory}/"), "")
        .replace("/home/me/", "");
    let mut lines: Vec<String> = said
        .lines()
        .map(|line| {
            let words = line.split_whitespace().map(|word| {
                let word: String = word
                    .chars()
                    .map(|c| if c.is_ascii_digit() { '#' } else { c })
                    .collect();
                let mut word = word.replace("#.#", "#");
                while word.contains("##") {
                    word = word.replace("##", "#");
                }
                word.replace("minutes", "seconds")
                    .replace("second)", "seconds)")
            });
            words.map(|word| {
                if word == "second" {
                    "seconds".to_owned()
                } else {
                    word
                }
            })
        })
        .map(|words| words.collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines
}

#[test]
fn what_the_page_shows_is_so() {
    let world = World::new();
    let session = session();
    assert!(session.len() > 20, "{}", session.len());
    let mut script = String::from("exec 2>&1\n");
    for (command, _) in &session {
        // It is younger than the others there, and so it has to be here: by a second at least.
        if command.starts_with("qemu-img snapshot -c by-hand ") {
            script += "sleep 1\n";
        }
        script += &format!("{command}\necho '@@'\n");
    }
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_virsnap"))
        .parent()
        .unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .current_dir(world.path(""))
        .env("PATH", path)
        .env("TZ", "UTC")
        .env_remove("VIRSNAP_STATE_DIR")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let parts: Vec<&str> = said.split("@@\n").collect();
    assert_eq!(parts.len(), session.len() + 1, "{said}");
    let directory = world.path("");
    let directory = directory.to_str().unwrap().trim_end_matches('/');
    for ((command, expected), said) in session.iter().zip(parts) {
        assert_eq!(
            masked(said, directory),
            masked(expected, directory),
            "$ {command}\n{said}"
        );
    }
}
