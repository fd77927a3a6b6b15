//! From the arithmetic of one series to one of three answers: it grows without end in sight, it does not, or it
//! cannot be told yet.
//!
//! Growth counts only where it is significant against every null of [`super::trend`], present in each quarter of
//! the window, larger than noise, and not slowing down. Whatever rises but fails one of these is ambiguous.

use super::shape::{self, Fall, Tail};
use super::trend::Trend;
use crate::judge::terms::{Rate, Thresholds, Unit};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{SteadyWhy, UndecidedWhy};
use crate::store::Series;

/// What becomes of one series.
#[derive(Clone, Debug, PartialEq)]
pub enum Course {
    /// It grows.
    Grows(Growth),
    /// It does not.
    Steady(SteadyWhy),
    /// It cannot be told.
    Undecided(UndecidedWhy),
}

/// Growth without an end in sight.
#[derive(Clone, Debug, PartialEq)]
pub struct Growth {
    /// How fast.
    pub rate: Rate,
    /// How sure we are that this is a leak, as far as this one series tells.
    pub confidence: f64,
    /// How we know.
    pub evidence: Vec<Evidence>,
}

impl Growth {
    /// The same for a part of what was measured, a little less sure.
    pub fn scaled(mut self, share: f64, doubt: f64, because: Evidence) -> Growth {
        let scale = |rate: f64| rate * share;
        self.rate = Rate {
            per_second: scale(self.rate.per_second),
            low: scale(self.rate.low),
            high: scale(self.rate.high),
        };
        self.confidence = (self.confidence - doubt).max(0.0);
        self.evidence.push(because);
        self
    }
}

/// No series of totals alone makes us surer than this: a pool with a maximum beyond the window looks the same.
pub(in crate::judge) const MAX_CONFIDENCE: f64 = 0.9;

/// Where nothing rises with a p-value below this, nothing rises.
const HINT_P_VALUE: f64 = 0.01;

/// ... unless the rise is so many times the noise around it.
const CONSPICUOUS_RISE_OVER_NOISE: f64 = 8.0;

/// Standard errors by which the second half must rise faster than a pool that fills would.
const KEEPS_RISING_Z: f64 = 1.3;

/// A trend must explain so many times the noise around it; a random walk often reaches half of that.
const MIN_RISE_OVER_NOISE: f64 = 5.0;

/// What accuses must be so many times the change that merely counts: of a dozen pieces one cannot tell whether they
/// come at a constant rate.
const MIN_GROWTH_OVER_CHANGE: f64 = 3.0;

/// Nobody needs to be asked for less than this.
const LEAST_MORE_SECONDS: f64 = 90.0;

/// Judges the course of one series in this unit.
pub fn course(series: &Series, unit: Unit, thresholds: &Thresholds) -> Course {
    let have = series.values.len();
    if have == 0 {
        return Course::Undecided(UndecidedWhy::NotRead);
    }
    let have_seconds = series.seconds[have - 1] - series.seconds[0];
    // At this beat.
    let for_samples = have_seconds / (have - 1).max(1) as f64 * thresholds.min_samples as f64;
    if have_seconds < thresholds.min_seconds {
        let need_seconds = thresholds.min_seconds.max(for_samples);
        return Course::Undecided(UndecidedWhy::TooShort { have_seconds, need_seconds });
    }
    if have < thresholds.min_samples {
        let need = thresholds.min_samples;
        return Course::Undecided(UndecidedWhy::TooFewSamples { have, need, need_seconds: for_samples });
    }
    let Some(whole) = Trend::of(series) else {
        return Course::Undecided(UndecidedWhy::NotRead);
    };
    let min_rise = minimum_rise(&whole, unit, thresholds);
    if whole.high - whole.low < min_rise {
        let creeps = if keeps_steps(unit) { creep(series, min_rise) } else { None };
        return creeps.unwrap_or(Course::Steady(SteadyWhy::Flat { low: whole.low, high: whole.high }));
    }
    match shape::fall(series) {
        Fall::None => {}
        Fall::RisingTroughs => {
            return Course::Undecided(UndecidedWhy::Ambiguous {
                per_second: whole.rate.per_second,
                slowing: false,
                need_seconds: more_seconds(&whole),
            });
        }
        Fall::Repeated | Fall::Recent => {
            return Course::Steady(SteadyWhy::Sawtooth { low: whole.low, high: whole.high });
        }
    }
    if let Some(plateau) = shape::plateau(series, &whole, min_rise) {
        return Course::Steady(plateau);
    }
    let present = shape::present_regime(series, thresholds);
    let (series, trend) = match present.as_ref().and_then(|part| Some((part, Trend::of(part)?))) {
        Some((part, trend)) => (part, trend),
        None => (series, whole),
    };
    if trend.p_falling < thresholds.max_p_value && trend.rise < -min_rise {
        return Course::Steady(SteadyWhy::Falling { from: trend.from, to: trend.to });
    }
    let course = rising(series, &trend, min_rise, thresholds);
    match shape::tail(series, unit) {
        Some(tail) => since_it_began(course, &tail, series, &trend),
        None => course,
    }
}

/// What was level and rises now is no line through all of the window: how fast it rises is told from its begin on. A
/// short rise is neither a leak nor none.
fn since_it_began(course: Course, tail: &Tail, series: &Series, whole: &Trend) -> Course {
    let rise = || {
        let from = series.values.get(tail.begins).copied().unwrap_or(whole.from);
        let samples = series.values.len() - tail.begins;
        Evidence::Rose { from, to: whole.to, seconds: tail.seconds, samples }
    };
    match course {
        Course::Grows(growth) => Course::Grows(Growth { rate: tail.rate, evidence: vec![rise()], ..growth }),
        Course::Steady(SteadyWhy::Flat { .. }) | Course::Undecided(UndecidedWhy::Ambiguous { .. }) => {
            Course::Undecided(UndecidedWhy::Ambiguous {
                per_second: tail.rate.per_second,
                slowing: false,
                need_seconds: more_seconds(whole),
            })
        }
        other => other,
    }
}

/// The smallest change that counts: so many units, and for bytes a part of the level.
fn minimum_rise(trend: &Trend, unit: Unit, thresholds: &Thresholds) -> f64 {
    match unit {
        Unit::Bytes => thresholds.min_rise_bytes.max(thresholds.min_rise_byte_share * trend.high),
        _ => thresholds.min_rise_count,
    }
}

/// Whether single steps of a unit mean something. The runtime starts a thread and maps an arena now and then for as long
/// as a program finds its working size, and gives neither back; bytes move all the time.
fn keeps_steps(unit: Unit) -> bool {
    match unit {
        Unit::Goroutines | Unit::Fds | Unit::Connections | Unit::Children => true,
        Unit::Threads | Unit::Mappings | Unit::Bytes => false,
    }
}

/// A rise too small to count, of which nothing fell back and which is spread over the whole of the window: a leak that
/// is slow, or what happens to come. `None` where it is neither. A few pieces are too few for any test of a trend, so
/// that a longer window has to tell: one in which enough would come to accuse.
pub(in crate::judge) fn creep(series: &Series, min_rise: f64) -> Option<Course> {
    let (began, ended) = (series.seconds.first()?, series.seconds.last()?);
    let (from, to) = (series.values.first()?, series.values.last()?);
    let seconds = ended - began;
    let mut rises = [0_usize; 3];
    for (pair, at) in series.values.windows(2).zip(series.seconds.iter().skip(1)) {
        if pair[1] < pair[0] {
            return None;
        }
        if pair[1] > pair[0] {
            let part = (at - began) / seconds;
            rises[if part <= 1.0 / 3.0 { 0 } else { 1 + usize::from(part > 2.0 / 3.0) }] += 1;
        }
    }
    if rises.contains(&0) {
        return None;
    }
    let per_second = (to - from) / seconds;
    let enough = MIN_GROWTH_OVER_CHANGE * min_rise / per_second;
    let need_seconds = enough.max(2.0 * seconds).max(LEAST_MORE_SECONDS);
    Some(Course::Undecided(UndecidedWhy::Ambiguous { per_second, slowing: false, need_seconds }))
}

/// Bytes by which a series has risen in each third of the window, all but for wobbles; `None` where it did not, or by
/// less than `least`. The kernel counts resident pages in batches, so that single steps mean nothing.
pub(in crate::judge) fn creeps(series: &Series, least: f64) -> Option<f64> {
    let (began, ended) = (series.seconds.first()?, series.seconds.last()?);
    let (from, to) = (series.values.first()?, series.values.last()?);
    let rise = to - from;
    let at = |part: f64| {
        let index = series.seconds.partition_point(|at| *at < began + part * (ended - began));
        series.values.get(index.min(series.values.len() - 1)).copied()
    };
    let (one, two) = (at(1.0 / 3.0)?, at(2.0 / 3.0)?);
    let fallen: f64 = series.values.windows(2).map(|pair| (pair[0] - pair[1]).max(0.0)).sum();
    let in_each = [one - from, two - one, to - two].iter().all(|third| *third >= 0.15 * rise);
    (rise >= least && in_each && fallen <= 0.1 * rise).then_some(rise)
}

fn rising(series: &Series, trend: &Trend, min_rise: f64, thresholds: &Thresholds) -> Course {
    let flat = Course::Steady(SteadyWhy::Flat { low: trend.low, high: trend.high });
    // What rises far beyond the noise around it is not acquitted, whatever the tests think of its irregular steps. Nor is
    // what climbs all the time: noise that remembers itself makes the rank test blind to it.
    let hint = trend.p_rising <= HINT_P_VALUE
        || trend.rise >= CONSPICUOUS_RISE_OVER_NOISE * trend.noise
        || trend.rise >= MIN_RISE_OVER_NOISE * trend.noise && shape::climbs(&series.values);
    if trend.rise < min_rise || !hint {
        return if shape::leaves_its_range(&series.values, min_rise) {
            Course::Undecided(UndecidedWhy::Ambiguous {
                per_second: (trend.to - trend.from) / trend.seconds,
                slowing: false,
                need_seconds: more_seconds(trend),
            })
        } else {
            flat
        };
    }
    let quarters = shape::quarter_rises(series);
    let everywhere = shape::rises_in_every_quarter(&quarters);
    let beyond_noise = trend.rise >= MIN_RISE_OVER_NOISE * trend.noise;
    let enough = trend.rise >= MIN_GROWTH_OVER_CHANGE * min_rise;
    let significant = trend.p_rising < thresholds.max_p_value && trend.rate.low > 0.0;
    let endless = trend.keeps_rising_z >= KEEPS_RISING_Z;
    if significant && enough && beyond_noise && everywhere && endless {
        return Course::Grows(Growth {
            rate: trend.rate,
            confidence: confidence(trend),
            evidence: evidence(series, trend, quarters),
        });
    }
    Course::Undecided(UndecidedWhy::Ambiguous {
        per_second: trend.rate.per_second,
        slowing: trend.keeps_rising_z < 0.0,
        need_seconds: more_seconds(trend),
    })
}

/// Twice the window separates a line from a curve far better than the window does.
fn more_seconds(trend: &Trend) -> f64 {
    (trend.seconds * 2.0).max(LEAST_MORE_SECONDS)
}

/// Grows with the window's length, with how little ever came back, and with how straight the line is.
fn confidence(trend: &Trend) -> f64 {
    let length = (trend.seconds / 30.0).ln().max(0.0) / (600.0_f64 / 30.0).ln();
    let moves = (trend.steps.up + trend.steps.down).max(1) as f64;
    let one_way = (trend.steps.up as f64 - trend.steps.down as f64).max(0.0) / moves;
    let straight = (trend.keeps_rising_z / 5.0).clamp(0.0, 1.0);
    let amount = (trend.rise / 200.0).clamp(0.0, 1.0).sqrt();
    (0.6 + 0.08 * length.min(1.0) + 0.12 * one_way + 0.08 * straight + 0.04 * amount).min(MAX_CONFIDENCE)
}

fn evidence(series: &Series, trend: &Trend, quarters: [f64; 4]) -> Vec<Evidence> {
    let samples = series.values.len();
    vec![
        Evidence::Rose { from: trend.from, to: trend.to, seconds: trend.seconds, samples },
        Evidence::Steps { up: trend.steps.up, down: trend.steps.down },
        Evidence::Quarters { rises: quarters },
    ]
}

#[cfg(test)]
mod tests;
