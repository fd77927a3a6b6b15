//! The kernel half: programs in the kernel that read its tables and tell of starts and ends of processes.
//!
//! [`Kernel::load`] always gives a [`Kernel`]. What this kernel or these privileges do not allow is a row of
//! [`Kernel::probes`], and the caller takes the lesser route. Nothing is pinned: when the `Kernel` and the
//! [`Lifecycle`] are dropped, or the process dies, all programs are detached and gone.
//!
//! The way of a number: a program of `watcher-ebpf` writes a record, at offsets that `offsets` looked up in the
//! kernel's type information with `btf`; `load` has put the program there; `tables` (or `lifecycle`) reads the
//! record through an `iterator` (or a ring buffer), and `decode` makes a value of the vocabulary of it.

mod btf;
mod decode;
mod facts;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod iterator;
pub mod ledger;
pub mod lifecycle;
mod load;
mod memory;
mod offsets;
mod pids;
pub mod probes;
mod tables;
mod tracefs;

use aya::Ebpf;
use aya::maps::{PerCpuArray, RingBuf};
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{BtfTracePoint, ProgramError};
use decode::NanosPerTick;
use facts::Facts;
use iterator::Table;
use lifecycle::Lifecycle;
use pids::Pids;
use probes::{Outcome, Probe, ProbeName};
use std::path::Path;
use tables::Passes;

/// The kernel programs that this kernel took.
#[derive(Debug)]
pub struct Kernel {
    probes: Vec<Probe>,
    tasks: Option<Table>,
    descriptors: Option<Table>,
    ages: Option<Table>,
    /// The kernel can restrict a pass over descriptors to one process.
    one_process: bool,
    passes: Passes,
    tick: NanosPerTick,
    memory_bytes: Option<u64>,
    /// What was learned while loading, for programs that are loaded later.
    facts: Facts,
    /// Programs and maps; `None` where nothing could be loaded.
    ebpf: Option<Ebpf>,
}

impl Kernel {
    /// Loads whatever this kernel takes. Takes some 50 ms of CPU time and for a moment some 25 MB.
    pub fn load() -> Self {
        Kernel::load_with(Path::new(load::KERNEL_TYPES))
    }

    /// Like [`Kernel::load`], with the kernel's type information (BTF) in another file. Where there is no such
    /// file, the programs that need it are not asked for.
    pub fn load_with(types: &Path) -> Self {
        load::load(types, load::Wanted::All)
    }

    /// Loads no more than what lists the tasks and descriptors that there are, which one look needs: takes some 20 ms of
    /// CPU time less.
    pub fn load_tables() -> Self {
        load::load(Path::new(load::KERNEL_TYPES), load::Wanted::Tables)
    }

    fn empty(passes: Passes, tick: NanosPerTick) -> Self {
        Kernel {
            probes: Vec::new(),
            tasks: None,
            descriptors: None,
            ages: None,
            one_process: false,
            passes,
            tick,
            memory_bytes: None,
            facts: Facts::default(),
            ebpf: None,
        }
    }

    /// What the kernel was asked for and what came of it: always the same rows in the same order.
    pub fn probes(&self) -> &[Probe] {
        &self.probes
    }

    /// What came of asking for one thing.
    pub fn outcome(&self, id: ProbeName) -> Option<&Outcome> {
        self.probes.iter().find(|probe| probe.id == id).map(|probe| &probe.outcome)
    }

    /// Begins to tell starts and ends of processes. `None` where the kernel took neither program, or when it was
    /// called before.
    pub fn take_lifecycle(&mut self) -> Option<Lifecycle> {
        // What is told of pids that are not ours says nothing of our processes; its rows say so.
        if !matches!(self.facts.pids, Pids::Same) {
            return None;
        }
        let ebpf = self.ebpf.as_mut()?;
        let mut attached = Vec::new();
        let mut refusals = Vec::new();
        for (id, program) in [(ProbeName::Exec, "process_exec"), (ProbeName::Exit, "process_exit")] {
            match attach(ebpf, program) {
                Ok(link) => attached.push(link),
                // Its row says already why.
                Err(ProgramError::NotLoaded) => {}
                Err(error) => {
                    refusals.push((id, format!("The kernel took the program but not its hook: {error}.")));
                }
            }
        }
        let events = ebpf.take_map("LIFECYCLE_EVENTS").and_then(|map| RingBuf::try_from(map).ok());
        for (id, why) in refusals {
            if let Some(probe) = self.probes.iter_mut().find(|probe| probe.id == id) {
                probe.outcome = Outcome::Refused { why };
            }
        }
        let events = events.filter(|_| !attached.is_empty())?;
        Some(Lifecycle::new(events, self.tick, attached))
    }

    /// Starts and ends of processes that were not told because nobody read fast enough; `None` where none are.
    pub fn lost_events(&self) -> Option<u64> {
        let lost = PerCpuArray::<_, u64>::try_from(self.ebpf.as_ref()?.map("LIFECYCLE_LOST")?).ok()?;
        lost.get(&0, 0).ok().map(|by_cpu| by_cpu.iter().sum())
    }

    /// Kernel memory of programs and maps; `None` where nothing is loaded or the kernel does not say.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }
}

fn attach(ebpf: &mut Ebpf, program: &str) -> Result<BtfTracePointLink, ProgramError> {
    let program: &mut BtfTracePoint = ebpf.program_mut(program).ok_or(ProgramError::NotLoaded)?.try_into()?;
    let link = program.attach()?;
    program.take_link(link)
}
