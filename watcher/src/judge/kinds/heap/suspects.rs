//! A heap that rises, by too little to accuse, in a process that is no longer young: a suspicion, where the lines are known
//! that keep what came; and a leak, where it has climbed at this pace since the process started.

use super::{MIN_CYCLES, attribute};
use crate::judge::judgement::{Finding, Outcome, Suspected};
use crate::judge::kinds::heap::collected::SERIES_CYCLES;
use crate::judge::series::growth::{Course, Growth};
use crate::judge::series::shape;
use crate::judge::terms::{Kind, Rate};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::few::CONFIDENCE;
use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
use crate::store::Window;
use std::ops::RangeInclusive;

/// What a younger process gains is its start as a rule.
const LEAST_AGE_SECONDS: f64 = 300.0;
/// What requests hold rises and falls for a minute or two.
const LEAST_WINDOW_SECONDS: f64 = 120.0;
/// From this age on what is there tells at which pace it came.
const TELLING_AGE_SECONDS: f64 = 600.0;
/// What the pace of the window would have brought since the process started, against what is there.
const SINCE_START: RangeInclusive<f64> = 0.5..=1.6;
/// One line has kept this part of what the heap gained,
const OF_RISE: f64 = 0.4;
/// ... of which probes see what fills new spans (`runtime.(*mcache).refill`) and not what goes to half-empty ones,
const SEEN_BY_PROBES: f64 = 0.1;
/// ... and this part of what all lines have kept.
const OF_LINES: f64 = 0.5;
/// Of what few collections have risen no more than this part fell back.
const FALLEN: f64 = 0.1;
/// A window, a line and the age agree.
pub const PROVEN: f64 = 0.75;

/// What is said of an undecided heap of a process of this age.
pub fn suspect(undecided: Undecided, window: &Window, age_seconds: Option<f64>) -> Outcome {
    let UndecidedWhy::Ambiguous { per_second, slowing, need_seconds } = undecided.why else {
        return Outcome::Undecided(undecided);
    };
    let old_enough =
        age_seconds.is_some_and(|age| age >= LEAST_AGE_SECONDS) && window.seconds() >= LEAST_WINDOW_SECONDS;
    if undecided.kind != Kind::Heap || !old_enough || per_second <= 0.0 {
        return Outcome::Undecided(undecided);
    }
    let series = super::collections(window);
    let growth = Growth {
        rate: Rate { per_second, low: 0.5 * per_second, high: 2.0 * per_second },
        confidence: CONFIDENCE,
        evidence: vec![super::collections_rose(&series)],
    };
    let described =
        Outcome::of(Kind::Heap, Course::Grows(growth), |finding| attribute(finding, window.captures()));
    let Outcome::Leaks(finding) = described else { return Outcome::Undecided(undecided) };
    let level = series.values.last().copied().unwrap_or(0.0);
    let is_proven = is_climb(&series.values)
        && has_brought_all(per_second, level, age_seconds)
        && is_kept_by_one_line(&finding, per_second * window.seconds());
    if is_proven {
        return Outcome::Leaks(Finding { confidence: PROVEN, ..finding });
    }
    if finding.culprits.is_empty() || slowing {
        return Outcome::Undecided(undecided);
    }
    Outcome::Suspected(Suspected { finding, need_seconds: Some(need_seconds) })
}

/// Whether this pace, in bytes per second since the process started, has brought what is there now. What rises in one
/// window only, after hours of rest, has not.
pub fn has_brought_all(per_second: f64, level: f64, age_seconds: Option<f64>) -> bool {
    let age = age_seconds.filter(|age| *age >= TELLING_AGE_SECONDS);
    age.is_some_and(|age| level > 0.0 && SINCE_START.contains(&(per_second * age / level)))
}

/// Few collections fall back by next to nothing; more than those climb from quarter to quarter.
fn is_climb(values: &[f64]) -> bool {
    if values.len() >= SERIES_CYCLES {
        return shape::climbs(values);
    }
    let steps = || values.windows(2).map(|pair| pair[1] - pair[0]);
    let risen: f64 = steps().filter(|step| *step > 0.0).sum();
    let fallen: f64 = steps().filter(|step| *step < 0.0).map(|step| -step).sum();
    values.len() > MIN_CYCLES && fallen <= FALLEN * risen
}

fn is_kept_by_one_line(finding: &Finding, rise: f64) -> bool {
    finding.evidence.iter().any(|it| match it {
        Evidence::Allocated { bytes, share, .. } => *bytes as f64 >= OF_RISE * rise && *share >= OF_LINES,
        Evidence::Retained { bytes, share, .. } => {
            *bytes as f64 >= SEEN_BY_PROBES * rise && *share >= OF_LINES
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::suspect;
    use crate::judge::judgement::Outcome;
    use crate::judge::simulation::{moment, window_of};
    use crate::judge::terms::Kind;
    use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
    use crate::observed::go_counters::{GoCounters, HeapCounters};
    use crate::observed::heap::{HeapCapture, HeapSite};
    use crate::vocabulary::frame::Frame;

    /// A heap of five minutes that climbs by 10 kB a second from so many MiB on; one stack has so many MiB at the last of
    /// two captures.
    fn said(slowing: bool, age: f64, from: u64, mib: u64) -> Outcome {
        let mut window = window_of(300.0, 5.0, move |second, beat| {
            #[expect(clippy::cast_sign_loss, reason = "seconds of a window")]
            let marked = (from << 20) + 10_000 * second as u64;
            let heap =
                HeapCounters { marked_bytes: Some(marked), live_bytes: marked, ..HeapCounters::default() };
            let gc_cycles = Some(marked);
            beat.runtime = Some(GoCounters { heap: Some(heap), gc_cycles, ..GoCounters::default() });
        });
        for (second, mib) in [(0.0, 1), (300.0, mib)] {
            let stack = [Frame::new("main.keep", "/src/keep.go", 7)].into();
            let site = HeapSite { stack, objects: mib, bytes: mib << 20, object_bytes: 1 << 20 };
            let capture = HeapCapture { at: moment(second), sites: Ok(vec![site]), mapped_bytes: None };
            window.captures_mut().heap.push(capture);
        }
        let why = UndecidedWhy::Ambiguous { per_second: 1e4, slowing, need_seconds: 600.0 };
        suspect(Undecided { kind: Kind::Heap, why }, &window, Some(age))
    }

    /// The line of a suspicion.
    fn line(slowing: bool, age: f64, mib: u64) -> Option<String> {
        match said(slowing, age, 400, mib) {
            Outcome::Suspected(one) => Some(one.finding.culprits[0].frame.function.to_string()),
            Outcome::Undecided(_) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_pace_that_has_brought_all_since_the_start_is_a_leak_where_one_line_keeps_it() {
        // 18 MB in half an hour, and 3 MB in the window.
        let is_leak = |outcome: Outcome| matches!(outcome, Outcome::Leaks(_));
        assert!(is_leak(said(true, 1_800.0, 15, 4)));
        assert!(!is_leak(said(false, 1_800.0, 60, 4)), "it was there before");
        assert!(!is_leak(said(false, 14_400.0, 15, 4)), "it has only begun to rise");
        assert!(!is_leak(said(false, 1_800.0, 15, 1)), "no line keeps it");
        assert!(!is_leak(said(false, 400.0, 1, 4)), "it is young");
    }

    #[test]
    fn few_collections_climb_where_hardly_any_falls_back() {
        for (values, expected) in [
            (&[17.0, 17.3, 17.9, 18.2][..], true),
            (&[17.0, 17.9, 17.85, 18.2, 19.0], true),
            (&[17.0, 17.9, 17.3, 18.2], false),
            (&[17.0, 17.3, 17.9], false),
        ] {
            assert_eq!(super::is_climb(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_rise_is_suspected_where_a_line_keeps_it_and_the_process_is_not_young() {
        assert_eq!(line(false, 1_800.0, 4).as_deref(), Some("main.keep"));
        assert_eq!(line(false, 1_800.0, 1), None, "no line has grown");
        assert_eq!(line(false, 100.0, 4), None, "it has just started");
        assert_eq!(line(true, 1_800.0, 4), None, "it slows down");
    }
}
