//! From mappings and books to sums: which mapping is for what.

use super::c_memory;
use crate::golang::Memory;
use crate::golang::heap::own_memory::OwnMemory;
use crate::golang::heap::spans::Census;
use crate::observed::anatomy::Anatomy;
use crate::observed::go_counters::HeapCounters;
use crate::source::proc::MappingUse;
use std::ops::Range;

/// `heapArenaBytes` on 64-bit Linux: addresses are given to the heap in blocks of it.
const ARENA_BYTES: u64 = 64 << 20;

/// What the runtime says about its memory.
pub(super) struct Books {
    pub counters: HeapCounters,
    pub census: Census,
    /// The counters once the mappings had been read too, which is some milliseconds later; the first ones where that
    /// failed.
    pub counters_after: HeapCounters,
    /// Where the program's variables lie.
    pub variables: Vec<Range<u64>>,
}

impl Books {
    /// Spans that hold objects, stacks and work lists.
    fn in_use_bytes(&self) -> u64 {
        let Census { heap_bytes, stack_bytes, work_bytes, .. } = self.census;
        heap_bytes.saturating_add(stack_bytes).saturating_add(work_bytes)
    }
}

/// Told by addresses of the heap, and of some mappings.
pub(super) type Reach<'a> = dyn Fn(&[Range<u64>], &[Range<u64>]) -> Option<OwnMemory> + 'a;

/// What is looked up in the process itself.
pub(super) struct Looks<'a> {
    pub memory: &'a dyn Memory,
    /// Where in some mappings the runtime keeps its own structures, by addresses of its heap; `None` where that cannot
    /// be told.
    pub reach: &'a Reach<'a>,
    /// How much of some ranges is resident.
    pub resident: &'a dyn Fn(&[Range<u64>]) -> Option<u64>,
}

/// What a mapping is for, as far as its name and place tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Heap,
    /// The runtime has marked it as its own: Go 1.25 and newer, on kernels that keep such names.
    Named,
    Variables,
    CHeap,
    ThreadStack,
    Anonymous,
    /// Anonymous, and nothing says whose.
    Unnamed,
}

/// Anonymous memory of which only its content can tell whose it is.
#[derive(Clone, Debug, Default)]
struct Unnamed {
    ranges: Vec<Range<u64>>,
    /// Of each of them.
    resident: Vec<u64>,
    /// Addresses that are only reserved.
    reserved: Vec<Range<u64>>,
}

/// Splits what is resident.
pub(super) fn anatomy(
    mappings: &[MappingUse],
    books: Option<&Books>,
    looks: &Looks,
    remarks: Vec<String>,
) -> Anatomy {
    let mut anatomy = Anatomy { remarks, ..Anatomy::default() };
    let spans = books.map(|books| Spans::of(books, mappings)).unwrap_or_default();
    let arenas = arenas(&spans.mapped);
    let (mut in_arenas, mut named_bytes) = (0, 0);
    let mut unnamed = Unnamed::default();
    let mut before: Option<&MappingUse> = None;
    for mapping in mappings {
        let place = place(mapping, before, books, &arenas);
        before = Some(mapping);
        let bytes = mapping.anonymous_bytes.min(mapping.resident_bytes);
        match place {
            Place::Heap => in_arenas += bytes,
            Place::Named => {
                anatomy.runtime += bytes;
                named_bytes += mapping.range.end.saturating_sub(mapping.range.start);
            }
            Place::Variables => anatomy.variables += bytes,
            Place::CHeap => anatomy.c_heap += bytes,
            Place::ThreadStack => anatomy.thread_stacks += bytes,
            Place::Anonymous => anatomy.anonymous += bytes,
            Place::Unnamed if bytes == 0 && !mapping.is_accessible => {
                unnamed.reserved.push(mapping.range.clone());
            }
            Place::Unnamed => {
                unnamed.ranges.push(mapping.range.clone());
                unnamed.resident.push(bytes);
            }
        }
        let backed = mapping.resident_bytes - bytes;
        *(if is_shared_memory(&mapping.name) { &mut anatomy.shared } else { &mut anatomy.files }) += backed;
        anatomy.swapped += mapping.swapped_bytes;
        anatomy.lazily_freed += mapping.lazily_freed_bytes;
    }
    // The C library takes the first memory of its heap by brk, which a program without it never calls.
    if mappings.iter().any(|mapping| mapping.name == "[heap]") {
        of_the_library(&mut unnamed, looks, &mut anatomy);
    }
    match books {
        Some(books) => {
            in_the_heap(in_arenas, books, &spans, looks, &mut anatomy);
            outside_the_heap(&unnamed, books, &spans, named_bytes, looks, &mut anatomy);
        }
        None => anatomy.unexplained += in_arenas + unnamed.resident.iter().sum::<u64>(),
    }
    anatomy
}

/// Where the heap's spans lie. The list of spans is the process's own, and may name any addresses; what is mapped is
/// the kernel's word.
#[derive(Clone, Debug, Default)]
struct Spans {
    /// As far as they lie in mappings; ascending.
    mapped: Vec<Range<u64>>,
    /// As far as those have anything in memory.
    touched: Vec<Range<u64>>,
    /// What is listed and lies in no mapping.
    unmapped_bytes: u64,
}

impl Spans {
    fn of(books: &Books, mappings: &[MappingUse]) -> Spans {
        let listed = &books.census.ranges;
        let of = |mappings: Vec<&MappingUse>| {
            let ranges: Vec<Range<u64>> = mappings.into_iter().map(|mapping| mapping.range.clone()).collect();
            common(listed, &ranges)
        };
        let mapped = of(mappings.iter().collect());
        let touched = of(mappings.iter().filter(|mapping| mapping.resident_bytes > 0).collect());
        Spans { unmapped_bytes: length(listed).saturating_sub(length(&mapped)), mapped, touched }
    }
}

fn length(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().fold(0, |sum, range| sum.saturating_add(range.end.saturating_sub(range.start)))
}

/// Whole arenas that spans lie in, ascending, neighbours joined.
fn arenas(spans: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut arenas: Vec<Range<u64>> = Vec::new();
    for span in spans {
        let start = span.start / ARENA_BYTES * ARENA_BYTES;
        let end = span.end.div_ceil(ARENA_BYTES).saturating_mul(ARENA_BYTES);
        match arenas.last_mut().filter(|last| start <= last.end) {
            Some(last) => last.end = last.end.max(end),
            None => arenas.push(start..end),
        }
    }
    arenas
}

fn place(
    mapping: &MappingUse,
    before: Option<&MappingUse>,
    books: Option<&Books>,
    arenas: &[Range<u64>],
) -> Place {
    let (name, range) = (mapping.name.as_str(), &mapping.range);
    let overlaps = |other: &Range<u64>| other.start < range.end && range.start < other.end;
    // A mapping that only shares an arena with spans is the heap's as well: addresses are given to it arena by arena.
    let in_arena = || {
        let (start, end) = (range.start / ARENA_BYTES * ARENA_BYTES, range.end);
        let first = arenas.partition_point(|arena| arena.end <= start);
        arenas.get(first).is_some_and(|arena| arena.start < end)
    };
    // The kernel maps what a file's variables take beyond the file behind it.
    let follows_a_file = || {
        before.is_some_and(|before| {
            before.is_writable && before.name.starts_with('/') && before.range.end == range.start
        })
    };
    if name.starts_with("[anon: Go: heap") || (name.is_empty() && in_arena()) {
        Place::Heap
    } else if name.starts_with("[anon: Go:") {
        Place::Named
    } else if name == "[heap]" || name.starts_with("[anon: glibc: malloc") {
        Place::CHeap
    } else if name == "[stack]" || name.starts_with("[anon: glibc: pthread stack") {
        Place::ThreadStack
    } else if books.is_some_and(|books| books.variables.iter().any(overlaps))
        || (name.is_empty() && follows_a_file())
        || (name.starts_with('/') && mapping.is_writable)
        || (name.starts_with('/') && before.is_none_or(|before| before.name == name))
    {
        Place::Variables
    } else if name.is_empty() {
        Place::Unnamed
    } else {
        Place::Anonymous
    }
}

/// Takes out of `unnamed` what the C library's marks are found in.
fn of_the_library(unnamed: &mut Unnamed, looks: &Looks, anatomy: &mut Anatomy) {
    let mut left = Unnamed { reserved: std::mem::take(&mut unnamed.reserved), ..Unnamed::default() };
    for (range, resident) in unnamed.ranges.iter().zip(&unnamed.resident) {
        let mut resident = *resident;
        if c_memory::is_stack(looks.memory, range) {
            anatomy.thread_stacks += resident;
            continue;
        }
        if c_memory::is_arena(looks.memory, range) {
            anatomy.c_heap += resident;
            continue;
        }
        let blocks = c_memory::large_blocks(looks.memory, range);
        let in_blocks = match &blocks[..] {
            [] => 0,
            [one] if one == range => resident,
            blocks => (looks.resident)(blocks).unwrap_or(0).min(resident),
        };
        anatomy.c_heap += in_blocks;
        resident -= in_blocks;
        // What is left of the mapping lies between the blocks.
        let mut start = range.start;
        let mut gaps = Vec::new();
        for block in blocks {
            gaps.push(start..block.start);
            start = block.end;
        }
        gaps.push(start..range.end);
        gaps.retain(|gap| gap.start < gap.end);
        let count = gaps.len();
        for (index, gap) in gaps.into_iter().enumerate() {
            let bytes = match count - index {
                1 => resident,
                _ => (looks.resident)(std::slice::from_ref(&gap)).unwrap_or(0).min(resident),
            };
            resident -= bytes;
            left.ranges.push(gap);
            left.resident.push(bytes);
        }
    }
    *unnamed = left;
}

/// Splits what is resident of the heap's addresses.
fn in_the_heap(in_arenas: u64, books: &Books, spans: &Spans, looks: &Looks, anatomy: &mut Anatomy) {
    let Books { counters, census, .. } = books;
    if spans.unmapped_bytes > 0 {
        anatomy.remarks.push(format!(
            "{} MiB of what the runtime lists as its heap lie in no mapping, and are left out.",
            spans.unmapped_bytes.div_ceil(1 << 20),
        ));
    }
    let in_use = books.in_use_bytes().saturating_sub(spans.unmapped_bytes);
    let resident = (looks.resident)(&spans.touched);
    if resident.is_none() {
        let remark =
            "Which pages of the heap are resident could not be read: all of its spans are taken to be.";
        anatomy.remarks.push(remark.to_owned());
    }
    let mut rest = in_arenas.min(resident.unwrap_or(in_use));
    anatomy.absent = in_use.saturating_sub(rest);
    // Whatever else is resident there is kept for later, or was allocated while we looked.
    let outside_spans = in_arenas - rest;
    let after = &books.counters_after;
    anatomy.idle = outside_spans.min(counters.idle_bytes.max(after.idle_bytes));
    let meanwhile =
        after.in_use_bytes.saturating_sub(counters.in_use_bytes).min(outside_spans - anatomy.idle);
    anatomy.unexplained += outside_spans - anatomy.idle - meanwhile;
    let mut take = |wanted: u64| {
        let taken = wanted.min(rest);
        rest -= taken;
        taken
    };
    anatomy.stacks = take(census.stack_bytes);
    anatomy.collector = take(census.work_bytes);
    let marked = counters.marked_bytes.unwrap_or(0);
    anatomy.live = take(marked.min(census.heap_bytes));
    anatomy.new = take(counters.live_bytes.saturating_sub(marked)) + meanwhile;
    anatomy.gaps = rest;
}

/// Splits the anonymous mappings that bear no name. The runtime counts how much it has asked for, so that what goes
/// beyond is none of its own; where its books lead it is; and between the two nobody knows.
fn outside_the_heap(
    unnamed: &Unnamed,
    books: &Books,
    spans: &Spans,
    named_bytes: u64,
    looks: &Looks,
    anatomy: &mut Anatomy,
) {
    let Books { counters, .. } = books;
    let heap_bytes =
        books.in_use_bytes().saturating_sub(spans.unmapped_bytes).saturating_add(counters.idle_bytes);
    let own = counters.mapped_bytes.saturating_sub(heap_bytes).saturating_sub(named_bytes);
    let mut all: Vec<Range<u64>> = unnamed.ranges.iter().chain(&unnamed.reserved).cloned().collect();
    all.sort_by_key(|range| range.start);
    let reached = (looks.reach)(&spans.mapped, &all).unwrap_or_default();
    if reached.is_cut {
        let remark = "The runtime's own structures are too many to follow all of them: some of its memory counts \
                      as nobody's.";
        anatomy.remarks.push(remark.to_owned());
    }
    let is_reached = |range: &Range<u64>| {
        let Ok(index) = all.binary_search_by_key(&range.start, |one| one.start) else { return false };
        let leads_here = |index: usize| reached.is_reached.get(index) == Some(&true);
        // What is used of a reservation begins somewhere behind its beginning.
        let before = index.checked_sub(1).filter(|before| all[*before].end == range.start);
        let of_reservation = before.is_some_and(|before| {
            leads_here(before)
                && unnamed.reserved.binary_search_by_key(&all[before].start, |one| one.start).is_ok()
        });
        leads_here(index) || of_reservation
    };
    let (mut its_bytes, mut its_length, mut other_bytes) = (0, 0_u64, 0);
    let mut entered = Vec::new();
    for (range, bytes) in unnamed.ranges.iter().zip(&unnamed.resident) {
        if is_reached(range) {
            its_bytes += bytes;
            its_length += range.end - range.start;
            entered.push(range.clone());
        } else {
            other_bytes += bytes;
        }
    }
    its_length = its_length.saturating_sub(reached.uncounted_bytes);
    if its_length > own {
        // More than the runtime has: the kernel has joined its mappings with those of others.
        let places = common(&entered, &reached.places);
        let in_places = (looks.resident)(&places).unwrap_or(0).min(its_bytes);
        other_bytes += its_bytes - in_places;
        its_bytes = in_places;
        its_length = places.iter().map(|place| place.end - place.start).sum();
    }
    let certain = its_bytes.min(own);
    let possible = other_bytes.min(own.saturating_sub(its_length));
    anatomy.runtime += certain;
    anatomy.unexplained += possible;
    anatomy.anonymous += its_bytes - certain + other_bytes - possible;
}

/// Addresses that are in both, each of which ascends.
fn common(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut common = Vec::new();
    for range in one {
        let first = other.partition_point(|place| place.end <= range.start);
        let within = other[first..].iter().take_while(|place| place.start < range.end);
        common.extend(within.map(|place| place.start.max(range.start)..place.end.min(range.end)));
    }
    common
}

/// Files that exist in memory only.
fn is_shared_memory(name: &str) -> bool {
    ["/dev/shm/", "/memfd:", "/SYSV", "/dev/zero", "[anon_shmem"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests;
