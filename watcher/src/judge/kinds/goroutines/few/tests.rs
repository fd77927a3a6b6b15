use crate::judge::judge;
use crate::judge::judgement::Judgement;
use crate::judge::kinds::goroutines::tests::{CONNECTIONS, Crowd, HANDLER, crowd, watched};
use crate::judge::simulation::Dice;
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::store::Window;

fn judged(window: &Window) -> Judgement {
    judge(window, &Bounds::default(), &Thresholds::default())
}

fn is_suspected(judgement: &Judgement) -> bool {
    judgement.suspected.iter().any(|one| {
        one.finding.kind == Kind::Goroutine && &*one.finding.culprits[0].frame.function == "main.handle"
    })
}

/// So many that have come by this second, one in 30 s.
fn two_a_minute(second: usize, phase: usize) -> u64 {
    (second + phase) as u64 / 30
}

#[test]
fn two_a_minute_of_one_line_are_suspected_whatever_the_phase() {
    for phase in 0..30 {
        let count = |second| 12 + two_a_minute(second, phase);
        let window =
            watched(count, |second| vec![(HANDLER, crowd(100, 10 + two_a_minute(second, phase), None))]);
        let judgement = judged(&window);
        // One that came in the first third and was followed by none, or one that has just come, is left to luck.
        let luck = (30 - phase <= 15 || 30 - phase > 40 - 1) && 30 - phase + 30 > 45;
        assert!(is_suspected(&judgement) || luck, "phase {phase}: {judgement:#?}");
    }
}

#[test]
fn one_a_second_beside_thousands_that_end_is_suspected_at_its_line() {
    let mut dice = Dice(7);
    let noise: Vec<u64> = (0..46).map(|_| 2_000 + dice.events(300.0)).collect();
    let window = watched(
        |second| noise[second] + second as u64,
        |second| {
            // Those of each capture have ended before the next.
            let passing: Crowd = (PASSING, crowd(10_000 * (second as u64 + 1), 2_300, None));
            vec![passing, (HANDLER, crowd(100, 20 + second as u64, None))]
        },
    );
    assert!(is_suspected(&judged(&window)) || judged(&window).verdict == Verdict::Leak);
}

const PASSING: crate::judge::kinds::goroutines::tests::Place =
    crate::judge::kinds::goroutines::tests::REQUEST;

#[test]
fn requests_workers_and_connections_are_not_suspected() {
    let passing =
        watched(|_| 2_300, |second| vec![(PASSING, crowd(10_000 * (second as u64 + 1), 2_300, None))]);
    let workers = watched(
        |second| 4 + 4 * u64::from(second > 1),
        |second| vec![(HANDLER, crowd(1, 4 + 4 * u64::from(second > 1), None))],
    );
    let connections = watched(
        |second| 20 + second as u64 / 20,
        |second| vec![(CONNECTIONS, crowd(1, 20 + second as u64 / 20, None))],
    );
    for (name, window) in [("requests", passing), ("workers", workers), ("connections", connections)] {
        let judgement = judged(&window);
        assert!(judgement.suspected.is_empty(), "{name}: {judgement:#?}");
    }
}
