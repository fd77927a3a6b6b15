//! Which processes the ledgers watch, for how long, and what is read of them: at the begin, in between, and at the end.

use super::escalation::Probes;
use super::terms::{Admission, Claim, Terms};
use crate::capture::creators::{self, Creators};
use crate::capture::go_code;
use crate::capture::starters::{Starters, ThreadStarts};
use crate::golang::runtime::Runtime;
use crate::judge::terms::Kind as Resource;
use crate::ledger::descriptor_book::DescriptorBook;
use crate::ledger::descriptor_ledger::Sources;
use crate::ledger::mapping_book::MappingBook;
use crate::ledger::{descriptor_ledger, mapping_ledger, span_ledger, task_ledger};
use crate::observed::ledger::Ledger;
use crate::source::kernel::Kernel;
use crate::source::kernel::ledger::{Bounds, Kind, Kinds, Ledgers, TaskKind, go_view};
use crate::source::memory::ProcessMemory;
use crate::source::native_symbols::NativeSymbols;
use crate::source::proc::{ProcRoot, ProcessDir};
use crate::source::{KernelTables, clock};
use crate::store::captures::{Captures, LedgerName, Run};
use crate::vocabulary::origin::{CreatingGoroutine, Origin};
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Births are watched for as long as the process is: slow leaks need hours. The number of hits bounds what that costs.
const BIRTH_BOUNDS: Bounds = Bounds { time: Duration::from_secs(24 * 3_600), ..Bounds::DEFAULT };

/// One process that can be read.
pub(super) struct Subject<'a> {
    pub id: ProcessId,
    pub process: &'a ProcessDir,
    pub runtime: &'a mut Runtime,
}

/// The processes that are watched.
#[derive(Debug)]
pub(super) struct Watches {
    ledgers: Ledgers,
    terms: Terms,
    books: HashMap<ProcessId, Books>,
}

/// What is kept of a process that is watched from scan to scan.
#[derive(Debug)]
struct Books {
    /// Probes in its runtime were tried, whatever came of it.
    tried: Probes,
    /// What was open when it began, and what became of it; `None` where that could not be read.
    descriptors: Option<DescriptorBook>,
    /// What was mapped when it began, and what became of it; `None` where that could not be read.
    mappings: Option<MappingBook>,
    /// Names of C's functions.
    native: NativeSymbols,
}

impl Watches {
    /// Watches nobody yet.
    pub fn new(kernel: &Kernel) -> Self {
        Watches { ledgers: Ledgers::new(kernel), terms: Terms::default(), books: HashMap::new() }
    }

    /// Whether a process is watched.
    pub fn is_watched(&self, id: ProcessId) -> bool {
        self.books.contains_key(&id)
    }

    /// The processes that are watched.
    pub fn watched(&self) -> Vec<ProcessId> {
        self.books.keys().copied().collect()
    }

    /// Whether probes in the runtime of a process would tell more, and were not tried yet.
    pub fn wants_probes(&self, id: ProcessId, rising: &[Resource]) -> bool {
        let wanted = Probes::for_what_rises(rising);
        self.books.get(&id).is_some_and(|books| !wanted.without(books.tried).is_empty())
    }

    /// Whether a process for which `claim` speaks may be watched now, and in whose place.
    pub fn admit(&self, id: ProcessId, claim: Claim) -> Admission {
        self.terms.admit(id, claim, clock::now().since_boot)
    }

    /// What speaks for a process that is watched, or may be, is this now.
    pub fn note_claim(&mut self, id: ProcessId, claim: Claim) {
        self.terms.note_claim(id, claim, clock::now().since_boot);
    }

    /// Processes that are watched, and events per second in all of them.
    pub fn kept(&self) -> (usize, f64) {
        self.terms.kept()
    }

    /// Begins to watch a process for who opens, maps and starts what, without end or for as long as `claim` and what
    /// it costs are worth it. What was captured when it was watched before makes room.
    pub fn begin(
        &mut self,
        mut subject: Subject<'_>,
        tables: Option<&mut dyn KernelTables>,
        is_endless: bool,
        claim: Claim,
        captures: &mut Captures,
    ) {
        let now = clock::now().since_boot;
        let view = subject.kernel_view();
        let mut kinds = Kinds::default();
        captures.descriptors = Run::default();
        captures.mappings = Run::default();
        captures.threads = Run::default();
        captures.children = Run::default();
        captures.spans = Run::default();
        captures.without_ledger.clear();
        // One after the other: a ledger that this kernel refuses takes none of the others with it.
        for kind in [Kind::Descriptors, Kind::Mappings, Kind::Tasks] {
            let mut more = kinds;
            more.insert(kind);
            match self.ledgers.watch(subject.id, view, more) {
                Ok(()) => kinds = more,
                Err(refusal) => captures.without_ledger.push((name(kind), because(&refusal))),
            }
        }
        // Kept even where nothing was granted: it would not be granted at the next beat either.
        let books = Books {
            tried: Probes::default(),
            descriptors: tables
                .and_then(|tables| descriptor_ledger::begin(&self.ledgers, tables, subject.id).into_seen()),
            mappings: mapping_ledger::begin(subject.process).into_seen(),
            native: NativeSymbols::default(),
        };
        self.books.insert(subject.id, books);
        self.terms.begin(subject.id, is_endless, claim, now);
    }

    /// Puts probes into the runtime of a process that is watched, for what the ledgers alone do not tell: who started
    /// the goroutines that open connections, and who fills the heap where it has no profile. Each is tried once, and
    /// taken out by itself when its time is over.
    pub fn look_closer(&mut self, subject: Subject<'_>, rising: &[Resource], captures: &mut Captures) {
        let Subject { id, process, runtime } = subject;
        let Some(term) = self.books.get_mut(&id) else { return };
        let Some(file) = go_code::reopen(runtime, process).into_seen() else { return };
        let wanted = Probes::for_what_rises(rising).without(term.tried);
        if wanted.births {
            term.tried.births = true;
            if let Err(refusal) = creators::watch(&mut self.ledgers, runtime, &file, id, BIRTH_BOUNDS) {
                captures.without_ledger.push((LedgerName::Births, because(&refusal)));
            }
        }
        if wanted.spans {
            term.tried.spans = true;
            let has_profile = captures.heap.last().is_none_or(|heap| heap.sites.is_ok());
            if has_profile {
                return;
            }
            if let Err(refusal) = span_ledger::watch(&mut self.ledgers, runtime, &file, id, Bounds::DEFAULT) {
                captures.without_ledger.push((LedgerName::Spans, because(&refusal)));
            }
        }
    }

    /// Who started the goroutines of a process; `None` where their births are not watched.
    pub fn creators(&self, subject: &mut Subject<'_>) -> Option<Creators> {
        self.books.get(&subject.id).filter(|term| term.tried.births)?;
        let openers = openers(&self.ledgers, subject.id);
        creators::read(&self.ledgers, subject.runtime, subject.process, subject.id, openers).into_seen()
    }

    /// Reads the ledgers of a process that is watched. What its kernel and its runtime do not give is left out.
    /// `creators` are those of its goroutines.
    pub fn scan(
        &mut self,
        subject: Subject<'_>,
        root: &ProcRoot,
        tables: Option<&mut dyn KernelTables>,
        creators: Option<&Creators>,
        captures: &mut Captures,
    ) {
        let Subject { id, process, runtime } = subject;
        let Some(term) = self.books.get_mut(&id) else { return };
        let began = clock::now().since_boot;
        let ledgers = &mut self.ledgers;
        let threads = ThreadStarts::read(ledgers, id);
        let main_module = captures.main_module.clone();
        let starters =
            Starters { known: creators, threads: threads.as_ref(), main_module: main_module.as_deref() };
        if let (Some(book), Some(tables)) = (&mut term.descriptors, tables) {
            let native = &mut term.native;
            // A port on which others listen tells of what they have accepted and handed over, which is rare.
            let listens = HashSet::new();
            let sources = Sources { ledgers, tables, runtime, native, process };
            let opened = descriptor_ledger::capture_with(book, sources, id, &listens, starters);
            push(&mut captures.descriptors, opened.map(|opened| opened.ledger));
        }
        if let Some(book) = &mut term.mappings {
            let native = &mut term.native;
            let sources = mapping_ledger::Sources { ledgers, runtime, native, process, starters };
            push(&mut captures.mappings, mapping_ledger::capture_with(book, sources, id, &[]));
        }
        for (kind, run) in
            [(TaskKind::Threads, &mut captures.threads), (TaskKind::Children, &mut captures.children)]
        {
            let native = &mut term.native;
            let sources = mapping_ledger::Sources { ledgers, runtime, native, process, starters };
            push(run, task_ledger::capture_with(kind, sources, root, id));
        }
        if term.tried.spans {
            push(&mut captures.spans, span_ledger::read(ledgers, runtime, process, id));
        }
        let now = clock::now().since_boot;
        self.terms.note_scan(id, events(captures), now.saturating_sub(began), now);
    }

    /// Processes whose ledgers are to be read now.
    pub fn due(&self) -> Vec<ProcessId> {
        self.terms.due(clock::now().since_boot)
    }

    /// Processes whose term is over.
    pub fn over(&self) -> Vec<ProcessId> {
        self.terms.over(clock::now().since_boot)
    }

    /// Ceases to watch a process.
    pub fn end(&mut self, id: ProcessId) {
        if self.books.remove(&id).is_some() {
            self.ledgers.unwatch(id);
            self.terms.end(id, clock::now().since_boot);
        }
    }

    /// The same of a process that has left: there is nothing to remember.
    pub fn forget(&mut self, id: ProcessId) {
        self.end(id);
        self.terms.forget(id);
    }

    /// Kernel memory of the programs and maps; `None` where nobody is watched or the kernel does not say.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.ledgers.memory_bytes()
    }
}

impl Subject<'_> {
    /// What the kernel's programs must know to get from a thread to its goroutine.
    fn kernel_view(&mut self) -> Option<watcher_ebpf::GoView> {
        let file = go_code::reopen(self.runtime, self.process).into_seen()?;
        let view = self.runtime.kernel_view(&file, &ProcessMemory::new(self.id.pid))?;
        Some(go_view(&view))
    }
}

/// The ledger in the words of the captures.
fn name(kind: Kind) -> LedgerName {
    match kind {
        Kind::Descriptors => LedgerName::Descriptors,
        Kind::Mappings => LedgerName::Mappings,
        Kind::Tasks => LedgerName::Tasks,
        Kind::Births => LedgerName::Births,
        Kind::Spans => LedgerName::Spans,
    }
}

/// Why there is none, for an operator.
fn because(refusal: &dyn std::error::Error) -> String {
    let mut text = refusal.to_string();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

/// What the ledgers that were read last have seen come and go since they began.
fn events(captures: &Captures) -> u64 {
    fn of<T>(run: &Run<Ledger<T>>) -> u64 {
        run.last().map_or(0, |it| it.accounts.created.saturating_add(it.accounts.ended))
    }
    [of(&captures.descriptors), of(&captures.mappings), of(&captures.threads), of(&captures.children)]
        .into_iter()
        .fold(0, u64::saturating_add)
}

fn push<T>(run: &mut Run<Ledger<T>>, ledger: Reading<Ledger<T>>) {
    if let Reading::Seen(ledger) = ledger {
        run.push(ledger);
    }
}

/// The goroutines that created what the ledgers hold.
fn openers(ledgers: &Ledgers, id: ProcessId) -> Vec<CreatingGoroutine> {
    let mut origins: Vec<Origin> = Vec::new();
    origins.extend(ledgers.descriptors(id).into_iter().flat_map(|raw| raw.things).map(|it| it.origin));
    origins.extend(ledgers.mappings(id).into_iter().flat_map(|raw| raw.things).map(|it| it.origin));
    for kind in [TaskKind::Threads, TaskKind::Children] {
        origins.extend(ledgers.tasks(id, kind).into_iter().flat_map(|raw| raw.things).map(|it| it.origin));
    }
    origins.into_iter().filter_map(|origin| origin.goroutine).collect()
}

#[cfg(test)]
mod tests {
    use super::{because, events, push};
    use crate::judge::simulation::moment;
    use crate::observed::ledger::{Accounts, Ledger, Mappings, Route, Tasks};
    use crate::store::captures::{Captures, Run};
    use crate::vocabulary::reading::Reading;
    use std::io;

    fn ledger<T>(created: u64, ended: u64) -> Ledger<T> {
        let accounts = Accounts { created, ended, one_in: 1, ..Accounts::default() };
        let (at, began) = (moment(60.0), moment(0.0));
        Ledger { at, began, route: Route::Exact, accounts, sites: Vec::new() }
    }

    #[test]
    fn events_are_those_of_the_newest_reading_of_every_ledger() {
        let mut captures = Captures::default();
        assert_eq!(events(&captures), 0);
        push(&mut captures.mappings, Reading::Seen(ledger::<Mappings>(5, 2)));
        push(&mut captures.mappings, Reading::Seen(ledger::<Mappings>(50, 20)));
        push(&mut captures.threads, Reading::Seen(ledger::<Tasks>(3, 1)));
        assert_eq!(events(&captures), 74, "counts go on from the begin");
        push(&mut captures.children, Reading::Seen(ledger::<Tasks>(u64::MAX, 7)));
        assert_eq!(events(&captures), u64::MAX, "and never over");
    }

    #[test]
    fn a_ledger_that_could_not_be_read_leaves_what_is_known() {
        let mut run: Run<Ledger<Mappings>> = Run::default();
        push(&mut run, Reading::Seen(ledger(1, 0)));
        for reading in [Reading::Gone, Reading::Denied, Reading::Unsupported, Reading::Failed] {
            push(&mut run, reading);
        }
        assert_eq!((run.len(), run.last().map(|it| it.accounts.created)), (1, Some(1)));
    }

    #[test]
    fn a_reason_is_a_part_of_a_sentence() {
        assert_eq!(because(&io::Error::other("the kernel refused it.")), "the kernel refused it");
        assert_eq!(because(&io::Error::other("no room")), "no room");
    }
}
