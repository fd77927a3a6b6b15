//! The variables of a program that hold pointers: its data and bss, by the masks that the linker made.
//!
//! `moduledata` has the masks as two `bitvector`s one behind the other (`gcdatamask`, `gcbssmask`). Where they stand
//! depends on the version, but the number of bits of each is that of the words of its area: by that they are found.

use super::masks::bits;
use crate::golang::Memory;
use crate::golang::binary::moduledata::Module;
use crate::golang::bytes::u64_at;
use std::ops::Range;

/// Read at once.
const PIECE_BYTES: u64 = 1 << 20;
const PAGE_BYTES: u64 = 4096;
/// Variables beyond that are left out and counted.
const MAX_BYTES: u64 = 4 << 30;

/// A word of a variable that could lead into the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GlobalWord {
    pub address: u64,
    pub value: u64,
    /// The word before it; 0 for the first of its area.
    pub before: u64,
}

/// All such words.
#[derive(Default)]
pub(super) struct Globals {
    pub words: Vec<GlobalWord>,
    /// Bytes of variables that could not be read.
    pub unreadable_bytes: u64,
    /// Areas whose mask was not found: every word of theirs counts.
    pub unmasked_areas: u64,
}

/// Reads the variables of all modules; words outside `heap` lead nowhere.
pub(super) fn read<'m>(
    memory: &dyn Memory,
    modules: impl Iterator<Item = &'m Module>,
    heap: &Range<u64>,
) -> Globals {
    let mut globals = Globals::default();
    for module in modules {
        let masks = masks(module);
        for (area, mask) in [(&module.data, masks.map(|masks| masks.0)), (&module.bss, masks.map(|it| it.1))]
        {
            globals.unmasked_areas += u64::from(mask.is_none() && !area.is_empty());
            globals.read_area(memory, area, mask, heap);
        }
    }
    globals
}

/// Where the masks of data and bss lie.
fn masks(module: &Module) -> Option<(u64, u64)> {
    let bits = |area: &Range<u64>| (area.end - area.start) / 8;
    let is_count = |word: u64, count: u64| word & 0xffff_ffff == count && count > 0;
    let is_place = |word: u64| word >= PAGE_BYTES;
    module.rest.windows(4).find_map(|words| {
        let [data_bits, data, bss_bits, bss] = *words else { return None };
        let fits = is_count(data_bits, bits(&module.data))
            && is_count(bss_bits, bits(&module.bss))
            && is_place(data)
            && is_place(bss);
        fits.then_some((data, bss))
    })
}

impl Globals {
    fn read_area(&mut self, memory: &dyn Memory, area: &Range<u64>, mask: Option<u64>, heap: &Range<u64>) {
        let end = area.end.min(area.start.saturating_add(MAX_BYTES));
        self.unreadable_bytes += area.end - end;
        let (mut buffer, mut mask_bytes) = (Vec::new(), Vec::new());
        let (mut at, mut latest) = (area.start, 0);
        while at < end {
            let length = PIECE_BYTES.min(end - at);
            let (Ok(size), Ok(mask_size)) = (usize::try_from(length), usize::try_from(length.div_ceil(64)))
            else {
                break;
            };
            buffer.resize(size, 0);
            mask_bytes.resize(mask_size, 0);
            let begin = at;
            at += length;
            if length >= 16 * PAGE_BYTES && memory.is_untouched(begin..begin + length) {
                latest = 0;
                continue;
            }
            if memory.read(begin, &mut buffer).is_err() {
                self.unreadable_bytes += length;
                latest = 0;
                continue;
            }
            let has_mask = mask
                .is_some_and(|mask| memory.read(mask + (begin - area.start) / 64, &mut mask_bytes).is_ok());
            if !has_mask {
                mask_bytes.fill(0xff);
            }
            for (index, byte) in mask_bytes.iter().enumerate() {
                for bit in bits(u64::from(*byte)) {
                    let inside = index * 64 + bit as usize * 8;
                    let Some(value) = u64_at(&buffer, inside).filter(|value| heap.contains(value)) else {
                        continue;
                    };
                    let before = inside.checked_sub(8).and_then(|inside| u64_at(&buffer, inside));
                    let before = before.unwrap_or(latest);
                    self.words.push(GlobalWord { address: begin + inside as u64, value, before });
                }
            }
            latest = buffer.last_chunk().copied().map_or(0, u64::from_le_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GlobalWord, read};
    use crate::golang::binary::moduledata::{Format, Module};
    use crate::golang::recorded::Recorded;

    fn module(rest: &[u64]) -> Module {
        let none = 0..0;
        Module {
            address: 0x1000,
            format: Format::Go120,
            pc_quantum: 1,
            functions: 0,
            names: none.clone(),
            units: none.clone(),
            files: none.clone(),
            values: none.clone(),
            records: none.clone(),
            index: none.clone(),
            text: none.clone(),
            noptrdata: none.clone(),
            data: 0x60_0000..0x60_0000 + 80 * 8,
            bss: 0x70_0000..0x70_0000 + 8 * 8,
            noptrbss: none,
            rest: rest.to_vec(),
        }
    }

    #[test]
    fn only_words_of_the_masks_count() {
        const HEAP: u64 = 0xc0_0000_0000;
        let mut data = vec![HEAP + 8; 80];
        data[71] = 77;
        let memory = Recorded::new()
            .with_words(0x60_0000, &data)
            .with_words(0x70_0000, &[HEAP, 5, HEAP + 1, 0, 0, 0, 0, 0])
            .with(0x9000, &[1, 0, 0, 0, 0, 0, 0, 0, 1, 1])
            .with(0x9100, &[0b110]);
        let module = module(&[3, 4, 80 | 7 << 32, 0x9000, 8, 0x9100, 9]);
        let globals = read(&memory, [&module].into_iter(), &(HEAP..HEAP + 4096));
        let word = |address, value, before| GlobalWord { address, value, before };
        assert_eq!(
            globals.words,
            [
                word(0x60_0000, HEAP + 8, 0),
                word(0x60_0000 + 64 * 8, HEAP + 8, HEAP + 8),
                word(0x60_0000 + 72 * 8, HEAP + 8, 77),
                word(0x70_0010, HEAP + 1, 5),
            ]
        );
        assert_eq!((globals.unmasked_areas, globals.unreadable_bytes), (0, 0));
    }

    #[test]
    fn without_masks_every_word_counts() {
        const HEAP: u64 = 0xc0_0000_0000;
        let memory = Recorded::new().with_words(0x70_0000, &[HEAP; 8]);
        let globals = read(&memory, [&module(&[8, 0x9100])].into_iter(), &(HEAP..HEAP + 4096));
        assert_eq!((globals.words.len(), globals.unmasked_areas, globals.unreadable_bytes), (8, 2, 640));
    }
}
