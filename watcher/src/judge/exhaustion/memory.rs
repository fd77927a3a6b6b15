//! When memory runs out, and which of its limits is reached first.
//!
//! Resident memory does not grow as the live heap does. The collector lets the heap reach the live heap times
//! 1 + GOGC/100 before it collects (`gcPercentHeapGoal`, `runtime/mgcpacer.go`), so that a leak of a byte costs two
//! by default. With GOMEMLIMIT it collects ever more often from there on: garbage makes room for what leaks, until
//! the live heap alone fills the limit. Then the collector runs all the time, and memory grows on with the leak.

use super::{Approach, NONE, State, Times, comes_back, plus};
use crate::judge::{Finding, Kind, LimitName, Rate};
use crate::sample::Sample;
use crate::sample::runtime::HeapCounters;
use crate::store::Window;

/// The runtime reserves address space by arenas of this size (`heapArenaBytes` on 64-bit Linux).
const ARENA_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

/// A goroutine's first stack (`stackMin`, `runtime/stack.go`).
const LEAST_STACK_BYTES: f64 = 2048.0;

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
        MemoryDraw { live, stacks: times(rate(Kind::Goroutine), stack), native: rate(Kind::Native) }
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
    let mut hard = |limit, value: Option<u64>, left: Option<f64>, others: Rate| {
        let times = left.and_then(|left| when_full(left, draw, heap.as_ref(), others));
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
    /// Bytes that become resident for one that stays live.
    per_live_byte: f64,
    live_bytes: f64,
    /// Spans with and without objects that were not given back.
    resident_bytes: f64,
    /// What will be resident at the next collection beyond what is now; negative where there is room left by an
    /// earlier, larger heap.
    reserve: f64,
    /// GOMEMLIMIT.
    limit: Option<u64>,
    /// What counts against it now.
    counted_bytes: f64,
    /// All that is allocated, garbage included, per second.
    allocated_per_second: f64,
}

impl GoHeap {
    fn of(heap: &HeapCounters, window: &Window) -> GoHeap {
        let live_bytes = heap.marked_bytes.unwrap_or(heap.live_bytes) as f64;
        let resident_bytes = heap.in_use_bytes.saturating_add(heap.idle_bytes) as f64;
        let gogc = match (heap.gogc_percent, heap.memory_limit_bytes) {
            (Some(percent), _) => f64::from(percent),
            // Off, and the limit alone decides: until there nothing is collected at all.
            (None, Some(_)) => DEFAULT_GOGC,
            (None, None) => 0.0,
        };
        GoHeap {
            per_live_byte: 1.0 + gogc / 100.0,
            live_bytes,
            resident_bytes,
            reserve: heap.goal_bytes.map_or(0.0, |goal| goal as f64 - resident_bytes),
            limit: heap.memory_limit_bytes,
            counted_bytes: heap.mapped_bytes as f64,
            allocated_per_second: allocated_per_second(window),
        }
    }

    /// Garbage and free spans, which make room for what leaks once GOMEMLIMIT holds the heap down.
    fn slack(&self) -> f64 {
        (self.resident_bytes - self.live_bytes).max(0.0)
    }

    /// When the live heap alone fills GOMEMLIMIT. The low end is when the limit first holds the heap down, from where
    /// on it is collected more and more often.
    fn when_collector_is_swamped(&self, draw: &MemoryDraw) -> Option<(u64, Times)> {
        let limit = self.limit?;
        let beside = (self.counted_bytes - self.resident_bytes).max(0.0);
        let left = (limit as f64 - beside - self.live_bytes).max(0.0);
        let growth = plus(draw.live, draw.stacks);
        let mut times = Times::of(left, growth)?;
        let first_felt = (limit as f64 - beside - self.live_bytes * self.per_live_byte).max(0.0);
        times.low = first_felt / (draw.live.high * self.per_live_byte + draw.stacks.high);
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
    let Some(heap) = heap.filter(|_| draw.live != NONE) else {
        return Times::of(left, plus(draw.live, rest));
    };
    let resident = plus(times(draw.live, heap.per_live_byte), rest);
    let (room, reserve) = ((-heap.reserve).max(0.0), heap.reserve.max(0.0));
    // Where the next collection would come only beyond the limit, mere garbage reaches it.
    let before_collection = |rate: f64| left / heap.allocated_per_second.max(rate);
    let at = |left_of_it: f64, rate: f64| match rate {
        rate if rate <= 0.0 => None,
        rate if reserve >= left => Some(before_collection(rate)),
        rate => Some(left_of_it / rate),
    };
    let low = at(left - reserve, resident.high)?;
    let held_down = heap.limit.is_some_and(|limit| limit as f64 - heap.counted_bytes < left);
    let (likely, high) = if held_down {
        let squeezed = plus(draw.live, rest);
        let room = left + heap.slack();
        let seconds = |rate: f64| (rate > 0.0).then(|| room / rate);
        (seconds(squeezed.per_second), seconds(squeezed.low))
    } else {
        (at(left - reserve + room, resident.per_second), at(left + room, resident.low))
    };
    let likely = likely?;
    Some(Times { likely, low: low.min(likely), high: high.map(|high| high.max(likely)) })
}
