//! Who opened the descriptors that are open, where system calls return.

use crate::kernel::{
    FILE_INODE, FILE_TABLE_SIZE, FILE_TABLE_SLOTS, FILES_TABLE, File, INODE_MODE, INODE_NUMBER, Pointer,
    TASK_FILES, probe_read,
};
use crate::ledger::{ON_DEMAND, Watching, now_ns, watching};
use crate::stacks::{self, origin};
use aya_ebpf::EbpfContext;
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::TracePointContext;
use watcher_ebpf::{DescriptorEntry, DescriptorKey, LEDGER_DESCRIPTORS};

/// Four processes with as many descriptors as a limit of 65,536 admits, or one storm.
#[map]
static DESCRIPTORS: HashMap<DescriptorKey, DescriptorEntry> = HashMap::with_max_entries(262_144, ON_DEMAND);

/// A system call that returns a new descriptor.
#[tracepoint]
pub fn call_opened(ctx: TracePointContext) -> u32 {
    if let Some(watching) = watching(LEDGER_DESCRIPTORS) {
        let result = argument(&ctx).cast_signed();
        if result >= 0 {
            enter(&ctx, &watching, result as u32);
        }
    }
    0
}

/// `close(2)` at its entry: at its return the number may belong to a new descriptor already.
#[tracepoint]
pub fn call_closes(ctx: TracePointContext) -> u32 {
    if let Some(watching) = watching(LEDGER_DESCRIPTORS) {
        leave(&watching, DescriptorKey { tgid: watching.tgid, fd: argument(&ctx) as u32, file: 0 });
    }
    0
}

/// What a tracepoint of a system call tells first: at the entry its first argument, at the return its result.
#[inline(always)]
fn argument(ctx: &TracePointContext) -> u64 {
    /// Behind what all tracepoints tell and the number of the call, on every 64-bit kernel.
    const PLACE: usize = 16;
    let place = ctx.as_ptr().cast::<u8>().wrapping_add(PLACE).cast::<u64>();
    // SAFETY: the verifier and the kernel, when it attaches the program, check that the tracepoint tells as much.
    unsafe { *place }
}

#[inline(always)]
fn enter<C: EbpfContext>(ctx: &C, watching: &Watching, fd: u32) {
    let key = DescriptorKey { tgid: watching.tgid, fd, file: 0 };
    if is_left_out(watching, fd) {
        // What is believed to be open at this number was closed unseen.
        leave(watching, key);
        watching.tally(LEDGER_DESCRIPTORS, |tally| &raw const tally.unsampled);
        return;
    }
    let (inode, mode) = match slot(watching, fd) {
        Some(file) => identity(file),
        None => (0, 0),
    };
    let entry = DescriptorEntry {
        origin: origin(ctx, watching, LEDGER_DESCRIPTORS),
        at_ns: now_ns(),
        inode,
        count: 1,
        mode,
        reserved: 0,
    };
    if DESCRIPTORS.insert(key, entry, 0).is_err() {
        watching.tally(LEDGER_DESCRIPTORS, |tally| &raw const tally.lost);
    }
}

#[inline(always)]
fn leave(watching: &Watching, key: DescriptorKey) {
    let Some(entry) = DESCRIPTORS.get_ptr(key) else { return };
    // SAFETY: the entry stays valid until this program ends, also when it is removed.
    let (origin, at_ns) = unsafe { ((*entry).origin, (*entry).at_ns) };
    // Only one of those that remove it at the same time has removed it.
    if DESCRIPTORS.remove(key).is_ok() {
        stacks::ended(watching, LEDGER_DESCRIPTORS, &origin, now_ns().saturating_sub(at_ns));
    }
}

/// Sampling leaves it out, by its number: its closing is then left out as well.
#[inline(always)]
fn is_left_out(watching: &Watching, fd: u32) -> bool {
    fd.wrapping_mul(0x9e37_79b1) >> 16 & watching.watched.sample_mask != 0
}

/// The file at a number of the current task's table.
#[inline(always)]
fn slot(watching: &Watching, fd: u32) -> Option<Pointer<File>> {
    let table = FILES_TABLE.probe(TASK_FILES.of(watching.task))?;
    if fd >= FILE_TABLE_SIZE.probe(table)? {
        return None;
    }
    let mut file = 0u64;
    let place = FILE_TABLE_SLOTS.probe(table)?.wrapping_add(u64::from(fd) * 8);
    let failed = probe_read((&raw mut file).cast(), 8, place as *const u8);
    (!failed && file != 0).then_some(Pointer::from_ptr(file as *const File))
}

/// Inode number and mode.
#[inline(always)]
fn identity(file: Pointer<File>) -> (u64, u32) {
    let Some(inode) = FILE_INODE.probe(file) else { return (0, 0) };
    (INODE_NUMBER.probe(inode).unwrap_or(0), u32::from(INODE_MODE.probe(inode).unwrap_or(0)))
}
