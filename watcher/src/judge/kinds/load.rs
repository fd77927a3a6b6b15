//! What a series owes to the work that its process does: a count that follows the load up in the morning and down at
//! night leaks nothing, and one that rises through the night as well does.
//!
//! The work is measured by the bytes that the Go runtime allocates per second. Some things follow it at once, such as
//! requests in flight; some lag behind it, such as sessions and caches that expire: a few lags are tried.

use crate::store::history::Point;

/// Load must be known in so many of the points.
const KNOWN_SHARE: f64 = 0.9;

/// Load that varies by less than this part of its mean explains nothing and excuses nothing.
const LEVEL: f64 = 0.03;

/// Load must explain at least this part of what a straight line leaves unexplained.
const EXPLAINS: f64 = 0.2;

/// Where load itself rises so steadily that time explains this part of it, a rise beside it may be its doing.
const COLLINEAR: f64 = 0.5;

/// Lags that are tried, in buckets: with which time constant the past is forgotten.
pub const LAGS: [f64; 8] = [0.0, 0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 10.0];

/// A series without what load explains of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Adjusted {
    /// The values at mean load.
    pub values: Vec<f64>,
    /// Load was known and does not rise along with the values: it is no excuse.
    pub beyond_load: bool,
    /// Ordinary least squares slope per second, load taken into account.
    pub slope: f64,
}

/// Takes out of `values` what load explains.
pub fn adjust(points: &[Point], values: &[f64]) -> Adjusted {
    let seconds: Vec<f64> = points.iter().map(|point| point.seconds).collect();
    let line = Line::through(&seconds, values);
    let unknown = Adjusted { values: values.to_vec(), beyond_load: false, slope: line.slope };
    let Some(loads) = known(points) else { return unknown };
    if !varies(&loads) {
        return Adjusted { beyond_load: true, ..unknown };
    }
    let fits = LAGS.iter().map(|lag| Fit::of(&seconds, values, remembered(&loads, *lag)));
    let Some(best) = fits.min_by(|a, b| a.unexplained.total_cmp(&b.unexplained)) else { return unknown };
    let explains = best.per_load > 0.0 && best.unexplained <= (1.0 - EXPLAINS) * line.unexplained;
    let excused = best.rises_with_time >= COLLINEAR;
    if !explains {
        return Adjusted { beyond_load: !excused, ..unknown };
    }
    let values = values.iter().zip(&best.load).map(|(value, load)| value - best.per_load * load).collect();
    Adjusted { values, beyond_load: !excused, slope: best.slope }
}

/// Load at each point; a point at which it is not known has that of the one before it.
pub fn known(points: &[Point]) -> Option<Vec<f64>> {
    let read = points.iter().filter(|point| point.load.is_some()).count();
    let mut newest = points.iter().find_map(|point| point.load)?;
    let enough = read as f64 >= KNOWN_SHARE * points.len() as f64;
    let carried = points.iter().map(|point| {
        newest = point.load.unwrap_or(newest);
        newest
    });
    enough.then(|| carried.collect())
}

/// Whether load moves at all.
pub fn varies(loads: &[f64]) -> bool {
    let mean = mean(loads);
    mean > 0.0 && deviation(loads) > LEVEL * mean
}

/// Load as something remembers it that forgets with this time constant, in buckets.
pub fn remembered(loads: &[f64], lag: f64) -> Vec<f64> {
    let keeps = if lag > 0.0 { (-1.0 / lag).exp() } else { 0.0 };
    let mut level = loads.first().copied().unwrap_or_default();
    let smooth = loads.iter().map(|load| {
        level = keeps * level + (1.0 - keeps) * load;
        level
    });
    smooth.collect()
}

/// A straight line through points.
struct Line {
    slope: f64,
    /// Sum of the squares that it leaves.
    unexplained: f64,
}

impl Line {
    fn through(seconds: &[f64], values: &[f64]) -> Line {
        let (time, value) = (centred(seconds), centred(values));
        let (tt, tv) = (product(&time, &time), product(&time, &value));
        let slope = if tt > 0.0 { tv / tt } else { 0.0 };
        Line { slope, unexplained: (product(&value, &value) - slope * tv).max(0.0) }
    }
}

/// The least squares of values on time and load together.
struct Fit {
    slope: f64,
    per_load: f64,
    unexplained: f64,
    /// Part of load's variance that rising with time explains; 0 where it falls.
    rises_with_time: f64,
    /// Load, less its mean.
    load: Vec<f64>,
}

impl Fit {
    fn of(seconds: &[f64], values: &[f64], load: Vec<f64>) -> Fit {
        let (time, value, load) = (centred(seconds), centred(values), centred(&load));
        let (tt, ll, tl) = (product(&time, &time), product(&load, &load), product(&time, &load));
        let (tv, lv, vv) = (product(&time, &value), product(&load, &value), product(&value, &value));
        let determinant = tt * ll - tl * tl;
        if determinant <= 1e-9 * tt * ll {
            return Fit { slope: 0.0, per_load: 0.0, unexplained: f64::INFINITY, rises_with_time: 1.0, load };
        }
        let per_load = (lv * tt - tv * tl) / determinant;
        let slope = (tv * ll - lv * tl) / determinant;
        let rises_with_time = if tl > 0.0 { tl * tl / (tt * ll) } else { 0.0 };
        let unexplained = (vv - slope * tv - per_load * lv).max(0.0);
        Fit { slope, per_load, unexplained, rises_with_time, load }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn centred(values: &[f64]) -> Vec<f64> {
    let mean = mean(values);
    values.iter().map(|value| value - mean).collect()
}

fn product(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum()
}

fn deviation(values: &[f64]) -> f64 {
    let centred = centred(values);
    (product(&centred, &centred) / values.len().max(1) as f64).sqrt()
}
