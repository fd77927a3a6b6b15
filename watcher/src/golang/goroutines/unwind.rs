//! Walks stacks of goroutines by the stack deltas that the linker recorded, as the runtime's own unwinder does
//! (`runtime/traceback.go`).
//!
//! All stacks of a snapshot share one tree: a node is a return address behind the path of its callees. What a step
//! needs is looked up once for each node, so a hundred thousand goroutines that wait at the same place cost a hundred
//! thousand times a few loads, and the node where a walk ends is the identity of its stack.

use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::{StackPc, Symbols};
use crate::golang::bytes::u64_at;
use std::collections::HashMap;

/// Deeper stacks are cut off; Go's own profiles stop at 128 frames.
const MAX_DEPTH: u16 = 512;
/// Bound on the tree, for programs whose stacks are never alike.
const MAX_NODES: usize = 1 << 20;

/// Where a walk begins: what the runtime saved when the goroutine stopped running.
#[derive(Clone, Copy, Debug)]
pub(in crate::golang) struct Start {
    pub pc: u64,
    pub sp: u64,
    /// Saved frame pointer; 0 where none was saved.
    pub bp: u64,
    /// It is in a system call or in C, and these values were saved on the way there.
    pub is_syscall: bool,
}

/// A copy of a stack, from `base` on; the stack itself reaches to `high`.
#[derive(Clone, Copy)]
pub(in crate::golang) struct StackBytes<'a> {
    pub base: u64,
    pub high: u64,
    pub bytes: &'a [u8],
}

enum Load {
    Word(u64),
    /// Within the stack, behind the copy.
    NotCopied,
    /// Outside the stack.
    Outside,
}

impl StackBytes<'_> {
    fn load(&self, address: u64) -> Load {
        let inside = address.checked_sub(self.base).and_then(|inside| usize::try_from(inside).ok());
        match inside.and_then(|inside| u64_at(self.bytes, inside)) {
            Some(word) => Load::Word(word),
            None if address >= self.base && address < self.high.saturating_sub(7) => Load::NotCopied,
            None => Load::Outside,
        }
    }
}

/// A stack, by the node of its outermost frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::golang) struct StackId(u32);

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::golang) enum Walk {
    /// At the function that all stacks begin with.
    Complete(StackId),
    /// Where the next frame could not be found.
    Incomplete(StackId),
    /// At the end of what was copied of the stack; so far it came.
    NeedsMore(StackId),
    /// The first address is none of Go's code.
    Lost,
}

/// What it takes to go on from a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The return address lies so many bytes above the stack pointer.
    Up(u64),
    /// Outermost frame.
    Root,
    /// Not recorded.
    Unknown,
}

struct Node {
    place: StackPc,
    step: Step,
    /// The frame was interrupted, not called: its caller's address is that of the instruction itself.
    is_injected: bool,
    parent: Option<u32>,
    depth: u16,
    /// Most walks take the same way as the one before them.
    latest: (u64, u32),
    callers: HashMap<u64, u32>,
}

/// The stacks of a snapshot.
#[derive(Default)]
pub(in crate::golang) struct Stacks {
    nodes: Vec<Node>,
    begins: HashMap<(u64, bool), u32>,
}

impl Stacks {
    /// Walks one stack.
    pub fn walk(&mut self, loaded: &Loaded, symbols: &mut Symbols, start: Start, stack: StackBytes) -> Walk {
        let Some(mut node) = self.begin(loaded, symbols, start) else { return Walk::Lost };
        let mut sp = start.sp;
        loop {
            let current = &self.nodes[node as usize];
            let slot = match current.step {
                Step::Root => return Walk::Complete(StackId(node)),
                Step::Up(delta) => sp.checked_add(delta),
                // Only of the innermost frame do we know the frame pointer.
                Step::Unknown if current.depth == 0 && start.bp >= sp => start.bp.checked_add(8),
                Step::Unknown => None,
            };
            let Some(slot) = slot else { return Walk::Incomplete(StackId(node)) };
            let caller = match stack.load(slot) {
                Load::Word(word) => word,
                Load::NotCopied => return Walk::NeedsMore(StackId(node)),
                Load::Outside => return Walk::Incomplete(StackId(node)),
            };
            let Some(next) = self.caller(loaded, symbols, node, caller) else {
                return Walk::Incomplete(StackId(node));
            };
            node = next;
            sp = slot + 8;
        }
    }

    /// The addresses of a stack, innermost first.
    pub fn addresses(&self, id: StackId) -> Vec<StackPc> {
        let mut addresses = Vec::new();
        let mut next = Some(id.0);
        while let Some(node) = next.and_then(|index| self.nodes.get(index as usize)) {
            addresses.push(node.place);
            next = node.parent;
        }
        addresses.reverse();
        addresses
    }

    fn begin(&mut self, loaded: &Loaded, symbols: &mut Symbols, start: Start) -> Option<u32> {
        if let Some(node) = self.begins.get(&(start.pc, start.is_syscall)) {
            return Some(*node);
        }
        let place = StackPc { pc: start.pc, is_exact: false };
        let node = self.add(loaded, symbols, place, None, start.is_syscall)?;
        self.begins.insert((start.pc, start.is_syscall), node);
        Some(node)
    }

    fn caller(&mut self, loaded: &Loaded, symbols: &mut Symbols, node: u32, pc: u64) -> Option<u32> {
        let current = &self.nodes[node as usize];
        if current.latest.0 == pc {
            return Some(current.latest.1);
        }
        let known = current.callers.get(&pc).copied();
        let next = match known {
            Some(next) => next,
            None => {
                let place = StackPc { pc, is_exact: current.is_injected };
                let next = self.add(loaded, symbols, place, Some(node), false)?;
                self.nodes[node as usize].callers.insert(pc, next);
                next
            }
        };
        self.nodes[node as usize].latest = (pc, next);
        Some(next)
    }

    fn add(
        &mut self,
        loaded: &Loaded,
        symbols: &mut Symbols,
        place: StackPc,
        parent: Option<u32>,
        is_syscall: bool,
    ) -> Option<u32> {
        let depth = parent.map_or(0, |parent| self.nodes[parent as usize].depth + 1);
        if depth >= MAX_DEPTH || self.nodes.len() >= MAX_NODES {
            return None;
        }
        let function = symbols.function_at(loaded, place.pc)?;
        let ids = symbols.ids();
        let has_id = |id: Option<u8>| id == Some(function.id);
        // cgocallback moves the stack pointer too, but lays out both stacks so that they can be walked, and what a
        // system call does to it happens after the values we begin with were saved.
        let hides_caller = function.writes_stack_pointer && !has_id(ids.cgocallback) && !is_syscall;
        let step = if function.is_stack_root {
            Step::Root
        } else if hides_caller {
            Step::Unknown
        } else {
            symbols.stack_delta(loaded, &function, place.pc).map_or(Step::Unknown, Step::Up)
        };
        let index = u32::try_from(self.nodes.len()).ok()?;
        self.nodes.push(Node {
            place,
            step,
            is_injected: has_id(ids.sigpanic) || has_id(ids.async_preempt) || has_id(ids.debug_call),
            parent,
            depth,
            latest: (0, 0),
            callers: HashMap::new(),
        });
        Some(index)
    }
}
