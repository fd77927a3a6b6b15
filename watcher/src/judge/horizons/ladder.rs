//! Judges the history of one process again and again, over each horizon as often as its length calls for, and
//! believes only what it finds several times in a row.
//!
//! A look in which nothing could be told, since too little was seen, neither confirms nor withdraws: a pause of the
//! agent takes nothing back.

use crate::judge::horizons::{HORIZONS, Horizon, Look};
use crate::judge::judgement::Outcome;
use crate::judge::series::growth::{Course, Growth};
use crate::judge::terms::Kind;
use crate::store::History;
use crate::vocabulary::signal::Signal;

/// What the horizons say of one process.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    /// So many buckets later than the clock says: not all processes have their turn at once.
    offset: u32,
    /// Which look over each horizon was the newest.
    looked: [Option<u32>; HORIZONS.len()],
    rungs: [[Rung; Signal::JUDGED.len()]; HORIZONS.len()],
}

/// One series over one horizon.
#[derive(Clone, Debug, Default)]
struct Rung {
    /// Looks in a row that found growth.
    found: u8,
    /// Looks in a row that did not.
    missed: u8,
    /// The level from which the first of those looks found it to grow.
    from: Option<f64>,
    /// What is believed; taken back only after as many looks as it took.
    believed: Option<Growth>,
}

/// Growth that was found often enough to be believed.
#[derive(Clone, Copy, Debug)]
pub struct Alarm<'a> {
    /// Of what.
    pub kind: Kind,
    /// Place of the horizon in [`HORIZONS`].
    pub horizon: usize,
    /// How fast, and how we know.
    pub growth: &'a Growth,
}

impl Ladder {
    /// For a process whose looks are to be so many buckets later than those of others.
    pub fn new(offset: u32) -> Self {
        Ladder { offset, ..Ladder::default() }
    }

    /// Looks over those horizons whose time has come. How many series were looked at.
    pub fn look(&mut self, history: &History) -> usize {
        let mut series_looked_at = 0;
        for (index, horizon) in HORIZONS.iter().enumerate() {
            let Some(newest) = history.newest(horizon.level) else { continue };
            let turn = newest.wrapping_add(self.offset) / horizon.every;
            if self.looked[index].replace(turn) == Some(turn) {
                continue;
            }
            for ((kind, signal), rung) in Signal::JUDGED.iter().zip(&mut self.rungs[index]) {
                let look = horizon.look(history, *signal, kind.unit(), rung.from);
                series_looked_at += 1;
                rung.note(look, horizon);
            }
        }
        series_looked_at
    }

    /// What is believed to grow: of each kind what the longest horizon says that says anything.
    pub fn alarms(&self) -> impl Iterator<Item = Alarm<'_>> {
        Signal::JUDGED.iter().enumerate().filter_map(|(series, (kind, _))| {
            let rungs = self.rungs.iter().enumerate().rev();
            rungs
                .filter_map(|(horizon, rungs)| {
                    let growth = rungs[series].believed.as_ref()?;
                    Some(Alarm { kind: *kind, horizon, growth })
                })
                .next()
        })
    }

    /// Puts what is believed in the place of what a window could not tell. A window that knows a leak keeps it: it
    /// knows more of it.
    pub fn amend(&self, outcomes: &mut Vec<Outcome>) {
        for alarm in self.alarms() {
            let leaks = |it: &Outcome| matches!(it, Outcome::Leaks(finding) if finding.kind == alarm.kind);
            if outcomes.iter().any(leaks) {
                continue;
            }
            outcomes.retain(|it| match it {
                Outcome::Leaks(_) => true,
                Outcome::Suspected(suspected) => suspected.finding.kind != alarm.kind,
                Outcome::Steady(steady) => steady.kind != alarm.kind,
                Outcome::Undecided(undecided) => undecided.kind != alarm.kind,
            });
            outcomes.push(Outcome::of(alarm.kind, Course::Grows(alarm.growth.clone()), |_| {}));
        }
    }
}

impl Rung {
    fn note(&mut self, look: Look, horizon: &Horizon) {
        match look {
            Look::TooShort => {}
            Look::Grows { growth, from } => {
                self.from = Some(from);
                self.found = self.found.saturating_add(1);
                self.missed = 0;
                if self.found >= horizon.looks || self.believed.is_some() {
                    self.believed = Some(growth);
                }
            }
            Look::Not => {
                self.missed = self.missed.saturating_add(1);
                self.found = 0;
                if self.missed >= horizon.looks_to_take_back() {
                    self.believed = None;
                }
                if self.believed.is_none() {
                    self.from = None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
