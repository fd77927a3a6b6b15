//! What all ledgers share: whose events count, and the counts that are kept apart from stacks.

use crate::kernel::{Pointer, TASK_GROUP_LEADER, TASK_PID, TASK_START_BOOTTIME, TASK_TGID, Task, current};
use aya_ebpf::bindings::BPF_F_NO_PREALLOC;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_boot_ns};
use aya_ebpf::macros::map;
use aya_ebpf::maps::{HashMap, PerCpuArray};
use watcher_ebpf::{LOSSES as LOSS_COUNTERS, Tally, TallyKey, Watched};

/// The processes that are watched. The first act of every hook is to look here; the others pay no more than that.
#[map]
static WATCHED: HashMap<u32, Watched> = HashMap::with_max_entries(64, 0);

/// One for each ledger of each watched process.
#[map]
static TALLIES: HashMap<TallyKey, Tally> = HashMap::with_max_entries(384, 0);

/// What was dropped, by reason.
#[map]
static LOSSES: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOSS_COUNTERS, 0);

/// Maps whose entries come and go take memory for those that are there, not for all that could be.
pub const ON_DEMAND: u32 = BPF_F_NO_PREALLOC;

/// The current task, which belongs to a watched process.
#[derive(Clone, Copy)]
pub struct Watching {
    pub task: Pointer<Task>,
    pub tgid: u32,
    pub watched: &'static Watched,
}

/// The current task, where its process is watched for `ledger`.
#[inline(always)]
pub fn watching(ledger: u32) -> Option<Watching> {
    let task = current();
    let tgid = TASK_TGID.of(task);
    // SAFETY: user space replaces whole entries; a program that holds an old one sees it unchanged until it ends.
    let watched = unsafe { WATCHED.get(tgid) }?;
    if watched.ledgers & ledger == 0 {
        return None;
    }
    let start_ns = TASK_START_BOOTTIME.of(TASK_GROUP_LEADER.of(task));
    let is_it = start_ns >= watched.start_from_ns && start_ns < watched.start_until_ns;
    is_it.then_some(Watching { task, tgid, watched })
}

/// The watched process with this id, on whose account something ended in another one. `task` is the one that the
/// program runs for.
#[inline(always)]
pub fn watching_process(task: Pointer<Task>, tgid: u32, ledger: u32) -> Option<Watching> {
    // SAFETY: as above.
    let watched = unsafe { WATCHED.get(tgid) }?;
    (watched.ledgers & ledger != 0).then_some(Watching { task, tgid, watched })
}

impl Watching {
    /// The thread's id.
    #[inline(always)]
    pub fn tid(&self) -> u32 {
        TASK_PID.of(self.task)
    }

    /// Counts one apart from stacks.
    #[inline(always)]
    pub fn tally(&self, ledger: u32, count: impl Fn(&'static Tally) -> *const u64) {
        self.tally_of(ledger, 1, count);
    }

    /// Counts something that stands for `weight` of its kind.
    #[inline(always)]
    pub fn tally_of(&self, ledger: u32, weight: u32, count: impl Fn(&'static Tally) -> *const u64) {
        self.tally_of_amount(ledger, u64::from(weight), count);
    }

    /// Adds to a count, or with a number that wraps around takes away.
    #[inline(always)]
    pub fn tally_of_amount(&self, ledger: u32, amount: u64, count: impl Fn(&'static Tally) -> *const u64) {
        if let Some(tally) = TALLIES.get_ptr(TallyKey { tgid: self.tgid, ledger }) {
            // SAFETY: the entry stays valid until this program ends.
            add(count(unsafe { &*tally }), amount);
        }
    }
}

/// Adds to a counter that other CPUs may add to as well: an aligned number in a map, which programs change in this
/// way only.
///
/// On the BPF target Rust's own atomics have no such operation, although the machine does.
#[cfg(target_arch = "bpf")]
#[inline(always)]
pub fn add(counter: *const u64, amount: u64) {
    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    // SAFETY: as said.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter.cast_mut(), amount) };
}

/// The same for stable toolchains, which check these programs for their own machine.
#[cfg(not(target_arch = "bpf"))]
pub fn add(counter: *const u64, amount: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: as said.
    let counter = unsafe { AtomicU64::from_ptr(counter.cast_mut()) };
    counter.fetch_add(amount, Ordering::Relaxed);
}

/// Counts something that was dropped.
#[inline(always)]
pub fn lose(reason: u32) {
    if let Some(lost) = LOSSES.get_ptr_mut(reason) {
        // SAFETY: the slot of this CPU. A program that interrupts this very line costs one count at most.
        unsafe { *lost += 1 };
    }
}

/// CLOCK_BOOTTIME in nanoseconds.
#[inline(always)]
pub fn now_ns() -> u64 {
    // SAFETY: takes nothing and only reads a clock.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// The time of the first program of a tick on this CPU, and how often it was told since.
#[repr(C)]
struct Clock {
    tick: u64,
    told_ns: u64,
}

#[map]
static CLOCK: PerCpuArray<Clock> = PerCpuArray::with_max_entries(1, 0);

/// CLOCK_BOOTTIME in nanoseconds as it was up to one of the kernel's ticks ago, and never what was told here before:
/// reading the clock costs as much as two lookups.
#[inline(always)]
pub fn coarse_now_ns() -> u64 {
    let Some(clock) = CLOCK.get_ptr_mut(0) else { return now_ns() };
    // SAFETY: takes nothing and only reads a counter.
    let tick = unsafe { bpf_jiffies64() };
    // SAFETY: the slot of this CPU. A program that interrupts this very line tells the same time at most.
    let clock = unsafe { &mut *clock };
    if clock.tick == tick {
        clock.told_ns += 1;
    } else {
        clock.tick = tick;
        clock.told_ns = now_ns();
    }
    clock.told_ns
}
