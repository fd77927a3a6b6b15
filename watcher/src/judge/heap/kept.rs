//! A heap that climbs under what requests hold, and the line that keeps what it gained.
//!
//! The noise of a small heap remembers itself from one collection to the next, so that no test of its total calls a line
//! what is one. Where it climbs in each quarter of the time and one line of code keeps a large part of what it gained, the
//! two together say what neither can say alone.

use super::{Evidence, MIN_RISE_BYTES, SERIES_CYCLES, collections_rose, grown};
use crate::judge::Frame;
use crate::judge::culprit;
use crate::judge::growth::{Course, Growth};
use crate::judge::shape;
use crate::judge::trend::Trend;
use crate::sample::heap_sites::HeapSite;
use crate::store::{Captures, Series, Window};
use std::collections::HashMap;

/// So much it must have risen,
const LEAST_RISE_BYTES: f64 = 1.75 * MIN_RISE_BYTES;
/// ... and by this part of the level that it began with,
const LEAST_RISE_SHARE: f64 = 0.3;
/// ... and by so many times the noise.
const OVER_NOISE: f64 = 5.0;
/// Shorter windows show the waves of load.
const LEAST_SECONDS: f64 = 30.0;
/// One line has kept this part of it.
const OF_RISE: f64 = 0.4;
/// Of what a line has made since the probes were set so little has gone.
const MOST_ENDED: f64 = 0.1;
/// Its oldest is there since this part of the time, and its youngest came in the last of so many.
const SINCE: f64 = 0.8;
const UNTIL: f64 = 0.2;
const CONFIDENCE: f64 = 0.72;

/// Growth that a line stands behind; `None` for anything else.
pub(super) fn course(series: &Series, window: &Window) -> Option<Course> {
    if series.values.len() < SERIES_CYCLES
        || window.seconds() < LEAST_SECONDS
        || !shape::climbs(&series.values)
    {
        return None;
    }
    let trend = Trend::of(series)?;
    let is_much = trend.rise >= LEAST_RISE_BYTES.max(LEAST_RISE_SHARE * trend.low)
        && trend.rise >= OVER_NOISE * trend.noise
        && shape::rises_in_every_quarter(&shape::quarter_rises(series));
    if !is_much
        || (by_profile(window.captures()).or_else(|| by_spans(window.captures()))?) < OF_RISE * trend.rise
    {
        return None;
    }
    let quarters = shape::quarter_rises(series);
    Some(Course::Grows(Growth {
        rate: trend.rate.ordered(),
        confidence: CONFIDENCE,
        evidence: vec![collections_rose(series), Evidence::Quarters { rises: quarters }],
    }))
}

/// Bytes that the line with most has kept, of those that had given back nothing by the end. A profile is a sample of few, so
/// that it may show nothing at all of one half of the time.
fn by_profile(captures: &Captures) -> Option<f64> {
    let (first, last) = captures.heap.ends()?;
    let middle = captures.heap.earlier().nth(1)?;
    let (Ok(first), Ok(middle), Ok(last)) = (&first.sites, &middle.sites, &last.sites) else { return None };
    let module = captures.main_module.as_deref();
    let (all, gone) = (by_line(first, last, module), by_line(last, middle, module));
    let stays = all.iter().filter(|(line, _)| !gone.contains_key(*line));
    stays.map(|(_, kept)| *kept as f64).max_by(f64::total_cmp)
}

/// What each line has kept more of than before.
fn by_line<'a>(before: &[HeapSite], now: &'a [HeapSite], module: Option<&str>) -> HashMap<&'a Frame, u64> {
    let mut lines: HashMap<&Frame, u64> = HashMap::new();
    for kept in grown(before, now) {
        if let Some(line) = culprit::line(kept.stack, module) {
            *lines.entry(line).or_default() += kept.bytes;
        }
    }
    lines
}

/// The same by probes in the allocator, which tell what became of each object.
fn by_spans(captures: &Captures) -> Option<f64> {
    let ledger = captures.spans.last()?;
    let watched = ledger.watched().as_secs_f64();
    let stays = ledger.sites.iter().filter(|site| {
        !site.stack.is_empty()
            && site.ended as f64 <= MOST_ENDED * site.created as f64
            && site.oldest.as_secs_f64() >= SINCE * watched
            && site.youngest.as_secs_f64() <= UNTIL * watched
    });
    stays.map(|site| site.what.bytes as f64).max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::course;
    use crate::judge::Frame;
    use crate::judge::simulation::{moment, window_of};
    use crate::sample::heap_sites::{HeapCapture, HeapSite};
    use crate::store::Series;

    /// Whether a heap that climbs by 3 MiB in 45 s is called growth, where one line had so many KiB at three captures.
    fn grows(kib: [u64; 3], wave: f64) -> bool {
        let mut window = window_of(45.0, 1.0, |_, _| {});
        for (second, kib) in [5.0, 25.0, 45.0].into_iter().zip(kib) {
            let stack = [Frame::new("main.remember", "/src/main.go", 7)].into();
            let site = HeapSite { stack, objects: kib, bytes: kib << 10, object_bytes: 1 << 10 };
            let capture = HeapCapture { at: moment(second), sites: Ok(vec![site]), mapped_bytes: None };
            window.captures_mut().heap.push(capture);
        }
        let seconds: Vec<f64> = (0..45).map(f64::from).collect();
        let value = |at: &f64| (4.0 + 3.0 * at / 45.0 + wave * (at * 2.1).sin()) * 1024.0 * 1024.0;
        let values = seconds.iter().map(value).collect();
        course(&Series { seconds, values, gaps: 0 }, &window).is_some()
    }

    #[test]
    fn a_climb_that_one_line_keeps_is_growth() {
        assert!(grows([512, 1_536, 2_560], 0.2));
        assert!(grows([512, 2_560, 2_560], 0.2), "a sample of few shows nothing of one half");
        assert!(!grows([512, 3_584, 2_560], 0.2), "it gives back");
        assert!(!grows([512, 700, 900], 0.2), "the line has too little of it");
        assert!(!grows([512, 1_536, 2_560], 2.0), "it does not climb");
    }
}
