//! What looks like a leak and is none.

use super::{BASE, Count, Leaks, Peer, Root, Row};

const INNOCENT: Row = Row { leaks: Leaks::Never, count: Count::No, root: Root::ForNothing, ..BASE };
/// Some of each of these is still warming up when it is first looked at; the host suite has them at other moments.
const SEASON: Row =
    Row { situations: &[27], program: "seasons", rate_per_second: 5.0, twin_in_suite: false, ..INNOCENT };

#[rustfmt::skip]
pub(super) const ROWS: [Row; 12] = [
    // A large pool of which each worker has something to do now and then.
    Row { situations: &[27], program: "porters", rate_per_second: 40.0, says: "Goroutines stayed", ..INNOCENT },
    // A pool of connections that fills to its maximum while it is watched, and stays.
    Row { situations: &[21], program: "terrace", peer: Peer::Server, rate_per_second: 4.3, root: Root::ForAll, says: "a pool that is full", ..INNOCENT },
    // Some of everything, and all of it given back: the host suite has it among its healthy servers.
    Row { situations: &[27], program: "ledger", rate_per_second: 120.0, twin_in_suite: false, ..INNOCENT },
    // A cache that fills: all but full after the first seconds, or only slower and slower.
    Row { arguments: &["-season=spring"], rate_per_second: 2000.0, says: "warm-up, or a pool that is full", ..SEASON },
    Row { arguments: &["-season=spring"], pace: Some("slow"), rate_per_second: 80.0, ..SEASON },
    // A saw of GOGC=400.
    Row { arguments: &["-season=flood"], says: "GOGC=400", ..SEASON },
    // A burst, and idle ever after: what is free stays resident for a while and is given back within the window.
    Row { arguments: &["-season=storm"], says: "rise and fall back", ..SEASON },
    // A map that was emptied and never shrinks: from outside it is live, and garbage is what comes and goes above it.
    Row { arguments: &["-season=harvest"], says: "GOGC=100", ..SEASON },
    // GOGC=off, held by GOMEMLIMIT.
    Row { arguments: &["-season=frost"], says: "GOMEMLIMIT", ..SEASON },
    // A mapped file that is read through.
    Row { arguments: &["-season=fog"], says: "by being read", ..SEASON },
    // A pool of workers that follows the load.
    Row { arguments: &["-season=rush"], says: "Goroutines rise and fall", ..SEASON },
    // A thousand connections that stay, and others that come and go.
    Row { arguments: &["-season=fair"], rate_per_second: 20.0, root: Root::ForAll, says: "Sockets stayed", ..SEASON },
];
