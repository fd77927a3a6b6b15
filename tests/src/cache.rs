//! Where toolchains and built programs are kept from run to run: outside the tree, so that a fresh clone and
//! `cargo clean` cost no download.
//!
//! Several runs may share it: an entry is made under a lock, beside its place, and then renamed into it.

use anyhow::{Context, Result, anyhow};
use nix::fcntl::{Flock, FlockArg};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The cache's directory: `WATCHER_TEST_CACHE`, else `watcher-tests` below XDG_CACHE_HOME or `~/.cache`.
pub fn directory() -> Result<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("WATCHER_TEST_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|base| base.join("watcher-tests")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/watcher-tests")))
        .context(
            "none of WATCHER_TEST_CACHE, XDG_CACHE_HOME and HOME is set, so there is no place for a cache",
        )
}

/// The entry `name` (a relative path). Where it is missing, `make` fills a fresh directory that then becomes it.
pub fn entry(name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    entry_in(&directory()?, name, make)
}

fn entry_in(cache: &Path, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let place = cache.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    let parent = place.parent().context("an entry lies below the cache's directory")?;
    fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
    let _lock = lock(&parent.join(format!(".{}.lock", place.file_name().unwrap_or_default().display())))?;
    if place.is_dir() {
        return Ok(place);
    }
    let fresh = tempfile::Builder::new()
        .prefix("making-")
        .tempdir_in(parent)
        .with_context(|| format!("create a directory in {}", parent.display()))?;
    make(fresh.path())?;
    fs::rename(fresh.path(), &place).with_context(|| format!("rename to {}", place.display()))?;
    // Renamed: there is nothing left to remove.
    let _ = fresh.keep();
    Ok(place)
}

fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| anyhow!("lock {}: {errno}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::entry_in;
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn an_entry_is_made_once_however_many_want_it() {
        let cache = tempfile::tempdir().unwrap();
        let made = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let place = entry_in(cache.path(), "kind/1.2", |fresh| {
                        made.fetch_add(1, Ordering::Relaxed);
                        Ok(fs::write(fresh.join("file"), "content")?)
                    });
                    assert_eq!(fs::read_to_string(place.unwrap().join("file")).unwrap(), "content");
                });
            }
        });
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn what_fails_half_way_leaves_no_entry() {
        let cache = tempfile::tempdir().unwrap();
        let failed = entry_in(cache.path(), "half", |fresh| {
            fs::write(fresh.join("file"), "half of it")?;
            anyhow::bail!("the network went away")
        });
        assert_eq!(failed.unwrap_err().to_string(), "the network went away");
        assert!(!cache.path().join("half").exists());
        assert!(entry_in(cache.path(), "half", |_| Ok(())).unwrap().read_dir().unwrap().next().is_none());
    }
}
