//! Puts ranges of memory that lie close together into one: what a read costs the kernel grows with the number of
//! ranges more than with their bytes.

/// Bounds a merged range.
const MAX_MERGED_BYTES: u64 = 64 * 1024;

/// Where a range lies in what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placed {
    /// Index of the merged range that holds it.
    pub range: usize,
    /// Where it begins in the buffer that takes all merged ranges one behind the other.
    pub offset: usize,
}

/// Merges `wanted` (address and length in bytes, sorted by address) where less than `gap_bytes` lie between.
pub(super) fn merge(
    wanted: impl Iterator<Item = (u64, usize)>,
    gap_bytes: u64,
    merged: &mut Vec<(u64, usize)>,
) -> Vec<Placed> {
    merged.clear();
    let mut places = Vec::with_capacity(wanted.size_hint().0);
    let mut before = 0;
    for (address, bytes) in wanted {
        let joined = merged.last().and_then(|(start, length)| {
            let reach = (*length as u64).saturating_add(gap_bytes);
            let inside = address.checked_sub(*start).filter(|inside| *inside < reach)?;
            let needed = inside.checked_add(bytes as u64).filter(|needed| *needed <= MAX_MERGED_BYTES)?;
            Some((usize::try_from(inside).ok()?, usize::try_from(needed).ok()?.max(*length)))
        });
        match (joined, merged.last_mut()) {
            (Some((inside, length)), Some(last)) => {
                last.1 = length;
                places.push(Placed { range: merged.len() - 1, offset: before + inside });
            }
            _ => {
                before += merged.last().map_or(0, |(_, length)| *length);
                merged.push((address, bytes));
                places.push(Placed { range: merged.len() - 1, offset: before });
            }
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::merge;
    use proptest::prelude::*;

    #[test]
    fn only_neighbours_are_merged() {
        let mut merged = Vec::new();
        let wanted = [(100, 10), (110, 10), (125, 5), (200, 4), (200, 2)];
        let places = merge(wanted.into_iter(), 6, &mut merged);
        assert_eq!(merged, [(100, 30), (200, 4)]);
        let offsets: Vec<(usize, usize)> = places.iter().map(|place| (place.range, place.offset)).collect();
        assert_eq!(offsets, [(0, 0), (0, 10), (0, 25), (1, 30), (1, 30)]);
        merge(wanted.into_iter(), 0, &mut merged);
        assert_eq!(merged.len(), 5 - 1, "the last lies within the one before it");
    }

    proptest! {
        #[test]
        fn every_wanted_range_lies_in_its_merged_one(
            mut wanted in proptest::collection::vec((any::<u64>(), 0..100_000_usize), 0..40),
            small in proptest::collection::vec((0..10_000_u64, 0..500_usize), 0..40),
            gap in 0..5000_u64,
        ) {
            wanted.extend(small);
            wanted.sort_unstable();
            let mut merged = Vec::new();
            let places = merge(wanted.iter().copied(), gap, &mut merged);
            prop_assert_eq!(places.len(), wanted.len());
            let begins: Vec<usize> = merged
                .iter()
                .scan(0, |sum, (_, length)| { let begin = *sum; *sum += length; Some(begin) })
                .collect();
            for ((address, bytes), place) in wanted.iter().zip(places) {
                let (start, length) = merged[place.range];
                let inside = place.offset - begins[place.range];
                prop_assert_eq!(start + inside as u64, *address);
                prop_assert!(inside + bytes <= length);
            }
        }
    }
}
