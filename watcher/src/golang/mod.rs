//! What is known about Go programs and the Go runtime, pure over bytes and addresses.
//!
//! Nothing here knows how the bytes were read: executables come as anything that implements
//! [`object::ReadRef`], process memory as a [`Memory`].

pub mod buildinfo;

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
