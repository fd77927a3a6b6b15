//! Programs that do nothing. The loader has the kernel check them, drops them, and so knows which kinds of
//! program this kernel takes before anything depends on it.

use aya_ebpf::macros::{fentry, fexit, perf_event, tracepoint, uprobe};
use aya_ebpf::programs::{FEntryContext, FExitContext, PerfEventContext, ProbeContext, TracePointContext};

#[fentry(function = "fd_install")]
pub fn try_fentry(_ctx: FEntryContext) -> i32 {
    0
}

#[fexit(function = "fd_install")]
pub fn try_fexit(_ctx: FExitContext) -> i32 {
    0
}

#[tracepoint]
pub fn try_tracepoint(_ctx: TracePointContext) -> u32 {
    0
}

#[uprobe]
pub fn try_uprobe(_ctx: ProbeContext) -> u32 {
    0
}

#[perf_event]
pub fn try_perf_event(_ctx: PerfEventContext) -> u32 {
    0
}
