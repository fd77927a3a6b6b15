//! Children that have exited and were not waited for. Each keeps its pid and its entry in the kernel's table.

use super::growth::course;
use super::{Kind, Outcome, Thresholds};
use crate::store::Window;

/// Judges the number of unreaped children.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.children.at, sample.children.seen()?.zombies as f64)));
    vec![Outcome::of(Kind::Child, course(&series, Kind::Child.unit(), thresholds), |_| {})]
}
