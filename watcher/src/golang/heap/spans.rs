//! What the heap consists of, span by span: objects by size, stacks, and the addresses they take.
//!
//! Every span of the heap, used or not, is listed in `mheap_.allspans` (`runtime/mheap.go`, `mspan`), whether the
//! program records heap profiles or not. The structures are never unmapped, so that they can be read while the
//! program runs; what changes under way is off by what was allocated meanwhile, and no more.

pub mod marks;

use crate::golang::Memory;
use crate::golang::bytes::{array_at, u16_at, u64_at};
use crate::golang::heap::{Heap, HeapError, MAX_SPANS, PAGE_BYTES};
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// The part of an `mspan` that is read: all fields used here in every layout that is tried.
const SPAN_BYTES: usize = 0x98;
const START: usize = 0x18;
const PAGES: usize = 0x20;
/// Spans in one read: few enough that the buffer stays small, many enough that calls do not matter.
const BATCH: usize = 1024;
/// Most ranges that are kept apart. They are merged as they come, and a heap is one range per arena or a few.
const MAX_RANGES: usize = 1 << 20;
/// `_NumSizeClasses`, twice: with pointers and without.
const SPAN_CLASSES: u8 = 68 * 2;
/// Programs get no addresses from here on: Linux gives out higher ones only to who asks for them, and the runtime does
/// not.
const ADDRESS_END: u64 = 1 << 47;
const MAX_SMALL_OBJECT_BYTES: u64 = 32 << 10;
/// Spans looked at to find out the layout.
const SAMPLED_SPANS: u64 = 512;
/// The list may be moved when it grows; it doubles, so that it does not do so again at once.
const ATTEMPTS: usize = 4;

/// Where the fields of an `mspan` lie, by its `spanclass`: they are neighbours in all versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    span_class: usize,
}

const GO_1_19: Layout = Layout { span_class: 0x62 };
const GO_1_21: Layout = Layout { span_class: 0x6a };
const GO_1_22: Layout = Layout { span_class: 0x62 };

/// The spans of one process's heap, found and checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spans {
    heap: Heap,
    layout: Layout,
    is_calibrated: bool,
}

/// All spans at about one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Spans of objects by object size, the largest sum of bytes first.
    pub classes: Vec<SizeClass>,
    /// Spans that hold objects: `MemStats.HeapInuse`.
    pub heap_bytes: u64,
    /// Spans that hold goroutine stacks: `MemStats.StackInuse`.
    pub stack_bytes: u64,
    /// Spans that the collector takes for its work lists.
    pub work_bytes: u64,
    /// Addresses of all these, ascending, neighbours joined. What lies between was given back or waits for use.
    pub ranges: Vec<Range<u64>>,
    /// Spans listed.
    pub listed: u64,
    /// Of them, could not be read.
    pub unreadable: u64,
    /// Of them, made no sense: caught in the middle of a change. Neither is in any sum.
    pub implausible: u64,
    /// More ranges than are kept: those with the highest addresses are missing.
    pub ranges_truncated: bool,
}

/// Objects of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeClass {
    /// Size of an object, in bytes. Objects above 32 KiB have a span each and whole pages.
    pub object_bytes: u64,
    /// The collector looks for pointers in them.
    pub has_pointers: bool,
    /// Spans.
    pub spans: u64,
    /// Objects allocated and not swept: live ones, and dead ones since the last collection.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Spans {
    /// Finds out how a span is laid out in this process. `minor` is that of the toolchain: 21 for Go 1.21.
    ///
    /// # Errors
    /// Where the list cannot be read, or nothing in it looks like a span in any layout.
    pub fn locate(
        memory: &(impl Memory + ?Sized),
        heap: Heap,
        minor: Option<u32>,
    ) -> Result<Spans, HeapError> {
        let mheap = heap.mheap(memory)?;
        let sample = mheap.span_count.min(SAMPLED_SPANS);
        let mut spans = Vec::new();
        walk(memory, mheap.all_spans, sample, |span| spans.extend(span.copied()))?;
        let known = known_layout(minor);
        let searched = (0x50..=SPAN_BYTES - 0x10).step_by(2).map(|span_class| Layout { span_class });
        let layout =
            known.into_iter().chain([GO_1_22, GO_1_21]).chain(searched).find(|layout| layout.fits(&spans));
        let layout = layout.ok_or(HeapError::Implausible { what: "spans" })?;
        Ok(Spans { heap, layout, is_calibrated: Some(layout) != known })
    }

    /// The table by version does not know the layout, or is wrong about it: the spans themselves decided.
    pub fn is_calibrated(&self) -> bool {
        self.is_calibrated
    }

    /// How many spans the heap lists, used or not.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn listed(&self, memory: &(impl Memory + ?Sized)) -> Result<u64, HeapError> {
        self.heap.mheap(memory).map(|mheap| mheap.span_count)
    }

    /// Reads all spans. Takes half a microsecond a span and a buffer of 200 KiB.
    ///
    /// # Errors
    /// Where the list cannot be read, or is moved again and again.
    pub fn census(&self, memory: &(impl Memory + ?Sized)) -> Result<Census, HeapError> {
        for _ in 0..ATTEMPTS {
            let before = self.heap.mheap(memory)?;
            let mut count = Count::new(self.layout);
            let walked =
                walk(memory, before.all_spans, before.span_count.min(MAX_SPANS), |span| count.add(span));
            // The list that was read may have been unmapped, and something else mapped there since.
            if self.heap.mheap(memory)?.all_spans == before.all_spans {
                walked?;
                return Ok(count.finish());
            }
        }
        Err(HeapError::Implausible { what: "the list of spans does not stay in its place" })
    }
}

/// Visits the spans of a list of `count` pointers, in batches; `None` for one that cannot be read.
fn walk(
    memory: &(impl Memory + ?Sized),
    list: u64,
    count: u64,
    mut visit: impl FnMut(Option<&[u8; SPAN_BYTES]>),
) -> Result<(), HeapError> {
    let mut pointers = [0; BATCH * 8];
    let mut buffer = vec![0; BATCH * SPAN_BYTES];
    let (mut ranges, mut readable) = (Vec::with_capacity(BATCH), Vec::with_capacity(BATCH));
    let mut done = 0;
    while done < count {
        let batch = usize::try_from(count - done).map_or(BATCH, |rest| rest.min(BATCH));
        memory.read(list.wrapping_add(done * 8), &mut pointers[..batch * 8])?;
        ranges.clear();
        for pointer in pointers[..batch * 8].chunks_exact(8) {
            ranges.push((u64_at(pointer, 0).unwrap_or(0), SPAN_BYTES));
        }
        memory.read_many(&ranges, &mut buffer[..batch * SPAN_BYTES], &mut readable);
        let (spans, _) = buffer.as_chunks::<SPAN_BYTES>();
        for (span, readable) in spans.iter().zip(&readable) {
            visit(readable.then_some(span));
        }
        done += batch as u64;
    }
    Ok(())
}

fn known_layout(minor: Option<u32>) -> Option<Layout> {
    match minor? {
        19 => Some(GO_1_19),
        21 => Some(GO_1_21),
        22..=27 => Some(GO_1_22),
        _ => None,
    }
}

/// A span as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u64,
    bytes: u64,
    state: State,
    /// Class times two, plus one for objects without pointers.
    span_class: u8,
    object_bytes: u64,
    objects: u64,
}

/// `mSpanState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dead,
    InUse,
    Manual,
}

impl Layout {
    /// The fields, or `None` where they contradict each other.
    fn parse(self, bytes: &[u8; SPAN_BYTES]) -> Option<Span> {
        let [span_class, state] = array_at(bytes, self.span_class)?;
        let state = match state {
            0 => State::Dead,
            1 => State::InUse,
            2 => State::Manual,
            _ => return None,
        };
        let start = u64_at(bytes, START)?;
        let pages = u64_at(bytes, PAGES)?;
        let object_bytes = u64_at(bytes, self.span_class + 6)?;
        let objects = u64::from(u16_at(bytes, self.span_class - 2)?);
        let span =
            Span { start, bytes: pages.checked_mul(PAGE_BYTES)?, state, span_class, object_bytes, objects };
        let has_room = start != 0
            && start.is_multiple_of(PAGE_BYTES)
            && pages > 0
            && start.checked_add(span.bytes).is_some_and(|end| end <= ADDRESS_END);
        let is_plausible = match state {
            // What a span held before it died says nothing.
            State::Dead => true,
            State::InUse => has_room && span.holds_objects(),
            State::Manual => has_room && object_bytes <= span.bytes,
        };
        is_plausible.then_some(span)
    }

    /// Do nearly all of the spans make sense, and do spans of one class have objects of one size?
    fn fits(self, spans: &[[u8; SPAN_BYTES]]) -> bool {
        let parsed: Vec<Span> = spans.iter().filter_map(|bytes| self.parse(bytes)).collect();
        let in_use = || parsed.iter().filter(|span| span.state == State::InUse);
        let mut sizes: HashMap<u8, u64> = HashMap::new();
        let one_size_a_class = in_use()
            .filter(|span| span.span_class > 1)
            .all(|span| *sizes.entry(span.span_class / 2).or_insert(span.object_bytes) == span.object_bytes);
        // A handful of classes: zeroes in the place of all fields are one, and no heap has so few.
        one_size_a_class
            && sizes.len() >= 4
            && in_use().any(|span| span.objects > 0)
            && parsed.len() * 100 >= spans.len() * 95
    }
}

impl Span {
    fn holds_objects(&self) -> bool {
        let Some(taken) = self.objects.checked_mul(self.object_bytes) else { return false };
        let is_right_size = if self.span_class < 2 {
            // An arena chunk of the user keeps a little of its span for itself.
            (1..=self.bytes).contains(&self.object_bytes) && self.objects <= 1
        } else {
            self.object_bytes.is_multiple_of(8) && (8..=MAX_SMALL_OBJECT_BYTES).contains(&self.object_bytes)
        };
        self.span_class < SPAN_CLASSES && is_right_size && taken <= self.bytes
    }
}

/// The sums while spans are visited.
struct Count {
    layout: Layout,
    census: Census,
    classes: BTreeMap<(u64, bool), SizeClass>,
    /// Start by address, with the end; joined with neighbours as they come.
    ranges: BTreeMap<u64, u64>,
}

impl Count {
    fn new(layout: Layout) -> Count {
        Count { layout, census: Census::default(), classes: BTreeMap::new(), ranges: BTreeMap::new() }
    }

    fn add(&mut self, bytes: Option<&[u8; SPAN_BYTES]>) {
        self.census.listed += 1;
        let Some(bytes) = bytes else {
            self.census.unreadable += 1;
            return;
        };
        let Some(span) = self.layout.parse(bytes) else {
            self.census.implausible += 1;
            return;
        };
        let sum = match span.state {
            State::Dead => return,
            State::InUse => &mut self.census.heap_bytes,
            // Stacks have a size (`stackpoolalloc`, `stackalloc`), work buffers have none.
            State::Manual if span.object_bytes > 0 => &mut self.census.stack_bytes,
            State::Manual => &mut self.census.work_bytes,
        };
        *sum = sum.saturating_add(span.bytes);
        self.add_range(span.start, span.start.saturating_add(span.bytes));
        if span.state == State::InUse {
            let has_pointers = span.span_class % 2 == 0;
            let object_bytes = span.object_bytes;
            let none = SizeClass { object_bytes, has_pointers, spans: 0, objects: 0, bytes: 0 };
            let class = self.classes.entry((object_bytes, has_pointers)).or_insert(none);
            class.spans += 1;
            class.objects += span.objects;
            class.bytes = class.bytes.saturating_add(span.objects.saturating_mul(object_bytes));
        }
    }

    fn add_range(&mut self, mut start: u64, mut end: u64) {
        // Spans do not overlap, but two reads of a changing heap may.
        if let Some((&before, &before_end)) = self.ranges.range(..=start).next_back()
            && before_end >= start
        {
            start = before;
            end = end.max(before_end);
        }
        while let Some((&behind, &behind_end)) = self.ranges.range(start..=end).next() {
            self.ranges.remove(&behind);
            end = end.max(behind_end);
        }
        self.ranges.insert(start, end);
        if self.ranges.len() > MAX_RANGES {
            self.ranges.pop_last();
            self.census.ranges_truncated = true;
        }
    }

    fn finish(self) -> Census {
        let mut classes: Vec<SizeClass> = self.classes.into_values().collect();
        classes.sort_by_key(|class| std::cmp::Reverse(class.bytes));
        let ranges = self.ranges.into_iter().map(|(start, end)| start..end).collect();
        Census { classes, ranges, ..self.census }
    }
}

#[cfg(test)]
mod tests {
    use super::{GO_1_21, GO_1_22, HeapError, Layout, SPAN_BYTES, SizeClass, Spans};
    use crate::golang::heap::Heap;
    use crate::golang::recorded::Recorded;
    use proptest::prelude::*;

    const CONTROLLER: u64 = 0x50_0000;
    const ALL_SPANS: u64 = 0x60_0008;
    const LIST: u64 = 0x70_0000;
    const FIRST_SPAN: u64 = 0x80_0000;

    /// A span: pages from 0xc000000000 on, state, class, object size and number.
    #[derive(Clone, Copy, Debug)]
    struct Row(u64, u64, u8, u8, u64, u16);

    const ROWS: [Row; 10] = [
        Row(0, 1, 1, 10, 48, 100),
        Row(1, 1, 1, 10, 48, 70),
        Row(2, 1, 1, 11, 48, 5),
        Row(3, 4, 1, 5, 16, 1),
        Row(7, 1, 1, 13, 64, 128),
        Row(8, 13, 1, 0, 13 * 8192, 1),
        Row(30, 4, 2, 0, 2048, 0),
        Row(34, 1, 2, 0, 0, 0),
        Row(40, 1, 1, 21, 160, 51),
        Row(0, 1 << 40, 0, 77, 3, 9),
    ];

    /// A heap whose spans are laid out like `layout`, with a list that names also what is behind them.
    fn memory(layout: Layout, rows: &[Row], listed: u64) -> Recorded {
        let mut memory = Recorded::new();
        let mut pointers = Vec::new();
        for (index, Row(page, pages, state, span_class, object_bytes, objects)) in (0..).zip(rows) {
            let mut span = [0; SPAN_BYTES];
            span[0x18..0x20].copy_from_slice(&(0xc0_0000_0000 + page * 8192).to_le_bytes());
            span[0x20..0x28].copy_from_slice(&pages.to_le_bytes());
            let at = layout.span_class;
            span[at - 2..at].copy_from_slice(&objects.to_le_bytes());
            span[at] = *span_class;
            span[at + 1] = *state;
            span[at + 6..at + 14].copy_from_slice(&object_bytes.to_le_bytes());
            memory = memory.with(FIRST_SPAN + index * 0x1000, &span);
            pointers.push(FIRST_SPAN + index * 0x1000);
        }
        pointers.resize(usize::try_from(listed).unwrap(), 0x10);
        let minimum = 4 << 20;
        let mut controller = [0_u64; 64];
        (controller[0], controller[1], controller[2]) = (100, i64::MAX.cast_unsigned(), minimum);
        // The goal is the minimum, as nothing was marked.
        (controller[0x48 / 8], controller[(0x48 + 0xc8) / 8]) = (minimum, 21 * 8192);
        memory
            .with_words(CONTROLLER, &controller)
            .with_words(ALL_SPANS - 8, &[2, LIST, listed, listed, 21])
            .with_words(LIST, &pointers)
    }

    /// A heap of known spans in this layout.
    pub(in crate::golang) fn heap_memory(layout: Layout) -> Recorded {
        memory(layout, &ROWS, 10)
    }

    pub(in crate::golang) fn locate_in(memory: &Recorded) -> Result<Spans, HeapError> {
        locate(memory, None)
    }

    fn locate(memory: &Recorded, minor: Option<u32>) -> Result<Spans, HeapError> {
        Spans::locate(memory, Heap::locate(memory, CONTROLLER, ALL_SPANS, Some(26)).unwrap(), minor)
    }

    #[test]
    fn spans_are_counted_by_size_and_use() {
        let memory = memory(GO_1_22, &ROWS, 10);
        let census = locate(&memory, Some(26)).unwrap().census(&memory).unwrap();
        let class = |object_bytes, has_pointers, spans, objects| SizeClass {
            object_bytes,
            has_pointers,
            spans,
            objects,
            bytes: objects * object_bytes,
        };
        let expected = [
            class(13 * 8192, true, 1, 1),
            class(64, false, 1, 128),
            class(48, true, 2, 170),
            class(160, false, 1, 51),
            class(48, false, 1, 5),
            class(16, false, 1, 1),
        ];
        assert_eq!(census.classes, expected);
        assert_eq!(census.heap_bytes, 22 * 8192);
        assert_eq!((census.stack_bytes, census.work_bytes), (4 * 8192, 8192));
        let page = |page: u64| 0xc0_0000_0000 + page * 8192;
        assert_eq!(census.ranges, [page(0)..page(21), page(30)..page(35), page(40)..page(41)]);
        assert_eq!((census.listed, census.unreadable, census.implausible), (10, 0, 0));
    }

    #[test]
    fn the_spans_decide_over_the_table() {
        for (layout, minor, is_calibrated) in [
            (GO_1_22, Some(22), false),
            (GO_1_21, Some(21), false),
            (GO_1_21, Some(26), true),
            (GO_1_22, Some(21), true),
            (GO_1_22, None, true),
            (Layout { span_class: 0x7a }, Some(30), true),
        ] {
            let memory = memory(layout, &ROWS, 10);
            let spans = locate(&memory, minor).unwrap();
            assert_eq!((spans.layout, spans.is_calibrated()), (layout, is_calibrated), "{minor:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_counted_and_in_no_sum() {
        let mut rows = ROWS.to_vec();
        let good = memory(GO_1_22, &rows, 10);
        let spans = locate(&good, Some(26)).unwrap();
        let whole = spans.census(&good).unwrap();
        rows.extend([
            Row(50, 1, 3, 10, 48, 1),
            Row(50, 1, 1, 10, 48, 1000),
            Row(50, 1, 1, 136, 48, 1),
            Row(50, 0, 1, 10, 48, 0),
            Row(50, 1 << 60, 1, 0, 1 << 60, 1),
            // From the heap to beyond the last address, and a page that lies there.
            Row(50, 1 << 34, 1, 0, 1 << 47, 1),
            Row(1 << 34, 1, 1, 10, 48, 1),
        ]);
        let bad = memory(GO_1_22, &rows, 20);
        let census = spans.census(&bad).unwrap();
        assert_eq!((census.listed, census.unreadable, census.implausible), (20, 3, 7));
        assert_eq!((census.classes, census.heap_bytes), (whole.classes, whole.heap_bytes));
        assert_eq!(census.ranges, whole.ranges);
    }

    #[test]
    fn memory_that_holds_no_spans_is_refused() {
        let zeroes = [Row(0, 0, 0, 0, 0, 0); 20];
        let error = locate(&memory(GO_1_22, &zeroes, 20), Some(26)).unwrap_err();
        assert_eq!(error, HeapError::Implausible { what: "spans" });
        let longer_than_memory =
            memory(GO_1_22, &ROWS, 10).with_words(ALL_SPANS - 8, &[2, LIST, 1 << 28, 1 << 60, 21]);
        assert!(matches!(locate(&longer_than_memory, Some(26)), Err(HeapError::Unreadable(_))));
    }

    proptest! {
        #[test]
        fn garbled_spans_do_no_harm(
            garbage in prop::collection::vec(prop::collection::vec(any::<u8>(), SPAN_BYTES), 10),
            at in 0_u64..SPAN_BYTES as u64,
            byte in any::<u8>(),
        ) {
            let good = memory(GO_1_22, &ROWS, 10);
            let spans = locate(&good, Some(26)).unwrap();
            let mut garbled = good.clone();
            for (index, span) in (0..).zip(&garbage) {
                garbled = garbled.with(FIRST_SPAN + index * 0x1000, span);
            }
            _ = locate(&garbled, None);
            let census = spans.census(&garbled).unwrap();
            prop_assert_eq!(census.listed, 10);
            let nearly_good = good.changed(FIRST_SPAN + at, |_| byte);
            let census = spans.census(&nearly_good).unwrap();
            prop_assert!(census.ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
