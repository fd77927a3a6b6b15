//! The kernel programs that were loaded, and what came of asking for each.

use super::decode::NanosPerTick;
use super::facts::Facts;
use super::iterator::Table;
use super::lifecycle::Lifecycle;
use super::passes::Passes;
use super::pids::Pids;
use super::probes::{Outcome, Probe, ProbeName};
use aya::Ebpf;
use aya::maps::{PerCpuArray, RingBuf};
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::{BtfTracePoint, ProgramError};

/// The kernel programs that this kernel took.
#[derive(Debug)]
pub struct Kernel {
    pub(super) probes: Vec<Probe>,
    pub(super) tasks: Option<Table>,
    pub(super) descriptors: Option<Table>,
    pub(super) ages: Option<Table>,
    /// The kernel can restrict a pass over descriptors to one process.
    pub(super) one_process: bool,
    pub(super) passes: Passes,
    pub(super) tick: NanosPerTick,
    pub(super) memory_bytes: Option<u64>,
    /// What was learned while loading, for programs that are loaded later.
    pub(super) facts: Facts,
    /// Programs and maps; `None` where nothing could be loaded.
    pub(super) ebpf: Option<Ebpf>,
}

impl Kernel {
    /// Nothing is loaded yet.
    pub(super) fn empty(passes: Passes, tick: NanosPerTick) -> Self {
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
