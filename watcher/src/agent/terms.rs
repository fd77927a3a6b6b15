//! For how long the ledgers watch each process, and when each of them is read: by what that costs and by what speaks
//! for it. Pure; times are arguments, since boot.
//!
//! A process with few events costs its ledger next to nothing, so that one whose things rise slowly stays for hours:
//! only then do survivors tell a leak of three an hour from noise. One with many events pays for each, so that it is
//! watched for a minute in six. Whoever has the better claim takes the place of whoever has the worse one.

use crate::vocabulary::process::ProcessId;
use std::collections::HashMap;
use std::time::Duration;

/// Every term lasts for this time at least.
pub(super) const FIRST: Duration = Duration::from_secs(60);
/// A process whose term has ended is not watched again within this time, unless more speaks for it than before.
const BETWEEN_TERMS: Duration = Duration::from_secs(300);
/// So many may be in their first minute at once, when their cost is not known yet.
pub(super) const AT_ONCE: usize = 8;
/// So many may be watched at once in all. The kernel's maps have room for a few more.
pub(super) const IN_ALL: usize = 48;
/// Events per second from which on a process is busy: each costs it about 2 µs, so that these are 0.04 % of a core.
const BUSY_EVENTS_PER_SECOND: f64 = 200.0;
/// ... and of all of them together.
const ALL_EVENTS_PER_SECOND: f64 = 2_000.0;
/// A process that nothing speaks for any more is let go after this time.
const UNCLAIMED: Duration = Duration::from_secs(300);
/// One for which no more speaks than that something rises makes way for the next after this time.
const MAKES_WAY: Duration = Duration::from_secs(900);
/// A term begins anew after this time: halves of days tell of what was, not of what is.
const LONGEST: Duration = Duration::from_secs(2 * 86_400);

/// Ledgers are read so far apart at least ...
const SCANS_APART: Duration = Duration::from_secs(30);
/// ... and ever more seldom, but no older than one part in so many of the time that they cover ...
const SCAN_PART: u32 = 5;
/// ... and this far apart at most.
const SCANS_APART_AT_MOST: Duration = Duration::from_secs(900);
/// Reading takes no more than one part in so many of the time.
const SCAN_COST: u32 = 1_000;

/// What speaks for watching a process. More is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Claim {
    /// Nothing.
    #[default]
    Nothing,
    /// Something seems to rise.
    Rises,
    /// A stack keeps what it creates, too little to accuse.
    Suspected,
    /// Something leaks.
    Leaks,
    /// Something is about to reach a limit.
    Urgent,
}

/// Whether a process can be watched now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is room.
    Room,
    /// In the place of this one.
    InsteadOf(ProcessId),
    /// Not now.
    Refused,
}

/// All terms.
#[derive(Debug, Default)]
pub(super) struct Terms {
    terms: HashMap<ProcessId, Term>,
    /// When terms ended, and what spoke for them then.
    ended: HashMap<ProcessId, (Duration, Claim)>,
}

#[derive(Clone, Copy, Debug)]
struct Term {
    began: Duration,
    /// It goes on for as long as we do, and others say when it is read.
    is_endless: bool,
    next_scan: Duration,
    /// When it was read last, and how many events there had been by then.
    scanned: Option<(Duration, u64)>,
    events_per_second: Option<f64>,
    claim: Claim,
    /// Since when nothing speaks for it.
    unclaimed: Option<Duration>,
}

impl Terms {
    /// Whether a process can be watched for which `claim` speaks.
    pub fn admit(&self, id: ProcessId, claim: Claim, now: Duration) -> Admission {
        if self.terms.contains_key(&id) {
            return Admission::Refused;
        }
        if let Some((ended, then)) = self.ended.get(&id)
            && now.saturating_sub(*ended) < BETWEEN_TERMS
            && claim <= *then
        {
            return Admission::Refused;
        }
        let beginners = self.terms.values().filter(|term| !term.is_endless && term.is_beginning(now)).count();
        let is_crowded = beginners >= AT_ONCE && claim < Claim::Urgent;
        if is_crowded {
            return Admission::Refused;
        }
        if self.terms.len() < IN_ALL {
            return Admission::Room;
        }
        let makes_way = |term: &Term| {
            let by_turns = claim == Claim::Rises && now.saturating_sub(term.began) >= MAKES_WAY;
            !term.is_endless && (term.claim < claim || (term.claim == claim && by_turns))
        };
        let weakest = self.terms.iter().filter(|(_, term)| makes_way(term));
        let weakest = weakest.min_by_key(|(id, term)| (term.claim, term.began, id.pid));
        weakest.map_or(Admission::Refused, |(id, _)| Admission::InsteadOf(*id))
    }

    /// A term begins; an endless one goes on for as long as we do.
    pub fn begin(&mut self, id: ProcessId, is_endless: bool, claim: Claim, now: Duration) {
        let term = Term {
            began: now,
            is_endless,
            next_scan: now + SCANS_APART,
            scanned: None,
            events_per_second: None,
            claim,
            unclaimed: None,
        };
        self.terms.insert(id, term);
    }

    /// A ledger was read: it had seen so many events since it began, and reading it took so long.
    pub fn note_scan(&mut self, id: ProcessId, events: u64, took: Duration, now: Duration) {
        let Some(term) = self.terms.get_mut(&id) else { return };
        let (since, before) = term.scanned.unwrap_or((term.began, 0));
        let seconds = now.saturating_sub(since).as_secs_f64();
        if seconds >= 1.0 {
            term.events_per_second = Some(events.saturating_sub(before) as f64 / seconds);
        }
        if seconds >= 1.0 || term.scanned.is_none() {
            term.scanned = Some((now, events));
        }
        let by_age = (now.saturating_sub(term.began) / SCAN_PART).min(SCANS_APART_AT_MOST);
        term.next_scan = now + by_age.max(SCANS_APART).max(took.saturating_mul(SCAN_COST));
    }

    /// What speaks for a process now.
    pub fn note_claim(&mut self, id: ProcessId, claim: Claim, now: Duration) {
        let Some(term) = self.terms.get_mut(&id) else { return };
        term.claim = claim;
        term.unclaimed = match claim {
            Claim::Nothing => term.unclaimed.or(Some(now)),
            _ => None,
        };
    }

    /// Processes whose ledgers are to be read now.
    pub fn due(&self, now: Duration) -> Vec<ProcessId> {
        let due = |term: &Term| {
            let first_is_over = term.events_per_second.is_none() && !term.is_beginning(now);
            !term.is_endless && (term.next_scan <= now || first_is_over || term.is_over(now))
        };
        self.terms.iter().filter(|(_, term)| due(term)).map(|(id, _)| *id).collect()
    }

    /// Processes whose term is over: nothing speaks for them, they are busy, or all are together.
    pub fn over(&self, now: Duration) -> Vec<ProcessId> {
        let mut over: Vec<ProcessId> =
            self.terms.iter().filter(|(_, term)| term.is_over(now)).map(|(id, _)| *id).collect();
        let mut stay: Vec<(&ProcessId, &Term)> =
            self.terms.iter().filter(|(id, _)| !over.contains(id)).collect();
        // What costs least stays, of what has the same claim.
        stay.sort_by(|(_, one), (_, other)| {
            other.claim.cmp(&one.claim).then(one.pace().total_cmp(&other.pace()))
        });
        let mut events = 0.0;
        for (id, term) in stay {
            events += term.pace();
            let may_go = !term.is_endless && !term.is_beginning(now) && term.claim < Claim::Urgent;
            if events > ALL_EVENTS_PER_SECOND && may_go {
                over.push(*id);
                events -= term.pace();
            }
        }
        over
    }

    /// A process is watched no longer.
    pub fn end(&mut self, id: ProcessId, now: Duration) {
        if let Some(term) = self.terms.remove(&id) {
            self.ended.insert(id, (now, term.claim));
        }
    }

    /// A process has left.
    pub fn forget(&mut self, id: ProcessId) {
        self.terms.remove(&id);
        self.ended.remove(&id);
    }

    /// Processes that are watched, and events per second in all of them.
    pub fn kept(&self) -> (usize, f64) {
        (self.terms.len(), self.terms.values().map(Term::pace).sum())
    }
}

impl Term {
    fn is_beginning(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) < FIRST
    }

    fn pace(&self) -> f64 {
        self.events_per_second.unwrap_or(0.0)
    }

    fn is_over(&self, now: Duration) -> bool {
        if self.is_endless || self.is_beginning(now) {
            return false;
        }
        let is_busy = self.events_per_second.is_none_or(|events| events > BUSY_EVENTS_PER_SECOND);
        let is_unclaimed = self.unclaimed.is_some_and(|since| now.saturating_sub(since) >= UNCLAIMED);
        let is_old = now.saturating_sub(self.began) >= LONGEST;
        // Who is about to reach a limit is watched until it does.
        (is_busy && self.claim < Claim::Urgent) || is_unclaimed || is_old
    }
}

#[cfg(test)]
mod tests;
