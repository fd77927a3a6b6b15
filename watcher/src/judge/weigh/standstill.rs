//! A process that does not run: it grows by nothing, and that says nothing of it.

use crate::judge::judgement::Standstill;
use crate::judge::judgement::{Judgement, Lacking};
use crate::judge::terms::Verdict;
use crate::store::Window;
use crate::vocabulary::task::ThreadState;

/// Takes a verdict back that rests on a process whose threads were all stopped when it was last looked at.
pub(in crate::judge) fn withhold(judgement: &mut Judgement, window: &Window) {
    if window.latest().is_some_and(|sample| {
        let groups = sample.thread_groups.seen();
        groups.is_some_and(|groups| {
            !groups.groups.is_empty() && groups.groups.iter().all(|group| group.state == ThreadState::Stopped)
        })
    }) {
        note(judgement, Standstill::Stopped);
    }
}

/// Notes that the process stands still. What leaks according to what was seen before leaks all the same.
pub fn note(judgement: &mut Judgement, why: Standstill) {
    if judgement.lacking.iter().any(|one| matches!(one, Lacking::Running(_))) {
        return;
    }
    judgement.lacking.insert(0, Lacking::Running(why));
    if judgement.verdict == Verdict::Healthy {
        judgement.verdict = Verdict::Inconclusive;
    }
}

#[cfg(test)]
mod tests {
    use crate::judge::judge;
    use crate::judge::judgement::Lacking;
    use crate::judge::simulation::{Beat, PROCESS, sample};
    use crate::judge::terms::{Bounds, Thresholds, Verdict};
    use crate::observed::threads::{ThreadGroup, ThreadGroups};
    use crate::store::Window;
    use crate::vocabulary::reading::Reading;
    use crate::vocabulary::task::ThreadState::{self, Sleeping, Stopped};
    use std::sync::Arc;

    /// A process whose threads are in `then` at first and in `now` at last.
    fn judged(then: &[ThreadState], now: &[ThreadState]) -> (Verdict, bool) {
        let mut window = Window::new(PROCESS, 64);
        for beat in 0..45 {
            let mut sample = sample(f64::from(beat), &Beat::default());
            let states = if beat < 40 { then } else { now };
            let group = |state: &ThreadState| ThreadGroup { name: "x".to_owned(), state: *state, count: 3 };
            let mut stamped = (*sample.thread_groups).clone();
            stamped.reading = Reading::Seen(ThreadGroups {
                groups: states.iter().map(group).collect(),
                ..Default::default()
            });
            sample.thread_groups = Arc::new(stamped);
            window.push(sample);
        }
        let judgement = judge(&window, &Bounds::default(), &Thresholds::default());
        let stands = judgement.lacking.iter().any(|one| matches!(one, Lacking::Running(_)));
        (judgement.verdict, stands)
    }

    #[test]
    fn what_stands_still_is_not_healthy() {
        assert_eq!(judged(&[Sleeping], &[Sleeping]), (Verdict::Healthy, false));
        assert_eq!(judged(&[Stopped], &[Stopped]), (Verdict::Inconclusive, true));
        assert_eq!(judged(&[Sleeping], &[Stopped]), (Verdict::Inconclusive, true));
        // It was stopped for a while, or one thread is.
        assert_eq!(judged(&[Stopped], &[Sleeping]), (Verdict::Healthy, false));
        assert_eq!(judged(&[Sleeping], &[Sleeping, Stopped]), (Verdict::Healthy, false));
        assert_eq!(judged(&[Sleeping], &[]), (Verdict::Healthy, false));
    }
}
