//! The runtime's own books about its heap: a few words that say what is live, what the next collection waits for,
//! and what was given back.
//!
//! `runtime.gcController` (`runtime/mgcpacer.go`) and `runtime.mheap_` (`runtime/mheap.go`). Over the versions the
//! fields have only moved as a whole, so that one offset places all of them. A table by version names it, and sums
//! that the runtime itself keeps decide: what the goal follows from, and pages in use against bytes in use. Where no
//! known offset satisfies them, others are tried.

pub mod heap_reader;
pub mod own_memory;
pub mod profile;
pub mod scale;
pub mod spans;

use super::bytes::{array_at, u32_at, u64_at};
use super::{Memory, Unreadable};
use crate::observed::go_counters::HeapCounters;

/// `_PageSize` of the runtime's heap, on all platforms.
pub const PAGE_BYTES: u64 = 8192;
/// `defaultHeapMinimum`: with GOGC=100 no collection starts below.
const DEFAULT_HEAP_MINIMUM: u64 = 4 << 20;
/// Read of `gcController`: all fields used here in every layout that is tried.
const CONTROLLER_BYTES: usize = 0x200;
/// Read of `mheap_`: `sweepgen`, `allspans`, `pagesInUse`, which follow each other in all versions.
const MHEAP_BYTES: usize = 0x28;
/// More spans than a process with terabytes of heap has.
pub(super) const MAX_SPANS: u64 = 1 << 28;
/// A live process changes between two words that are read; it does not do so every time.
const ATTEMPTS: usize = 24;

/// Offsets of fields from `gcPercentHeapGoal`, the same from Go 1.19 to 1.27.
pub(super) mod from_goal {
    pub const SWEEP_TRIGGER: usize = 0x08;
    pub const TRIGGERED: usize = 0x10;
    pub const HEAP_LIVE: usize = 0x20;
    pub const LAST_STACK_SCAN: usize = 0x38;
    pub const MAX_STACK_SCAN: usize = 0x40;
    pub const GLOBALS_SCAN: usize = 0x48;
    pub const HEAP_MARKED: usize = 0x50;
    pub const HEAP_IN_USE: usize = 0xc8;
    pub const HEAP_RELEASED: usize = 0xd0;
    pub const HEAP_FREE: usize = 0xd8;
    pub const TOTAL_ALLOC: usize = 0xe0;
    pub const TOTAL_FREE: usize = 0xe8;
    pub const MAPPED_READY: usize = 0xf0;
    pub const END: usize = 0xf8;
}

/// Offset of `gcController.gcPercentHeapGoal`.
type GoalOffset = usize;
const GO_1_19: GoalOffset = 0x68;
const GO_1_20: GoalOffset = 0x30;
pub(super) const GO_1_21: GoalOffset = 0x48;

/// The heap of one process, found and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heap {
    controller: u64,
    all_spans: u64,
    goal: GoalOffset,
    certainty: Certainty,
}

/// How the place of the fields is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// The table for this version and the process's own sums agree.
    Confirmed,
    /// The version is not in the table, or the table is wrong about it; the sums alone decided.
    Calibrated,
}

/// Why the heap's books cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeapError {
    /// The memory is not there, or may not be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// What lies there contradicts itself: it is something else, or a layout that is not known.
    #[error("the heap's counters do not add up: {what}")]
    Implausible {
        /// Which check failed.
        what: &'static str,
    },
}

/// The words of `mheap_` around `allspans`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mheap {
    pub sweep_generation: u32,
    pub all_spans: u64,
    pub span_count: u64,
    pub pages_in_use: u64,
}

impl Heap {
    /// Checks that `gcController` lies at `controller` and `mheap_.allspans` at `all_spans`, and how the fields are
    /// laid out in this process. `minor` is that of the toolchain: 21 for Go 1.21.
    ///
    /// # Errors
    /// See [`HeapError`].
    pub fn locate(
        memory: &(impl Memory + ?Sized),
        controller: u64,
        all_spans: u64,
        minor: Option<u32>,
    ) -> Result<Heap, HeapError> {
        let mut refused = HeapError::Implausible { what: "nothing was read" };
        let known = known_goal(minor);
        for _ in 0..ATTEMPTS {
            let (bytes, mheap) = read_both::<CONTROLLER_BYTES>(memory, controller, all_spans)?;
            match find_goal(&bytes, &mheap, known) {
                Ok((goal, certainty)) => return Ok(Heap { controller, all_spans, goal, certainty }),
                Err(what) => refused = HeapError::Implausible { what },
            }
        }
        Err(refused)
    }

    /// How the place of the fields is known.
    pub fn certainty(&self) -> Certainty {
        self.certainty
    }

    /// Address of `mheap_.sweepgen`, which counts collections by two.
    pub fn sweep_generation_address(&self) -> u64 {
        self.all_spans.wrapping_sub(8)
    }

    /// The ranges that [`Heap::counters`] reads.
    pub(super) fn ranges(&self) -> [(u64, usize); 2] {
        ranges::<CONTROLLER_BYTES>(self.controller, self.all_spans)
    }

    /// Reads the counters: two short ranges in one read.
    ///
    /// # Errors
    /// Where the memory cannot be read, or no longer holds what it did.
    pub fn counters(&self, memory: &(impl Memory + ?Sized)) -> Result<HeapCounters, HeapError> {
        let (controller, mheap) = read_both::<CONTROLLER_BYTES>(memory, self.controller, self.all_spans)?;
        let settings =
            settings(&controller).ok_or(HeapError::Implausible { what: "GOGC and heap minimum" })?;
        let fields = Fields { controller: &controller, goal: self.goal };
        fields.counters(&settings, &mheap).ok_or(HeapError::Implausible { what: "read too little" })
    }

    /// Reads where the spans are listed now.
    pub(super) fn mheap(&self, memory: &(impl Memory + ?Sized)) -> Result<Mheap, HeapError> {
        let mut bytes = [0; MHEAP_BYTES];
        memory.read(self.sweep_generation_address(), &mut bytes)?;
        Mheap::parse(&bytes).ok_or(HeapError::Implausible { what: "list of spans" })
    }
}

fn ranges<const N: usize>(controller: u64, all_spans: u64) -> [(u64, usize); 2] {
    [(controller, N), (all_spans.wrapping_sub(8), MHEAP_BYTES)]
}

/// The beginning of `gcController` and the words around `allspans`, in one read.
fn read_both<const N: usize>(
    memory: &(impl Memory + ?Sized),
    controller: u64,
    all_spans: u64,
) -> Result<([u8; N], Mheap), HeapError> {
    let ranges = ranges::<N>(controller, all_spans);
    let mut bytes = vec![0; N + MHEAP_BYTES];
    let mut readable = Vec::new();
    memory.read_many(&ranges, &mut bytes, &mut readable);
    for ((address, length), readable) in ranges.into_iter().zip(readable) {
        if !readable {
            return Err(Unreadable { address, length }.into());
        }
    }
    let controller = array_at(&bytes, 0);
    let mheap = bytes.get(N..).and_then(Mheap::parse);
    controller.zip(mheap).ok_or(HeapError::Implausible { what: "list of spans" })
}

impl Mheap {
    /// Takes `sweepgen`, `allspans` and `pagesInUse` out of bytes that begin with them, if they can be that.
    fn parse(bytes: &[u8]) -> Option<Mheap> {
        let word = |index: usize| u64_at(bytes, index * 8);
        let mheap = Mheap {
            sweep_generation: u32_at(bytes, 0)?,
            all_spans: word(1)?,
            // A slice whose length exceeds its capacity is none.
            span_count: word(2).filter(|length| Some(*length) <= word(3))?,
            pages_in_use: word(4)?,
        };
        let is_plausible = mheap.sweep_generation.is_multiple_of(2)
            && mheap.all_spans >= 4096
            && mheap.all_spans.is_multiple_of(8)
            && (1..=MAX_SPANS).contains(&mheap.span_count)
            && (1..1 << 40).contains(&mheap.pages_in_use);
        is_plausible.then_some(mheap)
    }
}

/// `gcPercent` (-1 for off), the memory limit and the heap minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    gc_percent: i32,
    memory_limit: u64,
    heap_minimum: u64,
}

/// The fixed beginning of `gcController`, if it is one: the minimum follows from GOGC, by a multiplication that
/// wraps around for GOGC=off (`setGCPercent`).
fn settings(controller: &[u8]) -> Option<Settings> {
    let gc_percent = i32::from_le_bytes(array_at(controller, 0)?);
    let memory_limit = u64_at(controller, 8)?;
    let heap_minimum = u64_at(controller, 16)?;
    let minimum = DEFAULT_HEAP_MINIMUM.wrapping_mul(i64::from(gc_percent).cast_unsigned()) / 100;
    let is_limit = i64::try_from(memory_limit).is_ok();
    (gc_percent >= -1 && u32_at(controller, 4)? == 0 && is_limit && heap_minimum == minimum)
        .then_some(Settings { gc_percent, memory_limit, heap_minimum })
}

/// Finds the offset of the fields: the known one if it fits, else another that does.
fn find_goal(
    controller: &[u8],
    mheap: &Mheap,
    known: Option<GoalOffset>,
) -> Result<(GoalOffset, Certainty), &'static str> {
    let settings = settings(controller).ok_or("GOGC and heap minimum")?;
    let check = |goal| Fields { controller, goal }.check(&settings, mheap);
    if let Some(goal) = known.filter(|goal| check(*goal).is_ok()) {
        return Ok((goal, Certainty::Confirmed));
    }
    let others = (0x20..=controller.len().saturating_sub(from_goal::END)).step_by(8);
    let fits = |goal: &GoalOffset| check(*goal).is_ok();
    match [GO_1_21, GO_1_20, GO_1_19].into_iter().find(fits) {
        Some(goal) => Ok((goal, Certainty::Calibrated)),
        None => {
            let mut fitting = others.filter(fits);
            match (fitting.next(), fitting.next()) {
                (Some(goal), None) => Ok((goal, Certainty::Calibrated)),
                (Some(_), Some(_)) => Err("more than one layout fits"),
                (None, _) => Err(check(known.unwrap_or(GO_1_21)).err().unwrap_or("no layout fits")),
            }
        }
    }
}

/// What GOGC alone makes of what was marked (`gcControllerState.commit`).
fn goal_by_percent(settings: &Settings, marked: u64, stacks: u64, globals: u64) -> u64 {
    let Ok(percent) = u64::try_from(settings.gc_percent) else { return u64::MAX };
    let work = marked.wrapping_add(stacks).wrapping_add(globals);
    marked.wrapping_add(work.wrapping_mul(percent) / 100).max(settings.heap_minimum)
}

fn known_goal(minor: Option<u32>) -> Option<GoalOffset> {
    match minor? {
        19 => Some(GO_1_19),
        20 => Some(GO_1_20),
        21..=27 => Some(GO_1_21),
        _ => None,
    }
}

/// The fields of a `gcController` whose layout is known, or tried.
struct Fields<'a> {
    controller: &'a [u8],
    goal: GoalOffset,
}

impl Fields<'_> {
    fn at(&self, from_goal: usize) -> Option<u64> {
        u64_at(self.controller, self.goal.checked_add(from_goal)?)
    }

    /// Do the sums hold that the runtime keeps? Bytes in use are counted here and, in pages, in `mheap_`; the goal
    /// follows from what was marked (`gcControllerState.commit`).
    fn check(&self, settings: &Settings, mheap: &Mheap) -> Result<(), &'static str> {
        let in_use = mheap.pages_in_use.checked_mul(PAGE_BYTES);
        if in_use.is_none() || self.at(from_goal::HEAP_IN_USE) != in_use {
            return Err("bytes in use against pages in use");
        }
        let is_whole = |at| self.at(at).is_some_and(|bytes| bytes.is_multiple_of(4096));
        if !is_whole(from_goal::HEAP_RELEASED)
            || !is_whole(from_goal::HEAP_FREE)
            || self.at(from_goal::TOTAL_FREE) > self.at(from_goal::TOTAL_ALLOC)
        {
            return Err("released, free and allocated bytes");
        }
        let goal = || {
            let marked = self.at(from_goal::HEAP_MARKED)?;
            let stacks = self.at(from_goal::LAST_STACK_SCAN)?;
            Some(goal_by_percent(settings, marked, stacks, self.at(from_goal::GLOBALS_SCAN)?))
        };
        if goal().is_none() || self.at(0) != goal() {
            return Err("goal against marked bytes");
        }
        Ok(())
    }

    fn counters(&self, settings: &Settings, mheap: &Mheap) -> Option<HeapCounters> {
        let gc_cycles = mheap.sweep_generation / 2;
        let goal = self.heap_goal(settings)?;
        let memory_limit_bytes =
            Some(settings.memory_limit).filter(|limit| *limit != i64::MAX.cast_unsigned());
        Some(HeapCounters {
            gc_cycles,
            gogc_percent: u32::try_from(settings.gc_percent).ok(),
            memory_limit_bytes,
            live_bytes: self.at(from_goal::HEAP_LIVE)?,
            marked_bytes: self.at(from_goal::HEAP_MARKED).filter(|_| gc_cycles > 0),
            // With neither, the runtime computes a goal from the largest number there is.
            goal_bytes: (settings.gc_percent >= 0 || memory_limit_bytes.is_some()).then_some(goal),
            in_use_bytes: self.at(from_goal::HEAP_IN_USE)?,
            idle_bytes: self.at(from_goal::HEAP_FREE)?,
            released_bytes: self.at(from_goal::HEAP_RELEASED)?,
            stack_bytes: self.at(from_goal::MAX_STACK_SCAN)?,
            total_allocated_bytes: self.at(from_goal::TOTAL_ALLOC)?,
            total_freed_bytes: self.at(from_goal::TOTAL_FREE)?,
            mapped_bytes: self.at(from_goal::MAPPED_READY)?,
        })
    }

    /// `gcControllerState.heapGoalInternal`: the goal by GOGC or by memory limit, whichever is lower.
    fn heap_goal(&self, settings: &Settings) -> Option<u64> {
        /// Distance that is kept to where the collection began.
        const MIN_RUNWAY: u64 = 64 << 10;
        let by_percent = self.at(0)?;
        let by_limit = self.goal_by_limit(settings)?;
        if by_limit < by_percent {
            return Some(by_limit);
        }
        let goal = by_percent.max(self.at(from_goal::SWEEP_TRIGGER)?);
        Some(match self.at(from_goal::TRIGGERED)? {
            u64::MAX => goal,
            triggered => goal.max(triggered.saturating_add(MIN_RUNWAY)),
        })
    }

    /// `gcControllerState.memoryLimitHeapGoal`.
    fn goal_by_limit(&self, settings: &Settings) -> Option<u64> {
        const MIN_HEADROOM: u64 = 1 << 20;
        let limit = settings.memory_limit;
        let marked = self.at(from_goal::HEAP_MARKED)?;
        let mapped = self.at(from_goal::MAPPED_READY)?;
        let objects = self.at(from_goal::TOTAL_ALLOC)?.saturating_sub(self.at(from_goal::TOTAL_FREE)?);
        let beside_heap = mapped.saturating_sub(self.at(from_goal::HEAP_FREE)?).saturating_sub(objects);
        let taken = beside_heap.saturating_add(mapped.saturating_sub(limit));
        let Some(goal) = limit.checked_sub(taken).filter(|goal| *goal > 0) else { return Some(marked) };
        // Go 1.19 always kept one MiB, later ones three percent if that is more.
        let headroom = if self.goal == GO_1_19 { MIN_HEADROOM } else { (goal / 100 * 3).max(MIN_HEADROOM) };
        let goal = goal.checked_sub(headroom).filter(|goal| *goal >= headroom).unwrap_or(headroom);
        Some(goal.max(marked))
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorded::Recorded;
    use super::{Certainty, GO_1_19, GO_1_21, Heap, HeapError, from_goal};
    use proptest::prelude::*;

    const CONTROLLER: u64 = 0x50_0000;
    const ALL_SPANS: u64 = 0x60_0008;

    /// A `gcController` with these GOGC and memory limit that marked 30 MiB, and the words of `mheap_` beside it.
    fn memory(goal: usize, percent: i32, limit: u64) -> Recorded {
        let mut controller = vec![0; 0x300];
        let minimum = (4_u64 << 20).wrapping_mul(i64::from(percent).cast_unsigned()) / 100;
        let by_percent = match u64::try_from(percent) {
            Ok(percent) => (30 << 20) + ((30 << 20) + 2048 + 4096) * percent / 100,
            Err(_) => u64::MAX,
        };
        for (offset, value) in [
            (0, u64::from(percent.cast_unsigned())),
            (8, limit),
            (16, minimum),
            (goal, by_percent),
            (goal + from_goal::SWEEP_TRIGGER, 1 << 20),
            (goal + from_goal::TRIGGERED, u64::MAX),
            (goal + from_goal::HEAP_LIVE, 40 << 20),
            (goal + from_goal::LAST_STACK_SCAN, 2048),
            (goal + from_goal::GLOBALS_SCAN, 4096),
            (goal + from_goal::HEAP_MARKED, 30 << 20),
            (goal + from_goal::HEAP_IN_USE, 48 << 20),
            (goal + from_goal::HEAP_RELEASED, 8 << 20),
            (goal + from_goal::HEAP_FREE, 4 << 20),
            (goal + from_goal::TOTAL_ALLOC, 900 << 20),
            (goal + from_goal::TOTAL_FREE, 860 << 20),
            (goal + from_goal::MAPPED_READY, 64 << 20),
        ] {
            controller[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        }
        let words = [14, 0x7000_0000, 300, 512, (48 << 20) / 8192];
        Recorded::new().with(CONTROLLER, &controller).with_words(ALL_SPANS - 8, &words)
    }

    #[test]
    fn the_table_is_confirmed_and_unknown_versions_are_calibrated() {
        for (goal, minor, expected) in [
            (GO_1_19, Some(19), Certainty::Confirmed),
            (GO_1_21, Some(27), Certainty::Confirmed),
            (GO_1_21, Some(28), Certainty::Calibrated),
            (GO_1_19, None, Certainty::Calibrated),
            (0x90, Some(28), Certainty::Calibrated),
            (0x60, Some(25), Certainty::Calibrated),
        ] {
            let memory = memory(goal, 100, i64::MAX.cast_unsigned());
            let heap = Heap::locate(&memory, CONTROLLER, ALL_SPANS, minor).unwrap();
            assert_eq!((heap.goal, heap.certainty()), (goal, expected));
            let counters = heap.counters(&memory).unwrap();
            assert_eq!(counters.gc_cycles, 7);
            assert_eq!(counters.gogc_percent, Some(100));
            assert_eq!(counters.memory_limit_bytes, None);
            assert_eq!(counters.marked_bytes, Some(30 << 20));
            assert_eq!(counters.live_bytes, 40 << 20);
            assert_eq!(counters.goal_bytes, Some((60 << 20) + 6144));
            assert_eq!(counters.in_use_bytes, 48 << 20);
            assert_eq!((counters.idle_bytes, counters.released_bytes), (4 << 20, 8 << 20));
        }
    }

    /// 20 MiB of 64 MiB mapped are neither objects nor free; the goal takes what the limit leaves beside them.
    #[test]
    fn the_goal_follows_gogc_and_the_memory_limit() {
        const NONE: u64 = i64::MAX.cast_unsigned();
        const MIB: u64 = 1 << 20;
        for (goal, percent, limit, expected) in [
            (GO_1_21, -1, NONE, None),
            (GO_1_21, 200, NONE, Some(90 * MIB + 12_288)),
            (GO_1_21, -1, 84 * MIB, Some(64 * MIB - 64 * MIB / 100 * 3)),
            (GO_1_19, -1, 84 * MIB, Some(63 * MIB)),
            (GO_1_21, 100, 54 * MIB, Some(30 * MIB)),
            (GO_1_21, 100, 20 * MIB, Some(30 * MIB)),
            (GO_1_21, 100, 800 * MIB, Some(60 * MIB + 6144)),
        ] {
            let memory = memory(goal, percent, limit);
            let heap = Heap::locate(&memory, CONTROLLER, ALL_SPANS, None).unwrap();
            let counters = heap.counters(&memory).unwrap();
            assert_eq!(counters.goal_bytes, expected, "GOGC={percent} GOMEMLIMIT={limit}");
            assert_eq!(counters.gogc_percent, u32::try_from(percent).ok());
            assert_eq!(counters.memory_limit_bytes.is_some(), limit != NONE);
        }
    }

    #[test]
    fn contradictions_are_refused_with_their_name() {
        let good = || memory(GO_1_21, 100, i64::MAX.cast_unsigned());
        let goal = CONTROLLER + GO_1_21 as u64;
        for (address, expected) in [
            (CONTROLLER, "GOGC and heap minimum"),
            (goal + 1, "goal against marked bytes"),
            (goal + from_goal::HEAP_MARKED as u64, "goal against marked bytes"),
            (goal + from_goal::HEAP_IN_USE as u64 + 2, "bytes in use against pages in use"),
            (goal + from_goal::HEAP_FREE as u64, "released, free and allocated bytes"),
            (ALL_SPANS - 8, "list of spans"),
            (ALL_SPANS, "list of spans"),
            (ALL_SPANS + 14, "list of spans"),
        ] {
            let memory = good().changed(address, |byte| byte ^ 0x11);
            let error = Heap::locate(&memory, CONTROLLER, ALL_SPANS, Some(26)).unwrap_err();
            assert_eq!(error, HeapError::Implausible { what: expected }, "{address:#x}");
        }
        let nowhere = Heap::locate(&good(), 0x10, ALL_SPANS, None).unwrap_err();
        assert_eq!(nowhere.to_string(), "512 bytes at 0x10 are not readable");
    }

    proptest! {
        #[test]
        fn garbled_memory_does_no_harm(
            garbage in prop::collection::vec(any::<u8>(), 0x200..0x300),
            words in prop::array::uniform5(any::<u64>()),
            minor in prop::option::of(15_u32..40),
        ) {
            let memory = Recorded::new().with(CONTROLLER, &garbage).with_words(ALL_SPANS - 8, &words);
            if let Ok(heap) = Heap::locate(&memory, CONTROLLER, ALL_SPANS, minor) {
                _ = heap.counters(&memory);
            }
        }

        #[test]
        fn one_wild_byte_does_no_harm(offset in 0_u64..0x200, bits in 1_u8.., limit in 0..i64::MAX) {
            let memory = memory(GO_1_21, 100, limit.cast_unsigned());
            let heap = Heap::locate(&memory, CONTROLLER, ALL_SPANS, None);
            let garbled = memory.changed(CONTROLLER + offset, |byte| byte ^ bits);
            if let Ok(heap) = heap {
                _ = heap.counters(&garbled);
            }
            _ = Heap::locate(&garbled, CONTROLLER, ALL_SPANS, None);
        }
    }
}
