//! Since when a finding grows.
//!
//! Growth that was there when watching began is older than the window. How old it can be at most is told by its pace:
//! what there is now divided by what comes each second. Where that reaches back to the start of the process and not
//! far beyond, it has grown since then.

use crate::judge::judgement::Finding;
use crate::judge::terms::{Bounds, Kind};
use crate::judge::weigh::evidence::{Begin, Evidence};
use crate::observed::Sample;
use crate::store::Window;
use crate::vocabulary::descriptor::DescriptorType;

/// Growth that covers less than this part of the window began in it.
const WHOLE: f64 = 0.85;
/// The start of the process is met within this factor: something is there from the first second on, and paces vary.
const MEETS: std::ops::RangeInclusive<f64> = 0.8..=1.3;
/// Whoever was watched from so early on was watched from the start.
const FROM_THE_START_SECONDS: f64 = 5.0;

/// Adds to each finding that grows since when it does, as far as that is known.
pub(in crate::judge) fn add(findings: &mut [Finding], window: &Window, bounds: &Bounds) {
    let is_told = |finding: &Finding| finding.evidence.iter().any(|it| matches!(it, Evidence::Since { .. }));
    for finding in findings.iter_mut().filter(|finding| finding.rate.per_second > 0.0 && !is_told(finding)) {
        if let Some((seconds, begin)) = begin(finding, window, bounds.age_seconds) {
            finding.evidence.push(Evidence::Since { seconds, begin });
        }
    }
}

fn begin(finding: &Finding, window: &Window, age_seconds: Option<f64>) -> Option<(f64, Begin)> {
    let watched = window.seconds();
    let grown = finding.evidence.iter().find_map(|evidence| match evidence {
        Evidence::Rose { seconds, .. } => Some(*seconds),
        _ => None,
    });
    if let Some(seconds) = grown.filter(|seconds| *seconds < WHOLE * watched) {
        return Some((seconds, Begin::Watched));
    }
    let age = age_seconds?;
    if age - watched <= FROM_THE_START_SECONDS.max((1.0 - WHOLE) * watched) {
        return Some((age, Begin::ProcessStart));
    }
    let level = window.samples().rev().find_map(|sample| level(finding.kind, sample))?;
    let at_most = level / finding.rate.per_second;
    match at_most / age {
        part if MEETS.contains(&part) => Some((age, Begin::ProcessStart)),
        part if part < *MEETS.start() && at_most > watched => Some((at_most, Begin::NoEarlier)),
        // More than would have come since the start: it was faster before, or much was there at once.
        _ => None,
    }
}

/// How much of a kind there is.
fn level(kind: Kind, sample: &Sample) -> Option<f64> {
    let sockets = || Some(*sample.descriptor_types.seen()?.counts.get(&DescriptorType::Socket).unwrap_or(&0));
    Some(match kind {
        Kind::Heap => sample.runtime.seen()?.heap?.marked_bytes? as f64,
        Kind::Goroutine => sample.runtime.seen()?.goroutines? as f64,
        Kind::Connection => sockets()? as f64,
        Kind::Fd => sample.descriptors.seen()?.saturating_sub(sockets()?) as f64,
        Kind::Thread => *sample.threads.seen()? as f64,
        Kind::Mapping => *sample.mappings.seen()? as f64,
        Kind::Child => sample.children.seen()?.zombies as f64,
        // What of it is outside the Go heap is an estimate from below.
        Kind::Native => return None,
    })
}

#[cfg(test)]
mod tests;
