use super::{kinds, of_unknown, protocol, waiting_elsewhere};
use crate::observed::connections::{ConnectionKey, Peer, Role};
use crate::observed::ledger::Descriptors;
use crate::report::ledger::Creator;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::socket::{Family, SocketState, Transport};

fn key(family: Family, transport: Transport, state: SocketState, peer: Peer) -> ConnectionKey {
    ConnectionKey { family, transport, state, role: Role::Dialled, peer }
}

fn server() -> Peer {
    Peer::Server { ip: [127, 0, 0, 1].into(), port: 8081 }
}

#[test]
fn who_waits_is_said_as_far_as_it_is_known() {
    for (unknown, expected) in [
        (Some(0), None),
        (Some(1), Some("1 goroutine waits for a descriptor, and for which one is not known.")),
        (Some(1_200), Some("1,200 goroutines wait for descriptors, and for which ones is not known.")),
        (None, Some("Which goroutines wait for them could not be read.")),
    ] {
        assert_eq!(waiting_elsewhere(unknown).as_deref(), expected, "{unknown:?}");
    }
}

#[test]
fn what_a_socket_speaks_is_one_word() {
    for (family, transport, expected) in [
        (Family::Inet, Transport::Tcp, Some("tcp")),
        (Family::Inet6, Transport::Tcp, Some("tcp6")),
        (Family::Inet, Transport::Udp, Some("udp")),
        (Family::Inet6, Transport::Udp, Some("udp6")),
        (Family::Inet6, Transport::Raw, Some("raw")),
        (Family::Inet, Transport::SeqPacket, Some("inet")),
        (Family::Unix, Transport::Stream, Some("unix")),
        (Family::Netlink, Transport::Raw, Some("netlink")),
        (Family::Packet, Transport::Raw, Some("packet")),
        (Family::Vsock, Transport::Stream, Some("vsock")),
        (Family::Other(0), Transport::Other, None),
    ] {
        let key = key(family, transport, SocketState::Unknown, Peer::None);
        assert_eq!(protocol(&key), expected, "{family:?} {transport:?}");
    }
}

#[test]
fn sockets_are_told_by_peer_and_those_that_no_route_knew_as_what_they_are() {
    let waits = key(Family::Inet, Transport::Tcp, SocketState::CloseWait, server());
    let listens = key(Family::Inet6, Transport::Tcp, SocketState::Listen, Peer::None);
    let what = Descriptors {
        types: vec![(DescriptorType::Socket, 9), (DescriptorType::File, 4)],
        connections: vec![(listens, 1), (waits, 6)],
        waiting: Vec::new(),
    };
    let kinds = kinds(&what);
    let told: Vec<_> = kinds.iter().map(|(kind, count)| (kind.name, kind.protocol, *count)).collect();
    let expected =
        [("socket", Some("tcp"), 6), ("file", None, 4), ("socket", None, 2), ("socket", Some("tcp6"), 1)];
    assert_eq!(told, expected);
    assert_eq!(kinds[0].0.peer.as_deref(), Some("127.0.0.1:8081"));
    assert_eq!((kinds[3].0.peer.as_deref(), kinds[3].0.state.is_some()), (None, true));
    let site = of_unknown(Creator::Before, kinds);
    assert_eq!((site.outstanding, site.created, site.oldest), (13, 0, None));
}

#[test]
fn what_is_not_there_is_no_kind() {
    let what = Descriptors { types: vec![(DescriptorType::Socket, 0)], ..Descriptors::default() };
    assert_eq!(kinds(&what), []);
}
