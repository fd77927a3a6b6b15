//! NETLINK_SOCK_DIAG: all TCP, UDP and unix sockets of a network namespace by inode (sock_diag(7)).
//!
//! `/proc/net/tcp` has the same, but takes the kernel far longer on a host with many sockets.

use crate::vocabulary::process::printable;
use crate::vocabulary::reading::Reading;
use crate::vocabulary::socket::{Family, Socket, SocketState, Transport};
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP};
use netlink_packet_sock_diag::inet::{self, ExtensionFlags, InetRequest, InetResponseHeader, SocketId};
use netlink_packet_sock_diag::unix::nlas::UnixDiagName;
use netlink_packet_sock_diag::unix::{self, ShowFlags, UnixRequest, UnixResponse};
use netlink_packet_sock_diag::{SockDiagMessage, constants};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket as NetlinkSocket, SocketAddr as NetlinkAddress};
use nix::sched::{CloneFlags, setns};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

/// Sockets by inode number.
pub type Sockets = HashMap<u64, Socket>;

/// Which network namespace is asked.
#[derive(Debug)]
pub enum Namespace {
    /// Our own.
    Own,
    /// The one that this file refers to. Entering it takes CAP_SYS_ADMIN.
    Other(File),
}

/// All sockets of one network namespace that belong to an inode, so none in TIME_WAIT.
///
/// A TCP or UDP socket that is neither bound nor connected is in no table of the kernel's and is not among them.
pub fn dump(namespace: Namespace) -> Reading<Sockets> {
    match namespace {
        Namespace::Own => dump_here().into(),
        Namespace::Other(file) => {
            // A namespace is entered by a thread, and this one ends with the question: no other is ever moved.
            let asked = std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                dump_here()
            });
            let answer = asked.map(|thread| thread.join());
            match answer {
                Ok(Ok(sockets)) => sockets.into(),
                Ok(Err(_)) => Reading::Unsupported,
                // There is no thread to be had.
                Err(_) => Reading::Failed,
            }
        }
    }
}

/// Questions that the calling thread's namespace is asked.
fn dump_here() -> io::Result<Sockets> {
    let mut sockets = Sockets::new();
    let mut refusal = None;
    let mut answered = false;
    for (family, protocol, socket_id) in [
        (AF_INET, IPPROTO_TCP, SocketId::new_v4()),
        (AF_INET6, IPPROTO_TCP, SocketId::new_v6()),
        (AF_INET, IPPROTO_UDP, SocketId::new_v4()),
        (AF_INET6, IPPROTO_UDP, SocketId::new_v6()),
    ] {
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol,
            extensions: ExtensionFlags::empty(),
            states: inet::StateFlags::all(),
            socket_id,
        });
        let answer = ask(request, |message| {
            if let SockDiagMessage::InetResponse(response) = message
                && response.header.inode != 0
            {
                sockets.insert(response.header.inode.into(), inet_socket(&response.header, protocol));
            }
        });
        // A kernel may lack one of the families; the others are told all the same.
        match answer {
            Ok(()) => answered = true,
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    let mut unix = Vec::new();
    let request = SockDiagMessage::UnixRequest(UnixRequest {
        // All states: a datagram socket is in one that the crate has no name for.
        state_flags: unix::StateFlags::from_bits_retain(u32::MAX),
        inode: 0,
        show_flags: ShowFlags::NAME | ShowFlags::PEER,
        cookie: [0; 8],
    });
    let answer = ask(request, |message| {
        if let SockDiagMessage::UnixResponse(response) = message {
            unix.push(UnixSocket::from(*response));
        }
    });
    match answer {
        Ok(()) => answered = true,
        Err(error) => refusal = refusal.or(Some(error)),
    }
    add_unix_sockets(unix, &mut sockets);
    match refusal {
        // What is missing of all would look like absence.
        Some(error) if !answered || Reading::<()>::from_error(&error).has_failed() => Err(error),
        _ => Ok(sockets),
    }
}

/// Sends a dump request and takes every message of the answer.
pub(super) fn ask(request: SockDiagMessage, mut each: impl FnMut(SockDiagMessage)) -> io::Result<()> {
    let socket = send(request, NLM_F_REQUEST | NLM_F_DUMP)?;
    let mut buffer = vec![0; ANSWER_BYTES];
    loop {
        let length = socket.recv(&mut &mut buffer[..], 0)?;
        if length == 0 || each_message(&buffer[..length], &mut each)? {
            return Ok(());
        }
    }
}

/// Asks for one socket. ENOENT where there is no such socket in the calling thread's namespace.
pub(super) fn ask_for_one(request: SockDiagMessage) -> io::Result<Option<SockDiagMessage>> {
    let socket = send(request, NLM_F_REQUEST)?;
    let mut buffer = vec![0; ANSWER_BYTES];
    let length = socket.recv(&mut &mut buffer[..], 0)?;
    let mut answer = None;
    each_message(&buffer[..length], &mut |message| answer = Some(message))?;
    Ok(answer)
}

/// The kernel fills at most 32 KiB at once (`net/netlink/af_netlink.c`, `netlink_recvmsg`).
const ANSWER_BYTES: usize = 64 * 1024;

fn send(request: SockDiagMessage, flags: u16) -> io::Result<NetlinkSocket> {
    let mut socket = NetlinkSocket::new(NETLINK_SOCK_DIAG)?;
    socket.bind_auto()?;
    socket.connect(&NetlinkAddress::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    Ok(socket)
}

/// Takes the messages of one datagram apart; `true` once the dump is over. A message that is not understood is
/// left out.
fn each_message(mut bytes: &[u8], each: &mut impl FnMut(SockDiagMessage)) -> io::Result<bool> {
    while let Some(length) = bytes.first_chunk::<4>().map(|length| u32::from_ne_bytes(*length) as usize) {
        let Some(message) = bytes.get(..length).filter(|message| message.len() >= NETLINK_HEADER_BYTES)
        else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        match NetlinkMessage::<SockDiagMessage>::deserialize(message).map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(message)) => each(message),
            Ok(NetlinkPayload::Done(_)) => return Ok(true),
            Ok(NetlinkPayload::Error(error)) => {
                // Negative, as the kernel returns them; `to_io` of the crate overflows on the lowest number.
                let number = error.raw_code().checked_neg().unwrap_or_default();
                return Err(refusal(io::Error::from_raw_os_error(number)));
            }
            Ok(_) | Err(_) => {}
        }
        // Messages begin at multiples of four.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// A datagram of the kernel's, for fuzz targets.
#[cfg(feature = "fuzzing")]
pub(super) fn understand(datagram: &[u8]) {
    let _ = each_message(datagram, &mut |_| ());
}

const NETLINK_HEADER_BYTES: usize = 16;

/// ENOENT of a question means that nobody answers it in this kernel, not that a process left.
fn refusal(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(libc::ENOENT) => io::Error::from(io::ErrorKind::Unsupported),
        _ => error,
    }
}

fn inet_socket(header: &InetResponseHeader, protocol: u8) -> Socket {
    let id = &header.socket_id;
    Socket {
        family: if header.family == AF_INET { Family::Inet } else { Family::Inet6 },
        transport: if protocol == IPPROTO_TCP { Transport::Tcp } else { Transport::Udp },
        state: SocketState::from_kernel(header.state),
        local: Some(SocketAddr::new(id.source_address, id.source_port)),
        // Only a socket that is connected, or was, has the port of a peer.
        peer: (id.destination_port != 0)
            .then(|| SocketAddr::new(id.destination_address, id.destination_port)),
        path: None,
    }
}

/// A unix socket before its peer's name is known.
struct UnixSocket {
    inode: u32,
    kind: u8,
    state: u8,
    peer: Option<u32>,
    name: Option<String>,
}

impl From<UnixResponse> for UnixSocket {
    fn from(response: UnixResponse) -> Self {
        let name = response.name().map(|name| match name {
            UnixDiagName::Pathname(path) => printable(path.as_bytes()),
            UnixDiagName::Abstract(name) => format!("@{}", printable(name)),
        });
        let header = &response.header;
        UnixSocket {
            inode: header.inode,
            kind: header.kind,
            state: header.state,
            peer: response.peer(),
            name,
        }
    }
}

fn add_unix_sockets(unix: Vec<UnixSocket>, sockets: &mut Sockets) {
    let named = unix.iter().filter_map(|socket| Some((socket.inode, socket.name.as_deref()?)));
    let names: HashMap<u32, &str> = named.collect();
    for socket in &unix {
        let path = socket.peer.and_then(|peer| names.get(&peer).copied()).or(socket.name.as_deref());
        sockets.insert(
            socket.inode.into(),
            Socket {
                family: Family::Unix,
                transport: match socket.kind {
                    constants::SOCK_STREAM => Transport::Stream,
                    constants::SOCK_DGRAM => Transport::Datagram,
                    constants::SOCK_SEQPACKET => Transport::SeqPacket,
                    _ => Transport::Other,
                },
                state: SocketState::from_kernel(socket.state),
                local: None,
                peer: None,
                path: path.map(str::to_owned),
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::{Namespace, each_message};
    use crate::vocabulary::socket::{Family, Socket, SocketState, Transport};
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    fn find(socket: impl AsFd) -> Option<Socket> {
        let inode = rustix::fs::fstat(socket).unwrap().st_ino;
        super::dump(Namespace::Own).into_seen().unwrap().remove(&inode)
    }

    fn inet(
        family: Family,
        transport: Transport,
        state: SocketState,
        local: SocketAddr,
        peer: Option<SocketAddr>,
    ) -> Socket {
        Socket { family, transport, state, local: Some(local), peer, path: None }
    }

    #[test]
    fn a_refusal_may_have_any_number() {
        const ERROR: u16 = 2;
        for number in [i32::MIN, i32::MIN + 1, -13, 0, i32::MAX] {
            let mut datagram = 36_u32.to_ne_bytes().to_vec();
            datagram.extend(ERROR.to_ne_bytes());
            datagram.resize(16, 0);
            datagram.extend(number.to_ne_bytes());
            datagram.resize(36, 0);
            let error = each_message(&datagram, &mut |_| ()).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(number.checked_neg().unwrap_or(0)));
        }
    }

    #[test]
    fn tcp_in_several_states() {
        for address in
            [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))]
        {
            let listener = match TcpListener::bind(address) {
                Ok(listener) => listener,
                // A machine may be without IPv6.
                Err(_) => continue,
            };
            let family = if address.is_ipv4() { Family::Inet } else { Family::Inet6 };
            let listening = listener.local_addr().unwrap();
            let dialled = TcpStream::connect(listening).unwrap();
            let (accepted, peer) = listener.accept().unwrap();
            let tcp = |state, local, peer| Some(inet(family, Transport::Tcp, state, local, peer));
            assert_eq!(find(&listener), tcp(SocketState::Listen, listening, None));
            assert_eq!(find(&dialled), tcp(SocketState::Established, peer, Some(listening)));
            assert_eq!(find(&accepted), tcp(SocketState::Established, listening, Some(peer)));
            accepted.shutdown(std::net::Shutdown::Write).unwrap();
            let state = |socket| find(socket).map(|socket| socket.state);
            assert_eq!(state(&dialled), Some(SocketState::CloseWait));
            // Until the other side's delayed acknowledgement has come.
            assert!(matches!(state(&accepted), Some(SocketState::FinWait1 | SocketState::FinWait2)));
        }
    }

    #[test]
    fn udp() {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let local = socket.local_addr().unwrap();
        let udp = |state, peer| Some(inet(Family::Inet, Transport::Udp, state, local, peer));
        assert_eq!(find(&socket), udp(SocketState::Close, None));
        socket.connect(local).unwrap();
        assert_eq!(find(&socket), udp(SocketState::Established, Some(local)));
    }

    #[test]
    fn unix_sockets_carry_the_name_of_their_peer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket\n");
        let printed = format!("{}\\n", dir.path().join("socket").display());
        let unix = |transport, state, path: Option<&str>| Socket {
            family: Family::Unix,
            transport,
            state,
            local: None,
            peer: None,
            path: path.map(str::to_owned),
        };
        let listener = UnixListener::bind(&path).unwrap();
        let dialled = UnixStream::connect(&path).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        for (socket, state) in [
            (find(&listener), SocketState::Listen),
            (find(&dialled), SocketState::Established),
            (find(&accepted), SocketState::Established),
        ] {
            assert_eq!(socket, Some(unix(Transport::Stream, state, Some(&printed))));
        }
        let datagram = UnixDatagram::unbound().unwrap();
        assert_eq!(find(&datagram), Some(unix(Transport::Datagram, SocketState::Close, None)));
    }

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = each_message(&bytes, &mut |_| {});
        }

        #[test]
        fn never_panics_on_a_message(family in 0u8..12, body in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut bytes = (17 + body.len() as u32).to_ne_bytes().to_vec();
            bytes.extend(20u16.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.push(family);
            bytes.extend(body);
            let _ = each_message(&bytes, &mut |_| {});
        }
    }
}
