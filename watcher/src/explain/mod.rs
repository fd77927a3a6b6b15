//! Puts a [`Judgement`] into words: what, how fast, how we know, what was ruled out, what cannot be seen, what to
//! do next.
//!
//! Plain sentences and plain values. Nothing here knows terminals or JSON; [`crate::report`] knows nothing else.

mod advice;
mod ended;
mod endpoint;
mod finding;
mod glance;
mod levels;
mod memory;
mod since;
mod story;
mod survivors;
mod time_left;
mod unnoticed;
mod unseen;
mod verdicts;
pub mod words;

pub use crate::judge::readings::Reading;
pub use crate::judge::{Culprit, Frame, Kind, LimitName, Unit, Verdict};
pub use crate::sample::ledger::{Accounts, Route};
pub use crate::sample::pulls::{EndpointUse, PullCost};
pub use ended::{Ended, at_the_end, explain_ended, filling};
pub use levels::{Holder, Level};
pub use memory::{MemoryBalance, Part, anatomy};
pub use story::{Life, Story};

use crate::judge::{Gap, Judgement, Lacking, What};
use crate::process::{Container, Target};
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

/// Explains a judgement. `unseen` is what the caller knows to be missing for every process.
pub fn explain(judgement: &Judgement, target: &Target, unseen: &[Unseen]) -> Diagnosis {
    let findings: Vec<Finding> = judgement.findings.iter().map(finding::explain).collect();
    let suspected: Vec<Suspected> = judgement.suspected.iter().map(finding::suspected).collect();
    let ruled_out = judgement.steady.iter().map(verdicts::ruled_out).collect();
    let undecided: Vec<Undecided> = judgement.undecided.iter().map(verdicts::undecided).collect();
    let knows_why = judgement.lacking.iter().any(|one| matches!(one, Lacking::Runtime { .. }));
    let mut missing: Vec<Unseen> = judgement
        .gaps
        .iter()
        .filter(|gap| gap.what != What::Runtime || (target.go.is_some() && !knows_why && is_unread(gap)))
        .map(unseen::of_gap)
        .collect();
    // Of one that could not be read nobody knows what it is.
    if target.go.is_none() && !knows_why {
        missing.push(unseen::not_go(target));
    }
    missing.extend(unseen.iter().cloned());
    missing.extend(judgement.lacking.iter().map(unseen::of_capture));
    missing.extend(judgement.endpoint.iter().flat_map(endpoint::unseen));
    let levels: Vec<Level> =
        judgement.levels.iter().map(|level| levels::explain(level, target.id.pid)).collect();
    let mut next_steps = verdicts::next_steps(judgement, target.id.pid);
    if judgement.verdict != Verdict::Leak {
        let near = levels.iter().filter(|level| level.is_near);
        next_steps.splice(0..0, near.map(|level| level.advice.clone()));
    }
    Diagnosis {
        process: process(target, judgement),
        window_seconds: judgement.window_seconds,
        samples: judgement.samples,
        verdict: judgement.verdict,
        headline: levels::headline(
            judgement.verdict,
            verdicts::headline(judgement, &findings, &suspected),
            &levels,
        ),
        need_seconds: verdicts::waiting_time(judgement).filter(|_| judgement.findings.is_empty()),
        next_steps,
        findings,
        suspected,
        ruled_out,
        readings: judgement.readings.clone(),
        undecided,
        memory: memory_of(judgement),
        endpoint: judgement.endpoint.clone(),
        unnoticed: unnoticed::sentence(judgement),
        unseen: missing,
        story: judgement.story.as_ref().map(story::explain),
        ended: None,
        levels,
    }
}

/// The runtime is attached to after the first samples: what lacks those alone was seen.
fn is_unread(gap: &Gap) -> bool {
    gap.denied > 0 || gap.failed > 0 || gap.unsupported * 10 > gap.samples
}

/// By what was measured mapping by mapping, or else by totals.
fn memory_of(judgement: &Judgement) -> Option<MemoryBalance> {
    let by_totals = || {
        let memory = judgement.memory.as_ref()?;
        Some(memory::balance(memory, judgement.runtime.as_ref(), judgement.mapped_bytes))
    };
    judgement.anatomy.as_ref().map(anatomy).or_else(by_totals)
}

fn process(target: &Target, judgement: &Judgement) -> Process {
    Process {
        pid: target.id.pid,
        name: target.name.clone(),
        started: target.started,
        sampled: judgement.sampled.map(|moment| moment.wall),
        exe: target.exe.clone(),
        go_version: target.go.as_ref().map(|go| go.version.clone()),
        module: target.go.as_ref().and_then(|go| go.module_path()).map(str::to_owned),
        container: target.container.clone(),
        restarts: target.lineage.restarts,
    }
}

#[cfg(test)]
pub(crate) mod tests;
