//! Who sees the heap while it is gone through.

use crate::golang::graph::objects::ObjectId;

/// What sees the heap while it is gone through. Nothing of it is kept in the graph.
pub trait Witness {
    /// A pointer to the begin of `target` stands behind the word `before`, which points out of the heap: to an `itab`
    /// or a type, where the two are an interface.
    fn behind(&mut self, before: u64, target: ObjectId) {
        _ = (before, target);
    }

    /// An object begins with the address of an instruction: a closure, perhaps.
    fn begins(&mut self, object: ObjectId, word: u64) {
        _ = (object, word);
    }

    /// The allocator recorded that the object is of the type at this address.
    fn header(&mut self, object: ObjectId, type_address: u64) {
        _ = (object, type_address);
    }
}

impl Witness for () {}
