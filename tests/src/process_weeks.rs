//! Simulated weeks of processes, run through the history and the horizons that the agent judges by: how often an
//! innocent one is accused, and how soon a leak is found.
//!
//! A reading each half minute fills the same buckets as one each ten seconds does, with a little more noise in the
//! shortest of them.

pub mod curves;
pub mod dice;
pub mod tally;

use curves::{Process, Scene};
use dice::Dice;
use std::time::{Duration, UNIX_EPOCH};
use watcher::judge::horizons::ladder::Ladder;
use watcher::judge::terms::Kind;
use watcher::store::History;
use watcher::vocabulary::reading::Moment;

/// Seconds between two readings.
pub const BEAT: u32 = 30;
const WEEK: u32 = 7 * 86_400;

/// An alarm that was told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Told {
    /// Of what kind.
    pub kind: Kind,
    /// Over which of [`watcher::judge::horizons::HORIZONS`].
    pub horizon: usize,
    /// Hours after the week began.
    pub hours: f64,
}

/// What came of one week.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Week {
    /// Each time that something was told where nothing had been.
    pub told: Vec<Told>,
    /// Hours after which a leak began; `None` for an innocent week.
    pub leaks_after: Option<f64>,
    /// Of what kind it is.
    pub leaks: Option<Kind>,
    /// Series that were looked at.
    pub looks: usize,
}

/// Lives one week of a process.
pub fn live(scene: Scene, seed: u64) -> Week {
    let mut dice = Dice::of(seed, scene as u64);
    let mut process = Process::draw(scene, &mut dice);
    let mut week = Week {
        leaks_after: process.leak.map(|leak| leak.begins / 3_600.0),
        leaks: process.leak.map(|leak| leak.kind),
        ..Week::default()
    };
    let begins = dice.between(1_000.0, 3e6).round();
    // Boot is any time of the day and of the week.
    let (mut history, mut ladder) = (History::default(), Ladder::new(0));
    let mut was_told = false;
    for second in (0..WEEK).step_by(BEAT as usize).map(f64::from) {
        if process.restarts_at(second) {
            (history, ladder) = (History::default(), Ladder::new(0));
            was_told = false;
        }
        let readings = process.read(second, &mut dice);
        if process.is_paused(second) {
            continue;
        }
        let since_boot = Duration::from_secs_f64(begins + second);
        history.push(Moment { since_boot, wall: UNIX_EPOCH + since_boot }, &readings);
        week.looks += ladder.look(&history);
        let first = ladder.alarms().next().map(|alarm| (alarm.kind, alarm.horizon));
        if let Some((kind, horizon)) = first.filter(|_| !was_told) {
            week.told.push(Told { kind, horizon, hours: second / 3_600.0 });
        }
        was_told = first.is_some();
    }
    week
}
