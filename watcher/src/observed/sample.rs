//! What was read of one process in one beat: totals as they were read, no arithmetic.

use super::cgroup::CgroupUsage;
use super::children::Children;
use super::connections::Connections;
use super::descriptors::DescriptorTypes;
use super::go_counters::GoCounters;
use super::memory::Memory;
use super::quotas::Quotas;
use super::threads::ThreadGroups;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::{Moment, Stamped};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was read of one process in one beat.
///
/// The details behind an `Arc` are shared with earlier samples while nothing has made a new read due: their
/// `at` then lies before the sample's.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sample {
    /// Whose sample it is.
    pub process: ProcessId,
    /// When the sweep came to this process.
    pub at: Moment,
    /// Beats that were due since the one before and were not taken: watcher itself stood still, or was too slow.
    #[serde(default, skip_serializing_if = "is_none_missed")]
    pub missed_beats: u64,
    /// RSS by kind, swap, page tables.
    pub memory: Stamped<Memory>,
    /// Number of mappings (VMAs).
    pub mappings: Stamped<u64>,
    /// Number of OS threads.
    pub threads: Stamped<u64>,
    /// OS threads by name and state.
    pub thread_groups: Arc<Stamped<ThreadGroups>>,
    /// Number of open descriptors.
    pub descriptors: Stamped<u64>,
    /// Open descriptors by type.
    pub descriptor_types: Arc<Stamped<DescriptorTypes>>,
    /// Sockets by family, state and peer.
    pub connections: Arc<Stamped<Connections>>,
    /// Children that have exited and were not waited for, and children that run.
    pub children: Stamped<Children>,
    /// Usage and limits of its cgroup.
    pub cgroup: Stamped<CgroupUsage>,
    /// Goroutines, live heap and collections, as the Go runtime counts them.
    pub runtime: Stamped<GoCounters>,
    /// What it takes of limits that it shares with others, and what most of a nearly full table is.
    #[serde(default = "not_read")]
    pub quotas: Arc<Stamped<Quotas>>,
}

fn is_none_missed(beats: &u64) -> bool {
    *beats == 0
}

fn not_read() -> Arc<Stamped<Quotas>> {
    Arc::new(Stamped::not_read())
}
