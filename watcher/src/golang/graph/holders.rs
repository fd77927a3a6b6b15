//! Who holds the memory: all that is reached, put down to the root that reaches it first, and below each root the way
//! there, by fields and types.
//!
//! The ways of all objects make a tree for each holder: a step for each field and type. Steps that lead back to a type
//! on the way (a list's next, a tree's children) go back to it, and the inside of a map counts as the map. The tree is
//! bounded in depth and in size: what lies deeper is summed up where it hangs, so that the sum of all steps is always
//! the sum of what was reached.

use super::globals::Globals;
use super::objects::ObjectId;
use super::types::{Shape, TypeId, Types};
use super::typing::{Typed, Typing};
use super::walk::{Parent, Reach};
use super::{Effort, FrameMaps, Graph, GraphError, Ground, Order, RootKind};
use crate::golang::binary::symbols::StackPc;
use crate::golang::runtime::layouts::Minor;
use crate::golang::runtime::locate::Places;
use crate::vocabulary::holders::{Amount, Held, HolderKind, Step, What};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

/// Steps of all trees; from there on what is new is summed up where it hangs.
const MAX_STEPS: usize = 1 << 15;
/// Steps below one another.
const MAX_DEPTH: u8 = 16;
/// Ways from one step to the next that are remembered, so that not each object has to be asked.
const MAX_WAYS: usize = 1 << 18;
/// Objects of unknown type are told apart by their size up to this one (`maxSmallSize`).
const MAX_TOLD_BYTES: u64 = 32 << 10;

/// Who holds what of a heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// Those that hold most first.
    pub holders: Vec<Held>,
    /// All that is reached from anywhere: the sum of what the holders hold.
    pub reached: Amount,
    /// What of it has a type that is known.
    pub typed: Amount,
    /// Allocated and not reached: garbage that was not swept yet, as a rule.
    pub unreached: Amount,
    /// What the runtime's last collection found alive, in bytes; `None` before the first.
    pub marked_bytes: Option<u64>,
    /// What reading took.
    pub effort: Effort,
    /// Most memory that this took of ours, in bytes.
    pub own_bytes: usize,
    /// Places for objects, free ones included.
    pub places: u64,
}

impl Holders {
    /// Reads the heap of a process once, and says who holds what of it. `places` are those of the same runtime.
    ///
    /// # Errors
    /// See [`GraphError`].
    pub fn read(ground: &mut Ground, places: &Places, maps: &mut FrameMaps) -> Result<Holders, GraphError> {
        let loaded = ground.loaded;
        let modules: Vec<_> = ground.symbols.modules().cloned().collect();
        let mut types = Types::open(&loaded, &modules, Some(Minor(ground.minor)));
        let globals = Globals::find(&loaded, ground.symbols, &mut types, places);
        let marked_bytes = ground.heap.counters(loaded.memory)?.marked_bytes;
        let mut typing = Typing::new(&mut types, &globals, loaded);
        let graph = Graph::load(ground, maps, Order::RootsFirst, &mut typing)?;
        let reach = Reach::of(&graph);
        let typed = typing.finish(&graph, &reach, ground);
        let roots = name_roots(&graph, &globals, &mut types, ground);
        let mut tree = Tree::new(&graph, &typed, &mut types);
        tree.grow(&reach, &roots);
        let step_of_bytes = tree.step_of.capacity() * 4;
        let (steps, reached, known) = (tree.steps, tree.reached, tree.known);
        let mut unreached = Amount::default();
        let (objects, bytes) = graph.objects().allocated();
        unreached.objects = objects.saturating_sub(tree.reached_before.objects);
        unreached.bytes = bytes.saturating_sub(tree.reached_before.bytes);
        Ok(Holders {
            holders: assemble(roots.holders, steps),
            reached,
            typed: known,
            unreached,
            marked_bytes,
            effort: *graph.effort(),
            places: graph.objects().len() as u64,
            own_bytes: graph.own_bytes() + reach.own_bytes() + typed.own_bytes() + step_of_bytes,
        })
    }

    /// Far less was reached than the runtime found alive: it let go of much since, or the reading lost its way.
    pub fn is_far_below_collector(&self) -> bool {
        const LARGE_BYTES: u64 = 1 << 20;
        let marked = self.marked_bytes.unwrap_or(0);
        marked > LARGE_BYTES && self.reached.bytes < marked / 2
    }
}

/// What makes a holder one: a variable by its address, functions by their entries.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Identity {
    Timers,
    OtherVariables,
    Variable(u64),
    Function(HolderKind, u64),
    Goroutines { start_pc: u64, go_pc: u64 },
}

/// The holders, and which root belongs to which.
#[derive(Default)]
struct Named {
    holders: Vec<(HolderKind, String)>,
    /// By root: its holder, and the field of a variable.
    of_root: Vec<(u32, Arc<str>)>,
    numbers: HashMap<Identity, u32>,
}

impl Named {
    fn number(&mut self, identity: Identity, name: impl FnOnce() -> (HolderKind, String)) -> u32 {
        *self.numbers.entry(identity).or_insert_with(|| {
            self.holders.push(name());
            u32::try_from(self.holders.len() - 1).unwrap_or(0)
        })
    }
}

fn name_roots(graph: &Graph, globals: &Globals, types: &mut Types, ground: &mut Ground) -> Named {
    let mut named = Named::default();
    // The first one: see `TIMERS`.
    named.number(Identity::Timers, || (HolderKind::Timer, "timers that have not fired".to_owned()));
    let nothing: Arc<str> = "".into();
    for root in graph.roots() {
        let of = match root.kind {
            RootKind::Global(address) => name_variable(&mut named, globals, types, address),
            RootKind::Finalizer { function, .. } => {
                let identity = Identity::Function(HolderKind::Finalizer, function);
                let name =
                    || (HolderKind::Finalizer, format!("finalizer {}", function_name(ground, function)));
                (named.number(identity, name), Arc::clone(&nothing))
            }
            RootKind::Cleanup(function) => {
                let identity = Identity::Function(HolderKind::Cleanup, function);
                let name = || (HolderKind::Cleanup, format!("cleanup {}", function_name(ground, function)));
                (named.number(identity, name), Arc::clone(&nothing))
            }
            RootKind::Goroutine(index) => {
                let (start_pc, go_pc) =
                    graph.goroutines().get(index).map_or((0, 0), |it| (it.start_pc, it.go_pc));
                let name = || (HolderKind::Goroutine, goroutine_name(ground, start_pc, go_pc));
                (named.number(Identity::Goroutines { start_pc, go_pc }, name), Arc::clone(&nothing))
            }
        };
        named.of_root.push(of);
    }
    ground.symbols.forget_pages();
    named
}

fn name_variable(named: &mut Named, globals: &Globals, types: &mut Types, address: u64) -> (u32, Arc<str>) {
    let base = globals.base_of(types, address);
    let (name, field) = globals.name_at(types, address);
    let is_new = !named.numbers.contains_key(&Identity::Variable(base));
    let number = if is_new && named.holders.len() >= MAX_STEPS {
        named
            .number(Identity::OtherVariables, || (HolderKind::Variable, "other package variables".to_owned()))
    } else {
        let is_runtimes = globals.is_runtimes(types, address);
        let kind = if is_runtimes { HolderKind::Runtime } else { HolderKind::Variable };
        named.number(Identity::Variable(base), || (kind, name))
    };
    (number, field.into())
}

fn function_name(ground: &mut Ground, entry: u64) -> String {
    let frame = ground.symbols.entry_frame(&ground.loaded, entry);
    let name = frame.map(|frame| frame.function.to_string()).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| format!("function at {entry:#x}"))
}

fn goroutine_name(ground: &mut Ground, start_pc: u64, go_pc: u64) -> String {
    let runs = function_name(ground, start_pc);
    if runs == "runtime.main" {
        return "the main goroutine".to_owned();
    }
    let place = StackPc { pc: go_pc, is_exact: false };
    let created = if go_pc == 0 { Vec::new() } else { ground.symbols.expand(&ground.loaded, &[place]) };
    match created.first().filter(|frame| !frame.function.is_empty()) {
        Some(frame) => {
            let file = frame.file.rsplit('/').next().unwrap_or_default();
            format!("goroutines running {runs}, started by {} at {file}:{}", frame.function, frame.line)
        }
        None => format!("goroutines running {runs}"),
    }
}

/// What tells the steps below a step apart, besides the field.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Label {
    Holder(u32),
    Type(TypeId),
    Unknown(u64),
    UnknownLarge,
    Rest,
}

struct Node {
    parent: u32,
    depth: u8,
    field: Arc<str>,
    label: Label,
    what: What,
    own: Amount,
}

/// From a step, by the type of the object there and the offset in it, to a step of this label.
type Way = (u32, TypeId, u64, Label);

struct Tree<'a> {
    graph: &'a Graph,
    typed: &'a Typed,
    types: &'a mut Types,
    steps: Vec<Node>,
    by_field: HashMap<(u32, Arc<str>, Label), u32>,
    /// The field by which objects of a type were first met below a step.
    by_type: HashMap<(u32, TypeId), Arc<str>>,
    ways: HashMap<Way, u32>,
    latest: Option<(Way, u32)>,
    /// By object; what is not reached has none.
    step_of: Vec<u32>,
    reached: Amount,
    known: Amount,
    /// Of what was reached, the objects that were there when the spans were read.
    reached_before: Amount,
}

const NO_STEP: u32 = u32::MAX;
/// The holder of all timers, which hang on the runtime's processors and are nobody's of the runtime.
const TIMERS: u32 = 0;

impl<'a> Tree<'a> {
    fn new(graph: &'a Graph, typed: &'a Typed, types: &'a mut Types) -> Tree<'a> {
        Tree {
            graph,
            typed,
            types,
            steps: Vec::new(),
            by_field: HashMap::new(),
            by_type: HashMap::new(),
            ways: HashMap::new(),
            latest: None,
            step_of: vec![NO_STEP; graph.objects().len()],
            reached: Amount::default(),
            known: Amount::default(),
            reached_before: Amount::default(),
        }
    }

    /// Puts all that is reached where it belongs. The first steps are the holders.
    fn grow(&mut self, reach: &Reach, named: &Named) {
        let nothing: Arc<str> = "".into();
        for number in 0..named.holders.len() {
            let label = Label::Holder(u32::try_from(number).unwrap_or(0));
            let field = Arc::clone(&nothing);
            self.steps.push(Node {
                parent: NO_STEP,
                depth: 0,
                field,
                label,
                what: What::Rest,
                own: Amount::default(),
            });
        }
        for (index, root) in self.graph.roots().iter().enumerate() {
            let is_new = reach.parent(root.target) == Parent::Root(index) && !self.is_placed(root.target);
            if let Some((holder, field)) = named.of_root.get(index).filter(|_| is_new) {
                let label = self.label(root.target);
                let step = self.step(*holder, field, label);
                self.place(root.target, step);
            }
        }
        for object in reach.order() {
            let step = self.step_of.get(*object as usize).copied().unwrap_or(NO_STEP);
            if step == NO_STEP {
                continue;
            }
            let begin = if self.graph.objects().has_header(*object) { 8 } else { 0 };
            let id = self.typed.of(*object);
            for edge in self.graph.edges(*object) {
                if reach.parent(edge.target) == Parent::Object(*object) && !self.is_placed(edge.target) {
                    let offset = u64::from(edge.offset).saturating_sub(begin);
                    let next = self.below(step, id, offset, edge.target);
                    self.place(edge.target, next);
                }
            }
        }
    }

    fn is_placed(&self, object: ObjectId) -> bool {
        self.step_of.get(object as usize).is_none_or(|step| *step != NO_STEP)
    }

    fn place(&mut self, object: ObjectId, step: u32) {
        let objects = self.graph.objects();
        let amount = Amount { objects: 1, bytes: objects.bytes(object) };
        self.reached += amount;
        if objects.is_allocated(object) {
            self.reached_before += amount;
        }
        if self.typed.of(object).is_known() {
            self.known += amount;
        }
        if let Some(of) = self.step_of.get_mut(object as usize) {
            *of = step;
        }
        if let Some(node) = self.steps.get_mut(step as usize) {
            node.own += amount;
        }
    }

    fn label(&self, object: ObjectId) -> Label {
        let id = self.typed.of(object);
        match self.graph.objects().bytes(object) {
            _ if id.is_known() => Label::Type(id),
            bytes if bytes > MAX_TOLD_BYTES => Label::UnknownLarge,
            bytes => Label::Unknown(bytes),
        }
    }

    /// The step of what an object of type `id` at this step leads to by the pointer at `offset`.
    fn below(&mut self, step: u32, id: TypeId, offset: u64, target: ObjectId) -> u32 {
        let label = self.label(target);
        if let Label::Type(inside) = label
            && self.is_inside_map(inside)
            && self.is_map(step)
        {
            return step;
        }
        let offset = match self.types.info(id).shape {
            Shape::Backing(element) => offset.checked_rem(self.types.info(element).size).unwrap_or(0),
            Shape::Value | Shape::Channel(_) | Shape::Closure(..) => offset,
            _ => 0,
        };
        let way = (step, id, offset, label);
        if let Some((latest, next)) = self.latest
            && latest == way
        {
            return next;
        }
        let next = match self.ways.get(&way) {
            Some(next) => *next,
            None => {
                let next = self.new_way(step, id, offset, label);
                if self.ways.len() < MAX_WAYS {
                    self.ways.insert(way, next);
                }
                next
            }
        };
        self.latest = Some((way, next));
        next
    }

    fn new_way(&mut self, step: u32, id: TypeId, offset: u64, label: Label) -> u32 {
        let mut field = if id.is_known() { self.types.path(id, offset) } else { String::new() };
        if field.starts_with(".timers.heap") && &*self.types.info(id).name == "runtime.p" {
            return self.step(TIMERS, &"".into(), label);
        }
        // A list is entered from both ends: that is one way.
        if let Label::Type(target) = label
            && self.leads_to_itself(target)
            && let Some(known) = self.by_type.get(&(step, target))
        {
            field = known.to_string();
        }
        let field: Arc<str> = field.into();
        if let Label::Type(target) = label {
            self.by_type.entry((step, target)).or_insert_with(|| Arc::clone(&field));
        }
        self.step(step, &field, label)
    }

    fn leads_to_itself(&mut self, id: TypeId) -> bool {
        const MAX_WORDS: u64 = 64;
        let words = (self.types.info(id).pointer_bytes / 8).min(MAX_WORDS);
        (0..words).any(|word| self.types.lead(id, word * 8) == id)
    }

    /// Also where the allocator recorded what the runtime's own code calls it (`internal/runtime/maps`).
    fn is_inside_map(&self, id: TypeId) -> bool {
        let info = self.types.info(id);
        match info.shape {
            Shape::Value | Shape::Backing(_) if matches!(&*info.name, "maps.table" | "[]*maps.table") => true,
            Shape::MapInside(_)
            | Shape::MapDirectory(_)
            | Shape::MapTable(_)
            | Shape::MapExtra(_)
            | Shape::MapOverflow(_) => true,
            Shape::Backing(element) => self.types.is_part_of_map(element),
            _ => false,
        }
    }

    fn is_map(&self, step: u32) -> bool {
        match self.steps.get(step as usize).map(|node| node.label) {
            Some(Label::Type(id)) => matches!(self.types.info(id).shape, Shape::Map(_)),
            _ => false,
        }
    }

    fn step(&mut self, parent: u32, field: &Arc<str>, label: Label) -> u32 {
        let key = (parent, Arc::clone(field), label);
        if let Some(step) = self.by_field.get(&key) {
            return *step;
        }
        let Some(above) = self.steps.get(parent as usize) else { return parent };
        if above.label == Label::Rest {
            return parent;
        }
        let depth = above.depth + 1;
        let mut ancestor = parent;
        while let Some(node) = self.steps.get(ancestor as usize) {
            if node.label == label {
                return ancestor;
            }
            ancestor = node.parent;
        }
        let is_full = self.steps.len() >= MAX_STEPS || depth >= MAX_DEPTH;
        if is_full && label != Label::Rest {
            return self.step(parent, &"".into(), Label::Rest);
        }
        let what = match label {
            Label::Type(id) => What::Type(Arc::clone(&self.types.info(id).name)),
            Label::Unknown(bytes) => What::Unknown(bytes),
            Label::UnknownLarge => What::UnknownLarge,
            Label::Rest | Label::Holder(_) => What::Rest,
        };
        let step = u32::try_from(self.steps.len()).unwrap_or(NO_STEP - 1);
        let own = Amount::default();
        self.steps.push(Node { parent, depth, field: Arc::clone(field), label, what, own });
        self.by_field.insert(key, step);
        step
    }
}

/// Makes trees of the steps, which come behind those that they hang on.
fn assemble(holders: Vec<(HolderKind, String)>, nodes: Vec<Node>) -> Vec<Held> {
    let mut below: Vec<Amount> = nodes.iter().map(|node| node.own).collect();
    let mut hanging: Vec<Vec<Step>> = nodes.iter().map(|_| Vec::new()).collect();
    let count = holders.len();
    for (index, node) in nodes.into_iter().enumerate().skip(count).rev() {
        let amount = below[index];
        let mut steps = std::mem::take(&mut hanging[index]);
        steps.sort_by_key(|step| Reverse((step.below.bytes, step.below.objects)));
        let field = node.field.to_string();
        let step = Step { field, what: node.what, own: node.own, below: amount, steps };
        if let Some(parent) = below.get_mut(node.parent as usize) {
            *parent += amount;
            hanging[node.parent as usize].push(step);
        }
    }
    let mut held: Vec<Held> = holders
        .into_iter()
        .zip(below.into_iter().zip(hanging))
        .filter(|(_, (below, _))| below.objects > 0)
        .map(|((kind, name), (below, mut steps))| {
            steps.sort_by_key(|step| Reverse((step.below.bytes, step.below.objects)));
            Held { kind, name, below, steps }
        })
        .collect();
    held.sort_by_key(|held| Reverse((held.below.bytes, held.below.objects)));
    held
}
