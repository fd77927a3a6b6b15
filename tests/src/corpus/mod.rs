//! The corpus: programs of which it is known what leaks, and at which line, and what does not.
//!
//! One table, read by the cases of the host suite and by `cargo xtask accuracy` alike. A row is a program that can be
//! run as one of two twins: they do the same work, and one of them keeps what it should give back.

pub mod expect;
mod goroutines;
mod innocents;
mod lines;
mod memory;
mod openers;
pub mod situations;

use crate::build::{self, Variant};
use crate::need::{C_COMPILER, Need};
use crate::program::Style;
use anyhow::{Result, bail};
use std::fs;

/// A program, and what must be said of it.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What it is an instance of: numbers of [`situations::SITUATIONS`].
    pub situations: &'static [u32],
    /// Its folder in `programs/`.
    pub program: &'static str,
    /// What it is told besides its style, rate and life.
    pub arguments: &'static [&'static str],
    /// A word for its pace, where it is a row of its own.
    pub pace: Option<&'static str>,
    /// Who talks with it.
    pub peer: Peer,
    /// It has C in it.
    pub cgo: bool,
    /// Odd numbers, so that a rate is not right by chance.
    pub rate_per_second: f64,
    /// RLIMIT_NOFILE of the program, where it matters.
    pub descriptor_limit: Option<u64>,
    /// Its garbage is collected. Files and connections that nobody refers to are closed by that.
    pub collects: bool,
    /// Whether the twin that keeps is to be accused.
    pub leaks: Leaks,
    /// What it is accused of.
    pub kind: &'static str,
    /// Of connections: their state.
    pub state: Option<&'static str>,
    /// What the lines to be named say, as they stand in its sources.
    pub lines: &'static [&'static str],
    /// Words of the evidence.
    pub says: &'static str,
    /// Words of the evidence where the program has an endpoint: linking it makes the runtime sample allocations, of
    /// which nothing is known otherwise.
    pub says_with_samples: Option<&'static str>,
    /// Up to this minor version of Go the words are these: the runtime did not tell it any better.
    pub said_until_go: Option<(u32, &'static str)>,
    /// What its own count tells of the rate.
    pub count: Count,
    /// The limit that it runs into.
    pub exhausts: Option<&'static str>,
    /// Another kind that follows from it, and how many there are of it for each of the first, where that is known.
    pub brings: Option<(&'static str, Option<f64>)>,
    /// It does so from this minor version of Go on.
    pub brings_from_go: u32,
    /// Nothing else may be found beside it, not even as a consequence.
    pub is_alone: bool,
    /// What of this only root is told.
    pub root: Root,
    /// Older versions of Go with which the host suite asks after the twin that keeps; the newest is always asked.
    pub also: &'static [u32],
    /// The host suite asks after the twin that gives back.
    pub twin_in_suite: bool,
}

/// Who talks with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It works alone.
    None,
    /// It serves; a second one is told `-call ADDRESS`.
    Caller,
    /// It serves HTTP; a second one is told `-url http://ADDRESS/`.
    Visitor,
    /// It calls; a second one serves.
    Server,
}

/// Whether the twin that keeps is to be accused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaks {
    /// With every Go.
    Always,
    /// Up to this minor version; later ones give back by themselves.
    UntilGo(u32),
    /// It only looks like it: there is no twin that keeps.
    Never,
}

/// What a program's own count of what it holds tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Its growth is the rate to be told.
    Grows,
    /// It had all of them before anybody looked: the rate is 0.
    Reached(u64),
    /// Nothing: it counts something else, or not at all.
    No,
}

/// What only root is told of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Everything.
    ForAll,
    /// Who did it, and with whom: kind and rate are known to anybody who may read the process.
    ForOrigin,
    /// Nothing.
    ForNothing,
}

/// What most rows have in common.
pub(crate) const BASE: Row = Row {
    situations: &[],
    program: "",
    arguments: &[],
    pace: None,
    peer: Peer::None,
    cgo: false,
    rate_per_second: 11.3,
    descriptor_limit: None,
    collects: true,
    leaks: Leaks::Always,
    kind: "",
    state: None,
    lines: &[],
    says: "",
    says_with_samples: None,
    said_until_go: None,
    count: Count::Grows,
    exhausts: None,
    brings: None,
    brings_from_go: 0,
    is_alone: false,
    root: Root::ForAll,
    also: &[],
    twin_in_suite: true,
};

/// Every row. Where one program has several, the first is the plainest.
pub fn rows() -> impl Iterator<Item = Row> {
    let kept = goroutines::ROWS.into_iter().chain(openers::ROWS).chain(memory::ROWS).chain(lines::ROWS);
    kept.chain(innocents::ROWS)
}

impl Row {
    /// One word for names of cases and for reports; no two rows share it.
    pub fn name(&self) -> String {
        let words = self.arguments.iter().map(|argument| {
            let argument = argument.trim_start_matches('-');
            argument.split_once('=').map_or(argument, |(name, value)| match name {
                "way" | "lane" | "season" => value,
                _ => name,
            })
        });
        [self.program].into_iter().chain(words).chain(self.pace).collect::<Vec<_>>().join("_")
    }

    /// What it is about: the kind of its leak, or `innocent`.
    pub fn about(&self) -> &'static str {
        if self.leaks == Leaks::Never { "innocent" } else { self.kind }
    }

    /// The words of the evidence, where it is built with Go 1.`minor`.
    pub fn words(&self, minor: u32) -> &'static str {
        match self.said_until_go {
            Some((last, words)) if minor <= last => words,
            _ => self.says,
        }
    }

    /// The same, built with an endpoint.
    pub fn with_endpoint(self) -> Row {
        Row { says: self.says_with_samples.unwrap_or(self.says), ..self }
    }

    /// How most people would build it.
    pub fn variant(&self) -> Variant {
        Variant { cgo: self.cgo, ..Variant::STRIPPED }
    }

    /// What is needed to build it.
    pub fn needs(&self) -> impl Iterator<Item = Need> + use<> {
        let root = (self.root == Root::ForAll).then_some(Need::Root);
        [Need::Go].into_iter().chain(root).chain(self.cgo.then_some(C_COMPILER))
    }

    /// The twins there are.
    pub fn styles(&self) -> &'static [Style] {
        if self.leaks == Leaks::Never { &[Style::Square] } else { &[Style::Round, Style::Square] }
    }

    /// The kind of which this twin, built with Go 1.`minor`, must be accused.
    pub fn guilt(&self, style: Style, minor: u32) -> Option<&'static str> {
        let leaks = match self.leaks {
            Leaks::Always => true,
            Leaks::UntilGo(last) => minor <= last,
            Leaks::Never => false,
        };
        (style == Style::Round && leaks).then_some(self.kind)
    }

    /// File and number of a line of the program's sources that holds `text`, or begins with it.
    pub fn line(&self, text: &str) -> Result<(String, u32)> {
        for file in ["main.go", "native.go"] {
            let path = build::programs().join(self.program).join(file);
            let Ok(source) = fs::read_to_string(&path) else { continue };
            if let Some((before, _)) = source.split_once(text) {
                return Ok((file.to_owned(), u32::try_from(before.matches('\n').count())? + 1));
            }
        }
        bail!("{text:?} is not in the sources of {}", self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::{Leaks, Row, rows};
    use crate::program::Style;
    use std::collections::BTreeSet;

    #[test]
    fn each_row_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for row in rows() {
            assert!(names.insert(row.name()), "{} twice", row.name());
        }
    }

    #[test]
    fn each_leak_has_a_line_that_is_in_its_sources() {
        for row in rows().filter(|row| row.leaks != Leaks::Never) {
            assert!(!row.lines.is_empty() && !row.kind.is_empty(), "{}", row.name());
            for text in row.lines {
                row.line(text).unwrap();
            }
        }
    }

    #[test]
    fn a_version_that_gives_back_by_itself_is_innocent() {
        let row = Row { kind: "heap", leaks: Leaks::UntilGo(22), ..super::BASE };
        let guilt = |style, minor| row.guilt(style, minor);
        assert_eq!(guilt(Style::Round, 22), Some("heap"));
        assert_eq!(guilt(Style::Round, 23), None);
        assert_eq!(guilt(Style::Square, 22), None);
        let innocent = Row { leaks: Leaks::Never, ..row };
        assert_eq!(innocent.guilt(Style::Round, 22), None);
        assert_eq!(innocent.styles(), [Style::Square]);
    }
}
