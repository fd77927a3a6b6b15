//! The agent's JSON as its users may rely on it. A field that is renamed or leaves fails to parse here.

use serde::Deserialize;
use std::path::PathBuf;

/// The answer of `watcher list --format json`.
#[derive(Debug, Deserialize)]
pub struct List {
    /// `watcher.list/1`.
    pub schema: String,
    /// Every Go process.
    pub processes: Vec<ListedProcess>,
}

/// One Go process in a list.
#[derive(Debug, Deserialize)]
pub struct ListedProcess {
    /// Process id.
    pub pid: u32,
    /// When it started: RFC 3339.
    pub start_time: String,
    /// Its executable; `None` where it could not be read.
    pub exe: Option<PathBuf>,
    /// `comm`, printable.
    pub name: String,
    /// Such as `go1.26.6`.
    pub go_version: Option<String>,
    /// Main module.
    pub module: Option<String>,
    /// Its version, `(devel)` for a local build.
    pub module_version: Option<String>,
    /// Id of its container.
    pub container: Option<String>,
}

/// The answer of `watcher diagnose --format json`.
#[derive(Debug, Deserialize)]
pub struct Diagnosis {
    /// `watcher.diagnosis/1`.
    pub schema: String,
    /// Whom it is about.
    pub process: DiagnosedProcess,
    /// Length of the window.
    pub window_seconds: f64,
    /// How often it was looked at.
    pub samples: u64,
    /// `leak`, `healthy` or `inconclusive`.
    pub verdict: String,
    /// The verdict in one sentence.
    pub headline: String,
    /// What leaks.
    pub findings: Vec<Finding>,
    /// What may leak, and is not proven to; empty for agents that do not say it.
    #[serde(default)]
    pub suspected: Vec<Suspected>,
    /// What does not, and why.
    pub steady: Vec<Steady>,
    /// What its memory is made of; `None` where that could not be read.
    pub memory: Option<Memory>,
    /// What was not looked at, and why.
    pub unseen: Vec<Unseen>,
    /// What earlier lives of the program show together with this one.
    pub story: Option<Story>,
    /// A limit is nearly reached.
    pub near_limit: bool,
    /// How full its limits are, the fullest first.
    pub levels: Vec<Level>,
}

/// How full a limit is.
#[derive(Debug, Deserialize)]
pub struct Level {
    /// Such as `RLIMIT_NOFILE`.
    pub limit: String,
    /// `fds`, `bytes`, …
    pub unit: String,
    /// What counts against it.
    pub value: u64,
    /// The limit.
    pub of: u64,
    /// The used part: 1 where it is reached.
    pub share: f64,
    /// What the process itself holds of a limit that others draw on as well.
    pub own: Option<u64>,
    /// It is nearly reached, and the process has a part in it.
    pub near: bool,
    /// Who holds it, where it is nearly reached.
    pub held_by: Vec<Holder>,
}

/// Things that count against a limit and have something in common.
#[derive(Debug, Deserialize)]
pub struct Holder {
    /// What they have in common.
    pub what: String,
    /// The function that made them, where it is known.
    pub function: Option<String>,
    /// Its source file.
    pub file: Option<String>,
    /// Its line.
    pub line: Option<u32>,
    /// How many they are.
    pub count: u64,
    /// Their part of what is used: 0 to 1.
    pub share: f64,
}

/// The answer of `watcher replay --every TIME --format json`.
#[derive(Debug, Deserialize)]
pub struct Replay {
    /// `watcher.replay/1`.
    pub schema: String,
    /// The verdicts on the way, first to last.
    pub steps: Vec<Step>,
}

/// A verdict on the way.
#[derive(Debug, Deserialize)]
pub struct Step {
    /// Seconds since the begin of the recording.
    pub seconds: f64,
    /// `leak`, `healthy` or `inconclusive`.
    pub verdict: String,
    /// Kind of the primary finding.
    pub kind: Option<String>,
}

/// The process of a diagnosis.
#[derive(Debug, Deserialize)]
pub struct DiagnosedProcess {
    /// Process id.
    pub pid: u32,
    /// When it started: RFC 3339.
    pub start_time: String,
    /// Such as `go1.26.6`.
    pub go_version: Option<String>,
    /// Main module.
    pub module: Option<String>,
}

/// One resource that does not leak.
#[derive(Debug, Deserialize)]
pub struct Steady {
    /// `fd`, `connection`, `thread`, `child`, `mapping`, …
    pub kind: String,
    /// In a sentence.
    pub why: String,
}

/// One resource that leaks.
#[derive(Debug, Deserialize)]
pub struct Finding {
    /// `fd`, `connection`, `thread`, `child`, `mapping`, …
    pub kind: String,
    /// It is the cause.
    pub primary: bool,
    /// The kind of the cause where it is not.
    pub consequence_of: Option<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// Growth, in `unit`.
    pub rate_per_second: f64,
    /// `fds`, `connections`, …
    pub unit: String,
    /// The limit that bites first.
    pub exhausts: Option<Exhaustion>,
    /// What the growing ones have in common.
    pub detail: Detail,
    /// The lines that did it.
    pub culprits: Vec<Culprit>,
    /// How we know, in sentences.
    pub evidence: Vec<String>,
}

/// One resource that may leak.
#[derive(Debug, Deserialize)]
pub struct Suspected {
    /// What it would be.
    #[serde(flatten)]
    pub finding: Finding,
    /// Seconds of watching after which there will be an answer.
    pub decides_in_seconds: Option<f64>,
}

/// A line of code that did it.
#[derive(Debug, Deserialize)]
pub struct Culprit {
    /// Its function.
    pub function: String,
    /// Its source file, as the compiler recorded it.
    pub file: String,
    /// Its number.
    pub line: u32,
    /// Its part of the growth: 0 to 1.
    pub share: f64,
}

/// When a limit is reached.
#[derive(Debug, Deserialize)]
pub struct Exhaustion {
    /// Such as `RLIMIT_NOFILE`.
    pub limit: String,
    /// Seconds from the last sample.
    pub in_seconds: f64,
    /// The soonest that is plausible.
    pub low: f64,
    /// The latest; `None` where growth may as well be near zero.
    pub high: Option<f64>,
}

/// What the lives of a program show together, across its restarts.
#[derive(Debug, Deserialize)]
pub struct Story {
    /// What rises in each life: `memory`, `descriptors`, …
    pub total: String,
    /// Seconds from start to end of the ended lives: the median.
    pub typical_seconds: f64,
    /// When the present life reaches the limit.
    pub exhausts: Option<Exhaustion>,
    /// The lives, the present one last.
    pub lives: Vec<Life>,
}

/// One life of a program.
#[derive(Debug, Deserialize)]
pub struct Life {
    /// Seconds from its start to its last sample.
    pub seconds: f64,
    /// Level at its first sample.
    pub from: f64,
    /// Level at its last.
    pub to: f64,
}

/// What the growing ones have in common.
#[derive(Debug, Default, Deserialize)]
pub struct Detail {
    /// Socket state.
    pub state: Option<String>,
    /// Peer address.
    pub peer: Option<String>,
    /// Type of descriptor.
    pub fd_type: Option<String>,
}

/// What resident memory is made of.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Memory {
    /// All of it.
    pub rss_bytes: u64,
    /// What of it nothing explains.
    pub unexplained_bytes: u64,
}

/// What was not looked at.
#[derive(Debug, Deserialize)]
pub struct Unseen {
    /// Which part of the picture is missing.
    pub what: String,
    /// Why.
    pub why: String,
}

/// The answer of `watcher bench-sweep`.
#[derive(Debug, Deserialize)]
pub struct SweepCosts {
    /// Processes in each sweep.
    pub processes: usize,
    /// CPU time until every runtime was attached to, once per process.
    pub settling_cpu_milliseconds: f64,
    /// CPU time of each sweep after that, in order.
    pub cpu_milliseconds: Vec<f64>,
}

/// One line of the answer of `watcher bench-goroutines`.
#[derive(Debug, Deserialize)]
pub struct GoroutineReading {
    /// How long finding the runtime took, once for all lines.
    pub attach_milliseconds: f64,
    /// How long this reading took.
    pub milliseconds: f64,
    /// Goroutines that live.
    pub live: u64,
    /// Goroutines that had to be read again because they changed meanwhile.
    pub retried: u64,
    /// Those of them of which no consistent copy could be had.
    pub given_up: u64,
    /// Goroutines that ran on a processor each time.
    pub running: u64,
    /// Stacks whose walk ended early.
    pub incomplete: u64,
    /// Goroutines whose structure or stack could not be read.
    pub unreadable: u64,
    /// Goroutines that are alike.
    pub groups: Vec<ReadGroup>,
}

/// Goroutines that are alike, in a [`GoroutineReading`].
#[derive(Debug, Deserialize)]
pub struct ReadGroup {
    /// How many.
    pub count: u64,
    /// What became of their stacks: `complete` or not.
    pub reading: String,
    /// Functions, innermost first, with semicolons between them.
    pub stack: String,
}

impl List {
    /// The process with that pid.
    pub fn process(&self, pid: u32) -> Option<&ListedProcess> {
        self.processes.iter().find(|process| process.pid == pid)
    }
}

impl Diagnosis {
    /// The level of a limit, where it is known.
    pub fn level(&self, limit: &str) -> Option<&Level> {
        self.levels.iter().find(|level| level.limit == limit)
    }

    /// The cause, where there is one.
    pub fn primary(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.primary)
    }
}
