//! What the fuzz targets and their seeds share.

use watcher::golang::{Memory, Unreadable};

/// Where the memory of target `heap` begins.
pub const BASE: u64 = 0x50_0000;
/// Where `gcController` lies in it.
pub const CONTROLLER: u64 = BASE + 0x100;
/// Where `mheap_.allspans` lies in it.
pub const ALL_SPANS: u64 = BASE + 0x408;

/// Memory that is one region, from [`BASE`] on.
pub struct Region<'a>(pub &'a [u8]);

impl Memory for Region<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let inside = address.checked_sub(BASE).and_then(|inside| usize::try_from(inside).ok());
        let bytes = inside.and_then(|inside| self.0.get(inside..inside.checked_add(buffer.len())?));
        buffer.copy_from_slice(bytes.ok_or(Unreadable { address, length: buffer.len() })?);
        Ok(())
    }
}
