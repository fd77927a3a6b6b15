//! What resident memory consists of at one moment.

use crate::vocabulary::reading::Moment;
use serde::{Deserialize, Serialize};

/// Resident memory of one process by what it is for, in bytes. The fields up to `unexplained` add up to the resident
/// set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anatomy {
    /// When it was read; `None` before it was.
    pub at: Option<Moment>,
    /// Reached by the last collection.
    pub live: u64,
    /// Allocated since, dead or alive.
    pub new: u64,
    /// Of spans in use, what is free or not yet swept.
    pub gaps: u64,
    /// Of the heap, what is free and was not given back.
    pub idle: u64,
    /// Goroutine stacks.
    pub stacks: u64,
    /// Work lists of the garbage collector.
    pub collector: u64,
    /// The runtime's own structures outside its heap.
    pub runtime: u64,
    /// Variables of the program and of its libraries.
    pub variables: u64,
    /// What C's `malloc` has.
    pub c_heap: u64,
    /// Stacks of threads, that of the main thread included; those of goroutines are none.
    pub thread_stacks: u64,
    /// Anonymous mappings that are neither the runtime's nor those of the C library.
    pub anonymous: u64,
    /// Pages of files.
    pub files: u64,
    /// tmpfs, memfd, System V.
    pub shared: u64,
    /// Nothing tells what it is for.
    pub unexplained: u64,
    /// Spans in use that are not resident: never touched, or swapped out.
    pub absent: u64,
    /// Swapped out.
    pub swapped: u64,
    /// Of it, freed by MADV_FREE: resident until the kernel needs it.
    pub lazily_freed: u64,
    /// Where only a part could be read: why, in a sentence each.
    pub remarks: Vec<String>,
}

impl Anatomy {
    /// The resident set, as the sum over all mappings. `VmRSS` may differ by some hundred KiB: since Linux 6.2 each
    /// processor counts for itself for a while (`lib/percpu_counter.c`).
    pub fn rss_bytes(&self) -> u64 {
        self.parts().into_iter().fold(self.unexplained, u64::saturating_add)
    }

    /// Every number of bytes in it, to hold it against what a machine can have.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let others = [self.unexplained, self.absent, self.swapped, self.lazily_freed];
        self.parts().into_iter().chain(others)
    }

    fn parts(&self) -> [u64; 13] {
        [
            self.live,
            self.new,
            self.gaps,
            self.idle,
            self.stacks,
            self.collector,
            self.runtime,
            self.variables,
            self.c_heap,
            self.thread_stacks,
            self.anonymous,
            self.files,
            self.shared,
        ]
    }
}
