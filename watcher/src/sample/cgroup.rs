//! What the cgroup of a process uses and may use.

/// Usage and limits of one cgroup; each part `None` where its controller or file is absent.
///
/// A limit of a level above holds too. Usage and limit are those of the level with the least left between them;
/// where no level has a limit, the usage is that of the cgroup itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupUsage {
    /// v2 `memory.current`, v1 `memory.usage_in_bytes`: page cache included.
    pub memory_bytes: Option<u64>,
    /// v2 `memory.max`, v1 `memory.limit_in_bytes`; `None` also for "no limit".
    pub memory_limit_bytes: Option<u64>,
    /// `pids.current`: tasks, threads included.
    pub pids: Option<u64>,
    /// `pids.max`; `None` also for "no limit".
    pub pids_limit: Option<u64>,
}
