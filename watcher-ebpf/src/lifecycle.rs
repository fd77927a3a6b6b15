//! Processes that come to run a program and processes that end.
//!
//! `tp_btf` and not a plain tracepoint: the layout of the latter's arguments differs from kernel to kernel.

use crate::kernel::{
    Pointer, SIGNAL_LIVE, TASK_GROUP_LEADER, TASK_SIGNAL, TASK_START_BOOTTIME, TASK_TGID, Task,
};
use aya_ebpf::helpers::generated::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::{btf_tracepoint, map};
use aya_ebpf::maps::{PerCpuArray, RingBuf};
use aya_ebpf::programs::BtfTracePointContext;
use watcher_ebpf::{EXEC, EXIT, Header, LifecycleRecord};

/// Room for some 6,500 events: several seconds of a machine that does nothing but fork and exec.
#[map]
static LIFECYCLE_EVENTS: RingBuf = RingBuf::with_byte_size(256 * 1024, 0);

/// Events for which the ring buffer had no room, by CPU.
#[map]
static LIFECYCLE_LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// Runs late in `execve`, when the new program is in place and the thread that called it has become the leader.
#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_exec(ctx: BtfTracePointContext) -> i32 {
    tell(EXEC, Pointer::from_ptr(ctx.arg(0)));
    0
}

/// Runs in every thread that exits, after it has left the count of the living: the process ends with the thread
/// that finds the count at zero. Threads that exit at the same instant may find it so together; whoever reads
/// the events has to bear that the end of a process is told more than once.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn process_exit(ctx: BtfTracePointContext) -> i32 {
    let task: Pointer<Task> = Pointer::from_ptr(ctx.arg(0));
    if SIGNAL_LIVE.of(TASK_SIGNAL.of(task)) == 0 {
        tell(EXIT, task);
    }
    0
}

#[inline(always)]
fn tell(kind: u32, task: Pointer<Task>) {
    let Some(mut entry) = LIFECYCLE_EVENTS.reserve::<LifecycleRecord>(0) else {
        if let Some(lost) = LIFECYCLE_LOST.get_ptr_mut(0) {
            // SAFETY: the slot of this CPU, which no other program of ours can run on meanwhile.
            unsafe { *lost += 1 };
        }
        return;
    };
    entry.write(LifecycleRecord {
        header: Header { size: size_of::<LifecycleRecord>() as u32, kind },
        tgid: TASK_TGID.of(task),
        reserved: 0,
        start_ns: TASK_START_BOOTTIME.of(TASK_GROUP_LEADER.of(task)),
        // SAFETY: takes nothing and only reads a clock.
        at_ns: unsafe { bpf_ktime_get_boot_ns() },
    });
    entry.submit(0);
}
