//! Whose account is charged for what a process takes of limits that the kernel keeps for each user (`kernel/ucount.c`):
//! its own user where it lives in our user namespace, else the one who made the namespace it lives in.

#![expect(unsafe_code, reason = "ioctl_ns(2) has no wrapper")]

use crate::source::proc::ProcessDir;
use crate::vocabulary::reading::Reading;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// `include/uapi/linux/nsfs.h`, `_IO(0xb7, 2)` and `_IO(0xb7, 4)`.
const NS_GET_PARENT: libc::c_ulong = 0xb702;
const NS_GET_OWNER_UID: libc::c_ulong = 0xb704;

/// The kernel nests no deeper (`kernel/user_namespace.c`, `create_user_ns`).
const DEEPEST: usize = 33;

/// The user of our own user namespace that is charged for what a process with this effective user takes.
///
/// `Unsupported` where its namespace does not lie in ours.
pub fn charged_user(process: &ProcessDir, uid: u32) -> Reading<u32> {
    let own = match File::open("/proc/self/ns/user").and_then(|file| inode(&file)) {
        Ok(own) => own,
        // A kernel without user namespaces.
        Err(_) => return Reading::Seen(uid),
    };
    process.open_user_namespace().and_then(|namespace| charged(namespace, own, uid).into())
}

fn charged(mut namespace: File, own: u64, mut uid: u32) -> io::Result<u32> {
    for _ in 0..DEEPEST {
        if inode(&namespace)? == own {
            return Ok(uid);
        }
        uid = owner(&namespace)?;
        namespace = parent(&namespace)?;
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn inode(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// Who made a user namespace, as our own namespace numbers users.
fn owner(namespace: &File) -> io::Result<u32> {
    let mut uid: libc::uid_t = 0;
    // SAFETY: the kernel writes one uid_t where the pointer says (`fs/nsfs.c`, `ns_ioctl`).
    let result = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_OWNER_UID, &raw mut uid) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(uid) }
}

fn parent(namespace: &File) -> io::Result<File> {
    // SAFETY: it takes no argument and gives a new descriptor.
    let fd = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_PARENT) };
    if fd < 0 {
        // EPERM: the parent is not ours to see.
        return Err(io::ErrorKind::Unsupported.into());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

#[cfg(test)]
mod tests {
    use super::charged_user;
    use crate::source::proc::{ProcRoot, ProcessDir};
    use crate::vocabulary::reading::Reading;
    use std::process::{Child, Command};
    use std::time::{Duration, Instant};

    fn open(child: &Child) -> ProcessDir {
        ProcRoot::host().unwrap().open(child.id().cast_signed()).into_seen().unwrap()
    }

    #[test]
    fn a_process_of_our_namespace_is_charged_itself() {
        let own = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        assert_eq!(charged_user(&own, 4_711), Reading::Seen(4_711));
    }

    #[test]
    fn in_a_namespace_of_its_own_whoever_made_it_is_charged() {
        let unshared = Command::new("unshare").args(["--user", "sleep", "60"]).spawn();
        let Ok(mut child) = unshared else { return };
        let ours = nix::unistd::geteuid().as_raw();
        let begun = Instant::now();
        let charged = loop {
            match charged_user(&open(&child), 4_711) {
                // It has not made its namespace yet, or may not.
                Reading::Seen(4_711) if begun.elapsed() < Duration::from_secs(2) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => break other,
            }
        };
        let has_ended = child.try_wait().unwrap().is_some();
        child.kill().ok();
        child.wait().unwrap();
        // Where namespaces are forbidden, `unshare` ends at once.
        assert!(has_ended || charged == Reading::Seen(ours), "{charged:?}");
    }
}
