//! Further descriptors of what is open.

use super::call::{call, number, refused, repeat};
use super::files::null;
use super::{Gained, Place, Step};
use libc::{F_DUPFD, F_DUPFD_CLOEXEC, O_CLOEXEC};
use nix::errno::Errno;

pub const STEPS: &[Step] = &[
    ("dup", dup),
    ("dup2_unused", dup2_unused),
    ("dup2_used", dup2_used),
    ("dup2_same", dup2_same),
    ("dup2_shut", dup2_shut),
    ("dup3", dup3),
    ("fcntl_dup", fcntl_dup),
    ("fcntl_dup_cloexec", fcntl_dup_cloexec),
];

/// Standard input.
const INPUT: usize = 0;
/// Numbers that nothing else takes: the kernel gives the lowest that is free.
const FAR: usize = 700;

fn dup(_: &Place) -> Gained {
    repeat(3, libc::SYS_dup, [INPUT])
}

fn dup2_unused(_: &Place) -> Gained {
    for step in 0..3 {
        call(libc::SYS_dup2, [INPUT, FAR + step])?;
    }
    Ok(3)
}

/// What was at the number is closed.
fn dup2_used(_: &Place) -> Gained {
    for _ in 0..3 {
        let used = null(0)?;
        call(libc::SYS_dup2, [INPUT, number(used)])?;
    }
    Ok(3)
}

/// Neither opens nor closes anything.
fn dup2_same(_: &Place) -> Gained {
    let same = null(0)?;
    for _ in 0..3 {
        call(libc::SYS_dup2, [number(same), number(same)])?;
    }
    Ok(1)
}

fn dup2_shut(_: &Place) -> Gained {
    for _ in 0..3 {
        refused(Errno::EBADF, libc::SYS_dup2, [FAR + 99, FAR])?;
    }
    Ok(0)
}

/// Once on a number that is used, and twice on free ones.
fn dup3(_: &Place) -> Gained {
    let used = null(0)?;
    for to in [number(used), FAR + 10, FAR + 11] {
        call(libc::SYS_dup3, [INPUT, to, O_CLOEXEC as usize])?;
    }
    Ok(3)
}

fn fcntl_dup(_: &Place) -> Gained {
    repeat(3, libc::SYS_fcntl, [INPUT, F_DUPFD as usize, FAR])
}

fn fcntl_dup_cloexec(_: &Place) -> Gained {
    repeat(3, libc::SYS_fcntl, [INPUT, F_DUPFD_CLOEXEC as usize, 0])
}
