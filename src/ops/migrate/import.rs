//! The destination: what comes in stays invisible until Finish.

use std::collections::HashSet;
use std::io::Read;
use std::sync::Arc;

use super::record::{self, Kept, Phase};
use super::stream::{Part, Reader, Receive, Writer};
use crate::error::{Error, Result};
use crate::ops::create::check_snapshot_name;
use crate::ops::domain::Domain;
use crate::ops::events::Cause;
use crate::ops::stored;
use crate::ops::uri::RedefineCheck;
use crate::snapshot::Snapshot;
use crate::store::Fill;
use crate::tree::Plan;
use crate::uuid;
use crate::xml::{self, Cookie, Mapping};

impl Domain {
    /// Takes a stream in, whole or not at all. It is checked while it is read, against the data as
    /// `check` says. Repeated, it takes the place of what came before.
    pub fn migrate_import(
        &self,
        receive: Receive<'_>,
        mapping: Mapping,
        check: RedefineCheck,
    ) -> Result<()> {
        let _writing = self.write_migrating()?;
        let kept = self.kept()?;
        if kept.phase == Phase::Outgoing {
            return Err(self.migrating(kept.phase));
        }
        let mut reader = Reader::begin(self.name(), self.uuid(), receive)?;
        if kept.id == reader.id {
            self.check_not_over(kept.phase)?;
        }
        let mut incoming = Incoming {
            domain: self,
            mapping,
            check,
            names: HashSet::new(),
        };
        let fill: &mut Fill<'_> = &mut |out| incoming.take_in(&mut reader, out);
        self.store().receive(self.key(), fill)
    }

    fn check_not_over(&self, phase: Phase) -> Result<()> {
        match phase {
            Phase::Finished => Err(self.out_of_turn("import", "it was finished here before")),
            Phase::Cancelled => Err(self.out_of_turn("import", "it was cancelled here")),
            Phase::Confirmed => Err(self.out_of_turn("import", "it began here")),
            Phase::None | Phase::Outgoing | Phase::Incoming => Ok(()),
        }
    }

    /// Makes what came in visible, all at once, and current what the cookie says. Without a cookie no
    /// other snapshot becomes current.
    pub fn migrate_finish(&self, cookie: Option<&str>) -> Result<()> {
        let cookie = self.read_cookie(cookie)?;
        let writing = self.write_migrating()?;
        let kept = self.kept()?;
        let is_same = cookie.as_ref().is_none_or(|cookie| cookie.id == kept.id);
        match kept.phase {
            Phase::Incoming if is_same => {}
            Phase::Finished if is_same => return Ok(()),
            Phase::Incoming | Phase::Finished => {
                let reason = "it is not of what came in last";
                return Err(self.refused_cookie(reason.to_owned()));
            }
            Phase::Cancelled => return Err(self.out_of_turn("finish", "it was cancelled here")),
            Phase::None | Phase::Outgoing | Phase::Confirmed => {
                return Err(self.out_of_turn("finish", "nothing has come in"));
            }
        }
        self.check_guest_arrived()?;
        let finished = record::finished(&kept.id);
        let (snapshots, digest) = self.arrived(kept)?;
        let current = match &cookie {
            None => self.current()?,
            Some(cookie) => self.current_of(cookie, &snapshots, &digest)?,
        };
        let mut put = Vec::with_capacity(snapshots.len());
        for snapshot in snapshots {
            if self.is_new(&snapshot)? {
                put.push(snapshot);
            }
        }
        let plan = Plan {
            put,
            drop: Vec::new(),
            current,
        };
        writing
            .because(Cause::Arrived)
            .commit_migration(&plan, finished)
    }

    /// What has come in, and the digest of what was sent.
    fn arrived(&self, kept: Kept) -> Result<(Vec<Arc<Snapshot>>, String)> {
        let path = self.store().migration_path(self.key());
        let mut rest = kept.rest;
        let failed = |cause| Error::io("read", path.clone(), cause);
        let mut receive = |bytes: &mut [u8]| rest.read(bytes).map_err(failed);
        let damaged = |error: Error| match error {
            Error::MigrationStream { reason, .. } => Error::Damaged {
                path: path.clone(),
                reason,
            },
            other => other,
        };
        let mut reader = Reader::begin(self.name(), self.uuid(), &mut receive).map_err(damaged)?;
        let mut snapshots = Vec::with_capacity(reader.count);
        while let Part::Document(text) = reader.next().map_err(damaged)? {
            snapshots.push(Arc::new(self.parse_incoming(&text)?));
        }
        let digest = reader.source_digest().map_err(damaged)?;
        Ok((snapshots, digest))
    }

    /// What the cookie makes current, if it is the cookie of what came in.
    fn current_of(
        &self,
        cookie: &Cookie,
        snapshots: &[Arc<Snapshot>],
        digest: &str,
    ) -> Result<Option<Arc<str>>> {
        if cookie.count != snapshots.len() || cookie.digest != digest {
            let reason = "its digest is not that of the snapshots that came in";
            return Err(self.refused_cookie(reason.to_owned()));
        }
        let Some(name) = &cookie.current else {
            return Ok(None);
        };
        let found = snapshots.iter().find(|snapshot| *snapshot.name == **name);
        match found {
            Some(snapshot) => Ok(Some(Arc::clone(&snapshot.name))),
            None => {
                let reason = format!("its current snapshot '{name}' did not come in");
                Err(self.refused_cookie(reason))
            }
        }
    }

    /// Reads a document that came in, as one that is loaded, and refuses another domain's.
    fn parse_incoming(&self, text: &str) -> Result<Snapshot> {
        let mut definitions = self.definitions();
        let mut snapshot = xml::parse_with(text, xml::Mode::Load, &definitions)?.snapshot;
        if let Some(definition) = &snapshot.domain {
            let found = definitions.facts(definition)?.uuid;
            if found.is_some_and(|found| found != *self.uuid()) {
                return Err(Error::ForeignDefinition {
                    name: snapshot.name.to_string(),
                    uuid: uuid::format(self.uuid()),
                });
            }
        }
        definitions.share_disks(&mut snapshot);
        Ok(snapshot)
    }

    /// Whether a snapshot is not there yet. One that is there must be the same.
    pub(in crate::ops) fn is_new(&self, snapshot: &Snapshot) -> Result<bool> {
        match self.tree()?.get(&snapshot.name) {
            Err(_) => Ok(true),
            Ok(known) if **known == *snapshot => Ok(false),
            Ok(_) => Err(Error::MigrationConflict {
                domain: self.name().to_string(),
                name: snapshot.name.to_string(),
            }),
        }
    }
}

/// Takes documents in, one at a time.
struct Incoming<'a> {
    domain: &'a Domain,
    mapping: Mapping,
    check: RedefineCheck,
    names: HashSet<Arc<str>>,
}

impl Incoming<'_> {
    /// Writes what is kept until Finish: documents with this host's paths, and the digest of those
    /// that were sent.
    fn take_in(&mut self, reader: &mut Reader<'_>, out: super::Send<'_>) -> Result<()> {
        out(record::incoming(&reader.id).as_bytes())?;
        let uuid = self.domain.uuid();
        let mut writer = Writer::begin(&mut *out, &reader.id, uuid, reader.count)?;
        let digest = loop {
            match reader.next()? {
                Part::Document(text) => {
                    let snapshot = self.check(reader, &text)?;
                    writer.document(&self.stored(snapshot)?)?;
                }
                Part::Complete(digest) => break digest,
            }
        };
        writer.end()?;
        out(format!("{digest}\n").as_bytes())
    }

    fn check(&mut self, reader: &Reader<'_>, text: &str) -> Result<Snapshot> {
        let snapshot = self.domain.parse_incoming(text)?;
        check_snapshot_name(&snapshot.name)?;
        self.domain.check_name(&snapshot.name)?;
        if let Some(parent) = &snapshot.parent
            && !self.names.contains(parent)
        {
            let name = &snapshot.name;
            let reason = format!("parent '{parent}' of snapshot '{name}' did not come before it");
            return Err(reader.refused(reason));
        }
        if !self.names.insert(Arc::clone(&snapshot.name)) {
            let reason = format!("snapshot '{}' comes twice", snapshot.name);
            return Err(reader.refused(reason));
        }
        Ok(snapshot)
    }

    fn stored(&mut self, snapshot: Snapshot) -> Result<String> {
        let snapshot = self.mapping.snapshot(snapshot)?;
        let text = stored::document(&snapshot, false, &self.domain.definitions())?;
        // As it is loaded again: with its definition in its place.
        let snapshot = self.domain.parse_incoming(&text)?;
        self.domain.is_new(&snapshot)?;
        if self.check == RedefineCheck::Strict {
            self.domain.check_data(&snapshot)?;
        }
        Ok(text)
    }
}
