//! The images of one operation: opened, told apart, checked.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::data::Image;
use crate::data::hold::write_refused;
use crate::data::qcow2::{Encryption, Entry, Facts, Identity, ImageFile, Unreadable};
use crate::error::{Error, Result};

/// An image that is worked on.
#[derive(Debug)]
pub(super) struct Target<'a> {
    pub image: &'a Image,
    file: ImageFile,
}

/// Opens each image once, also where several disks or several names lead to it.
pub(super) fn open_all(images: &[Image]) -> Result<Vec<Target<'_>>> {
    let mut targets: Vec<Target<'_>> = Vec::with_capacity(images.len());
    for image in images {
        let target = Target::open(image)?;
        if targets
            .iter()
            .all(|known| known.file.identity() != target.file.identity())
        {
            targets.push(target);
        }
    }
    Ok(targets)
}

impl<'a> Target<'a> {
    pub fn open(image: &'a Image) -> Result<Target<'a>> {
        let file = ImageFile::open(&image.path).map_err(|error| unusable(image, &error))?;
        Ok(Target { image, file })
    }

    /// What header and snapshot table say now.
    pub fn facts(&self) -> Result<Facts> {
        self.file
            .facts()
            .map_err(|error| unusable(self.image, &error))
    }

    /// As [`Target::facts`], for an image whose snapshots are about to be changed.
    pub fn writable_facts(&self) -> Result<Facts> {
        let facts = self.facts()?;
        let obstacle = if facts.has_external_data() {
            Some("an image with an external data file cannot hold internal snapshots".to_owned())
        } else if facts.encryption != Encryption::None {
            Some("the image is encrypted and no secret is known for it".to_owned())
        } else if facts.is_corrupt() {
            Some("the image is marked corrupt".to_owned())
        } else {
            not_writable(&self.image.path)
        };
        match obstacle {
            Some(reason) => Err(self.unusable(reason)),
            None => Ok(facts),
        }
    }

    pub fn unusable(&self, reason: String) -> Error {
        Error::ImageUnusable {
            disk: self.image.disk.clone(),
            image: self.image.path.clone(),
            reason,
        }
    }

    /// Whether the guest would see exactly what the snapshot holds.
    pub fn shows(&self, facts: &Facts, entry: &Entry) -> Result<bool> {
        self.file
            .shows(facts, entry)
            .map_err(|error| unusable(self.image, &error))
    }

    /// Whether nothing was written since one of the snapshots was captured or applied.
    pub fn is_made_of(&self, facts: &Facts, entries: &[&Entry]) -> Result<bool> {
        self.file
            .is_made_of(facts, entries)
            .map_err(|error| unusable(self.image, &error))
    }

    /// Undoes what QEMU's own failure has done to the snapshot table.
    pub fn restore_table(&self, before: &Facts) -> Result<bool> {
        self.file
            .restore_table(&self.image.path, before)
            .map_err(|error| unusable(self.image, &error))
    }

    /// Makes durable what `qemu-img` has written.
    pub fn sync(&self) -> std::io::Result<()> {
        self.file.sync()
    }

    /// The image for `--image-opts`: neither format nor protocol is probed, and the path is
    /// nothing but a path. QEMU's option syntax has one special character within a value, the
    /// comma, which is doubled.
    pub fn options(&self) -> OsString {
        let driver = match self.file.identity() {
            Identity::File(..) => "file",
            Identity::Device(_) => "host_device",
        };
        let mut options = format!("driver=qcow2,file.driver={driver},file.filename=").into_bytes();
        for byte in self.image.path.as_os_str().as_bytes() {
            options.push(*byte);
            if *byte == b',' {
                options.push(b',');
            }
        }
        OsString::from_vec(options)
    }
}

/// The only snapshot of that name.
pub(super) fn only<'f>(facts: &'f Facts, name: &'f str) -> Option<&'f Entry> {
    let mut entries = facts.named(name);
    entries.next().filter(|_| entries.next().is_none())
}

/// Why `qemu-img` could not write there.
fn not_writable(path: &Path) -> Option<String> {
    let errno = write_refused(path)?;
    Some(format!(
        "cannot be written: {}",
        std::io::Error::from(errno)
    ))
}

fn unusable(image: &Image, error: &Unreadable) -> Error {
    Error::ImageUnusable {
        disk: image.disk.clone(),
        image: image.path.clone(),
        reason: error.to_string(),
    }
}
