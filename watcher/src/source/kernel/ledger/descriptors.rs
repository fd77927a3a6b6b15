//! The ledger of descriptors, as the programs have it.

use super::instance::{Attaching, Hook};
use super::map::KernelMap;
use super::stacks;
use crate::origin::Origin;
use crate::sample::ledger::Route;
use crate::source::kernel::probes::{Outcome, ProbeName};
use aya::Ebpf;
use std::io;
use std::time::Duration;
use watcher_ebpf::{DescriptorEntry, DescriptorKey};

/// A descriptor that the programs believe to be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawDescriptor {
    /// Its number.
    pub fd: i32,
    /// Inode number of its file; `None` where nobody could look at it.
    pub inode: Option<u64>,
    /// When it was opened, in time since boot.
    pub at: Duration,
    /// Who opened it.
    pub origin: Origin,
    /// What the programs know it by.
    pub(super) file: u64,
}

#[derive(Debug)]
pub(super) struct DescriptorMap(KernelMap<DescriptorKey, DescriptorEntry>);

impl DescriptorMap {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        KernelMap::of(ebpf, "DESCRIPTORS").map(DescriptorMap)
    }

    pub(super) fn of_process(&self, pid: i32) -> io::Result<Vec<RawDescriptor>> {
        let mut descriptors = Vec::new();
        self.0.for_each(|key, entry| {
            if key.tgid == pid.cast_unsigned() {
                descriptors.push(descriptor(key, &entry));
            }
        })?;
        Ok(descriptors)
    }

    pub(super) fn forget(&self, pid: i32, which: &[RawDescriptor]) -> io::Result<()> {
        let tgid = pid.cast_unsigned();
        let keys: Vec<DescriptorKey> = which
            .iter()
            .map(|raw| DescriptorKey { tgid, fd: raw.fd.cast_unsigned(), file: raw.file })
            .collect();
        self.0.remove_all(&keys)
    }

    /// Forgets everything about a process.
    pub(super) fn forget_process(&self, pid: i32) -> io::Result<()> {
        let mut keys = Vec::new();
        self.0.for_each(|key, _| {
            if key.tgid == pid.cast_unsigned() {
                keys.push(key);
            }
        })?;
        self.0.remove_all(&keys)
    }
}

fn descriptor(key: DescriptorKey, entry: &DescriptorEntry) -> RawDescriptor {
    RawDescriptor {
        fd: key.fd.cast_signed(),
        inode: (entry.mode != 0).then_some(entry.inode),
        at: Duration::from_nanos(entry.at_ns),
        origin: stacks::origin(&entry.origin),
        file: key.file,
    }
}

/// Attaches the programs of this ledger.
pub(super) fn attach(attaching: &mut Attaching<'_>) -> Result<Route, Outcome> {
    attaching.all(ProbeName::DescriptorsByCall, BY_CALL)?;
    Ok(Route::SystemCalls)
}

const BY_CALL: &[(&str, Hook)] =
    &[("call_opened", Hook::Calls(OPENING)), ("call_closes", Hook::Calls(&["sys_enter_close"]))];

/// System calls whose result is a new descriptor. Some exist on some architectures or in some kernels only.
const OPENING: &[&str] = &[
    "sys_exit_open",
    "sys_exit_openat",
    "sys_exit_openat2",
    "sys_exit_creat",
    "sys_exit_dup",
    "sys_exit_socket",
    "sys_exit_accept",
    "sys_exit_accept4",
    "sys_exit_epoll_create",
    "sys_exit_epoll_create1",
    "sys_exit_eventfd",
    "sys_exit_eventfd2",
    "sys_exit_timerfd_create",
    "sys_exit_inotify_init",
    "sys_exit_inotify_init1",
    "sys_exit_fanotify_init",
    "sys_exit_memfd_create",
    "sys_exit_memfd_secret",
    "sys_exit_pidfd_open",
    "sys_exit_pidfd_getfd",
    "sys_exit_userfaultfd",
    "sys_exit_io_uring_setup",
    "sys_exit_perf_event_open",
];
