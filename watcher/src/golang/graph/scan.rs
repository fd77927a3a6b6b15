//! Goes once through all memory of the heap that can hold pointers, and notes where they lead.
//!
//! Memory is copied in pieces of at most 4 MiB. Every slot is gone through, also one that held no object when the spans
//! were read: an object may have come since, and nothing that is alive leads to a slot without one.

use super::edges::{Edge, Edges};
use super::masks::{ArenaBitmaps, Mask, Masks, bitmap_offset, bits};
use super::objects::{At, ObjectId, Objects};
use super::spans::Span;
use crate::golang::Memory;
use crate::golang::bytes::u64_at;
use crate::golang::graph::error::GraphError;
use crate::golang::graph::witness::Witness;
use std::ops::Range;
use std::rc::Rc;

/// Copied at once.
const PIECE_BYTES: u64 = 4 << 20;
/// Pointers to memory that belonged to no span yet: kept until the spans have been read again.
const MAX_UNRESOLVED: usize = 1 << 20;
const PAGE_BYTES: u64 = 4096;

/// What scanning took, and what it could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScanEffort {
    /// Bytes that were copied.
    pub bytes_read: u64,
    /// Bytes that the process has never touched: they were left alone.
    pub bytes_untouched: u64,
    /// Bytes that could not be read: what they point to may seem held by nobody.
    pub bytes_unreadable: u64,
    /// Objects whose type could not be told: every word of theirs was taken for a pointer.
    pub objects_of_unknown_type: u64,
    /// Pointers to memory of the heap that no span claimed, also when spans had been read again.
    pub lost_pointers: u64,
}

/// A pointer whose target was not known yet.
struct Unresolved {
    from: ObjectId,
    offset: u32,
    value: u64,
}

/// What is needed to go through spans.
pub(super) struct Scanner<'a, W: Witness> {
    memory: &'a dyn Memory,
    minor: u32,
    masks: Masks<'a>,
    arenas: Option<ArenaBitmaps<'a>>,
    text: Vec<Range<u64>>,
    witness: &'a mut W,
    pub edges: Edges,
    unresolved: Vec<Unresolved>,
    pub effort: ScanEffort,
    buffer: Vec<u8>,
    bitmap: Vec<u64>,
    is_full: bool,
}

impl<'a, W: Witness> Scanner<'a, W> {
    pub fn new(
        memory: &'a dyn Memory,
        minor: u32,
        masks: Masks<'a>,
        arenas: Option<ArenaBitmaps<'a>>,
        text: Vec<Range<u64>>,
        witness: &'a mut W,
    ) -> Scanner<'a, W> {
        Scanner {
            memory,
            minor,
            masks,
            arenas,
            text,
            witness,
            edges: Edges::default(),
            unresolved: Vec::new(),
            effort: ScanEffort::default(),
            buffer: Vec::new(),
            bitmap: Vec::new(),
            is_full: false,
        }
    }

    /// Goes through these spans, which come behind all that were gone through before.
    pub fn scan(&mut self, objects: &Objects, spans: Range<usize>) -> Result<(), GraphError> {
        self.edges.reserve(objects.len());
        let spans = objects.spans().get(spans).unwrap_or_default();
        let mut rest = spans;
        while let [first, ..] = rest {
            if !first.has_pointers {
                rest = &rest[1..];
                continue;
            }
            // Neighbours are copied together.
            let mut length = 0;
            let count = rest
                .iter()
                .take_while(|span| {
                    let joins = span.has_pointers
                        && span.start == first.start + length
                        && (length == 0 || length + span.bytes <= PIECE_BYTES);
                    length += if joins { span.bytes } else { 0 };
                    joins
                })
                .count();
            let (piece, behind) = rest.split_at(count.max(1));
            rest = behind;
            if first.bytes > PIECE_BYTES {
                self.scan_large(objects, first);
            } else {
                self.scan_piece(objects, piece, length);
            }
            if self.is_full {
                let most = u64::from(u32::MAX);
                return Err(GraphError::TooLarge { what: "pointers", count: most, most });
            }
        }
        Ok(())
    }

    /// Copies `range` into the buffer; what was never touched, or cannot be read, becomes zero.
    fn copy(&mut self, range: Range<u64>) {
        let length = range.end - range.start;
        self.buffer.clear();
        self.buffer.resize(usize::try_from(length).unwrap_or(0), 0);
        let mut touched = Vec::new();
        if !self.memory.touched_pages(range.clone(), &mut touched) {
            touched.clear();
        }
        let pages = usize::try_from(length / PAGE_BYTES).unwrap_or(0);
        if touched.len() != pages {
            touched = vec![true; pages];
        }
        let mut page = 0;
        while page < pages {
            let run = touched[page..].iter().take_while(|is| **is == touched[page]).count();
            let (begin, bytes) = (page as u64 * PAGE_BYTES, run as u64 * PAGE_BYTES);
            if touched[page] {
                self.copy_run(range.start + begin, begin, bytes);
            } else {
                self.effort.bytes_untouched += bytes;
            }
            page += run;
        }
    }

    fn copy_run(&mut self, address: u64, at: u64, bytes: u64) {
        const SMALL_BYTES: u64 = 64 << 10;
        let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let Some(target) = self.buffer.get_mut(index(at)..index(at + bytes)) else { return };
        if self.memory.read(address, target).is_ok() {
            self.effort.bytes_read += bytes;
        } else if bytes > PAGE_BYTES {
            // Some of it can be read, perhaps.
            let step = if bytes > SMALL_BYTES { SMALL_BYTES } else { PAGE_BYTES };
            for part in (0..bytes).step_by(index(step)) {
                self.copy_run(address + part, at + part, step.min(bytes - part));
            }
        } else {
            target.fill(0);
            self.effort.bytes_unreadable += bytes;
        }
    }

    fn scan_piece(&mut self, objects: &Objects, spans: &[Span], length: u64) {
        let Some(first) = spans.first() else { return };
        let range = first.start..first.start + length;
        self.copy(range.clone());
        let mut bitmap = std::mem::take(&mut self.bitmap);
        if let Some(arenas) = &mut self.arenas {
            arenas.read(range, &mut bitmap);
        }
        let buffer = std::mem::take(&mut self.buffer);
        for span in spans {
            let inside = usize::try_from(span.start - first.start).unwrap_or(usize::MAX);
            let bytes = usize::try_from(span.bytes).unwrap_or(usize::MAX);
            let Some(memory) = buffer.get(inside..inside.saturating_add(bytes)) else { continue };
            if self.minor < 22 {
                let words = inside / 64 / 8..(inside + bytes) / 64 / 8;
                self.scan_by_arena(objects, span, memory, bitmap.get(words).unwrap_or_default());
            } else if span.is_large || span.slot_bytes > super::objects::LARGEST_WITHOUT_HEADER {
                self.scan_by_types(objects, span, memory);
            } else {
                self.scan_by_bitmap(objects, span, memory);
            }
        }
        self.buffer = buffer;
        self.bitmap = bitmap;
    }

    /// Objects of at most 512 bytes, from Go 1.22 on.
    fn scan_by_bitmap(&mut self, objects: &Objects, span: &Span, memory: &[u8]) {
        let Ok(at) = usize::try_from(bitmap_offset(self.minor, span.bytes, span.slot_bytes)) else { return };
        let Ok(slot_bytes) = usize::try_from(span.slot_bytes) else { return };
        let words = slot_bytes / 8;
        let low = if words < 64 { (1_u64 << words) - 1 } else { u64::MAX };
        for (slot, bytes) in (0..span.slots).zip(memory.chunks_exact(slot_bytes)) {
            let first = slot as usize * words;
            let word = |index: usize| u64_at(memory, at + index * 8).unwrap_or(0);
            let mut mask = word(first / 64) >> (first % 64);
            if first % 64 + words > 64 {
                mask |= word(first / 64 + 1) << (64 - first % 64);
            }
            self.visit(objects, span.base + slot, bytes, bits(mask & low));
        }
    }

    /// Go 1.21: `bitmap` has a bit for each word of the span.
    fn scan_by_arena(&mut self, objects: &Objects, span: &Span, memory: &[u8], bitmap: &[u64]) {
        let Ok(slot_bytes) = usize::try_from(span.slot_bytes) else { return };
        let words = slot_bytes / 8;
        for (slot, bytes) in (0..span.slots).zip(memory.chunks_exact(slot_bytes)) {
            let (begin, end) = (slot as usize * words, slot as usize * words + words);
            let pointers = (begin / 64..end.div_ceil(64)).flat_map(|index| {
                let mut mask = bitmap.get(index).copied().unwrap_or(u64::MAX);
                let first = index * 64;
                if first < begin {
                    mask &= u64::MAX << (begin - first);
                }
                if first + 64 > end {
                    mask &= u64::MAX >> (first + 64 - end);
                }
                let first = first as u64;
                bits(mask).filter_map(move |bit| u32::try_from(first + u64::from(bit) - begin as u64).ok())
            });
            self.visit(objects, span.base + slot, bytes, pointers);
        }
    }

    /// Objects that say of what type they are, from Go 1.22 on.
    fn scan_by_types(&mut self, objects: &Objects, span: &Span, memory: &[u8]) {
        let Ok(slot_bytes) = usize::try_from(span.slot_bytes) else { return };
        for (slot, bytes) in (0..span.slots).zip(memory.chunks_exact(slot_bytes)) {
            let id = span.base + slot;
            let (of, begin) =
                if span.is_large { (span.large_type, 0) } else { (u64_at(bytes, 0).unwrap_or(0), 1) };
            let words = u32::try_from(slot_bytes / 8).unwrap_or(u32::MAX);
            match self.mask(objects, id, of) {
                Some(mask) => self.visit(objects, id, bytes, tiled(&mask, begin, words)),
                // Free memory begins with anything; it is not gone through for nothing where it begins with nothing.
                None if of == 0 => self.visit(objects, id, bytes, std::iter::empty()),
                None => self.visit(objects, id, bytes, begin..words),
            }
        }
    }

    /// A single object of more than one piece.
    fn scan_large(&mut self, objects: &Objects, span: &Span) {
        let mask = if self.minor < 22 { None } else { self.mask(objects, span.base, span.large_type) };
        let mut bitmap = std::mem::take(&mut self.bitmap);
        self.edges.begin(span.base);
        let mut at = 0;
        while at < span.bytes {
            let length = PIECE_BYTES.min(span.bytes - at);
            let (begin, end) = (at / 8, (at + length).min(span.slot_bytes) / 8);
            let (Ok(begin), Ok(end)) = (u32::try_from(begin), u32::try_from(end)) else { break };
            let address = span.start + at;
            self.copy(address..address + length);
            let buffer = std::mem::take(&mut self.buffer);
            match (&mask, &mut self.arenas) {
                (Some(mask), _) => {
                    let value_words = u32::try_from(mask.bytes / 8).unwrap_or(u32::MAX).max(1);
                    // The value that the piece begins in, with what of it lies before.
                    let skipped = begin / value_words * value_words;
                    let pointers = tiled(mask, skipped, end).skip_while(|word| *word < begin);
                    self.visit_words(objects, span.base, &buffer, begin, pointers);
                }
                (None, Some(arenas)) => {
                    arenas.read(address..address + length, &mut bitmap);
                    let words = (0..).zip(&bitmap);
                    let pointers =
                        words.flat_map(|(index, mask)| bits(*mask).map(move |bit| index * 64 + bit));
                    let pointers = pointers.map(|word| begin + word).take_while(|word| *word < end);
                    self.visit_words(objects, span.base, &buffer, begin, pointers);
                }
                (None, None) => self.visit_words(objects, span.base, &buffer, begin, begin..end),
            }
            self.buffer = buffer;
            at += length;
        }
        self.edges.end(span.base);
        self.bitmap = bitmap;
    }

    fn mask(&mut self, objects: &Objects, id: ObjectId, of: u64) -> Option<Rc<Mask>> {
        let mask = self.masks.of(of);
        let is_allocated = objects.is_allocated(id);
        if mask.is_some() && is_allocated {
            self.witness.header(id, of);
        } else if is_allocated {
            self.effort.objects_of_unknown_type += 1;
        }
        mask.filter(|mask| mask.bytes > 0)
    }

    #[inline]
    fn visit(&mut self, objects: &Objects, id: ObjectId, bytes: &[u8], pointers: impl Iterator<Item = u32>) {
        self.edges.begin(id);
        if let Some(word) = u64_at(bytes, 0)
            && self.text.iter().any(|text| text.contains(&word))
        {
            self.witness.begins(id, word);
        }
        self.visit_words(objects, id, bytes, 0, pointers);
        self.edges.end(id);
    }

    /// Notes where these words of an object lead; `bytes` are those from word `begin` on.
    #[inline]
    fn visit_words(
        &mut self,
        objects: &Objects,
        id: ObjectId,
        bytes: &[u8],
        begin: u32,
        pointers: impl Iterator<Item = u32>,
    ) {
        for word in pointers {
            let at = (word - begin) as usize * 8;
            let Some(value) = u64_at(bytes, at) else { break };
            match objects.at(value) {
                At::Outside | At::Manual => {}
                At::Object(target, inside) => {
                    let is_interior = inside != 0 && !(inside == 8 && objects.has_header(target));
                    self.is_full |= !self.edges.push(word, target, is_interior);
                    // What lies in a free slot was true once: its target may be something else by now.
                    if !is_interior
                        && objects.is_allocated(id)
                        && let Some(before) = at.checked_sub(8).and_then(|at| u64_at(bytes, at))
                        && before >= PAGE_BYTES
                        && before.is_multiple_of(8)
                        && objects.at(before) == At::Outside
                    {
                        self.witness.behind(before, target);
                    }
                }
                At::Unknown if self.unresolved.len() < MAX_UNRESOLVED => {
                    self.unresolved.push(Unresolved { from: id, offset: word.saturating_mul(8), value });
                }
                At::Unknown => self.effort.lost_pointers += 1,
            }
        }
    }

    /// Looks once more where the pointers lead whose targets were not known.
    pub fn resolve(&mut self, objects: &Objects) {
        let mut late = Vec::new();
        for Unresolved { from, offset, value } in std::mem::take(&mut self.unresolved) {
            match objects.at(value) {
                At::Object(target, inside) => {
                    let is_interior = inside != 0 && !(inside == 8 && objects.has_header(target));
                    late.push((from, Edge { offset, target, is_interior }));
                }
                At::Unknown => self.effort.lost_pointers += 1,
                At::Manual | At::Outside => {}
            }
        }
        self.edges.add_late(late);
    }
}

/// The pointers of values that lie one behind the other from word `begin` to word `end`.
fn tiled(mask: &Mask, begin: u32, end: u32) -> impl Iterator<Item = u32> + '_ {
    let value_words = u32::try_from(mask.bytes / 8).unwrap_or(u32::MAX).max(1);
    let values = if mask.words.is_empty() { 0 } else { end.saturating_sub(begin).div_ceil(value_words) };
    let words = (0..values).flat_map(move |value| {
        mask.pointers().map(move |word| begin.saturating_add(value * value_words).saturating_add(word))
    });
    words.take_while(move |word| *word < end)
}
