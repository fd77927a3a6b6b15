//! The live Go heap: what each garbage collection found reachable, and which stacks allocated what stays.
//!
//! What is allocated between two collections accuses nobody. Where many collections fall into the window their
//! results are a series like any other; where only some do, they must rise each time, along a line, and by much.

use crate::judge::judgement::{Finding, Outcome};
use crate::judge::kinds::heap::asker::name_asker;
use crate::judge::kinds::heap::collected::{MIN_RISE_BYTES, SERIES_CYCLES, least_rise_of, slows_down};
use crate::judge::kinds::heap::grown::grown;
use crate::judge::series::growth::{Course, course, creep};
use crate::judge::terms::{Kind, Rate, Thresholds};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{Steady, SteadyWhy, Undecided, UndecidedWhy};
use crate::observed::Sample;
use crate::observed::go_counters::HeapCounters;
use crate::store::{Captures, Series, Window};
use crate::vocabulary::reading::Moment;

mod asker;
mod collected;
mod grown;
mod lines;
mod retention;
mod stairs;
mod stored;
pub mod suspects;

/// Fewer collections than this say nothing.
pub const MIN_CYCLES: usize = 3;
/// None may lie farther from the line than this part of the rise.
const STRAIGHT: f64 = 0.15;
/// So much tells a heap that rises all the time from the few KiB that the runtime keeps for itself.
const CREEPING_RISE_BYTES: f64 = 0.25 * MIN_RISE_BYTES;
/// What one collection may find more live than the one before it, as part of all that is live.
const LITTLE_SHARE: f64 = 0.02;
/// The last collection of the window speaks for it from this part of it on.
const COVERED_BY_LAST: f64 = 1.0 / 3.0;
/// A limit that is so far away even if nothing of all that is allocated were garbage is no reason to wait: long before
/// that, collections tell.
const FAR_SECONDS: f64 = 86_400.0;
/// Where this part of all that was ever allocated was still there at the last collection, next to nothing of it is
/// garbage, and what comes is likely to stay.
const MOSTLY_KEPT: f64 = 0.5;
/// Less than this, in a window, is counted of programs that rest: spans are counted whole, and none is smaller.
const QUIET_BYTES: u64 = 4 * 1024;
/// What is allocated and not counted yet, in spans that are being filled, of a small program.
pub(in crate::judge) const UNCOUNTED_BYTES: f64 = 16.0 * 1024.0;
/// What one collection found beyond the one before it matters from here on, and from this part on of all that was
/// allocated between the two: garbage goes.
const KEPT_BYTES: f64 = 24.0 * 1024.0;
const KEPT_PART: f64 = 0.3;
/// From so many values on, each beyond the one before it, no chance has put them in order.
const IN_ORDER: usize = 6;
/// What falls back by this part of what it rises is no leak.
const FALLS_BACK: f64 = 0.3;
/// What one or two collections show counts from here on: a program that has just started fills a few MiB.
const CONSPICUOUS_RISE_BYTES: f64 = 16.0 * MIN_RISE_BYTES;
/// ... and from this part of the level on, since what requests hold breathes.
const CONSPICUOUS_SHARE: f64 = 0.15;
/// The same of what was allocated and not collected yet, most of which is garbage as a rule.
const UNCOLLECTED_SHARE: f64 = 0.25;
/// The runtime collects at least every two minutes (`forcegcperiod`, `runtime/proc.go`), once there was a first
/// collection (`gcTrigger.test`, `runtime/mgc.go`).
const FORCED_COLLECTION_SECONDS: f64 = 120.0;
/// Live bytes after each collection of the window. The result of the one before the window has no known moment and
/// is left out.
pub fn collections(window: &Window) -> Series {
    let mut series = Series::default();
    let Some(first) = window.samples().next() else { return series };
    let mut known = None;
    for sample in window.samples() {
        let Some(counters) = sample.runtime.seen() else { continue };
        let (Some(cycles), Some(heap)) = (counters.gc_cycles, counters.heap) else { continue };
        if let Some(marked) = heap.marked_bytes.filter(|_| known.is_some_and(|known| cycles > known)) {
            series.seconds.push(sample.runtime.at.seconds_since(&first.at));
            series.values.push(marked as f64);
        }
        known = Some(cycles);
    }
    series
}

/// Live bytes over time: what each newest collection found, and before the first one all that is on the heap.
pub(in crate::judge) fn live(window: &Window) -> Series {
    let of = |bytes: fn(&HeapCounters) -> Option<u64>| {
        window.series(|sample| {
            let heap = sample.runtime.seen()?.heap?;
            Some((sample.runtime.at, bytes(&heap)? as f64))
        })
    };
    let marked = of(|heap| heap.marked_bytes);
    if marked.values.is_empty() { of(|heap| Some(heap.live_bytes)) } else { marked }
}

/// What a live heap of this size may gain between two collections without being said to grow.
pub(in crate::judge) fn little(live: f64) -> f64 {
    MIN_RISE_BYTES.max(LITTLE_SHARE * live)
}

/// Judges the live heap; `None` where the window holds too few collections for it.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Option<Outcome> {
    let series = collections(window);
    let cycles = series.values.len();
    if cycles < MIN_CYCLES {
        return None;
    }
    let thresholds = Thresholds {
        min_rise_bytes: MIN_RISE_BYTES,
        min_seconds: thresholds.min_seconds.min(0.6 * window.seconds()),
        ..*thresholds
    };
    let course =
        if cycles >= SERIES_CYCLES { by_series(&series, &thresholds) } else { by_few(&series, window) };
    let course = match course {
        Course::Grows(_) => course,
        other => stairs::course(&series, window).unwrap_or(other),
    };
    Some(match course {
        Course::Steady(_) => {
            let (low, high) = range(&series.values);
            Outcome::Steady(Steady { kind: Kind::Heap, why: SteadyWhy::LiveHeap { low, high, cycles } })
        }
        course => {
            let outcome = Outcome::of(Kind::Heap, course, |finding| attribute(finding, window.captures()));
            stored::weigh(outcome, window, cycles)
        }
    })
}

/// What the newest collection found live is far more than what the one before the window did; or there was no
/// collection, and far more is on the heap now, of which nobody knows how much is live. Resident memory tells nothing
/// of either: the process had that memory before.
pub fn has_risen(window: &Window) -> bool {
    let is_collected = !collections(window).values.is_empty();
    let bytes = |sample: &Sample| {
        let heap = sample.runtime.seen()?.heap?;
        let marked = heap.marked_bytes?;
        Some(if is_collected { marked } else { heap.live_bytes } as f64)
    };
    let (first, last) = (window.samples().find_map(bytes), window.samples().rev().find_map(bytes));
    let share = if is_collected { CONSPICUOUS_SHARE } else { UNCOLLECTED_SHARE };
    first.zip(last).is_some_and(|(first, last)| last - first >= (share * first).max(CONSPICUOUS_RISE_BYTES))
}

/// What to say of a heap that grew and was not collected often enough.
pub fn too_few(window: &Window) -> Undecided {
    let have = collections(window).values.len();
    let newest = window.samples().rev().find_map(|sample| sample.runtime.seen()?.heap);
    let switched_off = newest.is_some_and(|heap| heap.gogc_percent.is_none());
    let goal = newest.and_then(|heap| heap.goal_bytes);
    if switched_off && goal.is_none() {
        return Undecided { kind: Kind::Heap, why: UndecidedWhy::NeverCollected { have } };
    }
    let by_pace = (have > 0).then(|| window.seconds() / have as f64);
    let by_goal = goal.zip(newest).and_then(|(goal, heap)| {
        let room = goal.saturating_sub(heap.marked_bytes.unwrap_or(0)) as f64;
        Some(room / allocated_per_second(window)?)
    });
    let pace = by_pace.into_iter().chain(by_goal).fold(f64::INFINITY, f64::min);
    // With GOGC=off and a memory limit not even time brings one about.
    let forced = if switched_off { f64::INFINITY } else { FORCED_COLLECTION_SECONDS };
    let until_first = newest.filter(|heap| heap.marked_bytes.is_none()).and_then(|heap| {
        let room = goal?.saturating_sub(heap.live_bytes) as f64;
        Some(room / allocated_per_second(window)?)
    });
    let mut need_seconds =
        (pace * (MIN_CYCLES + 2) as f64).min(until_first.unwrap_or(0.0) + forced * (MIN_CYCLES + 1) as f64);
    // What is slow and seems to stay must first be so much that collections show it.
    let may_be_kept = until_first.is_some() || is_mostly_kept(window);
    if let Some(per_second) = allocated_per_second(window).filter(|_| may_be_kept) {
        let live = newest.and_then(|heap| heap.marked_bytes).unwrap_or(0) as f64;
        let shows = 1.25 * MIN_RISE_BYTES.max(least_rise_of(usize::MAX) * live) / per_second;
        need_seconds = need_seconds.max(until_first.unwrap_or(0.0) + shows);
    }
    let why = if need_seconds.is_finite() {
        UndecidedWhy::TooFewCollections { have, need: MIN_CYCLES, need_seconds }
    } else {
        UndecidedWhy::NeverCollected { have }
    };
    Undecided { kind: Kind::Heap, why }
}

fn allocated_per_second(window: &Window) -> Option<f64> {
    let (first, last) = ends(window)?;
    let allocated = last.1.total_allocated_bytes.saturating_sub(first.1.total_allocated_bytes);
    let rate = allocated as f64 / last.0.seconds_since(&first.0);
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// Most of what was allocated until the collection before the window was still live then.
fn is_mostly_kept(window: &Window) -> bool {
    ends(window)
        .and_then(|((_, first), _)| {
            let marked = first.marked_bytes?;
            let until_then =
                first.total_allocated_bytes.saturating_sub(first.live_bytes.saturating_sub(marked));
            (until_then > 0).then(|| marked as f64 / until_then as f64)
        })
        .is_some_and(|part| part >= MOSTLY_KEPT)
}

/// The first and the newest reading of the heap.
fn ends(window: &Window) -> Option<((Moment, HeapCounters), (Moment, HeapCounters))> {
    let at = |sample: &Sample| Some((sample.runtime.at, sample.runtime.seen()?.heap?));
    window.samples().find_map(at).zip(window.samples().rev().find_map(at))
}

/// Why a heap does not leak of which too few collections were seen for [`judge`]; `None` where they leave it open.
/// Resident memory says nothing of it: what leaks may go to memory that the process had before. But what the newest
/// collection found may be no more than what the one before the window did; and nothing grows faster than everything
/// that is allocated. Where that is little, or reaches none of the limits for long, nothing hides behind it that would
/// matter before a longer window shows it. `seconds_left` tells of a rate when it would reach a limit, where one is
/// known.
pub fn acquitted(
    window: &Window,
    age_seconds: Option<f64>,
    seconds_left: impl Fn(f64) -> Option<f64>,
) -> Option<SteadyWhy> {
    let (first, last) = ends(window)?;
    let live = last.1.marked_bytes.unwrap_or(0) as f64;
    let little = little(live);
    let series = collections(window);
    if let (Some(at), Some(before)) = (series.seconds.last(), first.1.marked_bytes)
        && *at >= COVERED_BY_LAST * window.seconds()
    {
        let (low, high) = range(&series.values);
        let (low, high) = (low.min(before as f64), high.max(before as f64));
        let kept = live - before as f64;
        let allocated = last.1.total_allocated_bytes.saturating_sub(first.1.total_allocated_bytes) as f64
            + first.1.live_bytes.saturating_sub(before) as f64;
        if kept >= KEPT_BYTES && kept >= KEPT_PART * allocated {
            return None;
        }
        if kept <= little {
            return Some(SteadyWhy::LiveHeap { low, high, cycles: series.values.len() + 1 });
        }
    }
    let uncollected =
        if series.values.is_empty() { last.1.live_bytes.saturating_sub(first.1.live_bytes) } else { 0 };
    let allocated =
        last.1.total_allocated_bytes.saturating_sub(first.1.total_allocated_bytes).max(uncollected);
    // A program that has run for minutes and was never collected may have kept all it ever allocated.
    let began = age_seconds.map(|age| age - window.seconds());
    let is_uncollected =
        last.1.marked_bytes.is_none() && began.is_some_and(|age| age >= FORCED_COLLECTION_SECONDS);
    if allocated > QUIET_BYTES && (is_uncollected || is_mostly_kept(window)) {
        return None;
    }
    let per_second = allocated as f64 / last.0.seconds_since(&first.0).max(1.0);
    let seconds_left = seconds_left(per_second).filter(|left| *left >= FAR_SECONDS);
    let is_little = allocated as f64 <= little || seconds_left.is_some();
    is_little.then_some(SteadyWhy::LittleAllocated { per_second, seconds_left })
}

fn by_series(series: &Series, thresholds: &Thresholds) -> Course {
    match course(series, Kind::Heap.unit(), thresholds) {
        Course::Grows(mut growth) => {
            growth.evidence.insert(0, collections_rose(series));
            Course::Grows(growth)
        }
        // What requests hold breathes: a live heap that never shrinks by a byte is none that rests.
        Course::Steady(SteadyWhy::Flat { low, high }) if high - low >= CREEPING_RISE_BYTES => {
            creep(series, thresholds.min_rise_bytes).unwrap_or(Course::Steady(SteadyWhy::Flat { low, high }))
        }
        other => other,
    }
}

fn collections_rose(series: &Series) -> Evidence {
    let from = series.values.first().copied().unwrap_or_default();
    let to = series.values.last().copied().unwrap_or_default();
    Evidence::Collections { cycles: series.values.len(), from, to }
}

/// Too few values for statistics: the shape has to be beyond doubt.
fn by_few(series: &Series, window: &Window) -> Course {
    let (times, values) = (&series.seconds, &series.values);
    let (low, high) = range(values);
    let flat = Course::Steady(SteadyWhy::Flat { low, high });
    let (Some(from), Some(to)) = (values.first(), values.last()) else { return flat };
    let (Some(began), Some(ended)) = (times.first(), times.last()) else { return flat };
    let (rise, seconds) = (to - from, ended - began);
    let steps: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let risen: f64 = steps.iter().filter(|step| **step > 0.0).sum();
    let fallen: f64 = steps.iter().filter(|step| **step < 0.0).map(|step| -step).sum();
    if seconds <= 0.0 {
        return flat;
    }
    let per_second = rise / seconds;
    if rise < MIN_RISE_BYTES.max(0.02 * high) || fallen >= FALLS_BACK * risen {
        let allocated = allocated_per_second(window).unwrap_or(0.0) * seconds;
        let in_order = values.len() >= IN_ORDER || rise >= KEPT_PART * allocated;
        let goes_on = steps.last().is_some_and(|last| *last >= 0.25 * rise / steps.len() as f64);
        if fallen > 0.0 || rise < KEPT_BYTES || !in_order || !goes_on {
            return flat;
        }
        let shows = 1.25 * MIN_RISE_BYTES.max(least_rise_of(usize::MAX) * from) / per_second;
        return Course::Undecided(UndecidedWhy::Ambiguous {
            per_second,
            slowing: slows_down(times, values),
            need_seconds: shows.max(2.0 * window.seconds()).max(90.0),
        });
    }
    let off_line =
        times.iter().zip(values).map(|(time, value)| (value - from - per_second * (time - began)).abs());
    let straight = off_line.fold(0.0, f64::max) <= STRAIGHT * rise;
    let least = least_rise_of(values.len());
    let long_enough = seconds >= 0.3 * window.seconds() && window.seconds() >= 25.0;
    let slows = slows_down(times, values);
    if fallen > 0.0 || !straight || slows || rise < least * from || !long_enough {
        return Course::Undecided(UndecidedWhy::Ambiguous {
            per_second,
            slowing: slows || steps.last().is_some_and(|last| *last < 0.5 * rise / steps.len() as f64),
            need_seconds: (2.0 * window.seconds()).max(90.0),
        });
    }
    let rates = || times.windows(2).zip(&steps).map(|(pair, step)| step / (pair[1] - pair[0]));
    Course::Grows(crate::judge::series::growth::Growth {
        rate: Rate {
            per_second,
            low: rates().fold(per_second, f64::min),
            high: rates().fold(per_second, f64::max),
        },
        confidence: 0.65 + 0.03 * (values.len() - MIN_CYCLES) as f64,
        evidence: vec![collections_rose(series)],
    })
}

fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// Names the lines that allocated what stays, by two heap profiles; where there is none, by the spans.
fn attribute(finding: &mut Finding, captures: &Captures) {
    let Some((first, last)) = captures.heap.ends() else { return retention::attribute(finding, captures) };
    let (Ok(before), Ok(now)) = (&first.sites, &last.sites) else {
        return retention::attribute(finding, captures);
    };
    let kept = grown(before, now);
    name_asker(finding, captures, &kept);
    if let Some(top) = lines::name(finding, &kept, captures.main_module.as_deref()) {
        finding.evidence.push(Evidence::Allocated {
            bytes: top.bytes,
            objects: top.objects,
            share: top.share,
            seconds: last.at.seconds_since(&first.at),
        });
        top.add_sizes(finding);
    }
}

#[cfg(test)]
#[path = "heap/slow/tests.rs"]
mod slow_tests;
#[cfg(test)]
mod tests;
