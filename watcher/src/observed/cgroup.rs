//! What the cgroup of a process uses, and its limits.

use serde::{Deserialize, Serialize};

/// Usage and limits of one cgroup; each part `None` where its controller or file is absent.
///
/// A limit of a level above holds too. Usage and limit are those of the level with the least left between them;
/// where no level has a limit, the usage is that of the cgroup itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupUsage {
    /// v2 `memory.current`, v1 `memory.usage_in_bytes`: page cache included.
    pub memory_bytes: Option<u64>,
    /// v2 `memory.max`, v1 `memory.limit_in_bytes`; `None` also for "no limit".
    pub memory_limit_bytes: Option<u64>,
    /// `pids.current`: tasks, threads included.
    pub pids: Option<u64>,
    /// `pids.max`; `None` also for "no limit".
    pub pids_limit: Option<u64>,
    /// What of `memory_bytes` the kernel takes back when it needs to: `inactive_file` and `active_file` of
    /// `memory.stat`, and in v2 `slab_reclaimable`; read less often than the rest.
    pub reclaimable_bytes: Option<u64>,
    /// `memory.high` of the level that reaches it first; `None` for "no limit" and for v1, which has none.
    pub throttle: Option<Throttle>,
}

/// A level of the hierarchy at which the kernel slows processes down before it ends them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Throttle {
    /// v2 `memory.high`.
    pub limit_bytes: u64,
    /// What counts against it and cannot be taken back.
    pub unreclaimable_bytes: u64,
}

impl CgroupUsage {
    /// What counts against the limit and cannot be taken back by dropping page cache; all of it where the page cache
    /// could not be read.
    pub fn unreclaimable_bytes(&self) -> Option<u64> {
        let cache = self.reclaimable_bytes.unwrap_or(0);
        self.memory_bytes.map(|bytes| bytes.saturating_sub(cache))
    }
}
