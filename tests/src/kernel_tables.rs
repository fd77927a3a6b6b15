//! The kernel's own tables against `/proc`: what the iterators say has to be what a reader of `/proc` finds.
//!
//! The oracle reads `/proc` with code of its own. What may change between two looks is compared only where two
//! looks at `/proc`, before and after the pass, agree.

pub(crate) mod holder;
pub(crate) mod oracle;

use crate::loaded::Loaded;
use anyhow::{Context, Result, bail, ensure};
use holder::Holder;
use oracle::SocketLine;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};
use watcher::source::kernel::Kernel;
use watcher::source::kernel::lifecycle::LifecycleEvent;
use watcher::source::kernel::probes::{Outcome, ProbeName};
use watcher::source::{KernelTables, Scope};
use watcher::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use watcher::vocabulary::reading::Reading;
use watcher::vocabulary::socket::{Family, SocketState};
use watcher::vocabulary::task::{Task, ThreadState};

/// Every type of descriptor, and sockets in every state that can be had on one machine.
pub fn descriptors_equal_procfs() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let holder = Holder::start(&["everything", &directory.path().to_string_lossy()])?;
    let mut kernel = Kernel::load();
    let before = oracle::descriptors(holder.pid())?;
    let one = descriptors(&mut kernel, Scope::Process(holder.pid()))?;
    let all: Vec<_> = descriptors(&mut kernel, Scope::AllProcesses)?
        .into_iter()
        .filter(|descriptor| descriptor.pid == holder.pid())
        .collect();
    ensure!(oracle::descriptors(holder.pid())? == before, "the holder does not hold still");
    ensure!(one == all, "the pass over one process differs from the pass over all");
    let seen: BTreeMap<i32, (DescriptorType, u64)> =
        one.iter().map(|descriptor| (descriptor.fd, (descriptor.kind, descriptor.inode))).collect();
    equal("descriptors", &before, &seen)?;
    ensure!(one.len() == seen.len(), "a descriptor came twice");
    let kinds: BTreeSet<DescriptorType> = one.iter().map(|descriptor| descriptor.kind).collect();
    for kind in [
        DescriptorType::File,
        DescriptorType::Directory,
        DescriptorType::CharDevice,
        DescriptorType::Pipe,
        DescriptorType::Socket,
        DescriptorType::EventFd,
        DescriptorType::Epoll,
        DescriptorType::TimerFd,
        DescriptorType::SignalFd,
        DescriptorType::Inotify,
        DescriptorType::Fanotify,
        DescriptorType::MemFd,
        DescriptorType::PidFd,
        DescriptorType::Namespace,
        DescriptorType::Other,
    ] {
        ensure!(kinds.contains(&kind), "the holder has no {kind:?}: the test proves nothing of it");
    }
    sockets_equal_procfs(holder.pid(), &one)
}

fn sockets_equal_procfs(pid: i32, descriptors: &[OpenDescriptor]) -> Result<()> {
    let table = oracle::sockets(pid)?;
    let mut states = BTreeSet::new();
    let mut compared = 0;
    for descriptor in descriptors.iter().filter(|descriptor| descriptor.kind == DescriptorType::Socket) {
        let socket = descriptor.socket.as_ref().context("a socket came without its protocol half")?;
        let Some(line) = table.get(&descriptor.inode) else {
            // A TCP socket that was never bound is in no table.
            ensure!(
                socket.state == SocketState::Close && socket.local.is_none_or(|local| local.port() == 0),
                "{socket:?} is in no table of /proc/net"
            );
            continue;
        };
        let seen = SocketLine {
            family: socket.family,
            transport: socket.transport,
            state: socket.state,
            local: socket.local,
            peer: socket.peer,
        };
        ensure!(
            seen == line.socket,
            "descriptor {}: {seen:?} is {:?} in /proc/net",
            descriptor.fd,
            line.socket
        );
        if let Some(own) = &line.path {
            // The kernel's table has the own name; ours has the peer's where there is one.
            let path = socket.path.as_ref().context("a named unix socket came without name")?;
            ensure!(path == own, "{path} is {own} in /proc/net/unix");
        }
        if socket.family == Family::Inet {
            states.insert(format!("{:?}", socket.state));
        }
        compared += 1;
    }
    ensure!(compared >= 25, "only {compared} sockets were in the tables of /proc/net");
    let named: Vec<&str> =
        descriptors.iter().filter_map(|descriptor| descriptor.socket.as_ref()?.path.as_deref()).collect();
    for end in ["stream.sock", "datagram.sock", "packets.sock"] {
        // Listener, accepted and dialled end bear the name; the datagram socket alone.
        let expected = if end == "datagram.sock" { 1 } else { 3 };
        let bearers = named.iter().filter(|name| name.ends_with(end)).count();
        ensure!(bearers == expected, "{bearers} sockets are named {end}, not {expected}");
    }
    ensure!(
        named.iter().filter(|name| **name == format!("@holder-{pid}")).count() == 3,
        "no abstract names: {named:?}"
    );
    for state in ["Listen", "Established", "CloseWait", "FinWait2", "SynSent"] {
        ensure!(states.contains(state), "no socket in state {state}: {states:?}");
    }
    Ok(())
}

/// All tasks of the host: ids, parent, start, name, and for those asleep the state.
pub fn tasks_equal_procfs() -> Result<()> {
    let mut kernel = Kernel::load();
    let before = oracle::tasks()?;
    let seen: BTreeMap<i32, Task> = tasks(&mut kernel)?.into_iter().map(|task| (task.tid, task)).collect();
    let after = oracle::tasks()?;
    let mut compared = 0;
    let mut same_state = 0;
    let mut withheld = BTreeSet::new();
    for (tid, expected) in before.iter().filter(|(tid, task)| after.get(tid) == Some(task)) {
        let Some(task) = seen.get(tid) else {
            withheld.insert(expected.pid);
            continue;
        };
        ensure!(
            (task.pid, task.tid, task.parent_pid, task.start_ticks)
                == (expected.pid, expected.tid, expected.parent_pid, expected.start_ticks),
            "{task:?} is {expected:?} in /proc"
        );
        // The kernel adds what a worker works on.
        ensure!(
            task.name == expected.name || task.kernel_thread && expected.name.starts_with(&task.name),
            "{task:?} is {expected:?} in /proc"
        );
        ensure!(task.kernel_thread == expected.kernel_thread, "{task:?} is {expected:?} in /proc");
        compared += 1;
        same_state += usize::from(task.state == expected.state);
    }
    // A hardened kernel may keep a process from all programs; then all of it, and we say so when asked for it.
    ensure!(withheld.len() <= 1, "these processes are in /proc and not in the table: {withheld:?}");
    for pid in withheld {
        ensure!(seen.values().all(|task| task.pid != pid), "some threads of {pid} are missing");
        let reading = kernel.descriptors(Scope::Process(pid), &mut |_| {});
        ensure!(
            reading == Reading::Denied,
            "process {pid} is not in the table, and its descriptors are {reading:?}"
        );
    }
    ensure!(compared >= 50, "only {compared} threads held still");
    ensure!(
        same_state * 10 >= compared * 9,
        "of {compared} threads only {same_state} have the state of /proc"
    );
    let invented: Vec<&Task> = seen
        .values()
        .filter(|task| !before.contains_key(&task.tid) && !after.contains_key(&task.tid))
        .filter(|task| Path::new(&format!("/proc/{}", task.tid)).exists())
        .collect();
    ensure!(invented.is_empty(), "these are in the table and in neither look at /proc: {invented:?}");
    Ok(())
}

/// The number of mappings, of all processes and of one that has many.
pub fn mappings_equal_procfs() -> Result<()> {
    let holder = Holder::start(&["mappings", "4001"])?;
    let mut kernel = Kernel::load();
    let mut differences = compare_mappings(&mut kernel, holder.pid())?;
    // A mapping may come and go between two looks that agree, but not every time.
    for _ in 0..5 {
        if differences.is_empty() {
            break;
        }
        let again = compare_mappings(&mut kernel, holder.pid())?;
        differences.retain(|pid, _| again.contains_key(pid));
    }
    ensure!(
        differences.is_empty(),
        "processes with other mappings than lines in /proc/PID/maps: {differences:?}"
    );
    Ok(())
}

/// Processes whose number of mappings differs: that of the table, and that of `/proc` before and after.
fn compare_mappings(kernel: &mut Kernel, many: i32) -> Result<BTreeMap<i32, (Option<u64>, u64)>> {
    let before = oracle::mappings()?;
    let seen: BTreeMap<i32, Option<u64>> =
        tasks(kernel)?.into_iter().filter(Task::is_leader).map(|task| (task.pid, task.mappings)).collect();
    let after = oracle::mappings()?;
    let still: Vec<(i32, Option<u64>, u64)> = before
        .into_iter()
        .filter(|(pid, count)| after.get(pid) == Some(count))
        .filter_map(|(pid, count)| Some((pid, *seen.get(&pid)?, count)))
        .collect();
    ensure!(still.len() >= 5, "only {} processes held still", still.len());
    let many = seen.get(&many).copied().flatten();
    ensure!(many.is_some_and(|many| many > 4001), "the holder of 4001 mappings has {many:?}");
    Ok(still
        .into_iter()
        .filter(|(_, seen, expected)| seen.unwrap_or(0) != *expected)
        .map(|(pid, seen, expected)| (pid, (seen, expected)))
        .collect())
}

/// A child that exited and was not waited for.
pub fn zombie_is_seen_with_its_parent() -> Result<()> {
    let mut kernel = Kernel::load();
    let mut child = Command::new("true").stdin(Stdio::null()).spawn()?;
    let pid = child.id().cast_signed();
    let deadline = Instant::now() + Duration::from_secs(10);
    let outcome = loop {
        let zombie = tasks(&mut kernel)?.into_iter().find(|task| task.tid == pid);
        match zombie {
            Some(task) if task.state == ThreadState::Dead => break Ok(task),
            _ if Instant::now() > deadline => break Err(zombie),
            _ => thread::sleep(Duration::from_millis(5)),
        }
    };
    child.wait()?;
    let Ok(zombie) = outcome else { bail!("the child never became a zombie: {outcome:?}") };
    ensure!(
        zombie.parent_pid == std::process::id().cast_signed(),
        "the zombie has another parent: {zombie:?}"
    );
    ensure!(zombie.mappings.is_none(), "a zombie has no memory: {zombie:?}");
    Ok(())
}

/// A process whose leader has exited while its other threads live keeps its descriptors.
pub fn descriptors_outlive_the_leader() -> Result<()> {
    const HELD: usize = 1237;
    let holder = Holder::start(&["leaderless", &HELD.to_string()])?;
    let mut kernel = Kernel::load();
    let leader =
        tasks(&mut kernel)?.into_iter().find(|task| task.tid == holder.pid()).context("no leader")?;
    ensure!(leader.state == ThreadState::Dead, "the leader lives: {leader:?}");
    for scope in [Scope::Process(holder.pid()), Scope::AllProcesses] {
        let seen: Vec<i32> = descriptors(&mut kernel, scope)?
            .into_iter()
            .filter(|descriptor| descriptor.pid == holder.pid())
            .map(|descriptor| descriptor.fd)
            .collect();
        let thread = oracle::living_thread(holder.pid())?;
        let expected = oracle::numbers(&format!("/proc/{}/task/{thread}/fd", holder.pid()))?;
        ensure!(expected.len() > HELD, "the holder has only {} descriptors", expected.len());
        ensure!(seen == expected, "{scope:?}: {} descriptors, in /proc {}", seen.len(), expected.len());
    }
    Ok(())
}

/// A process with as many descriptors as this machine allows, up to 60,000.
pub fn large_table_is_seen_whole() -> Result<()> {
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    let count = hard.saturating_sub(100).min(60_000);
    ensure!(count >= 4000, "the hard limit of descriptors is {hard}: too low to show anything");
    let holder = Holder::start(&["many", &count.to_string()])?;
    let mut kernel = Kernel::load();
    let expected = oracle::numbers(&format!("/proc/{}/fd", holder.pid()))?;
    let seen: Vec<i32> = descriptors(&mut kernel, Scope::Process(holder.pid()))?
        .into_iter()
        .map(|descriptor| descriptor.fd)
        .collect();
    ensure!(seen == expected, "{} descriptors, in /proc {}", seen.len(), expected.len());
    Ok(())
}

/// Start and end of a child that lives for a moment, told while somebody waits for them.
pub fn lifecycle_tells_of_a_short_life() -> Result<()> {
    let mut kernel = Kernel::load();
    let mut lifecycle = kernel.take_lifecycle().context("the kernel took no lifecycle program")?;
    ensure!(kernel.take_lifecycle().is_none(), "the events can be taken once");
    let mut child = Command::new("sleep").arg("0.2").spawn()?;
    let pid = child.id().cast_signed();
    let started =
        tasks(&mut kernel)?.into_iter().find(|task| task.tid == pid).context("no child")?.start_ticks;
    let listen = async {
        let mut told = Vec::new();
        loop {
            let (what, process, at) = match lifecycle.next().await {
                LifecycleEvent::Exec { process, at } => ("exec", process, at),
                LifecycleEvent::Exit { process, at } => ("exit", process, at),
            };
            if process.pid == pid {
                told.push((what, process.start_ticks, at));
            }
            if process.pid == pid && what == "exit" {
                return told;
            }
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), listen).await });
    child.wait()?;
    let told = told.context("the end of the child was not told within ten seconds")?;
    let [("exec", exec_start, exec_at), ("exit", exit_start, exit_at)] = told.as_slice() else {
        bail!("told were {told:?}");
    };
    ensure!((*exec_start, *exit_start) == (started, started), "told start times {told:?}, not {started}");
    let lived = exit_at.saturating_sub(*exec_at);
    ensure!(lived >= Duration::from_millis(190) && lived < Duration::from_secs(5), "it lived for {lived:?}");
    ensure!(kernel.lost_events() == Some(0), "lost events: {:?}", kernel.lost_events());
    ensure!(lifecycle.refused_records() == 0, "records were not understood");
    Ok(())
}

/// More starts and ends than the ring buffer holds are counted, not forgotten.
pub fn lost_events_are_counted() -> Result<()> {
    const LIVES: u64 = 4000;
    let mut kernel = Kernel::load();
    let mut lifecycle = kernel.take_lifecycle().context("the kernel took no lifecycle program")?;
    for _ in 0..LIVES {
        ensure!(Command::new("true").status()?.success(), "true failed");
    }
    let mut told = 0;
    while lifecycle.take().is_some() {
        told += 1;
    }
    let lost = kernel.lost_events().context("nothing counts what is lost")?;
    ensure!(told + lost >= 2 * LIVES, "{told} told and {lost} lost of at least {}", 2 * LIVES);
    ensure!(lost > 0, "the ring buffer held {told} events: the test proves nothing");
    Ok(())
}

/// Without type information the programs that need it are not asked for, and everything says so.
pub fn kernel_without_types_costs_its_rows_only() -> Result<()> {
    let mut kernel = Kernel::load_with(Path::new("/nonexistent/btf"));
    let outcome = |id| kernel.outcome(id).cloned().context("every row is always there");
    ensure!(
        matches!(outcome(ProbeName::KernelTypes)?, Outcome::NotHere { why } if why.contains("/nonexistent/btf"))
    );
    for id in
        [ProbeName::Tasks, ProbeName::Descriptors, ProbeName::Exec, ProbeName::Exit, ProbeName::OneProcess]
    {
        ensure!(matches!(outcome(id)?, Outcome::NotAsked { .. }), "{id:?}: {:?}", outcome(id)?);
    }
    ensure!(outcome(ProbeName::RingBuffer)?.works() && outcome(ProbeName::Tracepoint)?.works());
    ensure!(kernel.tasks(&mut |_| {}) == Reading::Unsupported, "tasks were read all the same");
    ensure!(kernel.descriptors(Scope::AllProcesses, &mut |_| {}) == Reading::Unsupported);
    ensure!(kernel.take_lifecycle().is_none(), "events are told all the same");
    Ok(())
}

/// One look has the kernel check what lists tasks and descriptors and nothing else, and lists the same.
pub fn one_look_loads_the_tables_only() -> Result<()> {
    let mut kernel = Kernel::load_tables();
    let outcome = |id| kernel.outcome(id).cloned().context("every row is always there");
    for id in [ProbeName::Tasks, ProbeName::Descriptors, ProbeName::Ages, ProbeName::OneProcess] {
        ensure!(outcome(id)?.works(), "{id:?}: {:?}", outcome(id)?);
    }
    for id in [ProbeName::Exec, ProbeName::Uprobe, ProbeName::MappingLedger, ProbeName::TaskLedger] {
        ensure!(matches!(outcome(id)?, Outcome::NotAsked { .. }), "{id:?}: {:?}", outcome(id)?);
    }
    let directory = tempfile::tempdir()?;
    let holder = Holder::start(&["everything", &directory.path().to_string_lossy()])?;
    let scope = Scope::Process(holder.pid());
    let listed = |kernel: &mut Kernel| -> Result<BTreeSet<(i32, DescriptorType, u64)>> {
        Ok(descriptors(kernel, scope)?.iter().map(|it| (it.fd, it.kind, it.inode)).collect())
    };
    let (seen, by_all) = (listed(&mut kernel)?, listed(&mut Kernel::load())?);
    ensure!(seen.len() > 12 && seen == by_all, "all programs see {by_all:?}, the tables alone {seen:?}");
    Ok(())
}

/// Type information that is damaged is refused, whatever the damage.
pub fn damaged_types_are_refused() -> Result<()> {
    let mut bytes = fs::read("/sys/kernel/btf/vmlinux")?;
    bytes.truncate(bytes.len() / 2);
    let file = tempfile::NamedTempFile::new()?;
    fs::write(file.path(), &bytes)?;
    let kernel = Kernel::load_with(file.path());
    ensure!(matches!(kernel.outcome(ProbeName::KernelTypes), Some(Outcome::NotHere { .. })));
    Ok(())
}

/// A process that is not there is told apart from one without descriptors.
pub fn absent_process_is_gone() -> Result<()> {
    let mut kernel = Kernel::load();
    let mut child = Command::new("true").spawn()?;
    let pid = child.id().cast_signed();
    child.wait()?;
    ensure!(kernel.descriptors(Scope::Process(pid), &mut |_| {}) == Reading::Gone, "{pid} is not gone");
    // kthreadd has no descriptors, and is there.
    ensure!(kernel.descriptors(Scope::Process(2), &mut |_| {}) == Reading::Seen(()), "kthreadd is gone");
    Ok(())
}

/// Nothing of ours stays in the kernel, not even when we are killed.
pub fn nothing_stays_loaded() -> Result<()> {
    let holder = Holder::start(&["programs"])?;
    let ours = Loaded::by(holder.pid())?;
    ensure!(ours.programs.len() >= 4, "the holder has only {ours:?}: the test proves nothing");
    ensure!(ours.and(&Loaded::by_all()) == ours, "not all of {ours:?} is among what is loaded");
    drop(holder);
    goes(&ours)
}

/// Fails unless all of it is gone soon.
pub fn goes(ours: &Loaded) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = ours.and(&Loaded::by_all());
        if left.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "these outlive their process: {left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Without capabilities nothing is loaded, and each row names what is missing.
pub fn an_ordinary_user_is_told_what_is_missing() -> Result<()> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let program = directory.path().join("holder");
    fs::copy(holder::program("holder")?, &program)?;
    let output = Command::new(program).arg("rows").uid(65534).gid(65534).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let mut rows = text.lines().filter(|row| !row.starts_with("kernel type information: works"));
    ensure!(text.lines().count() >= 12, "rows are missing: {text}");
    ensure!(
        text.contains("ring buffer: refused: CAP_BPF and CAP_PERFMON are missing"),
        "the missing capabilities are not named: {text}"
    );
    ensure!(rows.all(|row| !row.contains(": works")), "something works without capabilities: {text}");
    Ok(())
}

fn descriptors(kernel: &mut Kernel, scope: Scope) -> Result<Vec<OpenDescriptor>> {
    let mut seen = Vec::new();
    let reading = kernel.descriptors(scope, &mut |descriptor| seen.push(descriptor));
    ensure!(reading == Reading::Seen(()), "descriptors of {scope:?}: {reading:?}, {:?}", kernel.probes());
    Ok(seen)
}

fn tasks(kernel: &mut Kernel) -> Result<Vec<Task>> {
    let mut seen = Vec::new();
    let reading = kernel.tasks(&mut |task| seen.push(task));
    ensure!(reading == Reading::Seen(()), "tasks: {reading:?}, {:?}", kernel.probes());
    Ok(seen)
}

/// Fails with the entries in which two maps differ.
fn equal<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    proc: &BTreeMap<K, V>,
    table: &BTreeMap<K, V>,
) -> Result<()> {
    let keys: BTreeSet<&K> = proc.keys().chain(table.keys()).collect();
    let differences: Vec<String> = keys
        .into_iter()
        .filter(|key| proc.get(key) != table.get(key))
        .map(|key| format!("{key:?}: {:?} in /proc, {:?} in the table", proc.get(key), table.get(key)))
        .collect();
    ensure!(differences.is_empty(), "{what} differ: {}", differences.join("; "));
    Ok(())
}
