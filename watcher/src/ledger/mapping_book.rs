//! What a process was seen to map, kept between scans, and laid over what the kernel says is mapped.
//!
//! The programs in the kernel note ranges as they were given. What of each is left is found here: later ranges cover
//! earlier ones, and the kernel's own list cuts away whatever was unmapped, however that was done. So nothing has to
//! be told of partial `munmap(2)`, of MAP_FIXED over old mappings, or of a break that moves back.

use super::extents::Extents;
use crate::capture::starters::Starter;
use crate::source::kernel::ledger::{MappingCall, RawMapping};
use crate::source::proc::Mapping;
use crate::vocabulary::origin::StackId;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::Duration;

/// Pieces of mappings that are kept of one process.
const MAX_PIECES: usize = 1 << 18;
/// How old an entry is before the programs may forget it: one that is about to be unmapped again soon is worth keeping
/// there, where its end is seen.
const SETTLED: Duration = Duration::from_secs(1);

/// The mappings of one process.
#[derive(Debug, Default)]
pub struct MappingBook {
    /// What was there before watching began.
    before: Extents<()>,
    /// What was made since, by the number of the creation.
    made: Extents<u32>,
    creations: HashMap<u32, Creation>,
    next: u32,
    /// Those that the programs have not forgotten yet.
    held: HashMap<(u64, Duration), u32>,
    /// The longest that one lived which a scan no longer found, by stack.
    longest: HashMap<Option<StackId>, Duration>,
    /// Creations for which there was no room here.
    lost: u64,
}

/// One call, or several that added to each other.
#[derive(Clone, Debug)]
struct Creation {
    maker: Maker,
    call: MappingCall,
    is_thread_stack: bool,
    is_file: bool,
    count: u64,
    first: Duration,
    last: Duration,
}

/// Whoever makes mappings at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Maker {
    pub stack: Option<StackId>,
    /// The goroutine or the thread that ran it.
    pub ran_by: Starter,
}

/// What a scan has found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub makers: HashMap<Maker, Outstanding>,
    /// Pieces that were there before, and pieces that nobody was seen to make.
    pub before: u64,
    pub missed: Vec<Piece>,
    /// Creations that the programs still had, and of which nothing is left.
    pub corrected: u64,
    pub lost: u64,
    /// Calls that are younger than the list of mappings, by stack.
    young: HashMap<Option<StackId>, u64>,
}

impl Scan {
    /// Calls of this stack that the programs count already, and that are no part of this scan.
    pub(super) fn young(&self, stack: Option<StackId>) -> u64 {
        self.young.get(&stack).copied().unwrap_or(0)
    }
}

/// What one maker has outstanding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outstanding {
    /// Calls of whose mappings something is left.
    pub count: u64,
    pub bytes: u64,
    pub file_bytes: u64,
    pub oldest: Duration,
    pub youngest: Duration,
    /// All of them are stacks of threads.
    pub is_thread_stack: bool,
}

/// A part of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub range: Range<u64>,
    pub bytes: u64,
    pub file_bytes: u64,
}

impl MappingBook {
    /// Begins with what is mapped when watching begins.
    pub fn new(mappings: &[Mapping]) -> Self {
        let mut book = MappingBook::default();
        for mapping in mappings {
            book.before.put(mapping.range.clone(), ());
        }
        book
    }

    /// Takes in what the programs have noted since, and what was mapped at `at`; `entries` were read after that.
    pub(super) fn scan(&mut self, entries: &[RawMapping], mappings: &[Mapping], at: Duration) -> Scan {
        let mut scan = Scan::default();
        let space: Vec<Range<u64>> = mappings.iter().map(|mapping| mapping.range.clone()).collect();
        self.forget_ended(entries);
        let (mut new, young): (Vec<&RawMapping>, Vec<&RawMapping>) = entries
            .iter()
            .filter(|entry| !self.held.contains_key(&key(entry)))
            .partition(|entry| entry.at <= at);
        new.sort_by_key(|entry| entry.at);
        for entry in new {
            self.enter(entry, mappings);
        }
        self.made.confine(&space);
        self.before.confine(&space);
        let mut left = HashSet::new();
        for (range, index, number) in self.made.within(&space) {
            let (Some(creation), Some(mapping)) = (self.creations.get(number), mappings.get(index)) else {
                continue;
            };
            let is_first = left.insert(*number);
            scan.makers.entry(creation.maker).or_default().add(
                creation,
                &piece(range, mapping),
                is_first,
                at,
            );
        }
        // What is younger than the list of mappings is no part of this scan.
        for entry in &young {
            *scan.young.entry(entry.origin.stack).or_default() += 1;
        }
        let mut known = self.made.clone();
        young.iter().for_each(|entry| known.put(entry.range.clone(), u32::MAX));
        for (range, index) in known.gaps(&space) {
            let Some(mapping) = mappings.get(index) else { continue };
            scan.before += self.before.within(std::slice::from_ref(&range)).count() as u64;
            let unseen = self.before.gaps(std::slice::from_ref(&range)).into_iter();
            scan.missed
                .extend(unseen.filter(|_| !mapping.is_kernels_own()).map(|(range, _)| piece(range, mapping)));
        }
        let entered: HashSet<u32> =
            entries.iter().filter_map(|entry| self.held.get(&key(entry)).copied()).collect();
        let longest = &mut self.longest;
        self.creations.retain(|number, creation| {
            let stays = left.contains(number);
            if !stays {
                scan.corrected += u64::from(entered.contains(number));
                let lived = longest.entry(creation.maker.stack).or_default();
                *lived = (*lived).max(at.saturating_sub(creation.first));
            }
            stays
        });
        scan.lost = self.lost;
        scan
    }

    /// The entries that are in this book by now, and that the programs need not keep any longer.
    pub fn settled<'a>(
        &mut self,
        entries: &'a [RawMapping],
        at: Duration,
    ) -> impl Iterator<Item = &'a RawMapping> {
        let held = &mut self.held;
        entries.iter().filter(move |entry| entry.at + SETTLED < at && held.remove(&key(entry)).is_some())
    }

    /// The longest that a mapping of this stack lived which the programs had forgotten already.
    pub(super) fn longest(&self, stack: Option<StackId>) -> Option<Duration> {
        self.longest.get(&stack).copied()
    }

    /// What the programs no longer have although nobody told them to forget it was unmapped.
    fn forget_ended(&mut self, entries: &[RawMapping]) {
        let present: HashSet<(u64, Duration)> = entries.iter().map(key).collect();
        let mut ended = HashSet::new();
        self.held.retain(|key, number| {
            let stays = present.contains(key);
            if !stays {
                ended.insert(*number);
            }
            stays
        });
        // One that others were added to is more than the entry that has ended.
        ended.retain(|number| self.creations.get(number).is_some_and(|creation| creation.count == 1));
        if !ended.is_empty() {
            self.made.retain(|number| !ended.contains(number));
        }
    }

    fn enter(&mut self, entry: &RawMapping, mappings: &[Mapping]) {
        if self.made.len() >= MAX_PIECES {
            self.lost += 1;
            return;
        }
        let number = self.number(entry);
        self.held.insert(key(entry), number);
        for range in self.parts(entry, mappings) {
            self.before.clear(range.clone());
            self.made.put(range, number);
        }
    }

    /// A new creation, or the one that this call adds to: what the same caller has made just below.
    fn number(&mut self, entry: &RawMapping) -> u32 {
        let maker = Maker { stack: entry.origin.stack, ran_by: Starter::of(&entry.origin) };
        let adds = matches!(entry.call, MappingCall::Break | MappingCall::Protect) && maker.stack.is_some();
        if let Some(number) = self.made.before(entry.range.start).copied().filter(|_| adds)
            && let Some(creation) = self.creations.get_mut(&number)
            && (creation.maker, creation.call) == (maker, entry.call)
        {
            creation.count += 1;
            creation.last = entry.at;
            return number;
        }
        let number = self.next;
        // Of four thousand million creations few are left.
        self.next = self.next.wrapping_add(1);
        self.creations.insert(
            number,
            Creation {
                maker,
                call: entry.call,
                is_thread_stack: entry.is_thread_stack,
                is_file: entry.is_file,
                count: 1,
                first: entry.at,
                last: entry.at,
            },
        );
        number
    }

    /// Which parts of its range a call has to answer for.
    fn parts(&self, entry: &RawMapping, mappings: &[Mapping]) -> Vec<Range<u64>> {
        if entry.call != MappingCall::Protect {
            return vec![entry.range.clone()];
        }
        // To make a library's data writable, or the stack of a thread, takes nothing that was not taken before.
        let mut parts = Extents::new();
        let first = mappings.partition_point(|mapping| mapping.range.end <= entry.range.start);
        for mapping in mappings.iter().skip(first).take_while(|it| it.range.start < entry.range.end) {
            if !mapping.is_file() {
                let start = mapping.range.start.max(entry.range.start);
                parts.put(start..mapping.range.end.min(entry.range.end), ());
            }
        }
        for (range, _, number) in self.made.within(std::slice::from_ref(&entry.range)) {
            let owner = self.creations.get(number);
            if owner.is_some_and(|creation| creation.is_thread_stack || creation.is_file) {
                parts.clear(range);
            }
        }
        parts.within(std::slice::from_ref(&entry.range)).map(|(range, ..)| range).collect()
    }
}

impl Outstanding {
    fn add(&mut self, creation: &Creation, piece: &Piece, is_first: bool, at: Duration) {
        let (oldest, youngest) = (at.saturating_sub(creation.first), at.saturating_sub(creation.last));
        if self.count == 0 {
            (self.oldest, self.youngest, self.is_thread_stack) = (oldest, youngest, true);
        }
        self.count += if is_first { creation.count } else { 0 };
        self.bytes += piece.bytes;
        self.file_bytes += piece.file_bytes;
        self.oldest = self.oldest.max(oldest);
        self.youngest = self.youngest.min(youngest);
        self.is_thread_stack &= creation.is_thread_stack;
    }
}

fn key(entry: &RawMapping) -> (u64, Duration) {
    (entry.range.start, entry.at)
}

/// Addresses that are only reserved take nothing.
fn piece(range: Range<u64>, mapping: &Mapping) -> Piece {
    let bytes = if mapping.is_accessible { range.end - range.start } else { 0 };
    Piece { range, bytes, file_bytes: if mapping.is_file() { bytes } else { 0 } }
}

#[cfg(test)]
mod tests;
