//! What tells how old a descriptor is.

use crate::Header;

/// [`AgeRecord`].
pub const DESCRIPTOR_AGE: u32 = 9;

/// What tells the age of one open descriptor, and when it was used last.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AgeRecord {
    /// Kind is [`DESCRIPTOR_AGE`].
    pub header: Header,
    /// Thread group id, in the initial pid namespace.
    pub tgid: u32,
    /// Thread through which the table was reached.
    pub tid: u32,
    /// Descriptor number.
    pub fd: u32,
    /// [`crate::DESCRIPTOR_OF_THREAD`], [`AGE_OF_TCP`], [`AGE_OF_MPTCP`], [`AGE_UNTOUCHED`],
    /// [`AGE_OF_PIPE`].
    pub flags: u32,
    /// `i_ino`.
    pub inode: u64,
    /// `i_ctime` in nanoseconds since 1970.
    pub changed_ns: u64,
    /// `f_pos`.
    pub position: u64,
    /// `f_ra.prev_pos`: all bits set where nothing was read.
    pub read_to: u64,
    /// `f_flags`.
    pub open_flags: u32,
    /// The lower half of the kernel's clock of jiffies at this record.
    pub now_jiffies: u32,
    /// With [`AGE_OF_TCP`] or [`AGE_OF_MPTCP`]: when data was sent last, or the socket was made, in jiffies.
    pub sent_jiffies: u32,
    /// ... when data was received last, or the socket was made.
    pub received_jiffies: u32,
    /// ... when the peer answered last.
    pub answered_jiffies: u32,
    /// Segments with data that were received,
    pub data_received: u32,
    /// ... and sent.
    pub data_sent: u32,
    /// Zero.
    pub reserved: u32,
}

/// The times and counts of a TCP socket are read.
pub const AGE_OF_TCP: u32 = 4;
/// It is a pipe without a name.
pub const AGE_OF_PIPE: u32 = 32;
/// `i_atime` is `i_ctime`.
pub const AGE_UNTOUCHED: u32 = 16;
/// The times of an MPTCP socket are read; the counts are 0.
pub const AGE_OF_MPTCP: u32 = 8;
