//! What the kernel was asked for, what came of it, and what is lost without it.
//!
//! There is one [`Probe`] per thing that this kernel may or may not let us do, always in the same order and
//! always all of them, so that `watcher doctor` can print the slice as one table: [`Probe::name`],
//! [`Outcome::word`], [`Outcome::why`], and for what does not work [`Probe::lost`] and [`Probe::needs`]. A
//! refusal changes its own row and nothing else.

use super::btf::BtfError;
use aya::programs::ProgramError;
use aya::sys::SyscallError;
use aya::{BtfError as AyaBtfError, EbpfError};
use std::io;

/// One row: a thing that the kernel may let us do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Which one.
    pub id: ProbeName,
    /// What it is, a few words.
    pub name: &'static str,
    /// What came of asking.
    pub outcome: Outcome,
    /// What the user does not get without it, one sentence.
    pub lost: &'static str,
    /// What would bring it, one sentence.
    pub needs: &'static str,
}

/// What came of asking the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel takes it. For a program that means loaded; it is attached when somebody listens.
    Works,
    /// The kernel knows it and said no.
    Refused {
        /// One sentence for an operator.
        why: String,
    },
    /// This kernel does not have it.
    NotHere {
        /// One sentence for an operator.
        why: String,
    },
    /// The kernel was not asked, because something that it builds on does not work.
    NotAsked {
        /// One sentence for an operator.
        why: String,
    },
}

impl Outcome {
    /// One word for a table.
    pub fn word(&self) -> &'static str {
        match self {
            Outcome::Works => "works",
            Outcome::Refused { .. } => "refused",
            Outcome::NotHere { .. } => "absent",
            Outcome::NotAsked { .. } => "not asked",
        }
    }

    /// Why it does not work; `None` where it does.
    pub fn why(&self) -> Option<&str> {
        match self {
            Outcome::Works => None,
            Outcome::Refused { why } | Outcome::NotHere { why } | Outcome::NotAsked { why } => Some(why),
        }
    }

    /// The kernel said no.
    pub fn is_refused(&self) -> bool {
        matches!(self, Outcome::Refused { .. })
    }

    /// The kernel takes it.
    pub fn works(&self) -> bool {
        *self == Outcome::Works
    }
}

/// What can be asked for, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProbeName {
    /// The kernel's type information, without which no program finds the members of kernel structures.
    KernelTypes,
    /// `iter/task`.
    Tasks,
    /// `iter/task_file`.
    Descriptors,
    /// `iter/task_file` with what tells ages.
    Ages,
    /// Iterators over one process only.
    OneProcess,
    /// `tp_btf/sched_process_exec`.
    Exec,
    /// `tp_btf/sched_process_exit`.
    Exit,
    /// BPF_MAP_TYPE_RINGBUF.
    RingBuffer,
    /// Trampolines at the entry of kernel functions.
    Fentry,
    /// Trampolines at the return of kernel functions.
    Fexit,
    /// Programs at tracepoints.
    Tracepoint,
    /// Programs at instructions of user programs.
    Uprobe,
    /// Programs at samples of a performance counter.
    PerfEvent,
    /// The ledger of descriptors by trampolines where the kernel changes its tables.
    DescriptorsExact,
    /// The ledger of descriptors by the allocations of open files.
    DescriptorsByAllocation,
    /// The ledger of descriptors by tracepoints of system calls.
    DescriptorsByCall,
    /// The ledger of mappings by tracepoints of system calls.
    MappingLedger,
    /// The ledger of threads and child processes.
    TaskLedger,
}

/// The table, before anything was asked.
pub(super) fn unasked(why: &str) -> Vec<Probe> {
    ROWS.iter()
        .map(|(id, name, lost, needs)| Probe {
            id: *id,
            name,
            outcome: Outcome::NotAsked { why: why.to_owned() },
            lost,
            needs,
        })
        .collect()
}

const ROWS: &[(ProbeName, &str, &str, &str)] = &[
    (
        ProbeName::KernelTypes,
        "kernel type information",
        "All kernel programs that read the kernel's own structures; processes are read through /proc instead.",
        "A kernel with CONFIG_DEBUG_INFO_BTF=y, which distributions set, and /sys mounted.",
    ),
    (
        ProbeName::Tasks,
        "threads of all processes in one pass",
        "Speed: threads, children and names are read through /proc, one process after the other.",
        "Linux 5.8 or newer, and watcher in the host's pid namespace.",
    ),
    (
        ProbeName::Descriptors,
        "descriptors and sockets of all processes in one pass",
        "Speed: descriptors are read through /proc link by link, and sockets of other network namespaces cost \
         a switch of namespace each.",
        "Linux 5.11 or newer, and watcher in the host's pid namespace.",
    ),
    (
        ProbeName::Ages,
        "ages of descriptors and sockets in one pass",
        "A first look at sockets and files cannot tell since when they are there: leaks of them show only while they \
         are watched.",
        "Linux 5.11 or newer, and watcher in the host's pid namespace.",
    ),
    (
        ProbeName::OneProcess,
        "descriptors of one process",
        "Speed: to read one process the pass over all of them is taken and filtered.",
        "Linux 6.1 or newer.",
    ),
    (
        ProbeName::Exec,
        "start of programs as it happens",
        "Programs are discovered at the next scan; those that live shorter than a scan are not seen.",
        "Linux 5.8 or newer, and watcher in the host's pid namespace.",
    ),
    (
        ProbeName::Exit,
        "end of processes as it happens",
        "The end of a process is noticed at the next scan, without its exact time.",
        "Linux 5.8 or newer, and watcher in the host's pid namespace.",
    ),
    (
        ProbeName::RingBuffer,
        "ring buffer",
        "Starts and ends of processes are not told.",
        "Linux 5.8 or newer.",
    ),
    (
        ProbeName::Fentry,
        "fentry trampolines",
        "Exact bookkeeping of opened and closed descriptors in the kernel; tracepoints and the passes stand in.",
        "Linux 5.5 or newer, x86-64 or a recent arm64, and a host that lets its guests patch kernel functions.",
    ),
    (
        ProbeName::Fexit,
        "fexit trampolines",
        "Results of kernel functions, such as those of dup2 and mmap; tracepoints and the passes stand in.",
        "Linux 5.5 or newer, x86-64 or a recent arm64, and a host that lets its guests patch kernel functions.",
    ),
    (
        ProbeName::Tracepoint,
        "tracepoints",
        "The Go stacks that open descriptors and connections, where trampolines do not work either.",
        "CONFIG_FTRACE_SYSCALLS=y and tracefs mounted at /sys/kernel/tracing.",
    ),
    (
        ProbeName::Uprobe,
        "uprobes",
        "Heap growth by Go line in programs whose own memory profile is off, and births of goroutines.",
        "CONFIG_UPROBE_EVENTS=y.",
    ),
    (
        ProbeName::PerfEvent,
        "performance events",
        "Samples of what a process computes.",
        "CONFIG_PERF_EVENTS=y and kernel.perf_event_paranoid of 2 or less, or CAP_PERFMON.",
    ),
    (
        ProbeName::MappingLedger,
        "stacks of mappings",
        "The lines, of Go or called from there, that memory outside the Go heap and mapped files come from.",
        "Linux 5.15 or newer with CONFIG_FTRACE_SYSCALLS=y, and tracefs mounted at /sys/kernel/tracing.",
    ),
    (
        ProbeName::TaskLedger,
        "stacks of threads and child processes",
        "The lines that start child processes, and threads of C's.",
        "Linux 5.15 or newer, and watcher in the host's pid namespace.",
    ),
];

/// What stands between this process and the kernel, as far as capabilities go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Capabilities {
    pub(super) bpf: bool,
    pub(super) perfmon: bool,
}

impl Capabilities {
    const SYS_ADMIN: u32 = 21;
    const PERFMON: u32 = 38;
    const BPF: u32 = 39;

    /// From the set of effective capabilities. CAP_SYS_ADMIN includes the other two.
    pub(super) fn from_effective(set: u64) -> Self {
        let has = |capability: u32| set >> capability & 1 == 1 || set >> Self::SYS_ADMIN & 1 == 1;
        Capabilities { bpf: has(Self::BPF), perfmon: has(Self::PERFMON) }
    }

    /// Which of them this process lacks, as the end of a sentence.
    pub(super) fn missing(self) -> Option<&'static str> {
        match (self.bpf, self.perfmon) {
            (true, true) => None,
            (false, true) => Some("CAP_BPF is missing"),
            (true, false) => Some("CAP_PERFMON is missing"),
            (false, false) => Some("CAP_BPF and CAP_PERFMON are missing"),
        }
    }

    /// What a refused system call means.
    pub(super) fn explain(self, error: &io::Error) -> Outcome {
        match (error.raw_os_error(), self.missing()) {
            (Some(libc::EPERM | libc::EACCES), Some(missing)) => {
                Outcome::Refused { why: format!("{missing}; run as root or grant the capabilities.") }
            }
            (Some(libc::EPERM), None) => Outcome::Refused {
                why: "The kernel forbids this kind of program although no capability is missing: it is hardened, locked \
                      down, or the guest of a host that forbids it."
                    .to_owned(),
            },
            (Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP), _) => {
                Outcome::NotHere { why: format!("This kernel does not offer it ({error}).") }
            }
            _ => Outcome::Refused { why: format!("The kernel refused it: {error}.") },
        }
    }

    /// What a refused program means.
    pub(super) fn explain_program(self, error: &ProgramError) -> Outcome {
        match error {
            ProgramError::LoadError { io_error, verifier_log } => {
                let log = verifier_log.to_string();
                match last_words(&log) {
                    Some(words) if self.missing().is_none() => Outcome::Refused {
                        why: format!("The kernel's verifier refused the program ({io_error}): {words}."),
                    },
                    _ => self.explain(io_error),
                }
            }
            ProgramError::SyscallError(SyscallError { io_error, .. }) => self.explain(io_error),
            ProgramError::IOError(error) if error.kind() == io::ErrorKind::NotFound => {
                Outcome::NotHere { why: "This kernel was built without it.".to_owned() }
            }
            ProgramError::Btf(AyaBtfError::UnknownBtfTypeName { type_name }) => {
                Outcome::NotHere { why: format!("This kernel has no {type_name} for programs to attach to.") }
            }
            other => Outcome::Refused { why: format!("The program could not be loaded: {other}.") },
        }
    }

    /// What it means that the object as a whole could not be loaded.
    pub(super) fn explain_object(self, error: &EbpfError) -> Outcome {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(error) = source {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                return self.explain(error);
            }
            source = error.source();
        }
        match self.missing() {
            Some(missing) => {
                Outcome::Refused { why: format!("{missing}; run as root or grant the capabilities.") }
            }
            None => Outcome::Refused { why: format!("The kernel programs could not be loaded: {error}.") },
        }
    }
}

/// ENOTSUPP, an errno that the kernel keeps to itself and leaks here.
const ENOTSUPP: i32 = 524;

/// What a missing structure or member means.
pub(super) fn explain_types(error: &BtfError) -> Outcome {
    let mut why = error.to_string();
    if let Some(first) = why.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    why.push('.');
    Outcome::NotHere { why }
}

/// The verifier's verdict: the last line of its log that is not statistics, cut to a readable length.
fn last_words(log: &str) -> Option<String> {
    const LONGEST: usize = 200;
    const STATISTICS: [&str; 3] = ["processed ", "stack depth ", "verification time "];
    let line = log
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|statistic| line.starts_with(statistic)))?;
    Some(line.chars().take(LONGEST).collect())
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, Outcome, last_words, unasked};
    use expect_test::expect;
    use std::fmt::Write as _;
    use std::io;

    #[test]
    fn every_refusal_is_one_sentence_for_an_operator() {
        const SYS_ADMIN: u64 = 1 << 21;
        const BPF: u64 = 1 << 39;
        let mut text = String::new();
        for (set, errno) in [
            (0, libc::EPERM),
            (BPF, libc::EPERM),
            (SYS_ADMIN, libc::EPERM),
            (SYS_ADMIN, libc::EINVAL),
            (SYS_ADMIN, 524),
            (0, libc::ENOMEM),
        ] {
            let outcome = Capabilities::from_effective(set).explain(&io::Error::from_raw_os_error(errno));
            writeln!(text, "{}: {}", outcome.word(), outcome.why().unwrap_or("-")).unwrap();
        }
        expect![[r#"
            refused: CAP_BPF and CAP_PERFMON are missing; run as root or grant the capabilities.
            refused: CAP_PERFMON is missing; run as root or grant the capabilities.
            refused: The kernel forbids this kind of program although no capability is missing: it is hardened, locked down, or the guest of a host that forbids it.
            absent: This kernel does not offer it (Invalid argument (os error 22)).
            absent: This kernel does not offer it (Unknown error 524 (os error 524)).
            refused: The kernel refused it: Cannot allocate memory (os error 12).
        "#]].assert_eq(&text);
    }

    #[test]
    fn the_verdict_is_found_below_the_statistics() {
        let log = "0: R1=ctx()\naccess beyond struct file at off 640 size 8\nverification time 9 usec\nstack depth 328+0\nprocessed 12 insns (limit 1000000)\n";
        assert_eq!(last_words(log).as_deref(), Some("access beyond struct file at off 640 size 8"));
        assert_eq!(last_words("\nprocessed 0 insns\n"), None);
    }

    #[test]
    fn a_row_that_nobody_asked_about_says_so() {
        let rows = unasked("BPF does not work.");
        assert!(rows.iter().all(|row| row.outcome == Outcome::NotAsked { why: "BPF does not work.".into() }));
        assert!(rows.is_sorted_by_key(|row| row.id));
    }
}
