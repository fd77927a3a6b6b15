//! Which member of which kernel structure each constant of the kernel programs stands for.

use super::btf::{Btf, BtfError};
use super::probes::ProbeName;
use watcher_ebpf::NOWHERE;

/// One constant of `watcher-ebpf/src/kernel.rs`.
pub(super) struct Offset {
    /// Name of the constant.
    pub(super) global: &'static str,
    /// Programs that cannot do without it; empty where its absence only leaves a field empty.
    pub(super) needed_by: &'static [ProbeName],
    /// Structure and member, most recent spelling first.
    members: &'static [(&'static str, &'static [&'static str])],
}

impl Offset {
    /// Its value for this kernel, or why the programs that need it cannot be loaded.
    pub(super) fn resolve(&self, btf: &Btf<'_>) -> Result<u32, BtfError> {
        let mut refusal = BtfError::Malformed;
        for (structure, member) in self.members {
            match btf.offset(structure, member) {
                Ok(offset) => return Ok(offset),
                Err(error) => refusal = error,
            }
        }
        if self.needed_by.is_empty() { Ok(NOWHERE) } else { Err(refusal) }
    }
}

const TASKS: &[ProbeName] = &[ProbeName::Tasks];
const DESCRIPTORS: &[ProbeName] = &[ProbeName::Descriptors, ProbeName::Ages];
const TABLES: &[ProbeName] = &[ProbeName::Tasks, ProbeName::Descriptors, ProbeName::Ages];
const ALL: &[ProbeName] =
    &[ProbeName::Tasks, ProbeName::Descriptors, ProbeName::Ages, ProbeName::Exec, ProbeName::Exit];
const TASKS_AND_LIFECYCLE: &[ProbeName] = &[ProbeName::Tasks, ProbeName::Exec, ProbeName::Exit];
const DESCRIPTORS_AND_LIFECYCLE: &[ProbeName] =
    &[ProbeName::Descriptors, ProbeName::Ages, ProbeName::Exec, ProbeName::Exit];
const AGES: &[ProbeName] = &[ProbeName::Ages];
const EXIT: &[ProbeName] = &[ProbeName::Exit];
/// Every ledger needs them.
const LEDGERS: &[ProbeName] = &[
    ProbeName::DescriptorsExact,
    ProbeName::DescriptorsByAllocation,
    ProbeName::DescriptorsByCall,
    ProbeName::MappingLedger,
    ProbeName::TaskLedger,
];
const ALLOCATIONS: &[ProbeName] = &[ProbeName::DescriptorsByAllocation];
const MAPPINGS: &[ProbeName] = &[ProbeName::MappingLedger];
/// Absent where the kernel was built without IPv6, or has unix sockets in a module.
const NOBODY: &[ProbeName] = &[];

macro_rules! offsets {
    ($($global:literal $needed_by:ident $($structure:literal . $($member:literal).+),+;)*) => {
        &[$(Offset {
            global: $global,
            needed_by: $needed_by,
            members: &[$(($structure, &[$($member),+])),+],
        }),*]
    };
}

pub(super) const OFFSETS: &[Offset] = offsets! {
    "TASK_TGID" ALL "task_struct"."tgid";
    "TASK_PID" TABLES "task_struct"."pid";
    "TASK_REAL_PARENT" TASKS "task_struct"."real_parent";
    "TASK_GROUP_LEADER" DESCRIPTORS_AND_LIFECYCLE "task_struct"."group_leader";
    // Renamed in Linux 5.5.
    "TASK_START_BOOTTIME" TASKS_AND_LIFECYCLE "task_struct"."start_boottime", "task_struct"."real_start_time";
    "TASK_LAST_RUN" NOBODY "task_struct"."sched_info"."last_arrival";
    // Renamed in Linux 5.14.
    "TASK_STATE" TASKS "task_struct"."__state", "task_struct"."state";
    "TASK_EXIT_STATE" TASKS "task_struct"."exit_state";
    "TASK_FLAGS" TASKS "task_struct"."flags";
    "TASK_COMM" TASKS "task_struct"."comm";
    "TASK_MM" TASKS "task_struct"."mm";
    "TASK_FILES" DESCRIPTORS "task_struct"."files";
    "TASK_SIGNAL" EXIT "task_struct"."signal";
    "TASK_FS_BASE" LEDGERS "task_struct"."thread"."fsbase";
    "FILES_TABLE" LEDGERS "files_struct"."fdt";
    "FILE_TABLE_SIZE" LEDGERS "fdtable"."max_fds";
    "FILE_TABLE_SLOTS" LEDGERS "fdtable"."fd";
    "REGISTERS_CALL" LEDGERS "pt_regs"."orig_ax";
    "REGISTERS_FIRST" LEDGERS "pt_regs"."di";
    "REGISTERS_SECOND" LEDGERS "pt_regs"."si";
    "REGISTERS_THIRD" LEDGERS "pt_regs"."dx";
    "REGISTERS_FOURTH" LEDGERS "pt_regs"."r10";
    "REGISTERS_PLACE" LEDGERS "pt_regs"."ip";
    "REGISTERS_FRAME" LEDGERS "pt_regs"."bp";
    "REGISTERS_STACK" LEDGERS "pt_regs"."sp";
    // Where Go's code has its `g`.
    "REGISTERS_GOROUTINE" LEDGERS "pt_regs"."r14";
    "SIGNAL_LIVE" EXIT "signal_struct"."live"."counter";
    "MM_MAP_COUNT" TASKS "mm_struct"."map_count";
    "MM_BREAK" MAPPINGS "mm_struct"."brk";
    "FILE_INODE" DESCRIPTORS "file"."f_inode";
    "FILE_DENTRY" DESCRIPTORS "file"."f_path"."dentry";
    "FILE_POSITION" AGES "file"."f_pos";
    "FILE_READ_TO" AGES "file"."f_ra"."prev_pos";
    "FILE_FLAGS" AGES "file"."f_flags";
    "FILE_MODE" ALLOCATIONS "file"."f_mode";
    "FILE_PRIVATE" NOBODY "file"."private_data";
    // Private to the allocator, so that its type may be missing: then places in the kernel tell.
    "CACHE_NAME" NOBODY "kmem_cache"."name";
    "CACHE_USERS" NOBODY "kmem_cache"."refcount";
    "INODE_NUMBER" DESCRIPTORS "inode"."i_ino";
    // Taken apart in Linux 6.11, renamed in 6.6.
    "INODE_CHANGED_SECONDS" AGES "inode"."i_ctime_sec", "inode"."__i_ctime"."tv_sec", "inode"."i_ctime"."tv_sec";
    "INODE_CHANGED_NANOS" AGES "inode"."i_ctime_nsec", "inode"."__i_ctime"."tv_nsec", "inode"."i_ctime"."tv_nsec";
    // Renamed in 6.7.
    "INODE_ACCESSED_SECONDS" AGES "inode"."i_atime_sec", "inode"."__i_atime"."tv_sec", "inode"."i_atime"."tv_sec";
    "INODE_ACCESSED_NANOS" AGES "inode"."i_atime_nsec", "inode"."__i_atime"."tv_nsec", "inode"."i_atime"."tv_nsec";
    "INODE_MODE" DESCRIPTORS "inode"."i_mode";
    "INODE_SUPER_BLOCK" DESCRIPTORS "inode"."i_sb";
    "SUPER_BLOCK_MAGIC" DESCRIPTORS "super_block"."s_magic";
    "DENTRY_PARENT" DESCRIPTORS "dentry"."d_parent";
    "DENTRY_NAME" DESCRIPTORS "dentry"."d_name"."name";
    "SOCKET_SOCK" DESCRIPTORS "socket"."sk";
    "SOCK_FAMILY" DESCRIPTORS "sock"."__sk_common"."skc_family";
    "SOCK_STATE" DESCRIPTORS "sock"."__sk_common"."skc_state";
    "SOCK_TYPE" DESCRIPTORS "sock"."sk_type";
    "SOCK_PROTOCOL" DESCRIPTORS "sock"."sk_protocol";
    "SOCK_BACKLOG" NOBODY "sock"."sk_ack_backlog";
    "SOCK_QUEUED" NOBODY "sock"."sk_receive_queue"."qlen";
    "MPTCP_FIRST" NOBODY "mptcp_sock"."first";
    "SOCK_LOCAL_V4" DESCRIPTORS "sock"."__sk_common"."skc_rcv_saddr";
    "SOCK_PEER_V4" DESCRIPTORS "sock"."__sk_common"."skc_daddr";
    "SOCK_LOCAL_V6" NOBODY "sock"."__sk_common"."skc_v6_rcv_saddr";
    "SOCK_PEER_V6" NOBODY "sock"."__sk_common"."skc_v6_daddr";
    "SOCK_LOCAL_PORT" DESCRIPTORS "sock"."__sk_common"."skc_num";
    "SOCK_PEER_PORT" DESCRIPTORS "sock"."__sk_common"."skc_dport";
    "INET_SOURCE_PORT" NOBODY "inet_sock"."inet_sport";
    "TCP_SENT" NOBODY "tcp_sock"."lsndtime";
    "TCP_RECEIVED" NOBODY "inet_connection_sock"."icsk_ack"."lrcvtime";
    "TCP_ANSWERED" NOBODY "tcp_sock"."rcv_tstamp";
    "TCP_DATA_RECEIVED" NOBODY "tcp_sock"."data_segs_in";
    "TCP_DATA_SENT" NOBODY "tcp_sock"."data_segs_out";
    // Absent before Linux 6.10, and from kernels without MPTCP.
    "MPTCP_SENT" NOBODY "mptcp_sock"."last_data_sent";
    "MPTCP_RECEIVED" NOBODY "mptcp_sock"."last_data_recv";
    "MPTCP_ANSWERED" NOBODY "mptcp_sock"."last_ack_recv";
    "UNIX_PEER" NOBODY "unix_sock"."peer";
    "UNIX_ADDRESS" NOBODY "unix_sock"."addr";
    "UNIX_ADDRESS_LENGTH" NOBODY "unix_address"."len";
    "UNIX_ADDRESS_NAME" NOBODY "unix_address"."name";
};
