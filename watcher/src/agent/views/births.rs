//! Who starts the goroutines of a process that is watched: what a library opens in goroutines of its own is put down to
//! whoever called the library.

use crate::agent::views::subject::GoSubject;
use crate::capture::creators::{self, Creators, NoBirths};
use crate::explain::words::duration;
use crate::source::kernel::ledger::{Bounds, End, Kind, Ledgers, Probing};
use crate::vocabulary::process::ProcessId;
use std::time::Duration;

/// Births that are watched along with something else.
#[derive(Debug)]
pub(super) enum BirthWatch {
    /// They are.
    On,
    /// Nothing is watched for any time.
    Off,
    /// They could not be.
    Refused(NoBirths),
}

impl BirthWatch {
    /// Watches births in a process that `ledgers` watch already, for `time`.
    pub fn begin(ledgers: &mut Ledgers, subject: &mut GoSubject, time: Duration) -> Self {
        if time.is_zero() {
            return BirthWatch::Off;
        }
        let bounds = Bounds { time, ..Bounds::DEFAULT };
        let id = subject.subject.target.id;
        match creators::watch(ledgers, &mut subject.runtime, &subject.file, id, bounds) {
            Ok(()) => BirthWatch::On,
            Err(refusal) => BirthWatch::Refused(refusal),
        }
    }

    /// Who started the goroutines that opened what is open. Those that live say that of themselves, if no more than
    /// the `go` statement, also where births could not be watched.
    pub fn creators(&self, ledgers: &Ledgers, subject: &mut GoSubject) -> Option<Creators> {
        let id = subject.subject.target.id;
        let things = ledgers.descriptors(id)?.things;
        let openers = things.iter().filter_map(|descriptor| descriptor.origin.goroutine);
        creators::read(ledgers, &mut subject.runtime, &subject.subject.process, id, openers).into_seen()
    }

    /// What is not known for want of births, in a sentence.
    pub fn remark(&self, ledgers: &Ledgers, id: ProcessId) -> Option<String> {
        match self {
            BirthWatch::Off => None,
            BirthWatch::Refused(refusal) => Some(refused(refusal)),
            BirthWatch::On => ledgers.probing(id, Kind::Births).as_ref().and_then(capped),
        }
    }
}

fn refused(refusal: &NoBirths) -> String {
    let why = refusal.to_string();
    format!(
        "Who starts goroutines could not be watched ({}): what a library opens in goroutines of its own is put down to \
         the library, not to its caller.",
        why.trim_end_matches('.')
    )
}

/// Said where probes were taken out before their time.
fn capped(probing: &Probing) -> Option<String> {
    let (at, End::Hits) = probing.ended? else { return None };
    Some(format!(
        "So many goroutines are started that it was watched for the first {} only who starts them: what a library \
         opened later in goroutines of its own is put down to the library, not to its caller.",
        duration(at.saturating_sub(probing.began).as_secs_f64())
    ))
}

#[cfg(test)]
mod tests {
    use super::{capped, refused};
    use crate::capture::creators::NoBirths;
    use crate::source::kernel::ledger::{End, Probing};
    use expect_test::expect;
    use std::time::Duration;

    #[test]
    fn what_is_missing_is_said_with_what_follows_from_it() {
        expect![[r#"
            Who starts goroutines could not be watched (the runtime makes goroutines in a way that is not known): what a library opens in goroutines of its own is put down to the library, not to its caller."#]]
        .assert_eq(&refused(&NoBirths::NotLocated));
        let seconds = Duration::from_secs;
        let probing = |ended| Probing { began: seconds(100), until: seconds(130), hits: 9, ended, one_in: 1 };
        for quiet in [None, Some((seconds(130), End::Time))] {
            assert_eq!(capped(&probing(quiet)), None);
        }
        expect![[r#"
            So many goroutines are started that it was watched for the first 4 s only who starts them: what a library opened later in goroutines of its own is put down to the library, not to its caller."#]]
        .assert_eq(&capped(&probing(Some((seconds(104), End::Hits)))).unwrap_or_default());
    }
}
