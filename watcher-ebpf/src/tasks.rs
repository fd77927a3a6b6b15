//! Who started the threads and the child processes that are there.
//!
//! `tp_btf` at the scheduler's tracepoints, which every way to make and to end a task passes. A thread is over when
//! it exits; a child is so only when somebody has waited for it.

use crate::kernel::{
    Pointer, SIGNAL_LIVE, TASK_PID, TASK_REAL_PARENT, TASK_SIGNAL, TASK_START_BOOTTIME, TASK_TGID, Task,
};
use crate::ledger::{ON_DEMAND, now_ns, watching, watching_process};
use crate::stacks::{self, origin};
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::BtfTracePointContext;
use watcher_ebpf::{LEDGER_CHILDREN, LEDGER_TASKS, TASK_CHILD, TASK_THREAD, TaskEntry};

/// By thread id. No host has more threads unless somebody has raised `kernel.threads-max` and `kernel.pid_max`.
#[map]
static TASKS: HashMap<u32, TaskEntry> = HashMap::with_max_entries(32_768, ON_DEMAND);

/// Runs in the creator, before the new task does.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn task_forked(ctx: BtfTracePointContext) -> i32 {
    let Some(watching) = watching(LEDGER_TASKS) else { return 0 };
    let child: Pointer<Task> = Pointer::from_ptr(ctx.arg(1));
    let is_thread = TASK_TGID.of(child) == watching.tgid;
    // With CLONE_PARENT it is somebody else who has to wait.
    if !is_thread && TASK_TGID.of(TASK_REAL_PARENT.of(child)) != watching.tgid {
        return 0;
    }
    let (ledger, kind) = if is_thread { (LEDGER_TASKS, TASK_THREAD) } else { (LEDGER_CHILDREN, TASK_CHILD) };
    let entry = TaskEntry {
        origin: origin(&ctx, &watching, ledger),
        start_ns: TASK_START_BOOTTIME.of(child),
        exited_ns: 0,
        tgid: watching.tgid,
        kind,
    };
    if TASKS.insert(TASK_PID.of(child), entry, 0).is_err() {
        watching.tally(ledger, |tally| &raw const tally.lost);
    }
    0
}

/// Runs in the task that exits.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn task_exited(ctx: BtfTracePointContext) -> i32 {
    let task: Pointer<Task> = Pointer::from_ptr(ctx.arg(0));
    // The process is over with its last thread, which need not be the one that began it.
    let is_last = SIGNAL_LIVE.of(TASK_SIGNAL.of(task)) == 0;
    let tid = if is_last { TASK_TGID.of(task) } else { TASK_PID.of(task) };
    if let Some(entry) = TASKS.get_ptr_mut(tid) {
        // SAFETY: the entry stays valid until this program ends.
        let kind = unsafe { (*entry).kind };
        if kind == TASK_CHILD && is_last {
            // SAFETY: as above; a process ends once.
            unsafe { (*entry).exited_ns = now_ns() };
        }
    }
    // A thread that ends as the last of its process is in no ledger that anybody still reads.
    remove(task, TASK_THREAD);
    0
}

/// Runs when nothing refers to the task any more: its parent has waited for it, or did not want to. In the
/// middle of anything: it says nothing that another task runs then.
#[btf_tracepoint(function = "sched_process_free")]
pub fn task_freed(ctx: BtfTracePointContext) -> i32 {
    remove(Pointer::from_ptr(ctx.arg(0)), TASK_CHILD);
    0
}

#[inline(always)]
fn remove(task: Pointer<Task>, kind: u32) {
    let tid = TASK_PID.of(task);
    let Some(entry) = TASKS.get_ptr(tid) else { return };
    // SAFETY: the entry stays valid until this program ends, also when it is removed.
    let entry = unsafe { *entry };
    if entry.kind != kind || entry.start_ns != TASK_START_BOOTTIME.of(task) || TASKS.remove(tid).is_err() {
        return;
    }
    let ledger = if kind == TASK_THREAD { LEDGER_TASKS } else { LEDGER_CHILDREN };
    if let Some(watching) = watching_process(task, entry.tgid, LEDGER_TASKS) {
        stacks::ended(&watching, ledger, &entry.origin, now_ns().saturating_sub(entry.start_ns));
    }
}
