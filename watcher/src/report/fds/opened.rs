//! The values: open descriptors, put together by who opened them.

use crate::explain::Frame;
use crate::report::ledger::{Creator, Nouns, Watch, age};
use crate::vocabulary::process::Target;
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(super) const NOUNS: Nouns = Nouns {
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
    pub(super) fn title(&self) -> String {
        self.protocol.map_or_else(|| self.name.to_owned(), |protocol| format!("{protocol} {}", self.name))
    }

    /// `tcp socket CLOSE_WAIT, 127.0.0.1:8081`.
    pub(super) fn words(&self) -> String {
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

    pub(super) fn main_module(&self) -> Option<&str> {
        self.process.go.as_deref().and_then(|go| go.module_path())
    }

    pub(super) fn line(&self, site: &Site) -> String {
        site.creator.line(self.main_module(), &NOUNS)
    }
}

/// What is said of a group begins here, behind its count.
pub(super) const INDENT: usize = 9;

/// `9 s`, with what is known where it is not known exactly.
pub(super) fn oldest(fds: &Fds, sites: &[&Site]) -> String {
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
