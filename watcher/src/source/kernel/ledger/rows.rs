//! What of the ledgers this kernel takes, as rows of `watcher doctor`.

use super::attach::{Attaching, Hook};
use super::{allocations, descriptors, mappings, tasks};
use crate::source::kernel::probes::{Outcome, Probe, ProbeName};

/// A row: the programs that it takes, and what a person reads.
struct Row {
    id: ProbeName,
    programs: &'static [(&'static str, Hook)],
    name: &'static str,
    lost: &'static str,
    needs: &'static str,
}

const ROWS: [Row; 5] = [
    Row {
        id: ProbeName::DescriptorsExact,
        programs: descriptors::EXACT,
        name: "who opened each descriptor, exactly",
        lost: "Exactness: descriptors that come and go otherwise than by an ordinary system call are found at the \
               next scan, without the stack that opened them.",
        needs: "fentry and fexit trampolines, and Linux 5.17 or newer.",
    },
    Row {
        id: ProbeName::DescriptorsByAllocation,
        programs: allocations::PROGRAMS,
        name: "who opened each descriptor, by the allocation of its file",
        lost: "Next to no cost: where trampolines do not work either, system calls are watched, and every process of \
               the host pays for it.",
        needs: "Linux 6.1 or newer on x86-64, and watcher in the host's pid namespace.",
    },
    Row {
        id: ProbeName::DescriptorsByCall,
        programs: descriptors::BY_CALL,
        name: "who opened each descriptor, by system call",
        lost: "The Go stacks that open descriptors and connections, where trampolines do not work either.",
        needs: "Linux 5.15 or newer on x86-64, CONFIG_FTRACE_SYSCALLS=y and tracefs mounted at /sys/kernel/tracing.",
    },
    Row {
        id: ProbeName::MappingLedger,
        programs: mappings::PROGRAMS,
        name: "who mapped memory",
        lost: "The stacks, of Go and of C, that ask for memory outside the Go heap.",
        needs: "Linux 5.15 or newer on x86-64, CONFIG_FTRACE_SYSCALLS=y and tracefs mounted at /sys/kernel/tracing.",
    },
    Row {
        id: ProbeName::TaskLedger,
        programs: tasks::PROGRAMS,
        name: "who started threads and child processes",
        lost: "The stacks that start threads and child processes.",
        needs: "Linux 5.15 or newer on x86-64, and watcher in the host's pid namespace.",
    },
];

/// Has the kernel check the programs of each row.
pub(super) fn try_all(attaching: &mut Attaching<'_>) -> Vec<Probe> {
    ROWS.iter().map(|row| probe(row, attaching.try_all(row.id, row.programs))).collect()
}

/// The rows, where the programs could not tell the processes that are to be watched.
pub(super) fn refused(why: &str) -> Vec<Probe> {
    ROWS.iter().map(|row| probe(row, Outcome::Refused { why: why.to_owned() })).collect()
}

/// The rows, where nothing could be tried.
pub(super) fn unasked(why: &str) -> Vec<Probe> {
    ROWS.iter().map(|row| probe(row, Outcome::NotAsked { why: why.to_owned() })).collect()
}

fn probe(row: &Row, outcome: Outcome) -> Probe {
    Probe { id: row.id, name: row.name, outcome, lost: row.lost, needs: row.needs }
}
