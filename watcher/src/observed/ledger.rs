//! Ledgers: what a process has created since it is watched and still has, by the code that created it.
//!
//! The kernel programs note each creation with its stack; a scan of the kernel's own tables says what is still
//! there. A [`Ledger`] is the join of both at one moment, with names looked up, and says itself how far it can be
//! trusted: nothing that was missed or left out is silently absent.

use super::connections::ConnectionKey;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::reading::Moment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Sites that are kept of one ledger, those with most outstanding first.
pub const MAX_SITES: usize = 4096;

/// What is outstanding of one kind of thing in one process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger<T> {
    /// When the tables were scanned.
    pub at: Moment,
    /// When the kernel programs began to watch this process for this ledger.
    pub began: Moment,
    /// How creations and ends are seen.
    pub route: Route,
    /// What creations and ends come to, and what is not in the sites.
    pub accounts: Accounts,
    /// Creations by stack, most outstanding first.
    pub sites: Vec<Site<T>>,
}

/// How creations and ends are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// Where the kernel changes its tables: nothing is missed.
    Exact,
    /// Where the kernel allocates open files: what is open is asked of its table, and when something ended is known
    /// from scan to scan only. Copies of a descriptor are with whoever made their file.
    Allocations,
    /// Where system calls return: what enters or leaves the tables otherwise is found only by scanning.
    SystemCalls,
    /// Where the Go runtime passes, by probes in the program.
    Runtime,
}

/// What a ledger knows and what it does not. All are counts of things, not of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    /// Outstanding now, by the kernel's own table.
    pub outstanding: u64,
    /// ... of those, there before watching began: nobody saw who created them.
    pub before: u64,
    /// ... of those, created since and not seen by the programs: found by the scan.
    pub missed: u64,
    /// ... of those, seen, but without a stack: there was no room for it.
    pub without_stack: u64,
    /// ... of those, copies of others, by whomever they were made: they are with whoever made the file. Always 0 where
    /// copies are seen as they are made.
    #[serde(default)]
    pub copies: u64,
    /// Created since watching began, as the programs saw it.
    pub created: u64,
    /// Ended since watching began.
    pub ended: u64,
    /// The programs believed these to be outstanding and the scan did not find them: the ledger was put right.
    pub corrected: u64,
    /// Events that the programs had to drop because a map was full.
    pub lost: u64,
    /// Stacks are taken of one in so many things; counts of sites are already scaled. 1 where of all.
    pub one_in: u32,
}

/// What one stack has created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site<T> {
    /// The stack, innermost frame first, the kernel's entry and Go's system call wrappers included; empty where it is
    /// not known.
    pub stack: Arc<[Frame]>,
    /// Who started the goroutine that ran it, nearest first: the stack at its `go` statement where that was seen, else
    /// only the statement's own frames. Empty for the main goroutine, and where it is not known.
    pub started_by: Vec<Arc<[Frame]>>,
    /// Created since watching began.
    pub created: u64,
    /// ... and ended.
    pub ended: u64,
    /// Outstanding now.
    pub outstanding: u64,
    /// Age of the oldest that is outstanding.
    pub oldest: Duration,
    /// Age of the youngest that is outstanding.
    pub youngest: Duration,
    /// The longest that any of the ended ones lived; `None` where none ended or nobody saw.
    pub longest_ended: Option<Duration>,
    /// What the outstanding ones are.
    pub what: T,
}

/// Descriptors, sockets among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Descriptors {
    /// Outstanding ones by type, most first.
    pub types: Vec<(DescriptorType, u64)>,
    /// Those that are sockets by family, state, role and peer, most first.
    pub connections: Vec<(ConnectionKey, u64)>,
    /// Goroutines that wait on those sockets now, by where they are (innermost frame first), most first.
    pub waiting: Vec<(Arc<[Frame]>, u64)>,
}

/// Mappings: VMAs, and parts of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mappings {
    /// Outstanding bytes of address space.
    pub bytes: u64,
    /// ... that map a file.
    pub file_bytes: u64,
    /// The Go runtime mapped it for itself: it is part of the heap, of stacks or of its own structures.
    pub is_runtime: bool,
    /// C asked for it, by way of cgo.
    pub is_native: bool,
    /// ... as the stack of a thread that C started, Go's own threads among them in programs with cgo.
    pub is_thread_stack: bool,
}

/// Threads and child processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// Children that have exited and were not waited for; always 0 for threads.
    pub zombies: u64,
}

/// Spans of the Go heap, in programs that record no heap profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// Bytes of live objects in them.
    pub bytes: u64,
    /// Live objects in them.
    pub objects: u64,
}

impl<T> Ledger<T> {
    /// How long it has been watching.
    pub fn watched(&self) -> Duration {
        self.at.since_boot.saturating_sub(self.began.since_boot)
    }
}
