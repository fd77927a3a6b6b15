//! How right the judge is at the pace of production: `cargo xtask accuracy --slow`.
//!
//! `rows` says what is watched, `plan` who and when, `field` starts them, `watch` asks the agent, `tally` counts what
//! came of it, `report` prints that. Only `field` and `watch` touch the system.

mod answers;
pub mod field;
pub mod plan;
pub mod report;
pub mod rows;
mod table;
pub mod tally;
pub mod watch;

use crate::program::Style;
use crate::toolchain::Toolchain;
use rows::SlowRow;
use std::path::PathBuf;
use std::time::Duration;

pub use answers::Answer;

/// One of the twins of a row.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The row.
    pub slow: SlowRow,
    /// Which twin.
    pub style: Style,
    /// With what it is built.
    pub toolchain: &'static Toolchain,
}

impl Subject {
    /// The kind of which it must be accused; `None` where it is innocent.
    pub fn guilt(&self) -> Option<&'static str> {
        self.slow.row.guilt(self.style, self.toolchain.minor)
    }

    /// One word that no other has.
    pub fn name(&self) -> String {
        let twin = match self.style {
            Style::Round => "kept",
            Style::Square => "given-back",
        };
        format!("{}-{twin}-go1.{}", self.slow.row.name(), self.toolchain.minor)
    }
}

/// When somebody looked, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Look {
    /// How long the program had run.
    pub after: Duration,
    /// How long it was watched.
    pub window: Duration,
}

/// What was said of a program at one look.
#[derive(Clone, Debug)]
pub struct Cell {
    /// Whom it is about.
    pub subject: Subject,
    /// When.
    pub look: Look,
    /// What was said.
    pub answer: Answer,
    /// The share of the looks that were due and were taken: 0 to 1.
    pub looks: f64,
    /// Where the whole diagnosis lies.
    pub saved: PathBuf,
}

impl Cell {
    /// It fills for the first time until after this window, and nobody outside can know that it has an end. A single
    /// look asks for ages and can know better.
    pub fn is_filling(&self) -> bool {
        let end = self.look.after + self.look.window;
        !self.look.window.is_zero() && end.as_secs() < self.subject.slow.fills_for_seconds
    }
}

/// What `watcher run` told of a program, and when.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whom it is about.
    pub subject: Subject,
    /// For how long it was watched.
    pub watched: Duration,
    /// Each change of what was said, with the time since the begin of watching.
    pub said: Vec<(Duration, Answer)>,
}

/// A program of which nothing can be said, and why.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whom it is about, and at which look.
    pub what: String,
    /// What went wrong.
    pub why: String,
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Single looks.
    pub cells: Vec<Cell>,
    /// What `run` told.
    pub told: Vec<Told>,
    /// What could not be measured.
    pub failures: Vec<Failure>,
    /// How busy the machine was while somebody looked, at most: 0 to 1.
    pub busiest: Option<f64>,
}

#[cfg(test)]
mod tests;
