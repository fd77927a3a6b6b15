//! What could not be seen, one sentence each: readings that failed, and what this version does not read.

use super::Unseen;
use crate::reading::{Reading, Stamped};
use crate::sample::Sample;
use crate::store::Window;

/// What of a process could not be read in its window, and how often.
pub(super) fn of_window(window: &Window) -> Vec<Unseen> {
    let rows: [(&str, OutcomeOf); 9] = [
        ("number of open descriptors", |sample| Outcome::of(&sample.descriptors)),
        ("types of descriptors", |sample| Outcome::of(&sample.descriptor_types)),
        ("sockets by state and peer", |sample| Outcome::of(&sample.connections)),
        ("number of threads", |sample| Outcome::of(&sample.threads)),
        ("threads by name", |sample| Outcome::of(&sample.thread_groups)),
        ("children", |sample| Outcome::of(&sample.children)),
        ("number of mappings", |sample| Outcome::of(&sample.mappings)),
        ("resident memory", |sample| Outcome::of(&sample.memory)),
        ("cgroup usage and limits", |sample| Outcome::of(&sample.cgroup)),
    ];
    rows.iter().filter_map(|(what, outcome)| missing(what, window.samples().map(outcome))).collect()
}

/// The outcome of one of a sample's readings.
type OutcomeOf = fn(&Sample) -> Outcome;

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Seen,
    Gone,
    Denied,
    Unsupported,
}

impl Outcome {
    fn of<T>(stamped: &Stamped<T>) -> Outcome {
        match stamped.reading {
            Reading::Seen(_) => Outcome::Seen,
            Reading::Gone => Outcome::Gone,
            Reading::Denied => Outcome::Denied,
            Reading::Unsupported => Outcome::Unsupported,
        }
    }
}

fn missing(what: &str, outcomes: impl Iterator<Item = Outcome>) -> Option<Unseen> {
    let (mut all, mut denied, mut unsupported) = (0, 0, 0);
    for outcome in outcomes {
        all += 1;
        denied += usize::from(outcome == Outcome::Denied);
        unsupported += usize::from(outcome == Outcome::Unsupported);
    }
    let reason = match (denied, unsupported) {
        (0, 0) => return None,
        (0, _) => "this kernel or this process does not offer it",
        _ => "the kernel denied it; root, or the capabilities that `watcher doctor` names, would bring it",
    };
    let failed = denied + unsupported;
    let why =
        if failed == all { reason.to_owned() } else { format!("in {failed} of {all} samples {reason}") };
    Some(Unseen { what: what.to_owned(), why })
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
