//! How fast a limit is approached, and when it is reached.

use crate::judge::judgement::Finding;
use crate::judge::series::trend::Trend;
use crate::judge::terms::{Bounds, Kind, LimitName, Rate};
use crate::judge::weigh::evidence::Evidence;
use crate::observed::Sample;
use crate::store::Window;

/// `sched.maxmcount` as `schedinit` sets it (`runtime/proc.go`, Go 1.18 to 1.27): with one thread more the runtime
/// ends the program. `runtime/debug.SetMaxThreads` changes it; whether a program did is not read.
pub(in crate::judge) const GO_THREADS: u64 = 10_000;

/// A rise of what others take counts below this p-value.
pub(in crate::judge::weigh) const OTHERS_P_VALUE: f64 = 0.000_3;

/// Nothing per second.
pub(in crate::judge::weigh) const NONE: Rate = Rate { per_second: 0.0, low: 0.0, high: 0.0 };

/// One limit and when it is reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::judge::weigh) struct Approach {
    pub(in crate::judge::weigh) limit: LimitName,
    pub(in crate::judge::weigh) value: u64,
    pub(in crate::judge::weigh) times: Times,
}

/// Seconds from the newest sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::judge::weigh) struct Times {
    pub(in crate::judge::weigh) likely: f64,
    pub(in crate::judge::weigh) low: f64,
    pub(in crate::judge::weigh) high: Option<f64>,
}

impl Times {
    /// `None` where nothing grows.
    pub(in crate::judge::weigh) fn of(left: f64, rate: Rate) -> Option<Times> {
        let seconds = |per_second: f64| (per_second > 0.0).then(|| left.max(0.0) / per_second);
        Some(Times { likely: seconds(rate.per_second)?, low: seconds(rate.high)?, high: seconds(rate.low) })
    }
}

/// What is known at the newest sample.
pub(in crate::judge::weigh) struct State<'a> {
    pub(in crate::judge::weigh) newest: &'a Sample,
    pub(in crate::judge::weigh) window: &'a Window,
    pub(in crate::judge::weigh) bounds: &'a Bounds,
}

impl State<'_> {
    pub(in crate::judge::weigh) fn open_files(&self, rate: Rate) -> Vec<Approach> {
        let used = self.newest.descriptors.seen().copied();
        counted(LimitName::OpenFiles, self.bounds.limits.open_files, used, rate).into_iter().collect()
    }

    pub(in crate::judge::weigh) fn mappings(&self, rate: Rate) -> Vec<Approach> {
        let used = self.newest.mappings.seen().copied();
        counted(LimitName::Mappings, self.bounds.limits.mappings, used, rate).into_iter().collect()
    }

    /// A task that has exited keeps its place in all of these until it is waited for. Where it is not known how many
    /// tasks the user or the host has, those of the process stand for them: the two are reached no later than said.
    pub(in crate::judge::weigh) fn tasks(&self, kind: Kind, rate: Rate) -> Vec<Approach> {
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
    pub(in crate::judge::weigh) fn others(&self, read: impl Fn(&Sample) -> Option<f64>) -> Rate {
        let series = self.window.series(|sample| Some((sample.cgroup.at, read(sample)?)));
        let rises = |trend: &Trend| trend.p_rising < OTHERS_P_VALUE && trend.rate.low > 0.0;
        Trend::of(&series).filter(rises).map_or(NONE, |trend| trend.rate)
    }
}

pub(in crate::judge::weigh) fn plus(one: Rate, other: Rate) -> Rate {
    Rate {
        per_second: one.per_second + other.per_second,
        low: one.low + other.low,
        high: one.high + other.high,
    }
}

pub(in crate::judge::weigh) fn counted(
    limit: LimitName,
    value: Option<u64>,
    used: Option<u64>,
    rate: Rate,
) -> Option<Approach> {
    let (value, used) = (value?, used?);
    let times = Times::of(value.saturating_sub(used) as f64, rate)?;
    Some(Approach { limit, value, times })
}

/// What the collector closes now and then runs into no limit, whatever its pace in between.
pub(in crate::judge::weigh) fn comes_back(finding: &Finding) -> bool {
    finding.evidence.iter().any(|evidence| matches!(evidence, Evidence::ClosedByCollector { .. }))
}
