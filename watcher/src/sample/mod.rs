//! One [`Sample`] per process and beat: totals as they were read, no arithmetic, no memory of earlier samples.
//!
//! One file per resource holds its type and, where it needs the system, how it is taken from `source`.
//! [`sweep`] takes the samples of all targets of one beat.

pub mod ages;
pub mod anatomy;
pub mod cgroup;
pub mod children;
pub mod code;
pub mod connections;
pub mod creators;
pub mod data_files;
pub mod descriptor_book;
pub mod descriptor_ledger;
pub mod descriptors;
mod details;
pub mod doubts;
mod extents;
pub mod glance;
pub mod go_code;
pub mod goroutines;
pub mod heap_sites;
mod inode_clock;
pub mod ledger;
pub mod mapping_book;
pub mod mapping_ledger;
pub mod mappings;
pub mod memory;
mod named;
pub mod pulls;
pub mod quotas;
pub mod runtime;
pub mod same_program;
mod sitters;
pub mod span_ledger;
pub mod starters;
pub mod sweep;
pub mod task_ledger;
mod tasks;
pub mod threads;
mod turns;

use crate::golang::runtime::GoCounters;
use crate::process::ProcessId;
use crate::reading::{Moment, Stamped};
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
    pub memory: Stamped<memory::Memory>,
    /// Number of mappings (VMAs).
    pub mappings: Stamped<u64>,
    /// Number of OS threads.
    pub threads: Stamped<u64>,
    /// OS threads by name and state.
    pub thread_groups: Arc<Stamped<threads::ThreadGroups>>,
    /// Number of open descriptors.
    pub descriptors: Stamped<u64>,
    /// Open descriptors by type.
    pub descriptor_types: Arc<Stamped<descriptors::DescriptorTypes>>,
    /// Sockets by family, state and peer.
    pub connections: Arc<Stamped<connections::Connections>>,
    /// Children that have exited and were not waited for, and children that run.
    pub children: Stamped<children::Children>,
    /// Usage and limits of its cgroup.
    pub cgroup: Stamped<cgroup::CgroupUsage>,
    /// Goroutines, live heap and collections, as the Go runtime counts them.
    pub runtime: Stamped<GoCounters>,
    /// What it takes of limits that it shares with others, and what most of a nearly full table is.
    #[serde(default = "not_read")]
    pub quotas: Arc<Stamped<quotas::Quotas>>,
}

fn is_none_missed(beats: &u64) -> bool {
    *beats == 0
}

fn not_read() -> Arc<Stamped<quotas::Quotas>> {
    Arc::new(Stamped::not_read())
}
