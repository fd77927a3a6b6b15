//! The first look at processes: everything that tells an age, in one pass over tasks and one over descriptors.

use super::connections;
use super::inode_clock::InodeClock;
use crate::observed::ages::{Ages, Cohort, Group, LEAST_MEMBERS, MAX_COHORTS, Member, Unread};
use crate::observed::connections::{ConnectionKey, Peer, Role};
use crate::source::proc::{DescriptorLink, ProcRoot};
use crate::source::{KernelTables, Scope, clock};
use crate::vocabulary::descriptor::{DescriptorAge, DescriptorType, OpenDescriptor};
use crate::vocabulary::process::{ProcessId, Target, printable};
use crate::vocabulary::reading::{Moment, Reading};
use crate::vocabulary::socket::{Socket, SocketState};
use crate::vocabulary::task::{Task, ThreadState};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, UNIX_EPOCH};

/// Threads, children and descriptors of one process that are looked at.
const MAX_THINGS: usize = 65_536;
/// What nearly all of a cohort have is told of it.
const NEARLY_ALL: f64 = 0.9;

/// Files of which the paths are looked up, of one process and of all. Of more, every so many-th.
const MAX_PATHS: usize = 512;
const MAX_PATHS_OF_ALL: usize = 8_192;
/// A link that is younger than this was made by our own look.
const LOOK_SECONDS: f64 = 2.0;
/// Of all links so many are older where somebody lists them.
const LISTED: f64 = 0.8;

/// What is gathered of one process.
#[derive(Default)]
struct Gathered {
    threads: Vec<Seen>,
    zombies: Vec<Seen>,
    descriptors: Vec<OpenDescriptor>,
    ages: Vec<DescriptorAge>,
    files: Vec<DescriptorLink>,
    /// Each of the files stands for so many.
    files_one_in: u64,
    beyond: u64,
}

/// A task with its start and its last run.
#[derive(Clone, Copy)]
struct Seen {
    number: i32,
    start_ticks: u64,
    last_run_nanos: Option<u64>,
}

/// Looks at these processes. Those that left meanwhile are left out. The caller makes sure that the others are still who
/// they were.
pub fn look(
    targets: &[&Target],
    kernel: Option<&mut dyn KernelTables>,
    proc: &ProcRoot,
    fallback: &mut dyn KernelTables,
) -> HashMap<ProcessId, Ages> {
    let at = clock::now();
    let mut by_pid: HashMap<i32, Gathered> =
        targets.iter().map(|target| (target.id.pid, Gathered::default())).collect();
    let mut unread = Unread::default();
    // It tells the number that an inode has which is made now, and is among those that are passed.
    let _pipe = std::io::pipe().ok();
    let mut clock = InodeClock::default();
    let mut scheduler_now = None;
    let mut read = false;
    if let Some(kernel) = kernel {
        scheduler_now = tasks_by_kernel(kernel, &mut by_pid);
        read = descriptors(kernel, targets, &mut by_pid, &mut clock, at);
    }
    if scheduler_now.is_none() {
        unread.tasks = !tasks_by_proc(targets, proc, &mut by_pid);
    }
    if !read {
        for gathered in by_pid.values_mut() {
            gathered.descriptors.clear();
            gathered.ages.clear();
        }
        clock = InodeClock::default();
        unread.descriptors = !descriptors(fallback, targets, &mut by_pid, &mut clock, at);
    }
    if !unread.descriptors {
        files(targets, proc, &mut by_pid);
    }
    let clock = clock.ready();
    let look = Look { at, scheduler_now: scheduler_now.flatten(), clock, unread };
    let ages = targets.iter().filter_map(|target| {
        let gathered = by_pid.remove(&target.id.pid)?;
        Some((target.id, look.ages(target.id, gathered)))
    });
    ages.collect()
}

/// `None` where the kernel does not tell; else the newest time of its scheduler's clock.
fn tasks_by_kernel(
    kernel: &mut dyn KernelTables,
    by_pid: &mut HashMap<i32, Gathered>,
) -> Option<Option<u64>> {
    let mut newest = None;
    let mut exited: HashMap<i32, Task> = HashMap::new();
    let mut going_on: HashSet<i32> = HashSet::new();
    let pass = kernel.tasks(&mut |task| {
        newest = newest.max(task.last_run_nanos);
        if let Some(gathered) = by_pid.get_mut(&task.pid)
            && task.state != ThreadState::Dead
        {
            let room = gathered.threads.len() < MAX_THINGS;
            if room { gathered.threads.push(Seen::of(&task)) } else { gathered.beyond += 1 }
        }
        if by_pid.contains_key(&task.parent_pid) {
            match (task.is_leader(), task.state) {
                (true, ThreadState::Dead) => drop(exited.insert(task.pid, task)),
                (false, state) if state != ThreadState::Dead => drop(going_on.insert(task.pid)),
                _ => {}
            }
        }
    });
    if pass != Reading::Seen(()) {
        for gathered in by_pid.values_mut() {
            *gathered = Gathered::default();
        }
        return None;
    }
    for task in exited.into_values().filter(|task| !going_on.contains(&task.pid)) {
        if let Some(gathered) = by_pid.get_mut(&task.parent_pid) {
            gathered.add_zombie(Seen::of(&task));
        }
    }
    Some(newest)
}

/// The same through `/proc`, which does not tell when a task ran last. Whether it could be read.
fn tasks_by_proc(targets: &[&Target], proc: &ProcRoot, by_pid: &mut HashMap<i32, Gathered>) -> bool {
    let mut read = true;
    for target in targets {
        let (Reading::Seen(process), Some(gathered)) =
            (proc.open(target.id.pid), by_pid.get_mut(&target.id.pid))
        else {
            continue;
        };
        let seen = process.tasks(&mut |task| {
            let room = gathered.threads.len() < MAX_THINGS;
            if room { gathered.threads.push(Seen::of(&task)) } else { gathered.beyond += 1 }
        });
        read &= matches!(seen, Reading::Seen(()) | Reading::Gone);
        for pid in process.children().into_seen().unwrap_or_default() {
            if let Reading::Seen(stat) = proc.stat(pid)
                && stat.state == ThreadState::Dead
                && stat.threads <= 1
            {
                let task = stat.into_task(pid, pid);
                gathered.add_zombie(Seen::of(&task));
            }
        }
    }
    read
}

/// Whether descriptors and their ages could be read.
fn descriptors(
    tables: &mut dyn KernelTables,
    targets: &[&Target],
    by_pid: &mut HashMap<i32, Gathered>,
    clock: &mut InodeClock,
    at: Moment,
) -> bool {
    let scope = match targets {
        [one] => Scope::Process(one.id.pid),
        _ => Scope::AllProcesses,
    };
    let listed = tables.descriptors(scope, &mut |descriptor| {
        let Some(gathered) = by_pid.get_mut(&descriptor.pid) else { return };
        let room = gathered.descriptors.len() < MAX_THINGS;
        if room { gathered.descriptors.push(descriptor) } else { gathered.beyond += 1 }
    });
    let wall = at.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    // Of all processes: what others have made since tells the age of what has none of its own.
    let dated = tables.descriptor_ages(Scope::AllProcesses, &mut |age| {
        clock.note(&age, wall);
        if let Some(gathered) = by_pid.get_mut(&age.pid)
            && gathered.ages.len() < MAX_THINGS
        {
            gathered.ages.push(age);
        }
    });
    matches!(listed, Reading::Seen(()) | Reading::Gone) && matches!(dated, Reading::Seen(()) | Reading::Gone)
}

/// What can only be told apart by its path.
fn has_a_path(kind: DescriptorType) -> bool {
    matches!(kind, DescriptorType::File | DescriptorType::Directory | DescriptorType::MemFd)
}

/// Looks up where files lead, of those processes that hold enough of them.
fn files(targets: &[&Target], proc: &ProcRoot, by_pid: &mut HashMap<i32, Gathered>) {
    let mut left = MAX_PATHS_OF_ALL;
    for target in targets {
        let Some(gathered) = by_pid.get_mut(&target.id.pid) else { continue };
        let files = gathered.descriptors.iter().filter(|it| has_a_path(it.kind)).map(|it| it.fd);
        let files: Vec<i32> = files.collect();
        if files.len() < LEAST_MEMBERS || left < LEAST_MEMBERS {
            continue;
        }
        let one_in = files.len().div_ceil(MAX_PATHS.min(left)).max(1);
        let chosen: Vec<i32> = files.into_iter().step_by(one_in).collect();
        left = left.saturating_sub(chosen.len());
        if let Reading::Seen(links) = proc.open(target.id.pid).and_then(|process| process.links(&chosen)) {
            gathered.files = links;
            gathered.files_one_in = one_in as u64;
        }
    }
}

impl Seen {
    fn of(task: &Task) -> Seen {
        Seen { number: task.tid, start_ticks: task.start_ticks, last_run_nanos: task.last_run_nanos }
    }
}

impl Gathered {
    fn add_zombie(&mut self, zombie: Seen) {
        let room = self.zombies.len() < MAX_THINGS;
        if room { self.zombies.push(zombie) } else { self.beyond += 1 }
    }
}

/// By what one look tells ages.
struct Look {
    at: Moment,
    scheduler_now: Option<u64>,
    clock: InodeClock,
    unread: Unread,
}

impl Look {
    fn ages(&self, id: ProcessId, gathered: Gathered) -> Ages {
        let process_seconds = self.since_start(id.start_ticks);
        let mut groups: BTreeMap<Group, Vec<(Member, Option<Facts>)>> = BTreeMap::new();
        let mut add = |group: Group, member: Member, facts: Option<Facts>| {
            groups.entry(group).or_default().push((member, facts));
        };
        for thread in &gathered.threads {
            let age = self.since_start(thread.start_ticks);
            add(Group::Threads, member(thread.number, Some(age), self.since_run(thread)), None);
        }
        for zombie in &gathered.zombies {
            // Its last run was its exit.
            let dead = self.since_run(zombie);
            let age = dead.unwrap_or_else(|| self.since_start(zombie.start_ticks));
            add(
                Group::Zombies,
                Member { dead_seconds: dead, ..member(zombie.number, Some(age), None) },
                None,
            );
        }
        self.add_descriptors(&gathered, process_seconds, &mut add);
        let (cohorts, single) = cohorts(groups, gathered.files_one_in);
        Ages { at: self.at, process_seconds, cohorts, single, beyond: gathered.beyond, unread: self.unread }
    }

    fn add_descriptors(
        &self,
        gathered: &Gathered,
        process_seconds: f64,
        add: &mut impl FnMut(Group, Member, Option<Facts>),
    ) {
        let ages: HashMap<i32, &DescriptorAge> = gathered.ages.iter().map(|age| (age.fd, age)).collect();
        // What was closed between the two passes, and its number given to another, is another inode.
        let age_of = |it: &OpenDescriptor| ages.get(&it.fd).copied().filter(|age| age.inode == it.inode);
        let is_socket = |it: &&OpenDescriptor| it.kind == DescriptorType::Socket;
        let sockets: Vec<&OpenDescriptor> = gathered.descriptors.iter().filter(is_socket).collect();
        let known: Vec<Option<Socket>> = sockets.iter().map(|it| it.socket.clone()).collect();
        let keys = connections::keys(&known, &HashSet::new());
        for ((descriptor, socket), key) in sockets.iter().zip(&known).zip(keys) {
            let Some(socket) = socket.as_ref().filter(|_| key.role != Role::Listener) else { continue };
            let age = age_of(descriptor);
            let tcp = age.and_then(|age| age.tcp);
            let idle = tcp.map(|tcp| tcp.idle().as_secs_f64());
            let unused = tcp.is_some_and(|tcp| tcp.carried_data == Some(false));
            let by_number = || self.clock.age(descriptor.inode);
            // It was used later than it came.
            let at_least = |age: f64| idle.map_or(age, |idle| age.max(idle)).min(process_seconds.max(0.0));
            let dated = match idle {
                Some(idle) if unused => Some((idle, 0.0)),
                _ => by_number().map(|(age, error)| (at_least(age), error)),
            };
            let dead = matches!(socket.state, SocketState::Close | SocketState::CloseWait) && tcp.is_some();
            // One that was never connected is in CLOSE too.
            let dead = dead && socket.peer.is_some();
            let member = Member {
                error_seconds: dated.map_or(0.0, |(_, error)| error),
                dead_seconds: idle.filter(|_| dead),
                ..member(descriptor.fd, dated.map(|(age, _)| age), idle)
            };
            let facts = Facts { state: Some(socket.state), peer: Some(key.peer.clone()), never_used: unused };
            add(group_of(&key), member, Some(facts));
        }
        for descriptor in gathered.descriptors.iter().filter(|it| !is_socket(it)) {
            if has_a_path(descriptor.kind) && !gathered.files.is_empty() {
                continue;
            }
            let age = age_of(descriptor);
            let own_inode = matches!(descriptor.kind, DescriptorType::Pipe | DescriptorType::PidFd);
            let seconds = age.filter(|_| own_inode).map(|age| self.since_wall(age.changed));
            let group = Group::Descriptors { kind: descriptor.kind, path: None };
            let never_used = age.is_some_and(|age| age.never_used);
            let facts = Facts { state: None, peer: None, never_used };
            // What was made before the process began was given to it.
            let seconds = seconds.map(|seconds| seconds.min(process_seconds));
            add(group, member(descriptor.fd, seconds, None), Some(facts));
        }
        let listed = self.listed_before(&gathered.files);
        let files = gathered.descriptors.iter().filter(|it| has_a_path(it.kind));
        let by_number: HashMap<i32, &OpenDescriptor> = files.map(|it| (it.fd, it)).collect();
        for link in &gathered.files {
            let Some(descriptor) = by_number.get(&link.fd) else { continue };
            let unnamed = link.path.ends_with(b" (deleted)");
            // What has no name any more was made for whoever holds it.
            let own = link.born.filter(|_| unnamed || descriptor.kind == DescriptorType::MemFd);
            let seconds = own.or(link.listed.filter(|_| listed)).map(|at| self.since_wall(at));
            let path = (!unnamed).then(|| printable(&link.path));
            let group = Group::Descriptors { kind: descriptor.kind, path };
            let never_used = age_of(descriptor).is_some_and(|age| age.never_used);
            let facts = Facts { state: None, peer: None, never_used };
            add(group, member(link.fd, seconds.map(|it| it.min(process_seconds)), None), Some(facts));
        }
    }

    /// Somebody lists the descriptors again and again: most links are older than this look.
    fn listed_before(&self, files: &[DescriptorLink]) -> bool {
        let old =
            files.iter().filter_map(|link| link.listed).filter(|at| self.since_wall(*at) > LOOK_SECONDS);
        !files.is_empty() && old.count() as f64 >= LISTED * files.len() as f64
    }

    fn since_start(&self, start_ticks: u64) -> f64 {
        self.at.since_boot.saturating_sub(clock::of_ticks(start_ticks)).as_secs_f64()
    }

    /// Seconds since a task ran, by the task that ran last of all.
    fn since_run(&self, task: &Seen) -> Option<f64> {
        let nanos = self.scheduler_now?.saturating_sub(task.last_run_nanos?);
        Some(Duration::from_nanos(nanos).as_secs_f64())
    }

    fn since_wall(&self, then: Duration) -> f64 {
        let now = self.at.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(then).as_secs_f64()
    }
}

/// What else is told of the members of a cohort.
struct Facts {
    state: Option<SocketState>,
    peer: Option<Peer>,
    never_used: bool,
}

fn member(number: i32, age_seconds: Option<f64>, idle_seconds: Option<f64>) -> Member {
    Member {
        number: u64::from(number.unsigned_abs()),
        age_seconds,
        error_seconds: 0.0,
        idle_seconds,
        dead_seconds: None,
    }
}

fn group_of(key: &ConnectionKey) -> Group {
    let (port, path) = match &key.peer {
        Peer::Server { port, .. } => (*port, String::new()),
        Peer::Client { local_port, .. } => (*local_port, String::new()),
        Peer::Path(path) => (0, path.clone()),
        Peer::None => (0, String::new()),
    };
    Group::Sockets { family: key.family, transport: key.transport, role: key.role, port, path }
}

fn cohorts(groups: BTreeMap<Group, Vec<(Member, Option<Facts>)>>, files_one_in: u64) -> (Vec<Cohort>, u64) {
    let mut single = 0;
    let mut cohorts = Vec::new();
    for (group, members) in groups {
        if members.len() < LEAST_MEMBERS {
            single += members.len() as u64;
            continue;
        }
        let facts = || members.iter().filter_map(|(_, facts)| facts.as_ref());
        let state = most(facts().filter_map(|facts| facts.state), members.len());
        let peer = most(facts().filter_map(|facts| facts.peer.clone()), members.len());
        let peers: HashSet<&Peer> = facts().filter_map(|facts| facts.peer.as_ref()).collect();
        let never_used = facts().filter(|facts| facts.never_used).count() as u64;
        let peers = peers.len() as u64;
        let members = members.into_iter().map(|(member, _)| member).collect();
        let one_in = match &group {
            Group::Descriptors { kind, .. } if has_a_path(*kind) => files_one_in,
            _ => 1,
        };
        let cohort = Cohort { state, peer, peers, never_used, ..Cohort::of(group, members) };
        cohorts.push(cohort.standing_for(one_in));
    }
    cohorts.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.group.cmp(&b.group)));
    let left = cohorts.split_off(cohorts.len().min(MAX_COHORTS));
    (cohorts, single + left.iter().map(|cohort| cohort.count).sum::<u64>())
}

/// What nearly all of so many have.
fn most<T: Eq + std::hash::Hash>(values: impl Iterator<Item = T>, of: usize) -> Option<T> {
    let mut counts: HashMap<T, usize> = HashMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    let (value, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (count as f64 >= NEARLY_ALL * of as f64).then_some(value)
}
