//! Samples and the routes they come by, against `/proc` and against each other.

use crate::kernel_tables::holder::Holder;
use crate::kernel_tables::oracle::{self, SocketLine};
use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, getrlimit};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};
use std::{fs, thread};
use watcher::observed::Sample;
use watcher::sample::beat::Sweep;
use watcher::sample::sweep::{Settings, Sweeper};
use watcher::source::cgroup::Hierarchies;
use watcher::source::kernel::Kernel;
use watcher::source::proc::{ProcRoot, ProcTables};
use watcher::source::{KernelTables, Scope};
use watcher::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use watcher::vocabulary::process::{Limits, Lineage, Target};
use watcher::vocabulary::reading::{Reading, Via};
use watcher::vocabulary::socket::SocketState;

/// Types and inodes as `/proc/PID/fd` has them, sockets as `/proc/net` has them.
pub fn descriptors_equal_the_oracle() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let holder = Holder::start(&["everything", &directory.path().to_string_lossy()])?;
    wait_for_acknowledgements(holder.pid())?;
    let descriptors = descriptors_of(holder.pid())?;
    let seen: BTreeMap<_, _> =
        descriptors.iter().map(|descriptor| (descriptor.fd, (descriptor.kind, descriptor.inode))).collect();
    let expected = oracle::descriptors(holder.pid())?;
    ensure!(seen == expected, "{seen:?} differs from {expected:?}");

    let table = oracle::sockets(holder.pid())?;
    let mut compared = 0;
    for descriptor in descriptors.iter().filter(|descriptor| descriptor.kind == DescriptorType::Socket) {
        let expected = table.get(&descriptor.inode).map(|found| &found.socket);
        let seen = descriptor.socket.as_ref().map(|socket| SocketLine {
            family: socket.family,
            transport: socket.transport,
            state: socket.state,
            local: socket.local,
            peer: socket.peer,
        });
        ensure!(seen.as_ref() == expected, "descriptor {}: {seen:?}, not {expected:?}", descriptor.fd);
        compared += u32::from(expected.is_some());
    }
    ensure!(compared >= 25, "only {compared} sockets were in the tables of /proc/net");
    Ok(())
}

/// A socket that was shut down stays in FIN_WAIT1 until the other end's delayed acknowledgement has come.
fn wait_for_acknowledgements(pid: i32) -> Result<()> {
    let passing =
        |state| matches!(state, SocketState::FinWait1 | SocketState::LastAck | SocketState::Closing);
    for _ in 0..100 {
        let inodes: BTreeSet<u64> = oracle::descriptors(pid)?.into_values().map(|(_, inode)| inode).collect();
        let table = oracle::sockets(pid)?;
        if !table.iter().any(|(inode, found)| inodes.contains(inode) && passing(found.socket.state)) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    bail!("the holder's sockets do not come to rest")
}

/// A process with as many descriptors as this machine allows, up to 60,000: counted in one call, and visited.
pub fn many_descriptors_are_counted() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let count = hard.saturating_sub(100).min(60_000);
    ensure!(count >= 4000, "the hard limit of descriptors is {hard}: too low to show anything");
    let holder = Holder::start(&["many", &count.to_string()])?;
    let root = ProcRoot::host()?;
    let listed = fs::read_dir(format!("/proc/{}/fd", holder.pid()))?.count() as u64;
    ensure!(listed >= count, "the holder holds {listed} descriptors only");
    let counted = root.descriptor_count(holder.pid());
    ensure!(counted == Reading::Seen(listed), "{counted:?} descriptors counted, {listed} listed");
    let visited = descriptors_of(holder.pid())?.len() as u64;
    ensure!(visited == listed, "{visited} descriptors visited, {listed} listed");
    Ok(())
}

/// The count that the kernel keeps ready is that of the listing, for every process that holds still.
pub fn kept_counts_equal_listings() -> Result<()> {
    let root = ProcRoot::host()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let mut version = kernel.split('.').map_while(|part| part.parse::<u32>().ok());
    let since_6_2 = (version.next(), version.next()) >= (Some(6), Some(2));
    ensure!(root.counts_descriptors() == since_6_2, "Linux {kernel} keeps counts: {since_6_2}");
    let list = |pid: i32| fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count).ok();
    let mut compared = 0;
    // Listing our own descriptors takes one more.
    let own = std::process::id().cast_signed();
    for pid in root.pids()?.into_iter().filter(|pid| *pid != own) {
        let before = list(pid);
        let counted = root.descriptor_count(pid);
        if let (Some(before), Some(after)) = (before, list(pid))
            && before == after
        {
            ensure!(counted == Reading::Seen(before as u64), "pid {pid}: {counted:?}, listed {before}");
            compared += 1;
        }
    }
    ensure!(compared >= 5, "only {compared} processes held still");
    Ok(())
}

/// A listener of a process in another network namespace is found there, and we stay in ours.
pub fn sockets_of_another_network_namespace() -> Result<()> {
    let own = fs::read_link("/proc/thread-self/ns/net")?;
    let (child, port) = listener_elsewhere()?;
    let pid = child.0.id().cast_signed();
    let descriptors = descriptors_of(pid)?;
    let found = descriptors.iter().find(|descriptor| descriptor.fd == 0).context("it has no descriptor 0")?;
    let socket = found.socket.as_ref().context("its socket was not found")?;
    ensure!(
        socket.state == SocketState::Listen && socket.local.map(|local| local.port()) == Some(port),
        "{socket:?} does not listen on {port}"
    );
    ensure!(fs::read_link(format!("/proc/{pid}/ns/net"))? != own, "the child is in our namespace");
    ensure!(fs::read_link("/proc/thread-self/ns/net")? == own, "we were moved to another namespace");
    ensure!(fs::read_link("/proc/self/ns/net")? == own, "the process was moved to another namespace");
    Ok(())
}

/// A child in a network namespace of its own, whose standard input is a listening socket there, and its port.
fn listener_elsewhere() -> Result<(Ending, u16)> {
    // The namespace is this thread's and its child's, and goes with them.
    let thread = thread::spawn(|| -> Result<(Ending, u16)> {
        unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace")?;
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let port = listener.local_addr()?.port();
        let child = Command::new("sleep").arg("60").stdin(Stdio::from(OwnedFd::from(listener))).spawn()?;
        Ok((Ending(child), port))
    });
    thread.join().ok().context("the thread panicked")?
}

/// A child that ends with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // A failure leaves nothing to be done: the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Both routes give the same sample of the same process.
pub fn samples_by_both_routes_are_equal() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let holder = Holder::start(&["everything", &directory.path().to_string_lossy()])?;
    let target = target(holder.pid())?;
    let mut kernel = Kernel::load();
    let by_kernel = sweep(&target, Some(&mut kernel))?;
    let by_proc = sweep(&target, None)?;
    ensure!(by_kernel.report.tasks_by_kernel && by_kernel.report.descriptors_by_kernel, "no kernel route");
    let (ours, theirs) = (only(&by_kernel)?, only(&by_proc)?);
    ensure!(ours.memory.reading == theirs.memory.reading, "{:?}, {:?}", ours.memory, theirs.memory);
    ensure!(ours.mappings.reading == theirs.mappings.reading, "{:?}, {:?}", ours.mappings, theirs.mappings);
    ensure!(ours.threads.reading == theirs.threads.reading, "{:?}, {:?}", ours.threads, theirs.threads);
    ensure!(
        ours.thread_groups.reading == theirs.thread_groups.reading,
        "{:?}, {:?}",
        ours.thread_groups,
        theirs.thread_groups
    );
    ensure!(ours.descriptors.reading == theirs.descriptors.reading, "the counts differ");
    ensure!(
        ours.descriptor_types.reading == theirs.descriptor_types.reading,
        "{:?}, {:?}",
        ours.descriptor_types,
        theirs.descriptor_types
    );
    ensure!(ours.children.reading == theirs.children.reading, "{:?}, {:?}", ours.children, theirs.children);
    ensure!(
        (ours.descriptor_types.via, theirs.descriptor_types.via) == (Via::KernelIterator, Via::Procfs),
        "the routes are not those that were asked for"
    );
    let total = |sample: &Sample| sample.connections.seen().map(|connections| connections.total());
    ensure!(total(ours).is_some() && total(ours) == total(theirs), "the numbers of sockets differ");
    Ok(())
}

fn descriptors_of(pid: i32) -> Result<Vec<OpenDescriptor>> {
    let mut descriptors = Vec::new();
    let visited = ProcTables::new(ProcRoot::host()?)
        .descriptors(Scope::Process(pid), &mut |descriptor| descriptors.push(descriptor));
    ensure!(visited == Reading::Seen(()), "the descriptors of {pid} are {visited:?}");
    Ok(descriptors)
}

fn sweep(target: &Target, kernel: Option<&mut dyn KernelTables>) -> Result<Sweep> {
    let hierarchies = Hierarchies::read(Path::new("/proc"))?;
    let mut sweeper = Sweeper::new(ProcRoot::host()?, hierarchies, Settings::default());
    Ok(sweeper.sweep(std::slice::from_ref(target), kernel))
}

fn only(sweep: &Sweep) -> Result<&Sample> {
    sweep.samples.first().context("no sample came")
}

fn target(pid: i32) -> Result<Target> {
    let process = ProcRoot::host()?.open(pid).into_seen().context("the holder has left")?;
    // It sleeps once it has said that it is ready; before that its memory still moves.
    thread::sleep(Duration::from_millis(50));
    Ok(Target {
        id: process.id().into_seen().context("the holder has left")?,
        parent_pid: 1,
        name: "holder".to_owned(),
        exe: None,
        exe_deleted: false,
        args: Vec::new(),
        uid: None,
        started: SystemTime::UNIX_EPOCH,
        go: None,
        container: None,
        cgroup: None,
        network_namespace: process.network_namespace().into_seen(),
        limits: Limits::default(),
        lineage: Lineage::default(),
    })
}
