//! Which mappings outside the heap hold structures of the runtime: its maps of the heap, spans, bitmaps, profile.
//!
//! The runtime asks the system for this memory as a C library or `syscall.Mmap` would, and since Go 1.25 only, on
//! kernels that keep such names, it names it. What it has there is reached from its own books: from the words of
//! `mheap_` (`runtime/mheap.go`), from the spans and what they point to, and from the profile's buckets
//! (`runtime/mprof.go`). A mapping that is reached is the runtime's, unless the kernel has joined it with a neighbour.

use crate::golang::Memory;
use crate::golang::bytes::u64_at;
use crate::golang::heap::{Heap, HeapError, MAX_SPANS, PAGE_BYTES};
use std::collections::BTreeSet;
use std::ops::Range;

/// `mheap_` begins with `pageAlloc`, whose `chunks` take 64 KiB, and `allspans` follows it.
const BEFORE_ALL_SPANS: u64 = 0x1_0200;
/// `central` takes most of what follows, and the allocators of small structures come behind it.
const BEHIND_ALL_SPANS: u64 = 0x8000;
/// `1 << arenaL2Bits` pointers, on 64-bit Linux.
const ARENA_MAP_ENTRIES: u64 = 1 << 22;
/// `arenaBaseOffset` on amd64, as what is added.
const ARENA_BASE: u64 = 1 << 47;
/// `heapArenaBytes`.
const ARENA_BYTES: u64 = 64 << 20;
/// As much of a span as every version has: its pointers to bitmaps and to special records lie in it.
const SPAN_BYTES: usize = 0x98;
/// Spans in one read.
const BATCH: usize = 1024;
/// Pieces in which variables are read: one that cannot be read costs no other.
const PIECE_BYTES: u64 = 4096;
/// Arenas that are looked up in their map: 1 TiB of heap.
const MAX_ARENAS: usize = 1 << 14;
/// Arenas by which the map of them is recognised: it leads to what is known of one of these.
const TELLING_ARENAS: usize = 8;
/// Blocks that are noted: 64 GiB of structures.
const MAX_BLOCKS: usize = 1 << 20;
/// Buckets of the profile that are followed: each chunk of memory for them holds hundreds.
const MAX_BUCKETS: usize = 1 << 14;
/// `buckHashSize` pointers.
const BUCKET_TABLE_BYTES: u64 = 179_999 * 8;
/// `buckhash` is a variable of the same size in the same file as `mbuckets`: the linker puts them close.
const AROUND_BUCKETS: u64 = 0x1000;

/// Granularity of what is noted.
const BLOCK_BYTES: u64 = 64 << 10;
/// `persistentChunkSize` (`runtime/malloc.go`): small structures share a piece of this size, of which an address says
/// only that it lies within.
const CHUNK_BYTES: u64 = 256 << 10;
/// `pageAlloc.chunks`: bitmaps of pages, in pieces of this size.
const PAGE_BITMAP_BYTES: u64 = 1 << 20;
/// `heapArena` with its bitmap of pointers, up to Go 1.21. Since then it is smaller than a chunk.
const ARENA_WITH_BITMAP_BYTES: u64 = (2 << 20) + (128 << 10);

/// Where the runtime's own structures were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnMemory {
    /// For each mapping that was asked about: the books lead into it.
    pub is_reached: Vec<bool>,
    /// Addresses, ascending, at or around which they do: no less than what the runtime has there, and up to half a MiB
    /// more around each.
    pub places: Vec<Range<u64>>,
    /// Length of mappings that were reached and that the runtime does not count as mapped: the map of arenas, of which
    /// a page or two are ever touched.
    pub uncounted_bytes: u64,
    /// There was more than is followed: arenas of the heap, or places. What they lead to is missing.
    pub is_cut: bool,
}

/// Mappings, and what of them the runtime's books lead to.
struct Reached<'a> {
    /// Ascending.
    mappings: &'a [Range<u64>],
    is_reached: Vec<bool>,
    /// Blocks that hold an address that was reached.
    near: BTreeSet<u64>,
    /// Ranges whose both ends are known.
    exact: Vec<Range<u64>>,
    uncounted_bytes: u64,
    is_cut: bool,
}

/// Tells for each of `mappings`, which ascend and hold no heap, whether the runtime keeps structures of its own in
/// it, and where. Addresses that are only reserved belong among them: books lead to the beginning of a reservation,
/// of which a part in the middle is used. `spans` are addresses of the heap, `buckets` the address of
/// `runtime.mbuckets` where it is known.
///
/// # Errors
/// Where the list of spans cannot be read.
pub fn reached(
    memory: &dyn Memory,
    heap: &Heap,
    buckets: Option<u64>,
    spans: &[Range<u64>],
    mappings: &[Range<u64>],
) -> Result<OwnMemory, HeapError> {
    let is_reached = vec![false; mappings.len()];
    let (near, exact) = (BTreeSet::new(), Vec::new());
    let mut reached = Reached { mappings, is_reached, near, exact, uncounted_bytes: 0, is_cut: false };
    if !mappings.is_empty() {
        reached.by_heap(memory, heap, spans);
        reached.by_spans(memory, heap)?;
        if let Some(buckets) = buckets {
            reached.by_profile(memory, buckets);
        }
    }
    Ok(reached.finish())
}

impl Reached<'_> {
    fn finish(self) -> OwnMemory {
        let around = self.near.iter().map(|block| {
            let start = (block * BLOCK_BYTES).saturating_sub(CHUNK_BYTES);
            start..((block + 1) * BLOCK_BYTES).saturating_add(CHUNK_BYTES)
        });
        let mut all: Vec<Range<u64>> = around.chain(self.exact).collect();
        all.sort_by_key(|range| range.start);
        let mut places: Vec<Range<u64>> = Vec::new();
        for range in all {
            match places.last_mut().filter(|last| last.end >= range.start) {
                Some(last) => last.end = last.end.max(range.end),
                None => places.push(range),
            }
        }
        OwnMemory {
            is_reached: self.is_reached,
            places,
            uncounted_bytes: self.uncounted_bytes,
            is_cut: self.is_cut,
        }
    }

    /// The mapping that holds an address.
    fn holder(&self, address: u64) -> Option<usize> {
        let behind = self.mappings.partition_point(|mapping| mapping.start <= address);
        let index = behind.checked_sub(1)?;
        (address < self.mappings[index].end).then_some(index)
    }

    /// An address that the runtime uses.
    fn mark(&mut self, address: u64) {
        if let Some(index) = self.holder(address) {
            self.is_reached[index] = true;
            let block = address / BLOCK_BYTES;
            if self.near.len() < MAX_BLOCKS {
                self.near.insert(block);
            } else {
                self.is_cut |= !self.near.contains(&block);
            }
        }
    }

    /// A structure of known size.
    fn mark_whole(&mut self, start: u64, length: u64) {
        if let Some(index) = self.holder(start) {
            self.is_reached[index] = true;
            self.exact.push(start..start.saturating_add(length).min(self.mappings[index].end));
        }
    }

    /// From the words of `mheap_`, and from the map of arenas that one of them points to.
    fn by_heap(&mut self, memory: &dyn Memory, heap: &Heap, spans: &[Range<u64>]) {
        let all_spans = heap.sweep_generation_address().wrapping_add(8);
        let arenas = arenas(spans);
        self.is_cut |= arenas.len() > MAX_ARENAS;
        let arenas = &arenas[..arenas.len().min(MAX_ARENAS)];
        let before = all_spans.saturating_sub(BEFORE_ALL_SPANS);
        for word in variables(memory, before, BEFORE_ALL_SPANS) {
            self.mark_whole(word, PAGE_BITMAP_BYTES);
        }
        let mut is_known = false;
        for word in variables(memory, all_spans, BEHIND_ALL_SPANS) {
            if !is_known && self.is_arena_map(memory, word, arenas) {
                is_known = true;
                self.by_arena_map(memory, word, arenas, spans);
            } else {
                self.mark(word);
            }
        }
    }

    /// Has room for an entry for each arena, and that of one of the first leads on.
    fn is_arena_map(&self, memory: &dyn Memory, map: u64, arenas: &[u64]) -> bool {
        let Some(index) = self.holder(map) else { return false };
        map.saturating_add(ARENA_MAP_ENTRIES * 8) <= self.mappings[index].end
            && arenas.iter().take(TELLING_ARENAS).any(|arena| {
                word_at(memory, map + arena * 8).is_some_and(|metadata| self.holder(metadata).is_some())
            })
    }

    fn by_arena_map(&mut self, memory: &dyn Memory, map: u64, arenas: &[u64], spans: &[Range<u64>]) {
        if let Some(index) = self.holder(map) {
            self.is_reached[index] = true;
        }
        self.uncounted_bytes = ARENA_MAP_ENTRIES * 8;
        for arena in arenas {
            let entry = map + arena * 8;
            if let Some(metadata) = word_at(memory, entry).filter(|metadata| *metadata != 0) {
                let page = entry / PIECE_BYTES * PIECE_BYTES;
                self.exact.push(page..page + PIECE_BYTES);
                self.by_arena(memory, metadata, *arena, spans);
            }
        }
    }

    /// What is known of one arena: since Go 1.22 it begins with its spans, before with a bitmap.
    fn by_arena(&mut self, memory: &dyn Memory, metadata: u64, arena: u64, spans: &[Range<u64>]) {
        self.mark(metadata);
        let start = (arena * ARENA_BYTES).wrapping_sub(ARENA_BASE);
        let first = spans.partition_point(|span| span.end <= start);
        let Some(span) = spans.get(first).map(|span| span.start.max(start)) else { return };
        let entry = metadata.wrapping_add((span - start) / PAGE_BYTES * 8);
        let begins_with_spans = word_at(memory, entry).is_some_and(|span| self.holder(span).is_some());
        if !begins_with_spans {
            self.mark_whole(metadata, ARENA_WITH_BITMAP_BYTES);
        }
    }

    /// The list of spans, the spans themselves, and what they point to: bitmaps of objects.
    fn by_spans(&mut self, memory: &dyn Memory, heap: &Heap) -> Result<(), HeapError> {
        let books = heap.mheap(memory)?;
        let count = books.span_count.min(MAX_SPANS);
        self.mark_whole(books.all_spans, count * 8);
        let mut pointers = vec![0; BATCH * 8];
        let mut buffer = vec![0; BATCH * SPAN_BYTES];
        let (mut ranges, mut readable) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
        let mut done = 0;
        while done < count {
            let batch = usize::try_from(count - done).map_or(BATCH, |rest| rest.min(BATCH));
            memory.read(books.all_spans.wrapping_add(done * 8), &mut pointers[..batch * 8])?;
            ranges.clear();
            for word in words(&pointers[..batch * 8]) {
                self.mark(word);
                ranges.push((word, SPAN_BYTES));
            }
            memory.read_many(&ranges, &mut buffer[..batch * SPAN_BYTES], &mut readable);
            for (span, readable) in buffer.chunks_exact(SPAN_BYTES).zip(&readable) {
                words(span).filter(|_| *readable).for_each(|word| self.mark(word));
            }
            done += batch as u64;
        }
        Ok(())
    }

    /// The buckets of the heap profile, and the table by which they are found.
    fn by_profile(&mut self, memory: &dyn Memory, variable: u64) {
        /// `bucket.allnext`.
        const ALL_NEXT: u64 = 8;
        let mut bucket = word_at(memory, variable).filter(|address| *address != 0);
        for _ in 0..MAX_BUCKETS {
            let Some(address) = bucket.filter(|address| self.holder(*address).is_some()) else { break };
            self.mark(address);
            bucket = word_at(memory, address.wrapping_add(ALL_NEXT));
        }
        for word in variables(memory, variable.saturating_sub(AROUND_BUCKETS), 2 * AROUND_BUCKETS) {
            let table = word..word.saturating_add(BUCKET_TABLE_BYTES);
            if self
                .holder(word)
                .is_some_and(|index| !self.is_reached[index] && table.end <= self.mappings[index].end)
                && self.is_table(memory, table)
            {
                self.mark_whole(word, BUCKET_TABLE_BYTES);
            }
        }
    }

    /// Nothing but pointers into what the runtime has, and at least one.
    fn is_table(&self, memory: &dyn Memory, table: Range<u64>) -> bool {
        const PART_BYTES: u64 = 16 * PIECE_BYTES;
        let mut entries = 0;
        let mut start = table.start;
        while start < table.end {
            let end = (start + PART_BYTES).min(table.end);
            // To read a page that nobody has touched would make the kernel map one of zeroes there.
            if !memory.is_untouched(start..end) {
                let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(0)];
                if memory.read(start, &mut bytes).is_err() {
                    return false;
                }
                for entry in words(&bytes).filter(|entry| *entry != 0) {
                    if !self.holder(entry).is_some_and(|index| self.is_reached[index]) {
                        return false;
                    }
                    entries += 1;
                }
            }
            start = end;
        }
        entries > 0
    }
}

/// Numbers of the arenas that `spans` lie in, ascending, as the runtime counts them: no more than one beyond what is
/// looked up.
fn arenas(spans: &[Range<u64>]) -> Vec<u64> {
    let mut arenas = Vec::new();
    for span in spans {
        for arena in span.start / ARENA_BYTES..span.end.div_ceil(ARENA_BYTES) {
            let arena = arena.wrapping_add(ARENA_BASE / ARENA_BYTES);
            if arenas.len() > MAX_ARENAS || arena >= ARENA_MAP_ENTRIES {
                return arenas;
            }
            if arenas.last() != Some(&arena) {
                arenas.push(arena);
            }
        }
    }
    arenas
}

/// Words of the program's variables in a range; what cannot be read of it is left out.
fn variables(memory: &dyn Memory, start: u64, length: u64) -> Vec<u64> {
    let start = start / PIECE_BYTES * PIECE_BYTES;
    let mut all = Vec::new();
    for piece in 0..length.div_ceil(PIECE_BYTES) + 1 {
        let mut bytes = [0; PIECE_BYTES as usize];
        if memory.read(start.wrapping_add(piece * PIECE_BYTES), &mut bytes).is_ok() {
            all.extend(words(&bytes));
        }
    }
    all
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0))
}

fn word_at(memory: &dyn Memory, address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read(address, &mut bytes).ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::{ARENA_MAP_ENTRIES, CHUNK_BYTES, Heap, MAX_ARENAS, OwnMemory, arenas, reached};
    use crate::golang::recorded::Recorded;
    use crate::golang::{Memory, Unreadable};
    use std::cell::Cell;
    use std::ops::Range;

    const CONTROLLER: u64 = 0x50_0000;
    const VARIABLES: u64 = 0x60_0000;
    const ALL_SPANS: u64 = VARIABLES + 0x1_0208;
    const LIST: u64 = 0x70_0000;
    const SPANS: u64 = 0x80_0000;
    const HEAP: u64 = 0xc0_0000_0000;
    const METADATA: u64 = 0x7f00_0000_0000;
    /// Has room for a map of arenas, and is none.
    const DECOY: u64 = 0x7f00_1000_0000;
    const MAP: u64 = 0x7f00_4000_0000;
    const MAP_BYTES: u64 = ARENA_MAP_ENTRIES * 8;
    /// Entry of the heap's first arena.
    const ENTRY: u64 = MAP + ((HEAP + (1 << 47)) >> 26) * 8;
    const MIB: u64 = 1 << 20;

    /// Counts what is read.
    struct Counted(Recorded, Cell<u64>);

    impl Memory for Counted {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            self.1.set(self.1.get() + 1);
            self.0.read(address, buffer)
        }
    }

    fn memory() -> Recorded {
        let minimum = 4 << 20;
        let mut controller = [0_u64; 64];
        (controller[0], controller[1], controller[2]) = (100, i64::MAX.cast_unsigned(), minimum);
        (controller[0x48 / 8], controller[(0x48 + 0xc8) / 8]) = (minimum, 8 * 8192);
        let mut variables = vec![0; 0x2_0000 / 8];
        let all_spans = usize::try_from(ALL_SPANS - VARIABLES).unwrap() / 8;
        variables[all_spans - 1..][..5].copy_from_slice(&[2, LIST, 8, 8, 8]);
        variables[all_spans + 40..][..3].copy_from_slice(&[DECOY, MAP, DECOY + 8]);
        let spans: Vec<u64> = (0..8).map(|index| SPANS + index * 0x100).collect();
        let mut span = vec![0; 8 * 0x100 / 8];
        // `gcmarkBits` of one of them.
        span[0x40 / 8] = METADATA + 3 * MIB;
        Recorded::new()
            .with_words(CONTROLLER, &controller)
            .with_words(VARIABLES, &variables)
            .with_words(LIST, &spans)
            .with_words(SPANS, &span)
            .with_words(METADATA, &[SPANS, SPANS])
            .with_words(ENTRY, &[METADATA])
            .with(DECOY, &vec![0; 1 << 25])
    }

    fn found(memory: &dyn Memory, spans: &[Range<u64>]) -> OwnMemory {
        let heap = Heap::locate(memory, CONTROLLER, ALL_SPANS, Some(26)).unwrap();
        let mappings = [
            SPANS..SPANS + 0x1000,
            METADATA..METADATA + 4 * MIB,
            METADATA + 5 * MIB..METADATA + 6 * MIB,
            DECOY..DECOY + MAP_BYTES,
            MAP..MAP + MAP_BYTES,
        ];
        reached(memory, &heap, None, spans, &mappings).unwrap()
    }

    #[test]
    fn the_books_lead_to_what_the_runtime_has() {
        let own = found(&memory(), std::slice::from_ref(&(HEAP..HEAP + 8 * 8192)));
        assert_eq!(own.is_reached, [true, true, false, true, true]);
        assert_eq!((own.uncounted_bytes, own.is_cut), (MAP_BYTES, false));
        let page = ENTRY / 4096 * 4096;
        let places = own.places;
        assert!(places.contains(&(page..page + 4096)), "{places:x?}");
        for address in [SPANS, METADATA, METADATA + 3 * MIB] {
            let place = places.iter().find(|place| place.contains(&address)).unwrap();
            assert!(place.end - place.start <= 3 * CHUNK_BYTES, "{place:x?}");
        }
    }

    #[test]
    fn spans_that_claim_all_addresses_do_not_make_it_work_without_end() {
        let memory = Counted(memory(), Cell::new(0));
        let before = found(&memory, std::slice::from_ref(&(HEAP..HEAP + 8192)));
        let usual = memory.1.replace(0);
        let own = found(&memory, std::slice::from_ref(&(HEAP..1 << 47)));
        assert!(own.is_cut && !before.is_cut);
        assert_eq!(own.is_reached, before.is_reached);
        assert!(memory.1.get() < usual + 2 * MAX_ARENAS as u64, "{} reads", memory.1.get());
        assert_eq!(arenas(std::slice::from_ref(&(0..1 << 47))).len(), MAX_ARENAS + 1);
        assert_eq!(arenas(&[0..1, 8192..1 << 26, (1 << 26) + 1..u64::MAX]).len(), MAX_ARENAS + 1);
        assert_eq!(arenas(std::slice::from_ref(&(1 << 47..u64::MAX))), [0; 0]);
    }
}
