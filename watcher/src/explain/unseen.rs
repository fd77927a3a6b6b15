//! What could not be seen, one sentence each: readings that failed, and what this version does not read.

use super::Unseen;
use crate::judge::{Gap, Lacking, What};

/// What is missing where the Go runtime is not read.
const RUNTIME: &str = "goroutines and Go heap";

/// What could not be read, and why.
pub(super) fn of_gap(gap: &Gap) -> Unseen {
    let what = match gap.what {
        What::Descriptors => "number of open descriptors",
        What::DescriptorTypes => "types of descriptors",
        What::Connections => "sockets by state and peer",
        What::Threads => "number of threads",
        What::ThreadGroups => "threads by name",
        What::Children => "children",
        What::Mappings => "number of mappings",
        What::Memory => "resident memory",
        What::Cgroup => "cgroup usage and limits",
        What::Runtime => RUNTIME,
    };
    let reason = match gap.denied {
        0 if gap.what == What::Runtime => {
            "the Go runtime was not found in the process's memory: other than Go 1.18 to 1.27 on x86-64, or just \
             starting"
        }
        0 => "this kernel or this process does not offer it",
        _ => "the kernel denied it; root, or the capabilities that `watcher doctor` names, would bring it",
    };
    let failed = gap.denied + gap.unsupported;
    let why = if failed == gap.samples {
        reason.to_owned()
    } else {
        format!("in {failed} of {} samples {reason}", gap.samples)
    };
    Unseen { what: what.to_owned(), why }
}

/// What the captures lack, and why.
pub(super) fn of_capture(lacking: &Lacking) -> Unseen {
    match lacking {
        Lacking::Runtime { because } => Unseen { what: RUNTIME.to_owned(), why: because.clone() },
        Lacking::Goroutines => Unseen {
            what: "goroutines one by one".to_owned(),
            why: "the runtime's list of goroutines could not be read, or not in time, so no line is named for them"
                .to_owned(),
        },
        Lacking::HeapProfile { because } => Unseen {
            what: "heap by line".to_owned(),
            why: match because {
                Some(because) => format!("no heap samples are recorded in this program, because {because}"),
                None => "the heap profile was not read, so no line is named for the heap".to_owned(),
            },
        },
    }
}

/// What this version does not read of any process.
pub(super) fn of_this_version() -> Unseen {
    Unseen {
        what: "opening stacks".to_owned(),
        why: "this version does not record who opens a descriptor or starts a thread, so it names no line of code \
              for these"
            .to_owned(),
    }
}
