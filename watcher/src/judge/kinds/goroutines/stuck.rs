//! Goroutines that no longer grow in number and wait for what does not come.
//!
//! A worker pool that nobody uses looks the same: many goroutines, all waiting at one line, always the same ones. So
//! these are the rules:
//!
//! - Most of the program's goroutines are in the group, the `go` statement and the line are the program's own, and
//!   none of them has come or gone. What waits for a peer or a system call (idle connections) is left alone.
//! - None of them has run. The runtime notes when a collection first found a goroutine waiting, and forgets it as
//!   soon as the goroutine runs: a single worker that did anything acquits them all. Where no collection came by to
//!   take the note, nothing is known, and that is said.
//! - Who waits for a lock, a WaitGroup or to send is in somebody's way, which a hundred at once for the whole window
//!   never are in a healthy program; a nil channel needs no window at all. Who waits to receive, sleeps or selects
//!   may be an idle worker: a pool of hundreds that did nothing at all for the window is possible, so these are
//!   named only from five hundred on, and with less confidence.
//! - One that the same `go` statement started, and that waits for a peer, may be the end of a chain in which each waits for
//!   the next: then nothing is said of them.

use crate::judge::judgement::{Detail, Finding};
use crate::judge::kinds::goroutines::lines::STOPPED;
use crate::judge::kinds::goroutines::naming::add_lines;
use crate::judge::terms::Kind;
use crate::judge::weigh::culprit::{Owner, line, owner, package};
use crate::judge::weigh::evidence::Evidence;
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite, Member};
use crate::store::Captures;
use crate::vocabulary::frame::Frame;
use std::collections::{HashMap, HashSet};

/// A collection comes at least every two minutes (`forcegcperiod`, `runtime/proc.go`).
pub(super) const DECIDING_SECONDS: f64 = 150.0;
/// The captures that are compared must lie so far apart.
const MIN_SECONDS: f64 = 10.0;
const MIN_COUNT: u64 = 100;
const MIN_COUNT_OF_POSSIBLE_WORKERS: u64 = 500;

/// What is known of the largest group.
pub(super) enum Verdict {
    Stuck(Box<Finding>),
    /// Nobody knows whether any of them has run meanwhile.
    Unknown {
        count: u64,
    },
    /// One that was started like them waits for an answer from outside, and they may wait for that one.
    MayAwait {
        count: u64,
    },
}

/// What a wait means.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wait {
    /// Nothing can ever end it.
    ForEver,
    /// For somebody who is at work.
    Held,
    /// Perhaps for work.
    Idle,
    /// For something outside of the program, or unknown.
    Other,
}

impl Wait {
    /// From the runtime's words (`waitReasonStrings`, `runtime/runtime2.go`).
    fn of(reason: Option<&str>) -> Wait {
        match reason.unwrap_or_default() {
            "chan receive (nil chan)" | "chan send (nil chan)" | "select (no cases)" => Wait::ForEver,
            "chan send"
            | "semacquire"
            | "sync.Mutex.Lock"
            | "sync.RWMutex.Lock"
            | "sync.RWMutex.RLock"
            | "sync.WaitGroup.Wait" => Wait::Held,
            "chan receive" | "select" | "sleep" | "sync.Cond.Wait" => Wait::Idle,
            _ => Wait::Other,
        }
    }

    fn least(self) -> u64 {
        match self {
            Wait::ForEver | Wait::Held => MIN_COUNT,
            Wait::Idle => MIN_COUNT_OF_POSSIBLE_WORKERS,
            Wait::Other => u64::MAX,
        }
    }

    fn confidence(self) -> f64 {
        match self {
            Wait::ForEver => 0.9,
            Wait::Held => 0.8,
            Wait::Idle | Wait::Other => 0.65,
        }
    }
}

/// The group that is stuck, or may be.
pub(super) fn find(captures: &Captures) -> Option<Verdict> {
    let last = captures.goroutines.last()?;
    let module = captures.main_module.as_deref();
    // The largest: no other can be most of all.
    let (site, indices) = largest(last)?;
    let site = &site;
    let wait = Wait::of(site.wait_reason.as_deref());
    let own = |stack: &[Frame]| {
        line(stack, module).is_some_and(|frame| owner(&frame.function, module) == Owner::Own)
    };
    let candidate = site.count >= wait.least()
        && site.count * 2 > last.total
        && own(&site.created_by)
        && own(&site.stack);
    if !candidate {
        return None;
    }
    let members: Vec<&Member> = last.members.iter().filter(|it| indices.contains(&it.site)).collect();
    let earlier: Vec<&GoroutineCapture> =
        captures.goroutines.earlier().filter(|earlier| holds(earlier, site, last, &members)).collect();
    let watched = last.at.seconds_since(&earlier.first()?.at);
    let mut still = earlier.iter().map(|earlier| motion(earlier, last, &members));
    let seconds = if wait == Wait::ForEver {
        watched
    } else if still.clone().any(|motion| motion == Motion::Some) {
        return None;
    } else {
        match still.find_map(|motion| motion.still_seconds().filter(|seconds| *seconds >= MIN_SECONDS)) {
            Some(seconds) => seconds,
            None => return Some(Verdict::Unknown { count: site.count }),
        }
    };
    if wait != Wait::ForEver && is_one_being_answered(last, site) {
        return Some(Verdict::MayAwait { count: site.count });
    }
    let mut culprits = Vec::new();
    let share = site.count as f64 / last.total.max(1) as f64;
    add_lines(&mut culprits, &site.created_by, Some(site), share, module);
    Some(Verdict::Stuck(Box::new(Finding {
        kind: Kind::Goroutine,
        primary: false,
        consequence_of: None,
        confidence: wait.confidence(),
        rate: STOPPED,
        exhausts: None,
        detail: Detail::default(),
        culprits,
        evidence: vec![Evidence::Stuck {
            count: site.count,
            total: last.total,
            seconds,
            wait: site.wait_reason.clone(),
            may_be_idle: wait == Wait::Idle,
            for_ever: wait == Wait::ForEver,
        }],
    })))
}

/// Somebody whom the same `go` statement started is at work, sleeps, or waits for a peer: a chain of goroutines, each of
/// which waits for the next one, ends in such a one.
fn is_one_being_answered(capture: &GoroutineCapture, group: &GoroutineSite) -> bool {
    let of_the_network =
        |frame: &Frame| matches!(package(&frame.function), "net" | "net/http" | "internal/poll");
    capture.sites.iter().any(|site| {
        let is_of_group = site.stack == group.stack && site.wait_reason == group.wait_reason;
        let wait = Wait::of(site.wait_reason.as_deref());
        let waits_outside = wait == Wait::Other
            || site.wait_reason.as_deref() == Some("sleep")
            || site.stack.iter().any(of_the_network);
        site.created_by == group.created_by && !is_of_group && waits_outside
    })
}

/// The goroutines that wait at one line for one thing, whoever asked for them, and the sites that they are at.
fn largest(capture: &GoroutineCapture) -> Option<(GoroutineSite, HashSet<u32>)> {
    let mut groups: HashMap<_, (u64, HashSet<u32>)> = HashMap::new();
    for (index, site) in (0..).zip(&capture.sites) {
        let (count, indices) = groups.entry((&site.created_by, &site.stack, &site.wait_reason)).or_default();
        *count += site.count;
        indices.insert(index);
    }
    let (count, indices) = groups.into_values().max_by_key(|(count, indices)| (*count, indices.len()))?;
    let first = indices.iter().min().and_then(|index| capture.sites.get(*index as usize))?;
    Some((GoroutineSite { count, ..first.clone() }, indices))
}

/// All of them, and no others, were there already.
fn holds(
    earlier: &GoroutineCapture,
    site: &GoroutineSite,
    last: &GoroutineCapture,
    members: &[&Member],
) -> bool {
    let then: u64 =
        earlier.sites.iter().filter(|it| it.created_by == site.created_by).map(|it| it.count).sum();
    let now: u64 = last.sites.iter().filter(|it| it.created_by == site.created_by).map(|it| it.count).sum();
    let before: HashMap<u64, &Member> = earlier.members.iter().map(|member| (member.id, member)).collect();
    let was_there =
        |member: &&Member| before.contains_key(&member.id) || !member.id.is_multiple_of(earlier.one_in);
    now <= then && !members.is_empty() && members.iter().all(was_there)
}

/// Whether any of them has run since.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Motion {
    /// None has, for so many seconds.
    None {
        seconds: f64,
    },
    Some,
    Unknown,
}

impl Motion {
    fn still_seconds(self) -> Option<f64> {
        match self {
            Motion::None { seconds } => Some(seconds),
            Motion::Some | Motion::Unknown => None,
        }
    }
}

/// A note younger than this may be of a collection that is still at it, and has not come to all of them.
const SETTLED_NANOS: u64 = 1_000_000_000;

/// Reads the runtime's notes. All members are older than the earlier capture, so that each collection since then came
/// by all of them: who has no note of it although others have, or has a later one, has run since.
fn motion(earlier: &GoroutineCapture, last: &GoroutineCapture, members: &[&Member]) -> Motion {
    let before: HashMap<u64, &Member> = earlier.members.iter().map(|member| (member.id, member)).collect();
    let settled = |since: &u64| since.saturating_add(SETTLED_NANOS) <= last.runtime_nanos;
    // Of collections since the earlier capture; a process whose clock has another zero shows none of these.
    let mut notes: Vec<Option<u64>> = Vec::new();
    for member in members {
        let Some(before) = before.get(&member.id) else { continue };
        match (before.waiting_since_nanos, member.waiting_since_nanos) {
            (Some(then), Some(now)) if then == now => {}
            (Some(_), _) => return Motion::Some,
            (None, now) => notes.push(now.filter(settled)),
        }
    }
    notes.sort_unstable();
    notes.dedup();
    let watched = last.at.seconds_since(&earlier.at);
    match notes[..] {
        [] => Motion::None { seconds: watched },
        [None] => Motion::Unknown,
        [Some(note)] if note >= earlier.runtime_nanos => {
            Motion::None { seconds: (last.runtime_nanos - note) as f64 / 1e9 }
        }
        [Some(_)] => Motion::Unknown,
        _ => Motion::Some,
    }
}
