//! What holds what: a breadth-first walk from the roots, in phases.
//!
//! Variables come first, then finalizers and cleanups, then goroutines: what a variable holds is not put down to a
//! goroutine that works with it. Whatever is reached first holds. The runtime's own books of goroutines (the list of all,
//! their structures, what waits where) hold nothing in the first phases: a goroutine owns what it works with.

use super::objects::ObjectId;
use crate::golang::graph::model::{Graph, RootKind};

/// What holds an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Nothing that was found: garbage, or something that moved.
    Nothing,
    /// A root, by its index in [`Graph::roots`].
    Root(usize),
    /// Another object.
    Object(ObjectId),
}

/// The walk, in eight bytes an object.
#[derive(Default)]
pub struct Reach {
    parents: Vec<u32>,
    order: Vec<ObjectId>,
}

const NOTHING: u32 = u32::MAX;

impl Reach {
    /// Walks the graph.
    pub fn of(graph: &Graph) -> Reach {
        let objects = graph.objects.len();
        // Numbers behind the objects stand for roots.
        let of_root = |root: usize| {
            u32::try_from(objects + root).ok().filter(|number| *number != NOTHING).unwrap_or(NOTHING - 1)
        };
        let mut reach = Reach { parents: vec![NOTHING; objects], order: Vec::new() };
        let mut next = 0;
        for phase in 0..3 {
            for (index, root) in graph.roots.iter().enumerate() {
                let of = match root.kind {
                    RootKind::Global(_) => 0,
                    RootKind::Finalizer { .. } | RootKind::Cleanup(_) => 1,
                    RootKind::Goroutine(_) => 2,
                };
                if of == phase {
                    reach.meet(root.target, of_root(index));
                }
            }
            while let Some(id) = reach.order.get(next).copied() {
                next += 1;
                if !graph.is_opaque(id) {
                    for target in graph.edges.targets(id) {
                        reach.meet(target, id);
                    }
                }
            }
        }
        reach.order.shrink_to_fit();
        reach
    }

    #[inline]
    fn meet(&mut self, id: ObjectId, parent: u32) {
        if let Some(known) = self.parents.get_mut(id as usize)
            && *known == NOTHING
        {
            *known = parent;
            self.order.push(id);
        }
    }

    /// What holds an object.
    pub fn parent(&self, id: ObjectId) -> Parent {
        match self.parents.get(id as usize) {
            None | Some(&NOTHING) => Parent::Nothing,
            Some(parent) => match (*parent as usize).checked_sub(self.parents.len()) {
                Some(root) => Parent::Root(root),
                None => Parent::Object(*parent),
            },
        }
    }

    /// Whether anything holds it.
    pub fn is_reached(&self, id: ObjectId) -> bool {
        self.parents.get(id as usize).is_some_and(|parent| *parent != NOTHING)
    }

    /// All that is reached, nearest to the roots first within a phase: what holds an object comes before it.
    pub fn order(&self) -> &[ObjectId] {
        &self.order
    }

    /// The root that holds an object, by its index. Goes all the way: whoever asks for many does so in [`Reach::order`]
    /// and keeps what it learns.
    pub fn root(&self, id: ObjectId) -> Option<usize> {
        let mut id = id;
        for _ in 0..=self.order.len() {
            match self.parent(id) {
                Parent::Nothing => return None,
                Parent::Root(root) => return Some(root),
                Parent::Object(parent) => id = parent,
            }
        }
        None
    }

    /// Memory that this takes, in bytes.
    pub fn own_bytes(&self) -> usize {
        self.parents.capacity() * 4 + self.order.capacity() * 4
    }
}
