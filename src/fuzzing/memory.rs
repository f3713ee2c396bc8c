//! Domains on a simulated disk, whose guests have no data.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use crate::data::{Beside, Data, Merge, Merged, Point, Restore};
use crate::error::Result;
use crate::ops::fuzzing::Driver;
use crate::store::disk::Disk;

/// A driver of the domains on a disk.
pub(crate) fn driver(disk: &Disk) -> Result<Arc<Driver>> {
    let driver = Driver::new(disk.open()?, Arc::new(NoData))?;
    Ok(Arc::new(driver.for_writing()))
}

struct NoData;

impl Data for NoData {
    fn check_create(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }
    fn create(&self, _point: &Point<'_>, _flags: u32) -> Result<()> {
        Ok(())
    }
    fn take_back(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }
    fn check_revert(&self, _point: &Point<'_>, _restores: &[Restore]) -> Result<()> {
        Ok(())
    }
    fn revert(&self, _point: &Point<'_>, _restores: &[Restore], _flags: u32) -> Result<()> {
        Ok(())
    }
    fn delete(&self, _point: &Point<'_>) -> Result<()> {
        Ok(())
    }
    fn merge(
        &self,
        _steps: &[Merge],
        _lock: Option<BorrowedFd<'_>>,
        _beside: Beside<'_>,
    ) -> std::result::Result<(), Merged> {
        Ok(())
    }
    fn remove(&self, _files: &[PathBuf]) -> Result<()> {
        Ok(())
    }
    fn count(&self, _point: &Point<'_>) -> Result<usize> {
        Ok(0)
    }
}
