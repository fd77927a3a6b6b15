//! A loaded executable: its file and the memory of the process that runs it, under run-time addresses.

use super::image::Image;
use crate::golang::{Memory, ReadAt};
use std::ops::Range;

/// One process's executable, file and memory together.
///
/// What a program never changes (code, symbol tables) is read from the file: reading it through the process would
/// page it in there and make the process look larger than it is.
#[derive(Clone, Copy)]
pub struct Loaded<'a> {
    /// The executable's file.
    pub file: &'a dyn ReadAt,
    /// Its program headers.
    pub image: &'a Image,
    /// What the kernel added to the addresses in the file.
    pub bias: u64,
    /// The memory of the process.
    pub memory: &'a dyn Memory,
}

impl Loaded<'_> {
    /// Reads something that the program cannot have changed; from memory only what lies in no segment of the file
    /// (a plugin's tables). Gives fewer bytes than asked for at the end of a segment.
    pub(in crate::golang) fn read_static(&self, address: u64, buffer: &mut [u8]) -> Option<usize> {
        let Some((offset, rest)) = self.image.file_range(address.wrapping_sub(self.bias)) else {
            return self.memory.read(address, buffer).ok().map(|()| buffer.len());
        };
        let length = usize::try_from(rest).map_or(buffer.len(), |rest| rest.min(buffer.len()));
        let mut filled = 0;
        while filled < length {
            match self.file.read_at(offset.checked_add(filled as u64)?, &mut buffer[filled..length]) {
                Ok(0) => break,
                Ok(count) => filled += count.min(length - filled),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        Some(filled)
    }

    /// Eight bytes of live memory.
    pub(in crate::golang) fn word(&self, address: u64) -> Option<u64> {
        let mut buffer = [0; 8];
        self.memory.read(address, &mut buffer).ok()?;
        Some(u64::from_le_bytes(buffer))
    }

    /// Run-time ranges of writable segments, as far as the file fills them: where initialised variables lie.
    pub(in crate::golang) fn initialised_data(&self) -> impl Iterator<Item = Range<u64>> {
        self.image.segments.iter().filter(|segment| segment.writable).map(|segment| {
            let start = segment.address.wrapping_add(self.bias);
            start..start.saturating_add(segment.file_bytes)
        })
    }

    /// Looks through live memory, word by word, for an aligned place that `accept` takes; it sees the bytes from
    /// there on, at least `window` of them. Stops at the first that is accepted.
    ///
    /// Memory that was never touched holds nothing, and reading it would make the kernel give it pages: it is passed
    /// over, as is what cannot be read. No more than `limit` bytes are looked at.
    pub(in crate::golang) fn scan<T>(
        &self,
        range: Range<u64>,
        window: usize,
        limit: u64,
        mut accept: impl FnMut(u64, &[u8]) -> Option<T>,
    ) -> Option<T> {
        const CHUNK_BYTES: u64 = 64 * 1024;
        let mut start = range.start.checked_next_multiple_of(8)?;
        let end = range.end.min(start.saturating_add(limit));
        let mut buffer = Vec::new();
        while start < end {
            let chunk_end = end.min(start.saturating_add(CHUNK_BYTES));
            let read_end = range.end.min(chunk_end.saturating_add(window as u64));
            buffer.resize(usize::try_from(read_end - start).ok()?, 0);
            let is_zeroed = self.image.file_range(start.wrapping_sub(self.bias)).is_none();
            let is_untouched = is_zeroed && self.memory.is_untouched(start..read_end);
            if !is_untouched && self.memory.read(start, &mut buffer).is_ok() {
                let words = usize::try_from(chunk_end - start).ok()? / 8;
                for offset in (0..words * 8).step_by(8) {
                    let bytes = &buffer[offset..];
                    if bytes.len() < window {
                        break;
                    }
                    if let Some(found) = accept(start + offset as u64, bytes) {
                        return Some(found);
                    }
                }
            }
            start = chunk_end;
        }
        None
    }
}

/// A small cache of pages of static content, so that looking up one address after the other does not read the same
/// page again and again.
///
/// Direct-mapped: what symbol lookups touch is spread evenly enough, and its size is a plain constant.
#[derive(Default)]
pub(in crate::golang) struct Pages {
    slots: Vec<Page>,
}

#[derive(Clone, Default)]
struct Page {
    start: u64,
    bytes: Vec<u8>,
}

const PAGE_BYTES: u64 = 4096;
const SLOTS: usize = 128;

impl Pages {
    /// Fills `buffer` from `address`, whole or not at all.
    pub(in crate::golang) fn read(&mut self, loaded: &Loaded, address: u64, buffer: &mut [u8]) -> Option<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = address.checked_add(filled as u64)?;
            let page = self.page(loaded, at)?;
            let inside = usize::try_from(at.checked_sub(page.start)?).ok()?;
            let bytes = page.bytes.get(inside..).filter(|bytes| !bytes.is_empty())?;
            let length = bytes.len().min(buffer.len() - filled);
            buffer[filled..filled + length].copy_from_slice(&bytes[..length]);
            filled += length;
        }
        Some(())
    }

    pub(in crate::golang) fn u32(&mut self, loaded: &Loaded, address: u64) -> Option<u32> {
        let mut buffer = [0; 4];
        self.read(loaded, address, &mut buffer)?;
        Some(u32::from_le_bytes(buffer))
    }

    /// Gives the memory back.
    pub(in crate::golang) fn clear(&mut self) {
        self.slots = Vec::new();
    }

    fn page(&mut self, loaded: &Loaded, address: u64) -> Option<&Page> {
        if self.slots.is_empty() {
            self.slots = vec![Page::default(); SLOTS];
        }
        let start = address / PAGE_BYTES * PAGE_BYTES;
        let slot = usize::try_from(address / PAGE_BYTES % SLOTS as u64).ok()?;
        let page = &mut self.slots[slot];
        let holds =
            |page: &Page| address.checked_sub(page.start).is_some_and(|i| i < page.bytes.len() as u64);
        if !holds(page) {
            // A segment may begin within the page; then only its own bytes are taken.
            page.bytes.resize(usize::try_from(PAGE_BYTES).ok()?, 0);
            page.start = start;
            let mut length = loaded.read_static(start, &mut page.bytes).unwrap_or(0);
            if address - start >= length as u64 {
                page.start = address;
                let rest = usize::try_from(PAGE_BYTES - (address - start)).ok()?;
                length = loaded.read_static(address, &mut page.bytes[..rest]).unwrap_or(0);
            }
            page.bytes.truncate(length);
        }
        Some(&self.slots[slot])
    }
}

#[cfg(test)]
mod tests {
    use super::{Image, Loaded, Memory, Pages};
    use crate::golang::Unreadable;
    use crate::golang::fixture::Elf;

    /// Only the last hundred addresses can be read.
    struct Last;

    impl Memory for Last {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            buffer.fill(1);
            let is_mapped = address > u64::MAX - 100;
            is_mapped.then_some(()).ok_or(Unreadable { address, length: buffer.len() })
        }
    }

    #[test]
    fn pages_end_where_addresses_do() {
        let file = Elf::new().data(0x1000, &[0; 8]).build();
        let image = Image::read(&file).unwrap();
        let loaded = Loaded { file: &file, image: &image, bias: 0, memory: &Last };
        let mut buffer = [0; 8];
        assert_eq!(Pages::default().read(&loaded, u64::MAX - 50, &mut buffer), Some(()));
        assert_eq!(Pages::default().read(&loaded, u64::MAX - 3, &mut buffer), None);
        assert_eq!(Pages::default().read(&loaded, u64::MAX - 4000, &mut buffer), None);
    }
}
