//! When a limit is reached if growth goes on as it does, and which limit that is.
//!
//! Findings that draw on the same limit share its time: descriptors and sockets one table, heap, native memory and
//! stacks one memory. Others draw on the limits of a cgroup too; where what they take grows as well, it counts.

pub(in crate::judge) mod approach;
mod memory;

use crate::judge::judgement::Finding;
use crate::judge::terms::{Beyond, Bounds, Exhaustion, Kind, Rate};
use crate::judge::weigh::exhaustion::approach::comes_back;
use crate::judge::weigh::exhaustion::approach::plus;
use crate::judge::weigh::exhaustion::approach::{Approach, NONE, State};
use crate::store::Window;
use memory::MemoryDraw;

/// Puts the time that is left into each finding.
pub fn add(findings: &mut [Finding], window: &Window, bounds: &Bounds) {
    let Some(newest) = window.latest() else { return };
    let state = State { newest, window, bounds };
    let descriptors = descriptors_together(findings);
    let memory = MemoryDraw::of(findings, window);
    for finding in findings.iter_mut().filter(|finding| !comes_back(finding)) {
        let approaches = match finding.kind {
            Kind::Fd | Kind::Connection => state.open_files(descriptors),
            Kind::Mapping => state.mappings(finding.rate),
            Kind::Thread | Kind::Child => state.tasks(finding.kind, finding.rate),
            Kind::Heap | Kind::Native | Kind::Goroutine => memory::approaches(&memory, &state),
        };
        finding.exhausts = first(approaches);
    }
    let sooner: Vec<Option<Exhaustion>> = findings
        .iter()
        .map(|cause| {
            let own = cause.exhausts.into_iter();
            let follows = findings.iter().filter(|it| it.consequence_of == Some(cause.kind));
            own.chain(follows.filter_map(|it| it.exhausts))
                .min_by(|a, b| a.in_seconds.total_cmp(&b.in_seconds))
        })
        .collect();
    // What follows from a leak may end the process before the leak itself does.
    for (finding, sooner) in findings.iter_mut().zip(sooner) {
        finding.exhausts = sooner;
    }
}

fn descriptors_together(findings: &[Finding]) -> Rate {
    let kinds = [Kind::Fd, Kind::Connection];
    let of_kind = findings.iter().filter(|it| kinds.contains(&it.kind) && !comes_back(it));
    of_kind.fold(NONE, |sum, finding| plus(sum, finding.rate))
}

/// The limit that is reached first. Where that one only slows the process down, the first that ends it besides.
fn first(approaches: Vec<Approach>) -> Option<Exhaustion> {
    let soonest = |of: &mut dyn Iterator<Item = &Approach>| {
        of.copied().min_by(|a, b| a.times.likely.total_cmp(&b.times.likely))
    };
    let first = soonest(&mut approaches.iter())?;
    let end = soonest(&mut approaches.iter().filter(|it| !it.limit.only_slows()));
    Some(Exhaustion {
        limit: first.limit,
        limit_value: first.value,
        in_seconds: first.times.likely,
        low_seconds: first.times.low,
        high_seconds: first.times.high,
        beyond: end.filter(|_| first.limit.only_slows()).map(|end| Beyond {
            limit: end.limit,
            limit_value: end.value,
            in_seconds: end.times.likely,
            low_seconds: end.times.low,
            high_seconds: end.times.high,
        }),
    })
}

#[cfg(test)]
mod tests;
