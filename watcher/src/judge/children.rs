//! Children that have exited and were not waited for. Each keeps its pid and its entry in the kernel's table.

use super::growth::course;
use super::survivors::{Book, LEAST_COUNT};
use super::{Kind, Outcome, Thresholds};
use crate::store::Window;

/// Judges the number of unreaped children.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.children.at, sample.children.seen()?.zombies as f64)));
    let course = course(&series, Kind::Child.unit(), thresholds);
    let captures = window.captures();
    // Whoever still runs is waited for later; only who has exited is kept.
    let Some(book) = Book::open(window, &captures.children, LEAST_COUNT, |site| Some(site.what.zombies))
    else {
        return vec![Outcome::of(Kind::Child, course, |_| {})];
    };
    vec![Outcome::of(Kind::Child, book.decide(course), |finding| book.describe(finding, captures))]
}
