//! Descriptors where system calls return. One program serves all calls of the same shape.

use super::Table;
use crate::kernel::{REGISTERS_FIRST, REGISTERS_FOURTH, REGISTERS_SECOND, probe_user, registers};
use crate::stacks::{again, origin};
use aya_ebpf::EbpfContext;
use aya_ebpf::macros::tracepoint;
use aya_ebpf::programs::TracePointContext;
use watcher_ebpf::LEDGER_DESCRIPTORS;

/// `include/uapi/linux/fcntl.h`.
const F_DUPFD: u64 = 0;
const F_DUPFD_CLOEXEC: u64 = 1030;
/// `include/linux/socket.h`.
const SOL_SOCKET: u32 = 1;
const SCM_RIGHTS: u32 = 1;
/// More descriptors at once than this are found by comparing.
const MAX_RECEIVED: u64 = 16;

/// Calls whose result is a new descriptor.
#[tracepoint]
pub fn call_opened(ctx: TracePointContext) -> u32 {
    if let Some((table, fd)) = succeeded(&ctx) {
        table.enter(&ctx, fd, table.slot(fd));
    }
    0
}

/// Calls whose result is the descriptor in their first argument, where that was one, or another: `dup2`, `dup3`,
/// `signalfd`.
#[tracepoint]
pub fn call_replaced(ctx: TracePointContext) -> u32 {
    if let Some((table, fd)) = succeeded(&ctx)
        && REGISTERS_FIRST.of(registers(table.watching.task)) as u32 != fd
    {
        table.enter(&ctx, fd, table.slot(fd));
    }
    0
}

/// `fcntl`, of which some commands return a new descriptor.
#[tracepoint]
pub fn call_controlled(ctx: TracePointContext) -> u32 {
    if let Some((table, fd)) = succeeded(&ctx)
        && matches!(REGISTERS_SECOND.of(registers(table.watching.task)), F_DUPFD | F_DUPFD_CLOEXEC)
    {
        table.enter(&ctx, fd, table.slot(fd));
    }
    0
}

/// `pipe` and `pipe2`, which put two descriptors where their first argument points.
#[tracepoint]
pub fn call_piped(ctx: TracePointContext) -> u32 {
    if let Some((table, _)) = succeeded(&ctx) {
        several(&ctx, &table, REGISTERS_FIRST.of(registers(table.watching.task)), 2);
    }
    0
}

/// `socketpair`, which puts them where its fourth argument points.
#[tracepoint]
pub fn call_paired(ctx: TracePointContext) -> u32 {
    if let Some((table, _)) = succeeded(&ctx) {
        several(&ctx, &table, REGISTERS_FOURTH.of(registers(table.watching.task)), 2);
    }
    0
}

/// `recvmsg`, by which another process may have passed descriptors. They are in the first control message: nobody
/// sends them otherwise.
#[tracepoint]
pub fn call_received(ctx: TracePointContext) -> u32 {
    let Some((table, _)) = succeeded(&ctx) else { return 0 };
    let message = REGISTERS_SECOND.of(registers(table.watching.task));
    // `msg_control` and `msg_controllen` of `struct user_msghdr`.
    let Some([control, bytes]) = probe_user::<[u64; 2]>(message.wrapping_add(32)) else { return 0 };
    // `struct cmsghdr`: length, level and type.
    if bytes < 16 {
        return 0;
    }
    let Some([length, kind]) = probe_user::<[u64; 2]>(control) else { return 0 };
    if (kind as u32, (kind >> 32) as u32) != (SOL_SOCKET, SCM_RIGHTS) {
        return 0;
    }
    let count = (length.saturating_sub(16) / 4).min(MAX_RECEIVED);
    several(&ctx, &table, control.wrapping_add(16), count);
    0
}

/// `close` at its entry: at its return the number may belong to a new descriptor already.
#[tracepoint]
pub fn call_closes(ctx: TracePointContext) -> u32 {
    if let Some(table) = Table::current() {
        table.leave(argument(&ctx) as u32, |_| true);
    }
    0
}

/// Enters `count` descriptors whose numbers lie at `place` in the process's memory.
#[inline(always)]
fn several(ctx: &TracePointContext, table: &Table, place: u64, count: u64) {
    let origin = origin(ctx, &table.watching, LEDGER_DESCRIPTORS);
    for index in 0..MAX_RECEIVED {
        if index >= count {
            break;
        }
        let Some(fd) = probe_user::<u32>(place.wrapping_add(4 * index)) else { break };
        if index > 0 {
            again(&table.watching, LEDGER_DESCRIPTORS, &origin, 1);
        }
        table.put(fd, table.slot(fd), &origin, 1);
    }
}

/// The table and the result of a call that did not fail.
#[inline(always)]
fn succeeded(ctx: &TracePointContext) -> Option<(Table, u32)> {
    let table = Table::current()?;
    let result = argument(ctx).cast_signed();
    (result >= 0).then_some((table, result as u32))
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
