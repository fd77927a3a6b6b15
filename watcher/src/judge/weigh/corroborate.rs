//! Holds what the process's own endpoint says against what was read from outside.
//!
//! Both look at the same program by different ways, so where they agree we are surer, and where they do not it is
//! said. The leak profile of Go is taken as corroboration only: it misses goroutines that wait for something a global
//! variable refers to.

use super::culprit::{self, Owner};
use crate::judge::judgement::Finding;
use crate::judge::terms::{Kind, Unit};
use crate::judge::weigh::evidence::{Evidence, Said};
use crate::observed::pulls::{PulledProfile, PulledSite};
use crate::store::Pulls;
use crate::store::captures::{Captures, Run};
use crate::vocabulary::frame::Frame;
use std::collections::{HashMap, HashSet};

/// Frames by which stacks are compared: profiles keep fewer than the whole stack, of old versions 32.
const COMPARED_FRAMES: usize = 16;
/// Two looks at a living program differ by this part at least, and by so many.
const TOLERANCE_SHARE: f64 = 0.15;
const TOLERANCE_COUNT: f64 = 5.0;
/// Heap profiles are estimates from samples, as of the last collection.
const TOLERANCE_HEAP_SHARE: f64 = 0.35;
const TOLERANCE_HEAP_BYTES: f64 = 1024.0 * 1024.0;
/// Where both agree, this part of the doubt goes.
const DOUBT_REMOVED: f64 = 0.5;
const MAX_CONFIDENCE: f64 = 0.99;
/// Where they do not, this part of the confidence stays.
const DISAGREEING: f64 = 0.85;
/// A line with less of the growth is not named.
const MIN_SHARE: f64 = 0.1;

/// Tells each finding what the endpoint says to it.
pub fn corroborate(findings: &mut [Finding], captures: &Captures) {
    for finding in findings {
        match finding.kind {
            Kind::Goroutine => goroutines(finding, captures),
            Kind::Heap => heap(finding, captures),
            Kind::Connection => connections(finding, &captures.pulls),
            Kind::Fd | Kind::Thread | Kind::Native | Kind::Mapping | Kind::Child => {}
        }
    }
}

fn goroutines(finding: &mut Finding, captures: &Captures) {
    let run = &captures.pulls.goroutines;
    let Some(pulled) = run.last() else { return };
    name_lines(finding, run, captures.main_module.as_deref());
    let (Some(seen), Some(line)) = (captures.goroutines.last(), finding.culprits.first()) else { return };
    let line = &line.frame;
    let is_theirs = |frames: &[Frame]| frames.contains(line);
    let keys: HashSet<Key> = seen
        .sites
        .iter()
        .filter(|site| !site.stack.is_empty() && (is_theirs(&site.created_by) || is_theirs(&site.stack)))
        .map(|site| key(&site.stack))
        .collect();
    if keys.is_empty() {
        return;
    }
    let outside =
        seen.sites.iter().filter(|site| keys.contains(&key(&site.stack))).map(|site| site.count).sum();
    let at_stacks = |profile: &PulledProfile| sum(profile, |site| keys.contains(&key(&site.stack)));
    let endpoint = at_stacks(pulled);
    // Whoever looks later sees more of what grows.
    let apart = (pulled.at.since_boot.as_secs_f64() - seen.at.since_boot.as_secs_f64()).abs();
    let tolerance =
        TOLERANCE_COUNT.max(TOLERANCE_SHARE * outside as f64) + apart * finding.rate.per_second.abs();
    compare(finding, outside, endpoint, tolerance, Unit::Goroutines);
    grew(finding, run, at_stacks, Unit::Goroutines);
    let leaked = captures.pulls.leaked.as_ref().map_or(0, at_stacks);
    if leaked > 0 {
        finding.evidence.push(Evidence::Endpoint(Said::Unreachable { count: leaked }));
    }
}

fn heap(finding: &mut Finding, captures: &Captures) {
    let run = &captures.pulls.heap;
    let Some(pulled) = run.last() else { return };
    name_lines(finding, run, captures.main_module.as_deref());
    let sites = captures.heap.last().and_then(|seen| seen.sites.as_ref().ok());
    let (Some(sites), Some(line)) = (sites, finding.culprits.first()) else { return };
    let line = place(&line.frame);
    let outside: u64 = sites
        .iter()
        .filter(|site| site.stack.iter().any(|frame| place(frame) == line))
        .map(|site| site.bytes)
        .sum();
    let on_line =
        |profile: &PulledProfile| sum(profile, |site| site.stack.iter().any(|frame| place(frame) == line));
    let endpoint = on_line(pulled);
    let tolerance = TOLERANCE_HEAP_BYTES.max(TOLERANCE_HEAP_SHARE * outside.max(endpoint) as f64);
    compare(finding, outside, endpoint, tolerance, Unit::Bytes);
    grew(finding, run, on_line, Unit::Bytes);
}

/// Each connection of net/http's client has a goroutine that reads from it, each of its server's one that serves it.
fn connections(finding: &mut Finding, pulls: &Pulls) {
    let Some(pulled) = pulls.goroutines.last() else { return };
    let in_function =
        |name: &str| sum(pulled, |site| site.stack.iter().any(|frame| &*frame.function == name));
    let client = in_function("net/http.(*persistConn).readLoop");
    let server = in_function("net/http.(*conn).serve");
    if client + server > 0 {
        finding.evidence.push(Evidence::Endpoint(Said::HttpConnections { client, server }));
    }
    let held = finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Concentrated { now, .. } => Some(*now as f64),
        _ => None,
    });
    let as_many = |goroutines: u64| {
        held.is_some_and(|held| {
            (goroutines as f64 - held).abs() <= TOLERANCE_COUNT.max(TOLERANCE_SHARE * held)
        })
    };
    if as_many(client) || as_many(server) {
        surer(finding);
    }
}

fn compare(finding: &mut Finding, outside: u64, endpoint: u64, tolerance: f64, unit: Unit) {
    let agrees = (outside as f64 - endpoint as f64).abs() <= tolerance;
    finding.evidence.push(Evidence::Endpoint(Said::Holds { outside, endpoint, unit, agrees }));
    if agrees {
        surer(finding);
    } else {
        finding.confidence *= DISAGREEING;
    }
}

fn surer(finding: &mut Finding) {
    let doubt = (MAX_CONFIDENCE - finding.confidence).max(0.0);
    finding.confidence += DOUBT_REMOVED * doubt;
}

fn grew(finding: &mut Finding, run: &Run<PulledProfile>, amount: impl Fn(&PulledProfile) -> u64, unit: Unit) {
    let Some((first, last)) = run.ends() else { return };
    let seconds = last.at.seconds_since(&first.at);
    let said = Said::Grew { before: amount(first), after: amount(last), seconds, unit };
    finding.evidence.push(Evidence::Endpoint(said));
}

/// The line that the difference of the first and the newest profile names: it stands beside those that were named
/// from outside, and in their place where there are none.
fn name_lines(finding: &mut Finding, run: &Run<PulledProfile>, module: Option<&str>) {
    let Some((first, last)) = run.ends() else { return };
    let mut before: HashMap<Key, u64> = HashMap::new();
    for site in &first.sites {
        *before.entry(key(&site.stack)).or_default() += site.value;
    }
    let mut grown: Vec<(&PulledSite, u64)> = last
        .sites
        .iter()
        .map(|site| (site, site.value.saturating_sub(before.remove(&key(&site.stack)).unwrap_or(0))))
        .filter(|(_, grown)| *grown > 0)
        .collect();
    grown.sort_by(|(site, one), (other_site, other)| {
        other.cmp(one).then_with(|| site.stack.cmp(&other_site.stack))
    });
    let all: u64 = grown.iter().map(|(_, grown)| grown).sum();
    let Some((site, most)) = grown.first() else { return };
    let share = *most as f64 / all.max(1) as f64;
    let Some(frame) = culprit::line(&site.stack, module).filter(|_| share >= MIN_SHARE) else { return };
    if culprit::owner(&frame.function, module) == Owner::Runtime {
        return;
    }
    let is_known = finding.culprits.is_empty()
        || finding
            .culprits
            .iter()
            .any(|known| shortened(&known.frame.function) == shortened(&frame.function));
    if finding.culprits.is_empty() {
        finding.culprits.push(culprit::culprit(frame, &site.stack, share));
    }
    let said = Said::Line { frame: frame.clone(), share, is_known };
    finding.evidence.push(Evidence::Endpoint(said));
}

fn sum(profile: &PulledProfile, is_meant: impl Fn(&PulledSite) -> bool) -> u64 {
    profile.sites.iter().filter(|site| is_meant(site)).map(|site| site.value).sum()
}

/// A stack as both ways of looking have it.
type Key = Vec<(String, u32)>;

/// Without the runtime's own: profiles leave out where all stacks begin, and where a goroutine has parked moves by an
/// instruction or two.
fn key(stack: &[Frame]) -> Key {
    let own = stack.iter().filter(|frame| !frame.function.starts_with("runtime."));
    own.take(COMPARED_FRAMES).map(place).collect()
}

fn place(frame: &Frame) -> (String, u32) {
    (shortened(&frame.function), frame.line)
}

/// A generic function as Go shows it: profiles have it with its types (`funcNameForPrint`, `runtime/symtab.go`).
fn shortened(function: &str) -> String {
    match (function.find('['), function.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}[...]{}", &function[..open], &function[close + 1..])
        }
        _ => function.to_owned(),
    }
}

#[cfg(test)]
mod tests;
