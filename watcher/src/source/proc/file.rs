//! Opening and reading relative to a directory that is held open, never by a path that could change its meaning.

use crate::vocabulary::reading::Reading;
use rustix::fs::{Mode, OFlags, RawDir, openat, readlinkat_raw};
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

/// Longest file that is taken into memory as a whole. The longest we read is a `status` whose list of groups is
/// full (65,536 of them).
const LONGEST_RECORD_BYTES: usize = 1 << 20;

/// Reads a short file and parses it; InvalidData where it is not understood.
pub fn read_record<T>(dir: &OwnedFd, name: &str, parse: impl FnOnce(&[u8]) -> Option<T>) -> io::Result<T> {
    let bytes = read_file(dir, name, LONGEST_RECORD_BYTES)?;
    understood(parse(&bytes))
}

/// What could not be understood is an error of its own, which a `Reading` shows as `Unsupported`.
pub fn understood<T>(parsed: Option<T>) -> io::Result<T> {
    parsed.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The file's bytes, `limit` of them at most.
pub fn read_file(dir: &OwnedFd, name: &str, limit: usize) -> io::Result<Vec<u8>> {
    let mut file = open_file(dir, name)?;
    // One page holds all but the rarest of these files.
    let mut bytes = vec![0; limit.min(4096)];
    let mut length = 0;
    while length < limit {
        if length == bytes.len() {
            bytes.resize((length * 2).min(limit), 0);
        }
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Opens a file for reading.
pub fn open_file(dir: &OwnedFd, name: &str) -> io::Result<File> {
    Ok(openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// Opens an ordinary file for reading; anything else (a pipe, a device) is refused without waiting for it.
pub fn open_ordinary(dir: &OwnedFd, name: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(openat(dir, name, flags, Mode::empty())?);
    understood(file.metadata()?.is_file().then_some(file))
}

/// Opens a directory for listing.
pub fn open_directory(dir: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// Opens a directory as a place to look names up in: this needs no permission to list it.
pub fn open_place(dir: impl std::os::fd::AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(dir, name, flags, Mode::empty())?)
}

/// Visits the entries of a directory whose names are numbers: pids, thread ids or descriptors.
pub fn numbers_in(dir: &OwnedFd, mut each: impl FnMut(i32) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        if let Some(number) = number_of(entry?.file_name().to_bytes()) {
            each(number)?;
        }
    }
    Ok(())
}

/// The number that `name` is, if it is one.
pub fn number_of(name: &[u8]) -> Option<i32> {
    name.first().filter(|byte| byte.is_ascii_digit())?;
    std::str::from_utf8(name).ok()?.parse().ok()
}

/// The text of a symbolic link.
pub fn read_link(dir: impl std::os::fd::AsFd, name: &str) -> io::Result<Vec<u8>> {
    let mut buffer = [0; libc::PATH_MAX as usize];
    let length = readlinkat_raw(dir, name, &mut buffer[..])?;
    Ok(buffer[..length].to_vec())
}

/// What was open a moment ago has left.
pub(super) fn left(error: &io::Error) -> bool {
    Reading::<()>::from_error(error) == Reading::Gone
}
