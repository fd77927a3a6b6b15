//! Which words of an object hold pointers.
//!
//! From Go 1.22 on, small objects have a bitmap at the end of their span, larger ones a type before their value, and
//! those of more than 32 KiB one in their span. Before, each arena had one bitmap. `runtime/mbitmap.go`, `heapBitsInSpan`
//! and `mbitmap_allocheaders.go`; `spanInlineMarkBits` of Go 1.26 take room behind the bitmap.

use crate::golang::Memory;
use crate::golang::bytes::u64_at;
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// Longest value whose mask is read, in words: arrays of pointers in one object can be as large as the heap.
const MAX_MASK_WORDS: u64 = 1 << 27;
/// Types of types of types: none that a compiler accepts nests so deep.
const MAX_DEPTH: u32 = 64;
/// Parts of types that one mask may be made of.
const MAX_STEPS: u32 = 1 << 20;
/// Types whose masks are kept.
const MAX_KNOWN: usize = 1 << 16;
const TYPE_BYTES: usize = 48;
const FIELD_BYTES: usize = 24;
const MAX_FIELDS: u64 = 1 << 16;

/// Which words of a value of one type hold pointers.
#[derive(Debug, PartialEq, Eq)]
pub struct Mask {
    /// Size of a value, in bytes.
    pub bytes: u64,
    /// A bit for each word, up to the last pointer.
    pub words: Box<[u64]>,
}

impl Mask {
    /// Words that hold pointers, ascending.
    pub fn pointers(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.words).flat_map(|(index, word)| bits(*word).map(move |bit| index * 64 + bit))
    }
}

/// Numbers of the bits that are set, ascending.
pub(super) fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

/// The masks of types, read as they are asked for.
pub(super) struct Masks<'a> {
    memory: &'a dyn Memory,
    /// Where types lie.
    types: Vec<Range<u64>>,
    minor: u32,
    known: HashMap<u64, Option<Rc<Mask>>>,
    latest: (u64, Option<Rc<Mask>>),
}

/// The fields of `abi.Type` that matter here.
struct Type {
    bytes: u64,
    pointer_bytes: u64,
    kind: u8,
    /// The mask is not in the executable: the runtime makes it of the type's parts.
    is_on_demand: bool,
    mask_address: u64,
}

impl<'a> Masks<'a> {
    pub fn new(memory: &'a dyn Memory, types: Vec<Range<u64>>, minor: u32) -> Masks<'a> {
        Masks { memory, types, minor, known: HashMap::new(), latest: (0, None) }
    }

    /// The mask of the type at `address`; `None` where there is none.
    pub fn of(&mut self, address: u64) -> Option<Rc<Mask>> {
        if self.latest.0 == address {
            return self.latest.1.clone();
        }
        let mask = match self.known.get(&address) {
            Some(known) => known.clone(),
            None => {
                let mask = self.read(address).map(Rc::new);
                if self.known.len() < MAX_KNOWN {
                    self.known.insert(address, mask.clone());
                }
                mask
            }
        };
        self.latest = (address, mask.clone());
        mask
    }

    fn read(&self, address: u64) -> Option<Mask> {
        let of = self.parse(address)?;
        let words = of.pointer_bytes / 8;
        if words > MAX_MASK_WORDS {
            return None;
        }
        let mut mask = vec![0_u64; usize::try_from(words.div_ceil(64)).ok()?];
        if of.is_on_demand {
            self.fill(address, 0, words, &mut mask, MAX_DEPTH, &mut MAX_STEPS.clone())?;
        } else {
            let mut bytes = vec![0; usize::try_from(words.div_ceil(8)).ok()?];
            self.memory.read(of.mask_address, &mut bytes).ok()?;
            for (index, byte) in bytes.into_iter().enumerate() {
                mask[index / 8] |= u64::from(byte) << (index % 8 * 8);
            }
            if let Some(last) = mask.last_mut().filter(|_| words % 64 != 0) {
                *last &= (1 << (words % 64)) - 1;
            }
        }
        Some(Mask { bytes: of.bytes, words: mask.into() })
    }

    fn parse(&self, address: u64) -> Option<Type> {
        const ON_DEMAND_FLAG: u8 = 1 << 4;
        const PROGRAM_KIND: u8 = 1 << 6;
        if !address.is_multiple_of(8) || !self.types.iter().any(|types| types.contains(&address)) {
            return None;
        }
        let mut bytes = [0; TYPE_BYTES];
        self.memory.read(address, &mut bytes).ok()?;
        let (size, pointer_bytes) = (u64_at(&bytes, 0)?, u64_at(&bytes, 8)?);
        let (flags, align, kind) = (bytes[20], bytes[21], bytes[23]);
        let is_plausible = pointer_bytes <= size
            && size <= 1 << 40
            && pointer_bytes.is_multiple_of(8)
            && (1..=26).contains(&(kind & 31))
            && align.is_power_of_two()
            && align <= 16;
        let is_on_demand =
            if self.minor >= 24 { flags & ON_DEMAND_FLAG != 0 } else { kind & PROGRAM_KIND != 0 };
        is_plausible.then_some(Type {
            bytes: size,
            pointer_bytes,
            kind: kind & 31,
            is_on_demand,
            mask_address: u64_at(&bytes, 32)?,
        })
    }

    /// Sets the bits of a value of the type at `address` that begins at word `begin`. `None` where the parts contradict
    /// each other.
    fn fill(
        &self,
        address: u64,
        begin: u64,
        words: u64,
        mask: &mut [u64],
        depth: u32,
        steps: &mut u32,
    ) -> Option<()> {
        let of = self.parse(address)?;
        let depth = depth.checked_sub(1)?;
        *steps = steps.checked_sub(1)?;
        if of.pointer_bytes == 0 {
            return Some(());
        }
        let mut set = |word: u64| {
            if word < words
                && let Ok(word) = usize::try_from(word)
                && let Some(of) = mask.get_mut(word / 64)
            {
                *of |= 1 << (word % 64);
            }
        };
        let part = |offset: u64| {
            let mut bytes = [0; 8];
            self.memory.read(address + offset, &mut bytes).ok()?;
            Some(u64::from_le_bytes(bytes))
        };
        match of.kind {
            // Channel, function, map, pointer, slice, string, unsafe.Pointer: one pointer each, at their begin.
            18 | 19 | 21 | 22 | 23 | 24 | 26 => set(begin),
            20 => {
                set(begin);
                set(begin + 1);
            }
            17 => {
                let (element, length) = (part(48)?, part(64)?);
                let element_words = self.parse(element)?.bytes / 8;
                if element_words == 0 {
                    return Some(());
                }
                for index in 0..length {
                    let at = begin.checked_add(index.checked_mul(element_words)?)?;
                    if at >= words {
                        break;
                    }
                    self.fill(element, at, words, mask, depth, steps)?;
                }
            }
            25 => {
                let (fields, count) = (part(56)?, part(64)?);
                if count > MAX_FIELDS {
                    return None;
                }
                let mut bytes = vec![0; usize::try_from(count).ok()? * FIELD_BYTES];
                self.memory.read(fields, &mut bytes).ok()?;
                for field in bytes.chunks_exact(FIELD_BYTES) {
                    let at = begin.checked_add(u64_at(field, 16)? / 8)?;
                    self.fill(u64_at(field, 8)?, at, words, mask, depth, steps)?;
                }
            }
            _ => {}
        }
        Some(())
    }
}

/// The bitmaps of arenas before Go 1.22: a bit for each word (`heapArena.bitmap` in `runtime/mheap.go`).
pub(super) struct ArenaBitmaps<'a> {
    memory: &'a dyn Memory,
    /// `mheap_.arenas[0]`.
    arenas: u64,
    latest: Option<(u64, u64)>,
}

const ARENA_BYTES: u64 = 64 << 20;
/// `arenaBaseOffset`, as it is added.
const ARENA_BASE: u64 = 0x8000_0000_0000;
/// `mheap_.arenas` from `mheap_.allspans`, Go 1.21.
pub(super) const ARENAS_FROM_ALLSPANS: u64 = 0x10198 - 0x10148;

impl<'a> ArenaBitmaps<'a> {
    pub fn new(memory: &'a dyn Memory, arenas: u64) -> ArenaBitmaps<'a> {
        ArenaBitmaps { memory, arenas, latest: None }
    }

    /// The bits of the words of `range`, which begins at a multiple of 8 KiB. Where they cannot be read every word
    /// counts as a pointer.
    pub fn read(&mut self, range: Range<u64>, bitmap: &mut Vec<u64>) {
        bitmap.clear();
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min((at / ARENA_BYTES + 1) * ARENA_BYTES);
            let mut bytes = vec![0xff; usize::try_from((end - at) / 64).unwrap_or(0)];
            if let Some(arena) = self.arena(at) {
                let read = self.memory.read(arena.wrapping_add(at % ARENA_BYTES / 64), &mut bytes);
                if read.is_err() {
                    bytes.fill(0xff);
                }
            }
            bitmap.extend(bytes.chunks_exact(8).map(|word| u64_at(word, 0).unwrap_or(u64::MAX)));
            at = end;
        }
    }

    fn arena(&mut self, address: u64) -> Option<u64> {
        let index = address.wrapping_add(ARENA_BASE) / ARENA_BYTES;
        if let Some((known, arena)) = self.latest
            && known == index
        {
            return Some(arena);
        }
        let mut bytes = [0; 8];
        self.memory.read(self.arenas.checked_add(index.checked_mul(8)?)?, &mut bytes).ok()?;
        let arena = u64::from_le_bytes(bytes);
        (arena != 0).then_some(())?;
        self.latest = Some((index, arena));
        Some(arena)
    }
}

/// Where in a span of small objects the bitmap begins, from Go 1.22 on: what lies behind it are the marks that Go 1.26
/// keeps in spans whose objects are 16 bytes and more.
pub(super) fn bitmap_offset(minor: u32, span_bytes: u64, slot_bytes: u64) -> u64 {
    const MARK_BYTES: u64 = 128;
    let marks = if minor >= 26 && slot_bytes >= 16 { MARK_BYTES } else { 0 };
    span_bytes.saturating_sub(span_bytes / 64 + marks)
}

#[cfg(test)]
mod tests {
    use super::{ArenaBitmaps, Masks, bitmap_offset};
    use crate::golang::recorded::Recorded;

    const TYPES: u64 = 0x50_0000;

    /// `abi.Type` with what stands behind it.
    fn of(size: u64, pointer_bytes: u64, flags: u8, kind: u8, mask: u64, rest: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0; 48];
        bytes[..8].copy_from_slice(&size.to_le_bytes());
        bytes[8..16].copy_from_slice(&pointer_bytes.to_le_bytes());
        (bytes[20], bytes[21], bytes[23]) = (flags, 8, kind);
        bytes[32..40].copy_from_slice(&mask.to_le_bytes());
        bytes.extend(rest.iter().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    fn masks(memory: &Recorded, minor: u32) -> Masks<'_> {
        Masks::new(memory, std::iter::once(TYPES..TYPES + 0x1_0000).collect(), minor)
    }

    #[test]
    fn masks_are_read_or_made_of_the_parts() {
        let memory = Recorded::new()
            .with(TYPES, &of(40, 32, 0, 25, 0x60_0000, &[]))
            .with(0x60_0000, &[0b1111_1010])
            // An array of three structures of an integer, a string and an interface, on demand.
            .with(TYPES + 0x100, &of(120, 120, 16, 17, 0, &[TYPES + 0x200, 0, 3]))
            .with(TYPES + 0x200, &of(40, 40, 16, 25, 0, &[0, TYPES + 0x1000, 3]))
            .with_words(TYPES + 0x1000, &[0, TYPES + 0x300, 0, 0, TYPES + 0x400, 8, 0, TYPES + 0x500, 24])
            .with(TYPES + 0x300, &of(8, 0, 0, 2, 0, &[]))
            .with(TYPES + 0x400, &of(16, 8, 0, 24, 0, &[]))
            .with(TYPES + 0x500, &of(16, 16, 0, 20, 0, &[]))
            // A structure that holds itself.
            .with(TYPES + 0x600, &of(8, 8, 16, 25, 0, &[0, TYPES + 0x2000, 1]))
            .with_words(TYPES + 0x2000, &[0, TYPES + 0x600, 0]);
        let mut masks = masks(&memory, 26);
        let pointers = |mask: std::rc::Rc<super::Mask>| mask.pointers().collect::<Vec<_>>();
        assert_eq!(masks.of(TYPES).map(pointers), Some(vec![1, 3]), "only what lies before the last pointer");
        let expected = [1, 3, 4, 6, 8, 9, 11, 13, 14].to_vec();
        assert_eq!(masks.of(TYPES + 0x100).map(pointers), Some(expected));
        assert_eq!(masks.of(TYPES + 0x600), None);
        assert_eq!(masks.of(TYPES + 0x700), None, "not mapped");
        assert_eq!(masks.of(0x60_0000), None, "no type lies there");
    }

    #[test]
    fn programs_of_old_versions_are_not_taken_for_masks() {
        let memory =
            Recorded::new().with(TYPES, &of(16, 8, 0, 24 | 64, 0x60_0000, &[])).with(0x60_0000, &[0xff]);
        let old = masks(&memory, 21).of(TYPES).map(|mask| mask.pointers().collect::<Vec<_>>());
        assert_eq!(old, Some(vec![0]));
    }

    #[test]
    fn bitmaps_lie_at_the_end_of_their_span() {
        assert_eq!(bitmap_offset(24, 8192, 16), 8192 - 128);
        assert_eq!(bitmap_offset(26, 8192, 16), 8192 - 256);
        assert_eq!(bitmap_offset(27, 8192, 8), 8192 - 128);
    }

    #[test]
    fn arenas_that_cannot_be_read_hide_no_pointer() {
        let arena = 0xc0_0000_0000_u64;
        let index = (arena + super::ARENA_BASE) / super::ARENA_BYTES;
        let mut bits = vec![0_u64; 16];
        bits[4] = 0b101;
        let memory = Recorded::new()
            .with_words(0x1000 + index * 8, &[0x9000_0000])
            .with_words(0x9000_0000 + 8192 / 64, &bits);
        let mut bitmaps = ArenaBitmaps::new(&memory, 0x1000);
        let mut bitmap = Vec::new();
        bitmaps.read(arena + 8192..arena + 16384, &mut bitmap);
        assert_eq!((bitmap.len(), bitmap[0], bitmap[4]), (16, 0, 0b101));
        bitmaps.read(arena + (1 << 40)..arena + (1 << 40) + 8192, &mut bitmap);
        assert_eq!(bitmap, [u64::MAX; 16]);
    }
}
