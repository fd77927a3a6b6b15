//! The ledger of mappings, as the programs have it.

use super::attach::{Attaching, Hook};
use super::map::KernelMap;
use crate::observed::ledger::Route;
use crate::source::kernel::opened;
use crate::source::kernel::probes::{Outcome, ProbeName};
use crate::vocabulary::origin::Origin;
use aya::Ebpf;
use std::io;
use std::ops::Range;
use std::time::Duration;
use watcher_ebpf::{BREAK, MAPPED, MappingEntry, MappingKey, PROTECTED, REMAPPED};

/// A range that a system call gave to the process. Parts of it, or all, may have been taken away since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawMapping {
    /// Its addresses.
    pub range: Range<u64>,
    /// By which call.
    pub call: MappingCall,
    /// The call said that it is for a thread's stack (MAP_STACK).
    pub is_thread_stack: bool,
    /// It maps a file.
    pub is_file: bool,
    /// When, in time since boot.
    pub at: Duration,
    /// Who asked for it.
    pub origin: Origin,
    /// What the programs know it by, together with its address.
    pub(crate) covered: u32,
}

/// A system call that gives addresses to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MappingCall {
    /// `mmap(2)`.
    Map,
    /// `mremap(2)`, where it moved or grew.
    Remap,
    /// `brk(2)`, what it added.
    Break,
    /// `mprotect(2)` that made it writable: so C's allocator takes more of what it has reserved for a thread's heap.
    Protect,
}

#[derive(Debug)]
pub(super) struct MappingMap(KernelMap<MappingKey, MappingEntry>);

impl MappingMap {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        KernelMap::of(ebpf, "MAPPINGS").map(MappingMap)
    }

    pub(super) fn of_process(&self, pid: i32) -> io::Result<Vec<RawMapping>> {
        self.0.select(|key, entry| (key.tgid == pid.cast_unsigned()).then(|| mapping(key, entry))?)
    }

    pub(super) fn forget<'a>(&self, pid: i32, which: impl Iterator<Item = &'a RawMapping>) -> io::Result<()> {
        let tgid = pid.cast_unsigned();
        let key = |raw: &RawMapping| MappingKey { tgid, covered: raw.covered, start: raw.range.start };
        self.0.remove_all(&which.map(key).collect::<Vec<_>>())
    }

    /// Forgets everything about a process.
    pub(super) fn forget_process(&self, pid: i32) -> io::Result<()> {
        self.0.remove_where(|key, _| key.tgid == pid.cast_unsigned())
    }
}

/// `None` for what no program of ours wrote.
pub(super) fn mapping(key: MappingKey, entry: &MappingEntry) -> Option<RawMapping> {
    let has = |flag: libc::c_int| entry.flags & flag.cast_unsigned() != 0;
    Some(RawMapping {
        range: key.start..key.start.checked_add(entry.bytes)?,
        call: match entry.call {
            MAPPED => MappingCall::Map,
            REMAPPED => MappingCall::Remap,
            BREAK => MappingCall::Break,
            PROTECTED => MappingCall::Protect,
            _ => return None,
        },
        is_thread_stack: has(libc::MAP_STACK),
        is_file: entry.call == MAPPED && !has(libc::MAP_ANONYMOUS),
        at: Duration::from_nanos(entry.at_ns),
        origin: opened::origin(&entry.origin),
        covered: key.covered,
    })
}

/// Attaches the programs of this ledger.
pub(super) fn attach(attaching: &mut Attaching<'_>) -> Result<Route, Outcome> {
    attaching.all(ProbeName::MappingLedger, PROGRAMS)?;
    Ok(Route::SystemCalls)
}

pub(super) const PROGRAMS: &[(&str, Hook)] = &[
    ("munmap_called", Hook::Calls(&["sys_enter_munmap"])),
    ("mmap_returns", Hook::Calls(&["sys_exit_mmap"])),
    ("mremap_called", Hook::Calls(&["sys_enter_mremap"])),
    ("mremap_returns", Hook::Calls(&["sys_exit_mremap"])),
    ("brk_called", Hook::Calls(&["sys_enter_brk"])),
    ("brk_returns", Hook::Calls(&["sys_exit_brk"])),
    ("mprotect_returns", Hook::Calls(&["sys_exit_mprotect"])),
];
