//! What could not be seen, one sentence each: readings that failed, and what was created without a stack.

use super::words::{self, count};
use crate::explain::diagnosis::Unseen;
use crate::judge::judgement::{Lacking, Standstill};
use crate::judge::terms::LedgerName;
use crate::judge::weigh::doubts;
use crate::judge::weigh::gaps::{Gap, What};
use crate::observed::doubts::{Doubt, Structure, Why};
use crate::observed::ledger::{Accounts, Route};
use crate::vocabulary::process::Target;

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
        What::Beats => "samples",
    };
    let reason = match gap.denied {
        0 if gap.what == What::Beats => "were not taken: watcher itself stood still, or was too slow",
        0 if gap.failed > gap.unsupported => {
            "watcher itself lacked file descriptors or memory, or a device failed"
        }
        0 if gap.what == What::Runtime => {
            "the Go runtime was not found in the process's memory: other than Go 1.18 to 1.27 on x86-64, or just \
             starting"
        }
        0 => "this kernel or this process does not offer it",
        _ => "the kernel denied it; root, or the capabilities that `watcher doctor` names, would bring it",
    };
    let failed = gap.denied + gap.unsupported + gap.failed;
    let why = if gap.what == What::Beats {
        format!("{failed} of {} that were due {reason}", gap.samples)
    } else if failed == gap.samples {
        reason.to_owned()
    } else {
        format!("in {failed} of {} samples {reason}", gap.samples)
    };
    unseen(what, why)
}

/// What a program that is not Go has none of. What else is judged of it is judged as of any process.
pub(super) fn not_go(target: &Target) -> Unseen {
    let what = match target.exe {
        Some(_) => "this is no Go program",
        None => {
            "whether this is a Go program is not known, since its executable may not be read without root"
        }
    };
    unseen(
        RUNTIME,
        format!(
            "{what}: descriptors, sockets, threads, children, mappings and memory as a whole are judged, as far as they \
             are seen"
        ),
    )
}

/// What the captures lack, and why.
pub(super) fn of_capture(lacking: &Lacking) -> Unseen {
    let unseen = lacked(lacking);
    // What is recorded only on demand, and what this kernel refuses, is the same for all.
    let is_of_host = match lacking {
        Lacking::Captures | Lacking::Ages | Lacking::AllStacks | Lacking::Stacks { .. } => true,
        Lacking::SomeStacks { .. } => unseen.why == BY_CALLS,
        _ => false,
    };
    Unseen { is_of_host, ..unseen }
}

fn unseen(what: &str, why: impl Into<String>) -> Unseen {
    Unseen { what: what.to_owned(), why: why.into(), is_of_host: false }
}

fn lacked(lacking: &Lacking) -> Unseen {
    match lacking {
        Lacking::Runtime { because } => unseen(RUNTIME, because.as_str()),
        Lacking::Running(why) => unseen(
            "what it does when it runs",
            format!("{}; what does not run does not grow", standing_still(*why)),
        ),
        Lacking::Captures => {
            unseen("goroutines and heap by line", "they are looked at one by one only while something grows")
        }
        Lacking::Goroutines => unseen(
            "goroutines one by one",
            "the runtime's list of goroutines could not be read, or not in time, so no line is named for them",
        ),
        Lacking::HeapProfile { because } => unseen(
            "heap samples",
            match because {
                Some(because) => format!("no heap samples are recorded in this program, because {because}"),
                None => "the heap profile was not read, so no line is named for the heap".to_owned(),
            },
        ),
        Lacking::Certainty(doubt) => of_doubt(doubt),
        Lacking::Ages => unseen(
            "ages of descriptors",
            "no kernel programs could be used, so at the first look only threads and children that have exited are dated; \
             a longer window tells of descriptors what comes and stays",
        ),
        Lacking::AllStacks => unseen(
            "opening stacks",
            "who opens a descriptor, maps memory or starts a thread is recorded only while something grows",
        ),
        Lacking::Stacks { ledger, because } => unseen(stacks(*ledger), because.as_str()),
        Lacking::SomeStacks { ledger, route, accounts } => {
            unseen(stacks(*ledger), some_stacks(*ledger, *route, accounts))
        }
    }
}

/// Why a process stands still, in a sentence's part.
pub(super) fn standing_still(why: Standstill) -> &'static str {
    match why {
        Standstill::Stopped => "all its threads are stopped, by a signal (SIGSTOP) or by a debugger",
        Standstill::Frozen => "its cgroup is frozen",
    }
}

/// What is less sure, or missing, by way of a structure of the runtime.
fn of_doubt(doubt: &Doubt) -> Unseen {
    let (structure, of, read) = match doubt.structure {
        Structure::Goroutine => ("runtime.g", "goroutines", "goroutines one by one"),
        Structure::Thread => ("runtime.m", "threads", "goroutines by thread"),
        Structure::Heap => ("runtime.gcController", "the heap", "live heap and collections"),
        Structure::Span => ("runtime.mspan", "the spans of the heap", "what the heap consists of"),
    };
    let layout = |why: String, part: f64| {
        unseen(
            &format!("certainty about {of}"),
            format!("{why}; findings that rest on it keep {:.0} % of their confidence", part * 100.0),
        )
    };
    match &doubt.why {
        Why::UnknownVersion(version) => layout(
            format!(
                "{version} is no version whose layout is known, so the offsets in {structure} were found in the process"
            ),
            doubts::CALIBRATED,
        ),
        Why::Disagreement => layout(
            format!(
                "the layout of {structure} is not that of its version, and what was found in the process is used"
            ),
            doubts::CALIBRATED,
        ),
        Why::NotConfirmed => layout(
            format!(
                "{structure} does not look as it does in its version of Go, and no other layout fits either"
            ),
            doubts::NOT_CONFIRMED,
        ),
        Why::NotRead(why) => unseen(read, why.as_str()),
    }
}

/// The stacks that a ledger would have.
fn stacks(ledger: LedgerName) -> &'static str {
    match ledger {
        LedgerName::Descriptors => "descriptor stacks",
        LedgerName::Mappings => "mapping stacks",
        LedgerName::Tasks => "thread and child stacks",
        LedgerName::Births => "stacks of `go` statements",
        LedgerName::Spans => "stacks of what stays on the heap",
    }
}

/// How descriptors are seen where the kernel refuses programs at its own functions.
const BY_CALLS: &str =
    "they are seen at system calls, since this kernel allows no programs at its own functions";

/// The same where it allows programs at the allocation of files.
const BY_ALLOCATIONS: &str = "they are followed by the kernel's allocations of open files, since this kernel allows no \
                              programs at its own functions: when they are closed is known from scan to scan";

/// What of a ledger has no stack, and why.
fn some_stacks(ledger: LedgerName, route: Route, accounts: &Accounts) -> String {
    let mut why = Vec::new();
    if route == Route::SystemCalls && ledger == LedgerName::Descriptors {
        why.push(BY_CALLS.to_owned());
    }
    if route == Route::Allocations {
        why.push(BY_ALLOCATIONS.to_owned());
    }
    if accounts.missed > 0 {
        let came = words::came(accounts.missed);
        why.push(match route {
            Route::Allocations => format!(
                "{came} otherwise, as those that another process sends and copies of older ones: by whom is not known"
            ),
            _ => format!("{came} by none of them, as those that another process sends: by whom is not known"),
        });
    }
    if accounts.copies > 0 {
        why.push(format!(
            "{} share a file with another one, as copies do: they are with whoever opened the file",
            count(accounts.copies as f64)
        ));
    }
    if accounts.without_stack > 0 {
        why.push(format!("for {} there was no room to keep the stack", count(accounts.without_stack as f64)));
    }
    if accounts.lost > 0 {
        why.push(format!("{} events were dropped because a map was full", count(accounts.lost as f64)));
    }
    if accounts.one_in > 1 {
        why.push(format!("stacks are taken of one in {} and scaled", accounts.one_in));
    }
    why.join("; ")
}

#[cfg(test)]
mod tests {
    use super::{BY_ALLOCATIONS, BY_CALLS, Doubt, LedgerName, Route, Structure, Why, of_doubt, some_stacks};
    use crate::observed::ledger::Accounts;

    #[test]
    fn a_doubted_layout_is_said_with_what_it_costs() {
        let sums = || "the heap's counters do not add up: goal against marked bytes".to_owned();
        for (structure, why, what, says) in [
            (
                Structure::Goroutine,
                Why::UnknownVersion("go1.99".to_owned()),
                "certainty about goroutines",
                "go1.99 is no version whose layout is known, so the offsets in runtime.g were found in the process; \
                 findings that rest on it keep 80 % of their confidence",
            ),
            (
                Structure::Thread,
                Why::NotConfirmed,
                "certainty about threads",
                "runtime.m does not look as it does in its version of Go, and no other layout fits either; findings \
                 that rest on it keep 50 % of their confidence",
            ),
            (Structure::Heap, Why::NotRead(sums()), "live heap and collections", &sums()),
        ] {
            let unseen = of_doubt(&Doubt { structure, why });
            assert_eq!((&*unseen.what, &*unseen.why), (what, says));
        }
    }

    #[test]
    fn what_has_no_stack_is_said_with_its_reason() {
        let nothing = Accounts { one_in: 1, ..Accounts::default() };
        let refused = BY_CALLS;
        for (ledger, route, accounts, expected) in [
            (LedgerName::Descriptors, Route::SystemCalls, nothing, refused.to_owned()),
            (
                LedgerName::Descriptors,
                Route::SystemCalls,
                Accounts { missed: 3, ..nothing },
                format!(
                    "{refused}; 3 came by none of them, as those that another process sends: by whom is not known"
                ),
            ),
            (
                LedgerName::Descriptors,
                Route::Allocations,
                Accounts { missed: 2, copies: 5, ..nothing },
                format!(
                    "{BY_ALLOCATIONS}; 2 came otherwise, as those that another process sends and copies of older ones: \
                     by whom is not known; 5 share a file with another one, as copies do: they are with whoever opened \
                     the file"
                ),
            ),
            (
                LedgerName::Mappings,
                Route::SystemCalls,
                Accounts { without_stack: 1_200, lost: 7, one_in: 16, ..nothing },
                "for 1,200 there was no room to keep the stack; 7 events were dropped because a map was full; stacks \
                 are taken of one in 16 and scaled"
                    .to_owned(),
            ),
        ] {
            assert_eq!(some_stacks(ledger, route, &accounts), expected);
        }
    }
}
