//! What this host and these privileges allow: the rows of `watcher doctor`, each found out by trying.

use crate::source::cgroup::Hierarchies;
use crate::source::host::{Capabilities, Host};
use crate::source::kernel::Kernel;
use crate::source::kernel::ledger::Ledgers;
use crate::source::kernel::probes::{Outcome, Probe};
use crate::source::memory::{ProcessMemory, entry_address};
use crate::source::proc::{ProcRoot, ProcessDir};
use crate::vocabulary::health::{Check, CheckState};
use crate::vocabulary::reading::Reading;

/// Tries everything that watcher builds on.
pub fn all(proc: &ProcRoot, host: &Host, hierarchies: &Hierarchies, kernel: &Kernel) -> Vec<Check> {
    let mut checks = vec![
        visible_processes(host),
        readable_processes(proc, host),
        readable_memory(proc, host),
        descriptor_counts(proc),
        cgroups(proc, hierarchies),
        network_namespaces(host),
        endpoints(host),
    ];
    let needed_first = missing_for_programs(host);
    checks.extend(kernel.probes().iter().map(|row| probe(row, &needed_first)));
    checks.extend(Ledgers::new(kernel).probes().iter().map(|row| probe(row, &needed_first)));
    checks
}

fn visible_processes(host: &Host) -> Check {
    let state = if host.hides_processes() {
        CheckState::Refused {
            why: "/proc is mounted with hidepid: processes of other users are not even listed.".into(),
        }
    } else {
        CheckState::Works
    };
    Check {
        name: "processes of all users in /proc".into(),
        essential: true,
        state,
        lost: "Processes of other users do not exist for watcher.".into(),
        needs: "Root, or CAP_SYS_PTRACE, or membership in the group that /proc's option gid names.".into(),
    }
}

/// Tries to read the executable and the links of every process that has memory of its own.
fn readable_processes(proc: &ProcRoot, host: &Host) -> Check {
    Check {
        name: "executables and descriptors of all processes".into(),
        essential: true,
        state: tried_on_all(proc, host, |process| {
            process.exe().and_then(|_| process.network_namespace()).map(drop)
        }),
        lost: "Whether those processes are Go, and what they hold open, stays unknown.".into(),
        needs: "Root, or CAP_SYS_PTRACE; for single processes all capabilities that they hold.".into(),
    }
}

/// Tries to read one byte of the memory of every process that has any.
fn readable_memory(proc: &ProcRoot, host: &Host) -> Check {
    let first_byte = |process: &ProcessDir| {
        let entry = entry_address(proc.path(), process.pid());
        entry.and_then(|entry| ProcessMemory::new(process.pid()).probe(entry))
    };
    Check {
        name: "memory of all processes, for the Go runtime's own counts".into(),
        essential: true,
        state: tried_on_all(proc, host, first_byte),
        lost: "Goroutines and the live heap of those processes.".into(),
        needs: "Root, or CAP_SYS_PTRACE; no seccomp filter that forbids process_vm_readv(2).".into(),
    }
}

fn tried_on_all(proc: &ProcRoot, host: &Host, read: impl Fn(&ProcessDir) -> Reading<()>) -> CheckState {
    let (mut readable, mut denied) = (0_u64, 0_u64);
    for pid in proc.pids().unwrap_or_default() {
        match proc.open(pid).and_then(|process| read(&process)) {
            Reading::Seen(()) => readable += 1,
            Reading::Denied => denied += 1,
            // Kernel threads and processes that are leaving have neither executable nor memory.
            Reading::Gone | Reading::Unsupported | Reading::Failed => {}
        }
    }
    let holds_ptrace = host.capabilities.is_some_and(|held| held.has(Capabilities::SYS_PTRACE));
    let all = readable + denied;
    match (readable, denied) {
        (0, 0) => CheckState::Absent { why: "It worked for no process.".into() },
        (_, 0) => CheckState::Works,
        // A process with a capability that we lack may not be read even so (`security/commoncap.c`,
        // cap_ptrace_access_check): a few of these do not make us blind.
        (readable, denied) if holds_ptrace && denied < readable => CheckState::Partly {
            why: format!("{denied} of {all} processes may not be read: they hold capabilities that we lack."),
        },
        (_, denied) => CheckState::Refused { why: format!("{denied} of {all} processes may not be read.") },
    }
}

fn descriptor_counts(proc: &ProcRoot) -> Check {
    let state = if proc.counts_descriptors() {
        CheckState::Works
    } else {
        CheckState::Absent { why: "This kernel does not tell the number of descriptors in one call.".into() }
    };
    Check {
        name: "descriptor counts in one call".into(),
        essential: false,
        state,
        lost: "Speed: descriptors are counted by listing them.".into(),
        needs: "Linux 6.2 or newer.".into(),
    }
}

fn cgroups(proc: &ProcRoot, hierarchies: &Hierarchies) -> Check {
    let own = proc.open(std::process::id().cast_signed()).and_then(|own| own.cgroups());
    let usage = own.and_then(|paths| {
        let membership = hierarchies.membership(&paths);
        membership.usage(&membership.bounds())
    });
    let state = match usage {
        Reading::Seen(usage) if usage.memory_bytes.is_some() && usage.pids.is_some() => CheckState::Works,
        Reading::Seen(_) => CheckState::Partly {
            why: "Our own cgroup does not count both memory and tasks: at the root of a hierarchy the kernel never does."
                .into(),
        },
        Reading::Denied => CheckState::Refused { why: "The files of our own cgroup may not be read.".into() },
        Reading::Failed => {
            CheckState::NotTried { why: "watcher itself lacks file descriptors or memory.".into() }
        }
        Reading::Gone | Reading::Unsupported => {
            CheckState::Absent { why: "No memory or pids controller is mounted here.".into() }
        }
    };
    let (lost, needs) = match state {
        CheckState::Partly { .. } => (
            "How much processes at the root use together. Usage and limits of the cgroups below are read.",
            "Nothing, where only processes of services and containers matter.",
        ),
        _ => (
            "Time left until a container's memory or task limit.",
            "The cgroup file system mounted at /sys/fs/cgroup, with the memory and pids controllers.",
        ),
    };
    Check {
        name: "cgroup usage and limits".into(),
        essential: false,
        state,
        lost: lost.into(),
        needs: needs.into(),
    }
}

fn network_namespaces(host: &Host) -> Check {
    let state = match host.capabilities {
        Some(held) if held.has(Capabilities::SYS_ADMIN) => CheckState::Works,
        Some(_) => CheckState::Refused { why: "CAP_SYS_ADMIN is missing.".into() },
        None => CheckState::Absent { why: "Our own capabilities could not be read.".into() },
    };
    Check {
        name: "sockets of other network namespaces by netlink".into(),
        essential: false,
        state,
        lost: "Where kernel programs do not work either: state and peer of sockets in containers.".into(),
        needs: "Root, or CAP_SYS_ADMIN.".into(),
    }
}

fn endpoints(host: &Host) -> Check {
    let lacks = |name| host.capabilities.is_some_and(|held| !held.has(name));
    let missing: Vec<&str> =
        [Capabilities::SYS_PTRACE, Capabilities::SYS_ADMIN].into_iter().filter(|name| lacks(name)).collect();
    let state = match (host.capabilities, &missing[..]) {
        (None, _) => CheckState::Absent { why: "Our own capabilities could not be read.".into() },
        (Some(_), []) => CheckState::Works,
        (Some(_), missing) => CheckState::Partly {
            why: format!(
                "{} missing: only endpoints of our own processes, in our own network namespace, are asked.",
                missing.join(" and ") + if missing.len() == 1 { " is" } else { " are" }
            ),
        },
    };
    Check {
        name: "pprof endpoints, in the namespaces of their processes".into(),
        essential: false,
        state,
        lost: "What those processes say of themselves: it only confirms what is seen from outside.".into(),
        needs: "Root, or CAP_SYS_PTRACE to see who listens where and CAP_SYS_ADMIN to go there.".into(),
    }
}

/// What this process lacks before any kernel program can be loaded; empty where it lacks nothing.
fn missing_for_programs(host: &Host) -> String {
    let held = |name| host.capabilities.is_none_or(|all| all.has(name) || all.has(Capabilities::SYS_ADMIN));
    if held(Capabilities::BPF) && held(Capabilities::PERFMON) {
        return String::new();
    }
    "Root, or CAP_BPF and CAP_PERFMON. Then: ".to_owned()
}

fn probe(probe: &Probe, needed_first: &str) -> Check {
    let state = match &probe.outcome {
        Outcome::Works => CheckState::Works,
        Outcome::Refused { why } => CheckState::Refused { why: why.clone() },
        Outcome::NotHere { why } => CheckState::Absent { why: why.clone() },
        Outcome::NotAsked { why } => CheckState::NotTried { why: why.clone() },
    };
    Check {
        name: probe.name.into(),
        essential: false,
        state,
        lost: probe.lost.into(),
        needs: format!("{needed_first}{}", probe.needs),
    }
}
