//! What seems to grow, by little evidence and at little cost: where it pays to look closer. Nothing here accuses.
//!
//! Three looks, each for a purpose of its own: [`rising`] asks who is worth a ledger, by the newest samples; [`risen`]
//! asks whose endpoint is worth a first profile; [`creeping`] asks what rises too slowly for either. What is done about
//! it is the agent's (`agent/escalation.rs`).

mod heading;

pub use heading::{Heading, heading};

use crate::judge::terms::Kind;
use crate::observed::totals;
use crate::store::history::{LEVELS, Point};
use crate::store::{History, Series, Window};
use crate::vocabulary::signal::Signal;

/// Fewer values than this suggest nothing.
const MIN_VALUES: usize = 4;
/// A rise by fewer pieces than this is noise.
const MIN_RISE_COUNT: f64 = 4.0;
/// The same for bytes.
const MIN_RISE_BYTES: f64 = 1024.0 * 1024.0;
/// ... and this part of the level.
const MIN_RISE_SHARE: f64 = 0.02;
/// What is now must be near the most that was seen.
const NEAR_THE_TOP: f64 = 0.25;

/// Over minutes to hours a rise by fewer pieces than this is noise.
const MIN_CREEP_COUNT: f64 = 2.0;
/// The same for the live heap, and for memory outside of it.
const MIN_CREEP_HEAP: f64 = 64.0 * 1024.0;
const MIN_CREEP_OUTSIDE: f64 = 512.0 * 1024.0;
/// ... and this part of the level, for bytes.
const MIN_CREEP_SHARE: f64 = 0.005;
/// Fewer buckets than this suggest nothing.
const MIN_BUCKETS: usize = 4;
/// What falls back by more than this part of its rise has been seen to fall.
const FELL: f64 = 0.25;
/// How far back to look, in buckets: minutes, a quarter of an hour, an hour, then six hours and a day.
const REACHES: [(usize, usize); 5] = [(0, 5), (0, 15), (0, 60), (1, 72), (2, 48)];

/// A first profile is worth asking for from a rise by this part of the level on, and by so many or by so many bytes.
const MIN_RISEN_SHARE: f64 = 0.05;
const MIN_RISEN_COUNT: f64 = 5.0;
const MIN_RISEN_BYTES: f64 = 1024.0 * 1024.0;

/// Kinds that rose over minutes to hours and were not seen to fall: what rises by three an hour does not show in a
/// window. Buckets' lowest values are looked at, so that what comes with load and goes with it suggests nothing.
pub fn creeping(history: &History) -> Vec<Kind> {
    let creeping = Signal::JUDGED.iter().filter(|(kind, signal)| {
        let (least, is_bytes) = match kind {
            Kind::Heap => (MIN_CREEP_HEAP, true),
            Kind::Native => (MIN_CREEP_OUTSIDE, true),
            _ => (MIN_CREEP_COUNT, false),
        };
        REACHES.iter().any(|(level, buckets)| {
            debug_assert!(*buckets <= LEVELS[*level].1);
            // Most signals have not moved, and that costs next to nothing to know.
            let moved =
                history.range(*level, *buckets, *signal).is_some_and(|(low, high)| high - low >= least);
            moved && creeps(&history.points(*level, *buckets, *signal), least, is_bytes)
        })
    });
    creeping.map(|(kind, _)| *kind).collect()
}

fn creeps(points: &[Point], least: f64, is_bytes: bool) -> bool {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return false };
    let rise = last.low - first.low;
    let share = if is_bytes { MIN_CREEP_SHARE } else { 0.0 };
    if points.len() < MIN_BUCKETS || rise < least.max(share * first.low) {
        return false;
    }
    let mut top = first.low;
    points.iter().all(|point| {
        top = top.max(point.low);
        top - point.low <= FELL * rise
    })
}

/// Kinds that seem to grow.
pub fn rising(window: &Window) -> Vec<Kind> {
    let rising = [
        // Descriptors are counted together: which of them grow is told later and less often.
        (Kind::Fd, series(window, Signal::Descriptors), MIN_RISE_COUNT),
        (Kind::Connection, sockets(window), MIN_RISE_COUNT),
        (Kind::Thread, series(window, Signal::Threads), MIN_RISE_COUNT),
        (Kind::Child, series(window, Signal::Zombies), MIN_RISE_COUNT),
        (Kind::Mapping, series(window, Signal::Mappings), MIN_RISE_COUNT),
        (Kind::Goroutine, series(window, Signal::Goroutines), MIN_RISE_COUNT),
        (Kind::Heap, series(window, Signal::LiveHeap), MIN_RISE_BYTES),
        (Kind::Native, series(window, Signal::Anonymous), 4.0 * MIN_RISE_BYTES),
    ];
    rising.iter().filter(|(_, series, least)| rises(series, *least)).map(|(kind, ..)| *kind).collect()
}

/// Kinds that have risen from the first value of the window to its last, of those to which an endpoint could say
/// something: a first profile is worth having before there is a verdict.
pub fn risen(window: &Window) -> Vec<Kind> {
    let risen = [
        (Kind::Goroutine, series(window, Signal::Goroutines), MIN_RISEN_COUNT),
        (Kind::Heap, series(window, Signal::LiveHeap), MIN_RISEN_BYTES),
        (Kind::Connection, sockets(window), MIN_RISEN_COUNT),
    ];
    let has_risen = |series: &Series, least: f64| {
        let (Some(first), Some(last)) = (series.values.first(), series.values.last()) else { return false };
        last - first >= least.max(MIN_RISEN_SHARE * first)
    };
    risen.iter().filter(|(_, series, least)| has_risen(series, *least)).map(|(kind, ..)| *kind).collect()
}

/// A signal in a window. A reading that is older than its sample counts again: it is as much as that it did not rise.
fn series(window: &Window, signal: Signal) -> Series {
    window.series(|sample| Some((sample.at, totals::of(sample, signal)?.1 as f64)))
}

fn sockets(window: &Window) -> Series {
    window.series(|sample| Some((sample.connections.at, sample.connections.seen()?.total() as f64)))
}

fn rises(series: &Series, least: f64) -> bool {
    let values = &series.values;
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return false };
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(*value), high.max(*value)));
    let rise = last - first;
    values.len() >= MIN_VALUES
        && rise >= least.max(MIN_RISE_SHARE * first)
        && high - last <= NEAR_THE_TOP * (high - low)
}

#[cfg(test)]
mod tests {
    use super::{creeping, risen, rising};
    use crate::judge::simulation::{Beat, PROCESS, sample, window};
    use crate::judge::terms::Kind;
    use crate::store::history::{Readings, Signal};
    use crate::store::{History, Window};
    use crate::vocabulary::reading::Moment;
    use std::time::{Duration, UNIX_EPOCH};

    /// What a signal did, asked every ten seconds for so many minutes.
    fn lived(signal: Signal, minutes: u32, value: impl Fn(f64) -> f64) -> History {
        let mut history = History::default();
        for beat in 0..=minutes * 6 {
            let since_boot = Duration::from_secs(60_000 + u64::from(beat) * 10);
            let mut readings = Readings::default();
            readings.set(signal, value(f64::from(beat) * 10.0));
            history.push(Moment { since_boot, wall: UNIX_EPOCH + since_boot }, &readings);
        }
        history
    }

    #[test]
    fn what_rises_by_few_an_hour_is_suspicious_in_time() {
        let every = |seconds: f64| move |second: f64| 20.0 + (second / seconds).floor();
        assert_eq!(creeping(&lived(Signal::Files, 6, every(20.0))), [Kind::Fd], "three a minute");
        assert_eq!(creeping(&lived(Signal::Zombies, 6, every(30.0))), [Kind::Child], "two a minute");
        assert_eq!(
            creeping(&lived(Signal::Goroutines, 190, every(3_600.0))),
            [Kind::Goroutine],
            "one an hour"
        );
        let heap = lived(Signal::LiveHeap, 20, |second| 4e6 + 1024.0 * 120.0 * (second / 120.0).floor());
        assert_eq!(creeping(&heap), [Kind::Heap], "a kilobyte a second, collected every two minutes");
    }

    #[test]
    fn what_stays_or_falls_again_is_not() {
        assert_eq!(creeping(&lived(Signal::Files, 600, |_| 20.0)), []);
        // Sessions of three minutes each that come by twos and go again.
        let sessions = |second: f64| 20.0 + 6.0 * ((second / 700.0).fract() - 0.5).abs();
        assert_eq!(creeping(&lived(Signal::Sockets, 590, sessions)), []);
        let once = |second: f64| if second < 30.0 { 20.0 } else { 21.0 };
        assert_eq!(creeping(&lived(Signal::Threads, 300, once)), []);
    }

    #[test]
    fn what_rises_from_its_first_value_to_near_its_top_is_suspicious() {
        assert_eq!(rising(&window(|_, _| {})), []);
        assert_eq!(rising(&window(|second, beat| beat.files += second as u64)), [Kind::Fd]);
        let sockets = rising(&window(|second, beat| beat.established += second as u64));
        assert_eq!(sockets, [Kind::Fd, Kind::Connection]);
        assert_eq!(rising(&window(|second, beat| beat.threads += second as u64 / 5)), [Kind::Thread]);
        assert_eq!(rising(&window(|second, beat| beat.mappings += 100 - second as u64)), []);
        assert_eq!(rising(&window(|second, beat| beat.files += (second as u64 * 7) % 9)), []);
    }

    #[test]
    fn four_beats_are_enough_and_three_are_not() {
        let mut window = Window::new(PROCESS, 16);
        for (second, expected) in [(0_u32, 0), (1, 0), (2, 0), (3, 1)] {
            let beat = Beat { zombies: u64::from(second) * 3, ..Beat::default() };
            assert!(window.push(sample(f64::from(second), &beat)));
            assert_eq!(rising(&window).len(), expected, "after {second} s");
        }
    }

    #[test]
    fn what_rises_is_worth_a_first_profile() {
        let flat = window(|_, _| {});
        assert_eq!(risen(&flat), []);
        let sockets = window(|second, beat| beat.close_wait += 3 * second as u64);
        assert_eq!(risen(&sockets), [Kind::Connection]);
    }
}
