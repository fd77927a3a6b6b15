//! What becomes of us where the system gives no more: a sentence and exit status 2, and not a death by signal.

#![expect(unsafe_code, reason = "an allocator is unsafe to implement, and exit(3) would allocate")]

use nix::sys::signal::{SigSet, Signal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::panic;

const NO_MEMORY: &str =
    "watcher: the system gives it no more memory: RLIMIT_AS (ulimit -v) or the host's memory is used up\n";
const NO_THREAD: &str = "watcher: the system gives it no more threads: RLIMIT_AS, RLIMIT_NPROC or pids.max of its cgroup is used up\n";
const EXIT_STATUS: i32 = 2;

/// To be called before any thread is started. What is written beyond RLIMIT_FSIZE fails with EFBIG, which is told, and
/// sends SIGXFSZ, which would end us; a thread that cannot be started ends us with a sentence.
pub fn prepare() {
    let mut too_large = SigSet::empty();
    too_large.add(Signal::SIGXFSZ);
    // It cannot fail for a signal that exists. Threads and children inherit the mask.
    let _ = too_large.thread_block();
    let told_by_default = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap_or_default();
        if is_about_threads(text) {
            end_with(NO_THREAD);
        }
        told_by_default(panic);
    }));
}

/// What tokio (`runtime/blocking/pool.rs`) and the standard library (`thread/mod.rs`) say.
fn is_about_threads(panic: &str) -> bool {
    panic.starts_with("OS can't spawn worker thread") || panic.starts_with("failed to spawn thread")
}

/// The system's allocator; where that has nothing left, the end.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: it is the system's, which keeps all promises; where that gave nothing, nothing is given back at all.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        given(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        given(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promises are passed on.
        given(unsafe { System.realloc(block, layout, size) })
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

fn given(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        end_with(NO_MEMORY);
    }
    block
}

/// Allocates nothing, takes no lock, and runs nothing of what waits to run at the end.
fn end_with(sentence: &str) -> ! {
    let _ = nix::unistd::write(std::io::stderr(), sentence.as_bytes());
    // SAFETY: it ends the process and touches no memory of ours.
    unsafe { libc::_exit(EXIT_STATUS) }
}

#[cfg(test)]
mod tests {
    use super::is_about_threads;

    #[test]
    fn a_thread_that_cannot_be_started_is_known_by_its_panic() {
        assert!(is_about_threads(
            "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)"
        ));
        assert!(is_about_threads("failed to spawn thread: Os { code: 11, kind: WouldBlock }"));
        assert!(!is_about_threads("index out of bounds: the len is 0 but the index is 7"));
    }
}
