//! What Go engineers have met in production, and where the tests show that it is judged right.

/// Where a situation is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// By at least one row of the corpus.
    Row,
    /// By cases of the host suite of their own, or by tests of another package.
    Elsewhere(&'static str),
}

/// A situation: its number, which rows refer to, its words, and where it is shown.
pub type Situation = (u32, &'static str, Shown);

use Shown::{Elsewhere, Row};

/// Every situation.
#[rustfmt::skip]
pub const SITUATIONS: [Situation; 30] = [
    (1, "many goroutines started in a loop, each waiting to receive from a channel to which nobody sends", Row),
    (2, "a handler starts a goroutine for each request that waits for ever", Row),
    (3, "a send to a reader who gave up on a timeout", Row),
    (4, "nil channel, full channel, WaitGroup or mutex that is never released", Row),
    (5, "a goroutine for each request that loops for ever and sleeps", Row),
    (6, "a library whose cloned loggers, each with a goroutine, are never closed", Row),
    (7, "an accept loop that appends to a slice which nobody drains", Row),
    (8, "a map or cache without expiry, a pool in a package variable that grows", Row),
    (9, "a small part that is kept pins all of a large string, slice or buffer", Row),
    (10, "a closure registered as a callback that captures a large buffer", Row),
    (11, "a context that is derived from the one before it, for each message", Row),
    (12, "tickers that are not stopped, time.Tick, time.After in a loop", Row),
    (13, "timers of an hour with a goroutine waiting on each", Row),
    (14, "objects in a cycle that have a finalizer", Row),
    (15, "files opened in a loop and not closed, referenced or not", Row),
    (16, "a deferred Close inside of a long loop", Row),
    (17, "response bodies that are not closed", Row),
    (18, "a transport for each request", Row),
    (19, "a server that never closes its side", Row),
    (20, "connections or statements taken from a pool and not returned", Row),
    (21, "a pool of idle connections that fills to its maximum and stays", Row),
    (22, "threads that are locked, in a system call or in C", Row),
    (23, "memory of C that is never freed, anonymous mappings that stay", Row),
    (24, "mappings of files that stay", Row),
    (25, "processes started and never waited for", Row),
    (26, "memory that rises, falls at each restart and rises again", Elsewhere("tests of the judge on simulated series")),
    (27, "warm-up, sawtooth, burst, cleared maps, limits, page cache, load: none of them a leak", Row),
    (28, "healthy servers under load", Elsewhere("cases `healthy` and `servers`")),
    (29, "what engineers do by hand with profiles", Elsewhere("cases `views` and `pulls`")),
    (30, "endpoints of every sort", Elsewhere("cases `pulls::doors`")),
];

#[cfg(test)]
mod tests {
    use super::{SITUATIONS, Shown};
    use crate::corpus::rows;
    use std::collections::BTreeSet;

    #[test]
    fn every_situation_that_rows_shall_show_has_one() {
        let shown: BTreeSet<u32> = rows().flat_map(|row| row.situations.iter().copied()).collect();
        let asked = SITUATIONS.into_iter().filter(|(_, _, shown)| *shown == Shown::Row);
        let missing: Vec<u32> = asked.map(|it| it.0).filter(|number| !shown.contains(number)).collect();
        assert!(missing.is_empty(), "no row shows {missing:?}");
        assert!(rows().all(|row| !row.situations.is_empty()), "every row is an instance of something");
        assert!(SITUATIONS.into_iter().map(|it| it.0).eq(1..=30));
    }
}
