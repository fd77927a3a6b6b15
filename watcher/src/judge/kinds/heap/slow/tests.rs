//! Heaps that gain a KiB a second, and programs that only rest.

#![expect(clippy::cast_sign_loss, reason = "seconds of a window")]

use crate::judge::judge;
use crate::judge::judgement::Judgement;
use crate::judge::simulation::{Beat, window_of};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::reasons::UndecidedWhy;
use crate::observed::go_counters::{GoCounters, HeapCounters};

const HOST_BYTES: u64 = 24 << 30;

/// A program that has run for half an hour: what it keeps and what it throws away each second, in bytes. It is collected
/// every two minutes, the first time in the window at `phase`.
fn watched(seconds: f64, kept: u64, thrown_away: u64, phase: f64) -> Judgement {
    let since_start = |second: f64| (1_800.0 + second) as u64;
    let window = window_of(seconds, 1.0, |second, beat: &mut Beat| {
        let collections = if second < phase { 0 } else { 1 + ((second - phase) / 120.0) as u64 };
        let last = phase + 120.0 * (collections as f64 - 1.0);
        let base = 300 << 10;
        let marked = base + kept * since_start(last);
        let since = (kept + thrown_away) * ((second - last) as u64);
        let heap = HeapCounters {
            marked_bytes: Some(marked),
            live_bytes: marked + since,
            in_use_bytes: 4 << 20,
            goal_bytes: Some(4 << 20),
            gogc_percent: Some(100),
            total_allocated_bytes: base + (kept + thrown_away) * since_start(second),
            ..HeapCounters::default()
        };
        let gc_cycles = Some(15 + collections);
        beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles });
    });
    let bounds = Bounds {
        is_go: true,
        host_memory_bytes: Some(HOST_BYTES),
        host_available_bytes: Some(HOST_BYTES),
        ..Bounds::default()
    };
    judge(&window, &bounds, &Thresholds::default())
}

#[test]
fn a_kib_a_second_that_stays_is_never_ruled_out() {
    for seconds in [45.0, 120.0, 300.0, 600.0] {
        for phase in [2.0, 20.0, 40.0, 60.0, 110.0] {
            let judgement = watched(seconds, 1_024, 0, phase);
            assert_ne!(judgement.verdict, Verdict::Healthy, "{seconds} s, {phase}: {judgement:#?}");
            assert!(judgement.steady.iter().all(|one| one.kind != Kind::Heap), "{seconds} s, {phase}");
        }
    }
}

#[test]
fn what_is_advised_for_a_slow_heap_decides_it() {
    for phase in [2.0, 30.0, 60.0, 110.0] {
        let first = watched(45.0, 1_024, 0, phase);
        let need = first.undecided.iter().find_map(|one| one.why.need_seconds()).expect("a duration");
        let judgement = watched(need, 1_024, 0, phase);
        assert_eq!(judgement.verdict, Verdict::Leak, "{need} s: {:?}", judgement.undecided);
    }
}

#[test]
fn programs_that_rest_or_throw_away_what_they_allocate_are_acquitted() {
    for seconds in [45.0, 120.0, 300.0] {
        for (kept, thrown_away, name) in [(0, 0, "rests"), (0, 12 << 10, "makes garbage")] {
            for phase in [2.0, 60.0, 110.0] {
                let judgement = watched(seconds, kept, thrown_away, phase);
                assert_eq!(
                    judgement.verdict,
                    Verdict::Healthy,
                    "{name}, {seconds} s: {:?}",
                    judgement.undecided
                );
            }
        }
    }
}

#[test]
fn memory_of_c_that_rises_all_the_time_is_suspected() {
    let of = |per_second: u64| {
        let window = window_of(45.0, 1.0, move |second, beat: &mut Beat| {
            beat.anon_bytes = (8 << 20) + per_second * second as u64;
            let heap = HeapCounters {
                marked_bytes: Some(300 << 10),
                live_bytes: 300 << 10,
                in_use_bytes: 4 << 20,
                gogc_percent: Some(100),
                total_allocated_bytes: 90 << 20,
                ..HeapCounters::default()
            };
            beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles: Some(15) });
        });
        judge(&window, &Bounds { is_go: true, ..Bounds::default() }, &Thresholds::default())
    };
    let slow = of(10 << 10);
    assert_eq!(slow.verdict, Verdict::Inconclusive);
    assert_eq!(slow.suspected.iter().map(|one| one.finding.kind).collect::<Vec<_>>(), [Kind::Native]);
    assert!(slow.undecided.iter().all(|one| !matches!(one.why, UndecidedWhy::NotRead)));
    assert_eq!(of(0).verdict, Verdict::Healthy);
}

/// Sysmon forces no collection before there was a first one: a heap below 4 MiB may never have been looked at.
#[test]
fn what_was_never_collected_is_not_ruled_out_in_a_program_that_has_run_for_long() {
    let of = |age: f64, per_second: u64| {
        let window = window_of(45.0, 1.0, move |second, beat: &mut Beat| {
            let allocated = (1 << 20) + per_second * second as u64;
            let heap = HeapCounters {
                live_bytes: allocated,
                in_use_bytes: 4 << 20,
                goal_bytes: Some(4 << 20),
                gogc_percent: Some(100),
                total_allocated_bytes: allocated,
                ..HeapCounters::default()
            };
            beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles: Some(0) });
        });
        let bounds = Bounds { is_go: true, age_seconds: Some(age), ..Bounds::default() };
        judge(&window, &bounds, &Thresholds::default())
    };
    let slow = of(1_800.0, 1_024);
    assert_eq!(slow.verdict, Verdict::Inconclusive, "{slow:#?}");
    let need = slow.undecided.iter().find_map(|one| one.why.need_seconds()).expect("a duration");
    assert!(need >= 3.0 * 1024.0 + 1_024.0, "the first collection comes after 51 min: {need}");
    assert_eq!(of(1_800.0, 0).verdict, Verdict::Healthy);
    assert_eq!(of(50.0, 1_024).verdict, Verdict::Healthy, "it has just started");
}
