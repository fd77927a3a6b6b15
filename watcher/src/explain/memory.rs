//! What resident memory is made of, as far as it is read.

use crate::sample::memory::Memory;
use crate::sample::runtime::GoCounters;

/// Resident memory, split into what is known and the rest. The parts and the rest add up to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBalance {
    /// Resident set size in bytes.
    pub rss_bytes: u64,
    /// The parts that are known.
    pub parts: Vec<Part>,
    /// What no part explains, in bytes: anonymous memory that the Go runtime does not account for, or all of it where
    /// the runtime was not read.
    pub unexplained_bytes: u64,
    /// What the Go runtime counts beyond the anonymous memory that is resident: untouched, or swapped out.
    pub not_resident_bytes: u64,
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

/// Splits resident memory. The kernel knows how much anonymous memory is resident, the Go runtime what it uses its
/// own for; a page that it counts and that was never touched, or was swapped out, is not resident. So its parts are
/// taken in the order of how surely they are, and what exceeds anonymous memory is left out.
pub(super) fn balance(
    memory: &Memory,
    runtime: Option<&GoCounters>,
    mapped_bytes: Option<u64>,
) -> MemoryBalance {
    let mut left = memory.anon_bytes;
    let mut not_resident = 0;
    let mut parts = Vec::new();
    let mut take = |name, bytes: u64| {
        let resident = bytes.min(left);
        left -= resident;
        not_resident = u64::saturating_add(not_resident, bytes - resident);
        parts.push(Part { name, bytes: resident });
    };
    if let Some(heap) = runtime.and_then(|runtime| runtime.heap) {
        let live = heap.marked_bytes.unwrap_or(0).min(heap.in_use_bytes);
        take("live heap", live);
        take("garbage and new objects", heap.in_use_bytes - live);
        take("stacks", heap.stack_bytes);
        if let Some(mapped) = mapped_bytes {
            let known = [heap.in_use_bytes, heap.idle_bytes, heap.stack_bytes];
            take("the runtime's own", known.into_iter().fold(mapped, u64::saturating_sub));
        }
        take("idle heap not returned", heap.idle_bytes);
    }
    parts.push(Part { name: "mapped files", bytes: memory.file_bytes });
    parts.push(Part { name: "shared memory", bytes: memory.shmem_bytes });
    MemoryBalance {
        rss_bytes: memory.rss_bytes(),
        parts,
        unexplained_bytes: left,
        not_resident_bytes: not_resident,
        swapped_bytes: memory.swap_bytes,
    }
}
