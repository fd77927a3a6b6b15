use super::fake::{FakeProc, START_TICKS, stat_line, status};
use super::{ProcRoot, ProcTables, ProcessDir};
use crate::source::{KernelTables, Scope};
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;
use crate::vocabulary::task::ThreadState;
use std::collections::BTreeMap;
use std::fs;

fn open(proc: &FakeProc, pid: i32) -> ProcessDir {
    ProcRoot::at(proc.path()).unwrap().open(pid).into_seen().unwrap()
}

#[test]
fn only_numbers_are_processes() {
    let proc = FakeProc::new();
    for name in ["1", "812", "self", "sys", "12x", "-5", "99999999999", "meminfo"] {
        fs::create_dir(proc.path().join(name)).unwrap();
    }
    let mut pids = ProcRoot::at(proc.path()).unwrap().pids().unwrap();
    pids.sort_unstable();
    assert_eq!(pids, [1, 812]);
}

#[test]
fn a_root_that_is_not_there() {
    assert!(ProcRoot::at("/nonexistent/proc".as_ref()).is_err());
    let proc = FakeProc::new();
    assert!(matches!(ProcRoot::at(proc.path()).unwrap().open(1), Reading::Gone));
}

#[test]
fn a_hostile_name() {
    let proc = FakeProc::new();
    proc.write(812, "stat", stat_line(812, "a) b (c\n", 'S', 7, 99));
    let stat = open(&proc, 812).stat().into_seen().unwrap();
    assert_eq!((&*stat.name, stat.parent_pid, stat.start_ticks), ("a) b (c\\n", 7, 99));
}

#[test]
fn what_is_broken_is_unsupported_and_what_is_missing_gone() {
    let proc = FakeProc::new();
    proc.process(812, 1, 0, 0);
    proc.write(812, "stat", "812 (x) S 1 1");
    proc.write(812, "status", &status(5)[..60]);
    proc.write(812, "limits", "Max open files  10");
    proc.write(812, "cgroup", "nonsense");
    fs::remove_file(proc.path().join("812/maps")).unwrap();
    let process = open(&proc, 812);
    assert_eq!(process.stat(), Reading::Unsupported);
    assert_eq!(process.id(), Reading::Unsupported);
    assert_eq!(process.status(), Reading::Unsupported);
    assert_eq!(process.limits(), Reading::Unsupported);
    assert_eq!(process.cgroups(), Reading::Unsupported);
    assert_eq!(process.mapping_count(), Reading::Gone);
    assert_eq!(process.exe(), Reading::Gone);
    // A directory in the place of a file fails with another error than the two.
    fs::create_dir(proc.path().join("812/maps")).unwrap();
    assert_eq!(process.mapping_count(), Reading::Unsupported);
}

#[test]
fn a_pid_that_was_reused_does_not_answer_for_the_old_process() {
    let proc = FakeProc::new();
    proc.process(812, 1, 3, 0);
    let root = ProcRoot::at(proc.path()).unwrap();
    let old = root.open(812).into_seen().unwrap();
    assert_eq!(old.id(), Reading::Seen(ProcessId { pid: 812, start_ticks: START_TICKS }));
    proc.remove(812);
    proc.process(812, 1, 5, 0);
    proc.write(812, "stat", stat_line(812, "y", 'R', 1, START_TICKS + 1));
    assert_eq!(old.id(), Reading::Gone);
    assert_eq!(old.descriptor_count(), Reading::Gone);
    assert_eq!(root.descriptor_count(812), Reading::Seen(5));
    assert_eq!(root.stat(812).into_seen().unwrap().start_ticks, START_TICKS + 1);
}

#[test]
fn descriptors_of_each_kind() {
    let proc = FakeProc::new();
    proc.process(812, 1, 0, 0);
    let file = proc.path().join("a\nfile");
    fs::write(&file, "").unwrap();
    for (fd, link, expected) in [
        (0, "/dev/null", DescriptorType::CharDevice),
        (1, file.to_str().unwrap(), DescriptorType::File),
        (2, proc.path().to_str().unwrap(), DescriptorType::Directory),
        (3, "pipe:[17]", DescriptorType::Pipe),
        (4, "socket:[18]", DescriptorType::Socket),
        (5, "anon_inode:[eventfd]", DescriptorType::EventFd),
        (6, "anon_inode:[eventpoll]", DescriptorType::Epoll),
        (7, "/memfd:x (deleted)", DescriptorType::MemFd),
        (8, "mnt:[4026531841]", DescriptorType::Namespace),
        (9, "/nonexistent/file (deleted)", DescriptorType::Other),
    ] {
        proc.link(812, &format!("fd/{fd}"), link);
        let mut seen = BTreeMap::new();
        let visited = open(&proc, 812).descriptors(&mut |descriptor| {
            seen.insert(descriptor.fd, descriptor.kind);
        });
        assert_eq!(visited, Reading::Seen(()));
        assert_eq!(seen.get(&fd), Some(&expected), "{link}");
        assert_eq!(open(&proc, 812).descriptor_count(), Reading::Seen(seen.len() as u64));
    }
}

#[test]
fn threads_are_visited_and_broken_ones_told() {
    let proc = FakeProc::new();
    proc.process(812, 1, 0, 0);
    proc.write(812, "task/813/stat", stat_line(813, "worker", 'D', 1, 60_000));
    // A thread that has left meanwhile: its directory is listed and empty.
    fs::create_dir(proc.path().join("812/task/814")).unwrap();
    let mut seen = BTreeMap::new();
    let visited = open(&proc, 812).tasks(&mut |task| {
        seen.insert(task.tid, (task.pid, task.name, task.state));
    });
    assert_eq!(visited, Reading::Seen(()));
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[&813], (812, "worker".to_owned(), ThreadState::DiskSleep));
    proc.write(812, "task/815/stat", "815 (cut");
    assert_eq!(open(&proc, 812).tasks(&mut |_| {}), Reading::Unsupported);
}

#[test]
fn children_need_a_kernel_that_has_them() {
    let proc = FakeProc::new();
    proc.process(812, 1, 0, 0);
    assert_eq!(open(&proc, 812).children(), Reading::Unsupported);
    proc.write(812, "task/812/children", "900 901 ");
    proc.write(812, "task/813/children", "902 ");
    let mut children = open(&proc, 812).children().into_seen().unwrap();
    children.sort_unstable();
    assert_eq!(children, [900, 901, 902]);
}

#[test]
fn one_broken_process_does_not_stop_a_pass() {
    let proc = FakeProc::new();
    for pid in [810, 811, 812] {
        proc.process(pid, 1, 2, 0);
    }
    fs::remove_dir_all(proc.path().join("811/fd")).unwrap();
    fs::write(proc.path().join("811/fd"), "no directory").unwrap();
    let mut tables = ProcTables::new(ProcRoot::at(proc.path()).unwrap());
    let mut seen = BTreeMap::<i32, usize>::new();
    let visited = tables
        .descriptors(Scope::AllProcesses, &mut |descriptor| *seen.entry(descriptor.pid).or_default() += 1);
    assert_eq!(visited, Reading::Seen(()));
    assert_eq!(seen, BTreeMap::from([(810, 2), (812, 2)]));
    assert_eq!(tables.descriptors(Scope::Process(811), &mut |_| {}), Reading::Unsupported);
}
