//! Descriptors of what has no name in any file system.

use super::call::{address, address_mut, call, number, repeat};
use super::files::null;
use super::{Gained, Place, Step};
use libc::{CLOCK_MONOTONIC, FAN_CLASS_NOTIF, O_CLOEXEC, O_RDONLY};

pub const STEPS: &[Step] = &[
    ("epoll_create", |_| repeat(3, libc::SYS_epoll_create, [1])),
    ("epoll_create1", |_| repeat(3, libc::SYS_epoll_create1, [0])),
    ("eventfd", |_| repeat(3, libc::SYS_eventfd, [0])),
    ("eventfd2", |_| repeat(3, libc::SYS_eventfd2, [0, 0])),
    ("timerfd_create", |_| repeat(3, libc::SYS_timerfd_create, [number(CLOCK_MONOTONIC), 0])),
    ("signalfd", signalfd),
    ("signalfd4", signalfd4),
    ("signalfd_again", signalfd_again),
    ("inotify_init", |_| repeat(3, libc::SYS_inotify_init, [])),
    ("inotify_init1", |_| repeat(3, libc::SYS_inotify_init1, [O_CLOEXEC as usize])),
    ("fanotify_init", |_| repeat(3, libc::SYS_fanotify_init, [FAN_CLASS_NOTIF as usize, O_RDONLY as usize])),
    ("memfd_create", memfd_create),
    ("memfd_secret", |_| repeat(3, libc::SYS_memfd_secret, [0])),
    ("pidfd_open", |_| repeat(3, libc::SYS_pidfd_open, [std::process::id() as usize, 0])),
    ("pidfd_getfd", pidfd_getfd),
    ("userfaultfd", |_| repeat(3, libc::SYS_userfaultfd, [O_CLOEXEC as usize])),
    ("perf_event_open", perf_event_open),
    ("bpf", bpf),
];

/// The kernel's set of signals, with SIGUSR1 in it.
const SIGNALS: u64 = 1 << (libc::SIGUSR1 - 1);
const NEW: usize = usize::MAX;

fn signalfd(_: &Place) -> Gained {
    repeat(3, libc::SYS_signalfd, [NEW, address(&SIGNALS), size_of_val(&SIGNALS)])
}

fn signalfd4(_: &Place) -> Gained {
    repeat(3, libc::SYS_signalfd4, [NEW, address(&SIGNALS), size_of_val(&SIGNALS), 0])
}

/// With a descriptor that it gave before, it changes that one and returns it.
fn signalfd_again(_: &Place) -> Gained {
    let old = call(libc::SYS_signalfd4, [NEW, address(&SIGNALS), size_of_val(&SIGNALS), 0])?;
    for _ in 0..3 {
        call(libc::SYS_signalfd4, [number(old), address(&SIGNALS), size_of_val(&SIGNALS), 0])?;
    }
    Ok(1)
}

fn memfd_create(_: &Place) -> Gained {
    repeat(3, libc::SYS_memfd_create, [c"parcel".as_ptr().addr(), 0])
}

/// From itself, by way of its own pidfd.
fn pidfd_getfd(_: &Place) -> Gained {
    let own = call(libc::SYS_pidfd_open, [std::process::id() as usize, 0])?;
    let file = null(0)?;
    Ok(2 + repeat(3, libc::SYS_pidfd_getfd, [number(own), number(file), 0])?)
}

/// A counter in software, which every machine has.
fn perf_event_open(_: &Place) -> Gained {
    /// The first version of `struct perf_event_attr`.
    const SIZE: usize = 64;
    const PERF_TYPE_SOFTWARE: u32 = 1;
    let mut attributes = [0u32; SIZE / 4];
    attributes[0] = PERF_TYPE_SOFTWARE;
    attributes[1] = SIZE as u32;
    repeat(3, libc::SYS_perf_event_open, [address_mut(&mut attributes), 0, NEW, NEW, 0])
}

/// Maps of the kind that programs in the kernel use.
fn bpf(_: &Place) -> Gained {
    const BPF_MAP_CREATE: usize = 0;
    /// Type (an array), size of keys and of values, and number of entries.
    const MAP: [u32; 4] = [2, 4, 8, 1];
    repeat(3, libc::SYS_bpf, [BPF_MAP_CREATE, address(&MAP), size_of_val(&MAP)])
}
