//! Turns a [`Window`] into a [`Judgement`]: one small pure function per kind, weighed against each other.
//!
//! Values in, values out. No clock, no files, no logging, no wording: `explain` puts it into sentences.

pub mod glance;
pub mod horizons;
pub mod judgement;
pub mod kinds;
pub mod levels;
pub mod series;
pub mod terms;
pub mod weigh;

#[cfg(test)]
pub(crate) mod simulation;

use crate::judge::judgement::Judgement;
use crate::judge::terms::{Bounds, Thresholds};
use crate::store::Window;
use horizons::ladder::Ladder;
use kinds::{children, connections, descriptors, goroutines, mappings, memory, threads};
use weigh::{attribute, corroborate, doubts, readings, standstill};

/// Judges one process by its window.
pub fn judge(window: &Window, bounds: &Bounds, thresholds: &Thresholds) -> Judgement {
    judge_with(window, &Ladder::default(), bounds, thresholds)
}

/// The same, by what the horizons say of its history as well.
pub fn judge_with(window: &Window, ladder: &Ladder, bounds: &Bounds, thresholds: &Thresholds) -> Judgement {
    let outcomes = [
        descriptors::judge(window, thresholds),
        connections::judge(window, thresholds),
        threads::judge(window, thresholds),
        children::judge(window, thresholds),
        mappings::judge(window, thresholds),
        goroutines::judge(window, thresholds),
        memory::judge(window, bounds, thresholds),
    ];
    let mut outcomes = outcomes.into_iter().flatten().collect();
    ladder.amend(&mut outcomes);
    glance::amend(&mut outcomes, window, bounds, &glance::Settings::default());
    doubts::withhold(&mut outcomes, window, bounds);
    let mut judgement = attribute::weigh(outcomes, window, bounds);
    judgement.readings = readings::of(window, &judgement.steady, thresholds);
    corroborate::corroborate(&mut judgement.findings, window.captures());
    doubts::lower(&mut judgement.findings, window.captures());
    judgement.lacking.extend(doubts::told(window.captures()));
    standstill::withhold(&mut judgement, window);
    judgement.levels = levels::of(window, bounds);
    judgement
}
