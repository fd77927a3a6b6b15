//! The second instance of the object: the programs of the ledgers and their maps at full size.

use super::allocations::{self, FileMap};
use super::attach::{Attaching, Gap, Link};
use super::descriptors::{self, DescriptorMap};
use super::goroutines::BirthMap;
use super::map::KernelMap;
use super::mappings::{self, MappingMap};
use super::rows;
use super::runtime_probes::{self, Bounds, Place, RuntimeProbes};
use super::spans::SpanMaps;
use super::stacks::Stacks;
use super::tasks::{self, TaskMap};
use super::watch::{Kind, Kinds, Refusal};
use crate::observed::ledger::Route;
use crate::source::kernel::facts::Facts;
use crate::source::kernel::iterator::Table;
use crate::source::kernel::memory;
use crate::source::kernel::object::OBJECT;
use crate::source::kernel::opened::RawDescriptor;
use crate::source::kernel::probes::{Outcome, Probe};
use crate::vocabulary::process::ProcessId;
use aya::maps::PerCpuArray;
use aya::{Ebpf, EbpfLoader};
use std::collections::{HashMap, HashSet};
use std::io;
use watcher_ebpf::{BUSY_STACKS, FAILED_STACKS, LOST_STACKS, ProbeSettings, Watched};

#[derive(Debug)]
pub(super) struct Instance {
    facts: Facts,
    hidden: HashSet<String>,
    attached: HashMap<Kind, Attached>,
    pub(super) watched: KernelMap<u32, Watched>,
    pub(super) stacks: Stacks,
    descriptors: DescriptorMap,
    files: FileMap,
    pub(super) mappings: MappingMap,
    pub(super) tasks: TaskMap,
    pub(super) births: BirthMap,
    pub(super) spans: SpanMaps,
    pub(super) probes: RuntimeProbes,
    ebpf: Ebpf,
}

/// The programs of one ledger, attached for as long as this is kept.
#[derive(Debug)]
struct Attached {
    route: Route,
    gaps: Vec<Gap>,
    table: Option<Table>,
    links: Vec<Link>,
}

impl Drop for Attached {
    /// Detaching waits for the kernel, some 10 to 100 ms for each tracepoint: nobody here should.
    fn drop(&mut self) {
        let links = std::mem::take(&mut self.links);
        // Where there is no thread to be had, the closure is dropped here and the links with it.
        let _ = std::thread::Builder::new().name("detach".to_owned()).spawn(move || drop(links));
    }
}

impl Instance {
    /// Creates the maps. No program is loaded before it is attached.
    pub(super) fn load(facts: &Facts, hidden: &HashSet<String>) -> Result<Self, Refusal> {
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        for (global, value) in &facts.offsets {
            loader.override_global(global, value, true);
        }
        // Only the other instance tells of starts and ends; a ring buffer is a whole number of pages.
        loader.map_max_entries("LIFECYCLE_EVENTS", 4096);
        let refused = |outcome| Refusal::Object { outcome };
        let ebpf = loader.load(OBJECT).map_err(|error| refused(facts.capabilities.explain_object(&error)))?;
        let maps = (KernelMap::of(&ebpf, "WATCHED"), Stacks::of(&ebpf), DescriptorMap::of(&ebpf));
        let more = (MappingMap::of(&ebpf), TaskMap::of(&ebpf));
        let ((Some(watched), Some(stacks), Some(descriptors)), (Some(mappings), Some(tasks))) = (maps, more)
        else {
            let why = "The object lacks a map that the ledgers need.".to_owned();
            return Err(refused(Outcome::NotHere { why }));
        };
        let maps = (BirthMap::of(&ebpf), SpanMaps::of(&ebpf), RuntimeProbes::of(&ebpf));
        let (Some(births), Some(spans), Some(probes), Some(files)) =
            (maps.0, maps.1, maps.2, FileMap::of(&ebpf))
        else {
            let why = "The object lacks a map that the probes need.".to_owned();
            return Err(refused(Outcome::NotHere { why }));
        };
        let (facts, hidden) = (facts.clone(), hidden.clone());
        Ok(Instance {
            facts,
            hidden,
            attached: HashMap::new(),
            watched,
            stacks,
            descriptors,
            files,
            mappings,
            tasks,
            births,
            spans,
            probes,
            ebpf,
        })
    }

    /// Attaches the programs of a ledger, unless they are.
    pub(super) fn attach(&mut self, kind: Kind) -> Result<(), Outcome> {
        if self.attached.contains_key(&kind) {
            return Ok(());
        }
        let mut attaching = Attaching::new(&self.facts, &self.hidden, &mut self.ebpf);
        let route = match kind {
            Kind::Descriptors => descriptors::attach(&mut attaching),
            Kind::Mappings => mappings::attach(&mut attaching),
            Kind::Tasks => tasks::attach(&mut attaching),
            Kind::Births | Kind::Spans => runtime_probes::load(&mut attaching, kind),
        };
        let (links, gaps, table) = (attaching.links, attaching.gaps, attaching.table);
        memory::give_back();
        self.attached.insert(kind, Attached { route: route?, gaps, table, links });
        Ok(())
    }

    /// What the programs know of the descriptors of a process.
    pub(super) fn descriptors_of(&self, id: ProcessId, kernel_pid: i32) -> io::Result<Vec<RawDescriptor>> {
        match self.attached.get(&Kind::Descriptors).and_then(|attached| attached.table.as_ref()) {
            Some(table) => allocations::of_process(table, id.pid, kernel_pid),
            None => self.descriptors.of_process(kernel_pid),
        }
    }

    /// Forgets descriptors that turned out not to be open.
    pub(super) fn forget_descriptors(&self, kernel_pid: i32, which: &[RawDescriptor]) -> io::Result<()> {
        match self.route(Kind::Descriptors) {
            // What is listed there is open.
            Some(Route::Allocations) => Ok(()),
            _ => self.descriptors.forget(kernel_pid, which),
        }
    }

    /// What this kernel would take of the ledgers. The programs stay loaded, nothing is attached.
    pub(super) fn rows(&mut self) -> Vec<Probe> {
        rows::try_all(&mut Attaching::new(&self.facts, &self.hidden, &mut self.ebpf))
    }

    pub(super) fn detach(&mut self, kind: Kind) {
        self.attached.remove(&kind);
    }

    pub(super) fn route(&self, kind: Kind) -> Option<Route> {
        self.attached.get(&kind).map(|attached| attached.route)
    }

    pub(super) fn gaps(&self, kind: Kind) -> &[Gap] {
        self.attached.get(&kind).map_or(&[], |attached| &attached.gaps)
    }

    /// Puts probes into the runtime of one process, in the place of those that are there for the same ledger.
    pub(super) fn probe(
        &mut self,
        of: (i32, i32, Kind),
        places: &[Place],
        settings: ProbeSettings,
        bounds: Bounds,
    ) -> Result<(), Outcome> {
        let attached = self.probes.attach(&mut self.ebpf, of, places, settings, bounds);
        attached.map_err(|error| self.facts.capabilities.explain_program(&error))
    }

    /// Tells the programs of a process, last of all what makes them look at it.
    pub(super) fn watch(&self, watched: &Watched, pid: i32, kinds: Kinds) -> io::Result<()> {
        kinds.into_iter().try_for_each(|kind| self.stacks.open(pid, kind))?;
        self.watched.insert(&pid.cast_unsigned(), watched)
    }

    /// Forgets everything about a process, first of all that it is watched.
    pub(super) fn forget(&mut self, pid: i32) -> io::Result<()> {
        self.watched.remove(&pid.cast_unsigned())?;
        for kind in [Kind::Births, Kind::Spans] {
            self.probes.detach(pid, kind)?;
        }
        self.births.retain(pid, |_| false)?;
        self.spans.forget_process(pid)?;
        self.descriptors.forget_process(pid)?;
        self.files.forget_process(pid)?;
        self.mappings.forget_process(pid)?;
        self.tasks.forget_process(pid)?;
        self.stacks.forget(pid)
    }

    pub(super) fn losses(&self) -> Vec<(&'static str, u64)> {
        const REASONS: [(u32, &str); 3] = [
            (LOST_STACKS, "stacks for which there was no room"),
            (BUSY_STACKS, "stacks of which another one was being taken at that moment"),
            (FAILED_STACKS, "stacks that could not be walked"),
        ];
        let counters = self.ebpf.map("LOSSES").and_then(|map| PerCpuArray::<_, u64>::try_from(map).ok());
        let Some(counters) = counters else { return Vec::new() };
        let count = |index| counters.get(&index, 0).map_or(0, |by_cpu| by_cpu.iter().sum());
        REASONS
            .iter()
            .map(|(index, reason)| (*reason, count(*index)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    pub(super) fn memory_bytes(&self) -> Option<u64> {
        memory::locked_bytes(&self.ebpf)
    }
}
