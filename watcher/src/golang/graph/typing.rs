//! Of what type each object is, in four bytes an object.
//!
//! Evidence comes while the heap is gone through (what the allocator recorded, the words of interfaces, the code of
//! closures), then from variables and finalizers, and from there it is carried along the pointers, field by field.
//! Never along pointers into the middle of something: what lies there is a part, and of what is not told.

use super::globals::Globals;
use super::objects::ObjectId;
use super::types::{Shape, TypeId, Types};
use super::walk::Reach;
use super::{Graph, Ground, RootKind, Witness};
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::Symbols;
use std::collections::{HashMap, HashSet};

/// What is carried on can teach something to an object that was met before: so often the objects are gone through.
const MAX_ROUNDS: u32 = 4;
/// A round that teaches less than one object of so many is the last.
const ENOUGH: usize = 10_000;
/// Different first words of objects that are looked at.
const MAX_CODES: usize = 1 << 16;
/// The number of a type; what is above says how it is known.
const TYPE_BITS: u32 = 24;
const TYPE: u32 = (1 << TYPE_BITS) - 1;
/// Interfaces repeat: what was asked lately is kept.
const RECENT: usize = 1024;
/// `maps.Map` and `hmap`.
const MAP_BYTES: u64 = 48;

/// How a type is known, the weakest first. What is known in a stronger way is not overruled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Evidence {
    /// By a pointer or a variable, but the slot is much larger than the type: the first of many, or the first field of
    /// something.
    Loose = 1,
    /// An interface holds it, or one in garbage that held what was there before.
    Interface,
    /// A pointer of a value that is reached and whose type is known leads there.
    Pointer,
    /// A variable leads there, or a finalizer that takes it.
    Variable,
    /// Its first word is the code of a function.
    Closure,
    /// The allocator recorded it.
    Header,
}

/// Gathers types: first as the [`Witness`] of a graph, then along its pointers.
pub struct Typing<'a> {
    types: &'a mut Types,
    globals: &'a Globals,
    loaded: Loaded<'a>,
    of: Vec<u32>,
    codes: HashMap<u64, TypeId>,
    recent: Box<[(u64, TypeId); RECENT]>,
}

impl<'a> Typing<'a> {
    /// Nothing is known yet.
    pub fn new(types: &'a mut Types, globals: &'a Globals, loaded: Loaded<'a>) -> Typing<'a> {
        let recent = Box::new([(0, TypeId::UNKNOWN); RECENT]);
        Typing { types, globals, loaded, of: Vec::new(), codes: HashMap::new(), recent }
    }

    /// Carries on what is known along the pointers of all that is reached. The graph is the one whose witness this was.
    pub fn finish(mut self, graph: &Graph, reach: &Reach, ground: &mut Ground) -> Typed {
        self.of.resize(graph.objects().len(), 0);
        let no_functions = self.check_codes(ground.symbols);
        for id in reach.order() {
            self.check(graph, *id, &no_functions);
        }
        self.follow_roots(graph);
        let timers = self.timers();
        for _ in 0..MAX_ROUNDS {
            let learned = self.round(graph, reach, timers);
            if learned <= reach.order().len() / ENOUGH {
                break;
            }
        }
        for id in reach.order() {
            self.settle(graph, *id);
        }
        self.of.shrink_to_fit();
        Typed { of: self.of }
    }

    fn note(&mut self, object: ObjectId, id: TypeId, evidence: Evidence) {
        let index = object as usize;
        if index >= self.of.len() {
            self.of.resize((index + 1).next_multiple_of(1 << 12), 0);
        }
        let Some(known) = self.of.get_mut(index).filter(|_| id.is_known() && id.0 <= TYPE) else { return };
        let strength = *known >> TYPE_BITS;
        // Of two that are told in the same way, the larger one: an interface can hold a part of a value.
        let is_stronger = evidence as u32 > strength
            || evidence as u32 == strength
                && self.types.info(id).size > self.types.info(TypeId(*known & TYPE)).size;
        if is_stronger {
            *known = (evidence as u32) << TYPE_BITS | id.0;
        }
    }

    fn known(&self, object: ObjectId) -> TypeId {
        TypeId(self.of.get(object as usize).map_or(0, |known| known & TYPE))
    }

    /// Names the closures by their functions; gives the first words that turn out to be the address of none.
    fn check_codes(&mut self, symbols: &mut Symbols) -> HashSet<TypeId> {
        let mut wrong = HashSet::new();
        for (code, id) in &self.codes {
            let function = symbols.function_at(&self.loaded, *code).filter(|it| it.entry == *code);
            match function.and_then(|function| symbols.name(&self.loaded, &function)) {
                Some(name) => _ = self.types.closure(*code, self.globals.captures(*code), &name),
                None => _ = wrong.insert(*id),
            }
        }
        wrong
    }

    /// Takes back what cannot be, and notes what is known only loosely.
    fn check(&mut self, graph: &Graph, object: ObjectId, no_functions: &HashSet<TypeId>) {
        let id = self.known(object);
        let bytes = graph.objects().bytes(object);
        let Some(known) = self.of.get_mut(object as usize).filter(|known| **known != 0) else { return };
        if no_functions.contains(&id) {
            *known = 0;
        } else if *known >> TYPE_BITS == Evidence::Header as u32 {
            // The allocator records the type of one element also where it was asked for many.
            let info = self.types.info(id);
            if info.shape == Shape::Value && info.size > 0 && info.size * 2 <= bytes {
                let many = self.types.backing(id);
                if many.is_known() {
                    *known = (Evidence::Header as u32) << TYPE_BITS | many.0;
                }
            }
        } else {
            match fit(self.types, id, bytes) {
                Fit::Filled => {}
                Fit::Loose => *known = (Evidence::Loose as u32) << TYPE_BITS | id.0,
                Fit::TooLarge => *known = 0,
            }
        }
    }

    fn claim(&mut self, graph: &Graph, object: ObjectId, id: TypeId, evidence: Evidence) -> bool {
        let before = self.of.get(object as usize).copied().unwrap_or(0);
        let held = TypeId(before & TYPE);
        // A pointer to the first field of what an interface holds says less than the interface.
        let is_part = before >> TYPE_BITS == Evidence::Interface as u32 && self.begins_with(held, id);
        if before >> TYPE_BITS > evidence as u32 || held == id || is_part {
            return false;
        }
        match fit(self.types, id, graph.objects().bytes(object)) {
            Fit::Filled => self.note(object, id, evidence),
            Fit::Loose => self.note(object, id, Evidence::Loose),
            Fit::TooLarge => return false,
        }
        self.of.get(object as usize).copied() != Some(before)
    }

    /// Whether values of type `whole` begin with one of type `part`.
    fn begins_with(&mut self, whole: TypeId, part: TypeId) -> bool {
        const MAX_DEPTH: usize = 8;
        let mut id = whole;
        for _ in 0..MAX_DEPTH {
            let Some(first) = self.types.info(id).fields.first().map(|field| field.described) else { break };
            match self.types.at(first) {
                Some(field) if field == part => return true,
                Some(field) => id = field,
                None => break,
            }
        }
        false
    }

    /// What variables and finalizers lead to.
    fn follow_roots(&mut self, graph: &Graph) {
        for root in graph.roots() {
            let id = match root.kind {
                RootKind::Global(address) => self.globals.type_at(self.types, address),
                RootKind::Finalizer { object_type, .. } => {
                    // The finalizer's own closure hangs on the same root: what it is, is known better already.
                    self.types.at(object_type).map_or(TypeId::UNKNOWN, |pointer| self.types.pointee(pointer))
                }
                RootKind::Cleanup(_) | RootKind::Goroutine(_) => TypeId::UNKNOWN,
            };
            if id.is_known() && id != TypeId::DYNAMIC {
                self.claim(graph, root.target, id, Evidence::Variable);
            }
        }
    }

    /// From Go 1.23 on the runtime's processors point into the middle of the timers of package time: `runtime.timer`
    /// within `runtime.timeTimer`, and in the middle of nothing else.
    fn timers(&self) -> Option<(TypeId, TypeId)> {
        let named = |name: &str| self.types.known().find(|(_, info)| &*info.name == name).map(|(id, _)| id);
        Some((named("runtime.timer")?, named("runtime.timeTimer")?))
    }

    /// Goes once through all that is reached; how many objects got a type, or a better one.
    fn round(&mut self, graph: &Graph, reach: &Reach, timers: Option<(TypeId, TypeId)>) -> usize {
        let mut learned = 0;
        for object in reach.order() {
            let id = self.settle(graph, *object);
            if id == TypeId::UNKNOWN || id == TypeId::BYTES {
                continue;
            }
            let begin = if graph.objects().has_header(*object) { 8 } else { 0 };
            for edge in graph.edges(*object) {
                let Some(offset) = u64::from(edge.offset).checked_sub(begin) else { continue };
                let mut lead = self.types.lead(id, offset);
                if edge.is_interior {
                    match timers {
                        Some((inner, outer)) if lead == inner => lead = outer,
                        _ => continue,
                    }
                }
                if lead.is_known() && lead != TypeId::DYNAMIC {
                    learned += usize::from(self.claim(graph, edge.target, lead, Evidence::Pointer));
                }
            }
        }
        learned
    }

    /// Says of a map's directory pointer which of the two it leads to.
    fn settle(&mut self, graph: &Graph, object: ObjectId) -> TypeId {
        let id = self.known(object);
        if !matches!(self.types.info(id).shape, Shape::MapInside(_)) {
            return id;
        }
        let begin = if graph.objects().has_header(object) { 8 } else { 0 };
        let first = graph.edges(object).next();
        let settled = self.types.settle(id, first.is_some_and(|edge| u64::from(edge.offset) == begin));
        if let Some(known) = self.of.get_mut(object as usize) {
            *known = *known & !TYPE | settled.0;
        }
        settled
    }
}

impl Witness for Typing<'_> {
    fn behind(&mut self, before: u64, target: ObjectId) {
        let place = usize::try_from(before / 8).unwrap_or(0) % RECENT;
        let id = match self.recent[place] {
            (word, id) if word == before => id,
            _ => {
                let id = self.types.held_by_interface(&self.loaded, before);
                self.recent[place] = (before, id);
                id
            }
        };
        if id != TypeId::DYNAMIC && id != TypeId::FUNCTION {
            self.note(target, id, Evidence::Interface);
        }
    }

    fn begins(&mut self, object: ObjectId, word: u64) {
        let id = match self.codes.get(&word) {
            Some(id) => *id,
            None if self.codes.len() >= MAX_CODES => return,
            None => {
                let id = self.types.closure(word, self.globals.captures(word), "");
                self.codes.insert(word, id);
                id
            }
        };
        self.note(object, id, Evidence::Closure);
    }

    fn header(&mut self, object: ObjectId, type_address: u64) {
        let id = self.types.at(type_address).unwrap_or_default();
        self.note(object, id, Evidence::Header);
    }
}

/// The types of the objects of a graph.
#[derive(Default)]
pub struct Typed {
    of: Vec<u32>,
}

impl Typed {
    /// The type of an object; unknown where nothing told it.
    pub fn of(&self, object: ObjectId) -> TypeId {
        TypeId(self.of.get(object as usize).map_or(0, |known| known & TYPE))
    }

    /// Memory that this takes, in bytes.
    pub fn own_bytes(&self) -> usize {
        self.of.capacity() * 4
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Filled,
    Loose,
    TooLarge,
}

/// Whether a slot of so many bytes is one that a value of the type is put into. Of no size class is more than a third
/// left over, except of the smallest (`runtime/sizeclasses.go`).
fn fit(types: &Types, id: TypeId, bytes: u64) -> Fit {
    let info = types.info(id);
    let size = match info.shape {
        Shape::Value => info.size,
        Shape::Map(_) => MAP_BYTES,
        Shape::Backing(element) => {
            return if types.info(element).size <= bytes { Fit::Filled } else { Fit::TooLarge };
        }
        _ => return Fit::Filled,
    };
    match size {
        size if size > bytes => Fit::TooLarge,
        size if bytes <= 16 || size.saturating_mul(3) >= bytes.saturating_mul(2) => Fit::Filled,
        _ => Fit::Loose,
    }
}

#[cfg(test)]
mod tests {
    use super::{Evidence, Fit, Typing, Witness, fit};
    use crate::golang::binary::image::{Image, Machine};
    use crate::golang::binary::loaded::Loaded;
    use crate::golang::graph::globals::Globals;
    use crate::golang::graph::types::{TypeId, Types};
    use crate::golang::recorded::Recorded;

    #[test]
    fn stronger_evidence_is_kept_whatever_comes_first() {
        let image = Image::without_segments(Machine::X86_64);
        let (memory, nothing): (Recorded, &[u8]) = (Recorded::new(), &[]);
        let loaded = Loaded { file: &nothing, image: &image, bias: 0, memory: &memory };
        let mut types = Types::of_bytes(0x50_0000, Vec::new(), None);
        let (one, other) = (
            types.closure(0x40_0000, TypeId::UNKNOWN, "main.a"),
            types.closure(0x40_0010, TypeId::UNKNOWN, "main.b"),
        );
        let globals = Globals::default();
        let mut typing = Typing::new(&mut types, &globals, loaded);
        for (object, first, second) in
            [(3, Evidence::Header, Evidence::Pointer), (9000, Evidence::Interface, Evidence::Pointer)]
        {
            let (better, worse) = if first > second { (one, other) } else { (other, one) };
            typing.note(object, one, first);
            typing.note(object, other, second);
            assert_eq!(typing.known(object), better);
            typing.note(object, worse, Evidence::Loose);
            assert_eq!(typing.known(object), better);
        }
        typing.note(4, TypeId::UNKNOWN, Evidence::Header);
        assert_eq!((typing.known(4), typing.known(u32::MAX)), (TypeId::UNKNOWN, TypeId::UNKNOWN));
        typing.begins(5, 0x40_0010);
        assert_eq!(typing.known(5), other);
    }

    #[test]
    fn a_slot_fits_what_its_class_is_for() {
        let mut types = Types::of_bytes(0x50_0000, Vec::new(), None);
        let closure = types.closure(0x40_0000, TypeId::UNKNOWN, "main.a");
        let many = types.backing(closure);
        assert_eq!(fit(&types, closure, 16), Fit::Filled);
        assert_eq!(fit(&types, many, 8192), Fit::Filled);
    }
}
