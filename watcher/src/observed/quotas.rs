//! What a process takes of limits that no total of its own shows.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What was read; each part `None` where the process has nothing to do with it, or where it could not be read or not
/// be counted to the end yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Processes and threads of its user, of all processes.
    pub user_tasks: Option<u64>,
    /// inotify instances of its user. A descriptor that was duplicated counts as often.
    pub inotify_instances: Option<Quota>,
    /// inotify watches of its user.
    pub inotify_watches: Option<Quota>,
    /// Ports for connections to the peer to which its network namespace has most of those that this process has.
    pub ports: Option<Ports>,
    /// Paths that most of its descriptors refer to, where these are nearly as many as it may have.
    pub descriptor_paths: Vec<(String, u64)>,
    /// The same of its mappings; an empty path stands for anonymous memory.
    pub mapping_paths: Vec<(String, u64)>,
}

/// What counts against a limit that several processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// What this process has.
    pub own: u64,
    /// What all have.
    pub used: u64,
    /// The limit.
    pub of: u64,
}

/// The ports of one local address that are taken by connections to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ports {
    /// The address from which they are dialled.
    pub local: IpAddr,
    /// The peer.
    pub peer: SocketAddr,
    /// How many there are. What waits out its TIME_WAIT is not among them.
    pub taken: Quota,
}

impl Quotas {
    /// Paths that are told of descriptors, and as many of mappings.
    pub const MOST_PATHS: usize = 8;

    /// Every number in it, to hold it against what a machine can have.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        let shared = [self.inotify_instances, self.inotify_watches, self.ports.map(|ports| ports.taken)];
        let shared = shared.into_iter().flatten().flat_map(|quota| [quota.own, quota.used, quota.of]);
        let paths = self.descriptor_paths.iter().chain(&self.mapping_paths).map(|(_, count)| *count);
        self.user_tasks.into_iter().chain(shared).chain(paths)
    }
}
