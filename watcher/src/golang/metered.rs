//! Reading within an allowance.
//!
//! How much there is to read while a process is attached to follows from numbers in its executable and its memory.
//! Those are its own, and a file with holes claims any size for nothing; but whoever is attached to keeps all others
//! waiting. Beyond the allowance nothing can be read any more, so that whatever looks on finds nothing and ends.

use super::{Memory, ReadAt, Unreadable};
use crate::golang::binary::loaded::Loaded;
use std::cell::Cell;
use std::io;
use std::ops::Range;

/// How much may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Allowance {
    pub bytes: u64,
    /// System calls, which cost about half a microsecond each.
    pub calls: u64,
}

/// A loaded executable of which no more is read than was allowed.
pub(super) struct Metered<'a> {
    loaded: Loaded<'a>,
    left: Cell<Allowance>,
}

impl<'a> Metered<'a> {
    pub fn new(loaded: &Loaded<'a>, allowance: Allowance) -> Metered<'a> {
        Metered { loaded: *loaded, left: Cell::new(allowance) }
    }

    /// The same executable, read through the meter.
    pub fn loaded(&self) -> Loaded<'_> {
        Loaded { file: self, image: self.loaded.image, bias: self.loaded.bias, memory: self }
    }

    /// Takes one call and so many bytes out of the allowance. What does not fit ends it: something smaller behind it
    /// would only prolong a search that has failed.
    fn take(&self, bytes: u64) -> bool {
        let left = self.left.get();
        let rest = left.bytes.checked_sub(bytes).zip(left.calls.checked_sub(1));
        let (bytes, calls) = rest.unwrap_or_default();
        self.left.set(Allowance { bytes, calls });
        rest.is_some()
    }
}

impl ReadAt for Metered<'_> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.take(buffer.len() as u64) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        self.loaded.file.read_at(offset, buffer)
    }
}

impl Memory for Metered<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        if !self.take(buffer.len() as u64) {
            return Err(Unreadable { address, length: buffer.len() });
        }
        self.loaded.memory.read(address, buffer)
    }

    fn is_untouched(&self, range: Range<u64>) -> bool {
        self.take(0) && self.loaded.memory.is_untouched(range)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Elf;
    use super::super::recorded::Recorded;
    use super::{Allowance, Metered};
    use crate::golang::binary::image::Image;
    use crate::golang::binary::loaded::Loaded;

    #[test]
    fn nothing_is_read_beyond_the_allowance() {
        let file = Elf::new().data(0x1000, &[7; 64]).build();
        let image = Image::read(&file).unwrap();
        let memory = Recorded::new().with(0x2000, &[1; 64]);
        let loaded = Loaded { file: &file, image: &image, bias: 0, memory: &memory };
        let reads = |bytes, calls| {
            let metered = Metered::new(&loaded, Allowance { bytes, calls });
            let loaded = metered.loaded();
            let mut buffer = [0; 8];
            let mut of_file = || loaded.read_static(0x1000, &mut buffer) == Some(8) && buffer == [7; 8];
            [of_file(), loaded.word(0x2000).is_some(), loaded.word(0x2008).is_some()]
        };
        assert_eq!(reads(24, 3), [true, true, true]);
        assert_eq!(reads(1000, 2), [true, true, false]);
        assert_eq!(reads(23, 1000), [true, true, false]);
        assert_eq!(reads(7, 1000), [false, false, false]);
        assert_eq!(reads(1000, 0), [false, false, false]);
    }
}
