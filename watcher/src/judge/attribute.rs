//! Weighs the kinds against each other: which growth is the cause, which merely follows, and the one verdict.

use super::culprit::{Owner, owner};
use super::kin::{Kinship, is_made_within, kinship};
use super::{
    Bounds, Evidence, Finding, Frame, Judgement, Kind, Lacking, LedgerName, Outcome, Suspected, answers,
    cause, exhaustion, gaps, goroutines, in_use, since,
};
use crate::descriptor::DescriptorType;
use crate::sample::ledger::Route;
use crate::store::{Captures, Window};

/// One growth follows from another only where it is at most so many times as fast: a dialled connection that is
/// not closed holds two goroutines, a child's pipes are three.
const MOST_PER_CAUSE: f64 = 4.0;

/// What one creation makes may be more: a client of a message broker keeps a socket, threads and a dozen of mappings.
const MOST_PER_CREATION: f64 = 16.0;

/// ... and at least so many times: what grows far slower than its supposed cause has another one.
const LEAST_PER_CAUSE: f64 = 0.25;

/// A goroutine holds its stack's objects: more than this is a leak of its own.
const BYTES_PER_GOROUTINE: f64 = 64.0 * 1024.0;

/// Whatever holds descriptors has buffers too, and those of TLS are large.
const BYTES_PER_OTHER: f64 = 512.0 * 1024.0;

/// A goroutine with its stack and what it refers to, a socket with its buffers, hold less than this as a rule.
const BYTES_OF_SMALL_ONES: f64 = 16.0 * 1024.0;

/// A line that has this part of the growth stands for it.
const DOMINATES: f64 = 0.5;

/// Puts the outcomes of all kinds into one judgement.
pub fn weigh(outcomes: Vec<Outcome>, window: &Window, bounds: &Bounds) -> Judgement {
    let mut findings = Vec::new();
    let mut suspected: Vec<Suspected> = Vec::new();
    let mut steady = Vec::new();
    let mut undecided = Vec::new();
    for outcome in outcomes {
        match outcome {
            Outcome::Leaks(finding) => findings.push(finding),
            Outcome::Suspected(one) => suspected.push(one),
            Outcome::Steady(one) => steady.push(one),
            Outcome::Undecided(one) => undecided.push(one),
        }
    }
    // What leaks needs no further deciding, and a kind of which one half is undecided is not ruled out by the other.
    undecided.retain(|one| findings.iter().all(|finding| finding.kind != one.kind));
    steady.retain(|one| undecided.iter().all(|other| other.kind != one.kind));
    if let Some(cause) = cause::missing(&findings, &undecided, window) {
        findings.retain(|finding| !cause::is_of_unknown_type(finding));
        findings.push(cause);
    }
    undecided.retain(|one| findings.iter().all(|finding| finding.kind != one.kind));
    steady.retain(|one| findings.iter().all(|finding| finding.kind != one.kind));
    suspected.retain(|one| findings.iter().all(|finding| finding.kind != one.finding.kind));
    // What is suspected is ruled out by nobody.
    steady.retain(|one| suspected.iter().all(|other| other.finding.kind != one.kind));
    relate(&mut findings, window.captures().main_module.as_deref());
    goroutines::companions::take_out(&mut findings, window.captures());
    in_use::withdraw(&mut findings, &mut suspected, window);
    since::add(&mut findings, window, bounds);
    exhaustion::add(&mut findings, window, bounds);
    rank(&mut findings);
    answers::complete(&findings, &suspected, &steady, &mut undecided, window, bounds);
    let verdict = answers::verdict(&findings, &suspected, &steady, &undecided);
    let newest = window.latest();
    Judgement {
        verdict,
        findings,
        suspected,
        steady,
        undecided,
        readings: Vec::new(),
        window_seconds: window.seconds(),
        samples: window.len(),
        gaps: gaps::of(window),
        memory: newest.and_then(|sample| sample.memory.seen()).copied(),
        runtime: newest.and_then(|sample| sample.runtime.seen()).copied(),
        mapped_bytes: window.captures().heap.last().and_then(|heap| heap.mapped_bytes),
        anatomy: window.captures().anatomy.clone(),
        lacking: lacking(window)
            .into_iter()
            .chain(lacking_ages(window.captures()))
            .chain(lacking_stacks(window.captures()))
            .collect(),
        endpoint: window.captures().pulls.used.clone(),
        sampled: newest.map(|sample| sample.at),
        story: None,
        levels: Vec::new(),
    }
}

/// Says of each finding from which other one it follows: from what comes of the same creation, where there is such a one.
fn relate(findings: &mut [Finding], module: Option<&str>) {
    for index in 0..findings.len() {
        let effect = &findings[index];
        let causes = findings.iter().enumerate().filter(|(other, _)| *other != index);
        let cause = causes
            .map(|(_, cause)| (kinship(effect, cause, module), cause))
            .filter(|(kin, cause)| is_caused(effect, cause, *kin) && !is_apart(effect, cause, *kin, module))
            .min_by_key(|(kin, cause)| (*kin != Kinship::Same, depth(cause.kind)))
            .map(|(_, cause)| cause.kind);
        findings[index].consequence_of = cause;
    }
}

/// Causes first: those that we are about as sure of by how soon they end the process. Then what follows, in the order
/// of the chain.
fn rank(findings: &mut [Finding]) {
    let doubt = |finding: &Finding| 10.0 - (finding.confidence * 10.0).round();
    let soon = |finding: &Finding| finding.exhausts.map_or(f64::INFINITY, |it| it.in_seconds);
    findings.sort_by(|a, b| match (a.consequence_of, b.consequence_of) {
        (None, None) => doubt(a)
            .total_cmp(&doubt(b))
            .then(soon(a).total_cmp(&soon(b)))
            .then(b.confidence.total_cmp(&a.confidence))
            .then(depth(a.kind).cmp(&depth(b.kind))),
        (Some(_), Some(_)) => depth(a.kind).cmp(&depth(b.kind)),
        (a, b) => a.is_some().cmp(&b.is_some()),
    });
    if let Some(first) = findings.first_mut() {
        first.primary = true;
    }
}

/// How near to the root of a chain of causes a kind stands: a child brings pipes, an open connection a thread or a
/// goroutine, a thread its stack's mappings. A kind never follows from one that stands below it.
fn depth(kind: Kind) -> u8 {
    match kind {
        Kind::Child => 0,
        Kind::Connection => 1,
        Kind::Fd => 2,
        Kind::Thread => 3,
        Kind::Goroutine => 4,
        Kind::Mapping => 5,
        Kind::Native => 6,
        Kind::Heap => 7,
    }
}

/// Whether `effect` merely follows from `cause`, by what the two are and how fast they grow.
pub(super) fn follows(effect: &Finding, cause: &Finding) -> bool {
    is_caused(effect, cause, Kinship::Unknown)
}

/// The same where it is known whether one creation made both.
fn is_caused(effect: &Finding, cause: &Finding, kin: Kinship) -> bool {
    // Anonymous memory that is mapped and kept is both bytes and mappings; bytes are what runs out.
    match (cause.kind, effect.kind) {
        (Kind::Native, Kind::Mapping) => return share_a_line(effect, cause),
        (Kind::Mapping, Kind::Native) if share_a_line(effect, cause) => return false,
        _ => {}
    }
    if depth(effect.kind) <= depth(cause.kind) {
        return false;
    }
    // What no longer grows makes nothing else grow.
    if cause.rate.per_second <= 0.0 {
        return false;
    }
    // The stacks of threads come with threads.
    let of_threads = |evidence: &Evidence| matches!(evidence, Evidence::ThreadStacks { .. });
    if cause.kind != Kind::Thread && effect.evidence.iter().any(of_threads)
        || cause.evidence.iter().any(of_threads)
    {
        return false;
    }
    let per_cause = effect.rate.per_second / cause.rate.per_second;
    let is_kin = kin == Kinship::Same;
    let related = match (cause.kind, effect.kind) {
        // What a started process leaves with its parent: a handle on it, pipes to it, sockets to it.
        (Kind::Child, Kind::Fd) => matches!(
            effect.detail.descriptor_type,
            Some(DescriptorType::PidFd | DescriptorType::Pipe | DescriptorType::File) | None
        ),
        (Kind::Child, Kind::Connection | Kind::Thread | Kind::Goroutine) => true,
        // Descriptors that only serve to wait for sockets.
        (Kind::Connection, Kind::Fd) => {
            is_kin
                || matches!(
                    effect.detail.descriptor_type,
                    Some(DescriptorType::Epoll | DescriptorType::EventFd | DescriptorType::TimerFd)
                )
        }
        (Kind::Connection | Kind::Fd, Kind::Thread | Kind::Goroutine) => true,
        (Kind::Thread, Kind::Goroutine | Kind::Mapping) => true,
        (Kind::Fd, Kind::Mapping) => true,
        (Kind::Connection | Kind::Goroutine, Kind::Mapping) => is_kin,
        // Memory has another unit: what each of them holds must be what such things hold, or what they make for
        // themselves.
        (Kind::Goroutine, Kind::Heap | Kind::Native) => {
            return per_cause < BYTES_PER_GOROUTINE || is_made_within(effect, cause);
        }
        (_, Kind::Heap | Kind::Native) => return per_cause < BYTES_PER_OTHER,
        _ => false,
    };
    let most = if is_kin { MOST_PER_CREATION } else { MOST_PER_CAUSE };
    let least = if is_kin { 1.0 / MOST_PER_CREATION } else { LEAST_PER_CAUSE };
    related && (least..=most).contains(&per_cause)
}

/// They are two leaks at a similar pace, not one: the program's own lines are known of both, and no creation made both.
fn is_apart(effect: &Finding, cause: &Finding, kin: Kinship, module: Option<&str>) -> bool {
    if matches!(effect.kind, Kind::Heap | Kind::Native) {
        return is_kept_apart(effect, cause, kin, module);
    }
    kin == Kinship::Apart
}

/// The same of memory. What is allocated passes through many hands, so that only the line counts which has most of it,
/// and only where each of the others would hold much.
fn is_kept_apart(memory: &Finding, cause: &Finding, kin: Kinship, module: Option<&str>) -> bool {
    let is_own = |frame: &Frame| owner(&frame.function, module) == Owner::Own;
    let top = memory.culprits.first().filter(|top| top.share >= DOMINATES && is_own(&top.frame));
    let holds_much = memory.rate.per_second >= BYTES_OF_SMALL_ONES * cause.rate.per_second;
    top.is_some() && holds_much && kin == Kinship::Apart && !is_made_within(memory, cause)
}

/// The most likely lines of the two lie in one function.
fn share_a_line(one: &Finding, other: &Finding) -> bool {
    match (one.culprits.first(), other.culprits.first()) {
        (Some(one), Some(other)) => one.frame.function == other.frame.function,
        _ => false,
    }
}

/// What would have named lines and is not there.
fn lacking(window: &Window) -> Vec<Lacking> {
    if let Some(because) = &window.captures().no_runtime {
        return vec![Lacking::Runtime { because: because.clone() }];
    }
    // Where no runtime was read at all, a gap says so.
    if window.samples().all(|sample| sample.runtime.seen().is_none()) {
        return Vec::new();
    }
    let captures = window.captures();
    let mut lacking = Vec::new();
    if captures.goroutines.is_empty() && captures.heap.is_empty() {
        return vec![Lacking::Captures];
    }
    if captures.goroutines.is_empty() {
        lacking.push(Lacking::Goroutines);
    }
    match captures.heap.last().map(|heap| &heap.sites) {
        Some(Ok(_)) => {}
        Some(Err(because)) => lacking.push(Lacking::HeapProfile { because: Some(because.clone()) }),
        None => lacking.push(Lacking::HeapProfile { because: None }),
    }
    lacking
}

/// What the newest look at ages lacked.
fn lacking_ages(captures: &Captures) -> Option<Lacking> {
    captures.ages.last().filter(|ages| ages.unread.descriptors).map(|_| Lacking::Ages)
}

/// What the ledgers lack: those that are not kept, and what those that are did not see.
fn lacking_stacks(captures: &Captures) -> Vec<Lacking> {
    let mut lacking: Vec<Lacking> = captures
        .without_ledger
        .iter()
        .map(|(ledger, because)| Lacking::Stacks { ledger: *ledger, because: because.clone() })
        .collect();
    if lacking.is_empty() && captures.descriptors.is_empty() && captures.mappings.is_empty() {
        lacking.push(Lacking::AllStacks);
    }
    let kept = [
        captures.descriptors.last().map(|it| (LedgerName::Descriptors, it.route, it.accounts)),
        captures.mappings.last().map(|it| (LedgerName::Mappings, it.route, it.accounts)),
        captures.threads.last().map(|it| (LedgerName::Tasks, it.route, it.accounts)),
        captures.spans.last().map(|it| (LedgerName::Spans, it.route, it.accounts)),
    ];
    for (ledger, route, accounts) in kept.into_iter().flatten() {
        let all =
            accounts.missed == 0 && accounts.without_stack == 0 && accounts.lost == 0 && accounts.one_in <= 1;
        // Memory is mapped by system calls alone, and tasks are made by them: only descriptors come other ways too.
        let is_told = matches!(route, Route::SystemCalls | Route::Allocations);
        if !all || (is_told && ledger == LedgerName::Descriptors) {
            lacking.push(Lacking::SomeStacks { ledger, route, accounts });
        }
    }
    lacking
}

#[cfg(test)]
pub(super) mod tests;
