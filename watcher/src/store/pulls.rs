//! Pulled profiles in a directory that holds no more than it may: the oldest go first.

use super::place::OwnDirectory;
use crate::vocabulary::process::printable;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

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
    /// What the system says; a profile that is larger than all that may be kept is refused, and so is a directory that
    /// is not ours alone (see [`OwnDirectory`]).
    pub fn keep(&self, name: &FileName<'_>, packed: &[u8]) -> io::Result<PathBuf> {
        if packed.len() as u64 > self.most_bytes {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let directory = OwnDirectory::open(&self.path)?;
        self.make_room(&directory, packed.len() as u64)?;
        let (whole, unfinished) =
            (format!("{}{ENDING}", name.text()), format!("{}{UNFINISHED}", name.text()));
        // What a crash left behind under this name.
        directory.remove(&unfinished)?;
        let mut file = directory.create(&unfinished)?;
        write_all(&mut file, packed).inspect_err(|_| drop(directory.remove(&unfinished)))?;
        directory.rename(&unfinished, &whole)?;
        Ok(self.path.join(whole))
    }

    /// Removes the oldest until `bytes` more fit.
    fn make_room(&self, directory: &OwnDirectory, bytes: u64) -> io::Result<()> {
        let kept = directory.files(FileName::is_of_our_form)?;
        let mut total: u64 = kept.iter().map(|file| file.bytes).sum();
        for file in kept {
            if total.saturating_add(bytes) <= self.most_bytes {
                break;
            }
            directory.remove(&file.name)?;
            total -= file.bytes;
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

    /// Whether a file with this name is one that was kept here, or was about to be. No other is ever removed.
    fn is_of_our_form(name: &str) -> bool {
        let Some(text) = name.strip_suffix(ENDING).or_else(|| name.strip_suffix(UNFINISHED)) else {
            return false;
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let mut parts = text.rsplitn(4, '-');
        let (profile, taken, pid) = (parts.next(), parts.next(), parts.next());
        parts.next().is_some()
            && pid.is_some_and(is_number)
            && taken.is_some_and(|taken| taken.len() == 14 && is_number(taken))
            && profile.is_some_and(|profile| {
                !profile.is_empty() && profile.bytes().all(|byte| byte.is_ascii_lowercase())
            })
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
    fn only_names_of_our_form_are_removed() {
        let ours = format!("{}.pb.gz", name("a-b", 7).text());
        for (file, is_ours) in [
            (&*ours, true),
            ("x-7-20261120173000-heap.pb.gz.part", true),
            ("-7-20261120173000-heap.pb.gz", true),
            ("heap.pb.gz", false),
            ("baseline-2026-heap.pb.gz", false),
            ("x-7-2026112017300-heap.pb.gz", false),
            ("x-y-20261120173000-heap.pb.gz", false),
            ("x-7-20261120173000-.pb.gz", false),
            ("x-7-20261120173000-heap.pb", false),
        ] {
            assert_eq!(FileName::is_of_our_form(file), is_ours, "{file}");
        }
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("baseline.pb.gz"), [0; 1000]).unwrap();
        let directory = PullDirectory::new(place.path().to_owned(), 100);
        let first = directory.keep(&name("store", 1), &[7; 100]).unwrap();
        directory.keep(&name("store", 2), &[7; 100]).unwrap();
        assert!(place.path().join("baseline.pb.gz").exists() && !first.exists());
    }

    #[test]
    fn what_was_planted_is_not_written_over() {
        let place = tempfile::tempdir().unwrap();
        let precious = place.path().join("precious");
        fs::write(&precious, "mine").unwrap();
        let kept = place.path().join("kept");
        fs::create_dir(&kept).unwrap();
        for ending in ["pb.gz", "pb.gz.part"] {
            let name = format!("{}.{ending}", name("store", 1).text());
            std::os::unix::fs::symlink(&precious, kept.join(name)).unwrap();
        }
        let path = PullDirectory::new(kept, 1000).keep(&name("store", 1), &[7; 100]).unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"mine");
        assert_eq!(fs::symlink_metadata(path).unwrap().len(), 100);
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
