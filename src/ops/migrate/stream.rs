//! The hierarchy as a stream of bytes.
//!
//! | part | bytes |
//! | --- | --- |
//! | head | `virsnap-snapshots 1 ID UUID COUNT` and a newline |
//! | each document | `document LENGTH`, a newline, LENGTH bytes |
//! | end | `complete COUNT SHA256` and a newline |
//!
//! COUNT and LENGTH are 8 hexadecimal digits, ID 32, SHA256 64, UUID 36 characters: every part but a
//! document has one length, so a reader takes no byte behind the end. Documents are as libvirt's
//! QEMU driver stores them, parents before their children.

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use crate::limits;
use crate::snapshot::Snapshot;
use crate::{uuid, xml};

const MAGIC: &str = "virsnap-snapshots 1 ";
const DOCUMENT: &str = "document ";
const COMPLETE: &str = "complete ";
const NUMBER_BYTES: usize = 8;
const ID_BYTES: usize = 32;
const UUID_BYTES: usize = 36;
const DIGEST_BYTES: usize = 64;
const HEAD_BYTES: usize = MAGIC.len() + ID_BYTES + 1 + UUID_BYTES + 1 + NUMBER_BYTES + 1;
const FRAME_BYTES: usize = DOCUMENT.len() + NUMBER_BYTES + 1;

/// Takes bytes that are sent.
pub type Send<'a> = &'a mut dyn FnMut(&[u8]) -> Result<()>;

/// Fills a part of the array, and answers how much; 0 where the stream ends.
pub type Receive<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<usize>;

/// A snapshot's document in a stream.
pub(super) fn document(snapshot: &Snapshot) -> String {
    xml::format(snapshot, xml::Form::Stored { active: false })
}

/// The digest of documents: SHA-256 of the length (64 bits, big-endian) and the bytes of each.
#[derive(Default)]
pub(crate) struct Sum(Sha256);

impl Sum {
    /// Adds the next document.
    pub fn add(&mut self, document: &str) {
        self.0.update((document.len() as u64).to_be_bytes());
        self.0.update(document);
    }

    /// In hexadecimal digits.
    pub fn digest(self) -> String {
        let digest = self.0.finalize();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Writes a stream.
pub(super) struct Writer<'a> {
    send: Send<'a>,
    sum: Sum,
    count: usize,
}

impl<'a> Writer<'a> {
    /// Writes the head.
    pub fn begin(send: Send<'a>, id: &str, uuid: &[u8; 16], count: usize) -> Result<Writer<'a>> {
        let uuid = uuid::format(uuid);
        send(format!("{MAGIC}{id} {uuid} {count:08x}\n").as_bytes())?;
        Ok(Writer {
            send,
            sum: Sum::default(),
            count: 0,
        })
    }

    /// Writes a document.
    pub fn document(&mut self, text: &str) -> Result<()> {
        self.sum.add(text);
        self.count = self.count.saturating_add(1);
        let head = format!("{DOCUMENT}{:08x}\n", text.len());
        let mut frame = Vec::with_capacity(head.len().saturating_add(text.len()));
        frame.extend_from_slice(head.as_bytes());
        frame.extend_from_slice(text.as_bytes());
        (self.send)(&frame)
    }

    /// Writes the end, and answers the digest.
    pub fn end(self) -> Result<String> {
        let digest = self.sum.digest();
        (self.send)(format!("{COMPLETE}{:08x} {digest}\n", self.count).as_bytes())?;
        Ok(digest)
    }
}

/// Reads a stream, and refuses what is none.
pub(super) struct Reader<'a> {
    receive: Receive<'a>,
    domain: &'a str,
    /// Which migration it is of.
    pub id: String,
    /// How many documents it says it has.
    pub count: usize,
    sum: Sum,
    seen: usize,
}

/// What a stream has next.
pub(super) enum Part {
    /// A document.
    Document(String),
    /// The end: the digest of all documents, which is right.
    Complete(String),
}

impl<'a> Reader<'a> {
    /// Reads the head of a stream of the domain's.
    pub fn begin(domain: &'a str, uuid: &[u8; 16], receive: Receive<'a>) -> Result<Reader<'a>> {
        let mut reader = Reader {
            receive,
            domain,
            id: String::new(),
            count: 0,
            sum: Sum::default(),
            seen: 0,
        };
        let head = reader.text(HEAD_BYTES)?;
        let parts = head.strip_prefix(MAGIC).and_then(parse_head);
        let Some((id, found, count)) = parts else {
            return Err(reader.refused("it is not a stream of snapshots"));
        };
        let expected = uuid::format(uuid);
        if found != expected {
            return Err(reader.refused(format!(
                "it is of a domain with uuid {found}, and this one has {expected}"
            )));
        }
        if count > limits::MIGRATION_SNAPSHOTS {
            let limit = limits::MIGRATION_SNAPSHOTS;
            return Err(reader.refused(format!("it has {count} snapshots; {limit} are possible")));
        }
        reader.id = id.to_owned();
        reader.count = count;
        Ok(reader)
    }

    /// Reads the next part.
    pub fn next(&mut self) -> Result<Part> {
        let frame = self.text(FRAME_BYTES)?;
        if let Some(length) = frame.strip_prefix(DOCUMENT).and_then(parse_frame) {
            return self.document(length);
        }
        let count = frame
            .strip_prefix(COMPLETE)
            .and_then(|rest| rest.strip_suffix(' '))
            .and_then(parse_number);
        match count {
            Some(count) => self.complete(count),
            None => Err(self.refused("what follows is neither a document nor the end")),
        }
    }

    fn document(&mut self, length: usize) -> Result<Part> {
        self.seen = self.seen.saturating_add(1);
        if self.seen > self.count {
            return Err(self.refused(format!("it has more documents than its {}", self.count)));
        }
        if length > limits::STATE_FILE_BYTES {
            let limit = limits::STATE_FILE_BYTES;
            let reason = format!("document {} has {length} bytes, over {limit}", self.seen);
            return Err(self.refused(reason));
        }
        let text = self.text(length)?;
        self.sum.add(&text);
        Ok(Part::Document(text))
    }

    fn complete(&mut self, count: usize) -> Result<Part> {
        if count != self.count || self.seen != self.count {
            let (seen, expected) = (self.seen, self.count);
            return Err(self.refused(format!("it has {seen} documents of {expected}")));
        }
        let line = self.text(DIGEST_BYTES + 1)?;
        let digest = std::mem::take(&mut self.sum).digest();
        if line.strip_suffix('\n') != Some(&digest) {
            return Err(self.refused("its documents are not those of its digest"));
        }
        Ok(Part::Complete(digest))
    }

    /// The line that follows the end of what is kept: who sent it had other documents.
    pub fn source_digest(&mut self) -> Result<String> {
        let mut line = self.text(DIGEST_BYTES + 1)?;
        match line.pop() {
            Some('\n') => Ok(line),
            _ => Err(self.refused("it does not say what was sent")),
        }
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let mut bytes = vec![0; length];
        let mut rest = bytes.as_mut_slice();
        while !rest.is_empty() {
            let count = (self.receive)(rest)?;
            if count == 0 {
                return Err(self.refused("it ends too early"));
            }
            rest = rest.get_mut(count..).unwrap_or_default();
        }
        String::from_utf8(bytes).map_err(|_| self.refused("it is not UTF-8"))
    }

    /// The error of a stream that cannot be taken.
    pub fn refused(&self, reason: impl Into<String>) -> Error {
        Error::MigrationStream {
            domain: self.domain.to_owned(),
            reason: reason.into(),
        }
    }
}

fn parse_head(rest: &str) -> Option<(&str, &str, usize)> {
    let (id, rest) = rest.split_once(' ')?;
    let (uuid, count) = rest.strip_suffix('\n')?.split_once(' ')?;
    let is_id = id.len() == ID_BYTES && id.bytes().all(is_digit);
    is_id.then_some((id, uuid, parse_number(count)?))
}

fn parse_frame(rest: &str) -> Option<usize> {
    parse_number(rest.strip_suffix('\n')?)
}

fn parse_number(text: &str) -> Option<usize> {
    let is_number = text.len() == NUMBER_BYTES && text.bytes().all(is_digit);
    is_number.then(|| usize::from_str_radix(text, 16).ok())?
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
