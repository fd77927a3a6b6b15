//! What else could have drawn a curve that looks like a leak's: one step, a cache that fills, a wave of a day. A
//! straight line is believed only where it fits better than each of these, all of them beside what load explains.

use std::f64::consts::TAU;

const DAY_SECONDS: f64 = 86_400.0;

/// Time constants of caches and pools that fill, as parts of the horizon. Those of memory fill for hours.
const FILLING_PIECES: [f64; 3] = [0.04, 0.08, 0.16];
const FILLING_BYTES: [f64; 4] = [0.04, 0.1, 0.2, 0.33];

/// A step must have so many values before and after it.
const STEP_MARGIN: usize = 3;

/// Whether a line through `values`, beside load, leaves less unexplained than any of the rivals.
pub fn line_fits_best(seconds: &[f64], values: &[f64], load: Option<&[f64]>, is_bytes: bool) -> bool {
    let n = values.len();
    let (Some(first), Some(last)) = (seconds.first(), seconds.last()) else { return false };
    let span = last - first;
    if n < 4 * STEP_MARGIN || span <= 0.0 {
        return false;
    }
    let known: Vec<Vec<f64>> = load.map(<[f64]>::to_vec).into_iter().collect();
    let base = Basis::new(n, &known);
    let values = base.rest(values);
    let times: Vec<f64> = seconds.iter().map(|at| (at - first) / span).collect();
    let line = base.unexplained(&values, &[times.clone()]);
    let fillings: &[f64] = if is_bytes { &FILLING_BYTES } else { &FILLING_PIECES };
    let fills = fillings.iter().map(|constant| {
        base.unexplained(&values, &[times.iter().map(|time| 1.0 - (-time / constant).exp()).collect()])
    });
    let steps = (STEP_MARGIN..=n - STEP_MARGIN).map(|at| {
        base.unexplained(&values, &[(0..n).map(|index| if index < at { 0.0 } else { 1.0 }).collect()])
    });
    let angle = |at: &f64| at / DAY_SECONDS * TAU;
    let wave = base.unexplained(
        &values,
        &[
            seconds.iter().map(|at| angle(at).sin()).collect(),
            seconds.iter().map(|at| angle(at).cos()).collect(),
        ],
    );
    // Over much more than a day a wave is no line's rival, and over less it would fit anything.
    let wave = if span >= 0.7 * DAY_SECONDS { wave } else { f64::INFINITY };
    fills.chain(steps).chain([wave]).all(|rival| line < rival)
}

/// Orthogonal directions that are taken out of everything: the mean, and load.
struct Basis(Vec<Vec<f64>>);

impl Basis {
    fn new(n: usize, known: &[Vec<f64>]) -> Basis {
        let mut basis = Basis(vec![vec![1.0; n]]);
        for direction in known {
            let rest = basis.rest(direction);
            basis.0.push(rest);
        }
        basis
    }

    fn rest(&self, values: &[f64]) -> Vec<f64> {
        self.0.iter().fold(values.to_vec(), |values, direction| without(values, direction))
    }

    /// Sum of the squares that are left of `values`, of which the basis has been taken out, beside these directions.
    fn unexplained(&self, values: &[f64], directions: &[Vec<f64>]) -> f64 {
        let mut seen: Vec<Vec<f64>> = Vec::new();
        let mut left = values.to_vec();
        for direction in directions {
            let direction = seen.iter().fold(self.rest(direction), |rest, other| without(rest, other));
            left = without(left, &direction);
            seen.push(direction);
        }
        left.iter().map(|value| value * value).sum()
    }
}

/// `values` less their part along `direction`.
fn without(values: Vec<f64>, direction: &[f64]) -> Vec<f64> {
    let square: f64 = direction.iter().map(|value| value * value).sum();
    if square <= 1e-18 {
        return values;
    }
    let along: f64 = values.iter().zip(direction).map(|(a, b)| a * b).sum::<f64>() / square;
    values.iter().zip(direction).map(|(value, direction)| value - along * direction).collect()
}
