//! The ledger of threads and child processes, as the programs have it.

use super::attach::{Attaching, Hook};
use super::map::KernelMap;
use super::watch::TaskKind;
use crate::observed::ledger::Route;
use crate::source::kernel::opened;
use crate::source::kernel::probes::{Outcome, ProbeName};
use crate::vocabulary::origin::Origin;
use aya::Ebpf;
use std::io;
use std::time::Duration;
use watcher_ebpf::TaskEntry;

/// A thread or a child process that the programs believe to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTask {
    /// Its thread id; of a child its pid.
    pub tid: i32,
    /// When it started, in clock ticks after boot, as `/proc/PID/stat` has it: it tells it from others that get the
    /// same id later.
    pub start_ticks: u64,
    /// The same in time since boot.
    pub at: Duration,
    /// A child that has exited: when, in time since boot. Nobody has waited for it yet.
    pub exited: Option<Duration>,
    /// Who created it.
    pub origin: Origin,
}

#[derive(Debug)]
pub(super) struct TaskMap(KernelMap<u32, TaskEntry>);

impl TaskMap {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        KernelMap::of(ebpf, "TASKS").map(TaskMap)
    }

    pub(super) fn of_process(
        &self,
        pid: i32,
        kind: TaskKind,
        nanos_per_tick: u64,
    ) -> io::Result<Vec<RawTask>> {
        self.0.select(|tid, entry| {
            let is_it = entry.tgid == pid.cast_unsigned() && entry.kind == kind.number();
            is_it.then(|| task(tid, entry, nanos_per_tick))
        })
    }

    pub(super) fn forget(&self, which: &[RawTask]) -> io::Result<()> {
        let keys: Vec<u32> = which.iter().map(|raw| raw.tid.cast_unsigned()).collect();
        self.0.remove_all(&keys)
    }

    /// Forgets everything about a process.
    pub(super) fn forget_process(&self, pid: i32) -> io::Result<()> {
        self.0.remove_where(|_, entry| entry.tgid == pid.cast_unsigned())
    }
}

pub(super) fn task(tid: u32, entry: &TaskEntry, nanos_per_tick: u64) -> RawTask {
    RawTask {
        tid: tid.cast_signed(),
        start_ticks: entry.start_ns / nanos_per_tick.max(1),
        at: Duration::from_nanos(entry.start_ns),
        exited: (entry.exited_ns != 0).then(|| Duration::from_nanos(entry.exited_ns)),
        origin: opened::origin(&entry.origin),
    }
}

/// Attaches the programs of this ledger, those that see ends first.
pub(super) fn attach(attaching: &mut Attaching<'_>) -> Result<Route, Outcome> {
    attaching.all(ProbeName::TaskLedger, PROGRAMS)?;
    Ok(Route::Exact)
}

pub(super) const PROGRAMS: &[(&str, Hook)] = &[
    ("task_freed", Hook::Typed("sched_process_free")),
    ("task_exited", Hook::Typed("sched_process_exit")),
    ("task_forked", Hook::Typed("sched_process_fork")),
];
