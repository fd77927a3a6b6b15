//! Whether a process still runs the program whose runtime was attached to.
//!
//! A process that executes another program, or its own again as servers do to take new settings, keeps its pid and its
//! start. What was read of it in between mixes two programs, or lies where the first had something: it is dropped.

use crate::golang::runtime::Runtime;
use crate::process::{ProcessId, ProgramId};
use crate::reading::Reading;
use crate::source::proc::ProcessDir;

/// The program that a process runs now.
pub fn running(process: &ProcessDir) -> Reading<ProgramId> {
    process.stat().map(|stat| ProgramId {
        process: ProcessId { pid: process.pid(), start_ticks: stat.start_ticks },
        stack_start: stat.stack_start,
        executable: process.executable_identity().seen().map(|executable| executable.place()),
    })
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
