//! Spans of the Go heap and who allocated from them, as the programs have it.

use super::map::KernelMap;
use crate::vocabulary::origin::StackId;
use aya::Ebpf;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use watcher_ebpf::{Allocated, SpanEntry, SpanKey};

/// A span that threads allocated from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSpan {
    /// Address of its `mspan`.
    pub address: u64,
    /// Where its objects began.
    pub start: u64,
    /// Size of an object.
    pub object_bytes: u64,
    /// Its class times two, plus one for objects without pointers.
    pub span_class: u32,
    /// Objects of which it is known who allocated them.
    pub samples: Vec<RawSample>,
}

/// An object of which it is known who allocated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawSample {
    /// The stack that did; `None` where there was no room for it.
    pub stack: Option<StackId>,
    /// When, in time since boot.
    pub at: Duration,
    /// Index of the object in the span.
    pub slot: u32,
    /// Objects of the same span that it stands for, itself included; of small objects only one in so many spans is
    /// looked at.
    pub weight: u32,
    /// `sweepgen` of the heap then; each collection adds 2.
    pub generation: u32,
}

/// What a stack has allocated since watching began, scaled from the spans that were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawAllocated {
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

#[derive(Debug)]
pub(super) struct SpanMaps {
    spans: KernelMap<SpanKey, SpanEntry>,
    allocated: KernelMap<u64, Allocated>,
}

impl SpanMaps {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        Some(SpanMaps { spans: KernelMap::of(ebpf, "SPANS")?, allocated: KernelMap::of(ebpf, "ALLOCATED")? })
    }

    /// Those of a process that would be looked at with one in so many.
    pub(super) fn of_process(&self, pid: i32, one_in: u32) -> io::Result<Vec<RawSpan>> {
        self.spans.select(|key, entry| {
            // Large objects are never left out.
            let is_looked_at = entry.span_class < 2 || !is_left_out(key.span, one_in);
            (key.tgid == pid.cast_unsigned() && is_looked_at).then(|| decode(key.span, entry))
        })
    }

    pub(super) fn allocated(&self, pid: i32) -> io::Result<HashMap<StackId, RawAllocated>> {
        // Taken back is at the scale of that moment, which may be greater than the one it was added at.
        let positive = |count: u64| count.cast_signed().max(0).cast_unsigned();
        let allocated = self.allocated.select(|stack, entry| {
            let allocated = RawAllocated { objects: positive(entry.objects), bytes: positive(entry.bytes) };
            (entry.tgid == pid.cast_unsigned()).then_some((StackId(stack), allocated))
        })?;
        Ok(allocated.into_iter().collect())
    }

    /// Forgets spans, as far as nothing was allocated from them meanwhile.
    pub(super) fn forget(&self, pid: i32, addresses: &[u64]) -> io::Result<()> {
        let key = |span: &u64| SpanKey { tgid: pid.cast_unsigned(), reserved: 0, span: *span };
        self.spans.remove_all(&addresses.iter().map(key).collect::<Vec<_>>())
    }

    /// Forgets everything about a process.
    pub(super) fn forget_process(&self, pid: i32) -> io::Result<()> {
        self.spans.remove_where(|key, _| key.tgid == pid.cast_unsigned())?;
        self.allocated.remove_where(|_, entry| entry.tgid == pid.cast_unsigned())
    }
}

/// As `watcher-ebpf/src/spans.rs` has it.
fn is_left_out(span: u64, one_in: u32) -> bool {
    (span >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & u64::from(one_in.saturating_sub(1)) != 0
}

pub(super) fn decode(address: u64, entry: &SpanEntry) -> RawSpan {
    let samples = entry.samples.iter().filter(|sample| sample.weight > 0);
    let samples = samples.map(|sample| RawSample {
        stack: (sample.stack != 0).then_some(StackId(sample.stack)),
        at: Duration::from_nanos(sample.at_ns),
        slot: sample.slot,
        weight: sample.weight,
        generation: sample.generation,
    });
    RawSpan {
        address,
        start: entry.start,
        object_bytes: entry.object_bytes,
        span_class: entry.span_class,
        samples: samples.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_left_out;

    #[test]
    fn spans_are_left_out_evenly_and_the_same_ones_by_thinner_samples() {
        // Structures of 160 bytes, one behind the other.
        let spans: Vec<u64> = (0..64_000).map(|index| 0x7f00_0000_0000 + index * 160).collect();
        for one_in in [1_u32, 2, 8, 64] {
            let kept = spans.iter().filter(|span| !is_left_out(**span, one_in)).count();
            let expected = spans.len() / one_in as usize;
            assert!(kept * 10 > expected * 9 && kept * 10 < expected * 11, "{kept} of 1 in {one_in}");
            let thinner = spans.iter().filter(|span| !is_left_out(**span, one_in * 2));
            assert!(thinner.into_iter().all(|span| !is_left_out(*span, one_in)));
        }
    }
}
