//! Recordings: what was read of processes, written down as it came, so that it can be judged again.
//!
//! A recording is gzip with one JSON object a line, so `zcat` and `zgrep` read it too. The first line is the
//! [`Header`]; what follows comes in the order in which it was seen, and each beat ends with a line of its own. Raw
//! readings only: no rate, no verdict. What a process was told that could be secret (its arguments, its environment,
//! the settings it was built with) is not in it.
//!
//! [`journal`] finds out what of a window is new, [`writer`] writes it, [`reader`] reads it again whoever wrote it, and
//! [`stage`] makes windows of it.

pub mod check;
pub mod journal;
pub mod reader;
pub mod stage;
pub mod writer;

pub use journal::Journal;
pub use reader::{Bounds, Reader, RecordingError};
pub use stage::{Override, Played, Stage};
pub use writer::{Writer, WriterError};

use crate::observed::Sample;
use crate::observed::ages::Ages;
use crate::observed::anatomy::Anatomy;
use crate::observed::data_files::DataFiles;
use crate::observed::doubts::Doubt;
use crate::observed::goroutines::GoroutineCapture;
use crate::observed::heap::HeapCapture;
use crate::observed::ledger::{Descriptors, Ledger, Mappings, Spans, Tasks};
use crate::observed::pulls::{EndpointUse, PulledProfile};
use crate::store::captures::LedgerName;
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::Moment;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// What this version writes and reads.
pub const SCHEMA: &str = "watcher.recording/1";

/// The first line of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of the watcher that wrote it.
    pub watcher: String,
    /// When it was begun.
    pub began: Moment,
    /// Time between two samples.
    pub interval: Duration,
    /// How often everything was captured; `None` where that was done as for a verdict at the end: at the begin, in the
    /// middle and at the end.
    pub captures_every: Option<Duration>,
    /// What the host is.
    pub host: HostFacts,
}

/// What of a host is needed to judge its processes, and to read the numbers; each part `None` where it could not be
/// read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    /// `kernel.osrelease`.
    pub kernel_release: Option<String>,
    /// `MemTotal`.
    pub memory_bytes: Option<u64>,
    /// Tasks that it can hold.
    pub tasks: Option<u64>,
    /// In which start times are counted (USER_HZ).
    pub ticks_per_second: Option<u64>,
    /// Size of a page.
    pub page_bytes: Option<u64>,
}

/// What of a host is in use; each part `None` where it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostUse {
    /// Bytes that processes can still have, free swap included.
    pub available_bytes: Option<u64>,
    /// Tasks that it has.
    pub tasks: Option<u64>,
}

/// Any line behind the first.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one of them at a time, on its way to or from the file"
)]
pub enum Entry<'a> {
    /// A process that is watched, when it was first seen and whenever something about it has changed.
    Process(Cow<'a, Target>),
    /// A process that is there no longer.
    Left {
        /// Who.
        process: ProcessId,
        /// When that was noticed.
        at: Moment,
        /// It goes on, with another program.
        became_another: bool,
    },
    /// A sample.
    Sample(Cow<'a, Sample>),
    /// A capture.
    Capture {
        /// Of whom.
        process: ProcessId,
        /// What was captured.
        what: Captured<'a>,
    },
    /// Captures of these kinds began anew: those before do not count.
    Anew {
        /// Of whom.
        process: ProcessId,
        /// Which.
        captures: Vec<CaptureKind>,
    },
    /// What is known of the captures themselves; the newest line counts.
    About {
        /// Of whom.
        process: ProcessId,
        /// Ledgers that are not kept of this process, and why.
        without_ledger: Vec<(LedgerName, String)>,
        /// Why the Go runtime is not read; `None` where it is.
        no_runtime: Option<String>,
        /// What makes what was read of it less sure.
        #[serde(default)]
        doubts: Vec<Doubt>,
        /// Its endpoint and what asking took; `None` where nothing was asked.
        endpoint: Option<EndpointUse>,
        /// What its memory consists of; `None` where that was not looked at.
        #[serde(default)]
        anatomy: Option<Anatomy>,
    },
    /// All that was read in one beat has been written.
    Beat {
        /// When it was over.
        at: Moment,
        /// What of the host was in use then.
        #[serde(default)]
        host: HostUse,
    },
    /// The recorder was done. Where this is missing it was killed, or could not write on.
    End {
        /// Why it was done.
        because: Ending,
    },
}

/// Why a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Its time was over, it was interrupted, or nobody was left.
    Done,
    /// It reached the size that it may have.
    Full,
}

/// One capture.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Captured<'a> {
    /// All goroutines.
    Goroutines(Cow<'a, GoroutineCapture>),
    /// What the heap holds.
    Heap(Cow<'a, HeapCapture>),
    /// How old what it holds is.
    Ages(Cow<'a, Ages>),
    /// Files in which it keeps data.
    DataFiles(Cow<'a, DataFiles>),
    /// Who opened what is open.
    Descriptors(Cow<'a, Ledger<Descriptors>>),
    /// Who mapped what is mapped.
    Mappings(Cow<'a, Ledger<Mappings>>),
    /// Who started the threads.
    Threads(Cow<'a, Ledger<Tasks>>),
    /// Who started the children.
    Children(Cow<'a, Ledger<Tasks>>),
    /// Who filled spans of the heap.
    Spans(Cow<'a, Ledger<Spans>>),
    /// All goroutines, by the endpoint.
    PulledGoroutines(Cow<'a, PulledProfile>),
    /// What the heap holds, by the endpoint.
    PulledHeap(Cow<'a, PulledProfile>),
    /// Goroutines that nothing can wake, by the endpoint.
    PulledLeaked(Cow<'a, PulledProfile>),
}

/// What can be captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureKind {
    /// [`Captured::Goroutines`].
    Goroutines,
    /// [`Captured::Heap`].
    Heap,
    /// [`Captured::Ages`].
    Ages,
    /// [`Captured::DataFiles`].
    DataFiles,
    /// [`Captured::Descriptors`].
    Descriptors,
    /// [`Captured::Mappings`].
    Mappings,
    /// [`Captured::Threads`].
    Threads,
    /// [`Captured::Children`].
    Children,
    /// [`Captured::Spans`].
    Spans,
    /// [`Captured::PulledGoroutines`].
    PulledGoroutines,
    /// [`Captured::PulledHeap`].
    PulledHeap,
    /// [`Captured::PulledLeaked`].
    PulledLeaked,
}

#[cfg(test)]
mod tests;
