//! The wire format: what the kernel programs write and what user space decodes.
//!
//! Every record begins with a [`Header`]. Integers have a fixed width and the host's byte order, there is no
//! padding, and a kind is an integer, so that no byte sequence is undefined behaviour on either side. The
//! kernel programs and the decoder are built from the same commit, hence there is no version field.
#![no_std]

/// A record that may be copied from and to bytes.
///
/// # Safety
///
/// The type is `repr(C)`, consists of integers only and has no padding: every byte of it is initialised, and
/// every sequence of bytes of its size is one of its values.
pub unsafe trait Plain: Copy {}

// SAFETY: an integer.
unsafe impl Plain for u32 {}
// SAFETY: an integer.
unsafe impl Plain for u64 {}

macro_rules! plain {
    ($($record:ty: $size:literal bytes),* $(,)?) => {$(
        const _: () = assert!(size_of::<$record>() == $size);
        // SAFETY: integers only, in `repr(C)`; that the size is the sum of the members rules out padding.
        unsafe impl Plain for $record {}
    )*};
}

plain! {
    Header: 8 bytes,
    TaskRecord: 72 bytes,
    AgeRecord: 88 bytes,
    DescriptorRecord: 40 bytes,
    NameTail: 32 bytes,
    SocketTail: 8 bytes,
    InetTail: 48 bytes,
    UnixTail: 124 bytes,
    LifecycleRecord: 32 bytes,
    GoView: 48 bytes,
    Watched: 88 bytes,
    Origin: 40 bytes,
    StackRecord: 1568 bytes,
    TallyKey: 8 bytes,
    Tally: 32 bytes,
    DescriptorKey: 8 bytes,
    DescriptorEntry: 72 bytes,
    FileEntry: 64 bytes,
    Allocation: 24 bytes,
    OpenRecord: 96 bytes,
    MappingKey: 16 bytes,
    MappingEntry: 64 bytes,
    TaskEntry: 64 bytes,
    ProbeSettings: 24 bytes,
    BirthKey: 32 bytes,
    BirthEntry: 120 bytes,
    BirthStack: 24 bytes,
    SpanKey: 16 bytes,
    SpanEntry: 152 bytes,
    SpanSample: 32 bytes,
    Allocated: 24 bytes,
}

mod ages;
mod creations;
mod files;
mod probe_records;
mod records;

pub use ages::*;
pub use creations::*;
pub use files::*;
pub use probe_records::*;
pub use records::*;

/// [`TaskRecord`].
pub const TASK: u32 = 1;
/// [`DescriptorRecord`] alone.
pub const DESCRIPTOR: u32 = 2;
/// [`DescriptorRecord`], then [`NameTail`].
pub const DESCRIPTOR_NAMED: u32 = 3;
/// [`DescriptorRecord`], then [`SocketTail`].
pub const DESCRIPTOR_SOCKET: u32 = 4;
/// [`DescriptorRecord`], then [`InetTail`].
pub const DESCRIPTOR_INET: u32 = 5;
/// [`DescriptorRecord`], then [`UnixTail`].
pub const DESCRIPTOR_UNIX: u32 = 6;
/// [`LifecycleRecord`]: a process now runs another program.
pub const EXEC: u32 = 7;
/// [`LifecycleRecord`]: the last thread of a process exits.
pub const EXIT: u32 = 8;

/// What every record begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// Size of the whole record in bytes, header and tail included.
    pub size: u32,
    /// One of the constants above.
    pub kind: u32,
}

/// One thread.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TaskRecord {
    /// Kind is [`TASK`].
    pub header: Header,
    /// Thread group id, in the initial pid namespace.
    pub tgid: u32,
    /// Thread id, in the initial pid namespace.
    pub tid: u32,
    /// Thread group id of `real_parent`.
    pub parent_tgid: u32,
    /// [`TASK_KERNEL_THREAD`], [`TASK_HAS_MEMORY`].
    pub flags: u32,
    /// Start in nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: u64,
    /// When it last came onto a processor, in nanoseconds of the scheduler's clock; 0 where this kernel keeps no note.
    pub last_run_ns: u64,
    /// `__state` (`include/linux/sched.h`, TASK_*).
    pub state: u32,
    /// `exit_state` (EXIT_*).
    pub exit_state: u32,
    /// Number of VMAs; means something with [`TASK_HAS_MEMORY`] only.
    pub map_count: u32,
    /// Zero.
    pub reserved: u32,
    /// `comm`, ended by a zero byte.
    pub comm: [u8; COMM_BYTES],
}

/// What the place of a member is set to that a kernel does not have: far outside every structure, so that a probing read
/// fails.
pub const NOWHERE: u32 = u32::MAX;

/// TASK_COMM_LEN.
pub const COMM_BYTES: usize = 16;
/// PF_KTHREAD is set.
pub const TASK_KERNEL_THREAD: u32 = 1;
/// It has an address space of its own.
pub const TASK_HAS_MEMORY: u32 = 2;

/// One open descriptor.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DescriptorRecord {
    /// Kind is one of the `DESCRIPTOR*` constants and says which tail follows.
    pub header: Header,
    /// Thread group id, in the initial pid namespace.
    pub tgid: u32,
    /// Thread through which the table was reached.
    pub tid: u32,
    /// Descriptor number.
    pub fd: u32,
    /// [`DESCRIPTOR_OF_THREAD`], [`DESCRIPTOR_UNROOTED`].
    pub flags: u32,
    /// `i_ino`.
    pub inode: u64,
    /// `s_magic` of the superblock.
    pub magic: u32,
    /// `i_mode`; without a file type for anonymous inodes of some kernels.
    pub mode: u32,
}

/// The leader has exited and let go of the table; each remaining thread reports it.
pub const DESCRIPTOR_OF_THREAD: u32 = 1;
/// The dentry has no parent: no path leads to it, as with memfd.
pub const DESCRIPTOR_UNROOTED: u32 = 2;

/// Name of the dentry, such as `[eventfd]` or `memfd:cache`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NameTail {
    /// Ended by a zero byte; cut to fit.
    pub name: [u8; NAME_BYTES],
}

/// Room for a dentry name and its zero byte: the longest names of anonymous inodes fit.
pub const NAME_BYTES: usize = 32;

/// What all sockets have.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SocketTail {
    /// AF_*.
    pub family: u16,
    /// SOCK_*.
    pub socket_type: u16,
    /// IPPROTO_*, or the family's own numbering.
    pub protocol: u16,
    /// `include/net/tcp_states.h`, for all families.
    pub state: u8,
    /// Zero.
    pub reserved: u8,
}

/// AF_INET and AF_INET6.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InetTail {
    /// Family, type, protocol, state.
    pub socket: SocketTail,
    /// Local address in network byte order; AF_INET uses the first four bytes.
    pub local: [u8; 16],
    /// Peer address likewise.
    pub peer: [u8; 16],
    /// Local port in host byte order; 0 when not bound.
    pub local_port: u16,
    /// Peer port in host byte order; 0 when there is no peer.
    pub peer_port: u16,
    /// Zero.
    pub reserved: u32,
}

/// AF_UNIX.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UnixTail {
    /// Family, type, protocol, state.
    pub socket: SocketTail,
    /// Bytes of `name` that count; 0 when neither end is bound.
    pub name_length: u32,
    /// [`UNIX_NAME_OF_PEER`].
    pub flags: u32,
    /// `sun_path` of the peer, or where the peer has none, of the socket; abstract names begin with a zero byte.
    pub name: [u8; UNIX_PATH_BYTES],
}

/// UNIX_PATH_MAX.
pub const UNIX_PATH_BYTES: usize = 108;
/// The name is the peer's.
pub const UNIX_NAME_OF_PEER: u32 = 1;

/// A process came to run another program, or ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LifecycleRecord {
    /// Kind is [`EXEC`] or [`EXIT`].
    pub header: Header,
    /// Thread group id, in the initial pid namespace.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
    /// Start of the process in nanoseconds of CLOCK_BOOTTIME.
    pub start_ns: u64,
    /// When it happened, in nanoseconds of CLOCK_BOOTTIME.
    pub at_ns: u64,
}
