//! Processes that have ended: what was seen of them until then, judged before it is dropped.

use crate::judge::horizons::ladder::Ladder;
use crate::judge::judgement::Judgement;
use crate::store::Window;
use crate::vocabulary::process::Target;
use std::sync::Arc;

/// Endings that wait to be told: what ends beyond that between two looks is told without a verdict.
const MOST: usize = 256;

/// One process that has ended, or runs another program now.
#[derive(Debug)]
pub struct Ending {
    /// The process.
    pub target: Arc<Target>,
    /// What it was judged to be by all that was seen of it.
    pub judgement: Judgement,
    /// What was seen.
    pub window: Window,
    /// What the horizons said.
    pub ladder: Ladder,
}

/// Of which processes the ending is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Judged {
    /// Of none.
    #[default]
    Nobody,
    /// Of those in which something seemed to grow.
    Rising,
    /// Of all.
    Everybody,
}

/// Endings since they were taken last.
#[derive(Debug, Default)]
pub(super) struct Endings {
    judged: Judged,
    kept: Vec<Ending>,
}

impl Endings {
    /// From now on judges the endings of these.
    pub fn judge(&mut self, judged: Judged) {
        self.judged = judged;
    }

    /// Whether the ending of a process is to be judged, in which something seemed to grow or nothing did.
    pub fn wants(&self, is_rising: impl FnOnce() -> bool) -> bool {
        let wanted = match self.judged {
            Judged::Nobody => false,
            Judged::Rising => is_rising(),
            Judged::Everybody => true,
        };
        wanted && self.kept.len() < MOST
    }

    /// Keeps one until it is taken.
    pub fn keep(&mut self, ending: Ending) {
        self.kept.push(ending);
    }

    /// Those since the last time.
    pub fn take(&mut self) -> Vec<Ending> {
        std::mem::take(&mut self.kept)
    }
}
