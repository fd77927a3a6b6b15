//! Reads a graph: spans, roots, heap, and what came meanwhile.

use super::frames::FrameMaps;
use super::ground::Ground;
use super::masks::{ARENAS_FROM_ALLSPANS, ArenaBitmaps, Masks};
use super::objects::{ObjectId, Objects};
use super::scan::Scanner;
use super::specials::{self, Special};
use super::stacks::{StackReader, Stacks};
use super::{spans, statics};
use crate::golang::graph::error::GraphError;
use crate::golang::graph::model::{Effort, Graph, Order, Root, RootKind};
use crate::golang::graph::witness::Witness;
use std::ops::Range;

/// The spans are read again so often at most: each time what came meanwhile is gone through too.
const ROUNDS: u32 = 3;
/// Heaps grow while they are read: words up to so much behind the last span count as well.
const GROWTH_BYTES: u64 = 4 << 30;

/// The roots as they were read, before it is known where they lead.
struct Captured {
    globals: statics::Globals,
    stacks: Stacks,
    /// Of the list of all goroutines.
    list: u64,
}

impl Graph {
    /// Reads the graph of a process.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn load(
        ground: &mut Ground,
        maps: &mut FrameMaps,
        order: Order,
        witness: &mut impl Witness,
    ) -> Result<Graph, GraphError> {
        let memory = ground.loaded.memory;
        let listed = spans::list(memory, &ground.heap, &ground.spans)?;
        let mut effort = Effort { lost_spans: listed.lost, ..Effort::default() };
        let mut objects = Objects::new(listed, ground.minor);
        let bounds = objects.bounds();
        let heap = bounds.start.saturating_sub(GROWTH_BYTES)..bounds.end.saturating_add(GROWTH_BYTES);
        let (mut captured, before) = match order {
            Order::RootsFirst => (Some(capture(ground, maps, &heap)?), None),
            Order::RootsLast => (None, Some(states(ground, &heap)?)),
        };
        if order == Order::RootsFirst {
            // What was allocated while the roots were read is there to be found from the begin.
            let listed = objects.unknown_of(spans::list(memory, &ground.heap, &ground.spans)?);
            objects.add(listed);
        }
        let masks = Masks::new(memory, ground.types(), ground.minor);
        let arenas = (ground.minor < 22)
            .then(|| word_at(ground, ground.all_spans + ARENAS_FROM_ALLSPANS))
            .flatten()
            .map(|arenas| ArenaBitmaps::new(memory, arenas));
        if ground.minor < 22 && arenas.is_none() {
            return Err(super::HeapError::Implausible { what: "the bitmaps of arenas" }.into());
        }
        let mut scanner = Scanner::new(memory, ground.minor, masks, arenas, ground.text(), witness);
        scanner.scan(&objects, 0..objects.spans().len())?;
        if order == Order::RootsLast {
            captured = Some(capture(ground, maps, &heap)?);
        }
        for _ in 0..ROUNDS {
            let listed = objects.unknown_of(spans::list(memory, &ground.heap, &ground.spans)?);
            if listed.spans.is_empty() {
                objects.add(listed);
                break;
            }
            let new = objects.add(listed);
            effort.late_spans += new.len() as u64;
            scanner.scan(&objects, new)?;
        }
        scanner.resolve(&objects);
        let after = match (order, &before) {
            (Order::RootsFirst, _) | (_, None) => Some(states(ground, &heap)?),
            (Order::RootsLast, Some(_)) => None,
        };
        effort.scan = scanner.effort;
        let edges = std::mem::take(&mut scanner.edges);
        drop(scanner);
        let Some(Captured { globals, stacks, list }) = captured else { return Err(GraphError::NoGoroutines) };
        let (specials, lost_specials) = specials::read(memory, &objects, ground.minor);
        effort.lost_specials = lost_specials;
        effort.precise_stacks = stacks.precise;
        effort.whole_stacks = stacks.whole;
        effort.unreadable_stacks = stacks.unreadable;
        effort.unreadable_globals_bytes = globals.unreadable_bytes;
        effort.unmasked_globals = globals.unmasked_areas;
        ground.symbols.forget_pages();

        let mut graph = Graph {
            objects,
            edges,
            roots: Vec::new(),
            goroutines: stacks.holders,
            other_states: before.or(after).unwrap_or_default(),
            opaque: Vec::new(),
            waiters: Vec::new(),
            minor: ground.minor,
            effort,
        };
        for word in globals.words {
            if let Some(target) = graph.add_root(RootKind::Global(word.address), word.value) {
                let is_begin = graph.objects.address(target) == word.value;
                if is_begin && word.before >= 4096 && graph.objects.object_at(word.before).is_none() {
                    witness.behind(word.before, target);
                }
            }
        }
        graph.add_specials(ground, &specials);
        for index in 0..graph.goroutines.len() {
            let words: Range<usize> = graph.goroutines[index].words.clone();
            let begin = graph.roots.len();
            for word in stacks.words.get(words).unwrap_or_default() {
                graph.add_root(RootKind::Goroutine(index), *word);
            }
            graph.goroutines[index].words = begin..graph.roots.len();
        }
        graph.close_books(list);
        graph.roots.shrink_to_fit();
        Ok(graph)
    }

    fn add_root(&mut self, kind: RootKind, value: u64) -> Option<ObjectId> {
        let target = self.objects.object_at(value)?;
        self.roots.push(Root { kind, target });
        Some(target)
    }

    fn add_specials(&mut self, ground: &Ground, specials: &[Special]) {
        for special in specials {
            match *special {
                Special::Finalizer { function, object, object_type } => {
                    let entry = word_at(ground, function).unwrap_or(0);
                    let kind = RootKind::Finalizer { function: entry, object_type };
                    self.add_root(kind, function);
                    // Strictly only what the object leads to is kept: the object itself is one more.
                    self.add_root(kind, object);
                }
                Special::Cleanup { words } => {
                    let entry = word_at(ground, words[0]).unwrap_or(0);
                    for word in words {
                        self.add_root(RootKind::Cleanup(entry), word);
                    }
                }
            }
        }
    }
}

fn reader<'a>(ground: &Ground<'a>, heap: &Range<u64>) -> StackReader<'a> {
    StackReader { loaded: ground.loaded, layout: ground.layout, heap: heap.clone() }
}

fn states(ground: &Ground, heap: &Range<u64>) -> Result<Vec<super::Holder>, GraphError> {
    let (addresses, _) = ground.goroutines()?;
    Ok(reader(ground, heap).states(&addresses))
}

/// Variables first: a goroutine that takes something out of a variable has it on its stack then.
fn capture(ground: &mut Ground, maps: &mut FrameMaps, heap: &Range<u64>) -> Result<Captured, GraphError> {
    let globals = statics::read(ground.loaded.memory, ground.symbols.modules(), heap);
    let (addresses, list) = ground.goroutines()?;
    let stacks = reader(ground, heap).read(ground.symbols, maps, &addresses);
    Ok(Captured { globals, stacks, list })
}

fn word_at(ground: &Ground, address: u64) -> Option<u64> {
    ground.loaded.word(address)
}
