//! The graph itself: objects, pointers, and from where they are reached.

use super::bits::is_set;
use super::edges::{Edge, Edges};
use super::objects::{ObjectId, Objects};
use super::scan::ScanEffort;
use super::stacks::Holder;

/// Most memory that a graph takes of ours for each slot of the heap, in bytes, all in all: what an object with one
/// pointer to it needs. More is taken by heaps with more pointers than that.
pub const BYTES_PER_OBJECT: usize = 16;

/// The heap of a process at about one moment.
pub struct Graph {
    pub(in crate::golang::graph) objects: Objects,
    pub(in crate::golang::graph) edges: Edges,
    pub(in crate::golang::graph) roots: Vec<Root>,
    pub(in crate::golang::graph) goroutines: Vec<Holder>,
    /// The goroutines as they were at the other end of the reading, by address.
    pub(in crate::golang::graph) other_states: Vec<Holder>,
    /// A bit for each object that is one of the runtime's books: what it points to, it does not hold.
    pub(in crate::golang::graph) opaque: Vec<u64>,
    /// The objects that say that a goroutine waits on something.
    pub(in crate::golang::graph) waiters: Vec<ObjectId>,
    pub(in crate::golang::graph) minor: u32,
    pub(in crate::golang::graph) effort: Effort,
}

/// Whether roots are read before the heap or behind it.
///
/// Before: what is reachable when they are read stays so while the heap is read, unless references move. Behind: what
/// moves escapes in other ways. A claim that nothing leads somewhere needs both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Roots, then heap.
    RootsFirst,
    /// Heap, then roots.
    RootsLast,
}

/// Where the reach of a program begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// What it is.
    pub kind: RootKind,
    /// What it points to.
    pub target: ObjectId,
}

/// What a root is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootKind {
    /// A word of a package's variables, by its address.
    Global(u64),
    /// A finalizer: the function's entry, and the type that it is called with.
    Finalizer {
        /// Entry of the function.
        function: u64,
        /// Address of the type.
        object_type: u64,
    },
    /// A cleanup, by the entry of its function.
    Cleanup(u64),
    /// A goroutine's stack, by its index in [`Graph::goroutines`].
    Goroutine(usize),
}

/// What reading a graph took, and what it lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Going through the heap.
    pub scan: ScanEffort,
    /// Spans that could not be read, or made no sense.
    pub lost_spans: u64,
    /// Spans that came while the heap was read, and were read as well.
    pub late_spans: u64,
    /// Finalizers and cleanups that could not be read.
    pub lost_specials: u64,
    /// Stacks of which only what is live counts.
    pub precise_stacks: u64,
    /// Stacks of which every word counts: those that ran or moved, and those that could not be walked.
    pub whole_stacks: u64,
    /// Stacks, and structures of goroutines, that could not be read.
    pub unreadable_stacks: u64,
    /// Bytes of variables that could not be read.
    pub unreadable_globals_bytes: u64,
    /// Areas of variables of which every word counts, as no mask was found.
    pub unmasked_globals: u64,
}

impl Effort {
    /// Whether memory that may lead somewhere could not be read: then nothing can be said to be unreachable.
    pub fn has_gaps(&self) -> bool {
        self.scan.bytes_unreadable > 0
            || self.unreadable_stacks > 0
            || self.unreadable_globals_bytes > 0
            || self.lost_specials > 0
    }
}

impl Graph {
    /// Every slot of the heap.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The pointers of an object. An object with a header has its value 8 bytes behind the slot's begin.
    pub fn edges(&self, id: ObjectId) -> impl Iterator<Item = Edge> + '_ {
        self.edges.of(id)
    }

    /// How many pointers there are.
    pub fn edge_count(&self) -> usize {
        self.edges.len()
    }

    /// Where the reach begins: variables, then finalizers and cleanups, then goroutines.
    pub fn roots(&self) -> &[Root] {
        &self.roots
    }

    /// The goroutines, those that do not live any more among them, by address.
    pub fn goroutines(&self) -> &[Holder] {
        &self.goroutines
    }

    /// What reading it took.
    pub fn effort(&self) -> &Effort {
        &self.effort
    }

    /// Whether the object is one of the runtime's books: what it points to, it does not hold.
    pub fn is_opaque(&self, id: ObjectId) -> bool {
        is_set(&self.opaque, id)
    }

    /// Memory that this takes, in bytes.
    pub fn own_bytes(&self) -> usize {
        self.objects.own_bytes()
            + self.edges.own_bytes()
            + self.roots.capacity() * size_of::<Root>()
            + (self.goroutines.capacity() + self.other_states.capacity()) * size_of::<Holder>()
            + self.opaque.capacity() * 8
    }
}
