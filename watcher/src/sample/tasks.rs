//! One pass over the tasks of the host: threads, mappings and children of all targets at once.

use super::{children, threads};
use crate::observed::children::Children;
use crate::observed::threads::ThreadGroups;
use crate::source::proc::{ProcRoot, Stat};
use crate::source::{KernelTables, clock};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::{Moment, Reading, Stamped, Via};
use std::collections::{HashMap, HashSet};

/// What a pass has found.
#[derive(Debug)]
pub struct TaskPass {
    at: Moment,
    via: Via,
    /// Tasks that were visited.
    pub visited: u64,
    processes: HashMap<i32, Process>,
    children: Option<children::Counter>,
}

#[derive(Debug, Default)]
struct Process {
    start_ticks: Option<u64>,
    threads: threads::Counter,
    mappings: Option<u64>,
}

/// What a pass tells of the threads of one process.
#[derive(Debug)]
pub struct Threads {
    /// How many.
    pub total: Stamped<u64>,
    /// By name and state.
    pub groups: Stamped<ThreadGroups>,
    /// Mappings of the process; `None` where the pass does not tell.
    pub mappings: Option<Stamped<u64>>,
}

impl TaskPass {
    /// Through the kernel's own table; `None` where it is not to be had.
    pub fn by_kernel(targets: &[Target], kernel: &mut dyn KernelTables) -> Option<Self> {
        let at = clock::now();
        let mut visited = 0;
        let mut children = children::Counter::of(targets.iter().map(|target| target.id.pid));
        let mut processes: HashMap<i32, Process> =
            targets.iter().map(|target| (target.id.pid, Process::default())).collect();
        let pass = kernel.tasks(&mut |task| {
            visited += 1;
            children.add(&task);
            let Some(process) = processes.get_mut(&task.pid) else { return };
            if task.is_leader() {
                process.start_ticks = Some(task.start_ticks);
            }
            process.mappings = process.mappings.or(task.mappings);
            process.threads.add(task.name, task.state);
        });
        (pass == Reading::Seen(())).then(|| TaskPass {
            at,
            via: Via::KernelIterator,
            visited,
            processes,
            children: Some(children),
        })
    }

    /// Through `/proc`: children only, since looking at every thread of the host costs too much. The targets are
    /// left out and come with [`TaskPass::add_target`].
    pub fn by_proc(targets: &[Target], root: &ProcRoot) -> Self {
        let at = clock::now();
        let mut visited = 0;
        let targets: HashSet<i32> = targets.iter().map(|target| target.id.pid).collect();
        // Where the processes cannot be listed nobody's children are known, which is not to have none.
        let children = root.pids().ok().and_then(|pids| {
            let mut children = children::Counter::of(targets.iter().copied());
            for pid in pids.iter().filter(|pid| !targets.contains(pid)) {
                match root.stat(*pid) {
                    Reading::Seen(stat) => {
                        visited += 1;
                        children.add_process(stat.parent_pid, stat.state, stat.threads);
                    }
                    // Fewer than there are would be counted.
                    Reading::Failed => return None,
                    _ => {}
                }
            }
            Some(children)
        });
        TaskPass { at, via: Via::Procfs, visited, processes: HashMap::new(), children }
    }

    /// Takes in a target, which is read anyway, where the pass has left it out.
    pub fn add_target(&mut self, stat: &Stat) {
        if let (Via::Procfs, Some(children)) = (self.via, &mut self.children) {
            children.add_process(stat.parent_pid, stat.state, stat.threads);
        }
    }

    /// Children of all targets by pid, when every target has been taken in.
    pub fn finish(self) -> impl Fn(i32) -> Stamped<Children> {
        let (at, via) = (self.at, self.via);
        let children = self.children.map(children::Counter::finish).unwrap_or_default();
        move |pid| {
            let reading = children.get(&pid).copied().map_or(Reading::Unsupported, Reading::Seen);
            Stamped { at, via, reading }
        }
    }

    /// Threads of a process, once; `None` where the pass does not tell, or saw another process under its pid.
    pub fn take_threads(&mut self, id: ProcessId) -> Option<Threads> {
        let process = self.processes.remove(&id.pid)?;
        if process.start_ticks != Some(id.start_ticks) {
            return None;
        }
        let stamped = |count| Stamped { at: self.at, via: self.via, reading: Reading::Seen(count) };
        Some(Threads {
            total: stamped(process.threads.total()),
            mappings: process.mappings.map(stamped),
            groups: Stamped { at: self.at, via: self.via, reading: Reading::Seen(process.threads.finish()) },
        })
    }
}
