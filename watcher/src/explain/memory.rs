//! What resident memory is made of, as far as it is read.

use crate::observed::anatomy::Anatomy;
use crate::observed::go_counters::GoCounters;
use crate::observed::memory::Memory;

/// Resident memory, split into what is known and the rest. The parts and the rest add up to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryBalance {
    /// Resident set size in bytes.
    pub rss_bytes: u64,
    /// The parts that are known.
    pub parts: Vec<Part>,
    /// What no part explains, in bytes: anonymous memory of which nothing tells whose it is, or all of it where the
    /// runtime was not read.
    pub unexplained_bytes: u64,
    /// What the Go runtime counts beyond the anonymous memory that is resident: untouched, or swapped out.
    pub not_resident_bytes: u64,
    /// Mappings were looked at one by one. Otherwise it is by totals, and what they do not explain was not looked into.
    pub is_measured: bool,
    /// Anonymous memory that was swapped out, in bytes; no part of resident memory.
    pub swapped_bytes: u64,
}

/// One part of resident memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it is, in a word or a few: a key for programs.
    pub name: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// What that means.
    pub meaning: &'static str,
}

const LIVE: (&str, &str) = ("live heap", "what the last collection found reachable");
const NEW: (&str, &str) = ("new objects", "allocated since, dead or alive");
const GARBAGE: (&str, &str) =
    ("garbage and new objects", "allocated since the last collection, or not yet swept");
const GAPS: (&str, &str) = ("gaps in spans", "free or not yet swept, between objects");
const IDLE: (&str, &str) = ("idle heap", "free, not yet returned to the system");
const STACKS: (&str, &str) = ("goroutine stacks", "stacks that goroutines have, or had");
const COLLECTOR: (&str, &str) = ("collector", "work lists of the garbage collector");
const RUNTIME: (&str, &str) = ("Go runtime", "the runtime's own structures outside its heap");
const VARIABLES: (&str, &str) = ("variables", "of the program and of its libraries");
const C_HEAP: (&str, &str) = ("C heap", "what C's malloc has taken, in use or free");
const THREAD_STACKS: (&str, &str) = ("thread stacks", "of the main thread and of those that C has started");
const ANONYMOUS: (&str, &str) = ("anonymous mappings", "mmap by the program or by C, not by the Go runtime");
const FILES: (&str, &str) = ("mapped files", "code and files; given back when the system needs memory");
const SHARED: (&str, &str) = ("shared memory", "tmpfs, memfd, System V");

fn part((name, meaning): (&'static str, &'static str), bytes: u64) -> Part {
    Part { name, bytes, meaning }
}

/// The parts of what was measured mapping by mapping.
pub fn anatomy(anatomy: &Anatomy) -> MemoryBalance {
    let parts = vec![
        part(LIVE, anatomy.live),
        part(NEW, anatomy.new),
        part(GAPS, anatomy.gaps),
        part(IDLE, anatomy.idle),
        part(STACKS, anatomy.stacks),
        part(COLLECTOR, anatomy.collector),
        part(RUNTIME, anatomy.runtime),
        part(VARIABLES, anatomy.variables),
        part(C_HEAP, anatomy.c_heap),
        part(THREAD_STACKS, anatomy.thread_stacks),
        part(ANONYMOUS, anatomy.anonymous),
        part(FILES, anatomy.files),
        part(SHARED, anatomy.shared),
    ];
    MemoryBalance {
        rss_bytes: anatomy.rss_bytes(),
        parts,
        unexplained_bytes: anatomy.unexplained,
        is_measured: true,
        not_resident_bytes: anatomy.absent,
        swapped_bytes: anatomy.swapped,
    }
}

/// Splits resident memory by totals alone, where mappings were not looked at. The kernel knows how much anonymous
/// memory is resident, the Go runtime what it uses its own for; a page that it counts and that was never touched, or
/// was swapped out, is not resident. So its parts are taken in the order of how surely they are, and what exceeds
/// anonymous memory is left out.
pub(super) fn balance(
    memory: &Memory,
    runtime: Option<&GoCounters>,
    mapped_bytes: Option<u64>,
) -> MemoryBalance {
    let mut left = memory.anon_bytes;
    let mut not_resident = 0;
    let mut parts = Vec::new();
    let mut take = |what, bytes: u64| {
        let resident = bytes.min(left);
        left -= resident;
        not_resident = u64::saturating_add(not_resident, bytes - resident);
        parts.push(part(what, resident));
    };
    if let Some(heap) = runtime.and_then(|runtime| runtime.heap) {
        let live = heap.marked_bytes.unwrap_or(0).min(heap.in_use_bytes);
        take(LIVE, live);
        take(GARBAGE, heap.in_use_bytes - live);
        take(STACKS, heap.stack_bytes);
        if let Some(mapped) = mapped_bytes {
            let known = [heap.in_use_bytes, heap.idle_bytes, heap.stack_bytes];
            take(RUNTIME, known.into_iter().fold(mapped, u64::saturating_sub));
        }
        take(IDLE, heap.idle_bytes);
    }
    parts.push(part(FILES, memory.file_bytes));
    parts.push(part(SHARED, memory.shmem_bytes));
    MemoryBalance {
        rss_bytes: memory.rss_bytes(),
        parts,
        unexplained_bytes: left,
        is_measured: false,
        not_resident_bytes: not_resident,
        swapped_bytes: memory.swap_bytes,
    }
}
