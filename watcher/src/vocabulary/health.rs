//! What we ourselves cannot see, have lost, and cost. Plain values; `agent` fills them in.

use std::time::Duration;

/// One thing that this host and these privileges may or may not let us do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is, a few words.
    pub name: String,
    /// Verdicts are impossible or wrong without it. What is not essential has a lesser route.
    pub essential: bool,
    /// What came of trying.
    pub state: CheckState,
    /// What the user does not get without it, one sentence.
    pub lost: String,
    /// What would bring it, one sentence.
    pub needs: String,
}

/// What came of trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckState {
    /// It works.
    Works,
    /// It works but for exceptions.
    Partly {
        /// One sentence that names them.
        why: String,
    },
    /// It exists and was refused.
    Refused {
        /// One sentence.
        why: String,
    },
    /// This host does not have it.
    Absent {
        /// One sentence.
        why: String,
    },
    /// It was not tried, because something that it builds on does not work.
    NotTried {
        /// One sentence.
        why: String,
    },
}

impl CheckState {
    /// One word for a table.
    pub fn word(&self) -> &'static str {
        match self {
            CheckState::Works => "works",
            CheckState::Partly { .. } => "partly",
            CheckState::Refused { .. } => "refused",
            CheckState::Absent { .. } => "absent",
            CheckState::NotTried { .. } => "not tried",
        }
    }

    /// Why it does not work; `None` where it does.
    pub fn why(&self) -> Option<&str> {
        match self {
            CheckState::Works => None,
            CheckState::Partly { why }
            | CheckState::Refused { why }
            | CheckState::Absent { why }
            | CheckState::NotTried { why } => Some(why),
        }
    }
}

/// Whether everything works without which verdicts are impossible or wrong, exceptions aside.
pub fn all_essential_work(checks: &[Check]) -> bool {
    let works = |state: &CheckState| matches!(state, CheckState::Works | CheckState::Partly { .. });
    checks.iter().filter(|check| check.essential).all(|check| works(&check.state))
}

/// What the agent itself has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct OwnCost {
    /// CPU time of all our threads and of our readers.
    pub cpu_time: Duration,
    /// Our resident set, and that of our reader.
    pub rss_bytes: Option<u64>,
    /// Memory of our programs and maps in the kernel.
    pub kernel_bytes: Option<u64>,
}

/// Processes of one user for which there was no place among those that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Effective user id; `None` where it could not be read.
    pub uid: Option<u32>,
    /// How many.
    pub processes: u64,
}

/// A process of which something does not answer, so that it could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unanswered {
    /// Its pid.
    pub pid: i32,
    /// Its name, printable form.
    pub name: String,
    /// What does not answer and where it lies, as far as that is known: the rest of a sentence.
    pub why: String,
}

/// What was lost on the way, summed up since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Starts and ends of processes that the kernel could not hand over.
    pub lifecycle_events: u64,
    /// Beats that began more than a quarter of the interval after they were due.
    pub late_beats: u64,
    /// Beats that were due and not taken at all: watcher itself stood still, or a beat took longer than the interval.
    pub missed_beats: u64,
    /// Looks at single processes that came to nothing for want of descriptors or memory, or since a device failed.
    pub failed_looks: u64,
    /// Processes whose files a scan had no time for: a later one looks at them.
    pub put_off_processes: u64,
    /// Processes that could not be watched because [`crate::agent`] watches no more than its bound.
    pub unwatched_processes: u64,
}

impl Losses {
    /// Whether anything is missing that was not missing in `before`.
    pub fn is_more_than(&self, before: &Losses) -> bool {
        self.lifecycle_events > before.lifecycle_events
            || self.missed_beats > before.missed_beats
            || self.failed_looks > before.failed_looks
            || self.put_off_processes > before.put_off_processes
    }

    /// The counts of what [`Losses::is_more_than`] looks at, in one order.
    pub fn kinds(&self) -> [u64; 4] {
        [self.lifecycle_events, self.missed_beats, self.failed_looks, self.put_off_processes]
    }
}
