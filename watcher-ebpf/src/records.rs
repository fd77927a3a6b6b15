//! What the ledgers keep in maps: user space writes [`Watched`] and reads the rest.

/// Bits of [`Watched::ledgers`]: what is kept of a process.
pub const LEDGER_DESCRIPTORS: u32 = 1;
/// Mappings and the break.
pub const LEDGER_MAPPINGS: u32 = 2;
/// Threads and child processes.
pub const LEDGER_TASKS: u32 = 4;
/// Births of goroutines.
pub const LEDGER_BIRTHS: u32 = 8;
/// Spans of the Go heap.
pub const LEDGER_SPANS: u32 = 16;

/// Not in [`Watched::ledgers`]: child processes have stacks and counts of their own, and are watched with
/// [`LEDGER_TASKS`].
pub const LEDGER_CHILDREN: u32 = 32;

/// A watched process; the key is its thread group id.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched {
    /// It started no earlier than this, in nanoseconds of CLOCK_BOOTTIME,
    pub start_from_ns: u64,
    /// and before this: a process that got the same id later is another one.
    pub start_until_ns: u64,
    /// `LEDGER_*`.
    pub ledgers: u32,
    /// Descriptors are entered whose mixed number has none of these bits; 0 for all.
    pub sample_mask: u32,
    /// Where its goroutines are found.
    pub view: GoView,
    /// When its descriptors were listed last, in nanoseconds of CLOCK_BOOTTIME,
    pub scanned_ns: u64,
    /// and the longest time in nanoseconds that ever passed between two such lists.
    pub scan_gap_ns: u64,
}

/// How to get from a thread to its goroutine: offsets in bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoView {
    /// From FS base to the address of the thread's `g`.
    pub g_from_fs_base: i32,
    /// 0 where nothing of this is known.
    pub is_known: u32,
    /// `g.m`.
    pub g_m: u32,
    /// `g.sched.pc`.
    pub g_sched_pc: u32,
    /// `g.sched.bp`.
    pub g_sched_bp: u32,
    /// `g.goid`.
    pub g_goid: u32,
    /// `g.parentGoid`; [`NO_FIELD`] where there is none.
    pub g_parent: u32,
    /// `g.gopc`.
    pub g_gopc: u32,
    /// `m.curg`.
    pub m_curg: u32,
    /// `m.g0`.
    pub m_g0: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

/// The runtime has no such field.
pub const NO_FIELD: u32 = u32::MAX;

/// Who created something.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Key of its [`StackRecord`]; 0 where there is none.
    pub stack: u64,
    /// Id of its goroutine; 0 where it runs none or none was found.
    pub goroutine: u64,
    /// Id of the goroutine that started that one; 0 where unknown.
    pub parent: u64,
    /// Address behind the `go` statement; 0 where unknown.
    pub created_at: u64,
    /// Its thread.
    pub tid: u32,
    /// Zero.
    pub reserved: u32,
}

/// A call stack and what it has done; the key is a hash of process, ledger and addresses, never 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StackRecord {
    /// Thread group id of the process.
    pub tgid: u32,
    /// The one `LEDGER_*` that it belongs to.
    pub ledger: u32,
    /// Things that it created; with sampling, what those stand for.
    pub created: u64,
    /// ... of which have ended.
    pub ended: u64,
    /// The longest that one of those lived, in nanoseconds.
    pub longest_ns: u64,
    /// Addresses in `walked`.
    pub walked_count: u32,
    /// Addresses in `resumed`.
    pub resumed_count: u32,
    /// From where the thread is: innermost first, by frame pointers.
    pub walked: [u64; WALKED_FRAMES],
    /// From where its goroutine left its stack, for C or for a stack of the runtime's own.
    pub resumed: [u64; RESUMED_FRAMES],
}

/// As many as `kernel.perf_event_max_stack` lets be asked for unless somebody raises it.
pub const WALKED_FRAMES: usize = 127;
/// Room for a goroutine that called C.
pub const RESUMED_FRAMES: usize = 64;

/// Key of [`Tally`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TallyKey {
    /// Thread group id.
    pub tgid: u32,
    /// The one `LEDGER_*` that it is about.
    pub ledger: u32,
}

/// What a ledger of a process counts apart from its stacks. User space makes it before the process is watched.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Created without a stack, for want of room or because it could not be walked.
    pub created: u64,
    /// ... of which have ended.
    pub ended: u64,
    /// Created and left out by sampling.
    pub unsampled: u64,
    /// Created, and there was no room to enter it.
    pub lost: u64,
}

/// Key of [`DescriptorEntry`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DescriptorKey {
    /// Thread group id.
    pub tgid: u32,
    /// Descriptor number.
    pub fd: u32,
}

/// A descriptor that is believed to be open.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorEntry {
    /// Who opened it.
    pub origin: Origin,
    /// When, in nanoseconds of CLOCK_BOOTTIME.
    pub at_ns: u64,
    /// Address of the kernel's `struct file`: the same number may be given to another file before the old one is
    /// seen to be closed. 0 where it was gone again before it could be looked at.
    pub file: u64,
    /// `i_ino` of the file; 0 where unknown.
    pub inode: u64,
    /// `i_mode` of the file; 0 where unknown.
    pub mode: u32,
    /// How many descriptors it stands for: 1 unless others are left out by sampling.
    pub weight: u32,
}

/// What [`Watched::sample_mask`] is held against: numbers of descriptors come in runs, these do not.
#[inline(always)]
pub const fn sample_number(fd: u32) -> u32 {
    fd.wrapping_mul(0x9e37_79b1) >> 16
}

/// Index of the counter of stacks for which there was no room.
pub const LOST_STACKS: u32 = 0;
/// ... of stacks that were not taken because another one was being taken on that CPU.
pub const BUSY_STACKS: u32 = 1;
/// ... of stacks that could not be walked.
pub const FAILED_STACKS: u32 = 2;
/// How many of these counters there are.
pub const LOSSES: u32 = 3;
