//! Pulled profiles in a directory that holds no more than it may: the oldest go first.

use crate::process::printable;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const ENDING: &str = ".pb.gz";
/// What is being written, and what a crash left behind.
const UNFINISHED: &str = ".pb.gz.part";

/// Where profiles are kept.
#[derive(Clone, Debug)]
pub struct PullDirectory {
    path: PathBuf,
    most_bytes: u64,
}

impl PullDirectory {
    /// The directory at `path`, which is made when the first profile is kept, for at most so many bytes.
    pub fn new(path: PathBuf, most_bytes: u64) -> PullDirectory {
        PullDirectory { path, most_bytes }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a packed profile and makes room for it. Only its owner may read it: stacks and labels tell much of a
    /// program.
    ///
    /// # Errors
    /// What the system says; a profile that is larger than all that may be kept is refused.
    pub fn keep(&self, name: &FileName<'_>, packed: &[u8]) -> io::Result<PathBuf> {
        if packed.len() as u64 > self.most_bytes {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?;
        self.make_room(packed.len() as u64)?;
        let path = self.path.join(format!("{}{ENDING}", name.text()));
        let unfinished = self.path.join(format!("{}{UNFINISHED}", name.text()));
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        write_all(&mut file, packed).inspect_err(|_| drop(fs::remove_file(&unfinished)))?;
        fs::rename(&unfinished, &path)?;
        Ok(path)
    }

    /// Removes the oldest until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let is_ours = |name: &str| name.ends_with(ENDING) || name.ends_with(UNFINISHED);
            let metadata = entry.metadata()?;
            if metadata.is_file() && entry.file_name().to_str().is_some_and(is_ours) {
                kept.push((metadata.modified()?, metadata.len(), entry.path()));
            }
        }
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in kept {
            if total.saturating_add(bytes) <= self.most_bytes {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => total -= length,
            }
        }
        Ok(())
    }
}

fn write_all(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_data()
}

/// What a file is called: `NAME-PID-YYYYMMDDHHMMSS-PROFILE`.
#[derive(Clone, Copy, Debug)]
pub struct FileName<'a> {
    /// The process's name, which it chooses itself.
    pub process: &'a str,
    /// Its pid.
    pub pid: i32,
    /// When the profile was taken, in this form: `20261120173000`.
    pub taken: &'a str,
    /// Which profile.
    pub profile: &'a str,
}

impl FileName<'_> {
    fn text(&self) -> String {
        let harmless = |c: char| if c.is_alphanumeric() || "._+-".contains(c) { c } else { '_' };
        let name: String = printable(self.process.as_bytes()).chars().map(harmless).collect();
        // A leading dot would hide it.
        let name = name.trim_start_matches('.');
        format!("{name}-{}-{}-{}", self.pid, self.taken, self.profile)
    }
}

#[cfg(test)]
mod tests {
    use super::{FileName, PullDirectory};
    use std::fs;
    use std::time::{Duration, SystemTime};

    fn name(process: &str, pid: i32) -> FileName<'_> {
        FileName { process, pid, taken: "20261120173000", profile: "heap" }
    }

    #[test]
    fn the_oldest_make_room_and_nothing_else_does() {
        let place = tempfile::tempdir().unwrap();
        let directory = PullDirectory::new(place.path().join("new/pulls"), 250);
        let mut paths = Vec::new();
        for pid in 1..=4 {
            let path = directory.keep(&name("store", pid), &[7; 100]).unwrap();
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 + u64::try_from(pid).unwrap());
            fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
            fs::write(directory.path().join("notes.txt"), [0; 1000]).unwrap();
            paths.push(path);
        }
        let there: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(there, [false, false, true, true]);
        assert!(directory.path().join("notes.txt").exists());
        assert!(directory.keep(&name("store", 5), &[7; 251]).is_err());
        assert!(paths[3].exists());
    }

    #[test]
    fn a_name_cannot_lead_elsewhere() {
        let place = tempfile::tempdir().unwrap();
        let directory = PullDirectory::new(place.path().to_owned(), 1 << 20);
        for (process, file) in [
            ("../../etc/x", "_.._etc_x-7-20261120173000-heap.pb.gz"),
            ("a\nb c", "a_nb_c-7-20261120173000-heap.pb.gz"),
            ("", "-7-20261120173000-heap.pb.gz"),
        ] {
            let path = directory.keep(&name(process, 7), b"x").unwrap();
            assert_eq!(path, place.path().join(file));
        }
    }
}
