//! Births of goroutines, as the program has them.

use super::map::KernelMap;
use crate::vocabulary::origin::{CreatingGoroutine, StackId};
use aya::Ebpf;
use std::io;
use std::time::Duration;
use watcher_ebpf::{BirthEntry, BirthKey};

/// `go` statements that one goroutine executed at one place, for one function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawBirths {
    /// Who executed them.
    pub parent: CreatingGoroutine,
    /// Address behind the statement.
    pub created_at: u64,
    /// Entry of the function that was started.
    pub start: u64,
    /// How many goroutines were started.
    pub count: u64,
    /// The full stacks that executed the statement, the newest first; of many only those that came last.
    pub stacks: Vec<BirthStack>,
}

/// One of those stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BirthStack {
    /// Which one; `None` where there was no room for it.
    pub stack: Option<StackId>,
    /// How many goroutines were started by it.
    pub count: u64,
    /// When the newest of them was, in time since boot.
    pub newest: Duration,
}

#[derive(Debug)]
pub(super) struct BirthMap(KernelMap<BirthKey, BirthEntry>);

impl BirthMap {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        KernelMap::of(ebpf, "BIRTHS").map(BirthMap)
    }

    pub(super) fn of_process(&self, pid: i32) -> io::Result<Vec<RawBirths>> {
        self.0.select(|key, entry| (key.tgid == pid.cast_unsigned()).then(|| decode(key, entry)))
    }

    /// Forgets the births that `keep` does not want, so that there is room for others.
    pub(super) fn retain(&self, pid: i32, keep: impl Fn(&RawBirths) -> bool) -> io::Result<()> {
        self.0.remove_where(|key, entry| key.tgid == pid.cast_unsigned() && !keep(&decode(*key, entry)))
    }
}

pub(super) fn decode(key: BirthKey, entry: &BirthEntry) -> RawBirths {
    let mut stacks: Vec<BirthStack> = entry
        .stacks
        .iter()
        .filter(|stack| stack.count > 0)
        .map(|stack| BirthStack {
            stack: (stack.stack != 0).then_some(StackId(stack.stack)),
            count: stack.count,
            newest: Duration::from_nanos(stack.newest_ns),
        })
        .collect();
    stacks.sort_by_key(|stack| std::cmp::Reverse(stack.newest));
    RawBirths {
        parent: CreatingGoroutine {
            id: key.parent,
            parent_id: (entry.grandparent != 0).then_some(entry.grandparent),
            created_at: entry.parent_created_at,
        },
        created_at: key.created_at,
        start: key.start,
        count: entry.count,
        stacks,
    }
}

#[cfg(test)]
mod tests {
    use super::{BirthEntry, BirthKey, decode};
    use crate::vocabulary::origin::StackId;
    use watcher_ebpf::BirthStack;

    #[test]
    fn stacks_come_newest_first_and_empty_places_not_at_all() {
        let stack = |stack, count, newest_ns| BirthStack { stack, count, newest_ns };
        let entry = BirthEntry {
            count: 9,
            grandparent: 0,
            parent_created_at: 0,
            stacks: [stack(5, 2, 10), stack(0, 0, 0), stack(0, 1, 20), stack(7, 6, 30)],
        };
        let key = BirthKey { tgid: 3, reserved: 0, parent: 1, created_at: 0x40, start: 0x80 };
        let births = decode(key, &entry);
        assert_eq!((births.parent.id, births.parent.parent_id), (1, None));
        let stacks: Vec<_> = births.stacks.iter().map(|stack| (stack.stack, stack.count)).collect();
        assert_eq!(stacks, [(Some(StackId(7)), 6), (None, 1), (Some(StackId(5)), 2)]);
    }
}
