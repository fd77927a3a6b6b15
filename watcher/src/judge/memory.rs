//! Resident memory by the parts that the kernel tells apart.
//!
//! A Go process returns freed memory late and asks for it in bulk, so a rising RSS accuses nobody: what it is made
//! of decides. Until that is read, growth is undecided. Memory that stays where it is acquits.

use super::growth::{Course, course};
use super::{Kind, MemoryPart, Outcome, Steady, Thresholds, Undecided, UndecidedWhy, Unit};
use crate::sample::memory::Memory;
use crate::store::{Series, Window};

/// Judges resident memory: anonymous with what was swapped out, that of files, and shared.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let part = |bytes: fn(&Memory) -> u64| {
        window.series(|sample| Some((sample.memory.at, bytes(sample.memory.seen()?) as f64)))
    };
    let mut outcomes = anonymous(&part(|memory| memory.anon_bytes + memory.swap_bytes), thresholds);
    for (name, series) in [
        (MemoryPart::File, part(|memory| memory.file_bytes)),
        (MemoryPart::Shared, part(|memory| memory.shmem_bytes)),
    ] {
        outcomes.extend(mapped(name, course(&series, Unit::Bytes, thresholds)));
    }
    outcomes
}

/// Between two collections a Go heap grows by as much as it holds (GOGC=100), and by 4 MiB at least
/// (`heapMinimum`, `runtime/mgcpacer.go`), with stacks and caches on top. A smaller rise than this says nothing
/// about a leak: it neither accuses nor acquits.
const COLLECTION_CYCLE_BYTES: f64 = 16.0 * 1024.0 * 1024.0;

/// Go heap and C heap live here side by side; both are acquitted together or neither is.
fn anonymous(series: &Series, thresholds: &Thresholds) -> Vec<Outcome> {
    let beyond_a_cycle =
        Thresholds { min_rise_bytes: thresholds.min_rise_bytes.max(COLLECTION_CYCLE_BYTES), ..*thresholds };
    match (course(series, Unit::Bytes, thresholds), course(series, Unit::Bytes, &beyond_a_cycle)) {
        (Course::Steady(why), _) => {
            [Kind::Heap, Kind::Native].map(|kind| Outcome::Steady(Steady { kind, why })).to_vec()
        }
        (_, Course::Steady(_)) => Vec::new(),
        (other, _) => growth_undecided(Kind::Heap, MemoryPart::Anonymous, other).into_iter().collect(),
    }
}

/// Growth of mapped pages speaks of mappings; their staying put is said by their number.
fn mapped(part: MemoryPart, course: Course) -> Option<Outcome> {
    match course {
        // What is missing is missing for all parts alike, and is said once, for the anonymous part.
        Course::Steady(_) | Course::Undecided(UndecidedWhy::NotRead) => None,
        Course::Undecided(UndecidedWhy::TooFewSamples { .. } | UndecidedWhy::TooShort { .. }) => None,
        other => growth_undecided(Kind::Mapping, part, other),
    }
}

fn growth_undecided(kind: Kind, part: MemoryPart, course: Course) -> Option<Outcome> {
    let why = match course {
        Course::Grows(growth) => {
            UndecidedWhy::CompositionUnknown { part, per_second: growth.rate.per_second }
        }
        Course::Undecided(UndecidedWhy::Ambiguous { per_second, .. }) => {
            UndecidedWhy::CompositionUnknown { part, per_second }
        }
        Course::Undecided(why) => why,
        Course::Steady(_) => return None,
    };
    Some(Outcome::Undecided(Undecided { kind, why }))
}
