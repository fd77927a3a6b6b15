//! The Go runtime of a running process, attached to as the agent does it.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use watcher::golang::binary::program::Program;
use watcher::golang::runtime::{AttachOptions, Runtime};
use watcher::source::memory::{ProcessMemory, entry_address};

/// A runtime with what it is read through.
pub struct Attached {
    /// The executable.
    pub file: File,
    /// The memory of the process.
    pub memory: ProcessMemory,
    /// The runtime.
    pub runtime: Runtime,
}

impl Attached {
    /// Attaches to a process.
    pub fn to(pid: u32) -> Result<Attached> {
        Attached::another(&Arc::default(), pid)
    }

    /// Attaches to a process in another way than the agent does.
    pub fn with(options: AttachOptions, pid: u32) -> Result<Attached> {
        Attached::attach(&Arc::default(), options, pid)
    }

    /// Attaches to one of several processes of the same executable.
    pub fn another(program: &Arc<Program>, pid: u32) -> Result<Attached> {
        Attached::attach(program, AttachOptions::default(), pid)
    }

    fn attach(program: &Arc<Program>, options: AttachOptions, pid: u32) -> Result<Attached> {
        let (proc_root, pid) = (Path::new("/proc"), i32::try_from(pid).context("a pid")?);
        let file = File::open(format!("/proc/{pid}/exe")).context("open the executable")?;
        let entry = entry_address(proc_root, pid).into_seen().context("read the auxiliary vector")?;
        let memory = ProcessMemory::new(pid);
        let runtime = Runtime::attach_another(program, &file, entry, &memory, options)?;
        Ok(Attached { file, memory, runtime })
    }
}
