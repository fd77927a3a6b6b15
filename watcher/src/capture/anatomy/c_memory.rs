//! What the GNU C library has asked the system for: arenas of `malloc`, large blocks, and stacks of threads.
//!
//! Each begins, or ends, with a structure of the library that points at itself or tells its own size, so that it is
//! recognised by what it holds and not by where it lies. Other C libraries are not known here.

use crate::golang::Memory;
use std::ops::Range;

const PAGE_BYTES: u64 = 4096;
/// `HEAP_MAX_SIZE` on 64-bit systems (`malloc/arena.c`): arenas begin at multiples of it.
const ARENA_ALIGNMENT: u64 = 64 << 20;
/// Where a thread's descriptor lies at most below the end of its stack: `struct pthread`, and thread-local
/// variables above it.
const DESCRIPTOR_WITHIN_BYTES: usize = 16 << 10;
/// Page beginnings that are looked at in search of large blocks, per mapping.
const MAX_PAGES_TRIED: u64 = 1 << 16;
/// Large blocks that are noted, per mapping.
const MAX_BLOCKS: usize = 1 << 16;

/// An arena of `malloc`, or a part of one, begins here: `heap_info` tells its size and its arena (`malloc/arena.c`).
pub(super) fn is_arena(memory: &dyn Memory, mapping: &Range<u64>) -> bool {
    /// `arena_for_chunk`'s state lies behind `heap_info`, whose size depends on the version.
    const STATE_WITHIN: Range<u64> = 0x20..0x60;
    if !mapping.start.is_multiple_of(ARENA_ALIGNMENT) {
        return false;
    }
    let [Some(state), Some(_), Some(size), Some(accessible)] = words_at(memory, mapping.start) else {
        return false;
    };
    let length = mapping.end - mapping.start;
    STATE_WITHIN.contains(&(state % ARENA_ALIGNMENT))
        && size <= accessible
        && size > 0
        && accessible == length
}

/// Blocks that `malloc` has mapped for themselves: each begins with the size that it tells (`IS_MMAPPED`,
/// `malloc/malloc.c`). The kernel joins neighbours, among them some that are none of the library's.
pub(super) fn large_blocks(memory: &dyn Memory, mapping: &Range<u64>) -> Vec<Range<u64>> {
    const IS_MAPPED: u64 = 2;
    const FLAGS: u64 = 7;
    /// What is skipped at once where it is untouched.
    const STRIDE_BYTES: u64 = 64 * PAGE_BYTES;
    let mut blocks: Vec<Range<u64>> = Vec::new();
    let mut at = mapping.start;
    let mut tried = 0;
    while at < mapping.end && tried < MAX_PAGES_TRIED && blocks.len() < MAX_BLOCKS {
        tried += 1;
        // To read a page that nobody has touched would make the kernel map one of zeroes there.
        if at.is_multiple_of(STRIDE_BYTES) && memory.is_untouched(at..(at + STRIDE_BYTES).min(mapping.end)) {
            at += STRIDE_BYTES;
            continue;
        }
        let [previous, size, ..] = words_at(memory, at);
        let length = size.filter(|size| size & FLAGS == IS_MAPPED).map(|size| size & !FLAGS);
        let end = length.filter(|length| *length > 0 && length % PAGE_BYTES == 0);
        let end = end.and_then(|length| at.checked_add(length)).filter(|end| *end <= mapping.end);
        at = match end.filter(|_| previous == Some(0)) {
            Some(end) => {
                match blocks.last_mut().filter(|last| last.end == at) {
                    Some(last) => last.end = end,
                    None => blocks.push(at..end),
                }
                end
            }
            None => at + PAGE_BYTES,
        };
    }
    blocks
}

/// The stack of a thread, in use or kept for the next one, ends here: above it lies the thread's descriptor, which
/// holds its own address twice (`tcbhead_t`, `sysdeps/x86_64/nptl/tls.h`).
pub(super) fn is_stack(memory: &dyn Memory, mapping: &Range<u64>) -> bool {
    const SELF: usize = 2;
    let start = mapping.end.saturating_sub(DESCRIPTOR_WITHIN_BYTES as u64).max(mapping.start);
    let mut bytes = vec![0; usize::try_from(mapping.end - start).unwrap_or(0)];
    if memory.read(start, &mut bytes).is_err() {
        return false;
    }
    let words: Vec<u64> = bytes.chunks_exact(8).filter_map(word).collect();
    words.windows(SELF + 1).zip((start..).step_by(8)).any(|(words, at)| words[0] == at && words[SELF] == at)
}

/// Looks for the library's marks in a mapping that begins with these bytes, for fuzz targets.
#[cfg(feature = "fuzzing")]
pub fn understand(bytes: &[u8]) {
    struct Mapped<'a>(&'a [u8]);
    impl Memory for Mapped<'_> {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), crate::golang::Unreadable> {
            let unreadable = crate::golang::Unreadable { address, length: buffer.len() };
            let inside = address.checked_sub(ARENA_ALIGNMENT).and_then(|inside| usize::try_from(inside).ok());
            let end = inside.and_then(|inside| inside.checked_add(buffer.len()));
            let found = inside.zip(end).and_then(|(start, end)| self.0.get(start..end));
            buffer.copy_from_slice(found.ok_or(unreadable)?);
            Ok(())
        }
    }
    // As much again of the mapping cannot be read.
    for length in [bytes.len() as u64, 2 * bytes.len() as u64] {
        let mapping = ARENA_ALIGNMENT..ARENA_ALIGNMENT + length;
        let memory = Mapped(bytes);
        let _ = is_stack(&memory, &mapping);
        let _ = is_arena(&memory, &mapping);
        for block in large_blocks(&memory, &mapping) {
            assert!(mapping.start <= block.start && block.start < block.end && block.end <= mapping.end);
        }
    }
}

fn words_at(memory: &dyn Memory, address: u64) -> [Option<u64>; 4] {
    let mut bytes = [0; 32];
    if memory.read(address, &mut bytes).is_err() {
        return [None; 4];
    }
    [0, 8, 16, 24].map(|at| bytes.get(at..at + 8).and_then(word))
}

fn word(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::{is_arena, is_stack, large_blocks};
    use crate::golang::{Memory, Unreadable};
    use std::collections::BTreeMap;

    const BASE: u64 = 0x7f00_0000_0000;

    /// Pages of zeroes from `BASE` on, but for some words.
    struct Words(BTreeMap<u64, u64>);

    impl Memory for Words {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            for (at, bytes) in (address..).step_by(8).zip(buffer.chunks_mut(8)) {
                bytes.copy_from_slice(&self.0.get(&at).copied().unwrap_or(0).to_le_bytes());
            }
            Ok(())
        }
    }

    fn words(words: &[(u64, u64)]) -> Words {
        Words(words.iter().map(|(offset, word)| (BASE + offset, *word)).collect())
    }

    #[test]
    fn an_arena_tells_its_size() {
        let mapping = BASE..BASE + 0x2_1000;
        let arena = |state: u64, size, accessible| words(&[(0, BASE + state), (16, size), (24, accessible)]);
        for (state, size, accessible, expected) in [
            (0x30, 0x2_1000, 0x2_1000, true),
            // A further part of an arena that lies elsewhere.
            (0x400_0030, 0x2_0000, 0x2_1000, true),
            (0x30, 0x2_2000, 0x2_1000, false),
            (0x30, 0x2_0000, 0x2_0000, false),
            (0x3000, 0x2_1000, 0x2_1000, false),
            (0, 0, 0, false),
        ] {
            assert_eq!(is_arena(&arena(state, size, accessible), &mapping), expected, "{state:x} {size:x}");
        }
        let elsewhere = BASE + 0x1000..BASE + 0x2_2000;
        assert!(!is_arena(&arena(0x30, 0x2_1000, 0x2_1000), &elsewhere));
    }

    #[test]
    fn large_blocks_tell_where_they_end() {
        let memory = words(&[
            (8, 0x3002),
            (0x3000 + 8, 0x2002),
            // None: in use by a neighbour, no whole pages, beyond the end.
            (0x6000, 1),
            (0x6000 + 8, 0x1002),
            (0x7000 + 8, 0x1010 | 2),
            (0x8000 + 8, 0x9002),
            (0x9000 + 8, 0x1002),
        ]);
        let mapping = BASE..BASE + 0x1_0000;
        assert_eq!(large_blocks(&memory, &mapping), [BASE..BASE + 0x5000, BASE + 0x9000..BASE + 0xa000]);
    }

    #[test]
    fn a_stack_ends_in_its_threads_descriptor() {
        let mapping = BASE..BASE + 0x80_0000;
        let at = 0x80_0000 - 0x940;
        for (first, third, expected) in [(at, at, true), (at, at + 8, false), (at + 8, at, false)] {
            let memory = words(&[(at, BASE + first), (at + 16, BASE + third)]);
            assert_eq!(is_stack(&memory, &mapping), expected);
        }
    }
}
