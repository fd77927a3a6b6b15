use super::{CALIBRATED, NOT_CONFIRMED};
use crate::judge::judge;
use crate::judge::judgement::Lacking;
use crate::judge::simulation::{Beat, PROCESS, sample};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::reasons::UndecidedWhy;
use crate::observed::doubts::{Doubt, Structure, Why};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::store::Window;

/// Two minutes of a process whose goroutines are as told.
fn watched(goroutines: impl Fn(u64) -> u64, heap: Option<HeapCounters>, doubts: &[Doubt]) -> Window {
    let mut window = Window::new(PROCESS, 1024);
    for second in 0..120_u32 {
        let goroutines = Some(goroutines(second.into()));
        let runtime = GoCounters { goroutines, heap, gc_cycles: heap.map(|_| 1) };
        let beat = Beat { runtime: Some(runtime), ..Beat::default() };
        assert!(window.push(sample(f64::from(second), &beat)));
    }
    window.captures_mut().doubts = doubts.to_vec();
    window
}

fn doubt(structure: Structure, why: Why) -> Doubt {
    Doubt { structure, why }
}

#[test]
fn what_rests_on_a_doubted_structure_is_less_sure_and_it_is_said() {
    let version = || Why::UnknownVersion("go1.99".to_owned());
    let confidence = |doubts: &[Doubt]| {
        let judgement = judge(
            &watched(|second| 20 + 7 * second, None, doubts),
            &Bounds::default(),
            &Thresholds::default(),
        );
        let told: Vec<Lacking> = doubts.iter().cloned().map(Lacking::Certainty).collect();
        assert!(told.iter().all(|one| judgement.lacking.contains(one)), "{:?}", judgement.lacking);
        let finding = judgement.findings.iter().find(|it| it.kind == Kind::Goroutine).unwrap();
        finding.confidence
    };
    let sure = confidence(&[]);
    for (doubts, part) in [
        (vec![doubt(Structure::Goroutine, version())], CALIBRATED),
        (vec![doubt(Structure::Goroutine, Why::Disagreement)], CALIBRATED),
        (vec![doubt(Structure::Goroutine, Why::NotConfirmed)], NOT_CONFIRMED),
        // The worst counts, once.
        (
            vec![doubt(Structure::Goroutine, version()), doubt(Structure::Goroutine, Why::NotConfirmed)],
            NOT_CONFIRMED,
        ),
        (vec![doubt(Structure::Heap, Why::NotConfirmed), doubt(Structure::Thread, Why::Disagreement)], 1.0),
        (vec![doubt(Structure::Heap, Why::NotRead("it is not there".to_owned()))], 1.0),
    ] {
        let told = confidence(&doubts);
        assert!((told - sure * part).abs() < 1e-9, "{doubts:?}: {told} of {sure}");
    }
}

#[test]
fn resident_memory_does_not_acquit_a_heap_that_is_not_read() {
    let go = Bounds { is_go: true, ..Bounds::default() };
    let judged = |heap, bounds: &Bounds| judge(&watched(|_| 20, heap, &[]), bounds, &Thresholds::default());
    let unread = judged(None, &go);
    let heap = unread.undecided.iter().find(|one| one.kind == Kind::Heap).map(|one| one.why.clone());
    assert_eq!((unread.verdict, heap), (Verdict::Inconclusive, Some(UndecidedWhy::NotRead)));
    assert!(unread.steady.iter().all(|one| one.kind != Kind::Heap));
    let undecided = |judgement: &crate::judge::judgement::Judgement| {
        judgement.undecided.iter().any(|one| one.kind == Kind::Heap && one.why == UndecidedWhy::NotRead)
    };
    assert!(!undecided(&judged(Some(HeapCounters::default()), &go)), "it is read");
    assert!(!undecided(&judged(None, &Bounds::default())), "a program of another language has none");
}
