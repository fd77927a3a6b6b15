//! Memory of which some ranges have been read beforehand, in one call: what a call costs is more than what it brings.

use super::{Memory, Unreadable};
use std::cell::Cell;
use std::ops::Range;

/// Each range that was read beforehand is given once, to whoever asks for exactly that; anything else is read when it is
/// asked for. So whoever reads something twice, to see whether it has changed, has to have it read twice.
pub(super) struct Prefetched<'a> {
    memory: &'a dyn Memory,
    ranges: Vec<Fetched>,
    bytes: Vec<u8>,
}

struct Fetched {
    range: (u64, usize),
    /// Where it lies in the bytes.
    offset: usize,
    is_readable: bool,
    is_given: Cell<bool>,
}

/// Ranges of memory that were read before anybody asked for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadAhead {
    /// Which (address, bytes), in this order.
    pub ranges: Vec<(u64, usize)>,
    /// Of each, whether it could be read.
    pub readable: Vec<bool>,
    /// What stood there, one behind the other; anything for those that could not be read.
    pub bytes: Vec<u8>,
}

impl ReadAhead {
    /// Reads these ranges (address, bytes), in this order.
    pub fn read(memory: &dyn Memory, ranges: Vec<(u64, usize)>) -> ReadAhead {
        let mut bytes = vec![0; ranges.iter().map(|(_, length)| length).sum()];
        let mut readable = Vec::new();
        memory.read_many(&ranges, &mut bytes, &mut readable);
        ReadAhead { ranges, readable, bytes }
    }
}

impl<'a> Prefetched<'a> {
    /// What was read ahead of this memory.
    pub fn new(memory: &'a dyn Memory, ahead: ReadAhead) -> Prefetched<'a> {
        let mut offset = 0;
        let fetched = ahead.ranges.iter().zip(ahead.readable).map(|(range, is_readable)| {
            let begin = offset;
            offset += range.1;
            Fetched { range: *range, offset: begin, is_readable, is_given: Cell::new(false) }
        });
        Prefetched { memory, ranges: fetched.collect(), bytes: ahead.bytes }
    }

    fn take(&self, range: (u64, usize)) -> Option<&Fetched> {
        let fetched = self.ranges.iter().find(|fetched| fetched.range == range && !fetched.is_given.get())?;
        fetched.is_given.set(true);
        Some(fetched)
    }

    /// Those that come one behind the other and are all asked for.
    fn take_many(&self, ranges: &[(u64, usize)]) -> Option<&[Fetched]> {
        let first =
            self.ranges.iter().position(|it| Some(&it.range) == ranges.first() && !it.is_given.get())?;
        let fetched = self.ranges.get(first..first.checked_add(ranges.len())?)?;
        let is_all = fetched.iter().zip(ranges).all(|(it, range)| it.range == *range && !it.is_given.get());
        is_all.then(|| {
            fetched.iter().for_each(|fetched| fetched.is_given.set(true));
            fetched
        })
    }
}

impl Memory for Prefetched<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let length = buffer.len();
        let Some(fetched) = self.take((address, length)) else { return self.memory.read(address, buffer) };
        let bytes = self.bytes.get(fetched.offset..fetched.offset + length).filter(|_| fetched.is_readable);
        buffer.copy_from_slice(bytes.ok_or(Unreadable { address, length })?);
        Ok(())
    }

    fn is_untouched(&self, range: Range<u64>) -> bool {
        self.memory.is_untouched(range)
    }

    fn read_many(&self, ranges: &[(u64, usize)], buffer: &mut [u8], readable: &mut Vec<bool>) {
        let Some(fetched) = self.take_many(ranges) else {
            return self.memory.read_many(ranges, buffer, readable);
        };
        readable.clear();
        readable.extend(fetched.iter().map(|fetched| fetched.is_readable));
        let begin = fetched.first().map_or(0, |first| first.offset);
        if let Some(bytes) = self.bytes.get(begin..begin.saturating_add(buffer.len())) {
            buffer.copy_from_slice(bytes);
        } else {
            readable.fill(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, Unreadable};
    use super::{Prefetched, ReadAhead};
    use std::cell::{Cell, RefCell};

    /// Every byte tells how many calls came before; addresses below 100 cannot be read.
    #[derive(Default)]
    struct Counting {
        calls: Cell<u8>,
        asked: RefCell<Vec<(u64, usize)>>,
    }

    impl Memory for Counting {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            self.asked.borrow_mut().push((address, buffer.len()));
            buffer.fill(self.calls.get());
            self.calls.set(self.calls.get() + 1);
            if address < 100 { Err(Unreadable { address, length: buffer.len() }) } else { Ok(()) }
        }
    }

    #[test]
    fn each_range_is_given_once_and_in_its_order() {
        let memory = Counting::default();
        let ahead = ReadAhead::read(&memory, vec![(100, 2), (200, 1), (300, 1), (100, 2), (8, 1)]);
        let prefetched = Prefetched::new(&memory, ahead);
        assert_eq!(memory.calls.get(), 5);
        let mut pair = [9; 2];
        prefetched.read(100, &mut pair).unwrap();
        assert_eq!(pair, [0, 0]);
        prefetched.read(100, &mut pair).unwrap();
        assert_eq!(pair, [3, 3], "the second time what was read the second time");
        let mut readable = Vec::new();
        prefetched.read_many(&[(200, 1), (300, 1)], &mut pair, &mut readable);
        assert_eq!((pair, &readable[..]), ([1, 2], &[true, true][..]));
        assert!(prefetched.read(8, &mut [0]).is_err());
        assert_eq!(memory.calls.get(), 5, "nothing was read but what was read beforehand");

        prefetched.read(100, &mut pair).unwrap();
        assert_eq!(pair, [5, 5], "what was given is read anew");
        prefetched.read_many(&[(200, 1), (301, 1)], &mut pair, &mut readable);
        assert_eq!((pair, memory.calls.get()), ([6, 7], 8), "what was not foreseen is read");
    }
}
