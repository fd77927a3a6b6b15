use super::{Exaggeration, Held, MIN_AGE, join, sites, without_allocator};
use crate::golang::heap::spans::marks::{MarkedSpan, SpanReading};
use crate::observed::ledger::{Accounts, Route, Spans};
use crate::source::kernel::ledger::{RawAllocated, RawLedger, RawSample, RawSite, RawSpan, RawTally};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{StackId, WalkedStack};
use crate::vocabulary::reading::Moment;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const NOW: Duration = Duration::from_secs(100);
const KEEPER: StackId = StackId(7);
const CHURN: StackId = StackId(9);

fn sample(stack: StackId, slot: u32, weight: u32, generation: u32, age: u64) -> RawSample {
    RawSample { stack: Some(stack), at: NOW - Duration::from_secs(age), slot, weight, generation }
}

fn span(address: u64, samples: &[RawSample]) -> RawSpan {
    RawSpan { address, start: address << 13, object_bytes: 100, span_class: 10, samples: samples.to_vec() }
}

/// As the collection with `sweepgen` 20 left it.
fn marked(address: u64, slots: &[u32]) -> SpanReading {
    SpanReading::Marked(MarkedSpan::of(address << 13, 10, 100, 80, 20, slots))
}

fn raw(things: Vec<RawSpan>, one_in: u32) -> RawLedger<RawSpan> {
    RawLedger {
        began: Moment { since_boot: Duration::from_secs(50), wall: UNIX_EPOCH },
        route: Route::Runtime,
        things,
        sites: HashMap::new(),
        tally: RawTally::default(),
        one_in,
    }
}

#[test]
fn a_sample_stands_for_its_weight_while_its_object_is_marked() {
    let things = vec![
        span(1, &[sample(KEEPER, 3, 40, 10, 9), sample(CHURN, 4, 30, 12, 8)]),
        span(2, &[sample(KEEPER, 0, 2, 10, 20)]),
        span(3, &[sample(CHURN, 5, 60, 10, 9)]),
        span(4, &[sample(CHURN, 5, 60, 10, 9)]),
        span(5, &[sample(CHURN, 5, 60, 10, 9)]),
    ];
    let many: Vec<u32> = (0..60).filter(|slot| *slot != 4).collect();
    let readings =
        [marked(1, &many), marked(2, &[0, 1, 2]), marked(3, &[6]), SpanReading::NotInUse, marked(77, &[5])];
    let joined = join(NOW, &raw(things, 1), &readings);
    let ages = Some((Duration::from_secs(20), Duration::from_secs(9)));
    let exaggeration = Exaggeration::of(42, 42);
    let held = Held { objects: 42, bytes: 4200, undecided: 0, ages, exaggeration };
    assert_eq!(joined.held, HashMap::from([(Some(KEEPER), held)]));
    // What is alive in the third is older than the samples. The last is another span by now.
    assert_eq!(joined.empty, [4, 5]);
}

#[test]
fn spans_that_were_left_out_are_stood_for() {
    let samples = [sample(KEEPER, 1, 60, 10, 9), sample(CHURN, 2, 20, 10, 9)];
    let all: Vec<u32> = (0..80).collect();
    let joined = join(NOW, &raw(vec![span(1, &samples)], 4), &[marked(1, &all)]);
    let objects = |stack| joined.held[&Some(stack)].objects;
    assert_eq!((objects(KEEPER), objects(CHURN)), (60 * 4, 20 * 4));
    // Not so those of large objects.
    let large = RawSpan { span_class: 1, ..span(1, &[sample(KEEPER, 0, 1, 10, 9)]) };
    let reading = SpanReading::Marked(MarkedSpan::of(1 << 13, 1, 100, 1, 20, &[0]));
    let joined = join(NOW, &raw(vec![large], 4), &[reading]);
    assert_eq!(joined.held[&Some(KEEPER)].objects, 1);
}

#[test]
fn samples_of_a_size_stand_for_no_more_than_is_marked_in_its_spans() {
    let things = vec![
        span(1, &[sample(KEEPER, 1, 60, 10, 9), sample(CHURN, 2, 20, 10, 9)]),
        span(2, &[sample(CHURN, 3, 80, 10, 9)]),
        // Of another size: it has nothing to do with that.
        RawSpan { span_class: 12, ..span(3, &[sample(KEEPER, 1, 9, 10, 9)]) },
    ];
    let others: Vec<u32> = (10..46).collect();
    let large =
        SpanReading::Marked(MarkedSpan::of(3 << 13, 12, 100, 80, 20, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    let joined = join(NOW, &raw(things, 1), &[marked(1, &[1, 2, 3, 4]), marked(2, &others), large]);
    // 80 by samples, of which one span has 4 alive and the other, whose own sample is dead, 36.
    let held = |stack| joined.held[&Some(stack)];
    assert_eq!((held(KEEPER).objects, held(CHURN).objects), (30 + 9, 10));
    assert_eq!(held(CHURN).exaggeration, Exaggeration::of(80, 40));
    assert_eq!(Exaggeration::of(0, 0).corrected(u64::MAX), u64::MAX);
    assert_eq!(held(CHURN).exaggeration.corrected(30), 15);
}

#[test]
fn what_is_young_or_unsettled_is_undecided() {
    for (what, sample, reading, undecided) in [
        ("one collection", sample(KEEPER, 1, 5, 18, 9), marked(1, &[1, 2, 3, 4, 5]), 5),
        ("none", sample(KEEPER, 1, 5, 20, 9), marked(1, &[]), 5),
        ("none, of a later cycle", sample(KEEPER, 1, 5, 22, 9), marked(1, &[]), 5),
        ("too short a time", sample(KEEPER, 1, 5, 2, 0), marked(1, &[1, 2, 3, 4, 5]), 5),
        ("being swept", sample(KEEPER, 1, 5, 2, 9), SpanReading::Unsettled, 5),
        ("dead after one collection", sample(KEEPER, 1, 5, 18, 9), marked(1, &[]), 0),
    ] {
        let joined = join(NOW, &raw(vec![span(1, &[sample])], 1), &[reading]);
        let held = joined.held.get(&Some(KEEPER)).copied().unwrap_or_default();
        assert_eq!((held.objects, held.undecided), (0, undecided), "{what}");
        assert_eq!(joined.empty.is_empty(), undecided > 0, "{what}");
    }
    // Allocated between the two readings: newer than now, and not of an immense age.
    let newer = RawSample { at: NOW + MIN_AGE * 2, ..sample(KEEPER, 1, 5, 2, 0) };
    let joined = join(NOW, &raw(vec![span(1, &[newer])], 1), &[marked(1, &[1, 2, 3, 4, 5])]);
    assert_eq!(joined.held[&Some(KEEPER)].undecided, 5);
}

#[test]
fn sites_of_one_line_are_one_and_the_sums_add_up() {
    let stack = |pc| RawSite {
        stack: WalkedStack { walked: vec![pc], ..WalkedStack::default() },
        created: 1,
        ended: 0,
        longest_ended: Some(Duration::from_secs(pc)),
    };
    let mut ledger = raw(Vec::new(), 2);
    ledger.sites = HashMap::from([(KEEPER, stack(1)), (StackId(8), stack(2)), (CHURN, stack(3))]);
    ledger.tally.lost = 4;
    let held = |objects, undecided, age| Held {
        objects,
        bytes: objects * 100,
        undecided,
        ages: Some((Duration::from_secs(age), Duration::from_secs(1))),
        ..Held::default()
    };
    let joined = super::Joined {
        held: HashMap::from([
            (Some(KEEPER), held(30, 5, 7)),
            (Some(StackId(8)), held(10, 0, 9)),
            (None, held(2, 0, 5)),
        ]),
        empty: Vec::new(),
    };
    let allocated = |objects| RawAllocated { objects, bytes: objects * 100 };
    let allocated =
        HashMap::from([(KEEPER, allocated(40)), (StackId(8), allocated(5)), (CHURN, allocated(900))]);
    let mut expand = |stack: &WalkedStack| -> Arc<[Frame]> {
        let name = if stack.walked == [3] { "main.churn" } else { "main.keep" };
        [Frame::new(name, "main.go", 1)].into()
    };
    let (sites, accounts) = sites(&ledger, &allocated, &joined, Some(100), &mut expand);
    let rows: Vec<_> = sites
        .iter()
        .map(|site| (site.stack.first().map(|frame| &*frame.function), site.created, site.ended, site.what))
        .collect();
    let spans = |objects| Spans { bytes: objects * 100, objects };
    assert_eq!(
        rows,
        [
            // Of ten objects five were seen to be allocated: the estimate of those that live counts.
            (Some("main.keep"), 50, 5, spans(40)),
            (None, 2, 0, spans(2)),
            (Some("main.churn"), 900, 900, spans(0)),
        ]
    );
    assert_eq!((sites[0].oldest.as_secs(), sites[0].longest_ended.map(|it| it.as_secs())), (9, Some(2)));
    let expected = Accounts {
        outstanding: 42 + 53,
        before: 100 - 42 - 5,
        without_stack: 2,
        created: 952,
        ended: 905,
        lost: 4,
        one_in: 2,
        ..Accounts::default()
    };
    assert_eq!(accounts, expected);
}

#[test]
fn the_allocators_frames_are_left_out_unless_there_are_no_others() {
    let of = |stack: &[&'static str]| without_allocator(stack, |frame| frame).to_vec();
    assert_eq!(
        of(&["runtime.mallocgc", "runtime.newobject", "main.f", "runtime.main"]),
        ["main.f", "runtime.main"]
    );
    assert_eq!(of(&["runtime.mallocgc", "runtime.goexit"]), ["runtime.mallocgc", "runtime.goexit"]);
    assert!(of(&[]).is_empty());
}
