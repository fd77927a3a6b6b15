//! Whether a leak drew a curve: level until some moment and rising ever since, with time or with the work that is done,
//! beside what load explains.
//!
//! Nothing is judged by itself: a ramp is believed only where it fits better than what else may have drawn the curve, up
//! to three steps, a cache that fills, a wave of a day, each of them beside load with whatever lag suits it best.

mod beside;
mod hinges;

use self::beside::{Beside, COLLINEAR, product, without};
use self::hinges::Hinges;
use super::trend::{lag_one, tail_p};
use crate::judge::kinds::load::{LAGS, known, remembered, varies};
use crate::store::history::Point;
use std::f64::consts::TAU;

const DAY_SECONDS: f64 = 86_400.0;

/// Where a ramp may begin, as parts of the whole. Memory fills for hours, so that its ramps must last longer.
const BEGINS: [f64; 7] = [0.0, 0.2, 0.35, 0.5, 0.625, 0.75, 0.85];
const LATEST_OF_BYTES: f64 = 0.7;

/// Time constants of caches and pools that fill, as parts of the whole, and when they may begin to.
const FILLING_PIECES: [f64; 3] = [0.01, 0.03, 0.08];
const FILLING_BYTES: [f64; 5] = [0.02, 0.05, 0.1, 0.17, 0.22];
const FILLING_FROM: [f64; 6] = [0.0, 0.15, 0.3, 0.45, 0.6, 0.75];
/// The ramp's own begin was found among all; what fills may begin as near to where the curve wants it.
const FILLING_FROM_BEGIN: [f64; 8] = [-0.12, -0.08, -0.04, -0.02, 0.0, 0.02, 0.04, 0.08];

/// A cache that fills has a begin and a time constant to choose from, the ramp only a begin: it must leave less
/// unexplained by this factor.
const WORTH_OF_A_FILL: f64 = 1.04;

/// The ramp that fits best.
#[derive(Clone, Debug, PartialEq)]
pub struct Ramp {
    /// The first value of it.
    pub begins: usize,
    /// How steep it is.
    pub per_second: f64,
    /// Standard error of that, what remembers itself taken into account.
    pub error: f64,
    /// How far it rises.
    pub rise: f64,
    /// Standard deviation of what neither it nor load explains.
    pub noise: f64,
    /// One-sided p-value of "it does not rise".
    pub p_rising: f64,
    /// The values less what load explains.
    pub values: Vec<f64>,
    /// What one unit of load holds, and with which lag, in buckets; `None` where load explains nothing.
    pub load: Option<(f64, f64)>,
    unexplained: f64,
}

/// A curve and what is known of load beside it.
pub struct Curve<'a> {
    seconds: Vec<f64>,
    values: Vec<f64>,
    /// The work that was done since the first value, in seconds at mean load; `None` where load does not vary.
    work: Option<Vec<f64>>,
    /// What is taken out of everything: the mean, and load with some lag.
    beside: Vec<Beside>,
    is_bytes: bool,
    points: &'a [Point],
}

impl<'a> Curve<'a> {
    /// The middles of `points` from the index `from` on; what lies before says what load was. `None` where load is not
    /// known.
    pub fn new(points: &'a [Point], from: usize, is_bytes: bool) -> Option<Curve<'a>> {
        let loads = known(points)?;
        let window = points.get(from..).filter(|window| window.len() >= 12)?;
        let values: Vec<f64> = window.iter().map(|point| point.middle).collect();
        let one = vec![1.0; values.len()];
        let seconds: Vec<f64> = window.iter().map(|point| point.seconds).collect();
        let mut beside = vec![Beside::new(None, Vec::new(), vec![one.clone()], &values)];
        let mut work = None;
        if varies(&loads) {
            work = Some(done(&seconds, loads.get(from..)?));
            beside.extend(LAGS.iter().map(|lag| {
                let load = remembered(&loads, *lag).split_off(from);
                let direction = without(load.clone(), &one);
                Beside::new(Some(*lag), load, vec![one.clone(), direction], &values)
            }));
        }
        Some(Curve { seconds, values, work, beside, is_bytes, points: window })
    }

    /// The ramp that fits best, whether or not it rises.
    pub fn ramp(&self) -> Option<Ramp> {
        let latest = if self.is_bytes { LATEST_OF_BYTES } else { 1.0 };
        let last = self.values.len() - 1;
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a part of an index")]
        let index = |part: f64| (part * last as f64) as usize;
        let axes = [Some(&self.seconds), self.work.as_ref()];
        let mut best: Option<(f64, usize, Hinges)> = None;
        for beside in &self.beside {
            for axis in axes.into_iter().flatten() {
                let hinges = Hinges::new(beside, axis, &self.values);
                let begins = BEGINS.into_iter().filter(|begins| *begins <= latest).map(index);
                let Some((left, begins)) = hinges.best(begins) else { continue };
                if best.as_ref().is_none_or(|(least, ..)| left < *least) {
                    best = Some((left, begins, hinges));
                }
            }
        }
        let (_, begins, hinges) = best?;
        // A steep ramp that begins an hour early fits worse than what never was a ramp.
        let reach = self.values.len() / 12;
        let near = begins.saturating_sub(reach)..=(begins + reach).min(index(latest.min(0.9)));
        let (_, begins) = hinges.best(near.chain([begins]))?;
        self.one_ramp(hinges.beside, hinges.axis, begins)
    }

    fn span(&self) -> Option<f64> {
        let span = self.seconds.last()? - self.seconds.first()?;
        (span > 0.0).then_some(span)
    }

    fn one_ramp(&self, beside: &Beside, axis: &[f64], begins: usize) -> Option<Ramp> {
        let began = axis.get(begins)?;
        let shape: Vec<f64> = axis.iter().map(|at| (at - began).max(0.0)).collect();
        let rest = beside.rest(&shape);
        let (square, along) = (product(&rest, &rest), product(&rest, &beside.values));
        let whole = product_centred(&shape);
        if square <= 1e-9 * whole {
            return None;
        }
        let per_second = along / square;
        let n = self.values.len() as f64;
        let mut values = self.values.clone();
        let mut load = None;
        if let (Some(lag), Some(direction)) = (beside.lag, beside.directions.get(1)) {
            let left: Vec<f64> =
                self.values.iter().zip(&shape).map(|(value, at)| value - per_second * at).collect();
            let per_load = product(&left, direction) / product(direction, direction).max(f64::MIN_POSITIVE);
            let rises_alike = product(&shape, direction) > 0.0 && square < (1.0 - COLLINEAR) * whole;
            // Work that is done holds things; it does not free them.
            if per_load <= 0.0 || rises_alike {
                return None;
            }
            values = values.iter().zip(&beside.load).map(|(value, load)| value - per_load * load).collect();
            load = Some((per_load, lag));
        }
        let residuals: Vec<f64> =
            beside.values.iter().zip(&rest).map(|(value, at)| value - per_second * at).collect();
        let unexplained = product(&residuals, &residuals);
        let noise = (unexplained / (n - 4.0)).sqrt();
        let memory = lag_one(&residuals);
        let effective = (n * (1.0 - memory) / (1.0 + memory)).clamp(5.0, n);
        let error = noise * (n / effective).sqrt() / square.sqrt();
        let lasts = self.seconds.last()? - self.seconds.get(begins)?;
        let rise = per_second * shape.last()?;
        // Per second of work it is the same on average.
        let by_time = if lasts > 0.0 { shape.last()? / lasts } else { 1.0 };
        Some(Ramp {
            begins,
            per_second: per_second * by_time,
            error: error * by_time,
            rise,
            noise,
            p_rising: tail_p(per_second, error, effective - 3.0),
            values,
            load,
            unexplained,
        })
    }

    /// Whether nothing else fits as well as this ramp.
    pub fn is_best(&self, ramp: &Ramp) -> bool {
        let Some(first) = self.seconds.first() else { return false };
        let Some(span) = self.span() else { return false };
        let times: Vec<f64> = self.seconds.iter().map(|at| (at - first) / span).collect();
        let n = times.len();
        let constants: &[f64] = if self.is_bytes { &FILLING_BYTES } else { &FILLING_PIECES };
        let Some(begins) = times.get(ramp.begins) else { return false };
        let near = FILLING_FROM_BEGIN.map(|apart| begins + apart);
        let from = FILLING_FROM.iter().chain(&near);
        let fills = from.flat_map(|from| constants.iter().map(move |constant| (constant, from)));
        let fill = |(constant, from): (&f64, &f64)| -> Vec<f64> {
            times.iter().map(|at| 1.0 - (-(at - from).max(0.0) / constant).exp()).collect()
        };
        let angle = |point: &Point| point.seconds / DAY_SECONDS * TAU;
        let waves = [f64::sin as fn(f64) -> f64, f64::cos]
            .map(|wave| self.points.iter().map(|point| wave(angle(point))).collect::<Vec<f64>>());
        let fit_better = |shapes: &[Vec<f64>], worth: f64| {
            self.beside.iter().any(|beside| beside.unexplained(shapes) * worth <= ramp.unexplained)
        };
        !fit_better(&waves, 1.0)
            && !fills.map(fill).any(|shape| fit_better(&[shape], WORTH_OF_A_FILL))
            && self.beside.iter().all(|beside| beside.steps(n).all(|left| left > ramp.unexplained))
    }
}

/// The work that was done since the first of these seconds, in seconds at mean load.
fn done(seconds: &[f64], loads: &[f64]) -> Vec<f64> {
    let mean = loads.iter().sum::<f64>() / loads.len().max(1) as f64;
    let mut done = 0.0;
    let mut before = seconds.first().copied().unwrap_or_default();
    let work = seconds.iter().zip(loads).map(|(second, load)| {
        done += (second - before) * load / mean.max(f64::MIN_POSITIVE);
        before = *second;
        done
    });
    work.collect()
}

fn product_centred(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    values.iter().map(|value| (value - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests;
