//! A process that has just started and loads its first data: a heap that grows fast, in a line, and of which next to
//! nothing is garbage.
//!
//! Nothing but time tells it from a leak. A leak at such a pace ends the process within the hour, and shows in the next
//! minutes; a load that is called a leak is a false alarm at each start.

use crate::judge::{Kind, Outcome, Undecided, UndecidedWhy};
use crate::store::Window;

/// Up to this age a process may still load.
const YOUNG_SECONDS: f64 = 180.0;
/// From this age on it has loaded.
const LOADED_SECONDS: f64 = 300.0;
/// Nobody is asked to watch for less.
const LEAST_MORE_SECONDS: f64 = 90.0;
/// Slower than this, in bytes per second, no process loads its data for minutes.
const LEAST_PER_SECOND: f64 = 2.0 * 1024.0 * 1024.0;
/// Of all that it has allocated until the newest collection so much is live. Work makes garbage, loading hardly any.
const KEPT: f64 = 0.9;

/// What is said of a heap of a process of this age.
pub fn weigh(outcome: Outcome, window: &Window, age_seconds: Option<f64>) -> Outcome {
    let per_second = match &outcome {
        Outcome::Leaks(finding) => finding.rate.per_second,
        _ => return outcome,
    };
    let Some(age) = age_seconds.filter(|age| *age <= YOUNG_SECONDS) else { return outcome };
    if per_second < LEAST_PER_SECOND || kept(window).is_none_or(|part| part < KEPT) {
        return outcome;
    }
    let need_seconds = (LOADED_SECONDS - age).max(LEAST_MORE_SECONDS);
    let why = UndecidedWhy::Loading { per_second, need_seconds };
    Outcome::Undecided(Undecided { kind: Kind::Heap, why })
}

/// The part of all that was allocated until the newest collection that is live: 0 to 1.
fn kept(window: &Window) -> Option<f64> {
    let newest = window.samples().rev().find_map(|sample| sample.runtime.seen()?.heap)?;
    let marked = newest.marked_bytes?;
    let since = newest.live_bytes.saturating_sub(marked);
    let until = newest.total_allocated_bytes.saturating_sub(since);
    (until > 0).then(|| marked as f64 / until as f64)
}

#[cfg(test)]
mod tests {
    use super::weigh;
    use crate::golang::runtime::HeapCounters;
    use crate::judge::simulation::window_of;
    use crate::judge::{Detail, Finding, Kind, Outcome, Rate, UndecidedWhy};
    use crate::sample::runtime::GoCounters;

    /// Whether a heap that grows by so many MiB a second is called a leak, at this age, with this part of all kept.
    fn is_leak(mib_per_second: f64, age: f64, kept: f64) -> bool {
        const MARKED: f64 = 400e6;
        #[expect(clippy::cast_sign_loss, reason = "a part of bytes")]
        let allocated = (MARKED / kept) as u64;
        let window = window_of(45.0, 1.0, move |_, beat| {
            let heap = HeapCounters {
                marked_bytes: Some(400_000_000),
                live_bytes: 400_000_000,
                total_allocated_bytes: allocated,
                ..HeapCounters::default()
            };
            beat.runtime = Some(GoCounters { heap: Some(heap), ..GoCounters::default() });
        });
        let per_second = mib_per_second * 1024.0 * 1024.0;
        let finding = Finding {
            kind: Kind::Heap,
            primary: false,
            consequence_of: None,
            confidence: 0.7,
            rate: Rate { per_second, low: per_second, high: per_second },
            exhausts: None,
            detail: Detail::default(),
            culprits: Vec::new(),
            evidence: Vec::new(),
        };
        match weigh(Outcome::Leaks(finding), &window, Some(age)) {
            Outcome::Leaks(_) => true,
            Outcome::Undecided(one) => {
                assert!(
                    matches!(one.why, UndecidedWhy::Loading { need_seconds, .. } if need_seconds >= 90.0)
                );
                false
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn first_data_are_no_leak_and_a_leak_is_no_first_data() {
        assert!(!is_leak(10.0, 60.0, 0.98));
        assert!(is_leak(10.0, 60.0, 0.8), "it makes garbage: it works");
        assert!(is_leak(10.0, 400.0, 0.98), "nobody loads for so long");
        assert!(is_leak(0.5, 60.0, 0.98), "nor so slowly");
    }
}
