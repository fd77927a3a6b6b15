//! The Go runtime's own totals: goroutines, live heap, collections.
//!
//! A runtime is attached to once per process, which takes some milliseconds, and read on every beat after that with
//! a handful of system calls. What it takes to attach is budgeted per beat.

use crate::golang::program::Program;
pub use crate::golang::runtime::GoCounters;
use crate::golang::runtime::{AttachOptions, Runtime};
use crate::process::{ProcessId, Target};
use crate::reading::{Reading, Stamped, Via};
use crate::source::clock;
use crate::source::memory::{AuxiliaryVector, ProcessMemory, auxiliary_vector};
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
        /// Of the program that it was attached to.
        vector: AuxiliaryVector,
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
        let at = clock::now();
        let reading = match (&target.go, &target.exe) {
            (Some(_), _) => self.counters(proc, target.id, process),
            (None, Some(_)) => Reading::Unsupported,
            (None, None) => process.executable_identity().and_then(|_| Reading::Unsupported),
        };
        // The process may have gone, and its pid have come back, between identification and reading.
        let reading = reading.and_then(|counters| process.id().map(|_| counters));
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

    fn counters(&mut self, proc: &Path, id: ProcessId, process: &ProcessDir) -> Reading<GoCounters> {
        self.forget_replaced(proc, id);
        self.attach_if_due(proc, id, process);
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

    /// A process that executes the same file again is the same by pid, start and executable, and its runtime another.
    fn forget_replaced(&mut self, proc: &Path, id: ProcessId) {
        if let Some(State::Attached { vector, .. }) = self.states.get(&id)
            && let Reading::Seen(now) = auxiliary_vector(proc, id.pid)
            && now != *vector
        {
            self.states.remove(&id);
        }
    }

    fn attach_if_due(&mut self, proc: &Path, id: ProcessId, process: &ProcessDir) {
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
        let state = match attach(&mut self.programs, proc, id, process) {
            Ok((runtime, vector)) => State::Attached { runtime: Box::new(runtime), vector },
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

fn attach(
    programs: &mut Programs,
    proc: &Path,
    id: ProcessId,
    process: &ProcessDir,
) -> Result<(Runtime, AuxiliaryVector), Failure> {
    let memory = ProcessMemory::new(id.pid);
    let readable = process.executable().and_then(|file| {
        auxiliary_vector(proc, id.pid).and_then(|vector| match vector.entry() {
            Some(entry) => memory.probe(entry).map(|()| (file, vector, entry)),
            None => Reading::Unsupported,
        })
    });
    let (file, vector, entry) = match readable {
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
    let program = program_of(programs, &file);
    let attached = Runtime::attach_another(&program, &file, entry, &memory, AttachOptions::default());
    attached.map(|runtime| (runtime, vector)).map_err(|error| Failure {
        reading: if process.id().seen().is_none() { Reading::Gone } else { Reading::Unsupported },
        why: format!("the runtime was not found in its memory: {error}"),
    })
}
