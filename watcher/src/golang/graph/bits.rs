//! Sets of objects, a bit each.

use crate::golang::graph::objects::ObjectId;

pub(in crate::golang::graph) fn set(bits: &mut [u64], id: ObjectId) -> bool {
    let Some(word) = bits.get_mut(id as usize / 64) else { return false };
    let is_new = *word >> (id % 64) & 1 == 0;
    *word |= 1 << (id % 64);
    is_new
}

pub(in crate::golang::graph) fn is_set(bits: &[u64], id: ObjectId) -> bool {
    bits.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
}
