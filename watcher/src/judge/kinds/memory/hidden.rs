//! Memory that a leak may have filled since the process started, too slowly for the window to show.
//!
//! Live bytes breathe by hundreds of KiB, so that a minute sees no KiB a second. But nothing can have leaked that is not
//! there: what there is, over the age of the process, bounds what may have leaked, and of a process with little memory, or
//! with a long life, that bound is nothing to worry about. Where neither the bound nor the window says so, nobody knows.

use super::super::heap;
use crate::judge::judgement::Outcome;
use crate::judge::terms::{Bounds, Kind};
use crate::judge::weigh::reasons::{Steady, SteadyWhy, Undecided, UndecidedWhy};
use crate::store::{Series, Window};
use std::ops::RangeInclusive;

const MIB: f64 = 1024.0 * 1024.0;
/// A younger process has not had the time for a slow leak to matter; what grows in it is its start.
const LEAST_AGE_SECONDS: f64 = 600.0;
/// Slower than this, in bytes per second, it is 40 MiB a day.
const LEAST_PER_SECOND: f64 = 512.0;
/// Every program has a few hundred KiB live; and of what is far larger a slow leak is a small part, which only a longer
/// look could tell in any case.
const HEAP_BYTES: RangeInclusive<f64> = 1.25 * MIB..=32.0 * MIB;
/// The runtime's own pages are two to three MiB.
const NATIVE_BYTES: RangeInclusive<f64> = 4.0 * MIB..=64.0 * MIB;
/// What shows is what a series moved by in any case, and so much more: a few live objects, a few batches of the kernel's
/// counting.
const HEAP_SHOWS_BYTES: f64 = MIB / 16.0;
const NATIVE_SHOWS_BYTES: f64 = MIB / 4.0;
/// A rise by so many times what counts decides, with some margin.
const DECIDES: f64 = 3.75;

/// The Go heap, of which the window shows no growth; `None` where that acquits it.
pub(super) fn heap(steady: &Steady, window: &Window, bounds: &Bounds) -> Option<Outcome> {
    let (level, shows, at_most) = match steady.why {
        SteadyWhy::LiveHeap { low, high, .. } => (low, high - low + HEAP_SHOWS_BYTES, f64::INFINITY),
        SteadyWhy::LittleAllocated { per_second, .. } => {
            let newest = window.samples().rev().find_map(|sample| sample.runtime.seen()?.heap)?;
            let level = newest.marked_bytes? as f64;
            (level, heap::little(level), per_second)
        }
        _ => return None,
    };
    let level = Some(level).filter(|level| HEAP_BYTES.contains(level))?;
    too_slow(Kind::Heap, level, at_most, [shows, DECIDES * heap::little(level)], window, bounds)
}

/// Memory outside the Go heap, of which the window shows no growth.
pub(super) fn native(window: &Window, outside: &Series, bounds: &Bounds) -> Option<Outcome> {
    let level = *outside.values.last().filter(|level| NATIVE_BYTES.contains(level))?;
    let low = outside.values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = outside.values.iter().copied().fold(0.0, f64::max);
    let sizes = [high - low + NATIVE_SHOWS_BYTES, DECIDES * MIB];
    too_slow(Kind::Native, level, f64::INFINITY, sizes, window, bounds)
}

/// Undecided, where a leak that would have brought all of `level` shows less than `shows` in this window. It grows by no
/// more than `at_most` in any case; the sizes are what shows, and what decides.
fn too_slow(
    kind: Kind,
    level: f64,
    at_most: f64,
    [shows, decides]: [f64; 2],
    window: &Window,
    bounds: &Bounds,
) -> Option<Outcome> {
    let age = bounds.age_seconds.filter(|age| *age >= LEAST_AGE_SECONDS)?;
    let per_second = (level / age).min(at_most);
    let is_hidden = per_second >= LEAST_PER_SECOND && per_second * window.seconds() < shows;
    is_hidden.then(|| {
        let need_seconds = (decides / per_second).max(2.0 * window.seconds());
        let why = UndecidedWhy::TooSlowToShow { level_bytes: level, per_second, need_seconds };
        Outcome::Undecided(Undecided { kind, why })
    })
}

#[cfg(test)]
mod tests {
    use super::{MIB, heap};
    use crate::judge::judgement::Outcome;
    use crate::judge::simulation::window_of;
    use crate::judge::terms::{Bounds, Kind};
    use crate::judge::weigh::reasons::{Steady, SteadyWhy, Undecided, UndecidedWhy};

    /// How long to watch a heap that moved between so many MiB in a window of so many seconds, at this age; `None` where it
    /// is ruled out.
    fn said([low, high]: [f64; 2], age: f64, watched: f64) -> Option<f64> {
        let window = window_of(watched, 1.0, |_, _| {});
        let why = SteadyWhy::LiveHeap { low: low * MIB, high: high * MIB, cycles: 14 };
        let bounds = Bounds { age_seconds: Some(age), ..Bounds::default() };
        match heap(&Steady { kind: Kind::Heap, why }, &window, &bounds)? {
            Outcome::Undecided(Undecided {
                why: UndecidedWhy::TooSlowToShow { need_seconds, .. }, ..
            }) => Some(need_seconds),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_may_have_come_slowly_is_not_ruled_out_by_a_window_that_cannot_show_it() {
        for (watched, high) in [(45.0, 2.4), (300.0, 2.75)] {
            let need = said([2.3, high], 1_800.0, watched).expect("1.3 KiB a second hides");
            assert!((2_000.0..4_000.0).contains(&need), "{need}");
            // Whoever follows the advice sees it, or sees that there is none.
            assert_eq!(said([2.3, 2.8], 1_800.0 + need, need), None);
        }
        assert!(said([10.0, 10.5], 900.0, 45.0).is_some(), "11 KiB a second");
    }

    #[test]
    fn small_young_old_large_and_resting_heaps_are_ruled_out_by_what_they_are() {
        assert_eq!(said([0.7, 0.9], 1_800.0, 45.0), None, "what every program has");
        assert_eq!(said([4.0, 4.9], 120.0, 45.0), None, "it has just started");
        assert_eq!(said([4.0, 4.9], 86_400.0, 45.0), None, "50 bytes a second");
        assert_eq!(said([400.0, 420.0], 3_600.0, 45.0), None, "a large one");
        assert_eq!(said([10.0, 10.1], 900.0, 45.0), None, "it hardly moves");
    }
}
