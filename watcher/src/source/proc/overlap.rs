//! Lists of mappings of processes that do not keep still.
//!
//! The kernel writes `maps` and `smaps` some mappings at a time, and goes on at the address at which the next one began.
//! A mapping that has grown beyond that address meanwhile is listed once more, whole (seen on Linux 6.18;
//! `Documentation/filesystems/proc.rst` says that no two overlap). Added up, its memory would count twice.

use std::ops::Range;

/// Takes from a list of ascending mappings what the next one, which begins at `start`, tells anew.
pub(super) fn make_room<T>(list: &mut Vec<T>, start: u64, range: impl Fn(&mut T) -> &mut Range<u64>) {
    while let Some(last) = list.last_mut() {
        let last = range(last);
        if last.end <= start {
            return;
        }
        // It was cut in two, and its end has become another's beginning.
        if last.start < start {
            last.end = start;
            return;
        }
        list.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::make_room;
    use std::ops::Range;

    #[test]
    fn what_is_told_anew_is_told_once() {
        let left = |start| -> Vec<(u64, u64)> {
            let mut list: Vec<Range<u64>> = vec![1..3, 3..4, 6..8];
            make_room(&mut list, start, |range| range);
            list.into_iter().map(|range| (range.start, range.end)).collect()
        };
        assert_eq!(left(9), [(1, 3), (3, 4), (6, 8)]);
        assert_eq!(left(8), [(1, 3), (3, 4), (6, 8)]);
        assert_eq!(left(7), [(1, 3), (3, 4), (6, 7)]);
        assert_eq!(left(6), [(1, 3), (3, 4)]);
        assert_eq!(left(2), [(1, 2)]);
        assert_eq!(left(0), []);
    }
}
