//! Every goroutine of a process, read from outside while the process runs on.
//!
//! Goroutines are read in chunks: the structures, the stacks they point to, the structures again. Only if nothing
//! that matters changed in between was the goroutine parked all the time, and what was copied of its stack belongs
//! together. The others are tried again, and counted where that does not help. The runtime never frees a goroutine's
//! structure and never shrinks the list of them, so their addresses stay good.

pub mod labels;
pub mod poll;
pub mod threads;
pub(crate) mod unwind;

use super::bytes::{array_at, u32_at, u64_at};
use super::ranges;
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::{Frame, StackPc, Symbols};
use crate::golang::goroutines::labels::Labels;
use crate::golang::goroutines::unwind::{StackBytes, StackId, Stacks, Start, Walk};
use crate::golang::runtime::layouts::GoroutineLayout;
use std::collections::HashMap;
use std::sync::Arc;

/// Goroutines that are read, and verified, together. More make fewer calls.
const CHUNK: usize = 512;
/// The same for goroutines that changed meanwhile: fewer make it likelier that nothing changes in between.
const RETRY_CHUNK: usize = 16;
const PASSES: usize = 4;
/// Copied of a stack at first; most parked goroutines use less.
const SHALLOW_STACK_BYTES: u64 = 1024;
/// Copied of a stack that turned out to be deeper. Of one that is deeper still the innermost frames are kept.
const DEEP_STACK_BYTES: u64 = 256 * 1024;
/// Deep stacks that are read together: bounds the buffer.
const DEEP_CHUNK: usize = 32;
/// Structures, and stacks, that lie closer together than this are read as one range: the smallest stacks have 2 KiB.
const MERGE_GAP_BYTES: u64 = 2048;
/// Label sets that are decoded in one snapshot.
const MAX_LABEL_SETS: usize = 4096;

/// What a goroutine does (`runtime/runtime2.go`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Ready to run.
    Runnable,
    /// Runs Go code.
    Running,
    /// In a system call, or in C.
    Syscall,
    /// Waits for something in Go.
    Waiting,
    /// Its stack is being moved.
    CopyStack,
    /// Stopped by the garbage collector or a debugger.
    Preempted,
    /// Found to be unreachable by a `goroutineleak` profile (Go 1.26 and newer).
    Leaked,
}

impl Status {
    /// From the number without the scan bit; `None` for goroutines that do not live.
    fn from_number(number: u32) -> Option<Status> {
        match number {
            1 => Some(Status::Runnable),
            2 => Some(Status::Running),
            3 => Some(Status::Syscall),
            4 => Some(Status::Waiting),
            8 => Some(Status::CopyStack),
            9 => Some(Status::Preempted),
            10 => Some(Status::Leaked),
            _ => None,
        }
    }
}

/// What became of a goroutine's stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StackReading {
    /// Walked to its root.
    Complete,
    /// Walked as far as it is recorded.
    Incomplete,
    /// It ran all the time: a stack in use cannot be read.
    Running,
    /// It changed each time it was read.
    Torn,
    /// Its memory could not be read.
    Unreadable,
}

/// All goroutines of a process at about one moment.
#[derive(Clone, Debug, Default)]
pub struct GoroutineSnapshot {
    /// Goroutines that are alike, the largest group first.
    pub groups: Vec<GoroutineGroup>,
    /// Each goroutine that lives, in no particular order.
    pub goroutines: Vec<Goroutine>,
    /// What it took.
    pub effort: Effort,
}

/// Goroutines with the same stack, status, origin and labels.
#[derive(Clone, Debug)]
pub struct GoroutineGroup {
    /// How many there are.
    pub count: u64,
    /// What they do.
    pub status: Status,
    /// For what they wait, in the words of the runtime that they run under; `None` for those that do not wait.
    pub wait_reason: Option<Arc<str>>,
    /// Their stack, innermost frame first, with inlined calls expanded and without generated wrappers. Empty where
    /// it could not be read.
    pub frames: Arc<[Frame]>,
    /// The same stack as addresses, without the above.
    pub addresses: Arc<[StackPc]>,
    /// What became of the stack.
    pub reading: StackReading,
    /// The `go` statement that created them, innermost first where its function was inlined; empty for the main
    /// goroutine.
    pub created_by: Arc<[Frame]>,
    /// The function that they were started with.
    pub start: Option<Frame>,
    /// pprof's labels.
    pub labels: Arc<Labels>,
    /// The runtime's own; Go's profiles and `runtime.NumGoroutine` leave them out.
    pub is_system: bool,
}

/// One goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goroutine {
    /// `goid`: never used twice in a process.
    pub id: u64,
    /// The goroutine that created it, from Go 1.21 on; 0 for the runtime itself.
    pub parent_id: Option<u64>,
    /// Index into the groups.
    pub group: u32,
    /// When a garbage collection first found it parked as it is, in nanoseconds of the runtime's clock; `None` where
    /// there was none since.
    pub waiting_since_nanos: Option<u64>,
    /// Address of its structure.
    pub address: u64,
    /// Address of the `m` that it is locked to; `None` also where that is not known.
    pub locked_thread: Option<u64>,
    /// Stack pointer at which it stopped: together with the id it tells whether it has moved since another snapshot.
    pub stack_pointer: u64,
}

/// What a snapshot took, and what it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Goroutines that live.
    pub live: u64,
    /// Structures that are kept for goroutines to come.
    pub dead: u64,
    /// Goroutines that had to be read again because they changed meanwhile.
    pub retried: u64,
    /// Those of them of which no consistent copy could be had.
    pub given_up: u64,
    /// Goroutines that ran on a processor each time.
    pub running: u64,
    /// Goroutines whose structure or stack could not be read, and what is listed as one and does not point to itself
    /// as they do.
    pub unreadable: u64,
    /// Stacks that were walked to their root.
    pub complete_stacks: u64,
    /// Stacks whose walk ended early.
    pub incomplete_stacks: u64,
    /// Label sets that were not decoded, as there were too many or they made no sense.
    pub labels_skipped: u64,
    /// Bytes of memory that were read.
    pub bytes_read: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct GroupKey {
    stack: Option<StackId>,
    reading: StackReading,
    status: Status,
    wait_reason: u8,
    go_pc: u64,
    start_pc: u64,
    labels: u64,
}

/// What is taken from the bytes of one goroutine.
#[derive(Clone, Copy)]
struct Fields {
    status: u32,
    low: u64,
    high: u64,
    start: Start,
    go_pc: u64,
    start_pc: u64,
    id: u64,
    /// The wait reason and the bytes behind it. Among them is `trackingSeq`, which the runtime counts up each time
    /// the goroutine stops running (`casgstatus` in `runtime/proc.go`, Go 1.17 to 1.27).
    history: [u8; 16],
    /// `sched.g` of whatever lives is the goroutine itself (`newproc1` in `runtime/proc.go`).
    own_address: u64,
}

impl Fields {
    fn decode(bytes: &[u8], layout: &GoroutineLayout) -> Option<Fields> {
        const SCAN_BIT: u32 = 0x1000;
        let word = |offset: usize| u64_at(bytes, offset);
        let syscall_sp = word(layout.syscall_sp)?;
        let start = if syscall_sp != 0 {
            Start { pc: word(layout.syscall_pc())?, sp: syscall_sp, bp: 0, is_syscall: true }
        } else {
            Start {
                pc: word(layout.sched_pc())?,
                sp: word(layout.sched_sp)?,
                bp: word(layout.sched_bp)?,
                is_syscall: false,
            }
        };
        Some(Fields {
            status: u32_at(bytes, layout.status())? & !SCAN_BIT,
            low: word(GoroutineLayout::STACK_LOW)?,
            high: word(GoroutineLayout::STACK_HIGH)?,
            start,
            go_pc: word(layout.go_pc())?,
            start_pc: word(layout.start_pc)?,
            id: word(layout.goid)?,
            history: array_at(bytes, layout.wait_reason())?,
            own_address: word(layout.sched_g())?,
        })
    }

    /// The goroutine has not run in between, and nothing that tells where it is has changed.
    fn agrees_with(&self, other: &Fields) -> bool {
        let same_place = self.start.pc == other.start.pc
            && self.start.sp == other.start.sp
            && self.start.bp == other.start.bp
            && self.start.is_syscall == other.start.is_syscall;
        same_place
            && self.history == other.history
            && self.status == other.status
            && self.own_address == other.own_address
            && (self.low, self.high) == (other.low, other.high)
            && (self.id, self.start_pc, self.go_pc) == (other.id, other.start_pc, other.go_pc)
    }
}

/// Reads the goroutines at `addresses`, which are sorted.
pub(super) fn read(
    loaded: &Loaded,
    symbols: &mut Symbols,
    layout: &GoroutineLayout,
    wait_reasons: &[Arc<str>],
    addresses: &[u64],
) -> GoroutineSnapshot {
    let mut collector = Collector {
        loaded,
        symbols,
        layout,
        stacks: Stacks::default(),
        groups: HashMap::new(),
        goroutines: Vec::new(),
        effort: Effort::default(),
        buffers: Buffers::default(),
        again: Vec::new(),
        deep: Vec::new(),
        is_last_pass: false,
    };
    let mut todo = addresses.to_vec();
    for pass in 0..PASSES {
        collector.is_last_pass = pass + 1 == PASSES;
        for chunk in todo.chunks(if pass == 0 { CHUNK } else { RETRY_CHUNK }) {
            // One page that cannot be read spoils a merged range; what is read again is read alone.
            collector.read_chunk(chunk, SHALLOW_STACK_BYTES, if pass == 0 { MERGE_GAP_BYTES } else { 0 });
        }
        let deep = std::mem::take(&mut collector.deep);
        for chunk in deep.chunks(DEEP_CHUNK) {
            collector.read_chunk(chunk, DEEP_STACK_BYTES, 0);
        }
        todo = std::mem::take(&mut collector.again);
        if todo.is_empty() {
            break;
        }
        collector.effort.retried += todo.len() as u64;
        todo.sort_unstable();
    }
    collector.finish(wait_reasons)
}

#[derive(Default)]
struct Buffers {
    ranges: Vec<(u64, usize)>,
    structures: Vec<u8>,
    structures_again: Vec<u8>,
    stacks: Vec<u8>,
    readable: Vec<bool>,
}

struct Collector<'a> {
    loaded: &'a Loaded<'a>,
    symbols: &'a mut Symbols,
    layout: &'a GoroutineLayout,
    stacks: Stacks,
    groups: HashMap<GroupKey, u32>,
    goroutines: Vec<Goroutine>,
    effort: Effort,
    buffers: Buffers,
    /// To be read again, as they changed.
    again: Vec<u64>,
    /// To be read again, as more of their stack is needed.
    deep: Vec<u64>,
    /// What cannot be read consistently now is given up.
    is_last_pass: bool,
}

/// A live goroutine of a chunk: where its bytes lie in the buffers.
struct Candidate {
    address: u64,
    fields: Fields,
    structure: usize,
    structure_range: usize,
    stack_bytes: usize,
}

impl Collector<'_> {
    fn read_chunk(&mut self, addresses: &[u64], stack_bytes: u64, merge_gap_bytes: u64) {
        let mut buffers = std::mem::take(&mut self.buffers);
        let bytes = self.layout.bytes();
        let places =
            ranges::merge(addresses.iter().map(|a| (*a, bytes)), merge_gap_bytes, &mut buffers.ranges);
        self.fetch(&buffers.ranges, &mut buffers.structures, &mut buffers.readable);

        let mut candidates = Vec::with_capacity(addresses.len());
        for (address, place) in addresses.iter().zip(&places) {
            let bytes = buffers.structures.get(place.offset..place.offset + self.layout.bytes());
            let readable = buffers.readable.get(place.range).copied().unwrap_or(false);
            let Some(fields) =
                bytes.filter(|_| readable).and_then(|bytes| Fields::decode(bytes, self.layout))
            else {
                self.again_or_lost(*address);
                continue;
            };
            let Some(status) = Status::from_number(fields.status) else {
                self.effort.dead += 1;
                continue;
            };
            if fields.own_address != *address {
                self.again_or_lost(*address);
                continue;
            }
            let Start { sp, is_syscall, .. } = fields.start;
            let is_parked = match status {
                Status::Running => is_syscall,
                Status::CopyStack => false,
                _ => true,
            };
            let has_stack = sp >= fields.low && sp < fields.high && sp.is_multiple_of(8);
            if !(is_parked && has_stack) {
                let reading =
                    if status == Status::Running { StackReading::Running } else { StackReading::Torn };
                if self.is_last_pass {
                    self.record(*address, &buffers.structures[place.offset..], &fields, None, reading);
                } else {
                    self.again.push(*address);
                }
                continue;
            }
            let length = usize::try_from((fields.high - sp).min(stack_bytes)).unwrap_or(0);
            candidates.push(Candidate {
                address: *address,
                fields,
                structure: place.offset,
                structure_range: place.range,
                stack_bytes: length,
            });
        }

        candidates.sort_unstable_by_key(|candidate| candidate.fields.start.sp);
        let mut stack_ranges = Vec::new();
        let stacks = candidates.iter().map(|candidate| (candidate.fields.start.sp, candidate.stack_bytes));
        let stacks = ranges::merge(stacks, merge_gap_bytes, &mut stack_ranges);
        let mut stack_readable = Vec::new();
        self.fetch(&stack_ranges, &mut buffers.stacks, &mut stack_readable);
        self.fetch(&buffers.ranges, &mut buffers.structures_again, &mut buffers.readable);
        for (candidate, place) in candidates.iter().zip(stacks) {
            let readable = stack_readable.get(place.range).copied().unwrap_or(false);
            let again =
                &buffers.structures_again[candidate.structure..candidate.structure + self.layout.bytes()];
            let unchanged = buffers.readable.get(candidate.structure_range) == Some(&true)
                && Fields::decode(again, self.layout)
                    .is_some_and(|fields| fields.agrees_with(&candidate.fields));
            let structure = &buffers.structures[candidate.structure..];
            let stack = StackBytes {
                base: candidate.fields.start.sp,
                high: candidate.fields.high,
                bytes: &buffers.stacks[place.offset..place.offset + candidate.stack_bytes],
            };
            self.accept(candidate, structure, stack, unchanged, readable);
        }
        self.buffers = buffers;
    }

    fn accept(
        &mut self,
        candidate: &Candidate,
        structure: &[u8],
        stack: StackBytes,
        unchanged: bool,
        readable: bool,
    ) {
        let (address, fields) = (candidate.address, &candidate.fields);
        if !(unchanged && readable) {
            if !self.is_last_pass {
                self.again.push(address);
                return;
            }
            let reading = if readable { StackReading::Torn } else { StackReading::Unreadable };
            self.record(address, structure, fields, None, reading);
            return;
        }
        let was_deep = stack.bytes.len() as u64 > SHALLOW_STACK_BYTES;
        match self.stacks.walk(self.loaded, self.symbols, fields.start, stack) {
            // A walk that ends early may have met a moment that the comparison did not.
            Walk::Incomplete(_) | Walk::Lost if !self.is_last_pass => self.again.push(address),
            Walk::Complete(id) => self.record(address, structure, fields, Some(id), StackReading::Complete),
            Walk::NeedsMore(_) if !was_deep => self.deep.push(address),
            Walk::Incomplete(id) | Walk::NeedsMore(id) => {
                self.record(address, structure, fields, Some(id), StackReading::Incomplete);
            }
            Walk::Lost => {
                self.record(address, structure, fields, None, StackReading::Incomplete);
            }
        }
    }

    fn again_or_lost(&mut self, address: u64) {
        if self.is_last_pass {
            self.effort.unreadable += 1;
        } else {
            self.again.push(address);
        }
    }

    fn record(
        &mut self,
        address: u64,
        structure: &[u8],
        fields: &Fields,
        stack: Option<StackId>,
        reading: StackReading,
    ) {
        let Some(status) = Status::from_number(fields.status) else { return };
        let word = |offset: usize| u64_at(structure, offset).unwrap_or(0);
        let wait_reason = match status {
            Status::Waiting | Status::Leaked => structure[self.layout.wait_reason()],
            _ => 0,
        };
        let key = GroupKey {
            stack,
            reading,
            status,
            wait_reason,
            go_pc: fields.go_pc,
            start_pc: fields.start_pc,
            labels: word(self.layout.labels()),
        };
        let count = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
        let group = *self.groups.entry(key).or_insert(count);
        let effort = &mut self.effort;
        effort.live += 1;
        match reading {
            StackReading::Complete => effort.complete_stacks += 1,
            StackReading::Incomplete => effort.incomplete_stacks += 1,
            StackReading::Running => effort.running += 1,
            StackReading::Torn => effort.given_up += 1,
            StackReading::Unreadable => effort.unreadable += 1,
        }
        self.goroutines.push(Goroutine {
            id: fields.id,
            parent_id: self.layout.parent_goid.map(word),
            group,
            waiting_since_nanos: Some(word(self.layout.wait_since())).filter(|nanos| *nanos != 0),
            address,
            locked_thread: self.layout.locked_m.map(word).filter(|m| *m != 0),
            stack_pointer: fields.start.sp,
        });
    }

    fn fetch(&mut self, ranges: &[(u64, usize)], buffer: &mut Vec<u8>, readable: &mut Vec<bool>) {
        let total = ranges.iter().map(|(_, length)| length).sum();
        buffer.resize(total, 0);
        self.loaded.memory.read_many(ranges, buffer, readable);
        self.effort.bytes_read += total as u64;
    }

    /// Puts names to the groups, and puts groups together that differ only in where their labels lie.
    fn finish(mut self, wait_reasons: &[Arc<str>]) -> GoroutineSnapshot {
        let mut label_sets: HashMap<u64, Arc<Labels>> = HashMap::new();
        let none = Arc::new(Labels::new());
        let mut keys: Vec<(GroupKey, u32)> = self.groups.drain().collect();
        keys.sort_unstable_by_key(|(_, index)| *index);
        let mut merged: HashMap<(GroupKey, Arc<Labels>), u32> = HashMap::new();
        let mut moved = Vec::with_capacity(keys.len());
        let mut groups = Vec::new();
        for (key, _) in keys {
            let labels = match label_sets.get(&key.labels) {
                _ if key.labels == 0 => Arc::clone(&none),
                Some(known) => Arc::clone(known),
                None => {
                    let read = (label_sets.len() < MAX_LABEL_SETS)
                        .then(|| labels::read(self.loaded, key.labels))
                        .flatten();
                    self.effort.labels_skipped += u64::from(read.is_none());
                    let labels = read.map_or_else(|| Arc::clone(&none), Arc::new);
                    label_sets.insert(key.labels, Arc::clone(&labels));
                    labels
                }
            };
            let key = GroupKey { labels: 0, ..key };
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            let index = *merged.entry((key, Arc::clone(&labels))).or_insert(next);
            if index == next {
                groups.push(self.group(&key, labels, wait_reasons));
            }
            moved.push(index);
        }
        for goroutine in &mut self.goroutines {
            goroutine.group = moved[goroutine.group as usize];
            groups[goroutine.group as usize].count += 1;
        }
        // Largest first, for whoever shows only some.
        let mut order: Vec<u32> = (0..).take(groups.len()).collect();
        order.sort_by_key(|index| std::cmp::Reverse(groups[*index as usize].count));
        let mut place = vec![0; groups.len()];
        for (new, old) in (0..).zip(&order) {
            place[*old as usize] = new;
        }
        for goroutine in &mut self.goroutines {
            goroutine.group = place[goroutine.group as usize];
        }
        let mut sorted: Vec<(u32, GoroutineGroup)> = place.into_iter().zip(groups).collect();
        sorted.sort_by_key(|(place, _)| *place);
        self.symbols.forget_pages();
        GoroutineSnapshot {
            groups: sorted.into_iter().map(|(_, group)| group).collect(),
            goroutines: self.goroutines,
            effort: self.effort,
        }
    }

    fn group(&mut self, key: &GroupKey, labels: Arc<Labels>, wait_reasons: &[Arc<str>]) -> GoroutineGroup {
        let addresses = key.stack.map(|id| self.stacks.addresses(id)).unwrap_or_default();
        let frames = self.symbols.expand(self.loaded, &addresses);
        let created_by = match key.go_pc {
            0 => Vec::new(),
            pc => self.symbols.expand(self.loaded, &[StackPc { pc, is_exact: false }]),
        };
        let start = self.symbols.entry_frame(self.loaded, key.start_pc);
        let wait_reason = wait_reasons.get(usize::from(key.wait_reason)).filter(|_| key.wait_reason != 0);
        GoroutineGroup {
            count: 0,
            status: key.status,
            wait_reason: wait_reason.cloned(),
            is_system: is_system(start.as_ref(), &frames),
            frames: frames.into(),
            addresses: addresses.into(),
            reading: key.reading,
            created_by: created_by.into(),
            start,
            labels,
        }
    }
}

/// `isSystemGoroutine` in `runtime/traceback.go`. The runtime's goroutines for finalizers and cleanups count as the
/// program's own while they run its code.
fn is_system(start: Option<&Frame>, frames: &[Frame]) -> bool {
    let Some(start) = start else { return false };
    match &*start.function {
        "runtime.main" | "runtime.corostart" | "runtime.handleAsyncEvent" => false,
        "runtime.runfinq" | "runtime.runFinalizers" | "runtime.runCleanups" => {
            frames.iter().all(|frame| frame.function.starts_with("runtime."))
        }
        function => function.starts_with("runtime."),
    }
}
