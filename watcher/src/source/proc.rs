//! Files below `/proc`.
//!
//! [`ProcRoot`] lists and opens processes, [`ProcessDir`] is one of them held open, [`ProcTables`] walks them
//! all.

mod answers;
mod crowds;
mod descriptors;
mod directory;
mod fdinfo;
pub(super) mod file;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod links;
mod maps;
mod overlap;
mod program;
mod smaps;
pub mod stat;
pub mod status;
mod tables;
mod written;

pub use crowds::Crowds;
pub use directory::ProcessDir;
pub use fdinfo::WatchCount;
pub use identity::FileIdentity;
pub use links::DescriptorLink;
pub use maps::Mapping;
pub(super) use maps::devices as mapped_devices;
pub use program::{CgroupPath, ExePath};
pub use smaps::MappingUse;
pub use stat::Stat;
pub use status::Status;
pub use tables::ProcTables;
pub use written::WritableFile;

use crate::vocabulary::reading::Reading;
use rustix::fs::{AtFlags, CWD, PROC_SUPER_MAGIC, fstatfs, statat};
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A mounted `/proc`, or a directory that looks like one.
#[derive(Debug)]
pub struct ProcRoot {
    path: PathBuf,
    dir: OwnedFd,
    counts_descriptors: bool,
}

impl ProcRoot {
    /// `/proc` of this host.
    ///
    /// # Errors
    /// Where nothing is mounted there, or something else: an empty directory has no processes, which would be taken
    /// for a host that has none.
    pub fn host() -> io::Result<Self> {
        let path = Path::new("/proc");
        let root = ProcRoot::at(path)?;
        let is_procfs = fstatfs(&root.dir).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC);
        if is_procfs {
            Ok(root)
        } else {
            Err(io::Error::other(
                "no procfs is mounted there, and nothing is known of any process without it",
            ))
        }
    }

    /// The one below `path`.
    ///
    /// # Errors
    /// Where `path` is no directory that we may open.
    pub fn at(path: &Path) -> io::Result<Self> {
        let dir = file::open_place(CWD, path)?;
        // Since Linux 6.2 the size of /proc/PID/fd is the number of descriptors (`fs/proc/fd.c`,
        // `proc_fd_getattr`); before it is 0. Our own directory, never empty, tells which.
        let is_procfs = fstatfs(&dir).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC);
        let counts_descriptors =
            is_procfs && statat(&dir, "self/fd", AtFlags::empty()).is_ok_and(|fd| fd.st_size > 0);
        Ok(ProcRoot { path: path.to_owned(), dir, counts_descriptors })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Counting the descriptors of a process takes one `stat`, however many there are.
    pub fn counts_descriptors(&self) -> bool {
        self.counts_descriptors
    }

    /// Every process that we may see: under `hidepid` the others are missing, not refused.
    ///
    /// # Errors
    /// Where the directory cannot be listed.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        file::numbers_in(&file::open_directory(&self.dir, ".")?, |pid| {
            pids.push(pid);
            Ok(())
        })?;
        Ok(pids)
    }

    /// Tasks of all processes with this effective user id; `None` where the list of processes cannot be read. One
    /// that leaves meanwhile counts nothing, nor does one that `hidepid` hides.
    pub fn tasks_of_user(&self, uid: u32) -> Option<u64> {
        Some(self.tasks_by_user()?.get(&uid).copied().unwrap_or(0))
    }

    /// Tasks of all processes by effective user id, counted as [`ProcRoot::tasks_of_user`] counts those of one.
    pub fn tasks_by_user(&self) -> Option<HashMap<u32, u64>> {
        let mut tasks = HashMap::new();
        for pid in self.pids().ok()? {
            let status = self.open(pid).and_then(|process| process.status());
            match status {
                Reading::Seen(status) => *tasks.entry(status.uid).or_default() += status.threads,
                // Fewer than there are would be told.
                Reading::Failed => return None,
                _ => {}
            }
        }
        Some(tasks)
    }

    /// Opens the directory of one process. `Gone` where there is no such process, or `hidepid` hides it.
    pub fn open(&self, pid: i32) -> Reading<ProcessDir> {
        ProcessDir::open_at(&self.dir, pid, self.counts_descriptors).into()
    }

    /// Ourselves, whatever our pid is in the pid namespace of this `/proc`.
    fn open_self(&self) -> Reading<ProcessDir> {
        let open = || -> io::Result<ProcessDir> {
            let link = file::read_link(&self.dir, "self")?;
            let pid = file::understood(file::number_of(&link))?;
            ProcessDir::open_at(&self.dir, pid, self.counts_descriptors)
        };
        open().into()
    }

    /// What `stat` says of the process that has this pid now, without opening it.
    pub fn stat(&self, pid: i32) -> Reading<Stat> {
        file::read_record(&self.dir, &format!("{pid}/stat"), stat::parse).into()
    }

    /// Open descriptors of the process that has this pid now, see [`ProcessDir::descriptor_count`].
    pub fn descriptor_count(&self, pid: i32) -> Reading<u64> {
        directory::count_descriptors(&self.dir, &format!("{pid}/fd"), self.counts_descriptors).into()
    }
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
