//! The monitor's client against peers that lie, stall and die.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Commands, Monitor};
use crate::data::Beside;
use crate::error::{Error, Result};
use crate::limits;

const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;
/// For peers that do not answer.
const SHORT: Duration = Duration::from_secs(1);
/// For peers that do, on a machine that is as slow as it likes.
const LONG: Duration = Duration::from_secs(60);

/// A peer that a test plays.
pub(super) struct Peer {
    lines: BufReader<UnixStream>,
}

impl Peer {
    pub fn read(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or(Value::Null)
    }

    pub fn write(&mut self, text: &str) {
        // The client may have given up already: that is what some tests want.
        let _ = self.lines.get_mut().write_all(text.as_bytes());
        let _ = self.lines.get_mut().write_all(b"\r\n");
    }

    fn negotiate(&mut self) {
        self.write(GREETING);
        let request = self.read();
        assert_eq!(request["execute"], "qmp_capabilities");
        self.write(&json!({ "return": {}, "id": request["id"] }).to_string());
    }
}

/// A listening socket whose first client a thread plays against.
pub(super) struct Played {
    pub socket: PathBuf,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

pub(super) fn play(script: impl FnOnce(Peer) + Send + 'static) -> Played {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("peer");
    let listener = UnixListener::bind(&socket).unwrap();
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        script(Peer {
            lines: BufReader::new(stream),
        });
    });
    Played {
        socket,
        thread: Some(thread),
        _directory: directory,
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let outcome = thread.join();
            assert!(outcome.is_ok() || std::thread::panicking());
        }
    }
}

/// What a client gets for one command, from a peer that negotiates well and then plays on.
fn one_command(script: impl FnOnce(&mut Peer, Value) + Send + 'static) -> Result<Value> {
    one_command_within(LONG, script)
}

fn one_command_within(
    time: Duration,
    script: impl FnOnce(&mut Peer, Value) + Send + 'static,
) -> Result<Value> {
    let played = play(move |mut peer| {
        peer.negotiate();
        let request = peer.read();
        script(&mut peer, request);
    });
    let monitor = Monitor::connect_within(&played.socket, time).unwrap();
    monitor.execute("query-status", Value::Null)
}

fn lost(result: Result<Value>) -> String {
    match result {
        Err(Error::MonitorLost { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_found_among_events_and_late_answers() {
    let answer = one_command(|peer, request| {
        peer.write(r#"{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}"#);
        peer.write(r#"{"return": {"status": "old"}, "id": 1}"#);
        peer.write(r#"{"event": "RESUME"}"#);
        peer.write(&json!({ "return": { "status": "paused" }, "id": request["id"] }).to_string());
    });
    assert_eq!(answer.unwrap(), json!({ "status": "paused" }));
}

#[test]
fn an_event_that_came_with_an_answer_ends_the_wait() {
    let played = play(|mut peer| {
        peer.negotiate();
        let request = peer.read();
        let answer = json!({ "return": {}, "id": request["id"] });
        peer.write(&format!("{answer}\r\n{{\"event\": \"STOP\"}}"));
        peer.read();
    });
    let monitor = Monitor::connect_within(&played.socket, LONG).unwrap();
    monitor.execute("query-status", Value::Null).unwrap();
    let before = Instant::now();
    monitor.wait(LONG);
    assert!(before.elapsed() < LONG / 2);
    drop(monitor);
}

#[test]
fn work_is_done_between_a_command_and_its_answer() {
    let (begin, has_begun) = std::sync::mpsc::channel();
    let (done, is_done) = std::sync::mpsc::channel();
    let played = play(move |mut peer| {
        peer.negotiate();
        let request = peer.read();
        begin.send(()).unwrap();
        is_done.recv_timeout(LONG / 2).unwrap();
        peer.write(&json!({ "return": 7, "id": request["id"] }).to_string());
    });
    let monitor = Monitor::connect_within(&played.socket, LONG).unwrap();
    let work = || {
        has_begun.recv_timeout(LONG / 2).unwrap();
        done.send(()).unwrap();
    };
    let answer = monitor.execute_beside("query-status", Value::Null, Beside::of(&work));
    assert_eq!(answer.unwrap(), 7);
}

#[test]
fn a_guest_is_seen_to_be_there_and_to_have_gone() {
    let (leave, is_left) = std::sync::mpsc::channel::<()>();
    let played = play(move |mut peer| {
        peer.negotiate();
        // Said before it goes: what is left to read does not keep it.
        peer.write(r#"{"event": "SHUTDOWN"}"#);
        let _ = is_left.recv();
    });
    let monitor = Monitor::connect_within(&played.socket, LONG).unwrap();
    assert!(monitor.is_connected());
    drop(leave);
    drop(played);
    assert!(!monitor.is_connected());
}

#[test]
fn an_error_is_the_commands_and_the_monitor_goes_on() {
    let played = play(|mut peer| {
        peer.negotiate();
        let request = peer.read();
        assert_eq!(request["arguments"], json!({ "job-id": "a\"b" }));
        let error = json!({ "class": "GenericError", "desc": "no such job" });
        peer.write(&json!({ "error": error, "id": request["id"] }).to_string());
        let request = peer.read();
        assert_eq!(request.get("arguments"), None);
        peer.write(&json!({ "return": {}, "id": request["id"] }).to_string());
    });
    let monitor = Monitor::connect_within(&played.socket, LONG).unwrap();
    let error = monitor
        .execute("job-cancel", json!({ "job-id": "a\"b" }))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "unable to execute QEMU command 'job-cancel': no such job"
    );
    monitor.execute("stop", Value::Null).unwrap();
}

#[test]
fn every_lie_is_an_error() {
    for (lie, expected) in [
        ("nonsense", "sent what is no JSON object"),
        ("[1, 2]", "sent what is no JSON object: another value"),
        ("{\"return\": {}, \"id\": 77}", "nobody asked for"),
        ("{\"return\": {}, \"id\": \"2\"}", "nobody asked for"),
        ("{\"return\": {}}", "nobody asked for"),
        ("{\"error\": {\"desc\": \"x\"}}", "nobody asked for"),
        ("{}", "nobody asked for"),
        ("\u{0}", "sent what is no JSON object"),
        ("{\"a\": \"\u{1}\"}", "sent what is no JSON object"),
    ] {
        let reason = lost(one_command(move |peer, _| peer.write(lie)));
        assert!(reason.contains(expected), "{lie}: {reason}");
    }
    let deep = format!(
        "{{\"return\": {}1{}}}",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let reason = lost(one_command(move |peer, _| peer.write(&deep)));
    assert!(reason.contains("recursion limit"), "{reason}");
    assert!(matches!(
        one_command(|peer, request| peer.write(&json!({ "id": request["id"] }).to_string())),
        Err(Error::MonitorRefused { .. })
    ));
}

#[test]
fn a_line_without_end_is_refused() {
    let reason = lost(one_command(|peer, _| {
        peer.write(&" ".repeat(limits::MONITOR_LINE_BYTES + 20_000));
    }));
    assert!(reason.contains("a line of more than"), "{reason}");
}

#[test]
fn a_peer_that_dies_is_noticed_at_once_and_for_good() {
    let played = play(|mut peer| {
        peer.negotiate();
        peer.read();
        peer.write("{\"return\": {");
    });
    let monitor = Monitor::connect(&played.socket).unwrap();
    let start = Instant::now();
    for _ in 0..3 {
        let reason = lost(monitor.execute("query-status", Value::Null));
        assert!(
            reason.contains("closed") || reason.contains("no JSON"),
            "{reason}"
        );
    }
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_slow_peer_is_given_up_and_its_late_answer_dropped() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let played = play(move |mut peer| {
        peer.negotiate();
        let slow = peer.read();
        gone.recv().unwrap();
        peer.write(&json!({ "return": "late", "id": slow["id"] }).to_string());
        let next = peer.read();
        peer.write(&json!({ "return": "fresh", "id": next["id"] }).to_string());
    });
    let monitor = Monitor::connect_within(&played.socket, SHORT).unwrap();
    let start = Instant::now();
    let error = monitor.execute("stop", Value::Null).unwrap_err();
    assert!(matches!(error, Error::MonitorSlow { .. }), "{error}");
    assert!(start.elapsed() >= SHORT && start.elapsed() < SHORT * 10);
    go.send(()).unwrap();
    assert_eq!(monitor.execute("cont", Value::Null).unwrap(), "fresh");
}

#[test]
fn a_peer_that_trickles_or_chatters_forever_is_given_up() {
    for text in ["x", "{\"event\": \"NOISE\"}\n"] {
        let start = Instant::now();
        let result = one_command_within(SHORT, move |peer, _| {
            let end = Instant::now() + SHORT * 3;
            while Instant::now() < end {
                let _ = peer.lines.get_mut().write_all(text.as_bytes());
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        assert!(
            matches!(result, Err(Error::MonitorSlow { .. })),
            "{result:?}"
        );
        assert!(start.elapsed() < SHORT * 10);
    }
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let played = play(move |mut peer| {
        peer.negotiate();
        let _ = gone.recv();
    });
    let monitor = Monitor::connect_within(&played.socket, SHORT).unwrap();
    let reason = lost(monitor.execute("x", json!({ "y": "z".repeat(8 << 20) })));
    assert_eq!(reason, "does not take commands");
    drop(go);
}

#[test]
fn what_is_no_monitor_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let absent = Monitor::connect(&directory.path().join("none")).unwrap_err();
    assert!(absent.to_string().contains("cannot be used"), "{absent}");
    let long = Monitor::connect(&directory.path().join("x".repeat(200))).unwrap_err();
    assert!(long.to_string().contains("too long"), "{long}");
    let other = play(|mut peer| peer.write("{\"hello\": 1}"));
    let error = Monitor::connect_within(&other.socket, LONG).unwrap_err();
    assert!(error.to_string().ends_with("is no QMP server"), "{error}");
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let silent = play(move |_peer| {
        let _ = gone.recv();
    });
    let error = Monitor::connect_within(&silent.socket, SHORT).unwrap_err();
    assert!(error.to_string().contains("did not greet"), "{error}");
    drop(go);
}

#[test]
fn threads_get_their_own_answers() {
    const EACH: usize = 50;
    let played = play(|mut peer| {
        peer.negotiate();
        for _ in 0..4 * EACH {
            let request = peer.read();
            peer.write("{\"event\": \"NOISE\"}");
            let echo = &request["arguments"]["value"];
            peer.write(&json!({ "return": echo, "id": request["id"] }).to_string());
        }
    });
    let monitor = Arc::new(Monitor::connect(&played.socket).unwrap());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let monitor = &monitor;
            scope.spawn(move || {
                for turn in 0..EACH {
                    let value = json!(thread * 1000 + turn);
                    let answer = monitor.execute("echo", json!({ "value": value }));
                    assert_eq!(answer.unwrap(), value);
                }
            });
        }
    });
}
