//! A first glance and a window that say the same: what came one by one for many minutes and was never used, and what the
//! window itself saw come to the same place and stay.
//!
//! Either alone is a suspicion. A few that came may be passing through; a set that is not yet full looks like a leak to a
//! glance. Both together, at one pace, over so long a time, are a leak: of all that came in ten minutes and more nothing
//! went, and it goes on.

use super::Shape;
use crate::judge::glance::reason::Reason;
use crate::judge::judgement::{Culprit, Finding, Suspected};
use crate::judge::terms::Kind;
use std::ops::RangeInclusive;

/// The oldest of them is so old, in seconds.
const LEAST_AGE_SECONDS: f64 = 600.0;
/// ... and so many times as old as the window is long: the glance tells of more than the window itself.
const BEYOND_WINDOW: f64 = 2.0;
/// They came at so many moments.
const LEAST_MOMENTS: usize = 12;
/// The window is so long, in seconds,
const LEAST_WINDOW_SECONDS: f64 = 120.0;
/// ... and so many came in it.
const LEAST_CAME: f64 = 4.0;
/// The window's pace against that of all the time before.
const SAME_PACE: RangeInclusive<f64> = 0.5..=2.0;
/// Two ways of knowing that agree.
const CONFIDENCE: f64 = 0.85;

/// The finding that both amount to, without evidence; `None` where they are too little, or do not agree.
pub(super) fn prove(reason: &Reason, suspected: &Suspected, window_seconds: f64) -> Option<Finding> {
    let seen = &suspected.finding;
    let is_dated = match reason.kind {
        Kind::Thread | Kind::Connection => reason.shape.use_share.is_some(),
        Kind::Goroutine | Kind::Child => true,
        // Nothing tells whether a file is used, and a mapping has no age.
        Kind::Fd | Kind::Mapping | Kind::Heap | Kind::Native => false,
    };
    let came = seen.rate.per_second * window_seconds;
    let agrees = is_dated
        && is_long(&reason.shape, window_seconds)
        && came >= LEAST_CAME
        && SAME_PACE.contains(&(seen.rate.per_second * reason.shape.each_seconds))
        && is_one_place(&reason.finding.culprits, &seen.culprits);
    agrees.then(|| Finding {
        confidence: CONFIDENCE,
        rate: reason.finding.rate,
        detail: if seen.detail == Default::default() {
            reason.finding.detail.clone()
        } else {
            seen.detail.clone()
        },
        culprits: if seen.culprits.is_empty() {
            reason.finding.culprits.clone()
        } else {
            seen.culprits.clone()
        },
        ..seen.clone()
    })
}

fn is_long(shape: &Shape, window_seconds: f64) -> bool {
    shape.goes_on
        && shape.moments >= LEAST_MOMENTS
        && shape.oldest_seconds >= LEAST_AGE_SECONDS.max(BEYOND_WINDOW * window_seconds)
        && window_seconds >= LEAST_WINDOW_SECONDS
}

/// Where both know lines, they share one.
fn is_one_place(one: &[Culprit], other: &[Culprit]) -> bool {
    let is_in_both = |line: &Culprit| other.iter().any(|it| it.frame.function == line.frame.function);
    one.is_empty() || other.is_empty() || one.iter().any(is_in_both)
}
