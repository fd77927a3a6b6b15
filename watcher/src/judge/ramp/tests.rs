use super::{Beside, STEP_MARGIN, STEPS, WORTH_OF_A_STEP, without};

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
    let mut state = 7_u64;
    let mut dice = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / 16_777_216.0
    };
    for n in [12, 30, 96] {
        for kind in 0..4 {
            let one = vec![1.0; n];
            let load: Vec<f64> = (0..n).map(|at| (at as f64 / 7.0).sin() + dice()).collect();
            let values: Vec<f64> = (0..n)
                .map(|at| {
                    let steps = [n / 3, n / 2].iter().filter(|step| at >= **step).count() as f64;
                    1e6 * match kind {
                        0 => dice(),
                        1 => steps + 0.1 * dice(),
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
