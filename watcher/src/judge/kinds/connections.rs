//! Sockets of any family that somebody connected; listeners are none of them. The state and the peer of those that
//! grow become the finding's detail, who opened them and who sits on them its lines.

use super::composition::{part_course, part_series};
use super::{collector, descriptors, goroutines};
use crate::judge::judgement::{Finding, Outcome};
use crate::judge::series::growth::{Course, Growth, course};
use crate::judge::series::shape::tail;
use crate::judge::terms::{Kind, Thresholds};
use crate::judge::weigh::culprit::{self, Owner, owner, package};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::few;
use crate::judge::weigh::few::Alike;
use crate::judge::weigh::reasons::Undecided;
use crate::judge::weigh::survivors::{Book, LEAST_COUNT, ends_in_library};
use crate::observed::connections::{ConnectionGroup, Connections, Peer};
use crate::observed::descriptors::DescriptorTypes;
use crate::observed::ledger::{Descriptors, Site};
use crate::store::{Captures, Series, Window};
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::socket::{Family, SocketState, Transport};
use ends::BothEnds;
use std::collections::BTreeMap;

mod ends;

/// State and peer are named where they make up this part of the growth.
const NAMED_SHARE: f64 = 0.5;

/// CLOSE_WAIT is named from this part on: sockets pass through other states on their way there, and never leave it
/// without the program's doing.
const CLOSE_WAIT_SHARE: f64 = 0.3;

/// Judges the sockets.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let unit = Kind::Connection.unit();
    let (series, sockets) = (by_connections(window), part_series(window, sockets_of));
    let course_of_all = if series.values.len() >= thresholds.min_samples.max(sockets.values.len()) {
        course(&series, unit, thresholds)
    } else if let Some(why) = descriptors::unread(window) {
        if series.values.is_empty() {
            return vec![Outcome::Undecided(Undecided { kind: Kind::Connection, why })];
        }
        course(&series, unit, thresholds)
    } else {
        part_course(window, unit, thresholds, sockets_of)
    };
    let course = match course_of_all {
        grows @ Course::Grows(_) => grows,
        other => close_wait_course(window, thresholds).unwrap_or(other),
    };
    let captures = window.captures();
    let dense = if series.values.len() >= sockets.values.len() { &series } else { &sockets };
    let by_total = |course: &Course| few::by_total(Kind::Connection, course, dense, LEAST_COUNT);
    let tail = tail(dense, unit);
    let Some(book) =
        Book::open(window, &captures.descriptors, LEAST_COUNT, open_sockets).map(|book| book.beside(tail))
    else {
        return vec![by_total(&course).unwrap_or_else(|| outcome(window, course, None))];
    };
    let course = match book.decide(course) {
        Course::Steady(why) => {
            collector::growth_between(window, &book).map_or(Course::Steady(why), Course::Grows)
        }
        other => other,
    };
    let mut suspected = book.suspects(Kind::Connection, &course, captures, |site| alike(window, site));
    if let Some(Outcome::Suspected(one)) = &mut suspected {
        name_group_of_sites(&book, &mut one.finding);
        name_caller(&book, &mut one.finding, captures);
    } else if !book.tells_all() {
        suspected = by_total(&course).map(|outcome| book.named(outcome, captures));
    }
    vec![suspected.unwrap_or_else(|| outcome(window, course, Some(&book)))]
}

/// Sockets in the state of most of a site's, and of the same peer: at the first reading, and at the last.
fn alike(window: &Window, site: &Site<Descriptors>) -> Option<Alike> {
    let key = &site.what.connections.first()?.0;
    let mut seen = window.samples().filter_map(|sample| sample.connections.seen());
    let first = seen.next()?;
    let last = seen.next_back()?;
    let of = |connections: &Connections| {
        let alike = |group: &&ConnectionGroup| group.key.state == key.state && group.key.peer == key.peer;
        connections.groups.iter().filter(alike).map(|group| group.count).sum()
    };
    // One more that is open is a pool's.
    let is_close = key.state != SocketState::Established;
    Some(Alike { before: of(first), now: of(last), is_close })
}

/// Sockets over time but listeners; where their states are read more seldom than their number, all of them.
pub(in crate::judge) fn series(window: &Window) -> Series {
    let (connected, sockets) = (by_connections(window), part_series(window, sockets_of));
    if connected.values.len() >= sockets.values.len() { connected } else { sockets }
}

fn by_connections(window: &Window) -> Series {
    window.series(|sample| {
        let connections = sample.connections.seen()?;
        Some((sample.connections.at, connected(connections) as f64))
    })
}

/// The outcome for this course, with all that is known of the sockets that grow.
fn outcome(window: &Window, course: Course, book: Option<&Book<'_, Descriptors>>) -> Outcome {
    let captures = window.captures();
    let ends = captures.descriptors.last().and_then(|ledger| BothEnds::of(ledger, captures));
    // Where both ends are here, only the one that is not closed has lines.
    let of_one_end = ends.as_ref().and_then(|ends| {
        Book::open(window, &captures.descriptors, LEAST_COUNT, |site| {
            open_sockets(site).filter(|_| !ends.is_other_end(site))
        })
    });
    let book = of_one_end.as_ref().or(book);
    Outcome::of(Kind::Connection, course, |finding| {
        name_group(window, finding);
        if let Some(book) = book {
            book.describe(finding, captures);
            name_group_of_sites(book, finding);
            name_caller(book, finding, captures);
            name_waiting(book, finding, captures);
            if let Some(ends) = ends {
                let peer = book.foremost().and_then(|site| site.what.connections.first());
                ends.tell(finding, peer.map(|(key, _)| &key.peer));
            }
        }
    })
}

/// Growth of what stacks keep that open sockets, whatever the totals say.
pub(in crate::judge) fn kept(window: &Window) -> Option<Growth> {
    Book::open(window, &window.captures().descriptors, LEAST_COUNT, open_sockets)?.kept_growth()
}

/// A finding of this growth.
pub(in crate::judge) fn described(window: &Window, growth: Growth) -> Outcome {
    let book = Book::open(window, &window.captures().descriptors, LEAST_COUNT, open_sockets);
    outcome(window, Course::Grows(growth), book.as_ref())
}

/// Sockets of a site but its listeners; `None` for a site that makes other things.
pub(in crate::judge) fn open_sockets(site: &Site<Descriptors>) -> Option<u64> {
    if !descriptors::makes_sockets(site) {
        return None;
    }
    let of = |key: &DescriptorType| {
        site.what.types.iter().find(|(kind, _)| kind == key).map_or(0, |(_, count)| *count)
    };
    let listeners: u64 = site
        .what
        .connections
        .iter()
        .filter(|(key, _)| key.state == SocketState::Listen)
        .map(|(_, count)| count)
        .sum();
    Some(of(&DescriptorType::Socket).saturating_sub(listeners))
}

/// State and peer by what the stack that keeps most holds, where the totals did not tell them.
fn name_group_of_sites(book: &Book<'_, Descriptors>, finding: &mut Finding) {
    let Some(top) = book.foremost() else { return };
    let all: u64 = top.what.connections.iter().map(|(_, count)| count).sum();
    let Some((key, count)) = top.what.connections.first() else { return };
    if (*count as f64) < NAMED_SHARE * all as f64 {
        return;
    }
    if key.state != SocketState::Unknown {
        finding.detail.state.get_or_insert(key.state);
    }
    name_family(finding, Some(key.family));
    if finding.detail.peer.is_none() && key.peer != Peer::None {
        finding.detail.peer = Some(key.peer.clone());
    }
}

/// The program's own line, where the sockets are opened in a goroutine of the library's and nobody saw who started
/// it: what the library allocates on the way there knows its caller.
fn name_caller(book: &Book<'_, Descriptors>, finding: &mut Finding, captures: &Captures) {
    let module = captures.main_module.as_deref();
    if !ends_in_library(finding, module) {
        return;
    }
    let Some(top) = book.foremost() else { return };
    let entry = top.stack.iter().rev().find(|frame| owner(&frame.function, module) < Owner::Runtime);
    let Some(library) = entry.map(|frame| package(&frame.function)) else { return };
    if let Some((line, stack)) =
        goroutines::lines::own_line_through(captures, |frame| package(&frame.function) == library)
    {
        let share = finding.culprits.first().map_or(1.0, |first| first.share);
        finding.culprits.insert(0, culprit::culprit(line, stack, share));
    }
}

/// Goroutines that sit on the sockets which the stack that keeps most has opened.
fn name_waiting(book: &Book<'_, Descriptors>, finding: &mut Finding, captures: &Captures) {
    let module = captures.main_module.as_deref();
    let Some(top) = book.foremost() else { return };
    let Some((stack, goroutines)) = top.what.waiting.first() else { return };
    let Some(line) = culprit::line(stack, module) else { return };
    if (*goroutines as f64) < 0.25 * top.outstanding as f64 {
        return;
    }
    finding.evidence.push(Evidence::SittingOn { goroutines: *goroutines, function: line.function.clone() });
    let is_named = finding.culprits.iter().any(|it| it.frame == *line);
    if owner(&line.function, module) < Owner::Standard && !is_named {
        let share = finding.culprits.first().map_or(1.0, |first| first.share);
        finding.culprits.push(culprit::culprit(line, stack, share));
    }
}

fn sockets_of(types: &DescriptorTypes) -> u64 {
    types.counts.get(&DescriptorType::Socket).copied().unwrap_or(0)
}

/// Sockets that the peer has closed by themselves: they can pile up unnoticed under the traffic of all others.
fn close_wait_course(window: &Window, thresholds: &Thresholds) -> Option<Course> {
    let series = window.series(|sample| {
        let connections = sample.connections.seen()?;
        Some((sample.connections.at, closed_by_peer(connections) as f64))
    });
    match course(&series, Kind::Connection.unit(), thresholds) {
        grows @ Course::Grows(_) => Some(grows),
        Course::Steady(_) | Course::Undecided(_) => None,
    }
}

/// All but the listeners. Those that fell into no group are connected in all likelihood.
fn connected(connections: &Connections) -> u64 {
    connections.total().saturating_sub(in_state(connections, SocketState::Listen))
}

/// Those that wait for the program to close them, and those that the kernel has given up since: after a minute or so a
/// probe is answered by a reset, and CLOSE_WAIT becomes CLOSE. One that was never connected has no peer.
fn closed_by_peer(connections: &Connections) -> u64 {
    let groups = connections.groups.iter().filter(|group| is_closed_by_peer(group));
    groups.map(|group| group.count).sum()
}

fn is_closed_by_peer(group: &ConnectionGroup) -> bool {
    let given_up = group.key.state == SocketState::Close
        && group.key.transport == Transport::Tcp
        && group.key.peer != Peer::None;
    given_up || group.key.state == SocketState::CloseWait
}

/// As which state a group counts: what the kernel has given up was in CLOSE_WAIT before.
fn state_of(group: &ConnectionGroup) -> SocketState {
    if is_closed_by_peer(group) { SocketState::CloseWait } else { group.key.state }
}

fn in_state(connections: &Connections, state: SocketState) -> u64 {
    connections.groups.iter().filter(|group| group.key.state == state).map(|group| group.count).sum()
}

fn name_group(window: &Window, finding: &mut Finding) {
    let mut seen = window.samples().filter_map(|sample| sample.connections.seen());
    let Some(first) = seen.next() else { return };
    let last = seen.next_back().unwrap_or(first);
    let states = grown(first, last, state_of);
    let all = states.values().sum::<u64>() + last.ungrouped.saturating_sub(first.ungrouped);
    let share = |grown: u64| grown as f64 / all.max(1) as f64;

    let waiting = states.get(&SocketState::CloseWait).copied().unwrap_or(0);
    let largest = states.iter().max_by_key(|(_, grown)| **grown);
    let named = match largest {
        _ if waiting > 0 && share(waiting) >= CLOSE_WAIT_SHARE => Some((SocketState::CloseWait, waiting)),
        Some((state, grown)) if *grown > 0 && share(*grown) >= NAMED_SHARE => Some((*state, *grown)),
        _ => None,
    };
    let families = grown(first, last, |group| group.key.family);
    let family = families.into_iter().max_by_key(|(_, grown)| *grown);
    name_family(finding, family.filter(|(_, grown)| share(*grown) >= NAMED_SHARE).map(|(family, _)| family));
    let named = named.filter(|(state, _)| *state != SocketState::Unknown);
    if let Some((state, grown)) = named {
        finding.detail.state = Some(state);
        let now: u64 =
            last.groups.iter().filter(|group| state_of(group) == state).map(|group| group.count).sum();
        finding.evidence.push(Evidence::Concentrated { share: share(grown), now });
    }

    let of_state = |connections: &Connections| Connections {
        groups: connections
            .groups
            .iter()
            .filter(|group| named.is_none_or(|(state, _)| state_of(group) == state))
            .cloned()
            .collect(),
        ..Connections::default()
    };
    let peers = grown(&of_state(first), &of_state(last), |group| group.key.peer.clone());
    let all: u64 = peers.values().sum();
    let largest = peers.into_iter().max_by_key(|(_, grown)| *grown);
    if let Some((peer, grown)) = largest
        && grown > 0
        && peer != Peer::None
        && grown as f64 >= NAMED_SHARE * all as f64
    {
        finding.detail.peer = Some(peer);
    }
}

/// Names the family of sockets that no state and no peer says more of.
fn name_family(finding: &mut Finding, family: Option<Family>) {
    if let Some(family @ (Family::Netlink | Family::Packet | Family::Vsock)) = family {
        finding.detail.family.get_or_insert(family);
    }
}

/// Growth of all groups that do not listen, by whatever `key` makes of them.
fn grown<K: Ord>(
    first: &Connections,
    last: &Connections,
    key: impl Fn(&ConnectionGroup) -> K,
) -> BTreeMap<K, u64> {
    let total = |connections: &Connections| {
        let mut totals = BTreeMap::new();
        for group in connections.groups.iter().filter(|group| group.key.state != SocketState::Listen) {
            *totals.entry(key(group)).or_insert(0) += group.count;
        }
        totals
    };
    let before = total(first);
    total(last)
        .into_iter()
        .map(|(key, now)| {
            let then = before.get(&key).copied().unwrap_or(0);
            (key, now.saturating_sub(then))
        })
        .collect()
}
