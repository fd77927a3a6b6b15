//! The ledger of descriptors, as the programs have it.

use super::allocations;
use super::attach::{Attaching, Hook};
use super::map::KernelMap;
use crate::observed::ledger::Route;
use crate::source::kernel::opened::{self, RawDescriptor};
use crate::source::kernel::probes::{Outcome, ProbeName};
use aya::Ebpf;
use std::io;
use std::time::Duration;
use watcher_ebpf::{DescriptorEntry, DescriptorKey};

#[derive(Debug)]
pub(super) struct DescriptorMap(KernelMap<DescriptorKey, DescriptorEntry>);

impl DescriptorMap {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        KernelMap::of(ebpf, "DESCRIPTORS").map(DescriptorMap)
    }

    pub(super) fn of_process(&self, pid: i32) -> io::Result<Vec<RawDescriptor>> {
        self.0.select(|key, entry| (key.tgid == pid.cast_unsigned()).then(|| descriptor(key, entry)))
    }

    pub(super) fn forget(&self, pid: i32, which: &[RawDescriptor]) -> io::Result<()> {
        let tgid = pid.cast_unsigned();
        let keys: Vec<DescriptorKey> =
            which.iter().map(|raw| DescriptorKey { tgid, fd: raw.fd.cast_unsigned() }).collect();
        self.0.remove_all(&keys)
    }

    /// Forgets everything about a process.
    pub(super) fn forget_process(&self, pid: i32) -> io::Result<()> {
        self.0.remove_where(|key, _| key.tgid == pid.cast_unsigned())
    }
}

pub(super) fn descriptor(key: DescriptorKey, entry: &DescriptorEntry) -> RawDescriptor {
    RawDescriptor {
        fd: key.fd.cast_signed(),
        inode: (entry.mode != 0).then_some(entry.inode),
        at: Duration::from_nanos(entry.at_ns),
        origin: opened::origin(&entry.origin),
        weight: entry.weight,
        file: None,
    }
}

/// Attaches the programs of this ledger: the exact set, or where this kernel does not take all of it, those at the
/// allocation of files, or else those at system calls.
pub(super) fn attach(attaching: &mut Attaching<'_>) -> Result<Route, Outcome> {
    let refusal = match attaching.all(ProbeName::DescriptorsExact, EXACT) {
        Ok(()) => return Ok(Route::Exact),
        Err(outcome) => outcome,
    };
    match allocations::attach(attaching) {
        Ok(()) => {
            attaching.gap("when a descriptor is closed, until the next scan, and who copies one", &refusal);
            return Ok(Route::Allocations);
        }
        Err(outcome) => {
            attaching.gap("time: every process of the host pays for the system calls of this one", &outcome);
        }
    }
    attaching
        .gap("what comes and goes by no system call of its own, until the kernel's table is read", &refusal);
    attaching.all(ProbeName::DescriptorsByCall, BY_CALL)?;
    for (name, hook, what) in BY_CALL_IF_TAKEN {
        attaching.optional(name, *hook, what);
    }
    Ok(Route::SystemCalls)
}

pub(super) const EXACT: &[(&str, Hook)] = &[
    ("file_installed", Hook::Entry(&["fd_install"])),
    ("file_replaces", Hook::Entry(&["do_dup2"])),
    ("file_not_replaced", Hook::Return("do_dup2")),
    // Linux 6.7 split `filp_close`, and `close(2)` calls only this part of it.
    ("file_closes", Hook::Entry(&["filp_flush", "filp_close"])),
    ("call_closed_range", CLOSE_RANGE),
    ("process_replaced", EXEC),
];

pub(super) const BY_CALL: &[(&str, Hook)] =
    &[("call_opened", Hook::Calls(OPENING)), ("call_closes", Hook::Calls(&["sys_enter_close"]))];

const BY_CALL_IF_TAKEN: &[(&str, Hook, &str)] = &[
    ("call_replaced", Hook::Calls(REPLACING), "who opened what by dup2, dup3 and signalfd"),
    ("call_controlled", Hook::Calls(&["sys_exit_fcntl"]), "who opened what by fcntl"),
    ("call_piped", Hook::Calls(&["sys_exit_pipe", "sys_exit_pipe2"]), "who opened pipes"),
    ("call_paired", Hook::Calls(&["sys_exit_socketpair"]), "who opened pairs of sockets"),
    ("call_received", Hook::Calls(&["sys_exit_recvmsg"]), "who received descriptors from other processes"),
    ("call_closed_range", CLOSE_RANGE, "what close_range closed, until the next scan"),
    ("process_replaced", EXEC, "what exec closed, until the next scan"),
];

const CLOSE_RANGE: Hook = Hook::Calls(&["sys_exit_close_range"]);
const EXEC: Hook = Hook::Typed("sched_process_exec");

const REPLACING: &[&str] = &["sys_exit_dup2", "sys_exit_dup3", "sys_exit_signalfd", "sys_exit_signalfd4"];

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
    "sys_exit_open_by_handle_at",
    "sys_exit_open_tree",
    "sys_exit_fsopen",
    "sys_exit_fspick",
    "sys_exit_fsmount",
    "sys_exit_mq_open",
    "sys_exit_landlock_create_ruleset",
];
