//! The Go runtime's own totals: goroutines, live heap, collections.
//!
//! A runtime is attached to once per process, which takes some milliseconds, and read on every beat after that with
//! a handful of system calls. What it takes to attach is budgeted per beat.

use super::go_code;
use crate::golang::program::Program;
use crate::golang::runtime::{AttachOptions, Runtime};
pub use crate::golang::runtime::{GoCounters, HeapCounters};
use crate::process::{GoProgram, ProcessId, Target};
use crate::reading::{Reading, Stamped, Via};
use crate::source::clock;
use crate::source::memory::ProcessMemory;
use crate::source::proc::{FileIdentity, ProcessDir};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Time that attaching may take in one beat, one process aside.
const ATTACH_BUDGET: Duration = Duration::from_millis(50);
/// A process that could not be attached to may just have been starting: it is tried again after so many beats.
const BEATS_BEFORE_RETRY: u64 = 5;
/// It is not tried for ever.
const MAX_ATTEMPTS: u32 = 4;

type Programs = HashMap<FileIdentity, Weak<Program>>;

/// The runtimes that are attached to.
#[derive(Default)]
pub struct Runtimes {
    states: HashMap<ProcessId, State>,
    /// Executables of which a process is attached to: the runtimes keep what is shared between them.
    programs: Programs,
    beat: u64,
    spent: Duration,
}

enum State {
    Attached {
        runtime: Box<Runtime>,
        /// Where the stack begins of the program that it was attached to; see [`is_another`].
        stack_start: Option<u64>,
    },
    Failed {
        failure: Failure,
        attempts: u32,
        retry_at: u64,
    },
}

/// Why a process could not be attached to.
struct Failure {
    /// `Gone`, `Denied` or `Unsupported`.
    reading: Reading<()>,
    why: String,
}

impl std::fmt::Debug for Runtimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtimes").field("processes", &self.states.len()).finish_non_exhaustive()
    }
}

impl Runtimes {
    /// Begins a beat: who is watched no longer is forgotten.
    pub fn begin_beat(&mut self, watched: &HashSet<ProcessId>) {
        self.beat += 1;
        self.spent = Duration::ZERO;
        self.states.retain(|id, _| watched.contains(id));
        self.programs.retain(|_, program| program.strong_count() > 0);
    }

    /// The totals of one process. `Unsupported` for a program that is not Go, and where its runtime was not found;
    /// `Denied` also where its executable may not be read, so that nobody knows whether it is Go. `process` must have
    /// been identified as the target.
    pub fn read(&mut self, proc: &Path, target: &Target, process: &ProcessDir) -> Stamped<GoCounters> {
        let mut at = clock::now();
        let reading = match (&target.go, &target.exe) {
            (Some(go), _) => {
                let reading = self.verified(proc, target.id, process, go);
                reading.unwrap_or_else(|| {
                    at = clock::now();
                    // It began another program; to do so again before this is read it would have to do nothing else.
                    self.verified(proc, target.id, process, go).unwrap_or(Reading::Unsupported)
                })
            }
            (None, Some(_)) => Reading::Unsupported,
            (None, None) => process.executable_identity().and_then(|_| Reading::Unsupported),
        };
        Stamped { at, via: Via::RuntimeMemory, reading }
    }

    /// Whether attaching to a process has been tried: the first beats do little else where there are many.
    pub fn tried(&self, id: ProcessId) -> bool {
        self.states.contains_key(&id)
    }

    /// Why the runtime of a process could not be found; `None` where it was, or has not been tried yet.
    pub fn failure(&self, id: ProcessId) -> Option<&str> {
        match self.states.get(&id) {
            Some(State::Failed { failure, .. }) => Some(&failure.why),
            _ => None,
        }
    }

    /// The runtime of a process that is attached to.
    pub fn attached(&mut self, id: ProcessId) -> Option<&mut Runtime> {
        match self.states.get_mut(&id) {
            Some(State::Attached { runtime, .. }) => Some(runtime),
            _ => None,
        }
    }

    /// The totals, if those who were read are who they were when it was attached to; else the runtime is forgotten.
    ///
    /// The process may have gone, and its pid have come back, between identification and reading. One that executes the
    /// same file again is the same by pid, start and executable, and its runtime another.
    fn verified(
        &mut self,
        proc: &Path,
        id: ProcessId,
        process: &ProcessDir,
        go: &GoProgram,
    ) -> Option<Reading<GoCounters>> {
        let reading = self.counters(proc, id, process, go);
        if reading.seen().is_none() && !matches!(self.states.get(&id), Some(State::Attached { .. })) {
            return Some(reading);
        }
        let stat = match process.stat() {
            Reading::Seen(stat) => stat,
            other => return Some(other.and_then(|_| Reading::Unsupported)),
        };
        if let Some(State::Attached { stack_start, .. }) = self.states.get(&id)
            && is_another(*stack_start, stat.stack_start)
        {
            self.states.remove(&id);
            return None;
        }
        Some(reading)
    }

    fn counters(
        &mut self,
        proc: &Path,
        id: ProcessId,
        process: &ProcessDir,
        go: &GoProgram,
    ) -> Reading<GoCounters> {
        self.attach_if_due(proc, id, process, go);
        match self.states.get_mut(&id) {
            Some(State::Attached { runtime, .. }) => {
                let counters = runtime.counters(&ProcessMemory::new(id.pid));
                let nothing = counters.goroutines.is_none() && counters.heap.is_none();
                if nothing { Reading::Unsupported } else { Reading::Seen(counters) }
            }
            Some(State::Failed { failure, .. }) => {
                failure.reading.clone().and_then(|()| Reading::Unsupported)
            }
            // Not tried yet: that is a gap, not a refusal.
            None => Reading::Unsupported,
        }
    }

    fn attach_if_due(&mut self, proc: &Path, id: ProcessId, process: &ProcessDir, go: &GoProgram) {
        let attempts = match self.states.get(&id) {
            Some(State::Attached { .. }) => return,
            Some(State::Failed { attempts, retry_at, .. }) => {
                if *attempts >= MAX_ATTEMPTS || *retry_at > self.beat {
                    return;
                }
                *attempts
            }
            None => 0,
        };
        if self.spent >= ATTACH_BUDGET {
            return;
        }
        let began = clock::thread_cpu_time();
        let state = match attach(&mut self.programs, proc, id, process, go) {
            Ok((runtime, stack_start)) => State::Attached { runtime: Box::new(runtime), stack_start },
            Err(failure) => {
                State::Failed { failure, attempts: attempts + 1, retry_at: self.beat + BEATS_BEFORE_RETRY }
            }
        };
        self.spent += clock::thread_cpu_time().saturating_sub(began);
        self.states.insert(id, state);
    }
}

/// What is known of an executable. The open file is asked: its process may have begun to run another since.
fn program_of(programs: &mut Programs, executable: &File) -> Arc<Program> {
    let Ok(identity) = FileIdentity::of(executable) else { return Arc::default() };
    if let Some(known) = programs.get(&identity).and_then(Weak::upgrade) {
        return known;
    }
    let new = Arc::default();
    programs.insert(identity, Arc::downgrade(&new));
    new
}

/// Whether two beginnings of stacks are those of different programs. The kernel chooses each at random out of two
/// billion (`fs/exec.c`, `arch_align_stack` in `arch/x86/kernel/process.c`), unless it was told not to; then a program
/// that is executed again with the same arguments cannot be told by addresses at all.
fn is_another(before: Option<u64>, now: Option<u64>) -> bool {
    before.zip(now).is_some_and(|(before, now)| before != now)
}

fn attach(
    programs: &mut Programs,
    proc: &Path,
    id: ProcessId,
    process: &ProcessDir,
    go: &GoProgram,
) -> Result<(Runtime, Option<u64>), Failure> {
    let memory = ProcessMemory::new(id.pid);
    // Read first: whoever begins another program from here on is found out when it is read again.
    let stack_start = process.stat().map(|stat| stat.stack_start);
    let readable = stack_start.and_then(|stack_start| {
        go_code::find(proc, id, process, go)
            .and_then(|code| memory.probe(code.readable).map(|()| (code, stack_start)))
    });
    let (code, stack_start) = match readable {
        Reading::Seen(found) => found,
        Reading::Gone => return Err(Failure { reading: Reading::Gone, why: "it left".to_owned() }),
        Reading::Denied => {
            let why = "its memory may not be read; root or CAP_SYS_PTRACE would bring it, unless a seccomp filter or a \
                       security module forbids it";
            return Err(Failure { reading: Reading::Denied, why: why.to_owned() });
        }
        Reading::Unsupported => {
            let why = "its executable or its auxiliary vector could not be understood";
            return Err(Failure { reading: Reading::Unsupported, why: why.to_owned() });
        }
    };
    let program = program_of(programs, &code.file);
    let options = AttachOptions { is_library: go.library.is_some(), ..AttachOptions::default() };
    let attached = Runtime::attach_another(&program, &code.file, code.entry, &memory, options);
    attached.map(|runtime| (runtime, stack_start)).map_err(|error| Failure {
        reading: if process.id().seen().is_none() { Reading::Gone } else { Reading::Unsupported },
        why: format!("the runtime was not found in its memory: {error}"),
    })
}
