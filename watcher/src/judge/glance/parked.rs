//! When goroutines came to wait, by what the collector notes of them.
//!
//! A collection stamps each goroutine that it finds parked with the end of the collection before it (`work.tstart`,
//! `runtime/mgcmark.go`); whoever has run since has no stamp. So all stamps together are the ends of collections, and
//! who has one of them came to wait before the next. Within such a bracket numbers tell the order. The oldest stamp is
//! also that of all who came before the first collection.

use super::cohort::{Course, Settings, Shape, in_order, shape};
use crate::observed::ages::{Cohort, LEAST_MEMBERS, Member};
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite, Member as Goroutine};
use std::collections::{BTreeSet, HashMap};

/// Fewer collections tell too little.
const LEAST_BRACKETS: usize = 4;
/// Who waits since it came does so in the order of numbers.
const ONCE_ONLY: f64 = 0.9;
const NANOS: f64 = 1e9;

/// Goroutines of one origin that wait for the same, and what their ages look like.
pub(super) struct Parked<'a> {
    /// Where most of them are.
    pub site: &'a GoroutineSite,
    /// What their births look like.
    pub shape: Shape,
}

/// All that came one by one and wait since, of a process that had lived so many seconds when they were captured.
pub(super) fn leaking<'a>(
    capture: &'a GoroutineCapture,
    process_seconds: f64,
    settings: &Settings,
) -> Vec<Parked<'a>> {
    let stamps: BTreeSet<u64> = capture.members.iter().filter_map(|it| it.waiting_since_nanos).collect();
    if stamps.len() < LEAST_BRACKETS {
        return Vec::new();
    }
    let stamps: Vec<u64> = stamps.into_iter().collect();
    let mut groups: HashMap<_, (&GoroutineSite, Vec<&Goroutine>)> = HashMap::new();
    for member in &capture.members {
        let Some(site) = capture.sites.get(member.site as usize) else { continue };
        // Main, and who sleeps, which ends by itself.
        let sleeps = site.wait_reason.as_deref().is_none_or(|reason| reason == "sleep");
        if site.created_by.is_empty() || sleeps {
            continue;
        }
        // Sites come by size: the first is the fullest.
        let group = groups.entry((&site.created_by, &site.wait_reason)).or_insert((site, Vec::new()));
        group.1.push(member);
    }
    let parked = groups.into_values().filter_map(|(site, members)| {
        let shape = of_group(members, &stamps, capture, process_seconds, settings)?;
        Some(Parked { site, shape })
    });
    let mut parked: Vec<Parked> = parked.collect();
    parked.sort_by(|a, b| b.shape.count.cmp(&a.shape.count).then(a.site.stack.cmp(&b.site.stack)));
    parked
}

fn of_group(
    mut members: Vec<&Goroutine>,
    stamps: &[u64],
    capture: &GoroutineCapture,
    process_seconds: f64,
    settings: &Settings,
) -> Option<Shape> {
    let stamped = members.iter().filter(|it| it.waiting_since_nanos.is_some()).count();
    if members.len() < LEAST_MEMBERS || stamped * 2 < members.len() {
        return None;
    }
    members.sort_by_key(|member| member.id);
    let now = capture.runtime_nanos as f64 / NANOS;
    // Who has no stamp yet came after the newest one, as those that have it.
    let newest = stamps.len().checked_sub(1)?;
    let bracket = |member: &Goroutine| {
        member.waiting_since_nanos.and_then(|at| stamps.binary_search(&at).ok()).unwrap_or(newest)
    };
    let mut by_bracket: HashMap<usize, Vec<&Goroutine>> = HashMap::new();
    for member in &members {
        by_bracket.entry(bracket(member)).or_default().push(member);
    }
    if by_bracket.len() < LEAST_BRACKETS {
        return None;
    }
    let mut aged: Vec<Member> = Vec::new();
    for (index, inside) in by_bracket {
        let from = match index {
            0 => now - process_seconds,
            _ => stamps.get(index).map_or(now, |at| *at as f64 / NANOS),
        };
        let to = stamps.get(index + 1).map_or(now, |at| *at as f64 / NANOS);
        for (place, goroutine) in inside.iter().enumerate() {
            let part = (place as f64 + 0.5) / inside.len() as f64;
            let at = from + (to - from).max(0.0) * part;
            aged.push(Member {
                number: goroutine.id,
                age_seconds: Some((now - at).max(0.0)),
                error_seconds: (to - from).max(0.0) / 2.0,
                idle_seconds: None,
                dead_seconds: None,
            });
        }
    }
    let cohort = Cohort::of_goroutines(aged, capture.one_in);
    let shape = shape(&cohort, process_seconds, settings);
    let known: Vec<(f64, &Member)> =
        cohort.members.iter().filter_map(|member| Some((member.age_seconds?, member))).collect();
    (shape.course == Course::Leaks && in_order(&known) >= ONCE_ONLY).then_some(shape)
}
