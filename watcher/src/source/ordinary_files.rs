//! Files that somebody names on the command line: read where they are files, and not where reading them could go on for
//! ever. A device, a pipe or a socket is refused without waiting for it.

use rustix::fs::{Mode, OFlags, open as open_with};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Opens an ordinary file for reading.
///
/// # Errors
/// Where it cannot be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(open_with(path, flags, Mode::empty())?);
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    let what = if kind.is_dir() { "a directory" } else { "a pipe, a socket or a device" };
    Err(io::Error::other(format!("it is {what}, and no ordinary file")))
}

/// The bytes of an ordinary file.
///
/// # Errors
/// As [`open`], and where it has more than `most_bytes`, also where it grows beyond that meanwhile.
pub fn read(path: &Path, most_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    if file.metadata()?.len() <= most_bytes {
        file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 <= most_bytes {
            return Ok(bytes);
        }
    }
    Err(io::Error::other(format!("it has more than {most_bytes} bytes, which is more than is read")))
}

#[cfg(test)]
mod tests {
    use super::{open, read};
    use std::fs;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    #[test]
    fn what_is_no_ordinary_file_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, socket) = (directory.path().join("pipe"), directory.path().join("socket"));
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        for path in [Path::new("/dev/zero"), Path::new("/dev/null"), directory.path(), &pipe, &socket] {
            assert!(open(path).is_err() && read(path, 10).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn files_are_read_up_to_their_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "0123456789").unwrap();
        assert_eq!(read(file.path(), 10).unwrap(), b"0123456789");
        assert!(read(file.path(), 9).is_err());
        // The kernel says 0 for the size of what it makes up when it is read.
        assert!(read(Path::new("/proc/self/maps"), 100).is_err());
    }
}
