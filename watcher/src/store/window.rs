//! A bounded run of samples of one process, oldest first.
//!
//! When the window is full, every second sample of its older half is dropped: the window keeps reaching back to
//! the beginning, at a resolution that coarsens with age, and never grows. What is read of single groups (peers,
//! types, threads) has a bound of its own, since a process decides how many of them there are. Beside the samples
//! stands the [`History`] of their totals, which reaches back for two weeks.

use super::Captures;
use super::history::{History, Reader};
use crate::observed::Sample;
use crate::observed::connections::{ConnectionGroup, Peer};
use crate::observed::threads::ThreadGroup;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Moment;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of details that a window keeps, about: those of a thousand small readings, or of five as large as they get.
const DETAIL_BYTES: usize = 96 * 1024;

/// Samples of one process, oldest first.
#[derive(Clone, Debug)]
pub struct Window {
    process: ProcessId,
    samples: VecDeque<Sample>,
    capacity: usize,
    detail_bytes: usize,
    captures: Captures,
    reader: Reader,
    history: History,
    reach: Option<Duration>,
    /// When a sample came after missed beats, and after how many; the newest last.
    missed: VecDeque<(Moment, u64)>,
}

/// Gaps that a window keeps apart; the oldest become one.
const MAX_GAPS: usize = 32;

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
        Window {
            process,
            samples: VecDeque::new(),
            capacity: capacity.max(8),
            detail_bytes: 0,
            captures: Captures::default(),
            reader: Reader::default(),
            history: History::default(),
            reach: None,
            missed: VecDeque::new(),
        }
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
        self.forget_before(sample.at);
        if self.samples.len() >= self.capacity {
            self.thin();
        }
        // What was missed before the first one is nobody's gap.
        if sample.missed_beats > 0 && !self.samples.is_empty() {
            self.note_missed(sample.at, sample.missed_beats);
        }
        self.history.push(sample.at, &self.reader.read(&sample));
        self.detail_bytes += new_detail_bytes(self.samples.back(), &sample);
        self.samples.push_back(sample);
        if self.detail_bytes > DETAIL_BYTES {
            self.thin_details();
        }
        true
    }

    /// Lets it forget what is older than this; with `None`, nothing.
    pub fn keep_for(&mut self, reach: Option<Duration>) {
        self.reach = reach;
    }

    /// The totals of all samples so far, those that are no longer held included.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What was captured beside the samples.
    pub fn captures(&self) -> &Captures {
        &self.captures
    }

    /// The same, to add to.
    pub fn captures_mut(&mut self) -> &mut Captures {
        &mut self.captures
    }

    /// Beats that were due between its first sample and its last, and were not taken.
    pub fn missed_beats(&self) -> u64 {
        self.missed.iter().fold(0, |sum: u64, (_, beats)| sum.saturating_add(*beats))
    }

    fn note_missed(&mut self, at: Moment, beats: u64) {
        self.missed.push_back((at, beats));
        if self.missed.len() > MAX_GAPS
            && let Some((_, oldest)) = self.missed.pop_front()
            && let Some((_, next)) = self.missed.front_mut()
        {
            *next = next.saturating_add(oldest);
        }
    }

    fn forget_before(&mut self, now: Moment) {
        let Some(reach) = self.reach.map(|reach| reach.as_secs_f64()) else { return };
        let kept = self.samples.len();
        while self.samples.front().is_some_and(|first| now.seconds_since(&first.at) > reach) {
            self.samples.pop_front();
        }
        self.missed.retain(|(at, _)| now.seconds_since(at) <= reach);
        if self.samples.len() < kept {
            self.measure_details();
        }
    }

    fn thin(&mut self) {
        let half = self.samples.len() / 2;
        let mut index = 0;
        self.samples.retain(|_| {
            let keep = index >= half || index % 2 == 0;
            index += 1;
            keep
        });
        self.measure_details();
    }

    /// Drops every second reading of the details, the first and the newest excepted: the samples that had it share
    /// the reading before it, as they would had it not been read anew.
    fn thin_details(&mut self) {
        thin_shared(&mut self.samples, |sample| &mut sample.descriptor_types);
        thin_shared(&mut self.samples, |sample| &mut sample.connections);
        thin_shared(&mut self.samples, |sample| &mut sample.thread_groups);
        self.measure_details();
    }

    fn measure_details(&mut self) {
        let mut before = None;
        self.detail_bytes = 0;
        for sample in &self.samples {
            self.detail_bytes += new_detail_bytes(before, sample);
            before = Some(sample);
        }
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
    pub fn series(&self, read: impl Fn(&Sample) -> Option<(Moment, f64)>) -> Series {
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

/// Keeps the first, the newest and of the others every second of a run of shared readings.
fn thin_shared<T>(samples: &mut VecDeque<Sample>, detail: impl Fn(&mut Sample) -> &mut Arc<T>) {
    let Some(newest) = samples.back_mut().map(|sample| Arc::clone(detail(sample))) else { return };
    let mut kept: Option<Arc<T>> = None;
    let mut seen: Option<Arc<T>> = None;
    let mut keep = true;
    for sample in samples {
        let own = detail(sample);
        if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, own)) {
            seen = Some(Arc::clone(own));
            if keep || Arc::ptr_eq(own, &newest) {
                kept = Some(Arc::clone(own));
            }
            keep = !keep;
        }
        if let Some(kept) = &kept {
            *own = Arc::clone(kept);
        }
    }
}

/// About how many bytes the details of `sample` take that it does not share with the sample before it.
fn new_detail_bytes(before: Option<&Sample>, sample: &Sample) -> usize {
    fn new<T>(before: Option<&Arc<T>>, own: &Arc<T>, bytes: impl Fn(&T) -> usize) -> usize {
        if before.is_some_and(|before| Arc::ptr_eq(before, own)) { 0 } else { size_of::<T>() + bytes(own) }
    }
    let types = new(before.map(|before| &before.descriptor_types), &sample.descriptor_types, |types| {
        types.seen().map_or(0, |types| types.counts.len() * size_of::<(DescriptorType, u64)>())
    });
    let connections = new(before.map(|before| &before.connections), &sample.connections, |connections| {
        let group = |group: &ConnectionGroup| {
            let path = match &group.key.peer {
                Peer::Path(path) => path.len(),
                Peer::None | Peer::Server { .. } | Peer::Client { .. } => 0,
            };
            size_of::<ConnectionGroup>() + path
        };
        connections.seen().map_or(0, |connections| connections.groups.iter().map(group).sum())
    });
    let threads = new(before.map(|before| &before.thread_groups), &sample.thread_groups, |threads| {
        let group = |group: &ThreadGroup| size_of::<ThreadGroup>() + group.name.len();
        threads.seen().map_or(0, |threads| threads.groups.iter().map(group).sum())
    });
    types + connections + threads
}

#[cfg(test)]
mod tests;
