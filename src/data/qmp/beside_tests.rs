//! What is captured beside a guest's disks and memory: at their instant, or none of it.

use std::cell::RefCell;

use serde_json::Value;

use super::external::{self, Afterwards, External};
use super::guest::Guest;
use super::{Commands, NewOverlay, Origin, status};
use crate::data::Beside;
use crate::data::progress::Unwatched;
use crate::error::{Error, Result};

fn running() -> (Guest, External) {
    let guest = Guest::new(1);
    guest.monitor.execute("cont", Value::Null).unwrap();
    let wanted = External {
        overlays: vec![NewOverlay {
            disk: "vda".to_owned(),
            image: guest.images[0].path.clone(),
            overlay: guest.path("s"),
            format: "qcow2".to_owned(),
            origin: Origin::Ours,
        }],
        inside: None,
        memory: None,
        afterwards: Afterwards::AsBefore,
    };
    (guest, wanted)
}

fn capture(guest: &Guest, wanted: &External, beside: &status::Beside<'_>) -> Result<()> {
    let work = Beside::default();
    external::capture(
        &*guest.monitor,
        None,
        wanted,
        Some(beside),
        &Unwatched,
        work,
    )
}

#[test]
fn the_guest_waits_for_it_and_goes_on() {
    let (guest, wanted) = running();
    let seen = RefCell::new(Vec::new());
    let beside = || {
        seen.borrow_mut().push(guest.status());
        Ok(())
    };
    capture(&guest, &wanted, &beside).unwrap();
    let captured = || {
        seen.borrow_mut().push(guest.status());
        Ok(())
    };
    status::waiting_for(&*guest.monitor, Some(&beside), captured).unwrap();
    assert_eq!(*seen.borrow(), ["paused"; 3]);
    assert_eq!(guest.status(), "running");
}

#[test]
fn when_it_fails_the_guest_goes_on_without_a_snapshot() {
    let (guest, wanted) = running();
    let nodes = guest.nodes();
    let beside = || -> Result<()> { Err(Error::NameMissing) };
    capture(&guest, &wanted, &beside).unwrap_err();
    let never = || panic!("not after a failure");
    status::waiting_for(&*guest.monitor, Some(&beside), never).unwrap_err();
    assert_eq!(guest.status(), "running");
    assert_eq!(guest.nodes(), nodes);
    assert!(!guest.path("s").exists());
}
