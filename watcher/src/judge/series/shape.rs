//! The shapes that innocent series have: plateau, sawtooth, a jump after which another regime begins.

mod tail;

pub use tail::{Tail, tail};

use super::trend::{Steps, Trend, median, range};
use crate::judge::terms::Thresholds;
use crate::judge::weigh::reasons::SteadyWhy;
use crate::store::Series;

/// How a series falls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fall {
    /// It never loses much at once, or did long ago and has risen well beyond since.
    None,
    /// It lost much at once, and more than once.
    Repeated,
    /// The same, but what is left after each loss is ever more.
    RisingTroughs,
    /// It lost much at once and has not left that range since.
    Recent,
}

/// A fall of this part of the range at once is the edge of a sawtooth.
const TOOTH_SHARE: f64 = 0.3;

/// A step is a jump where it is so many times the usual step.
const JUMP_OVER_USUAL: f64 = 6.0;

/// Looks for the edges of a sawtooth: steps down that are a large part of the range and far beyond the usual step,
/// so that the wobble of mere noise is none.
pub fn fall(series: &Series) -> Fall {
    let values = &series.values;
    let Some((low, high)) = range(values) else { return Fall::None };
    let usual = usual_step(values);
    let edges: Vec<usize> = (1..values.len())
        .filter(|&at| {
            let lost = values[at - 1] - values[at];
            lost >= TOOTH_SHARE * (high - low) && lost > JUMP_OVER_USUAL * usual
        })
        .collect();
    match edges[..] {
        [] => Fall::None,
        [edge] => {
            let (Some((_, before)), Some((_, since))) = (range(&values[..edge]), range(&values[edge..]))
            else {
                return Fall::None;
            };
            let outgrew = since - low >= 1.5 * (before - low);
            if outgrew { Fall::None } else { Fall::Recent }
        }
        _ => {
            let troughs: Vec<f64> = edges.iter().map(|&edge| values[edge]).collect();
            let ever_more = troughs.windows(2).all(|pair| pair[1] > pair[0]);
            let risen = troughs[troughs.len() - 1] - troughs[0];
            let matters = risen >= 0.2 * (high - low);
            if troughs.len() >= 3 && ever_more && matters { Fall::RisingTroughs } else { Fall::Repeated }
        }
    }
}

/// The series rose and has stopped: its newest part, at least a quarter of the window and several times the pause
/// that it made between earlier rises, brought no new high.
pub fn plateau(series: &Series, trend: &Trend, min_rise: f64) -> Option<SteadyWhy> {
    let (times, values) = (&series.seconds, &series.values);
    let last = *times.last()?;
    // A new high within the noise of the level is none; a single count is noise in any series.
    let tolerance = (0.04 * (trend.high - trend.low)).max(1.0);
    let reached = (0..values.len()).find(|&at| values[at] >= trend.high - tolerance)?;
    let flat_seconds = last - times[reached];
    if trend.high - values[0] < min_rise || flat_seconds < 0.25 * trend.seconds {
        return None;
    }
    let before = Steps::of(&values[..=reached]).up;
    let usual_pause = (times[reached] - times[0]) / before.max(1) as f64;
    if flat_seconds < 5.0 * usual_pause && before > 1 {
        return None;
    }
    let level = median(&values[reached..]);
    // Having fallen back is another shape.
    let stayed = level >= trend.high - 0.25 * (trend.high - values[0]);
    stayed.then_some(SteadyWhy::Plateau { flat_seconds, level })
}

/// The part since the one jump that the window holds, where it is long enough to be judged by itself: what came
/// before it (a burst of warm-up, a mass release) says nothing about now.
pub fn present_regime(series: &Series, thresholds: &Thresholds) -> Option<Series> {
    let values = &series.values;
    let (low, high) = range(values)?;
    let usual = usual_step(values);
    let mut jumps = (1..values.len()).filter(|&at| {
        let size = (values[at] - values[at - 1]).abs();
        size >= 0.2 * (high - low) && size > JUMP_OVER_USUAL * usual
    });
    let jump = jumps.next()?;
    if jumps.next().is_some() {
        return None;
    }
    let span = series.seconds.last()? - series.seconds.first()?;
    let rest = series.seconds.last()? - series.seconds[jump];
    let enough = rest >= thresholds.min_seconds.max(0.6 * span);
    (enough && values.len() - jump >= thresholds.min_samples).then(|| Series {
        seconds: series.seconds[jump..].to_vec(),
        values: values[jump..].to_vec(),
        gaps: series.gaps,
    })
}

/// The newest values lie all beyond whatever there was in the older two thirds, by as much again as those moved: whatever
/// the tests of a trend make of it, it is not where it was.
pub fn leaves_its_range(values: &[f64], min_rise: f64) -> bool {
    let newest = (values.len() / 8).max(3);
    let (Some((older, _)), Some((_, newest))) = (
        values.split_at_checked(values.len() * 2 / 3),
        values.split_at_checked(values.len().saturating_sub(newest)),
    ) else {
        return false;
    };
    match (range(older), range(newest)) {
        (Some((low, high)), Some((least, _))) => least > high + min_rise.max(0.5 * (high - low)),
        _ => false,
    }
}

/// Each quarter of the values lies above the one before it by its median, and the newest one altogether above the oldest.
/// Noise around a level does that once in some thousand times, a wave never over whole periods.
pub fn climbs(values: &[f64]) -> bool {
    let quarter = values.len() / 4;
    if quarter < 3 {
        return false;
    }
    let quarters: Vec<&[f64]> = (0..4)
        .map(|number| {
            let end = if number == 3 { values.len() } else { (number + 1) * quarter };
            &values[number * quarter..end]
        })
        .collect();
    let (Some((_, highest)), Some((lowest, _))) = (range(quarters[0]), range(quarters[3])) else {
        return false;
    };
    let medians: Vec<f64> = quarters.iter().map(|values| median(values)).collect();
    medians.windows(2).all(|pair| pair[1] > pair[0]) && lowest > highest
}

/// Rise in each quarter of the series' length, between medians around the quarter's ends.
pub fn quarter_rises(series: &Series) -> [f64; 4] {
    let (times, values) = (&series.seconds, &series.values);
    let (Some(first), Some(last)) = (times.first(), times.last()) else { return [0.0; 4] };
    let reach = (last - first) / 20.0;
    let level = |knot: u32| {
        let at = first + (last - first) * f64::from(knot) / 4.0;
        let near: Vec<f64> = times
            .iter()
            .zip(values)
            .filter(|(time, _)| (*time - at).abs() <= reach)
            .map(|(_, v)| *v)
            .collect();
        if near.is_empty() {
            let index = times.partition_point(|time| *time < at).min(values.len() - 1);
            values[index]
        } else {
            near.iter().sum::<f64>() / near.len() as f64
        }
    };
    let levels = [0, 1, 2, 3, 4].map(level);
    [levels[1] - levels[0], levels[2] - levels[1], levels[3] - levels[2], levels[4] - levels[3]]
}

/// Each quarter carries a fair part of the rise, the newest one at least half of its share.
pub fn rises_in_every_quarter(rises: &[f64; 4]) -> bool {
    let mean = rises.iter().sum::<f64>() / 4.0;
    mean > 0.0 && rises.iter().all(|rise| *rise >= 0.25 * mean) && rises[3] >= 0.5 * mean
}

/// Median size of the steps that move at all.
fn usual_step(values: &[f64]) -> f64 {
    let moved: Vec<f64> =
        values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).filter(|size| *size > 0.0).collect();
    median(&moved)
}

#[cfg(test)]
mod tests;
