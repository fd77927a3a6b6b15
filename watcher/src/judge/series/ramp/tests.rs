use super::Curve;
use super::beside::{Beside, STEP_MARGIN, STEPS, WORTH_OF_A_STEP, product, without};
use super::hinges::Hinges;
use crate::judge::simulation::Dice;
use crate::store::history::Point;

/// Steps written out and tried one by one.
fn tried(beside: &Beside, n: usize) -> Vec<f64> {
    let step = |at: usize| -> Vec<f64> { (0..n).map(|index| f64::from(u8::from(index >= at))).collect() };
    let best = |known: &[usize]| {
        let tries = (STEP_MARGIN..=n - STEP_MARGIN).map(|at| {
            let shapes: Vec<_> = known.iter().chain([&at]).map(|at| step(*at)).collect();
            (beside.unexplained(&shapes), at)
        });
        tries.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
    };
    let mut steps = Vec::new();
    (0..STEPS)
        .map(|round| {
            let (mut left, mut at) = best(&steps);
            for _ in 0..steps.len() {
                steps.push(at);
                steps.remove(0);
                (left, at) = best(&steps);
            }
            steps.push(at);
            left * WORTH_OF_A_STEP.powi(i32::try_from(round).unwrap())
        })
        .collect()
}

#[test]
fn steps_are_found_as_if_each_were_tried() {
    let mut dice = Dice(7);
    for n in [12, 30, 96] {
        for kind in 0..4 {
            let one = vec![1.0; n];
            let load: Vec<f64> = (0..n).map(|at| (at as f64 / 7.0).sin() + dice.unit()).collect();
            let values: Vec<f64> = (0..n)
                .map(|at| {
                    let steps = [n / 3, n / 2].iter().filter(|step| at >= **step).count() as f64;
                    1e6 * match kind {
                        0 => dice.unit(),
                        1 => steps + 0.1 * dice.unit(),
                        2 => at as f64 + load[at],
                        _ => 3.0,
                    }
                })
                .collect();
            let directions = vec![one.clone(), without(load.clone(), &one)];
            for beside in [
                Beside::new(None, Vec::new(), vec![one.clone()], &values),
                Beside::new(Some(2.0), load.clone(), directions.clone(), &values),
            ] {
                let found: Vec<f64> = beside.steps(n).collect();
                let slack = 1e-9 * values.iter().map(|value| value * value).sum::<f64>();
                for (found, tried) in found.iter().zip(tried(&beside, n)) {
                    assert!((found - tried).abs() <= slack, "{n} values of kind {kind}: {found}, {tried}");
                }
                assert_eq!(found.len(), STEPS);
            }
        }
    }
}

#[test]
fn ramps_are_found_as_if_each_were_written_out() {
    let mut dice = Dice(11);
    let mut compared = 0;
    for n in [60, 120] {
        for kind in 0..4 {
            let points: Vec<Point> = (0..n)
                .map(|at| {
                    let load = 2.0 + (at as f64 / 9.0).sin() + 0.2 * dice.unit();
                    let leaked = (at as f64 - n as f64 / 2.0).max(0.0);
                    let middle = match kind {
                        0 => dice.unit(),
                        1 => leaked + dice.unit(),
                        2 => 30.0 * load + leaked + dice.unit(),
                        _ => 30.0 * load - 3.0 * leaked + dice.unit(),
                    };
                    let middle = 1e6 * middle;
                    let seconds = 2e6 + 1_800.0 * at as f64;
                    Point { seconds, middle, low: middle, high: middle, load: Some(load) }
                })
                .collect();
            let curve = Curve::new(&points, 24, kind == 3).unwrap();
            for beside in &curve.beside {
                for axis in [&curve.seconds, curve.work.as_ref().unwrap()] {
                    let hinges = Hinges::new(beside, axis, &curve.values);
                    for begins in 0..axis.len() - 1 {
                        let written = curve.one_ramp(beside, axis, begins).map(|ramp| ramp.unexplained);
                        let summed = hinges.unexplained(begins);
                        assert_eq!(written.is_some(), summed.is_some(), "{kind}: from {begins} on");
                        let (Some(written), Some(summed)) = (written, summed) else { continue };
                        let slack = 1e-9 * product(&beside.values, &beside.values);
                        assert!((written - summed).abs() <= slack, "{kind}: {written}, {summed}");
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 1_000, "{compared}");
}
