//! Loading and attaching the programs of the ledgers, as sets: all of one or none.

use crate::source::kernel::facts::Facts;
use crate::source::kernel::iterator::Table;
use crate::source::kernel::probes::{Outcome, ProbeName};
use crate::source::kernel::tracefs;
use aya::programs::fentry::FEntryLink;
use aya::programs::fexit::FExitLink;
use aya::programs::tp_btf::BtfTracePointLink;
use aya::programs::trace_point::{TracePointError, TracePointLink};
use aya::programs::{Program, ProgramError};
use aya::{Ebpf, Endianness};
use std::collections::HashSet;
use std::io;

/// What keeps a program attached.
#[derive(Debug)]
#[expect(dead_code, reason = "links are kept for what dropping them does")]
pub(super) enum Link {
    Entry(FEntryLink),
    Return(FExitLink),
    Typed(BtfTracePointLink),
    Call(TracePointLink),
}

/// Where a program goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook {
    /// The entry of a kernel function, by trampoline: of the first of these that this kernel has.
    Entry(&'static [&'static str]),
    /// The return of a kernel function, by trampoline.
    Return(&'static str),
    /// A tracepoint whose arguments have the kernel's types.
    Typed(&'static str),
    /// Tracepoints of system calls, such as `sys_exit_openat`; those that this kernel does not have are passed over
    /// as long as one is there.
    Calls(&'static [&'static str]),
    /// Instructions of single programs: it is only loaded here.
    Instructions,
    /// A table that is read when it is asked for: it is only loaded here.
    Iterator(&'static str),
}

/// Something that a ledger does without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What is lost, a few words.
    pub what: &'static str,
    /// Why, one sentence.
    pub why: String,
}

/// Attaches programs; those that it has attached go with it unless their links are taken.
pub(super) struct Attaching<'a> {
    pub(super) facts: &'a Facts,
    hidden: &'a HashSet<String>,
    types: Option<aya::Btf>,
    /// Whether tracepoints of system calls can be attached, asked once.
    system_calls: Outcome,
    pub(super) ebpf: &'a mut Ebpf,
    /// What is open and who opened it, where the programs keep no such list themselves.
    pub(super) table: Option<Table>,
    pub(super) links: Vec<Link>,
    pub(super) gaps: Vec<Gap>,
}

impl<'a> Attaching<'a> {
    pub(super) fn new(facts: &'a Facts, hidden: &'a HashSet<String>, ebpf: &'a mut Ebpf) -> Self {
        let system_calls = tracefs::system_calls();
        Attaching {
            facts,
            hidden,
            types: None,
            system_calls,
            ebpf,
            table: None,
            links: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Attaches all of these, or none and why.
    pub(super) fn all(&mut self, row: ProbeName, set: &[(&str, Hook)]) -> Result<(), Outcome> {
        if let Some(outcome) = self.facts.unresolved.get(&row) {
            return Err(outcome.clone());
        }
        let kept = self.links.len();
        for (name, hook) in set {
            if let Err(outcome) = self.one(name, *hook) {
                self.links.truncate(kept);
                return Err(outcome);
            }
        }
        Ok(())
    }

    /// Attaches this one if the kernel takes it; else `what` is a gap.
    pub(super) fn optional(&mut self, name: &str, hook: Hook, what: &'static str) {
        if let Err(outcome) = self.one(name, hook) {
            self.gap(what, &outcome);
        }
    }

    /// Notes what is lost.
    pub(super) fn gap(&mut self, what: &'static str, outcome: &Outcome) {
        self.gaps.push(Gap { what, why: outcome.why().unwrap_or_default().to_owned() });
    }

    /// Has the kernel check all of these without attaching any.
    pub(super) fn try_all(&mut self, row: ProbeName, set: &[(&str, Hook)]) -> Outcome {
        let checked = match self.facts.unresolved.get(&row) {
            Some(outcome) => Err(outcome.clone()),
            None => set.iter().try_for_each(|(name, hook)| self.load(name, *hook).map(drop)),
        };
        checked.err().unwrap_or(Outcome::Works)
    }

    fn one(&mut self, name: &str, hook: Hook) -> Result<(), Outcome> {
        let program = self.load(name, hook)?;
        match hook.attach(program) {
            Ok(links) => self.links.extend(links),
            Err(error) => return Err(self.facts.capabilities.explain_program(&error)),
        }
        Ok(())
    }

    /// Has the kernel check the program, unless it has.
    fn load(&mut self, name: &str, hook: Hook) -> Result<&mut Program, Outcome> {
        if self.hidden.contains(name) {
            return Err(Outcome::Refused { why: format!("The kernel refused the program {name}.") });
        }
        if let (Hook::Calls(_), missing @ Outcome::NotAsked { .. }) = (hook, &self.system_calls) {
            return Err(missing.clone());
        }
        if !matches!(hook, Hook::Calls(_) | Hook::Instructions) && self.types.is_none() {
            let types = aya::Btf::parse_file(&self.facts.types, Endianness::default());
            self.types = Some(types.map_err(|error| Outcome::NotHere {
                why: format!("The kernel's type information could not be read: {error}."),
            })?);
        }
        let program = self.ebpf.program_mut(name).ok_or(ProgramError::UnexpectedProgramType);
        let loaded = program.and_then(|program| {
            hook.load(program, self.types.as_ref())?;
            Ok(program)
        });
        loaded.map_err(|error| self.facts.capabilities.explain_program(&error))
    }
}

impl Hook {
    /// Has the kernel check the program, unless it has.
    fn load(self, program: &mut Program, types: Option<&aya::Btf>) -> Result<(), ProgramError> {
        match (self, program, types) {
            (Hook::Entry(functions), Program::FEntry(program), Some(types)) => {
                let load = |function: &&str| unless_loaded(program.load(function, types));
                let absent = Err(ProgramError::NotLoaded);
                functions.iter().map(load).find(|result| !is_unknown(result)).unwrap_or(absent)
            }
            (Hook::Return(function), Program::FExit(program), Some(types)) => {
                unless_loaded(program.load(function, types))
            }
            (Hook::Typed(name), Program::BtfTracePoint(program), Some(types)) => {
                unless_loaded(program.load(name, types))
            }
            (Hook::Iterator(table), Program::Iter(program), Some(types)) => {
                unless_loaded(program.load(table, types))
            }
            (Hook::Calls(_), Program::TracePoint(program), _) => unless_loaded(program.load()),
            (Hook::Instructions, Program::UProbe(program), _) => unless_loaded(program.load()),
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }

    /// Attaches a program that is loaded.
    fn attach(self, program: &mut Program) -> Result<Vec<Link>, ProgramError> {
        match (self, program) {
            (Hook::Entry(_), Program::FEntry(program)) => {
                let link = program.attach()?;
                Ok(vec![Link::Entry(program.take_link(link)?)])
            }
            (Hook::Return(_), Program::FExit(program)) => {
                let link = program.attach()?;
                Ok(vec![Link::Return(program.take_link(link)?)])
            }
            (Hook::Typed(_), Program::BtfTracePoint(program)) => {
                let link = program.attach()?;
                Ok(vec![Link::Typed(program.take_link(link)?)])
            }
            (Hook::Calls(names), Program::TracePoint(program)) => {
                let mut links = Vec::new();
                let mut absent = None;
                for name in names {
                    match program.attach("syscalls", name) {
                        Ok(link) => links.push(Link::Call(program.take_link(link)?)),
                        Err(error) if is_absent(&error) => absent = Some(error),
                        Err(error) => return Err(error),
                    }
                }
                match absent {
                    Some(error) if links.is_empty() => Err(error),
                    _ => Ok(links),
                }
            }
            // Attached to single processes by whoever knows where, and read by whoever wants to know.
            (Hook::Instructions, Program::UProbe(_)) | (Hook::Iterator(_), Program::Iter(_)) => {
                Ok(Vec::new())
            }
            _ => Err(ProgramError::UnexpectedProgramType),
        }
    }
}

fn unless_loaded(result: Result<(), ProgramError>) -> Result<(), ProgramError> {
    match result {
        Err(ProgramError::AlreadyLoaded) => Ok(()),
        result => result,
    }
}

/// This kernel has no such function.
fn is_unknown(result: &Result<(), ProgramError>) -> bool {
    matches!(result, Err(ProgramError::Btf(aya::BtfError::UnknownBtfTypeName { .. })))
}

/// This kernel has no such tracepoint.
fn is_absent(error: &ProgramError) -> bool {
    matches!(error, ProgramError::TracePointError(TracePointError::FileError { io_error, .. })
        if io_error.kind() == io::ErrorKind::NotFound)
}
