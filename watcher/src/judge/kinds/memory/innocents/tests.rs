use super::reason;
use crate::judge::simulation::window;
use crate::judge::weigh::reasons::SteadyWhy;
use crate::observed::go_counters::{GoCounters, HeapCounters};

const MIB: u64 = 1 << 20;

/// What a heap is told to be whose counters are these at each second, in MiB, with a collection every third.
fn told(counters: impl Fn(u64) -> HeapCounters) -> Option<&'static str> {
    let window = window(|second, beat| {
        let mut heap = counters(second as u64);
        for bytes in
            [&mut heap.live_bytes, &mut heap.in_use_bytes, &mut heap.idle_bytes, &mut heap.mapped_bytes]
        {
            *bytes *= MIB;
        }
        heap.marked_bytes = heap.marked_bytes.map(|bytes| bytes * MIB);
        heap.memory_limit_bytes = heap.memory_limit_bytes.map(|bytes| bytes * MIB);
        let gc_cycles = Some(second as u64 / 3);
        beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles });
    });
    Some(match reason(&window)? {
        SteadyWhy::HeldByLimit { .. } => "held by its limit",
        SteadyWhy::LiveHeapFilled { .. } => "filled",
        SteadyWhy::NotReturned { .. } => "not returned",
        SteadyWhy::HeapSawtooth { .. } => "a sawtooth",
        _ => "something else",
    })
}

/// A heap of 20 MiB that fills up to `peak` between collections.
fn saw(second: u64, peak: u64) -> HeapCounters {
    let live_bytes = 20 + (peak - 20) * (second % 3) / 2;
    let in_use_bytes = live_bytes;
    HeapCounters {
        marked_bytes: Some(20),
        live_bytes,
        in_use_bytes,
        mapped_bytes: peak,
        ..HeapCounters::default()
    }
}

#[test]
fn which_innocent_it_is() {
    assert_eq!(told(|second| saw(second, 100)), Some("a sawtooth"));
    // As any heap of that size: nothing to tell.
    assert_eq!(told(|second| saw(second, 30)), None);
    let limited = |limit| move |second| HeapCounters { memory_limit_bytes: Some(limit), ..saw(second, 100) };
    assert_eq!(told(limited(110)), Some("held by its limit"));
    assert_eq!(told(limited(1000)), Some("a sawtooth"));
    let idle = |idle_bytes| move |second| HeapCounters { idle_bytes, ..saw(second, 30) };
    assert_eq!(told(idle(90)), Some("not returned"));
    assert_eq!(told(idle(10)), None);
    // What a collection frees is used again until the next: free right after one, and at the last look by chance.
    let swept = |second| HeapCounters { idle_bytes: 100 - saw(second, 100).in_use_bytes, ..saw(second, 100) };
    assert_eq!(told(swept), Some("a sawtooth"));
    // A burst half way through the window, and free ever since.
    let burst = |second| HeapCounters { idle_bytes: if second < 20 { 0 } else { 90 }, ..saw(second, 30) };
    assert_eq!(told(burst), Some("not returned"));
    // A burst that was over before, and given back to the system since.
    let over = |second| if second < 8 { saw(second, 100) } else { saw(second, 30) };
    assert_eq!(told(over), None);
    // Live bytes that fall from collection to collection are the foot of no saw.
    let falling = |second: u64| HeapCounters { marked_bytes: Some(100 - second), ..saw(second, 100) };
    assert_eq!(told(falling), None);
    let filling = |second: u64| {
        let marked_bytes = Some(20 + second.min(15));
        HeapCounters { marked_bytes, live_bytes: 20, in_use_bytes: 40, ..HeapCounters::default() }
    };
    assert_eq!(told(filling), Some("filled"));
}
