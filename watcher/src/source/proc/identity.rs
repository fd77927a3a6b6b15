//! Which file an executable is, whatever its name.

use rustix::fs::{AtFlags, Statx, StatxFlags, makedev, statx};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// Tells one content of one file from every other: a file that is replaced or rewritten gets another identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    size: i64,
    /// Seconds and nanoseconds. The change time would tell more, but it moves when a running executable is
    /// unlinked, as every upgrade does; and what runs cannot be modified (ETXTBSY).
    modified: (i64, u64),
}

impl FileIdentity {
    /// Of an open file, without asking the server of its file system.
    ///
    /// # Errors
    /// Where the system refuses `statx(2)`.
    pub fn of(file: &File) -> io::Result<Self> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        Ok(Self::from_statx(&statx(file.as_fd(), "", flags, StatxFlags::BASIC_STATS)?))
    }

    /// Device and inode.
    pub fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Size and time of the last change of its content, which a copy in another place keeps as a rule.
    pub fn content(&self) -> (i64, (i64, u64)) {
        (self.size, self.modified)
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        u64::try_from(self.size).unwrap_or(0)
    }

    /// Major and minor number of the device.
    pub fn device(&self) -> (u32, u32) {
        (rustix::fs::major(self.device), rustix::fs::minor(self.device))
    }

    pub(in crate::source) fn from_statx(stat: &Statx) -> Self {
        FileIdentity {
            device: makedev(stat.stx_dev_major, stat.stx_dev_minor),
            inode: stat.stx_ino,
            size: i64::try_from(stat.stx_size).unwrap_or(i64::MAX),
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec.into()),
        }
    }

    /// As numbers, to hand it on to another process.
    pub(in crate::source) fn numbers(&self) -> [u64; 5] {
        let (seconds, nanos) = self.modified;
        [self.device, self.inode, self.size.cast_unsigned(), seconds.cast_unsigned(), nanos]
    }

    pub(in crate::source) fn from_numbers([device, inode, size, seconds, nanos]: [u64; 5]) -> Self {
        FileIdentity { device, inode, size: size.cast_signed(), modified: (seconds.cast_signed(), nanos) }
    }
}
