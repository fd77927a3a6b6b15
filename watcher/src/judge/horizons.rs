//! How far back to look, how often, and what a rise must be to count, for each of a ladder of horizons.
//!
//! The longer a horizon, the smaller the growth that it can tell from what healthy processes do. Within minutes load
//! may triple, and within hours caches fill; what rises through a day and a night at one pace, at the same load, is
//! neither. Hence each horizon has a least growth of its own, against its level at the beginning, and memory, which
//! caches fill for hours, is not judged by totals below a day.
//!
//! A week of looks at eight series is many chances to be wrong. The level of each test is small, yet no test's null
//! is what processes really do: what holds the rate of false alarms down is that a rise must be found again, at several
//! looks in a row, see [`crate::judge::horizons::ladder`]. What that rate is has to be measured, not computed.

pub mod ladder;
pub mod suspicion;

use crate::judge::kinds::load::{adjust, known, remembered};
use crate::judge::series::growth::Growth;
use crate::judge::series::ramp::Curve;
use crate::judge::series::shape;
use crate::judge::series::trend::{Trend, median};
use crate::judge::terms::{Rate, Unit};
use crate::judge::weigh::evidence::Evidence;
use crate::store::history::{LEVELS, Point, Signal};
use crate::store::{History, Series};

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
    /// Looks in a row that must find growth before it is told.
    pub looks: u8,
    /// One-sided p-value of the trend below which a rise counts.
    max_p_value: f64,
    /// The least growth against the level at the horizon's beginning, where load does not explain it.
    beyond_load: f64,
    /// The same where load is not known; `None` where nothing can be told then.
    whatever_load: Option<f64>,
    /// The least growth in pieces.
    pieces: f64,
    /// A trend must explain so many times the noise around it.
    over_noise: f64,
    test: Test,
    /// How sure totals over it make us.
    confidence: f64,
}

/// What a rise must pass.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Test {
    /// It multiplies what there is, beyond anything that was there before. Memory is not judged by it.
    Steep,
    /// It goes on at one pace, beside load, and nothing innocent fits as well.
    Ramp,
}

/// All of them, the shortest first.
#[rustfmt::skip]
pub const HORIZONS: [Horizon; 4] = [
    Horizon { name: "an hour", level: 0, buckets: 60, every: 15, looks: 5, max_p_value: 1e-5, beyond_load: 1.0, whatever_load: Some(3.0), pieces: 60.0, test: Test::Steep, over_noise: 6.0, confidence: 0.7 },
    Horizon { name: "six hours", level: 1, buckets: 72, every: 12, looks: 5, max_p_value: 1e-5, beyond_load: 0.6, whatever_load: Some(3.0), pieces: 30.0, test: Test::Steep, over_noise: 6.0, confidence: 0.75 },
    Horizon { name: "two days", level: 2, buckets: 96, every: 1, looks: 4, max_p_value: 1e-7, beyond_load: 0.1, whatever_load: None, pieces: 15.0, test: Test::Ramp, over_noise: 4.0, confidence: 0.75 },
    Horizon { name: "a week", level: 3, buckets: 84, every: 3, looks: 3, max_p_value: 1e-5, beyond_load: 0.15, whatever_load: None, pieces: 15.0, test: Test::Ramp, over_noise: 5.0, confidence: 0.8 },
];

/// Memory must grow by so many bytes: a percent of 20 MiB per hour is as much in half a day.
const LEAST_BYTES: f64 = 3.0 * 1024.0 * 1024.0;

/// So many of a horizon's buckets must be there, and the first and the last of them as far apart.
const SEEN: f64 = 0.75;

/// What a process does for the first time within so many seconds before the horizon is warming up: growth by multiples
/// is believed only of processes that have been seen for longer.
const WARM_SECONDS: f64 = 12.0 * 3_600.0;

/// Growth by multiples must go beyond the highest value before it by this part of what counts.
const BEYOND_HIGHEST: f64 = 0.5;

/// A ramp must end beyond the highest level before it, at the same load, by this part of its rise.
const RAMP_BEYOND_HIGHEST: f64 = 0.4;

/// The standard error of a ramp may be this part of how steep it is: what wanders seldom rises so straight.
const RAMP_ERROR: f64 = 0.1;

/// A ramp before which hardly anything was seen has no level to be held against: it must rise by so many times the noise.
const RAMP_FROM_START_OVER_NOISE: f64 = 8.0;
/// So many values before it are hardly anything.
const RAMP_START: usize = 3;

/// Standard errors by which the second half must rise faster than a pool that fills would.
const KEEPS_RISING_Z: f64 = 1.3;

/// Each half of a ramp must hold so much of the rise.
const LEAST_OF_A_HALF: f64 = 0.2;

/// Buckets before the horizon that tell what load was: what lags behind it remembers them.
const LEAD: usize = 24;

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

/// A rise that counts.
struct Rise {
    rate: Rate,
    rise: f64,
    quarters: [f64; 4],
    /// The level before it.
    level: f64,
    from: f64,
    seconds: f64,
}

impl Horizon {
    /// Seconds that it spans.
    pub fn seconds(&self) -> f64 {
        LEVELS[self.level].0 as f64 * self.buckets as f64
    }

    /// Looks in a row that must find none before what was told is taken back: those of half the horizon.
    pub fn looks_to_take_back(&self) -> u8 {
        let half = self.buckets / (2 * self.every as usize);
        u8::try_from(half).unwrap_or(u8::MAX).max(self.looks)
    }

    /// The least growth that counts, from this level on.
    fn least(&self, unit: Unit, level: f64, share: f64) -> f64 {
        let pieces = if unit == Unit::Bytes { LEAST_BYTES } else { self.pieces };
        pieces.max(share * level.max(0.0))
    }

    /// Looks at one series. What was found to grow before is held against the level `from` which it did: at a constant
    /// pace it grows by ever less of what it has become.
    pub fn look(&self, history: &History, signal: Signal, unit: Unit, from: Option<f64>) -> Look {
        if self.test == Test::Steep && unit == Unit::Bytes {
            return Look::Not;
        }
        let Some((low, high)) = history.range(self.level, self.buckets, signal) else {
            return Look::TooShort;
        };
        // Cheap, and most looks end here.
        if high - low < self.least(unit, from.map_or(low, |from| from.min(low)), self.beyond_load) {
            return Look::Not;
        }
        let with_lead = history.points(self.level, self.buckets + LEAD, signal);
        let Some(last) = with_lead.last() else { return Look::TooShort };
        let lead = with_lead.partition_point(|point| point.seconds <= last.seconds - self.seconds());
        let points = &with_lead[lead..];
        let Some(first) = points.first() else { return Look::TooShort };
        if (points.len() as f64) < SEEN * self.buckets as f64
            || last.seconds - first.seconds < SEEN * self.seconds()
        {
            return Look::TooShort;
        }
        let found = match self.test {
            Test::Steep => self.steep(history, points, signal, unit, from),
            Test::Ramp => self.ramp(history, &with_lead, lead, signal, unit),
        };
        let Some(found) = found else { return Look::Not };
        let (to, samples) = (found.level + found.rise, points.len());
        let evidence = vec![
            Evidence::Rose { from: found.level, to, seconds: found.seconds, samples },
            Evidence::Quarters { rises: found.quarters },
        ];
        let growth = Growth { rate: found.rate, confidence: self.confidence, evidence };
        Look::Grows { growth, from: found.from }
    }

    /// Growth by multiples: significant, far beyond noise, in no part slower, and beyond all that was there before.
    fn steep(
        &self,
        history: &History,
        points: &[Point],
        signal: Signal,
        unit: Unit,
        from: Option<f64>,
    ) -> Option<Rise> {
        let (first, last) = (points.first()?, points.last()?);
        let seconds = last.seconds - first.seconds;
        let middles: Vec<f64> = points.iter().map(|point| point.middle).collect();
        let adjusted = adjust(points, &middles);
        let share = if adjusted.beyond_load { self.beyond_load } else { self.whatever_load? };
        let lowest = from.map_or(first.low, |from| from.min(first.low));
        if adjusted.slope * seconds < 0.7 * self.least(unit, lowest, share) {
            return None;
        }
        let (highest, since) = history.before(first.seconds - self.seconds() / 4.0, signal)?;
        if first.seconds - since < WARM_SECONDS {
            return None;
        }
        let series = Series {
            seconds: points.iter().map(|point| point.seconds).collect(),
            values: adjusted.values,
            gaps: 0,
        };
        let trend = Trend::of(&series)?;
        let quarters = shape::quarter_rises(&series);
        let level = (median(&middles) - trend.rise / 2.0).max(0.0);
        let from = from.map_or(level, |from| from.min(level));
        // What load explains has to be there all the same.
        let beyond = median(&middles[middles.len().saturating_sub(6)..]) - highest;
        let grows = trend.rise >= self.least(unit, from, share)
            && beyond >= BEYOND_HIGHEST * self.least(unit, highest, share)
            && trend.rise >= self.over_noise * trend.noise
            && trend.p_rising < self.max_p_value
            && trend.rate.low > 0.0
            && trend.keeps_rising_z >= KEEPS_RISING_Z
            && shape::rises_in_every_quarter(&quarters);
        grows.then_some(Rise { rate: trend.rate, rise: trend.rise, quarters, level, from, seconds })
    }

    /// Growth by a fraction, under waves of load.
    fn ramp(
        &self,
        history: &History,
        points: &[Point],
        lead: usize,
        signal: Signal,
        unit: Unit,
    ) -> Option<Rise> {
        let curve = Curve::new(points, lead, unit == Unit::Bytes)?;
        let ramp = curve.ramp()?;
        let window = &points[lead..];
        let middles: Vec<f64> =
            window[..ramp.begins.max(RAMP_START)].iter().map(|point| point.middle).collect();
        let level = median(&middles).max(0.0);
        let over_noise = if ramp.begins < RAMP_START { RAMP_FROM_START_OVER_NOISE } else { self.over_noise };
        let grows = ramp.rise >= self.least(unit, level, self.beyond_load)
            && ramp.rise >= over_noise * ramp.noise
            && ramp.p_rising < self.max_p_value
            && ramp.error <= RAMP_ERROR * ramp.per_second;
        if !grows {
            return None;
        }
        let since = window.get(ramp.begins)?.seconds;
        let series = Series {
            seconds: window[ramp.begins..].iter().map(|point| point.seconds).collect(),
            values: ramp.values[ramp.begins..].to_vec(),
            gaps: 0,
        };
        let quarters = shape::quarter_rises(&series);
        let halves = [quarters[0] + quarters[1], quarters[2] + quarters[3]];
        let newest = &ramp.values[ramp.values.len() - 4..];
        let highest = self.highest_before(history, signal, since, &ramp.values[..ramp.begins], ramp.load);
        let grows = halves.iter().all(|half| *half >= LEAST_OF_A_HALF * ramp.rise)
            && median(newest) - highest >= RAMP_BEYOND_HIGHEST * ramp.rise
            && curve.is_best(&ramp);
        let reach = 1.96 * ramp.error;
        let rate =
            Rate { per_second: ramp.per_second, low: ramp.per_second - reach, high: ramp.per_second + reach };
        let seconds = window.last()?.seconds - since;
        grows.then_some(Rise { rate, rise: ramp.rise, quarters, level, from: level, seconds })
    }

    /// The highest level, less what load explains of it, before this second: among these values, and in the weeks that
    /// the coarser buckets hold.
    fn highest_before(
        &self,
        history: &History,
        signal: Signal,
        second: f64,
        within: &[f64],
        load: Option<(f64, f64)>,
    ) -> f64 {
        let highest = |values: &mut dyn Iterator<Item = f64>| values.fold(f64::NEG_INFINITY, f64::max);
        let recent = highest(&mut within.iter().copied());
        let coarser = self.level + 1;
        let Some((length, buckets)) = LEVELS.get(coarser).copied() else { return recent };
        let older = history.points(coarser, buckets, signal);
        let older: Vec<Point> =
            older.into_iter().filter(|point| point.seconds + length as f64 / 2.0 <= second).collect();
        let levels: Vec<f64> = match (load, known(&older)) {
            (Some((per_load, lag)), Some(loads)) => {
                let lag = lag * LEVELS[self.level].0 as f64 / length as f64;
                let loads = remembered(&loads, lag);
                older.iter().zip(loads).map(|(point, load)| point.middle - per_load * load).collect()
            }
            _ => older.iter().map(|point| point.middle).collect(),
        };
        recent.max(highest(&mut levels.into_iter()))
    }
}
