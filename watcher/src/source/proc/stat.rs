//! `/proc/PID/stat` and `/proc/PID/task/TID/stat`, pure over bytes.
//!
//! Our own parser and not that of the `procfs` crate: a sweep reads one such line per process and uses six of its
//! 52 fields.

use crate::vocabulary::process::printable;
use crate::vocabulary::task::{Task, ThreadState};

/// What we use of the line (`fs/proc/array.c`, `do_task_stat`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 2: name of the task, printable form.
    pub name: String,
    /// Field 3.
    pub state: ThreadState,
    /// Field 4: thread group id of the parent, 0 where it has none in our pid namespace.
    pub parent_pid: i32,
    /// Field 9 has PF_KTHREAD: a thread of the kernel, without memory of its own.
    pub kernel_thread: bool,
    /// Field 20: threads of the process; 0 once it has been reaped.
    pub threads: u64,
    /// Field 22: start in clock ticks after boot.
    pub start_ticks: u64,
    /// Field 28: where the kernel began the stack of the main thread, chosen anew at random each time that a program is
    /// executed. `None` where it is hidden from us, and for a process without memory.
    pub stack_start: Option<u64>,
}

impl Stat {
    /// As a task of the process `pid`, read from the file of its thread `tid`.
    pub fn into_task(self, pid: i32, tid: i32) -> Task {
        Task {
            pid,
            tid,
            parent_pid: self.parent_pid,
            start_ticks: self.start_ticks,
            last_run_nanos: None,
            name: self.name,
            state: self.state,
            kernel_thread: self.kernel_thread,
            mappings: None,
        }
    }
}

/// PF_KTHREAD, `include/linux/sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Parses one line; `None` for anything that is not one.
pub fn parse(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    // The name may hold anything, parentheses, spaces and newlines included. The fields behind it hold no
    // parenthesis, so the last one ends the name.
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let name = line.get(open + 1..close)?;
    let mut fields = line.get(close + 1..)?.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
    let state = *fields.next()?.first()?;
    let parent_pid = number(fields.next()?)?;
    let flags: u64 = number(fields.nth(4)?)?;
    let threads = number(fields.nth(10)?)?;
    let start_ticks = number(fields.nth(1)?)?;
    let stack_start = fields.nth(5).and_then(number).filter(|address| *address > 1);
    Some(Stat {
        name: printable(name),
        state: ThreadState::from_letter(char::from(state)),
        parent_pid,
        kernel_thread: flags & KERNEL_THREAD != 0,
        threads,
        start_ticks,
        stack_start,
    })
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Stat, parse};
    use crate::vocabulary::task::ThreadState;
    use proptest::prelude::*;

    fn line(name: &[u8]) -> Vec<u8> {
        let mut line = b"812 (".to_vec();
        line.extend(name);
        line.extend(b") S 7 812 812 0 -1 4194560 91 0 0 0 1 2 0 0 20 0 13 0 52701 1268813824 3390 0 1 2 140727000000000 0\n");
        line
    }

    fn stat(name: &str) -> Stat {
        Stat {
            name: name.to_owned(),
            state: ThreadState::Sleeping,
            parent_pid: 7,
            kernel_thread: false,
            threads: 13,
            start_ticks: 52701,
            stack_start: Some(140_727_000_000_000),
        }
    }

    #[test]
    fn hostile_names() {
        for (name, expected) in [
            (&b"prometheus"[..], "prometheus"),
            (b"a) b (c\n", "a) b (c\\n"),
            (b") R 1 1 1 1", ") R 1 1 1 1"),
            (b"", ""),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            (b"\x1b[31m", "\\u{1b}[31m"),
        ] {
            assert_eq!(parse(&line(name)), Some(stat(expected)), "{name:?}");
        }
    }

    #[test]
    fn kernel_thread_is_told_by_its_flags() {
        let kthreadd = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0";
        assert!(parse(kthreadd).unwrap().kernel_thread);
    }

    #[test]
    fn a_hidden_stack_is_none() {
        let whole = String::from_utf8(line(b"x")).unwrap();
        for hidden in ["0", "1"] {
            let line = whole.replace("140727000000000", hidden);
            assert_eq!(parse(line.as_bytes()).unwrap().stack_start, None);
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        let whole = line(b"x");
        let needed = whole.windows(5).position(|part| part == b"52701").unwrap() + 1;
        for end in 0..needed {
            assert_eq!(parse(&whole[..end]), None, "{:?}", String::from_utf8_lossy(&whole[..end]));
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn any_name_leaves_the_numbers_intact(name in prop::collection::vec(any::<u8>(), 0..16)) {
            let parsed = parse(&line(&name)).unwrap();
            prop_assert_eq!(Stat { name: String::new(), ..parsed }, stat(""));
        }
    }
}
