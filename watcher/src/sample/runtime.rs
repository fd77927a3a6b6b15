//! The Go runtime's own totals: goroutines, live heap, collections.
//!
//! A runtime is attached to once per process, which takes some milliseconds, and read on every beat after that with
//! a handful of system calls. What it takes to attach is budgeted per beat.

use crate::capture::{go_code, same_program};
use crate::golang::ReadAhead;
use crate::golang::binary::program::Program;
use crate::golang::runtime::{AttachOptions, Runtime};
pub use crate::observed::go_counters::GoCounters;
use crate::source::memory::ProcessMemory;
use crate::source::proc::{FileIdentity, ProcessDir};
use crate::source::target_file::TargetFile;
use crate::source::{clock, reader};
use crate::vocabulary::process::{GoProgram, ProcessId, ProgramId, Target};
use crate::vocabulary::reading::{Moment, Reading, Stamped, Via};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Time that attaching may take in one beat, one process aside.
const ATTACH_BUDGET: Duration = Duration::from_millis(50);
/// A process that could not be attached to, or in which something was missing, may just have been starting: it is tried
/// again after so many beats.
const BEATS_BEFORE_RETRY: u64 = 5;
/// It is not tried for ever.
const MAX_ATTEMPTS: u32 = 4;

type Programs = HashMap<FileIdentity, Weak<Program>>;

/// The runtimes that are attached to.
#[derive(Default)]
pub struct Runtimes {
    known: HashMap<ProcessId, Known>,
    /// Executables of which a process is attached to: the runtimes keep what is shared between them.
    programs: Programs,
    /// What was read of them at once before this sweep looks at each, and when.
    ahead: HashMap<ProcessId, (Moment, ReadAhead)>,
    /// Devices of executables, and whether which file lies there can be told without asking anybody.
    quick: HashMap<(u32, u32), bool>,
    beat: u64,
    spent: Duration,
}

/// File systems that are remembered.
const MAX_DEVICES: usize = 256;

/// What came of attaching to a process.
struct Known {
    state: State,
    attempts: u32,
    /// The beat from which on it is tried again, where that is of use.
    retry_at: u64,
}

enum State {
    Attached(Box<Runtime>, ProcessMemory, Identity),
    Failed(Failure),
}

/// How it is told whether it is still the same program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Identity {
    /// Which file the executable is can be told without asking anybody.
    is_quick: bool,
}

/// Why a process could not be attached to.
struct Failure {
    /// `Gone`, `Denied` or `Unsupported`.
    reading: Reading<()>,
    why: String,
}

impl std::fmt::Debug for Runtimes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtimes").field("processes", &self.known.len()).finish_non_exhaustive()
    }
}

impl Runtimes {
    /// Begins a beat: who is watched no longer is forgotten.
    pub fn begin_beat(&mut self, watched: &HashSet<ProcessId>) {
        self.beat += 1;
        self.spent = Duration::ZERO;
        self.known.retain(|id, _| watched.contains(id));
        self.programs.retain(|_, program| program.strong_count() > 0);
    }

    /// Reads what the totals of these processes are read from as a rule, where the reader does it: all at once, since
    /// every single question costs more than what it brings. To be called before each process is identified.
    pub fn read_ahead(&mut self, targets: &[Target]) {
        self.ahead.clear();
        let asked = targets.iter().filter_map(|target| match &self.known.get(&target.id)?.state {
            State::Attached(runtime, memory, _) if !memory.is_direct() => {
                let ranges = runtime.foreseen();
                reader::fits(&ranges).then_some((target.id, (target.id.pid, ranges)))
            }
            _ => None,
        });
        let (ids, asked): (Vec<ProcessId>, Vec<(i32, reader::Ranges)>) = asked.unzip();
        if asked.is_empty() {
            return;
        }
        let at = clock::now();
        let answers = reader::memory_of(&asked);
        for ((id, (_, ranges)), answer) in ids.into_iter().zip(asked).zip(answers) {
            if let Some((readable, bytes)) = answer {
                self.ahead.insert(id, (at, ReadAhead { ranges, readable, bytes }));
            }
        }
    }

    /// The totals of one process. `Unsupported` for a program that is not Go, and where its runtime was not found;
    /// `Denied` also where its executable may not be read, so that nobody knows whether it is Go. `process` must have
    /// been identified as the target; `may_administer` says whether it has CAP_SYS_ADMIN now.
    pub fn read(
        &mut self,
        proc: &Path,
        target: &Target,
        process: &ProcessDir,
        may_administer: bool,
    ) -> Stamped<GoCounters> {
        let mut at = self.ahead.get(&target.id).map_or_else(clock::now, |(at, _)| *at);
        let reading = match (&target.go, &target.exe) {
            (Some(go), _) => {
                let reading = self.verified(proc, target.id, process, go, may_administer);
                reading.unwrap_or_else(|| {
                    at = clock::now();
                    // It began another program; to do so again before this is read it would have to do nothing else.
                    self.verified(proc, target.id, process, go, may_administer)
                        .unwrap_or(Reading::Unsupported)
                })
            }
            (None, Some(_)) => Reading::Unsupported,
            (None, None) => process.executable_identity().and_then(|_| Reading::Unsupported),
        };
        Stamped { at, via: Via::RuntimeMemory, reading }
    }

    /// Whether attaching to a process has been tried: the first beats do little else where there are many.
    pub fn tried(&self, id: ProcessId) -> bool {
        self.known.contains_key(&id)
    }

    /// Why the runtime of a process could not be found; `None` where it was, or has not been tried yet.
    pub fn failure(&self, id: ProcessId) -> Option<String> {
        // First of all: whatever else is said follows from it.
        reader::silence_of(id).or_else(|| match &self.known.get(&id)?.state {
            State::Failed(failure) => Some(failure.why.clone()),
            State::Attached(..) => None,
        })
    }

    /// The runtime of a process that is attached to.
    pub fn attached(&mut self, id: ProcessId) -> Option<&mut Runtime> {
        match &mut self.known.get_mut(&id)?.state {
            State::Attached(runtime, ..) => Some(runtime),
            State::Failed(_) => None,
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
        may_administer: bool,
    ) -> Option<Reading<GoCounters>> {
        let reading = self.counters(proc, id, process, go, may_administer);
        let attached = match self.known.get(&id).map(|known| &known.state) {
            Some(State::Attached(runtime, _, identity)) => {
                runtime.program().map(|program| (program, identity))
            }
            _ => None,
        };
        let Some((attached, identity)) = attached else { return Some(reading) };
        match same_program::running_still(process, &attached, identity.is_quick) {
            Reading::Seen(now) if attached.may_be(&now) => Some(reading),
            Reading::Seen(_) => {
                self.known.remove(&id);
                None
            }
            other => Some(other.and_then(|_| Reading::Unsupported)),
        }
    }

    fn counters(
        &mut self,
        proc: &Path,
        id: ProcessId,
        process: &ProcessDir,
        go: &GoProgram,
        may_administer: bool,
    ) -> Reading<GoCounters> {
        self.attach_if_due(proc, id, process, go);
        match self.known.get_mut(&id).map(|known| &mut known.state) {
            Some(State::Attached(runtime, memory, _)) => {
                if memory.is_direct() && !may_administer {
                    // It has given up what made us read it ourselves.
                    *memory = ProcessMemory::new(id.pid);
                }
                let counters = match self.ahead.remove(&id) {
                    Some((_, ahead)) => runtime.counters_read(memory, ahead),
                    None => runtime.counters(memory),
                };
                let nothing = counters.goroutines.is_none() && counters.heap.is_none();
                if nothing { Reading::Unsupported } else { Reading::Seen(counters) }
            }
            Some(State::Failed(failure)) => failure.reading.clone().and_then(|()| Reading::Unsupported),
            // Not tried yet: that is a gap, not a refusal.
            None => Reading::Unsupported,
        }
    }

    fn attach_if_due(&mut self, proc: &Path, id: ProcessId, process: &ProcessDir, go: &GoProgram) {
        let attempts = match self.known.get(&id) {
            Some(known) if !known.is_due(self.beat) => return,
            Some(known) => known.attempts,
            None => 0,
        };
        if self.spent >= ATTACH_BUDGET {
            return;
        }
        let began = clock::thread_cpu_time();
        let memory = ProcessMemory::new(id.pid);
        let attached = match self.known.remove(&id).map(|known| known.state) {
            Some(State::Attached(mut runtime, _, identity)) => {
                // What is there already stays; one that cannot be opened now is no other for that.
                if let Reading::Seen(file) = go_code::reopen(&runtime, process) {
                    memory.with_recent_pages(|memory| runtime.look_again(&file, memory));
                }
                Ok((runtime, identity))
            }
            Some(State::Failed(_)) | None => {
                let attached = attach(&mut self.programs, proc, id, process, go, &memory);
                attached.map(|runtime| (Box::new(runtime), Identity { is_quick: self.is_quick(process) }))
            }
        };
        self.spent += clock::thread_cpu_time().saturating_sub(began);
        let state = attached
            .map_or_else(State::Failed, |(runtime, identity)| State::Attached(runtime, memory, identity));
        // That we could not says nothing of the process, and is no attempt.
        let was_tried = !matches!(&state, State::Failed(failure) if failure.reading.has_failed());
        let attempts = attempts + u32::from(was_tried);
        let known = Known { state, attempts, retry_at: self.beat + BEATS_BEFORE_RETRY };
        self.known.insert(id, known);
    }
}

impl Runtimes {
    /// See [`ProcessDir::executable_is_quick`]; asked once for each device.
    fn is_quick(&mut self, process: &ProcessDir) -> bool {
        let Reading::Seen(identity) = process.executable_identity() else { return false };
        if self.quick.len() >= MAX_DEVICES {
            self.quick.clear();
        }
        *self.quick.entry(identity.device()).or_insert_with(|| process.executable_is_quick(&identity))
    }
}

impl Known {
    /// Whether another attempt may bring more, and is to be made at this beat.
    fn is_due(&self, beat: u64) -> bool {
        let brings_more = match &self.state {
            State::Attached(runtime, ..) => runtime.lacks_something(),
            State::Failed(_) => true,
        };
        brings_more && self.attempts < MAX_ATTEMPTS && self.retry_at <= beat
    }
}

/// What is known of an executable. The open file is asked: its process may have begun to run another since.
fn program_of(programs: &mut Programs, executable: &TargetFile) -> Arc<Program> {
    let identity = executable.identity();
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
    go: &GoProgram,
    memory: &ProcessMemory,
) -> Result<Runtime, Failure> {
    // Read first: whoever begins another program from here on is found out when it is read again.
    let readable = same_program::running(process).and_then(|begun| {
        go_code::find(proc, id, process, go)
            .and_then(|code| memory.probe(code.readable).map(|()| (code, begun)))
    });
    let (code, begun): (_, ProgramId) = match readable {
        Reading::Seen(found) => found,
        Reading::Gone => return Err(Failure { reading: Reading::Gone, why: "it left".to_owned() }),
        Reading::Denied => {
            let why = "its memory may not be read; root or CAP_SYS_PTRACE would bring it, unless a seccomp filter or a \
                       security module forbids it";
            return Err(Failure { reading: Reading::Denied, why: why.to_owned() });
        }
        Reading::Failed => {
            let why = "watcher itself lacked file descriptors or memory";
            return Err(Failure { reading: Reading::Failed, why: why.to_owned() });
        }
        Reading::Unsupported => {
            let why = "its executable or its auxiliary vector could not be understood";
            return Err(Failure { reading: Reading::Unsupported, why: why.to_owned() });
        }
    };
    let program = program_of(programs, &code.file);
    let options = AttachOptions { is_library: go.library.is_some(), ..AttachOptions::default() };
    let attached = memory.with_recent_pages(|memory| {
        Runtime::attach_another(&program, &code.file, code.entry, memory, options)
    });
    let not_found = |why: String| Failure {
        reading: if process.id().seen().is_none() { Reading::Gone } else { Reading::Unsupported },
        why,
    };
    let mut runtime =
        attached.map_err(|error| not_found(format!("the runtime was not found in its memory: {error}")))?;
    if runtime.is_blind() {
        let why = "neither the goroutines nor the heap of its runtime were found: it is just starting, or its runtime \
                   is none that is known";
        return Err(not_found(why.to_owned()));
    }
    runtime.belongs_to(begun);
    Ok(runtime)
}
