//! One beat of the sweep: what it is about, and what came of it.

use crate::observed::Sample;
use crate::vocabulary::process::Limits;
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::Stamped;
use std::time::Duration;

/// What one beat is about.
#[derive(Clone, Copy, Debug)]
pub struct Beat<'a> {
    /// Its number.
    pub number: u64,
    /// Every so many beats details are due, even where the number of descriptors is the same.
    pub refresh_every: u64,
    /// The processes.
    pub targets: &'a [Target],
    /// Their numbers of descriptors.
    pub counts: &'a [Stamped<u64>],
    /// Descriptors that may be looked at because it is due.
    pub budget: u64,
    /// Descriptors that may be looked at even so, as long as the budget has room: on a host with few of them every
    /// beat shows them all.
    pub spare_budget: u64,
}

impl Beat<'_> {
    /// The last beat in which this process was to be refreshed. It differs from process to process, or else all
    /// that were found in the same beat would be due together for ever.
    pub fn last_refresh(&self, id: ProcessId) -> u64 {
        let every = self.refresh_every.max(1);
        self.number.saturating_sub((self.number + u64::from(id.pid.unsigned_abs())) % every)
    }
}

/// What one sweep brought.
#[derive(Debug)]
pub struct Sweep {
    /// One sample per target, in the order of the targets.
    pub samples: Vec<Sample>,
    /// Limits of the targets whose turn it was and whose limits are no longer those in [`Target::limits`].
    pub limits: Vec<(ProcessId, Limits)>,
    /// What it lost, and what it cost.
    pub report: SweepReport,
}

/// What a sweep lost, and what it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Targets of the sweep.
    pub processes: u64,
    /// Targets that had left.
    pub gone: u64,
    /// Targets that could not be read, see [`Reading::Failed`].
    pub failed: u64,
    /// Targets of which at least one reading was denied.
    pub denied: u64,
    /// Tasks, or where `/proc` served them processes, that the pass over the host's tasks visited.
    pub tasks_visited: u64,
    /// Descriptors that were looked at, those of other processes in the same pass included.
    pub descriptors_visited: u64,
    /// Targets whose descriptors were looked at.
    pub details_read: u64,
    /// Targets whose descriptors were due and have to wait for a later beat.
    pub details_deferred: u64,
    /// Sockets that were counted and not looked at, see [`super::descriptors::MAX_SOCKETS`].
    pub sockets_beyond: u64,
    /// The kernel's own table served the tasks.
    pub tasks_by_kernel: bool,
    /// The kernel's own tables served the descriptors.
    pub descriptors_by_kernel: bool,
    /// CPU time of the thread that swept.
    pub cpu: Duration,
    /// Time from its begin to its end.
    pub wall: Duration,
}
