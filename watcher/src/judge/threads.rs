//! OS threads: a goroutine that is locked to its thread, blocked in a system call or in C holds one each.

use super::growth::course;
use super::{Kind, Outcome, Thresholds};
use crate::store::Window;

/// Judges the number of OS threads.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.threads.at, *sample.threads.seen()? as f64)));
    vec![Outcome::of(Kind::Thread, course(&series, Kind::Thread.unit(), thresholds), |_| {})]
}
