//! What the judge says of one process.

use crate::judge::series::growth;
use crate::judge::terms::LimitName;
use crate::judge::terms::{Exhaustion, Kind, LedgerName, Rate, Verdict};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::gaps::Gap;
use crate::judge::weigh::reasons::{Steady, Undecided};
use crate::observed::anatomy::Anatomy;
use crate::observed::connections::Peer;
use crate::observed::doubts::Doubt;
use crate::observed::go_counters::GoCounters;
use crate::observed::ledger::{Accounts, Route};
use crate::observed::memory::Memory;
use crate::observed::pulls::EndpointUse;
use crate::store::lives::Total;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::reading::Moment;
use crate::vocabulary::socket::{Family, SocketState};
use std::net::SocketAddr;
use std::time::SystemTime;

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
    pub readings: Vec<Reading>,
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
    pub story: Option<Story>,
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
    Running(Standstill),
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

impl Outcome {
    /// The outcome for a kind whose own series ran this course; `detail` and further evidence are asked for only
    /// where it grows.
    pub(in crate::judge) fn of(
        kind: Kind,
        course: growth::Course,
        describe: impl FnOnce(&mut Finding),
    ) -> Outcome {
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

/// One kind in the window, in the unit of the kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// Which.
    pub kind: Kind,
    /// At the window's begin.
    pub first: f64,
    /// At its end.
    pub last: f64,
    /// The least.
    pub low: f64,
    /// The most.
    pub high: f64,
    /// The fastest leak that may have gone unnoticed, per second; `None` where the kind was not ruled out.
    pub unnoticed_per_second: Option<f64>,
}

/// What the lives of one program show together.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// What rises in each of them.
    pub total: Total,
    /// The lives, the present one last.
    pub chapters: Vec<Chapter>,
    /// Seconds from start to end of the ended lives: the median.
    pub typical_seconds: f64,
    /// Growth per second over all lives that rise; the interval is that of the lives.
    pub rate: Rate,
    /// When the present life reaches the limit at which the others ended.
    pub exhausts: Option<Exhaustion>,
    /// Since which build it is so, where earlier lives were of another one and ran otherwise.
    pub changed: Option<Change>,
    /// It shows growth that the present life by itself does not.
    pub accuses: bool,
}

/// One life.
#[derive(Clone, Debug, PartialEq)]
pub struct Chapter {
    /// When the process started.
    pub started: SystemTime,
    /// Seconds from its start to its last sample.
    pub seconds: f64,
    /// Level at its first sample.
    pub from: f64,
    /// Level at its last.
    pub to: f64,
    /// Growth per second; `None` where it did not rise, or was too short to tell.
    pub rate: Option<Rate>,
    /// Too short to tell.
    pub is_short: bool,
    /// Which build it was.
    pub(in crate::judge) build: u64,
    /// Seconds between the end of the life before and the start of this one.
    pub(in crate::judge) pause: Option<f64>,
}

/// Another build brought another pace.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When the first life of the present build started.
    pub since: SystemTime,
    /// What people call the build.
    pub build_name: Option<String>,
    /// Median growth per second before; nothing where it did not rise.
    pub before: f64,
    /// ... and since.
    pub after: f64,
}

/// What keeps a process from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standstill {
    /// All its threads are stopped, by a signal (`SIGSTOP`) or by a debugger.
    Stopped,
    /// Its cgroup is frozen.
    Frozen,
}

/// One limit and how much of it is used.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// Which limit.
    pub limit: LimitName,
    /// What counts against it, in the limit's own unit.
    pub value: u64,
    /// The limit itself.
    pub of: u64,
    /// What this process itself holds of a limit that others draw on as well; `None` where it is the process's alone,
    /// or where that is not known.
    pub own: Option<u64>,
    /// To whom the connections are dialled that take ports; `None` for all other limits.
    pub peer: Option<SocketAddr>,
    /// It is nearly reached, and this process has a part in it.
    pub is_near: bool,
    /// Who holds it, those with most first; empty below [`NEAR`](crate::judge::levels::NEAR).
    pub held_by: Vec<Holder>,
}

impl Level {
    /// Used part of the limit: 1 where it is reached, more where it was lowered since.
    pub fn share(&self) -> f64 {
        self.value as f64 / self.of.max(1) as f64
    }
}

/// Things that count against a limit and have something in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Holder {
    /// What they have in common.
    pub what: Held,
    /// How many they are, in the limit's unit.
    pub count: u64,
    /// Their part of all that is used: 0 to 1.
    pub share: f64,
}

/// What things that count against a limit have in common.
#[derive(Clone, Debug, PartialEq)]
pub enum Held {
    /// This line made them.
    Line(Frame),
    /// Goroutines at this line sit on these threads.
    Sitting(Frame),
    /// Descriptors of a type.
    Type(DescriptorType),
    /// Things that refer to this path, or where it ends in `/*` to what lies below; empty for anonymous memory.
    Path(String),
    /// Sockets in a state, with a peer.
    Sockets {
        /// Their state.
        state: SocketState,
        /// Their other end.
        peer: Peer,
    },
    /// OS threads of this name, of the process itself.
    Threads(String),
    /// OS threads of the process itself, whatever their names.
    OwnThreads,
    /// Children of the process that have exited and were not waited for.
    Zombies,
    /// Live objects on the Go heap.
    LiveHeap,
    /// All that the Go heap holds, garbage included.
    Heap,
    /// Memory of the process outside the Go heap.
    OutsideHeap,
    /// What this process has of what several have.
    Own,
    /// What other processes have.
    Others,
}
