//! Who opened the descriptors that are open.
//!
//! There are three sets of programs for it. [`trampolines`] sit where the kernel changes a table of descriptors: the
//! map then equals the table whatever was done to it. [`allocations`] sits where the kernel makes open files, and costs
//! no system call anything that makes none. [`calls`] sit where system calls return; what enters or leaves
//! the table otherwise has to be found by comparing. [`sweep`] serves the first and the last: it compares right here after what closes
//! many descriptors at once.

pub mod allocations;
mod calls;
mod sweep;
mod trampolines;

use crate::kernel::{
    FILE_INODE, FILE_TABLE_SIZE, FILE_TABLE_SLOTS, FILES_TABLE, File, Files, INODE_MODE, INODE_NUMBER,
    Pointer, TASK_FILES, TASK_GROUP_LEADER, probe_read,
};
use crate::ledger::{ON_DEMAND, Watching, now_ns, watching};
use crate::stacks::{self, origin_of};
use aya_ebpf::EbpfContext;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use watcher_ebpf::{DescriptorEntry, DescriptorKey, LEDGER_DESCRIPTORS, Origin, sample_number};

/// Four processes with as many descriptors as a limit of 65,536 admits, or one storm.
#[map]
static DESCRIPTORS: HashMap<DescriptorKey, DescriptorEntry> = HashMap::with_max_entries(262_144, ON_DEMAND);

/// The table of descriptors of a watched process.
#[derive(Clone, Copy)]
struct Table {
    watching: Watching,
    files: Pointer<Files>,
}

impl Table {
    /// That of the current task, where its process is watched. A thread may have a table of its own, which nobody
    /// else sees, `/proc` neither.
    #[inline(always)]
    fn current() -> Option<Self> {
        let watching = watching(LEDGER_DESCRIPTORS)?;
        let files = TASK_FILES.of(watching.task);
        let of_leader = TASK_FILES.of(TASK_GROUP_LEADER.of(watching.task));
        // A leader that has exited has let go of it.
        (files == of_leader || of_leader.is_null()).then_some(Table { watching, files })
    }

    /// A descriptor now refers to `file`, or to one that cannot be told.
    #[inline(always)]
    fn enter<C: EbpfContext>(&self, ctx: &C, fd: u32, file: Option<Pointer<File>>) {
        if !self.is_left_out(fd) {
            let weight = self.watching.watched.sample_mask.wrapping_add(1);
            let origin = origin_of(ctx, &self.watching, LEDGER_DESCRIPTORS, weight);
            self.put(fd, file, &origin, weight);
        }
    }

    /// Enters it as opened by `origin`, which counts it already, and as standing for `weight` of its kind.
    #[inline(always)]
    fn put(&self, fd: u32, file: Option<Pointer<File>>, origin: &Origin, weight: u32) {
        let watching = &self.watching;
        // What is believed to be open at this number was closed, unseen or not yet seen.
        self.leave(fd, |_| true);
        let (inode, mode) = file.map_or((0, 0), identity);
        let file = file.map_or(0, address);
        let entry = DescriptorEntry { origin: *origin, at_ns: now_ns(), file, inode, mode, weight };
        let key = DescriptorKey { tgid: watching.tgid, fd };
        if DESCRIPTORS.insert(key, entry, 0).is_err() {
            stacks::ended_of(watching, LEDGER_DESCRIPTORS, origin, 0, weight);
            watching.tally_of(LEDGER_DESCRIPTORS, weight, |tally| &raw const tally.lost);
        }
    }

    /// A descriptor is closed, if it is believed to be open and to refer to a file that `is_it`.
    #[inline(always)]
    fn leave(&self, fd: u32, is_it: impl Fn(u64) -> bool) -> bool {
        leave(&self.watching, fd, is_it)
    }

    /// Sampling leaves it out, by its number; that is then all to be done about it.
    #[inline(always)]
    fn is_left_out(&self, fd: u32) -> bool {
        if sample_number(fd) & self.watching.watched.sample_mask == 0 {
            return false;
        }
        // Of the time when more were entered.
        self.leave(fd, |_| true);
        self.watching.tally(LEDGER_DESCRIPTORS, |tally| &raw const tally.unsampled);
        true
    }

    /// How many descriptors it has room for.
    #[inline(always)]
    fn size(&self) -> u32 {
        FILES_TABLE.probe(self.files).and_then(|table| FILE_TABLE_SIZE.probe(table)).unwrap_or(0)
    }

    /// The file that a descriptor refers to.
    #[inline(always)]
    fn slot(&self, fd: u32) -> Option<Pointer<File>> {
        let table = FILES_TABLE.probe(self.files)?;
        if fd >= FILE_TABLE_SIZE.probe(table)? {
            return None;
        }
        let mut file = 0u64;
        let place = FILE_TABLE_SLOTS.probe(table)?.wrapping_add(u64::from(fd) * 8);
        let failed = probe_read((&raw mut file).cast(), 8, place as *const u8);
        (!failed && file != 0).then_some(Pointer::from_ptr(file as *const File))
    }
}

#[inline(always)]
fn leave(watching: &Watching, fd: u32, is_it: impl Fn(u64) -> bool) -> bool {
    let key = DescriptorKey { tgid: watching.tgid, fd };
    let Some(entry) = DESCRIPTORS.get_ptr(key) else { return false };
    // SAFETY: the entry stays valid until this program ends, also when it is removed.
    let DescriptorEntry { origin, at_ns, file, weight, .. } = unsafe { *entry };
    if !is_it(file) {
        return false;
    }
    // Of those that remove it at the same time only one has removed it.
    let removed = DESCRIPTORS.remove(key).is_ok();
    if removed {
        let lived_ns = now_ns().saturating_sub(at_ns);
        stacks::ended_of(watching, LEDGER_DESCRIPTORS, &origin, lived_ns, weight);
    }
    removed
}

#[inline(always)]
fn address(file: Pointer<File>) -> u64 {
    file.as_ptr() as u64
}

/// Inode number and mode.
#[inline(always)]
fn identity(file: Pointer<File>) -> (u64, u32) {
    let Some(inode) = FILE_INODE.probe(file) else { return (0, 0) };
    (INODE_NUMBER.probe(inode).unwrap_or(0), u32::from(INODE_MODE.probe(inode).unwrap_or(0)))
}
