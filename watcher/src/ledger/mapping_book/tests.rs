//! The book against a model that knows every page.

use super::{Maker, MappingBook, Starter};
use crate::source::kernel::ledger::{MappingCall, RawMapping};
use crate::source::proc::Mapping;
use crate::vocabulary::origin::{CreatingGoroutine, Origin, StackId};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::time::Duration;

const PAGES: u64 = 64;
/// Nobody is told of what is mapped here.
const UNSEEN: Range<u64> = 56..64;
/// The break moves here.
const BREAK: Range<u64> = 40..56;

/// Whose a page is: the stack, and the number of the call.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Page {
    Before,
    Unseen,
    Made { stack: u64, call: u32, is_file: bool, is_thread_stack: bool },
}

#[derive(Clone, Debug)]
enum Step {
    Map { range: Range<u64>, stack: u64, is_file: bool, is_thread_stack: bool },
    Unmap(Range<u64>),
    Move { from: Range<u64>, to: u64, bytes: u64, stack: u64 },
    Break { to: u64, stack: u64 },
    Protect { range: Range<u64>, stack: u64 },
    MapUnseen(Range<u64>),
    UnmapUnseen(Range<u64>),
    Scan,
}

/// The kernel: its pages, and the entries of our programs.
struct Kernel {
    pages: [Option<Page>; PAGES as usize],
    brk: u64,
    entries: HashMap<(u64, u64), RawMapping>,
    calls: u32,
    clock: Duration,
}

impl Kernel {
    fn new() -> Self {
        let mut pages = [None; PAGES as usize];
        pages[..4].fill(Some(Page::Before));
        Kernel { pages, brk: BREAK.start, entries: HashMap::new(), calls: 0, clock: Duration::from_secs(100) }
    }

    fn fill(&mut self, range: Range<u64>, page: Option<Page>) {
        self.pages[range.start as usize..range.end as usize].fill(page);
    }

    fn made(&mut self, stack: u64, is_file: bool, is_thread_stack: bool) -> Page {
        self.calls += 1;
        Page::Made { stack, call: self.calls, is_file, is_thread_stack }
    }

    fn is_mapped(&self, range: &Range<u64>) -> bool {
        !range.is_empty() && self.pages[range.start as usize..range.end as usize].iter().all(Option::is_some)
    }

    /// As the programs in the kernel do it.
    fn enter(
        &mut self,
        range: Range<u64>,
        call: MappingCall,
        stack: u64,
        is_file: bool,
        is_thread_stack: bool,
    ) {
        let entry = RawMapping {
            range: range.clone(),
            call,
            is_thread_stack,
            is_file,
            at: self.clock,
            origin: origin(stack),
            covered: 0,
        };
        let newest = u64::from(call == MappingCall::Protect);
        let old = self.entries.get(&(newest, range.start));
        if let Some(old) = old.filter(|old| old.range.end > range.end).cloned() {
            self.entries.insert((old.at.as_millis() as u64, range.start), old);
        }
        self.entries.insert((newest, range.start), entry);
    }

    fn leave(&mut self, range: &Range<u64>) {
        for newest in [0, 1] {
            if self.entries.get(&(newest, range.start)).is_some_and(|entry| entry.range.end <= range.end) {
                self.entries.remove(&(newest, range.start));
            }
        }
    }

    fn step(&mut self, step: Step) {
        self.clock += Duration::from_millis(300);
        match step {
            Step::Map { range, stack, is_file, is_thread_stack } if !range.is_empty() => {
                let page = self.made(stack, is_file, is_thread_stack);
                self.fill(range.clone(), Some(page));
                self.enter(range, MappingCall::Map, stack, is_file, is_thread_stack);
            }
            Step::Unmap(range) => {
                self.leave(&range);
                self.fill(range, None);
            }
            Step::Move { from, to, bytes, stack } if self.is_mapped(&from) => {
                let to = to..(to + bytes).min(BREAK.start);
                let overlaps = to.start < from.end && from.start < to.end;
                if to.is_empty() || overlaps && to.start != from.start {
                    return;
                }
                if to.start == from.start && to.end <= from.end {
                    return self.fill(to.end..from.end, None);
                }
                if to.start == from.start
                    && self.pages[from.end as usize..to.end as usize].iter().any(Option::is_some)
                {
                    return;
                }
                let page = self.made(stack, false, false);
                self.fill(from.clone(), None);
                self.fill(to.clone(), Some(page));
                if to.start != from.start {
                    self.leave(&from);
                }
                self.enter(to, MappingCall::Remap, stack, false, false);
            }
            Step::Break { to, stack } => {
                let old = std::mem::replace(&mut self.brk, to);
                if to < old {
                    return self.fill(to..old, None);
                }
                let page = self.made(stack, false, false);
                self.fill(old..to, Some(page));
                if to > old {
                    self.enter(old..to, MappingCall::Break, stack, false, false);
                }
            }
            Step::Protect { range, stack } if self.is_mapped(&range) => {
                let page = self.made(stack, false, false);
                for old in &mut self.pages[range.start as usize..range.end as usize] {
                    let is_exempt = matches!(old, Some(Page::Made { is_file, is_thread_stack, .. }) if *is_file || *is_thread_stack);
                    *old = if is_exempt { *old } else { Some(page) };
                }
                self.enter(range, MappingCall::Protect, stack, false, false);
            }
            Step::MapUnseen(range) => self.fill(range, Some(Page::Unseen)),
            Step::UnmapUnseen(range) => self.fill(range, None),
            Step::Map { .. } | Step::Move { .. } | Step::Protect { .. } | Step::Scan => {}
        }
    }

    /// One mapping for each run of pages that are files, or are not.
    fn mappings(&self) -> Vec<Mapping> {
        let mut mappings: Vec<Mapping> = Vec::new();
        for (at, page) in (0..).zip(&self.pages) {
            let Some(page) = page else { continue };
            let inode = u64::from(matches!(page, Page::Made { is_file: true, .. }));
            match mappings.last_mut() {
                Some(last) if last.range.end == at && last.inode == inode => last.range.end = at + 1,
                _ => mappings.push(Mapping {
                    range: at..at + 1,
                    is_accessible: true,
                    inode,
                    ..Mapping::default()
                }),
            }
        }
        mappings
    }
}

fn origin(stack: u64) -> Origin {
    let goroutine = Some(CreatingGoroutine { id: 1, parent_id: None, created_at: stack + 100 });
    Origin { stack: Some(StackId(stack)), tid: 1, goroutine }
}

fn maker(stack: u64) -> Maker {
    let ran_by = Starter::Goroutine { parent_id: None, created_at: stack + 100 };
    Maker { stack: Some(StackId(stack)), ran_by }
}

fn check(book: &mut MappingBook, kernel: &Kernel) -> Result<(), TestCaseError> {
    let entries: Vec<RawMapping> = kernel.entries.values().cloned().collect();
    let scan = book.scan(&entries, &kernel.mappings(), kernel.clock);
    let mut bytes: HashMap<Maker, (u64, u64)> = HashMap::new();
    let (mut before, mut missed) = (0, 0);
    for page in kernel.pages.iter().flatten() {
        match page {
            Page::Before => before += 1,
            Page::Unseen => missed += 1,
            Page::Made { stack, is_file, .. } => {
                let bytes = bytes.entry(maker(*stack)).or_default();
                *bytes = (bytes.0 + 1, bytes.1 + u64::from(*is_file));
            }
        }
    }
    let found: HashMap<Maker, (u64, u64)> =
        scan.makers.iter().map(|(maker, it)| (*maker, (it.bytes, it.file_bytes))).collect();
    prop_assert_eq!(found, bytes);
    prop_assert_eq!(scan.missed.iter().map(|piece| piece.bytes).sum::<u64>(), missed);
    prop_assert!(scan.before <= before && (scan.before > 0) == (before > 0));
    Ok(())
}

fn range(within: Range<u64>) -> impl Strategy<Value = Range<u64>> {
    (within.clone(), within).prop_map(|(a, b)| a.min(b)..a.max(b))
}

fn step() -> impl Strategy<Value = Step> {
    let seen = || range(0..BREAK.start);
    prop_oneof![
        6 => (seen(), 1_u64..5, 0..4).prop_map(|(range, stack, kind)| Step::Map {
            range, stack, is_file: kind == 1, is_thread_stack: kind == 2,
        }),
        6 => seen().prop_map(Step::Unmap),
        3 => (seen(), 0..BREAK.start, 1_u64..12, 5_u64..7, any::<bool>()).prop_map(|(from, to, bytes, stack, stays)| {
            Step::Move { to: if stays { from.start } else { to }, from, bytes, stack }
        }),
        3 => (BREAK, 7_u64..10).prop_map(|(to, stack)| Step::Break { to, stack }),
        3 => (seen(), 10_u64..12).prop_map(|(range, stack)| Step::Protect { range, stack }),
        1 => range(UNSEEN).prop_map(Step::MapUnseen),
        1 => range(UNSEEN).prop_map(Step::UnmapUnseen),
        2 => Just(Step::Scan),
    ]
}

proptest! {
    #[test]
    fn whoever_made_a_page_has_it(steps in prop::collection::vec(step(), 0..80)) {
        let mut kernel = Kernel::new();
        let mut book = MappingBook::new(&kernel.mappings());
        for step in steps {
            let is_scan = matches!(step, Step::Scan);
            kernel.step(step);
            if is_scan {
                check(&mut book, &kernel)?;
                let entries: Vec<RawMapping> = kernel.entries.values().cloned().collect();
                let settled: Vec<RawMapping> = book.settled(&entries, kernel.clock).cloned().collect();
                kernel.entries.retain(|_, entry| !settled.contains(entry));
            }
        }
        check(&mut book, &kernel)?;
    }
}

fn entry(range: Range<u64>, call: MappingCall, seconds: u64, stack: u64) -> RawMapping {
    let at = Duration::from_secs(seconds);
    RawMapping { range, call, is_thread_stack: false, is_file: false, at, origin: origin(stack), covered: 0 }
}

fn mapping(range: Range<u64>, is_accessible: bool, name: &str) -> Mapping {
    Mapping { range, is_accessible, name: name.into(), ..Mapping::default() }
}

#[test]
fn what_is_counted_of_one_maker() {
    let seconds = Duration::from_secs;
    let mut book = MappingBook::new(&[]);
    let entries = [
        entry(0..4, MappingCall::Map, 10, 1),
        entry(8..12, MappingCall::Map, 20, 1),
        entry(16..20, MappingCall::Break, 30, 2),
        entry(20..24, MappingCall::Break, 40, 2),
        entry(24..28, MappingCall::Break, 50, 3),
    ];
    let mappings = [mapping(0..4, false, ""), mapping(9..10, true, ""), mapping(16..28, true, "[heap]")];
    let scan = book.scan(&entries, &mappings, seconds(60));
    let of = |stack| &scan.makers[&maker(stack)];
    // Reserved addresses are no bytes, but they are a mapping.
    assert_eq!((of(1).count, of(1).bytes, of(1).oldest, of(1).youngest), (2, 1, seconds(50), seconds(40)));
    assert_eq!((of(2).count, of(2).bytes, of(2).oldest, of(2).youngest), (2, 8, seconds(30), seconds(20)));
    assert_eq!((of(3).count, of(3).bytes), (1, 4));
    assert_eq!((scan.before, scan.missed.len(), scan.corrected), (0, 0, 0));
    // One is unmapped where the programs see it, another where they do not.
    let scan = book.scan(&entries[1..], &[mapping(0..4, false, "")], seconds(70));
    assert!(scan.makers.is_empty());
    assert_eq!((scan.missed.len(), scan.corrected), (1, 3));
    assert_eq!(book.longest(Some(StackId(1))), Some(seconds(60)));
    assert_eq!(book.settled(&entries, seconds(51)).count(), 3);
    assert_eq!(book.settled(&entries, seconds(90)).count(), 1);
}

#[test]
fn what_nobody_asked_for_is_not_missed() {
    let mut book = MappingBook::new(&[mapping(50..60, true, "[stack]")]);
    let mappings =
        [mapping(4..8, true, ""), mapping(20..24, true, "[uprobes]"), mapping(40..60, true, "[stack]")];
    // It was made after the list of mappings was read.
    let young = entry(4..6, MappingCall::Map, 11, 1);
    let scan = book.scan(std::slice::from_ref(&young), &mappings, Duration::from_secs(10));
    let missed: BTreeSet<u64> = scan.missed.iter().map(|piece| piece.range.start).collect();
    assert_eq!((missed, scan.makers.len(), scan.before), ([6].into(), 0, 1));
    let scan = book.scan(&[young], &mappings, Duration::from_secs(12));
    assert_eq!((scan.makers[&maker(1)].bytes, scan.corrected), (2, 0));
}
