//! What seems to grow, by little evidence and at little cost: where it pays to look closer. Nothing here accuses.

use super::{Kind, goroutines};
use crate::sample::Sample;
use crate::store::{Series, Window};

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

/// Kinds that seem to grow.
pub fn rising(window: &Window) -> Vec<Kind> {
    let series = |read: fn(&Sample) -> Option<f64>| window.series(|sample| Some((sample.at, read(sample)?)));
    // Descriptors are counted together: which of them grow is told later and less often.
    let descriptors = series(|sample| Some(*sample.descriptors.seen()? as f64));
    let sockets =
        window.series(|sample| Some((sample.connections.at, sample.connections.seen()?.total() as f64)));
    let threads = series(|sample| Some(*sample.threads.seen()? as f64));
    let children = series(|sample| Some(sample.children.seen()?.zombies as f64));
    let mappings = series(|sample| Some(*sample.mappings.seen()? as f64));
    let marked = series(|sample| Some(sample.runtime.seen()?.heap?.marked_bytes? as f64));
    let anonymous = series(|sample| Some(sample.memory.seen()?.anon_bytes as f64));
    [
        (Kind::Fd, rises(&descriptors, MIN_RISE_COUNT)),
        (Kind::Connection, rises(&sockets, MIN_RISE_COUNT)),
        (Kind::Thread, rises(&threads, MIN_RISE_COUNT)),
        (Kind::Child, rises(&children, MIN_RISE_COUNT)),
        (Kind::Mapping, rises(&mappings, MIN_RISE_COUNT)),
        (Kind::Goroutine, rises(&goroutines::series(window), MIN_RISE_COUNT)),
        (Kind::Heap, rises(&marked, MIN_RISE_BYTES)),
        (Kind::Native, rises(&anonymous, 4.0 * MIN_RISE_BYTES)),
    ]
    .into_iter()
    .filter_map(|(kind, rises)| rises.then_some(kind))
    .collect()
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
    use super::rising;
    use crate::judge::Kind;
    use crate::judge::simulation::{Beat, PROCESS, sample, window};
    use crate::store::Window;

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
}
