//! Resident memory by the parts that the kernel and the Go runtime tell apart.
//!
//! A Go process returns freed memory late and asks for it in bulk, so a rising RSS accuses nobody: what it is made
//! of decides. The live heap is judged after each collection, see [`super::heap`], and where these are too few, by all
//! that is allocated; what the runtime has not mapped is native. Where the runtime is not read, memory that stays where
//! it is acquits, and growth is undecided.

mod hidden;
mod innocents;

use super::heap;
use crate::judge::judgement::{Detail, Finding, Outcome, Suspected};
use crate::judge::series::growth::{Course, Growth, course, creeps};
use crate::judge::terms::{Bounds, Kind, Rate, Thresholds, Unit};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{MemoryPart, Steady, SteadyWhy, Undecided, UndecidedWhy};
use crate::judge::weigh::survivors::{Book, LEAST_BYTES};
use crate::judge::weigh::{exhaustion, few};
use crate::observed::ledger::Mappings;
use crate::observed::memory::Memory;
use crate::store::{Series, Window};

/// Judges resident memory: anonymous with what was swapped out, that of files, and shared.
pub fn judge(window: &Window, bounds: &Bounds, thresholds: &Thresholds) -> Vec<Outcome> {
    let part = |bytes: fn(&Memory) -> u64| {
        window.series(|sample| Some((sample.memory.at, bytes(sample.memory.seen()?) as f64)))
    };
    let is_go = bounds.is_go || window.samples().any(|sample| sample.runtime.seen().is_some());
    let mut outcomes = anonymous(&part(|memory| memory.anon_bytes + memory.swap_bytes), is_go, thresholds);
    let outside = outside_go(window);
    if outside.values.len() >= thresholds.min_samples {
        outcomes = told_apart(window, outcomes, &outside, bounds, thresholds);
    }
    outcomes = outcomes.into_iter().map(|outcome| innocents::named(outcome, window)).collect();
    for (name, series) in [
        (MemoryPart::File, part(|memory| memory.file_bytes)),
        (MemoryPart::Shared, part(|memory| memory.shmem_bytes)),
    ] {
        let growth = paged(name, course(&series, Unit::Bytes, thresholds));
        let read = || innocents::page_cache(window).filter(|_| name == MemoryPart::File).map(Outcome::Steady);
        outcomes.extend(growth.map(|growth| read().unwrap_or(growth)));
    }
    outcomes
}

/// Between two collections a Go heap grows by as much as it holds (GOGC=100), and by 4 MiB at least
/// (`heapMinimum`, `runtime/mgcpacer.go`), with stacks and caches on top. A smaller rise than this says nothing
/// about a leak: it neither accuses nor acquits.
const COLLECTION_CYCLE_BYTES: f64 = 16.0 * 1024.0 * 1024.0;

/// From so much on memory outside the Go heap that rises without a pause is no batch of the kernel's counting
/// (`percpu_counter`, 128 KiB for each CPU at most on small machines).
pub(in crate::judge) const CREEPING_BYTES: f64 = 256.0 * 1024.0;

/// A goroutine's stack begins with 2 KiB and is seldom larger than this.
const STACK_BYTES: u64 = 8 * 1024;

/// Go heap and C heap live here side by side; both are acquitted together or neither is. Only a Go program makes garbage
/// that its own collector takes away later.
fn anonymous(series: &Series, is_go: bool, thresholds: &Thresholds) -> Vec<Outcome> {
    let beyond = if is_go { beyond_a_cycle(thresholds) } else { *thresholds };
    match (course(series, Unit::Bytes, thresholds), course(series, Unit::Bytes, &beyond)) {
        (Course::Steady(why), _) => {
            [Kind::Heap, Kind::Native].map(|kind| Outcome::Steady(Steady { kind, why })).to_vec()
        }
        (_, Course::Steady(_)) => Vec::new(),
        (other, _) => growth_undecided(Kind::Heap, MemoryPart::Anonymous, other).into_iter().collect(),
    }
}

fn beyond_a_cycle(thresholds: &Thresholds) -> Thresholds {
    Thresholds { min_rise_bytes: thresholds.min_rise_bytes.max(COLLECTION_CYCLE_BYTES), ..*thresholds }
}

/// The same where the runtime's own numbers tell the Go heap from the rest.
fn told_apart(
    window: &Window,
    together: Vec<Outcome>,
    outside: &Series,
    bounds: &Bounds,
    thresholds: &Thresholds,
) -> Vec<Outcome> {
    let heap = by_collections(window, bounds, thresholds);
    if let Some(native) = by_stacks(window, outside, thresholds) {
        return vec![heap, native];
    }
    if let Some(native) = creeping(window, outside, bounds, thresholds) {
        return vec![heap, native];
    }
    // The Go heap with its garbage is not in it.
    let native = match course(outside, Unit::Bytes, thresholds) {
        Course::Steady(_) => hidden::native(window, outside, bounds)
            .or_else(|| together.iter().find(is_native).cloned())
            .or_else(|| {
                let low = outside.values.iter().copied().fold(f64::INFINITY, f64::min);
                let high = outside.values.iter().copied().fold(0.0, f64::max);
                let why = SteadyWhy::OutsideGo { low, high };
                Some(Outcome::Steady(Steady { kind: Kind::Native, why }))
            }),
        other => growth_undecided(Kind::Native, MemoryPart::OutsideGo, other),
    };
    [heap].into_iter().chain(native).collect()
}

/// Whether it acquits memory outside the Go heap.
fn is_native(outcome: &&Outcome) -> bool {
    matches!(outcome, Outcome::Steady(steady) if steady.kind == Kind::Native)
}

/// The live heap by its collections, and where these are too few, by what is allocated.
fn by_collections(window: &Window, bounds: &Bounds, thresholds: &Thresholds) -> Outcome {
    let long_enough = window.seconds() >= thresholds.min_seconds && !heap::has_risen(window);
    let acquitted =
        || heap::acquitted(window, bounds.age_seconds, |per_second| seconds_left(per_second, window, bounds));
    let steady = || {
        let why = if long_enough { acquitted() } else { None };
        why.map(|why| Outcome::Steady(Steady { kind: Kind::Heap, why }))
    };
    let outcome = match heap::judge(window, thresholds) {
        Some(leaks @ Outcome::Leaks(_)) => leaks,
        // Too short for the collections, and for all that is allocated.
        _ if window.seconds() < thresholds.min_seconds => {
            let (have_seconds, need_seconds) = (window.seconds(), thresholds.min_seconds);
            let why = UndecidedWhy::TooShort { have_seconds, need_seconds };
            Outcome::Undecided(Undecided { kind: Kind::Heap, why })
        }
        // The collections cover too little of the window for a verdict of their own.
        Some(Outcome::Undecided(one)) if matches!(one.why, UndecidedWhy::TooShort { .. }) => {
            steady().unwrap_or(Outcome::Undecided(one))
        }
        Some(outcome) => outcome,
        None => steady().unwrap_or_else(|| Outcome::Undecided(heap::too_few(window))),
    };
    match outcome {
        Outcome::Steady(steady) => hidden::heap(&steady, window, bounds).unwrap_or(Outcome::Steady(steady)),
        Outcome::Undecided(one) => heap::suspects::suspect(one, window, bounds.age_seconds),
        other => other,
    }
}

/// Seconds until a limit were reached if the live heap grew by so many bytes a second; `None` where none is known.
fn seconds_left(per_second: f64, window: &Window, bounds: &Bounds) -> Option<f64> {
    let rate = Rate { per_second, low: per_second, high: per_second };
    let growth = Growth { rate, confidence: 0.0, evidence: Vec::new() };
    let Outcome::Leaks(finding) = Outcome::of(Kind::Heap, Course::Grows(growth), |_| {}) else { return None };
    let mut supposed = [finding];
    exhaustion::add(&mut supposed, window, bounds);
    let [supposed] = supposed;
    supposed.exhausts.map(|exhausts| exhausts.in_seconds)
}

/// Part of the growth outside the Go heap that must have been asked for at stacks which keep it.
const ASKED_FOR: f64 = 0.3;

/// A shorter window than this, in seconds, proves nothing that is slow.
const LEAST_PROVING_SECONDS: f64 = 120.0;
/// Of what all stacks keep, the first keeps this part.
const MOSTLY_OF_ONE: f64 = 0.5;

/// Memory outside the Go heap that grows, and the stacks that asked for it and keep it. `None` where it does not
/// grow, or where no such stack is known.
fn by_stacks(window: &Window, outside: &Series, thresholds: &Thresholds) -> Option<Outcome> {
    let captures = window.captures();
    let book = Book::open(window, &captures.mappings, LEAST_BYTES, |site| {
        (!site.what.is_runtime && !site.what.is_thread_stack)
            .then(|| site.what.bytes.saturating_sub(site.what.file_bytes))
    })?;
    let kept = book.kept();
    // A C library asks for much at once and fills it over time; what is resident is what grows.
    let grown = outside.values.last()? - outside.values.first()?;
    if (kept as f64) < ASKED_FOR * grown {
        return None;
    }
    let course = match course(outside, Unit::Bytes, thresholds) {
        Course::Steady(_) => return None,
        other => book.decide(other),
    };
    matches!(course, Course::Grows(_)).then(|| {
        Outcome::of(Kind::Native, course, |finding| {
            book.describe(finding, captures);
            mapped(&book, finding);
        })
    })
}

/// Memory outside the Go heap that rises all the time, by too little to accuse: C's allocator asks the system for a
/// hundred KiB at a time.
fn creeping(window: &Window, outside: &Series, bounds: &Bounds, thresholds: &Thresholds) -> Option<Outcome> {
    if !few::leaves_room(&course(outside, Unit::Bytes, thresholds)) {
        return None;
    }
    let rise = creeps(outside, CREEPING_BYTES)?;
    let seconds = outside.seconds.last()? - outside.seconds.first()?;
    let per_second = rise / seconds;
    let captures = window.captures();
    let book = Book::open(window, &captures.mappings, LEAST_BYTES, |site| {
        (!site.what.is_runtime && !site.what.is_thread_stack)
            .then(|| site.what.bytes.saturating_sub(site.what.file_bytes))
    });
    // What no stack has asked for came to the runtime, whose own pages become resident as they are used.
    let is_the_runtimes = book.as_ref().is_some_and(|book| book.kept_at_all() == 0);
    if is_the_runtimes || outside.values.first() == Some(&0.0) {
        return None;
    }
    let mut evidence = vec![Evidence::Rose {
        from: *outside.values.first()?,
        to: *outside.values.last()?,
        seconds,
        samples: outside.values.len(),
    }];
    evidence.extend(book.as_ref().and_then(mapped_most));
    let mut finding = Finding {
        kind: Kind::Native,
        primary: false,
        consequence_of: None,
        confidence: few::CONFIDENCE,
        rate: Rate { per_second, low: 0.5 * per_second, high: 2.0 * per_second },
        exhausts: None,
        detail: Detail::default(),
        culprits: Vec::new(),
        evidence,
    };
    let proof = match book.filter(|book| book.kept_at_all() > 0) {
        Some(book) => {
            book.name_most(&mut finding, captures);
            let level = *outside.values.last()?;
            let top = book.most().map_or(0, |top| top.kept) as f64;
            // Of one place, at the pace that has brought all there is since the process started.
            let is_proven = seconds >= LEAST_PROVING_SECONDS
                && heap::suspects::has_brought_all(per_second, level, bounds.age_seconds)
                && top >= ASKED_FOR * rise
                && top >= MOSTLY_OF_ONE * book.kept_at_all() as f64;
            if is_proven {
                let confidence = heap::suspects::PROVEN;
                return Some(Outcome::Leaks(Finding { confidence, ..finding }));
            }
            LEAST_BYTES as f64
        }
        None => 3.0 * thresholds.min_rise_bytes,
    };
    let need_seconds =
        Some((few::MARGIN * proof / per_second).max(2.0 * seconds).max(few::LEAST_MORE_SECONDS));
    Some(Outcome::Suspected(Suspected { finding, need_seconds }))
}

/// What the stack with most has asked for since it was watched.
fn mapped_most(book: &Book<'_, Mappings>) -> Option<Evidence> {
    let top = book.most()?;
    let (bytes, mappings) = (top.kept, top.site.outstanding);
    Some(Evidence::Mapped { bytes, mappings, seconds: book.seconds(), by_c: top.site.what.is_native })
}

/// How much the stack that keeps most has asked for.
fn mapped(book: &Book<'_, Mappings>, finding: &mut Finding) {
    let Some(top) = book.keepers().next() else { return };
    finding.evidence.retain(|it| !matches!(it, Evidence::Survivors { .. }));
    let (bytes, mappings) = (top.kept, top.site.outstanding);
    let by_c = top.site.what.is_native;
    finding.evidence.insert(0, Evidence::Mapped { bytes, mappings, seconds: book.seconds(), by_c });
}

/// Anonymous memory that the Go runtime does not account for. Pages that it counts and nobody has touched are not
/// resident, so this is the least there is.
fn outside_go(window: &Window) -> Series {
    window.series(|sample| {
        let memory = sample.memory.seen()?;
        let counters = sample.runtime.seen()?;
        let heap = counters.heap?;
        let stacks = counters.goroutines.unwrap_or(0).saturating_mul(STACK_BYTES);
        // Whatever a process makes of its counters.
        let within = heap.in_use_bytes.saturating_add(heap.idle_bytes).saturating_add(stacks);
        Some((sample.memory.at, (memory.anon_bytes + memory.swap_bytes).saturating_sub(within) as f64))
    })
}

/// Memory outside the Go heap over time; where that is not told apart, all that is anonymous.
pub(in crate::judge) fn native(window: &Window) -> Series {
    let outside = outside_go(window);
    if outside.values.is_empty() {
        return window.series(|sample| {
            let memory = sample.memory.seen()?;
            Some((sample.memory.at, (memory.anon_bytes + memory.swap_bytes) as f64))
        });
    }
    outside
}

/// Growth of mapped pages speaks of mappings; their staying put is said by their number.
fn paged(part: MemoryPart, course: Course) -> Option<Outcome> {
    match course {
        // What is missing is missing for all parts alike, and is said once, for the anonymous part.
        Course::Steady(_) | Course::Undecided(UndecidedWhy::NotRead) => None,
        Course::Undecided(UndecidedWhy::TooFewSamples { .. } | UndecidedWhy::TooShort { .. }) => None,
        other => growth_undecided(Kind::Mapping, part, other),
    }
}

fn growth_undecided(kind: Kind, part: MemoryPart, course: Course) -> Option<Outcome> {
    let why = match course {
        Course::Grows(growth) => {
            UndecidedWhy::CompositionUnknown { part, per_second: growth.rate.per_second }
        }
        Course::Undecided(UndecidedWhy::Ambiguous { per_second, .. }) => {
            UndecidedWhy::CompositionUnknown { part, per_second }
        }
        Course::Undecided(why) => why,
        Course::Steady(_) => return None,
    };
    Some(Outcome::Undecided(Undecided { kind, why }))
}
