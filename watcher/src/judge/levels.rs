//! How full the limits of a process are, whether or not anything grows.
//!
//! A level is told of the newest sample. Of memory counts what nobody can take back: page cache is the kernel's to
//! drop, and garbage that GOMEMLIMIT keeps within its bound is the collector's.

mod holders;

use crate::judge::judgement::Level;
use crate::judge::terms::{Bounds, LimitName};
use crate::judge::weigh::exhaustion::approach::GO_THREADS;
use crate::observed::Sample;
use crate::observed::cgroup::CgroupUsage;
use crate::observed::go_counters::HeapCounters;
use crate::observed::quotas::Quota;
use crate::store::Window;

/// From this part of a limit on it is nearly reached.
pub const NEAR: f64 = 0.8;

/// Of a limit that others draw on as well, a process that holds less of what is used than this has no part in it.
const PART_OF_SHARED: f64 = 0.1;

/// The levels of all limits that are known, the fullest first.
pub fn of(window: &Window, bounds: &Bounds) -> Vec<Level> {
    let Some(newest) = window.latest() else { return Vec::new() };
    let mut levels: Vec<Level> = all(newest, bounds).into_iter().flatten().collect();
    for level in &mut levels {
        let has_part = level.own.is_none_or(|own| own as f64 >= PART_OF_SHARED * level.value as f64);
        level.is_near = level.share() >= NEAR && has_part;
        if level.share() >= NEAR {
            level.held_by = holders::of(level, newest, window.captures());
        }
    }
    levels.sort_by(|one, other| other.share().total_cmp(&one.share()));
    levels
}

fn all(newest: &Sample, bounds: &Bounds) -> Vec<Option<Level>> {
    let limits = bounds.limits;
    let cgroup = newest.cgroup.seen();
    let memory = newest.memory.seen();
    let heap = newest.runtime.seen().and_then(|runtime| runtime.heap.as_ref());
    let threads = newest.threads.seen().copied();
    // What has exited keeps its place until it is waited for.
    let zombies = newest.children.seen().map_or(0, |children| children.zombies);
    let tasks = threads.map(|threads| threads.saturating_add(zombies));
    let resident = memory.map(|memory| memory.anon_bytes.saturating_add(memory.shmem_bytes));
    let host_used = || Some(bounds.host_memory_bytes?.saturating_sub(bounds.host_available_bytes?));
    // A program that has more threads than Go allows by default has raised that bound.
    let go_threads = threads.filter(|threads| bounds.is_go && *threads <= GO_THREADS);
    let quotas = newest.quotas.seen();
    let user_tasks = bounds.user_tasks.or_else(|| quotas.and_then(|it| it.user_tasks));
    let shared = |limit, quota: Option<Quota>| {
        quota.and_then(|it| level(limit, Some(it.used), Some(it.of), Some(it.own)))
    };
    let ports = quotas.and_then(|it| it.ports).and_then(|ports| {
        let level = shared(LimitName::Ports, Some(ports.taken))?;
        Some(Level { peer: Some(ports.peer), ..level })
    });
    vec![
        level(LimitName::OpenFiles, newest.descriptors.seen().copied(), limits.open_files, None),
        level(LimitName::Mappings, newest.mappings.seen().copied(), limits.mappings, None),
        level(LimitName::GoThreads, go_threads, Some(GO_THREADS), None),
        level(LimitName::UserProcesses, user_tasks, limits.user_processes, tasks),
        level(LimitName::HostTasks, bounds.host_tasks_in_use, bounds.host_tasks, tasks),
        level(
            LimitName::CgroupPids,
            cgroup.and_then(|it| it.pids),
            cgroup.and_then(|it| it.pids_limit),
            tasks,
        ),
        cgroup.and_then(|cgroup| of_cgroup_memory(cgroup, heap, resident)),
        cgroup.and_then(|cgroup| of_throttle(cgroup, heap, resident)),
        level(LimitName::HostMemory, host_used(), bounds.host_memory_bytes, resident),
        level(LimitName::AddressSpace, memory.map(|it| it.virtual_bytes), limits.address_space_bytes, None),
        level(LimitName::DataSize, memory.map(|it| it.data_bytes), limits.data_bytes, None),
        heap.and_then(of_go_memory),
        shared(LimitName::InotifyInstances, quotas.and_then(|it| it.inotify_instances)),
        shared(LimitName::InotifyWatches, quotas.and_then(|it| it.inotify_watches)),
        ports,
    ]
}

fn level(limit: LimitName, value: Option<u64>, of: Option<u64>, own: Option<u64>) -> Option<Level> {
    let (value, of) = (value?, of.filter(|of| *of > 0)?);
    Some(Level { limit, value, of, own, peer: None, is_near: false, held_by: Vec::new() })
}

fn of_cgroup_memory(
    cgroup: &CgroupUsage,
    heap: Option<&HeapCounters>,
    resident: Option<u64>,
) -> Option<Level> {
    let of = cgroup.memory_limit_bytes?;
    let garbage = heap.map_or(0, |heap| bounded_garbage(heap, of));
    let used = cgroup.unreclaimable_bytes()?.saturating_sub(garbage);
    let own = resident.map(|resident| resident.saturating_sub(garbage));
    level(LimitName::CgroupMemory, Some(used), Some(of), own)
}

fn of_throttle(cgroup: &CgroupUsage, heap: Option<&HeapCounters>, resident: Option<u64>) -> Option<Level> {
    let high = cgroup.throttle?;
    let garbage = heap.map_or(0, |heap| bounded_garbage(heap, high.limit_bytes));
    let used = high.unreclaimable_bytes.saturating_sub(garbage);
    let own = resident.map(|resident| resident.saturating_sub(garbage));
    level(LimitName::CgroupMemoryHigh, Some(used), Some(high.limit_bytes), own)
}

/// What of the heap is no object that the last collection found, where GOMEMLIMIT keeps all of it below `limit`: the
/// collector frees it before the kernel needs it.
fn bounded_garbage(heap: &HeapCounters, limit: u64) -> u64 {
    let is_bounded = heap.memory_limit_bytes.is_some_and(|bytes| bytes <= limit);
    let Some(marked) = heap.marked_bytes.filter(|_| is_bounded) else { return 0 };
    heap.in_use_bytes.saturating_add(heap.idle_bytes).saturating_sub(marked)
}

/// GOMEMLIMIT is there to be filled with garbage. What fills it for good is what is live, and what the runtime has
/// besides its heap (`gcControllerState.memoryLimitHeapGoal`, `runtime/mgcpacer.go`).
fn of_go_memory(heap: &HeapCounters) -> Option<Level> {
    let spans = heap.in_use_bytes.saturating_add(heap.idle_bytes);
    let beside = heap.mapped_bytes.saturating_sub(spans);
    let value = heap.marked_bytes?.saturating_add(beside);
    level(LimitName::GoMemory, Some(value), heap.memory_limit_bytes, None)
}

#[cfg(test)]
mod tests;
