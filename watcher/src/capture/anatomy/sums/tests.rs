use super::{Anatomy, Books, Looks, anatomy, common};
use crate::golang::heap::own_memory::OwnMemory;
use crate::golang::heap::spans::Census;
use crate::golang::{Memory, Unreadable};
use crate::observed::go_counters::HeapCounters;
use crate::source::proc::MappingUse;
use proptest::prelude::*;
use std::ops::Range;

const MIB: u64 = 1 << 20;
const HEAP: u64 = 0xc0_0000_0000;
const HIGH: u64 = 0x7f00_0000_0000;

/// A process of which nothing can be read.
struct Nothing;

impl Memory for Nothing {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        Err(Unreadable { address, length: buffer.len() })
    }
}

fn mapping(range: Range<u64>, name: &str, resident: u64, anonymous: u64) -> MappingUse {
    MappingUse {
        range,
        is_writable: anonymous > 0,
        is_accessible: true,
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
        // The runtime's, by its books.
        mapping(HIGH..HIGH + 4 * MIB, "", 3 * MIB, 3 * MIB),
        // Anybody's.
        mapping(HIGH + 8 * MIB..HIGH + 24 * MIB, "", 9 * MIB, 9 * MIB),
        mapping(HIGH + 40 * MIB..HIGH + 42 * MIB, "[anon: Go: page alloc]", MIB, MIB),
        mapping(HIGH + 50 * MIB..HIGH + 56 * MIB, "/dev/shm/ring", 3 * MIB, 0),
        mapping(HIGH + 60 * MIB..HIGH + 68 * MIB, "[stack]", MIB, MIB),
    ]
}

/// Books of a heap of 18 MiB with stacks of 2 MiB, of a runtime that has mapped `mapped_bytes`.
fn books(mapped_bytes: u64) -> Books {
    let counters = HeapCounters {
        live_bytes: 14 * MIB,
        marked_bytes: Some(10 * MIB),
        in_use_bytes: 18 * MIB,
        idle_bytes: 5 * MIB,
        mapped_bytes,
        ..HeapCounters::default()
    };
    let counters_after = HeapCounters { in_use_bytes: 20 * MIB, ..counters };
    let census = Census {
        heap_bytes: 18 * MIB,
        stack_bytes: 2 * MIB,
        work_bytes: MIB,
        ranges: vec![HEAP..HEAP + 8 * MIB, HEAP + 9 * MIB..HEAP + 22 * MIB],
        ..Census::default()
    };
    let variables = vec![0x80_0000..0x88_0000, 0x88_0000..0x90_0000];
    Books { counters, census, counters_after, variables }
}

/// The books lead into the one mapping that is the runtime's; of any ranges all but one MiB is resident.
fn taken(mappings: &[MappingUse], books: Option<&Books>) -> Anatomy {
    let reach = |_: &[Range<u64>], mappings: &[Range<u64>]| {
        let place = HIGH..HIGH + 2 * MIB;
        let is_reached = mappings.iter().map(|mapping| mapping.start == HIGH).collect();
        Some(OwnMemory { is_reached, places: Vec::from([place]), uncounted_bytes: 0, is_cut: false })
    };
    let resident = |ranges: &[Range<u64>]| {
        let length: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        Some(length - length.min(MIB))
    };
    anatomy(mappings, books, &Looks { memory: &Nothing, reach: &reach, resident: &resident }, Vec::new())
}

#[test]
fn a_go_process_is_explained_by_its_books() {
    // 33 mapped, 26 of them heap, 2 named: of the 5 that remain 4 are found, and 1 may be anywhere.
    let anatomy = taken(&mappings(), Some(&books(33 * MIB)));
    let expected = Anatomy {
        live: 10 * MIB,
        new: 6 * MIB,
        gaps: 3 * MIB,
        idle: 5 * MIB,
        stacks: 2 * MIB,
        collector: MIB,
        runtime: 4 * MIB,
        variables: MIB,
        c_heap: 2 * MIB,
        thread_stacks: MIB,
        anonymous: 8 * MIB,
        files: 4 * MIB,
        shared: 3 * MIB,
        // And 3 MiB among the heap's addresses that are neither in use nor idle.
        unexplained: 4 * MIB,
        absent: MIB,
        ..Anatomy::default()
    };
    assert_eq!(anatomy, expected);
}

#[test]
fn what_goes_beyond_the_runtimes_own_count_is_not_its() {
    // 32 mapped: 4 remain, and as many are found.
    let anatomy = taken(&mappings(), Some(&books(32 * MIB)));
    assert_eq!((anatomy.runtime, anatomy.anonymous, anatomy.unexplained), (4 * MIB, 9 * MIB, 3 * MIB));
    // 30 mapped: 2 remain, so that the mapping of 4 is not the runtime's alone. Of the 2 MiB of it in which something
    // was found one is resident.
    let anatomy = taken(&mappings(), Some(&books(30 * MIB)));
    assert_eq!((anatomy.runtime, anatomy.anonymous, anatomy.unexplained), (2 * MIB, 11 * MIB, 3 * MIB));
}

#[test]
fn spans_that_lie_in_no_mapping_are_left_out() {
    let whole = taken(&mappings(), Some(&books(33 * MIB)));
    let mut books = books(33 * MIB);
    let behind = books.census.ranges[1].end;
    books.census.ranges[1].end = 1 << 47;
    books.census.heap_bytes += (1 << 47) - behind;
    let mut with_false_span = taken(&mappings(), Some(&books));
    assert!(with_false_span.remarks[0].contains("lie in no mapping"), "{:?}", with_false_span.remarks);
    with_false_span.remarks.clear();
    // What is left of it are the 10 MiB of the mapping behind the last span that is one, and the mappings above.
    assert_eq!(with_false_span.rss_bytes(), whole.rss_bytes());
    assert!(with_false_span.absent < 64 * MIB, "{with_false_span:?}");
}

#[test]
fn addresses_that_nobody_has_touched_are_not_asked_for() {
    let mut mappings = mappings();
    mappings.insert(4, mapping(HEAP + 64 * MIB..HEAP + (1 << 40), "", 0, 0));
    let mut books = books(33 * MIB);
    books.census.ranges.push(HEAP + 64 * MIB..HEAP + (1 << 40));
    let asked = std::cell::Cell::new(0);
    let resident = |ranges: &[Range<u64>]| {
        asked.set(asked.get() + ranges.iter().map(|range| range.end - range.start).sum::<u64>());
        Some(0)
    };
    let looks = Looks { memory: &Nothing, reach: &|_, _| None, resident: &resident };
    let anatomy = anatomy(&mappings, Some(&books), &looks, Vec::new());
    assert_eq!(asked.get(), 21 * MIB);
    assert_eq!(anatomy.remarks, [""; 0]);
}

#[test]
fn without_books_anonymous_memory_stays_unexplained() {
    let mut mappings = mappings();
    mappings.retain(|mapping| !mapping.name.starts_with("[anon"));
    let anatomy = taken(&mappings, None);
    assert_eq!((anatomy.variables, anatomy.unexplained), (MIB, 42 * MIB));
    assert_eq!((anatomy.c_heap, anatomy.thread_stacks, anatomy.anonymous), (2 * MIB, MIB, 0));
}

#[test]
fn ranges_in_common() {
    assert_eq!(common(&[0..10, 20..30], &[5..22, 29..50]), [5..10, 20..22, 29..30]);
    assert!(common(std::slice::from_ref(&(0..10)), std::slice::from_ref(&(10..20))).is_empty());
}

proptest! {
    #[test]
    fn the_parts_and_the_rest_are_the_whole(
        rows in proptest::collection::vec((0_u64..64, 0_usize..6, 0_u64..4096, 0_u64..4096), 0..40),
        mapped in 0..60 * MIB,
        has_books: bool,
    ) {
        let names = ["", "[heap]", "[stack]", "/usr/bin/x", "/dev/shm/x", "[anon: Go: heap]"];
        let mut mappings: Vec<MappingUse> = rows
            .iter()
            .map(|(slot, name, resident, anonymous)| {
                let start = HIGH + slot * 8 * MIB;
                mapping(start..start + 4 * MIB, names[*name], *resident * 1024, *anonymous * 1024)
            })
            .collect();
        mappings.sort_by_key(|mapping| mapping.range.start);
        mappings.dedup_by_key(|mapping| mapping.range.start);
        let books = books(mapped);
        let anatomy = taken(&mappings, has_books.then_some(&books));
        prop_assert_eq!(anatomy.rss_bytes(), mappings.iter().map(|mapping| mapping.resident_bytes).sum::<u64>());
    }
}
