//! What resident memory consists of at one moment: the kernel's list of mappings, held against the books of the Go
//! runtime and the marks of the C library.
//!
//! Each resident page lies in one mapping, so that whatever a mapping is known to be for is counted exactly. What
//! remains is anonymous memory of which nothing says whose it is; it is kept apart and given no name. Costs the
//! kernel a walk over all page tables of the process and us half a microsecond for each span of its heap, so it is
//! done on suspicion and at the end of a diagnosis only.

mod c_memory;
mod sums;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use c_memory::understand;

use super::same_program;
use crate::golang::heap::heap_reader::HeapReader;
use crate::golang::runtime::Runtime;
use crate::observed::anatomy::Anatomy;
use crate::source::clock;
use crate::source::memory::ProcessMemory;
use crate::source::proc::ProcessDir;
use crate::source::target_file::TargetFile;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;
use std::cell::Cell;
use std::ops::Range;
use sums::Books;

/// Pages of which it is asked whether they are resident, in one anatomy: those of 512 GiB. The kernel is done with them in
/// about a second.
const MAX_PAGES: u64 = 1 << 27;
/// x86-64's; others are not read.
const PAGE_BYTES: u64 = 4096;

/// Reads the process whose runtime is attached to, and makes sure that it is still the one with this id afterwards.
pub fn capture(runtime: &mut Runtime, process: &ProcessDir, id: ProcessId) -> Reading<Anatomy> {
    let anatomy = process.executable().and_then(|file| of_go(runtime, &file, process));
    anatomy.and_then(|anatomy| same_program::confirmed(runtime, process, id, Reading::Seen(anatomy)))
}

/// The same, with the executable opened already and the process identified by the caller.
pub fn of_go(runtime: &mut Runtime, file: &TargetFile, process: &ProcessDir) -> Reading<Anatomy> {
    let memory = ProcessMemory::new(process.pid());
    let reader = HeapReader::attach(runtime, file, &memory);
    let at = clock::now();
    let before =
        reader.counters(&memory).and_then(|counters| reader.census(&memory).map(|census| (counters, census)));
    let variables = variables(runtime, file, &memory);
    process.mapping_use().map(|mappings| {
        let mut remarks = Vec::new();
        let books = match before {
            Ok((counters, census)) => {
                let counters_after = reader.counters(&memory).unwrap_or(counters);
                Some(Books { counters, census, counters_after, variables })
            }
            Err(error) => {
                remarks.push(format!("The heap could not be read: {error}."));
                None
            }
        };
        let reach =
            |spans: &[Range<u64>], mappings: &[Range<u64>]| reader.reached(&memory, spans, mappings).ok();
        let pages = Pages::new(process);
        let resident = |ranges: &[Range<u64>]| pages.resident_bytes(ranges);
        let looks = sums::Looks { memory: &memory, reach: &reach, resident: &resident };
        let anatomy = sums::anatomy(&mappings, books.as_ref(), &looks, remarks);
        pages.remark(Anatomy { at: Some(at), ..anatomy })
    })
}

/// The same of a process without a runtime that could be read.
pub fn of_any(process: &ProcessDir) -> Reading<Anatomy> {
    let at = clock::now();
    let memory = ProcessMemory::new(process.pid());
    process.mapping_use().map(|mappings| {
        let pages = Pages::new(process);
        let resident = |ranges: &[Range<u64>]| pages.resident_bytes(ranges);
        let looks = sums::Looks { memory: &memory, reach: &|_, _| None, resident: &resident };
        pages.remark(Anatomy { at: Some(at), ..sums::anatomy(&mappings, None, &looks, Vec::new()) })
    })
}

/// Asks which pages are resident, as long as they are not too many: a process may map all addresses that there are.
struct Pages<'a> {
    process: &'a ProcessDir,
    left: Cell<u64>,
    refused: Cell<u64>,
}

impl Pages<'_> {
    fn new(process: &ProcessDir) -> Pages<'_> {
        Pages { process, left: Cell::new(MAX_PAGES), refused: Cell::new(0) }
    }

    /// How much of these ranges is resident; `None` where that cannot be read, or would be too much.
    fn resident_bytes(&self, ranges: &[Range<u64>]) -> Option<u64> {
        let pages = ranges
            .iter()
            .map(|range| range.end.div_ceil(PAGE_BYTES).saturating_sub(range.start / PAGE_BYTES))
            .fold(0, u64::saturating_add);
        let Some(left) = self.left.get().checked_sub(pages) else {
            self.refused.set(self.refused.get().saturating_add(pages));
            return None;
        };
        self.left.set(left);
        self.process.resident_bytes(ranges).into_seen()
    }

    fn remark(&self, mut anatomy: Anatomy) -> Anatomy {
        if self.refused.get() > 0 {
            anatomy.remarks.push(format!(
                "{} GiB of addresses were not asked for what of them is resident: they are too many.",
                self.refused.get().saturating_mul(PAGE_BYTES).div_ceil(1 << 30),
            ));
        }
        anatomy
    }
}

/// Where the variables of the executable lie.
fn variables(runtime: &mut Runtime, file: &TargetFile, memory: &ProcessMemory) -> Vec<Range<u64>> {
    let (_, loaded) = runtime.symbols(file, memory);
    let writable = loaded.image.segments.iter().filter(|segment| segment.writable);
    writable
        .map(|segment| {
            let start = segment.address.wrapping_add(loaded.bias);
            start..start.saturating_add(segment.memory_bytes)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{MAX_PAGES, Pages};
    use crate::observed::anatomy::Anatomy;
    use crate::source::proc::ProcRoot;

    #[test]
    fn no_more_pages_are_asked_for_than_a_process_of_some_size_has() {
        let own = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        let pages = Pages::new(&own);
        let touched = vec![1_u8; 1 << 16];
        let start = (touched.as_ptr().addr() as u64).next_multiple_of(4096);
        let whole = start..start + (8 << 10);
        assert_eq!(pages.resident_bytes(std::slice::from_ref(&whole)), Some(8 << 10));
        assert_eq!(pages.remark(Anatomy::default()), Anatomy::default());
        assert_eq!(pages.resident_bytes(&[whole.clone(), 1 << 46..1 << 47]), None);
        assert_eq!(pages.resident_bytes(&[0..u64::MAX, 0..u64::MAX]), None);
        assert_eq!(pages.left.get(), MAX_PAGES - 2, "what was refused costs nothing");
        assert_eq!(pages.resident_bytes(&[whole]), Some(8 << 10));
        assert_eq!(pages.remark(Anatomy::default()).remarks.len(), 1);
    }
}
