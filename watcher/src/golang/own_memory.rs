//! Which mappings outside the heap hold structures of the runtime: its maps of the heap, spans, bitmaps, profile.
//!
//! The runtime asks the system for this memory as a C library or `syscall.Mmap` would, and since Go 1.25 only, on
//! kernels that keep such names, it names it. What it has there is reached from its own books: from the words of
//! `mheap_` (`runtime/mheap.go`), from the spans and what they point to, and from the profile's buckets
//! (`runtime/mprof.go`). A mapping that is reached is the runtime's, unless the kernel has joined it with a neighbour.

use super::Memory;
use super::bytes::u64_at;
use super::heap::{Heap, HeapError, MAX_SPANS, PAGE_BYTES};
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
    let mut reached = Reached { mappings, is_reached, near, exact, uncounted_bytes: 0 };
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
        OwnMemory { is_reached: self.is_reached, places, uncounted_bytes: self.uncounted_bytes }
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
            self.near.insert(address / BLOCK_BYTES);
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
        let mut arenas: Vec<u64> = spans
            .iter()
            .flat_map(|span| span.start / ARENA_BYTES..span.end.div_ceil(ARENA_BYTES))
            .map(|arena| arena.wrapping_add(ARENA_BASE / ARENA_BYTES))
            .filter(|arena| *arena < ARENA_MAP_ENTRIES)
            .collect();
        arenas.dedup();
        let before = all_spans.saturating_sub(BEFORE_ALL_SPANS);
        for word in variables(memory, before, BEFORE_ALL_SPANS) {
            self.mark_whole(word, PAGE_BITMAP_BYTES);
        }
        for word in variables(memory, all_spans, BEHIND_ALL_SPANS) {
            let Some(index) = self.holder(word) else { continue };
            let map = word..word.saturating_add(ARENA_MAP_ENTRIES * 8);
            if map.end > self.mappings[index].end {
                self.mark(word);
                continue;
            }
            self.is_reached[index] = true;
            self.uncounted_bytes = ARENA_MAP_ENTRIES * 8;
            for arena in &arenas {
                let entry = map.start + arena * 8;
                if let Some(metadata) = word_at(memory, entry).filter(|metadata| *metadata != 0) {
                    let page = entry / PIECE_BYTES * PIECE_BYTES;
                    self.exact.push(page..page + PIECE_BYTES);
                    self.by_arena(memory, metadata, *arena, spans);
                }
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
