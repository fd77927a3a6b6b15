//! Weighs the kinds against each other: which growth is the cause, which merely follows, and the one verdict.

use super::kin::{Kinship, kinship};
use super::{answers, cause, exhaustion, gaps, in_use};
use crate::judge::judgement::{Finding, Judgement, Lacking, Outcome, Suspected};
use crate::judge::kinds::goroutines;
use crate::judge::series::since;
use crate::judge::terms::{Bounds, LedgerName};
use crate::judge::weigh::follows::{depth, is_apart, is_caused};
use crate::observed::ledger::Route;
use crate::store::{Captures, Window};

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
pub(in crate::judge) mod tests;
