//! The places that watcher writes to. Whoever may write there too must not choose what is written over or removed.
//!
//! A directory of our own is opened once, component by component and through no link, and everything in it is done by
//! that descriptor. A file that a person names may lie in anybody's directory, but is never another user's.

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fstat, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

/// Permission bits of group and others to write, and the sticky bit.
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// A directory in which nobody but us writes.
#[derive(Debug)]
pub struct OwnDirectory {
    dir: OwnedFd,
}

/// A file of ours in such a directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnFile {
    /// Seconds and nanoseconds since 1970 of its last change.
    pub modified: (i64, u64),
    /// Its size.
    pub bytes: u64,
    /// Its name.
    pub name: String,
}

impl OwnDirectory {
    /// Opens a directory, and makes what of it is not there, for us alone.
    ///
    /// # Errors
    /// Where a part of the path is a link, belongs to another user (root aside), or may be written to by others; a
    /// directory above with the sticky bit is no such part. And what the system says.
    pub fn open(path: &Path) -> io::Result<OwnDirectory> {
        let start = if path.is_absolute() { "/" } else { "." };
        let mut dir = open_directory(CWD, start.as_ref())?;
        let mut so_far = Path::new(if path.is_absolute() { "/" } else { "" }).to_owned();
        let mut stat = fstat(&dir)?;
        for component in path.components() {
            let name = match component {
                Component::RootDir | Component::CurDir => continue,
                Component::Normal(name) => name,
                Component::ParentDir | Component::Prefix(_) => {
                    return Err(refused(path, "it holds `..`"));
                }
            };
            // The one above: whoever may write there may put another directory in the place of ours.
            expect_safe(&so_far, &stat, true)?;
            so_far.push(name);
            dir = match open_directory(&dir, name) {
                Err(Errno::NOENT) => {
                    match mkdirat(&dir, name, Mode::from_raw_mode(0o700)) {
                        Ok(()) | Err(Errno::EXIST) => {}
                        Err(error) => return Err(error.into()),
                    }
                    open_directory(&dir, name)?
                }
                Err(Errno::LOOP | Errno::NOTDIR) if is_link(&dir, name) => {
                    return Err(refused(&so_far, "it is a symbolic link: name the place that it leads to"));
                }
                opened => opened?,
            };
            stat = fstat(&dir)?;
        }
        expect_safe(&so_far, &stat, false)?;
        Ok(OwnDirectory { dir })
    }

    /// Creates a file that only we may read. There must be none.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.dir, name, flags, Mode::from_raw_mode(0o600))?.into())
    }

    /// Gives a file another name, in place of what has that name.
    ///
    /// # Errors
    /// What the system says.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.dir, from, &self.dir, to)?)
    }

    /// Removes a file; none is as good.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.dir, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Ordinary files of ours whose name `is_ours` takes for one, the oldest first.
    ///
    /// # Errors
    /// What the system says.
    pub fn files(&self, is_ours: impl Fn(&str) -> bool) -> io::Result<Vec<OwnFile>> {
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().ok().filter(|name| is_ours(name)) else { continue };
            let stat = match statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                other => other?,
            };
            let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
            if is_file && stat.st_uid == geteuid().as_raw() {
                let modified = (stat.st_mtime, stat.st_mtime_nsec);
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                files.push(OwnFile { modified, bytes, name: name.to_owned() });
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Opens a file that a person has named for writing, empty, with these permissions where it is new.
///
/// # Errors
/// Where a link, or what is there already, is another user's, or has a second name; and what the system says.
pub fn create_named(path: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(CWD, path, flags, Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) => {}
        created => return Ok(created?.into()),
    }
    // What is there is looked at before it is opened for writing, and it is that which is opened then.
    let there = openat(CWD, path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fstat(&there)?;
    let is_trusted = stat.st_uid == 0 || stat.st_uid == geteuid().as_raw();
    if !is_trusted {
        return Err(refused(path, "what is there is another user's: remove it, or name another file"));
    }
    let opened = OFlags::WRONLY | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOCTTY;
    match FileType::from_raw_mode(stat.st_mode) {
        // Such as /dev/stdout.
        FileType::Symlink => {
            let flags = opened | OFlags::CREATE;
            Ok(openat(CWD, path, flags, Mode::from_raw_mode(mode))?.into())
        }
        FileType::RegularFile if stat.st_nlink > 1 => {
            Err(refused(path, "what is there has a second name, under which it would be overwritten too"))
        }
        _ => {
            let by_descriptor = format!("/proc/self/fd/{}", there.as_raw_fd());
            Ok(openat(CWD, by_descriptor, opened, Mode::empty())?.into())
        }
    }
}

fn open_directory(dir: impl AsFd, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, name.as_bytes(), flags, Mode::empty())
}

fn is_link(dir: impl AsFd, name: &OsStr) -> bool {
    let stat = statat(dir, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

/// Whether nobody but us and root may put something there; or in the place of what is ours there, where it is `above`.
fn expect_safe(path: &Path, stat: &Stat, above: bool) -> io::Result<()> {
    if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        return Err(refused(path, &format!("it belongs to another user ({})", stat.st_uid)));
    }
    let is_kept_apart = above && stat.st_mode & STICKY != 0;
    if stat.st_mode & OTHERS_WRITE != 0 && !is_kept_apart {
        return Err(refused(path, "others may write there"));
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> io::Error {
    let shown = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    io::Error::other(format!("{} is not used: {why}", shown.display()))
}

#[cfg(test)]
mod tests {
    use super::{OwnDirectory, create_named};
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    fn refusal(path: &Path) -> String {
        OwnDirectory::open(path).err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn let_others_write(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_directory_is_made_for_us_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new/pulls");
        let directory = OwnDirectory::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o700);
        directory.create("x").unwrap().write_all(b"1").unwrap();
        assert!(directory.create("x").is_err(), "it is there");
        directory.rename("x", "y").unwrap();
        let files = directory.files(|_| true).unwrap();
        assert_eq!(files.iter().map(|file| (&*file.name, file.bytes)).collect::<Vec<_>>(), [("y", 1)]);
        directory.remove("y").unwrap();
        directory.remove("y").unwrap();
    }

    #[test]
    fn links_and_what_others_may_write_to_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let real = place.path().join("real");
        fs::create_dir_all(real.join("below")).unwrap();
        symlink(&real, place.path().join("link")).unwrap();
        assert!(refusal(&place.path().join("link")).contains("link is not used: it is a symbolic link"));
        assert!(refusal(&place.path().join("link/below")).contains("it is a symbolic link"));
        symlink(place.path().join("nowhere"), place.path().join("dangling")).unwrap();
        assert!(refusal(&place.path().join("dangling")).contains("it is a symbolic link"));
        assert!(!place.path().join("nowhere").exists());
        assert!(refusal(&real.join("../real")).contains("`..`"));
        for mode in [0o777, 0o770, 0o1777] {
            let_others_write(&real, mode);
            assert!(refusal(&real).ends_with("real is not used: others may write there"), "{mode:o}");
            // Where everybody keeps to his own, ours below is safe.
            assert_eq!(refusal(&real.join("below")).is_empty(), mode == 0o1777, "{mode:o}");
        }
    }

    #[test]
    fn a_link_in_the_directory_is_neither_followed_nor_counted() {
        let place = tempfile::tempdir().unwrap();
        let precious = place.path().join("precious");
        fs::write(&precious, "mine").unwrap();
        let directory = OwnDirectory::open(&place.path().join("own")).unwrap();
        symlink(&precious, place.path().join("own/x")).unwrap();
        assert!(directory.create("x").is_err());
        assert!(directory.files(|_| true).unwrap().is_empty());
        directory.create("part").unwrap().write_all(b"new").unwrap();
        directory.rename("part", "x").unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"mine");
    }

    #[test]
    fn a_named_file_is_never_anothers() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for text in ["longer", "new"] {
            create_named(&path("x"), 0o600).unwrap().write_all(text.as_bytes()).unwrap();
            assert_eq!(fs::read(path("x")).unwrap(), text.as_bytes());
        }
        assert_eq!(fs::metadata(path("x")).unwrap().permissions().mode() & 0o777, 0o600);
        fs::hard_link(path("x"), path("second")).unwrap();
        assert!(create_named(&path("second"), 0o600).unwrap_err().to_string().contains("a second name"));
        // A link of our own leads where we let it lead.
        symlink(path("elsewhere"), path("own-link")).unwrap();
        create_named(&path("own-link"), 0o600).unwrap().write_all(b"there").unwrap();
        assert_eq!(fs::read(path("elsewhere")).unwrap(), b"there");
        create_named(Path::new("/dev/null"), 0o600).unwrap().write_all(b"gone").unwrap();
        // Only root can give away what others then leave lying about.
        if rustix::process::geteuid().is_root() {
            symlink(path("x"), path("their-link")).unwrap();
            std::os::unix::fs::lchown(path("their-link"), Some(4242), None).unwrap();
            fs::write(path("their-file"), "trap").unwrap();
            std::os::unix::fs::chown(path("their-file"), Some(4242), None).unwrap();
            for name in ["their-link", "their-file"] {
                let error = create_named(&path(name), 0o600).unwrap_err().to_string();
                assert!(error.contains("another user's"), "{error}");
            }
            assert_eq!(fs::read(path("their-file")).unwrap(), b"trap");
        }
    }
}
