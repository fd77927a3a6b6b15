//! One process, opened, identified and attached to, and identified again, since a pid alone says nothing about whose memory was read.

use crate::capture::go_code;
use crate::config::Selection;
use crate::discover::{Changes, Discovery};
use crate::explain::words::counted;
use crate::golang::graph::GraphError;
use crate::golang::runtime::found::Remark;
use crate::golang::runtime::{AttachError, AttachOptions, GoroutineError, Runtime};
use crate::report::pprof::Mapping;
use crate::source::host::{Capabilities, Host};
use crate::source::kernel::ledger::Refusal;
use crate::source::memory::{AuxiliaryVector, ProcessMemory, auxiliary_vector};
use crate::source::proc::{FileIdentity, ProcRoot, ProcessDir};
use crate::source::reader;
use crate::source::target_file::TargetFile;
use crate::vocabulary::process::{Target, printable};
use crate::vocabulary::reading::Reading;
use std::time::Duration;
use std::{io, thread};

/// A program that has only just been started has not set its runtime up yet.
pub(in crate::agent::views) const ATTEMPTS: usize = 5;

pub(in crate::agent::views) const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(60);

/// Why a process could not be read: one sentence.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is no `/proc`.
    #[error("open /proc: {0}")]
    NoProc(io::Error),
    /// Nobody has this pid, or we may not see who does.
    #[error("there is no process {0} that we can see")]
    NoProcess(i32),
    /// It has exited and nobody has waited for it, or it is about to.
    #[error("process {0} has exited: its memory is gone")]
    Exited(i32),
    /// A capability is missing.
    #[error("the memory of {who} may not be read: run as root, or give watcher CAP_SYS_PTRACE")]
    Denied {
        /// Which process.
        who: String,
    },
    /// The kernel refuses although no capability is missing.
    #[error(
        "the memory of {who} may not be read although watcher has CAP_SYS_PTRACE: a seccomp filter or a security module \
         forbids it, or watcher has it only within a user namespace of its own"
    )]
    Forbidden {
        /// Which process.
        who: String,
    },
    /// We could not, see [`Reading::Failed`].
    #[error(
        "{who} cannot be read at this moment: watcher itself lacks file descriptors or memory, or a device failed"
    )]
    Lacking {
        /// Which process.
        who: String,
    },
    /// Its executable is none of Go's.
    #[error("{who} is no Go program")]
    NotGo {
        /// Which process.
        who: String,
    },
    /// Its executable, or where it was put, could not be read.
    #[error("the executable of {who} cannot be read{why}")]
    Executable {
        /// Which process.
        who: String,
        /// A colon and what is wrong with it, where that is known.
        why: String,
    },
    /// Its runtime could not be found.
    #[error("{who} cannot be read: {why}")]
    Runtime {
        /// Which process.
        who: String,
        /// What was not found.
        why: AttachError,
    },
    /// Its goroutines could not be read.
    #[error("the goroutines of {who} cannot be read: {why}")]
    Goroutines {
        /// Which process.
        who: String,
        /// Why.
        why: GoroutineError,
    },
    /// Its heap could not be walked.
    #[error("the heap of {who} cannot be walked: {why}")]
    Graph {
        /// Which process.
        who: String,
        /// Why.
        why: GraphError,
    },
    /// The kernel's list of its mappings makes no sense, or this kernel has none.
    #[error("which memory of {who} is resident cannot be read: this kernel has no /proc/PID/smaps")]
    NoMappings {
        /// Which process.
        who: String,
    },
    /// The kernel does not let us watch it.
    #[error("{who} cannot be watched: {why}")]
    NotWatched {
        /// Which process.
        who: String,
        /// What was refused.
        why: Refusal,
    },
    /// What was seen of it could not be read back.
    #[error("what was seen of {who} cannot be read")]
    NoLedger {
        /// Which process.
        who: String,
    },
    /// It left meanwhile.
    #[error("{who} exited while it was read")]
    Left {
        /// Which process.
        who: String,
    },
    /// It is a thread of the kernel.
    #[error("{who} is a thread of the kernel: it has no memory of its own, and no program")]
    KernelThread {
        /// Which process.
        who: String,
    },
    /// It was forked and has not executed anything yet.
    #[error(
        "{who} has not begun to run a program of its own: it still has the memory of the one that started it"
    )]
    NotBegun {
        /// Which process.
        who: String,
    },
    /// Something of it does not answer.
    #[error("{who} {why}")]
    Silent {
        /// Which process.
        who: String,
        /// What, and where it lies.
        why: String,
    },
    /// It executes another program by now.
    #[error("{who} began to run another program while it was read")]
    Replaced {
        /// Which process.
        who: String,
    },
}

/// A process that is there and ours to read.
#[derive(Debug)]
pub struct Subject {
    pub(in crate::agent::views) target: Target,
    pub(in crate::agent::views) process: ProcessDir,
    pub(in crate::agent::views) executable: Option<FileIdentity>,
    /// Tells programs apart that are executed from the same file.
    pub(in crate::agent::views) vector: Option<AuxiliaryVector>,
    pub(in crate::agent::views) proc: ProcRoot,
    /// We have CAP_SYS_PTRACE.
    pub(in crate::agent::views) may_trace: bool,
}

/// A process whose Go runtime has been attached to.
pub struct GoSubject {
    pub(in crate::agent::views) subject: Subject,
    pub(in crate::agent::views) file: TargetFile,
    pub(in crate::agent::views) memory: ProcessMemory,
    pub(in crate::agent::views) runtime: Runtime,
}

impl Subject {
    /// Opens and identifies the process with this pid.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn open(pid: i32) -> Result<Subject, ViewError> {
        let proc = ProcRoot::host().map_err(ViewError::NoProc)?;
        let host = Host::read(proc.path());
        let mut changes = Changes::default();
        Discovery::new(Selection::Pid(pid)).look_at(&proc, &host, pid, &mut changes);
        let Some(target) = changes.came.pop() else {
            return Err(match proc.stat(pid) {
                Reading::Seen(_) if changes.failed > 0 => {
                    ViewError::Lacking { who: format!("process {pid}") }
                }
                Reading::Failed => ViewError::Lacking { who: format!("process {pid}") },
                Reading::Seen(_) => ViewError::Exited(pid),
                _ => ViewError::NoProcess(pid),
            });
        };
        let target = Target::clone(&target);
        let who = who(&target);
        if proc.stat(pid).seen().is_some_and(|stat| stat.kernel_thread) {
            return Err(ViewError::KernelThread { who });
        }
        let may_trace = host.capabilities.is_some_and(|held| held.has(Capabilities::SYS_PTRACE));
        if let Some(why) = reader::silence_of(target.id) {
            return Err(ViewError::Silent { who, why });
        }
        if target.go.is_none() && changes.denied > 0 {
            return Err(denied(who, may_trace));
        }
        if let Some(why) = changes.not_understood.into_values().next() {
            return Err(ViewError::Executable { who, why: format!(": {why}") });
        }
        let process = match proc.open(pid) {
            Reading::Seen(process) => process,
            Reading::Failed => return Err(ViewError::Lacking { who }),
            _ => return Err(ViewError::Left { who }),
        };
        let executable = process.executable_identity().into_seen();
        let vector = auxiliary_vector(proc.path(), pid).into_seen();
        let subject = Subject { target, process, executable, vector, proc, may_trace };
        subject.verify()?;
        Ok(subject)
    }

    /// Makes sure that it is still the same process, and that it runs the same program.
    pub(in crate::agent::views) fn verify(&self) -> Result<(), ViewError> {
        let who = || who(&self.target);
        match self.process.id() {
            Reading::Failed => return Err(ViewError::Lacking { who: who() }),
            id if id.seen() != Some(&self.target.id) => return Err(ViewError::Left { who: who() }),
            _ => {}
        }
        if let Some(why) = reader::silence_of(self.target.id) {
            return Err(ViewError::Silent { who: who(), why });
        }
        match self.process.executable_identity() {
            Reading::Gone => return Err(self.gone()),
            Reading::Failed => return Err(ViewError::Lacking { who: who() }),
            identity if identity.seen() != self.executable.as_ref() => {
                return Err(ViewError::Replaced { who: who() });
            }
            _ => {}
        }
        match (auxiliary_vector(self.proc.path(), self.target.id.pid), &self.vector) {
            (Reading::Gone, Some(_)) => Err(self.gone()),
            (Reading::Seen(now), Some(before)) if now != *before => Err(ViewError::Replaced { who: who() }),
            _ => Ok(()),
        }
    }

    /// Its memory was not there. Where it has an executable, now or in a moment, it has not exited: the memory was that
    /// of the program before, and between two programs there is none.
    pub(in crate::agent::views) fn gone(&self) -> ViewError {
        let who = who(&self.target);
        let is_there = || {
            let same = self.process.id().into_seen() == Some(self.target.id);
            same && self.process.executable_identity().into_seen().is_some()
        };
        for _ in 0..3 {
            if is_there() {
                return ViewError::Replaced { who };
            }
            thread::sleep(Duration::from_millis(5));
        }
        ViewError::Left { who }
    }

    /// Attaches to its runtime.
    ///
    /// # Errors
    /// See [`ViewError`].
    pub fn attach(self) -> Result<GoSubject, ViewError> {
        let who = who(&self.target);
        let Some(go) = &self.target.go else { return Err(ViewError::NotGo { who }) };
        let unreadable = |reading: Reading<()>| match (reading, reader::silence_of(self.target.id)) {
            (_, Some(why)) => ViewError::Silent { who: who.clone(), why },
            (Reading::Denied, _) => denied(who.clone(), self.may_trace),
            (Reading::Gone, _) => self.gone(),
            (Reading::Failed, _) => ViewError::Lacking { who: who.clone() },
            _ => ViewError::Executable { who: who.clone(), why: String::new() },
        };
        let code = match go_code::find(self.proc.path(), self.target.id, &self.process, go) {
            Reading::Seen(code) => code,
            other => return Err(unreadable(other.map(drop))),
        };
        let options = AttachOptions { is_library: go.library.is_some(), ..AttachOptions::default() };
        let of_parent = auxiliary_vector(self.proc.path(), self.target.parent_pid).into_seen();
        if self.vector.is_some() && of_parent == self.vector {
            return Err(ViewError::NotBegun { who });
        }
        let memory = ProcessMemory::new(self.target.id.pid);
        if let refused @ (Reading::Denied | Reading::Gone) = memory.probe(code.readable) {
            return Err(unreadable(refused));
        }
        let mut attempt = 1;
        let runtime = loop {
            let attached =
                memory.with_recent_pages(|memory| Runtime::attach(&code.file, code.entry, memory, options));
            match attached {
                Ok(runtime) if attempt == ATTEMPTS || !runtime.lacks_something() => break runtime,
                Ok(_) => {}
                Err(why) => {
                    self.verify()?;
                    // It was a Go program when it was found: what it runs now came before we looked again.
                    if matches!(why, AttachError::NotGo) {
                        return Err(ViewError::Replaced { who });
                    }
                    if attempt == ATTEMPTS || !matches!(why, AttachError::NoRuntime { .. }) {
                        return Err(ViewError::Runtime { who, why });
                    }
                }
            }
            attempt += 1;
            thread::sleep(BETWEEN_ATTEMPTS);
        };
        Ok(GoSubject { subject: self, file: code.file, memory, runtime })
    }
}

impl GoSubject {
    pub(in crate::agent::views) fn who(&self) -> String {
        who(&self.subject.target)
    }

    /// What makes readings of these parts of the runtime less sure, a sentence each.
    pub(in crate::agent::views) fn remarks(&self, parts: &[Part]) -> Vec<String> {
        let library = self.subject.target.go.as_ref().and_then(|go| go.library.as_ref());
        let others = library.filter(|library| library.others > 0).map(|library| {
            format!(
                "It has loaded {} besides {}: each has a runtime of its own, which is not read.",
                counted(library.others, "Go library", "Go libraries"),
                library.path
            )
        });
        let remarks = self.runtime.remarks();
        let concerning =
            remarks.iter().filter(|remark| part(remark).is_none_or(|part| parts.contains(&part)));
        concerning.filter(|_| !parts.is_empty()).map(sentence).chain(others).collect()
    }

    /// The code of the executable, as profiles say where it is mapped.
    pub(in crate::agent::views) fn mappings(&mut self) -> Vec<Mapping> {
        const PAGE_BYTES: u64 = 4096;
        let target = &self.subject.target;
        let library =
            target.go.as_ref().and_then(|go| go.library.as_ref()).map(|library| library.path.clone());
        let exe = || target.exe.as_ref().map(|exe| printable(exe.as_os_str().as_encoded_bytes()));
        let path = library.or_else(exe);
        let (_, loaded) = self.runtime.symbols(&self.file, &self.memory);
        let build_id = loaded.image.build_id(&self.file).unwrap_or_default();
        let build_id = match (build_id.gnu, build_id.go) {
            (Some(gnu), _) => gnu.iter().map(|byte| format!("{byte:02x}")).collect(),
            (None, Some(go)) => printable(&go),
            (None, None) => String::new(),
        };
        let code = loaded.image.segments.iter().filter(|segment| segment.executable);
        code.map(|segment| {
            let start = segment.address.wrapping_add(loaded.bias);
            let before = start % PAGE_BYTES;
            Mapping {
                start: start - before,
                end: start.saturating_add(segment.memory_bytes).next_multiple_of(PAGE_BYTES),
                file_offset: segment.file_offset.saturating_sub(before),
                file: path.clone().unwrap_or_default(),
                build_id: build_id.clone(),
            }
        })
        .collect()
    }
}

pub(in crate::agent::views) fn denied(who: String, may_trace: bool) -> ViewError {
    if may_trace { ViewError::Forbidden { who } } else { ViewError::Denied { who } }
}

pub(in crate::agent::views) fn who(target: &Target) -> String {
    format!("process {} ({})", target.id.pid, target.name)
}

/// What of a runtime a view reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent::views) enum Part {
    Goroutines,
    Threads,
    Heap,
}

/// Of which part a remark makes readings less sure; `None` for all of them.
pub(in crate::agent::views) fn part(remark: &Remark) -> Option<Part> {
    let name = match remark {
        Remark::UnknownVersion { .. } => return None,
        Remark::Disagreement { structure } | Remark::NotConfirmed { structure } => structure,
        Remark::ByContentAlone { variable } | Remark::NotFound { variable } => variable,
    };
    match *name {
        "g" | "allgs" | "waitReasonStrings" => Some(Part::Goroutines),
        "m" | "allm" => Some(Part::Threads),
        _ => Some(Part::Heap),
    }
}

pub(in crate::agent::views) fn sentence(remark: &Remark) -> String {
    match remark {
        Remark::UnknownVersion { version } => {
            format!("{version} is no version whose layout is known: offsets were found in the process.")
        }
        Remark::Disagreement { structure } => {
            format!("The layout of runtime.{structure} is not that of its version: what was found is used.")
        }
        Remark::NotConfirmed { structure } => {
            format!(
                "Do not rely on this: what is in the process does not look as runtime.{structure} does in its version of \
                 Go, and no other layout fits either. A patched runtime, or one that is being set up, looks like that."
            )
        }
        Remark::ByContentAlone { variable } => format!("runtime.{variable} was found by its content alone."),
        Remark::NotFound { variable } => {
            format!("runtime.{variable} was not found: what depends on it is missing.")
        }
    }
}
