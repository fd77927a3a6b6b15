//! Mappings by their number, which `vm.max_map_count` bounds. How many bytes they hold resident is `memory`'s.

use super::growth::course;
use super::{Kind, Outcome, Thresholds};
use crate::store::Window;

/// Judges the number of VMAs.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.mappings.at, *sample.mappings.seen()? as f64)));
    vec![Outcome::of(Kind::Mapping, course(&series, Kind::Mapping.unit(), thresholds), |_| {})]
}
