//! Puts the header's pointer to the snapshot table back.
//!
//! QEMU writes a changed table to new clusters, moves the header to it and flushes. If that flush
//! fails, it frees the new clusters (up to 7.2 at least) although the header names them, and every
//! snapshot of the image is lost with them. The old table stays as it was, so the header can be
//! moved back.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{Facts, ImageFile, Result, header, table};

/// Where the header has `nb_snapshots` and `snapshots_offset`: docs/interop/qcow2.txt, "Header".
const TABLE_FIELDS: u64 = 60;

impl ImageFile {
    /// Makes the header name the table of `before` again, if that table is still whole and the
    /// header names another that is not. Whether it did.
    pub fn restore_table(&self, path: &Path, before: &Facts) -> Result<bool> {
        let now = header::read(&self.file)?;
        if (now.snapshot_count, now.snapshots_offset) == before.table
            || table::read(&self.file, &now).is_ok_and(|entries| is_subset(&entries, before))
        {
            return Ok(false);
        }
        let (count, offset) = before.table;
        let mut former = header::read(&self.file)?;
        former.snapshot_count = count;
        former.snapshots_offset = offset;
        if table::read(&self.file, &former)? != before.snapshots {
            return Ok(false);
        }
        let file = OpenOptions::new().write(true).open(path)?;
        let mut fields = [0; 12];
        let (first, second) = fields.split_at_mut(4);
        first.copy_from_slice(&count.to_be_bytes());
        second.copy_from_slice(&offset.to_be_bytes());
        file.write_all_at(&fields, TABLE_FIELDS)?;
        file.sync_data()?;
        Ok(true)
    }
}

/// Whether a table can be what QEMU has made of the one before: at most one entry more or less,
/// and all others as they were.
fn is_subset(entries: &[super::Entry], before: &Facts) -> bool {
    let added = entries
        .iter()
        .filter(|entry| !before.snapshots.contains(entry));
    let gone = before
        .snapshots
        .iter()
        .filter(|entry| !entries.contains(entry));
    added.count() + gone.count() <= 1
}
