//! When `run` tells how it is doing, where something is lost.
//!
//! That a kind of loss has begun is told at once. As long as more is lost it is told ever more seldom: whoever has heard of
//! it learns nothing from a line every ten seconds, and each line holds the sums.

use crate::vocabulary::health::Losses;
use std::time::Duration;

/// How often the agent tells how it is doing, whatever happens.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);
/// The first pause after a loss was told; each further one is twice as long, until the ordinary interval is as short.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// What was told last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Announcing {
    told: Losses,
    pause: Duration,
}

impl Default for Announcing {
    fn default() -> Self {
        Announcing { told: Losses::default(), pause: FIRST_PAUSE }
    }
}

impl Announcing {
    /// Whether it is time to tell, so long after it was told last.
    pub fn is_due(&self, now: &Losses, since: Duration) -> bool {
        let has_begun = now.kinds().iter().zip(self.told.kinds()).any(|(now, told)| *now > 0 && told == 0);
        let goes_on = now.is_more_than(&self.told);
        since >= HEALTH_INTERVAL || has_begun || goes_on && since >= self.pause
    }

    /// Takes note that it is told.
    pub fn note(&mut self, now: Losses) {
        let goes_on = now.is_more_than(&self.told);
        self.pause = if goes_on && self.told != Losses::default() {
            self.pause.saturating_mul(2)
        } else {
            FIRST_PAUSE
        };
        self.told = now;
    }
}

#[cfg(test)]
mod tests {
    use super::Announcing;
    use crate::vocabulary::health::Losses;
    use std::time::Duration;

    /// At which seconds it is told, where so much is lost at each second.
    fn told(seconds: u64, lost: impl Fn(u64) -> Losses) -> Vec<u64> {
        let (mut announcing, mut last, mut told) = (Announcing::default(), 0, Vec::new());
        for second in 1..=seconds {
            let losses = lost(second);
            if announcing.is_due(&losses, Duration::from_secs(second - last)) {
                announcing.note(losses);
                last = second;
                told.push(second);
            }
        }
        told
    }

    #[test]
    fn what_begins_is_told_at_once_and_what_goes_on_ever_more_seldom() {
        assert_eq!(told(130, |_| Losses::default()), [60, 120]);
        let all_the_time =
            |second: u64| Losses { missed_beats: second.saturating_sub(4), ..Losses::default() };
        assert_eq!(told(200, all_the_time), [5, 15, 35, 75, 135, 195]);
    }

    #[test]
    fn another_kind_is_told_at_once_and_what_is_over_no_more() {
        let two = |second: u64| Losses {
            missed_beats: u64::from(second >= 5),
            failed_looks: u64::from(second >= 7),
            ..Losses::default()
        };
        assert_eq!(told(70, two), [5, 7, 67]);
    }
}
