use super::{History, LEVELS, Reader, Readings, Signal};
use crate::judge::simulation::{Beat, moment, sample};
use proptest::prelude::*;

/// One reading of goroutines each `beat` seconds, for as many seconds as asked.
fn history(seconds: u32, beat: usize, value: impl Fn(f64) -> f64) -> History {
    let mut history = History::default();
    for second in (0..seconds).step_by(beat) {
        let mut readings = Readings::default();
        readings.set(Signal::Goroutines, value(f64::from(second)));
        history.push(moment(f64::from(second)), &readings);
    }
    history
}

#[test]
fn a_bucket_tells_troughs_from_peaks() {
    let history = history(3_600, 10, |second| if (second / 10.0).floor() % 6.0 == 3.0 { 90.0 } else { 20.0 });
    let hour = history.points(0, 60, Signal::Goroutines);
    assert!(hour.len() >= 59);
    assert!(hour[1..].iter().all(|point| point.low == 20.0 && point.middle == 20.0 && point.high == 90.0));
    let longer = history.points(1, 72, Signal::Goroutines);
    assert_eq!(longer.len(), 12);
    assert!(longer.iter().all(|point| point.low == 20.0 && point.middle == 20.0 && point.high == 90.0));
    assert!(history.points(0, 60, Signal::Threads).is_empty(), "what was not read is not zero");
    assert_eq!(history.range(1, 72, Signal::Goroutines), Some((20.0, 90.0)));
}

#[test]
fn three_weeks_take_as_many_bytes_as_two() {
    let day = 86_400;
    let two = history(14 * day, 60, |second| second);
    let three = history(21 * day, 60, |second| second);
    assert_eq!(two.bytes(), three.bytes());
    assert!(three.bytes() < 48 * 1024, "{}", three.bytes());
    for (level, (seconds, buckets)) in LEVELS.into_iter().enumerate() {
        let points = three.points(level, buckets, Signal::Goroutines);
        assert_eq!(points.len(), buckets);
        assert!(points.windows(2).all(|pair| pair[1].seconds - pair[0].seconds == seconds as f64));
    }
}

#[test]
fn a_pause_leaves_a_gap_and_bends_nothing() {
    let mut history = History::default();
    for second in (0..40_000).step_by(20).filter(|second| !(9_000..20_000).contains(second)) {
        let mut readings = Readings::default();
        readings.set(Signal::Goroutines, f64::from(second) / 20.0);
        history.push(moment(f64::from(second)), &readings);
    }
    let points = history.points(1, 200, Signal::Goroutines);
    assert!(points.windows(2).any(|pair| pair[1].seconds - pair[0].seconds > 10_000.0));
    // Buckets of which only a part was seen stand for their middle all the same.
    for pair in points.windows(2) {
        let slope = (pair[1].middle - pair[0].middle) / (pair[1].seconds - pair[0].seconds);
        assert!((slope - 0.05).abs() < 0.026, "{slope}");
    }
}

#[test]
fn readings_are_taken_once_and_allocation_is_a_rate() {
    let mut reader = Reader::default();
    let counters = |allocated| {
        let heap = crate::observed::go_counters::HeapCounters {
            gc_cycles: 1,
            gogc_percent: None,
            memory_limit_bytes: None,
            live_bytes: 0,
            marked_bytes: Some(5 << 20),
            goal_bytes: None,
            in_use_bytes: 8 << 20,
            idle_bytes: 0,
            released_bytes: 0,
            stack_bytes: 0,
            total_allocated_bytes: allocated,
            total_freed_bytes: 0,
            mapped_bytes: 0,
        };
        Some(crate::observed::go_counters::GoCounters {
            goroutines: Some(7),
            heap: Some(heap),
            gc_cycles: Some(1),
        })
    };
    let first = sample(0.0, &Beat { runtime: counters(1_000), ..Beat::default() });
    let readings = reader.read(&first);
    assert_eq!(readings.get(Signal::Allocation), None, "of one total nobody knows a rate");
    assert_eq!((readings.get(Signal::Files), readings.get(Signal::Sockets)), (Some(5.0), Some(4.0)));
    let mut next = sample(10.0, &Beat { runtime: counters(6_000), files: 9, ..Beat::default() });
    next.descriptor_types = std::sync::Arc::clone(&first.descriptor_types);
    let readings = reader.read(&next);
    assert_eq!(readings.get(Signal::Allocation), Some(500.0));
    assert_eq!(readings.get(Signal::Descriptors), Some(13.0));
    assert_eq!(readings.get(Signal::Files), None, "their number has moved since they were looked at");
    let again = reader.read(&sample(20.0, &Beat { runtime: counters(10), ..Beat::default() }));
    assert_eq!(again.get(Signal::Allocation), None, "another program's runtime");
}

proptest! {
    #[test]
    fn any_order_of_moments_leaves_bounded_ordered_buckets(moments in proptest::collection::vec(0..900_000_u32, 1..300)) {
        let mut history = History::default();
        for at in moments {
            let mut readings = Readings::default();
            readings.set(Signal::Threads, f64::from(at));
            history.push(moment(f64::from(at)), &readings);
        }
        for (level, (_, buckets)) in LEVELS.into_iter().enumerate() {
            let points = history.points(level, usize::MAX, Signal::Threads);
            prop_assert!(points.len() <= buckets);
            prop_assert!(points.windows(2).all(|pair| pair[0].seconds < pair[1].seconds));
            prop_assert!(points.iter().all(|point| point.low <= point.middle && point.middle <= point.high));
        }
    }
}
