//! The OS threads of one process, each by what Go does on it.

use super::fit;
use super::list::{plain_table, without_trailing_blanks};
use super::stack::{self, Frame, FrameObject};
use crate::explain::words::counted;
use crate::vocabulary::process::Target;
use crate::vocabulary::task::ThreadState;
use serde::Serialize;
use std::fmt::Write;
use std::sync::Arc;

/// An OS thread.
#[derive(Clone, Debug)]
pub struct Thread {
    /// The kernel's id of it.
    pub tid: u64,
    /// Its name and what the scheduler says of it; `None` where its id did not lead to it, as from outside of its
    /// pid namespace.
    pub kernel: Option<(String, ThreadState)>,
    /// What it does.
    pub doing: Doing,
    /// The goroutine on it.
    pub goroutine: Option<u64>,
    /// The goroutine that is locked to it.
    pub locked_goroutine: Option<u64>,
    /// Stack of the goroutine on it, else of the one locked to it; empty where it has none or it could not be read.
    pub stack: Arc<[Frame]>,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Runs Go code, or is about to.
    Go,
    /// Is in a system call that a goroutine made.
    SystemCall,
    /// Executes C code.
    C,
    /// Waits for the goroutine that is locked to it.
    Locked,
    /// Has no goroutine: it waits for work, or does the runtime's.
    Idle,
    /// The Go runtime does not know it: a library in C started it.
    Foreign,
}

impl Doing {
    fn words(self) -> &'static str {
        match self {
            Doing::Go => "in Go",
            Doing::SystemCall => "in a system call",
            Doing::C => "in C",
            Doing::Locked => "locked",
            Doing::Idle => "idle",
            Doing::Foreign => "not Go's",
        }
    }
}

/// A line for each thread, ending in a newline.
pub fn text(threads: &[Thread]) -> String {
    let mut text = format!("{}\n", counted(threads.len(), "OS thread", "OS threads"));
    if threads.is_empty() {
        return text;
    }
    let mut table = plain_table();
    table.set_header(["TID", "NAME", "STATE", "DOES", "GOROUTINE", "WHERE"]);
    for thread in threads {
        let dash = || "-".to_owned();
        let goroutine = match (thread.goroutine, thread.locked_goroutine) {
            (Some(on), Some(locked)) if on == locked => format!("{on} (locked)"),
            (Some(on), _) => on.to_string(),
            (None, Some(locked)) => format!("{locked} (locked)"),
            (None, None) => dash(),
        };
        let place = stack::leading(&thread.stack);
        table.add_row([
            thread.tid.to_string(),
            thread.kernel.as_ref().map_or_else(dash, |(name, _)| name.clone()),
            thread.kernel.as_ref().map_or("-", |(_, state)| state_word(*state)).to_owned(),
            thread.doing.words().to_owned(),
            goroutine,
            place.map_or_else(dash, |frame| {
                format!("{}  {}", fit::name(&frame.name()), fit::name(&frame.position()))
            }),
        ]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_cell_alignment(comfy_table::CellAlignment::Right);
    }
    text.push_str(&without_trailing_blanks(&table));
    text
}

/// What the scheduler says, in a word.
fn state_word(state: ThreadState) -> &'static str {
    match state {
        ThreadState::Running => "running",
        ThreadState::Sleeping => "sleeping",
        ThreadState::DiskSleep => "disk sleep",
        ThreadState::Stopped => "stopped",
        ThreadState::Dead => "dead",
        ThreadState::Other => "other",
    }
}

/// `name (pid 812, go1.26.6, example.com/x)`.
pub(super) fn who(process: &Target) -> String {
    let mut who = format!("{} (pid {}", process.name, process.id.pid);
    if let Some(go) = &process.go {
        _ = write!(who, ", {}", fit::name(&go.version));
        if let Some(module) = go.module_path() {
            _ = write!(who, ", {}", fit::name(module));
        }
    }
    who + ")"
}

#[derive(Serialize)]
pub(super) struct ThreadObject<'a> {
    tid: u64,
    name: Option<&'a str>,
    state: Option<&'static str>,
    does: &'static str,
    goroutine: Option<u64>,
    locked_goroutine: Option<u64>,
    stack: Vec<FrameObject<'a>>,
}

/// Threads in JSON.
pub(super) fn objects(threads: &[Thread]) -> Vec<ThreadObject<'_>> {
    threads
        .iter()
        .map(|thread| ThreadObject {
            tid: thread.tid,
            name: thread.kernel.as_ref().map(|(name, _)| name.as_str()),
            state: thread.kernel.as_ref().map(|(_, state)| state_word(*state)),
            does: thread.doing.words(),
            goroutine: thread.goroutine,
            locked_goroutine: thread.locked_goroutine,
            stack: stack::objects(&thread.stack),
        })
        .collect()
}
