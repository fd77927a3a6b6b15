//! Resident memory by the parts that the kernel tells apart.
//!
//! A Go process returns freed memory late and asks for it in bulk, so a rising RSS accuses nobody: what it is made
//! of decides. Until that is read, growth is undecided. Memory that stays where it is acquits.

use super::growth::{Course, course};
use super::{Kind, MemoryPart, Outcome, Steady, Thresholds, Undecided, UndecidedWhy, Unit};
use crate::sample::memory::Memory;
use crate::store::Window;

/// Judges resident memory: anonymous with what was swapped out, that of files, and shared.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let part = |bytes: fn(&Memory) -> u64| {
        let series = window.series(|sample| Some((sample.memory.at, bytes(sample.memory.seen()?) as f64)));
        course(&series, Unit::Bytes, thresholds)
    };
    let mut outcomes = anonymous(part(|memory| memory.anon_bytes + memory.swap_bytes));
    outcomes.extend(mapped(MemoryPart::File, part(|memory| memory.file_bytes)));
    outcomes.extend(mapped(MemoryPart::Shared, part(|memory| memory.shmem_bytes)));
    outcomes
}

/// Go heap and C heap live here side by side; both are acquitted together or neither is.
fn anonymous(course: Course) -> Vec<Outcome> {
    match course {
        Course::Steady(why) => {
            [Kind::Heap, Kind::Native].map(|kind| Outcome::Steady(Steady { kind, why })).to_vec()
        }
        other => growth_undecided(Kind::Heap, MemoryPart::Anonymous, other).into_iter().collect(),
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
