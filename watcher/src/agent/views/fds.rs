//! The open descriptors of one process, and who opened them while it was watched.

use super::births::BirthWatch;
use super::examples;
use super::watching::{Watching, creator, unread, wait};
use crate::agent::views::subject::{GoSubject, Subject, ViewError};
use crate::capture::starters::Starters;
use crate::explain::words::{count, peer_name, state_name, type_name};
use crate::explain::{Accounts, Frame, Route};
use crate::ledger::descriptor_book::OpenedDescriptor;
use crate::ledger::descriptor_ledger::{self, OpenedDescriptors, Sources};
use crate::observed::connections::{ConnectionKey, Peer};
use crate::observed::ledger::{self, Descriptors};
use crate::report::fds::{FdKind, Fds, Site};
use crate::report::ledger::{Creator, Watch};
use crate::sample::connections::group;
use crate::source::kernel::ledger::{Kind, Refusal, leaves_out};
use crate::source::native_symbols::NativeSymbols;
use crate::source::{KernelTables, Scope, clock};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;
use crate::vocabulary::socket::{Family, SocketState, Transport};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Watches who opens descriptors in the process with this pid for `wanted`, or until somebody asks to end, and reads
/// what is open then. Where that cannot be watched, what is open is read at once.
///
/// # Errors
/// See [`ViewError`].
pub async fn fds(pid: i32, wanted: Duration) -> Result<Fds, ViewError> {
    let mut subject = Subject::open(pid)?.attach()?;
    let (mut watching, refusal) = Watching::begin(&mut subject, Kind::Descriptors)?;
    let id = subject.subject.target.id;
    if let Some(refusal) = refusal {
        return unwatched(&subject, &mut *watching.tables, &refusal);
    }
    let births = BirthWatch::begin(&mut watching.ledgers, &mut subject, wanted);
    let mut book = match descriptor_ledger::begin(&watching.ledgers, &mut *watching.tables, id) {
        Reading::Seen(book) => book,
        other => return Err(unread(&other, subject.who())),
    };
    wait(&subject.subject, wanted).await?;
    let taken = clock::now().wall;
    let creators = births.creators(&watching.ledgers, &mut subject);
    let target = subject.subject.target.clone();
    let main_module = target.go.as_deref().and_then(|go| go.module_path());
    let sources = Sources {
        ledgers: &mut watching.ledgers,
        tables: &mut *watching.tables,
        runtime: &mut subject.runtime,
        native: &mut NativeSymbols::default(),
        process: &subject.subject.process,
    };
    let starters = Starters { known: creators.as_ref(), main_module, ..Starters::default() };
    let read = descriptor_ledger::capture_with(&mut book, sources, id, &HashSet::new(), starters);
    let opened = match read {
        Reading::Seen(opened) => opened,
        other => return Err(unread(&other, subject.who())),
    };
    subject.subject.verify()?;
    let accounts = &opened.ledger.accounts;
    let mut sites: Vec<Site> = opened.ledger.sites.iter().map(|each| site(each, accounts)).collect();
    let mut unknown = unseen(&opened);
    for each in &opened.each {
        let site = match each.site {
            Some(index) => sites.get_mut(index),
            None if each.opened_at.is_none() => unknown.as_mut(),
            None => None,
        };
        if let Some(site) = site {
            examples::add(&mut site.examples, &subject.subject, &kind_of(each), &each.descriptor);
        }
    }
    sites.extend(unknown);
    let mut remarks = subject.remarks(&[]);
    remarks.extend(births.remark(&watching.ledgers, id));
    remarks.extend(waiting_elsewhere(opened.waiting_elsewhere));
    Ok(Fds { taken, watch: watching.account(&opened.ledger, remarks), sites, process: target })
}

/// What is open, where the kernel does not let us watch who opens it.
fn unwatched(
    subject: &GoSubject,
    tables: &mut dyn KernelTables,
    refusal: &Refusal,
) -> Result<Fds, ViewError> {
    let ProcessId { pid, .. } = subject.subject.target.id;
    let taken = clock::now().wall;
    let mut open: Vec<OpenDescriptor> = Vec::new();
    let read = tables.descriptors(Scope::Process(pid), &mut |descriptor| open.push(descriptor));
    if read.seen().is_none() {
        return Err(unread(&read, subject.who()));
    }
    subject.subject.verify()?;
    let sockets = open.iter().filter(|it| it.kind == DescriptorType::Socket);
    let sockets: Vec<_> = sockets.map(|it| it.socket.clone()).collect();
    let groups = group(&sockets, 0, &HashSet::new()).groups.into_iter();
    let mut types: HashMap<DescriptorType, u64> = HashMap::new();
    for descriptor in &open {
        *types.entry(descriptor.kind).or_default() += 1;
    }
    let what = Descriptors {
        types: types.into_iter().collect(),
        connections: groups.map(|group| (group.key, group.count)).collect(),
        waiting: Vec::new(),
    };
    let outstanding = open.len() as u64;
    let mut site = of_unknown(Creator::Before, kinds(&what));
    for descriptor in open.iter().filter(|it| it.kind != DescriptorType::Socket) {
        examples::add(&mut site.examples, &subject.subject, &plain(descriptor.kind), descriptor);
    }
    let mut remarks = subject.remarks(&[]);
    remarks.push(format!("Why: {}.", refusal.to_string().trim_end_matches('.')));
    Ok(Fds {
        process: subject.subject.target.clone(),
        taken,
        watch: Watch {
            watched: Duration::ZERO,
            route: None::<Route>,
            accounts: Accounts { outstanding, before: outstanding, one_in: 1, ..Accounts::default() },
            remarks,
        },
        sites: vec![site],
    })
}

/// What is not known of who waits for what is open, in a sentence.
fn waiting_elsewhere(unknown: Option<u64>) -> Option<String> {
    match unknown {
        Some(0) => None,
        Some(1) => Some("1 goroutine waits for a descriptor, and for which one is not known.".to_owned()),
        Some(unknown) => Some(format!(
            "{} goroutines wait for descriptors, and for which ones is not known.",
            count(unknown as f64)
        )),
        None => Some("Which goroutines wait for them could not be read.".to_owned()),
    }
}

fn site(site: &ledger::Site<Descriptors>, accounts: &Accounts) -> Site {
    let age = |age: Duration| (site.outstanding > 0).then_some(age);
    Site {
        creator: match creator(site, accounts) {
            // Those that were missed are in no site of this ledger.
            Creator::Missed => Creator::NoStack,
            creator => creator,
        },
        created: site.created,
        ended: site.ended,
        outstanding: site.outstanding,
        oldest: age(site.oldest),
        youngest: age(site.youngest),
        longest_ended: site.longest_ended,
        examples: Vec::new(),
        kinds: kinds(&site.what),
        waiting: site.what.waiting.clone(),
    }
}

fn kind_of(each: &OpenedDescriptor) -> FdKind {
    each.connection.as_ref().map_or_else(|| plain(each.descriptor.kind), socket)
}

/// The descriptors that nobody saw being opened.
fn unseen(opened: &OpenedDescriptors) -> Option<Site> {
    let accounts = &opened.ledger.accounts;
    let wanted = usize::try_from(accounts.before + accounts.missed).unwrap_or(usize::MAX);
    let mut unseen: Vec<&OpenedDescriptor> =
        opened.each.iter().filter(|each| each.opened_at.is_none()).collect();
    // Sampling leaves out some of those that came since, which the sites count already: numbers are given anew from
    // the lowest, so that the old ones are the low ones.
    unseen.sort_by_key(|each| (leaves_out(accounts.one_in, each.descriptor.fd), each.descriptor.fd));
    unseen.truncate(wanted);
    let mut counts: HashMap<FdKind, u64> = HashMap::new();
    let mut waiting: HashMap<&Arc<[Frame]>, u64> = HashMap::new();
    for each in unseen {
        for stack in &each.waiting {
            *waiting.entry(stack).or_default() += 1;
        }
        let kind = kind_of(each);
        *counts.entry(kind).or_default() += 1;
    }
    let mut kinds: Vec<(FdKind, u64)> = counts.into_iter().collect();
    kinds.sort_by(|(kind, count), (other, others)| others.cmp(count).then_with(|| kind.cmp(other)));
    let creator = match (accounts.before, accounts.missed) {
        (_, 0) => Creator::Before,
        (0, _) => Creator::Missed,
        _ => Creator::BeforeOrMissed,
    };
    let mut waiting: Vec<(Arc<[Frame]>, u64)> =
        waiting.into_iter().map(|(stack, count)| (Arc::clone(stack), count)).collect();
    waiting.sort_by(|(stack, count), (other, others)| others.cmp(count).then_with(|| stack.cmp(other)));
    (!kinds.is_empty()).then(|| Site { waiting, ..of_unknown(creator, kinds) })
}

fn of_unknown(creator: Creator, kinds: Vec<(FdKind, u64)>) -> Site {
    Site {
        creator,
        created: 0,
        ended: 0,
        outstanding: kinds.iter().map(|(_, count)| count).sum(),
        oldest: None,
        youngest: None,
        longest_ended: None,
        examples: Vec::new(),
        kinds,
        waiting: Vec::new(),
    }
}

/// What they are, most first: sockets by what they are connected to.
fn kinds(what: &Descriptors) -> Vec<(FdKind, u64)> {
    let mut kinds: Vec<(FdKind, u64)> =
        what.connections.iter().map(|(key, count)| (socket(key), *count)).collect();
    let grouped: u64 = kinds.iter().map(|(_, count)| count).sum();
    for (kind, count) in &what.types {
        let others = if *kind == DescriptorType::Socket { count.saturating_sub(grouped) } else { *count };
        if others > 0 {
            kinds.push((plain(*kind), others));
        }
    }
    kinds.sort_by(|(kind, count), (other, others)| others.cmp(count).then_with(|| kind.cmp(other)));
    kinds
}

fn plain(kind: DescriptorType) -> FdKind {
    FdKind { name: type_name(kind), protocol: None, state: None, peer: None }
}

fn socket(key: &ConnectionKey) -> FdKind {
    FdKind {
        name: type_name(DescriptorType::Socket),
        protocol: protocol(key),
        state: (key.state != SocketState::Unknown).then(|| state_name(key.state)),
        peer: (key.peer != Peer::None).then(|| peer_name(&key.peer)),
    }
}

/// What a socket speaks, in one word.
fn protocol(key: &ConnectionKey) -> Option<&'static str> {
    match (key.family, key.transport) {
        (Family::Inet, Transport::Tcp) => Some("tcp"),
        (Family::Inet6, Transport::Tcp) => Some("tcp6"),
        (Family::Inet, Transport::Udp) => Some("udp"),
        (Family::Inet6, Transport::Udp) => Some("udp6"),
        (Family::Inet | Family::Inet6, Transport::Raw) => Some("raw"),
        (Family::Inet | Family::Inet6, _) => Some("inet"),
        (Family::Unix, _) => Some("unix"),
        (Family::Netlink, _) => Some("netlink"),
        (Family::Packet, _) => Some("packet"),
        (Family::Vsock, _) => Some("vsock"),
        (Family::Other(_), _) => None,
    }
}

#[cfg(test)]
mod tests;
