//! What a runtime whose layout is not known for sure costs: confidence where it accuses, and the verdict where it would
//! acquit.

use crate::judge::judgement::{Finding, Lacking, Outcome};
use crate::judge::terms::{Bounds, Kind};
use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
use crate::observed::doubts::{Doubt, Structure, Why};
use crate::store::{Captures, Window};

/// This part of the confidence stays where offsets were found in the process alone.
pub const CALIBRATED: f64 = 0.8;
/// ... and this, where nothing that is known fits what is in the process.
pub const NOT_CONFIRMED: f64 = 0.5;

/// Takes back what memory as a whole says for the heap of a Go process whose goroutines are seen and whose heap is not:
/// it can grow into what is resident already.
pub(in crate::judge) fn withhold(outcomes: &mut Vec<Outcome>, window: &Window, bounds: &Bounds) {
    let mut counters = window.samples().filter_map(|sample| sample.runtime.seen()).peekable();
    if !bounds.is_go || counters.peek().is_none() || counters.any(|counters| counters.heap.is_some()) {
        return;
    }
    outcomes.retain(|outcome| !matches!(outcome, Outcome::Steady(steady) if steady.kind == Kind::Heap));
    let is_judged = outcomes.iter().any(|outcome| match outcome {
        Outcome::Leaks(finding) => finding.kind == Kind::Heap,
        Outcome::Suspected(suspected) => suspected.finding.kind == Kind::Heap,
        Outcome::Undecided(undecided) => undecided.kind == Kind::Heap,
        Outcome::Steady(_) => false,
    });
    if !is_judged {
        outcomes.push(Outcome::Undecided(Undecided { kind: Kind::Heap, why: UndecidedWhy::NotRead }));
    }
}

/// Lowers the confidence of what rests on a doubted structure.
pub(in crate::judge) fn lower(findings: &mut [Finding], captures: &Captures) {
    for finding in findings {
        let concerns = |doubt: &&Doubt| match doubt.structure {
            Structure::Goroutine => finding.kind == Kind::Goroutine,
            Structure::Thread => finding.kind == Kind::Thread,
            Structure::Heap => finding.kind == Kind::Heap,
            Structure::Span => finding.kind == Kind::Heap && !captures.spans.is_empty(),
        };
        let doubts = captures.doubts.iter().filter(concerns);
        finding.confidence *= doubts.filter_map(|doubt| factor(&doubt.why)).fold(1.0, f64::min);
    }
}

/// Each doubt as something that the captures lack.
pub(in crate::judge) fn told(captures: &Captures) -> impl Iterator<Item = Lacking> + '_ {
    captures.doubts.iter().cloned().map(Lacking::Certainty)
}

/// The part of the confidence that stays; `None` where nothing is read that could accuse.
fn factor(why: &Why) -> Option<f64> {
    match why {
        Why::UnknownVersion(_) | Why::Disagreement => Some(CALIBRATED),
        Why::NotConfirmed => Some(NOT_CONFIRMED),
        Why::NotRead(_) => None,
    }
}

#[cfg(test)]
mod tests;
