//! An answer for each kind: what nothing was said of is undecided, and keeps a process from being called healthy.
//!
//! What could not be read never acquits. Memory of a Go process breathes by what garbage there is between two
//! collections; where its heap is not read, a rise within that is no reason for suspicion, and none to acquit.

use crate::judge::judgement::{Finding, Suspected};
use crate::judge::terms::{Bounds, Kind, Verdict};
use crate::judge::weigh::reasons::{MemoryPart, Steady, Undecided, UndecidedWhy};
use crate::store::Window;

/// Memory that has risen by this much has left what garbage between two collections explains.
const LEAVES_A_CYCLE_BYTES: f64 = 48.0 * 1024.0 * 1024.0;
/// Nobody is asked to watch for less.
const LEAST_MORE_SECONDS: f64 = 90.0;
/// ... nor for more, where it hardly moves.
const MOST_SECONDS: f64 = 3_600.0;

/// Every kind, in the order in which they are judged.
const KINDS: [Kind; 8] = [
    Kind::Fd,
    Kind::Connection,
    Kind::Thread,
    Kind::Child,
    Kind::Mapping,
    Kind::Goroutine,
    Kind::Heap,
    Kind::Native,
];

/// Adds what is missing to `undecided`.
pub(in crate::judge) fn complete(
    findings: &[Finding],
    suspected: &[Suspected],
    steady: &[Steady],
    undecided: &mut Vec<Undecided>,
    window: &Window,
    bounds: &Bounds,
) {
    for kind in KINDS {
        let is_answered = findings.iter().any(|it| it.kind == kind)
            || suspected.iter().any(|it| it.finding.kind == kind)
            || steady.iter().any(|it| it.kind == kind)
            || undecided.iter().any(|it| it.kind == kind);
        // A program that is not Go has no goroutines to lose.
        if is_answered || (kind == Kind::Goroutine && !bounds.is_go) {
            continue;
        }
        let why = match kind {
            Kind::Heap => of_memory(window),
            Kind::Native => with_the_heap(undecided).unwrap_or_else(|| of_memory(window)),
            _ => UndecidedWhy::NotRead,
        };
        undecided.push(Undecided { kind, why });
    }
}

/// The Go heap and memory outside of it are one number to the kernel: what keeps the one from being judged keeps the
/// other too.
fn with_the_heap(undecided: &[Undecided]) -> Option<UndecidedWhy> {
    let heap = undecided.iter().find(|it| it.kind == Kind::Heap)?;
    matches!(
        heap.why,
        UndecidedWhy::CompositionUnknown { part: MemoryPart::Anonymous, .. }
            | UndecidedWhy::TooFewSamples { .. }
            | UndecidedWhy::TooShort { .. }
            | UndecidedWhy::NotRead
    )
    .then(|| heap.why.clone())
}

fn of_memory(window: &Window) -> UndecidedWhy {
    let anonymous = window.samples().filter_map(|sample| {
        let memory = sample.memory.seen()?;
        Some((memory.anon_bytes + memory.swap_bytes) as f64)
    });
    let range = anonymous.fold(None, |range: Option<(f64, f64)>, bytes| {
        range.map_or(Some((bytes, bytes)), |(low, high)| Some((low.min(bytes), high.max(bytes))))
    });
    match range {
        Some((low, high)) => {
            let rise_bytes = high - low;
            let seconds = window.seconds();
            let need_seconds = (LEAVES_A_CYCLE_BYTES / rise_bytes.max(1.0) * seconds)
                .clamp((2.0 * seconds).max(LEAST_MORE_SECONDS), MOST_SECONDS.max(2.0 * seconds));
            UndecidedWhy::WithinACycle { rise_bytes, need_seconds }
        }
        None => UndecidedWhy::NotRead,
    }
}

/// The verdict over all kinds.
pub(in crate::judge) fn verdict(
    findings: &[Finding],
    suspected: &[Suspected],
    steady: &[Steady],
    undecided: &[Undecided],
) -> Verdict {
    if !findings.is_empty() {
        Verdict::Leak
    } else if steady.is_empty() || !undecided.is_empty() || !suspected.is_empty() {
        Verdict::Inconclusive
    } else {
        Verdict::Healthy
    }
}

#[cfg(test)]
mod tests;
