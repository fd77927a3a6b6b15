//! Reads quotas, as often as it is cheap to: a round over all processes of the host begins when what the last one cost
//! is a small part of the time since.

use crate::observed::Sample;
use crate::observed::connections::Dialled;
use crate::observed::quotas::{Ports, Quota, Quotas};
use crate::source::ports::EphemeralPorts;
use crate::source::proc::{ProcRoot, ProcessDir, WatchCount};
use crate::source::sockdiag::{self, Namespace};
use crate::source::{KernelTables, Scope, clock, userns};
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::{Reading, Stamped, Via};
use crate::vocabulary::socket::{SocketState, Transport};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

/// A round takes no more than one part in so many of the time.
const PART_OF_THE_TIME: u32 = 200;
/// ... and does not come more often than this.
const LEAST_BETWEEN: Duration = Duration::from_secs(8);

/// Of `fdinfo` of inotify descriptors that is read in one beat: some 20,000 watches, in a tenth of a second.
const FDINFO_BYTES_PER_BEAT: u64 = 2 << 20;
/// inotify descriptors of the host that are looked at: a user may have 128 by default.
const MOST_INSTANCES: usize = 65_536;

/// From this part of a limit on it is read what most of it is. A bit less than what is warned of, so that it is there
/// by then.
const NEARLY_FULL: f64 = 0.75;

/// Fewer connections to one peer than this take no part worth speaking of. 28,232 ports there are by default.
const FEW_CONNECTIONS: u64 = 64;

/// Reads quotas, round after round.
#[derive(Debug, Default)]
pub struct Reader {
    kept: HashMap<ProcessId, Arc<Stamped<Quotas>>>,
    /// When the next round is due, in time since boot.
    due: Duration,
    /// What the last round found of each user.
    users: Users,
    /// A count of inotify watches that goes on.
    counting: Option<Counting>,
}

/// What was found of all processes.
#[derive(Debug, Default)]
struct Users {
    tasks: HashMap<u32, u64>,
    /// By user, and by pid: what is told of inotify.
    watches: Watches,
}

/// inotify instances and watches.
#[derive(Debug, Default)]
struct Watches {
    by_user: HashMap<u32, (u64, u64)>,
    by_pid: HashMap<i32, (u32, u64, u64)>,
    max_instances: Option<u64>,
    max_watches: Option<u64>,
}

/// Watches are counted over several beats where there are many.
#[derive(Debug)]
struct Counting {
    found: Watches,
    waiting: VecDeque<(i32, i32)>,
    current: Option<(i32, WatchCount)>,
}

impl Reader {
    /// Puts into each sample what is known; `kernel` may be asked for descriptors. To be called when the other
    /// readings of the samples are there.
    pub fn read(
        &mut self,
        targets: &[Target],
        samples: &mut [Sample],
        root: &ProcRoot,
        kernel: Option<&mut dyn KernelTables>,
    ) {
        let began = clock::now();
        let cpu_began = clock::thread_cpu_time();
        let is_round = began.since_boot >= self.due;
        if is_round {
            self.begin_round(targets, samples, root, kernel);
        }
        self.count_on(root);
        if is_round {
            let mut ranges = HashMap::new();
            for (target, sample) in targets.iter().zip(samples.iter()) {
                let quotas = of_process(target, sample, root, &mut ranges);
                self.keep(target, quotas);
            }
            let cost = clock::thread_cpu_time().saturating_sub(cpu_began);
            self.due = began.since_boot + LEAST_BETWEEN.max(cost * PART_OF_THE_TIME);
        }
        let watched: HashSet<ProcessId> = targets.iter().map(|target| target.id).collect();
        self.kept.retain(|id, _| watched.contains(id));
        for (target, sample) in targets.iter().zip(samples) {
            if let Some(kept) = self.kept.get(&target.id) {
                sample.quotas = self.with_users(target, kept);
            }
        }
    }

    fn keep(&mut self, target: &Target, quotas: Reading<Quotas>) {
        let stamped = Stamped { at: clock::now(), via: Via::Procfs, reading: quotas };
        self.kept.insert(target.id, Arc::new(stamped));
    }

    /// What is known of a process and its user together.
    fn with_users(&self, target: &Target, kept: &Arc<Stamped<Quotas>>) -> Arc<Stamped<Quotas>> {
        let Reading::Seen(own) = &kept.reading else { return Arc::clone(kept) };
        let mut quotas = own.clone();
        if target.limits.user_processes.is_some() {
            quotas.user_tasks = target.uid.and_then(|uid| self.users.tasks.get(&uid)).copied();
        }
        let watches = &self.users.watches;
        if let Some((uid, instances, own_watches)) = watches.by_pid.get(&target.id.pid)
            && let Some((all_instances, all_watches)) = watches.by_user.get(uid)
        {
            let quota = |own: u64, used: u64, of: Option<u64>| of.map(|of| Quota { own, used, of });
            quotas.inotify_instances = quota(*instances, *all_instances, watches.max_instances);
            quotas.inotify_watches = quota(*own_watches, *all_watches, watches.max_watches);
        }
        if quotas == *own {
            return Arc::clone(kept);
        }
        Arc::new(Stamped { at: kept.at, via: kept.via, reading: Reading::Seen(quotas) })
    }

    fn begin_round(
        &mut self,
        targets: &[Target],
        samples: &[Sample],
        root: &ProcRoot,
        kernel: Option<&mut dyn KernelTables>,
    ) {
        let is_bounded = |target: &Target| target.limits.user_processes.is_some() && target.uid != Some(0);
        if targets.iter().any(is_bounded) {
            self.users.tasks = root.tasks_by_user().unwrap_or_default();
        }
        let has_inotify = samples.iter().any(|sample| inotify_instances(sample) > 0);
        if !has_inotify {
            (self.users.watches, self.counting) = (Watches::default(), None);
        } else if self.counting.is_none() {
            self.counting = Counting::begin(root, kernel);
        }
    }

    /// Goes on counting watches, if that is under way, and takes over what was found at its end.
    fn count_on(&mut self, root: &ProcRoot) {
        let Some(counting) = &mut self.counting else { return };
        if counting.go_on(root, FDINFO_BYTES_PER_BEAT)
            && let Some(done) = self.counting.take()
        {
            self.users.watches = done.found;
        }
    }
}

fn inotify_instances(sample: &Sample) -> u64 {
    let types = sample.descriptor_types.seen();
    types.and_then(|types| types.counts.get(&DescriptorType::Inotify)).copied().unwrap_or(0)
}

impl Counting {
    /// Finds the inotify descriptors of the host. `None` where no route is to be had.
    fn begin(root: &ProcRoot, kernel: Option<&mut dyn KernelTables>) -> Option<Self> {
        let mut waiting = VecDeque::new();
        let mut note = |pid, fd, kind| {
            if kind == DescriptorType::Inotify && waiting.len() < MOST_INSTANCES {
                waiting.push_back((pid, fd));
            }
        };
        let by_kernel = kernel.is_some_and(|kernel| {
            let all = kernel.descriptors(Scope::AllProcesses, &mut |it| note(it.pid, it.fd, it.kind));
            all == Reading::Seen(())
        });
        if !by_kernel {
            for pid in root.pids().ok()? {
                // Whoever may not be read is missing in the count, which is then too low.
                if let Reading::Seen(process) = root.open(pid) {
                    let _ = process.descriptors(&mut |it| note(it.pid, it.fd, it.kind));
                }
            }
        }
        let mut found = Watches {
            max_instances: inotify_limit(root, "max_user_instances"),
            max_watches: inotify_limit(root, "max_user_watches"),
            ..Watches::default()
        };
        for (pid, _) in &waiting {
            let count = |(_, instances, _): &mut (u32, u64, u64)| *instances += 1;
            if let Some(known) = found.by_pid.get_mut(pid) {
                count(known);
            } else if let Some(uid) = charged_user(root, *pid) {
                found.by_pid.insert(*pid, (uid, 1, 0));
            }
        }
        waiting.retain(|(pid, _)| found.by_pid.contains_key(pid));
        Some(Counting { found, waiting, current: None })
    }

    /// Whether all are counted.
    fn go_on(&mut self, root: &ProcRoot, mut budget: u64) -> bool {
        while budget > 0 {
            let Some((pid, mut count)) = self.current.take().or_else(|| self.next(root)) else {
                for (uid, instances, watches) in self.found.by_pid.values() {
                    let sum = self.found.by_user.entry(*uid).or_default();
                    *sum = (sum.0 + instances, sum.1 + watches);
                }
                return true;
            };
            match count.go_on(&mut budget) {
                Reading::Seen(None) => self.current = Some((pid, count)),
                Reading::Seen(Some(watches)) => {
                    if let Some((_, _, sum)) = self.found.by_pid.get_mut(&pid) {
                        *sum += watches;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// The next descriptor that is still there.
    fn next(&mut self, root: &ProcRoot) -> Option<(i32, WatchCount)> {
        loop {
            let (pid, fd) = self.waiting.pop_front()?;
            let count = root.open(pid).and_then(|process| process.inotify_watches(fd));
            if let Reading::Seen(count) = count {
                return Some((pid, count));
            }
        }
    }
}

fn inotify_limit(root: &ProcRoot, name: &str) -> Option<u64> {
    let text = fs::read_to_string(root.path().join("sys/fs/inotify").join(name)).ok()?;
    text.trim().parse().ok()
}

fn charged_user(root: &ProcRoot, pid: i32) -> Option<u32> {
    let process = root.open(pid).into_seen()?;
    let uid = process.status().into_seen()?.uid;
    userns::charged_user(&process, uid).into_seen()
}

/// Network namespaces by inode number: from which ports they dial, and whom they have dialled.
type Namespaces = HashMap<u64, Option<(u64, HashMap<Dialled, u64>)>>;

/// What is read of one process alone.
fn of_process(
    target: &Target,
    sample: &Sample,
    root: &ProcRoot,
    namespaces: &mut Namespaces,
) -> Reading<Quotas> {
    let mut quotas = Quotas::default();
    let full = |count: Option<&u64>, limit: Option<u64>| {
        count.copied().zip(limit).filter(|(count, limit)| *count as f64 >= NEARLY_FULL * *limit as f64)
    };
    let descriptors = full(sample.descriptors.seen(), target.limits.open_files);
    let mappings = full(sample.mappings.seen(), target.limits.mappings);
    let dialled =
        sample.connections.seen().and_then(|it| it.dialled_most.filter(|it| it.count >= FEW_CONNECTIONS));
    if descriptors.is_none() && mappings.is_none() && dialled.is_none() {
        return Reading::Seen(quotas);
    }
    root.open(target.id.pid).and_then(|process| {
        if process.id() != Reading::Seen(target.id) {
            return Reading::Gone;
        }
        if let Some((count, _)) = descriptors {
            quotas.descriptor_paths = process.descriptor_paths(count).into_seen().unwrap_or_default();
        }
        if mappings.is_some() {
            quotas.mapping_paths = process.mapping_paths().into_seen().unwrap_or_default();
        }
        if let Some(most) = dialled {
            quotas.ports = ports(target, &process, most.ends, most.count, namespaces);
        }
        Reading::Seen(quotas)
    })
}

/// All connections of the namespace count, whoever has them.
fn ports(
    target: &Target,
    process: &ProcessDir,
    ends: Dialled,
    own: u64,
    namespaces: &mut Namespaces,
) -> Option<Ports> {
    let namespace = target.network_namespace?;
    let known = namespaces.entry(namespace).or_insert_with(|| {
        let ports = EphemeralPorts::of(process).into_seen()?;
        let file = process.open_network_namespace().into_seen()?;
        let is_own = fs::metadata("/proc/self/ns/net").is_ok_and(|own| inode(&own) == namespace);
        let sockets = sockdiag::dump(if is_own { Namespace::Own } else { Namespace::Other(file) });
        let mut taken: HashMap<Dialled, u64> = HashMap::new();
        for socket in sockets.into_seen()?.values() {
            let is_tcp = socket.transport == Transport::Tcp && socket.state != SocketState::Listen;
            if let (true, Some(local), Some(peer)) = (is_tcp, socket.local, socket.peer)
                && ports.range.contains(&local.port())
            {
                *taken.entry(Dialled::of(local, peer)).or_default() += 1;
            }
        }
        Some((ports.count(), taken))
    });
    let (of, taken) = known.as_ref()?;
    let used = taken.get(&ends).copied().unwrap_or(0).max(own);
    Some(Ports { local: ends.local, peer: ends.peer, taken: Quota { own, used, of: *of } })
}

fn inode(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(file)
}

#[cfg(test)]
mod tests;
