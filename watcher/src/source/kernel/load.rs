//! Loads the kernel programs one by one, so that a refusal costs its own row only.

use super::btf::Btf;
use super::decode::NanosPerTick;
use super::facts::Facts;
use super::iterator::Table;
use super::loaded::Kernel;
use super::object::{LEDGER_MAPS, OBJECT};
use super::offsets::OFFSETS;
use super::passes::{Passes, restricts};
use super::pids::{ELSEWHERE, OF_TASKS, Pids};
use super::probes::{Capabilities, Outcome, Probe, ProbeName, explain_types, unasked};
use super::{memory, tracefs};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, EbpfLoader, Endianness};
use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;

/// Where a kernel with uprobes shows the number by which they are asked for.
const UPROBES: &str = "/sys/bus/event_source/devices/uprobe/type";
/// Where the kernel shows its type information.
const KERNEL_TYPES: &str = "/sys/kernel/btf/vmlinux";

/// Which of the programs are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// All: what this kernel takes of them decides what can be watched.
    All,
    /// Those that list what is there. Checking the others costs the kernel most of what one look costs.
    Tables,
}

impl Kernel {
    /// Loads whatever this kernel takes. Takes some 50 ms of CPU time and for a moment some 25 MB.
    pub fn load() -> Self {
        Kernel::load_with(Path::new(KERNEL_TYPES))
    }

    /// Like [`Kernel::load`], with the kernel's type information (BTF) in another file. Where there is no such
    /// file, the programs that need it are not asked for.
    pub fn load_with(types: &Path) -> Self {
        load(types, Wanted::All)
    }

    /// Loads no more than what lists the tasks and descriptors that there are, which one look needs: takes some 20 ms of
    /// CPU time less.
    pub fn load_tables() -> Self {
        load(Path::new(KERNEL_TYPES), Wanted::Tables)
    }
}

/// Loads whatever this kernel takes of what is wanted; what it does not take is in the rows.
fn load(types: &Path, wanted: Wanted) -> Kernel {
    let nanos_per_tick = match nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK) {
        Ok(Some(ticks)) if ticks > 0 => 1_000_000_000 / ticks.cast_unsigned(),
        // USER_HZ is 100 on every architecture that Go runs on.
        _ => 10_000_000,
    };
    let mut loading = Loading::new(capabilities());
    let mut kernel = Kernel::empty(Passes::new(NanosPerTick(nanos_per_tick)), NanosPerTick(nanos_per_tick));
    loading.object(types);
    if let Some(mut ebpf) = loading.ebpf.take() {
        loading.programs(&mut ebpf, wanted);
        loading.tables(&ebpf, &mut kernel);
        kernel.memory_bytes = memory::locked_bytes(&ebpf);
        kernel.ebpf = Some(ebpf);
        kernel.facts = Facts {
            types: types.to_owned(),
            nanos_per_tick,
            capabilities: loading.capabilities,
            offsets: loading.offsets,
            unresolved: loading.unresolved,
            pids: loading.pids,
        };
    }
    // Reading the kernel's types takes some 25 MB for a moment, in pieces that the allocator would keep.
    drop(loading.types);
    kernel.probes = loading.probes;
    memory::give_back();
    kernel
}

/// Whether this kernel is of that version or newer.
fn runs_at_least(wanted: (u32, u32)) -> bool {
    let release = nix::sys::utsname::uname().ok();
    let release = release.as_ref().and_then(|name| name.release().to_str()).unwrap_or_default();
    is_at_least(release, wanted)
}

fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|it: char| !it.is_ascii_digit()).map_while(|part| part.parse().ok());
    numbers.next().zip(numbers.next()).is_some_and(|version| version >= wanted)
}

/// The set of this process; the empty one where it cannot be read.
fn capabilities() -> Capabilities {
    let effective = procfs::process::Process::myself().and_then(|me| me.status()).map_or(0, |me| me.capeff);
    Capabilities::from_effective(effective)
}

struct Loading {
    capabilities: Capabilities,
    probes: Vec<Probe>,
    /// Why a program cannot be loaded that needs members which this kernel does not have.
    unresolved: HashMap<ProbeName, Outcome>,
    offsets: Vec<(&'static str, u32)>,
    pids: Pids,
    types: Option<aya::Btf>,
    ebpf: Option<Ebpf>,
}

impl Loading {
    fn new(capabilities: Capabilities) -> Self {
        let probes = unasked(&match capabilities.missing() {
            Some(missing) => format!("It takes a kernel program, and {missing}."),
            None => "It takes a kernel program, and none could be loaded here.".to_owned(),
        });
        Loading {
            capabilities,
            probes,
            unresolved: HashMap::new(),
            offsets: Vec::new(),
            pids: Pids::Same,
            types: None,
            ebpf: None,
        }
    }

    fn set(&mut self, id: ProbeName, outcome: Outcome) {
        if let Some(probe) = self.probes.iter_mut().find(|probe| probe.id == id) {
            probe.outcome = outcome;
        }
    }

    /// Creates the maps and prepares the programs, with the offsets of this kernel.
    fn object(&mut self, types: &Path) {
        // The loader has by default read the kernel's types by now; drop them before our own reader needs room.
        let mut loader = EbpfLoader::new();
        loader.btf(None);
        self.offsets = self.resolve(types);
        for (global, value) in &self.offsets {
            loader.override_global(global, value, true);
        }
        // The ledgers' maps get their size when somebody is watched, in an instance of their own.
        for map in LEDGER_MAPS {
            loader.map_max_entries(map, 1);
        }
        match loader.load(OBJECT) {
            Ok(ebpf) => {
                self.set(ProbeName::RingBuffer, Outcome::Works);
                self.ebpf = Some(ebpf);
            }
            Err(error) => {
                let outcome = self.capabilities.explain_object(&error);
                self.set(ProbeName::RingBuffer, outcome);
            }
        }
    }

    /// Reads the kernel's types: the offsets of our members for the object, and aya's index for attaching.
    fn resolve(&mut self, types: &Path) -> Vec<(&'static str, u32)> {
        let read = fs::read(types);
        let parsed = match &read {
            Ok(bytes) => Btf::parse(bytes).map_err(|error| explain_types(&error)),
            Err(error) => {
                Err(Outcome::NotHere { why: format!("{} cannot be read: {error}.", types.display()) })
            }
        };
        let btf = match parsed {
            Ok(btf) => btf,
            Err(outcome) => {
                self.set(ProbeName::KernelTypes, outcome);
                return Vec::new();
            }
        };
        let mut offsets = Vec::new();
        for offset in OFFSETS {
            match offset.resolve(&btf) {
                Ok(value) => offsets.push((offset.global, value)),
                Err(error) => {
                    let outcome = explain_types(&error);
                    self.unresolved.extend(offset.needed_by.iter().map(|id| (*id, outcome.clone())));
                }
            }
        }
        drop(btf);
        offsets.push(("HAS_LOOPS", u32::from(runs_at_least((5, 17)))));
        offsets.push(("TELLS_POINTERS", u32::from(runs_at_least((6, 16)))));
        let parsed = read.map(|bytes| aya::Btf::parse(&bytes, Endianness::default()));
        match parsed {
            Ok(Ok(types)) => {
                self.types = Some(types);
                self.set(ProbeName::KernelTypes, Outcome::Works);
            }
            Ok(Err(error)) => {
                let why = format!("The kernel's type information could not be read: {error}.");
                self.set(ProbeName::KernelTypes, Outcome::NotHere { why });
            }
            // Said above.
            Err(_) => {}
        }
        offsets
    }

    /// Has the kernel check each program; those that do nothing are dropped at once.
    fn programs(&mut self, ebpf: &mut Ebpf, wanted: Wanted) {
        for (id, name, hook) in PROGRAMS {
            let is_wanted = wanted == Wanted::All || matches!(hook, Hook::Iterator(_));
            let outcome = if is_wanted {
                self.program(ebpf, *id, name, *hook)
            } else {
                Outcome::NotAsked { why: "One look takes no more than the kernel's tables.".to_owned() }
            };
            self.set(*id, outcome);
        }
    }

    fn program(&self, ebpf: &mut Ebpf, id: ProbeName, name: &str, hook: Hook) -> Outcome {
        if let Some(outcome) = self.unresolved.get(&id) {
            return outcome.clone();
        }
        if hook.needs_types() && self.types.is_none() {
            return Outcome::NotAsked { why: "It needs the kernel's type information.".to_owned() };
        }
        let loaded = ebpf
            .program_mut(name)
            .ok_or(ProgramError::UnexpectedProgramType)
            .and_then(|program| hook.load(program, self.types.as_ref()));
        match loaded {
            // Loaded is not attached: that takes the number of the tracepoint.
            Ok(()) if matches!(hook, Hook::TryTracepoint) => tracefs::system_calls(),
            Ok(()) => Outcome::Works,
            Err(error) => self.capabilities.explain_program(&error),
        }
    }

    /// Opens the tables and compares what they say of this very process with what `/proc` says.
    fn tables(&mut self, ebpf: &Ebpf, kernel: &mut Kernel) {
        kernel.tasks = self.iterator(ebpf, ProbeName::Tasks, "tasks");
        kernel.descriptors = self.iterator(ebpf, ProbeName::Descriptors, "descriptors");
        kernel.ages = self.iterator(ebpf, ProbeName::Ages, "descriptor_ages");
        let pid = std::process::id().cast_signed();
        let started = procfs::process::Process::myself().and_then(|me| me.stat()).map(|stat| stat.starttime);
        if let (Some(tasks), Ok(started)) = (&kernel.tasks, started) {
            let mistake = match Pids::find(tasks, &mut kernel.passes, (pid, started), kernel.tick) {
                Ok(Pids::Same) => None,
                Ok(other) => {
                    self.counts_otherwise(&other);
                    self.pids = other;
                    Some(ELSEWHERE.to_owned())
                }
                Err(error) => Some(format!("The kernel's table of tasks could not be read: {error}.")),
            };
            if let Some(why) = mistake {
                self.set(ProbeName::Tasks, Outcome::Refused { why: why.clone() });
                self.set(ProbeName::Ages, Outcome::Refused { why: why.clone() });
                self.set(ProbeName::Descriptors, Outcome::Refused { why });
                (kernel.tasks, kernel.descriptors, kernel.ages) = (None, None, None);
            }
        }
        let outcome = match &kernel.descriptors {
            Some(descriptors) => match restricts(descriptors, &mut kernel.passes, pid) {
                Ok(true) => Outcome::Works,
                Ok(false) => Outcome::NotHere { why: "This kernel ignores the restriction.".to_owned() },
                Err(error) => Outcome::NotHere { why: format!("This kernel does not offer it ({error}).") },
            },
            None => Outcome::NotAsked { why: "It needs the pass over all processes.".to_owned() },
        };
        kernel.one_process = outcome.works();
        self.set(ProbeName::OneProcess, outcome);
    }

    /// What does not work where the programs know our processes by other pids.
    fn counts_otherwise(&mut self, pids: &Pids) {
        for id in [ProbeName::Exec, ProbeName::Exit] {
            self.set(id, Outcome::Refused { why: ELSEWHERE.to_owned() });
        }
        let (rows, why): (&[ProbeName], _) = match pids {
            Pids::Unknown(why) => (&[ProbeName::MappingLedger, ProbeName::TaskLedger], *why),
            _ => (&[ProbeName::TaskLedger], OF_TASKS),
        };
        for id in rows {
            self.set(*id, Outcome::Refused { why: why.to_owned() });
        }
    }

    fn iterator(&mut self, ebpf: &Ebpf, id: ProbeName, name: &str) -> Option<Table> {
        let program = ebpf.program(name)?.fd().ok()?;
        match Table::new(program.as_fd()) {
            Ok(iterator) => Some(iterator),
            Err(error) => {
                let outcome = self.capabilities.explain(&error);
                self.set(id, outcome);
                None
            }
        }
    }
}

/// The programs of the object, which row each belongs to, and where it goes.
const PROGRAMS: &[(ProbeName, &str, Hook)] = &[
    (ProbeName::Tasks, "tasks", Hook::Iterator("task")),
    (ProbeName::Descriptors, "descriptors", Hook::Iterator("task_file")),
    (ProbeName::Ages, "descriptor_ages", Hook::Iterator("task_file")),
    (ProbeName::Exec, "process_exec", Hook::TypedTracepoint("sched_process_exec")),
    (ProbeName::Exit, "process_exit", Hook::TypedTracepoint("sched_process_exit")),
    (ProbeName::Fentry, "try_fentry", Hook::TryEntry("fd_install")),
    (ProbeName::Fexit, "try_fexit", Hook::TryReturn("fd_install")),
    (ProbeName::Tracepoint, "try_tracepoint", Hook::TryTracepoint),
    (ProbeName::Uprobe, "try_uprobe", Hook::TryUprobe),
    (ProbeName::PerfEvent, "try_perf_event", Hook::TryPerfEvent),
    // Of each ledger the program that asks most of the kernel: it is loaded again when somebody is watched.
    (ProbeName::MappingLedger, "mmap_returns", Hook::TryTracepoint),
    (ProbeName::TaskLedger, "task_forked", Hook::TryTypedTracepoint("sched_process_fork")),
];

/// Where a program goes; the `Try` kinds are only checked.
#[derive(Clone, Copy)]
enum Hook {
    Iterator(&'static str),
    TypedTracepoint(&'static str),
    TryEntry(&'static str),
    TryReturn(&'static str),
    TryTracepoint,
    TryTypedTracepoint(&'static str),
    TryUprobe,
    TryPerfEvent,
}

impl Hook {
    fn needs_types(self) -> bool {
        !matches!(self, Hook::TryTracepoint | Hook::TryUprobe | Hook::TryPerfEvent)
    }

    fn load(self, program: &mut Program, types: Option<&aya::Btf>) -> Result<(), ProgramError> {
        match (self, program, types) {
            (Hook::Iterator(table), Program::Iter(program), Some(types)) => program.load(table, types),
            (Hook::TypedTracepoint(name), Program::BtfTracePoint(program), Some(types)) => {
                program.load(name, types)
            }
            (Hook::TryEntry(function), Program::FEntry(program), Some(types)) => {
                program.load(function, types)?;
                program.unload()
            }
            (Hook::TryReturn(function), Program::FExit(program), Some(types)) => {
                program.load(function, types)?;
                program.unload()
            }
            (Hook::TryTracepoint, Program::TracePoint(program), _) => {
                program.load()?;
                program.unload()
            }
            (Hook::TryTypedTracepoint(name), Program::BtfTracePoint(program), Some(types)) => {
                program.load(name, types)?;
                program.unload()
            }
            (Hook::TryUprobe, Program::UProbe(program), _) => {
                program.load()?;
                program.unload()?;
                // A kernel without uprobes takes the program all the same, and refuses to attach it.
                fs::metadata(UPROBES).map(drop).map_err(ProgramError::IOError)
            }
            (Hook::TryPerfEvent, Program::PerfEvent(program), _) => {
                program.load()?;
                program.unload()
            }
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_at_least;

    #[test]
    fn releases_are_compared_by_their_numbers() {
        for (release, expected) in [
            ("6.1.0-56-cloud-amd64", true),
            ("5.17.0", true),
            ("5.17-rc1", true),
            ("5.15.0-91-generic", false),
            ("4.18.0-553.el8", false),
            ("", false),
            ("strange", false),
        ] {
            assert_eq!(is_at_least(release, (5, 17)), expected, "{release}");
        }
    }
}
