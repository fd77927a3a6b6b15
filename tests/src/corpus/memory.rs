//! Memory of the Go heap that stays.

use super::{BASE, Count, Leaks, Peer, Root, Row};

/// A heap must grow by much more than the rest of the program breathes.
const HEAP: Row = Row {
    kind: "heap",
    rate_per_second: 113.0,
    says: "collections found",
    count: Count::No,
    root: Root::ForNothing,
    also: &[21],
    ..BASE
};
/// Nothing but the heap grows in these.
const ALONE: Row = Row { is_alone: true, ..HEAP };
/// Without a heap profile: only probes in the allocator tell lines, and they take root.
const PROBED: Row = Row {
    root: Root::ForAll,
    says: "is still live was allocated at one line",
    says_with_samples: Some(HEAP.says),
    also: &[21, 24],
    ..ALONE
};
/// What keeps a little of something large.
const PINS: Row = Row { program: "digest", rate_per_second: 2.3, ..ALONE };
/// Timers that nobody refers to are collected from Go 1.23 on.
const TIMERS: Row = Row {
    program: "metronome",
    rate_per_second: 3001.0,
    leaks: Leaks::UntilGo(22),
    also: &[21, 24],
    ..ALONE
};

#[rustfmt::skip]
pub(super) const ROWS: [Row; 15] = [
    Row { situations: &[8], program: "catalog", lines: &["strings.Repeat(", "descriptions[number] = describe(number)"], also: &[22], ..HEAP },
    Row { situations: &[7], program: "toll", peer: Peer::Caller, rate_per_second: 401.0, lines: &["passages = append(passages, one)"], says: "", also: &[21, 24], ..ALONE },
    Row { situations: &[8], program: "lending", lines: &["content: make([]byte, 0, crateBytes)", "one := take()"], ..ALONE },
    Row { situations: &[8], program: "lending", pace: Some("slow"), rate_per_second: 23.0, lines: &["content: make([]byte, 0, crateBytes)", "one := take()"], also: &[], ..ALONE },
    Row { situations: &[9], arguments: &["-way=page"], lines: &["strings.Repeat(", "title(page())"], says: "large objects of 1 MiB each", also: &[21, 24], ..PINS },
    Row { situations: &[9], arguments: &["-way=page"], pace: Some("slow"), rate_per_second: 0.31, lines: &["strings.Repeat("], says: "large objects of 1 MiB each", also: &[], ..PINS },
    Row { situations: &[9], arguments: &["-way=table"], lines: &["make([]row, 0, rows)"], says: "large objects of 944 KiB each", ..PINS },
    Row { situations: &[9], arguments: &["-way=scan"], rate_per_second: 0.37, lines: &["make([]byte, scanBytes)"], says: "large objects of 12 MiB each", ..PINS },
    Row { situations: &[10], program: "herald", rate_per_second: 23.0, lines: &["make([]byte, formBytes)"], says: "large objects of 40 KiB each", says_with_samples: None, ..PROBED },
    Row { situations: &[10], program: "herald", pace: Some("slow"), rate_per_second: 5.3, lines: &["make([]byte, formBytes)"], ..PROBED },
    Row { situations: &[11], program: "postroom", rate_per_second: 127.0, lines: &["io.ReadAll(letter)", "deliver(day, number, letter)"], also: &[21, 24], ..ALONE },
    Row { situations: &[12], arguments: &["-way=tick"], lines: &["time.Tick(beat)"], ..TIMERS },
    Row { situations: &[12], arguments: &["-way=ticker"], lines: &["beats := time.NewTicker(beat)\n\tselect"], ..TIMERS },
    Row { situations: &[12], arguments: &["-way=after"], lines: &["<-time.After(beat)"], ..TIMERS },
    Row { situations: &[14], program: "carousel", rate_per_second: 53.0, lines: &["make([]byte, cushionBytes)", "left, right := newSeat(), newSeat()"], ..PROBED },
];
