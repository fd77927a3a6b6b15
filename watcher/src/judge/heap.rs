//! The live Go heap: what each garbage collection found reachable, and which stacks allocated what stays.
//!
//! What is allocated between two collections accuses nobody. Where many collections fall into the window their
//! results are a series like any other; where only some do, they must rise each time, along a line, and by much.

use super::culprit::Owner;
use super::growth::{Course, course};
use super::{
    Culprit, Evidence, Finding, Kind, Outcome, Rate, Steady, SteadyWhy, Thresholds, Undecided, UndecidedWhy,
    culprit,
};
use crate::sample::Sample;
use crate::sample::code::Frame;
use crate::sample::heap_sites::HeapSite;
use crate::store::{Captures, Series, Window};
use std::collections::HashMap;

mod retention;

/// Fewer collections than this say nothing.
pub const MIN_CYCLES: usize = 3;
/// From so many on they are judged as a series.
const SERIES_CYCLES: usize = 12;
/// The live heap is exact; what varies is what requests hold at the moment of a collection.
const MIN_RISE_BYTES: f64 = 1024.0 * 1024.0;
/// Rise against the first value that so many collections must show, each of them beyond the one before it: what
/// requests hold breathes, and three values rise by chance once in six times, four once in twenty-four. A heap that
/// breathes by a fifth to either side rises by half without any leak, so that few collections must show more. By
/// GOGC=100 collections in a row are as far apart as the heap is large: a leak that matters does show it.
const MIN_RISE_OF_FEW: [(usize, f64); 4] = [(3, 1.0), (4, 0.75), (6, 0.55), (usize::MAX, 0.3)];
/// None may lie farther from the line than this part of the rise.
const STRAIGHT: f64 = 0.15;
/// What falls back by this part of what it rises is no leak.
const FALLS_BACK: f64 = 0.3;
/// What one or two collections show counts from here on: a program that has just started fills a few MiB.
const CONSPICUOUS_RISE_BYTES: f64 = 16.0 * MIN_RISE_BYTES;
/// The runtime collects at least every two minutes (`forcegcperiod`, `runtime/proc.go`).
const FORCED_COLLECTION_SECONDS: f64 = 120.0;
/// A stack with less of the growth than this is no culprit.
const MIN_SHARE: f64 = 0.1;
const MAX_SITES: usize = 3;

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
    Some(match course {
        Course::Steady(_) => {
            let (low, high) = range(&series.values);
            Outcome::Steady(Steady { kind: Kind::Heap, why: SteadyWhy::LiveHeap { low, high, cycles } })
        }
        course => Outcome::of(Kind::Heap, course, |finding| attribute(finding, window.captures())),
    })
}

/// What the newest collection found live is far more than what the one before the window did.
pub fn has_risen(window: &Window) -> bool {
    let marked = |sample: &Sample| Some(sample.runtime.seen()?.heap?.marked_bytes? as f64);
    let (first, last) = (window.samples().find_map(marked), window.samples().rev().find_map(marked));
    first.zip(last).is_some_and(|(first, last)| last - first >= (0.25 * first).max(CONSPICUOUS_RISE_BYTES))
}

/// What to say of a heap that grew and was not collected often enough.
pub fn too_few(window: &Window) -> Undecided {
    let have = collections(window).values.len();
    let by_pace = match have {
        0 => f64::INFINITY,
        have => window.seconds() / have as f64 * (MIN_CYCLES + 2) as f64,
    };
    let need_seconds = by_pace.min(FORCED_COLLECTION_SECONDS * (MIN_CYCLES + 1) as f64);
    Undecided {
        kind: Kind::Heap,
        why: UndecidedWhy::TooFewCollections { have, need: MIN_CYCLES, need_seconds },
    }
}

fn by_series(series: &Series, thresholds: &Thresholds) -> Course {
    match course(series, Kind::Heap.unit(), thresholds) {
        Course::Grows(mut growth) => {
            growth.evidence.insert(0, collections_rose(series));
            Course::Grows(growth)
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
    if rise < MIN_RISE_BYTES.max(0.02 * high) || fallen >= FALLS_BACK * risen || seconds <= 0.0 {
        return flat;
    }
    let per_second = rise / seconds;
    let off_line =
        times.iter().zip(values).map(|(time, value)| (value - from - per_second * (time - began)).abs());
    let straight = off_line.fold(0.0, f64::max) <= STRAIGHT * rise;
    let least =
        MIN_RISE_OF_FEW.iter().find(|(cycles, _)| values.len() <= *cycles).map_or(0.3, |(_, least)| *least);
    let long_enough = seconds >= 0.3 * window.seconds() && window.seconds() >= 25.0;
    if fallen > 0.0 || !straight || rise < least * from || !long_enough {
        return Course::Undecided(UndecidedWhy::Ambiguous {
            per_second,
            slowing: steps.last().is_some_and(|last| *last < 0.5 * rise / steps.len() as f64),
            need_seconds: (2.0 * window.seconds()).max(90.0),
        });
    }
    let rates = || times.windows(2).zip(&steps).map(|(pair, step)| step / (pair[1] - pair[0]));
    Course::Grows(super::growth::Growth {
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

/// Names the lines that allocated what stays, by two heap profiles.
fn attribute(finding: &mut Finding, captures: &Captures) {
    let (before, now, seconds) = match captures.heap.ends() {
        Some((first, last)) => match (&first.sites, &last.sites) {
            (Ok(before), Ok(now)) => (before, now, last.at.seconds_since(&first.at)),
            _ => return retention::attribute(finding, captures),
        },
        None => return retention::attribute(finding, captures),
    };
    let grown = grown(before, now);
    let all: u64 = grown.iter().map(|site| site.bytes).sum();
    let module = captures.main_module.as_deref();
    for site in grown.iter().take(MAX_SITES) {
        let share = site.bytes as f64 / all.max(1) as f64;
        if share < MIN_SHARE {
            break;
        }
        add_lines(&mut finding.culprits, site.stack, share, module);
    }
    // The runtime's own objects, those of goroutines for one, come last. The sort keeps the order of the others.
    finding.culprits.sort_by_key(|it| culprit::owner(&it.frame.function, module) == Owner::Runtime);
    if let Some(top) = grown.first() {
        finding.evidence.push(Evidence::Allocated {
            bytes: top.bytes,
            objects: top.objects,
            share: top.bytes as f64 / all.max(1) as f64,
            seconds,
        });
    }
}

/// The line that allocates, and the program's own line that calls it: often one makes and the other one keeps.
fn add_lines(culprits: &mut Vec<Culprit>, stack: &[Frame], share: f64, module: Option<&str>) {
    let Some(line) = culprit::line(stack, module) else { return };
    let owner = culprit::owner(&line.function, module);
    let callers = stack.iter().skip_while(|frame| *frame != line).skip(1);
    let caller = callers
        .take_while(|frame| owner < Owner::Runtime && culprit::owner(&frame.function, module) == owner)
        .find(|frame| frame.function != line.function);
    for frame in [Some(line), caller].into_iter().flatten() {
        culprits.push(culprit::culprit(frame, stack, share));
    }
}

/// What one stack has in use beyond what it had.
struct Grown<'a> {
    stack: &'a [Frame],
    bytes: u64,
    objects: u64,
}

/// Bytes and objects in use by stack: a stack occurs once for each size of its objects.
fn by_stack(sites: &[HeapSite]) -> HashMap<&[Frame], (u64, u64)> {
    let mut by_stack: HashMap<&[Frame], (u64, u64)> = HashMap::new();
    for site in sites {
        let (bytes, objects) = by_stack.entry(&site.stack).or_default();
        *bytes += site.bytes;
        *objects += site.objects;
    }
    by_stack
}

/// Stacks that have more in use than before, those with most first.
fn grown<'a>(before: &[HeapSite], now: &'a [HeapSite]) -> Vec<Grown<'a>> {
    let before = by_stack(before);
    let mut grown: Vec<Grown> = by_stack(now)
        .into_iter()
        .map(|(stack, (bytes, objects))| {
            let (bytes_before, objects_before) = before.get(stack).copied().unwrap_or_default();
            let (bytes, objects) =
                (bytes.saturating_sub(bytes_before), objects.saturating_sub(objects_before));
            Grown { stack, bytes, objects }
        })
        .filter(|site| site.bytes > 0)
        .collect();
    grown.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.stack.cmp(b.stack)));
    grown
}

#[cfg(test)]
mod tests;
