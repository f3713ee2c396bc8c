//! The phases of a migration wait for the domain's guest: a monitor is played that says how it is.

#![allow(clippy::unwrap_used, reason = "what helps a test may fail like a test")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use virsnap::ops::{
    Access, Carry, Connection, CreateFlags, Domain, ListFlags, Outcome, Phase, RedefineCheck,
    RedefineRules,
};
use virsnap::snapshot::State;
use virsnap::xml::Mapping;

const DEFINITION: &str = "<domain type='qemu'><name>d</name>\
    <uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid><os><type>hvm</type></os></domain>";

/// A guest's monitor. QEMU's words for its states are QMP's RunState.
struct Guest {
    status: Arc<Mutex<&'static str>>,
}

impl Guest {
    /// Attaches it to the domain.
    fn attach(domain: &Domain, directory: &Path, status: &'static str) -> Guest {
        let socket = directory.join("qmp");
        let listener = UnixListener::bind(&socket).unwrap();
        let status = Arc::new(Mutex::new(status));
        let told = Arc::clone(&status);
        // It ends with the connection, which ends with the domain.
        std::thread::spawn(move || answer(listener.accept().unwrap().0, &told));
        domain
            .guest()
            .unwrap()
            .attach(&socket, None, virsnap::limits::MONITOR_REPLY)
            .unwrap();
        Guest { status }
    }

    fn becomes(&self, status: &'static str) {
        *self.status.lock().unwrap() = status;
    }
}

fn answer(mut stream: UnixStream, status: &Mutex<&'static str>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    writeln!(
        stream,
        "{}",
        json!({ "QMP": { "version": {}, "capabilities": [] } })
    )
    .unwrap();
    for line in lines.map_while(Result::ok) {
        let request: Value = serde_json::from_str(&line).unwrap();
        let now = *status.lock().unwrap();
        let said = json!({ "status": now, "running": now == "running" });
        let reply = json!({ "return": said, "id": request.get("id") });
        if writeln!(stream, "{reply}").is_err() {
            return;
        }
    }
}

/// A domain with one snapshot, and its directory; `None`: with none.
fn domain(directory: &Path, snapshot: Option<&str>) -> Arc<Domain> {
    let uri = format!(
        "virsnap://{}?redefine_check=trust",
        directory.join("state").display()
    );
    let connection = Connection::open(&uri, Access::ReadWrite).unwrap();
    let domain = connection.define(DEFINITION).unwrap();
    if let Some(name) = snapshot {
        let text = format!(
            "<domainsnapshot><name>{name}</name><state>shutoff</state>\
             <creationTime>5</creationTime>{DEFINITION}</domainsnapshot>"
        );
        let rules = RedefineRules {
            check: RedefineCheck::Trust,
            ..RedefineRules::default()
        };
        domain
            .create(&text, CreateFlags::new(1, "test").unwrap(), rules)
            .unwrap();
    }
    domain
}

fn count(domain: &Domain) -> usize {
    let every = ListFlags::new(0, "test").unwrap();
    domain.list(every).unwrap().len()
}

#[test]
fn confirm_waits_until_the_guest_has_gone_and_lets_it_go() {
    let directory = tempfile::tempdir().unwrap();
    let source = domain(directory.path(), Some("s"));
    let guest = Guest::attach(&source, directory.path(), "running");
    source.migrate_begin(Carry::Metadata).unwrap();
    for status in ["running", "paused", "finish-migrate", "shutdown"] {
        guest.becomes(status);
        let refused = source.migrate_confirm(None, Outcome::Success);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "cannot confirm migration of domain 'd': its guest is still here"
        );
        assert_eq!(source.migrate_state().unwrap().0, Phase::Outgoing);
        assert_eq!(count(&source), 1, "{status}");
    }
    guest.becomes("postmigrate");
    assert_eq!(source.state().unwrap(), State::Paused);
    source.migrate_confirm(None, Outcome::Success).unwrap();
    assert_eq!(count(&source), 0);
    assert_eq!(source.state().unwrap(), State::Shutoff);
}

#[test]
fn finish_waits_until_the_guest_has_arrived() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = domain(here.path(), Some("s"));
    let destination = domain(there.path(), None);
    let guest = Guest::attach(&destination, there.path(), "inmigrate");
    let cookie = source.migrate_begin(Carry::Metadata).unwrap();
    let mut stream = Vec::new();
    source
        .migrate_export(&mut |bytes| {
            stream.extend_from_slice(bytes);
            Ok(())
        })
        .unwrap();
    let mut rest = stream.as_slice();
    let mut receive = |bytes: &mut [u8]| Ok(std::io::Read::read(&mut rest, bytes).unwrap());
    destination
        .migrate_import(&mut receive, Mapping::default(), RedefineCheck::Trust)
        .unwrap();
    let refused = destination.migrate_finish(cookie.as_deref());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "cannot finish migration of domain 'd': its guest has not arrived"
    );
    assert_eq!(count(&destination), 0);
    assert_eq!(destination.migrate_state().unwrap().0, Phase::Incoming);
    guest.becomes("paused");
    destination.migrate_finish(cookie.as_deref()).unwrap();
    assert_eq!(count(&destination), 1);
    assert_eq!(destination.state().unwrap(), State::Paused);
}
