//! When a limit is reached if growth goes on as it does, and which limit that is.
//!
//! Findings that draw on the same limit share its time: descriptors and sockets one table, heap, native memory and
//! stacks one memory. Others draw on the limits of a cgroup too; where what they take grows as well, it counts.

mod memory;

use super::trend::Trend;
use super::{Beyond, Bounds, Evidence, Exhaustion, Finding, Kind, LimitName, Rate};
use crate::sample::Sample;
use crate::store::Window;
use memory::MemoryDraw;

/// `sched.maxmcount` as `schedinit` sets it (`runtime/proc.go`, Go 1.18 to 1.27): with one thread more the runtime
/// ends the program. `runtime/debug.SetMaxThreads` changes it; whether a program did is not read.
pub(super) const GO_THREADS: u64 = 10_000;

/// A rise of what others take counts below this p-value.
const OTHERS_P_VALUE: f64 = 0.000_3;

/// Nothing per second.
const NONE: Rate = Rate { per_second: 0.0, low: 0.0, high: 0.0 };

/// Puts the time that is left into each finding.
pub fn add(findings: &mut [Finding], window: &Window, bounds: &Bounds) {
    let Some(newest) = window.latest() else { return };
    let state = State { newest, window, bounds };
    let descriptors = descriptors_together(findings);
    let memory = MemoryDraw::of(findings, window);
    for finding in findings.iter_mut().filter(|finding| !comes_back(finding)) {
        let approaches = match finding.kind {
            Kind::Fd | Kind::Connection => state.open_files(descriptors),
            Kind::Mapping => state.mappings(finding.rate),
            Kind::Thread | Kind::Child => state.tasks(finding.kind, finding.rate),
            Kind::Heap | Kind::Native | Kind::Goroutine => memory::approaches(&memory, &state),
        };
        finding.exhausts = first(approaches);
    }
    let sooner: Vec<Option<Exhaustion>> = findings
        .iter()
        .map(|cause| {
            let own = cause.exhausts.into_iter();
            let follows = findings.iter().filter(|it| it.consequence_of == Some(cause.kind));
            own.chain(follows.filter_map(|it| it.exhausts))
                .min_by(|a, b| a.in_seconds.total_cmp(&b.in_seconds))
        })
        .collect();
    // What follows from a leak may end the process before the leak itself does.
    for (finding, sooner) in findings.iter_mut().zip(sooner) {
        finding.exhausts = sooner;
    }
}

/// What the collector closes now and then runs into no limit, whatever its pace in between.
fn comes_back(finding: &Finding) -> bool {
    finding.evidence.iter().any(|evidence| matches!(evidence, Evidence::ClosedByCollector { .. }))
}

fn descriptors_together(findings: &[Finding]) -> Rate {
    let kinds = [Kind::Fd, Kind::Connection];
    let of_kind = findings.iter().filter(|it| kinds.contains(&it.kind) && !comes_back(it));
    of_kind.fold(NONE, |sum, finding| plus(sum, finding.rate))
}

fn plus(one: Rate, other: Rate) -> Rate {
    Rate {
        per_second: one.per_second + other.per_second,
        low: one.low + other.low,
        high: one.high + other.high,
    }
}

/// One limit and when it is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Approach {
    limit: LimitName,
    value: u64,
    times: Times,
}

/// Seconds from the newest sample.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Times {
    likely: f64,
    low: f64,
    high: Option<f64>,
}

impl Times {
    /// `None` where nothing grows.
    fn of(left: f64, rate: Rate) -> Option<Times> {
        let seconds = |per_second: f64| (per_second > 0.0).then(|| left.max(0.0) / per_second);
        Some(Times { likely: seconds(rate.per_second)?, low: seconds(rate.high)?, high: seconds(rate.low) })
    }
}

/// The limit that is reached first. Where that one only slows the process down, the first that ends it besides.
fn first(approaches: Vec<Approach>) -> Option<Exhaustion> {
    let soonest = |of: &mut dyn Iterator<Item = &Approach>| {
        of.copied().min_by(|a, b| a.times.likely.total_cmp(&b.times.likely))
    };
    let first = soonest(&mut approaches.iter())?;
    let end = soonest(&mut approaches.iter().filter(|it| !it.limit.only_slows()));
    Some(Exhaustion {
        limit: first.limit,
        limit_value: first.value,
        in_seconds: first.times.likely,
        low_seconds: first.times.low,
        high_seconds: first.times.high,
        beyond: end.filter(|_| first.limit.only_slows()).map(|end| Beyond {
            limit: end.limit,
            limit_value: end.value,
            in_seconds: end.times.likely,
            low_seconds: end.times.low,
            high_seconds: end.times.high,
        }),
    })
}

/// What is known at the newest sample.
struct State<'a> {
    newest: &'a Sample,
    window: &'a Window,
    bounds: &'a Bounds,
}

impl State<'_> {
    fn open_files(&self, rate: Rate) -> Vec<Approach> {
        let used = self.newest.descriptors.seen().copied();
        counted(LimitName::OpenFiles, self.bounds.limits.open_files, used, rate).into_iter().collect()
    }

    fn mappings(&self, rate: Rate) -> Vec<Approach> {
        let used = self.newest.mappings.seen().copied();
        counted(LimitName::Mappings, self.bounds.limits.mappings, used, rate).into_iter().collect()
    }

    /// A task that has exited keeps its place in all of these until it is waited for. Where it is not known how many
    /// tasks the user or the host has, those of the process stand for them: the two are reached no later than said.
    fn tasks(&self, kind: Kind, rate: Rate) -> Vec<Approach> {
        let own = |sample: &Sample| match kind {
            Kind::Thread => sample.threads.seen().copied(),
            _ => sample.children.seen().map(|children| children.zombies),
        };
        let cgroup = self.newest.cgroup.seen();
        let others = self.others(|sample| {
            let all = sample.cgroup.seen()?.pids? as f64;
            Some(all - own(sample)? as f64)
        });
        let (bounds, own) = (self.bounds, own(self.newest));
        let go_threads = (kind == Kind::Thread && bounds.is_go).then_some(GO_THREADS);
        [
            counted(
                LimitName::CgroupPids,
                cgroup.and_then(|cgroup| cgroup.pids_limit),
                cgroup.and_then(|cgroup| cgroup.pids),
                plus(rate, others),
            ),
            counted(LimitName::UserProcesses, bounds.limits.user_processes, bounds.user_tasks.or(own), rate),
            counted(LimitName::HostTasks, bounds.host_tasks, bounds.host_tasks_in_use.or(own), rate),
            counted(LimitName::GoThreads, go_threads, own, rate),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// By how much grows what others take of a shared limit; nothing where it does not rise beyond doubt.
    fn others(&self, read: impl Fn(&Sample) -> Option<f64>) -> Rate {
        let series = self.window.series(|sample| Some((sample.cgroup.at, read(sample)?)));
        let rises = |trend: &Trend| trend.p_rising < OTHERS_P_VALUE && trend.rate.low > 0.0;
        Trend::of(&series).filter(rises).map_or(NONE, |trend| trend.rate)
    }
}

fn counted(limit: LimitName, value: Option<u64>, used: Option<u64>, rate: Rate) -> Option<Approach> {
    let (value, used) = (value?, used?);
    let times = Times::of(value.saturating_sub(used) as f64, rate)?;
    Some(Approach { limit, value, times })
}

#[cfg(test)]
mod tests;
