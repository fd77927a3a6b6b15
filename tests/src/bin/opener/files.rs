//! Files by name.

use super::call::{address, call, number, refused, repeat, text};
use super::{Gained, Place, Step};
use anyhow::Result;
use libc::{AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY, O_RDWR, O_TMPFILE};
use nix::errno::Errno;
use std::path::Path;

pub const STEPS: &[Step] = &[
    ("open", open),
    ("creat", creat),
    ("openat", openat),
    ("openat2", openat2),
    ("open_path", open_path),
    ("open_nothing", open_nothing),
];

const HERE: usize = (AT_FDCWD as isize).cast_unsigned();

fn open(_: &Place) -> Gained {
    let null = text(Path::new("/dev/null"))?;
    repeat(3, libc::SYS_open, [null.as_ptr().addr(), O_RDONLY as usize])
}

fn creat(place: &Place) -> Gained {
    let name = text(&place.directory.join("creat"))?;
    repeat(3, libc::SYS_creat, [name.as_ptr().addr(), 0o600])
}

fn openat(place: &Place) -> Gained {
    let null = text(Path::new("/dev/null"))?;
    let directory = text(&place.directory)?;
    let opened = repeat(5, libc::SYS_openat, [HERE, null.as_ptr().addr(), (O_RDWR | O_CLOEXEC) as usize])?
        + repeat(1, libc::SYS_openat, [HERE, directory.as_ptr().addr(), (O_RDONLY | O_DIRECTORY) as usize])?
        + repeat(
            1,
            libc::SYS_openat,
            [HERE, directory.as_ptr().addr(), (O_RDWR | O_TMPFILE) as usize, 0o600],
        )?;
    Ok(opened)
}

fn openat2(_: &Place) -> Gained {
    /// `struct open_how`.
    #[repr(C)]
    struct How {
        flags: u64,
        mode: u64,
        resolve: u64,
    }
    let how = How { flags: O_RDONLY as u64, mode: 0, resolve: 0 };
    let null = text(Path::new("/dev/null"))?;
    repeat(3, libc::SYS_openat2, [HERE, null.as_ptr().addr(), address(&how), size_of::<How>()])
}

/// Descriptors that stand for a name and not for an open file.
fn open_path(place: &Place) -> Gained {
    let directory = text(&place.directory)?;
    repeat(3, libc::SYS_openat, [HERE, directory.as_ptr().addr(), O_PATH as usize])
}

fn open_nothing(place: &Place) -> Gained {
    let nothing = text(&place.directory.join("nothing"))?;
    for _ in 0..3 {
        refused(Errno::ENOENT, libc::SYS_openat, [HERE, nothing.as_ptr().addr(), O_RDONLY as usize])?;
    }
    Ok(0)
}

/// As many as asked for, all of one file.
pub fn fill(count: i64) -> Result<i64> {
    let null = text(Path::new("/dev/null"))?;
    for _ in 0..count {
        call(libc::SYS_openat, [HERE, null.as_ptr().addr(), O_RDONLY as usize])?;
    }
    Ok(count)
}

/// A new descriptor of `/dev/null`.
pub fn null(flags: i32) -> Result<i32> {
    let null = text(Path::new("/dev/null"))?;
    Ok(call(libc::SYS_openat, [HERE, null.as_ptr().addr(), number(O_RDWR | flags)])?)
}
