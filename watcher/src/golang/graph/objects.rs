//! Every slot of the heap under a small number, and the way from an address to it.

use super::spans::{Listed, Span};
use crate::golang::heap::PAGE_BYTES;
use std::ops::Range;

/// A slot of the heap: dense from 0, whether an object lies in it or not.
pub type ObjectId = u32;

/// `heapArenaBytes` on Linux.
const ARENA_BYTES: u64 = 64 << 20;
const PAGES_PER_ARENA: usize = (ARENA_BYTES / PAGE_BYTES) as usize;
/// A page that belongs to no span.
const NOTHING: u32 = 0;
/// A page that holds stacks, or other memory that is managed by hand.
const MANUAL: u32 = u32::MAX;
/// Slots for which the span is looked up at once.
const SLOTS_PER_HINT: usize = 256;

/// What lies at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// An object, by its slot, and how far into the slot the address points.
    Object(ObjectId, u64),
    /// A stack, or other memory of the heap that holds no objects.
    Manual,
    /// Memory of the heap that belonged to no span when the spans were read.
    Unknown,
    /// Nothing of the heap.
    Outside,
}

/// All slots.
#[derive(Default)]
pub struct Objects {
    /// By the number of their first slot.
    spans: Vec<Span>,
    /// A bit for each slot.
    taken: Vec<u64>,
    len: u32,
    /// Index of the span that holds each 256th slot.
    hints: Vec<u32>,
    low: u64,
    high: u64,
    arenas: Vec<Option<Box<[u32; PAGES_PER_ARENA]>>>,
    /// Slots of more than this have a type before their value (Go 1.22 and newer); none has before.
    header_above: u64,
}

/// `minMinusHeader`: from this size on, objects with pointers begin with their type (`runtime/malloc.go`, 1.22+).
pub(super) const LARGEST_WITHOUT_HEADER: u64 = 512;

impl Objects {
    pub(super) fn new(listed: Listed, minor: u32) -> Objects {
        let header_above = if minor >= 22 { LARGEST_WITHOUT_HEADER } else { u64::MAX };
        let mut objects = Objects { header_above, ..Objects::default() };
        objects.add(listed);
        objects
    }

    /// Takes in spans that were not there before; gives the indexes of them.
    pub(super) fn add(&mut self, listed: Listed) -> Range<usize> {
        let begin = self.spans.len();
        for range in &listed.manual {
            self.map(range.clone(), MANUAL);
        }
        for (mut span, taken) in listed.spans.into_iter().zip(listed.taken) {
            // Numbers begin at a multiple of 64, so that bits lie in words of their own.
            let base = self.len.next_multiple_of(64);
            let Some(end) = base.checked_add(span.slots).filter(|end| *end < u32::MAX / 2) else { break };
            let index = u32::try_from(self.spans.len()).unwrap_or(MANUAL - 2);
            span.base = base;
            self.len = end;
            self.taken.resize(base as usize / 64, 0);
            self.taken.extend_from_slice(&taken);
            self.map(span.start..span.start + span.bytes, index + 1);
            self.spans.push(span);
            self.hints.resize((end as usize).div_ceil(SLOTS_PER_HINT), index);
        }
        begin..self.spans.len()
    }

    /// Those of `listed` that are not known, or not as they are.
    pub(super) fn unknown_of(&self, listed: Listed) -> Listed {
        let mut unknown = Listed { lost: listed.lost, ..Listed::default() };
        let is_known = |span: &Span| {
            let known = self.span_at(span.start);
            known.is_some_and(|known| {
                (known.start, known.slot_bytes, known.slots, known.has_pointers)
                    == (span.start, span.slot_bytes, span.slots, span.has_pointers)
            })
        };
        for (span, taken) in listed.spans.into_iter().zip(listed.taken) {
            if !is_known(&span) {
                unknown.spans.push(span);
                unknown.taken.push(taken);
            }
        }
        unknown.manual =
            listed.manual.into_iter().filter(|range| self.at(range.start) == At::Unknown).collect();
        unknown
    }

    fn map(&mut self, range: Range<u64>, entry: u32) {
        if self.arenas.is_empty() {
            self.low = range.start / ARENA_BYTES * ARENA_BYTES;
            self.high = self.low;
        }
        if range.start < self.low {
            let low = range.start / ARENA_BYTES * ARENA_BYTES;
            let more = usize::try_from((self.low - low) / ARENA_BYTES).unwrap_or(0);
            self.arenas.splice(0..0, (0..more).map(|_| None));
            self.low = low;
        }
        let arenas = usize::try_from((range.end - self.low).div_ceil(ARENA_BYTES)).unwrap_or(0);
        if arenas > self.arenas.len() {
            self.arenas.resize_with(arenas, || None);
        }
        self.high = self.high.max(range.end);
        for page in range.start / PAGE_BYTES..range.end / PAGE_BYTES {
            let inside = page - self.low / PAGE_BYTES;
            let (arena, page) = (inside / PAGES_PER_ARENA as u64, inside % PAGES_PER_ARENA as u64);
            let (Ok(arena), Ok(page)) = (usize::try_from(arena), usize::try_from(page)) else { continue };
            let pages = self.arenas[arena].get_or_insert_with(|| Box::new([NOTHING; PAGES_PER_ARENA]));
            pages[page] = entry;
        }
    }

    fn entry(&self, address: u64) -> Option<u32> {
        if address < self.low || address >= self.high {
            return None;
        }
        let inside = address - self.low;
        let (arena, page) = ((inside / ARENA_BYTES) as usize, (inside % ARENA_BYTES / PAGE_BYTES) as usize);
        Some(self.arenas.get(arena)?.as_ref().map_or(NOTHING, |pages| pages[page]))
    }

    /// The span whose memory holds `address`.
    pub(super) fn span_at(&self, address: u64) -> Option<&Span> {
        let entry = self.entry(address).filter(|entry| *entry != MANUAL)?;
        self.spans.get(entry.checked_sub(1)? as usize)
    }

    /// What lies at `address`.
    #[inline]
    pub fn at(&self, address: u64) -> At {
        let entry = match self.entry(address) {
            None => return At::Outside,
            Some(NOTHING) => return At::Unknown,
            Some(MANUAL) => return At::Manual,
            Some(entry) => entry,
        };
        let Some(span) = self.spans.get(entry as usize - 1) else { return At::Unknown };
        let offset = address - span.start;
        match span.slot_at(offset) {
            Some(slot) => At::Object(span.base + slot, offset - u64::from(slot) * span.slot_bytes),
            // What is left behind the last slot: the heap's bitmap, marks, padding.
            None => At::Manual,
        }
    }

    /// The object at `address`.
    pub fn object_at(&self, address: u64) -> Option<ObjectId> {
        match self.at(address) {
            At::Object(id, _) => Some(id),
            _ => None,
        }
    }

    /// From no address below the first, to no address from the second on, does the heap reach.
    pub(super) fn bounds(&self) -> Range<u64> {
        self.low..self.high
    }

    /// All spans, by the number of their first slot.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// One more than the highest number.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no slot at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The span of a slot.
    pub fn span_of(&self, id: ObjectId) -> Option<&Span> {
        let mut index = *self.hints.get(id as usize / SLOTS_PER_HINT)? as usize;
        // The hint is the first span of its 256 slots or one before.
        while self.spans.get(index + 1).is_some_and(|next| next.base <= id) {
            index += 1;
        }
        self.spans.get(index).filter(|span| id >= span.base && id - span.base < span.slots)
    }

    /// Address of a slot; 0 where there is none of that number.
    pub fn address(&self, id: ObjectId) -> u64 {
        self.span_of(id).map_or(0, |span| span.address_of(id - span.base))
    }

    /// Size of a slot in bytes; 0 where there is none of that number.
    pub fn bytes(&self, id: ObjectId) -> u64 {
        self.span_of(id).map_or(0, |span| span.slot_bytes)
    }

    /// Whether an object lay in the slot when the spans were read. A slot that was free may have been taken since; what
    /// is dead and not swept yet counts as an object.
    pub fn is_allocated(&self, id: ObjectId) -> bool {
        self.taken.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// Whether the object's value begins 8 bytes behind its slot's begin, and its type stands there.
    pub fn has_header(&self, id: ObjectId) -> bool {
        self.span_of(id).is_some_and(|span| self.puts_headers(span))
    }

    pub(super) fn puts_headers(&self, span: &Span) -> bool {
        span.has_pointers && !span.is_large && span.slot_bytes > self.header_above
    }

    /// Objects and their bytes: those that live, and those that are dead and not swept yet.
    pub fn allocated(&self) -> (u64, u64) {
        let (mut objects, mut bytes) = (0, 0);
        for span in &self.spans {
            let words = span.base as usize / 64..(span.base + span.slots).div_ceil(64) as usize;
            let count: u64 = self
                .taken
                .get(words)
                .unwrap_or_default()
                .iter()
                .map(|word| u64::from(word.count_ones()))
                .sum();
            objects += count;
            bytes += count * span.slot_bytes;
        }
        (objects, bytes)
    }

    /// Memory that this takes, in bytes.
    pub fn own_bytes(&self) -> usize {
        let arenas = self.arenas.iter().flatten().count() * PAGES_PER_ARENA * 4 + self.arenas.capacity() * 8;
        self.spans.capacity() * size_of::<Span>()
            + self.taken.capacity() * 8
            + self.hints.capacity() * 4
            + arenas
    }
}

#[cfg(test)]
mod tests {
    use super::super::spans::{Listed, Span};
    use super::{At, Objects};

    const BEGIN: u64 = 0xc0_0000_0000;

    fn listed(rows: &[(u64, u64, u64, u32)]) -> Listed {
        let spans: Vec<Span> = rows
            .iter()
            .map(|(page, pages, bytes, slots)| {
                Span::of(BEGIN + page * 8192, pages * 8192, *bytes, *slots, true)
            })
            .collect();
        let taken =
            spans.iter().map(|span| vec![1; span.slots.div_ceil(64) as usize].into_boxed_slice()).collect();
        Listed {
            spans,
            taken,
            manual: std::iter::once(BEGIN + 0x10_0000..BEGIN + 0x10_4000).collect(),
            lost: 0,
        }
    }

    #[test]
    fn addresses_and_numbers_lead_to_each_other() {
        let objects = Objects::new(listed(&[(0, 1, 48, 170), (1, 1, 1024, 8), (9000, 4, 8192, 4)]), 26);
        assert_eq!(objects.at(BEGIN + 48 * 5 + 7), At::Object(5, 7));
        assert_eq!(objects.at(BEGIN + 170 * 48), At::Manual, "behind the last slot");
        assert_eq!(objects.at(BEGIN + 0x10_0008), At::Manual);
        assert_eq!(objects.at(BEGIN + 0x20_0000), At::Unknown);
        assert_eq!(objects.at(BEGIN - 1), At::Outside);
        assert_eq!(objects.at(BEGIN + (9004 << 13)), At::Outside);
        for span in objects.spans() {
            for slot in 0..span.slots {
                let (id, address) = (span.base + slot, span.address_of(slot));
                assert_eq!(objects.at(address), At::Object(id, 0));
                assert_eq!((objects.address(id), objects.bytes(id)), (address, span.slot_bytes));
                assert_eq!(objects.is_allocated(id), slot % 64 == 0);
                assert_eq!(objects.has_header(id), span.slot_bytes > 512);
            }
        }
        assert_eq!(objects.allocated(), (3 + 1 + 1, 3 * 48 + 1024 + 8192));
        assert_eq!(objects.address(171), 0, "a number between two spans");
    }

    #[test]
    fn spans_that_come_later_get_numbers_of_their_own() {
        let mut objects = Objects::new(listed(&[(20, 1, 48, 170)]), 26);
        let later = objects.unknown_of(listed(&[(20, 1, 48, 170), (3, 1, 64, 128), (40, 2, 16384, 1)]));
        assert_eq!(later.spans.len(), 2);
        let before = objects.len();
        assert_eq!(objects.add(later), 1..3);
        assert!(matches!(objects.at(BEGIN + 3 * 8192 + 64), At::Object(id, 0) if id as usize > before));
        assert_eq!(objects.at(BEGIN + 20 * 8192 + 48), At::Object(1, 0));
        // Memory that was freed and taken anew belongs to the new span.
        let again = objects.unknown_of(listed(&[(20, 1, 96, 85)]));
        objects.add(again);
        assert!(matches!(objects.at(BEGIN + 20 * 8192 + 96), At::Object(id, 0) if id as usize > before));
    }
}
