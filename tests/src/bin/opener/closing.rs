//! The ways in which descriptors end.

use super::call::{call, number, refused};
use super::files::null;
use super::{Gained, Place, Step};
use anyhow::ensure;
use libc::O_CLOEXEC;
use nix::errno::Errno;

pub const STEPS: &[Step] = &[
    ("close", close),
    ("close_shut", close_shut),
    ("reuse", reuse),
    ("close_range", close_range),
    ("close_range_later", close_range_later),
    ("close_range_wide", close_range_wide),
];

/// Where ranges lie that nothing else touches.
const FAR: usize = 900;

/// Of five files three.
fn close(_: &Place) -> Gained {
    let files = [null(0)?, null(0)?, null(0)?, null(0)?, null(0)?];
    for file in &files[..3] {
        call(libc::SYS_close, [number(*file)])?;
    }
    Ok(2)
}

fn close_shut(_: &Place) -> Gained {
    for _ in 0..3 {
        refused(Errno::EBADF, libc::SYS_close, [FAR + 90])?;
    }
    Ok(0)
}

/// The same number for another file each time.
fn reuse(_: &Place) -> Gained {
    let first = null(0)?;
    for _ in 0..5 {
        call(libc::SYS_close, [number(first)])?;
        ensure!(null(0)? == first, "the kernel gave another number than the lowest");
    }
    Ok(1)
}

/// Of seven files five, and holes between them.
fn close_range(_: &Place) -> Gained {
    let file = null(0)?;
    for offset in [0, 2, 3, 5, 8, 10, 11] {
        call(libc::SYS_dup2, [number(file), FAR + offset])?;
    }
    call(libc::SYS_close_range, [FAR, FAR + 9, 0])?;
    Ok(3)
}

/// Only marked: they end when the program is replaced.
fn close_range_later(_: &Place) -> Gained {
    const CLOSE_RANGE_CLOEXEC: usize = 1 << 2;
    let file = null(0)?;
    for offset in 20..23 {
        call(libc::SYS_dup2, [number(file), FAR + offset])?;
    }
    call(libc::SYS_close_range, [FAR + 20, FAR + 29, CLOSE_RANGE_CLOEXEC])?;
    Ok(4)
}

/// To the end of all numbers, as programs do that start others.
fn close_range_wide(_: &Place) -> Gained {
    let file = null(O_CLOEXEC)?;
    for offset in 30..35 {
        call(libc::SYS_dup2, [number(file), 1000 + FAR + offset])?;
    }
    call(libc::SYS_close_range, [1000 + FAR, u32::MAX as usize, 0])?;
    Ok(1)
}
