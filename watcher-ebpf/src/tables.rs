//! Passes over the tables that the kernel keeps for all processes.
//!
//! Iterators and not `/proc`: one pass answers for all processes, without a path look-up, an open and a text per
//! object, and a descriptor comes with its socket.
//!
//! When the buffer between kernel and reader is full, the kernel drops what a program wrote for the object and
//! runs it again for the same object at the next read. Hence the programs keep no state.

mod ages;
mod opened;
mod socket;

use crate::kernel::{
    DENTRY_NAME, DENTRY_PARENT, FILE_DENTRY, FILE_INODE, File, INODE_MODE, INODE_NUMBER, INODE_SUPER_BLOCK,
    MM_MAP_COUNT, Pointer, SUPER_BLOCK_MAGIC, TASK_COMM, TASK_EXIT_STATE, TASK_FILES, TASK_FLAGS,
    TASK_GROUP_LEADER, TASK_LAST_RUN, TASK_MM, TASK_PID, TASK_REAL_PARENT, TASK_START_BOOTTIME, TASK_STATE,
    TASK_TGID, Task, probe_read,
};
use aya_ebpf::bindings::seq_file;
use aya_ebpf::helpers::generated::{bpf_probe_read_kernel_str, bpf_seq_write};
use watcher_ebpf::{
    COMM_BYTES, DESCRIPTOR, DESCRIPTOR_NAMED, DESCRIPTOR_OF_THREAD, DESCRIPTOR_UNROOTED, DescriptorRecord,
    Header, NAME_BYTES, NameTail, Plain, TASK, TASK_HAS_MEMORY, TASK_KERNEL_THREAD, TaskRecord,
};

/// `include/linux/sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `include/uapi/linux/stat.h`.
const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFSOCK: u32 = 0o140_000;
/// `include/uapi/linux/magic.h`.
const ANON_INODE_FS_MAGIC: u32 = 0x0904_1934;
const TMPFS_MAGIC: u32 = 0x0102_1994;
const HUGETLBFS_MAGIC: u32 = 0x9584_58f6;

/// `struct bpf_iter_meta`, whose layout is part of the kernel's interface to programs.
#[repr(C)]
pub struct IterMeta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__task`.
#[repr(C)]
pub struct IterTask {
    meta: *const IterMeta,
    task: *const Task,
}

/// `struct bpf_iter__task_file`.
#[repr(C)]
pub struct IterTaskFile {
    meta: *const IterMeta,
    task: *const Task,
    fd: u32,
    reserved: u32,
    file: *const File,
}

/// The buffer that the reader of the iterator reads.
#[derive(Clone, Copy)]
struct Sequence(*mut seq_file);

impl Sequence {
    /// Appends a record or a part of one. A failure needs no answer: the kernel then drops all that was written
    /// for this object and comes again.
    #[inline(always)]
    fn write<T: Plain>(self, record: &T) {
        // SAFETY: the record is on the stack and initialised to its last byte, as `Plain` promises.
        unsafe { bpf_seq_write(self.0, (&raw const *record).cast_mut().cast(), size_of::<T>() as u32) };
    }
}

/// One record per thread.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn tasks(ctx: &IterTask) -> i32 {
    let task = Pointer::from_ptr(ctx.task);
    // The call after the last object has none.
    if task.is_null() {
        return 0;
    }
    // SAFETY: the kernel passes a valid `meta` to every run.
    let seq = Sequence(unsafe { (*ctx.meta).seq });
    let kernel_thread = TASK_FLAGS.of(task) & PF_KTHREAD != 0;
    // A kernel thread may borrow an address space.
    let mm = TASK_MM.of(task);
    let has_memory = !kernel_thread && !mm.is_null();
    let mut record = TaskRecord {
        header: Header { size: size_of::<TaskRecord>() as u32, kind: TASK },
        tgid: TASK_TGID.of(task),
        tid: TASK_PID.of(task),
        parent_tgid: TASK_TGID.of(TASK_REAL_PARENT.of(task)),
        flags: flag(kernel_thread, TASK_KERNEL_THREAD) | flag(has_memory, TASK_HAS_MEMORY),
        start_ns: TASK_START_BOOTTIME.of(task),
        // Absent from kernels that were built without it.
        last_run_ns: TASK_LAST_RUN.probe(task).unwrap_or(0),
        state: TASK_STATE.of(task),
        exit_state: TASK_EXIT_STATE.of(task),
        map_count: if has_memory { MM_MAP_COUNT.of(mm) } else { 0 },
        reserved: 0,
        comm: [0; COMM_BYTES],
    };
    probe_read(record.comm.as_mut_ptr().cast(), COMM_BYTES as u32, TASK_COMM.address(task));
    seq.write(&record);
    0
}

/// One open descriptor of a pass over them.
///
/// The kernel passes over threads that share their leader's table. A thread that has a table of its own is left
/// out, as `/proc/PID/fd` leaves it out. Once the leader has exited, its table is reached through each of the
/// other threads; the reader takes one of them.
struct Visit {
    seq: Sequence,
    tgid: u32,
    tid: u32,
    fd: u32,
    /// [`DESCRIPTOR_OF_THREAD`].
    flags: u32,
    file: Pointer<File>,
}

impl Visit {
    /// `None` after the last one, and for what is left out.
    #[inline(always)]
    fn of(ctx: &IterTaskFile) -> Option<Self> {
        let (task, file) = (Pointer::from_ptr(ctx.task), Pointer::from_ptr(ctx.file));
        if task.is_null() || file.is_null() {
            return None;
        }
        let (tgid, tid) = (TASK_TGID.of(task), TASK_PID.of(task));
        let of_thread = tgid != tid;
        if of_thread && !TASK_FILES.of(TASK_GROUP_LEADER.of(task)).is_null() {
            return None;
        }
        // SAFETY: the kernel passes a valid `meta` to every run.
        let seq = Sequence(unsafe { (*ctx.meta).seq });
        Some(Visit { seq, tgid, tid, fd: ctx.fd, flags: flag(of_thread, DESCRIPTOR_OF_THREAD), file })
    }
}

/// One record per open descriptor.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn descriptors(ctx: &IterTaskFile) -> i32 {
    let Some(Visit { seq, tgid, tid, fd, flags, file }) = Visit::of(ctx) else { return 0 };
    let inode = FILE_INODE.of(file);
    let mut record = DescriptorRecord {
        header: Header { size: 0, kind: DESCRIPTOR },
        tgid,
        tid,
        fd,
        flags,
        inode: INODE_NUMBER.of(inode),
        magic: SUPER_BLOCK_MAGIC.of(INODE_SUPER_BLOCK.of(inode)) as u32,
        mode: u32::from(INODE_MODE.of(inode)),
    };
    let file_type = record.mode & S_IFMT;
    if file_type == S_IFSOCK && socket::write(seq, &mut record, file) {
        return 0;
    }
    // Only there does the name say more than mode and file system do.
    let in_memory = matches!(record.magic, TMPFS_MAGIC | HUGETLBFS_MAGIC) && file_type == S_IFREG;
    if record.magic == ANON_INODE_FS_MAGIC || in_memory {
        let dentry = FILE_DENTRY.of(file);
        let unrooted = DENTRY_PARENT.of(dentry) == dentry;
        if unrooted {
            record.flags |= DESCRIPTOR_UNROOTED;
            write_headed::<NameTail>(seq, &mut record, DESCRIPTOR_NAMED);
            let mut tail = NameTail { name: [0; NAME_BYTES] };
            // SAFETY: the buffer has that many bytes; the helper survives any address.
            unsafe {
                bpf_probe_read_kernel_str(
                    tail.name.as_mut_ptr().cast(),
                    NAME_BYTES as u32,
                    DENTRY_NAME.of(dentry).cast(),
                )
            };
            seq.write(&tail);
            return 0;
        }
    }
    record.header.size = size_of::<DescriptorRecord>() as u32;
    seq.write(&record);
    0
}

/// Writes the record that a tail of type `T` follows.
#[inline(always)]
fn write_headed<T: Plain>(seq: Sequence, record: &mut DescriptorRecord, kind: u32) {
    record.header = Header { size: (size_of::<DescriptorRecord>() + size_of::<T>()) as u32, kind };
    seq.write(record);
}

#[inline(always)]
fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}
