//! What loading has found out about this kernel, for programs that are loaded later.

use super::pids::Pids;
use super::probes::{Capabilities, Outcome, ProbeName};
use std::collections::HashMap;
use std::path::PathBuf;

/// What loading has found out. By default that nothing can be loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// The file with the kernel's type information.
    pub(super) types: PathBuf,
    /// Nanoseconds per clock tick, the unit of `/proc/PID/stat`; 0 where nothing could be loaded.
    pub(super) nanos_per_tick: u64,
    /// What we may do.
    pub(super) capabilities: Capabilities,
    /// Values of the constants that stand for members of kernel structures.
    pub(super) offsets: Vec<(&'static str, u32)>,
    /// By which pids the programs know processes.
    pub(super) pids: Pids,
    /// Why what is listed here cannot be loaded: members that it needs are not there.
    pub(super) unresolved: HashMap<ProbeName, Outcome>,
}

impl Facts {
    /// Programs can be loaded at all.
    pub(super) fn can_load(&self) -> bool {
        self.nanos_per_tick > 0
    }
}
