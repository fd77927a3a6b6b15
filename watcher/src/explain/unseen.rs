//! What could not be seen, one sentence each: readings that failed, and what this version does not read.

use super::Unseen;
use crate::judge::{Gap, What};

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
    };
    let reason = match gap.denied {
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

/// What this version does not read of any process.
pub(super) fn of_this_version(is_go: bool) -> Vec<Unseen> {
    let mut unseen = vec![Unseen {
        what: "opening stacks".to_owned(),
        why: "this version does not record who opens a descriptor or starts a thread, so it names no line of code"
            .to_owned(),
    }];
    if is_go {
        unseen.push(Unseen {
            what: "goroutines".to_owned(),
            why: "this version does not read the Go runtime's memory, so goroutines are neither counted nor judged"
                .to_owned(),
        });
        unseen.push(Unseen {
            what: "Go heap".to_owned(),
            why: "this version does not read the live heap, so resident memory that grows is not told apart"
                .to_owned(),
        });
    }
    unseen
}
