//! Memory of another process whose pages are kept for a moment.
//!
//! To attach to a runtime takes some hundred small reads that follow one another and lie on few pages. Where each is a
//! question to the reader, the questions cost far more than the reading. So each page is asked for once: the page is what
//! the kernel gives anyway, so that nothing is touched that would not be.
//!
//! Whoever reads something twice wants to know whether it has changed: what has been given once is read anew when the
//! same is asked for again. What is kept grows old fast, and is then asked for again as well.

use crate::golang::{Memory, Unreadable};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::time::{Duration, Instant};

const PAGE_BYTES: u64 = 4096;
/// Longer ranges are read as they are.
const LONGEST_BYTES: usize = 4096;
/// Half a megabyte; where there are more, all are dropped.
const MAX_PAGES: usize = 128;
/// So old at most is what is given: far less than attaching takes on a machine with much to do.
const LONGEST_AGE: Duration = Duration::from_millis(5);

/// The memory, and what has been read of it lately.
pub struct RecentPages<'a> {
    memory: &'a dyn Memory,
    kept: RefCell<Kept>,
}

#[derive(Default)]
struct Kept {
    pages: HashMap<u64, Page>,
    /// Ranges (address, bytes) that were given from what is kept.
    given: HashSet<(u64, usize)>,
}

struct Page {
    read_at: Instant,
    bytes: Vec<u8>,
}

impl<'a> RecentPages<'a> {
    /// Nothing has been read yet.
    pub fn new(memory: &'a dyn Memory) -> RecentPages<'a> {
        RecentPages { memory, kept: RefCell::default() }
    }
}

impl Kept {
    /// Copies a range that lies on pages which are kept and young enough.
    fn copy(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            let at = address.checked_add(filled as u64)?;
            let page = self.pages.get(&(at / PAGE_BYTES))?;
            if page.read_at.elapsed() > LONGEST_AGE {
                return None;
            }
            let rest = page.bytes.get(usize::try_from(at % PAGE_BYTES).ok()?..)?;
            let length = rest.len().min(buffer.len() - filled);
            buffer.get_mut(filled..filled + length)?.copy_from_slice(rest.get(..length)?);
            filled += length;
        }
        Some(())
    }

    /// Reads the pages on which a range lies, all of them.
    fn read(&mut self, memory: &dyn Memory, address: u64, length: usize) -> Option<()> {
        let last = address.checked_add(length as u64)?.checked_sub(1)?;
        let numbers = address / PAGE_BYTES..=last / PAGE_BYTES;
        let ranges: Vec<(u64, usize)> =
            numbers.clone().map(|number| (number * PAGE_BYTES, PAGE_BYTES as usize)).collect();
        if self.pages.len() + ranges.len() > MAX_PAGES {
            self.pages.clear();
        }
        // What is given of older pages may not be given again beside this.
        self.given
            .retain(|(start, bytes)| start.saturating_add(*bytes as u64) <= ranges[0].0 || *start > last);
        let mut bytes = vec![0; ranges.len() * PAGE_BYTES as usize];
        let mut readable = Vec::new();
        let read_at = Instant::now();
        memory.read_many(&ranges, &mut bytes, &mut readable);
        if readable.len() != ranges.len() || readable.contains(&false) {
            return None;
        }
        let pages = bytes.chunks_exact(PAGE_BYTES as usize);
        self.pages.extend(
            numbers.zip(pages).map(|(number, bytes)| (number, Page { read_at, bytes: bytes.to_vec() })),
        );
        Some(())
    }
}

impl Memory for RecentPages<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        if buffer.is_empty() || buffer.len() > LONGEST_BYTES {
            return self.memory.read(address, buffer);
        }
        let mut kept = self.kept.borrow_mut();
        let range = (address, buffer.len());
        let is_new = kept.given.insert(range);
        if is_new && kept.copy(address, buffer).is_some() {
            return Ok(());
        }
        let read = kept.read(self.memory, address, buffer.len()).and_then(|()| kept.copy(address, buffer));
        kept.given.insert(range);
        match read {
            Some(()) => Ok(()),
            // A page of it does not come, or the machine was slow.
            None => self.memory.read(address, buffer),
        }
    }

    fn is_untouched(&self, range: Range<u64>) -> bool {
        self.memory.is_untouched(range)
    }

    fn read_many(&self, ranges: &[(u64, usize)], buffer: &mut [u8], readable: &mut Vec<bool>) {
        self.memory.read_many(ranges, buffer, readable);
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE_BYTES, RecentPages};
    use crate::golang::{Memory, Unreadable};
    use std::cell::Cell;

    /// Every byte tells how many calls came before; the first page cannot be read.
    #[derive(Default)]
    struct Counting {
        calls: Cell<u8>,
    }

    impl Memory for Counting {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            buffer.fill(self.calls.get());
            self.calls.set(self.calls.get() + 1);
            if address < PAGE_BYTES { Err(Unreadable { address, length: buffer.len() }) } else { Ok(()) }
        }
    }

    fn read(memory: &dyn Memory, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut buffer = vec![99; length];
        memory.read(address, &mut buffer).ok().map(|()| buffer)
    }

    #[test]
    fn what_lies_on_one_page_takes_one_read_and_what_is_asked_for_again_another() {
        let memory = Counting::default();
        let recent = RecentPages::new(&memory);
        // As long as the machine does not stop in between, which costs reads and nothing else.
        let first: Vec<u8> =
            (0..20).flat_map(|index| read(&recent, 2 * PAGE_BYTES + index * 8, 8).unwrap()).collect();
        let calls = memory.calls.get();
        assert!(first.len() == 160 && calls < 10, "{calls} calls for twenty reads");
        let again = read(&recent, 2 * PAGE_BYTES, 8).unwrap();
        assert_eq!((again, memory.calls.get()), (vec![calls; 8], calls + 1), "it may have changed");
    }

    #[test]
    fn long_ranges_and_what_cannot_be_read_are_read_as_they_are() {
        let memory = Counting::default();
        let recent = RecentPages::new(&memory);
        assert_eq!(read(&recent, 2 * PAGE_BYTES, 8192), Some(vec![0; 8192]));
        assert_eq!(read(&recent, 8, 8), None);
        // It lies on two pages of which the first cannot be read.
        assert_eq!(read(&recent, PAGE_BYTES - 4, 8), None);
        // On two pages that can: both are kept.
        let across = read(&recent, 3 * PAGE_BYTES - 4, 8).unwrap();
        assert_eq!(across.len(), 8);
    }
}
