//! Freezing through agents that are absent, slow, confused or hostile.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::agent::{Agent, AgentCommands, freeze};
use crate::error::{Error, Result};

/// An agent that answers each command as the script says, and remembers what it was asked.
struct Scripted {
    agent: Agent,
    asked: Arc<Mutex<Vec<String>>>,
    _directory: tempfile::TempDir,
}

type Script = fn(&str) -> String;

fn scripted(script: Script) -> Scripted {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    // Ends with the test's process: nobody waits for it, it holds nothing.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut stream = stream;
            let mut line = Vec::new();
            while lines
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                let text: Vec<u8> = line.drain(..).filter(|byte| *byte != 0xff).collect();
                let request: Value = serde_json::from_slice(&text).unwrap();
                let command = request["execute"].as_str().unwrap().to_owned();
                let answer = if command == "guest-sync-delimited" {
                    let answer = json!({ "return": request["arguments"]["id"] });
                    // What an older client left comes first.
                    let mut bytes = b"{\"return\": \"stale\"}\n\xff".to_vec();
                    bytes.extend_from_slice(answer.to_string().as_bytes());
                    bytes
                } else {
                    seen.lock().unwrap().push(command.clone());
                    script(&command).into_bytes()
                };
                let _ = stream.write_all(&answer);
                let _ = stream.write_all(b"\n");
            }
        }
    });
    Scripted {
        agent: Agent::new(socket),
        asked,
        _directory: directory,
    }
}

impl Scripted {
    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn good(command: &str) -> String {
    match command {
        "guest-fsfreeze-status" => "{\"return\": \"thawed\"}",
        _ => "{\"return\": 2}",
    }
    .to_owned()
}

fn message<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("worked"),
        Err(error) => error.to_string(),
    }
}

const STATUS: &str = "guest-fsfreeze-status";
const FREEZE: &str = "guest-fsfreeze-freeze";
const THAW: &str = "guest-fsfreeze-thaw";

#[test]
fn freezes_and_thaws_once() {
    let scripted = scripted(good);
    let frozen = freeze(&scripted.agent).unwrap();
    assert_eq!(frozen.file_systems(), 2);
    assert_eq!(scripted.asked(), [STATUS, FREEZE]);
    frozen.thaw().unwrap();
    assert_eq!(scripted.asked(), [STATUS, FREEZE, THAW]);
}

#[test]
fn what_is_forgotten_is_thawed() {
    let scripted = scripted(good);
    drop(freeze(&scripted.agent).unwrap());
    assert_eq!(scripted.asked(), [STATUS, FREEZE, THAW]);
}

#[test]
fn a_refused_freeze_is_thawed_and_told() {
    let scripted = scripted(|command| match command {
        FREEZE => "{\"error\": {\"class\": \"GenericError\", \"desc\": \"busy\"}}".to_owned(),
        other => good(other),
    });
    assert_eq!(
        message(freeze(&scripted.agent)),
        "unable to execute QEMU agent command 'guest-fsfreeze-freeze': busy"
    );
    assert_eq!(scripted.asked(), [STATUS, FREEZE, THAW]);
}

#[test]
fn a_guest_that_is_frozen_already_is_left_alone() {
    let scripted = scripted(|_| "{\"return\": \"frozen\"}".to_owned());
    let said = message(freeze(&scripted.agent));
    assert!(
        said.ends_with("the file systems are frozen already"),
        "{said}"
    );
    assert_eq!(scripted.asked(), [STATUS]);
}

#[test]
fn freezing_nothing_is_no_quiesce() {
    let scripted = scripted(|command| match command {
        FREEZE => "{\"return\": 0}".to_owned(),
        other => good(other),
    });
    let said = message(freeze(&scripted.agent));
    assert!(said.ends_with("the guest froze no file system"), "{said}");
    assert_eq!(scripted.asked(), [STATUS, FREEZE, THAW]);
}

#[test]
fn a_failed_thaw_is_tried_again_and_told() {
    let scripted = scripted(|command| match command {
        THAW => "{\"error\": {\"desc\": \"stuck\"}}".to_owned(),
        other => good(other),
    });
    let frozen = freeze(&scripted.agent).unwrap();
    assert!(message(frozen.thaw()).ends_with("stuck"));
    let thaws = scripted
        .asked()
        .iter()
        .filter(|asked| *asked == THAW)
        .count();
    // Twice on request, and once when it is forgotten.
    assert_eq!(thaws, 3);
}

#[test]
fn an_agent_that_lies_or_is_not_there_is_an_error() {
    let nonsense = scripted(|_| "no JSON".to_owned());
    assert!(matches!(
        nonsense.agent.command(STATUS, Duration::from_secs(5)),
        Err(Error::AgentLost { .. })
    ));
    let directory = tempfile::tempdir().unwrap();
    let absent = Agent::new(directory.path().join("none"));
    assert!(matches!(
        absent.command(STATUS, Duration::from_secs(5)),
        Err(Error::AgentLost { .. })
    ));
}

#[test]
fn a_silent_agent_is_given_up() {
    let scripted = scripted(|_| {
        std::thread::sleep(Duration::from_secs(2));
        String::new()
    });
    let start = std::time::Instant::now();
    let said = message(scripted.agent.command(STATUS, Duration::from_millis(200)));
    assert!(said.contains("did not answer in time"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(2));
}
