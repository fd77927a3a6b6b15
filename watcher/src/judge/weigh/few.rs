//! A few that came while it was watched, of which none has gone: too few to prove a leak, enough to name it.
//!
//! In production leaks bring one to six things a minute. What a window shows of them is a handful from one place, spread
//! over it, the last of them a short while ago. What is made once at the start, a pool that is full and a worker that was
//! started on demand look different: they come together, or they have stopped coming.

use crate::judge::judgement::{Detail, Finding, Outcome, Suspected};
use crate::judge::series::growth::Course;
use crate::judge::terms::{Kind, Rate};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::UndecidedWhy;
use crate::store::Series;

/// First and last must lie so far apart, as a part of the time watched: what comes together was made together.
const SPREAD: f64 = 0.2;
/// Who is younger than this, in seconds, may only be passing through.
const LASTED_SECONDS: f64 = 5.0;
/// A single thing that is older than this part of the time came early, and none has followed it.
const EARLY: f64 = 0.67;
/// A single thing says something only where so many like it were there before: it is one more of them.
const ALIKE: u64 = 2;
/// What may leak and is not proven, where confidence is a leak's probability.
pub(in crate::judge) const CONFIDENCE: f64 = 0.4;
/// By how much longer than the pace says one should watch: what comes at random comes late at times.
pub(in crate::judge) const MARGIN: f64 = 1.25;
/// Nobody is asked to watch for less than this, in seconds.
pub(in crate::judge) const LEAST_MORE_SECONDS: f64 = 90.0;

/// Things like those that came: of the same type, or in the same state towards the same peer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::judge) struct Alike {
    /// When watching began.
    pub before: u64,
    /// Now.
    pub now: u64,
    /// They are alike enough for a single one to be one more of them.
    pub is_close: bool,
}

/// What came and stayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::judge) struct Few {
    /// How many.
    pub count: u64,
    /// Age of the first of them, in seconds.
    pub oldest: f64,
    /// Age of the last of them.
    pub youngest: f64,
    /// Others like them that were there before, as far as known.
    pub alike_before: u64,
    /// Seconds that were watched.
    pub seconds: f64,
}

impl Few {
    /// What a total that never fell has gained; `None` where it fell, or where it gained nothing. Who came is not known,
    /// so that nothing counts as being like it.
    pub fn of_series(series: &Series) -> Option<Few> {
        let (began, ended) = (series.seconds.first()?, series.seconds.last()?);
        let (from, to) = (series.values.first()?, series.values.last()?);
        if series.values.windows(2).any(|pair| pair[1] < pair[0]) {
            return None;
        }
        let rises = || (1..series.values.len()).filter(|at| series.values[*at] > series.values[*at - 1]);
        let (first, last) = (rises().next()?, rises().next_back()?);
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a count that rose")]
        let count = (to - from).round() as u64;
        Some(Few {
            count,
            oldest: ended - series.seconds[first],
            youngest: ended - series.seconds[last],
            alike_before: 0,
            seconds: ended - began,
        })
    }

    /// Whether they may be the begin of many: spread over the time, the last of them no longer ago than they are apart.
    pub fn keep_coming(&self) -> bool {
        match self.count {
            0 => false,
            1 => {
                self.alike_before >= ALIKE && (LASTED_SECONDS..=EARLY * self.seconds).contains(&self.youngest)
            }
            _ => {
                let spread = self.oldest - self.youngest;
                self.oldest >= LASTED_SECONDS
                    && spread >= SPREAD * self.seconds
                    && self.youngest <= spread.min(0.5 * self.seconds)
            }
        }
    }

    /// Both as one.
    pub fn and(self, other: Few) -> Few {
        Few {
            count: self.count.saturating_add(other.count),
            oldest: self.oldest.max(other.oldest),
            youngest: self.youngest.min(other.youngest),
            alike_before: self.alike_before.saturating_add(other.alike_before),
            seconds: self.seconds.max(other.seconds),
        }
    }

    /// Seconds of window in which `proof` of them come at this pace.
    pub fn need_seconds(&self, proof: u64) -> f64 {
        let pace = self.seconds / self.count.max(1) as f64;
        ((proof + 1) as f64 * pace * MARGIN).max(2.0 * self.seconds).max(LEAST_MORE_SECONDS)
    }

    /// The suspicion, without lines and evidence of its own.
    pub fn suspected(&self, kind: Kind, proof: u64) -> Suspected {
        let count = self.count as f64;
        let per_second = |count: f64| count / self.seconds.max(1.0);
        Suspected {
            finding: Finding {
                kind,
                primary: false,
                consequence_of: None,
                confidence: CONFIDENCE,
                // Twice the square root is about what a count of independent events may be off.
                rate: Rate {
                    per_second: per_second(count),
                    low: per_second((count - 2.0 * count.sqrt()).max(0.0)),
                    high: per_second(count + 2.0 * count.sqrt() + 1.0),
                },
                exhausts: None,
                detail: Detail::default(),
                culprits: Vec::new(),
                evidence: vec![Evidence::Stayed { count: self.count, seconds: self.seconds }],
            },
            need_seconds: Some(self.need_seconds(proof)),
        }
    }
}

/// Whether a course leaves room for a suspicion: it was called steady, or could not be told from load or warm-up.
pub(in crate::judge) fn leaves_room(course: &Course) -> bool {
    matches!(course, Course::Steady(_) | Course::Undecided(UndecidedWhy::Ambiguous { .. }))
}

/// The same as an outcome, where a total alone has it.
pub(in crate::judge) fn by_total(
    kind: Kind,
    course: &Course,
    series: &Series,
    proof: u64,
) -> Option<Outcome> {
    // What slows down is told as that: it may be filling.
    let slows = matches!(course, Course::Undecided(UndecidedWhy::Ambiguous { slowing: true, .. }));
    let few = Few::of_series(series).filter(|few| leaves_room(course) && !slows && few.keep_coming())?;
    Some(Outcome::Suspected(few.suspected(kind, proof)))
}

#[cfg(test)]
mod tests;
