//! The vocabulary for sockets: what one is, in whose state, between which ends.
//!
//! Plain values; nothing here reads the system.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// One socket as the kernel's tables have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Address family.
    pub family: Family,
    /// Protocol above it.
    pub transport: Transport,
    /// State; TCP's names are used for all families.
    pub state: SocketState,
    /// Local address, for the inet families.
    pub local: Option<SocketAddr>,
    /// Peer address, for connected sockets of the inet families.
    pub peer: Option<SocketAddr>,
    /// For unix sockets the path or abstract name (printable form, abstract ones with a leading `@`) of the
    /// peer, or where the peer has none, of the socket itself.
    pub path: Option<String>,
}

/// Address family of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// AF_INET.
    Inet,
    /// AF_INET6.
    Inet6,
    /// AF_UNIX.
    Unix,
    /// AF_NETLINK.
    Netlink,
    /// AF_PACKET.
    Packet,
    /// AF_VSOCK.
    Vsock,
    /// Any other, by its number; 0 where the route could not tell.
    Other(u16),
}

/// Protocol of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// IPPROTO_TCP.
    Tcp,
    /// IPPROTO_UDP.
    Udp,
    /// SOCK_STREAM that is not TCP.
    Stream,
    /// SOCK_DGRAM that is not UDP.
    Datagram,
    /// SOCK_SEQPACKET.
    SeqPacket,
    /// SOCK_RAW.
    Raw,
    /// Any other.
    Other,
}

/// State of a socket (`include/net/tcp_states.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketState {
    /// Connected.
    Established,
    /// SYN sent, no answer yet.
    SynSent,
    /// SYN received.
    SynRecv,
    /// We closed; the peer has not acknowledged.
    FinWait1,
    /// We closed; the peer has acknowledged and not closed.
    FinWait2,
    /// Both closed; waits out late segments.
    TimeWait,
    /// Not connected.
    Close,
    /// The peer closed; this process has not.
    CloseWait,
    /// Both closed, ours last.
    LastAck,
    /// Listens.
    Listen,
    /// Both closed at once.
    Closing,
    /// A number we do not know.
    Unknown,
}

impl SocketState {
    /// From the kernel's number, which all socket families share.
    pub fn from_kernel(state: u8) -> Self {
        match state {
            1 => SocketState::Established,
            2 => SocketState::SynSent,
            3 | 12 => SocketState::SynRecv,
            4 => SocketState::FinWait1,
            5 => SocketState::FinWait2,
            6 => SocketState::TimeWait,
            7 => SocketState::Close,
            8 => SocketState::CloseWait,
            9 => SocketState::LastAck,
            10 => SocketState::Listen,
            11 => SocketState::Closing,
            _ => SocketState::Unknown,
        }
    }
}
