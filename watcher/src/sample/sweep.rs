//! Takes the samples of all targets of one beat.
//!
//! The order of reading is what makes it safe against pids that come back. First everything that is keyed by pid
//! alone is read: tasks, descriptor counts, descriptors. Only then is each process opened and its start time
//! compared with the target's. A process that was there when it was discovered, and is there at the end, was there
//! all the time between: what the earlier passes saw under its pid was its own.

use super::details::{Detail, Details};
use super::runtime::Runtimes;
use super::tasks::{TaskPass, Threads};
use super::turns::ByTurns;
use super::{cgroup, threads};
use crate::observed::Sample;
use crate::observed::memory::Memory;
use crate::observed::threads::ThreadGroups;
use crate::sample::beat::{Beat, Sweep, SweepReport};
use crate::sample::quotas::Reader as QuotaReader;
use crate::source::cgroup::Hierarchies;
use crate::source::proc::{ProcRoot, ProcTables, ProcessDir, Stat, Status};
use crate::source::{KernelTables, clock};
use crate::vocabulary::process::{Limits, ProcessId, Target};
use crate::vocabulary::reading::{Moment, Reading, Stamped, Via};
use std::collections::HashSet;
use std::sync::Arc;

/// How often, and how much of it in one beat, the costly things are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Descriptors, cgroup and limits are looked at after so many beats, even where nothing seems to have changed.
    pub refresh_every_beats: u64,
    /// Descriptors that are looked at in one beat through the kernel's iterator: about 0.3 µs each.
    pub by_kernel: Budget,
    /// The same through `/proc`: about 3 µs each.
    pub by_proc: Budget,
    /// Mappings that are counted in one beat through `/proc`: about 1 µs each.
    pub mappings_by_proc: u64,
    /// Threads that are looked at in one beat through `/proc`: about 10 µs each.
    pub threads_by_proc: u64,
}

/// Descriptors that are looked at in one beat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Of processes whose number of descriptors has changed, or whose time it is.
    pub due: u64,
    /// Of others, as long as there is room.
    pub spare: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            refresh_every_beats: 6,
            by_kernel: Budget { due: 40_000, spare: 2_000 },
            by_proc: Budget { due: 1_000, spare: 500 },
            mappings_by_proc: 2_000,
            threads_by_proc: 200,
        }
    }
}

/// Takes samples, beat after beat.
#[derive(Debug)]
pub struct Sweeper {
    settings: Settings,
    tables: ProcTables,
    cgroups: cgroup::Reader,
    details: Details,
    thread_groups: ByTurns<Arc<Stamped<ThreadGroups>>>,
    mappings: ByTurns<Stamped<u64>>,
    runtimes: Runtimes,
    quotas: QuotaReader,
    beat: u64,
}

impl Sweeper {
    /// Sweeps the processes of this `/proc`.
    pub fn new(root: ProcRoot, hierarchies: Hierarchies, settings: Settings) -> Self {
        Sweeper {
            settings,
            tables: ProcTables::new(root),
            cgroups: cgroup::Reader::new(hierarchies),
            details: Details::default(),
            thread_groups: ByTurns::default(),
            mappings: ByTurns::default(),
            runtimes: Runtimes::default(),
            quotas: QuotaReader::default(),
            beat: 0,
        }
    }

    /// The tables below `/proc`.
    pub fn proc_tables(&mut self) -> &mut ProcTables {
        &mut self.tables
    }

    /// The Go runtimes of the targets.
    pub fn runtimes(&mut self) -> &mut Runtimes {
        &mut self.runtimes
    }

    /// Takes one sample of each target: through `kernel` what it offers, through `/proc` the rest.
    ///
    /// Blocks for as long as the kernel takes. Holds one process open at a time.
    pub fn sweep(&mut self, targets: &[Target], kernel: Option<&mut dyn KernelTables>) -> Sweep {
        self.sweep_some(targets, &targets.iter().map(|target| target.id).collect(), kernel)
    }

    /// The same of some of those that are `watched`: of the others what was read is kept.
    pub fn sweep_some(
        &mut self,
        targets: &[Target],
        watched: &HashSet<ProcessId>,
        mut kernel: Option<&mut dyn KernelTables>,
    ) -> Sweep {
        let (began, cpu_began) = (clock::now(), clock::thread_cpu_time());
        self.begin_beat(watched);
        let mut report = SweepReport { processes: targets.len() as u64, ..SweepReport::default() };

        let by_kernel = kernel.as_mut().and_then(|kernel| TaskPass::by_kernel(targets, *kernel));
        report.tasks_by_kernel = by_kernel.is_some();
        let mut tasks = by_kernel.unwrap_or_else(|| TaskPass::by_proc(targets, self.tables.root()));
        report.tasks_visited = tasks.visited;
        let counts: Vec<_> = targets.iter().map(|target| self.count_descriptors(target)).collect();
        let tables = kernel.as_mut().map(|kernel| &mut **kernel as &mut dyn KernelTables);
        self.read_details(targets, &counts, tables, &mut report);

        self.runtimes.read_ahead(targets);

        let mut samples = Vec::with_capacity(targets.len());
        let mut limits = Vec::new();
        let mut present = Vec::new();
        for ((index, target), descriptors) in targets.iter().enumerate().zip(counts) {
            let sample = match self.identified(target) {
                Reading::Seen((process, stat)) => {
                    limits.extend(self.changed_limits(target, &process));
                    tasks.add_target(&stat);
                    present.push(index);
                    self.take(target, &process, &stat, descriptors, &mut tasks)
                }
                reading => nothing(target.id, &reading.map(drop)),
            };
            report.gone += u64::from(sample.descriptors.reading == Reading::Gone);
            report.failed += u64::from(sample.memory.reading.has_failed());
            report.denied += u64::from(has_denied(&sample));
            samples.push(sample);
        }
        // A target may be the child of another, so children are complete only now.
        let children = tasks.finish();
        for index in present {
            samples[index].children = children(targets[index].id.pid);
        }
        self.quotas.read(targets, &mut samples, self.tables.root(), kernel);
        report.cpu = clock::thread_cpu_time().saturating_sub(cpu_began);
        report.wall = clock::now().since_boot.saturating_sub(began.since_boot);
        Sweep { samples, limits, report }
    }

    fn begin_beat(&mut self, watched: &HashSet<ProcessId>) {
        self.beat += 1;
        self.tables.begin_pass();
        self.cgroups.begin_beat(watched);
        self.details.retain(watched);
        self.thread_groups.begin_beat(watched, self.settings.threads_by_proc);
        self.runtimes.begin_beat(watched);
        self.mappings.begin_beat(watched, self.settings.mappings_by_proc);
    }

    fn count_descriptors(&self, target: &Target) -> Stamped<u64> {
        stamped(clock::now(), self.tables.root().descriptor_count(target.id.pid))
    }

    fn read_details(
        &mut self,
        targets: &[Target],
        counts: &[Stamped<u64>],
        kernel: Option<&mut dyn KernelTables>,
        report: &mut SweepReport,
    ) {
        let beat = |budget: Budget| Beat {
            number: self.beat,
            refresh_every: self.settings.refresh_every_beats,
            targets,
            counts,
            budget: budget.due,
            spare_budget: budget.spare,
        };
        if let Some(kernel) = kernel {
            let beat = beat(self.settings.by_kernel);
            report.descriptors_by_kernel = self.details.read(&beat, kernel, Via::KernelIterator, report);
        }
        if !report.descriptors_by_kernel {
            let beat = beat(self.settings.by_proc);
            self.details.read(&beat, &mut self.tables, Via::Procfs, report);
        }
    }

    /// The target's directory, if the process that has its pid now is the target.
    fn identified(&self, target: &Target) -> Reading<(ProcessDir, Stat)> {
        self.tables.root().open(target.id.pid).and_then(|process| {
            process.stat().and_then(|stat| {
                let same = stat.start_ticks == target.id.start_ticks;
                if same { Reading::Seen((process, stat)) } else { Reading::Gone }
            })
        })
    }

    /// Whether it is this process's beat to be asked what seldom changes. Not all of them have the same one.
    fn refreshes(&self, id: ProcessId) -> bool {
        let every = self.settings.refresh_every_beats.max(1);
        (self.beat + u64::from(id.pid.unsigned_abs())).is_multiple_of(every)
    }

    fn changed_limits(&self, target: &Target, process: &ProcessDir) -> Option<(ProcessId, Limits)> {
        let limits = self.refreshes(target.id).then(|| process.limits())?.into_seen()?;
        // The bound on mappings is the host's.
        let limits = Limits { mappings: target.limits.mappings, ..limits };
        (limits != target.limits).then_some((target.id, limits))
    }

    fn take(
        &mut self,
        target: &Target,
        process: &ProcessDir,
        stat: &Stat,
        descriptors: Stamped<u64>,
        tasks: &mut TaskPass,
    ) -> Sample {
        let (id, at) = (target.id, clock::now());
        let status = process.status();
        let may_administer = status.seen().is_some_and(Status::may_administer);
        let by_pass = tasks.take_threads(id);
        let (threads, thread_groups, mappings) = match by_pass {
            Some(Threads { total, groups, mappings }) => (total, Arc::new(groups), mappings),
            None => (
                stamped(at, status.clone().map(|status| status.threads)),
                self.thread_groups.value(id, || read_thread_groups(process)),
                None,
            ),
        };
        let mappings = mappings.unwrap_or_else(|| self.mappings.value(id, || count_mappings(process)));
        let detail = self.details.of(id).unwrap_or_else(|| {
            // No route was to be had at all.
            let (types, connections) = (Reading::Unsupported, Reading::Unsupported);
            Detail { types: Arc::new(stamped(at, types)), connections: Arc::new(stamped(at, connections)) }
        });
        let refresh = self.refreshes(id);
        Sample {
            process: id,
            at,
            missed_beats: 0,
            memory: stamped(at, status.and_then(|status| memory_of(&status, stat))),
            mappings,
            threads,
            thread_groups,
            descriptors,
            descriptor_types: detail.types,
            connections: detail.connections,
            // Counted when all targets have been read.
            children: stamped(at, Reading::Unsupported),
            cgroup: self.cgroups.usage(id, process, refresh, self.settings.refresh_every_beats),
            runtime: self.runtimes.read(self.tables.root().path(), target, process, may_administer),
            // Read when the rest of all samples is there.
            quotas: Arc::new(stamped(at, Reading::Unsupported)),
        }
    }
}

fn stamped<T>(at: Moment, reading: Reading<T>) -> Stamped<T> {
    Stamped { at, via: Via::Procfs, reading }
}

/// A process without memory has exited, unless it is the kernel's and never had any.
fn memory_of(status: &Status, stat: &Stat) -> Reading<Memory> {
    match status.memory {
        Some(memory) => Reading::Seen(memory),
        None if stat.kernel_thread => Reading::Unsupported,
        None => Reading::Gone,
    }
}

fn read_thread_groups(process: &ProcessDir) -> (Arc<Stamped<ThreadGroups>>, u64) {
    let at = clock::now();
    let mut counter = threads::Counter::default();
    let visited = process.tasks(&mut |task| counter.add(task.name, task.state));
    let cost = counter.total();
    (Arc::new(stamped(at, visited.map(|()| counter.finish()))), cost)
}

fn count_mappings(process: &ProcessDir) -> (Stamped<u64>, u64) {
    let counted = stamped(clock::now(), process.mapping_count());
    let cost = counted.seen().copied().unwrap_or(0);
    (counted, cost)
}

/// The sample of a process of which nothing can be read, all for the same reason.
fn nothing(process: ProcessId, why: &Reading<()>) -> Sample {
    let at = clock::now();
    fn empty<T: Default>(at: Moment, why: &Reading<()>) -> Stamped<T> {
        stamped(at, why.clone().map(|()| T::default()))
    }
    Sample {
        process,
        at,
        missed_beats: 0,
        memory: empty(at, why),
        mappings: empty(at, why),
        threads: empty(at, why),
        thread_groups: Arc::new(empty(at, why)),
        descriptors: empty(at, why),
        descriptor_types: Arc::new(empty(at, why)),
        connections: Arc::new(empty(at, why)),
        children: empty(at, why),
        cgroup: empty(at, why),
        runtime: empty(at, why),
        quotas: Arc::new(empty(at, why)),
    }
}

fn has_denied(sample: &Sample) -> bool {
    fn denied<T>(stamped: &Stamped<T>) -> bool {
        matches!(stamped.reading, Reading::Denied)
    }
    denied(&sample.memory)
        || denied(&sample.mappings)
        || denied(&sample.threads)
        || denied(&sample.thread_groups)
        || denied(&sample.descriptors)
        || denied(&sample.descriptor_types)
        || denied(&sample.connections)
        || denied(&sample.children)
        || denied(&sample.cgroup)
        || denied(&sample.runtime)
}

#[cfg(test)]
mod tests;
