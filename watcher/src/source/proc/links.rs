//! The links below `/proc/PID/fd`: where they lead, and since when the kernel knows them.
//!
//! The kernel makes such a link when somebody looks at it for the first time and keeps it while it has room
//! (`proc_fd_instantiate`, `fs/proc/fd.c`). Where something lists the descriptors of a process again and again, the age
//! of a link is nearly that of its descriptor; else it is that of our own look.

use super::file::{open_directory, read_link};
use crate::source::proc::file::left;
use rustix::fs::{AtFlags, StatxFlags, StatxTimestamp, statx};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Where a descriptor leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorLink {
    /// Its number.
    pub fd: i32,
    /// When the link was made, since 1970; `None` where the kernel does not tell.
    pub listed: Option<Duration>,
    /// When the file was made, since 1970; `None` where its file system keeps no note.
    pub born: Option<Duration>,
    /// The text of the link.
    pub path: Vec<u8>,
}

/// The links of these descriptors, without those that were closed meanwhile.
pub(super) fn read(process: &OwnedFd, fds: &[i32]) -> io::Result<Vec<DescriptorLink>> {
    let directory = open_directory(process, "fd")?;
    // The links first: to follow one is to look at it.
    let no_follow = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC;
    let listed = |fd: &i32| {
        let stat = statx(&directory, fd.to_string(), no_follow, StatxFlags::CTIME).ok();
        stat.filter(|stat| stat.stx_mask & StatxFlags::CTIME.bits() != 0)
            .map(|stat| since_1970(&stat.stx_ctime))
    };
    let listed: Vec<Option<Duration>> = fds.iter().map(listed).collect();
    let mut links = Vec::with_capacity(fds.len());
    for (fd, listed) in fds.iter().zip(listed) {
        let name = fd.to_string();
        let path = match read_link(&directory, &name) {
            Ok(path) => path,
            Err(error) if left(&error) => continue,
            Err(error) => return Err(error),
        };
        let born = statx(&directory, &name, AtFlags::STATX_DONT_SYNC, StatxFlags::BTIME).ok();
        let born = born.filter(|stat| stat.stx_mask & StatxFlags::BTIME.bits() != 0);
        links.push(DescriptorLink {
            fd: *fd,
            listed,
            born: born.map(|stat| since_1970(&stat.stx_btime)),
            path,
        });
    }
    Ok(links)
}

fn since_1970(time: &StatxTimestamp) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), time.tv_nsec.min(999_999_999))
}
