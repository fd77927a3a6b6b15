//! Whether a process still runs the program whose runtime was attached to.
//!
//! A process that executes another program, or its own again as servers do to take new settings, keeps its pid and its
//! start. What was read of it in between mixes two programs, or lies where the first had something: it is dropped.

use crate::golang::runtime::Runtime;
use crate::source::proc::{FileIdentity, ProcessDir, Stat};
use crate::vocabulary::process::{ProcessId, ProgramId};
use crate::vocabulary::reading::Reading;

/// The program that a process runs now.
pub fn running(process: &ProcessDir) -> Reading<ProgramId> {
    process.stat().map(|stat| program(process, &stat, process.executable_identity()))
}

/// The program that a process runs now, where it was `before`, whose executable is told from others without asking
/// anybody (`is_quick`, see [`ProcessDir::executable_is_quick`]). The reader is asked where the process has executed
/// something since: then nobody knows where that lies.
pub fn running_still(process: &ProcessDir, before: &ProgramId, is_quick: bool) -> Reading<ProgramId> {
    process.stat().map(|stat| {
        let has_same_stack = stat.stack_start.is_some() && stat.stack_start == before.stack_start;
        let executable = match is_quick && has_same_stack {
            true => process.executable_identity_at_once(),
            false => process.executable_identity(),
        };
        program(process, &stat, executable)
    })
}

fn program(process: &ProcessDir, stat: &Stat, executable: Reading<FileIdentity>) -> ProgramId {
    ProgramId {
        process: ProcessId { pid: process.pid(), start_ticks: stat.start_ticks },
        stack_start: stat.stack_start,
        executable: executable.seen().map(FileIdentity::place),
    }
}

/// Passes on what was read of a process through `runtime`, if it is still the one with this id and runs the program that
/// was attached to; else that is `Gone`. To be asked when all is read.
pub fn confirmed<T>(runtime: &Runtime, process: &ProcessDir, id: ProcessId, read: Reading<T>) -> Reading<T> {
    let is_same =
        |now: &ProgramId| now.process == id && runtime.program().is_none_or(|attached| attached.may_be(now));
    match running(process) {
        Reading::Seen(now) if is_same(&now) => read,
        Reading::Seen(_) => Reading::Gone,
        other => other.and_then(|_| Reading::Unsupported),
    }
}
