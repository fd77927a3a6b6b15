//! Which innocent it is: what a heap that does not leak does instead, by the runtime's own numbers, and file pages
//! that the kernel only keeps for the next reader.

use super::super::heap;
use crate::judge::judgement::Outcome;
use crate::judge::series::shape;
use crate::judge::series::trend::Trend;
use crate::judge::terms::Kind;
use crate::judge::weigh::reasons::{Steady, SteadyWhy};
use crate::observed::Sample;
use crate::observed::go_counters::GoCounters;
use crate::store::{Series, Window};

const MIB: f64 = 1024.0 * 1024.0;
/// Less than this is not worth a name.
const WORTH_NAMING_BYTES: f64 = 16.0 * MIB;
/// The collector begins to work against the limit when memory comes close to it.
const NEAR_LIMIT: f64 = 0.75;
/// Between collections the heap rises to so many times what is live, at least, where its saw is worth a name.
const TOOTH: f64 = 1.5;
/// A live heap that rose by less is none that was filled.
const FILLED_BYTES: f64 = 4.0 * MIB;
/// Fewer collections show no shape.
const MIN_CYCLES: usize = 6;
/// Address space may grow by this part of the file pages that came: otherwise more files are mapped, and not only read.
const MAPPED_MEANWHILE: f64 = 0.25;

/// The same outcome with the more telling reason, where it acquits the heap and the runtime's numbers show why.
pub(super) fn named(outcome: Outcome, window: &Window) -> Outcome {
    match outcome {
        Outcome::Steady(Steady { kind: Kind::Heap, why }) => {
            let why = reason(window).unwrap_or(why);
            Outcome::Steady(Steady { kind: Kind::Heap, why })
        }
        other => other,
    }
}

fn counters(sample: &Sample) -> Option<&GoCounters> {
    sample.runtime.seen()
}

fn reason(window: &Window) -> Option<SteadyWhy> {
    let first = window.samples().find_map(counters)?;
    let last = window.samples().rev().find_map(counters)?;
    let heap = last.heap?;
    let cycles = usize::try_from(last.gc_cycles?.saturating_sub(first.gc_cycles?)).unwrap_or(usize::MAX);
    let highest = |bytes: fn(&GoCounters) -> Option<u64>| {
        window.samples().filter_map(counters).filter_map(bytes).max().unwrap_or(0) as f64
    };
    let live = heap.marked_bytes.unwrap_or(0) as f64;
    if let Some(limit) = heap.memory_limit_bytes.map(|limit| limit as f64) {
        let level = highest(|counters| counters.heap.map(|heap| heap.mapped_bytes));
        if level >= NEAR_LIMIT * limit && cycles >= 2 {
            return Some(SteadyWhy::HeldByLimit { limit, level, live, cycles });
        }
    }
    if let Some(SteadyWhy::Plateau { flat_seconds, level }) = filled(window) {
        return Some(SteadyWhy::LiveHeapFilled { flat_seconds, level });
    }
    if let Some(why) = not_returned(window) {
        return Some(why);
    }
    // A burst that is over is the tooth of no saw: what each collection does shows at the newest of them as well.
    let newest: Vec<_> = window.samples().filter_map(|it| counters(it)?.heap).collect();
    let newest = newest.get(newest.len() / 2..)?;
    let peak = newest.iter().map(|heap| heap.live_bytes).max()? as f64;
    let live = newest.iter().filter_map(|heap| heap.marked_bytes).max()? as f64;
    if cycles >= 2 && live > 0.0 && peak >= TOOTH * live && peak - live >= WORTH_NAMING_BYTES {
        return Some(SteadyWhy::HeapSawtooth { live, peak, gogc_percent: heap.gogc_percent, cycles });
    }
    None
}

/// Memory that was free at each of the newest looks. What one collection frees and the program fills again before the
/// next is free for a moment too, and is the gap of a saw.
fn not_returned(window: &Window) -> Option<SteadyWhy> {
    let heaps: Vec<_> = window.samples().filter_map(|it| counters(it)?.heap).collect();
    let newest = heaps.get(heaps.len() / 2..)?;
    let idle = newest.iter().map(|heap| heap.idle_bytes).min()? as f64;
    let in_use = newest.iter().map(|heap| heap.in_use_bytes).max()? as f64;
    (idle >= WORTH_NAMING_BYTES && idle >= in_use).then_some(SteadyWhy::NotReturned { idle, in_use })
}

/// The live heap rose and has stopped.
fn filled(window: &Window) -> Option<SteadyWhy> {
    let series = heap::collections(window);
    if series.values.len() < MIN_CYCLES {
        return None;
    }
    shape::plateau(&series, &Trend::of(&series)?, FILLED_BYTES)
}

/// File pages came, and no more address space with them: what was mapped long ago is being read.
pub(super) fn page_cache(window: &Window) -> Option<Steady> {
    let series = |bytes: fn(&crate::observed::memory::Memory) -> u64| -> Series {
        window.series(|sample| Some((sample.memory.at, bytes(sample.memory.seen()?) as f64)))
    };
    let pages = series(|memory| memory.file_bytes).values;
    let addresses = series(|memory| memory.virtual_bytes).values;
    let (from, to) = (*pages.first()?, *pages.last()?);
    let mapped_meanwhile = addresses.last()? - addresses.first()?;
    // A process whose address space cannot hold them was not read right.
    let only_read =
        to > from && *addresses.first()? >= to && mapped_meanwhile <= MAPPED_MEANWHILE * (to - from);
    only_read.then_some(Steady { kind: Kind::Mapping, why: SteadyWhy::PageCache { from, to } })
}

#[cfg(test)]
mod tests;
