//! Goroutines that came and stayed at one line, where they are too few for the total to show: the total of a server
//! swings by thousands, and one goroutine a minute hides in it for days.
//!
//! Ids are never used twice, so that three captures say of each goroutine in which half of the time it came and whether it
//! is still there.

use super::{add_lines, caller};
use crate::judge::few::{Few, leaves_room};
use crate::judge::growth::Course;
use crate::judge::{Evidence, Frame, Kind, Outcome};
use crate::sample::goroutines::{GoroutineCapture, GoroutineSite};
use crate::store::{Captures, Series};
use std::collections::{HashMap, HashSet};

/// A rise of the total by so many is enough for a verdict.
const PROOF: u64 = 16;
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
    let finding = &mut suspected.finding;
    let module = captures.main_module.as_deref();
    for place in keep_coming.iter().take(MAX_LINES) {
        let share = place.count() as f64 / count as f64;
        if let Some((frame, stack)) = caller(captures, &place.site.created_by) {
            finding.culprits.push(super::culprit::culprit(frame, stack, share));
        }
        add_lines(&mut finding.culprits, &place.site.created_by, Some(place.site), share, module);
    }
    finding.evidence = vec![Evidence::Stayed { count, seconds }];
    Some(Outcome::Suspected(suspected))
}

#[cfg(test)]
mod tests;
