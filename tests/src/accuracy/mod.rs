//! How right the judge is on the corpus: `cargo xtask accuracy`.
//!
//! `plan` says what is to be run, `measure` runs it, `tally` counts what came of it, `report` prints that. Only
//! `measure` and `load` touch the system.

pub mod load;
pub mod measure;
pub mod plan;
pub mod report;
pub mod tally;

use crate::corpus::Row;
use crate::corpus::expect::Objection;
use crate::program::Style;
use crate::toolchain::Toolchain;
use plan::Flavour;
use std::path::PathBuf;

/// Of the looks that were due this share must have been taken.
const MIN_LOOKS: f64 = 0.9;

/// One of the twins of a row, built in one way.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The row.
    pub row: Row,
    /// Which twin.
    pub style: Style,
    /// With what it is built.
    pub toolchain: &'static Toolchain,
    /// How.
    pub flavour: Flavour,
}

impl Subject {
    /// The kind of which it must be accused; `None` where it is innocent.
    pub fn guilt(&self) -> Option<&'static str> {
        self.row.guilt(self.style, self.toolchain.minor)
    }

    /// One word that no other has.
    pub fn name(&self) -> String {
        let twin = match self.style {
            Style::Round => "kept",
            Style::Square => "given-back",
        };
        format!("{}-{twin}-go1.{}-{}", self.row.name(), self.toolchain.minor, self.flavour)
    }
}

/// What was said of a subject, and what is to be said about that.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whom it is about.
    pub subject: Subject,
    /// The verdict.
    pub verdict: String,
    /// What is wrong with it.
    pub objections: Vec<Objection>,
    /// The place of the first of its lines among the culprits, from 0.
    pub rank: Option<usize>,
    /// The findings, primary or not.
    pub findings: Vec<Stated>,
    /// Unexplained memory, as a share of the resident; `None` where it is not known.
    pub unexplained: Option<f64>,
    /// Seconds after which a diagnosis would first have told of a leak of the right kind.
    pub detected_after_seconds: Option<f64>,
    /// It would have been accused of something by a diagnosis that ended earlier, or is by this one.
    pub accused_on_the_way: bool,
    /// How busy the machine was meanwhile: 0 to 1.
    pub busy: Option<f64>,
    /// The share of looks that were due and were taken: 0 to 1.
    pub looks: f64,
    /// Where the whole diagnosis lies.
    pub saved: PathBuf,
}

/// A finding, and whether it is right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stated {
    /// As it states itself: 0 to 1.
    pub confidence: f64,
    /// It names what truly leaks, or says of what it follows.
    pub is_right: bool,
}

/// A subject of which nothing can be said, and why.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Whom it is about.
    pub subject: Subject,
    /// What went wrong on our side.
    pub why: String,
}

impl Run {
    /// The agent got to look at it about as often as it was told to. Else the machine was judged and not the judge.
    pub fn is_honest(&self) -> bool {
        self.looks >= MIN_LOOKS
    }
}

/// All that was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// What was judged.
    pub runs: Vec<Run>,
    /// What could not be.
    pub failures: Vec<Failure>,
    /// What was said where the agent had not got to look often enough, and was asked again.
    pub discarded: Vec<Run>,
}

#[cfg(test)]
mod tests;
