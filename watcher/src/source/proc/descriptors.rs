//! `/proc/PID/fd`: what each descriptor refers to.

use super::file::{numbers_in, read_link};
use crate::source::proc::file::left;
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::OnceLock;

/// Visits every descriptor in the directory `fds` of process `pid`.
pub fn visit(pid: i32, fds: &OwnedFd, each: &mut dyn FnMut(OpenDescriptor)) -> io::Result<()> {
    numbers_in(fds, |fd| {
        match describe(fds, fd) {
            Ok((kind, inode)) => each(OpenDescriptor { pid, fd, kind, inode, socket: None }),
            // Closed between listing and looking.
            Err(error) if left(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    })
}

fn describe(fds: &OwnedFd, fd: i32) -> io::Result<(DescriptorType, u64)> {
    let name = fd.to_string();
    let mask = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::NLINK;
    // Without synchronising: a server of a network or FUSE file system that does not answer must not hold us up.
    let Ok(stat) = statx(fds, &name, AtFlags::STATX_DONT_SYNC, mask) else {
        // Closed, and then the link is gone too; or a file that cannot be asked.
        let link = read_link(fds, &name)?;
        let kind = kind_of(&link).unwrap_or(DescriptorType::Other);
        return Ok((kind, number_in_brackets(&link).unwrap_or(0)));
    };
    // The link's text takes the kernel as long again, and for most descriptors it tells nothing more.
    let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
        FileType::Socket if Some((stat.stx_dev_major, stat.stx_dev_minor)) == socket_device() => {
            DescriptorType::Socket
        }
        // The name of a unix socket, opened with O_PATH: that is no socket.
        FileType::Socket => kind_of(&read_link(fds, &name)?).unwrap_or(DescriptorType::Other),
        FileType::Fifo => DescriptorType::Pipe,
        FileType::Directory => DescriptorType::Directory,
        FileType::CharacterDevice => DescriptorType::CharDevice,
        FileType::BlockDevice => DescriptorType::BlockDevice,
        // A file on a disk that still has a name.
        FileType::RegularFile if stat.stx_dev_major != 0 && stat.stx_nlink != 0 => DescriptorType::File,
        // Else it may as well be in one of the kernel's own file systems: a memfd, a namespace, a pidfd.
        FileType::RegularFile => kind_of(&read_link(fds, &name)?).unwrap_or(DescriptorType::File),
        FileType::Symlink | FileType::Unknown => {
            kind_of(&read_link(fds, &name)?).unwrap_or(DescriptorType::Other)
        }
    };
    Ok((kind, stat.stx_ino))
}

/// The device number of the file system in which the kernel keeps all sockets (`net/socket.c`, `sockfs`); `None`
/// where we may not even make one.
fn socket_device() -> Option<(u32, u32)> {
    static DEVICE: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *DEVICE.get_or_init(|| {
        let socket = UnixDatagram::unbound().ok()?;
        let stat = statx(&socket, "", AtFlags::EMPTY_PATH, StatxFlags::TYPE).ok()?;
        Some((stat.stx_dev_major, stat.stx_dev_minor))
    })
}

/// The type of what has no path, by the name that the kernel gives it; `None` for a path.
pub(super) fn kind_of(link: &[u8]) -> Option<DescriptorType> {
    let kind = match link {
        // The only name with a slash at its front that is no path (`mm/memfd.c`).
        _ if link.starts_with(b"/memfd:") => DescriptorType::MemFd,
        _ if link.starts_with(b"/") => return None,
        _ if link.starts_with(b"socket:[") => DescriptorType::Socket,
        _ if link.starts_with(b"pipe:[") => DescriptorType::Pipe,
        // 6.9 gave pidfds a file system of their own (`fs/pidfs.c`).
        _ if link.starts_with(b"pidfd:[") => DescriptorType::PidFd,
        b"anon_inode:[eventfd]" => DescriptorType::EventFd,
        b"anon_inode:[eventpoll]" => DescriptorType::Epoll,
        b"anon_inode:[timerfd]" => DescriptorType::TimerFd,
        b"anon_inode:[signalfd]" => DescriptorType::SignalFd,
        b"anon_inode:inotify" => DescriptorType::Inotify,
        b"anon_inode:[fanotify]" => DescriptorType::Fanotify,
        b"anon_inode:[pidfd]" => DescriptorType::PidFd,
        b"anon_inode:[userfaultfd]" => DescriptorType::UserFaultFd,
        b"anon_inode:[io_uring]" => DescriptorType::IoUring,
        b"anon_inode:[perf_event]" => DescriptorType::PerfEvent,
        _ if link.starts_with(b"anon_inode:bpf") => DescriptorType::Bpf,
        _ if is_namespace(link) => DescriptorType::Namespace,
        _ => DescriptorType::Other,
    };
    Some(kind)
}

/// `net:[4026531840]` and its like (`fs/nsfs.c`, `ns_dname`).
fn is_namespace(link: &[u8]) -> bool {
    let names: [&[u8]; 8] = [b"cgroup", b"ipc", b"mnt", b"net", b"pid", b"time", b"user", b"uts"];
    let name = link.split(|byte| *byte == b':').next().unwrap_or_default();
    names.contains(&name) && number_in_brackets(link).is_some()
}

/// The inode number in `socket:[N]`.
pub fn number_in_brackets(link: &[u8]) -> Option<u64> {
    let open = link.windows(2).position(|pair| pair == b":[")?;
    std::str::from_utf8(link.strip_suffix(b"]")?.get(open + 2..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{kind_of, number_in_brackets};
    use crate::vocabulary::descriptor::DescriptorType;
    use proptest::prelude::*;

    #[test]
    fn names_of_what_has_no_path() {
        for (link, kind, inode) in [
            ("socket:[52701]", Some(DescriptorType::Socket), Some(52701)),
            ("pipe:[18446744073709551615]", Some(DescriptorType::Pipe), Some(u64::MAX)),
            ("anon_inode:[eventpoll]", Some(DescriptorType::Epoll), None),
            ("anon_inode:inotify", Some(DescriptorType::Inotify), None),
            ("anon_inode:bpf-map", Some(DescriptorType::Bpf), None),
            ("anon_inode:bpf_link", Some(DescriptorType::Bpf), None),
            ("anon_inode:[pidfd]", Some(DescriptorType::PidFd), None),
            ("pidfd:[17]", Some(DescriptorType::PidFd), Some(17)),
            ("anon_inode:[something new]", Some(DescriptorType::Other), None),
            ("net:[4026531840]", Some(DescriptorType::Namespace), Some(4_026_531_840)),
            ("net:[x]", Some(DescriptorType::Other), None),
            ("/memfd:x (deleted)", Some(DescriptorType::MemFd), None),
            ("/tmp/socket:[1]", None, Some(1)),
            ("socket:[]", Some(DescriptorType::Socket), None),
            ("", Some(DescriptorType::Other), None),
        ] {
            assert_eq!(kind_of(link.as_bytes()), kind, "{link}");
            assert_eq!(number_in_brackets(link.as_bytes()), inode, "{link}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = kind_of(&bytes);
            let _ = number_in_brackets(&bytes);
        }
    }
}
