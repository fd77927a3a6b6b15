//! When a verdict is news: not at each judgement that says something else, but once it has said so for long enough.
//!
//! A process is judged some twenty thousand times a week. What a window's totals say alone is told by nobody: load that
//! rises in the morning looks the same. It is told where places in the program stand behind it at two judgements in a
//! row, or where the horizons have found it again and again, see [`crate::judge::horizons::ladder`]. A leak is taken back only
//! after [`TAKE_BACK`] judgements without it.

use super::nearing::Steps;
use crate::explain::diagnosis::{Diagnosis, Suspected};
use crate::explain::{Kind, Verdict};
use crate::judge::horizons::ladder::Ladder;
use crate::judge::judgement::Judgement;
use crate::judge::weigh::standing;

/// Judgements in a row that must name the same leak.
const ACCUSE: u32 = 2;
/// ... that must not find the leak any more that was told.
const TAKE_BACK: u32 = 10;
/// ... that must say the same of a process that was not accused.
const OTHERWISE: u32 = 3;

/// What can be told of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub verdict: Verdict,
    pub primary: Option<Kind>,
    /// Lines of code were named.
    pub has_lines: bool,
}

impl Told {
    /// "Not decided yet" is what everybody expects of a process that has just been met.
    pub const NOTHING: Told = Told { verdict: Verdict::Inconclusive, primary: None, has_lines: false };

    /// What a judgement and the sentences made of it say, as far as it may be told.
    pub fn of(judgement: &Judgement, diagnosis: &Diagnosis, ladder: &Ladder) -> Told {
        let Some(primary) = diagnosis.findings.iter().find(|finding| finding.primary) else {
            return Told { verdict: diagnosis.verdict, ..Told::NOTHING };
        };
        let stands = judgement.findings.iter().any(|finding| standing::stands(finding, ladder));
        if !stands {
            return Told::NOTHING;
        }
        Told {
            verdict: diagnosis.verdict,
            primary: Some(primary.kind),
            has_lines: !primary.culprits.is_empty(),
        }
    }

    fn says(self) -> (Verdict, Option<Kind>) {
        (self.verdict, self.primary)
    }
}

/// What was told of a process last, and what it has been judged to be since.
#[derive(Clone, Copy, Debug)]
pub struct Telling {
    told: Told,
    latest: Told,
    /// Judgements in a row that said the latest.
    times: u32,
}

impl Default for Telling {
    fn default() -> Self {
        Telling { told: Told::NOTHING, latest: Told::NOTHING, times: 0 }
    }
}

impl Telling {
    /// Takes in the next judgement; whether it is news.
    pub fn hear(&mut self, now: Told) -> bool {
        self.times = if now.says() == self.latest.says() { self.times + 1 } else { 1 };
        self.latest = now;
        let is_news = if now.says() == self.told.says() {
            now.has_lines && !self.told.has_lines
        } else {
            let needed = match (self.told.verdict, now.verdict) {
                (_, Verdict::Leak) => ACCUSE,
                (Verdict::Leak, _) => TAKE_BACK,
                _ => OTHERWISE,
            };
            self.times >= needed
        };
        if is_news {
            self.told = now;
        }
        is_news
    }

    /// What was told last.
    pub fn told(&self) -> Told {
        self.told
    }
}

/// Which suspicions of a process were told: each once, when it was raised at two judgements in a row.
#[derive(Clone, Debug, Default)]
pub struct Suspicions {
    latest: Vec<Kind>,
    told: Vec<Kind>,
}

impl Suspicions {
    /// Takes in what is suspected now, where `verdict` was told last; what of it is news.
    pub fn hear<'a>(&mut self, now: &'a [Suspected], verdict: Told) -> Vec<&'a Suspected> {
        // Of what is known to leak nobody needs to hear that it may.
        let is_known = |kind: Kind| verdict.verdict == Verdict::Leak && verdict.primary == Some(kind);
        let is_news = |one: &&Suspected| {
            let kind = one.finding.kind;
            self.latest.contains(&kind) && !self.told.contains(&kind) && !is_known(kind)
        };
        let news: Vec<&Suspected> = now.iter().filter(is_news).collect();
        self.told.extend(news.iter().map(|one| one.finding.kind));
        self.latest = now.iter().map(|one| one.finding.kind).collect();
        news
    }
}

/// That a process is about to be full was told, of these kinds.
#[derive(Clone, Debug, Default)]
pub struct Filling {
    told: Vec<Kind>,
}

impl Filling {
    /// Takes in that it is; whether that is news.
    pub fn hear(&mut self, kind: Kind) -> bool {
        let is_news = !self.told.contains(&kind);
        if is_news {
            self.told.push(kind);
        }
        is_news
    }
}

/// All that was told of one process.
#[derive(Clone, Debug, Default)]
pub struct OfOne {
    pub verdict: Telling,
    pub suspicions: Suspicions,
    pub filling: Filling,
    /// Limits that are near.
    pub levels: Steps,
}

#[cfg(test)]
mod tests {
    use super::{Filling, Suspicions, Telling, Told};
    use crate::explain::diagnosis::{Finding, Suspected};
    use crate::explain::tests::diagnosed;
    use crate::explain::{Kind, Verdict};
    use crate::judge::simulation::window;

    const HEALTHY: Told = Told { verdict: Verdict::Healthy, ..Told::NOTHING };
    const LEAK: Told = Told { verdict: Verdict::Leak, primary: Some(Kind::Fd), has_lines: false };
    const WITH_LINES: Told = Told { has_lines: true, ..LEAK };
    const OTHER: Told = Told { primary: Some(Kind::Heap), ..LEAK };

    /// After which of the judgements something was told.
    fn news(judgements: &[(Told, usize)]) -> Vec<(usize, Option<Kind>)> {
        let mut telling = Telling::default();
        let all = judgements.iter().flat_map(|(told, times)| std::iter::repeat_n(*told, *times));
        let heard =
            all.enumerate().filter_map(|(index, now)| telling.hear(now).then_some((index, now.primary)));
        heard.collect()
    }

    #[test]
    fn a_leak_is_told_the_second_time_and_its_lines_when_they_come() {
        assert_eq!(news(&[(LEAK, 1), (Told::NOTHING, 5)]), []);
        assert_eq!(
            news(&[(LEAK, 4), (WITH_LINES, 3), (LEAK, 2), (WITH_LINES, 2)]),
            [(1, LEAK.primary), (4, LEAK.primary)]
        );
    }

    #[test]
    fn a_leak_is_not_taken_back_for_a_few_judgements_without_it() {
        assert_eq!(
            news(&[(LEAK, 2), (HEALTHY, 9), (LEAK, 3), (Told::NOTHING, 9), (LEAK, 1)]),
            [(1, LEAK.primary)]
        );
        assert_eq!(news(&[(LEAK, 2), (HEALTHY, 12)]), [(1, LEAK.primary), (11, None)]);
    }

    #[test]
    fn verdicts_and_kinds_that_alternate_are_no_news() {
        assert_eq!(news(&[(HEALTHY, 3)]), [(2, None)]);
        for (one, other) in [(HEALTHY, Told::NOTHING), (LEAK, OTHER), (LEAK, HEALTHY)] {
            assert_eq!(news(&[(one, 1), (other, 1)].repeat(50)), [], "{one:?} {other:?}");
        }
    }

    fn suspected(kind: Kind) -> Suspected {
        let rises = diagnosed(&window(|second, beat| beat.files += second as u64));
        let finding = Finding { kind, ..rises.findings[0].clone() };
        Suspected { finding, need_seconds: None, says_why: false }
    }

    #[test]
    fn a_suspicion_is_told_once_the_second_time_and_never_of_what_is_known_to_leak() {
        let told = |verdict: Told| {
            let mut suspicions = Suspicions::default();
            let looks =
                [&[Kind::Fd][..], &[], &[Kind::Fd], &[Kind::Fd, Kind::Thread], &[Kind::Fd, Kind::Thread]];
            let heard = looks.map(|kinds| {
                let now: Vec<Suspected> = kinds.iter().map(|kind| suspected(*kind)).collect();
                suspicions.hear(&now, verdict).iter().map(|one| one.finding.kind).collect::<Vec<_>>()
            });
            heard.to_vec()
        };
        assert_eq!(told(Told::NOTHING), [vec![], vec![], vec![], vec![Kind::Fd], vec![Kind::Thread]]);
        assert_eq!(told(LEAK), [vec![], vec![], vec![], vec![], vec![Kind::Thread]]);
    }

    #[test]
    fn that_it_fills_is_told_once() {
        let mut filling = Filling::default();
        assert_eq!([Kind::Fd, Kind::Fd, Kind::Thread].map(|kind| filling.hear(kind)), [true, false, true]);
    }
}
