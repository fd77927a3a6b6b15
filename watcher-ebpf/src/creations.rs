//! What the ledgers of mappings and tasks keep in maps.

use crate::Origin;

/// Key of [`MappingEntry`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MappingKey {
    /// Thread group id.
    pub tgid: u32,
    /// [`NEWEST`] or [`NEWEST_PROTECTED`]; for one that such a one covers in part a number of its own.
    pub covered: u32,
    /// Address.
    pub start: u64,
}

/// A range of addresses that a system call gave to the process. Parts of it may have been taken away since.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MappingEntry {
    /// Who asked for it.
    pub origin: Origin,
    /// When, in nanoseconds of CLOCK_BOOTTIME.
    pub at_ns: u64,
    /// Its length, in whole pages.
    pub bytes: u64,
    /// `MAP_*` of `mmap(2)`; 0 for the other calls.
    pub flags: u32,
    /// [`MAPPED`], [`REMAPPED`], [`BREAK`] or [`PROTECTED`].
    pub call: u32,
}

/// The last mapping that was made at an address.
pub const NEWEST: u32 = 0;
/// The last of those that were made writable there: it does not stand for what it was made of.
pub const NEWEST_PROTECTED: u32 = 1;

/// `mmap(2)`.
pub const MAPPED: u32 = 1;
/// `mremap(2)`, where it moved or grew.
pub const REMAPPED: u32 = 2;
/// `brk(2)`, what it added.
pub const BREAK: u32 = 3;
/// `mprotect(2)` that made it writable: this is how C's allocator takes more of what it has reserved.
pub const PROTECTED: u32 = 4;

/// A thread or a child process that is believed to be there; the key is its thread id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskEntry {
    /// Who created it.
    pub origin: Origin,
    /// Its start, in nanoseconds of CLOCK_BOOTTIME: it tells it from others that get the same id later.
    pub start_ns: u64,
    /// When it exited, likewise; 0 while it runs. Threads that have exited have no entry.
    pub exited_ns: u64,
    /// Thread group id of its creator.
    pub tgid: u32,
    /// [`TASK_THREAD`] or [`TASK_CHILD`].
    pub kind: u32,
}

/// A thread of its creator's process.
pub const TASK_THREAD: u32 = 1;
/// A process of its own, for which its creator has to wait.
pub const TASK_CHILD: u32 = 2;
