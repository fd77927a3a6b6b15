//! Files that a process holds open for writing: `/proc/PID/fd` and `/proc/PID/fdinfo`.

use super::file::{numbers_in, open_directory, read_file, read_link};
use crate::source::proc::file::left;
use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use std::io;
use std::os::fd::OwnedFd;

/// Descriptors that are looked at: a process that holds more is no rarer for it, and its first ones tell enough.
const MAX_DESCRIPTORS: usize = 4096;
/// `fs/proc/fd.c`, `seq_show`: position, flags, mount and inode come first, in fewer bytes than this.
const INFO_BYTES: usize = 512;
/// `O_ACCMODE` and `O_RDONLY` of `include/uapi/asm-generic/fcntl.h`.
const ACCESS: u64 = 0o3;
const READ_ONLY: u64 = 0;

/// An ordinary file that is open for writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritableFile {
    /// Device and inode: the same file however often it is opened.
    pub identity: (u32, u32, u64),
    /// Where the next `write` goes, in bytes.
    pub position: u64,
    /// Length in bytes.
    pub size: u64,
    /// Its path, as the kernel tells it.
    pub path: Vec<u8>,
}

/// All of them, among the first descriptors of the process whose directory this is.
pub(super) fn read(process: &OwnedFd) -> io::Result<Vec<WritableFile>> {
    let (fds, infos) = (open_directory(process, "fd")?, open_directory(process, "fdinfo")?);
    let mut looked_at = 0;
    let mut files = Vec::new();
    numbers_in(&fds, |fd| {
        looked_at += 1;
        if looked_at <= MAX_DESCRIPTORS {
            match describe(&fds, &infos, &fd.to_string()) {
                Ok(file) => files.extend(file),
                // Closed between listing and looking.
                Err(error) if left(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    })?;
    Ok(files)
}

fn describe(fds: &OwnedFd, infos: &OwnedFd, fd: &str) -> io::Result<Option<WritableFile>> {
    let mask = StatxFlags::TYPE | StatxFlags::INO | StatxFlags::SIZE;
    // Without synchronising: a server of a network or FUSE file system that does not answer must not hold us up.
    // A file that cannot be asked is none that tells anything.
    let Ok(stat) = statx(fds, fd, AtFlags::STATX_DONT_SYNC, mask) else { return Ok(None) };
    if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
        return Ok(None);
    }
    let Some((position, flags)) = parse(&read_file(infos, fd, INFO_BYTES)?) else { return Ok(None) };
    if flags & ACCESS == READ_ONLY {
        return Ok(None);
    }
    let path = read_link(fds, fd)?;
    let identity = (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino);
    Ok(Some(WritableFile { identity, position, size: stat.stx_size, path }))
}

/// Position and flags of a file in `fdinfo`.
fn parse(info: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(info).ok()?;
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some((field("pos:")?.parse().ok()?, u64::from_str_radix(field("flags:")?, 8).ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::source::proc::ProcRoot;
    use crate::vocabulary::reading::Reading;
    use proptest::prelude::*;
    use std::fs::{File, OpenOptions};
    use std::io::Write;

    #[test]
    fn position_and_flags() {
        for (info, expected) in [
            ("pos:\t4117992\nflags:\t02100001\nmnt_id:\t29\n", Some((4_117_992, 0o2_100_001))),
            ("pos:\t0\nflags:\t0100002\n", Some((0, 0o100_002))),
            ("pos:\t-1\nflags:\t02\n", None),
            ("pos:\t1\n", None),
            ("", None),
        ] {
            assert_eq!(parse(info.as_bytes()), expected, "{info}");
        }
    }

    #[test]
    fn only_files_that_are_open_for_writing() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut data = File::create(path("data")).unwrap();
        data.write_all(&[7; 23]).unwrap();
        let log = OpenOptions::new().append(true).create(true).open(path("log")).unwrap();
        let read = File::open(path("data")).unwrap();
        let pid = i32::try_from(std::process::id()).unwrap();
        let Reading::Seen(process) = ProcRoot::host().unwrap().open(pid) else { panic!("we are here") };
        let Reading::Seen(files) = process.writable_files() else { panic!("ours can be read") };
        let seen: Vec<_> = files
            .iter()
            .filter_map(|file| {
                let path = std::str::from_utf8(&file.path).ok()?;
                let name = path.strip_prefix(directory.path().to_str()?)?;
                Some((name, file.position, file.size))
            })
            .collect();
        drop((data, log, read));
        assert_eq!(seen, [("/data", 23, 23), ("/log", 0, 0)]);
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            parse(&bytes);
        }
    }
}
