//! Robust trend arithmetic over one [`Series`]: how fast it rises, and how sure that is.
//!
//! Three nulls have to be told from a leak, and each has its own test, since a test that is right against one of
//! them is fooled by another:
//!
//! - *noise around a level*, such as requests in flight: Mann-Kendall's rank test, its variance corrected for
//!   autocorrelation (Hamed and Rao, "A modified Mann-Kendall trend test for autocorrelated data", Journal of
//!   Hydrology 204, 1998; autocorrelation of the ranks of the detrended series), and a t-test of the slope with
//!   the effective sample size of an AR(1) process, its coefficient corrected for the bias that detrending
//!   brings (Marriott and Pope, Biometrika 41, 1954);
//! - *a random walk*, such as a pool that breathes: a t-test of the increments over blocks, which is exact for a
//!   walk with Gaussian steps, and a sign test where hardly anything ever falls.
//!
//! [`Trend::p_value`] is the larger of the rank test's and the better of the others.

use crate::judge::terms::Rate;
use crate::store::Series;
use statrs::distribution::{Binomial, ContinuousCDF, DiscreteCDF, Normal, StudentsT};

/// What the arithmetic says of one series. Nothing here is a verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct Trend {
    /// Theil-Sen slope per second with its 95 % interval.
    pub rate: Rate,
    /// Seconds from the first value to the last.
    pub seconds: f64,
    /// Slope times length: the rise that the trend accounts for; negative where it falls.
    pub rise: f64,
    /// Standard deviation of what the slope does not explain.
    pub noise: f64,
    /// One-sided p-value of "it does not rise", the most sceptical of the tests.
    pub p_rising: f64,
    /// The same for "it does not fall".
    pub p_falling: f64,
    /// Lowest value.
    pub low: f64,
    /// Highest value.
    pub high: f64,
    /// First value.
    pub from: f64,
    /// Last value.
    pub to: f64,
    /// Steps between neighbours.
    pub steps: Steps,
    /// How far the second half's rise lies above [`KEEPS_RISING`] of the first half's, in standard errors.
    /// Low where growth slows down or where that cannot be told.
    pub keeps_rising_z: f64,
}

/// A second half that rises by less than this part of the first half's rise is slowing down: a pool that fills,
/// a warm-up.
pub const KEEPS_RISING: f64 = 0.6;

/// Residuals whose correlation with their neighbours is below this are noise around a line; above it they may be a
/// random walk.
const MAX_NOISE_CORRELATION: f64 = 0.6;

/// Below this they are hardly correlated at all.
const WHITE_NOISE_CORRELATION: f64 = 0.3;

/// Of ten thousand random walks hardly one rises in its length by so many standard deviations of its residuals.
const BEYOND_A_WALK: f64 = 20.0;

/// Steps between neighbouring values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Upwards.
    pub up: usize,
    /// Downwards.
    pub down: usize,
    /// Nowhere.
    pub level: usize,
}

impl Steps {
    /// Counts the steps of `values`.
    pub fn of(values: &[f64]) -> Steps {
        let mut steps = Steps::default();
        for pair in values.windows(2) {
            match pair[1].total_cmp(&pair[0]) {
                std::cmp::Ordering::Greater => steps.up += 1,
                std::cmp::Ordering::Less => steps.down += 1,
                std::cmp::Ordering::Equal => steps.level += 1,
            }
        }
        steps
    }
}

impl Trend {
    /// `None` for fewer than eight values, for values that are not finite, and for moments that do not advance.
    pub fn of(series: &Series) -> Option<Trend> {
        let n = series.values.len();
        if n < 8 || series.seconds.len() != n {
            return None;
        }
        let (low, high) = range(&series.values)?;
        let seconds = series.seconds[n - 1] - series.seconds[0];
        if !seconds.is_finite() || seconds <= 0.0 || series.seconds.windows(2).any(|pair| pair[1] <= pair[0])
        {
            return None;
        }
        let unit = high - low;
        if !unit.is_finite() {
            return None;
        }
        let steps = Steps::of(&series.values);
        let (from, to) = (series.values[0], series.values[n - 1]);
        if unit == 0.0 {
            let rate = Rate { per_second: 0.0, low: 0.0, high: 0.0 };
            return Some(Trend {
                rate,
                seconds,
                rise: 0.0,
                noise: 0.0,
                p_rising: 1.0,
                p_falling: 1.0,
                low,
                high,
                from,
                to,
                steps,
                keeps_rising_z: 0.0,
            });
        }
        // Everything is computed on times and values between 0 and 1, so that neither huge nor tiny numbers
        // overflow or vanish, and is scaled back at the end.
        let times: Vec<f64> = series.seconds.iter().map(|at| (at - series.seconds[0]) / seconds).collect();
        let values: Vec<f64> = series.values.iter().map(|value| (value - low) / unit).collect();
        let scaled = Scaled::measure(&times, &values, steps);
        let per_second = |slope: f64| slope * unit / seconds;
        Some(Trend {
            rate: Rate {
                per_second: per_second(scaled.slope),
                low: per_second(scaled.slope_low),
                high: per_second(scaled.slope_high),
            },
            seconds,
            rise: scaled.slope * unit,
            noise: scaled.noise * unit,
            p_rising: scaled.p_rising,
            p_falling: scaled.p_falling,
            low,
            high,
            from,
            to,
            steps,
            keeps_rising_z: scaled.keeps_rising_z,
        })
    }
}

/// The same over times and values between 0 and 1.
struct Scaled {
    slope: f64,
    slope_low: f64,
    slope_high: f64,
    noise: f64,
    p_rising: f64,
    p_falling: f64,
    keeps_rising_z: f64,
}

impl Scaled {
    fn measure(times: &[f64], values: &[f64], steps: Steps) -> Scaled {
        let n = values.len() as f64;
        let mut slopes = pairwise_slopes(times, values);
        let theil_sen = median_of(&mut slopes);
        let residuals = residuals(times, values, theil_sen);
        let noise = standard_deviation(&residuals);
        let ranks = RankTest::of(values, &residuals);

        let blocks = BlockRises::of(times, values);
        let memory = lag_one(&residuals);
        let effective = (n * (1.0 - memory) / (1.0 + memory)).clamp(3.0, n);
        let slope_error = noise / (standard_deviation(times) * effective.sqrt());
        let forgetful = memory < MAX_NOISE_CORRELATION;

        let slope = staircase_slope(times, values, steps).unwrap_or(theil_sen);
        let half_width = (blocks.half_width()).max(ranks.half_width(&mut slopes, theil_sen)).max(0.0);

        // Over so short a series the memory of a walk is underestimated; only a line far beyond its reach counts.
        let no_walk = memory < WHITE_NOISE_CORRELATION || slope.abs() >= BEYOND_A_WALK * noise;
        let line = |slope: f64| if no_walk { tail_p(slope, slope_error, effective - 2.0) } else { 1.0 };
        let upwards = line(slope);
        let p_level = blocks.p_rising().min(upwards).min(sign_p(steps.up, steps.down));
        let downwards = line(-slope);
        let p_level_falling = blocks.p_falling().min(downwards).min(sign_p(steps.down, steps.up));

        let keeps_rising_z =
            if forgetful { halves_z(times, values, noise, effective) } else { blocks.keeps_rising_z() };
        Scaled {
            slope,
            slope_low: slope - half_width,
            slope_high: slope + half_width,
            noise,
            p_rising: ranks.p_rising.max(p_level),
            p_falling: ranks.p_falling.max(p_level_falling),
            keeps_rising_z,
        }
    }
}

/// Slopes between all pairs of points.
fn pairwise_slopes(times: &[f64], values: &[f64]) -> Vec<f64> {
    let n = values.len();
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    for later in 1..n {
        for earlier in 0..later {
            slopes.push((values[later] - values[earlier]) / (times[later] - times[earlier]));
        }
    }
    slopes
}

/// Distance of each value from the line with this slope through the median.
pub(in crate::judge) fn residuals(times: &[f64], values: &[f64], slope: f64) -> Vec<f64> {
    let mut residuals: Vec<f64> =
        times.iter().zip(values).map(|(time, value)| value - slope * time).collect();
    let intercept = median(&residuals);
    for residual in &mut residuals {
        *residual -= intercept;
    }
    residuals
}

/// Where growth comes in bursts with nothing between them, the window cuts the first and the last burst's
/// interval at will, and every line through all points is off by up to a burst. The line through the tops is not:
/// they lie whole intervals apart.
fn staircase_slope(times: &[f64], values: &[f64], steps: Steps) -> Option<f64> {
    if steps.down > 0 || steps.up < 3 || steps.level < steps.up {
        return None;
    }
    let tops: Vec<usize> = (1..values.len())
        .filter(|&at| {
            values[at] > values[at - 1] && values.get(at + 1).is_none_or(|after| *after == values[at])
        })
        .collect();
    let (first, last) = (*tops.first()?, *tops.last()?);
    (tops.len() >= 3).then(|| (values[last] - values[first]) / (times[last] - times[first]))
}

/// Mann-Kendall's test with the variance of Hamed and Rao.
struct RankTest {
    /// Standard deviation of Kendall's S under the null.
    deviation: f64,
    p_rising: f64,
    p_falling: f64,
}

impl RankTest {
    fn of(values: &[f64], residuals: &[f64]) -> RankTest {
        let n = values.len() as f64;
        let mut s = 0.0;
        for later in 1..values.len() {
            for earlier in 0..later {
                s += f64::from(values[later].total_cmp(&values[earlier]) as i8);
            }
        }
        let mut variance = n * (n - 1.0) * (2.0 * n + 5.0);
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        for run in sorted.chunk_by(|a, b| a == b) {
            let ties = run.len() as f64;
            variance -= ties * (ties - 1.0) * (2.0 * ties + 5.0);
        }
        let deviation = (variance / 18.0 * variance_inflation(residuals)).sqrt();
        // S moves in steps of two, hence the correction of one towards zero.
        let tail = |s: f64| if deviation > 0.0 { normal_tail((s - 1.0) / deviation) } else { 1.0 };
        RankTest { deviation, p_rising: tail(s), p_falling: tail(-s) }
    }

    /// Half of Sen's 95 % interval for the slope, the wider half of the two.
    fn half_width(&self, slopes: &mut [f64], slope: f64) -> f64 {
        let pairs = slopes.len();
        let reach = 1.96 * self.deviation;
        let low = ((pairs as f64 - reach) / 2.0).floor();
        let high = ((pairs as f64 + reach) / 2.0).ceil();
        let at = |rank: f64, slopes: &mut [f64]| {
            #[expect(clippy::cast_sign_loss, reason = "clamped to the slopes there are")]
            let index = rank.clamp(0.0, (pairs - 1) as f64) as usize;
            *slopes.select_nth_unstable_by(index, f64::total_cmp).1
        };
        let low = at(low, slopes);
        let high = at(high, slopes);
        (slope - low).max(high - slope)
    }
}

/// By how much autocorrelation inflates the variance of Kendall's S: n/n* of Hamed and Rao, over the lags at which
/// the ranks of the detrended series are significantly correlated. Never below 1: negative correlation would only
/// make the test bolder.
fn variance_inflation(residuals: &[f64]) -> f64 {
    // The line goes through some of the points; their residuals are equal but for rounding and have to tie.
    let residuals: Vec<f64> = residuals.iter().map(|residual| (residual * 1e9).round()).collect();
    let ranks = ranks(&residuals);
    let n = ranks.len() as f64;
    let mean = (n + 1.0) / 2.0;
    let total: f64 = ranks.iter().map(|rank| (rank - mean).powi(2)).sum();
    if total == 0.0 {
        return 1.0;
    }
    let significant = 1.96 / n.sqrt();
    let mut sum = 0.0;
    for lag in 1..ranks.len() {
        let together: f64 =
            ranks[lag..].iter().zip(&ranks).map(|(later, earlier)| (later - mean) * (earlier - mean)).sum();
        let correlation = together / total;
        if correlation.abs() > significant {
            let left = n - lag as f64;
            sum += left * (left - 1.0) * (left - 2.0) * correlation;
        }
    }
    (1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * sum).max(1.0)
}

/// Rank of each value, from 1, ties sharing the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let shared = before as f64 + (run.len() as f64 + 1.0) / 2.0;
        for &index in run {
            ranks[index] = shared;
        }
        before += run.len();
    }
    ranks
}

/// Autocorrelation of the residuals of a fitted line at lag one, freed of the bias that the fit brings.
pub(in crate::judge) fn lag_one(residuals: &[f64]) -> f64 {
    let n = residuals.len() as f64;
    let mean = residuals.iter().sum::<f64>() / n;
    let total: f64 = residuals.iter().map(|residual| (residual - mean).powi(2)).sum();
    if total == 0.0 {
        return 0.0;
    }
    let together: f64 = residuals.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum();
    ((together / total + 2.0 / n) / (1.0 - 4.0 / n).max(0.5)).clamp(0.0, 0.95)
}

/// Rises over blocks of equal length.
struct BlockRises {
    rises: Vec<f64>,
    mean: f64,
    deviation: f64,
}

impl BlockRises {
    fn of(times: &[f64], values: &[f64]) -> BlockRises {
        let blocks = (values.len() / 3).clamp(6, 14) & !1;
        // Interpolated, since a knot that takes the nearest reading would make a straight line look uneven.
        let level = |knot: usize| {
            let at = knot as f64 / blocks as f64;
            let after = times.partition_point(|time| *time < at).clamp(1, times.len() - 1);
            let part = (at - times[after - 1]) / (times[after] - times[after - 1]);
            values[after - 1] + part.min(1.0) * (values[after] - values[after - 1])
        };
        let knots: Vec<f64> = (0..=blocks).map(level).collect();
        let rises: Vec<f64> = knots.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = rises.iter().sum::<f64>() / rises.len() as f64;
        let deviation = standard_deviation(&rises);
        BlockRises { rises, mean, deviation }
    }

    fn count(&self) -> f64 {
        self.rises.len() as f64
    }

    fn p_rising(&self) -> f64 {
        tail_p(self.mean, self.deviation / self.count().sqrt(), self.count() - 1.0)
    }

    fn p_falling(&self) -> f64 {
        tail_p(-self.mean, self.deviation / self.count().sqrt(), self.count() - 1.0)
    }

    /// Half of the 95 % interval of the slope (rise over the whole length, which is 1) of a random walk with drift.
    fn half_width(&self) -> f64 {
        let quantile = students_t(self.count() - 1.0).map_or(2.2, |t| t.inverse_cdf(0.975));
        quantile * self.deviation * self.count().sqrt()
    }

    fn keeps_rising_z(&self) -> f64 {
        let (first, second) = self.rises.split_at(self.rises.len() / 2);
        let first_rise: f64 = first.iter().sum();
        let second_rise: f64 = second.iter().sum();
        let error = self.deviation * (self.count() / 2.0 * (1.0 + KEEPS_RISING.powi(2))).sqrt();
        ratio_z(second_rise - KEEPS_RISING * first_rise, error)
    }
}

/// [`Trend::keeps_rising_z`] for noise around a line.
fn halves_z(times: &[f64], values: &[f64], noise: f64, effective: f64) -> f64 {
    let middle = values.len() / 2;
    let half_rise = |range: std::ops::Range<usize>| {
        let mut slopes = pairwise_slopes(&times[range.clone()], &values[range]);
        median_of(&mut slopes) / 2.0
    };
    let first = half_rise(0..middle);
    let second = half_rise(middle..values.len());
    let one = noise * (12.0 / (effective / 2.0)).sqrt();
    ratio_z(second - KEEPS_RISING * first, one * (1.0 + KEEPS_RISING.powi(2)).sqrt())
}

/// `value / error`, within ±100 also where there is no error at all.
fn ratio_z(value: f64, error: f64) -> f64 {
    if error > 1e-12 { (value / error).clamp(-100.0, 100.0) } else { 100.0 * value.signum() }
}

/// Probability that a t-distributed mean at least this many errors above zero comes of nothing.
pub(in crate::judge) fn tail_p(mean: f64, error: f64, freedom: f64) -> f64 {
    if error <= 1e-12 {
        return if mean > 1e-12 { 0.0 } else { 1.0 };
    }
    students_t(freedom.max(1.0)).map_or(1.0, |t| t.sf(mean / error))
}

/// Probability of so many steps one way and so few the other if both were equally likely. Only asked where hardly
/// any step goes the other way: releases that come rarely but in bulk would fool it otherwise.
fn sign_p(with: usize, against: usize) -> f64 {
    if with < 20 * against || with == 0 {
        return 1.0;
    }
    Binomial::new(0.5, (with + against) as u64).map_or(1.0, |steps| steps.sf(with as u64 - 1))
}

fn students_t(freedom: f64) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, freedom).ok()
}

fn normal_tail(z: f64) -> f64 {
    Normal::standard().sf(z)
}

/// Lowest and highest of finite values.
pub(in crate::judge) fn range(values: &[f64]) -> Option<(f64, f64)> {
    if values.is_empty() || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((low, high))
}

/// Median; 0 of nothing.
pub(in crate::judge) fn median(values: &[f64]) -> f64 {
    median_of(&mut values.to_vec())
}

fn median_of(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    let odd = values.len() % 2 == 1;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if odd {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    lower + (upper - lower) / 2.0
}

fn standard_deviation(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    if n < 2.0 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt()
}

#[cfg(test)]
mod tests;
