//! Names of things as people know them.

use crate::explain::Kind;
use crate::judge::judgement::Detail;
use crate::observed::connections::Peer;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::socket::{Family, SocketState};

/// What grows, in the plural, for the begin of a sentence.
pub(in crate::explain) fn growing(kind: Kind, detail: &Detail) -> String {
    match kind {
        Kind::Connection => {
            let state = detail.state.map(|state| format!(" in {}", state_name(state))).unwrap_or_default();
            let peer = match &detail.peer {
                Some(Peer::Server { .. }) => {
                    detail.peer.as_ref().map(|peer| format!(" to {}", peer_name(peer)))
                }
                Some(Peer::Client { ip, local_port }) => Some(format!(" from {ip} to port {local_port}")),
                Some(Peer::Path(path)) if !path.is_empty() => Some(format!(" to {path}")),
                _ => None,
            };
            let sockets = match detail.family {
                Some(Family::Netlink) => "Netlink sockets",
                Some(Family::Packet) => "Packet sockets",
                Some(Family::Vsock) => "Vsock sockets",
                _ => "Sockets",
            };
            format!("{sockets}{state}{}", peer.unwrap_or_default())
        }
        Kind::Fd => detail.descriptor_type.map_or_else(
            || "Open descriptors".to_owned(),
            |kind| format!("Open descriptors of type {}", type_name(kind)),
        ),
        _ => subject(kind).to_owned(),
    }
}

/// What a kind counts, in the plural, for the begin of a sentence.
pub(in crate::explain) fn subject(kind: Kind) -> &'static str {
    match kind {
        Kind::Heap => "Live objects on the Go heap",
        Kind::Goroutine => "Goroutines",
        Kind::Fd => "Descriptors that are no sockets",
        Kind::Connection => "Sockets",
        Kind::Thread => "OS threads",
        Kind::Native => "Bytes outside the Go heap",
        Kind::Mapping => "Memory mappings",
        Kind::Child => "Children that exited and were not waited for",
    }
}

/// An address family in one word.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::Inet => "inet",
        Family::Inet6 => "inet6",
        Family::Unix => "unix",
        Family::Netlink => "netlink",
        Family::Packet => "packet",
        Family::Vsock => "vsock",
        Family::Other(_) => "other",
    }
}

/// A socket's state in the kernel's word.
pub fn state_name(state: SocketState) -> &'static str {
    match state {
        SocketState::Established => "ESTABLISHED",
        SocketState::SynSent => "SYN_SENT",
        SocketState::SynRecv => "SYN_RECV",
        SocketState::FinWait1 => "FIN_WAIT1",
        SocketState::FinWait2 => "FIN_WAIT2",
        SocketState::TimeWait => "TIME_WAIT",
        SocketState::Close => "CLOSE",
        SocketState::CloseWait => "CLOSE_WAIT",
        SocketState::LastAck => "LAST_ACK",
        SocketState::Listen => "LISTEN",
        SocketState::Closing => "CLOSING",
        SocketState::Unknown => "UNKNOWN",
    }
}

/// The other end of a connection: `127.0.0.1:8081`, `client 10.0.0.7 on port 8080`, `@bus`.
pub fn peer_name(peer: &Peer) -> String {
    match peer {
        Peer::None => "none".to_owned(),
        Peer::Server { ip, port } => std::net::SocketAddr::new(*ip, *port).to_string(),
        Peer::Client { ip, local_port } => format!("client {ip} on port {local_port}"),
        Peer::Path(path) if path.is_empty() => "unnamed unix socket".to_owned(),
        Peer::Path(path) => path.clone(),
    }
}

/// A descriptor's type in one word.
pub fn type_name(kind: DescriptorType) -> &'static str {
    match kind {
        DescriptorType::File => "file",
        DescriptorType::Directory => "directory",
        DescriptorType::CharDevice => "chardev",
        DescriptorType::BlockDevice => "blockdev",
        DescriptorType::Pipe => "pipe",
        DescriptorType::Socket => "socket",
        DescriptorType::EventFd => "eventfd",
        DescriptorType::Epoll => "epoll",
        DescriptorType::TimerFd => "timerfd",
        DescriptorType::SignalFd => "signalfd",
        DescriptorType::Inotify => "inotify",
        DescriptorType::Fanotify => "fanotify",
        DescriptorType::MemFd => "memfd",
        DescriptorType::PidFd => "pidfd",
        DescriptorType::UserFaultFd => "userfaultfd",
        DescriptorType::IoUring => "io_uring",
        DescriptorType::PerfEvent => "perf_event",
        DescriptorType::Bpf => "bpf",
        DescriptorType::Namespace => "namespace",
        DescriptorType::Other => "other",
    }
}
