//! Why a resource is said not to leak, or why nothing can be said of it yet.

use crate::judge::terms::Kind;
use crate::vocabulary::frame::Frame;
use std::sync::Arc;

/// A resource that does not leak.
#[derive(Clone, Debug, PartialEq)]
pub struct Steady {
    /// Which resource.
    pub kind: Kind,
    /// How we know.
    pub why: SteadyWhy,
}

/// Why a resource is no leak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SteadyWhy {
    /// It did not move beyond noise.
    Flat {
        /// Lowest value seen.
        low: f64,
        /// Highest value seen.
        high: f64,
    },
    /// It rises and falls back.
    Sawtooth {
        /// Lowest value seen.
        low: f64,
        /// Highest value seen.
        high: f64,
    },
    /// It rose and has stopped rising.
    Plateau {
        /// For so many seconds it has not risen.
        flat_seconds: f64,
        /// The value at which it stays.
        level: f64,
    },
    /// The live heap after each collection stays.
    LiveHeap {
        /// Least bytes that a collection found live.
        low: f64,
        /// Most.
        high: f64,
        /// Collections that were seen.
        cycles: usize,
    },
    /// Too few collections to see the live heap, and so little is allocated that no leak in it matters yet.
    LittleAllocated {
        /// All that is allocated, garbage included, in bytes per second.
        per_second: f64,
        /// Seconds until a limit were reached if none of it were garbage; `None` where that is soon or not known.
        seconds_left: Option<f64>,
    },
    /// Whatever is created goes again, at each stack that creates.
    ComeAndGo {
        /// Created while it was watched.
        created: u64,
        /// ... and ended since.
        ended: u64,
        /// The longest that one lived, where it is known.
        longest_seconds: Option<f64>,
    },
    /// The live heap was filled and has stopped growing: warm-up, a cache that is full.
    LiveHeapFilled {
        /// For so many seconds it has not risen.
        flat_seconds: f64,
        /// The value at which it stays.
        level: f64,
    },
    /// The heap grows up to the limit that was set, and the collector holds it there.
    HeldByLimit {
        /// GOMEMLIMIT in bytes.
        limit: f64,
        /// Most memory that the runtime had mapped.
        level: f64,
        /// What the last collection found live.
        live: f64,
        /// Collections that were seen.
        cycles: usize,
    },
    /// The heap was larger: most of it is free and was not given back to the system.
    NotReturned {
        /// Free bytes that are kept.
        idle: f64,
        /// Bytes in use.
        in_use: f64,
    },
    /// The heap rises between collections and falls back at each.
    HeapSawtooth {
        /// Most that a collection found live.
        live: f64,
        /// Most that was allocated before a collection ended.
        peak: f64,
        /// GOGC; `None` where it is off.
        gogc_percent: Option<u32>,
        /// Collections that were seen.
        cycles: usize,
    },
    /// Pages of mapped files came by being read; no more is mapped than before.
    PageCache {
        /// Resident bytes of files at first.
        from: f64,
        /// ... and at last.
        to: f64,
    },
    /// Memory outside the Go heap stays.
    OutsideGo {
        /// Least bytes seen.
        low: f64,
        /// Most.
        high: f64,
    },
    /// It falls.
    Falling {
        /// At the window's begin.
        from: f64,
        /// At its end.
        to: f64,
    },
}

/// A resource of which nothing can be said yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Undecided {
    /// Which resource.
    pub kind: Kind,
    /// What is missing.
    pub why: UndecidedWhy,
}

/// A window of this length decides what one look does not.
const ONE_WINDOW_SECONDS: f64 = 45.0;

/// What is missing for a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum UndecidedWhy {
    /// Too few samples.
    TooFewSamples {
        /// Usable samples in the window.
        have: usize,
        /// Needed.
        need: usize,
        /// Seconds of window that hold as many at this beat.
        need_seconds: f64,
    },
    /// The window is too short.
    TooShort {
        /// Its length in seconds.
        have_seconds: f64,
        /// Needed.
        need_seconds: f64,
    },
    /// It was looked at once.
    OneLook {
        /// Ages were read and tell of no leak; else there is nothing that tells them.
        dated: bool,
    },
    /// It could not be read, whatever the reason; `unseen` has it.
    NotRead,
    /// It rises, but neither steadily nor long enough to be told from warm-up or load.
    Ambiguous {
        /// Rise per second, in the kind's unit.
        per_second: f64,
        /// The rise slows down, as that of a pool or a cache does that fills up.
        slowing: bool,
        /// Seconds of window that should decide it.
        need_seconds: f64,
    },
    /// Many goroutines wait at one line, and whether any of them has run meanwhile is not known.
    Unmoved {
        /// How many.
        count: u64,
        /// Seconds of window that should decide it.
        need_seconds: f64,
    },
    /// Many goroutines wait at one line, and one that was started like them waits for something outside of the program: they
    /// may all wait for that one to be answered.
    MayAwait {
        /// How many.
        count: u64,
    },
    /// All that is there may have come by a leak since the process started, too slowly for this window to show.
    TooSlowToShow {
        /// Bytes that are there.
        level_bytes: f64,
        /// Bytes per second that would have brought them.
        per_second: f64,
        /// Seconds of window in which such a leak shows.
        need_seconds: f64,
    },
    /// Too few collections to tell what is live from what is garbage.
    TooFewCollections {
        /// Collections in the window.
        have: usize,
        /// Needed.
        need: usize,
        /// Seconds of window that should hold as many.
        need_seconds: f64,
    },
    /// The program has switched collections off, so that what is live cannot be told from what is garbage.
    NeverCollected {
        /// Collections in the window, which it asked for itself.
        have: usize,
    },
    /// Memory moved by less than the garbage between two collections makes, and too few of them fell into the window
    /// to tell: no reason for suspicion, and none to acquit.
    WithinACycle {
        /// From its lowest to its highest, in bytes.
        rise_bytes: f64,
        /// Seconds of window in which it would leave that range at this pace.
        need_seconds: f64,
    },
    /// The live heap grows in a process that writes data to files meanwhile: what clients store there looks the same.
    Stored {
        /// Growth in bytes per second.
        per_second: f64,
        /// Bytes per second that go to data files.
        written_per_second: f64,
        /// The line that allocates most of what grows, where it is known.
        place: Option<Frame>,
        /// Name of the file that most goes to.
        file: Arc<str>,
    },
    /// Resident memory grows, and what it is made of is not read.
    CompositionUnknown {
        /// Which part of it.
        part: MemoryPart,
        /// Growth in bytes per second.
        per_second: f64,
    },
}

/// Parts of resident memory that the kernel tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MemoryPart {
    /// Anonymous memory, swapped out or not: Go heap, stacks, runtime, C heap.
    Anonymous,
    /// Pages of mapped files.
    File,
    /// tmpfs, memfd, System V and shared anonymous memory.
    Shared,
    /// Anonymous memory that the Go runtime has not mapped: C heap, mmap.
    OutsideGo,
}

impl UndecidedWhy {
    /// Seconds of window that should decide it; `None` where a longer one alone would not.
    pub fn need_seconds(&self) -> Option<f64> {
        match *self {
            UndecidedWhy::TooShort { need_seconds, .. }
            | UndecidedWhy::Ambiguous { need_seconds, .. }
            | UndecidedWhy::Unmoved { need_seconds, .. }
            | UndecidedWhy::TooFewCollections { need_seconds, .. }
            | UndecidedWhy::TooSlowToShow { need_seconds, .. }
            | UndecidedWhy::WithinACycle { need_seconds, .. }
            | UndecidedWhy::TooFewSamples { need_seconds, .. } => Some(need_seconds),
            UndecidedWhy::OneLook { .. } => Some(ONE_WINDOW_SECONDS),
            UndecidedWhy::NotRead
            | UndecidedWhy::MayAwait { .. }
            | UndecidedWhy::CompositionUnknown { .. }
            | UndecidedWhy::NeverCollected { .. }
            | UndecidedWhy::Stored { .. } => None,
        }
    }
}
