//! The rim: everything that touches the system, and nothing else does.

pub mod answering;
pub mod cgroup;
pub mod clock;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod host;
pub mod kernel;
pub mod memory;
pub mod native_symbols;
pub mod ordinary_files;
pub mod own_limits;
pub mod ports;
pub mod pprof;
pub mod proc;
mod process_vm;
pub mod reader;
pub mod recent_pages;
pub mod shortage;
pub mod sockdiag;
pub mod target_file;
pub mod userns;

use crate::vocabulary::descriptor::{DescriptorAge, OpenDescriptor};
use crate::vocabulary::reading::Reading;
use crate::vocabulary::task::Task;

/// One pass over a table that the kernel keeps for all processes.
///
/// The kernel half implements it with BPF iterators, `/proc` is the fallback and the test oracle.
pub trait KernelTables {
    /// Visits every task of the host, leaders and threads. `Unsupported` or `Denied` where this route is not to
    /// be had; nothing was visited then.
    fn tasks(&mut self, each: &mut dyn FnMut(Task)) -> Reading<()>;

    /// Visits the open descriptors of the processes in `scope`. `Unsupported` or `Denied` where this route is not
    /// to be had; nothing was visited then. `Gone` where the one process left.
    fn descriptors(&mut self, scope: Scope, each: &mut dyn FnMut(OpenDescriptor)) -> Reading<()>;

    /// Visits what tells the ages of the open descriptors of the processes in `scope`. `Unsupported` or `Denied` where
    /// this route is not to be had; nothing was visited then.
    fn descriptor_ages(&mut self, _scope: Scope, _each: &mut dyn FnMut(DescriptorAge)) -> Reading<()> {
        Reading::Unsupported
    }
}

/// Whose descriptors are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of every process of the host, in one pass.
    AllProcesses,
    /// Those of one process, by its pid.
    Process(i32),
}
