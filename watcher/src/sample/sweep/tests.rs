use super::{Budget, Settings, Sweeper};
use crate::observed::children::Children;
use crate::sample::beat::Sweep;
use crate::source::cgroup::Hierarchies;
use crate::source::proc::ProcRoot;
use crate::source::proc::fake::{FakeProc, START_TICKS, stat_line, status, target};
use crate::source::{KernelTables, Scope};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::process::{Limits, Target};
use crate::vocabulary::reading::{Reading, Via};
use crate::vocabulary::task::{Task, ThreadState};
use std::sync::Arc;

/// The kernel's tables as a test wants them.
#[derive(Default)]
struct FakeKernel {
    tasks: Vec<Task>,
    descriptors: Vec<OpenDescriptor>,
    refuses_descriptors: bool,
    scopes: Vec<Scope>,
}

impl KernelTables for FakeKernel {
    fn tasks(&mut self, each: &mut dyn FnMut(Task)) -> Reading<()> {
        self.tasks.iter().cloned().for_each(each);
        Reading::Seen(())
    }

    fn descriptors(&mut self, scope: Scope, each: &mut dyn FnMut(OpenDescriptor)) -> Reading<()> {
        self.scopes.push(scope);
        if self.refuses_descriptors {
            return Reading::Denied;
        }
        let wanted = |descriptor: &&OpenDescriptor| match scope {
            Scope::AllProcesses => true,
            Scope::Process(pid) => descriptor.pid == pid,
        };
        self.descriptors.iter().filter(wanted).cloned().for_each(each);
        Reading::Seen(())
    }
}

fn task(pid: i32, tid: i32, start_ticks: u64) -> Task {
    Task {
        pid,
        tid,
        parent_pid: 1,
        start_ticks,
        last_run_nanos: None,
        name: "x".to_owned(),
        state: ThreadState::Sleeping,
        kernel_thread: false,
        mappings: Some(41),
    }
}

fn file(pid: i32, fd: i32) -> OpenDescriptor {
    OpenDescriptor { pid, fd, kind: DescriptorType::File, inode: 1, socket: None }
}

fn sweeper(proc: &FakeProc, settings: Settings) -> Sweeper {
    Sweeper::new(ProcRoot::at(proc.path()).unwrap(), Hierarchies::default(), settings)
}

fn default_sweeper(proc: &FakeProc) -> Sweeper {
    sweeper(proc, Settings::default())
}

fn targets(pids: impl IntoIterator<Item = i32>) -> Vec<Target> {
    pids.into_iter().map(target).collect()
}

#[test]
fn everything_through_proc() {
    let proc = FakeProc::new();
    proc.process(812, 1, 7, 23);
    proc.process(900, 812, 0, 0);
    proc.process(813, 812, 0, 0);
    proc.process(901, 812, 0, 0);
    proc.write(901, "stat", stat_line(901, "x", 'Z', 812, START_TICKS));
    let Sweep { samples, limits, report } = default_sweeper(&proc).sweep(&targets([812, 813]), None);
    let sample = &samples[0];
    assert_eq!(sample.memory.seen().unwrap().anon_bytes, 1000 << 10);
    assert_eq!(sample.mappings.reading, Reading::Seen(23));
    assert_eq!(sample.threads.reading, Reading::Seen(1));
    assert_eq!(sample.thread_groups.seen().unwrap().groups[0].name, "x");
    assert_eq!(sample.descriptors.reading, Reading::Seen(7));
    assert_eq!(sample.descriptor_types.seen().unwrap().counts[&DescriptorType::Pipe], 7);
    assert_eq!(sample.connections.seen().unwrap().total(), 0);
    assert_eq!(sample.children.reading, Reading::Seen(Children { zombies: 1, running: 2 }));
    assert_eq!(samples[1].children.reading, Reading::Seen(Children::default()));
    assert_eq!(sample.cgroup.reading, Reading::Unsupported);
    assert_eq!(sample.descriptor_types.via, Via::Procfs);
    assert!(limits.is_empty());
    assert_eq!((report.processes, report.gone, report.denied), (2, 0, 0));
    assert_eq!((report.tasks_visited, report.descriptors_visited, report.details_read), (2, 7, 2));
    assert!(!report.tasks_by_kernel && !report.descriptors_by_kernel);
}

#[test]
fn what_the_kernel_tells_is_not_read_from_proc() {
    let proc = FakeProc::new();
    proc.process(812, 1, 2, 23);
    let mut kernel = FakeKernel {
        tasks: vec![task(812, 812, START_TICKS), task(812, 813, START_TICKS + 5), task(900, 900, 1)],
        descriptors: vec![file(812, 0), file(812, 1), file(900, 0)],
        ..FakeKernel::default()
    };
    let sweep = default_sweeper(&proc).sweep(&targets([812]), Some(&mut kernel));
    let sample = &sweep.samples[0];
    assert_eq!((&sample.threads.reading, sample.threads.via), (&Reading::Seen(2), Via::KernelIterator));
    assert_eq!((&sample.mappings.reading, sample.mappings.via), (&Reading::Seen(41), Via::KernelIterator));
    assert_eq!(sample.thread_groups.seen().unwrap().groups[0].count, 2);
    assert_eq!(sample.descriptor_types.seen().unwrap().counts[&DescriptorType::File], 2);
    assert!(sweep.report.tasks_by_kernel && sweep.report.descriptors_by_kernel);
}

#[test]
fn a_route_that_is_refused_is_replaced() {
    let proc = FakeProc::new();
    proc.process(812, 1, 2, 23);
    let mut kernel = FakeKernel { refuses_descriptors: true, ..FakeKernel::default() };
    let sweep = default_sweeper(&proc).sweep(&targets([812]), Some(&mut kernel));
    let sample = &sweep.samples[0];
    assert_eq!(sample.descriptor_types.seen().unwrap().counts[&DescriptorType::Pipe], 2);
    assert_eq!(sample.descriptor_types.via, Via::Procfs);
    // The pass over tasks did not know the process: it is younger than the pass.
    assert_eq!((&sample.threads.reading, sample.threads.via), (&Reading::Seen(1), Via::Procfs));
}

#[test]
fn who_left_or_lost_its_pid_is_gone_altogether() {
    let proc = FakeProc::new();
    proc.process(812, 1, 2, 3);
    proc.process(813, 1, 2, 3);
    proc.write(813, "stat", stat_line(813, "another", 'S', 1, START_TICKS + 1));
    let mut kernel = FakeKernel {
        tasks: vec![task(812, 812, START_TICKS), task(813, 813, START_TICKS + 1)],
        descriptors: vec![file(812, 0), file(812, 1), file(813, 0), file(813, 1)],
        ..FakeKernel::default()
    };
    let sweep = default_sweeper(&proc).sweep(&targets([812, 813, 814]), Some(&mut kernel));
    assert_eq!(sweep.samples.iter().map(|sample| sample.process.pid).collect::<Vec<_>>(), [812, 813, 814]);
    assert_eq!(sweep.samples[0].descriptors.reading, Reading::Seen(2));
    for sample in &sweep.samples[1..] {
        assert_eq!(sample.memory.reading, Reading::Gone);
        assert_eq!(sample.threads.reading, Reading::Gone);
        assert_eq!(sample.descriptors.reading, Reading::Gone);
        assert_eq!(sample.descriptor_types.reading, Reading::Gone);
        assert_eq!(sample.connections.reading, Reading::Gone);
        assert_eq!(sample.mappings.reading, Reading::Gone);
        assert_eq!(sample.children.reading, Reading::Gone);
    }
    assert_eq!(sweep.report.gone, 2);
}

#[test]
fn details_wait_for_their_turn() {
    let proc = FakeProc::new();
    let pids = [801, 802, 803, 804];
    for pid in pids {
        proc.process(pid, 1, 10, 10);
    }
    let settings = Settings {
        by_proc: Budget { due: 20, spare: 5 },
        mappings_by_proc: 10,
        refresh_every_beats: 1000,
        ..Settings::default()
    };
    let mut sweeper = sweeper(&proc, settings);
    let targets = targets(pids);
    let read = |sweep: &Sweep| (sweep.report.details_read, sweep.report.details_deferred);
    let first = sweeper.sweep(&targets, None);
    assert_eq!(read(&first), (4, 0), "all at first");
    let idle = sweeper.sweep(&targets, None);
    assert_eq!(read(&idle), (0, 0));
    for (before, after) in first.samples.iter().zip(&idle.samples) {
        assert!(Arc::ptr_eq(&before.descriptor_types, &after.descriptor_types));
        assert!(after.descriptors.at > before.descriptors.at);
    }
    let pairs = first.samples.iter().zip(&idle.samples);
    let recounted = pairs.filter(|(before, after)| before.mappings.at != after.mappings.at).count();
    assert_eq!(recounted, 1, "one process has a turn to count its mappings");

    proc.link(803, "fd/99", "socket:[5]");
    let changed = sweeper.sweep(&targets, None);
    assert_eq!(read(&changed), (1, 0));
    assert_eq!(changed.samples[2].descriptor_types.seen().unwrap().total(), 11);
    for pid in [801, 802, 804] {
        proc.link(pid, "fd/98", "pipe:[5]");
    }
    assert_eq!(read(&sweeper.sweep(&targets, None)), (1, 2), "one more would be beyond the budget");
    assert_eq!(read(&sweeper.sweep(&targets, None)), (1, 1));
    assert_eq!(read(&sweeper.sweep(&targets, None)), (1, 0));
}

#[test]
fn every_process_is_refreshed_and_not_all_at_once() {
    let proc = FakeProc::new();
    for pid in 801..813 {
        proc.process(pid, 1, 10, 0);
    }
    let settings =
        Settings { by_proc: Budget { due: 1000, spare: 0 }, refresh_every_beats: 4, ..Settings::default() };
    let mut sweeper = sweeper(&proc, settings);
    let read: Vec<u64> =
        (0..9).map(|_| sweeper.sweep(&targets(801..813), None).report.details_read).collect();
    assert_eq!(read, [12, 3, 3, 3, 3, 3, 3, 3, 3]);
}

#[test]
fn few_descriptors_are_looked_at_in_every_beat() {
    let proc = FakeProc::new();
    proc.process(812, 1, 400, 0);
    let mut sweeper = default_sweeper(&proc);
    for _ in 0..3 {
        assert_eq!(sweeper.sweep(&targets([812]), None).report.details_read, 1);
    }
}

#[test]
fn one_pass_over_all_where_that_visits_fewer() {
    let proc = FakeProc::new();
    let mut kernel = FakeKernel::default();
    for pid in 801..811 {
        proc.process(pid, 1, 1, 0);
        kernel.descriptors.push(file(pid, 0));
    }
    let mut sweeper = default_sweeper(&proc);
    let sweep = sweeper.sweep(&targets(801..811), Some(&mut kernel));
    assert_eq!(kernel.scopes, [Scope::AllProcesses]);
    assert_eq!((sweep.report.details_read, sweep.report.descriptors_visited), (10, 10));
    let types = |sweep: &Sweep| {
        sweep.samples.iter().map(|sample| sample.descriptor_types.seen().unwrap().total()).sum::<u64>()
    };
    assert_eq!(types(&sweep), 10);
    // Many more descriptors belong to others: from now on it is better to ask for single processes.
    kernel.descriptors.extend((0..50_000).map(|fd| file(5, fd)));
    sweeper.sweep(&targets(801..811), Some(&mut kernel));
    kernel.scopes.clear();
    let sweep = sweeper.sweep(&targets(801..811), Some(&mut kernel));
    assert!(kernel.scopes.iter().all(|scope| matches!(scope, Scope::Process(_))), "{:?}", kernel.scopes);
    assert_eq!(sweep.report.descriptors_visited, 10);
}

#[test]
fn a_limit_that_was_raised_is_told() {
    let proc = FakeProc::new();
    proc.process(812, 1, 0, 0);
    let mut sweeper = sweeper(&proc, Settings { refresh_every_beats: 1, ..Settings::default() });
    assert_eq!(sweeper.sweep(&targets([812]), None).limits, []);
    proc.write(
        812,
        "limits",
        "Max processes  100 100 processes\nMax open files  unlimited 4096 files\n\
         Max address space  unlimited unlimited bytes\nMax data size  unlimited unlimited bytes\n",
    );
    let told = sweeper.sweep(&targets([812]), None).limits;
    let expected =
        Limits { open_files: None, user_processes: Some(100), mappings: Some(65530), ..Limits::default() };
    assert_eq!(told, [(target(812).id, expected)]);
}

#[test]
fn a_zombie_has_no_memory_and_garbage_is_a_gap() {
    let proc = FakeProc::new();
    proc.process(812, 1, 1, 1);
    proc.process(813, 1, 1, 1);
    proc.write(812, "status", "Name:\tx\nUid:\t0\t0\t0\t0\nThreads:\t1\n");
    proc.write(813, "status", &status(1)[..50]);
    let sweep = default_sweeper(&proc).sweep(&targets([812, 813]), None);
    assert_eq!(sweep.samples[0].memory.reading, Reading::Gone);
    assert_eq!(sweep.samples[1].memory.reading, Reading::Unsupported);
    assert_eq!(sweep.samples[1].descriptors.reading, Reading::Seen(1));
}
