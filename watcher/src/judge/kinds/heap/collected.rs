//! What heaps are held against: how many collections, what a rise is, what stacks and sizes hold.

use crate::judge::series::trend::KEEPS_RISING;

/// From so many on they are judged as a series.
pub(in crate::judge) const SERIES_CYCLES: usize = 12;

/// The live heap is exact; what varies is what requests hold at the moment of a collection.
pub(in crate::judge) const MIN_RISE_BYTES: f64 = 1024.0 * 1024.0;

/// Rise against the first value that so many collections must show, each of them beyond the one before it: what
/// requests hold breathes, and three values rise by chance once in six times, four once in twenty-four. A heap that
/// breathes by a fifth to either side rises by half without any leak, so that few collections must show more. By
/// GOGC=100 collections in a row are as far apart as the heap is large: a leak that matters does show it.
pub(in crate::judge) const MIN_RISE_OF_FEW: [(usize, f64); 4] =
    [(3, 1.0), (4, 0.75), (6, 0.55), (usize::MAX, 0.3)];

/// Of what a stack or a line keeps, this part has to be of one size for that size to be spoken of.
pub(in crate::judge) const OF_ONE_SIZE: f64 = 0.8;

/// In the second half of the time it rises by far less than in the first, as what fills up does.
pub(in crate::judge) fn slows_down(times: &[f64], values: &[f64]) -> bool {
    let ends = || Some((*times.first()?, *times.last()?, *values.first()?, *values.last()?));
    let Some((began, ended, from, to)) = ends() else { return false };
    let middle = f64::midpoint(began, ended);
    let after = times.partition_point(|time| *time < middle).clamp(1, times.len() - 1);
    let part = (middle - times[after - 1]) / (times[after] - times[after - 1]);
    let halfway = values[after - 1] + part * (values[after] - values[after - 1]);
    to - halfway < KEEPS_RISING * (halfway - from)
}

/// Against the first of so many values, how far the last has to lie above it.
pub(in crate::judge) fn least_rise_of(values: usize) -> f64 {
    MIN_RISE_OF_FEW.iter().find(|(few, _)| values <= *few).map_or(0.3, |(_, least)| *least)
}
