//! Stacks and what they have created.

use super::map::KernelMap;
use super::watch::{Kind, TaskKind};
use crate::vocabulary::origin::{StackId, WalkedStack};
use aya::Ebpf;
use std::collections::HashMap;
use std::io;
use std::time::Duration;
use watcher_ebpf::{StackRecord, Tally, TallyKey, WALKED_FRAMES};

/// A stack and what it has created since watching began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSite {
    /// The stack as it was walked.
    pub stack: WalkedStack,
    /// Things that it created.
    pub created: u64,
    /// ... of which have ended.
    pub ended: u64,
    /// The longest that one of those lived; `None` where none has ended.
    pub longest_ended: Option<Duration>,
}

/// What is counted apart from stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RawTally {
    /// Created without a stack, for want of room or because it could not be walked.
    pub created: u64,
    /// ... of which have ended.
    pub ended: u64,
    /// Created and left out by sampling.
    pub unsampled: u64,
    /// Created, and there was no room to enter it.
    pub lost: u64,
}

#[derive(Debug)]
pub(super) struct Stacks {
    stacks: KernelMap<u64, StackRecord>,
    tallies: KernelMap<TallyKey, Tally>,
}

impl Stacks {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        Some(Stacks { stacks: KernelMap::of(ebpf, "STACKS")?, tallies: KernelMap::of(ebpf, "TALLIES")? })
    }

    /// Makes room for the counts of a process; programs do not make it themselves.
    pub(super) fn open(&self, pid: i32, kind: Kind) -> io::Result<()> {
        bits(kind).try_for_each(|bit| {
            let key = key(pid, bit);
            match self.tallies.get(&key)? {
                Some(_) => Ok(()),
                None => self.tallies.insert(&key, &Tally::default()),
            }
        })
    }

    pub(super) fn tally(&self, pid: i32, bit: u32) -> io::Result<RawTally> {
        let Tally { created, ended, unsampled, lost } = self.tallies.get(&key(pid, bit))?.unwrap_or_default();
        Ok(RawTally { created, ended, unsampled, lost })
    }

    pub(super) fn of_process(&self, pid: i32, bit: u32) -> io::Result<HashMap<StackId, RawSite>> {
        let sites = self.stacks.select(|key, record| {
            let is_it = record.tgid == pid.cast_unsigned() && record.ledger == bit;
            is_it.then(|| (StackId(key), site(record)))
        })?;
        Ok(sites.into_iter().collect())
    }

    /// One stack, whosever it is; `None` where it is not there.
    pub(super) fn get(&self, stack: StackId) -> io::Result<Option<RawSite>> {
        Ok(self.stacks.get(&stack.0)?.as_ref().map(site))
    }

    /// Forgets everything about a process.
    pub(super) fn forget(&self, pid: i32) -> io::Result<()> {
        self.stacks.remove_where(|_, record| record.tgid == pid.cast_unsigned())?;
        let mut all = Kind::ALL.into_iter().flat_map(bits);
        all.try_for_each(|bit| self.tallies.remove(&key(pid, bit)))
    }
}

fn key(pid: i32, bit: u32) -> TallyKey {
    TallyKey { tgid: pid.cast_unsigned(), ledger: bit }
}

/// Under which bits the stacks and counts of a ledger are kept.
fn bits(kind: Kind) -> impl Iterator<Item = u32> {
    let children = (kind == Kind::Tasks).then_some(TaskKind::Children.bit());
    [kind.bit()].into_iter().chain(children)
}

pub(super) fn site(record: &StackRecord) -> RawSite {
    let addresses = |all: &[u64], count: u32| all.iter().take(count as usize).copied().collect::<Vec<_>>();
    RawSite {
        stack: WalkedStack {
            walked: addresses(&record.walked, record.walked_count),
            resumed: addresses(&record.resumed, record.resumed_count),
            is_cut: record.walked_count as usize >= WALKED_FRAMES,
        },
        created: record.created,
        ended: record.ended,
        longest_ended: (record.ended > 0).then(|| Duration::from_nanos(record.longest_ns)),
    }
}
