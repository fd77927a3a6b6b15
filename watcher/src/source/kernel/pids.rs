//! By which pids the programs in the kernel know processes.
//!
//! They count pids as the initial pid namespace does. Where watcher runs in another one, a pass over the tasks of a
//! single process is asked for by the pid that we know and answers with the one that they know (Linux 6.1 and newer).

use super::decode::{NanosPerTick, Record};
use super::iterator::Table;
use super::passes::Passes;
use crate::vocabulary::process::ProcessId;
use std::io;
use std::sync::Arc;

/// How our pids relate to those of the kernel's programs.
#[derive(Clone, Debug, Default)]
pub(super) enum Pids {
    /// They are the same.
    #[default]
    Same,
    /// They differ, and the table of tasks translates them one by one.
    Translated(Arc<Translator>),
    /// They differ, and cannot be translated, or times differ as well: one sentence why.
    Unknown(&'static str),
}

/// A table of tasks that can be restricted to one process.
#[derive(Debug)]
pub(super) struct Translator {
    tasks: Table,
    tick: NanosPerTick,
}

/// The programs and watcher do not count alike.
pub(super) const ELSEWHERE: &str = "The kernel's tables count pids and time as the host does, and watcher runs in a pid or time namespace of its own.";
/// What single processes would take.
const NOT_TRANSLATED: &str = "Watcher runs in a pid namespace of its own, and this kernel does not tell by which pids it \
                              knows the processes in it: that takes Linux 6.1 or newer.";
const OTHER_TIME: &str =
    "Watcher runs in a time namespace of its own, whose clock is not that of the kernel's programs.";

/// Threads and children are many and short-lived: they are not translated.
pub(super) const OF_TASKS: &str = "The kernel's programs know threads and children by the host's ids, and watcher runs in a pid namespace of its own.";

impl Pids {
    /// Finds out by this very process, which `/proc` knows by `pid` and `start_ticks`.
    ///
    /// # Errors
    /// Where the table cannot be read.
    pub(super) fn find(
        tasks: &Table,
        passes: &mut Passes,
        (pid, start_ticks): (i32, u64),
        tick: NanosPerTick,
    ) -> io::Result<Pids> {
        let leaders = leaders(tasks, passes, pid)?;
        Ok(match &leaders[..] {
            all if all.contains(&(pid, start_ticks)) => Pids::Same,
            [(_, started)] if *started == start_ticks => {
                Pids::Translated(Arc::new(Translator { tasks: tasks.try_clone()?, tick }))
            }
            [(own, _)] if *own == pid => Pids::Unknown(OTHER_TIME),
            _ => Pids::Unknown(NOT_TRANSLATED),
        })
    }

    /// The pid by which the programs know a process; `None` where that is not known.
    pub(super) fn of(&self, id: ProcessId) -> Option<i32> {
        match self {
            Pids::Same => Some(id.pid),
            Pids::Translated(translator) => {
                let mut passes = Passes::new(translator.tick);
                match &leaders(&translator.tasks, &mut passes, id.pid).ok()?[..] {
                    [(pid, start_ticks)] if *start_ticks == id.start_ticks => Some(*pid),
                    _ => None,
                }
            }
            Pids::Unknown(_) => None,
        }
    }
}

/// Pids and start times of the processes that a pass shows, which is asked to show one.
fn leaders(tasks: &Table, passes: &mut Passes, pid: i32) -> io::Result<Vec<(i32, u64)>> {
    let mut leaders = Vec::new();
    let file = tasks.open_for(pid).or_else(|_| tasks.open())?;
    passes.read(file, &mut |record| {
        if let Record::Task(task) = record
            && task.is_leader()
        {
            leaders.push((task.pid, task.start_ticks));
        }
    })?;
    Ok(leaders)
}
