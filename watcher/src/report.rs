//! What people and programs are given to read. Values in, text or bytes out.

pub mod diff;
pub mod doctor;
pub mod endpoints;
pub mod error;
pub mod fds;
mod fit;
pub mod folded;
pub mod goroutines;
pub mod graph;
pub mod growing;
pub mod heap;
pub mod holders;
pub mod json;
pub mod leaked;
pub mod ledger;
mod levels;
pub mod list;
pub mod mappings;
pub mod memory;
pub mod news;
mod numbers;
pub mod peek;
pub mod pprof;
pub mod pulled;
pub mod replay;
pub mod stack;
pub mod svg;
pub mod teller;
pub mod text;
pub mod threads;
pub mod traces;

use crate::explain::Verdict;
use crate::explain::diagnosis::Diagnosis;

/// Exit status where no leak was found.
pub const EXIT_NO_LEAK: u8 = 0;
/// Exit status where a leak was found, or a limit is nearly reached.
pub const EXIT_LEAK: u8 = 1;
/// Exit status where it could not be done.
pub const EXIT_FAILED: u8 = 2;
/// Exit status where no verdict could be reached yet.
pub const EXIT_UNDECIDED: u8 = 3;

/// The exit status of `watcher diagnose` for these verdicts: a leak anywhere counts most, then a verdict that could
/// not be reached. No verdict at all is a failure too.
pub fn exit_status(verdicts: impl IntoIterator<Item = Verdict>) -> u8 {
    let status = |verdict| match verdict {
        Verdict::Healthy => EXIT_NO_LEAK,
        Verdict::Leak => EXIT_LEAK,
        Verdict::Inconclusive => EXIT_UNDECIDED,
    };
    let mut worst = None;
    for one in verdicts.into_iter().map(status) {
        worst = match (worst, one) {
            (Some(EXIT_LEAK), _) | (_, EXIT_LEAK) => Some(EXIT_LEAK),
            (Some(before), one) => Some(one.max(before)),
            (None, one) => Some(one),
        };
    }
    worst.unwrap_or(EXIT_FAILED)
}

/// The same for whole diagnoses: that a limit is nearly reached counts as much as a leak does.
pub fn exit_status_of<'a>(diagnoses: impl Iterator<Item = &'a Diagnosis> + Clone) -> u8 {
    if diagnoses.clone().any(Diagnosis::near_limit) {
        return EXIT_LEAK;
    }
    exit_status(diagnoses.map(|diagnosis| diagnosis.verdict))
}

#[cfg(test)]
mod tests {
    use super::exit_status;
    use crate::explain::Verdict::{Healthy, Inconclusive, Leak};

    #[test]
    fn a_leak_counts_most_and_nothing_is_a_failure() {
        assert_eq!(exit_status([Healthy, Healthy]), 0);
        assert_eq!(exit_status([Healthy, Inconclusive, Leak, Healthy]), 1);
        assert_eq!(exit_status([Healthy, Inconclusive]), 3);
        assert_eq!(exit_status([]), 2);
    }
}
