//! Which file an executable is, whatever its name.

use rustix::fs::{Stat, fstat};
use std::fs::File;
use std::io;

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
    /// Of an open file.
    ///
    /// # Errors
    /// Where the system refuses `fstat(2)`.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from_stat(&fstat(file)?))
    }

    /// Device and inode.
    pub fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Size and time of the last change of its content, which a copy in another place keeps as a rule.
    pub fn content(&self) -> (i64, (i64, u64)) {
        (self.size, self.modified)
    }

    pub(super) fn from_stat(stat: &Stat) -> Self {
        FileIdentity {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
        }
    }
}
