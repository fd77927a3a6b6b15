//! Sockets of a process by family, state and peer.

use crate::observed::connections::{
    ConnectionGroup, ConnectionKey, Connections, Dialled, DialledMost, MAX_GROUPS, Peer, Role,
};
use crate::vocabulary::socket::{Family, Socket, SocketState, Transport};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Groups the sockets of one process.
///
/// `None` stands for a socket of which the route knows nothing; `beyond` counts those that were not even looked at.
/// A connection counts as accepted where `listens` knows its local port, where the process itself listens on it,
/// or where so many connections share it that they cannot have been dialled: a server that has closed its listener
/// still holds what it accepted.
pub fn group(sockets: &[Option<Socket>], beyond: u64, listens: &HashSet<(Transport, u16)>) -> Connections {
    let ends = Ends::of(sockets, listens);
    let mut counts: HashMap<ConnectionKey, u64> = HashMap::new();
    for socket in sockets {
        *counts.entry(key(socket.as_ref(), &ends)).or_default() += 1;
    }
    if counts.len() > MAX_GROUPS {
        counts = merge_clients(counts);
    }
    let mut groups: Vec<_> = counts.into_iter().map(|(key, count)| ConnectionGroup { key, count }).collect();
    groups.sort_unstable_by(|a, b| b.count.cmp(&a.count).then_with(|| a.key.cmp(&b.key)));
    let left = groups.split_off(groups.len().min(MAX_GROUPS));
    let ungrouped = beyond + left.iter().map(|group| group.count).sum::<u64>();
    Connections { groups, ungrouped, dialled_most: dialled_most(sockets, &ends) }
}

fn dialled_most(sockets: &[Option<Socket>], ends: &Ends<'_>) -> Option<DialledMost> {
    let mut counts: HashMap<Dialled, u64> = HashMap::new();
    for socket in sockets.iter().flatten() {
        if let (Transport::Tcp, Some(local), Some(peer)) = (socket.transport, socket.local, socket.peer)
            && socket.state != SocketState::Listen
            && !ends.accepted(socket.transport, local, peer)
        {
            *counts.entry(Dialled::of(local, peer)).or_default() += 1;
        }
    }
    let most = counts.into_iter().max_by_key(|(ends, count)| (*count, *ends));
    most.map(|(ends, count)| DialledMost { ends, count })
}

/// What each of these sockets has in common with others of its group, in their order; `group` says how.
pub(crate) fn keys(sockets: &[Option<Socket>], listens: &HashSet<(Transport, u16)>) -> Vec<ConnectionKey> {
    let ends = Ends::of(sockets, listens);
    sockets.iter().map(|socket| key(socket.as_ref(), &ends)).collect()
}

/// The ports on which these sockets listen.
pub fn listening_ports<'a>(
    sockets: impl IntoIterator<Item = &'a Socket>,
) -> impl Iterator<Item = (Transport, u16)> {
    let listening = sockets.into_iter().filter(|socket| socket.state == SocketState::Listen);
    listening.filter_map(|socket| Some((socket.transport, socket.local?.port())))
}

/// What one socket can only be told by from all the others.
struct Ends<'a> {
    ports: HashSet<(Transport, u16)>,
    paths: HashSet<&'a str>,
    by_local: HashMap<SocketAddr, u64>,
    by_peer: HashMap<SocketAddr, u64>,
}

impl<'a> Ends<'a> {
    fn of(sockets: &'a [Option<Socket>], listens: &HashSet<(Transport, u16)>) -> Self {
        let mut ends = Ends {
            ports: listens.clone(),
            paths: HashSet::new(),
            by_local: HashMap::new(),
            by_peer: HashMap::new(),
        };
        ends.ports.extend(listening_ports(sockets.iter().flatten()));
        for socket in sockets.iter().flatten() {
            if socket.state == SocketState::Listen {
                ends.paths.extend(socket.path.as_deref());
            } else if let (Some(local), Some(peer)) = (socket.local, socket.peer) {
                *ends.by_local.entry(local).or_default() += 1;
                *ends.by_peer.entry(peer).or_default() += 1;
            }
        }
        ends
    }

    fn accepted(&self, transport: Transport, local: SocketAddr, peer: SocketAddr) -> bool {
        // A dialled connection has a local port of its own, or shares it with few others that go elsewhere.
        const TOO_MANY_TO_BE_DIALLED: u64 = 4;
        let sharing = |ends: &HashMap<SocketAddr, u64>, end| ends.get(&end).copied().unwrap_or(0);
        let share_local = sharing(&self.by_local, local);
        self.ports.contains(&(transport, local.port()))
            || share_local >= TOO_MANY_TO_BE_DIALLED && share_local > sharing(&self.by_peer, peer)
    }
}

fn key(socket: Option<&Socket>, ends: &Ends<'_>) -> ConnectionKey {
    let Some(socket) = socket else {
        return ConnectionKey {
            family: Family::Other(0),
            transport: Transport::Other,
            state: SocketState::Unknown,
            role: Role::Dialled,
            peer: Peer::None,
        };
    };
    let listener = socket.state == SocketState::Listen;
    let (role, peer) = match (&socket.path, socket.local, socket.peer) {
        (Some(path), _, _) => {
            let accepted = ends.paths.contains(path.as_str());
            (if accepted { Role::Accepted } else { Role::Dialled }, Peer::Path(path.clone()))
        }
        (None, Some(local), Some(peer)) => {
            // A socket of both families has IPv4 peers under their mapped addresses.
            let ip = peer.ip().to_canonical();
            if ends.accepted(socket.transport, local, peer) {
                (Role::Accepted, Peer::Client { ip, local_port: local.port() })
            } else {
                (Role::Dialled, Peer::Server { ip, port: peer.port() })
            }
        }
        _ if socket.family == Family::Unix => (Role::Dialled, Peer::Path(String::new())),
        _ => (Role::Dialled, Peer::None),
    };
    ConnectionKey {
        family: socket.family,
        transport: socket.transport,
        state: state(socket),
        role: if listener { Role::Listener } else { role },
        peer,
    }
}

/// Its state, where that means something: in families without connections the kernel leaves the word that a new socket
/// begins with (`sock_init_data` in `net/core/sock.c`).
fn state(socket: &Socket) -> SocketState {
    match socket.family {
        Family::Netlink | Family::Packet | Family::Other(_) => SocketState::Unknown,
        Family::Vsock if socket.state == SocketState::Close => SocketState::Unknown,
        _ => socket.state,
    }
}

/// Makes all clients of a port alike.
pub(crate) fn merge_client(key: &mut ConnectionKey) {
    if let Peer::Client { ip, .. } = &mut key.peer {
        *ip = match ip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
    }
}

/// Puts all clients of a port into one group.
fn merge_clients(counts: HashMap<ConnectionKey, u64>) -> HashMap<ConnectionKey, u64> {
    let mut merged = HashMap::new();
    for (mut key, count) in counts {
        merge_client(&mut key);
        *merged.entry(key).or_default() += count;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::group;
    use crate::observed::connections::{Connections, MAX_GROUPS};
    use crate::vocabulary::socket::{Family, Socket, SocketState, Transport};
    use expect_test::{Expect, expect};
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::fmt::Write;

    fn tcp(state: SocketState, local: &str, peer: &str) -> Option<Socket> {
        let local: std::net::SocketAddr = local.parse().unwrap();
        Some(Socket {
            family: if local.is_ipv4() { Family::Inet } else { Family::Inet6 },
            transport: Transport::Tcp,
            state,
            local: Some(local),
            peer: peer.parse().ok(),
            path: None,
        })
    }

    fn unix(state: SocketState, path: Option<&str>) -> Option<Socket> {
        Some(Socket {
            family: Family::Unix,
            transport: Transport::Stream,
            state,
            local: None,
            peer: None,
            path: path.map(str::to_owned),
        })
    }

    fn show(connections: &Connections) -> String {
        let mut text = String::new();
        for group in &connections.groups {
            let key = &group.key;
            let _ = writeln!(
                text,
                "{} {:?} {:?} {:?} {:?} {:?}",
                group.count, key.family, key.transport, key.state, key.role, key.peer
            );
        }
        let _ = writeln!(text, "{} ungrouped", connections.ungrouped);
        text
    }

    fn check(sockets: &[Option<Socket>], listens: &[(Transport, u16)], expected: &Expect) {
        expected.assert_eq(&show(&group(sockets, 0, &listens.iter().copied().collect())));
    }

    #[test]
    fn a_server_that_dials_too() {
        check(
            &[
                tcp(SocketState::Listen, "[::]:80", ""),
                tcp(SocketState::Established, "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.9]:50001"),
                tcp(SocketState::Established, "[::ffff:10.0.0.1]:80", "[::ffff:10.0.0.9]:50002"),
                tcp(SocketState::CloseWait, "10.0.0.1:40001", "10.0.0.5:5432"),
                tcp(SocketState::CloseWait, "10.0.0.1:40002", "10.0.0.5:5432"),
                tcp(SocketState::CloseWait, "10.0.0.1:40003", "10.0.0.5:5432"),
                None,
            ],
            &[],
            &expect![[r"
                3 Inet Tcp CloseWait Dialled Server { ip: 10.0.0.5, port: 5432 }
                2 Inet6 Tcp Established Accepted Client { ip: 10.0.0.9, local_port: 80 }
                1 Inet6 Tcp Listen Listener None
                1 Other(0) Other Unknown Dialled None
                0 ungrouped
            "]],
        );
    }

    #[test]
    fn accepted_from_a_listener_elsewhere_or_closed() {
        let accepted: Vec<_> = (50001..50006)
            .map(|port| tcp(SocketState::CloseWait, "10.0.0.1:80", &format!("10.0.0.9:{port}")))
            .collect();
        let expected = expect![[r"
            5 Inet Tcp CloseWait Accepted Client { ip: 10.0.0.9, local_port: 80 }
            0 ungrouped
        "]];
        check(&accepted, &[], &expected);
        check(
            &accepted[..1],
            &[(Transport::Tcp, 80)],
            &expect![[r"
            1 Inet Tcp CloseWait Accepted Client { ip: 10.0.0.9, local_port: 80 }
            0 ungrouped
        "]],
        );
        check(
            &accepted[..1],
            &[(Transport::Udp, 80)],
            &expect![[r"
            1 Inet Tcp CloseWait Dialled Server { ip: 10.0.0.9, port: 50001 }
            0 ungrouped
        "]],
        );
    }

    #[test]
    fn ports_that_are_taken_towards_one_peer() {
        let dialled = |local: &str, peer: &str| tcp(SocketState::Established, local, peer);
        let sockets = [
            tcp(SocketState::Listen, "0.0.0.0:80", ""),
            dialled("10.0.0.1:80", "10.0.0.9:50001"),
            dialled("10.0.0.1:80", "10.0.0.9:50002"),
            dialled("10.0.0.1:80", "10.0.0.9:50003"),
            dialled("10.0.0.1:40001", "10.0.0.5:5432"),
            dialled("[::ffff:10.0.0.1]:40002", "[::ffff:10.0.0.5]:5432"),
            dialled("10.0.0.2:40001", "10.0.0.5:5432"),
            dialled("10.0.0.1:40003", "10.0.0.5:5433"),
            None,
        ];
        let most = group(&sockets, 0, &HashSet::new()).dialled_most.expect("some are dialled");
        assert_eq!(
            (most.ends.local, most.ends.peer, most.count),
            ([10, 0, 0, 1].into(), "10.0.0.5:5432".parse().unwrap(), 2)
        );
        assert_eq!(group(&sockets[..1], 0, &HashSet::new()).dialled_most, None);
    }

    #[test]
    fn unix_sockets() {
        check(
            &[
                unix(SocketState::Listen, Some("/run/x")),
                unix(SocketState::Established, Some("/run/x")),
                unix(SocketState::Established, Some("@dbus")),
                unix(SocketState::Established, None),
            ],
            &[],
            &expect![[r#"
                1 Unix Stream Established Accepted Path("/run/x")
                1 Unix Stream Established Dialled Path("")
                1 Unix Stream Established Dialled Path("@dbus")
                1 Unix Stream Listen Listener Path("/run/x")
                0 ungrouped
            "#]],
        );
    }

    #[test]
    fn many_clients_become_one_group() {
        let mut sockets = vec![tcp(SocketState::Listen, "0.0.0.0:80", "")];
        for client in 0..600 {
            let peer = format!("10.1.{}.{}:5000", client / 200, client % 200);
            sockets.push(tcp(SocketState::Established, "10.0.0.1:80", &peer));
        }
        check(
            &sockets,
            &[],
            &expect![[r"
            600 Inet Tcp Established Accepted Client { ip: 0.0.0.0, local_port: 80 }
            1 Inet Tcp Listen Listener None
            0 ungrouped
        "]],
        );
    }

    #[test]
    fn more_servers_than_groups() {
        let server = |n: usize| tcp(SocketState::Established, "10.0.0.1:9", &format!("10.0.0.2:{}", n + 1));
        let mut sockets: Vec<_> = (0..MAX_GROUPS + 30).map(server).collect();
        for socket in sockets.iter_mut().flatten() {
            socket.local = None;
            socket.path = socket.peer.map(|peer| peer.to_string());
        }
        let grouped = group(&sockets, 7, &HashSet::new());
        assert_eq!((grouped.groups.len(), grouped.ungrouped), (MAX_GROUPS, 37));
    }

    proptest! {
        #[test]
        fn every_socket_is_counted_once(
            ends in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u32>(), any::<u16>()), 0..400),
            beyond in 0u64..1000,
        ) {
            let sockets: Vec<_> = ends
                .into_iter()
                .map(|(state, local_port, peer, port)| {
                    let mut socket = tcp(SocketState::from_kernel(state % 14), "127.0.0.1:1", "")?;
                    socket.local.as_mut()?.set_port(local_port % 4);
                    socket.peer = (port % 3 != 0).then(|| (std::net::Ipv4Addr::from_bits(peer % 512), port).into());
                    Some(socket)
                })
                .collect();
            let grouped = group(&sockets, beyond, &HashSet::new());
            prop_assert_eq!(grouped.total(), sockets.len() as u64 + beyond);
            prop_assert!(grouped.groups.len() <= MAX_GROUPS);
            prop_assert!(grouped.groups.is_sorted_by(|a, b| a.count >= b.count));
        }
    }
}
