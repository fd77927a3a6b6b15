//! The words of verdicts: kinds, units, rates, limits, and what the judge is told beside the window.

pub use crate::store::captures::LedgerName;
pub use crate::vocabulary::kind::{Kind, Unit};

use crate::vocabulary::process::Limits;

/// The verdict over all kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// At least one resource leaks.
    Leak,
    /// Everything that was judged is steady.
    Healthy,
    /// No leak is shown, and something that matters could not be decided.
    Inconclusive,
}

/// Growth per second with its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Theil-Sen slope.
    pub per_second: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Rate {
    /// The same with an interval that holds the rate.
    pub fn ordered(self) -> Rate {
        Rate { low: self.low.min(self.per_second), high: self.high.max(self.per_second), ..self }
    }
}

/// When a limit is reached if growth goes on as it does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exhaustion {
    /// Which limit.
    pub limit: LimitName,
    /// Its value, in the limit's own unit.
    pub limit_value: u64,
    /// Seconds from the last sample at the measured rate.
    pub in_seconds: f64,
    /// The same at the upper end of the rate's interval.
    pub low_seconds: f64,
    /// The same at the lower end; `None` where that end is not above zero.
    pub high_seconds: Option<f64>,
    /// Where this limit only slows the process down: the first that ends it.
    pub beyond: Option<Beyond>,
}

/// The limit that ends a process which another one has slowed down before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beyond {
    /// Which limit.
    pub limit: LimitName,
    /// Its value, in its own unit.
    pub limit_value: u64,
    /// Seconds from the last sample at the measured rate.
    pub in_seconds: f64,
    /// The same at the upper end of the rate's interval.
    pub low_seconds: f64,
    /// The same at the lower end; `None` where that end is not above zero.
    pub high_seconds: Option<f64>,
}

/// Limits that a leak can run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitName {
    /// RLIMIT_NOFILE of the process.
    OpenFiles,
    /// `vm.max_map_count`.
    Mappings,
    /// `pids.max` of the cgroup.
    CgroupPids,
    /// `memory.max` of the cgroup.
    CgroupMemory,
    /// RLIMIT_NPROC of the user.
    UserProcesses,
    /// Memory of the host.
    HostMemory,
    /// `kernel.pid_max` or `kernel.threads-max`, whichever is lower.
    HostTasks,
    /// `memory.high` of the cgroup: from there on the kernel slows the process down.
    CgroupMemoryHigh,
    /// GOMEMLIMIT: where the live heap fills it the collector runs all the time.
    GoMemory,
    /// Threads that a Go program may have, `runtime/debug.SetMaxThreads`.
    GoThreads,
    /// RLIMIT_AS of the process.
    AddressSpace,
    /// RLIMIT_DATA of the process.
    DataSize,
    /// `fs.inotify.max_user_instances`.
    InotifyInstances,
    /// `fs.inotify.max_user_watches`.
    InotifyWatches,
    /// `net.ipv4.ip_local_port_range` of its network namespace: ports for connections to one peer.
    Ports,
}

impl LimitName {
    /// Reaching it slows the process down and does not end it.
    pub fn only_slows(self) -> bool {
        matches!(self, LimitName::CgroupMemoryHigh | LimitName::GoMemory)
    }

    /// It bounds bytes, and not things that are counted.
    pub fn is_of_bytes(self) -> bool {
        match self {
            LimitName::CgroupMemory
            | LimitName::HostMemory
            | LimitName::CgroupMemoryHigh
            | LimitName::GoMemory
            | LimitName::AddressSpace
            | LimitName::DataSize => true,
            LimitName::OpenFiles
            | LimitName::Mappings
            | LimitName::CgroupPids
            | LimitName::UserProcesses
            | LimitName::HostTasks
            | LimitName::GoThreads
            | LimitName::InotifyInstances
            | LimitName::InotifyWatches
            | LimitName::Ports => false,
        }
    }
}

/// What the judge is told beside the window.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Limits of the process.
    pub limits: Limits,
    /// Memory of the host in bytes.
    pub host_memory_bytes: Option<u64>,
    /// Bytes of it that processes can still have, free swap included.
    pub host_available_bytes: Option<u64>,
    /// Tasks that the host can hold.
    pub host_tasks: Option<u64>,
    /// Tasks that it has.
    pub host_tasks_in_use: Option<u64>,
    /// Tasks of the process's user, where they were counted.
    pub user_tasks: Option<u64>,
    /// It is a Go program: goroutines and a Go heap are there, whether or not they are read.
    pub is_go: bool,
    /// Seconds that the process had lived at its newest sample.
    pub age_seconds: Option<f64>,
}

/// From how much on a change counts. The defaults suit windows from 30 s on.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Fewer usable samples than this decide nothing.
    pub min_samples: usize,
    /// A shorter window decides nothing.
    pub min_seconds: f64,
    /// One-sided p-value of the trend test below which a rise counts as a trend.
    pub max_p_value: f64,
    /// A rise of fewer units than this in the window is noise, for kinds counted in pieces.
    pub min_rise_count: f64,
    /// The same for kinds counted in bytes.
    pub min_rise_bytes: f64,
    /// For kinds counted in bytes also this part of the level.
    pub min_rise_byte_share: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds {
            min_samples: 12,
            min_seconds: 25.0,
            max_p_value: 0.000_3,
            min_rise_count: 5.0,
            min_rise_bytes: 4.0 * 1024.0 * 1024.0,
            min_rise_byte_share: 0.02,
        }
    }
}
