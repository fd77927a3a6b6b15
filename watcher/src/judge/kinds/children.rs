//! Children that have exited and were not waited for. Each keeps its pid and its entry in the kernel's table.

use crate::judge::judgement::Outcome;
use crate::judge::series::growth::{Course, course};
use crate::judge::series::shape::tail;
use crate::judge::terms::{Kind, Thresholds};
use crate::judge::weigh::few::{Alike, Few, leaves_room};
use crate::judge::weigh::survivors::{Book, LEAST_COUNT};
use crate::store::Window;

/// Judges the number of unreaped children.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.children.at, sample.children.seen()?.zombies as f64)));
    let course = course(&series, Kind::Child.unit(), thresholds);
    let captures = window.captures();
    // One alone that nobody waits for is one too many: whoever waits does so at once.
    let by_total = |course: &Course| {
        let mut few = Few::of_series(&series)?;
        few.alike_before = u64::MAX;
        (leaves_room(course) && few.keep_coming())
            .then(|| Outcome::Suspected(few.suspected(Kind::Child, LEAST_COUNT)))
    };
    // Whoever still runs is waited for later; only who has exited is kept.
    let Some(book) = Book::open(window, &captures.children, LEAST_COUNT, |site| Some(site.what.zombies))
        .map(|book| book.beside(tail(&series, Kind::Child.unit())))
    else {
        return vec![by_total(&course).unwrap_or_else(|| Outcome::of(Kind::Child, course, |_| {}))];
    };
    let course = book.decide(course);
    let suspected = book
        .suspects(Kind::Child, &course, captures, |_| {
            Some(Alike { before: u64::MAX, now: u64::MAX, is_close: true })
        })
        .or_else(|| by_total(&course).map(|outcome| book.named(outcome, captures)));
    vec![
        suspected
            .unwrap_or_else(|| Outcome::of(Kind::Child, course, |finding| book.describe(finding, captures))),
    ]
}
