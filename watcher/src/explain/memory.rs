//! What resident memory is made of, as far as it is read.

use crate::sample::memory::Memory;

/// Resident memory, split into what is known and the rest. The parts and the rest add up to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBalance {
    /// Resident set size in bytes.
    pub rss_bytes: u64,
    /// The parts that are known.
    pub parts: Vec<Part>,
    /// What no part explains, in bytes: anonymous memory, as long as the Go runtime's own books are not read.
    pub unexplained_bytes: u64,
    /// Anonymous memory that was swapped out, in bytes; no part of resident memory.
    pub swapped_bytes: u64,
}

/// One part of resident memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
}

pub(super) fn balance(memory: &Memory) -> MemoryBalance {
    MemoryBalance {
        rss_bytes: memory.rss_bytes(),
        parts: vec![
            Part { name: "mapped files", bytes: memory.file_bytes },
            Part { name: "shared memory", bytes: memory.shmem_bytes },
        ],
        unexplained_bytes: memory.anon_bytes,
        swapped_bytes: memory.swap_bytes,
    }
}
