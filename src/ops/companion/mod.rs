//! Companion mode: domains of the real libvirt, whose snapshots are kept here.
//!
//! A [`Domain`] is made for each call, from what this process knows of the domain's snapshots and
//! from libvirt, which is asked each time whether the domain is still there. libvirt works on guest
//! data, by
//! [`crate::data::Executor`]; it keeps metadata of a snapshot only while it does so.

use std::sync::Arc;

use crate::data::Libvirt as Data;
use crate::error::Result;
use crate::host::Libvirt as Host;
use crate::libvirt;

use super::domain::Domain;
use super::uri::RedefineRules;

mod adopt;
mod create;
mod delete;
mod lend;
mod migrate;
mod offline;
mod place;
mod plan;
mod revert;
mod settings;
mod settle;
mod undefine;

pub use migrate::{Original, Permit, adopt_from, permit_migration, replay};
pub(super) use settle::settled;
pub use undefine::undefine;

use place::Place;
use settings::settings;

/// The domain, for calls that change nothing. Snapshots that libvirt itself keeps are seen, too.
pub fn to_read(guest: libvirt::Domain) -> Result<Domain> {
    let (place, domain) = open(guest)?;
    let Some(executor) = domain.data.executor() else {
        return Ok(domain);
    };
    let kept = executor.kept()?;
    if kept.is_empty() {
        return Ok(domain);
    }
    adopt::view(&place, domain, kept)
}

/// The domain, for a call that changes its snapshots.
pub fn to_change(guest: libvirt::Domain) -> Result<Domain> {
    let (_, domain) = open(guest)?;
    if let Some(executor) = domain.data.executor() {
        executor.kept()?;
    }
    Ok(domain)
}

/// How REDEFINE of a domain of libvirt's is carried out.
pub fn redefine_rules() -> Result<RedefineRules> {
    let settings = settings()?;
    Ok(RedefineRules {
        current: settings.redefine_current,
        check: settings.redefine_check,
    })
}

fn open(guest: libvirt::Domain) -> Result<(Arc<Place>, Domain)> {
    let driver = guest.driver()?;
    let place = Place::of(&guest, driver)?;
    let guest = Arc::new(guest);
    let records = place.records(guest.uuid()?);
    let domain = Domain::called(
        guest.name()?.into(),
        records,
        Arc::new(Host::new(Arc::clone(&guest))),
        Arc::new(Data::new(guest, driver)?),
    );
    Ok((place, domain))
}
