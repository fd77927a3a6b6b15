//! A cause that is not decided by itself, where what follows from it is.
//!
//! An unclosed response body keeps a connection and two goroutines. Goroutines are counted at every beat and read one
//! by one; sockets are looked at by turns, pass through states, and what there was of them before may leave meanwhile.
//! So the goroutines can be found to leak while their cause is still undecided, and without it the finding is wrong
//! where it matters: it names whatever waits and not whoever forgot to close.
//!
//! Two things make up for that: stacks that keep what they open, at the pace of the goroutines; or descriptors that
//! rise at that pace while those goroutines wait for the network.

use crate::judge::judgement::{Finding, Outcome};
use crate::judge::kinds::{connections, descriptors};
use crate::judge::series::growth::{Course, Growth, course};
use crate::judge::terms::{Kind, Thresholds};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::follows::follows;
use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
use crate::store::Window;

/// What rests on its consequences is said with less confidence than they are.
const DOUBT: f64 = 0.05;

/// Findings that nobody made and that explain one that was made.
pub(in crate::judge) fn missing(
    findings: &[Finding],
    undecided: &[Undecided],
    window: &Window,
) -> Option<Finding> {
    let is_found = |kind| findings.iter().any(|finding| finding.kind == kind);
    let effect = findings.iter().find(|it| it.kind == Kind::Goroutine && it.rate.per_second > 0.0)?;
    let is_of_known_type = |finding: &Finding| finding.kind == Kind::Fd && !is_of_unknown_type(finding);
    if is_found(Kind::Connection) || is_found(Kind::Child) || findings.iter().any(is_of_known_type) {
        return None;
    }
    by_stacks(effect, window).or_else(|| by_totals(effect, undecided, window))
}

/// All descriptors grow, and this one stands for them since nobody knows what they are: whoever knows takes its place.
pub(in crate::judge) fn is_of_unknown_type(finding: &Finding) -> bool {
    let unknown = |evidence: &Evidence| matches!(evidence, Evidence::Share { readings: 0, .. });
    finding.kind == Kind::Fd && finding.culprits.is_empty() && finding.evidence.iter().any(unknown)
}

/// A stack keeps what it opens.
fn by_stacks(effect: &Finding, window: &Window) -> Option<Finding> {
    let kinds = [
        (connections::kept(window), connections::described as Describe),
        (descriptors::kept(window), descriptors::described as Describe),
    ];
    kinds.into_iter().find_map(|(growth, describe)| explains(effect, describe(window, growth?)))
}

type Describe = fn(&Window, Growth) -> Outcome;

/// All descriptors rise, and what they are was read too seldom, or their rise is too uneven by itself.
fn by_totals(effect: &Finding, undecided: &[Undecided], window: &Window) -> Option<Finding> {
    let unsure = |kind| {
        let open = |why: &UndecidedWhy| {
            matches!(why, UndecidedWhy::NotRead | UndecidedWhy::Ambiguous { slowing: false, .. })
        };
        undecided.iter().any(|one| one.kind == kind && open(&one.why))
    };
    if !unsure(Kind::Connection) || !waits_for_the_network(effect) {
        return None;
    }
    let total = window.series(|sample| Some((sample.descriptors.at, *sample.descriptors.seen()? as f64)));
    match course(&total, Kind::Connection.unit(), &Thresholds::default()) {
        Course::Grows(growth) => explains(effect, connections::described(window, growth)),
        Course::Steady(_) | Course::Undecided(_) => None,
    }
}

fn explains(effect: &Finding, outcome: Outcome) -> Option<Finding> {
    let Outcome::Leaks(mut cause) = outcome else { return None };
    cause.confidence = cause.confidence.min(effect.confidence - DOUBT).max(0.5);
    follows(effect, &cause).then_some(cause)
}

/// The goroutines that grow in number sit on sockets, or in the library that reads and writes them.
fn waits_for_the_network(effect: &Finding) -> bool {
    let waits = effect.evidence.iter().any(
        |evidence| matches!(evidence, Evidence::Origin { wait: Some(wait), .. } if &**wait == "IO wait"),
    );
    let in_library = effect.culprits.iter().flat_map(|culprit| &culprit.stack).any(|frame| {
        ["net.(*", "net/http.(*", "crypto/tls.(*", "internal/poll."]
            .iter()
            .any(|prefix| frame.function.starts_with(prefix))
    });
    waits || in_library
}

#[cfg(test)]
mod tests;
