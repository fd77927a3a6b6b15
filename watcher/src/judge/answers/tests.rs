use crate::golang::runtime::HeapCounters;
use crate::judge::simulation::{Beat, window};
use crate::judge::{Bounds, Judgement, Kind, Thresholds, UndecidedWhy, Verdict, judge};
use crate::sample::runtime::GoCounters;
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
fn garbage_of_one_cycle_is_said_and_withholds_no_verdict() {
    let judgement = judged(
        &window(|second, beat| {
            counted(beat, Some(20));
            beat.anon_bytes += (second as u64) * (200 << 10);
        }),
        true,
    );
    assert_eq!(judgement.verdict, Verdict::Healthy, "{judgement:?}");
    let within = UndecidedWhy::WithinACycle { rise_bytes: 45.0 * 200.0 * 1024.0 };
    assert_eq!(undecided(&judgement).first(), Some(&(Kind::Heap, within)));
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
        let mut answers: Vec<Kind> = answers.chain(judgement.undecided.iter().map(|it| it.kind)).collect();
        answers.sort();
        answers.dedup();
        assert_eq!(answers.len(), 8, "row {row}: {answers:?}");
    }
}
