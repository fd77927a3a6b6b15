//! Children of a process: those it has to wait for.

use crate::observed::children::Children;
use crate::vocabulary::task::{Task, ThreadState};
use std::collections::{HashMap, HashSet};

/// Counts the children of some processes in one pass over all tasks.
#[derive(Debug)]
pub struct Counter {
    children: HashMap<i32, Children>,
    /// Children whose leading thread has exited, and their parents: zombies unless other threads go on.
    exited_leaders: HashMap<i32, i32>,
    /// Children with a thread that goes on and is not the leader.
    running_threads: HashSet<i32>,
}

impl Counter {
    /// Counts the children of these processes.
    pub fn of(parents: impl IntoIterator<Item = i32>) -> Self {
        Counter {
            children: parents.into_iter().map(|pid| (pid, Children::default())).collect(),
            exited_leaders: HashMap::new(),
            running_threads: HashSet::new(),
        }
    }

    /// Takes in one task of the pass.
    pub fn add(&mut self, task: &Task) {
        let Some(children) = self.children.get_mut(&task.parent_pid) else { return };
        match (task.is_leader(), task.state) {
            (true, ThreadState::Dead) => {
                self.exited_leaders.insert(task.pid, task.parent_pid);
            }
            (true, _) => children.running += 1,
            (false, ThreadState::Dead) => {}
            (false, _) => {
                self.running_threads.insert(task.pid);
            }
        }
    }

    /// Takes in a whole process, where its leader alone is looked at. `threads` counts the leader too.
    pub fn add_process(&mut self, parent_pid: i32, state: ThreadState, threads: u64) {
        let Some(children) = self.children.get_mut(&parent_pid) else { return };
        if state == ThreadState::Dead && threads <= 1 {
            children.zombies += 1;
        } else {
            children.running += 1;
        }
    }

    /// The children by parent, when the pass is over.
    pub fn finish(mut self) -> HashMap<i32, Children> {
        for (pid, parent) in self.exited_leaders {
            let Some(children) = self.children.get_mut(&parent) else { continue };
            if self.running_threads.contains(&pid) {
                children.running += 1;
            } else {
                children.zombies += 1;
            }
        }
        self.children
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;
    use crate::observed::children::Children;
    use crate::vocabulary::task::{Task, ThreadState};

    fn task(pid: i32, tid: i32, parent_pid: i32, state: ThreadState) -> Task {
        Task {
            pid,
            tid,
            parent_pid,
            start_ticks: 0,
            last_run_nanos: None,
            name: String::new(),
            state,
            kernel_thread: false,
            mappings: None,
        }
    }

    #[test]
    fn a_child_whose_leader_exited_is_no_zombie_while_it_has_threads() {
        let mut counter = Counter::of([1, 2]);
        for (pid, tid, parent, state) in [
            (10, 10, 1, ThreadState::Sleeping),
            (10, 11, 1, ThreadState::Sleeping),
            (20, 20, 1, ThreadState::Dead),
            (30, 31, 1, ThreadState::Running),
            (30, 30, 1, ThreadState::Dead),
            (40, 40, 1, ThreadState::Dead),
            (40, 41, 1, ThreadState::Dead),
            (50, 50, 3, ThreadState::Dead),
        ] {
            counter.add(&task(pid, tid, parent, state));
        }
        for (parent, state, threads) in [
            (2, ThreadState::Dead, 1),
            (2, ThreadState::Dead, 3),
            (2, ThreadState::Stopped, 1),
            (3, ThreadState::Dead, 1),
        ] {
            counter.add_process(parent, state, threads);
        }
        let children = counter.finish();
        assert_eq!(children[&1], Children { zombies: 2, running: 2 });
        assert_eq!(children[&2], Children { zombies: 1, running: 2 });
        assert!(!children.contains_key(&3));
    }
}
