//! Buckets made of words, in both layouts, whole and garbled.

use super::{Counts, HeapProfile, Location, NoProfile, places, without_runtime};
use crate::golang::recorded::Recorded;
use proptest::prelude::*;

const HEAD: u64 = 0x50_0000;
const RATE: u64 = 0x50_0008;
const SWEEP: u64 = 0x50_0010;
const FIRST: u64 = 0x70_0000;
const STRIDE: u64 = 0x400;
const LOCATION: Location =
    Location { buckets: Some(HEAD), rate: Some(RATE), sweep_generation: Some(SWEEP), is_linked: true };

/// Objects of one size that one stack allocated and freed: published, and in the three slots that follow.
struct Bucket<'a> {
    stack: &'a [u64],
    object_bytes: u64,
    counts: [(u64, u64); 4],
}

/// A list of buckets, the newest first, after so many collections.
fn memory(buckets: &[Bucket<'_>], has_bytes: bool, collections: u64, rate: u64) -> Recorded {
    let address = |index: u64| FIRST + index * STRIDE;
    let mut memory = Recorded::new();
    let last = buckets.len() as u64;
    for (index, bucket) in (0..).zip(buckets) {
        let next = if index + 1 < last { address(index + 1) } else { 0 };
        let mut words = vec![0, next, 1, 0xabcd, bucket.object_bytes, bucket.stack.len() as u64];
        words.extend(bucket.stack);
        for (allocated, freed) in bucket.counts {
            words.extend([allocated, freed]);
            if has_bytes {
                words.extend([allocated * bucket.object_bytes, freed * bucket.object_bytes]);
            }
        }
        memory = memory.with_words(address(index), &words);
    }
    memory.with_words(HEAD, &[if buckets.is_empty() { 0 } else { FIRST }, rate, collections * 2])
}

const SITES: [Bucket<'_>; 3] = [
    Bucket { stack: &[0x11, 0x12, 0x13], object_bytes: 48, counts: [(5, 2), (1, 0), (10, 0), (0, 4)] },
    Bucket { stack: &[0x21], object_bytes: 1 << 20, counts: [(0, 0); 4] },
    Bucket { stack: &[], object_bytes: 64, counts: [(3, 3), (0, 0), (2, 1), (0, 0)] },
];

fn in_use(profile: &HeapProfile) -> Vec<(i64, i64)> {
    profile.sites.iter().map(|site| site.counts.in_use()).collect()
}

#[test]
fn both_layouts_are_told_apart_and_the_slot_of_the_last_collection_is_added() {
    for has_bytes in [true, false] {
        for (collections, expected) in [
            (6, [(4, 192), (0, 0), (0, 0)]),
            (7, [(13, 624), (0, 0), (1, 64)]),
            (8, [(-1, -48), (0, 0), (0, 0)]),
        ] {
            let profile = LOCATION.read(&memory(&SITES, has_bytes, collections, 4096)).unwrap();
            assert_eq!(in_use(&profile), expected, "{collections}");
            assert_eq!(profile.rate_bytes, 4096);
            assert!(!profile.is_truncated && !profile.is_torn && !profile.is_before_first_gc);
        }
        let without_cycle = Location { sweep_generation: None, ..LOCATION };
        let profile = without_cycle.read(&memory(&SITES, has_bytes, 7, 4096)).unwrap();
        assert_eq!(in_use(&profile), [(3, 144), (0, 0), (0, 0)]);
        assert_eq!(profile.sites[0].stack, [0x11, 0x12, 0x13]);
        assert_eq!(
            profile.sites[0].counts,
            Counts { allocated: 5, freed: 2, allocated_bytes: 240, freed_bytes: 96 }
        );
    }
}

#[test]
fn before_the_first_collection_all_that_was_allocated_counts() {
    let young = [Bucket { stack: &[0x11], object_bytes: 16, counts: [(0, 0), (0, 0), (0, 0), (7, 0)] }];
    let profile = LOCATION.read(&memory(&young, true, 0, 524_288)).unwrap();
    assert!(profile.is_before_first_gc);
    assert_eq!(in_use(&profile), [(7, 112)]);
    let estimate = profile.estimate(&profile.sites[0]);
    assert_eq!((estimate.in_use_objects, estimate.in_use_bytes), (229_379, 3_670_072));
    assert_eq!(estimate.allocated_bytes, estimate.in_use_bytes);
}

#[test]
fn programs_without_samples_say_why() {
    let good = memory(&SITES, true, 6, 4096);
    let read = |location: Location, memory: &Recorded| location.read(memory).unwrap_err();
    let unlinked = Location { is_linked: false, ..LOCATION };
    let off = memory(&SITES, true, 6, 0);
    for (error, expected) in [
        (
            read(unlinked, &off),
            "nothing in it uses runtime.MemProfile or runtime/pprof, and the linker turned sampling off",
        ),
        (read(LOCATION, &off), "it set runtime.MemProfileRate to 0"),
        (read(LOCATION, &memory(&SITES, true, 6, u64::MAX)), "it set runtime.MemProfileRate to 0"),
        (read(LOCATION, &memory(&[], true, 6, 4096)), "no allocation has been sampled yet"),
        (read(Location { buckets: None, ..LOCATION }, &good), "no allocation has been sampled yet"),
        (
            read(Location { rate: None, ..LOCATION }, &good),
            "the runtime's profile could not be found: the sampling rate is not where it is looked for",
        ),
        (
            read(LOCATION, &memory(&SITES, true, 6, 1 << 60)),
            "the runtime's profile could not be found: the sampling rate makes no sense",
        ),
        (
            read(LOCATION, &good.clone().changed(FIRST + 16, |_| 2)),
            "the runtime's profile could not be found: the first bucket makes no sense",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(read(Location { rate: None, ..unlinked }, &good), NoProfile::NotLinked);
}

#[test]
fn lists_that_lead_in_circles_or_nowhere_end() {
    let second = FIRST + STRIDE;
    for (next_of_second, sites) in [(FIRST, 2), (second, 2), (0x10, 2), (u64::MAX - 7, 2), (second + 4, 2)] {
        let mut memory = memory(&SITES, true, 6, 4096);
        for (index, byte) in (0..).zip(next_of_second.to_le_bytes()) {
            memory = memory.changed(second + 8 + index, |_| byte);
        }
        let profile = LOCATION.read(&memory).unwrap();
        assert_eq!(profile.sites.len(), sites, "{next_of_second:#x}");
        assert!(profile.is_truncated);
    }
    // A depth of 2^56 frames.
    let deep = memory(&SITES, true, 6, 4096).changed(second + 47, |_| 1);
    assert!(LOCATION.read(&deep).unwrap().is_truncated);
}

/// Frames by return address: 1 is `a` inlined into `b` inlined into `c`, so that 2 is `b` in `c` and 3 is `c`.
fn frames(pc: u64) -> Vec<(&'static str, u64)> {
    match pc {
        1 => vec![("a", 10), ("b", 20), ("c", 30)],
        2 => vec![("b", 20), ("c", 30)],
        3 => vec![("c", 30)],
        // A function inlined into itself.
        5 => vec![("r", 50), ("r", 60)],
        6 => vec![("r", 60)],
        other => vec![("main", other)],
    }
}

#[test]
fn inlined_calls_share_a_place() {
    let names = |stack: &[u64]| -> Vec<Vec<&str>> {
        let places = places(stack, frames, |one, other| one.0 == other.0);
        places.into_iter().map(|place| place.into_iter().map(|frame| frame.0).collect()).collect()
    };
    assert_eq!(names(&[1, 2, 3, 9]), [vec!["a", "b", "c"], vec!["main"]]);
    assert_eq!(names(&[2, 3, 9]), [vec!["b", "c"], vec!["main"]]);
    assert_eq!(names(&[9, 1]), [vec!["main"], vec!["a", "b", "c"]], "cut off by the depth limit");
    assert_eq!(names(&[1, 9]), [vec!["a"], vec!["main"]], "what it was inlined into is not in the stack");
    assert_eq!(names(&[5, 6, 9]), [["r"], ["r"], ["main"]]);
    assert_eq!(names(&[9, 5]), [["main"], ["r"], ["r"]]);
    assert_eq!(names(&[]), Vec::<Vec<&str>>::new());
}

#[test]
fn the_runtime_is_hidden_at_the_leaf_only() {
    let name = |pc: u64| match pc {
        1 => Some("runtime.mallocgc".into()),
        2 => Some("internal/runtime/maps.newGroups".into()),
        3 => Some("main.insert".into()),
        4 => Some("runtime.main".into()),
        _ => None,
    };
    for (stack, shown) in
        [(&[1, 2, 3, 1, 4][..], &[3, 1, 4][..]), (&[1, 4], &[1, 4]), (&[1, 99, 3], &[99, 3]), (&[], &[])]
    {
        assert_eq!(without_runtime(stack, name), shown);
    }
}

proptest! {
    #[test]
    fn garbled_buckets_do_no_harm(
        at in 0_u64..2 * STRIDE,
        bytes in prop::array::uniform8(any::<u8>()),
        has_bytes in any::<bool>(),
    ) {
        let mut garbled = memory(&SITES, has_bytes, 7, 4096);
        let first_words: Vec<u64> = vec![0; 40];
        garbled = garbled.with_words(FIRST + 3 * STRIDE, &first_words);
        for (index, byte) in (0..).zip(bytes) {
            // Only what is mapped can be garbled.
            let address = FIRST + at + index;
            let mut probe = [0];
            if super::Memory::read(&garbled, address, &mut probe).is_ok() {
                garbled = garbled.changed(address, |_| byte);
            }
        }
        if let Ok(profile) = LOCATION.read(&garbled) {
            prop_assert!(profile.sites.len() <= 4);
            for site in &profile.sites {
                _ = profile.estimate(site);
            }
        }
    }

    #[test]
    fn random_memory_does_no_harm(words in prop::collection::vec(any::<u64>(), 64), rate in any::<u64>()) {
        let memory = Recorded::new().with_words(FIRST, &words).with_words(HEAD, &[FIRST, rate, 8]);
        _ = LOCATION.read(&memory);
    }

    #[test]
    fn places_lose_no_leaf(stack in prop::collection::vec(0_u64..10, 0..20)) {
        let places = places(&stack, frames, |one, other| one.0 == other.0);
        prop_assert!(places.iter().all(|place| !place.is_empty()));
        prop_assert_eq!(places.first().map(|place| place[0]), stack.first().map(|pc| frames(*pc)[0]));
    }
}
