//! Connecting to a process, and making sure that it is this process that has accepted before a byte is sent.
//!
//! A listening socket can be held by several processes (one started the other), and several can listen on one port
//! (SO_REUSEPORT): whoever is first takes the connection. So after connecting we ask the kernel which socket is the
//! other end of ours, and look for it among the descriptors of the process. A socket that nobody has accepted yet has
//! no inode number (`sock_i_ino`, `net/core/sock.c`).

use super::fault::Fault;
use super::inside::in_network_namespace;
use super::listeners::Place;
use crate::source::proc::ProcessDir;
use crate::source::sockdiag::ask_for_one;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::reading::Reading;
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{self, ExtensionFlags, InetRequest, SocketId};
use netlink_packet_sock_diag::unix::{self, ShowFlags, UnixRequest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, socket_with,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{io, thread};

/// How long a server may take to accept. Go's accept at once, unless the process is starved of CPU.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(2);
/// Connections that are tried where others share the port: with two processes all miss once in 256 times.
const ATTEMPTS: usize = 8;
/// Who speaks before being asked does it at once.
const SPEAKS_WITHIN: Duration = Duration::from_millis(20);
const BETWEEN_LOOKS: Duration = Duration::from_millis(3);
/// Looks for the accepted socket among the descriptors: the kernel numbers it a moment before it is one of them.
const LOOKS: usize = 4;

/// A connection that the process has accepted.
#[derive(Debug)]
pub enum Connection {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Connection::Tcp(stream) => stream.as_fd(),
            Connection::Unix(stream) => stream.as_fd(),
        }
    }
}

/// Connects to a place where the process listens, inside its namespaces, and sends nothing. It blocks for some
/// seconds at the most.
///
/// # Errors
/// See [`Fault`]; above all where another process takes the connection.
pub fn dial(process: &ProcessDir, place: &Place) -> Result<Connection, Fault> {
    in_network_namespace(process, || {
        for _ in 0..ATTEMPTS {
            let connection = connect_to(process, place)?;
            if is_accepted_by(process, &connection)? {
                return Ok(connection);
            }
        }
        Err(Fault::TakenByAnother)
    })?
}

/// Whether the server sends something before it is asked.
pub fn speaks_first(connection: &Connection) -> bool {
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(SPEAKS_WITHIN.subsec_nanos()) };
    let mut waits = [PollFd::new(connection, PollFlags::IN)];
    let mut byte = [0_u8; 1];
    matches!(poll(&mut waits, Some(&wait)), Ok(1..))
        && matches!(recv(connection, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT), Ok((1.., _)))
}

fn unreachable(error: impl Into<io::Error>) -> Fault {
    let error: io::Error = error.into();
    Fault::Unreachable { why: error.to_string() }
}

fn connect_to(process: &ProcessDir, place: &Place) -> Result<Connection, Fault> {
    match place {
        Place::Tcp(listens) => {
            let address = Place::reachable(*listens);
            let connected = TcpStream::connect_timeout(&address, ACCEPTED_WITHIN);
            // Go listens on "all addresses" by a socket of both families, also where loopback has only the old one.
            let connected = match connected {
                Err(_) if listens.ip().is_unspecified() && listens.is_ipv6() => {
                    let old = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listens.port());
                    TcpStream::connect_timeout(&old, ACCEPTED_WITHIN)
                }
                other => other,
            };
            connected.map(Connection::Tcp).map_err(unreachable)
        }
        Place::Abstract(name) => {
            let address = SocketAddrUnix::new_abstract_name(name).map_err(unreachable)?;
            connect_unix(&address)
        }
        Place::Path(path) => {
            let socket = match process.place_in_root(path) {
                Reading::Seen(socket) => socket,
                Reading::Gone => {
                    let why = "its path is no longer there".to_owned();
                    return Err(Fault::Unreachable { why });
                }
                Reading::Failed => return Err(Fault::Lacking),
                _ => return Err(Fault::Denied { what: "its root directory" }),
            };
            // By its descriptor: the path may be longer than an address can hold, and lies in another root.
            let by_descriptor = format!("/proc/self/fd/{}", socket.as_raw_fd());
            connect_unix(&SocketAddrUnix::new(Path::new(&by_descriptor)).map_err(unreachable)?)
        }
    }
}

fn connect_unix(address: &SocketAddrUnix) -> Result<Connection, Fault> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(unreachable)?;
    let deadline = Instant::now() + ACCEPTED_WITHIN;
    loop {
        match connect(&socket, address) {
            Ok(()) => return Ok(Connection::Unix(socket.into())),
            // The queue of the listener is full.
            Err(Errno::AGAIN) if Instant::now() < deadline => thread::sleep(BETWEEN_LOOKS),
            Err(Errno::AGAIN) => return Err(Fault::NotAccepted(ACCEPTED_WITHIN)),
            Err(error) => return Err(unreachable(error)),
        }
    }
}

/// Waits until somebody has accepted, and says whether it was the process.
fn is_accepted_by(process: &ProcessDir, connection: &Connection) -> Result<bool, Fault> {
    let deadline = Instant::now() + ACCEPTED_WITHIN;
    let inode = loop {
        match other_end(connection) {
            Ok(Some(inode)) if inode != 0 => break inode,
            Ok(_) if Instant::now() < deadline => thread::sleep(BETWEEN_LOOKS),
            Ok(_) => return Err(Fault::NotAccepted(ACCEPTED_WITHIN)),
            Err(error) => {
                let why = format!("whose the other end is cannot be told: {error}");
                return Err(Fault::Unreachable { why });
            }
        }
    };
    for _ in 0..LOOKS {
        let mut held = false;
        let reading = process.descriptors(&mut |open| {
            held |= open.kind == DescriptorType::Socket && open.inode == inode;
        });
        match reading {
            Reading::Seen(()) if held => return Ok(true),
            Reading::Seen(()) => thread::sleep(BETWEEN_LOOKS),
            Reading::Gone => return Err(Fault::Gone),
            _ => return Err(Fault::Denied { what: "its descriptors" }),
        }
    }
    Ok(false)
}

/// Inode number of the socket at the other end: 0 while nobody has accepted it, `None` where it is gone already.
fn other_end(connection: &Connection) -> io::Result<Option<u64>> {
    let answer = match connection {
        Connection::Tcp(stream) => {
            let (own, peer) = (stream.local_addr()?, stream.peer_addr()?);
            ask_for_one(SockDiagMessage::InetRequest(InetRequest {
                family: if own.is_ipv4() { AF_INET } else { AF_INET6 },
                protocol: IPPROTO_TCP,
                extensions: ExtensionFlags::empty(),
                states: inet::StateFlags::all(),
                socket_id: SocketId {
                    source_port: peer.port(),
                    destination_port: own.port(),
                    source_address: peer.ip(),
                    destination_address: own.ip(),
                    interface_id: 0,
                    cookie: ANY_COOKIE,
                },
            }))
        }
        Connection::Unix(stream) => {
            let own = rustix::fs::fstat(stream)?.st_ino;
            ask_for_one(SockDiagMessage::UnixRequest(UnixRequest {
                state_flags: unix::StateFlags::from_bits_retain(u32::MAX),
                inode: u32::try_from(own).map_err(|_| io::ErrorKind::Unsupported)?,
                show_flags: ShowFlags::PEER,
                cookie: ANY_COOKIE,
            }))
        }
    };
    match answer {
        Ok(Some(SockDiagMessage::InetResponse(response))) => Ok(Some(response.header.inode.into())),
        Ok(Some(SockDiagMessage::UnixResponse(response))) => Ok(response.peer().map(u64::from)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(None),
        Err(error) => Err(error),
    }
}

/// INET_DIAG_NOCOOKIE (`include/uapi/linux/inet_diag.h`): by its ends alone.
const ANY_COOKIE: [u8; 8] = [0xff; 8];
