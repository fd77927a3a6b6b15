//! What the resident memory of one process is made of: the kernel's list of mappings against the runtime's books.

use super::{Subject, ViewError};
use crate::explain::words::bytes;
use crate::golang::heap::HeapCounters;
use crate::golang::heap_reader::HeapReader;
use crate::golang::spans::Census;
use crate::process::Target;
use crate::reading::Reading;
use crate::report::memory::{Memory, Part};
use crate::source::clock;
use crate::source::proc::MappingUse;
use std::collections::HashSet;
use std::ops::Range;
use std::time::SystemTime;

/// `heapArenaBytes` on 64-bit Linux: addresses are given to the heap in blocks of it.
const ARENA_BYTES: u64 = 64 << 20;

/// Reads the memory of the process with this pid, Go or not.
///
/// # Errors
/// See [`ViewError`].
pub fn memory(pid: i32) -> Result<Memory, ViewError> {
    let subject = Subject::open(pid)?;
    let process = subject.target.clone();
    if process.go.is_none() {
        let (taken, mappings) = (clock::now().wall, mappings(&subject)?);
        subject.verify()?;
        let remark = "It is no Go program: what its anonymous memory is used for cannot be told.".to_owned();
        return Ok(balance(&mappings, None).into_memory(process, taken, vec![remark]));
    }
    let mut subject = subject.attach()?;
    let reader = HeapReader::attach(&mut subject.runtime, &subject.file, &subject.memory);
    let taken = clock::now().wall;
    let books = reader
        .counters(&subject.memory)
        .and_then(|counters| reader.census(&subject.memory).map(|census| (counters, census)));
    let mappings = mappings(&subject.subject)?;
    let variables = subject.variables();
    let mut remarks = subject.remarks();
    let go = match &books {
        Ok((counters, census)) => {
            let resident = subject.subject.process.resident_bytes(&census.ranges);
            if resident.seen().is_none() {
                remarks.push("Which pages of the heap are resident could not be read: all of its spans are taken to be.".to_owned());
            }
            remarks.extend(resident.seen().and_then(|resident| absent(census, *resident)));
            Some(Books { counters, census, resident_bytes: resident.into_seen(), variables })
        }
        Err(error) => {
            remarks.push(format!("The heap could not be read: {error}."));
            None
        }
    };
    subject.subject.verify()?;
    Ok(balance(&mappings, go.as_ref()).into_memory(process, taken, remarks))
}

/// A sentence about heap that takes addresses and no memory, where that is much.
fn absent(census: &Census, resident_bytes: u64) -> Option<String> {
    const MUCH_BYTES: u64 = 1 << 20;
    let in_use = census.heap_bytes + census.stack_bytes + census.work_bytes;
    let absent = in_use.checked_sub(resident_bytes).filter(|absent| *absent >= MUCH_BYTES)?;
    let size = bytes(absent as f64);
    Some(format!("{size} of the heap's spans in use are not resident: never touched, or swapped out."))
}

fn mappings(subject: &Subject) -> Result<Vec<MappingUse>, ViewError> {
    let who = super::who(&subject.target);
    match subject.process.mapping_use() {
        Reading::Seen(mappings) => Ok(mappings),
        Reading::Gone => Err(ViewError::Left { who }),
        Reading::Denied => Err(ViewError::Denied { who }),
        Reading::Unsupported => Err(ViewError::NoMappings { who }),
    }
}

/// What the runtime says about its memory.
struct Books<'a> {
    counters: &'a HeapCounters,
    census: &'a Census,
    /// Of the spans in use; `None` where that could not be read.
    resident_bytes: Option<u64>,
    /// Where the program's variables lie.
    variables: Vec<Range<u64>>,
}

/// The sums over all mappings.
#[derive(Default)]
struct Sums {
    /// Anonymous memory in the heap's blocks of addresses.
    arenas: u64,
    /// That which the runtime has marked as its own (Go 1.25 and newer, on kernels that keep such names).
    named_runtime: u64,
    variables: u64,
    native: u64,
    /// Anonymous, and nothing says whose.
    unnamed: u64,
    files: u64,
    shared: u64,
    swapped: u64,
    lazily_freed: u64,
}

struct Balance {
    parts: Vec<Part>,
    unexplained_bytes: u64,
    sums: Sums,
}

fn balance(mappings: &[MappingUse], books: Option<&Books>) -> Balance {
    let sums = Sums::of(mappings, books);
    let mut parts = Vec::new();
    let mut part = |name, bytes, meaning| parts.push(Part { name, bytes, meaning });
    let mut unexplained_bytes = sums.arenas + sums.unnamed;
    if let Some(Books { counters, census, resident_bytes, .. }) = books {
        let in_use = census.heap_bytes + census.stack_bytes + census.work_bytes;
        let mut rest = sums.arenas.min(resident_bytes.unwrap_or(in_use));
        let idle = sums.arenas - rest;
        let mut take = |wanted: u64| {
            let taken = wanted.min(rest);
            rest -= taken;
            taken
        };
        let (stacks, work) = (take(census.stack_bytes), take(census.work_bytes));
        let live = take(counters.marked_bytes.unwrap_or(0));
        let new = take(counters.live_bytes.saturating_sub(counters.marked_bytes.unwrap_or(0)));
        part("live heap", live, "what the last collection found reachable");
        part("new heap", new, "allocated since, dead or alive");
        part("gaps in spans", rest, "free or not yet swept, between objects");
        part("idle heap", idle, "free, not yet returned to the system");
        part("stacks", stacks, "goroutine stacks");
        part("collector", work, "work lists of the garbage collector");
        // What the runtime has mapped for itself is known as a sum only, and not all of it need be resident.
        let heap_bytes = in_use.saturating_add(counters.idle_bytes);
        let own = counters.mapped_bytes.saturating_sub(heap_bytes).saturating_sub(sums.named_runtime);
        let own = own.min(sums.unnamed);
        part("Go runtime", sums.named_runtime + own, "the runtime's own structures, at most");
        part(
            "native",
            sums.native + sums.unnamed - own,
            "outside of Go, at least: C's malloc, mmap, stacks of threads",
        );
        unexplained_bytes = 0;
    } else {
        part("native", sums.native, "C's malloc (brk), the main thread's stack, variables of libraries");
    }
    part("variables", sums.variables, "the program's variables");
    part("mapped files", sums.files, "code and files; given back when the system needs memory");
    part("shared memory", sums.shared, "tmpfs, memfd, System V");
    Balance { parts, unexplained_bytes, sums }
}

impl Sums {
    fn of(mappings: &[MappingUse], books: Option<&Books>) -> Sums {
        let ranges = books.map_or(&[][..], |books| &books.census.ranges);
        let arenas: HashSet<u64> = ranges
            .iter()
            .flat_map(|range| range.start / ARENA_BYTES..range.end.div_ceil(ARENA_BYTES))
            .collect();
        let mut sums = Sums::default();
        for mapping in mappings {
            let name = mapping.name.as_str();
            let overlaps =
                |range: &Range<u64>| range.start < mapping.range.end && mapping.range.start < range.end;
            let in_arena = || {
                (mapping.range.start / ARENA_BYTES..mapping.range.end.div_ceil(ARENA_BYTES))
                    .any(|arena| arenas.contains(&arena))
            };
            let is_variable = || books.is_some_and(|books| books.variables.iter().any(overlaps));
            let place = if name.starts_with("[anon: Go: heap") || (name.is_empty() && in_arena()) {
                &mut sums.arenas
            } else if name.starts_with("[anon: Go:") {
                &mut sums.named_runtime
            } else if is_variable() {
                &mut sums.variables
            } else if name.is_empty() {
                &mut sums.unnamed
            } else {
                &mut sums.native
            };
            *place += mapping.anonymous_bytes;
            let backed = mapping.resident_bytes.saturating_sub(mapping.anonymous_bytes);
            *(if is_shared_memory(name) { &mut sums.shared } else { &mut sums.files }) += backed;
            sums.swapped += mapping.swapped_bytes;
            sums.lazily_freed += mapping.lazily_freed_bytes;
        }
        sums
    }
}

/// Files that exist in memory only.
fn is_shared_memory(name: &str) -> bool {
    ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "[anon_shmem"].iter().any(|start| name.starts_with(start))
}

impl Balance {
    fn into_memory(self, process: Target, taken: SystemTime, mut remarks: Vec<String>) -> Memory {
        let rss_bytes = self.parts.iter().map(|part| part.bytes).sum::<u64>() + self.unexplained_bytes;
        if self.sums.lazily_freed > 0 {
            let size = bytes(self.sums.lazily_freed as f64);
            remarks.push(format!(
                "{size} of it were freed lazily (MADV_FREE) and go as soon as the system needs memory."
            ));
        }
        Memory {
            process,
            taken,
            rss_bytes,
            parts: self.parts,
            unexplained_bytes: self.unexplained_bytes,
            swapped_bytes: self.sums.swapped,
            remarks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Books, balance};
    use crate::golang::heap::HeapCounters;
    use crate::golang::spans::Census;
    use crate::source::proc::MappingUse;
    use std::ops::Range;

    const MIB: u64 = 1 << 20;
    const HEAP: u64 = 0xc0_0000_0000;

    fn mapping(range: Range<u64>, name: &str, resident: u64, anonymous: u64) -> MappingUse {
        MappingUse {
            range,
            name: name.to_owned(),
            resident_bytes: resident,
            anonymous_bytes: anonymous,
            ..MappingUse::default()
        }
    }

    fn mappings() -> Vec<MappingUse> {
        vec![
            mapping(0x40_0000..0x80_0000, "/usr/bin/x", 4 * MIB, 0),
            mapping(0x80_0000..0x90_0000, "/usr/bin/x", MIB, MIB),
            mapping(0xa0_0000..0xb0_0000, "[heap]", 2 * MIB, 2 * MIB),
            mapping(HEAP..HEAP + 32 * MIB, "", 30 * MIB, 30 * MIB),
            mapping(0x7f00_0000_0000..0x7f00_1000_0000, "", 9 * MIB, 9 * MIB),
            mapping(0x7f10_0000_0000..0x7f10_1000_0000, "[anon: Go: page alloc]", MIB, MIB),
            mapping(0x7f20_0000_0000..0x7f20_1000_0000, "/dev/shm/ring", 3 * MIB, 0),
        ]
    }

    fn named(mappings: &[MappingUse], books: Option<&Books>) -> Vec<(&'static str, u64)> {
        let balance = balance(mappings, books);
        let parts = balance.parts.iter().map(|part| (part.name, part.bytes / MIB));
        parts
            .chain([("unexplained", balance.unexplained_bytes / MIB)])
            .filter(|(_, size)| *size > 0)
            .collect()
    }

    #[test]
    fn a_go_process_is_explained_by_its_books() {
        let counters = HeapCounters {
            gc_cycles: 3,
            gogc_percent: Some(100),
            memory_limit_bytes: None,
            live_bytes: 14 * MIB,
            marked_bytes: Some(10 * MIB),
            goal_bytes: Some(20 * MIB),
            in_use_bytes: 18 * MIB,
            idle_bytes: 5 * MIB,
            stack_bytes: 2 * MIB,
            released_bytes: 0,
            total_allocated_bytes: 99 * MIB,
            total_freed_bytes: 84 * MIB,
            mapped_bytes: 32 * MIB,
        };
        let census = Census {
            heap_bytes: 18 * MIB,
            stack_bytes: 2 * MIB,
            work_bytes: MIB,
            ranges: vec![HEAP..HEAP + 8 * MIB, HEAP + 9 * MIB..HEAP + 22 * MIB],
            ..Census::default()
        };
        let variables = vec![0x80_0000..0x88_0000, 0x88_0000..0x90_0000];
        let books = Books { counters: &counters, census: &census, resident_bytes: Some(20 * MIB), variables };
        let expected = [
            ("live heap", 10),
            ("new heap", 4),
            ("gaps in spans", 3),
            ("idle heap", 10),
            ("stacks", 2),
            ("collector", 1),
            // 32 mapped, 26 of them heap: 6 of the runtime's own, one of which is named.
            ("Go runtime", 6),
            ("native", 6),
            ("variables", 1),
            ("mapped files", 4),
            ("shared memory", 3),
        ];
        assert_eq!(named(&mappings(), Some(&books)), expected);
        let whole: u64 = mappings().iter().map(|mapping| mapping.resident_bytes / MIB).sum();
        assert_eq!(expected.iter().map(|(_, size)| size).sum::<u64>(), whole);
    }

    #[test]
    fn without_books_anonymous_memory_stays_unexplained() {
        let expected = [("native", 3), ("mapped files", 4), ("shared memory", 3), ("unexplained", 39)];
        let mut mappings = mappings();
        mappings.retain(|mapping| !mapping.name.starts_with("[anon"));
        assert_eq!(named(&mappings, None), expected);
    }
}
