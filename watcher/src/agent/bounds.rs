//! What a process is judged by beside its window: the same for one that is watched and for one that is replayed.

use crate::judge::terms::Bounds;
use crate::observed::Sample;
use crate::source::host::{Host, HostUsage};
use crate::store::recording::{HostFacts, HostUse};
use crate::vocabulary::process::{ProcessId, Target};

/// What of a host matters to verdicts, to be recorded.
pub(super) fn facts(host: &Host) -> HostFacts {
    HostFacts {
        kernel_release: host.kernel_release.clone(),
        memory_bytes: host.memory_bytes,
        tasks: host.tasks_max(),
        ticks_per_second: Some(host.ticks_per_second),
        page_bytes: Some(host.page_bytes),
    }
}

/// What of it is in use, to be recorded with each beat.
pub(super) fn used(usage: &HostUsage) -> HostUse {
    HostUse { available_bytes: usage.available_bytes, tasks: usage.tasks }
}

/// Seconds after boot at which a process of such a host started; `None` where its clock is not known.
pub(super) fn began(id: ProcessId, host: &HostFacts) -> Option<f64> {
    let ticks_per_second = host.ticks_per_second.filter(|ticks| *ticks > 0)?;
    Some(id.start_ticks as f64 / ticks_per_second as f64)
}

/// By what a process of such a host is judged, but for what its user has running.
pub(super) fn of(target: &Target, host: &HostFacts, used: &HostUse, newest: Option<&Sample>) -> Bounds {
    let mut limits = target.limits;
    // The kernel does not hold root to it (`is_ucounts_overlimit`, kernel/fork.c).
    if target.uid == Some(0) {
        limits.user_processes = None;
    }
    let age = |sample: &Sample| Some(sample.at.since_boot.as_secs_f64() - began(target.id, host)?);
    Bounds {
        limits,
        host_memory_bytes: host.memory_bytes,
        host_available_bytes: used.available_bytes,
        host_tasks: host.tasks,
        host_tasks_in_use: used.tasks,
        user_tasks: None,
        is_go: target.go.is_some(),
        age_seconds: newest.and_then(age),
    }
}
