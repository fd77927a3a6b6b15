//! Ranges of addresses, each with what it belongs to: the arithmetic of mappings.
//!
//! What comes later covers what was there, as `mmap(2)` does it with MAP_FIXED; what is cut away is gone for good.

use std::collections::BTreeMap;
use std::ops::Range;

/// Ranges that do not overlap. Neighbours that belong to the same are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extents<T> {
    /// By start: the end, and what it belongs to.
    ranges: BTreeMap<u64, (u64, T)>,
}

impl<T: Clone + PartialEq> Extents<T> {
    pub fn new() -> Self {
        Extents { ranges: BTreeMap::new() }
    }

    /// Takes `range` away from what had it and gives it to `owner`. An empty range changes nothing.
    pub fn put(&mut self, range: Range<u64>, owner: T) {
        if range.start >= range.end {
            return;
        }
        self.clear(range.clone());
        let mut end = range.end;
        if let Some((behind, _)) = self.ranges.get(&range.end).filter(|(_, it)| *it == owner).cloned() {
            self.ranges.remove(&range.end);
            end = behind;
        }
        match self.ranges.range_mut(..range.start).next_back() {
            Some((_, (before, it))) if *before == range.start && *it == owner => *before = end,
            _ => {
                self.ranges.insert(range.start, (end, owner));
            }
        }
    }

    /// To what the addresses just before `address` belong.
    pub fn before(&self, address: u64) -> Option<&T> {
        let (_, (end, owner)) = self.ranges.range(..address).next_back()?;
        (*end >= address).then_some(owner)
    }

    /// How many ranges there are.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Takes `range` away from what had it.
    pub fn clear(&mut self, range: Range<u64>) {
        if range.start >= range.end {
            return;
        }
        let before = self.ranges.range_mut(..range.start).next_back();
        if let Some((_, (end, owner))) = before.filter(|(_, (end, _))| *end > range.start) {
            let (old_end, owner) = (*end, owner.clone());
            *end = range.start;
            if old_end > range.end {
                self.ranges.insert(range.end, (old_end, owner));
                return;
            }
        }
        let inside: Vec<u64> = self.ranges.range(range.clone()).map(|(start, _)| *start).collect();
        for start in inside {
            let Some((end, owner)) = self.ranges.remove(&start) else { continue };
            if end > range.end {
                self.ranges.insert(range.end, (end, owner));
            }
        }
    }

    /// Keeps only what belongs to owners that `keep` takes.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.ranges.retain(|_, (_, owner)| keep(owner));
    }

    /// Keeps only what lies within `space`, whose ranges are ascending and do not overlap.
    pub fn confine(&mut self, space: &[Range<u64>]) {
        let mut kept = BTreeMap::new();
        for (range, _, owner) in self.within(space) {
            kept.insert(range.start, (range.end, owner.clone()));
        }
        self.ranges = kept;
    }

    /// What lies within `space`, piece by piece: the piece, which of the ranges of `space` it lies in, and to what it
    /// belongs.
    pub fn within<'a>(&'a self, space: &'a [Range<u64>]) -> impl Iterator<Item = (Range<u64>, usize, &'a T)> {
        space.iter().enumerate().flat_map(move |(index, part)| {
            self.overlapping(part.clone()).map(move |(piece, owner)| (piece, index, owner))
        })
    }

    /// What nobody has of `space`, piece by piece, with the range of `space` that each lies in.
    pub fn gaps(&self, space: &[Range<u64>]) -> Vec<(Range<u64>, usize)> {
        let mut gaps = Vec::new();
        for (index, part) in space.iter().enumerate() {
            let mut at = part.start;
            for (piece, _) in self.overlapping(part.clone()) {
                if at < piece.start {
                    gaps.push((at..piece.start, index));
                }
                at = piece.end;
            }
            if at < part.end {
                gaps.push((at..part.end, index));
            }
        }
        gaps
    }

    /// The parts of ranges that lie within `part`, by address.
    fn overlapping(&self, part: Range<u64>) -> impl Iterator<Item = (Range<u64>, &T)> {
        let first = self.ranges.range(..=part.start).next_back().map_or(part.start, |(start, _)| *start);
        // An empty or reversed range would make the map panic.
        let until = part.end.max(first);
        self.ranges.range(first..until).filter_map(move |(start, (end, owner))| {
            let piece = (*start).max(part.start)..(*end).min(part.end);
            (piece.start < piece.end).then_some((piece, owner))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Extents;
    use proptest::prelude::*;
    use std::ops::Range;

    const PAGES: usize = 64;

    /// The same, a page at a time.
    #[derive(Clone)]
    struct Pages([Option<u8>; PAGES]);

    impl Pages {
        fn set(&mut self, range: Range<u64>, owner: Option<u8>) {
            for page in range {
                self.0[usize::try_from(page).unwrap()] = owner;
            }
        }
    }

    fn pages(extents: &Extents<u8>, space: &[Range<u64>]) -> Vec<Option<u8>> {
        let mut pages = Pages([None; PAGES]);
        for (piece, index, owner) in extents.within(space) {
            assert!(space[index].start <= piece.start && piece.end <= space[index].end);
            assert!(pages.0[piece.start as usize..piece.end as usize].iter().all(Option::is_none));
            pages.set(piece, Some(*owner));
        }
        pages.0.to_vec()
    }

    fn range() -> impl Strategy<Value = Range<u64>> {
        (0..PAGES as u64, 0..PAGES as u64).prop_map(|(a, b)| a.min(b)..a.max(b))
    }

    fn space() -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::btree_set(0..PAGES as u64, 0..12).prop_map(|ends| {
            let ends: Vec<u64> = ends.into_iter().collect();
            ends.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect()
        })
    }

    #[derive(Clone, Debug)]
    enum Step {
        Put(Range<u64>, u8),
        Clear(Range<u64>),
        Forget(u8),
        Confine(Vec<Range<u64>>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (range(), 0_u8..6).prop_map(|(range, owner)| Step::Put(range, owner)),
            3 => range().prop_map(Step::Clear),
            1 => (0_u8..6).prop_map(Step::Forget),
            1 => space().prop_map(Step::Confine),
        ]
    }

    proptest! {
        #[test]
        fn it_is_what_single_pages_come_to(
            steps in prop::collection::vec(step(), 0..60),
            space in space(),
        ) {
            let (mut extents, mut naive) = (Extents::new(), Pages([None; PAGES]));
            let everything = [0..PAGES as u64 / 2, PAGES as u64 / 2..PAGES as u64];
            for step in steps {
                match step {
                    Step::Put(range, owner) => {
                        extents.put(range.clone(), owner);
                        naive.set(range, Some(owner));
                    }
                    Step::Clear(range) => {
                        extents.clear(range.clone());
                        naive.set(range, None);
                    }
                    Step::Forget(gone) => {
                        extents.retain(|owner| *owner != gone);
                        naive.0.iter_mut().for_each(|page| *page = page.filter(|owner| *owner != gone));
                    }
                    Step::Confine(space) => {
                        extents.confine(&space);
                        for (page, owner) in (0..).zip(&mut naive.0) {
                            *owner = owner.filter(|_| space.iter().any(|part| part.contains(&page)));
                        }
                    }
                }
                prop_assert_eq!(pages(&extents, &everything), naive.0.to_vec());
                for (page, owner) in (1..).zip(&naive.0) {
                    prop_assert_eq!(extents.before(page).copied(), *owner, "before page {}", page);
                }
            }
            prop_assert!(extents.len() <= PAGES);
            let inside = |page: u64| space.iter().any(|part| part.contains(&page));
            let expected: Vec<_> = (0..).zip(&naive.0).map(|(page, owner)| owner.filter(|_| inside(page))).collect();
            prop_assert_eq!(pages(&extents, &space), expected);
            let mut gaps = Pages([None; PAGES]);
            for (gap, index) in extents.gaps(&space) {
                prop_assert!(space[index].start <= gap.start && gap.end <= space[index].end);
                gaps.set(gap, Some(1));
            }
            for (page, owner) in (0..).zip(&naive.0) {
                prop_assert_eq!(gaps.0[page as usize].is_some(), inside(page) && owner.is_none(), "page {}", page);
            }
        }
    }
}
