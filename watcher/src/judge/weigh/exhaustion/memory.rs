//! When memory runs out, and which of its limits is reached first.
//!
//! Resident memory does not grow as the live heap does. The collector lets the heap reach the live heap times
//! 1 + GOGC/100 before it collects (`gcPercentHeapGoal`, `runtime/mgcpacer.go`). Of that headroom garbage takes what
//! leaks does not: where next to all that is allocated is garbage, a leak of a byte costs two by default; where all of
//! it leaks, one. With GOMEMLIMIT it collects ever more often from there on: garbage makes room for what leaks, until
//! the live heap alone fills the limit. Then the collector runs all the time, and memory grows on with the leak.

use crate::judge::judgement::Finding;
use crate::judge::terms::{Kind, LimitName, Rate};
use crate::judge::weigh::exhaustion::approach::{Approach, NONE, State, Times, comes_back, plus};
use crate::observed::Sample;
use crate::observed::go_counters::HeapCounters;
use crate::store::Window;

/// The runtime reserves address space by arenas of this size (`heapArenaBytes` on 64-bit Linux).
const ARENA_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

/// A goroutine's first stack (`stackMin`, `runtime/stack.go`).
const LEAST_STACK_BYTES: f64 = 2048.0;

/// A heap that grows by less than this says nothing of how much of what is new is touched.
const LEAST_HEAP_GROWTH_BYTES: f64 = 4.0 * 1024.0 * 1024.0;

/// From this part on the heap is taken to be resident as a whole: some pages of large objects are never touched.
const ALL_RESIDENT: f64 = 0.9;

/// Of fewer new goroutines than this one cannot tell how large their stacks are.
const ENOUGH_GOROUTINES: f64 = 12.0;

/// GOGC where it is not known.
const DEFAULT_GOGC: f64 = 100.0;

/// What all findings together take of memory, in bytes per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryDraw {
    /// Live objects on the Go heap: what is resident for them is more.
    live: Rate,
    /// Stacks of goroutines.
    stacks: Rate,
    /// Memory outside the Go heap.
    native: Rate,
    /// Part of what is new on the Go heap that is resident: 0 to 1.
    resident_part: f64,
}

impl MemoryDraw {
    pub(super) fn of(findings: &[Finding], window: &Window) -> MemoryDraw {
        let rate = |kind| {
            let of_kind = findings.iter().filter(|it| it.kind == kind && !comes_back(it));
            of_kind.fold(NONE, |sum, finding| plus(sum, finding.rate))
        };
        let stack = stack_bytes(window);
        let mut live = rate(Kind::Heap);
        if live == NONE {
            // Too little or too seldom collected for a finding of its own, and yet what goroutines hold.
            live.high = marked_bytes_per_second(window);
        }
        MemoryDraw {
            live,
            stacks: times(rate(Kind::Goroutine), stack),
            native: rate(Kind::Native),
            resident_part: resident_part(window),
        }
    }
}

fn times(rate: Rate, factor: f64) -> Rate {
    Rate { per_second: rate.per_second * factor, low: rate.low * factor, high: rate.high * factor }
}

fn heap_of(sample: &Sample) -> Option<&HeapCounters> {
    sample.runtime.seen()?.heap.as_ref()
}

/// Bytes of stack that each of the new goroutines has.
fn stack_bytes(window: &Window) -> f64 {
    let read = |sample: &Sample| {
        let counters = sample.runtime.seen()?;
        Some((counters.goroutines? as f64, counters.heap.as_ref()?.stack_bytes as f64))
    };
    let (first, last) = (window.samples().find_map(read), window.samples().rev().find_map(read));
    let each = first.zip(last).map(|((before, stacks_before), (now, stacks))| {
        if now - before >= ENOUGH_GOROUTINES {
            (stacks - stacks_before) / (now - before)
        } else {
            stacks / now.max(1.0)
        }
    });
    each.unwrap_or(LEAST_STACK_BYTES).max(LEAST_STACK_BYTES)
}

/// Which part of what the heap has grown by is resident. Pages that the program never touches are in its spans and take
/// no memory: limits that count resident pages do not see them.
///
/// Anonymous memory holds more than the heap, so what of the heap is surely not resident is the least that it can be.
fn resident_part(window: &Window) -> f64 {
    let read = |sample: &Sample| {
        let (heap, memory) = (heap_of(sample)?, sample.memory.seen()?);
        let spans = heap.in_use_bytes as f64;
        let backed = memory.anon_bytes.saturating_add(memory.swap_bytes) as f64;
        Some((spans, (spans - backed).max(0.0)))
    };
    let ends = window.samples().find_map(read).zip(window.samples().rev().find_map(read));
    ends.map_or(1.0, |((spans_before, absent_before), (spans, absent))| {
        let grown = spans - spans_before;
        if grown < LEAST_HEAP_GROWTH_BYTES {
            return 1.0;
        }
        (1.0 - (absent - absent_before) / grown).clamp(0.0, 1.0)
    })
}

fn marked_bytes_per_second(window: &Window) -> f64 {
    let marked = |sample: &Sample| Some((sample.runtime.at, heap_of(sample)?.marked_bytes? as f64));
    let ends = window.samples().find_map(marked).zip(window.samples().rev().find_map(marked));
    ends.map_or(0.0, |((began, first), (ended, last))| {
        let seconds = ended.seconds_since(&began);
        if seconds > 0.0 { ((last - first) / seconds).max(0.0) } else { 0.0 }
    })
}

/// All limits of memory and when each is reached.
pub(super) fn approaches(draw: &MemoryDraw, state: &State<'_>) -> Vec<Approach> {
    let (newest, bounds) = (state.newest, state.bounds);
    let heap = heap_of(newest).map(|heap| GoHeap::of(heap, state.window));
    let mut approaches = Vec::new();
    let mut hard = |limit: LimitName, value: Option<u64>, left: Option<f64>, others: Rate| {
        let counts_resident = !matches!(limit, LimitName::AddressSpace | LimitName::DataSize);
        let draw = if counts_resident { *draw } else { MemoryDraw { resident_part: 1.0, ..*draw } };
        let times = left.and_then(|left| when_full(left, &draw, heap.as_ref(), others));
        if let (Some(value), Some(times)) = (value, times) {
            approaches.push(Approach { limit, value, times });
        }
    };
    let of_cgroup = || {
        state.others(|sample| {
            let (all, own) = (sample.cgroup.seen()?.unreclaimable_bytes()?, sample.memory.seen()?);
            Some(all as f64 - (own.anon_bytes + own.shmem_bytes) as f64)
        })
    };
    if let Some(cgroup) = newest.cgroup.seen() {
        let left = |limit: Option<u64>, used: Option<u64>| Some(limit? as f64 - used? as f64);
        let left_of_max = left(cgroup.memory_limit_bytes, cgroup.unreclaimable_bytes());
        if left_of_max.is_some() {
            hard(LimitName::CgroupMemory, cgroup.memory_limit_bytes, left_of_max, of_cgroup());
        }
        if let Some(high) = cgroup.throttle {
            let left = high.limit_bytes as f64 - high.unreclaimable_bytes as f64;
            hard(LimitName::CgroupMemoryHigh, Some(high.limit_bytes), Some(left), of_cgroup());
        }
    }
    let available = bounds.host_available_bytes.map(|bytes| bytes as f64);
    hard(LimitName::HostMemory, bounds.host_memory_bytes, available, NONE);
    if let Some(memory) = newest.memory.seen() {
        let left = |limit: Option<u64>, used: u64| limit.map(|limit| limit as f64 - used as f64);
        let limits = bounds.limits;
        // The next arena is asked for as a whole.
        let space = left(limits.address_space_bytes, memory.virtual_bytes).map(|left| left - ARENA_BYTES);
        hard(LimitName::AddressSpace, limits.address_space_bytes, space, NONE);
        hard(LimitName::DataSize, limits.data_bytes, left(limits.data_bytes, memory.data_bytes), NONE);
    }
    if let Some(heap) = &heap
        && let Some((value, times)) = heap.when_collector_is_swamped(draw)
    {
        approaches.push(Approach { limit: LimitName::GoMemory, value, times });
    }
    approaches
}

/// The Go heap as the collector paces it.
struct GoHeap {
    /// GOGC / 100.
    headroom: f64,
    /// What the last collection found live.
    marked_bytes: f64,
    /// Allocated since then.
    since_bytes: f64,
    /// Spans with and without objects that were not given back.
    resident_bytes: f64,
    /// Size at which the next collection is due.
    goal_bytes: f64,
    /// GOMEMLIMIT.
    limit: Option<u64>,
    /// What counts against it now.
    counted_bytes: f64,
    /// All that is allocated, garbage included, per second.
    allocated_per_second: f64,
}

impl GoHeap {
    fn of(heap: &HeapCounters, window: &Window) -> GoHeap {
        let marked = heap.marked_bytes.unwrap_or(heap.live_bytes);
        let gogc = match (heap.gogc_percent, heap.memory_limit_bytes) {
            (Some(percent), _) => f64::from(percent),
            // Off, and the limit alone decides: until there nothing is collected at all.
            (None, Some(_)) => DEFAULT_GOGC,
            (None, None) => 0.0,
        };
        GoHeap {
            headroom: gogc / 100.0,
            marked_bytes: marked as f64,
            since_bytes: heap.live_bytes.saturating_sub(marked) as f64,
            resident_bytes: heap.in_use_bytes.saturating_add(heap.idle_bytes) as f64,
            goal_bytes: heap.goal_bytes.unwrap_or(0) as f64,
            limit: heap.memory_limit_bytes,
            counted_bytes: heap.mapped_bytes as f64,
            allocated_per_second: allocated_per_second(window),
        }
    }

    /// Part of what is allocated that stays live, where so much a second does.
    fn leaking_part(&self, live_per_second: f64) -> f64 {
        if self.allocated_per_second > 0.0 {
            (live_per_second / self.allocated_per_second).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// What is live now.
    fn live_bytes(&self, live_per_second: f64) -> f64 {
        self.marked_bytes + self.since_bytes * self.leaking_part(live_per_second)
    }

    /// The heap's size at a collection in relation to what that collection finds live. From one to the next the heap
    /// grows from `live` to `live * (1 + headroom)`, and what leaks of that is live then.
    fn peak_over_live(&self, live_per_second: f64) -> f64 {
        (1.0 + self.headroom) / (1.0 + self.headroom * self.leaking_part(live_per_second))
    }

    /// Seconds until so many bytes more than now are resident. `None` where nothing grows.
    fn seconds_to(&self, left: f64, live_per_second: f64, rest_per_second: f64) -> Option<f64> {
        let peak = self.peak_over_live(live_per_second);
        let per_second = peak * live_per_second + rest_per_second;
        if per_second <= 0.0 {
            return None;
        }
        let most = self.resident_bytes + left;
        let left_at_peaks = most - peak * self.live_bytes(live_per_second);
        // Where the next collection would come only beyond the limit, mere allocation reaches it.
        if self.goal_bytes >= most || left_at_peaks <= 0.0 {
            return Some(left / per_second.max(self.allocated_per_second + rest_per_second));
        }
        Some(left_at_peaks / per_second)
    }

    /// When the live heap alone fills GOMEMLIMIT. The low end is when the limit first holds the heap down, from where
    /// on it is collected more and more often.
    fn when_collector_is_swamped(&self, draw: &MemoryDraw) -> Option<(u64, Times)> {
        let limit = self.limit?;
        let beside = (self.counted_bytes - self.resident_bytes).max(0.0);
        let for_heap = limit as f64 - beside;
        let left = for_heap - self.live_bytes(draw.live.per_second);
        let mut times = Times::of(left, plus(draw.live, draw.stacks))?;
        let peak = self.peak_over_live(draw.live.high);
        let until_felt = (for_heap - peak * self.live_bytes(draw.live.high)).max(0.0);
        times.low = times.low.min(until_felt / (peak * draw.live.high + draw.stacks.high));
        Some((limit, times))
    }
}

fn allocated_per_second(window: &Window) -> f64 {
    let read = |sample: &Sample| Some((sample.runtime.at, heap_of(sample)?.total_allocated_bytes));
    let ends = window.samples().find_map(read).zip(window.samples().rev().find_map(read));
    ends.map_or(0.0, |((began, first), (ended, last))| {
        let seconds = ended.seconds_since(&began);
        if seconds > 0.0 { last.saturating_sub(first) as f64 / seconds } else { 0.0 }
    })
}

/// When so many bytes are used up.
fn when_full(left: f64, draw: &MemoryDraw, heap: Option<&GoHeap>, others: Rate) -> Option<Times> {
    let left = left.max(0.0);
    let rest = plus(plus(draw.stacks, draw.native), others);
    if draw.resident_part < ALL_RESIDENT {
        // The collector paces bytes that take no memory: how it does so says nothing of when that is used up.
        return Times::of(left, plus(times(draw.live, draw.resident_part), rest));
    }
    let Some(heap) = heap.filter(|_| draw.live != NONE) else {
        return Times::of(left, plus(draw.live, rest));
    };
    let low = heap.seconds_to(left, draw.live.high, rest.high)?;
    let held_down = heap.limit.is_some_and(|limit| limit as f64 - heap.counted_bytes < left);
    let (likely, high) = if held_down {
        let garbage = heap.resident_bytes - heap.live_bytes(draw.live.per_second);
        let room = left + garbage.max(0.0);
        let seconds = |rate: f64| (rate > 0.0).then(|| room / rate);
        let squeezed = plus(draw.live, rest);
        (seconds(squeezed.per_second)?, seconds(squeezed.low))
    } else {
        (
            heap.seconds_to(left, draw.live.per_second, rest.per_second)?,
            heap.seconds_to(left, draw.live.low, rest.low),
        )
    };
    Some(Times { likely, low: low.min(likely), high: high.map(|high| high.max(likely)) })
}
