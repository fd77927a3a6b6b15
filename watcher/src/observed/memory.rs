//! Resident memory of a process by kind.

use serde::{Deserialize, Serialize};

/// Memory of one process as `/proc/PID/status` splits it (`fs/proc/task_mmu.c`, `task_mem`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// `RssAnon`: heap, stacks, anonymous mmap.
    pub anon_bytes: u64,
    /// `RssFile`: file pages mapped, executables and libraries included.
    pub file_bytes: u64,
    /// `RssShmem`: tmpfs, memfd, System V and shared anonymous memory.
    pub shmem_bytes: u64,
    /// `VmSwap`: anonymous memory that was swapped out.
    pub swap_bytes: u64,
    /// `VmPTE`: page tables.
    pub page_tables_bytes: u64,
    /// `VmSize`: address space, most of it reserved only in a Go process.
    pub virtual_bytes: u64,
    /// `VmData`: private writable mappings, resident or not, which RLIMIT_DATA bounds.
    pub data_bytes: u64,
    /// `VmHWM`: the highest RSS so far.
    pub peak_rss_bytes: u64,
}

impl Memory {
    /// Resident set size, as `VmRSS` has it.
    pub fn rss_bytes(&self) -> u64 {
        self.anon_bytes + self.file_bytes + self.shmem_bytes
    }
}
