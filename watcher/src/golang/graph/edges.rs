//! Which object points to which, in five bytes a pointer and little more than one an object.
//!
//! Pointers lie one behind the other, object by object, as they are met. Of each object it is kept how many it has, and
//! of each sixteen where theirs begin. Where in its object a pointer stands is kept as the distance from the one before.

use super::objects::ObjectId;

/// Objects for which one place in the list of pointers is kept.
const BLOCK: usize = 16;
/// Objects with so many pointers or more stand in a list of their own.
const MANY: u8 = u8::MAX;
const IS_INTERIOR: u8 = 0x80;
/// A distance of so many words or more stands in a list of its own.
const FAR: u8 = 0x7f;

/// A pointer in an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Where it stands, in bytes from the begin of the slot.
    pub offset: u32,
    /// What it points to.
    pub target: ObjectId,
    /// It does not point to the begin of the target's value.
    pub is_interior: bool,
}

/// All pointers.
#[derive(Default)]
pub(super) struct Edges {
    targets: Vec<ObjectId>,
    places: Vec<u8>,
    counts: Vec<u8>,
    begins: Vec<u32>,
    /// Objects with many pointers, ascending, and how many.
    many: Vec<(ObjectId, u32)>,
    /// Pointers that stand far behind the one before, ascending, and at which word.
    far: Vec<(u32, u32)>,
    /// Pointers that were found afterwards, sorted by the object they stand in.
    late: Vec<(ObjectId, Edge)>,
    /// A bit for each sixteen objects of which one has such pointers.
    late_blocks: Vec<u64>,
    /// Word of the latest pointer of the object that is being added.
    latest_word: u32,
    begun: usize,
}

impl Edges {
    /// Makes room, so that the lists need not be moved.
    pub fn reserve(&mut self, objects: usize) {
        self.counts.reserve(objects);
        self.begins.reserve(objects / BLOCK + 1);
    }

    /// Begins the next object, which is `id`; what lies between has no pointers.
    pub fn begin(&mut self, id: ObjectId) {
        while self.counts.len() <= id as usize {
            if self.counts.len().is_multiple_of(BLOCK) {
                self.begins.push(u32::try_from(self.targets.len()).unwrap_or(u32::MAX));
            }
            self.counts.push(0);
        }
        self.begun = self.targets.len();
        self.latest_word = 0;
    }

    /// A pointer of the object that was begun, at word `word`, further on than those before. `false` where no more fit.
    #[inline]
    pub fn push(&mut self, word: u32, target: ObjectId, is_interior: bool) -> bool {
        let Ok(index) = u32::try_from(self.targets.len()) else { return false };
        let distance = word - self.latest_word;
        self.latest_word = word;
        let mut place = u8::try_from(distance).map_or(FAR, |distance| distance.min(FAR));
        if place == FAR {
            self.far.push((index, word));
        }
        if is_interior {
            place |= IS_INTERIOR;
        }
        self.targets.push(target);
        self.places.push(place);
        true
    }

    /// Ends the object that was begun.
    pub fn end(&mut self, id: ObjectId) {
        let count = self.targets.len() - self.begun;
        let Some(kept) = self.counts.get_mut(id as usize) else { return };
        *kept = u8::try_from(count).unwrap_or(MANY);
        if *kept == MANY {
            self.many.push((id, u32::try_from(count).unwrap_or(u32::MAX)));
        }
    }

    /// Takes in pointers that were found when all objects had been gone through.
    pub fn add_late(&mut self, mut late: Vec<(ObjectId, Edge)>) {
        self.late.append(&mut late);
        self.late.sort_by_key(|(id, edge)| (*id, edge.offset));
        self.late_blocks = vec![0; if self.late.is_empty() { 0 } else { self.counts.len() / BLOCK / 64 + 1 }];
        for (id, _) in &self.late {
            let block = *id as usize / BLOCK;
            if let Some(word) = self.late_blocks.get_mut(block / 64) {
                *word |= 1 << (block % 64);
            }
        }
        self.targets.shrink_to_fit();
        self.places.shrink_to_fit();
    }

    fn count(&self, id: usize) -> usize {
        match self.counts.get(id) {
            None => 0,
            Some(&MANY) => {
                let known = self.many.binary_search_by_key(&id, |(id, _)| *id as usize);
                known.map_or(0, |index| self.many[index].1 as usize)
            }
            Some(count) => usize::from(*count),
        }
    }

    fn range(&self, id: ObjectId) -> std::ops::Range<usize> {
        let id = id as usize;
        let Some(begin) = self.begins.get(id / BLOCK) else { return 0..0 };
        let before: usize = (id / BLOCK * BLOCK..id).map(|id| self.count(id)).sum();
        let begin = *begin as usize + before;
        begin..begin + self.count(id)
    }

    fn late_of(&self, id: ObjectId) -> &[(ObjectId, Edge)] {
        let block = id as usize / BLOCK;
        if self.late_blocks.get(block / 64).is_none_or(|word| word >> (block % 64) & 1 == 0) {
            return &[];
        }
        let begin = self.late.partition_point(|(from, _)| *from < id);
        let end = self.late.partition_point(|(from, _)| *from <= id);
        &self.late[begin..end]
    }

    /// What the pointers of `id` point to, without where they stand.
    #[inline]
    pub fn targets(&self, id: ObjectId) -> impl Iterator<Item = ObjectId> + '_ {
        let own = self.targets.get(self.range(id)).unwrap_or_default().iter().copied();
        own.chain(self.late_of(id).iter().map(|(_, edge)| edge.target))
    }

    /// The pointers of `id`, in the order in which they stand; those that were found late come last.
    pub fn of(&self, id: ObjectId) -> impl Iterator<Item = Edge> + '_ {
        let mut word = 0;
        let own = self.range(id).map(move |index| {
            let place = self.places.get(index).copied().unwrap_or(0);
            let distance = place & !IS_INTERIOR;
            if distance == FAR {
                let known = self.far.binary_search_by_key(&index, |(index, _)| *index as usize);
                word = known.map_or(word, |index| self.far[index].1);
            } else {
                word += u32::from(distance);
            }
            let target = self.targets.get(index).copied().unwrap_or(0);
            Edge { offset: word.saturating_mul(8), target, is_interior: place & IS_INTERIOR != 0 }
        });
        own.chain(self.late_of(id).iter().map(|(_, edge)| *edge))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.targets.len() + self.late.len()
    }

    /// Memory that this takes, in bytes.
    pub fn own_bytes(&self) -> usize {
        self.targets.capacity() * 5
            + self.counts.capacity()
            + self.begins.capacity() * 4
            + (self.many.capacity() + self.far.capacity()) * 8
            + self.late.capacity() * 16
    }
}

#[cfg(test)]
mod tests {
    use super::{Edge, Edges};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            objects in proptest::collection::vec(
                (0..40_u32, proptest::collection::vec((0..300_u32, any::<u16>(), any::<bool>()), 0..300)),
                0..40,
            ),
        ) {
            let mut edges = Edges::default();
            let mut expected: Vec<(u32, Vec<Edge>)> = Vec::new();
            let mut id = 0;
            for (gap, pointers) in objects {
                id += gap + 1;
                edges.begin(id);
                let (mut word, mut kept, mut is_first) = (0, Vec::new(), true);
                for (distance, target, is_interior) in pointers {
                    word += if is_first { distance } else { distance + 1 };
                    is_first = false;
                    prop_assert!(edges.push(word, u32::from(target), is_interior));
                    kept.push(Edge { offset: word * 8, target: u32::from(target), is_interior });
                }
                edges.end(id);
                expected.push((id, kept));
            }
            let late = Edge { offset: 8, target: 77, is_interior: false };
            edges.add_late(expected.iter().step_by(3).map(|(id, _)| (*id, late)).collect());
            for (index, (id, mut kept)) in expected.into_iter().enumerate() {
                if index % 3 == 0 {
                    kept.push(late);
                }
                prop_assert_eq!(edges.targets(id).collect::<Vec<_>>(), kept.iter().map(|edge| edge.target).collect::<Vec<_>>());
                prop_assert_eq!(edges.of(id).collect::<Vec<_>>(), kept);
            }
            prop_assert_eq!(edges.of(u32::MAX).count(), 0);
        }
    }
}
