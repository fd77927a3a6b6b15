//! When a limit is reached if growth goes on as it does, and which limit that is.

use super::{Bounds, Exhaustion, Kind, LimitName, Rate};
use crate::sample::Sample;

/// The limit that growth of this kind at this rate reaches first, counted from the newest sample; `None` where no
/// limit is known or nothing grows.
pub fn first_limit(kind: Kind, rate: Rate, newest: &Sample, bounds: &Bounds) -> Option<Exhaustion> {
    limits_of(kind, newest, bounds)
        .into_iter()
        .filter_map(|(limit, value, used)| reached(rate, limit, value?, used?))
        .min_by(|a, b| a.in_seconds.total_cmp(&b.in_seconds))
}

/// Limits that bound this kind: name, value and how much of it is used.
fn limits_of(kind: Kind, newest: &Sample, bounds: &Bounds) -> Vec<(LimitName, Option<u64>, Option<u64>)> {
    let cgroup = newest.cgroup.seen();
    match kind {
        Kind::Fd | Kind::Connection => {
            vec![(LimitName::OpenFiles, bounds.limits.open_files, newest.descriptors.seen().copied())]
        }
        Kind::Mapping => vec![(LimitName::Mappings, bounds.limits.mappings, newest.mappings.seen().copied())],
        // A task that has exited keeps its place in all of these until it is waited for. How many tasks the user
        // and the host have besides these is not read, so the two are reached no later than said here.
        Kind::Thread | Kind::Child => {
            let own = match kind {
                Kind::Thread => newest.threads.seen().copied(),
                _ => newest.children.seen().map(|children| children.zombies),
            };
            vec![
                (
                    LimitName::CgroupPids,
                    cgroup.and_then(|cgroup| cgroup.pids_limit),
                    cgroup.and_then(|cgroup| cgroup.pids),
                ),
                (LimitName::UserProcesses, bounds.limits.user_processes, own),
                (LimitName::HostTasks, bounds.host_tasks, own),
            ]
        }
        Kind::Heap | Kind::Native => vec![
            (
                LimitName::CgroupMemory,
                cgroup.and_then(|cgroup| cgroup.memory_limit_bytes),
                cgroup.and_then(|cgroup| cgroup.memory_bytes),
            ),
            (
                LimitName::HostMemory,
                bounds.host_memory_bytes,
                newest.memory.seen().map(|memory| memory.rss_bytes()),
            ),
        ],
        // Goroutines cost memory only, which the heap's finding bounds.
        Kind::Goroutine => Vec::new(),
    }
}

fn reached(rate: Rate, limit: LimitName, limit_value: u64, used: u64) -> Option<Exhaustion> {
    let left = limit_value.saturating_sub(used) as f64;
    let seconds = |per_second: f64| (per_second > 0.0).then(|| left / per_second);
    Some(Exhaustion {
        limit,
        limit_value,
        in_seconds: seconds(rate.per_second)?,
        low_seconds: seconds(rate.high)?,
        high_seconds: seconds(rate.low),
    })
}
