use crate::judge::judge;
use crate::judge::judgement::{Detail, Finding, Judgement, Outcome, Suspected};
use crate::judge::simulation::{Beat, window};
use crate::judge::terms::{Bounds, Kind, Rate, Thresholds, Verdict};
use crate::judge::weigh::attribute;
use crate::judge::weigh::reasons::{Steady, SteadyWhy, UndecidedWhy};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::store::Window;

fn judged(window: &Window, is_go: bool) -> Judgement {
    judge(window, &Bounds { is_go, ..Bounds::default() }, &Thresholds::default())
}

fn undecided(judgement: &Judgement) -> Vec<(Kind, UndecidedWhy)> {
    judgement.undecided.iter().map(|one| (one.kind, one.why.clone())).collect()
}

fn counted(beat: &mut Beat, goroutines: Option<u64>) {
    let heap = HeapCounters {
        marked_bytes: Some(8 << 20),
        in_use_bytes: 16 << 20,
        idle_bytes: 10 << 20,
        ..HeapCounters::default()
    };
    beat.runtime = Some(GoCounters { goroutines, heap: Some(heap), gc_cycles: Some(1) });
}

#[test]
fn a_go_program_whose_runtime_was_not_read_is_not_acquitted() {
    let quiet = window(|_, _| {});
    let go = judged(&quiet, true);
    assert_eq!(go.verdict, Verdict::Inconclusive);
    assert_eq!(undecided(&go), [(Kind::Goroutine, UndecidedWhy::NotRead)]);
    assert_eq!(judged(&quiet, false).verdict, Verdict::Healthy, "what is not Go has no goroutines");
}

#[test]
fn goroutines_that_are_not_found_are_missed_though_the_heap_is_read() {
    let without = judged(&window(|_, beat| counted(beat, None)), true);
    assert_eq!(undecided(&without), [(Kind::Goroutine, UndecidedWhy::NotRead)]);
    assert_eq!(without.verdict, Verdict::Inconclusive);
    let with = judged(&window(|_, beat| counted(beat, Some(20))), true);
    assert_eq!(with.verdict, Verdict::Healthy, "{with:?}");
}

#[test]
fn garbage_between_two_collections_withholds_no_verdict_where_it_would_last_for_long() {
    let verdict = |host_bytes: u64| {
        let garbage = window(|second, beat| {
            counted(beat, Some(20));
            let garbage = second as u64 * (200 << 10);
            beat.anon_bytes += garbage;
            if let Some(heap) = beat.runtime.as_mut().and_then(|counters| counters.heap.as_mut()) {
                heap.live_bytes += garbage;
                heap.in_use_bytes += garbage;
                heap.total_allocated_bytes += garbage;
            }
        });
        let (memory, available) = (Some(host_bytes), Some(host_bytes));
        let bounds = Bounds {
            is_go: true,
            host_memory_bytes: memory,
            host_available_bytes: available,
            ..Bounds::default()
        };
        judge(&garbage, &bounds, &Thresholds::default()).verdict
    };
    assert_eq!(verdict(32 << 30), Verdict::Healthy);
    assert_eq!(verdict(8 << 30), Verdict::Inconclusive, "full within a day if it were no garbage");
}

#[test]
fn memory_within_a_cycle_is_said_where_the_heap_of_a_go_program_is_not_read() {
    let rises = window(|second, beat| beat.anon_bytes += second as u64 * (200 << 10));
    let rise_bytes = 45.0 * 200.0 * 1024.0;
    let need_seconds = f64::from(48 << 20) / rise_bytes * 45.0;
    let within = UndecidedWhy::WithinACycle { rise_bytes, need_seconds };
    let expected =
        [(Kind::Goroutine, UndecidedWhy::NotRead), (Kind::Heap, within.clone()), (Kind::Native, within)];
    assert_eq!(undecided(&judged(&rises, true)), expected);
    let without_heap = judged(
        &window(|second, beat| {
            beat.anon_bytes += second as u64 * (200 << 10);
            beat.runtime = Some(GoCounters { goroutines: Some(20), heap: None, gc_cycles: Some(1) });
        }),
        true,
    );
    assert_eq!(undecided(&without_heap).len(), 2, "{without_heap:?}");
    assert_eq!(without_heap.verdict, Verdict::Inconclusive, "nobody has seen its heap");
}

#[test]
fn what_is_not_go_makes_no_garbage_and_is_not_acquitted_by_it() {
    let rises = window(|second, beat| beat.anon_bytes += second as u64 * (300 << 10));
    let judgement = judged(&rises, false);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let of_memory = undecided(&judgement);
    assert_eq!(of_memory.len(), 2, "{of_memory:?}");
    for (kind, why) in of_memory {
        assert!(matches!(why, UndecidedWhy::CompositionUnknown { .. }), "{kind:?} {why:?}");
    }
}

#[test]
fn each_kind_has_an_answer_whatever_was_read() {
    type Change = Box<dyn Fn(usize, &mut Beat)>;
    let mut changes: Vec<Change> = Vec::new();
    changes.push(Box::new(|_, _| {}));
    changes.push(Box::new(|_, beat| counted(beat, Some(9))));
    changes.push(Box::new(|second, beat| beat.anon_bytes += (second as u64) << 18));
    changes.push(Box::new(|second, beat| beat.anon_bytes += (second as u64) << 21));
    changes.push(Box::new(|second, beat| {
        counted(beat, Some(9 + second as u64));
        beat.anon_bytes += (second as u64) << 18;
        beat.established += second as u64;
    }));
    for (row, change) in changes.iter().enumerate() {
        let judgement = judged(&window(change), true);
        let answers = judgement.findings.iter().map(|it| it.kind);
        let answers = answers.chain(judgement.steady.iter().map(|it| it.kind));
        let answers = answers.chain(judgement.suspected.iter().map(|it| it.finding.kind));
        let mut answers: Vec<Kind> = answers.chain(judgement.undecided.iter().map(|it| it.kind)).collect();
        answers.sort();
        answers.dedup();
        assert_eq!(answers.len(), 8, "row {row}: {answers:?}");
    }
}

#[test]
fn what_is_suspected_is_neither_healthy_nor_a_leak_nor_ruled_out() {
    let window = window(|_, _| {});
    let bounds = Bounds::default();
    let suspected = Suspected {
        finding: Finding {
            kind: Kind::Fd,
            primary: false,
            consequence_of: None,
            confidence: 0.5,
            rate: Rate { per_second: 0.05, low: 0.01, high: 0.1 },
            exhausts: None,
            detail: Detail::default(),
            culprits: Vec::new(),
            evidence: Vec::new(),
        },
        need_seconds: Some(300.0),
    };
    let steady = |kind| Outcome::Steady(Steady { kind, why: SteadyWhy::Flat { low: 7.0, high: 7.0 } });
    let outcomes = |one: Suspected| vec![steady(Kind::Fd), Outcome::Suspected(one), steady(Kind::Thread)];
    let judgement = attribute::weigh(outcomes(suspected.clone()), &window, &bounds);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert_eq!(judgement.suspected, std::slice::from_ref(&suspected));
    assert!(judgement.steady.iter().all(|it| it.kind != Kind::Fd), "{:?}", judgement.steady);
    assert!(judgement.undecided.iter().all(|it| it.kind != Kind::Fd), "{:?}", judgement.undecided);
    // What is found needs no suspicion.
    let found = Outcome::Leaks(suspected.finding.clone());
    let both = outcomes(suspected).into_iter().chain([found]).collect();
    let judgement = attribute::weigh(both, &window, &bounds);
    assert_eq!((judgement.verdict, judgement.suspected.len()), (Verdict::Leak, 0));
}
