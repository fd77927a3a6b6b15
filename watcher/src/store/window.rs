//! A bounded run of samples of one process, oldest first.
//!
//! When the window is full, every second sample of its older half is dropped: the window keeps reaching back to
//! the beginning, at a resolution that coarsens with age, and never grows.

use crate::process::ProcessId;
use crate::sample::Sample;
use std::collections::VecDeque;

/// Samples of one process, oldest first.
#[derive(Clone, Debug)]
pub struct Window {
    process: ProcessId,
    samples: VecDeque<Sample>,
    capacity: usize,
}

/// One number over time, for the moments at which it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Seconds since the window's first sample, strictly increasing.
    pub seconds: Vec<f64>,
    /// The number at each of them.
    pub values: Vec<f64>,
    /// Samples in which it could not be read or was not read anew.
    pub gaps: usize,
}

impl Window {
    /// An empty window that holds at most `capacity` samples (at least 8).
    pub fn new(process: ProcessId, capacity: usize) -> Self {
        Window { process, samples: VecDeque::new(), capacity: capacity.max(8) }
    }

    /// Whose samples these are.
    pub fn process(&self) -> ProcessId {
        self.process
    }

    /// Adds the newest sample. A sample of another process, or one that is not newer, is refused.
    pub fn push(&mut self, sample: Sample) -> bool {
        let newer = self.samples.back().is_none_or(|last| sample.at > last.at);
        if sample.process != self.process || !newer {
            return false;
        }
        if self.samples.len() >= self.capacity {
            self.thin();
        }
        self.samples.push_back(sample);
        true
    }

    fn thin(&mut self) {
        let half = self.samples.len() / 2;
        let mut index = 0;
        self.samples.retain(|_| {
            let keep = index >= half || index % 2 == 0;
            index += 1;
            keep
        });
    }

    /// How many samples it holds.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Holds no sample yet.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// Seconds from the first sample to the last.
    pub fn seconds(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(first), Some(last)) => last.at.seconds_since(&first.at),
            _ => 0.0,
        }
    }

    /// The newest sample.
    pub fn latest(&self) -> Option<&Sample> {
        self.samples.back()
    }

    /// All samples, oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = &Sample> {
        self.samples.iter()
    }

    /// One number over time. `read` gives the number and the moment at which it was read; a moment that is not
    /// after the one before it (a detail that was not read anew) counts as a gap, as does `None`.
    pub fn series(&self, read: impl Fn(&Sample) -> Option<(crate::reading::Moment, f64)>) -> Series {
        let mut series = Series::default();
        let Some(first) = self.samples.front() else { return series };
        for sample in &self.samples {
            let Some((at, value)) = read(sample) else {
                series.gaps += 1;
                continue;
            };
            let seconds = at.since_boot.as_secs_f64() - first.at.since_boot.as_secs_f64();
            if series.seconds.last().is_some_and(|last| seconds <= *last) {
                series.gaps += 1;
                continue;
            }
            series.seconds.push(seconds);
            series.values.push(value);
        }
        series
    }
}
