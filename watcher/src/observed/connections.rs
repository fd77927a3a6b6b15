//! Sockets of a process by family, state and peer.

use crate::vocabulary::socket::{Family, SocketState, Transport};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// All sockets of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// Sockets that share family, transport, state, role and peer; largest group first.
    pub groups: Vec<ConnectionGroup>,
    /// Sockets that fell into no group because there were more groups than [`MAX_GROUPS`].
    pub ungrouped: u64,
    /// Most connections that were dialled from one address to one peer: each takes a port of its own.
    #[serde(default)]
    pub dialled_most: Option<DialledMost>,
}

/// Connections that were dialled from one address to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialledMost {
    /// From where to where.
    pub ends: Dialled,
    /// How many.
    pub count: u64,
}

/// From where to where a connection was dialled, but for its ephemeral port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dialled {
    /// Our address.
    pub local: IpAddr,
    /// The other end.
    pub peer: SocketAddr,
}

impl Dialled {
    /// IPv4 addresses that are mapped into IPv6 are what they stand for: both draw on the same ports.
    pub fn of(local: SocketAddr, peer: SocketAddr) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Dialled { local: local.ip().to_canonical(), peer }
    }
}

/// More groups than this are not kept apart: a hostile or merely busy process has thousands of peers.
pub const MAX_GROUPS: usize = 128;

impl Connections {
    /// All sockets.
    pub fn total(&self) -> u64 {
        self.groups.iter().map(|group| group.count).sum::<u64>() + self.ungrouped
    }
}

/// Sockets that share everything but their ephemeral port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionGroup {
    /// What they have in common.
    pub key: ConnectionKey,
    /// How many there are.
    pub count: u64,
}

/// What a group of sockets has in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// Address family.
    pub family: Family,
    /// Protocol above it.
    pub transport: Transport,
    /// State; TCP's names are used for all connection-oriented sockets.
    pub state: SocketState,
    /// Which side opened it.
    pub role: Role,
    /// The other end.
    pub peer: Peer,
}

/// Which side of a connection the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It listens.
    Listener,
    /// It accepted: its local port is one on which it listens.
    Accepted,
    /// It dialled, or the route cannot tell.
    Dialled,
}

/// The other end of a connection, as far as sockets of one group share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// Not connected, or a family without addresses.
    None,
    /// A server that the process dialled.
    Server {
        /// Address of the server.
        ip: IpAddr,
        /// Port of the server.
        port: u16,
    },
    /// A client whose connection was accepted on `local_port`; its own port is ephemeral.
    Client {
        /// Address of the client; the unspecified one for many clients that are too many to be kept apart.
        ip: IpAddr,
        /// Port on which the process listens.
        local_port: u16,
    },
    /// The bound path or abstract name of a unix socket, printable form; empty for an unnamed peer.
    Path(String),
}
