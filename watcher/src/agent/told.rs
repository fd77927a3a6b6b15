//! What was told of each process that is watched, and what of a look is news by that.

use super::endings::Ending;
use super::looks::Judged;
use super::telling::{OfOne, Told};
use crate::discover::Changes;
use crate::explain::diagnosis::Ended;
use crate::explain::{self, Kind, Verdict};
use crate::judge::horizons::suspicion::Heading;
use crate::news::{self, What};
use crate::observed::Sample;
use crate::vocabulary::process::{ProcessId, Target};
use std::collections::HashMap;
use std::time::SystemTime;

/// What was told of all processes.
#[derive(Debug, Default)]
pub(super) struct AllTold {
    of: HashMap<ProcessId, OfOne>,
}

impl AllTold {
    /// Who came and who left. What was told of those that left is forgotten.
    pub fn hear_changes(&mut self, changes: &Changes, endings: &[Ending]) -> Vec<What> {
        let mut news = Vec::new();
        for target in &changes.left {
            let runs_another = changes.came.iter().any(|came| came.id == target.id);
            let before = self.of.remove(&target.id).map_or(Told::NOTHING, |told| told.verdict.told());
            let ending = endings.iter().find(|ending| ending.target.id == target.id);
            let told = ending.map(|ending| end_of(ending, before, runs_another));
            let (verdict, at_the_end) = told.unwrap_or_default();
            news.extend(verdict);
            news.push(What::Left { target: target.clone(), at_the_end });
        }
        for target in &changes.made_way {
            self.of.remove(&target.id);
            news.push(What::LeftOut(target.clone()));
        }
        news.extend(changes.came.iter().cloned().map(What::Came));
        news
    }

    /// A process is about to be full. Whoever was told of its leak knows how much time is left.
    pub fn hear_filling(&mut self, target: &Target, heading: &Heading) -> Option<What> {
        let told = self.of.entry(target.id).or_default();
        let is_news = told.verdict.told().verdict != Verdict::Leak && told.filling.hear(heading.kind);
        is_news.then(|| What::Filling(Box::new(filling_of(target, heading))))
    }

    /// A process was judged at `now`.
    pub fn hear_judged(&mut self, judged: Judged, target: Option<&Target>, now: SystemTime) -> Vec<What> {
        let Judged { id, told, diagnosis, suspected } = judged;
        let before = self.of.entry(id).or_default();
        let near = before.levels.hear(&diagnosis.levels);
        let near = near.into_iter().filter_map(|(level, passed)| {
            let target = target?.clone();
            Some(What::Level(Box::new(news::Nearing { target, level, passed })))
        });
        let mut news: Vec<What> = near.collect();
        let is_news = before.verdict.hear(told);
        for one in before.suspicions.hear(&suspected, before.verdict.told()) {
            news.push(What::Suspected(Box::new(news::Suspicion::of(&diagnosis, one, now))));
        }
        if is_news {
            news.push(What::Verdict(Box::new(diagnosis)));
        }
        news
    }

    /// Processes of which a leak was told, and not taken back.
    pub fn leaking(&self) -> usize {
        self.of.values().filter(|told| told.verdict.told().verdict == Verdict::Leak).count()
    }
}

/// What is told of a process that has ended: a leak that was not told before, and how it stood at the last.
fn end_of(ending: &Ending, before: Told, runs_another: bool) -> (Option<What>, Option<String>) {
    let Ending { target, judgement, window, ladder } = ending;
    let ended = Ended { after_seconds: judgement.window_seconds, of_seconds: None, runs_another };
    let diagnosis = explain::explain_ended(judgement, target, ended);
    let told = Told::of(judgement, &diagnosis, ladder);
    let leaks = told.verdict == Verdict::Leak;
    let at_the_end =
        judgement.findings.first().filter(|_| leaks || before.verdict == Verdict::Leak).map(|finding| {
            explain::at_the_end(finding, window.latest().and_then(|latest| level(finding.kind, latest)))
        });
    let is_news = leaks && before.verdict != Verdict::Leak;
    (is_news.then(|| What::Verdict(Box::new(diagnosis))), at_the_end)
}

fn filling_of(target: &Target, heading: &Heading) -> news::Filling {
    let Heading { kind, level, per_second, .. } = *heading;
    let limit = heading.limit.unwrap_or(level);
    let seconds_left = heading.seconds_left().unwrap_or_default();
    news::Filling {
        pid: target.id.pid,
        name: target.name.clone(),
        kind,
        level,
        limit,
        per_second,
        seconds_left,
        text: explain::filling(kind, level, limit, per_second, seconds_left),
    }
}

/// How much of what grows there was in the last sample, in the unit in which it is limited.
fn level(kind: Kind, latest: &Sample) -> Option<f64> {
    let count = match kind {
        Kind::Fd | Kind::Connection => *latest.descriptors.seen()?,
        Kind::Thread => *latest.threads.seen()?,
        Kind::Child => latest.children.seen()?.zombies,
        Kind::Mapping => *latest.mappings.seen()?,
        Kind::Goroutine => latest.runtime.seen()?.goroutines?,
        Kind::Heap => latest.runtime.seen()?.heap?.marked_bytes?,
        Kind::Native => latest.memory.seen()?.anon_bytes,
    };
    Some(count as f64)
}

#[cfg(test)]
mod tests;
