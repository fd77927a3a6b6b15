//! Goroutines that came one by one over hours, from one `go` statement, and of which none has gone or done anything:
//! one an hour shows in no window, and is a leak all the same.
//!
//! Sessions, subscribers and workers that are started for each new customer look like it: whoever is used has run since,
//! and who has not run for half of the time, beside others that came evenly and have not either, waits for nobody.

use crate::judge::judgement::{Detail, Finding, Outcome, Suspected};
use crate::judge::kinds::goroutines::lines::caller;
use crate::judge::kinds::goroutines::naming::add_lines;
use crate::judge::terms::{Kind, Rate};
use crate::judge::weigh::culprit;
use crate::judge::weigh::evidence::Evidence;
use crate::observed::goroutines::{GoroutineCapture, Member};
use crate::store::Captures;
use crate::vocabulary::frame::Frame;
use std::collections::{HashMap, HashSet};

/// A shorter time says nothing here: windows do.
const LEAST_SECONDS: f64 = 7_200.0;
/// Fewer than this prove nothing ...
const LEAST: u64 = 12;
/// ... and fewer than this are not spoken of.
const FEW: u64 = 3;
/// The capture between lies in this part of the time.
const BETWEEN: std::ops::RangeInclusive<f64> = 0.2..=0.82;
/// Both parts of the time bring about the same: the newer one's pace against the older one's.
const EVEN: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// Of those that are few chance makes more.
const EVEN_OF_FEW: std::ops::RangeInclusive<f64> = 0.25..=4.0;
/// Who waits since the capture between is noted by the first collection after it, at the latest two minutes later
/// (`forcegcperiod`, `runtime/proc.go`).
const NOTED_WITHIN_NANOS: u64 = 150_000_000_000;
const CONFIDENCE: f64 = 0.8;
const CONFIDENCE_OF_FEW: f64 = 0.4;

/// Those of one `go` statement that are new since the first capture.
#[derive(Default)]
struct Comers<'a> {
    /// In the newest capture.
    now: u64,
    /// ... and in the one between already.
    came: u64,
    /// ... of which so many are still there, and have not run since.
    rested: u64,
    /// There at the first, and gone since.
    gone: u64,
    created_by: &'a [Frame],
}

/// What leaks that slowly, or may; `None` where nothing does.
pub(super) fn find(captures: &Captures) -> Option<Outcome> {
    let run = &captures.lasting_goroutines;
    let ((first, last), between) = (run.ends()?, run.earlier().nth(1)?);
    let seconds = last.at.seconds_since(&first.at);
    let at = between.at.seconds_since(&first.at) / seconds.max(f64::MIN_POSITIVE);
    let all_are_known = [first, between, last].iter().all(|capture| capture.one_in == 1);
    if seconds < LEAST_SECONDS || !BETWEEN.contains(&at) || !all_are_known {
        return None;
    }
    let comers = comers(first, between, last);
    let foremost = comers.iter().filter(|it| keeps_coming(it, at)).max_by_key(|it| it.now)?;
    let fullest = last.sites.iter().find(|site| *site.created_by == *foremost.created_by);
    let (older, newer) = paces(foremost, at);
    let mut finding = Finding {
        kind: Kind::Goroutine,
        primary: false,
        consequence_of: None,
        confidence: if foremost.now >= LEAST { CONFIDENCE } else { CONFIDENCE_OF_FEW },
        rate: Rate {
            per_second: foremost.now as f64 / seconds,
            low: older.min(newer) / seconds,
            high: older.max(newer) / seconds,
        },
        exhausts: None,
        detail: Detail::default(),
        culprits: Vec::new(),
        evidence: vec![Evidence::Origin {
            grown: foremost.now,
            share: foremost.now as f64 / comers.iter().map(|it| it.now).sum::<u64>().max(1) as f64,
            seconds,
            came: foremost.came,
            stayed: foremost.rested,
            wait: fullest.and_then(|site| site.wait_reason.clone()),
        }],
    };
    if let Some((line, stack)) = caller(captures, foremost.created_by) {
        finding.culprits.push(culprit::culprit(line, stack, 1.0));
    }
    let module = captures.main_module.as_deref();
    add_lines(&mut finding.culprits, foremost.created_by, fullest, 1.0, module);
    Some(if foremost.now >= LEAST {
        Outcome::Leaks(finding)
    } else {
        Outcome::Suspected(Suspected { finding, need_seconds: None })
    })
}

fn comers<'a>(
    first: &'a GoroutineCapture,
    between: &'a GoroutineCapture,
    last: &'a GoroutineCapture,
) -> Vec<Comers<'a>> {
    let ids =
        |capture: &'a GoroutineCapture| -> HashSet<u64> { capture.members.iter().map(|it| it.id).collect() };
    let (old, present) = (ids(first), ids(last));
    let now: HashMap<u64, &Member> = last.members.iter().map(|member| (member.id, member)).collect();
    let mut comers: HashMap<&[Frame], Comers> = HashMap::new();
    let origin = |capture: &'a GoroutineCapture, member: &Member| {
        let site = capture.sites.get(member.site as usize)?;
        (!site.created_by.is_empty()).then_some(&*site.created_by)
    };
    let is_new = |member: &&Member| !old.contains(&member.id);
    for member in last.members.iter().filter(is_new) {
        if let Some(created_by) = origin(last, member) {
            comers.entry(created_by).or_insert(Comers { created_by, ..Comers::default() }).now += 1;
        }
    }
    let noted_by = between.runtime_nanos.saturating_add(NOTED_WITHIN_NANOS);
    for member in between.members.iter().filter(is_new) {
        if let Some(comers) = origin(between, member).and_then(|created_by| comers.get_mut(created_by)) {
            let has_rested = now
                .get(&member.id)
                .is_some_and(|now| now.waiting_since_nanos.is_some_and(|since| since <= noted_by));
            comers.came += 1;
            comers.rested += u64::from(has_rested);
        }
    }
    for member in first.members.iter().filter(|member| !present.contains(&member.id)) {
        if let Some(comers) = origin(first, member).and_then(|created_by| comers.get_mut(created_by)) {
            comers.gone += 1;
        }
    }
    comers.into_values().collect()
}

/// How many the older and the newer part of the time would have brought, had each been the whole.
fn paces(comers: &Comers<'_>, at: f64) -> (f64, f64) {
    let newer = comers.now.saturating_sub(comers.rested) as f64;
    (comers.rested as f64 / at, newer / (1.0 - at))
}

fn keeps_coming(comers: &Comers<'_>, at: f64) -> bool {
    let (older, newer) = paces(comers, at);
    let even = if comers.now >= LEAST { EVEN } else { EVEN_OF_FEW };
    comers.now >= FEW
        && comers.came > 0
        && comers.rested == comers.came
        && 4 * comers.gone <= comers.now
        && even.contains(&(newer / older))
}
