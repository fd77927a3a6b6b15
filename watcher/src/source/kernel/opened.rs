//! What the programs note of a descriptor that was opened, and of who opened it.

use crate::vocabulary::origin::{CreatingGoroutine, Origin, StackId};
use std::time::Duration;
use watcher_ebpf::OpenRecord;

/// A descriptor that the programs believe to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawDescriptor {
    /// Its number.
    pub fd: i32,
    /// Inode number of its file; `None` where nobody could look at it.
    pub inode: Option<u64>,
    /// When it was opened, in time since boot.
    pub at: Duration,
    /// Who opened it.
    pub origin: Origin,
    /// How many descriptors it stands for: 1 unless others were left out by sampling when it was opened.
    pub weight: u32,
    /// What is the same for two descriptors of one file that were opened once; `None` where each has an opening of its
    /// own.
    pub file: Option<u64>,
}

/// From the record to what the other routes give.
pub(super) fn descriptor(record: &OpenRecord) -> RawDescriptor {
    RawDescriptor {
        fd: record.fd.cast_signed(),
        inode: Some(record.inode),
        at: Duration::from_nanos(record.at_ns),
        origin: origin(&record.origin),
        weight: 1,
        file: Some(record.file),
    }
}

/// From the record to the vocabulary.
pub(super) fn origin(record: &watcher_ebpf::Origin) -> Origin {
    Origin {
        stack: (record.stack != 0).then_some(StackId(record.stack)),
        tid: record.tid.cast_signed(),
        goroutine: (record.goroutine != 0).then_some(CreatingGoroutine {
            id: record.goroutine,
            parent_id: (record.parent != 0).then_some(record.parent),
            created_at: record.created_at,
        }),
    }
}
