//! Where a process listens: stream sockets in its own network namespace that it holds a descriptor of.

use super::fault::Fault;
use super::inside::in_network_namespace;
use crate::source::proc::ProcessDir;
use crate::source::sockdiag::ask;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::process::printable;
use crate::vocabulary::reading::Reading;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM};
use netlink_packet_sock_diag::inet::{self, ExtensionFlags, InetRequest, SocketId};
use netlink_packet_sock_diag::unix::nlas::UnixDiagName;
use netlink_packet_sock_diag::unix::{self, ShowFlags, UnixRequest};
use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::{fmt, io};

/// A socket on which a process accepts connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The number in `socket:[N]`.
    pub inode: u64,
    /// Where it listens.
    pub place: Place,
}

/// Where a listening socket can be reached, inside its process's namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// A path in the process's mount namespace, as it was bound.
    Path(PathBuf),
    /// A name in the abstract namespace of unix sockets, without its leading zero byte.
    Abstract(Vec<u8>),
    /// An address in the process's network namespace; the unspecified one where it listens on all.
    Tcp(SocketAddr),
}

impl Place {
    /// The address to connect to: what listens everywhere is asked over loopback.
    pub fn reachable(address: SocketAddr) -> SocketAddr {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, address.port())
    }

    /// Loopback and unix sockets first: whoever keeps an endpoint from others puts it there.
    fn is_open_to_others(&self) -> bool {
        matches!(self, Place::Tcp(address) if !address.ip().is_loopback())
    }
}

/// As people write it: `127.0.0.1:6060`, `unix:/run/x.sock`, `unix:@x`. Printable form.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Path(path) => write!(f, "unix:{}", printable(path.as_os_str().as_bytes())),
            Place::Abstract(name) => write!(f, "unix:@{}", printable(name)),
            Place::Tcp(address) => write!(f, "{}", Place::reachable(*address)),
        }
    }
}

/// Every listening stream socket of the process, those on loopback and unix sockets first.
///
/// # Errors
/// Where its descriptors may not be read, or its network namespace not be entered.
pub fn listeners(process: &ProcessDir) -> Result<Vec<Listener>, Fault> {
    let mut held = HashSet::new();
    let reading = process.descriptors(&mut |open| {
        if open.kind == DescriptorType::Socket {
            held.insert(open.inode);
        }
    });
    match reading {
        Reading::Seen(()) => {}
        Reading::Gone => return Err(Fault::Gone),
        Reading::Failed => return Err(Fault::Lacking),
        Reading::Denied | Reading::Unsupported => return Err(Fault::Denied { what: "its descriptors" }),
    }
    let all = in_network_namespace(process, listening_here)?
        .map_err(|error| Fault::Unreachable { why: format!("the kernel's list of sockets: {error}") })?;
    let mut own: Vec<Listener> = all
        .into_iter()
        .filter(|(inode, _)| held.contains(inode))
        .map(|(inode, place)| Listener { inode, place })
        .collect();
    own.sort_by(|one, other| {
        let rank = |listener: &Listener| (listener.place.is_open_to_others(), listener.place.clone());
        rank(one).cmp(&rank(other))
    });
    // Sockets of one process that share a port are asked once.
    own.dedup_by(|one, other| one.place == other.place);
    Ok(own)
}

/// Stream sockets that listen in the calling thread's network namespace, by inode.
fn listening_here() -> io::Result<BTreeMap<u64, Place>> {
    let mut places = BTreeMap::new();
    for (family, socket_id) in [(AF_INET, SocketId::new_v4()), (AF_INET6, SocketId::new_v6())] {
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::empty(),
            states: inet::StateFlags::LISTEN,
            socket_id,
        });
        // A kernel may lack IPv6.
        let _ = ask(request, |message| {
            if let SockDiagMessage::InetResponse(response) = message {
                let id = &response.header.socket_id;
                let address = SocketAddr::new(id.source_address, id.source_port);
                places.insert(response.header.inode.into(), Place::Tcp(address));
            }
        });
    }
    let request = SockDiagMessage::UnixRequest(UnixRequest {
        state_flags: unix::StateFlags::LISTEN,
        inode: 0,
        show_flags: ShowFlags::NAME,
        cookie: [0; 8],
    });
    ask(request, |message| {
        let SockDiagMessage::UnixResponse(response) = message else { return };
        if response.header.kind != SOCK_STREAM {
            return;
        }
        let place = match response.name() {
            Some(UnixDiagName::Pathname(path)) => Place::Path(PathBuf::from(path)),
            Some(UnixDiagName::Abstract(name)) => Place::Abstract(name.to_vec()),
            None => return,
        };
        places.insert(response.header.inode.into(), place);
    })?;
    Ok(places)
}
