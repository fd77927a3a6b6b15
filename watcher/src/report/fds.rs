//! The open descriptors of one process by who opened them: what `watcher fds` prints.

mod export;
mod groups;

pub use export::{json, profile, svg};
pub use groups::Grouping;

use super::ledger::{Creator, Nouns, Watch, age, caveats, indented, say, tail, watched};
use super::list::{plain_table, without_trailing_blanks};
use super::threads::who;
use crate::explain::Frame;
use crate::explain::words::{count, duration};
use crate::vocabulary::process::Target;
use comfy_table::CellAlignment;
use std::cmp::Reverse;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Widest peer of the table: an IPv6 address with its port fits.
const PEER_COLUMNS: usize = 47;

const NOUNS: Nouns = Nouns {
    one: "descriptor",
    many: "descriptors",
    created: "opened",
    ended: "closed",
    other_ways: "received from another process, or opened by the kernel itself",
};

/// All open descriptors of a process at about one moment.
#[derive(Clone, Debug)]
pub struct Fds {
    /// Whose.
    pub process: Target,
    /// When they were read.
    pub taken: SystemTime,
    /// How it was watched who opens them.
    pub watch: Watch,
    /// Each open descriptor is in exactly one of them; where only a part was looked at, their counts are estimates.
    pub sites: Vec<Site>,
}

/// Descriptors that were opened by the same code.
#[derive(Clone, Debug)]
pub struct Site {
    /// Who opened them.
    pub creator: Creator,
    /// Opened while it was watched.
    pub created: u64,
    /// ... and closed.
    pub ended: u64,
    /// Open now.
    pub outstanding: u64,
    /// Age of the oldest that is open, where it is known.
    pub oldest: Option<Duration>,
    /// Age of the youngest that is open, where it is known.
    pub youngest: Option<Duration>,
    /// The longest that one of the closed ones was open, where it is known.
    pub longest_ended: Option<Duration>,
    /// A few of the open ones of each kind, by number.
    pub examples: Vec<Example>,
    /// What the open ones are; the counts add up to `outstanding`.
    pub kinds: Vec<(FdKind, u64)>,
    /// Goroutines that wait on them now, by where they are.
    pub waiting: Vec<(Arc<[Frame]>, u64)>,
}

/// One descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// What it is.
    pub kind: FdKind,
    /// Its number.
    pub fd: i32,
    /// What it refers to, printable form, where that says more: `/etc/hosts`, `listens on 127.0.0.1:8080`.
    pub what: Option<String>,
}

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FdKind {
    /// In one word: `file`, `socket`, `eventfd`.
    pub name: &'static str,
    /// What a socket speaks: `tcp`, `udp6`, `unix`.
    pub protocol: Option<&'static str>,
    /// State of a socket in the kernel's word: `CLOSE_WAIT`.
    pub state: Option<&'static str>,
    /// The other end of a socket.
    pub peer: Option<String>,
}

impl FdKind {
    /// `file`, `tcp socket`.
    fn title(&self) -> String {
        self.protocol.map_or_else(|| self.name.to_owned(), |protocol| format!("{protocol} {}", self.name))
    }

    /// `tcp socket CLOSE_WAIT, 127.0.0.1:8081`.
    fn words(&self) -> String {
        let mut words = self.title();
        if let Some(state) = self.state {
            _ = write!(words, " {state}");
        }
        if let Some(peer) = &self.peer {
            _ = write!(words, ", {peer}");
        }
        words
    }
}

impl Fds {
    /// How many are open.
    pub fn total(&self) -> u64 {
        self.watch.accounts.outstanding
    }

    fn main_module(&self) -> Option<&str> {
        self.process.go.as_deref().and_then(|go| go.module_path())
    }

    fn line(&self, site: &Site) -> String {
        site.creator.line(self.main_module(), &NOUNS)
    }
}

/// For people: how it was watched, then at most `shown` groups, those with most open first.
pub fn text(fds: &Fds, grouping: Grouping, shown: usize) -> String {
    let mut text = format!("{}\n\n", who(&fds.process));
    _ = match fds.total() {
        0 => writeln!(text, "No descriptor is open."),
        1 => writeln!(text, "1 descriptor is open."),
        total => writeln!(text, "{} are open.", NOUNS.counted(total)),
    };
    say(&mut text, &watched(&fds.watch, &NOUNS));
    let (groups, hidden, in_them) = match grouping {
        Grouping::None => table(&mut text, fds, shown),
        Grouping::Stack { whole } => groups::by_stack(&mut text, fds, whole, shown),
        Grouping::Type => groups::by_kind(&mut text, fds, FdKind::title, shown),
        Grouping::Peer => {
            let peer = |kind: &FdKind| kind.peer.clone().unwrap_or_else(|| "no peer".to_owned());
            groups::by_kind(&mut text, fds, peer, shown)
        }
    };
    if hidden > 0 {
        let one_or_many = if hidden == 1 { "group" } else { "groups" };
        _ = writeln!(
            text,
            "\nnot shown: {} smaller {one_or_many} with {} (-n {groups} shows all)",
            count(hidden as f64),
            NOUNS.counted(in_them)
        );
    }
    all_closed(&mut text, fds);
    let caveats = caveats(&fds.watch, &NOUNS);
    if !caveats.is_empty() {
        text.push('\n');
    }
    for sentence in caveats {
        say(&mut text, &sentence);
    }
    text
}

/// What was opened and has all been closed again: siblings of what stays.
fn all_closed(text: &mut String, fds: &Fds) {
    let closed = || fds.sites.iter().filter(|site| site.outstanding == 0 && site.created > 0);
    let (stacks, opened) = (closed().count(), closed().map(|site| site.created).sum::<u64>());
    if stacks == 0 {
        return;
    }
    let longest = closed().filter_map(|site| site.longest_ended).max();
    let longest = longest.map(|longest| match longest.as_secs_f64() {
        longest if longest < 1.0 => ", each within a second".to_owned(),
        longest => format!(", each within {}", duration(longest)),
    });
    let stacks = if stacks == 1 {
        "1 other stack opened".to_owned()
    } else {
        format!("{} other stacks opened", count(stacks as f64))
    };
    text.push('\n');
    say(
        text,
        &format!("{stacks} {} and closed all of them{}.", NOUNS.counted(opened), longest.unwrap_or_default()),
    );
}

/// A row for each type, state, peer and opener, with the opener beneath it.
fn table(text: &mut String, fds: &Fds, shown: usize) -> (usize, usize, u64) {
    let kinds = |site: &'_ Site| site.kinds.len();
    let mut rows: Vec<(&Site, &FdKind, u64)> = Vec::with_capacity(fds.sites.iter().map(kinds).sum());
    for site in &fds.sites {
        rows.extend(site.kinds.iter().map(|(kind, number)| (site, kind, *number)));
    }
    rows.sort_by_key(|(_, kind, number)| (Reverse(*number), *kind));
    if rows.is_empty() {
        return (0, 0, 0);
    }
    let mut table = plain_table();
    table.set_header(["OPEN", "TYPE", "STATE", "PEER", "OLDEST"]);
    for (site, kind, number) in rows.iter().take(shown) {
        table.add_row([
            format!("{:>7}", count(*number as f64)),
            kind.title(),
            kind.state.unwrap_or("-").to_owned(),
            kind.peer.as_deref().map_or("-".to_owned(), |peer| tail(peer, PEER_COLUMNS)),
            age(&site.creator, site.oldest, &fds.watch),
        ]);
    }
    for right_aligned in [0, 4] {
        if let Some(column) = table.column_mut(right_aligned) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = without_trailing_blanks(&table);
    let mut lines = lines.lines();
    _ = writeln!(text, "\n{}", lines.next().unwrap_or_default());
    for (line, (site, kind, _)) in lines.zip(&rows) {
        _ = writeln!(text, "{line}");
        // Below the table stands how many these are.
        if site.creator != Creator::Before {
            indented(text, INDENT, &fds.line(site));
        }
        if let Some(examples) = examples(site, kind) {
            indented(text, INDENT, &examples);
        }
    }
    let hidden = rows.get(shown..).unwrap_or_default();
    (rows.len(), hidden.len(), hidden.iter().map(|(_, _, number)| number).sum())
}

/// "number 3 /dev/null, 5 /etc/hosts, …": what some of a row refer to; `None` where nothing is known of them.
fn examples(site: &Site, kind: &FdKind) -> Option<String> {
    let of_kind = || site.examples.iter().filter(|example| example.kind == *kind);
    of_kind().find(|example| example.what.is_some())?;
    let named = of_kind().map(|example| match &example.what {
        Some(what) => format!("{} {what}", example.fd),
        None => example.fd.to_string(),
    });
    let named: Vec<String> = named.collect();
    let all = site.kinds.iter().find(|(it, _)| it == kind).map_or(0, |(_, number)| *number);
    let more = if all > named.len() as u64 { ", …" } else { "" };
    Some(format!("number {}{more}", named.join(", ")))
}

/// What is said of a group begins here, behind its count.
const INDENT: usize = 9;

/// `9 s`, with what is known where it is not known exactly.
fn oldest(fds: &Fds, sites: &[&Site]) -> String {
    let oldest = |site: &&&Site| {
        let least = if matches!(site.creator, Creator::Before | Creator::BeforeOrMissed) {
            fds.watch.watched
        } else {
            Duration::ZERO
        };
        site.oldest.unwrap_or(least)
    };
    sites
        .iter()
        .max_by_key(oldest)
        .map(|site| age(&site.creator, site.oldest, &fds.watch))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
