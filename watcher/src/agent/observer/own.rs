//! What the observer can say of itself: what it takes, what it lost, whom it leaves out.

use super::super::beats::Due;
use super::Observer;
use crate::vocabulary::health::{LeftOut, Losses};

impl Observer {
    /// Takes note of how the next beat stands to when it was due.
    pub(in crate::agent) fn note_due(&mut self, due: Due) {
        self.losses.late_beats += u64::from(due.is_late);
        self.losses.missed_beats += due.missed;
        self.missed += due.missed;
    }

    /// Memory of our programs and maps in the kernel, those of the ledgers included.
    pub fn kernel_bytes(&self) -> Option<u64> {
        let ledgers = self.watches.memory_bytes().unwrap_or(0);
        self.kernel.memory_bytes().map(|bytes| bytes + ledgers)
    }

    /// Our own resident set.
    pub fn own_rss_bytes(&self) -> Option<u64> {
        let own = self.proc.open(std::process::id().cast_signed()).into_seen()?;
        own.status().into_seen()?.memory.map(|memory| memory.rss_bytes())
    }

    /// Processes for which there was no place, by user.
    pub fn left_out(&self) -> Vec<LeftOut> {
        let left_out = self.discovery.left_out();
        left_out.into_iter().map(|(uid, processes)| LeftOut { uid, processes }).collect()
    }

    /// Whether `/proc` hides processes of other users from us.
    pub fn hides_processes(&self) -> bool {
        self.host.hides_processes()
    }

    /// What was lost so far.
    pub fn losses(&self) -> Losses {
        Losses { lifecycle_events: self.kernel.lost_events().unwrap_or(0), ..self.losses }
    }
}
