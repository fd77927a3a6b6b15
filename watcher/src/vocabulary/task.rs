//! The vocabulary for tasks: the kernel's word for threads and, by their leaders, processes.
//!
//! Plain values; nothing here reads the system.

use serde::{Deserialize, Serialize};

/// One thread of one process, as one pass over all of them gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Thread group id: the pid of its process.
    pub pid: i32,
    /// Thread id; equal to `pid` for the leader.
    pub tid: i32,
    /// Thread group id of the process that has to wait for it.
    pub parent_pid: i32,
    /// Start of this thread in clock ticks after boot, as `/proc/PID/stat` has it.
    pub start_ticks: u64,
    /// When it last came onto a processor, in nanoseconds of the scheduler's clock, which has no fixed beginning: it is
    /// held against that of other tasks. `None` where the route cannot tell.
    pub last_run_nanos: Option<u64>,
    /// Its name, printable form.
    pub name: String,
    /// What the scheduler says of it.
    pub state: ThreadState,
    /// A kernel thread: it has no memory of its own.
    pub kernel_thread: bool,
    /// VMAs of its process; `None` where the route cannot tell or the process has released them.
    pub mappings: Option<u64>,
}

impl Task {
    /// The task that stands for its process.
    pub fn is_leader(&self) -> bool {
        self.pid == self.tid
    }
}

/// Scheduler state of a thread (`fs/proc/array.c`, `task_state_array`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreadState {
    /// `R`: running or ready to run.
    Running,
    /// `S`: waits, a signal can wake it.
    Sleeping,
    /// `D`: waits in the kernel, no signal can wake it.
    DiskSleep,
    /// `T` or `t`: stopped by a signal or a tracer.
    Stopped,
    /// `Z` or `X`: has exited.
    Dead,
    /// `I`, `P` or a letter we do not know.
    Other,
}

impl ThreadState {
    /// From the letter in field 3 of `/proc/PID/task/TID/stat`.
    pub fn from_letter(letter: char) -> Self {
        match letter {
            'R' => ThreadState::Running,
            'S' => ThreadState::Sleeping,
            'D' => ThreadState::DiskSleep,
            'T' | 't' => ThreadState::Stopped,
            'Z' | 'X' | 'x' => ThreadState::Dead,
            _ => ThreadState::Other,
        }
    }
}
