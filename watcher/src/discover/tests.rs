use super::{Changes, Discovery};
use crate::config::Selection;
use crate::source::host::Host;
use crate::source::proc::ProcRoot;
use crate::vocabulary::process::Limits;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn own_pid() -> i32 {
    std::process::id().cast_signed()
}

fn host() -> (ProcRoot, Host) {
    (ProcRoot::host().unwrap(), Host::read(Path::new("/proc")))
}

#[test]
fn a_process_comes_once_and_leaves_once() {
    let (proc, host) = host();
    let mut discovery = Discovery::new(Selection::Pid(own_pid()));
    let first = discovery.scan(&proc, &host, &[own_pid()]);
    assert_eq!(first.came.len(), 1);
    assert_eq!(first.came[0].id.pid, own_pid());
    assert!(first.came[0].limits.open_files.is_some());
    assert!(discovery.scan(&proc, &host, &[own_pid()]).came.is_empty());
    let changed = Limits { open_files: None, ..first.came[0].limits };
    discovery.set_limits(first.came[0].id, changed);
    let limits: Vec<Limits> = discovery.targets().iter().map(|target| target.limits).collect();
    assert_eq!(limits, [changed]);
    let last = discovery.scan(&proc, &host, &[]);
    assert_eq!((last.came.len(), last.left.len()), (0, 1));
    assert!(discovery.targets().is_empty());
}

#[test]
fn a_process_that_does_not_exist_is_nothing() {
    let (proc, host) = host();
    let mut discovery = Discovery::new(Selection::Pid(i32::MAX));
    let changes = discovery.scan(&proc, &host, &[i32::MAX]);
    assert!(changes.came.is_empty() && changes.left.is_empty());
}

#[test]
fn what_is_not_go_is_watched_by_name_only() {
    let (proc, host) = host();
    let mut any_go = Discovery::new(Selection::AllGo);
    assert!(any_go.scan(&proc, &host, &[own_pid()]).came.is_empty());
    let exe = std::env::current_exe().unwrap();
    let pattern = glob::Pattern::escape(exe.file_name().unwrap().to_str().unwrap());
    let mut by_name = Discovery::new(Selection::Name(glob::Pattern::new(&pattern).unwrap()));
    assert_eq!(by_name.scan(&proc, &host, &[own_pid()]).came.len(), 1);
}

/// A shell that waits for a line and then becomes `sleep`: pid and start time stay what they are.
fn shell_that_becomes_sleep() -> Child {
    Command::new("/bin/sh")
        .args(["-c", "read line; exec sleep 60"])
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

#[test]
fn a_process_that_executes_another_program_leaves_and_comes() {
    let (proc, host) = host();
    let mut shell = shell_that_becomes_sleep();
    let pid = shell.id().cast_signed();
    let mut discovery = Discovery::new(Selection::Pid(pid));
    let before = discovery.scan(&proc, &host, &[pid]);
    drop(shell.stdin.take()); // The end of input ends `read`.
    let mut after = Changes::default();
    for _ in 0..500 {
        after = discovery.scan(&proc, &host, &[pid]);
        if !after.came.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    shell.kill().unwrap();
    shell.wait().unwrap();
    assert_eq!((after.came.len(), after.left.len()), (1, 1));
    assert_eq!(after.came[0].id, before.came[0].id);
    assert_ne!(after.came[0].exe, before.came[0].exe);
}

#[test]
fn a_process_that_nobody_waited_for_has_left() {
    let (proc, host) = host();
    let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
    let pid = child.id().cast_signed();
    let mut discovery = Discovery::new(Selection::Pid(pid));
    let before = discovery.scan(&proc, &host, &[pid]);
    child.kill().unwrap();
    let mut after = Changes::default();
    for _ in 0..500 {
        after = discovery.scan(&proc, &host, &[pid]);
        if !after.left.is_empty() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    child.wait().unwrap();
    assert_eq!((before.came.len(), before.left.len()), (1, 0));
    assert_eq!((after.came.len(), after.left.len()), (0, 1));
}
