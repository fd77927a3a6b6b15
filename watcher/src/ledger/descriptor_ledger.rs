//! The ledger of descriptors: who opened what a process has open.

use super::descriptor_book::{DescriptorBook, Noted, OpenedDescriptor, Opening, Scan};
use crate::capture::frames::Frames;
use crate::capture::named::{Named, Names, Sites};
use crate::capture::starters::{Chains, Starter, Starters};
use crate::capture::waiters::Sitters;
use crate::capture::{go_code, same_program};
use crate::golang::runtime::Runtime;
use crate::observed::connections::ConnectionKey;
use crate::observed::ledger::{Accounts, Descriptors, Ledger, Route, Site};
use crate::sample::connections;
use crate::source::kernel::ledger::{Ledgers, MAX_ONE_IN, RawDescriptor, RawLedger, leaves_out};
use crate::source::memory::ProcessMemory;
use crate::source::native_symbols::NativeSymbols;
use crate::source::proc::ProcessDir;
use crate::source::{KernelTables, Scope, clock};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::StackId;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::{Moment, Reading};
use crate::vocabulary::socket::Transport;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Creations per second above which stacks are taken of a part of them only. Each costs the watched process about a
/// microsecond, so that this is 2 % of a core.
const MAX_CREATIONS_PER_SECOND: u64 = 20_000;

/// The ledger and its descriptors one by one.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenedDescriptors {
    /// By the stack that opened them.
    pub ledger: Ledger<Descriptors>,
    /// One by one, by number.
    pub each: Vec<OpenedDescriptor>,
    /// Goroutines that wait for a descriptor and of which it is not known for which; `None` where it is not known of
    /// any, as goroutines could not be read.
    pub waiting_elsewhere: Option<u64>,
}

/// Begins a book with what a process has open. To be called when it is watched already.
pub fn begin(ledgers: &Ledgers, tables: &mut dyn KernelTables, id: ProcessId) -> Reading<DescriptorBook> {
    let open = open(tables, id);
    let Some(raw) = ledgers.descriptors(id) else { return Reading::Unsupported };
    open.map(|open| DescriptorBook::begin(open, &raw.things))
}

/// What reading the ledger takes.
pub struct Sources<'a> {
    /// Which watch the process.
    pub ledgers: &'a mut Ledgers,
    /// The kernel's tables.
    pub tables: &'a mut dyn KernelTables,
    /// The process's Go runtime.
    pub runtime: &'a mut Runtime,
    /// Names of code that is not Go.
    pub native: &'a mut NativeSymbols,
    /// The process.
    pub process: &'a ProcessDir,
}

/// Reads the ledger of a process that is watched for descriptors. `listens` are the ports on which others in its
/// network namespace listen.
pub fn capture(
    book: &mut DescriptorBook,
    sources: Sources<'_>,
    id: ProcessId,
    listens: &HashSet<(Transport, u16)>,
) -> Reading<OpenedDescriptors> {
    capture_with(book, sources, id, listens, Starters::default())
}

/// The same where it is known who started the goroutines that opened something.
pub fn capture_with(
    book: &mut DescriptorBook,
    sources: Sources<'_>,
    id: ProcessId,
    listens: &HashSet<(Transport, u16)>,
    starters: Starters<'_>,
) -> Reading<OpenedDescriptors> {
    let Sources { ledgers, tables, runtime, native, process } = sources;
    let file = match go_code::reopen(runtime, process) {
        Reading::Seen(file) => file,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let (at, raw, scan) = match scan(book, ledgers, tables, id) {
        Reading::Seen(seen) => seen,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    // Needed for the names of C only: without them there are addresses.
    let mappings = process.mappings().into_seen().unwrap_or_default();
    let memory = ProcessMemory::new(id.pid);
    let sitters = Sitters::read(runtime, (&file, &memory), scan.open.iter().map(|(open, _)| open));
    let (symbols, loaded) = runtime.symbols(&file, &memory);
    let frames = Frames::default();
    let mut names = Names { symbols, loaded, native, process, mappings: &mappings, frames };
    let stacks = raw.sites.iter().map(|(id, site)| (*id, names.walked(&site.stack))).collect();
    let mut texts = Texts { stacks, chains: Chains::default(), sitters };
    let openers = scan.noted().filter_map(|raw| texts.starter(raw));
    texts.chains = Chains::of(openers, starters, &mut names);
    let opened = join(book, at, &raw, scan, &texts, listens);
    runtime.symbols(&file, &memory).0.forget_pages();
    adapt(book, ledgers, id, &raw, at.since_boot);
    same_program::confirmed(runtime, process, id, Reading::Seen(opened))
}

/// Reads what the programs noted, the table, and once more what they noted: what came or went in between is told
/// apart from what was missed.
fn scan(
    book: &mut DescriptorBook,
    ledgers: &Ledgers,
    tables: &mut dyn KernelTables,
    id: ProcessId,
) -> Reading<(Moment, RawLedger<RawDescriptor>, Scan)> {
    let since = clock::now().since_boot;
    let Some(earlier) = ledgers.descriptors(id) else { return Reading::Unsupported };
    let at = clock::now();
    let table = match open(tables, id) {
        Reading::Seen(table) => table,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let Some(raw) = ledgers.descriptors(id) else { return Reading::Unsupported };
    let noted = Noted { before: &earlier.things, after: &raw.things, since };
    let mut scan = book.scan(table, &noted, |fd| leaves_out(raw.one_in, fd));
    if scan.open.iter().any(|(_, opening)| *opening == Opening::Missed) {
        // What was opened and closed again within that instant is in neither reading. It is gone now.
        let again = match open(tables, id) {
            Reading::Seen(again) => again,
            Reading::Failed => return Reading::Failed,
            _ => return Reading::Gone,
        };
        let there: HashSet<(i32, u64)> = again.iter().map(|it| (it.fd, it.inode)).collect();
        scan.open.retain(|(it, opening)| *opening != Opening::Missed || there.contains(&(it.fd, it.inode)));
    }
    Reading::Seen((at, raw, scan))
}

fn open(tables: &mut dyn KernelTables, id: ProcessId) -> Reading<Vec<OpenDescriptor>> {
    let mut open = Vec::new();
    let reading = tables.descriptors(Scope::Process(id.pid), &mut |descriptor| open.push(descriptor));
    open.sort_unstable_by_key(|descriptor| descriptor.fd);
    reading.map(|()| open)
}

/// Samples where more is created than is good for the watched process, and no longer once that has passed.
fn adapt(
    book: &mut DescriptorBook,
    ledgers: &mut Ledgers,
    id: ProcessId,
    raw: &RawLedger<RawDescriptor>,
    now: Duration,
) {
    if let Err(error) = ledgers.note_scan(id, now) {
        tracing::warn!(%error, pid = id.pid, "how long descriptors lived is told with less precision");
    }
    // There one costs little, and no number is known yet by which some could be left out.
    if raw.route == Route::Allocations {
        return;
    }
    let entered: u64 = raw.sites.values().map(|site| site.created).sum();
    // Sites count for those that were left out; what was left out is counted by itself as well, exactly.
    let created =
        if raw.one_in == 1 { entered } else { raw.tally.unsampled + entered / u64::from(raw.one_in) };
    let Some(pace) = book.pace(created + raw.tally.created, now) else { return };
    let wanted =
        u32::try_from(pace.div_ceil(MAX_CREATIONS_PER_SECOND)).unwrap_or(u32::MAX).clamp(1, MAX_ONE_IN);
    // Down only when half would do, or it would go up and down with every beat.
    let is_due = wanted > raw.one_in || wanted.next_power_of_two() * 2 <= raw.one_in;
    if is_due && let Err(error) = ledgers.sample_descriptors(id, wanted) {
        tracing::warn!(%error, pid = id.pid, "every descriptor is entered, at whatever pace they come");
    }
}

/// Names that were looked up.
struct Texts {
    stacks: HashMap<StackId, Named>,
    /// Who started the goroutines that opened something.
    chains: Chains,
    /// Who waits for what is open.
    sitters: Sitters,
}

impl Texts {
    fn stack(&self, stack: Option<StackId>) -> Option<&Named> {
        stack.and_then(|stack| self.stacks.get(&stack))
    }

    /// Whoever ran the stack that opened it, where that was started by somebody who matters.
    fn starter(&self, raw: &RawDescriptor) -> Option<Starter> {
        Starter::of(&raw.origin).behind(self.stack(raw.origin.stack))
    }

    /// Who started the goroutine of this stack: the runtime's own stacks have nobody.
    fn started_by(&self, chain: Option<usize>) -> Vec<Arc<[Frame]>> {
        self.chains.chain(chain)
    }

    /// Where goroutines wait for the descriptor of this number, which stands for so many.
    fn waiting(&self, number: i32, weight: u64) -> Vec<(Arc<[Frame]>, u64)> {
        let mut waiting = Vec::new();
        let stacks = self.sitters.of_descriptor(number).iter();
        merge(&mut waiting, stacks.map(|stack| (Arc::clone(stack), weight)).collect());
        waiting
    }

    fn opener(&self, raw: &RawDescriptor) -> Opener {
        (raw.origin.stack, self.chains.index(self.starter(raw)))
    }
}

/// Who opens: a stack, in goroutines that were started by one chain of others.
type Opener = (Option<StackId>, Option<usize>);

/// What was found, under the names of who opened it.
fn join(
    book: &mut DescriptorBook,
    at: Moment,
    raw: &RawLedger<RawDescriptor>,
    scan: Scan,
    texts: &Texts,
    listens: &HashSet<(Transport, u16)>,
) -> OpenedDescriptors {
    let states = book.states(at, scan.open.iter().map(|(descriptor, _)| descriptor));
    let mut keys = connection_keys(&scan.open, listens);
    let mut accounts = accounts(book, raw, &scan);
    let mut files = HashSet::new();
    let mut sites = Sites::new();
    let mut left: HashMap<Option<StackId>, u64> = HashMap::new();
    let mut starters: HashMap<StackId, HashMap<Option<usize>, u64>> = HashMap::new();
    for (descriptor, opening) in &scan.open {
        let Opening::Noted(noted) = opening else { continue };
        let (stack, statement) = texts.opener(noted);
        let weight = u64::from(noted.weight);
        if noted.file.is_none_or(|file| files.insert(file)) {
            *left.entry(stack).or_default() += weight;
        } else {
            accounts.copies += weight;
        }
        if let Some(stack) = stack {
            *starters.entry(stack).or_default().entry(statement).or_default() += weight;
        }
        let age = at.since_boot.saturating_sub(noted.at);
        let site = Site {
            created: weight,
            outstanding: weight,
            oldest: age,
            youngest: age,
            what: Descriptors {
                waiting: texts.waiting(descriptor.fd, weight),
                ..one(descriptor.kind, keys.get(&descriptor.fd), weight)
            },
            ..nothing(texts, (stack, statement))
        };
        if site.stack.is_empty() {
            accounts.without_stack += 1;
        }
        sites.add(site, add);
    }
    for young in &scan.young {
        *left.entry(young.origin.stack).or_default() += u64::from(young.weight);
    }
    for (stack, known) in &raw.sites {
        // What of a stack's creations is no more is known for the stack as a whole: it goes to where most is left.
        let ended = known.created.saturating_sub(left.get(&Some(*stack)).copied().unwrap_or(0));
        let starters = starters.get(stack).into_iter().flatten();
        let statement = starters.max_by_key(|(pc, count)| (**count, **pc)).and_then(|(pc, _)| *pc);
        let longest_ended = known.longest_ended.filter(|_| ended > 0);
        let gone = Site { created: ended, ended, longest_ended, ..nothing(texts, (Some(*stack), statement)) };
        sites.add(gone, add);
    }
    if raw.route == Route::Allocations {
        // Ends are noticed late; that what was made and is open no longer has ended is known now.
        accounts.ended = accounts.created.saturating_sub(files.len() as u64);
    }
    let mut sites = sites.finish(|site| site.outstanding);
    for site in &mut sites {
        site.what.types.sort_unstable_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
        site.what.waiting.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        site.what.connections.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    }
    let places: HashMap<Look, usize> =
        sites.iter().enumerate().map(|(index, site)| (place(site), index)).collect();
    let each = scan.open.into_iter().map(|(descriptor, opening)| {
        let noted = match opening {
            Opening::Noted(noted) => Some(noted),
            _ => None,
        };
        let site = noted.and_then(|noted| {
            let like = nothing(texts, texts.opener(&noted));
            places.get(&place(&like)).copied().filter(|_| !like.stack.is_empty())
        });
        OpenedDescriptor {
            connection: keys.remove(&descriptor.fd),
            in_state_since: states.get(&descriptor.fd).copied(),
            opened_at: noted.map(|noted| moment(at, noted.at)),
            site,
            waiting: texts.sitters.of_descriptor(descriptor.fd).to_vec(),
            descriptor,
        }
    });
    let each = each.collect();
    let ledger = Ledger { at, began: raw.began, route: raw.route, accounts, sites };
    OpenedDescriptors { ledger, each, waiting_elsewhere: texts.sitters.unknown }
}

fn accounts(book: &DescriptorBook, raw: &RawLedger<RawDescriptor>, scan: &Scan) -> Accounts {
    let count = |opening: Opening| scan.open.iter().filter(|(_, it)| *it == opening).count() as u64;
    let weight = |noted: &[RawDescriptor]| noted.iter().map(|raw| u64::from(raw.weight)).sum::<u64>();
    let sum = |count: fn(&crate::source::kernel::ledger::RawSite) -> u64| -> u64 {
        raw.sites.values().map(count).sum()
    };
    Accounts {
        outstanding: scan.open.len() as u64,
        before: count(Opening::Before),
        missed: count(Opening::Missed),
        without_stack: 0,
        copies: 0,
        created: (sum(|site| site.created) + raw.tally.created).saturating_sub(weight(&scan.young)),
        ended: sum(|site| site.ended) + raw.tally.ended + weight(&scan.stale),
        corrected: book.corrected(),
        lost: raw.tally.lost,
        one_in: raw.one_in,
    }
}

fn connection_keys(
    open: &[(OpenDescriptor, Opening)],
    listens: &HashSet<(Transport, u16)>,
) -> HashMap<i32, ConnectionKey> {
    let is_socket = |it: &&OpenDescriptor| it.kind == DescriptorType::Socket;
    let sockets: Vec<&OpenDescriptor> = open.iter().map(|(it, _)| it).filter(is_socket).collect();
    let of_each: Vec<_> = sockets.iter().map(|it| it.socket.clone()).collect();
    sockets.iter().map(|it| it.fd).zip(connections::keys(&of_each, listens)).collect()
}

/// A site of which nothing is known but who it is.
fn nothing(texts: &Texts, (stack, statement): Opener) -> Site<Descriptors> {
    Site {
        stack: texts.stack(stack).map(|named| named.frames.clone()).unwrap_or_default(),
        started_by: texts.started_by(statement),
        created: 0,
        ended: 0,
        outstanding: 0,
        oldest: Duration::ZERO,
        youngest: Duration::ZERO,
        longest_ended: None,
        what: Descriptors::default(),
    }
}

/// What tells one site from another: its stack, and who started the goroutine that ran it.
type Look<'a> = (&'a [Frame], &'a [Arc<[Frame]>]);

fn place(site: &Site<Descriptors>) -> Look<'_> {
    (&site.stack, &site.started_by)
}

fn one(kind: DescriptorType, connection: Option<&ConnectionKey>, weight: u64) -> Descriptors {
    Descriptors {
        types: vec![(kind, weight)],
        connections: connection.map(|key| (key.clone(), weight)).into_iter().collect(),
        waiting: Vec::new(),
    }
}

fn add(known: &mut Descriptors, more: Descriptors) {
    merge(&mut known.types, more.types);
    merge_connections(&mut known.connections, more.connections);
    merge(&mut known.waiting, more.waiting);
}

/// Clients of a port are kept apart as long as there are few kinds of connections at a site: else this would be
/// slow, and nobody reads the list of all of them.
fn merge_connections(known: &mut Vec<(ConnectionKey, u64)>, mut more: Vec<(ConnectionKey, u64)>) {
    if known.len() >= crate::observed::connections::MAX_GROUPS {
        more.retain_mut(|(key, count)| {
            let found = known.iter_mut().find(|(known, _)| known == key);
            if let Some((_, known)) = found {
                *known += *count;
                return false;
            }
            connections::merge_client(key);
            true
        });
    }
    merge(known, more);
}

fn merge<K: PartialEq>(known: &mut Vec<(K, u64)>, more: Vec<(K, u64)>) {
    for (key, count) in more {
        match known.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known += count,
            None => known.push((key, count)),
        }
    }
}

/// A moment in time since boot, of which only that is known.
fn moment(now: Moment, since_boot: Duration) -> Moment {
    let ago = now.since_boot.saturating_sub(since_boot);
    Moment { since_boot, wall: now.wall.checked_sub(ago).unwrap_or(now.wall) }
}

#[cfg(test)]
mod tests;
