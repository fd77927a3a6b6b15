//! io_uring: its own descriptor, and files that the kernel opens and closes without a system call for each.

use super::call::text;
use super::files::null;
use super::{Gained, Place, Step};
use anyhow::{Context, Result, ensure};
use io_uring::squeue::{Entry, Flags};
use io_uring::types::Fd;
use io_uring::{IoUring, opcode};
use nix::errno::Errno;
use std::path::Path;

pub const STEPS: &[Step] =
    &[("ring", ring), ("ring_open", ring_open), ("ring_worker", ring_worker), ("ring_close", ring_close)];

fn ring(_: &Place) -> Gained {
    for _ in 0..3 {
        std::mem::forget(new()?);
    }
    Ok(3)
}

/// In the thread that submits.
fn ring_open(_: &Place) -> Gained {
    opened(Flags::empty())
}

/// In a thread of the kernel's own that belongs to the process.
fn ring_worker(_: &Place) -> Gained {
    opened(Flags::ASYNC)
}

/// The ring and three files.
fn opened(flags: Flags) -> Gained {
    let mut ring = new()?;
    let null = text(Path::new("/dev/null"))?;
    for _ in 0..3 {
        let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), null.as_ptr()).flags(libc::O_RDONLY).build();
        let fd = submit(&mut ring, &open.flags(flags))?;
        ensure!(fd > 2, "opened as {fd}");
    }
    std::mem::forget(ring);
    Ok(4)
}

/// The ring, and of five files two.
fn ring_close(_: &Place) -> Gained {
    let mut ring = new()?;
    let files = [null(0)?, null(0)?, null(0)?, null(0)?, null(0)?];
    for file in &files[..3] {
        submit(&mut ring, &opcode::Close::new(Fd(*file)).build())?;
    }
    std::mem::forget(ring);
    Ok(3)
}

fn new() -> Result<IoUring> {
    IoUring::new(4).map_err(|error| {
        error.raw_os_error().map_or_else(|| error.into(), |errno| Errno::from_raw(errno).into())
    })
}

/// Has one thing done and gives its result.
fn submit(ring: &mut IoUring, entry: &Entry) -> Result<i32> {
    #[expect(unsafe_code, reason = "the crate cannot know how long the kernel uses what an entry points to")]
    // SAFETY: what it points to lives until the kernel has answered, which is waited for here.
    unsafe { ring.submission().push(entry) }.context("room in the ring")?;
    ring.submit_and_wait(1).context("submit")?;
    let result = ring.completion().next().context("an answer")?.result();
    if result < 0 {
        return Err(Errno::from_raw(-result).into());
    }
    Ok(result)
}
