//! Goroutines that stay.

use super::{BASE, Count, Peer, Root, Row};

/// Also with an older Go: timers, wait reasons and the heap profile are others there.
const GOROUTINE: Row = Row {
    kind: "goroutine",
    says: "wait to receive from a channel",
    root: Root::ForNothing,
    also: &[22],
    ..BASE
};
/// Started all at once before anybody looks.
const STUCK: Row = Row {
    arguments: &["-most=1000"],
    rate_per_second: 2_000.0,
    count: Count::Reached(1_000),
    also: &[],
    twin_in_suite: false,
    ..GOROUTINE
};
/// Who called a library is told by the heap profile, which samples once in half a MiB: some samples must fall there.
const SAMPLED_PER_SECOND: f64 = 227.0;

#[rustfmt::skip]
pub(super) const ROWS: [Row; 15] = [
    Row { situations: &[1], program: "tickets", lines: &["go follow(one)", "<-one.result"], ..GOROUTINE },
    Row { situations: &[1], program: "tickets", lines: &["go follow(one)", "<-one.result"], ..STUCK },
    Row { situations: &[1], program: "tickets", pace: Some("slow"), rate_per_second: 0.83, lines: &["go follow(one)", "<-one.result"], also: &[], ..GOROUTINE },
    // Of so much work one piece in twenty is not finished, beside work of the same kind that is.
    Row { situations: &[1], program: "tickets", arguments: &["-mix=20"], rate_per_second: 41.0, lines: &["go follow(one)", "<-one.result"], ..GOROUTINE },
    Row { situations: &[2], program: "kiosk", peer: Peer::Visitor, lines: &["go pending.await()", "<-c.done"], ..GOROUTINE },
    Row { situations: &[3], program: "brokers", lines: &["go consult(answer)", "answer <- 42"], says: "wait to send on a channel", ..GOROUTINE },
    Row { situations: &[4], program: "queues", arguments: &["-lane=channel"], lines: &["go takeFrom(work)", "\t<-work"], says: "wait to receive from a nil channel", ..GOROUTINE },
    Row { situations: &[4], program: "queues", arguments: &["-lane=full"], lines: &["go putInto(work)", "work <- 2"], says: "wait to send on a channel", ..GOROUTINE },
    Row { situations: &[4], program: "queues", arguments: &["-lane=group"], lines: &["go waitFor(group)", "group.Wait()"], says: "wait for a WaitGroup", said_until_go: Some((23, "wait for a lock or a WaitGroup")), ..GOROUTINE },
    Row { situations: &[4], program: "queues", arguments: &["-lane=mutex"], lines: &["go enter(mutex)", "\tmutex.Lock()\n\tdefer"], says: "wait for a mutex", ..GOROUTINE },
    Row { situations: &[5], program: "pulses", lines: &["go attend()", "time.Sleep(interval)"], says: "sleep", ..GOROUTINE },
    Row { situations: &[6], program: "journal", rate_per_second: SAMPLED_PER_SECOND, lines: &["seelog.CloneLogger(base)"], says: "", ..GOROUTINE },
    Row { situations: &[6], program: "journal", arguments: &["-way=loop"], rate_per_second: SAMPLED_PER_SECOND, lines: &["seelog.CloneLogger(base)"], says: "", ..GOROUTINE },
    Row { situations: &[13], program: "alarms", lines: &["go remind(time.NewTimer(notice))", "<-timer.C"], ..GOROUTINE },
    Row { situations: &[13], program: "alarms", lines: &["go remind(time.NewTimer(notice))", "<-timer.C"], ..STUCK },
];
