//! Restarts of the same program in the same place, linked into one chain.
//!
//! Two processes belong to one chain if they run the same program with the same arguments in the same place, and
//! the later one began after the earlier one had left. Replicas that run side by side are different chains: each
//! newcomer continues at most one chain, the one that ended last.

use crate::vocabulary::process::{Lineage, Target};
use std::collections::HashMap;
use std::path::PathBuf;

/// Ended chains that are remembered; the oldest are forgotten first.
const MAX_ENDED: usize = 4096;

/// What stays the same over a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    exe: Option<PathBuf>,
    module: Option<String>,
    args: Vec<String>,
    uid: Option<u32>,
    cgroup: Option<String>,
}

impl Place {
    fn of(target: &Target) -> Self {
        Place {
            exe: target.exe.clone(),
            module: target.go.as_ref().and_then(|go| go.module.as_ref()).map(|module| module.path.clone()),
            args: target.args.clone(),
            uid: target.uid,
            cgroup: target.cgroup.as_deref().map(without_ids),
        }
    }
}

/// A container, pod or scope gets a new id at each restart: runs of at least 8 hexadecimal digits (with the
/// dashes of a UUID) and the numbers of transient units do not tell places apart.
fn without_ids(path: &str) -> String {
    let mut kept = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(first) = rest.chars().next() {
        let run = rest.find(|c: char| !(c.is_ascii_hexdigit() || c == '-' || c == '_')).unwrap_or(rest.len());
        let digits = rest[..run].chars().filter(char::is_ascii_hexdigit).count();
        let numeric = rest[..run].chars().any(|c| c.is_ascii_digit());
        if digits >= 8 && numeric {
            kept.push('*');
            rest = &rest[run..];
        } else {
            let step = run.max(first.len_utf8());
            kept.push_str(&rest[..step]);
            rest = &rest[step..];
        }
    }
    kept
}

/// The chains of a host.
#[derive(Debug, Default)]
pub struct Lineages {
    next_id: u64,
    ended: HashMap<Place, Vec<Ended>>,
    ended_count: usize,
    clock: u64,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    lineage: Lineage,
    order: u64,
}

impl Lineages {
    /// The chain that `target` continues, or a new one.
    pub fn join(&mut self, target: &Target) -> Lineage {
        let place = Place::of(target);
        if let Some(chains) = self.ended.get_mut(&place)
            && let Some(last) = chains.pop()
        {
            self.ended_count -= 1;
            if chains.is_empty() {
                self.ended.remove(&place);
            }
            let restarts = last.lineage.restarts.saturating_add(1);
            return Lineage { id: last.lineage.id, restarts, build: target.lineage.build };
        }
        self.next_id += 1;
        Lineage { id: self.next_id, restarts: 0, build: target.lineage.build }
    }

    /// Remembers that `target` has left, so that its successor can join its chain.
    pub fn leave(&mut self, target: &Target) {
        if self.ended_count >= MAX_ENDED {
            self.forget_oldest();
        }
        self.clock += 1;
        let ended = Ended { lineage: target.lineage, order: self.clock };
        self.ended.entry(Place::of(target)).or_default().push(ended);
        self.ended_count += 1;
    }

    fn forget_oldest(&mut self) {
        let oldest = self
            .ended
            .iter()
            .filter_map(|(place, chains)| chains.first().map(|first| (first.order, place)))
            .min_by_key(|(order, _)| *order)
            .map(|(_, place)| place.clone());
        let Some(place) = oldest else { return };
        if let Some(chains) = self.ended.get_mut(&place) {
            chains.remove(0);
            self.ended_count -= 1;
            if chains.is_empty() {
                self.ended.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lineages, MAX_ENDED, without_ids};
    use crate::vocabulary::process::{Limits, Lineage, ProcessId, Target};
    use std::time::SystemTime;

    fn target(exe: &str, args: &[&str], pid: i32) -> Target {
        Target {
            id: ProcessId { pid, start_ticks: 1 },
            parent_pid: 1,
            name: "server".into(),
            exe: Some(exe.into()),
            exe_deleted: false,
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            uid: Some(0),
            started: SystemTime::UNIX_EPOCH,
            go: None,
            container: None,
            cgroup: None,
            network_namespace: None,
            limits: Limits::default(),
            lineage: Lineage::default(),
        }
    }

    fn come(lineages: &mut Lineages, mut target: Target) -> Target {
        target.lineage = lineages.join(&target);
        target
    }

    #[test]
    fn a_restart_continues_the_chain() {
        let mut lineages = Lineages::default();
        let first = come(&mut lineages, target("/srv", &["-a"], 1));
        lineages.leave(&first);
        let second = come(&mut lineages, target("/srv", &["-a"], 2));
        lineages.leave(&second);
        let third = come(&mut lineages, target("/srv", &["-a"], 3));
        assert_eq!((second.lineage.id, second.lineage.restarts), (first.lineage.id, 1));
        assert_eq!((third.lineage.id, third.lineage.restarts), (first.lineage.id, 2));
    }

    #[test]
    fn replicas_and_other_programs_are_chains_of_their_own() {
        let mut lineages = Lineages::default();
        let one = come(&mut lineages, target("/srv", &[], 1));
        let two = come(&mut lineages, target("/srv", &[], 2));
        assert_ne!(one.lineage.id, two.lineage.id);
        lineages.leave(&one);
        assert_ne!(come(&mut lineages, target("/other", &[], 3)).lineage.id, one.lineage.id);
        assert_ne!(come(&mut lineages, target("/srv", &["-x"], 4)).lineage.id, one.lineage.id);
        assert_eq!(come(&mut lineages, target("/srv", &[], 5)).lineage.id, one.lineage.id);
        assert_ne!(come(&mut lineages, target("/srv", &[], 6)).lineage.id, one.lineage.id);
    }

    #[test]
    fn memory_of_ended_chains_is_bounded() {
        let mut lineages = Lineages::default();
        for pid in (0..).take(MAX_ENDED + 100) {
            let gone = come(&mut lineages, target(&format!("/srv{pid}"), &[], pid));
            lineages.leave(&gone);
        }
        assert_eq!(lineages.ended_count, MAX_ENDED);
        assert_eq!(lineages.ended.len(), MAX_ENDED);
    }

    #[test]
    fn ids_do_not_tell_places_apart() {
        for (path, expected) in [
            ("/system.slice/etcd.service", "/system.slice/etcd.service"),
            ("/docker/0123456789abcdef0123456789abcdef", "/docker/*"),
            ("/system.slice/docker-0123456789ab.scope", "/system.slice/docker*.scope"),
            ("/kubepods/besteffort/pod12345678-1234-1234-1234-123456789abc/x", "/kubepods/besteffort/po*/x"),
            ("/grün", "/grün"),
            ("/feedface", "/feedface"),
            ("", ""),
        ] {
            assert_eq!(without_ids(path), expected, "{path}");
        }
    }
}
