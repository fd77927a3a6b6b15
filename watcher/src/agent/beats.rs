//! When the next beat is due, and how many were missed until it was taken.
//!
//! It counts on CLOCK_MONOTONIC, which stands still while the machine is suspended: nobody could have taken those beats.
//! Samples carry CLOCK_BOOTTIME, so that the gap is in their times all the same.

use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// A steady beat.
#[derive(Debug)]
pub(super) struct Beats {
    ticks: Interval,
}

/// A beat that is due, and how it stands to when it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Beats that were due after it and will not be taken, since their time is over as well.
    pub missed: u64,
    /// It begins more than a quarter of the interval after its time.
    pub is_late: bool,
}

impl Beats {
    /// The first is due at once.
    pub fn new(interval: Duration) -> Beats {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Beats { ticks }
    }

    /// Waits for the next one. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Due {
        let due = self.ticks.tick().await;
        Due::after(Instant::now().saturating_duration_since(due), self.ticks.period())
    }
}

impl Due {
    fn after(lateness: Duration, interval: Duration) -> Due {
        let missed = lateness.as_nanos() / interval.as_nanos().max(1);
        Due { missed: u64::try_from(missed).unwrap_or(u64::MAX), is_late: lateness > interval / 4 }
    }
}

#[cfg(test)]
mod tests {
    use super::{Beats, Due};
    use std::time::Duration;

    #[test]
    fn what_was_due_meanwhile_was_missed() {
        let after = |milliseconds, interval| {
            Due::after(Duration::from_millis(milliseconds), Duration::from_millis(interval))
        };
        assert_eq!(after(0, 5_000), Due { missed: 0, is_late: false });
        assert_eq!(after(1_000, 5_000), Due { missed: 0, is_late: false });
        // A beat took 8, 16, 25 s: the next one was due after 5.
        assert_eq!(after(3_000, 5_000), Due { missed: 0, is_late: true });
        assert_eq!(after(11_000, 5_000), Due { missed: 2, is_late: true });
        assert_eq!(after(20_000, 5_000), Due { missed: 4, is_late: true });
    }

    #[test]
    fn taken_and_missed_together_are_all_that_were_due() {
        const INTERVAL: Duration = Duration::from_millis(40);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut beats = Beats::new(INTERVAL);
            let began = tokio::time::Instant::now();
            let mut counted = 0;
            for stall in [0, 30, 500, 0, 90, 0] {
                counted += 1 + beats.next().await.missed;
                std::thread::sleep(Duration::from_millis(stall));
            }
            counted += 1 + beats.next().await.missed;
            let due = 1 + u64::try_from(began.elapsed().as_nanos() / INTERVAL.as_nanos()).unwrap();
            assert!(counted.abs_diff(due) <= 1, "{counted} of {due}");
        });
    }
}
