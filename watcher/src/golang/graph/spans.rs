//! The spans of the heap as the graph needs them: where their objects lie, which slots are taken, and what hangs on
//! them.
//!
//! `mspan` in `runtime/mheap.go`, Go 1.21 to 1.27. The structures are never unmapped, so that they can be read while the
//! program runs.

use crate::golang::Memory;
use crate::golang::bytes::{u16_at, u64_at};
use crate::golang::graph::error::GraphError;
use crate::golang::heap::spans::Spans;
use crate::golang::heap::spans::marks::SpanView;
use crate::golang::heap::{Heap, HeapError, PAGE_BYTES};
use std::ops::Range;

/// The most slots that a graph has: sixteen bytes each are a gibibyte.
pub const MAX_SLOTS: u64 = 1 << 26;
/// The most that all spans together may take. The page map has four bytes for each 8 KiB of it.
const MAX_HEAP_BYTES: u64 = 256 << 30;
/// More spans than a heap of that size has.
const MAX_LISTED: u64 = 1 << 25;
/// Programs get no addresses from here on.
const ADDRESS_END: u64 = 1 << 47;
/// Spans in one read.
const BATCH: usize = 1024;
/// Read of an `mspan`: up to `largeType`.
const SPAN_BYTES: usize = 0xa0;
const START: usize = 0x18;
const PAGES: usize = 0x20;
/// `_MaxSmallSize`, rounded up to its size class.
const MAX_SMALL_OBJECT_BYTES: u64 = 32 << 10;

/// A span that holds objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Address of its first slot.
    pub start: u64,
    /// All of it, in bytes.
    pub bytes: u64,
    /// A slot, in bytes.
    pub slot_bytes: u64,
    /// How many slots there are.
    pub slots: u32,
    /// Number of its first slot among those of all spans.
    pub base: u32,
    /// Objects in it can hold pointers.
    pub has_pointers: bool,
    /// It is one object of more than 32 KiB.
    pub is_large: bool,
    /// `largeType`: the type of a large object with pointers, from Go 1.22 on; else 0.
    pub large_type: u64,
    /// `specials`: first of the records about its objects; 0 where there is none.
    pub specials: u64,
    /// `^0 / slot_bytes + 1` in 32 bits, by which offsets are divided, as the runtime does (`divMagic`).
    magic: u32,
}

impl Span {
    /// Which slot the byte at `offset` from the start belongs to.
    pub fn slot_at(&self, offset: u64) -> Option<u32> {
        let slot = if self.slots == 1 { 0 } else { (offset * u64::from(self.magic)) >> 32 };
        u32::try_from(slot).ok().filter(|slot| *slot < self.slots)
    }

    /// Address of a slot.
    pub fn address_of(&self, slot: u32) -> u64 {
        self.start + u64::from(slot) * self.slot_bytes
    }

    #[cfg(test)]
    /// A span of these, for tests.
    pub fn of(start: u64, bytes: u64, slot_bytes: u64, slots: u32, has_pointers: bool) -> Span {
        let (is_large, large_type, specials) = (false, 0, 0);
        let magic = magic(slot_bytes);
        Span { start, bytes, slot_bytes, slots, base: 0, has_pointers, is_large, large_type, specials, magic }
    }
}

fn magic(slot_bytes: u64) -> u32 {
    u32::try_from(slot_bytes).map_or(0, |bytes| (u32::MAX / bytes.max(1)).wrapping_add(1))
}

/// All spans at about one moment.
#[derive(Default)]
pub(super) struct Listed {
    /// Those that hold objects, ascending, with the numbers of their slots still to be given.
    pub spans: Vec<Span>,
    /// Which of their slots are taken: for each span as many words as its slots need.
    pub taken: Vec<Box<[u64]>>,
    /// Those that hold stacks and other memory that is managed by hand.
    pub manual: Vec<Range<u64>>,
    /// Could not be read, or made no sense.
    pub lost: u64,
}

/// Reads all spans.
pub(super) fn list(memory: &dyn Memory, heap: &Heap, spans: &Spans) -> Result<Listed, GraphError> {
    const ATTEMPTS: usize = 4;
    let view = spans.view(memory)?;
    for _ in 0..ATTEMPTS {
        let before = heap.mheap(memory)?;
        if before.span_count > MAX_LISTED {
            return Err(GraphError::TooLarge { what: "spans", count: before.span_count, most: MAX_LISTED });
        }
        let read = read(memory, &view, before.all_spans, before.span_count);
        // The list that was read may have been unmapped since, and something else mapped there.
        if heap.mheap(memory)?.all_spans == before.all_spans {
            return read;
        }
    }
    Err(HeapError::Implausible { what: "the list of spans does not stay in its place" }.into())
}

fn read(memory: &dyn Memory, view: &SpanView, list: u64, count: u64) -> Result<Listed, GraphError> {
    let mut listed = Listed::default();
    let mut bits: Vec<(u64, u32)> = Vec::new();
    let (mut pointers, mut buffer) = ([0; BATCH * 8], vec![0; BATCH * SPAN_BYTES]);
    let (mut ranges, mut readable) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    let (mut slots, mut bytes, mut done) = (0, 0, 0);
    while done < count {
        let batch = usize::try_from(count - done).map_or(BATCH, |rest| rest.min(BATCH));
        memory.read(list.wrapping_add(done * 8), &mut pointers[..batch * 8]).map_err(HeapError::from)?;
        ranges.clear();
        ranges.extend(
            pointers[..batch * 8].chunks_exact(8).map(|word| (u64_at(word, 0).unwrap_or(0), SPAN_BYTES)),
        );
        memory.read_many(&ranges, &mut buffer[..batch * SPAN_BYTES], &mut readable);
        for (bytes_of_span, is_readable) in buffer.as_chunks::<SPAN_BYTES>().0.iter().zip(&readable) {
            let parsed = is_readable.then(|| parse(bytes_of_span, view)).flatten();
            match parsed {
                Some(Parsed::Dead) => {}
                Some(Parsed::Manual(range)) => {
                    bytes += range.end - range.start;
                    listed.manual.push(range);
                }
                Some(Parsed::Objects { span, bits_address, free_index }) => {
                    slots += u64::from(span.slots);
                    bytes += span.bytes;
                    listed.spans.push(span);
                    bits.push((bits_address, free_index));
                }
                None => listed.lost += 1,
            }
        }
        if slots > MAX_SLOTS {
            return Err(GraphError::TooLarge { what: "objects", count: slots, most: MAX_SLOTS });
        }
        if bytes > MAX_HEAP_BYTES {
            return Err(GraphError::TooLarge { what: "bytes", count: bytes, most: MAX_HEAP_BYTES });
        }
        done += batch as u64;
    }
    let mut order: Vec<usize> = (0..listed.spans.len()).collect();
    order.sort_by_key(|index| listed.spans[*index].start);
    // Caught in the middle of a change, two may claim the same memory.
    order.dedup_by(|later, earlier| {
        let earlier = &listed.spans[*earlier];
        listed.spans[*later].start < earlier.start + earlier.bytes
    });
    listed.spans = order.iter().map(|index| listed.spans[*index]).collect();
    let bits: Vec<(u64, u32)> = order.iter().map(|index| bits[*index]).collect();
    listed.taken = taken(memory, &listed.spans, &bits);
    Ok(listed)
}

/// Which slots are taken: those before `freeindex`, and those whose bit is set in `allocBits`. Where the bits cannot be
/// read, all are.
fn taken(memory: &dyn Memory, spans: &[Span], bits: &[(u64, u32)]) -> Vec<Box<[u64]>> {
    let mut taken = Vec::with_capacity(spans.len());
    let mut readable = Vec::new();
    for (spans, bits) in spans.chunks(BATCH).zip(bits.chunks(BATCH)) {
        let words = |span: &Span| span.slots.div_ceil(64) as usize;
        let ranges: Vec<(u64, usize)> =
            spans.iter().zip(bits).map(|(span, (address, _))| (*address, words(span) * 8)).collect();
        let mut buffer = vec![0; ranges.iter().map(|(_, length)| length).sum()];
        memory.read_many(&ranges, &mut buffer, &mut readable);
        let mut rest = buffer.as_slice();
        for ((span, (_, free_index)), is_readable) in spans.iter().zip(bits).zip(&readable) {
            let (own, behind) = rest.split_at_checked(words(span) * 8).unwrap_or_default();
            rest = behind;
            let words = own.chunks_exact(8).enumerate().map(|(index, word)| {
                let begin = u32::try_from(index * 64).unwrap_or(u32::MAX);
                let in_word = |limit: u32| match limit.saturating_sub(begin) {
                    0 => 0,
                    count if count >= 64 => u64::MAX,
                    count => (1 << count) - 1,
                };
                let bits = if *is_readable { u64_at(word, 0).unwrap_or(u64::MAX) } else { u64::MAX };
                (bits | in_word(*free_index)) & in_word(span.slots)
            });
            taken.push(words.collect());
        }
    }
    taken
}

enum Parsed {
    Dead,
    Manual(Range<u64>),
    Objects { span: Span, bits_address: u64, free_index: u32 },
}

/// The fields of one `mspan`, or `None` where they contradict each other.
fn parse(bytes: &[u8; SPAN_BYTES], view: &SpanView) -> Option<Parsed> {
    let (counts, allocation) = (usize::try_from(view.counts).ok()?, usize::try_from(view.allocation).ok()?);
    let class = *bytes.get(allocation + 42)?;
    let state = *bytes.get(allocation + 43)?;
    let start = u64_at(bytes, START)?;
    let length = u64_at(bytes, PAGES)?.checked_mul(PAGE_BYTES)?;
    let is_placed = start != 0
        && start.is_multiple_of(PAGE_BYTES)
        && length > 0
        && start.checked_add(length).is_some_and(|end| end <= ADDRESS_END);
    match state {
        0 => return Some(Parsed::Dead),
        1 | 2 if is_placed => {}
        _ => return None,
    }
    if state == 2 {
        return Some(Parsed::Manual(start..start + length));
    }
    let slot_bytes = u64_at(bytes, allocation + 48)?;
    let (free_index, slots) = if view.counts_are_wide {
        (u32::try_from(u64_at(bytes, counts)?).ok()?, u32::try_from(u64_at(bytes, counts + 8)?).ok()?)
    } else {
        (u32::from(u16_at(bytes, counts)?), u32::from(u16_at(bytes, counts + 2)?))
    };
    let is_large = class < 2;
    // Spans that are just being set up have no slot size yet.
    let fits = slot_bytes > 0
        && u64::from(slots).checked_mul(slot_bytes).is_some_and(|used| used <= length)
        && if is_large {
            slots == 1
        } else {
            slot_bytes.is_multiple_of(8) && slot_bytes <= MAX_SMALL_OBJECT_BYTES
        };
    if !fits {
        return None;
    }
    let has_pointers = class & 1 == 0;
    let large_type =
        if is_large && has_pointers && !view.counts_are_wide { u64_at(bytes, allocation + 0x60)? } else { 0 };
    let span = Span {
        start,
        bytes: length,
        slot_bytes,
        slots,
        base: 0,
        has_pointers,
        is_large,
        large_type,
        specials: u64_at(bytes, allocation + 0x48)?,
        magic: magic(slot_bytes),
    };
    Some(Parsed::Objects { span, bits_address: u64_at(bytes, allocation + 8)?, free_index })
}

#[cfg(test)]
mod tests {
    use super::Span;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn offsets_are_divided_as_the_runtime_does(words in 1..4096_u64, slots in 1..1024_u32, at in any::<u64>()) {
            let bytes = words * 8;
            let slots = slots.min(u32::try_from(81920 / bytes).unwrap()).max(1);
            let span = Span::of(0xc0_0000_0000, 81920, bytes, slots, true);
            let offset = at % 81920;
            let expected = u32::try_from(offset / bytes).ok().filter(|slot| *slot < slots);
            let expected = if slots == 1 { Some(0) } else { expected };
            prop_assert_eq!(span.slot_at(offset), expected);
        }
    }
}
