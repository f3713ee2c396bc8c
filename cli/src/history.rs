//! The snapshots of one domain, as this program shows them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::document::{self, KeptDisk};
use crate::failure::{Failure, Outcome};
use crate::ffi::{Domain, Snapshot, virSnapSize};
use crate::words;

/// Where a snapshot has the guest's memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Memory {
    None,
    Inside,
    File(String),
}

/// One snapshot.
#[derive(Clone, Debug)]
pub struct Taken {
    pub name: String,
    pub parent: Option<String>,
    pub description: Option<String>,
    /// What the guest was doing, in libvirt's word.
    pub state: String,
    /// Seconds since 1970.
    pub time: i64,
    pub memory: Memory,
    pub disks: Vec<KeptDisk>,
    /// How much it takes; none where that was not asked, or cannot be known.
    pub size: Option<virSnapSize>,
}

impl Taken {
    pub fn of(snapshot: &Snapshot) -> Outcome<Taken> {
        let xml = snapshot.xml(0)?;
        let document = document::parse(&xml)?;
        let root = document.root_element();
        let memory = document::child(root, "memory");
        let memory = match memory.and_then(|memory| memory.attribute("snapshot")) {
            Some("internal") => Memory::Inside,
            Some("external") => Memory::File(
                memory
                    .and_then(|memory| memory.attribute("file"))
                    .unwrap_or_default()
                    .to_owned(),
            ),
            _ => Memory::None,
        };
        Ok(Taken {
            name: document::text(root, "name").unwrap_or_default(),
            parent: document::child(root, "parent")
                .and_then(|parent| document::text(parent, "name")),
            description: document::text(root, "description"),
            state: document::text(root, "state").unwrap_or_default(),
            time: document::text(root, "creationTime")
                .and_then(|time| time.parse().ok())
                .unwrap_or(0),
            memory,
            disks: document::kept_disks(root),
            size: None,
        })
    }

    /// Where the data is: `internal`, `external`, `mixed` or, of no disk at all, `none`.
    pub fn kind(&self) -> &'static str {
        let has = |how| self.disks.iter().any(|disk| disk.how == how);
        match (has("internal"), has("external")) {
            (true, true) => "mixed",
            (true, false) => "internal",
            (false, true) => "external",
            (false, false) => "none",
        }
    }

    /// How much it takes, for people.
    pub fn size_words(&self) -> String {
        match self.size {
            Some(size) if size.unknown == 0 => words::size(size.occupied),
            Some(size) => format!("{} and more", words::size(size.occupied)),
            None => "-".to_owned(),
        }
    }

    /// Where the memory is, in a word.
    pub fn memory_word(&self) -> &'static str {
        match self.memory {
            Memory::None => "-",
            Memory::Inside => "inside",
            Memory::File(_) => "file",
        }
    }

    pub fn json(&self, is_current: bool) -> Value {
        json!({
            "name": self.name,
            "parent": self.parent,
            "current": is_current,
            "description": self.description,
            "state": self.state,
            "time": self.time,
            "kind": self.kind(),
            "memory": match &self.memory {
                Memory::None => Value::Null,
                Memory::Inside => json!({"snapshot": "internal"}),
                Memory::File(file) => json!({"snapshot": "external", "file": file}),
            },
            "disks": self.disks.iter().map(|disk| json!({
                "target": disk.target,
                "snapshot": disk.how,
                "file": disk.file,
            })).collect::<Vec<_>>(),
            "size": self.size.map(|size| json!({
                "occupied": size.occupied,
                "freed": size.freed,
                "memory": size.memory,
                "unknown": size.unknown,
            })),
        })
    }
}

/// All snapshots of a domain.
#[derive(Debug)]
pub struct History {
    pub domain: String,
    pub uuid: String,
    pub snapshots: Vec<Taken>,
    pub current: Option<String>,
}

impl History {
    pub fn of(domain: &Domain) -> Outcome<History> {
        let snapshots = domain
            .snapshots()?
            .iter()
            .map(Taken::of)
            .collect::<Outcome<Vec<_>>>()?;
        Ok(History {
            domain: domain.name(),
            uuid: domain.uuid()?,
            snapshots,
            current: domain.current()?.map(|current| current.name()),
        })
    }

    /// The same, with the size of each: the tables of its images are read.
    pub fn measured(domain: &Domain) -> Outcome<History> {
        let mut history = History::of(domain)?;
        for taken in &mut history.snapshots {
            taken.size = domain.snapshot(&taken.name)?.size().ok();
        }
        Ok(history)
    }

    pub fn is_current(&self, name: &str) -> bool {
        self.current.as_deref() == Some(name)
    }

    /// The snapshots below each one, in the order of time; below none, the roots.
    pub fn children(&self) -> BTreeMap<Option<&str>, Vec<&Taken>> {
        let names: BTreeSet<&str> = self.snapshots.iter().map(|taken| &*taken.name).collect();
        let mut below: BTreeMap<Option<&str>, Vec<&Taken>> = BTreeMap::new();
        for taken in &self.snapshots {
            let parent = taken
                .parent
                .as_deref()
                .filter(|parent| names.contains(parent));
            below.entry(parent).or_default().push(taken);
        }
        for children in below.values_mut() {
            children.sort_by(|a, b| (a.time, &a.name).cmp(&(b.time, &b.name)));
        }
        below
    }

    /// Lines of a tree: each snapshot before its children. Where the guest is stands behind the
    /// children of the current snapshot.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let below = self.children();
        let mut rows: Vec<Row<'_>> = Vec::new();
        let mut waiting = vec![Row {
            taken: None,
            lasts: Vec::new(),
        }];
        while let Some(row) = waiting.pop() {
            let name = row.taken.map(|taken| &*taken.name);
            if name.is_some() || row.lasts.is_empty() {
                let children = below.get(&name).map_or(&[][..], Vec::as_slice);
                let here = (name.is_some() && name == self.current.as_deref()).then_some(None);
                let next = children.iter().copied().map(Some).chain(here);
                let first = waiting.len();
                for taken in next {
                    waiting.push(Row {
                        taken,
                        lasts: [&*row.lasts, &[false]].concat(),
                    });
                }
                if let Some(last) = waiting.get_mut(first..).and_then(<[_]>::last_mut)
                    && let Some(is_last) = last.lasts.last_mut()
                {
                    *is_last = true;
                }
                if let Some(added) = waiting.get_mut(first..) {
                    added.reverse();
                }
            }
            if !row.lasts.is_empty() {
                rows.push(row);
            }
        }
        rows
    }

    /// The snapshots in the order of these lines.
    pub fn in_order(&self) -> Vec<&Taken> {
        self.rows().iter().filter_map(|row| row.taken).collect()
    }

    /// The snapshot of that name.
    pub fn find(&self, name: &str) -> Outcome<&Taken> {
        self.snapshots
            .iter()
            .find(|taken| taken.name == name)
            .ok_or_else(|| {
                Failure::NotFound(format!("no snapshot '{name}' of domain '{}'", self.domain))
            })
    }
}

/// A line of a tree.
#[derive(Debug)]
pub struct Row<'a> {
    /// The snapshot; or none, where the guest is.
    pub taken: Option<&'a Taken>,
    /// Of it and each one above it, whether it is the last child of its parent.
    pub lasts: Vec<bool>,
}

/// Seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
