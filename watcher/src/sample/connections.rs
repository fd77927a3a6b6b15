//! Sockets of a process by family, state and peer.

use crate::socket::{Family, SocketState, Transport};
use std::net::IpAddr;

/// All sockets of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Sockets that share family, transport, state, role and peer; largest group first.
    pub groups: Vec<ConnectionGroup>,
    /// Sockets that fell into no group because there were more groups than [`MAX_GROUPS`].
    pub ungrouped: u64,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionGroup {
    /// What they have in common.
    pub key: ConnectionKey,
    /// How many there are.
    pub count: u64,
}

/// What a group of sockets has in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It listens.
    Listener,
    /// It accepted: its local port is one on which it listens.
    Accepted,
    /// It dialled, or the route cannot tell.
    Dialled,
}

/// The other end of a connection, as far as sockets of one group share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
        /// Address of the client.
        ip: IpAddr,
        /// Port on which the process listens.
        local_port: u16,
    },
    /// The bound path or abstract name of a unix socket, printable form; empty for an unnamed peer.
    Path(String),
}
