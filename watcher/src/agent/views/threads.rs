//! The OS threads of one process, matched with its goroutines.

use crate::golang::goroutines::threads::OsThread;
use crate::golang::goroutines::{Goroutine, GoroutineSnapshot};
use crate::report::goroutines::Group;
use crate::report::threads::{Doing, Thread};
use crate::source::proc::ProcessDir;
use crate::vocabulary::task::Task;
use std::collections::HashMap;

/// The threads that the kernel lists; none where it does not.
pub(super) fn tasks(process: &ProcessDir) -> Vec<Task> {
    let mut tasks = Vec::new();
    let seen = process.tasks(&mut |task| tasks.push(task));
    if seen.seen().is_some() { tasks } else { Vec::new() }
}

/// The threads that the runtime knows with what the kernel says of them, and those that only the kernel knows.
pub(super) fn view(
    os_threads: &[OsThread],
    tasks: &[Task],
    snapshot: &GoroutineSnapshot,
    groups: &[Group],
) -> Vec<Thread> {
    let goroutines: HashMap<u64, &Goroutine> =
        snapshot.goroutines.iter().map(|goroutine| (goroutine.address, goroutine)).collect();
    let group_of = |goroutine: &Goroutine| groups.get(goroutine.group as usize);
    let mut by_tid: HashMap<u64, &Task> =
        tasks.iter().filter_map(|task| Some((u64::try_from(task.tid).ok()?, task))).collect();
    // Inside of a pid namespace threads have other numbers, and matching them would name the wrong ones.
    let leader = tasks.iter().find(|task| task.is_leader()).and_then(|task| u64::try_from(task.tid).ok());
    if !os_threads.iter().any(|thread| Some(thread.tid) == leader) {
        by_tid.clear();
    }
    let mut threads: Vec<Thread> = os_threads
        .iter()
        .filter(|thread| thread.tid != 0)
        .map(|thread| {
            let on = thread.goroutine.and_then(|address| goroutines.get(&address)).copied();
            let locked = thread.locked_goroutine.and_then(|address| goroutines.get(&address)).copied();
            let task = by_tid.remove(&thread.tid);
            let group = on.or(locked).and_then(group_of);
            Thread {
                tid: thread.tid,
                kernel: task.map(|task| (task.name.clone(), task.state)),
                doing: doing(thread, on.and_then(group_of), locked.is_some()),
                goroutine: on.map(|goroutine| goroutine.id),
                locked_goroutine: locked.map(|goroutine| goroutine.id),
                stack: group.map_or_else(|| [].into(), |group| group.stack.clone()),
            }
        })
        .collect();
    threads.extend(by_tid.into_values().map(|task| Thread {
        tid: u64::try_from(task.tid).unwrap_or(0),
        kernel: Some((task.name.clone(), task.state)),
        doing: Doing::Foreign,
        goroutine: None,
        locked_goroutine: None,
        stack: [].into(),
    }));
    threads.sort_by_key(|thread| thread.tid);
    threads
}

fn doing(thread: &OsThread, group: Option<&Group>, is_locked: bool) -> Doing {
    let Some(group) = group else {
        return if is_locked { Doing::Locked } else { Doing::Idle };
    };
    match (thread.in_cgo, group.status) {
        (Some(true), _) => Doing::C,
        (_, "syscall") => Doing::SystemCall,
        _ => Doing::Go,
    }
}
