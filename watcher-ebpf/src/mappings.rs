//! Who made the mappings that are there.
//!
//! Where system calls return, or are about to take something away. What is entered is what was given: which parts
//! of it are still there, when `munmap(2)`, MAP_FIXED, `mremap(2)` and `brk(2)` have cut and covered them, is
//! arithmetic with intervals, and user space does it with the kernel's own list at hand.

use crate::kernel::{
    MM_BREAK, REGISTERS_FIRST, REGISTERS_FOURTH, REGISTERS_SECOND, REGISTERS_THIRD, TASK_MM, registers,
};
use crate::ledger::{ON_DEMAND, Watching, now_ns, watching};
use crate::stacks::{self, origin};
use aya_ebpf::EbpfContext;
use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use aya_ebpf::macros::{map, tracepoint};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::TracePointContext;
use watcher_ebpf::{
    BREAK, LEDGER_MAPPINGS, MAPPED, MappingEntry, MappingKey, NEWEST, NEWEST_PROTECTED, PROTECTED, REMAPPED,
};

/// As many as `vm.max_map_count` lets one process have. User space takes entries away at each scan.
#[map]
static MAPPINGS: HashMap<MappingKey, MappingEntry> = HashMap::with_max_entries(65_536, ON_DEMAND);

/// What calls under way found when they began, by thread.
#[map]
static CALLS: HashMap<u64, u64> = HashMap::with_max_entries(4096, ON_DEMAND);

/// x86-64's and the usual one of arm64.
const PAGE_BYTES: u64 = 4096;
/// Results above this are negated error numbers (`include/linux/err.h`).
const MAX_ERRNO: u64 = 4095;
/// `include/uapi/asm-generic/mman-common.h` and `include/uapi/linux/mman.h`.
const PROT_WRITE: u64 = 2;
const MREMAP_DONTUNMAP: u64 = 4;

#[tracepoint]
pub fn mmap_returns(ctx: TracePointContext) -> u32 {
    if let Some(watching) = watching(LEDGER_MAPPINGS) {
        let call = registers(watching.task);
        let (bytes, flags) = (REGISTERS_SECOND.of(call), REGISTERS_FOURTH.of(call) as u32);
        enter(&ctx, &watching, argument(&ctx, 0), bytes, flags, MAPPED);
    }
    0
}

/// At its entry: once it is done, the addresses may belong to a new mapping already. Should it fail, the entry is
/// missing, and the next scan says so.
#[tracepoint]
pub fn munmap_called(ctx: TracePointContext) -> u32 {
    if let Some(watching) = watching(LEDGER_MAPPINGS) {
        leave(&watching, argument(&ctx, 0), whole_pages(argument(&ctx, 1)), u64::MAX);
    }
    0
}

#[tracepoint]
pub fn mremap_called(_ctx: TracePointContext) -> u32 {
    if watching(LEDGER_MAPPINGS).is_some() {
        let _ = CALLS.insert(thread(), now_ns(), 0);
    }
    0
}

#[tracepoint]
pub fn mremap_returns(ctx: TracePointContext) -> u32 {
    let Some(watching) = watching(LEDGER_MAPPINGS) else { return 0 };
    let call = registers(watching.task);
    let (old, old_bytes) = (REGISTERS_FIRST.of(call), whole_pages(REGISTERS_SECOND.of(call)));
    let (new, new_bytes) = (argument(&ctx, 0), REGISTERS_THIRD.of(call));
    let began = take_call();
    let is_moved = new != old;
    if is_error(new) || !is_moved && whole_pages(new_bytes) <= old_bytes {
        return 0;
    }
    if is_moved && REGISTERS_FOURTH.of(call) & MREMAP_DONTUNMAP == 0 {
        // What was made at the old address since this call began is another mapping.
        leave(&watching, old, old_bytes, began.unwrap_or(0));
    }
    enter(&ctx, &watching, new, new_bytes, 0, REMAPPED);
    0
}

#[tracepoint]
pub fn brk_called(_ctx: TracePointContext) -> u32 {
    if let Some(watching) = watching(LEDGER_MAPPINGS) {
        let _ = CALLS.insert(thread(), MM_BREAK.of(TASK_MM.of(watching.task)), 0);
    }
    0
}

#[tracepoint]
pub fn brk_returns(ctx: TracePointContext) -> u32 {
    let Some(watching) = watching(LEDGER_MAPPINGS) else { return 0 };
    let Some(old) = take_call() else { return 0 };
    let (old, new) = (whole_pages(old), whole_pages(argument(&ctx, 0)));
    if new > old {
        enter(&ctx, &watching, old, new - old, 0, BREAK);
    }
    0
}

#[tracepoint]
pub fn mprotect_returns(ctx: TracePointContext) -> u32 {
    let Some(watching) = watching(LEDGER_MAPPINGS) else { return 0 };
    let call = registers(watching.task);
    if argument(&ctx, 0) == 0 && REGISTERS_THIRD.of(call) & PROT_WRITE != 0 {
        enter(&ctx, &watching, REGISTERS_FIRST.of(call), REGISTERS_SECOND.of(call), 0, PROTECTED);
    }
    0
}

#[inline(always)]
fn enter(ctx: &TracePointContext, watching: &Watching, start: u64, bytes: u64, flags: u32, call: u32) {
    let bytes = whole_pages(bytes);
    if is_error(start) || bytes == 0 {
        return;
    }
    let newest = if call == PROTECTED { NEWEST_PROTECTED } else { NEWEST };
    let key = MappingKey { tgid: watching.tgid, covered: newest, start };
    let entry =
        MappingEntry { origin: origin(ctx, watching, LEDGER_MAPPINGS), at_ns: now_ns(), bytes, flags, call };
    if let Some(old) = MAPPINGS.get_ptr(key) {
        // SAFETY: the entry stays valid until this program ends.
        let old = unsafe { *old };
        if old.bytes > bytes {
            // The rest of it is still there.
            let covered = MappingKey { covered: (old.at_ns >> 8) as u32 | 2, ..key };
            insert(watching, &covered, &old);
        } else {
            end(watching, &old);
        }
    }
    insert(watching, &key, &entry);
}

#[inline(always)]
fn insert(watching: &Watching, key: &MappingKey, entry: &MappingEntry) {
    if MAPPINGS.insert(key, entry, 0).is_err() {
        watching.tally(LEDGER_MAPPINGS, |tally| &raw const tally.lost);
    }
}

/// Removes what began at `start`, if it was made before `until_ns` and all of it goes.
#[inline(always)]
fn leave(watching: &Watching, start: u64, bytes: u64, until_ns: u64) {
    for covered in [NEWEST, NEWEST_PROTECTED] {
        let key = MappingKey { tgid: watching.tgid, covered, start };
        let Some(entry) = MAPPINGS.get_ptr(key) else { continue };
        // SAFETY: the entry stays valid until this program ends, also when it is removed.
        let entry = unsafe { *entry };
        if entry.bytes <= bytes && entry.at_ns <= until_ns && MAPPINGS.remove(key).is_ok() {
            end(watching, &entry);
        }
    }
}

#[inline(always)]
fn end(watching: &Watching, entry: &MappingEntry) {
    stacks::ended(watching, LEDGER_MAPPINGS, &entry.origin, now_ns().saturating_sub(entry.at_ns));
}

/// What this thread's call found when it began.
#[inline(always)]
fn take_call() -> Option<u64> {
    let thread = thread();
    // SAFETY: only this thread writes this entry.
    let found = unsafe { CALLS.get(thread) }.copied();
    let _ = CALLS.remove(thread);
    found
}

/// What a tracepoint of a system call tells: at the entry its arguments, at the return its result.
#[inline(always)]
fn argument(ctx: &TracePointContext, index: usize) -> u64 {
    /// Behind what all tracepoints tell and the number of the call, on every 64-bit kernel.
    const PLACE: usize = 16;
    let place = ctx.as_ptr().cast::<u8>().wrapping_add(PLACE + index * size_of::<u64>()).cast::<u64>();
    // SAFETY: the kernel checks, when it attaches the program, that the tracepoint tells as much.
    unsafe { *place }
}

#[inline(always)]
fn thread() -> u64 {
    // SAFETY: takes nothing.
    unsafe { bpf_get_current_pid_tgid() }
}

#[inline(always)]
fn is_error(result: u64) -> bool {
    result > u64::MAX - MAX_ERRNO
}

#[inline(always)]
fn whole_pages(bytes: u64) -> u64 {
    bytes.wrapping_add(PAGE_BYTES - 1) & !(PAGE_BYTES - 1)
}
