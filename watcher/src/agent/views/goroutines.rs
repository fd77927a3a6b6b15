//! Every goroutine of one process.

use super::stacks::Converter;
use super::threads;
use crate::agent::views::subject::{GoSubject, Part, Subject, ViewError};
use crate::golang::goroutines::{GoroutineSnapshot, StackReading, Status};
use crate::report::goroutines::{Effort, Goroutines, Group, Member, StackState};
use crate::source::clock;
use std::collections::HashSet;
use std::time::Duration;

/// Reads every goroutine of the process with this pid, and its threads.
///
/// # Errors
/// See [`ViewError`].
pub fn goroutines(pid: i32) -> Result<Goroutines, ViewError> {
    let mut subject = Subject::open(pid)?.attach()?;
    let began = clock::now();
    let monotonic = clock::monotonic();
    let read = subject.runtime.goroutines(&subject.file, &subject.memory);
    let elapsed = Duration::from_secs_f64(clock::now().seconds_since(&began));
    // Those that came or left meanwhile would look as if the runtime did not know them.
    let before: HashSet<i32> = threads::tasks(&subject.subject.process).iter().map(|task| task.tid).collect();
    let os_threads = subject.runtime.threads(&subject.file, &subject.memory);
    let mut tasks = threads::tasks(&subject.subject.process);
    tasks.retain(|task| before.contains(&task.tid));
    subject.subject.verify()?;
    let snapshot = read.map_err(|why| ViewError::Goroutines { who: subject.who(), why })?;
    let mappings = subject.mappings();
    let remarks = subject.remarks(&[Part::Goroutines, Part::Threads]);
    let mut converter = Converter::new(subject.runtime.symbols(&subject.file, &subject.memory));
    let groups = groups(&snapshot, &mut converter, monotonic);
    Ok(Goroutines {
        process: subject.subject.target.clone(),
        taken: began.wall,
        threads: os_threads.map(|os_threads| threads::view(&os_threads, &tasks, &snapshot, &groups)),
        groups,
        effort: effort(&snapshot, elapsed),
        remarks,
        mappings,
    })
}

/// Reads every goroutine of a process over and over, having attached to it once, until `each` says that it is enough:
/// it is told how long attaching took, how long this reading took, and what came of it.
///
/// # Errors
/// See [`ViewError`].
pub fn goroutines_repeatedly(
    pid: i32,
    mut each: impl FnMut(Duration, Duration, &GoroutineSnapshot) -> bool,
) -> Result<(), ViewError> {
    let began = clock::monotonic();
    let mut subject = Subject::open(pid)?.attach()?;
    let attaching = clock::monotonic().saturating_sub(began);
    loop {
        let began = clock::monotonic();
        let read = subject.runtime.goroutines(&subject.file, &subject.memory);
        let reading = clock::monotonic().saturating_sub(began);
        subject.subject.verify()?;
        let snapshot = read.map_err(|why| ViewError::Goroutines { who: subject.who(), why })?;
        if !each(attaching, reading, &snapshot) {
            return Ok(());
        }
    }
}

/// The groups of a snapshot of this process, as they are shown.
pub(super) fn groups_of(subject: &mut GoSubject, snapshot: &GoroutineSnapshot) -> Vec<Group> {
    let mut converter = Converter::new(subject.runtime.symbols(&subject.file, &subject.memory));
    groups(snapshot, &mut converter, clock::monotonic())
}

fn groups(snapshot: &GoroutineSnapshot, converter: &mut Converter, now: Duration) -> Vec<Group> {
    let mut groups: Vec<Group> = snapshot
        .groups
        .iter()
        .map(|group| Group {
            status: status_word(group.status),
            wait_reason: group.wait_reason.clone(),
            stack: converter.stack(&group.frames, &group.addresses).into(),
            stack_state: match group.reading {
                StackReading::Complete => StackState::Complete,
                StackReading::Incomplete => StackState::Incomplete,
                StackReading::Running => StackState::Running,
                StackReading::Torn => StackState::Torn,
                StackReading::Unreadable => StackState::Unreadable,
            },
            created_by: converter.place(&group.created_by).into(),
            start: group.start.as_ref().map(|start| converter.frame(start)),
            labels: group.labels.clone(),
            is_system: group.is_system,
            members: Vec::new(),
        })
        .collect();
    for goroutine in &snapshot.goroutines {
        let since = goroutine.waiting_since_nanos.map(Duration::from_nanos);
        let Some(group) = groups.get_mut(goroutine.group as usize) else { continue };
        group.members.push(Member {
            id: goroutine.id,
            parent_id: goroutine.parent_id,
            waited: since.and_then(|since| now.checked_sub(since)),
            is_locked: goroutine.locked_thread.is_some(),
        });
    }
    groups
}

/// Go's own words (`gStatusStrings` in `runtime/traceback.go`).
fn status_word(status: Status) -> &'static str {
    match status {
        Status::Runnable => "runnable",
        Status::Running => "running",
        Status::Syscall => "syscall",
        Status::Waiting => "waiting",
        Status::CopyStack => "copystack",
        Status::Preempted => "preempted",
        Status::Leaked => "leaked",
    }
}

fn effort(snapshot: &GoroutineSnapshot, elapsed: Duration) -> Effort {
    let effort = &snapshot.effort;
    Effort {
        elapsed,
        bytes_read: effort.bytes_read,
        retried: effort.retried,
        given_up: effort.given_up,
        running: effort.running,
        unreadable: effort.unreadable,
        incomplete: effort.incomplete_stacks,
        labels_skipped: effort.labels_skipped,
    }
}
