//! How far back to look, how often, and what a rise must be to count, for each of a ladder of horizons.
//!
//! The longer a horizon, the smaller the growth that it can tell from what healthy processes do. Within minutes load
//! may triple, and within hours caches fill; what rises through a day and a night at one pace, at the same load, is
//! neither. Hence each horizon has a least growth of its own, against its level at the beginning, and memory, which
//! caches fill for hours, is not judged by totals below a day.
//!
//! A week of looks at eight series is many chances to be wrong. The level of each test is small, yet no test's null
//! is what processes really do: what holds the rate of false alarms down is that a rise must be found again, at several
//! looks in a row, see [`super::ladder`]. What that rate is has to be measured, not computed.

use super::growth::Growth;
use super::load::{Adjusted, adjust};
use super::rivals::line_fits_best;
use super::trend::{Trend, lag_one, median, residuals, tail_p};
use super::{Evidence, Rate, Unit, shape};
use crate::store::Series;
use crate::store::history::{LEVELS, Point};

/// A horizon.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Horizon {
    /// What people call it.
    pub name: &'static str,
    /// The level of the history that it looks at.
    pub level: usize,
    /// So many of its buckets.
    pub buckets: usize,
    /// Looks are so many buckets apart.
    pub every: u32,
    /// Looks in a row that must find growth before it is told, and that must find none before it is taken back.
    pub looks: u8,
    /// One-sided p-value of the trend below which a rise counts.
    max_p_value: f64,
    /// The least growth against the level at the horizon's beginning, where load does not explain it.
    beyond_load: f64,
    /// The same where load is not known; `None` where nothing can be told then.
    whatever_load: Option<f64>,
    /// The least growth in pieces.
    pieces: f64,
    /// Whether memory is judged.
    bytes: bool,
    /// A trend must explain so many times the noise around it.
    over_noise: f64,
    test: Test,
    /// How sure totals over it make us.
    confidence: f64,
}

/// What a rise must pass.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Test {
    Steep,
    Straight,
}

/// All of them, the shortest first.
#[rustfmt::skip]
pub const HORIZONS: [Horizon; 5] = [
    Horizon { name: "twenty minutes", level: 0, buckets: 20, every: 5, looks: 3, max_p_value: 1e-5, beyond_load: 2.0, whatever_load: Some(4.0), pieces: 100.0, bytes: false, over_noise: 6.0, test: Test::Steep, confidence: 0.65 },
    Horizon { name: "an hour", level: 0, buckets: 60, every: 15, looks: 3, max_p_value: 1e-5, beyond_load: 1.0, whatever_load: Some(3.0), pieces: 60.0, bytes: false, over_noise: 6.0, test: Test::Steep, confidence: 0.7 },
    Horizon { name: "six hours", level: 1, buckets: 72, every: 12, looks: 3, max_p_value: 1e-5, beyond_load: 0.6, whatever_load: Some(3.0), pieces: 30.0, bytes: false, over_noise: 6.0, test: Test::Steep, confidence: 0.75 },
    Horizon { name: "a day", level: 2, buckets: 48, every: 2, looks: 3, max_p_value: 3e-4, beyond_load: 0.1, whatever_load: None, pieces: 15.0, bytes: true, over_noise: 4.0, test: Test::Straight, confidence: 0.75 },
    Horizon { name: "a week", level: 3, buckets: 84, every: 3, looks: 3, max_p_value: 1e-4, beyond_load: 0.15, whatever_load: None, pieces: 15.0, bytes: true, over_noise: 5.0, test: Test::Straight, confidence: 0.8 },
];

/// Memory must grow by so many bytes.
const LEAST_BYTES: f64 = 8.0 * 1024.0 * 1024.0;

/// So many of a horizon's buckets must be there, and the first and the last of them as far apart.
const SEEN: f64 = 0.75;

/// Standard errors by which the second half must rise faster than a pool that fills would.
const KEEPS_RISING_Z: f64 = 1.3;

/// Each half of a horizon must hold so much of the rise.
const LEAST_OF_A_HALF: f64 = 0.2;

/// What a look over a horizon says.
#[derive(Clone, Debug, PartialEq)]
pub enum Look {
    /// It grows, beyond what load explains.
    Grows {
        /// How fast, and how we know.
        growth: Growth,
        /// From this level on.
        from: f64,
    },
    /// It does not, or that cannot be told from what healthy processes do.
    Not,
    /// Too little of the horizon was seen.
    TooShort,
}

impl Horizon {
    /// Seconds that it spans.
    pub fn seconds(&self) -> f64 {
        LEVELS[self.level].0 as f64 * self.buckets as f64
    }

    /// Whether things counted in this unit are judged over it.
    pub fn judges(&self, unit: Unit) -> bool {
        self.bytes || unit != Unit::Bytes
    }

    /// The least growth that counts, from this level on.
    fn least(&self, unit: Unit, level: f64, share: f64) -> f64 {
        let pieces = if unit == Unit::Bytes { LEAST_BYTES } else { self.pieces };
        pieces.max(share * level.max(0.0))
    }

    /// Whether a series that kept between these two values may have grown at all; `from` as in [`Horizon::look`].
    pub fn may_grow(&self, unit: Unit, (low, high): (f64, f64), from: Option<f64>) -> bool {
        high - low >= self.least(unit, from.map_or(low, |from| from.min(low)), self.beyond_load)
    }

    /// Looks at one series. What was found to grow before is held against the level `from` which it did: at a constant
    /// pace it grows by ever less of what it has become.
    pub fn look(&self, points: &[Point], unit: Unit, from: Option<f64>) -> Look {
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return Look::TooShort };
        let span = last.seconds - first.seconds;
        if (points.len() as f64) < SEEN * self.buckets as f64 || span < SEEN * self.seconds() {
            return Look::TooShort;
        }
        let middles: Vec<f64> = points.iter().map(|point| point.middle).collect();
        let adjusted = adjust(points, &middles);
        let share = if adjusted.beyond_load { Some(self.beyond_load) } else { self.whatever_load };
        let Some(share) = share else { return Look::Not };
        // Cheap, and most looks end here.
        let lowest = from.map_or(first.low, |from| from.min(first.low));
        if adjusted.slope * span < 0.7 * self.least(unit, lowest, share) {
            return Look::Not;
        }
        let seconds: Vec<f64> = points.iter().map(|point| point.seconds).collect();
        let judged = match self.test {
            Test::Steep => self.steep(&seconds, &adjusted),
            Test::Straight => self.straight(&seconds, &middles, &adjusted, unit),
        };
        let Some(Rise { rate, rise, quarters }) = judged else { return Look::Not };
        // The line's level at the horizon's beginning, at usual load.
        let beginning = (median(&middles) - rise / 2.0).max(0.0);
        let from = from.map_or(beginning, |from| from.min(beginning));
        if rise < self.least(unit, from, share) {
            return Look::Not;
        }
        let evidence = vec![
            Evidence::Rose { from: first.middle, to: last.middle, seconds: span, samples: points.len() },
            Evidence::Quarters { rises: quarters },
        ];
        Look::Grows { growth: Growth { rate, confidence: self.confidence, evidence }, from }
    }

    /// Growth by multiples: significant, far beyond noise, and in no part slower.
    fn steep(&self, seconds: &[f64], adjusted: &Adjusted) -> Option<Rise> {
        let series = Series { seconds: seconds.to_vec(), values: adjusted.values.clone(), gaps: 0 };
        let trend = Trend::of(&series)?;
        let quarters = shape::quarter_rises(&series);
        let grows = trend.rise >= self.over_noise * trend.noise
            && trend.p_rising < self.max_p_value
            && trend.rate.low > 0.0
            && trend.keeps_rising_z >= KEEPS_RISING_Z
            && shape::rises_in_every_quarter(&quarters);
        grows.then_some(Rise { rate: trend.rate, rise: trend.rise, quarters })
    }

    /// Growth by a fraction, under waves of load: a line explains it, significantly and better than its rivals do.
    fn straight(&self, seconds: &[f64], values: &[f64], adjusted: &Adjusted, unit: Unit) -> Option<Rise> {
        let n = values.len() as f64;
        let span = seconds.last()? - seconds.first()?;
        let residuals = residuals(seconds, &adjusted.values, adjusted.slope);
        let noise = (residuals.iter().map(|residual| residual * residual).sum::<f64>() / (n - 3.0)).sqrt();
        let memory = lag_one(&residuals);
        let effective = (n * (1.0 - memory) / (1.0 + memory)).clamp(3.0, n);
        // Moments lie evenly: their deviation is the span over the square root of twelve.
        let error = noise * (12.0 * adjusted.inflation / effective).sqrt() / span;
        let rise = adjusted.slope * span;
        let series = Series { seconds: seconds.to_vec(), values: adjusted.values.clone(), gaps: 0 };
        let quarters = shape::quarter_rises(&series);
        let halves = [quarters[0] + quarters[1], quarters[2] + quarters[3]];
        let grows = rise >= self.over_noise * noise
            && tail_p(adjusted.slope, error, effective - 2.0) < self.max_p_value
            && halves.iter().all(|half| *half >= LEAST_OF_A_HALF * rise)
            && line_fits_best(seconds, values, adjusted.load.as_deref(), unit == Unit::Bytes);
        let rate = Rate {
            per_second: adjusted.slope,
            low: adjusted.slope - 1.96 * error,
            high: adjusted.slope + 1.96 * error,
        };
        grows.then_some(Rise { rate, rise, quarters })
    }
}

/// A rise that counts.
struct Rise {
    rate: Rate,
    rise: f64,
    quarters: [f64; 4],
}
