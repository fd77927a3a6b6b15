//! Mappings by their number, which `vm.max_map_count` bounds. How many bytes they hold resident is `memory`'s.

use crate::judge::judgement::Outcome;
use crate::judge::series::growth::{Course, course};
use crate::judge::terms::{Kind, Thresholds};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::UndecidedWhy;
use crate::judge::weigh::survivors::{Book, LEAST_COUNT};
use crate::store::{Series, Window};

/// Advice on huge pages, which the runtime gives page by page until Go 1.21 (`sysUnused`, `runtime/mem_linux.go`),
/// splits a mapping of the heap: at most one piece more for each huge page.
const HUGE_PAGE_BYTES: u64 = 2 * 1024 * 1024;

/// Judges the number of VMAs.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.mappings.at, *sample.mappings.seen()? as f64)));
    let course = course(&series, Kind::Mapping.unit(), thresholds);
    let captures = window.captures();
    // What the runtime maps for the heap and for stacks is counted there, and a thread's stack with the threads.
    let Some(book) = Book::open(window, &captures.mappings, LEAST_COUNT, |site| {
        (!site.what.is_runtime && !site.what.is_thread_stack).then_some(site.outstanding)
    }) else {
        return vec![Outcome::of(Kind::Mapping, by_number(course, &series, window), |_| {})];
    };
    let book = book.of_pieces();
    let of_threads = stacks_of_new_threads(window);
    if of_threads >= LEAST_COUNT && of_threads > book.kept() {
        let evidence = Evidence::ThreadStacks { count: of_threads, seconds: book.seconds() };
        return vec![Outcome::of(Kind::Mapping, course, |finding| finding.evidence.insert(0, evidence))];
    }
    // The kernel merges neighbours: many calls can make one mapping, which no limit bites.
    let course = match course {
        steady @ Course::Steady(_) => steady,
        other => book.decide(other),
    };
    // What C's allocator asks for are pieces of its heap, which is told by bytes; and of the number, which the runtime
    // moves too, it is asked that it rose by as many.
    let risen = series.values.first().zip(series.values.last()).map_or(0.0, |(first, last)| last - first);
    let own = Book::open(window, &captures.mappings, LEAST_COUNT, |site| {
        let is_of_allocator = site.what.is_native && site.what.file_bytes == 0;
        (!site.what.is_runtime && !site.what.is_thread_stack && !is_of_allocator).then_some(site.outstanding)
    });
    let suspected = own.and_then(|own| own.suspects(Kind::Mapping, &course, captures, |_| None));
    let suspected = suspected.filter(|outcome| match outcome {
        Outcome::Suspected(one) => 2.0 * risen >= one.finding.rate.per_second * book.seconds(),
        _ => false,
    });
    vec![
        suspected.unwrap_or_else(|| {
            Outcome::of(Kind::Mapping, course, |finding| book.describe(finding, captures))
        }),
    ]
}

/// Stacks of threads that C has started since watching began and that brought their number up. Their places in the code
/// are of whoever happened to need the next thread, so that they accuse nobody.
fn stacks_of_new_threads(window: &Window) -> u64 {
    let mut threads = window.samples().filter_map(|sample| sample.threads.seen());
    let (Some(first), Some(last), Some(ledger)) =
        (threads.next(), threads.next_back(), window.captures().mappings.last())
    else {
        return 0;
    };
    let stacks = ledger.sites.iter().filter(|site| site.what.is_thread_stack);
    stacks.map(|site| site.outstanding).sum::<u64>().min(last.saturating_sub(*first))
}

/// Without stacks what the runtime maps is not told from the rest: a rise that the heap alone can make accuses nobody.
fn by_number(course: Course, series: &Series, window: &Window) -> Course {
    let Course::Grows(growth) = &course else { return course };
    let counters = window.latest().and_then(|sample| sample.runtime.seen());
    let heap_bytes =
        counters.and_then(|it| it.heap).map_or(0, |heap| heap.in_use_bytes.saturating_add(heap.idle_bytes));
    let low = series.values.iter().copied().fold(f64::INFINITY, f64::min);
    let risen = series.values.last().map_or(0.0, |last| last - low);
    if risen > (heap_bytes / HUGE_PAGE_BYTES) as f64 {
        return course;
    }
    Course::Undecided(UndecidedWhy::Ambiguous {
        per_second: growth.rate.per_second,
        slowing: false,
        need_seconds: (2.0 * window.seconds()).max(90.0),
    })
}

#[cfg(test)]
mod tests {
    use crate::judge::judge;
    use crate::judge::simulation::window;
    use crate::judge::terms::{Bounds, Kind, Thresholds};
    use crate::observed::go_counters::{GoCounters, HeapCounters};

    #[test]
    fn pieces_of_the_heap_are_no_leak() {
        for (heap_mib, expected) in [(8, true), (40, true), (80, true), (100, false), (400, false)] {
            let judgement = judge(
                &window(|second, beat| {
                    beat.mappings += second as u64;
                    let heap = HeapCounters {
                        in_use_bytes: heap_mib << 19,
                        idle_bytes: heap_mib << 19,
                        ..HeapCounters::default()
                    };
                    beat.anon_bytes = heap_mib << 20;
                    beat.runtime =
                        Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles: Some(1) });
                }),
                &Bounds::default(),
                &Thresholds::default(),
            );
            let accused = judgement.findings.iter().any(|finding| finding.kind == Kind::Mapping);
            assert_eq!(accused, expected, "{heap_mib} MiB: {judgement:?}");
        }
    }
}
