//! Connections whose two ends are both in this process: a client and the server that it talks to.
//!
//! Both ends grow alike then, and only one of them is not closed. Where the other end has closed, the state says which:
//! it is in CLOSE_WAIT. Where neither has, it is the client, who dialled and has to close; but for a server whose handlers
//! wait for something else than the network: clients wait for their answers.

use crate::judge::judgement::Finding;
use crate::judge::weigh::culprit::{self, Owner, owner};
use crate::judge::weigh::evidence::Evidence;
use crate::observed::connections::{ConnectionKey, Peer, Role};
use crate::observed::goroutines::GoroutineSite;
use crate::observed::ledger::{Descriptors, Ledger, Site};
use crate::store::Captures;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::socket::SocketState;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// Fewer of one end than this prove nothing.
const LEAST: u64 = 12;
/// There are so many accepted ones for each that was dialled.
const ALIKE: RangeInclusive<f64> = 0.75..=1.34;
/// The two ends make up this part of all that the process opened.
const MOST: f64 = 0.6;
/// From this part on, a state or a wait speaks for all of an end.
const SPEAKS: f64 = 0.5;

/// Connections of a process with itself.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct BothEnds {
    /// Port on which they were accepted.
    pub port: u16,
    /// The end that is not closed: dialled or accepted.
    pub open_end: Role,
    dialled: u64,
    accepted: u64,
    /// Where the server's handlers wait, and who started them: named where they are why.
    handler: Option<(Frame, Vec<Frame>)>,
}

#[derive(Default)]
struct Count {
    dialled: u64,
    accepted: u64,
    dialled_closed_by_peer: u64,
    accepted_closed_by_peer: u64,
}

/// The port of a connection's server, and whether it was dialled or accepted.
fn server(key: &ConnectionKey) -> Option<(u16, Role)> {
    match (key.role, &key.peer) {
        (Role::Dialled, Peer::Server { port, .. }) => Some((*port, Role::Dialled)),
        (Role::Accepted, Peer::Client { local_port, .. }) => Some((*local_port, Role::Accepted)),
        _ => None,
    }
}

impl BothEnds {
    /// Those that make up most of what was opened since the process is watched; `None` where its peers are others.
    pub fn of(ledger: &Ledger<Descriptors>, captures: &Captures) -> Option<Self> {
        let mut counts: HashMap<u16, Count> = HashMap::new();
        let mut all = 0;
        for (key, count) in ledger.sites.iter().flat_map(|site| &site.what.connections) {
            all += count;
            let Some((port, role)) = server(key) else { continue };
            let closed_by_peer = if key.state == SocketState::CloseWait { *count } else { 0 };
            let of_port = counts.entry(port).or_default();
            if role == Role::Dialled {
                of_port.dialled += count;
                of_port.dialled_closed_by_peer += closed_by_peer;
            } else {
                of_port.accepted += count;
                of_port.accepted_closed_by_peer += closed_by_peer;
            }
        }
        let (port, count) = counts.into_iter().max_by_key(|(_, it)| it.dialled.min(it.accepted))?;
        let Count { dialled, accepted, .. } = count;
        let is_alike = ALIKE.contains(&(accepted as f64 / dialled.max(1) as f64));
        let is_most = (dialled + accepted) as f64 >= MOST * all as f64;
        if dialled < LEAST || !is_alike || !is_most {
            return None;
        }
        let speaks = |part: u64, all: u64| part as f64 >= SPEAKS * all as f64;
        let handler = hanging_handler(captures, accepted);
        let open_end = if speaks(count.accepted_closed_by_peer, accepted) {
            Role::Accepted
        } else if speaks(count.dialled_closed_by_peer, dialled) || handler.is_none() {
            Role::Dialled
        } else {
            Role::Accepted
        };
        let handler = handler.filter(|_| open_end == Role::Accepted);
        Some(BothEnds { port, open_end, dialled, accepted, handler })
    }

    /// Whether a site holds the end that is not to blame.
    pub fn is_other_end(&self, site: &Site<Descriptors>) -> bool {
        let all: u64 = site.what.connections.iter().map(|(_, count)| count).sum();
        let other = site.what.connections.iter().filter(|(key, _)| {
            server(key).is_some_and(|(port, role)| port == self.port && role != self.open_end)
        });
        let other: u64 = other.map(|(_, count)| count).sum();
        other > 0 && other as f64 >= SPEAKS * all as f64
    }

    /// Says it of the finding, whose lines are those of the end that is not closed.
    pub fn tell(&self, finding: &mut Finding, peer: Option<&Peer>) {
        if let Some(peer) = peer {
            finding.detail.peer = Some(peer.clone());
        }
        if let Some((line, stack)) = &self.handler {
            finding.culprits.insert(0, culprit::culprit(line, stack, 1.0));
        }
        let (port, dialled, accepted) = (self.port, self.dialled, self.accepted);
        let by_client = self.open_end == Role::Dialled;
        finding.evidence.push(Evidence::BothEnds { port, dialled, accepted, by_client });
    }
}

/// Where handlers of a server wait for something else than the network: so many as there are connections.
fn hanging_handler(captures: &Captures, accepted: u64) -> Option<(Frame, Vec<Frame>)> {
    let module = captures.main_module.as_deref();
    let is_own = |frame: &Frame| owner(&frame.function, module) == Owner::Own;
    let hangs = |site: &&GoroutineSite| {
        let serves = site.created_by.iter().any(|frame| &*frame.function == "net/http.(*Server).Serve");
        let waits = site.wait_reason.as_deref().is_some_and(|wait| wait != "IO wait");
        serves && waits && site.stack.iter().any(is_own)
    };
    let last = captures.goroutines.last()?;
    let hanging = || last.sites.iter().filter(hangs);
    let count: u64 = hanging().map(|site| site.count).sum();
    if (count as f64) < SPEAKS * accepted as f64 {
        return None;
    }
    let site = hanging().max_by_key(|site| site.count)?;
    let line = site.stack.iter().find(|frame| is_own(frame))?;
    Some((line.clone(), site.stack.iter().chain(site.created_by.iter()).cloned().collect()))
}

#[cfg(test)]
mod tests {
    use super::{BothEnds, Role};
    use crate::judge::simulation::moment;
    use crate::judge::weigh::survivors::world::frames;
    use crate::observed::connections::{ConnectionKey, Peer};
    use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
    use crate::observed::ledger::{Accounts, Descriptors, Ledger, Route, Site};
    use crate::store::Captures;
    use crate::vocabulary::socket::{Family, SocketState, Transport};
    use std::time::Duration;

    const DIALLED: Peer = Peer::Server { ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port: 80 };
    const ACCEPTED: Peer =
        Peer::Client { ip: std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), local_port: 80 };

    fn site(count: u64, state: SocketState, peer: &Peer) -> Site<Descriptors> {
        let role = if *peer == ACCEPTED { Role::Accepted } else { Role::Dialled };
        let key = ConnectionKey {
            family: Family::Inet,
            transport: Transport::Tcp,
            state,
            role,
            peer: peer.clone(),
        };
        Site {
            stack: frames(&["syscall.Syscall6"]),
            started_by: Vec::new(),
            created: count,
            ended: 0,
            outstanding: count,
            oldest: Duration::from_secs(40),
            youngest: Duration::ZERO,
            longest_ended: None,
            what: Descriptors { connections: vec![(key, count)], ..Descriptors::default() },
        }
    }

    fn of(sites: Vec<Site<Descriptors>>, captures: &Captures) -> Option<BothEnds> {
        let accounts = Accounts::default();
        let ledger = Ledger { at: moment(45.0), began: moment(0.0), route: Route::Exact, accounts, sites };
        BothEnds::of(&ledger, captures)
    }

    fn handlers(wait: &str) -> Captures {
        let site = GoroutineSite {
            created_by: frames(&["net/http.(*Server).Serve"]),
            started_by: Vec::new(),
            or_started_by: Vec::new(),
            parent_at: [].into(),
            stack: frames(&["runtime.gopark", "main.handle", "net/http.(*conn).serve"]),
            wait_reason: Some(wait.into()),
            count: 40,
            holding_threads: 0,
        };
        let mut captures = Captures::default();
        captures.goroutines.push(GoroutineCapture {
            at: moment(45.0),
            runtime_nanos: 0,
            sites: vec![site],
            members: Vec::new(),
            one_in: 1,
            total: 40,
            beyond: 0,
            without_stack: 0,
        });
        captures
    }

    #[test]
    fn of_two_ends_in_one_process_the_one_that_is_not_closed_is_told() {
        use SocketState::{CloseWait, Established, FinWait2};
        let nobody = Captures::default();
        for (what, dialled, accepted, captures, expected) in [
            ("neither closed", (40, Established), (40, Established), &nobody, Some(Role::Dialled)),
            ("the server closed", (40, CloseWait), (40, FinWait2), &nobody, Some(Role::Dialled)),
            ("the client closed", (40, FinWait2), (40, CloseWait), &nobody, Some(Role::Accepted)),
            (
                "handlers write",
                (40, Established),
                (40, Established),
                &handlers("IO wait"),
                Some(Role::Dialled),
            ),
            (
                "handlers hang",
                (40, Established),
                (40, Established),
                &handlers("select"),
                Some(Role::Accepted),
            ),
            ("clients elsewhere", (1, Established), (40, Established), &nobody, None),
            ("servers elsewhere", (40, Established), (2, Established), &nobody, None),
            ("too few", (5, Established), (5, Established), &nobody, None),
        ] {
            let sites = vec![site(dialled.0, dialled.1, &DIALLED), site(accepted.0, accepted.1, &ACCEPTED)];
            let ends = of(sites.clone(), captures);
            assert_eq!(ends.as_ref().map(|ends| ends.open_end), expected, "{what}");
            if let Some(ends) = ends {
                let others: Vec<bool> = sites.iter().map(|site| ends.is_other_end(site)).collect();
                let is_client = expected == Some(Role::Dialled);
                assert_eq!(others, [!is_client, is_client], "{what}");
                assert_eq!(ends.handler.is_some(), what == "handlers hang");
            }
        }
    }

    #[test]
    fn connections_with_oneself_beside_many_others_say_nothing() {
        let elsewhere = Peer::Server { ip: [10, 0, 0, 7].into(), port: 5432 };
        let established = SocketState::Established;
        let sites = |others| {
            vec![
                site(40, established, &DIALLED),
                site(40, established, &ACCEPTED),
                site(others, established, &elsewhere),
            ]
        };
        assert!(of(sites(20), &Captures::default()).is_some());
        assert!(of(sites(200), &Captures::default()).is_none());
    }
}
