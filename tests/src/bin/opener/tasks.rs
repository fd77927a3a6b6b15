//! Threads that share the table, children that copy it, and a new program that inherits it.

use super::call::{call, number};
use super::files::null;
use super::{Gained, Place, Step};
use anyhow::{Context, Result, anyhow, ensure};
use libc::O_CLOEXEC;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{env, thread};

pub const STEPS: &[Step] = &[
    ("threads", threads),
    ("handed_over", handed_over),
    ("fork", fork_step),
    ("spawn", spawn),
    ("clone_pidfd", clone_pidfd),
    ("exec", exec),
    ("after_exec", |place| threads(place)),
];

/// The argument that tells the new program that it goes on where another one stopped.
pub const AGAIN: &str = "again";

const THREADS: i64 = 4;
const ROUNDS: usize = 1000;

/// Four threads that open and close at the same time, a thousand times each, and keep one each.
fn threads(_: &Place) -> Gained {
    let churn = || -> Result<()> {
        for _ in 0..ROUNDS {
            call(libc::SYS_close, [number(null(0)?)])?;
        }
        null(0).map(drop)
    };
    all((0..THREADS).map(|_| thread::spawn(churn)))?;
    Ok(THREADS)
}

/// Descriptors that one thread opens and another one closes.
fn handed_over(_: &Place) -> Gained {
    let (giver, taker) = std::sync::mpsc::sync_channel::<i32>(8);
    let open = thread::spawn(move || -> Result<()> {
        for _ in 0..ROUNDS {
            giver.send(null(0)?).context("the other thread has ended")?;
        }
        Ok(())
    });
    let close = thread::spawn(move || -> Result<()> {
        for fd in taker {
            call(libc::SYS_close, [number(fd)])?;
        }
        Ok(())
    });
    all([open, close].into_iter())?;
    Ok(0)
}

fn all(threads: impl Iterator<Item = thread::JoinHandle<Result<()>>>) -> Result<()> {
    let threads: Vec<_> = threads.collect();
    threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
}

/// Three children with a copy of the table each, of which they close and open some; nothing of that is ours.
fn fork_step(_: &Place) -> Gained {
    let ours = [null(0)?, null(0)?, null(0)?];
    for _ in 0..3 {
        #[expect(unsafe_code, reason = "fork has no safe form")]
        // SAFETY: the child makes system calls and ends; it takes no lock that another thread may hold.
        match unsafe { fork() }.context("fork")? {
            ForkResult::Child => {
                for fd in ours {
                    let _ = call(libc::SYS_close, [number(fd)]);
                }
                for _ in 0..5 {
                    let _ = call(libc::SYS_dup, [0]);
                }
                let _ = call(libc::SYS_exit_group, [0]);
            }
            ForkResult::Parent { child } => {
                ensure!(waitpid(child, None)? == WaitStatus::Exited(child, 0), "the child failed");
            }
        }
    }
    Ok(3)
}

/// Three programs started as libraries do it: with pipes, most of whose ends are closed again.
fn spawn(_: &Place) -> Gained {
    for _ in 0..3 {
        let output = Command::new("true").output().context("run true")?;
        ensure!(output.status.success(), "true failed");
    }
    Ok(0)
}

/// Three children whose descriptors come from the call that starts them.
fn clone_pidfd(_: &Place) -> Gained {
    for _ in 0..3 {
        let mut pidfd = -1i32;
        // The kernel takes the place for the descriptor where the parent's thread id would go.
        let arguments = [
            libc::CLONE_PIDFD as usize | libc::SIGCHLD as usize,
            0,
            super::call::address_mut(&mut pidfd),
            0,
            0,
        ];
        let child = call(libc::SYS_clone, arguments)?;
        if child == 0 {
            let _ = call(libc::SYS_exit_group, [0]);
        }
        let child = nix::unistd::Pid::from_raw(child);
        ensure!(waitpid(child, None)? == WaitStatus::Exited(child, 0), "the child failed");
    }
    Ok(3)
}

/// Becomes another program, the same one: of all its descriptors those that are marked end.
fn exec(place: &Place) -> Gained {
    for flags in [0, 0, 0, O_CLOEXEC, O_CLOEXEC] {
        null(flags)?;
    }
    let listed = std::fs::read_dir("/proc/self/fd").context("list the descriptors")?;
    let numbers: Vec<usize> =
        listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    // The one that the listing itself had is closed by now.
    let flags = numbers.into_iter().filter_map(|fd| call(libc::SYS_fcntl, [fd, libc::F_GETFD as usize]).ok());
    let marked = flags.filter(|flags| flags & libc::FD_CLOEXEC != 0).count();
    let gained = 5 - i64::try_from(marked)?;
    let error =
        Command::new(env::current_exe()?).arg(&place.directory).args([AGAIN, &gained.to_string()]).exec();
    Err(error).context("exec")
}
