//! A rise that begins in the window: level until some moment, and a line ever since.

use crate::judge::series::trend::{Trend, median};
use crate::judge::terms::{Rate, Unit};
use crate::store::Series;

/// It begins no earlier than at this part of the window, else it covers all of it; and no later than at the other.
const BEGINS: std::ops::RangeInclusive<f64> = 0.12..=0.92;
/// A broken line must leave less than this part of what a straight one leaves unexplained.
const FITS_BETTER: f64 = 0.3;
/// Before it began the series moved by no more than this part of what it has risen since.
const LEVEL: f64 = 0.12;
/// It rises so many times as far as what the broken line does not explain spreads.
const OVER_NOISE: f64 = 8.0;
/// The newer half of the rise against the older one, where it is a line: what fills up slows down.
const STRAIGHT: std::ops::RangeInclusive<f64> = 0.7..=1.45;
/// It lasts for so many values and seconds at least.
const LEAST_VALUES: usize = 8;
const LEAST_SECONDS: f64 = 8.0;
/// Of fewer pieces nobody can say when they began, or that they come in a line.
const LEAST_PIECES: f64 = 12.0;
const LEAST_BYTES: f64 = 4.0 * 1024.0 * 1024.0;

/// The part of a series that rises, to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Tail {
    /// Where it begins.
    pub begins: usize,
    /// How long it lasts.
    pub seconds: f64,
    /// How fast it rises.
    pub rate: Rate,
    /// How far it has risen.
    pub rise: f64,
    /// It rises in a line, neither ever more slowly nor ever faster.
    pub is_straight: bool,
}

/// Finds where a series that was level began to rise; `None` where it rises all the time, or where no single moment
/// divides it.
pub fn tail(series: &Series, unit: Unit) -> Option<Tail> {
    let (times, values) = (&series.seconds, &series.values);
    let (began, ended) = (*times.first()?, *times.last()?);
    let span = ended - began;
    if values.len() < 2 * LEAST_VALUES || span <= 0.0 || values.iter().any(|value| !value.is_finite()) {
        return None;
    }
    let line = Fit::of(times, values, |at| at - began)?;
    let part = |at: usize| (times[at] - began) / span;
    let candidates = (1..values.len() - LEAST_VALUES).filter(|at| BEGINS.contains(&part(*at)));
    let fits = candidates.filter_map(|at| {
        let fit = Fit::of(times, values, |time| (time - times[at]).max(0.0))?;
        Some((at, fit))
    });
    let (begins, fit) = fits.min_by(|a, b| a.1.unexplained.total_cmp(&b.1.unexplained))?;
    let seconds = ended - times[begins];
    let rise = fit.per_second * seconds;
    let least = if unit == Unit::Bytes { LEAST_BYTES } else { LEAST_PIECES };
    if fit.unexplained > FITS_BETTER * line.unexplained || rise < least || seconds < LEAST_SECONDS {
        return None;
    }
    let before = Fit::of(&times[..=begins], &values[..=begins], |at| at - began);
    let moved = before.map_or(0.0, |fit| fit.per_second.abs() * (times[begins] - began));
    let noise = (fit.unexplained / values.len() as f64).sqrt();
    if moved > LEVEL * rise || rise < OVER_NOISE * noise {
        return None;
    }
    let part = Series { seconds: times[begins..].to_vec(), values: values[begins..].to_vec(), gaps: 0 };
    let trend = Trend::of(&part)?;
    Some(Tail {
        begins,
        seconds,
        rate: Rate { per_second: fit.per_second, ..trend.rate }.ordered(),
        rise,
        is_straight: STRAIGHT.contains(&newer_over_older(&part)?),
    })
}

/// The rise of the newer half against that of the older one, between medians of a few values.
fn newer_over_older(series: &Series) -> Option<f64> {
    let values = &series.values;
    let few = (values.len() / 8).max(1);
    let level = |middle: usize| {
        let from = middle.saturating_sub(few / 2);
        median(&values[from..(from + few).min(values.len())])
    };
    let half = series.seconds.first()? + (series.seconds.last()? - series.seconds.first()?) / 2.0;
    let middle = series.seconds.partition_point(|at| *at < half).clamp(1, values.len() - 1);
    // Between the two values that lie around the middle.
    let (before, after) = (series.seconds[middle - 1], series.seconds[middle]);
    let share = ((half - before) / (after - before)).clamp(0.0, 1.0);
    let halfway = values[middle - 1] + share * (values[middle] - values[middle - 1]);
    let (from, to) = (level(0), level(values.len() - 1));
    let older = halfway - from;
    (older > 0.0).then(|| (to - halfway) / older)
}

/// A line through the values over some function of the time, by least squares.
struct Fit {
    per_second: f64,
    unexplained: f64,
}

impl Fit {
    fn of(times: &[f64], values: &[f64], shape: impl Fn(f64) -> f64) -> Option<Fit> {
        let n = values.len() as f64;
        let mean_at = times.iter().map(|at| shape(*at)).sum::<f64>() / n;
        let mean = values.iter().sum::<f64>() / n;
        let (mut square, mut along, mut total) = (0.0, 0.0, 0.0);
        for (time, value) in times.iter().zip(values) {
            let (at, off) = (shape(*time) - mean_at, value - mean);
            square += at * at;
            along += at * off;
            total += off * off;
        }
        (square > 0.0).then(|| Fit {
            per_second: along / square,
            unexplained: (total - along * along / square).max(0.0),
        })
    }
}
