//! What closes many descriptors at once tells of none of them at a place that all kernels have in common. The table
//! itself tells: afterwards it is compared with what is believed to be open.

use super::{Table, address};
use crate::kernel::{REGISTERS_FIRST, REGISTERS_SECOND, registers};
use aya_ebpf::helpers::generated::bpf_loop;
use aya_ebpf::macros::{btf_tracepoint, tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, TracePointContext};
use core::ffi::c_void;

/// The kernel runs a callback at most so often (`BPF_MAX_LOOPS`, `kernel/bpf/bpf_iter.c`).
const MAX_LOOPS: u32 = 1 << 23;

/// `close_range` at its return.
#[tracepoint]
pub fn call_closed_range(_ctx: TracePointContext) -> u32 {
    if let Some(table) = Table::current() {
        let registers = registers(table.watching.task);
        let (first, last) = (REGISTERS_FIRST.of(registers) as u32, REGISTERS_SECOND.of(registers) as u32);
        sweep(&table, first, last);
    }
    0
}

/// A process comes to run another program: those that were to be closed then are closed.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_replaced(_ctx: BtfTracePointContext) -> i32 {
    if let Some(table) = Table::current() {
        sweep(&table, 0, u32::MAX);
    }
    0
}

/// Forgets those from `first` to `last` that are no longer what they are believed to be.
#[inline(always)]
fn sweep(table: &Table, first: u32, last: u32) {
    let end = last.saturating_add(1).min(table.size());
    let count = end.saturating_sub(first).min(MAX_LOOPS);
    let place = &mut Place { first, sought: 0 };
    visit(count, place);
}

/// Forgets the descriptor that referred to `file` and no longer does, if one is known.
#[inline(always)]
pub fn find(table: &Table, file: u64) {
    visit(table.size().min(MAX_LOOPS), &mut Place { first: 0, sought: file });
}

/// What the callback is told and tells.
struct Place {
    first: u32,
    /// Only this file is of interest, and the first descriptor of it is enough; 0 for all.
    sought: u64,
}

#[inline(always)]
fn visit(count: u32, place: &mut Place) {
    let callback: unsafe extern "C" fn(u32, *mut Place) -> i64 = visit_one;
    // SAFETY: the callback takes what the helper passes; `place` outlives the call.
    unsafe { bpf_loop(count, callback as *mut c_void, (&raw mut *place).cast(), 0) };
}

/// 1 to stop.
unsafe extern "C" fn visit_one(index: u32, place: *mut Place) -> i64 {
    // SAFETY: as `visit` passes it.
    let Place { first, sought } = unsafe { &*place };
    // Not handed over: the verifier would no longer know its pointers.
    let Some(table) = Table::current() else { return 1 };
    let fd = first.wrapping_add(index);
    let now = table.slot(fd).map_or(0, address);
    let is_sought = |file: u64| *sought == 0 || file == *sought;
    if table.leave(fd, |file| is_sought(file) && file != now && file != 0) && *sought != 0 {
        return 1;
    }
    0
}
