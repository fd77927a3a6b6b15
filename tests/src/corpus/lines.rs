//! Leaks whose line is not where they come about: a library starts the goroutine, or both ends of a connection are here.

use super::{BASE, Root, Row};

#[rustfmt::skip]
pub(super) const ROWS: [Row; 2] = [
    // Two lines of one goroutine ask for the same; which of them keeps what came is not seen, so that both are named.
    Row { situations: &[6], program: "visits", kind: "goroutine", lines: &["context.WithCancel(h)"], says: "wait in a select", ..BASE },
    Row { situations: &[17], program: "mirror", rate_per_second: 5.9, kind: "connection", state: Some("ESTABLISHED"), lines: &["http.Get(address)"], says: "Both ends are in this process", root: Root::ForOrigin, brings: Some(("goroutine", None)), ..BASE },
];
