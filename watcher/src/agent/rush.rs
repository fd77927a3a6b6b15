//! Who is sampled more often than the beat: what heads for a limit may reach it before the next beat, and what has only
//! begun to rise is decided sooner by more samples. Pure.

use crate::judge::horizons::suspicion::Heading;
use crate::vocabulary::process::ProcessId;
use std::time::Duration;

/// So many processes are hurried along with at once, those with the least time first.
pub(super) const AT_ONCE: usize = 8;
/// Who has less time than this until a limit is sampled by how much is left.
pub(super) const SOON: Duration = Duration::from_secs(900);
/// ... so many times until then, ...
const SAMPLES_LEFT: u32 = 60;
/// ... and no more often than this.
const APART: Duration = Duration::from_millis(500);
/// Who has begun to rise is sampled so often ...
const APART_AT_FIRST: Duration = Duration::from_secs(2);
/// ... until there is enough for a verdict.
const ENOUGH_SAMPLES: usize = 16;
const ENOUGH_SECONDS: f64 = 32.0;
/// Judged again, and its ledgers read again, after one part in so many of what is left, ...
const JUDGED_PART: u32 = 12;
/// ... and no more often than this.
const JUDGED_APART: Duration = Duration::from_secs(2);
const READ_APART: Duration = Duration::from_secs(5);

/// What is said before a process is full: so much of the limit is taken, ...
const FILLED: f64 = 0.5;
/// ... no more time is left than this, ...
const FULL_WITHIN_SECONDS: f64 = 300.0;
/// ... and it has risen for so long, without a pause.
const RISEN_SECONDS: f64 = 8.0;
const RISEN_SAMPLES: usize = 5;

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course<'a> {
    pub id: ProcessId,
    /// Samples in its window.
    pub samples: usize,
    /// Seconds from the first to the last.
    pub seconds: f64,
    /// What rises in it at the moment, the most urgent first.
    pub heading: Option<&'a Heading>,
}

/// One that is sampled more often than the beat.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rushed {
    pub id: ProcessId,
    /// Time until a limit, where one is near.
    pub left: Option<Duration>,
    /// Time between two samples.
    pub apart: Duration,
}

impl Rushed {
    /// It is judged again after this time.
    pub fn judged_apart(&self) -> Duration {
        self.left.map_or(5 * JUDGED_APART, |left| (left / JUDGED_PART).max(JUDGED_APART))
    }

    /// Its ledgers are read again after this time.
    pub fn read_apart(&self) -> Duration {
        self.left.map_or(SOON, |left| (left / JUDGED_PART).max(READ_APART))
    }
}

/// Who is to be sampled more often than every `interval`, and how often.
pub(super) fn rushed<'a>(courses: impl IntoIterator<Item = Course<'a>>, interval: Duration) -> Vec<Rushed> {
    let mut rushed: Vec<Rushed> = courses.into_iter().filter_map(|course| rush(&course, interval)).collect();
    rushed.sort_by_key(|one| (one.left.unwrap_or(Duration::MAX), one.id.pid));
    rushed.truncate(AT_ONCE);
    rushed
}

fn rush(course: &Course<'_>, interval: Duration) -> Option<Rushed> {
    let heading = course.heading?;
    let left = heading.seconds_left().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let left = left.filter(|left| *left < SOON);
    let is_new = course.samples < ENOUGH_SAMPLES || course.seconds < ENOUGH_SECONDS;
    let by_limit = left.map(|left| (left / SAMPLES_LEFT).max(APART));
    let apart = by_limit.into_iter().chain(is_new.then_some(APART_AT_FIRST)).min()?;
    (apart < interval).then_some(Rushed { id: course.id, left, apart })
}

/// Whether it is to be said that something is about to be full.
pub(super) fn is_filling(heading: &Heading) -> bool {
    let Some(limit) = heading.limit.filter(|_| heading.is_counted()) else { return false };
    heading.level >= FILLED * limit
        && heading.seconds_left().is_some_and(|left| left <= FULL_WITHIN_SECONDS)
        && heading.seconds >= RISEN_SECONDS
        && heading.samples >= RISEN_SAMPLES
}

#[cfg(test)]
mod tests {
    use super::{AT_ONCE, Course, Rushed, is_filling, rushed};
    use crate::judge::horizons::suspicion::Heading;
    use crate::judge::terms::Kind;
    use crate::vocabulary::process::ProcessId;
    use std::time::Duration;

    const BEAT: Duration = Duration::from_secs(10);

    fn heading(level: f64, per_second: f64) -> Heading {
        Heading { kind: Kind::Fd, level, limit: Some(20_000.0), per_second, seconds: 20.0, samples: 8 }
    }

    fn of(heading: Option<&Heading>, samples: usize) -> Option<Rushed> {
        let seconds = 10.0 * samples as f64;
        let course = Course { id: ProcessId { pid: 1, start_ticks: 1 }, samples, seconds, heading };
        rushed([course], BEAT).first().copied()
    }

    #[test]
    fn what_heads_for_a_limit_is_sampled_by_how_much_is_left() {
        assert_eq!(of(None, 50), None);
        assert_eq!(of(Some(&heading(1_000.0, 1.0)), 50), None, "hours are left");
        let [far, near, last] =
            [4_000.0, 16_000.0, 19_900.0].map(|level| of(Some(&heading(level, 160.0)), 50).expect("rushed"));
        assert!(far.apart > near.apart && near.apart > Duration::from_millis(400), "{far:?} {near:?}");
        assert_eq!(last.apart, Duration::from_millis(500), "never more often");
        assert!(near.read_apart() >= Duration::from_secs(5));
        assert!(far.judged_apart() < BEAT, "{far:?}");
    }

    #[test]
    fn what_has_just_begun_to_rise_is_decided_sooner() {
        let slow = heading(100.0, 1.0);
        assert_eq!(of(Some(&slow), 3).map(|one| one.apart), Some(Duration::from_secs(2)));
        assert_eq!(of(Some(&slow), 16), None);
        let quick = [Course {
            id: ProcessId { pid: 1, start_ticks: 1 },
            samples: 3,
            seconds: 3.0,
            heading: Some(&slow),
        }];
        assert_eq!(rushed(quick, Duration::from_secs(1)), [], "the beat is quick enough");
    }

    #[test]
    fn few_are_rushed_at_once_those_with_the_least_time_first() {
        let headings: Vec<Heading> =
            (0..20).map(|index| heading(19_000.0 - 500.0 * f64::from(index), 100.0)).collect();
        let courses = headings.iter().enumerate().map(|(index, heading)| Course {
            id: ProcessId { pid: i32::try_from(index).unwrap_or(0), start_ticks: 1 },
            samples: 50,
            seconds: 500.0,
            heading: Some(heading),
        });
        let pids: Vec<i32> = rushed(courses, BEAT).iter().map(|one| one.id.pid).collect();
        assert_eq!(pids, (0..i32::try_from(AT_ONCE).unwrap_or(0)).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_half_full_and_soon_full_is_said_and_what_is_not_is_not() {
        assert!(is_filling(&heading(12_000.0, 160.0)));
        assert!(!is_filling(&heading(4_000.0, 160.0)), "a crowd that comes");
        assert!(!is_filling(&heading(12_000.0, 4.0)), "half an hour is left");
        assert!(!is_filling(&Heading { samples: 3, ..heading(12_000.0, 160.0) }));
        assert!(!is_filling(&Heading { seconds: 2.0, ..heading(12_000.0, 160.0) }));
        assert!(!is_filling(&Heading { kind: Kind::Native, ..heading(12_000.0, 160.0) }), "data that loads");
        assert!(!is_filling(&Heading { limit: None, ..heading(12_000.0, 160.0) }));
    }
}
