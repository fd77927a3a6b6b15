//! What the kernel programs cost in memory, in the kernel and here.

use aya::Ebpf;
use aya::maps::Map;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Kernel memory of programs and maps, as the kernel accounts for it; `None` where it does not say.
pub(super) fn locked_bytes(ebpf: &Ebpf) -> Option<u64> {
    let programs = ebpf.programs().filter_map(|(_, program)| Some(program.fd().ok()?.as_fd()));
    let maps = ebpf.maps().filter_map(|(_, map)| descriptor(map));
    programs.chain(maps).map(locked_bytes_of).sum()
}

/// Of the kinds of map that our object has.
fn descriptor(map: &Map) -> Option<BorrowedFd<'_>> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => {
            Some(data.fd().as_fd())
        }
        _ => None,
    }
}

fn locked_bytes_of(fd: BorrowedFd<'_>) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_raw_fd())).ok()?;
    text.lines().find_map(|line| line.strip_prefix("memlock:"))?.trim().parse().ok()
}

/// Hands memory that was freed in pieces back to the system.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "the allocator gives nothing back unless asked")]
    // SAFETY: glibc's function; it takes its own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
