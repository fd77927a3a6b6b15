//! What the agent tells while it runs. Plain values: `agent` makes them, `report` puts them into text or JSON.

use crate::explain::Diagnosis;
use crate::health::{Losses, OwnCost};
use crate::process::Target;
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
    },
    /// A process came.
    Came(Arc<Target>),
    /// A process left, or runs another program now.
    Left(Arc<Target>),
    /// The verdict on a process is another one than before, or the first.
    Verdict(Box<Diagnosis>),
    /// How the agent itself is doing: about once a minute.
    Health(Health),
}

/// How the agent itself is doing.
#[derive(Clone, Copy, Debug)]
pub struct Health {
    /// Processes that are watched.
    pub watched: usize,
    /// Processes whose verdict is a leak.
    pub leaking: usize,
    /// CPU time of the last sweep.
    pub sweep_cpu: Duration,
    /// What was lost since the start.
    pub losses: Losses,
    /// What the agent used since the start.
    pub cost: OwnCost,
    /// How long it has run.
    pub uptime: Duration,
}
