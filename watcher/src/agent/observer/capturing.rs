//! Captures: what is read of a process on suspicion and at the ends of a window.

use super::super::ledgers::Subject;
use super::Observer;
use crate::capture::starters::Starters;
use crate::capture::{anatomy, data_files, doubts, goroutines, heap_sites};
use crate::sample::glance;
use crate::source::{KernelTables, clock};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::Reading;
use std::time::Duration;

impl Observer {
    /// Captures the goroutines, and what the heap holds by line, of each process that is watched and not captured
    /// yet, or of all; for no longer than `budget`, one process aside.
    pub fn capture_all(&mut self, again: bool, budget: Duration) {
        let began = clock::now();
        let ids: Vec<ProcessId> = self.targets().iter().map(|target| target.id).collect();
        for id in ids {
            let captured = self
                .watched
                .get(&id)
                .map(|it| &it.window)
                .is_some_and(|window| window.captures().newest().is_some());
            if again || !captured {
                self.capture(id);
            }
            if clock::now().since_boot.saturating_sub(began.since_boot) >= budget {
                break;
            }
        }
    }

    /// The same of those processes in which something seems to grow, so that something is there if they end. What it
    /// took.
    pub fn capture_rising(&mut self, budget: Duration) -> Duration {
        let began = clock::now();
        let took = || clock::now().since_boot.saturating_sub(began.since_boot);
        let ids: Vec<ProcessId> = self.targets().iter().map(|target| target.id).collect();
        for id in ids.into_iter().filter(|id| !self.suspects(*id).is_empty()).collect::<Vec<_>>() {
            self.capture(id);
            if took() >= budget {
                break;
            }
        }
        took()
    }

    /// To be called before the capture in the middle of a watch: what was captured since its begin makes room.
    pub fn keep_first_captures(&mut self) {
        self.watched.values_mut().for_each(|it| it.window.captures_mut().keep_first());
    }

    /// The same for one process, unless it was captured less than `apart` ago. Whether it was.
    pub fn capture_again(&mut self, id: ProcessId, apart: Duration) -> bool {
        let newest = self.watched.get(&id).map(|it| &it.window).and_then(|window| window.captures().newest());
        let due = newest.is_none_or(|at| clock::now().since_boot.saturating_sub(at.since_boot) >= apart);
        due && self.capture(id)
    }

    /// Looks at how old what the processes hold is: one pass for all of them.
    pub fn glance(&mut self, ids: &[ProcessId]) {
        let targets: Vec<&Target> =
            self.discovery.targets().iter().filter(|target| ids.contains(&target.id)).collect();
        if targets.is_empty() {
            return;
        }
        let kernel: Option<&mut dyn KernelTables> = self.use_kernel.then_some(&mut self.kernel);
        let seen = glance::look(&targets, kernel, &self.proc, self.sweeper.proc_tables());
        for (id, ages) in seen {
            // Everything was read by pid: whoever is there now was there all the time.
            let same = self.proc.open(id.pid).and_then(|process| process.id()) == Reading::Seen(id);
            if let Some(window) = self.watched.get_mut(&id).map(|it| &mut it.window).filter(|_| same) {
                window.captures_mut().ages.push(ages);
            }
        }
    }

    /// The same for one process, unless it was looked at less than `apart` ago. Whether it was.
    pub fn glance_again(&mut self, id: ProcessId, apart: Duration) -> bool {
        let Some(window) = self.watched.get(&id).map(|it| &it.window) else { return false };
        let last = window.captures().ages.last().map(|ages| ages.at.since_boot);
        let is_due = last.is_none_or(|last| clock::now().since_boot.saturating_sub(last) >= apart);
        if is_due {
            self.glance(&[id]);
        }
        is_due
    }

    /// Measures what the resident memory of each process consists of, mapping by mapping, for no longer than `budget`,
    /// one process aside.
    pub fn measure_memory(&mut self, budget: Duration) {
        let began = clock::now();
        let ids: Vec<ProcessId> = self.targets().iter().map(|target| target.id).collect();
        for id in ids {
            self.measure_memory_of(id);
            if clock::now().since_boot.saturating_sub(began.since_boot) >= budget {
                break;
            }
        }
    }

    pub(super) fn measure_memory_of(&mut self, id: ProcessId) {
        let Some(process) = self.proc.open(id.pid).into_seen() else { return };
        if process.id() != Reading::Seen(id) {
            return;
        }
        let Some(window) = self.watched.get_mut(&id).map(|it| &mut it.window) else { return };
        let Some(runtime) = self.sweeper.runtimes().attached(id) else { return };
        window.captures_mut().anatomy = anatomy::capture(runtime, &process, id).into_seen();
    }

    pub(super) fn capture(&mut self, id: ProcessId) -> bool {
        let Some(process) = self.proc.open(id.pid).into_seen() else { return false };
        if process.id() != Reading::Seen(id) {
            return false;
        }
        let Some(window) = self.watched.get_mut(&id).map(|it| &mut it.window) else { return false };
        let runtimes = self.sweeper.runtimes();
        window.captures_mut().no_runtime = runtimes.failure(id);
        let Some(runtime) = runtimes.attached(id) else { return false };
        let creators = self.watches.creators(&mut Subject { id, process: &process, runtime: &mut *runtime });
        let module = window.captures().main_module.clone();
        let starters =
            Starters { known: creators.as_ref(), main_module: module.as_deref(), ..Starters::default() };
        let goroutines = goroutines::capture(runtime, &process, id, starters).into_seen();
        let heap = heap_sites::capture(runtime, &process, id).into_seen();
        let captures = window.captures_mut();
        captures.doubts = doubts::of(runtime, id);
        let anything = goroutines.is_some() || heap.is_some();
        captures.spread(clock::now());
        if let Some(reach) = self.reach {
            captures.move_on(clock::now(), reach);
        }
        if let Some(goroutines) = goroutines {
            if self.reach.is_some() {
                captures.keep_lasting(&goroutines);
            }
            captures.goroutines.push(goroutines);
        }
        if let Some(heap) = heap {
            captures.heap.push(heap);
        }
        // They tell something by what is written to them between two looks.
        if !self.looks_once {
            data_files::capture(&process).into_seen().into_iter().for_each(|it| captures.data_files.push(it));
        }
        let tables: Option<&mut dyn KernelTables> = self.use_kernel.then_some(&mut self.kernel);
        let subject = Subject { id, process: &process, runtime };
        self.watches.scan(subject, &self.proc, tables, creators.as_ref(), captures);
        anything
    }
}
