//! What the last collection found alive in single spans, object by object.
//!
//! A sweep leaves in `allocBits` a bit for each object of the span that was marked; allocating sets none of them.
//! `sweepgen` says which collection that was (`runtime/mheap.go`, `mspan`, the same from Go 1.21 to 1.27).

use super::{Layout, SAMPLED_SPANS, SPAN_BYTES, Spans, State};
use crate::golang::Memory;
use crate::golang::bytes::{array_at, u16_at, u32_at, u64_at};
use crate::golang::heap::HeapError;

/// Objects in a span: one page full of the smallest.
const MAX_OBJECTS: usize = 1024;
const MARK_BYTES: usize = MAX_OBJECTS / 8;
/// Spans whose structures, bits, and structures again are read together: few, so that little changes in between.
const CHUNK: usize = 64;
const ATTEMPTS: usize = 4;
/// `freeindex` and `nelems`.
const COUNTS: usize = 0x30;

/// What a kernel program must know to read an `mspan` by itself: offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanView {
    /// Of `freeindex`, followed by `nelems`.
    pub counts: u32,
    /// These two are words of 8 bytes and not of 2 (Go 1.21).
    pub counts_are_wide: bool,
    /// Of `allocCache`. From there: `allocBits` 8, `sweepgen` 32, `allocCount` 40, `spanclass` 42, `elemsize` 48.
    pub allocation: u32,
}

/// What came of reading one span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanReading {
    /// It holds objects.
    Marked(MarkedSpan),
    /// It holds none: none of those that it once held is alive.
    NotInUse,
    /// It was being swept, or changed each time it was read.
    Unsettled,
}

/// A span that holds objects, as the last sweep left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkedSpan {
    /// Where its objects begin.
    pub start: u64,
    /// Class times two, plus one for objects without pointers.
    pub span_class: u8,
    /// Size of an object.
    pub object_bytes: u64,
    /// Objects for which it has room.
    pub room: u32,
    /// `sweepgen` of the collection whose marks these are.
    pub generation: u32,
    marks: [u8; MARK_BYTES],
}

impl MarkedSpan {
    /// One in which these slots are marked.
    #[cfg(test)]
    pub fn of(
        start: u64,
        span_class: u8,
        object_bytes: u64,
        room: u32,
        generation: u32,
        slots: &[u32],
    ) -> Self {
        let mut marks = [0; MARK_BYTES];
        for slot in slots {
            marks[*slot as usize / 8] |= 1 << (slot % 8);
        }
        MarkedSpan { start, span_class, object_bytes, room, generation, marks }
    }

    /// Whether the collection found the object in this slot alive.
    pub fn is_marked(&self, slot: u32) -> bool {
        let byte = usize::try_from(slot / 8).ok().and_then(|at| self.marks.get(at));
        slot < self.room && byte.is_some_and(|byte| byte >> (slot % 8) & 1 == 1)
    }

    /// Objects that the collection found alive.
    pub fn marked(&self) -> u32 {
        self.marks.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Collections between one with that `sweepgen` and the one whose marks these are; negative where that one
    /// came later.
    pub fn collections_since(&self, generation: u32) -> i32 {
        self.generation.wrapping_sub(generation).cast_signed() / 2
    }
}

/// The fields around the bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    span: MarkedSpan,
    sweep_generation: u32,
    bits: u64,
}

impl Layout {
    /// `spanclass` is 42 bytes behind `allocCache` in all versions that have `pinnerBits`.
    fn view(self) -> Option<SpanView> {
        let allocation = self.span_class.checked_sub(42)?;
        let counts_are_wide = match allocation.checked_sub(COUNTS)? {
            8 => false,
            16 => true,
            _ => return None,
        };
        let offset = |bytes: usize| u32::try_from(bytes).ok();
        Some(SpanView { counts: offset(COUNTS)?, counts_are_wide, allocation: offset(allocation)? })
    }

    fn fields(self, bytes: &[u8; SPAN_BYTES], now: u32) -> Option<Fields> {
        let view = self.view()?;
        let span = self.parse(bytes).filter(|span| span.state == State::InUse)?;
        let allocation = usize::try_from(view.allocation).ok()?;
        let room = if view.counts_are_wide {
            u32::try_from(u64_at(bytes, COUNTS + 8)?).ok()?
        } else {
            u32::from(u16_at(bytes, COUNTS + 2)?)
        };
        let sweep_generation = u32_at(bytes, allocation + 32)?;
        let span = MarkedSpan {
            start: span.start,
            span_class: span.span_class,
            object_bytes: span.object_bytes,
            room,
            generation: swept(sweep_generation, now)?,
            marks: [0; MARK_BYTES],
        };
        let has_room = (1..=MAX_OBJECTS).contains(&usize::try_from(room).ok()?);
        has_room.then_some(Fields { span, sweep_generation, bits: u64_at(bytes, allocation + 8)? })
    }
}

/// The collection whose marks a span with this `sweepgen` has, where the heap's own is `now`; `None` while it is being
/// swept.
fn swept(sweep_generation: u32, now: u32) -> Option<u32> {
    match sweep_generation.wrapping_sub(now).cast_signed() {
        // Swept; or to be swept.
        0 | -2 => Some(sweep_generation),
        // Swept and then taken by a thread, in this cycle or in the one before.
        3 | 1 => Some(sweep_generation.wrapping_sub(3)),
        _ => None,
    }
}

impl Spans {
    /// What kernel programs need, checked against the spans there are.
    ///
    /// # Errors
    /// Where this is not the layout of a version that is known.
    pub fn view(&self, memory: &(impl Memory + ?Sized)) -> Result<SpanView, HeapError> {
        let implausible = HeapError::Implausible { what: "the marks of spans" };
        let view = self.layout.view().ok_or(implausible)?;
        for _ in 0..ATTEMPTS {
            let mheap = self.heap.mheap(memory)?;
            let mut addresses =
                vec![0; usize::try_from(mheap.span_count.min(SAMPLED_SPANS)).unwrap_or(0) * 8];
            memory.read(mheap.all_spans, &mut addresses)?;
            let addresses: Vec<u64> = addresses.chunks_exact(8).filter_map(|word| u64_at(word, 0)).collect();
            let readings = self.marks(memory, &addresses)?;
            let count = |is: fn(&&SpanReading) -> bool| readings.iter().filter(is).count();
            let marked = count(|reading| matches!(reading, SpanReading::Marked(_)));
            let unsettled = count(|reading| matches!(reading, SpanReading::Unsettled));
            // In another layout no generation makes sense. In this one some are just being swept.
            if marked > unsettled {
                return Ok(view);
            }
        }
        Err(implausible)
    }

    /// Reads single spans by the addresses of their `mspan`.
    ///
    /// # Errors
    /// Where nothing can be read, as when the process has ended.
    pub fn marks(
        &self,
        memory: &(impl Memory + ?Sized),
        addresses: &[u64],
    ) -> Result<Vec<SpanReading>, HeapError> {
        let mut found = vec![SpanReading::Unsettled; addresses.len()];
        for (chunk, found) in addresses.chunks(CHUNK).zip(found.chunks_mut(CHUNK)) {
            let mut todo: Vec<usize> = (0..chunk.len()).collect();
            for _ in 0..ATTEMPTS {
                let now = self.heap.mheap(memory)?.sweep_generation;
                todo = self.marks_once(memory, chunk, now, &todo, found);
                if todo.is_empty() {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// Reads those of `addresses` that are `todo`; returns which have to be read again.
    fn marks_once(
        &self,
        memory: &(impl Memory + ?Sized),
        addresses: &[u64],
        now: u32,
        todo: &[usize],
        found: &mut [SpanReading],
    ) -> Vec<usize> {
        let structures: Vec<(u64, usize)> =
            todo.iter().map(|index| (addresses[*index], SPAN_BYTES)).collect();
        let read = |ranges: &[(u64, usize)]| {
            let mut buffer = vec![0; ranges.iter().map(|(_, length)| length).sum()];
            let mut readable = Vec::new();
            memory.read_many(ranges, &mut buffer, &mut readable);
            (buffer, readable)
        };
        let (before, before_readable) = read(&structures);
        let fields = |buffer: &[u8], readable: &[bool], position: usize| {
            let bytes = buffer.as_chunks::<SPAN_BYTES>().0.get(position)?;
            self.layout.fields(bytes, now).filter(|_| readable.get(position) == Some(&true))
        };
        let mut holding = Vec::new();
        let mut again = Vec::new();
        for (position, index) in todo.iter().enumerate() {
            match fields(&before, &before_readable, position) {
                Some(fields) => holding.push((position, *index, fields)),
                None if self.is_settled(&before, &before_readable, position) => {
                    found[*index] = SpanReading::NotInUse;
                }
                None => again.push(*index),
            }
        }
        let mark_bytes =
            |fields: &Fields| usize::try_from(fields.span.room.div_ceil(8)).unwrap_or(MARK_BYTES);
        let bits: Vec<(u64, usize)> =
            holding.iter().map(|(_, _, fields)| (fields.bits, mark_bytes(fields))).collect();
        let (bits, bits_readable) = read(&bits);
        let (after, after_readable) = read(&structures);
        let mut rest = bits.as_slice();
        for ((position, index, before), is_readable) in holding.into_iter().zip(bits_readable) {
            let (marks, behind) = rest.split_at_checked(mark_bytes(&before)).unwrap_or_default();
            rest = behind;
            if !is_readable || fields(&after, &after_readable, position) != Some(before) {
                again.push(index);
                continue;
            }
            let mut span = before.span;
            span.marks[..marks.len()].copy_from_slice(marks);
            // Bits beyond the last object mean nothing.
            if let Some(last) = span.marks[..marks.len()].last_mut()
                && span.room % 8 != 0
            {
                *last &= (1 << (span.room % 8)) - 1;
            }
            if let Some(found) = found.get_mut(index) {
                *found = SpanReading::Marked(span);
            }
        }
        again
    }

    /// It holds no objects, and reading it again would not change that.
    fn is_settled(&self, buffer: &[u8], readable: &[bool], position: usize) -> bool {
        if readable.get(position) != Some(&true) {
            return true;
        }
        let state = array_at(buffer, position * SPAN_BYTES + self.layout.span_class + 1);
        state.is_none_or(|[state]: [u8; 1]| state != 1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{heap_memory, locate_in};
    use super::super::{GO_1_21, GO_1_22, Layout};
    use super::{SpanReading, swept};
    use crate::golang::recorded::Recorded;

    const SPAN: u64 = 0x80_0000;
    const BITS: u64 = 0x90_0000;

    /// The first span of the heap with these bits, of a collection with this `sweepgen`.
    fn with_marks(layout: Layout, sweep_generation: u32, bits: &[u8]) -> Recorded {
        let allocation = SPAN + layout.span_class as u64 - 42;
        let mut memory = heap_memory(layout).with(BITS, bits);
        let mut put = |at: u64, bytes: &[u8]| {
            for (index, byte) in (0..).zip(bytes) {
                memory = std::mem::take(&mut memory).changed(at + index, |_| *byte);
            }
        };
        put(allocation + 8, &BITS.to_le_bytes());
        put(allocation + 32, &sweep_generation.to_le_bytes());
        if layout == GO_1_21 {
            put(SPAN + 0x38, &170_u64.to_le_bytes());
        } else {
            put(SPAN + 0x32, &170_u16.to_le_bytes());
        }
        memory
    }

    #[test]
    fn marks_are_those_of_the_last_sweep() {
        for layout in [GO_1_21, GO_1_22] {
            let mut bits = [0; 22];
            (bits[0], bits[1], bits[21]) = (0b101, 0x80, 0xff);
            // The heap's own is 2: this span is still to be swept.
            let memory = with_marks(layout, 0, &bits);
            let spans = locate_in(&memory).unwrap();
            let found = spans.marks(&memory, &[SPAN, SPAN + 0x1000, 0x10]).unwrap();
            let SpanReading::Marked(span) = found[0] else { panic!("{:?}", found[0]) };
            assert_eq!(
                (span.start, span.span_class, span.object_bytes, span.room),
                (0xc0_0000_0000, 10, 48, 170)
            );
            // 170 objects: the last byte has two that mean something.
            assert_eq!(span.marked(), 2 + 1 + 2);
            let marked: Vec<u32> = (0..200).filter(|slot| span.is_marked(*slot)).collect();
            assert_eq!(marked, [0, 2, 15, 168, 169]);
            assert_eq!((span.collections_since(0), span.collections_since(4)), (0, -2));
            assert_eq!(span.collections_since(2_u32.wrapping_sub(8)), 3);
            // No room is known of one, the other is nowhere.
            assert_eq!(found[1..], [SpanReading::Unsettled, SpanReading::NotInUse]);
        }
    }

    #[test]
    fn a_span_tells_whose_marks_it_has() {
        for (sweep_generation, now, expected) in [
            (10, 10, Some(10)),
            (8, 10, Some(8)),
            (9, 10, None),
            (11, 10, Some(8)),
            (13, 10, Some(10)),
            (6, 10, None),
            (1, u32::MAX - 1, Some(u32::MAX - 1)),
            (u32::MAX, u32::MAX - 1, Some(u32::MAX - 3)),
        ] {
            assert_eq!(swept(sweep_generation, now), expected, "{sweep_generation} of {now}");
        }
    }

    #[test]
    fn only_known_layouts_are_offered_to_the_kernel() {
        let view = GO_1_21.view().unwrap();
        assert_eq!((view.allocation, view.counts_are_wide), (0x40, true));
        let view = GO_1_22.view().unwrap();
        assert_eq!((view.allocation, view.counts_are_wide), (0x38, false));
        assert_eq!(Layout { span_class: 0x7a }.view(), None);
        assert_eq!(Layout { span_class: 0x10 }.view(), None);
    }
}
