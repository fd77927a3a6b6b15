//! What the agent tells while it runs. Plain values: `agent` makes them, `report` puts them into text or JSON.

use crate::explain::diagnosis::{Diagnosis, Process, Suspected};
use crate::explain::{Kind, Level};
use crate::vocabulary::health::{LeftOut, Losses, OwnCost, Unanswered};
use crate::vocabulary::process::Target;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// One piece of news.
#[derive(Clone, Debug)]
pub struct News {
    /// When it was told.
    pub at: SystemTime,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum What {
    /// The processes that are watched from the start, and how many may not be read.
    Began {
        /// The processes.
        targets: Vec<Target>,
        /// Processes of which it is unknown whether they are Go.
        denied: u64,
        /// Processes for which there was no place.
        left_out: Vec<LeftOut>,
    },
    /// A process came.
    Came(Arc<Target>),
    /// A process left, or runs another program now.
    Left {
        /// The process.
        target: Arc<Target>,
        /// How what leaked in it stood in its last sample; `None` where nothing was known to leak.
        at_the_end: Option<String>,
    },
    /// A process is watched no longer although it is there: processes of other users needed the place.
    LeftOut(Arc<Target>),
    /// The verdict on a process is another one than before, or the first.
    Verdict(Box<Diagnosis>),
    /// Something in a process may leak; told once.
    Suspected(Box<Suspicion>),
    /// A process is about to reach a limit, whatever fills it.
    Filling(Box<Filling>),
    /// A limit of a process is nearer than it was told before.
    Level(Box<Nearing>),
    /// How the agent itself is doing: about once a minute.
    Health(Health),
}

/// Something that may leak.
#[derive(Clone, Debug)]
pub struct Suspicion {
    /// In which process.
    pub process: Process,
    /// What, where, and how that is known.
    pub suspected: Suspected,
    /// When more of it will have been seen, so that it can be decided; `None` where time alone does not.
    pub decided_by: Option<SystemTime>,
}

impl Suspicion {
    /// One of those that a diagnosis made at `now` holds.
    pub fn of(diagnosis: &Diagnosis, suspected: &Suspected, now: SystemTime) -> Self {
        let more = suspected.need_seconds.map(|seconds| (seconds - diagnosis.window_seconds).max(0.0));
        let more = more.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Suspicion {
            process: diagnosis.process.clone(),
            suspected: suspected.clone(),
            decided_by: more.and_then(|more| now.checked_add(more)),
        }
    }
}

/// What is about to be full.
#[derive(Clone, Debug, PartialEq)]
pub struct Filling {
    /// Pid of the process.
    pub pid: i32,
    /// Its name.
    pub name: String,
    /// What fills: for sockets and files all descriptors.
    pub kind: Kind,
    /// How many there are.
    pub level: f64,
    /// How many there can be.
    pub limit: f64,
    /// How many more there are each second.
    pub per_second: f64,
    /// Seconds until it is full at this pace.
    pub seconds_left: f64,
    /// All of that in one sentence's part.
    pub text: String,
}

/// How the agent itself is doing.
#[derive(Clone, Debug)]
pub struct Health {
    /// Processes that are watched.
    pub watched: usize,
    /// Processes whose ledgers are watched.
    pub in_ledgers: usize,
    /// Processes whose verdict is a leak.
    pub leaking: usize,
    /// CPU time of the last sweep.
    pub sweep_cpu: Duration,
    /// What was lost since the start.
    pub losses: Losses,
    /// Processes that are not watched now, because there was no place for them.
    pub left_out: Vec<LeftOut>,
    /// What the agent used since the start.
    pub cost: OwnCost,
    /// How long it has run.
    pub uptime: Duration,
    /// Processes that could not be read because something of them does not answer.
    pub unanswered: Vec<Unanswered>,
    /// Our own readers that wait for them.
    pub stuck_readers: usize,
}

/// A limit that a process comes near to.
#[derive(Clone, Debug)]
pub struct Nearing {
    /// The process.
    pub target: Target,
    /// The limit, and who holds it.
    pub level: Level,
    /// The part that has been passed: 0.8, 0.9 or 0.95.
    pub passed: f64,
}
