//! Goroutines, live heap and collections, as a Go runtime counts them.

use serde::{Deserialize, Serialize};

/// What the runtime says about its heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeapCounters {
    /// Collections since the start, `MemStats.NumGC`; one that is under way does not count until it has marked.
    pub gc_cycles: u32,
    /// GOGC; `None` where it is `off`.
    pub gogc_percent: Option<u32>,
    /// GOMEMLIMIT; `None` where there is none.
    pub memory_limit_bytes: Option<u64>,
    /// Objects allocated and not yet known to be dead, in whole spans that are being filled (`heapLive`).
    pub live_bytes: u64,
    /// What the last collection found reachable (`heapMarked`): the live heap. `None` before the first.
    pub marked_bytes: Option<u64>,
    /// Size at which the next collection should be complete, `MemStats.NextGC`; `None` where none will start.
    pub goal_bytes: Option<u64>,
    /// Spans that hold objects, `MemStats.HeapInuse`.
    pub in_use_bytes: u64,
    /// Spans that hold nothing and were not given back: `MemStats.HeapIdle - HeapReleased`.
    pub idle_bytes: u64,
    /// Given back to the system, `MemStats.HeapReleased`.
    pub released_bytes: u64,
    /// Goroutine stacks as the collector weighs them (`maxStackScan`).
    pub stack_bytes: u64,
    /// Objects allocated since the start, counted when a span is filled: a rate, not `MemStats.TotalAlloc` exactly.
    pub total_allocated_bytes: u64,
    /// Objects freed since the start, counted when a span is swept.
    pub total_freed_bytes: u64,
    /// All memory that the runtime has mapped and could be resident: heap, stacks, its own structures.
    pub mapped_bytes: u64,
}

/// The cheap numbers: a few hundred bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoCounters {
    /// Goroutines that live, the runtime's own included.
    pub goroutines: Option<u64>,
    /// Numbers of the garbage collector.
    pub heap: Option<HeapCounters>,
    /// Garbage collections that began sweeping.
    pub gc_cycles: Option<u64>,
}
