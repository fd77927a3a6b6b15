//! Mappings by their number, which `vm.max_map_count` bounds. How many bytes they hold resident is `memory`'s.

use super::growth::{Course, course};
use super::survivors::{Book, LEAST_COUNT};
use super::{Kind, Outcome, Thresholds};
use crate::store::Window;

/// Judges the number of VMAs.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.mappings.at, *sample.mappings.seen()? as f64)));
    let course = course(&series, Kind::Mapping.unit(), thresholds);
    let captures = window.captures();
    // What the runtime maps for the heap and for stacks is counted there.
    let Some(book) = Book::open(window, &captures.mappings, LEAST_COUNT, |site| {
        (!site.what.is_runtime).then_some(site.outstanding)
    }) else {
        return vec![Outcome::of(Kind::Mapping, course, |_| {})];
    };
    // The kernel merges neighbours: many calls can make one mapping, which no limit bites.
    let course = match course {
        steady @ Course::Steady(_) => steady,
        other => book.decide(other),
    };
    vec![Outcome::of(Kind::Mapping, course, |finding| book.describe(finding, captures))]
}
