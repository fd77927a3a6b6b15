//! Memory of another process by `process_vm_readv(2)`, by whoever calls this: it may never return.

use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::io::{self, IoSliceMut};

/// `UIO_MAXIOV`: ranges that the kernel takes in one call.
const MAX_RANGES_PER_CALL: usize = 1024;

/// Reads ranges as [`crate::golang::Memory::read_many`] does, ourselves.
pub(super) fn read_directly(pid: i32, ranges: &[(u64, usize)], buffer: &mut [u8], readable: &mut Vec<bool>) {
    readable.clear();
    let mut rest = buffer;
    while readable.len() < ranges.len() {
        let todo = &ranges[readable.len()..];
        let todo = &todo[..todo.len().min(MAX_RANGES_PER_CALL)];
        let bytes = todo.iter().map(|(_, length)| length).sum::<usize>().min(rest.len());
        let mut done = transfer(pid, &mut rest[..bytes], todo).unwrap_or(0);
        for (_, length) in todo {
            // The first range that is not whole stops the call; the next call begins behind it.
            let whole = done >= *length;
            done = if whole { done - length } else { 0 };
            readable.push(whole);
            rest = rest.get_mut(*length..).unwrap_or_default();
            if !whole {
                break;
            }
        }
    }
}

/// Whether one byte at `address` can be read, tried by ourselves.
pub(super) fn probe_directly(pid: i32, address: u64) -> io::Result<()> {
    Ok(transfer(pid, &mut [0], &[(address, 1)]).map(drop)?)
}

/// Reads ranges one behind the other into `buffer`; gives the bytes read up to the first that failed.
pub(super) fn transfer(pid: i32, buffer: &mut [u8], ranges: &[(u64, usize)]) -> Result<usize, Errno> {
    let remote: Vec<RemoteIoVec> = ranges
        .iter()
        .map(|(address, length)| RemoteIoVec {
            base: usize::try_from(*address).unwrap_or(usize::MAX),
            len: *length,
        })
        .collect();
    process_vm_readv(Pid::from_raw(pid), &mut [IoSliceMut::new(buffer)], &remote)
}
