//! The ledgers: programs that note who creates what in the processes that are watched.
//!
//! [`Ledgers`] loads nothing until a process is watched, and then a second instance of the object, whose maps have
//! their full size; when the last process is no longer watched, programs and maps are gone again. Programs of one
//! ledger are attached while some process is watched for it. Every hook first looks up the current process; for all
//! but the watched ones that is all it does.

pub(super) mod allocations;
mod attach;
mod descriptors;
mod goroutines;
mod instance;
mod map;
mod mappings;
mod probing;
mod rows;
mod runtime_probes;
mod spans;
mod stacks;
mod tasks;
mod view;
mod watch;

pub use super::opened::RawDescriptor;
pub use attach::Gap;
pub use goroutines::{BirthStack, RawBirths};
pub use mappings::{MappingCall, RawMapping};
pub use runtime_probes::{Bounds, End, Probing, SpanWatch};
pub use spans::{RawAllocated, RawSample, RawSpan};
pub use stacks::{RawSite, RawTally};
pub use tasks::RawTask;
pub use view::go_view;
pub use watch::{Kind, Kinds, MAX_ONE_IN, MAX_WATCHED, Refusal, TaskKind, leaves_out};

use super::facts::Facts;
use super::loaded::Kernel;
use super::pids::{OF_TASKS, Pids};
use super::probes::{Outcome, Probe, ProbeName};
use crate::observed::ledger::Route;
use crate::source::clock;
use crate::vocabulary::origin::{Origin, StackId};
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Moment;
use instance::Instance;
use stacks::Stacks;
use std::collections::{HashMap, HashSet, hash_map};
use std::io;
use std::time::Duration;
use watcher_ebpf::{GoView, Watched};

/// The ledgers of all watched processes.
#[derive(Debug)]
pub struct Ledgers {
    facts: Facts,
    hidden: HashSet<String>,
    instance: Option<Instance>,
    watched: HashMap<i32, Entry>,
}

/// One watched process.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: ProcessId,
    /// The pid by which the programs know it.
    kernel_pid: i32,
    kinds: Kinds,
    /// When watching began, by kind.
    began: [Option<Moment>; Kind::ALL.len()],
    watched: Watched,
}

/// What the programs know of one ledger of one process.
#[derive(Clone, Debug)]
pub struct RawLedger<T> {
    /// When the programs began to watch.
    pub began: Moment,
    /// How they see what happens.
    pub route: Route,
    /// What they believe to be outstanding.
    pub things: Vec<T>,
    /// The stacks that created it, and what else those have created.
    pub sites: HashMap<StackId, RawSite>,
    /// What is counted apart from stacks.
    pub tally: RawTally,
    /// One of so many things is entered; 1 for all.
    pub one_in: u32,
}

impl Ledgers {
    /// Ledgers that can be loaded as `kernel` was. Loads nothing.
    pub fn new(kernel: &Kernel) -> Self {
        Ledgers {
            facts: kernel.facts.clone(),
            hidden: HashSet::new(),
            instance: None,
            watched: HashMap::new(),
        }
    }

    /// What this kernel takes of the ledgers: always the same rows in the same order. Loads the programs for it, and
    /// drops them unless somebody is watched; takes some 50 ms of CPU time.
    pub fn probes(&mut self) -> Vec<Probe> {
        if !self.facts.can_load() {
            return rows::unasked("It takes kernel programs, and none could be loaded here.");
        }
        if let Pids::Unknown(why) = self.facts.pids {
            return rows::refused(why);
        }
        let mut rows = match &mut self.instance {
            Some(instance) => instance.rows(),
            None => match Instance::load(&self.facts, &self.hidden) {
                Ok(mut instance) => instance.rows(),
                Err(refusal) => rows::unasked(&format!("The ledgers' maps could not be made: {refusal}.")),
            },
        };
        if let Err(outcome) = self.counts_alike(Kind::Tasks) {
            let of_tasks = rows.iter_mut().filter(|row| row.id == ProbeName::TaskLedger);
            of_tasks.for_each(|row| row.outcome = outcome.clone());
        }
        rows
    }

    /// Whether the programs know what a ledger is of by the ids that we know; else why that ledger cannot be kept.
    fn counts_alike(&self, kind: Kind) -> Result<(), Outcome> {
        match self.facts.pids {
            Pids::Translated(_) if kind == Kind::Tasks => Err(Outcome::Refused { why: OF_TASKS.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Behaves from now on as if this kernel refused the program of this name, so that what then happens can be
    /// tested. To be called before anything is watched.
    pub fn refuse(&mut self, program: &str) {
        self.hidden.insert(program.to_owned());
    }

    /// Begins to watch a process for `kinds`, or changes what it is watched for. `view` tells where its goroutines
    /// are; without it, origins name threads and stacks only, and stacks that go through C end there.
    ///
    /// Takes some 30 ms where nothing was watched before.
    ///
    /// # Errors
    /// Where one of the kinds cannot be had; the others are watched all the same. Where too many processes are
    /// watched, or nothing can be loaded; then nothing has changed.
    pub fn watch(&mut self, id: ProcessId, view: Option<GoView>, kinds: Kinds) -> Result<(), Refusal> {
        if !self.facts.can_load() {
            return Err(Refusal::NoPrograms);
        }
        if self.watched.get(&id.pid).is_some_and(|entry| entry.id != id) {
            self.forget(id.pid);
        }
        if !self.watched.contains_key(&id.pid) && self.watched.len() >= MAX_WATCHED {
            return Err(Refusal::TooMany);
        }
        let known = self.watched.get(&id.pid).map(|entry| entry.kernel_pid);
        let kernel_pid = known.or_else(|| self.facts.pids.of(id)).ok_or(Refusal::OtherPids {
            why: match self.facts.pids {
                Pids::Unknown(why) => why,
                _ => "By which pid the programs in the kernel know this process could not be told.",
            },
        })?;
        let alike: HashMap<Kind, Result<(), Outcome>> =
            kinds.into_iter().map(|kind| (kind, self.counts_alike(kind))).collect();
        let instance = match &mut self.instance {
            Some(instance) => instance,
            None => self.instance.insert(Instance::load(&self.facts, &self.hidden)?),
        };
        let mut first_refusal = None;
        let mut granted = Kinds::default();
        for (kind, is_alike) in alike {
            match is_alike.and_then(|()| instance.attach(kind)) {
                Ok(()) => granted.insert(kind),
                Err(outcome) => {
                    first_refusal.get_or_insert(Refusal::Kind { kind, outcome });
                }
            }
        }
        let watched = watch::watched(id, self.facts.nanos_per_tick, granted, view);
        let mut entry = Entry { id, kernel_pid, kinds: granted, began: [None; Kind::ALL.len()], watched };
        if let Some(before) = self.watched.get(&id.pid) {
            entry.began = before.began;
            entry.watched.sample_mask = before.watched.sample_mask;
            entry.watched.scanned_ns = before.watched.scanned_ns;
            entry.watched.scan_gap_ns = before.watched.scan_gap_ns;
        }
        for kind in Kind::ALL {
            let began = &mut entry.began[kind as usize];
            *began = granted.contains(kind).then(|| began.unwrap_or_else(clock::now));
        }
        let result =
            if granted.is_empty() { Ok(()) } else { instance.watch(&entry.watched, kernel_pid, granted) };
        match result {
            Ok(()) if !granted.is_empty() => {
                instance.probes.keep_only(kernel_pid, granted);
                self.watched.insert(id.pid, entry);
            }
            Ok(()) => self.forget(id.pid),
            Err(error) => {
                self.forget(id.pid);
                return Err(Refusal::Maps { error });
            }
        }
        self.detach_unused();
        first_refusal.map_or(Ok(()), Err)
    }

    /// Ceases to watch a process, for everything, and forgets what is known of it. Nothing happens where it is not
    /// watched.
    pub fn unwatch(&mut self, id: ProcessId) {
        if self.watched.get(&id.pid).is_some_and(|entry| entry.id == id) {
            self.forget(id.pid);
            self.detach_unused();
        }
    }

    /// The watched processes.
    pub fn watched(&self) -> impl Iterator<Item = (ProcessId, Kinds)> {
        self.watched.values().map(|entry| (entry.id, entry.kinds))
    }

    /// Enters from now on one of `one_in` new descriptors of a process, rounded up to a power of two; all for 1.
    ///
    /// # Errors
    /// Where it is not watched, or the kernel refuses.
    pub fn sample_descriptors(&mut self, id: ProcessId, one_in: u32) -> io::Result<()> {
        let (Some(instance), Some(entry)) = (&self.instance, self.watched.get_mut(&id.pid)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        entry.watched.sample_mask = one_in.clamp(1, MAX_ONE_IN).next_power_of_two() - 1;
        instance.watched.insert(&entry.kernel_pid.cast_unsigned(), &entry.watched)
    }

    /// The descriptors of a process were listed at this moment, in time since boot: what ended before and was not seen
    /// to end has done so by then.
    ///
    /// # Errors
    /// Where it is not watched, or the kernel refuses.
    pub fn note_scan(&mut self, id: ProcessId, at: Duration) -> io::Result<()> {
        let (Some(instance), Some(entry)) = (&self.instance, self.watched.get_mut(&id.pid)) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let now_ns = watch::nanos(at);
        let gap_ns = now_ns.saturating_sub(entry.watched.scanned_ns);
        entry.watched.scan_gap_ns = entry.watched.scan_gap_ns.max(gap_ns);
        entry.watched.scanned_ns = now_ns;
        instance.watched.insert(&entry.kernel_pid.cast_unsigned(), &entry.watched)
    }

    /// What the programs know of the descriptors of a process; `None` where it is not watched for them, or the maps
    /// cannot be read.
    pub fn descriptors(&self, id: ProcessId) -> Option<RawLedger<RawDescriptor>> {
        let (instance, entry) = self.entry(id)?;
        let one_in = entry.watched.sample_mask.saturating_add(1);
        let kind = Kind::Descriptors;
        self.counted(
            id,
            (kind, kind.bit()),
            one_in,
            || instance.descriptors_of(entry.id, entry.kernel_pid),
            |it| it.origin,
        )
    }

    /// Forgets descriptors that turned out not to be open: their closing was not seen.
    pub fn forget_descriptors(&self, id: ProcessId, which: &[RawDescriptor]) {
        if let Some((instance, entry)) = self.entry(id)
            && let Err(error) = instance.forget_descriptors(entry.kernel_pid, which)
        {
            tracing::warn!(%error, pid = id.pid, "descriptors that were closed unseen stay in the ledger");
        }
    }

    /// What the programs know of the mappings of a process, as far as they were not told to forget it; `None` where
    /// it is not watched for them, or the maps cannot be read.
    pub fn mappings(&self, id: ProcessId) -> Option<RawLedger<RawMapping>> {
        let (instance, entry) = self.entry(id)?;
        let kind = Kind::Mappings;
        self.counted(
            id,
            (kind, kind.bit()),
            1,
            || instance.mappings.of_process(entry.kernel_pid),
            |it| it.origin,
        )
    }

    /// Forgets mappings that somebody else has taken note of, or that turned out to be gone: the maps of the
    /// programs have room for what comes between two scans.
    pub fn forget_mappings<'a>(&self, id: ProcessId, which: impl Iterator<Item = &'a RawMapping>) {
        if let Some((instance, entry)) = self.entry(id)
            && let Err(error) = instance.mappings.forget(entry.kernel_pid, which)
        {
            tracing::warn!(%error, pid = id.pid, "mappings that were taken note of stay in the ledger");
        }
    }

    /// What the programs know of the threads, or of the children, of a process; `None` where it is not watched for
    /// them, or the maps cannot be read.
    pub fn tasks(&self, id: ProcessId, kind: TaskKind) -> Option<RawLedger<RawTask>> {
        let (instance, entry) = self.entry(id)?;
        let things = || instance.tasks.of_process(entry.kernel_pid, kind, self.facts.nanos_per_tick);
        self.counted(id, (Kind::Tasks, kind.bit()), 1, things, |it| it.origin)
    }

    /// Forgets tasks that turned out not to be there.
    pub fn forget_tasks(&self, id: ProcessId, which: &[RawTask]) {
        if let Some((instance, _)) = self.entry(id)
            && let Err(error) = instance.tasks.forget(which)
        {
            tracing::warn!(%error, pid = id.pid, "tasks that ended unseen stay in the ledger");
        }
    }

    /// How the things of a ledger are seen; `None` where no process is watched for it.
    pub fn route(&self, kind: Kind) -> Option<Route> {
        self.instance.as_ref()?.route(kind)
    }

    /// What a ledger does without on this kernel; empty where nothing, and where no process is watched for it.
    pub fn gaps(&self, kind: Kind) -> &[Gap] {
        self.instance.as_ref().map_or(&[], |instance| instance.gaps(kind))
    }

    /// What was dropped for want of room or otherwise, of all processes since the first was watched, by reason;
    /// only what is more than 0.
    pub fn losses(&self) -> Vec<(&'static str, u64)> {
        self.instance.as_ref().map(Instance::losses).unwrap_or_default()
    }

    /// Kernel memory of programs and maps; `None` where nothing is loaded or the kernel does not say.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.instance.as_ref()?.memory_bytes()
    }

    /// A ledger of things that end, kept under `bit`. ended = created − present. Counters are read first, so that newer
    /// entries count as neither.
    fn counted<T>(
        &self,
        id: ProcessId,
        (kind, bit): (Kind, u32),
        one_in: u32,
        things: impl FnOnce() -> io::Result<Vec<T>>,
        origin: impl Fn(&T) -> Origin,
    ) -> Option<RawLedger<T>> {
        let (instance, entry) = self.entry(id)?;
        let tally = instance.stacks.tally(entry.kernel_pid, bit).ok()?;
        let mut sites = instance.stacks.of_process(entry.kernel_pid, bit).ok()?;
        let things = things().ok()?;
        for stack in things.iter().filter_map(|thing| origin(thing).stack) {
            if let hash_map::Entry::Vacant(vacant) = sites.entry(stack)
                && let Some(site) = instance.stacks.get(stack).ok()?
            {
                vacant.insert(site);
            }
        }
        let (began, route) = (entry.began[kind as usize]?, instance.route(kind)?);
        Some(RawLedger { began, route, things, sites, tally, one_in })
    }

    /// Of one ledger everything but the things themselves.
    fn raw<T>(&self, id: ProcessId, kind: Kind, things: Vec<T>, one_in: u32) -> Option<RawLedger<T>> {
        let (instance, entry) = self.entry(id)?;
        let began = entry.began[kind as usize]?;
        let stacks: &Stacks = &instance.stacks;
        Some(RawLedger {
            began,
            route: instance.route(kind)?,
            things,
            sites: stacks.of_process(entry.kernel_pid, kind.bit()).ok()?,
            tally: stacks.tally(entry.kernel_pid, kind.bit()).ok()?,
            one_in,
        })
    }

    fn entry(&self, id: ProcessId) -> Option<(&Instance, &Entry)> {
        let entry = self.watched.get(&id.pid).filter(|entry| entry.id == id)?;
        Some((self.instance.as_ref()?, entry))
    }

    fn forget(&mut self, pid: i32) {
        if let Some(entry) = self.watched.remove(&pid)
            && let Some(instance) = &mut self.instance
            && let Err(error) = instance.forget(entry.kernel_pid)
        {
            tracing::warn!(%error, pid, "what was known of a process stays in the kernel's maps");
        }
    }

    /// Detaches the programs of ledgers that nobody is watched for, and drops everything with the last process.
    fn detach_unused(&mut self) {
        if self.watched.is_empty() {
            self.instance = None;
            return;
        }
        if let Some(instance) = &mut self.instance {
            for kind in Kind::ALL {
                if !self.watched.values().any(|entry| entry.kinds.contains(kind)) {
                    instance.detach(kind);
                }
            }
        }
    }
}

/// Everything that the kernel programs leave in maps, from bytes, for fuzz targets.
#[cfg(feature = "fuzzing")]
pub(super) fn understand(bytes: &[u8]) {
    use super::decode::read;
    let (key, entry) = (read(bytes, 0), read(bytes, 8));
    if let (Ok(key), Ok(entry)) = (key, entry) {
        let _ = descriptors::descriptor(key, &entry);
    }
    if let (Ok(key), Ok(entry)) = (read(bytes, 0), read(bytes, 8)) {
        let _ = goroutines::decode(key, &entry);
    }
    if let (Ok(key), Ok(entry)) = (read(bytes, 0), read(bytes, 8)) {
        let _ = mappings::mapping(key, &entry);
    }
    if let (Ok(address), Ok(entry)) = (read(bytes, 0), read(bytes, 8)) {
        let _ = spans::decode(address, &entry);
    }
    if let (Ok(tid), Ok(entry), Ok(nanos)) = (read(bytes, 0), read(bytes, 8), read(bytes, 4)) {
        let _ = tasks::task(tid, &entry, nanos);
    }
    if let Ok(record) = read(bytes, 0) {
        let _ = stacks::site(&record);
    }
}
