//! `/proc/PID/fdinfo` of inotify descriptors: what each watches.

use super::file::{open_directory, open_file};
use crate::source::proc::file::left;
use crate::vocabulary::reading::Reading;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

/// The kernel writes a line for each watch (`fs/notify/fdinfo.c`, `inotify_fdinfo`), of about a hundred bytes. It takes
/// some four microseconds for each.
const WATCH: &[u8] = b"inotify wd:";

/// Counts the watches of one inotify descriptor, some at a time: there may be a million.
#[derive(Debug)]
pub struct WatchCount {
    file: File,
    watches: u64,
    /// The line that is being read, as far as it is looked at.
    line: Vec<u8>,
}

impl WatchCount {
    pub(super) fn open(process: &OwnedFd, fd: i32) -> io::Result<Self> {
        let file = open_file(&open_directory(process, "fdinfo")?, &fd.to_string())?;
        Ok(WatchCount { file, watches: 0, line: Vec::new() })
    }

    /// Reads on, for no more than `budget` bytes, which it lowers. The number of watches once all were read, `None`
    /// before. `Gone` where the descriptor was closed meanwhile.
    pub fn go_on(&mut self, budget: &mut u64) -> Reading<Option<u64>> {
        let mut buffer = [0; 16 * 1024];
        while *budget > 0 {
            match self.file.read(&mut buffer) {
                Ok(0) => return Reading::Seen(Some(self.watches)),
                Ok(length) => {
                    *budget = budget.saturating_sub(length as u64);
                    self.take_in(&buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if left(&error) => return Reading::Gone,
                Err(error) => return Reading::from_error(&error),
            }
        }
        Reading::Seen(None)
    }

    fn take_in(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.add(&bytes[..end]);
            self.watches += u64::from(self.line == WATCH);
            self.line.clear();
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    fn add(&mut self, part: &[u8]) {
        let room = WATCH.len() - self.line.len();
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use super::WatchCount;
    use crate::source::proc::{ProcRoot, ProcessDir};
    use crate::vocabulary::reading::Reading;
    use proptest::prelude::*;
    use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
    use std::os::fd::AsRawFd;

    fn own() -> ProcessDir {
        ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap()
    }

    #[test]
    fn watches_of_a_real_descriptor_are_counted_in_pieces() {
        let inotify = init(CreateFlags::CLOEXEC).unwrap();
        let fd = inotify.as_raw_fd();
        let all = |budget| {
            let mut count = own().inotify_watches(fd).into_seen().unwrap();
            let mut turns = 1;
            loop {
                match count.go_on(&mut { budget }) {
                    Reading::Seen(Some(watches)) => return (watches, turns),
                    Reading::Seen(None) => turns += 1,
                    other => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(all(1 << 20), (0, 1));
        let dir = tempfile::tempdir().unwrap();
        for number in 0..300 {
            let path = dir.path().join(number.to_string());
            std::fs::write(&path, "").unwrap();
            add_watch(&inotify, &path, WatchFlags::MODIFY).unwrap();
        }
        assert_eq!(all(1 << 20), (300, 1));
        let (watches, turns) = all(1_000);
        assert!(watches == 300 && turns > 2, "{watches} in {turns} turns");
        assert!(matches!(own().inotify_watches(i32::MAX), Reading::Gone));
    }

    proptest! {
        #[test]
        fn a_line_counts_however_it_is_cut(lines in prop::collection::vec(0..4_usize, 0..40), cut in 1..50_usize) {
            let texts = ["pos:\t0\n", "inotify wd:1 ino:2 sdev:3\n", "xinotify wd:\n", "inotify w\n"];
            let text: String = lines.iter().map(|line| texts[*line]).collect();
            let file = std::fs::File::open("/dev/null").unwrap();
            let mut count = WatchCount { file, watches: 0, line: Vec::new() };
            text.as_bytes().chunks(cut).for_each(|part| count.take_in(part));
            prop_assert_eq!(count.watches, lines.iter().filter(|line| **line == 1).count() as u64);
        }
    }
}
