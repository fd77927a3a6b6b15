//! What is told of one process: plain values, with the sentences in them.

use super::levels::Level;
use super::memory::MemoryBalance;
use super::words::duration;
use crate::judge::judgement::{Culprit, Reading};
use crate::judge::terms::{Kind, Verdict};
use crate::observed::pulls::EndpointUse;
use crate::vocabulary::process::Container;
use std::path::PathBuf;
use std::time::SystemTime;

/// The verdict on one process, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Whose it is.
    pub process: Process,
    /// Seconds that were watched.
    pub window_seconds: f64,
    /// Samples taken in them.
    pub samples: usize,
    /// The verdict over all kinds.
    pub verdict: Verdict,
    /// The verdict in one sentence.
    pub headline: String,
    /// What leaks, the cause first.
    pub findings: Vec<Finding>,
    /// What may leak, by too little to accuse.
    pub suspected: Vec<Suspected>,
    /// What does not leak, and how we know.
    pub ruled_out: Vec<RuledOut>,
    /// What each kind was, and what leak of it may have gone unnoticed.
    pub readings: Vec<Reading>,
    /// What could not be decided, and what it would take.
    pub undecided: Vec<Undecided>,
    /// What resident memory is made of, as far as it is read; `None` where it could not be read.
    pub memory: Option<MemoryBalance>,
    /// The process's own endpoint, and what asking it took; `None` where nothing was asked.
    pub endpoint: Option<EndpointUse>,
    /// What leak of the kinds that were ruled out would not have shown, in one sentence; `None` where none was.
    pub unnoticed: Option<String>,
    /// What could not be seen.
    pub unseen: Vec<Unseen>,
    /// Length of the window that should decide all that a longer one can decide, in seconds; `None` where none can.
    pub need_seconds: Option<f64>,
    /// What to do next, in the order in which to do it.
    pub next_steps: Vec<String>,
    /// What the earlier lives of the program show together with this one.
    pub story: Option<Story>,
    /// How it came to its end while it was watched; `None` of a process that was there to the last.
    pub ended: Option<Ended>,
    /// How full its limits are, the fullest first.
    pub levels: Vec<Level>,
}

impl Diagnosis {
    /// A limit is nearly reached, whether or not anything grows.
    pub fn near_limit(&self) -> bool {
        self.levels.iter().any(|level| level.is_near)
    }
}

/// The process that a diagnosis is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its name, printable form.
    pub name: String,
    /// When it started.
    pub started: SystemTime,
    /// When it was sampled last; `None` where it never was.
    pub sampled: Option<SystemTime>,
    /// Its executable.
    pub exe: Option<PathBuf>,
    /// Version of the Go toolchain that built it; `None` for a program that is not Go.
    pub go_version: Option<String>,
    /// Main module, or for programs built without modules the main package.
    pub module: Option<String>,
    /// Container it runs in.
    pub container: Option<Container>,
    /// How often the same program was started before it in the same place, as far as we have seen.
    pub restarts: u32,
}

/// One resource that leaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which resource.
    pub kind: Kind,
    /// The cause; exactly one finding of a diagnosis is.
    pub primary: bool,
    /// The finding that this one merely follows from.
    pub consequence_of: Option<Kind>,
    /// How sure we are: 0 to 1.
    pub confidence: f64,
    /// Growth per second in the kind's unit.
    pub rate_per_second: f64,
    /// When a limit is reached.
    pub exhausts: Option<Exhaustion>,
    /// State of the growing sockets, in the kernel's word.
    pub state: Option<&'static str>,
    /// Their peer.
    pub peer: Option<String>,
    /// Type of the growing descriptors, in one word.
    pub descriptor_type: Option<&'static str>,
    /// Address family of the sockets that grow, where it is one that most have never heard of: netlink, packet or vsock.
    pub family: Option<&'static str>,
    /// The lines of code that did it; empty where no stacks are read.
    pub culprits: Vec<Culprit>,
    /// What grows and how fast, in one sentence.
    pub headline: String,
    /// How long it can go on, in one sentence; `None` where no limit is known.
    pub time_left: Option<String>,
    /// How we know, a sentence each.
    pub evidence: Vec<String>,
}

/// One resource that may leak, and what would decide it.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspected {
    /// What would be found.
    pub finding: Finding,
    /// Length of the window that should decide it, in seconds, where a longer one helps.
    pub need_seconds: Option<f64>,
    /// Its headline says how it is known.
    pub says_why: bool,
}

/// When a limit is reached if growth goes on as it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhaustion {
    /// The limit as the system calls it.
    pub limit: &'static str,
    /// Seconds from the last sample.
    pub in_seconds: f64,
    /// The soonest that is plausible.
    pub low_seconds: f64,
    /// The latest; `None` where growth may as well be near zero.
    pub high_seconds: Option<f64>,
}

/// A kind that does not leak.
#[derive(Clone, Debug, PartialEq)]
pub struct RuledOut {
    /// Which.
    pub kind: Kind,
    /// How we know, in one sentence.
    pub why: String,
    /// The same in a few words.
    pub phrase: String,
}

/// A kind of which nothing can be said yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Undecided {
    /// Which.
    pub kind: Kind,
    /// What is missing, in one sentence.
    pub why: String,
    /// The kind in a few words.
    pub phrase: &'static str,
    /// What is missing without what it is missing of: the same for all kinds that lack the same.
    pub reason: String,
    /// Length of the window that should decide it, in seconds, where a longer one helps.
    pub need_seconds: Option<f64>,
}

/// Something that could not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// What.
    pub what: String,
    /// Why not, and what would bring it.
    pub why: String,
    /// It is the same for every process of this host.
    pub is_of_host: bool,
}

/// What the lives of one program show together.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// It in sentences.
    pub text: String,
    /// What rises in each life, in a word: `memory`, `descriptors`, `goroutines`.
    pub total: &'static str,
    /// Seconds from start to end of the ended lives: the median.
    pub typical_seconds: f64,
    /// Growth per second over all lives that rise.
    pub rate_per_second: f64,
    /// When the present life reaches the limit.
    pub exhausts: Option<Exhaustion>,
    /// When the first life of the present build started, where it brought another pace.
    pub changed_since: Option<SystemTime>,
    /// The lives, the present one last.
    pub lives: Vec<Life>,
}

/// One life.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// When the process started.
    pub started: SystemTime,
    /// Seconds from its start to its last sample.
    pub seconds: f64,
    /// Level at its first sample.
    pub from: f64,
    /// Level at its last.
    pub to: f64,
    /// Growth per second; `None` where it did not rise, or was too short to tell.
    pub rate_per_second: Option<f64>,
}

/// How a process came to its end while it was watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Seconds that it was watched.
    pub after_seconds: f64,
    /// Seconds for which it was to be watched; `None` where that had no end.
    pub of_seconds: Option<f64>,
    /// It is there and runs another program now.
    pub runs_another: bool,
}

impl Ended {
    /// One sentence.
    pub fn sentence(&self) -> String {
        let what = if self.runs_another { "began to run another program" } else { "exited" };
        let when = match self.of_seconds {
            Some(of) => format!("{:.0} of {of:.0} s", self.after_seconds),
            None => duration(self.after_seconds),
        };
        format!("It {what} after {when}; this is what was seen until then.")
    }
}
