//! What the cgroup of a process uses and may use.

use crate::observed::cgroup::CgroupUsage;
use crate::source::cgroup::{Bounds, Hierarchies, Membership};
use crate::source::clock;
use crate::source::proc::ProcessDir;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::{Reading, Stamped, Via};
use std::collections::{HashMap, HashSet};

/// Reads usage once per cgroup and beat, however many processes share it, and what seldom changes (who belongs
/// where, and which limits hold) once in many beats.
#[derive(Debug)]
pub struct Reader {
    hierarchies: Hierarchies,
    memberships: HashMap<ProcessId, Reading<Membership>>,
    cgroups: HashMap<Membership, Cgroup>,
    beat: u64,
}

#[derive(Debug)]
struct Cgroup {
    bounds: Bounds,
    bounds_beat: u64,
    usage: Stamped<CgroupUsage>,
    usage_beat: u64,
}

impl Reader {
    /// Reads below these mounts.
    pub fn new(hierarchies: Hierarchies) -> Self {
        Reader { hierarchies, memberships: HashMap::new(), cgroups: HashMap::new(), beat: 0 }
    }

    /// Begins a beat: forgets who is watched no longer, and cgroups that nobody asked for in the last one.
    pub fn begin_beat(&mut self, watched: &HashSet<ProcessId>) {
        let last = self.beat;
        self.cgroups.retain(|_, cgroup| cgroup.usage_beat == last);
        self.memberships.retain(|id, _| watched.contains(id));
        self.beat += 1;
    }

    /// What the cgroup of a process uses. `process` must be that of `id`. With `refresh` the process is asked
    /// where it belongs, otherwise only where it was not asked yet.
    pub fn usage(
        &mut self,
        id: ProcessId,
        process: &ProcessDir,
        refresh: bool,
        bounds_every_beats: u64,
    ) -> Stamped<CgroupUsage> {
        if refresh || !self.memberships.contains_key(&id) {
            let membership = process.cgroups().map(|paths| self.hierarchies.membership(&paths));
            self.memberships.insert(id, membership);
        }
        let membership = match self.memberships.get(&id) {
            Some(Reading::Seen(membership)) => membership,
            other => {
                let reading = other.cloned().unwrap_or(Reading::Gone).map(|_| CgroupUsage::default());
                return Stamped { at: clock::now(), via: Via::Cgroup, reading };
            }
        };
        let beat = self.beat;
        if let Some(cgroup) = self.cgroups.get_mut(membership) {
            if beat - cgroup.bounds_beat >= bounds_every_beats {
                cgroup.bounds = membership.bounds();
                cgroup.bounds_beat = beat;
            }
            if cgroup.usage_beat != beat {
                cgroup.usage = stamped_usage(membership, &cgroup.bounds);
                cgroup.usage_beat = beat;
            }
            return cgroup.usage.clone();
        }
        let bounds = membership.bounds();
        let usage = stamped_usage(membership, &bounds);
        let cgroup = Cgroup { bounds, bounds_beat: beat, usage: usage.clone(), usage_beat: beat };
        self.cgroups.insert(membership.clone(), cgroup);
        usage
    }
}

fn stamped_usage(membership: &Membership, bounds: &Bounds) -> Stamped<CgroupUsage> {
    let at = clock::now();
    Stamped { at, via: Via::Cgroup, reading: membership.usage(bounds) }
}
