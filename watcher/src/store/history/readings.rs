//! The totals of a sample that a history keeps, and from which sample each of them is new.

use crate::observed::Sample;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::reading::Moment;

/// How many there are.
pub const SIGNALS: usize = 13;

/// A goroutine's stack begins with 2 KiB and is seldom larger than this.
const STACK_BYTES: u64 = 8 * 1024;

/// A total that a history keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Open descriptors.
    Descriptors,
    /// ... that are no sockets.
    Files,
    /// ... that are.
    Sockets,
    /// OS threads.
    Threads,
    /// Goroutines.
    Goroutines,
    /// What the last collection found live, in bytes.
    LiveHeap,
    /// Anonymous memory that the Go runtime does not account for, in bytes.
    OutsideGo,
    /// Anonymous memory, swapped out or not, in bytes.
    Anonymous,
    /// Resident pages of mapped files, in bytes.
    FilePages,
    /// Resident shared memory, in bytes.
    SharedPages,
    /// Mappings.
    Mappings,
    /// Children that have exited and were not waited for.
    Zombies,
    /// Bytes that the Go runtime allocates per second: how much work is done.
    Allocation,
}

/// The totals of one moment; none where one could not be read, or was not read anew.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings([Option<f64>; SIGNALS]);

impl Readings {
    /// Says what one of them was.
    pub fn set(&mut self, signal: Signal, value: f64) {
        self.0[signal as usize] = Some(value);
    }

    /// One of them.
    pub fn get(&self, signal: Signal) -> Option<f64> {
        self.0[signal as usize]
    }

    /// All of them, in the order of [`Signal`].
    pub fn values(&self) -> &[Option<f64>; SIGNALS] {
        &self.0
    }
}

/// Reads the totals off samples that come one after the other.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    types_at: Option<Moment>,
    threads_at: Option<Moment>,
    mappings_at: Option<Moment>,
    allocated: Option<(Moment, u64)>,
}

impl Reader {
    /// The totals of the next sample.
    pub fn read(&mut self, sample: &Sample) -> Readings {
        let mut readings = Readings::default();
        let mut set = |signal, value: Option<u64>| {
            if let Some(value) = value {
                readings.set(signal, value as f64);
            }
        };
        let descriptors = sample.descriptors.seen().copied();
        set(Signal::Descriptors, descriptors);
        if let Some(types) = sample.descriptor_types.seen() {
            // A reading of the types that is older than its sample still holds while their number has not moved.
            if is_new(&mut self.types_at, sample.descriptor_types.at) || descriptors == Some(types.total()) {
                let sockets = types.counts.get(&DescriptorType::Socket).copied().unwrap_or(0);
                set(Signal::Files, Some(types.without_sockets()));
                set(Signal::Sockets, Some(sockets));
            }
        }
        if is_new(&mut self.threads_at, sample.threads.at) {
            set(Signal::Threads, sample.threads.seen().copied());
        }
        if is_new(&mut self.mappings_at, sample.mappings.at) {
            set(Signal::Mappings, sample.mappings.seen().copied());
        }
        set(Signal::Zombies, sample.children.seen().map(|children| children.zombies));
        let memory = sample.memory.seen();
        let anonymous = memory.map(|memory| memory.anon_bytes.saturating_add(memory.swap_bytes));
        set(Signal::Anonymous, anonymous);
        set(Signal::FilePages, memory.map(|memory| memory.file_bytes));
        set(Signal::SharedPages, memory.map(|memory| memory.shmem_bytes));
        let Some(counters) = sample.runtime.seen() else { return readings };
        set(Signal::Goroutines, counters.goroutines);
        let Some(heap) = counters.heap else { return readings };
        set(Signal::LiveHeap, heap.marked_bytes);
        let stacks = counters.goroutines.unwrap_or(0).saturating_mul(STACK_BYTES);
        let within = heap.in_use_bytes.saturating_add(heap.idle_bytes).saturating_add(stacks);
        set(Signal::OutsideGo, anonymous.map(|anonymous| anonymous.saturating_sub(within)));
        let (at, total) = (sample.runtime.at, heap.total_allocated_bytes);
        if let Some((before, allocated)) = self.allocated.replace((at, total)) {
            let seconds = at.seconds_since(&before);
            // A smaller total is another runtime's: the process has executed another program.
            if let Some(grown) = total.checked_sub(allocated).filter(|_| seconds > 0.0) {
                readings.set(Signal::Allocation, grown as f64 / seconds);
            }
        }
        readings
    }
}

/// Whether a reading is later than the one before it.
fn is_new(newest: &mut Option<Moment>, at: Moment) -> bool {
    let new = newest.is_none_or(|newest| at > newest);
    if new {
        *newest = Some(at);
    }
    new
}
