//! What looks like a leak and is none.

use super::{BASE, Count, Leaks, Peer, Root, Row};

const INNOCENT: Row = Row { leaks: Leaks::Never, count: Count::No, root: Root::ForNothing, ..BASE };

#[rustfmt::skip]
pub(super) const ROWS: [Row; 3] = [
    // A large pool of which each worker has something to do now and then.
    Row { situations: &[27], program: "porters", rate_per_second: 40.0, ..INNOCENT },
    // A pool of connections that fills to its maximum while it is watched, and stays.
    Row { situations: &[21], program: "terrace", peer: Peer::Server, rate_per_second: 4.3, root: Root::ForAll, ..INNOCENT },
    // Some of everything, and all of it given back: the host suite has it among its healthy servers.
    Row { situations: &[27], program: "ledger", rate_per_second: 120.0, twin_in_suite: false, ..INNOCENT },
];
