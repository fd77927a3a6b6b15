//! What one process has mapped, by who asked for it: what `watcher memory --mappings` prints.

mod export;

pub use export::{json, profile, svg};

use super::ledger::{self, Creator, Nouns, Watch, age, caveats, indented, say, watched};
use super::list::{plain_table, without_trailing_blanks};
use super::threads::who;
use crate::explain::words::{bytes, count, counted};
use crate::vocabulary::process::Target;
use comfy_table::CellAlignment;
use std::cmp::Reverse;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

const NOUNS: Nouns = Nouns {
    one: "mapping",
    many: "mappings",
    created: "mapped",
    ended: "unmapped",
    other_ways: "by the kernel itself, or at the start of a program",
};

/// Who asked is said in this column.
const INDENT: usize = 11;

/// What was mapped while a process was watched and is mapped still.
#[derive(Clone, Debug)]
pub struct Mapped {
    /// Whose.
    pub process: Target,
    /// When it was read.
    pub taken: SystemTime,
    /// How it was watched who maps.
    pub watch: Watch,
    /// By the code that asked for it.
    pub sites: Vec<Site>,
}

/// What the same code has mapped.
#[derive(Clone, Debug)]
pub struct Site {
    /// Who asked for it.
    pub creator: Creator,
    /// On whose behalf.
    pub owner: Owner,
    /// Mapped while it was watched.
    pub created: u64,
    /// ... and unmapped.
    pub ended: u64,
    /// Mapped now.
    pub outstanding: u64,
    /// Their addresses in bytes: not all of it need be resident.
    pub bytes: u64,
    /// ... those of them that map a file.
    pub file_bytes: u64,
    /// Age of the oldest that is mapped, where it is known.
    pub oldest: Option<Duration>,
    /// Age of the youngest that is mapped, where it is known.
    pub youngest: Option<Duration>,
}

/// On whose behalf something was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// Go code called the system.
    Go,
    /// C did, by way of cgo or on a thread of its own.
    Native,
    /// C did, for the stacks of threads, those of Go's own among them.
    Threads,
    /// The Go runtime, for the heap, for stacks or its own structures.
    Runtime,
    /// Not known.
    Unknown,
}

impl Owner {
    const ALL: [Owner; 5] = [Owner::Go, Owner::Native, Owner::Threads, Owner::Runtime, Owner::Unknown];

    /// In JSON, one word.
    fn word(self) -> &'static str {
        match self {
            Owner::Go => "go",
            Owner::Native => "native",
            Owner::Threads => "threads",
            Owner::Runtime => "runtime",
            Owner::Unknown => "unknown",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Owner::Go => "by Go code",
            Owner::Native => "by C, such as malloc",
            Owner::Threads => "by C for the stacks of threads",
            Owner::Runtime => "by the Go runtime for its heap, stacks and structures",
            Owner::Unknown => "by whom is not known",
        }
    }
}

impl Site {
    /// `file`, `anonymous`, or both.
    fn backing(&self) -> &'static str {
        match (self.file_bytes, self.bytes - self.file_bytes.min(self.bytes)) {
            (0, _) => "anonymous",
            (_, 0) => "file",
            _ => "file, anonymous",
        }
    }
}

impl Mapped {
    fn main_module(&self) -> Option<&str> {
        self.process.go.as_deref().and_then(|go| go.module_path())
    }

    fn present(&self) -> impl Iterator<Item = &Site> {
        self.sites.iter().filter(|site| site.outstanding > 0 || site.bytes > 0)
    }

    /// Bytes that were mapped while it was watched and still are.
    fn bytes(&self) -> u64 {
        self.sites.iter().map(|site| site.bytes).sum()
    }
}

/// For people: on whose behalf, then at most `shown` stacks by what they have mapped, most first; whole stacks if
/// `whole`.
pub fn text(mapped: &Mapped, shown: usize, whole: bool) -> String {
    let mut text = format!("{}\n\n", who(&mapped.process));
    let number: u64 = mapped.present().map(|site| site.outstanding).sum();
    let size = bytes(mapped.bytes() as f64);
    _ = match number {
        0 if mapped.watch.accounts.created == 0 => {
            writeln!(text, "Nothing was mapped while it was watched.")
        }
        0 => writeln!(text, "Nothing that was mapped while it was watched is still there."),
        _ => {
            writeln!(text, "{size} in {}, made while it was watched and still there.", NOUNS.counted(number))
        }
    };
    say(&mut text, &watched(&mapped.watch, &NOUNS));
    owners(&mut text, mapped);
    let mut sites: Vec<&Site> = mapped.present().collect();
    sites.sort_by_key(|site| Reverse((site.bytes, site.outstanding)));
    table(&mut text, mapped, sites.get(..shown).unwrap_or(&sites), whole);
    let hidden = sites.get(shown..).unwrap_or_default();
    if !hidden.is_empty() {
        _ = writeln!(
            text,
            "\nnot shown: {} with {} (-n {} shows all)",
            counted(hidden.len(), "smaller stack", "smaller stacks"),
            bytes(hidden.iter().map(|site| site.bytes).sum::<u64>() as f64),
            sites.len()
        );
    }
    let caveats = caveats(&mapped.watch, &NOUNS);
    if !caveats.is_empty() {
        text.push('\n');
    }
    for sentence in caveats {
        say(&mut text, &sentence);
    }
    text
}

/// What was mapped on whose behalf.
fn owners(text: &mut String, mapped: &Mapped) {
    let size =
        |owner| -> u64 { mapped.present().filter(|site| site.owner == owner).map(|site| site.bytes).sum() };
    let owners: Vec<(Owner, u64)> = Owner::ALL.map(|owner| (owner, size(owner))).to_vec();
    if owners.iter().any(|(_, size)| *size > 0) {
        text.push('\n');
    }
    for (owner, size) in owners.into_iter().filter(|(_, size)| *size > 0) {
        _ = writeln!(text, "{:>9}  {}", bytes(size as f64), owner.words());
    }
}

fn table(text: &mut String, mapped: &Mapped, sites: &[&Site], whole: bool) {
    if sites.is_empty() {
        return;
    }
    let mut table = plain_table();
    table.set_header(["BYTES", "MAPPINGS", "MADE", "GONE", "OLDEST", "OF", "BY"]);
    for site in sites {
        table.add_row([
            format!("{:>9}", bytes(site.bytes as f64)),
            count(site.outstanding as f64),
            count(site.created as f64),
            count(site.ended as f64),
            age(&site.creator, site.oldest, &mapped.watch),
            site.backing().to_owned(),
            match site.owner {
                Owner::Go => "Go",
                Owner::Native => "C",
                Owner::Threads => "C (thread stacks)",
                Owner::Runtime => "Go's runtime",
                Owner::Unknown => "?",
            }
            .to_owned(),
        ]);
    }
    for right_aligned in 0..5 {
        if let Some(column) = table.column_mut(right_aligned) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = without_trailing_blanks(&table);
    let mut lines = lines.lines();
    _ = writeln!(text, "\n{}", lines.next().unwrap_or_default());
    for (line, site) in lines.zip(sites) {
        _ = writeln!(text, "{line}");
        indented(text, INDENT, &site.creator.line(mapped.main_module(), &NOUNS));
        if whole {
            ledger::stacks(text, INDENT, &site.creator, "mapped at");
        }
    }
}

#[cfg(test)]
mod tests;
