//! What hangs on objects: finalizers and cleanups, which the runtime keeps outside the heap and which keep things alive.
//!
//! `special` in `runtime/mheap.go`: a list at each span, sorted by offset. Go 1.21 to 1.27.

use super::objects::Objects;
use crate::golang::Memory;
use crate::golang::bytes::{u16_at, u64_at};

/// Read of a record: the longest that is used here.
const RECORD_BYTES: usize = 56;
/// Records beyond that are left out and counted.
const MAX_RECORDS: usize = 1 << 24;
/// Lists that are followed at once.
const BATCH: usize = 1024;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// `runtime.SetFinalizer`: the function, the object that it is called with, and the type of the argument.
    Finalizer { function: u64, object: u64, object_type: u64 },
    /// `runtime.AddCleanup`: words that keep the function and its argument.
    Cleanup { words: [u64; 3] },
}

/// Where the fields lie.
#[derive(Clone, Copy)]
struct Layout {
    kind: usize,
    offset_is_wide: bool,
    finalizer: u8,
    cleanup: Option<u8>,
    /// Where what follows the head begins.
    body: usize,
}

fn layout(minor: u32) -> Layout {
    let old = Layout { kind: 10, offset_is_wide: false, finalizer: 1, cleanup: None, body: 16 };
    let new = Layout { kind: 16, offset_is_wide: true, finalizer: 1, cleanup: Some(6), body: 24 };
    match minor {
        0..=23 => old,
        24 => new,
        _ => Layout { finalizer: 2, cleanup: Some(7), ..new },
    }
}

/// All finalizers and cleanups, and how many records could not be read.
pub(super) fn read(memory: &dyn Memory, objects: &Objects, minor: u32) -> (Vec<Special>, u64) {
    let layout = layout(minor);
    let mut found = Vec::new();
    let (mut seen, mut lost) = (0, 0);
    // Each span's list is a chain; many chains are followed at once.
    let mut todo: Vec<(u64, u64)> = objects
        .spans()
        .iter()
        .filter(|span| span.specials != 0)
        .map(|span| (span.start, span.specials))
        .collect();
    let (mut buffer, mut readable) = (Vec::new(), Vec::new());
    while !todo.is_empty() && seen < MAX_RECORDS {
        let mut next = Vec::new();
        for batch in todo.chunks(BATCH) {
            let ranges: Vec<(u64, usize)> = batch.iter().map(|(_, record)| (*record, RECORD_BYTES)).collect();
            buffer.resize(ranges.len() * RECORD_BYTES, 0);
            memory.read_many(&ranges, &mut buffer, &mut readable);
            for (((start, _), bytes), is_readable) in
                batch.iter().zip(buffer.chunks_exact(RECORD_BYTES)).zip(&readable)
            {
                if !is_readable {
                    lost += 1;
                    continue;
                }
                found.extend(parse(bytes, *start, layout));
                let following = u64_at(bytes, 0).unwrap_or(0);
                next.extend((following != 0).then_some((*start, following)));
            }
            seen += batch.len();
        }
        todo = next;
    }
    (found, lost + todo.len() as u64)
}

fn parse(bytes: &[u8], span: u64, layout: Layout) -> Option<Special> {
    let kind = *bytes.get(layout.kind)?;
    let word = |index: usize| u64_at(bytes, layout.body + index * 8);
    if kind == layout.finalizer {
        let offset = if layout.offset_is_wide { u64_at(bytes, 8)? } else { u64::from(u16_at(bytes, 8)?) };
        let object = span.checked_add(offset)?;
        return Some(Special::Finalizer { function: word(0)?, object, object_type: word(3)? });
    }
    (Some(kind) == layout.cleanup)
        .then(|| Some(Special::Cleanup { words: [word(0)?, word(1)?, word(2)?] }))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::{Special, layout, parse};

    #[test]
    fn records_of_all_versions_are_told_apart() {
        let record = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let finalizer = |object| Special::Finalizer { function: 1, object, object_type: 4 };
        let old = record(&[0, 0x30 | 1 << 16, 1, 2, 3, 4, 0]);
        assert_eq!(parse(&old, 0x1000, layout(23)), Some(finalizer(0x1030)));
        let new = record(&[0, 0x30, 2, 1, 2, 3, 4]);
        assert_eq!(parse(&new, 0x1000, layout(27)), Some(finalizer(0x1030)));
        assert_eq!(parse(&new, 0x1000, layout(24)), None);
        let cleanup = record(&[0, 0x30, 7, 1, 2, 3, 4]);
        assert_eq!(parse(&cleanup, 0x1000, layout(26)), Some(Special::Cleanup { words: [1, 2, 3] }));
    }
}
