//! How far to go with a process: from what is known of it to what is done next. Pure: facts in, steps out.
//!
//! Each step costs more than the one before it, for us or for the process: totals are read of everybody; ledgers are
//! watched where something rises ([`Claim`]); goroutines and heap are captured where they may leak; the endpoint is
//! asked for profiles, and for Go's own leak profile, which costs the process a collection, only with a finding.

use super::rush;
use super::terms::Claim;
use crate::explain::diagnosis::Diagnosis;
use crate::judge::judgement::Judgement;
use crate::judge::terms::Kind;
use crate::judge::weigh::reasons::SteadyWhy;
use crate::source::pprof::ProfileName;

/// What is known of a process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// What was found to leak.
    pub found: Vec<Kind>,
    /// What the judge suspects.
    pub suspected: Vec<Kind>,
    /// What more time would decide.
    pub pending: Vec<Kind>,
    /// What is steady, ...
    pub steady: Vec<Kind>,
    /// ... and of that what moved little within the window, and may have moved all the same.
    pub moved_little: Vec<Kind>,
    /// What seems to grow in the window.
    pub rising: Vec<Kind>,
    /// What has crept up for longer.
    pub creeping: Vec<Kind>,
    /// What has risen that the endpoint could say something to.
    pub risen: Vec<Kind>,
    /// Seconds until a limit is reached, at the pace of the newest samples.
    pub seconds_left: Option<f64>,
}

/// What is done about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Steps {
    /// What speaks for watching its ledgers; they are watched where anything does.
    pub claim: Claim,
    /// Goroutines and heap are worth a capture. Of those whose ledgers are watched they are captured with these.
    pub captures: bool,
    /// What the endpoint is asked for, once it is captured.
    pub pulls: Vec<ProfileName>,
    /// How old its sockets are, and when they were used last, is worth a look.
    pub glances: bool,
}

impl Facts {
    /// What a judgement, and the sentences made of it, say.
    pub fn of(judgement: &Judgement, diagnosis: &Diagnosis) -> Facts {
        let moved_little = |why: &SteadyWhy| {
            matches!(
                why,
                SteadyWhy::Flat { .. }
                    | SteadyWhy::LiveHeap { .. }
                    | SteadyWhy::LittleAllocated { .. }
                    | SteadyWhy::OutsideGo { .. }
            )
        };
        let pending = diagnosis.undecided.iter().filter(|one| one.need_seconds.is_some());
        let little = judgement.steady.iter().filter(|it| moved_little(&it.why));
        Facts {
            found: judgement.findings.iter().map(|finding| finding.kind).collect(),
            suspected: judgement.suspected.iter().map(|it| it.finding.kind).collect(),
            pending: pending.map(|one| one.kind).collect(),
            steady: judgement.steady.iter().map(|it| it.kind).collect(),
            moved_little: little.map(|it| it.kind).collect(),
            ..Facts::default()
        }
    }

    /// What speaks for watching it.
    fn claim(&self) -> Claim {
        if self.seconds_left.is_some_and(|left| left < rush::SOON.as_secs_f64()) {
            return Claim::Urgent;
        }
        if !self.found.is_empty() {
            return Claim::Leaks;
        }
        if !self.suspected.is_empty() {
            return Claim::Suspected;
        }
        let is_acquitted = |kind: &Kind| self.steady.contains(kind) && !self.moved_little.contains(kind);
        let rises = self.rising.iter().any(|kind| !self.steady.contains(kind))
            || self.creeping.iter().any(|kind| !is_acquitted(kind));
        if rises { Claim::Rises } else { Claim::Nothing }
    }

    /// Goroutines or the live heap grow, or may.
    fn may_leak_what_is_captured(&self) -> bool {
        let all = [&self.found, &self.suspected, &self.pending];
        all.into_iter().flatten().any(|kind| matches!(kind, Kind::Goroutine | Kind::Heap))
    }
}

/// What is done about a process of which this is known.
pub(super) fn steps(facts: &Facts) -> Steps {
    let captures = facts.may_leak_what_is_captured();
    let told: Vec<Kind> = facts.risen.iter().chain(&facts.found).copied().collect();
    Steps {
        claim: facts.claim(),
        captures,
        pulls: if captures { profiles(&told, false) } else { Vec::new() },
        glances: facts.found.contains(&Kind::Connection),
    }
}

/// Which profiles say something to these kinds of growth. `is_found` where they were found to leak.
pub(super) fn profiles(kinds: &[Kind], is_found: bool) -> Vec<ProfileName> {
    let has_goroutines = kinds.contains(&Kind::Goroutine);
    let goroutines = has_goroutines || kinds.contains(&Kind::Connection);
    let all = [
        (ProfileName::Goroutine, goroutines),
        // It costs the process a collection.
        (ProfileName::GoroutineLeak, has_goroutines && is_found),
        (ProfileName::Heap, kinds.contains(&Kind::Heap)),
    ];
    all.into_iter().filter(|(_, is_wanted)| *is_wanted).map(|(name, _)| name).collect()
}

/// Probes in the runtime of a process that is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Probes {
    /// Who starts goroutines. They are often started by a library, and whatever else it creates comes from goroutines of
    /// its own.
    pub births: bool,
    /// Who fills the heap.
    pub spans: bool,
}

impl Probes {
    /// Those that tell more of what rises.
    pub fn for_what_rises(rising: &[Kind]) -> Probes {
        Probes { births: rising.iter().any(|kind| *kind != Kind::Heap), spans: rising.contains(&Kind::Heap) }
    }

    /// These without those that were tried.
    pub fn without(self, tried: Probes) -> Probes {
        Probes { births: self.births && !tried.births, spans: self.spans && !tried.spans }
    }

    /// None of them.
    pub fn is_empty(self) -> bool {
        self == Probes::default()
    }
}

/// Whether what rises counts against the limit of a user's tasks, which takes a pass over all processes to know.
pub(super) fn counts_tasks(rising: &[Kind]) -> bool {
    rising.iter().any(|kind| matches!(kind, Kind::Thread | Kind::Child))
}

#[cfg(test)]
mod tests;
