//! The executable and the memory of a process.

use crate::golang::ReadAt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}
