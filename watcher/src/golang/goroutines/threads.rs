//! The threads of a Go process as its runtime knows them: `runtime.allm`.

use crate::golang::binary::loaded::Loaded;
use crate::golang::bytes::u64_at;
use crate::golang::runtime::layouts::ThreadLayout;
use crate::golang::runtime::locate::follow_threads;

/// A thread of the runtime (`runtime.m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OsThread {
    /// Address of its `m`.
    pub address: u64,
    /// The kernel's thread id, in the pid namespace of the process; 0 while the thread is being created.
    pub tid: u64,
    /// Address of the goroutine that runs on it, or has entered a system call or C on it.
    pub goroutine: Option<u64>,
    /// Address of the goroutine that is locked to it; `None` also where that is not known.
    pub locked_goroutine: Option<u64>,
    /// It executes C code; `None` where that is not known.
    pub in_cgo: Option<bool>,
}

/// Reads the threads that `first`, the value of `runtime.allm`, leads to.
pub(in crate::golang) fn read(loaded: &Loaded, first: u64, layout: &ThreadLayout) -> Vec<OsThread> {
    let addresses = follow_threads(loaded, first, layout.all_link);
    let bytes = layout.bytes();
    let ranges: Vec<(u64, usize)> = addresses.iter().map(|address| (*address, bytes)).collect();
    let mut buffer = vec![0; bytes * ranges.len()];
    let mut readable = Vec::new();
    loaded.memory.read_many(&ranges, &mut buffer, &mut readable);
    let mut threads = Vec::with_capacity(addresses.len());
    for ((address, part), readable) in addresses.iter().zip(buffer.chunks_exact(bytes)).zip(readable) {
        let Some(tid) = u64_at(part, layout.procid).filter(|_| readable) else { continue };
        let pointer = |offset: usize| u64_at(part, offset).filter(|pointer| *pointer != 0);
        threads.push(OsThread {
            address: *address,
            tid,
            goroutine: pointer(layout.current),
            locked_goroutine: layout.locked_g.and_then(pointer),
            in_cgo: layout.in_cgo.and_then(|offset| part.get(offset)).map(|byte| *byte != 0),
        });
    }
    threads
}
