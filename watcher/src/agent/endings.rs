//! Processes that have ended: what was seen of them until then, judged before it is dropped.

use crate::judge::horizons::ladder::Ladder;
use crate::judge::judgement::Judgement;
use crate::store::Window;
use crate::vocabulary::process::Target;
use std::sync::Arc;

/// Endings that wait to be told: what ends beyond that between two looks is told without a verdict.
const MOST: usize = 256;

/// One process that has ended, or runs another program now.
#[derive(Debug)]
pub struct Ending {
    /// The process.
    pub target: Arc<Target>,
    /// What it was judged to be by all that was seen of it.
    pub judgement: Judgement,
    /// What was seen.
    pub window: Window,
    /// What the horizons said.
    pub ladder: Ladder,
}

/// Of which processes the ending is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Judged {
    /// Of none.
    #[default]
    Nobody,
    /// Of those in which something seemed to grow.
    Rising,
    /// Of all.
    Everybody,
}

/// Endings since they were taken last.
#[derive(Debug, Default)]
pub(super) struct Endings {
    judged: Judged,
    kept: Vec<Ending>,
}

impl Endings {
    /// From now on judges the endings of these.
    pub fn judge(&mut self, judged: Judged) {
        self.judged = judged;
    }

    /// Whether the ending of a process is to be judged, in which something seemed to grow or nothing did.
    pub fn wants(&self, is_rising: impl FnOnce() -> bool) -> bool {
        let wanted = match self.judged {
            Judged::Nobody => false,
            Judged::Rising => is_rising(),
            Judged::Everybody => true,
        };
        wanted && self.kept.len() < MOST
    }

    /// Keeps one until it is taken.
    pub fn keep(&mut self, ending: Ending) {
        self.kept.push(ending);
    }

    /// Those since the last time.
    pub fn take(&mut self) -> Vec<Ending> {
        std::mem::take(&mut self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, Endings, Judged, MOST};
    use crate::explain::tests::target;
    use crate::judge::horizons::ladder::Ladder;
    use crate::judge::judge;
    use crate::judge::simulation::window;
    use crate::judge::terms::{Bounds, Thresholds};
    use std::sync::Arc;

    fn ending() -> Ending {
        let window = window(|_, _| {});
        let judgement = judge(&window, &Bounds::default(), &Thresholds::default());
        Ending { target: Arc::new(target()), judgement, window, ladder: Ladder::default() }
    }

    #[test]
    fn only_those_are_judged_that_are_asked_for() {
        for (judged, rising, calm) in
            [(Judged::Nobody, false, false), (Judged::Rising, true, false), (Judged::Everybody, true, true)]
        {
            let mut endings = Endings::default();
            endings.judge(judged);
            assert_eq!((endings.wants(|| true), endings.wants(|| false)), (rising, calm), "{judged:?}");
        }
    }

    #[test]
    fn whether_it_rises_is_looked_at_only_where_that_matters() {
        for judged in [Judged::Nobody, Judged::Everybody] {
            let mut endings = Endings::default();
            endings.judge(judged);
            endings.wants(|| panic!("it costs something"));
        }
    }

    #[test]
    fn so_many_wait_to_be_told_and_each_is_told_once() {
        let mut endings = Endings::default();
        endings.judge(Judged::Everybody);
        let mut kept = 0;
        while endings.wants(|| true) {
            endings.keep(ending());
            kept += 1;
            assert!(kept <= MOST, "it is bounded");
        }
        assert_eq!(kept, MOST);
        assert_eq!((endings.take().len(), endings.take().len()), (MOST, 0));
        assert!(endings.wants(|| true), "there is room again");
    }
}
