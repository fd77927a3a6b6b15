//! A cgroup of a test's own, with a limit, for the programs that it starts. Version 1 and 2.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// What can be bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Controller {
    /// Bytes of memory.
    Memory,
    /// Tasks.
    Pids,
}

/// A cgroup; dropping it removes it, once its processes have ended.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    controller: Controller,
    is_unified: bool,
}

impl Controller {
    fn name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Pids => "pids",
        }
    }

    /// A limit that no test reaches.
    fn much(self) -> u64 {
        match self {
            Controller::Memory => 1 << 30,
            Controller::Pids => 10_000,
        }
    }

    /// Why no cgroup can be made for it here; `None` where one can.
    pub fn lacking(self) -> Option<String> {
        Cgroup::new(self, self.much())
            .err()
            .map(|error| format!("It needs a cgroup that can be written: {error:#}."))
    }

    /// Below which directory new ones are made, and whether that is of version 2.
    fn parent(self) -> Result<(PathBuf, bool)> {
        let own = fs::read_to_string("/proc/self/cgroup").context("read our cgroups")?;
        let v1 = own.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            controllers.split(',').any(|name| name == self.name()).then_some(path)
        });
        let mounts = Path::new("/sys/fs/cgroup");
        match v1 {
            Some(path) => Ok((mounts.join(self.name()).join(path.trim_start_matches('/')), false)),
            // In version 2 a cgroup that has processes has no children with controllers, but for the root.
            None => Ok((mounts.to_owned(), true)),
        }
    }
}

impl Cgroup {
    /// A new one with this limit.
    pub fn new(controller: Controller, limit: u64) -> Result<Cgroup> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (parent, is_unified) = controller.parent()?;
        let name = format!("parcels-{}-{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let dir = parent.join(name);
        fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        let cgroup = Cgroup { dir, controller, is_unified };
        let file = match (controller, is_unified) {
            (Controller::Memory, true) => "memory.max",
            (Controller::Memory, false) => "memory.limit_in_bytes",
            (Controller::Pids, _) => "pids.max",
        };
        cgroup.write(file, &limit.to_string())?;
        Ok(cgroup)
    }

    /// The same command, run in it.
    pub fn run(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(self.dir.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        inside
    }

    /// What it uses.
    pub fn used(&self) -> Result<u64> {
        let file = match (self.controller, self.is_unified) {
            (Controller::Memory, true) => "memory.current",
            (Controller::Memory, false) => "memory.usage_in_bytes",
            (Controller::Pids, _) => "pids.current",
        };
        let text = fs::read_to_string(self.dir.join(file)).with_context(|| format!("read {file}"))?;
        text.trim().parse().with_context(|| format!("understand {file}"))
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        fs::write(self.dir.join(file), text).with_context(|| format!("write {text} to {file}"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // A process that was waited for may still be on its way out of its cgroup.
        for _ in 0..50 {
            if fs::remove_dir(&self.dir).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
