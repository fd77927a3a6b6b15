//! What a process is watched for, and why it may not be.

use crate::source::clock;
use crate::source::kernel::probes::Outcome;
use crate::vocabulary::process::ProcessId;
use std::io;
use std::time::Duration;
use watcher_ebpf::{
    GoView, LEDGER_BIRTHS, LEDGER_CHILDREN, LEDGER_DESCRIPTORS, LEDGER_MAPPINGS, LEDGER_SPANS, LEDGER_TASKS,
    TASK_CHILD, TASK_THREAD, Watched, sample_number,
};

/// Processes that can be watched at once.
pub const MAX_WATCHED: usize = 64;
/// Thinner samples of descriptors say nothing: one of so many.
pub const MAX_ONE_IN: u32 = 1 << 15;

/// One ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Descriptors, sockets among them.
    Descriptors,
    /// Mappings.
    Mappings,
    /// Threads and child processes.
    Tasks,
    /// Births of goroutines.
    Births,
    /// Spans of the Go heap.
    Spans,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 5] = [Kind::Descriptors, Kind::Mappings, Kind::Tasks, Kind::Births, Kind::Spans];

    /// Its bit on the kernel's side.
    pub(super) fn bit(self) -> u32 {
        match self {
            Kind::Descriptors => LEDGER_DESCRIPTORS,
            Kind::Mappings => LEDGER_MAPPINGS,
            Kind::Tasks => LEDGER_TASKS,
            Kind::Births => LEDGER_BIRTHS,
            Kind::Spans => LEDGER_SPANS,
        }
    }

    /// What it keeps, in a sentence's part.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Descriptors => "descriptors",
            Kind::Mappings => "mappings",
            Kind::Tasks => "threads and children",
            Kind::Births => "births of goroutines",
            Kind::Spans => "heap spans",
        }
    }
}

/// A set of ledgers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Whether `kind` is among them.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }

    /// Adds `kind`.
    pub fn insert(&mut self, kind: Kind) {
        self.0 |= kind.bit();
    }

    /// There is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        let mut set = Kinds::default();
        kinds.into_iter().for_each(|kind| set.insert(kind));
        set
    }
}

impl<const N: usize> From<[Kind; N]> for Kinds {
    fn from(kinds: [Kind; N]) -> Self {
        kinds.into_iter().collect()
    }
}

impl IntoIterator for Kinds {
    type Item = Kind;
    type IntoIter = std::iter::Filter<std::array::IntoIter<Kind, 5>, Box<dyn FnMut(&Kind) -> bool>>;

    fn into_iter(self) -> Self::IntoIter {
        Kind::ALL.into_iter().filter(Box::new(move |kind| self.contains(*kind)))
    }
}

/// Why a process is not watched, or not for everything that was asked.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No kernel program can be loaded at all.
    #[error("no kernel programs can be loaded here")]
    NoPrograms,
    /// The object as a whole was refused.
    #[error("{}", outcome.why().unwrap_or("the kernel programs could not be loaded"))]
    Object {
        /// What came of asking.
        outcome: Outcome,
    },
    /// The programs do not know the process by the pid that we know it by.
    #[error("{}", why.trim_end_matches('.'))]
    OtherPids {
        /// One sentence.
        why: &'static str,
    },
    /// There is no room for one more process.
    #[error("{MAX_WATCHED} processes are watched already")]
    TooMany,
    /// The programs of a ledger were refused.
    #[error("{} cannot be watched: {}", kind.words(), outcome.why().unwrap_or("its programs were refused"))]
    Kind {
        /// Which ledger.
        kind: Kind,
        /// What came of asking.
        outcome: Outcome,
    },
    /// The kernel's maps could not be written.
    #[error("the kernel's maps could not be written: {error}")]
    Maps {
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Whether sampling leaves out the descriptor of this number, where one of `one_in` is entered.
pub fn leaves_out(one_in: u32, fd: i32) -> bool {
    sample_number(fd.cast_unsigned()) & one_in.saturating_sub(1) != 0
}

/// As the kernel's side counts time.
pub(super) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// What the kernel's side is told of a process.
pub(super) fn watched(id: ProcessId, nanos_per_tick: u64, kinds: Kinds, view: Option<GoView>) -> Watched {
    Watched {
        start_from_ns: id.start_ticks.saturating_mul(nanos_per_tick),
        start_until_ns: id.start_ticks.saturating_add(1).saturating_mul(nanos_per_tick),
        ledgers: kinds.bits(),
        sample_mask: 0,
        view: view.unwrap_or_default(),
        scanned_ns: nanos(clock::now().since_boot),
        scan_gap_ns: 0,
    }
}

/// Which tasks of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// Its threads.
    Threads,
    /// Its child processes.
    Children,
}

impl TaskKind {
    /// Stacks and counts of the two are kept apart.
    pub(super) fn bit(self) -> u32 {
        match self {
            TaskKind::Threads => LEDGER_TASKS,
            TaskKind::Children => LEDGER_CHILDREN,
        }
    }

    pub(super) fn number(self) -> u32 {
        match self {
            TaskKind::Threads => TASK_THREAD,
            TaskKind::Children => TASK_CHILD,
        }
    }
}
