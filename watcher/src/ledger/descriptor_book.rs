//! What is remembered of the descriptors of one watched process from scan to scan, and what a scan makes of the
//! kernel's table and of what the programs noted.
//!
//! Pure: whoever reads passes in what was read.

use crate::observed::connections::ConnectionKey;
use crate::source::kernel::ledger::RawDescriptor;
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::reading::Moment;
use crate::vocabulary::socket::SocketState;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// What is remembered of the descriptors of one process.
#[derive(Clone, Debug, Default)]
pub struct DescriptorBook {
    /// Those that were open when watching began, by number, and are still.
    before: HashMap<i32, Identity>,
    /// Since when each socket has been seen in its state.
    states: HashMap<(i32, u64), (SocketState, Moment)>,
    /// Those that the programs believe to be open and that are not.
    stale: HashSet<(i32, Duration)>,
    corrected: u64,
    /// What the programs had seen created at the last scan, and when that was.
    created: Option<(u64, Duration)>,
}

type Identity = (DescriptorType, u64);

/// One open descriptor, and since when.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedDescriptor {
    /// What the kernel's table says.
    pub descriptor: OpenDescriptor,
    /// Which socket it is like, for sockets.
    pub connection: Option<ConnectionKey>,
    /// When it was opened; `None` where nobody saw.
    pub opened_at: Option<Moment>,
    /// Since when it has been seen in its state, for sockets: it may have been in it for longer.
    pub in_state_since: Option<Moment>,
    /// Index into the sites of the ledger; `None` where it is not known who opened it.
    pub site: Option<usize>,
    /// Where the goroutines are that wait for it now, innermost frame first.
    pub waiting: Vec<Arc<[Frame]>>,
}

/// Why it is not known who opened a descriptor, or who did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// It was open before watching began.
    Before,
    /// Sampling left it out.
    LeftOut,
    /// The programs did not see it.
    Missed,
    /// They noted this.
    Noted(RawDescriptor),
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scan {
    /// What is open.
    pub open: Vec<(OpenDescriptor, Opening)>,
    /// What the programs noted and is open no longer.
    pub stale: Vec<RawDescriptor>,
    /// What they noted when the table had been read.
    pub young: Vec<RawDescriptor>,
}

/// What the programs noted, by number, read before and after the table.
pub(super) struct Noted<'a> {
    pub before: &'a [RawDescriptor],
    pub after: &'a [RawDescriptor],
    /// When the first of all was read, in time since boot.
    pub since: Duration,
}

impl Scan {
    /// What was noted of what is open.
    pub(super) fn noted(&self) -> impl Iterator<Item = &RawDescriptor> {
        self.open.iter().filter_map(|(_, opening)| match opening {
            Opening::Noted(raw) => Some(raw),
            Opening::Before | Opening::LeftOut | Opening::Missed => None,
        })
    }
}

impl DescriptorBook {
    /// Begins with what is open, read when the process was watched already, and with what had been noted by then.
    pub(super) fn begin(open: Vec<OpenDescriptor>, noted: &[RawDescriptor]) -> Self {
        let noted: HashMap<i32, &RawDescriptor> = noted.iter().map(|raw| (raw.fd, raw)).collect();
        let is_noted =
            |descriptor: &OpenDescriptor| noted.get(&descriptor.fd).is_some_and(|raw| is_it(raw, descriptor));
        let before = open.iter().filter(|descriptor| !is_noted(descriptor));
        DescriptorBook {
            before: before.map(|descriptor| (descriptor.fd, identity(descriptor))).collect(),
            ..DescriptorBook::default()
        }
    }

    /// Holds the table against what was noted around it. `is_left_out` tells by its number whether sampling leaves a
    /// descriptor out.
    pub(super) fn scan(
        &mut self,
        open: Vec<OpenDescriptor>,
        noted: &Noted<'_>,
        is_left_out: impl Fn(i32) -> bool,
    ) -> Scan {
        let by_number = |all: &[RawDescriptor]| -> HashMap<i32, RawDescriptor> {
            all.iter().map(|raw| (raw.fd, *raw)).collect()
        };
        let (earlier, later) = (by_number(noted.before), by_number(noted.after));
        let find = |descriptor: &OpenDescriptor| {
            let same = |raw: &&RawDescriptor| is_it(raw, descriptor);
            later.get(&descriptor.fd).filter(same).or(earlier.get(&descriptor.fd).filter(same)).copied()
        };
        let there: HashMap<i32, Identity> =
            open.iter().map(|descriptor| (descriptor.fd, identity(descriptor))).collect();
        self.before.retain(|fd, known| there.get(fd) == Some(known));
        let open: Vec<(OpenDescriptor, Opening)> = open
            .into_iter()
            .map(|descriptor| {
                let opening = match find(&descriptor) {
                    Some(raw) => {
                        self.before.remove(&descriptor.fd);
                        Opening::Noted(raw)
                    }
                    None if self.before.contains_key(&descriptor.fd) => Opening::Before,
                    None if is_left_out(descriptor.fd) => Opening::LeftOut,
                    None => Opening::Missed,
                };
                (descriptor, opening)
            })
            .collect();
        let noted_ones: HashSet<(i32, Duration)> = open
            .iter()
            .filter_map(|(_, opening)| match opening {
                Opening::Noted(raw) => Some((raw.fd, raw.at)),
                _ => None,
            })
            .collect();
        // What was noted at both readings of a table that did not have it between them.
        let is_stale = |raw: &&RawDescriptor| {
            raw.at < noted.since
                && !noted_ones.contains(&(raw.fd, raw.at))
                && later.get(&raw.fd).is_some_and(|later| later.at == raw.at)
        };
        let stale: Vec<RawDescriptor> = earlier.values().filter(is_stale).copied().collect();
        let found: HashSet<(i32, Duration)> = stale.iter().map(|raw| (raw.fd, raw.at)).collect();
        self.corrected += found.difference(&self.stale).count() as u64;
        let is_young = |raw: &&RawDescriptor| {
            let key = (raw.fd, raw.at);
            !noted_ones.contains(&key) && !found.contains(&key)
        };
        let young = later.values().filter(is_young).copied().collect();
        self.stale = found;
        Scan { open, stale, young }
    }

    /// How many the programs believed to be open wrongly, so far.
    pub(super) fn corrected(&self) -> u64 {
        self.corrected
    }

    /// Since when each of these sockets has been seen in its state; those that are not there any more are forgotten.
    pub(super) fn states<'a>(
        &mut self,
        at: Moment,
        open: impl Iterator<Item = &'a OpenDescriptor>,
    ) -> HashMap<i32, Moment> {
        let mut states = HashMap::new();
        for descriptor in open {
            let Some(socket) = &descriptor.socket else { continue };
            let key = (descriptor.fd, descriptor.inode);
            let since = match self.states.get(&key) {
                Some((state, since)) if *state == socket.state => *since,
                _ => at,
            };
            states.insert(key, (socket.state, since));
        }
        self.states = states;
        self.states.iter().map(|((fd, _), (_, since))| (*fd, *since)).collect()
    }

    /// Creations per second since the last scan; `None` for the first.
    pub(super) fn pace(&mut self, created: u64, at: Duration) -> Option<u64> {
        let (before, then) = self.created.replace((created, at))?;
        let millis = u64::try_from(at.saturating_sub(then).as_millis()).ok()?;
        created.saturating_sub(before).saturating_mul(1000).checked_div(millis)
    }
}

/// Both are about the same file.
fn is_it(raw: &RawDescriptor, descriptor: &OpenDescriptor) -> bool {
    raw.fd == descriptor.fd && raw.inode.is_none_or(|inode| inode == descriptor.inode)
}

fn identity(descriptor: &OpenDescriptor) -> Identity {
    (descriptor.kind, descriptor.inode)
}

#[cfg(test)]
mod tests;
