//! The totals of a sample that a history keeps, and from which sample each of them is new.

use crate::observed::{Sample, totals};
use crate::vocabulary::reading::Moment;
use crate::vocabulary::signal::{SIGNALS, Signal};

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
    /// When what was read last of each was read.
    newest: [Option<Moment>; SIGNALS],
    allocated: Option<(Moment, u64)>,
}

impl Reader {
    /// The totals of the next sample.
    pub fn read(&mut self, sample: &Sample) -> Readings {
        let mut readings = Readings::default();
        for signal in Signal::ALL {
            let Some((at, total)) = totals::of(sample, signal) else { continue };
            let value = match signal {
                Signal::Allocation => self.allocated_per_second(at, total),
                _ => (self.is_new(signal, at) || holds_still(sample, signal)).then_some(total as f64),
            };
            if let Some(value) = value {
                readings.set(signal, value);
            }
        }
        readings
    }

    /// Whether a reading is later than the one before it.
    fn is_new(&mut self, signal: Signal, at: Moment) -> bool {
        let newest = &mut self.newest[signal as usize];
        let new = newest.is_none_or(|newest| at > newest);
        if new {
            *newest = Some(at);
        }
        new
    }

    fn allocated_per_second(&mut self, at: Moment, total: u64) -> Option<f64> {
        let (before, allocated) = self.allocated.replace((at, total))?;
        let seconds = at.seconds_since(&before);
        // A smaller total is another runtime's: the process has executed another program.
        let grown = total.checked_sub(allocated).filter(|_| seconds > 0.0)?;
        Some(grown as f64 / seconds)
    }
}

/// Whether a reading that is older than its sample still holds.
fn holds_still(sample: &Sample, signal: Signal) -> bool {
    match signal {
        // The types of descriptors hold while their number has not moved.
        Signal::Files | Signal::Sockets => {
            let types = sample.descriptor_types.seen().map(|types| types.total());
            types.is_some() && types == sample.descriptors.seen().copied()
        }
        Signal::Threads | Signal::Mappings => false,
        // These are read for every sample.
        _ => true,
    }
}
