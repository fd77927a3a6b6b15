//! Which words of a stack hold live pointers, by the maps that the compiler made for the collector.
//!
//! `getStackMap` in `runtime/stkframe.go`, `adjustframe` and `scanframeworker` (`runtime/mgcmark.go`), Go 1.21 to 1.27.
//! Where a map is missing, and in frames that were interrupted anywhere, every word counts.

use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::pclntab::FunctionData;
use crate::golang::binary::symbols::Symbols;
use crate::golang::bytes::{u32_at, u64_at};
use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

/// Deeper stacks are taken whole.
const MAX_DEPTH: usize = 100_000;
/// Words of one frame that a map may have.
const MAX_MAP_WORDS: u32 = 1 << 20;
const MAX_STACK_OBJECTS: u64 = 1 << 14;
const STACK_OBJECT_BYTES: usize = 16;
/// Places in the code that are kept.
const MAX_KNOWN: usize = 1 << 18;

/// What is known of frames that stop at one place in the code.
struct FrameMap {
    /// How far above the stack pointer the return address lies.
    delta: u64,
    is_root: bool,
    /// Which words hold pointers is not known.
    is_unmapped: bool,
    /// It was interrupted, not called: the same holds for its caller.
    is_injected: bool,
    /// Bits of the words below `varp`, the lowest first.
    locals: Bits,
    /// Bits of the words from `argp` on.
    arguments: Bits,
    /// Words from `argp` on that may all be pointers, where there is no map.
    unmapped_arguments: u64,
    /// Variables whose address was taken: offset from `varp` where negative, else from `argp`, and size in bytes.
    objects: Vec<(i64, u64)>,
}

#[derive(Default)]
struct Bits {
    count: u64,
    bytes: Vec<u8>,
}

impl Bits {
    fn set(&self) -> impl Iterator<Item = u64> + '_ {
        (0..self.count).filter(|bit| {
            let byte = usize::try_from(bit / 8).ok().and_then(|index| self.bytes.get(index));
            byte.is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
        })
    }
}

/// A stack, copied from `base` to its end.
#[derive(Clone, Copy)]
pub(super) struct StackCopy<'a> {
    pub base: u64,
    pub bytes: &'a [u8],
}

impl StackCopy<'_> {
    fn end(&self) -> u64 {
        self.base.saturating_add(self.bytes.len() as u64)
    }

    pub fn word(&self, address: u64) -> Option<u64> {
        u64_at(self.bytes, usize::try_from(address.checked_sub(self.base)?).ok()?)
    }
}

/// The frame maps of one program, kept from one reading to the next: found as they are asked for.
#[derive(Default)]
pub struct FrameMaps {
    known: HashMap<(u64, bool), Option<Rc<FrameMap>>>,
    /// Words of the stack that is looked at, a bit each.
    live: Vec<u64>,
}

impl FrameMaps {
    /// Tells the live words of a stack that stopped at `pc` with its stack pointer at the begin of the copy: a bit for
    /// each. `None` where the stack cannot be walked to its root; then every word may be live.
    pub(super) fn live_words(
        &mut self,
        loaded: &Loaded,
        symbols: &mut Symbols,
        stack: StackCopy,
        pc: u64,
    ) -> Option<&[u64]> {
        self.live.clear();
        self.live.resize((stack.bytes.len() / 8).div_ceil(64), 0);
        let mut objects: Vec<Range<u64>> = Vec::new();
        let (mut pc, mut sp, mut is_exact, mut is_whole) = (pc, stack.base, false, false);
        for _ in 0..MAX_DEPTH {
            let frame = self.frame(loaded, symbols, pc, is_exact)?;
            if frame.is_root {
                return Some(self.with_objects(stack, objects));
            }
            let return_slot = sp.checked_add(frame.delta)?;
            let caller = stack.word(return_slot)?;
            let arguments = return_slot + 8;
            // Below the return address the caller's frame pointer is saved, if there is a frame at all.
            let variables = if return_slot > sp { return_slot - 8 } else { return_slot };
            if frame.is_unmapped || is_whole {
                self.set_range(stack, sp..return_slot);
            } else {
                let begin = variables.checked_sub(frame.locals.count * 8).filter(|begin| *begin >= sp)?;
                for word in frame.locals.set() {
                    self.set(stack, begin + word * 8);
                }
            }
            for word in frame.arguments.set() {
                self.set(stack, arguments + word * 8);
            }
            let end = arguments.saturating_add(frame.unmapped_arguments * 8).min(stack.end());
            self.set_range(stack, arguments..end);
            for (offset, size) in &frame.objects {
                let base = if *offset < 0 { variables } else { arguments };
                let begin = base.checked_add_signed(*offset)?;
                if begin >= stack.base && begin.checked_add(*size)? <= stack.end() {
                    objects.push(begin..begin + size);
                }
            }
            is_whole = frame.is_injected;
            is_exact = frame.is_injected;
            (pc, sp) = (caller, arguments);
        }
        None
    }

    /// Adds the variables that something live points to, and what they point to in turn.
    fn with_objects(&mut self, stack: StackCopy, mut objects: Vec<Range<u64>>) -> &[u64] {
        objects.sort_unstable_by_key(|object| object.start);
        let mut is_visited = vec![false; objects.len()];
        let words = self.live.iter().enumerate().flat_map(|(index, word)| {
            super::masks::bits(*word).map(move |bit| index as u64 * 64 + u64::from(bit))
        });
        let mut todo: Vec<u64> = words.map(|word| stack.base + word * 8).collect();
        while let Some(address) = todo.pop() {
            let Some(value) = stack.word(address) else { continue };
            let Some(index) = objects.partition_point(|object| object.start <= value).checked_sub(1) else {
                continue;
            };
            // Nothing has no size, but may be pointed to.
            let object = objects[index].clone();
            if is_visited[index] || value >= object.end.max(object.start + 1) {
                continue;
            }
            is_visited[index] = true;
            for address in object.step_by(8) {
                if self.set(stack, address) {
                    todo.push(address);
                }
            }
        }
        &self.live
    }

    /// Whether the word was not set before.
    fn set(&mut self, stack: StackCopy, address: u64) -> bool {
        let index = address.checked_sub(stack.base).and_then(|inside| usize::try_from(inside / 8).ok());
        let Some(index) = index.filter(|index| index * 8 < stack.bytes.len()) else { return false };
        let Some(word) = self.live.get_mut(index / 64) else { return false };
        let is_new = *word >> (index % 64) & 1 == 0;
        *word |= 1 << (index % 64);
        is_new
    }

    fn set_range(&mut self, stack: StackCopy, range: Range<u64>) {
        for address in range.step_by(8) {
            self.set(stack, address);
        }
    }

    fn frame(
        &mut self,
        loaded: &Loaded,
        symbols: &mut Symbols,
        pc: u64,
        is_exact: bool,
    ) -> Option<Rc<FrameMap>> {
        if let Some(known) = self.known.get(&(pc, is_exact)) {
            return known.clone();
        }
        let frame = read(loaded, symbols, pc, is_exact).map(Rc::new);
        if self.known.len() < MAX_KNOWN {
            self.known.insert((pc, is_exact), frame.clone());
        }
        frame
    }
}

fn read(loaded: &Loaded, symbols: &mut Symbols, pc: u64, is_exact: bool) -> Option<FrameMap> {
    let function = symbols.function_at(loaded, pc)?;
    let none = || FrameMap {
        delta: 0,
        is_root: function.is_stack_root,
        is_unmapped: false,
        is_injected: false,
        locals: Bits::default(),
        arguments: Bits::default(),
        unmapped_arguments: 0,
        objects: Vec::new(),
    };
    if function.is_stack_root {
        return Some(none());
    }
    let mut frame = FrameMap { delta: symbols.stack_delta(loaded, &function, pc)?, ..none() };
    let ids = symbols.ids();
    frame.is_injected =
        function.id != 0 && [ids.sigpanic, ids.async_preempt, ids.debug_call].contains(&Some(function.id));
    frame.is_unmapped = frame.is_injected;
    // The map is that of the call, not of what follows it.
    let at = if is_exact || pc == function.entry { pc } else { pc - 1 };
    let index = symbols.stack_map_index(loaded, &function, at).unwrap_or(0);
    if frame.delta > 8 {
        let map = symbols.function_data(loaded, &function, FunctionData::LocalPointers);
        match map.and_then(|map| bits(loaded, map, index)) {
            Some(locals) => frame.locals = locals,
            None => frame.is_unmapped = true,
        }
    }
    if function.argument_bytes != 0 {
        let map = symbols.function_data(loaded, &function, FunctionData::ArgumentPointers);
        match map.and_then(|map| bits(loaded, map, index)) {
            Some(arguments) => frame.arguments = arguments,
            None => {
                // How many there are is not known where the number is negative: reflect's stubs pass on any.
                const UNKNOWN: u64 = 1024;
                let bytes = u64::try_from(function.argument_bytes).unwrap_or(UNKNOWN);
                frame.unmapped_arguments = bytes.min(1 << 20) / 8;
            }
        }
    }
    if let Some(list) = symbols.function_data(loaded, &function, FunctionData::StackObjects) {
        frame.objects = stack_objects(loaded, list)?;
    }
    Some(frame)
}

/// Map number `index` of a `stackmap`: how many there are, bits of each, the bits.
fn bits(loaded: &Loaded, map: u64, index: u32) -> Option<Bits> {
    let mut head = [0; 8];
    (loaded.read_static(map, &mut head)? == head.len()).then_some(())?;
    let (maps, count) = (u32_at(&head, 0)?, u32_at(&head, 4)?);
    if count == 0 {
        return Some(Bits::default());
    }
    if index >= maps || count > MAX_MAP_WORDS {
        return None;
    }
    let bytes_of_each = count.div_ceil(8);
    let mut bytes = vec![0; bytes_of_each as usize];
    let at = map.checked_add(8 + u64::from(index) * u64::from(bytes_of_each))?;
    (loaded.read_static(at, &mut bytes)? == bytes.len()).then_some(())?;
    Some(Bits { count: count.into(), bytes })
}

/// A count and that many `stackObjectRecord`s: offset, size, and what is not needed here.
fn stack_objects(loaded: &Loaded, list: u64) -> Option<Vec<(i64, u64)>> {
    let mut head = [0; 8];
    (loaded.read_static(list, &mut head)? == head.len()).then_some(())?;
    let count = u64::from_le_bytes(head);
    if count > MAX_STACK_OBJECTS {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(count).ok()? * STACK_OBJECT_BYTES];
    (loaded.read_static(list.checked_add(8)?, &mut bytes)? == bytes.len()).then_some(())?;
    let objects = bytes.chunks_exact(STACK_OBJECT_BYTES).filter_map(|record| {
        let (offset, size) = (u32_at(record, 0)?.cast_signed(), u32_at(record, 4)?.cast_signed());
        Some((offset.into(), u64::try_from(size).ok()?))
    });
    Some(objects.collect())
}
