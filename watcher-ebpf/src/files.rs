//! What is kept of open files by the address of their `struct file`, and what a pass over descriptors makes of it.

use crate::{Header, Origin};

/// [`OpenRecord`].
pub const DESCRIPTOR_OPENED: u32 = 10;

/// A file that a watched process allocated; the key is the address of its `struct file`. It stays when the file is
/// closed, until the kernel gives the address to another one.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Who opened it.
    pub origin: Origin,
    /// When, in nanoseconds of CLOCK_BOOTTIME.
    pub at_ns: u64,
    /// When it was last seen among the descriptors of its process, likewise; 0 for never.
    pub seen_ns: u64,
    /// Thread group id of its maker; 0 where the address now belongs to a file of somebody who is not watched.
    pub tgid: u32,
    /// [`FILE_UNCERTAIN`].
    pub flags: u32,
}

/// It was made for a connection that had not come yet: most of these are given back at once. It is not counted as
/// created before it is seen among the descriptors.
pub const FILE_UNCERTAIN: u32 = 1;

/// An allocation of the task that learns where files come from; the key is its address.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// Address of the `struct kmem_cache`; before Linux 6.0 the size of the object.
    pub cache: u64,
    /// Address of the code that asked for it.
    pub site: u64,
    /// [`CACHE_OF_FILES`], [`REMAINS_OF_OPENED`].
    pub flags: u64,
}

/// The cache is called as that of files is, and serves nothing else.
pub const CACHE_OF_FILES: u64 = 1;
/// What lay at the address before is still there, and was an open file.
pub const REMAINS_OF_OPENED: u64 = 2;

/// Words of the map that says which allocations are of files: the cache, 0 for none;
pub const CACHE: u32 = 0;
/// the thread that learns;
pub const LEARNER: u32 = 1;
/// 1 where what lies at an address at its allocation tells whether the file before was ever opened;
pub const REMAINS_TELL: u32 = 2;
/// and from here on the places in the kernel that ask for files, where the cache serves others as well; 0 for none.
pub const SITES: u32 = 3;
/// How many of those there are.
pub const MAX_SITES: u32 = 4;

/// One open descriptor and who made its file.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OpenRecord {
    /// Kind is [`DESCRIPTOR_OPENED`].
    pub header: Header,
    /// Thread group id, in the initial pid namespace.
    pub tgid: u32,
    /// Thread through which the table was reached.
    pub tid: u32,
    /// Descriptor number.
    pub fd: u32,
    /// [`crate::DESCRIPTOR_OF_THREAD`], [`OPENED_HERE`].
    pub flags: u32,
    /// `i_ino`.
    pub inode: u64,
    /// Address of the `struct file`.
    pub file: u64,
    /// When it was made, in nanoseconds of CLOCK_BOOTTIME; 0 where nobody saw.
    pub at_ns: u64,
    /// Who made it; zeros where nobody saw.
    pub origin: Origin,
    /// Zero.
    pub reserved: u64,
}

/// This process made the file while it was watched.
pub const OPENED_HERE: u32 = 64;
