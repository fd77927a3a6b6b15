//! The signals: the totals of a process that are kept over time. One table says what each is called, in what it is
//! counted and which kind of leak it shows; [`crate::observed::totals`] says how each is read off a sample. Whoever
//! keeps, judges or shows totals loops over it: a further signal is a row here and a line there.

use super::kind::{Kind, Unit};

/// A total that is kept over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Open descriptors.
    Descriptors,
    /// ... that are no sockets.
    Files,
    /// ... that are.
    Sockets,
    /// OS threads.
    Threads,
    /// Goroutines.
    Goroutines,
    /// What the last collection found live, in bytes.
    LiveHeap,
    /// Anonymous memory that the Go runtime does not account for, in bytes.
    OutsideGo,
    /// Anonymous memory, swapped out or not, in bytes.
    Anonymous,
    /// Resident pages of mapped files, in bytes.
    FilePages,
    /// Resident shared memory, in bytes.
    SharedPages,
    /// Mappings.
    Mappings,
    /// Children that have exited and were not waited for.
    Zombies,
    /// Bytes that the Go runtime allocates per second: how much work is done.
    Allocation,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
struct Row {
    signal: Signal,
    name: &'static str,
    unit: Unit,
    /// Of which kind the horizons judge it; `None` where it only explains another.
    kind: Option<Kind>,
    /// It is how fast a counter rises.
    is_rate: bool,
}

const fn row(signal: Signal, name: &'static str, unit: Unit, kind: Option<Kind>) -> Row {
    Row { signal, name, unit, kind, is_rate: false }
}

const fn judged(signal: Signal, name: &'static str, kind: Kind) -> Row {
    row(signal, name, kind.unit(), Some(kind))
}

const TABLE: [Row; 13] = [
    row(Signal::Descriptors, "descriptors", Unit::Fds, None),
    judged(Signal::Files, "files", Kind::Fd),
    judged(Signal::Sockets, "sockets", Kind::Connection),
    judged(Signal::Threads, "threads", Kind::Thread),
    judged(Signal::Goroutines, "goroutines", Kind::Goroutine),
    judged(Signal::LiveHeap, "live_heap", Kind::Heap),
    judged(Signal::OutsideGo, "outside_go", Kind::Native),
    row(Signal::Anonymous, "anonymous", Unit::Bytes, None),
    row(Signal::FilePages, "file_pages", Unit::Bytes, None),
    row(Signal::SharedPages, "shared_pages", Unit::Bytes, None),
    judged(Signal::Mappings, "mappings", Kind::Mapping),
    judged(Signal::Zombies, "zombies", Kind::Child),
    Row { is_rate: true, ..row(Signal::Allocation, "allocation", Unit::Bytes, None) },
];

/// How many there are.
pub const SIGNALS: usize = TABLE.len();

impl Signal {
    /// All of them, in the order in which they are declared.
    pub const ALL: [Signal; SIGNALS] = {
        let mut all = [Signal::Descriptors; SIGNALS];
        let mut index = 0;
        while index < SIGNALS {
            all[index] = TABLE[index].signal;
            // The table is looked up by the number of the signal.
            assert!(all[index] as usize == index, "a row stands in another place than its signal");
            index += 1;
        }
        all
    };

    /// Those that are judged, each with the kind of which it is the total.
    pub const JUDGED: [(Kind, Signal); 8] = {
        let mut judged = [(Kind::Fd, Signal::Files); 8];
        let (mut index, mut count) = (0, 0);
        while index < SIGNALS {
            if let Some(kind) = TABLE[index].kind {
                judged[count] = (kind, TABLE[index].signal);
                count += 1;
            }
            index += 1;
        }
        assert!(count == judged.len(), "as many as there are kinds");
        judged
    };

    /// What metrics and columns are called: `live_heap`.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].name
    }

    /// In what it is counted; a rate in so many per second.
    pub const fn unit(self) -> Unit {
        TABLE[self as usize].unit
    }

    /// The kind of leak that it shows; `None` where it only explains another.
    pub const fn kind(self) -> Option<Kind> {
        TABLE[self as usize].kind
    }

    /// Whether it is how fast a counter rises, and not a total.
    pub const fn is_rate(self) -> bool {
        TABLE[self as usize].is_rate
    }
}

#[cfg(test)]
mod tests {
    use super::Signal;
    use crate::vocabulary::kind::Kind;
    use std::collections::BTreeSet;

    #[test]
    fn every_kind_has_one_signal_and_every_signal_a_name_of_its_own() {
        let kinds: BTreeSet<Kind> = Signal::JUDGED.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds.len(), Signal::JUDGED.len());
        let names: BTreeSet<&str> = Signal::ALL.iter().map(|signal| signal.name()).collect();
        assert_eq!(names.len(), Signal::ALL.len());
        for name in names {
            assert!(name.chars().all(|it| it.is_ascii_lowercase() || it == '_'), "{name} is no column");
        }
        for (kind, signal) in Signal::JUDGED {
            assert_eq!((signal.kind(), signal.unit(), signal.is_rate()), (Some(kind), kind.unit(), false));
        }
    }
}
