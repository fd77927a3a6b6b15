//! Turns a [`Window`] into a [`Judgement`]: one small pure function per kind, weighed against each other.
//!
//! Values in, values out. No clock, no files, no logging, no wording: `explain` puts it into sentences.

mod answers;
pub mod attribute;
mod cause;
pub mod children;
mod collector;
pub mod composition;
pub mod connections;
pub mod corroborate;
pub mod culprit;
pub mod descriptors;
pub mod doubts;
mod evidence;
pub mod exhaustion;
mod few;
pub mod gaps;
pub mod glance;
pub mod goroutines;
pub mod growth;
pub mod heap;
pub mod horizons;
mod in_use;
mod kin;
pub mod ladder;
pub mod levels;
mod load;
pub mod mappings;
pub mod memory;
mod ramp;
pub mod readings;
mod reasons;
pub mod shape;
mod since;
pub mod standing;
pub mod standstill;
pub mod story;
mod survivors;
pub mod suspicion;
pub mod threads;
pub mod trend;

#[cfg(test)]
pub(crate) mod simulation;

pub use crate::sample::code::Frame;
pub use evidence::{Begin, Created, Evidence, Hold};
pub use gaps::{Gap, What};
pub use ladder::Ladder;
pub use levels::{Held, Holder, Level};
pub use reasons::{MemoryPart, Steady, SteadyWhy, Undecided, UndecidedWhy};

use crate::descriptor::DescriptorType;
use crate::process::Limits;
use crate::reading::Moment;
use crate::sample::anatomy::Anatomy;
use crate::sample::connections::Peer;
pub use crate::sample::doubts::{Doubt, Structure, Why};
use crate::sample::ledger::{Accounts, Route};
use crate::sample::memory::Memory;
use crate::sample::pulls::EndpointUse;
use crate::sample::runtime::GoCounters;
use crate::socket::{Family, SocketState};
use crate::store::Window;
pub use crate::store::captures::LedgerName;

/// What a kind's own function says: one of three answers, before the kinds are weighed against each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It leaks.
    Leaks(Finding),
    /// It does not.
    Steady(Steady),
    /// It may leak, by too little to accuse.
    Suspected(Suspected),
    /// It cannot be told.
    Undecided(Undecided),
}

/// What the judge says of one process.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// The verdict over all kinds.
    pub verdict: Verdict,
    /// What leaks, the primary finding first.
    pub findings: Vec<Finding>,
    /// What may leak, by too little to accuse: a kind that is among the findings is not among these.
    pub suspected: Vec<Suspected>,
    /// What does not, and how we know.
    pub steady: Vec<Steady>,
    /// What could not be decided, and what it would take.
    pub undecided: Vec<Undecided>,
    /// What each kind was, and what leak of it may have gone unnoticed.
    pub readings: Vec<readings::Reading>,
    /// Length of the window that was judged, in seconds.
    pub window_seconds: f64,
    /// Samples in it.
    pub samples: usize,
    /// What could not be read in it.
    pub gaps: Vec<Gap>,
    /// Resident memory in its newest sample, where it was read.
    pub memory: Option<Memory>,
    /// The Go runtime's totals in the newest sample, where they were read.
    pub runtime: Option<GoCounters>,
    /// All memory that the Go runtime has mapped, by the newest capture.
    pub mapped_bytes: Option<u64>,
    /// What resident memory consists of, where it was measured mapping by mapping.
    pub anatomy: Option<Anatomy>,
    /// What the captures lack.
    pub lacking: Vec<Lacking>,
    /// Where the process's endpoint is and what asking it took; `None` where nothing was asked.
    pub endpoint: Option<EndpointUse>,
    /// When the newest sample was taken.
    pub sampled: Option<Moment>,
    /// What the earlier lives of the program show together with this one.
    pub story: Option<story::Story>,
    /// How full its limits are, the fullest first; those that are not known are not among them.
    pub levels: Vec<Level>,
}

/// What the captures of a process lack, so that lines of code cannot be named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// The Go runtime was not found, or may not be read.
    Runtime {
        /// Why, in a sentence's part.
        because: String,
    },
    /// It did not run when it was looked at.
    Running(standstill::Standstill),
    /// Neither goroutines nor the heap were looked at one by one: nothing has called for it.
    Captures,
    /// Goroutines were not captured.
    Goroutines,
    /// Who creates things is not recorded of this process, or not yet.
    AllStacks,
    /// Who creates things is not recorded, for this reason.
    Stacks {
        /// Of what.
        ledger: LedgerName,
        /// Completes a sentence: why.
        because: String,
    },
    /// What tells the ages of descriptors was not to be had: only threads and children are dated.
    Ages,
    /// Who creates things is recorded, and not of all of them.
    SomeStacks {
        /// Of what.
        ledger: LedgerName,
        /// How creations are seen.
        route: Route,
        /// What there is and what of it has no stack.
        accounts: Accounts,
    },
    /// There is no heap profile, for this reason where it is known.
    HeapProfile {
        /// Completes "no heap samples are recorded in this program, because …".
        because: Option<String>,
    },
    /// What was read by way of a structure of the runtime is less sure than it could be, or is missing.
    Certainty(Doubt),
}

/// The verdict over all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one resource leaks.
    Leak,
    /// Everything that was judged is steady.
    Healthy,
    /// No leak is shown, and something that matters could not be decided.
    Inconclusive,
}

/// The resources that can leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Live Go heap.
    Heap,
    /// Goroutines.
    Goroutine,
    /// Descriptors that are no sockets.
    Fd,
    /// Sockets of any family.
    Connection,
    /// OS threads.
    Thread,
    /// Memory outside the Go heap.
    Native,
    /// File and shared mappings, or the number of mappings.
    Mapping,
    /// Children that were not waited for.
    Child,
}

impl Kind {
    /// In what it is counted.
    pub fn unit(self) -> Unit {
        match self {
            Kind::Heap | Kind::Native => Unit::Bytes,
            Kind::Goroutine => Unit::Goroutines,
            Kind::Fd => Unit::Fds,
            Kind::Connection => Unit::Connections,
            Kind::Thread => Unit::Threads,
            Kind::Mapping => Unit::Mappings,
            Kind::Child => Unit::Children,
        }
    }
}

/// Unit of a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Goroutines.
    Goroutines,
    /// Descriptors.
    Fds,
    /// Sockets.
    Connections,
    /// OS threads.
    Threads,
    /// VMAs.
    Mappings,
    /// Processes.
    Children,
}

/// One resource that leaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which resource.
    pub kind: Kind,
    /// The cause; exactly one finding of a judgement is primary.
    pub primary: bool,
    /// The finding from which this one merely follows.
    pub consequence_of: Option<Kind>,
    /// How sure we are that this is a leak of this kind: 0 to 1.
    pub confidence: f64,
    /// Growth, in the kind's unit.
    pub rate: Rate,
    /// The limit that bites first.
    pub exhausts: Option<Exhaustion>,
    /// What the growing ones have in common.
    pub detail: Detail,
    /// The lines of code that did it; empty where no stacks are read.
    pub culprits: Vec<Culprit>,
    /// How we know.
    pub evidence: Vec<Evidence>,
}

/// One resource that may leak: all that a finding has, but the proof.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspected {
    /// What would be found. It is never primary and follows from nothing.
    pub finding: Finding,
    /// Seconds of window that should decide it; `None` where a longer one alone would not.
    pub need_seconds: Option<f64>,
}

/// Growth per second with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Theil-Sen slope.
    pub per_second: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Rate {
    /// The same with an interval that holds the rate.
    pub fn ordered(self) -> Rate {
        Rate { low: self.low.min(self.per_second), high: self.high.max(self.per_second), ..self }
    }
}

/// When a limit is reached if growth goes on as it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exhaustion {
    /// Which limit.
    pub limit: LimitName,
    /// Its value, in the limit's own unit.
    pub limit_value: u64,
    /// Seconds from the last sample at the measured rate.
    pub in_seconds: f64,
    /// The same at the upper end of the rate's interval.
    pub low_seconds: f64,
    /// The same at the lower end; `None` where that end is not above zero.
    pub high_seconds: Option<f64>,
    /// Where this limit only slows the process down: the first that ends it.
    pub beyond: Option<Beyond>,
}

/// The limit that ends a process which another one has slowed down before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beyond {
    /// Which limit.
    pub limit: LimitName,
    /// Its value, in its own unit.
    pub limit_value: u64,
    /// Seconds from the last sample at the measured rate.
    pub in_seconds: f64,
    /// The same at the upper end of the rate's interval.
    pub low_seconds: f64,
    /// The same at the lower end; `None` where that end is not above zero.
    pub high_seconds: Option<f64>,
}

/// Limits that a leak can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitName {
    /// RLIMIT_NOFILE of the process.
    OpenFiles,
    /// `vm.max_map_count`.
    Mappings,
    /// `pids.max` of the cgroup.
    CgroupPids,
    /// `memory.max` of the cgroup.
    CgroupMemory,
    /// RLIMIT_NPROC of the user.
    UserProcesses,
    /// Memory of the host.
    HostMemory,
    /// `kernel.pid_max` or `kernel.threads-max`, whichever is lower.
    HostTasks,
    /// `memory.high` of the cgroup: from there on the kernel slows the process down.
    CgroupMemoryHigh,
    /// GOMEMLIMIT: where the live heap fills it the collector runs all the time.
    GoMemory,
    /// Threads that a Go program may have, `runtime/debug.SetMaxThreads`.
    GoThreads,
    /// RLIMIT_AS of the process.
    AddressSpace,
    /// RLIMIT_DATA of the process.
    DataSize,
    /// `fs.inotify.max_user_instances`.
    InotifyInstances,
    /// `fs.inotify.max_user_watches`.
    InotifyWatches,
    /// `net.ipv4.ip_local_port_range` of its network namespace: ports for connections to one peer.
    Ports,
}

impl LimitName {
    /// Reaching it slows the process down and does not end it.
    pub fn only_slows(self) -> bool {
        matches!(self, LimitName::CgroupMemoryHigh | LimitName::GoMemory)
    }

    /// It bounds bytes, and not things that are counted.
    pub fn is_of_bytes(self) -> bool {
        match self {
            LimitName::CgroupMemory
            | LimitName::HostMemory
            | LimitName::CgroupMemoryHigh
            | LimitName::GoMemory
            | LimitName::AddressSpace
            | LimitName::DataSize => true,
            LimitName::OpenFiles
            | LimitName::Mappings
            | LimitName::CgroupPids
            | LimitName::UserProcesses
            | LimitName::HostTasks
            | LimitName::GoThreads
            | LimitName::InotifyInstances
            | LimitName::InotifyWatches
            | LimitName::Ports => false,
        }
    }
}

/// What the growing ones have in common, as far as totals tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Detail {
    /// Their address family, where it has no other name for what its sockets are.
    pub family: Option<Family>,
    /// State of the sockets that grow.
    pub state: Option<SocketState>,
    /// Their peer.
    pub peer: Option<Peer>,
    /// Type of the descriptors that grow.
    pub descriptor_type: Option<DescriptorType>,
}

/// A line of Go code that a person would edit.
#[derive(Clone, Debug, PartialEq)]
pub struct Culprit {
    /// The line itself: the first frame of the program's own module, else of a dependency, else of Go's library.
    pub frame: Frame,
    /// Its part of the growth: 0 to 1.
    pub share: f64,
    /// The whole stack, innermost frame first.
    pub stack: Vec<Frame>,
}

/// What the judge is told beside the window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Limits of the process.
    pub limits: Limits,
    /// Memory of the host in bytes.
    pub host_memory_bytes: Option<u64>,
    /// Bytes of it that processes can still have, free swap included.
    pub host_available_bytes: Option<u64>,
    /// Tasks that the host can hold.
    pub host_tasks: Option<u64>,
    /// Tasks that it has.
    pub host_tasks_in_use: Option<u64>,
    /// Tasks of the process's user, where they were counted.
    pub user_tasks: Option<u64>,
    /// It is a Go program: goroutines and a Go heap are there, whether or not they are read.
    pub is_go: bool,
    /// Seconds that the process had lived at its newest sample.
    pub age_seconds: Option<f64>,
}

/// From how much on a change counts. The defaults suit windows from 30 s on.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Fewer usable samples than this decide nothing.
    pub min_samples: usize,
    /// A shorter window decides nothing.
    pub min_seconds: f64,
    /// One-sided p-value of the trend test below which a rise counts as a trend.
    pub max_p_value: f64,
    /// A rise of fewer units than this in the window is noise, for kinds counted in pieces.
    pub min_rise_count: f64,
    /// The same for kinds counted in bytes.
    pub min_rise_bytes: f64,
    /// For kinds counted in bytes also this part of the level.
    pub min_rise_byte_share: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            min_samples: 12,
            min_seconds: 25.0,
            max_p_value: 0.000_3,
            min_rise_count: 5.0,
            min_rise_bytes: 4.0 * 1024.0 * 1024.0,
            min_rise_byte_share: 0.02,
        }
    }
}

/// Judges one process by its window.
pub fn judge(window: &Window, bounds: &Bounds, thresholds: &Thresholds) -> Judgement {
    judge_with(window, &Ladder::default(), bounds, thresholds)
}

/// The same, by what the horizons say of its history as well.
pub fn judge_with(window: &Window, ladder: &Ladder, bounds: &Bounds, thresholds: &Thresholds) -> Judgement {
    let outcomes = [
        descriptors::judge(window, thresholds),
        connections::judge(window, thresholds),
        threads::judge(window, thresholds),
        children::judge(window, thresholds),
        mappings::judge(window, thresholds),
        goroutines::judge(window, thresholds),
        memory::judge(window, bounds, thresholds),
    ];
    let mut outcomes = outcomes.into_iter().flatten().collect();
    ladder.amend(&mut outcomes);
    glance::amend(&mut outcomes, window, bounds, &glance::Settings::default());
    doubts::withhold(&mut outcomes, window, bounds);
    let mut judgement = attribute::weigh(outcomes, window, bounds);
    judgement.readings = readings::of(window, &judgement.steady, thresholds);
    corroborate::corroborate(&mut judgement.findings, window.captures());
    doubts::lower(&mut judgement.findings, window.captures());
    judgement.lacking.extend(doubts::told(window.captures()));
    standstill::withhold(&mut judgement, window);
    judgement.levels = levels::of(window, bounds);
    judgement
}

impl Outcome {
    /// The outcome for a kind whose own series ran this course; `detail` and further evidence are asked for only
    /// where it grows.
    fn of(kind: Kind, course: growth::Course, describe: impl FnOnce(&mut Finding)) -> Outcome {
        match course {
            growth::Course::Grows(growth) => {
                let mut finding = Finding {
                    kind,
                    primary: false,
                    consequence_of: None,
                    confidence: growth.confidence,
                    rate: growth.rate,
                    exhausts: None,
                    detail: Detail::default(),
                    culprits: Vec::new(),
                    evidence: growth.evidence,
                };
                describe(&mut finding);
                Outcome::Leaks(finding)
            }
            growth::Course::Steady(why) => Outcome::Steady(Steady { kind, why }),
            growth::Course::Undecided(why) => Outcome::Undecided(Undecided { kind, why }),
        }
    }
}
