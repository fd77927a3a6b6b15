//! What is known about Go programs and the Go runtime, pure over bytes and addresses.
//!
//! Nothing here knows how the bytes were read: executables come as anything that implements [`ReadAt`], process
//! memory as a [`Memory`].

pub mod binary;
pub mod goroutines;
pub mod graph;
pub mod heap;
pub mod probes;
pub mod runtime;

mod bytes;
mod metered;
mod prefetched;
mod ranges;

#[cfg(any(test, feature = "fuzzing"))]
#[cfg_attr(not(test), expect(dead_code, reason = "not all of what tests need is of use to fuzz targets"))]
#[expect(clippy::unwrap_used, reason = "it runs in tests and fuzz targets only")]
mod fixture;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;

pub use prefetched::ReadAhead;
use std::io;
use std::ops::Range;

/// A file, or something like one, that is read by position.
pub trait ReadAt {
    /// Reads from `offset` into `buffer` and says how many bytes came: fewer than asked for only at the end.
    ///
    /// # Errors
    /// What the system says of a failed read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.as_slice().read_at(offset, buffer)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        (**self).read_at(offset, buffer)
    }
}

impl ReadAt for [u8] {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|start| self.get(start..)).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// The memory of a process, readable by address.
///
/// Implementations read a live process, a recording or a fixture. Reads may fail at any time: the process may be
/// gone, the address unmapped.
pub trait Memory {
    /// Fills `buffer` from `address`, whole or not at all.
    ///
    /// # Errors
    /// Where any byte of the range cannot be read.
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable>;

    /// Whether the process has certainly never touched any page of a range of anonymous memory: such pages read as
    /// zero, and reading them would make the kernel provide them. `false` where that is not known.
    fn is_untouched(&self, range: Range<u64>) -> bool {
        let _ = range;
        false
    }

    /// Says of each page of 4 KiB that `range` touches whether the process has ever touched it. `false` where that cannot
    /// be told of all of them; then what is in `touched` means nothing.
    fn touched_pages(&self, range: Range<u64>, touched: &mut Vec<bool>) -> bool {
        _ = (range, touched);
        false
    }

    /// Reads many ranges (address, length in bytes) at once. They come to lie one behind the other in `buffer`,
    /// which is as long as all of them together; `readable` says of each whether it could be read. What lies in the
    /// buffer for one that could not is arbitrary.
    fn read_many(&self, ranges: &[(u64, usize)], buffer: &mut [u8], readable: &mut Vec<bool>) {
        readable.clear();
        let mut rest = buffer;
        for (address, length) in ranges {
            let (part, behind) = rest.split_at_mut_checked(*length).unwrap_or_default();
            readable.push(part.len() == *length && self.read(*address, part).is_ok());
            rest = behind;
        }
    }
}

/// A range of process memory that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{length} bytes at {address:#x} are not readable")]
pub struct Unreadable {
    /// First address of the range.
    pub address: u64,
    /// Its length in bytes.
    pub length: usize,
}
