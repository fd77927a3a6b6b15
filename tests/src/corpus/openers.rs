//! Descriptors, connections, threads, mappings, memory from elsewhere and children that somebody took and kept.

use super::{BASE, Count, Peer, Root, Row};

const OPENS: Row = Row { kind: "fd", rate_per_second: 7.3, says: "none closed", ..BASE };
const DIALS: Row = Row { peer: Peer::Server, kind: "connection", state: Some("ESTABLISHED"), ..OPENS };
const SERVES: Row = Row { peer: Peer::Caller, kind: "connection", state: Some("CLOSE_WAIT"), ..OPENS };
/// Of so much work one piece in twenty is not finished, beside work of the same kind that is: two a second.
const MIXED: &[&str] = &["-mix=20"];
const IN_C: Row = Row { cgo: true, ..OPENS };
/// What runs into RLIMIT_NOFILE, which is made a known number. Who calls whom inside of Go's library is not the same
/// in each version.
const LIMITED: Row = Row {
    descriptor_limit: Some(4096),
    exhausts: Some("RLIMIT_NOFILE"),
    root: Root::ForOrigin,
    also: &[21, 24],
    ..BASE
};
/// Nothing but the garbage collector closes them, every now and then.
const TIDIED: Row = Row {
    arguments: &["-tidy=13s"],
    says: "nothing but the garbage collector closes them",
    count: Count::No,
    collects: true,
    ..BASE
};

/// Children whose commands are kept, and with them what reaches the children: from Go 1.23 on a pidfd each.
const PICTURES: Row = Row {
    program: "thumbs",
    rate_per_second: 4.3,
    kind: "child",
    lines: &["command.Start()"],
    says: "none waited for",
    root: Root::ForOrigin,
    also: &[22],
    ..OPENS
};

#[rustfmt::skip]
pub(super) const ROWS: [Row; 27] = [
    Row { situations: &[15], program: "ingest", rate_per_second: 11.3, kind: OPENS.kind, lines: &["os.Open(path)"], says: OPENS.says, ..LIMITED },
    Row { situations: &[15], program: "ingest", pace: Some("slow"), rate_per_second: 0.83, lines: &["os.Open(path)"], ..OPENS },
    Row { situations: &[15], program: "ingest", arguments: MIXED, rate_per_second: 41.0, lines: &["os.Open(path)"], says: "", ..OPENS },
    Row { situations: &[15], program: "notices", lines: &["os.Open(path)"], count: Count::No, collects: false, ..OPENS },
    Row { situations: &[15], program: "notices", kind: OPENS.kind, rate_per_second: OPENS.rate_per_second, lines: &["os.Open(path)"], ..TIDIED },
    Row { situations: &[16], program: "stocktake", lines: &["os.Open(shelf)"], ..OPENS },
    Row { situations: &[17], program: "courier", rate_per_second: 5.9, peer: DIALS.peer, kind: DIALS.kind, state: DIALS.state, lines: &["http.Get(url)"], says: DIALS.says, brings: Some(("goroutine", Some(2.0))), ..LIMITED },
    Row { situations: &[17], program: "courier", arguments: &["-brief"], lines: &["http.DefaultClient.Do(request)"], brings: Some(("goroutine", Some(2.0))), ..DIALS },
    Row { situations: &[17], program: "courier", arguments: MIXED, rate_per_second: 41.0, lines: &["http.Get(url)"], says: "", brings: Some(("goroutine", Some(2.0))), ..DIALS },
    Row { situations: &[18], program: "envoys", lines: &["messenger.Get(url)"], ..DIALS },
    Row { situations: &[18], program: "envoys", pace: Some("slow"), rate_per_second: 0.83, lines: &["messenger.Get(url)"], ..DIALS },
    Row { situations: &[20], program: "parlour", lines: &["pool.Get()"], collects: false, ..DIALS },
    Row { situations: &[20], program: "parlour", rate_per_second: DIALS.rate_per_second, peer: DIALS.peer, kind: DIALS.kind, state: DIALS.state, lines: &["pool.Get()"], ..TIDIED },
    Row { situations: &[20], program: "clerk", lines: &["base.Query(\"entries\")"], ..DIALS },
    Row { situations: &[20], program: "clerk", arguments: &["-way=draft"], rate_per_second: 113.0, kind: "heap", state: None, lines: &["base.Prepare(\"entry\")"], says: "collections found", count: Count::No, ..DIALS },
    Row { situations: &[19], program: "relay", rate_per_second: 7.7, peer: SERVES.peer, kind: SERVES.kind, state: SERVES.state, lines: &["listener.Accept()"], says: SERVES.says, ..LIMITED },
    Row { situations: &[19], program: "relay", arguments: &["-patient"], lines: &["listener.Accept()"], also: &[21, 24], twin_in_suite: false, ..SERVES },
    Row { situations: &[22], program: "signer", rate_per_second: 3.7, kind: "thread", lines: &["range s.documents", "go one.work()"], says: "locked to it", root: Root::ForOrigin, ..OPENS },
    Row { situations: &[22], program: "divers", kind: "thread", lines: &["syscall.Read(rope, signal)", "go dive("], says: "blocked in a system call", ..OPENS },
    Row { situations: &[22], program: "divers", arguments: &["-way=bell"], kind: "thread", lines: &["C.rest(C.int(rope))", "go descend("], says: "in C", ..IN_C },
    Row { situations: &[23], program: "pressings", kind: "native", lines: &["C.groove(C.size_t(bytes))"], says: "C code that is called from this line", count: Count::No, ..IN_C },
    Row { situations: &[23], program: "pressings", arguments: &["-way=grains"], kind: "native", lines: &["C.groove(C.size_t(grainBytes))"], says: "C code that is called from this line", count: Count::No, ..IN_C },
    Row { situations: &[23], program: "pressings", arguments: &["-way=sheet"], kind: "native", lines: &["syscall.Mmap(-1, 0, bytes"], says: "asked the system for", count: Count::No, ..OPENS },
    Row { situations: &[24], program: "archive", rate_per_second: 9.1, kind: "mapping", lines: &["syscall.Mmap(int(segment.Fd())"], says: "none given back", root: Root::ForOrigin, ..OPENS },
    Row { situations: &[25], program: "thumbs", rate_per_second: 4.3, kind: "child", lines: &["command.Start()"], says: "none waited for", root: Root::ForOrigin, also: &[21, 24], ..OPENS },
    Row { situations: &[25], arguments: &["-way=album"], brings: Some(("fd", Some(1.0))), brings_from_go: 23, ..PICTURES },
    // One end of a pipe as well.
    Row { situations: &[25], arguments: &["-way=pipe"], brings: Some(("fd", None)), ..PICTURES },
];
