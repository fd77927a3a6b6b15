//! Goroutines that came and stayed at one line, where they are too few for the total to show: the total of a server
//! swings by thousands, and one goroutine a minute hides in it for days.
//!
//! Ids are never used twice, so that three captures say of each goroutine in which half of the time it came and whether it
//! is still there.

use crate::judge::judgement::{Finding, Outcome};
use crate::judge::kinds::goroutines::lines::caller;
use crate::judge::kinds::goroutines::naming::add_lines;
use crate::judge::series::growth::{Course, Growth};
use crate::judge::series::shape::tail;
use crate::judge::terms::{Kind, Rate};
use crate::judge::weigh::culprit;
use crate::judge::weigh::evidence::{Begin, Evidence};
use crate::judge::weigh::few::{Few, leaves_room};
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
use crate::store::{Captures, Series};
use crate::vocabulary::frame::Frame;
use std::collections::{HashMap, HashSet};

/// A rise of the total by so many is enough for a verdict.
const PROOF: u64 = 16;
/// Where the total was undecided and survivors decide.
const BY_SURVIVORS: f64 = 0.8;
/// So many must have come and stayed in each half of the time.
const LEAST_HALF: u64 = 12;
/// The newer half's pace against the older one's.
const EVEN: std::ops::RangeInclusive<f64> = 0.7..=1.43;
/// A middle outside of this part of the time is none.
const MIDDLE: std::ops::RangeInclusive<f64> = 0.25..=0.75;
/// A line must be so long, in seconds.
const LEAST_LINE_SECONDS: f64 = 12.0;
/// Of what the total has risen this part has stayed.
const MOST: f64 = 0.7;
/// Lines that are named.
const MAX_LINES: usize = 3;

/// Goroutines of one origin at one line, all of which stay.
pub(super) struct Place<'a> {
    pub site: &'a GoroutineSite,
    /// There at the first capture.
    pub before: u64,
    /// Came in the first half, and in the second.
    pub came: [u64; 2],
}

impl Place<'_> {
    pub fn count(&self) -> u64 {
        self.came[0] + self.came[1]
    }

    /// Many came, as fast in the newer part of the time as in the older one; `at` divides the two.
    fn is_even(&self, at: f64) -> bool {
        let [older, newer] = self.came;
        let pace = (newer as f64 / (1.0 - at)) / (older as f64 / at);
        older >= LEAST_HALF && newer >= LEAST_HALF && self.count() >= 3 * LEAST_HALF && EVEN.contains(&pace)
    }
}

/// By origin and line.
type Key<'a> = (&'a [Frame], &'a [Frame]);

/// Places at which some came to stay and none has gone, those with most first.
pub(super) fn places(captures: &Captures) -> Vec<Place<'_>> {
    let Some((first, last)) = captures.goroutines.ends() else { return Vec::new() };
    let middle = captures.goroutines.earlier().nth(1);
    let ids = |capture: &GoroutineCapture| capture.members.iter().map(|it| it.id).collect::<HashSet<u64>>();
    let (at_first, at_middle, now) = (ids(first), middle.map(ids), ids(last));
    let one_in =
        [Some(first), middle, Some(last)].into_iter().flatten().map(|it| it.one_in).max().unwrap_or(1);
    // Where somebody was seen to leave, nobody is said to stay.
    let mut left: HashSet<Key<'_>> = HashSet::new();
    for earlier in [Some(first), middle].into_iter().flatten() {
        for member in
            earlier.members.iter().filter(|it| it.id.is_multiple_of(one_in) && !now.contains(&it.id))
        {
            if let Some(site) = earlier.sites.get(member.site as usize) {
                left.insert((&site.created_by, &site.stack));
            }
        }
    }
    // What waits for the network or a file ends with that: it is told with the descriptor, and so are its companions.
    let of_descriptors: HashSet<&str> = last
        .sites
        .iter()
        .filter(|site| site.wait_reason.as_deref() == Some("IO wait"))
        .filter_map(|site| site.created_by.first().map(|frame| &*frame.function))
        .collect();
    let mut places: HashMap<u32, Place<'_>> = HashMap::new();
    for member in last.members.iter().filter(|member| member.id.is_multiple_of(one_in)) {
        let Some(site) = last.sites.get(member.site as usize) else { continue };
        let creator = site.created_by.first().map(|frame| &*frame.function);
        if creator.is_none_or(|creator| of_descriptors.contains(creator))
            || left.contains(&(&*site.created_by, &*site.stack))
        {
            continue;
        }
        let place = places.entry(member.site).or_insert(Place { site, before: 0, came: [0; 2] });
        let half = usize::from(at_middle.as_ref().is_none_or(|middle| !middle.contains(&member.id)));
        if at_first.contains(&member.id) {
            place.before += one_in;
        } else {
            place.came[half] += one_in;
        }
    }
    let mut places: Vec<Place<'_>> = places.into_values().filter(|place| place.count() > 0).collect();
    places.sort_by(|a, b| b.count().cmp(&a.count()).then_with(|| a.site.stack.cmp(&b.site.stack)));
    places
}

/// A finding where lines keep what comes, whatever the total made of it: evenly in both halves of the time, or in a line
/// since it began. `None` where none do, or where the course needs none.
pub(super) fn found(course: &Course, series: &Series, captures: &Captures) -> Option<Outcome> {
    if !leaves_room(course) {
        return None;
    }
    let (first, last) = captures.goroutines.ends()?;
    let middle = captures.goroutines.earlier().nth(1)?;
    let seconds = last.at.seconds_since(&first.at);
    let at = middle.at.seconds_since(&first.at) / seconds;
    let mut keepers = places(captures);
    let growth = if let Some(tail) = tail(series, Kind::Goroutine.unit()) {
        keepers.retain(|place| place.count() >= LEAST_HALF);
        let stayed: u64 = keepers.iter().map(Place::count).sum();
        let in_a_line = tail.is_straight && tail.seconds >= LEAST_LINE_SECONDS;
        if !in_a_line || (stayed as f64) < MOST * tail.rise || stayed < 2 * LEAST_HALF {
            return None;
        }
        let since = Evidence::Since { seconds: tail.seconds, begin: Begin::Watched };
        Growth { rate: tail.rate, confidence: BY_SURVIVORS, evidence: vec![since] }
    } else {
        keepers.retain(|place| place.is_even(at));
        let [older, newer] =
            keepers.iter().fold([0, 0], |sum, it| [sum[0] + it.came[0], sum[1] + it.came[1]]);
        if older == 0 || !MIDDLE.contains(&at) {
            return None;
        }
        let per_second = |count: u64, part: f64| count as f64 / (part * seconds);
        let (low, high) = (per_second(older, at), per_second(newer, 1.0 - at));
        let rate =
            Rate { per_second: per_second(older + newer, 1.0), low: low.min(high), high: low.max(high) };
        Growth { rate, confidence: BY_SURVIVORS, evidence: Vec::new() }
    };
    let outcome = Outcome::of(Kind::Goroutine, Course::Grows(growth), |finding| {
        name(&keepers, finding, captures);
        let Some(top) = keepers.first() else { return };
        let all: u64 = keepers.iter().map(Place::count).sum();
        finding.evidence.insert(
            0,
            Evidence::Origin {
                grown: top.count(),
                share: top.count() as f64 / all.max(1) as f64,
                seconds,
                came: top.came[0],
                stayed: top.came[0],
                wait: top.site.wait_reason.clone(),
            },
        );
    });
    Some(outcome)
}

/// The lines of those places.
fn name(places: &[Place<'_>], finding: &mut Finding, captures: &Captures) {
    let module = captures.main_module.as_deref();
    let all: u64 = places.iter().map(Place::count).sum();
    for place in places.iter().take(MAX_LINES) {
        let share = place.count() as f64 / all.max(1) as f64;
        if let Some((frame, stack)) = caller(captures, &place.site.created_by) {
            finding.culprits.push(culprit::culprit(frame, stack, share));
        }
        add_lines(&mut finding.culprits, &place.site.created_by, Some(place.site), share, module);
    }
}

/// A suspicion where a few came and stayed; `None` where none did, or where the course needs none.
pub(super) fn suspects(course: &Course, series: &Series, captures: &Captures) -> Option<Outcome> {
    if !leaves_room(course) {
        return None;
    }
    let total = Few::of_series(series);
    if captures.goroutines.ends().is_none() {
        let few = total.filter(Few::keep_coming)?;
        return Some(Outcome::Suspected(few.suspected(Kind::Goroutine, PROOF)));
    }
    let seconds = captures.goroutines.ends().map(|(first, last)| last.at.seconds_since(&first.at))?;
    let mut keep_coming = places(captures);
    keep_coming.retain(|place| {
        let [older, newer] = place.came;
        match total {
            _ if older > 0 && newer > 0 => true,
            // The total moves for nobody else: it tells when they came.
            Some(total) if total.count >= place.count() && total.count <= 2 * place.count() => {
                Few { count: place.count(), alike_before: place.before, ..total }.keep_coming()
            }
            _ => false,
        }
    });
    let count: u64 = keep_coming.iter().map(Place::count).sum();
    if count == 0 {
        return None;
    }
    let few = Few { count, oldest: seconds, youngest: 0.0, alike_before: 0, seconds };
    let mut suspected = few.suspected(Kind::Goroutine, PROOF);
    name(&keep_coming, &mut suspected.finding, captures);
    suspected.finding.evidence = vec![Evidence::Stayed { count, seconds }];
    Some(Outcome::Suspected(suspected))
}

#[cfg(test)]
mod tests;
