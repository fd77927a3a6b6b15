//! A heap that rises in steps, since one thing on it is allocated anew, larger each time, and filled in between: a
//! slice that is appended to (`nextslicecap`, `runtime/slice.go`: twice as large at first, a quarter larger later).
//!
//! What fills it may come at the most even pace; the steps are ever longer and higher all the same, and no test of a
//! line likes them. But whenever a step comes, the thing was full, and its size is what it held: the levels at their
//! ends lie on the line.

use crate::judge::kinds::heap::collected::{MIN_RISE_BYTES, least_rise_of, slows_down};
use crate::judge::series::growth::{Course, Growth};
use crate::judge::series::trend::median;
use crate::judge::terms::Rate;
use crate::judge::weigh::evidence::Evidence;
use crate::store::{Series, Window};

/// Fewer steps than this may be anything.
const MIN_STEPS: usize = 4;
/// A step is so many times what values lie above their level.
const OVER_USUAL: f64 = 4.0;
/// ... and this part of the whole rise.
const OF_RISE: f64 = 0.05;
/// This part of the rise comes by steps.
const BY_STEPS: f64 = 0.6;
/// Between two steps there are so many collections on average.
const COLLECTIONS_A_LEVEL: usize = 2;
/// This part of the values between steps lies close to its level.
const CLOSE: f64 = 0.8;
/// None of the ends may lie farther from the line than this part of the rise.
const STRAIGHT: f64 = 0.1;
/// A step may come so much later than the line has it.
const LATE: f64 = 1.3;
const CONFIDENCE: f64 = 0.7;

/// Where a level ends.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    /// When, in the middle between the last collection before and the first one behind it.
    seconds: f64,
    /// What was live up to then.
    level: f64,
    rise: f64,
}

/// Growth by steps whose levels lie on a line that goes on; `None` for anything else.
pub(super) fn course(series: &Series, window: &Window) -> Option<Course> {
    let levels = levels(&series.values);
    let ends = ends(series, &levels)?;
    let growth = growth(&ends)?;
    let (first, last) = (ends.first()?, ends.last()?);
    let (began, ended) = (*series.seconds.first()?, *series.seconds.last()?);
    // What was full then has room for so much more.
    let next_in = last.rise / growth.rate.per_second;
    let pace = (ended - began) / (series.seconds.len() - 1) as f64;
    let goes_on = ended - last.seconds <= LATE * next_in + pace;
    let is_long = last.seconds - first.seconds >= 0.3 * window.seconds() && window.seconds() >= 25.0;
    (goes_on && is_long).then_some(Course::Grows(growth))
}

/// Of each value what none of the later ones goes below.
fn levels(values: &[f64]) -> Vec<f64> {
    let mut least = f64::INFINITY;
    let mut levels: Vec<f64> = values
        .iter()
        .rev()
        .map(|value| {
            least = least.min(*value);
            least
        })
        .collect();
    levels.reverse();
    levels
}

/// Where levels end, provided that values stay on their levels and rise by steps.
fn ends(series: &Series, levels: &[f64]) -> Option<Vec<End>> {
    let (first, last) = (*levels.first()?, *levels.last()?);
    let above: Vec<f64> = series.values.iter().zip(levels).map(|(value, level)| value - level).collect();
    let least = (OVER_USUAL * median(&above)).max(OF_RISE * (last - first));
    let ends: Vec<End> = (1..levels.len())
        .map(|at| End {
            seconds: f64::midpoint(series.seconds[at - 1], series.seconds[at]),
            level: levels[at - 1],
            rise: levels[at] - levels[at - 1],
        })
        .filter(|end| end.rise > 0.0 && end.rise >= least)
        .collect();
    let by_steps: f64 = ends.iter().map(|end| end.rise).sum();
    let smallest = ends.iter().map(|end| end.rise).fold(f64::INFINITY, f64::min);
    // The step itself often brings a collection about, which finds the old thing live beside the new one.
    let between: Vec<f64> =
        (1..levels.len()).filter(|at| levels[*at] - levels[at - 1] < least).map(|at| above[at]).collect();
    let close = between.iter().filter(|above| **above <= 0.5 * smallest).count();
    let are_stairs = ends.len() >= MIN_STEPS
        && by_steps >= BY_STEPS * (last - first)
        && levels.len() >= COLLECTIONS_A_LEVEL * ends.len()
        && close as f64 >= CLOSE * between.len() as f64;
    are_stairs.then_some(ends)
}

/// The line through the ends, where there is one.
fn growth(ends: &[End]) -> Option<Growth> {
    let (first, last) = (ends.first()?, ends.last()?);
    let (rise, seconds) = (last.level - first.level, last.seconds - first.seconds);
    if seconds <= 0.0 || rise < MIN_RISE_BYTES.max(least_rise_of(ends.len()) * first.level) {
        return None;
    }
    let per_second = rise / seconds;
    let off_line =
        ends.iter().map(|end| (end.level - first.level - per_second * (end.seconds - first.seconds)).abs());
    let times: Vec<f64> = ends.iter().map(|end| end.seconds).collect();
    let sizes: Vec<f64> = ends.iter().map(|end| end.level).collect();
    if off_line.fold(0.0, f64::max) > STRAIGHT * rise || slows_down(&times, &sizes) {
        return None;
    }
    let rates =
        || ends.windows(2).map(|pair| (pair[1].level - pair[0].level) / (pair[1].seconds - pair[0].seconds));
    Some(Growth {
        rate: Rate {
            per_second,
            low: rates().fold(per_second, f64::min),
            high: rates().fold(per_second, f64::max),
        },
        confidence: CONFIDENCE,
        evidence: vec![Evidence::Stairs { steps: ends.len(), from: first.level, to: last.level + last.rise }],
    })
}
