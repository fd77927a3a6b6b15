//! Which subjects there are.

use super::Subject;
use crate::build::Variant;
use crate::corpus::{Row, rows};
use crate::toolchain::Toolchain;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How programs are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Flavour {
    /// Without symbols, as most people ship them.
    Stripped,
    /// With symbols and DWARF, as `go build` leaves them.
    Unstripped,
    /// Stripped, and serving profiles.
    Endpoint,
}

impl Flavour {
    /// How `row` is built.
    pub fn variant(self, row: &Row) -> Variant {
        let base = match self {
            Flavour::Stripped => Variant::STRIPPED,
            Flavour::Unstripped => Variant::PLAIN,
            Flavour::Endpoint => Variant::ENDPOINT,
        };
        Variant { cgo: row.cgo, ..base }
    }
}

impl fmt::Display for Flavour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Flavour::Stripped => "stripped",
            Flavour::Unstripped => "unstripped",
            Flavour::Endpoint => "endpoint",
        })
    }
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Only rows whose name or kind contains this.
    pub filter: Option<String>,
    /// With what the programs are built.
    pub toolchains: Vec<&'static Toolchain>,
    /// How.
    pub flavours: Vec<Flavour>,
    /// One row of each kind only.
    pub short: bool,
}

/// Every subject that is wanted, well mixed: programs that work hard shall not all run at once, and whatever happens
/// to the machine in one minute shall not hit all of one kind.
pub fn subjects(wanted: &Wanted) -> Vec<Subject> {
    let mut seen = BTreeSet::new();
    let chosen = rows().filter(|row| {
        let matches = |filter: &String| row.name().contains(&**filter) || row.about() == filter;
        wanted.filter.as_ref().is_none_or(matches) && (!wanted.short || seen.insert(row.about()))
    });
    let mut subjects: Vec<Subject> = chosen
        .flat_map(|row| {
            let ways = wanted
                .toolchains
                .iter()
                .flat_map(|toolchain| wanted.flavours.iter().map(move |flavour| (*toolchain, *flavour)));
            ways.flat_map(move |(toolchain, flavour)| {
                let row = if flavour == Flavour::Endpoint { row.with_endpoint() } else { row };
                row.styles().iter().map(move |style| Subject { row, style: *style, toolchain, flavour })
            })
        })
        .collect();
    subjects.sort_by_cached_key(|subject| {
        let mut hasher = DefaultHasher::new();
        subject.name().hash(&mut hasher);
        hasher.finish()
    });
    subjects
}
