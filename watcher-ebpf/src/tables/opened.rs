//! Who made the file of each descriptor.
//!
//! The pass holds each file that it visits, so that the kernel gives its address to no other meanwhile: what is kept
//! under that address is of this very file.

use super::{IterTaskFile, Visit};
use crate::descriptors::allocations;
use crate::kernel::{FILE_INODE, INODE_NUMBER};
use watcher_ebpf::{DESCRIPTOR_OPENED, Header, OPENED_HERE, OpenRecord, Origin};

/// One record per open descriptor, of the same ones as [`super::descriptors`].
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn descriptors_opened(ctx: &IterTaskFile) -> i32 {
    let Some(Visit { seq, tgid, tid, fd, flags, file }) = Visit::of(ctx) else { return 0 };
    let mut record = OpenRecord {
        header: Header { size: size_of::<OpenRecord>() as u32, kind: DESCRIPTOR_OPENED },
        tgid,
        tid,
        fd,
        flags,
        inode: INODE_NUMBER.of(FILE_INODE.of(file)),
        file: file.as_ptr() as u64,
        at_ns: 0,
        origin: Origin { stack: 0, goroutine: 0, parent: 0, created_at: 0, tid: 0, reserved: 0 },
        reserved: 0,
    };
    if let Some(entry) = allocations::seen(record.file, tgid) {
        record.flags |= OPENED_HERE;
        record.at_ns = entry.at_ns;
        record.origin = entry.origin;
    }
    seq.write(&record);
    0
}
