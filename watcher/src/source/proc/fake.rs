//! A directory that looks like `/proc`, for tests.

use crate::vocabulary::process::{Limits, Lineage, ProcessId, Target};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A fake `/proc` in a temporary directory.
#[derive(Debug)]
pub struct FakeProc {
    dir: tempfile::TempDir,
}

/// Start time of all processes of a [`FakeProc`] unless a test says otherwise.
pub const START_TICKS: u64 = 52_701;

impl FakeProc {
    pub fn new() -> Self {
        FakeProc { dir: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a file of a process.
    pub fn write(&self, pid: i32, name: &str, content: impl AsRef<[u8]>) {
        let path = self.of(pid).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a link of a process.
    pub fn link(&self, pid: i32, name: &str, target: &str) {
        let path = self.of(pid).join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    /// A process with one thread, `fds` descriptors that are pipes, and `mappings` mappings.
    pub fn process(&self, pid: i32, parent_pid: i32, fds: u64, mappings: usize) {
        let stat = stat_line(pid, "x", 'S', parent_pid, START_TICKS);
        self.write(pid, "stat", &stat);
        self.write(pid, &format!("task/{pid}/stat"), &stat);
        self.write(pid, "status", status(1000));
        self.write(
            pid,
            "limits",
            "Max processes  100 100 processes\nMax open files  1024 4096 files\n\
             Max address space  unlimited unlimited bytes\nMax data size  unlimited unlimited bytes\n",
        );
        self.write(pid, "maps", "00400000-00401000 r-xp 00000000 08:01 1 /x\n".repeat(mappings));
        self.write(pid, "cgroup", "0::/\n");
        self.link(pid, "ns/net", "net:[4026531840]");
        fs::create_dir_all(self.of(pid).join("fd")).unwrap();
        for fd in 0..fds {
            self.link(pid, &format!("fd/{fd}"), &format!("pipe:[{}]", 1000 + fd));
        }
    }

    /// The process leaves.
    pub fn remove(&self, pid: i32) {
        fs::remove_dir_all(self.of(pid)).unwrap();
    }

    fn of(&self, pid: i32) -> PathBuf {
        self.path().join(pid.to_string())
    }
}

pub fn stat_line(pid: i32, name: &str, state: char, parent_pid: i32, start_ticks: u64) -> String {
    format!(
        "{pid} ({name}) {state} {parent_pid} 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 {start_ticks} 0 0\n"
    )
}

pub fn status(anon_kibibytes: u64) -> String {
    format!(
        "Name:\tx\nUid:\t0\t0\t0\t0\nVmSize:\t9000 kB\nVmHWM:\t7000 kB\nRssAnon:\t{anon_kibibytes} kB\n\
         RssFile:\t20 kB\nRssShmem:\t0 kB\nVmData:\t4000 kB\nVmPTE:\t5 kB\nVmSwap:\t0 kB\nThreads:\t1\n"
    )
}

/// A target that is this process of a [`FakeProc`].
pub fn target(pid: i32) -> Target {
    Target {
        id: ProcessId { pid, start_ticks: START_TICKS },
        parent_pid: 1,
        name: "x".to_owned(),
        exe: None,
        exe_deleted: false,
        args: Vec::new(),
        uid: Some(0),
        started: SystemTime::UNIX_EPOCH,
        go: None,
        container: None,
        cgroup: None,
        network_namespace: Some(4_026_531_840),
        limits: Limits {
            open_files: Some(1024),
            user_processes: Some(100),
            mappings: Some(65530),
            ..Limits::default()
        },
        lineage: Lineage::default(),
    }
}
