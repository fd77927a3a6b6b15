//! The goroutines as the graph sees them: what each does, what it waits on, and the live words of its stack.
//!
//! Read in batches: the structures, the stacks, the structures again. Of a goroutine that moved meanwhile, or runs, all
//! words of its stack count.

use super::frames::{FrameMaps, StackCopy};
use super::masks::bits;
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::Symbols;
use crate::golang::bytes::{u32_at, u64_at};
use crate::golang::runtime::layouts::GoroutineLayout;
use std::ops::Range;

/// Goroutines in one batch.
const BATCH: usize = 512;
/// Stacks that are copied together, in bytes.
const BATCH_BYTES: u64 = 8 << 20;
/// Of a deeper stack the innermost part is copied; it is counted.
const MAX_STACK_BYTES: u64 = 256 << 20;
/// `g.waiting`, behind `startpc` (1.21 to 1.27).
const WAITING_FROM_START_PC: usize = 16;
const SCAN_BIT: u32 = 0x1000;

/// `_Gwaiting`.
pub const WAITING: u32 = 4;
/// `_Gleaked`: Go's own profile found it (1.26 and newer).
pub const LEAKED: u32 = 10;
const IDLE: u32 = 0;
const RUNNING: u32 = 2;
const DEAD: u32 = 6;
const COPY_STACK: u32 = 8;
const DEAD_EXTRA: u32 = 11;

/// One goroutine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Address of its structure.
    pub address: u64,
    /// `goid`.
    pub id: u64,
    /// `atomicstatus`, without the scan bit.
    pub status: u32,
    /// `waitreason`.
    pub wait_reason: u8,
    /// Set by a collection that found it parked; 0 where none has since it ran.
    pub waiting_since_nanos: u64,
    /// First of the `sudog`s that it waits on; 0 where that is not told.
    pub waiting: u64,
    /// Stack pointer at which it stopped.
    pub stack_pointer: u64,
    /// The function that it began with.
    pub start_pc: u64,
    /// The `go` statement that created it.
    pub go_pc: u64,
    /// Bounds of its stack.
    pub stack: Range<u64>,
    /// Which of the words that were collected are its.
    pub words: Range<usize>,
    /// It did not move while its stack was read.
    pub is_settled: bool,
}

impl Holder {
    /// Whether it lives at all: the others are structures that wait for use.
    pub fn is_alive(&self) -> bool {
        !matches!(self.status, IDLE | DEAD | DEAD_EXTRA)
    }

    /// Whether it is parked.
    pub fn is_waiting(&self) -> bool {
        matches!(self.status, WAITING | LEAKED)
    }

    /// Whether it is as it was in another reading: it has not run in between.
    pub fn is_as(&self, other: &Holder) -> bool {
        self.id == other.id
            && self.stack_pointer == other.stack_pointer
            && self.is_waiting()
            && other.is_waiting()
            && self.waiting_since_nanos == other.waiting_since_nanos
    }

    fn parse(address: u64, bytes: &[u8], layout: &GoroutineLayout) -> Option<(Holder, u64)> {
        let word = |offset: usize| u64_at(bytes, offset);
        let syscall_sp = word(layout.syscall_sp)?;
        let (stack_pointer, pc) = if syscall_sp != 0 {
            (syscall_sp, word(layout.syscall_pc())?)
        } else {
            (word(layout.sched_sp)?, word(layout.sched_pc())?)
        };
        let holder = Holder {
            address,
            id: word(layout.goid)?,
            status: u32_at(bytes, layout.status())? & !SCAN_BIT,
            wait_reason: *bytes.get(layout.wait_reason())?,
            waiting_since_nanos: word(layout.wait_since())?,
            waiting: word(layout.start_pc + WAITING_FROM_START_PC)?,
            stack_pointer,
            start_pc: word(layout.start_pc)?,
            go_pc: word(layout.go_pc())?,
            stack: word(GoroutineLayout::STACK_LOW)?..word(GoroutineLayout::STACK_HIGH)?,
            words: 0..0,
            is_settled: false,
        };
        Some((holder, pc))
    }

    /// From where on its stack is in use: all of it where that cannot be known.
    fn used(&self) -> Range<u64> {
        let begin = match self.status {
            RUNNING | COPY_STACK => self.stack.start,
            _ if self.stack.contains(&self.stack_pointer) => self.stack_pointer,
            _ => self.stack.start,
        };
        let begin = begin.next_multiple_of(8);
        let is_plausible = begin < self.stack.end && self.stack.end - begin <= 1 << 30;
        if is_plausible { begin..self.stack.end } else { 0..0 }
    }
}

/// All goroutines, and the words of their stacks that could lead into the heap.
#[derive(Default)]
pub(super) struct Stacks {
    pub holders: Vec<Holder>,
    pub words: Vec<u64>,
    /// Stacks of which the live words are known, and those of which all count.
    pub precise: u64,
    pub whole: u64,
    /// Structures and stacks that could not be read, or not wholly.
    pub unreadable: u64,
}

/// How to read goroutines.
pub(super) struct StackReader<'a> {
    pub loaded: Loaded<'a>,
    pub layout: GoroutineLayout,
    /// Words outside these addresses lead nowhere.
    pub heap: Range<u64>,
}

impl StackReader<'_> {
    /// Reads the goroutines at `addresses` without their stacks.
    pub fn states(&self, addresses: &[u64]) -> Vec<Holder> {
        let mut states = Vec::with_capacity(addresses.len());
        for chunk in addresses.chunks(BATCH) {
            let read = self.structures(chunk);
            states.extend(chunk.iter().zip(read).filter_map(|(address, bytes)| {
                Holder::parse(*address, &bytes?, &self.layout).map(|(holder, _)| holder)
            }));
        }
        states
    }

    /// Reads the goroutines at `addresses`.
    pub fn read(&self, symbols: &mut Symbols, maps: &mut FrameMaps, addresses: &[u64]) -> Stacks {
        let mut stacks = Stacks::default();
        for chunk in addresses.chunks(BATCH) {
            let parsed: Vec<Option<(Holder, u64)>> = chunk
                .iter()
                .zip(self.structures(chunk))
                .map(|(address, bytes)| Holder::parse(*address, &bytes?, &self.layout))
                .collect();
            stacks.unreadable += parsed.iter().filter(|parsed| parsed.is_none()).count() as u64;
            let mut rest: &[Option<(Holder, u64)>] = &parsed;
            while !rest.is_empty() {
                let mut bytes = 0;
                let fits = rest.iter().take_while(|parsed| {
                    bytes += parsed.as_ref().map_or(0, |(holder, _)| self.length(holder));
                    bytes <= BATCH_BYTES
                });
                let (batch, behind) = rest.split_at(fits.count().max(1));
                rest = behind;
                self.read_batch(symbols, maps, batch, &mut stacks);
            }
        }
        stacks
    }

    fn length(&self, holder: &Holder) -> u64 {
        let used = holder.used();
        if holder.is_alive() { (used.end - used.start).min(MAX_STACK_BYTES) } else { 0 }
    }

    fn read_batch(
        &self,
        symbols: &mut Symbols,
        maps: &mut FrameMaps,
        batch: &[Option<(Holder, u64)>],
        stacks: &mut Stacks,
    ) {
        let batch: Vec<&(Holder, u64)> = batch.iter().flatten().collect();
        let length = |holder: &Holder| usize::try_from(self.length(holder)).unwrap_or(0);
        let ranges: Vec<(u64, usize)> =
            batch.iter().map(|(holder, _)| (holder.used().start, length(holder))).collect();
        let (mut buffer, mut readable) = (vec![0; ranges.iter().map(|(_, bytes)| bytes).sum()], Vec::new());
        self.loaded.memory.read_many(&ranges, &mut buffer, &mut readable);
        let addresses: Vec<u64> = batch.iter().map(|(holder, _)| holder.address).collect();
        let again = self.structures(&addresses);
        let mut rest = buffer.as_slice();
        for (((holder, pc), again), is_readable) in batch.into_iter().zip(again).zip(readable) {
            let (bytes, behind) = rest.split_at_checked(length(holder)).unwrap_or_default();
            rest = behind;
            let again = again.and_then(|bytes| Holder::parse(holder.address, &bytes, &self.layout));
            let is_settled = again.is_some_and(|(again, pc_again)| {
                (again.id, again.stack_pointer, again.status, &again.stack, pc_again)
                    == (holder.id, holder.stack_pointer, holder.status, &holder.stack, *pc)
            });
            let mut holder = Holder { is_settled, ..holder.clone() };
            let begin = stacks.words.len();
            if holder.is_alive() {
                let is_whole = is_readable && bytes.len() as u64 == holder.used().end - holder.used().start;
                stacks.unreadable += u64::from(!is_whole);
                let stack =
                    StackCopy { base: holder.used().start, bytes: if is_readable { bytes } else { &[] } };
                self.collect(symbols, maps, &holder, *pc, stack, stacks);
            }
            holder.words = begin..stacks.words.len();
            stacks.holders.push(holder);
        }
    }

    fn collect(
        &self,
        symbols: &mut Symbols,
        maps: &mut FrameMaps,
        holder: &Holder,
        pc: u64,
        stack: StackCopy,
        stacks: &mut Stacks,
    ) {
        let may_walk = holder.is_settled && !matches!(holder.status, RUNNING | COPY_STACK);
        let live = may_walk.then(|| maps.live_words(&self.loaded, symbols, stack, pc)).flatten();
        let leads_on = |value: &u64| self.heap.contains(value) && !holder.stack.contains(value);
        let words = stack.bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0));
        match live {
            Some(live) => {
                stacks.precise += 1;
                let live = live.iter().enumerate().flat_map(|(index, mask)| {
                    bits(*mask).map(move |bit| stack.base + index as u64 * 512 + u64::from(bit) * 8)
                });
                stacks.words.extend(live.filter_map(|address| stack.word(address)).filter(leads_on));
            }
            None => {
                stacks.whole += 1;
                stacks.words.extend(words.filter(leads_on));
            }
        }
    }

    /// The structures at these addresses.
    fn structures(&self, addresses: &[u64]) -> Vec<Option<Vec<u8>>> {
        let length = self.layout.bytes();
        let ranges: Vec<(u64, usize)> = addresses.iter().map(|address| (*address, length)).collect();
        let (mut buffer, mut readable) = (vec![0; length * ranges.len()], Vec::new());
        self.loaded.memory.read_many(&ranges, &mut buffer, &mut readable);
        let read = buffer.chunks_exact(length).zip(readable);
        read.map(|(bytes, is_readable)| is_readable.then(|| bytes.to_vec())).collect()
    }
}
