//! Which processes the ledgers watch, for how long, and what is read of them: at the begin, in between, and at the end.

use crate::golang::runtime::Runtime;
use crate::judge::Kind as Resource;
use crate::process::ProcessId;
use crate::reading::Reading;
use crate::sample::creators::{self, Creators};
use crate::sample::descriptor_book::DescriptorBook;
use crate::sample::descriptor_ledger::Sources;
use crate::sample::ledger::Ledger;
use crate::sample::mapping_book::MappingBook;
use crate::sample::starters::Starters;
use crate::sample::{descriptor_ledger, go_code, mapping_ledger, span_ledger, task_ledger};
use crate::source::KernelTables;
use crate::source::clock;
use crate::source::kernel::Kernel;
use crate::source::kernel::ledger::{Bounds, Kind, Kinds, Ledgers, TaskKind, go_view};
use crate::source::memory::ProcessMemory;
use crate::source::native_symbols::NativeSymbols;
use crate::source::proc::{ProcRoot, ProcessDir};
use crate::store::captures::{Captures, LedgerName, Run};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// No more processes are watched at once.
pub(super) const AT_ONCE: usize = 8;
/// On suspicion a process is watched for this time.
pub(super) const TERM: Duration = Duration::from_secs(60);
/// ... and not again within this time after it.
const BETWEEN_TERMS: Duration = Duration::from_secs(300);

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
    terms: HashMap<ProcessId, Term>,
    /// When processes ceased to be watched, in time since boot.
    ended: HashMap<ProcessId, Duration>,
}

/// For how long one process is watched, and what is kept of it from scan to scan. Times are since boot.
#[derive(Debug)]
struct Term {
    began: Duration,
    /// `None` where it goes on for as long as we do.
    ends: Option<Duration>,
    /// Was read in its middle.
    is_halved: bool,
    /// Probes in its runtime were tried, whatever came of it.
    tried_births: bool,
    tried_spans: bool,
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
        Watches { ledgers: Ledgers::new(kernel), terms: HashMap::new(), ended: HashMap::new() }
    }

    /// Whether a process is watched.
    pub fn is_watched(&self, id: ProcessId) -> bool {
        self.terms.contains_key(&id)
    }

    /// The processes that are watched.
    pub fn watched(&self) -> Vec<ProcessId> {
        self.terms.keys().copied().collect()
    }

    /// Whether probes in the runtime of a process would tell more, and were not tried yet.
    pub fn wants_probes(&self, id: ProcessId, rising: &[Resource]) -> bool {
        self.terms.get(&id).is_some_and(|term| {
            (!term.tried_births && wants_births(rising)) || (!term.tried_spans && wants_spans(rising))
        })
    }

    /// Whether a process may be watched now: there is room, and it has not been watched lately.
    pub fn has_room_for(&self, id: ProcessId) -> bool {
        let lately = |ended: &Duration| clock::now().since_boot.saturating_sub(*ended) < BETWEEN_TERMS;
        !self.is_watched(id) && self.terms.len() < AT_ONCE && !self.ended.get(&id).is_some_and(lately)
    }

    /// Begins to watch a process for who opens, maps and starts what, for `term` or without end. What was captured
    /// when it was watched before makes room.
    pub fn begin(
        &mut self,
        mut subject: Subject<'_>,
        tables: Option<&mut dyn KernelTables>,
        term: Option<Duration>,
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
        let term = Term {
            began: now,
            ends: term.map(|term| now + term),
            is_halved: false,
            tried_births: false,
            tried_spans: false,
            descriptors: tables
                .and_then(|tables| descriptor_ledger::begin(&self.ledgers, tables, subject.id).into_seen()),
            mappings: mapping_ledger::begin(subject.process).into_seen(),
            native: NativeSymbols::default(),
        };
        self.terms.insert(subject.id, term);
    }

    /// Puts probes into the runtime of a process that is watched, for what the ledgers alone do not tell: who started
    /// the goroutines that open connections, and who fills the heap where it has no profile. Each is tried once, and
    /// taken out by itself when its time is over.
    pub fn look_closer(&mut self, subject: Subject<'_>, rising: &[Resource], captures: &mut Captures) {
        let Subject { id, process, runtime } = subject;
        let Some(term) = self.terms.get_mut(&id) else { return };
        let Some(file) = go_code::reopen(runtime, process).into_seen() else { return };
        if !term.tried_births && wants_births(rising) {
            term.tried_births = true;
            if let Err(refusal) = creators::watch(&mut self.ledgers, runtime, &file, id, Bounds::DEFAULT) {
                captures.without_ledger.push((LedgerName::Births, because(&refusal)));
            }
        }
        if !term.tried_spans && wants_spans(rising) {
            term.tried_spans = true;
            let has_profile = captures.heap.last().is_none_or(|heap| heap.sites.is_ok());
            if has_profile {
                return;
            }
            if let Err(refusal) = span_ledger::watch(&mut self.ledgers, runtime, &file, id, Bounds::DEFAULT) {
                captures.without_ledger.push((LedgerName::Spans, because(&refusal)));
            }
        }
    }

    /// Reads the ledgers of a process that is watched. What its kernel and its runtime do not give is left out.
    pub fn scan(
        &mut self,
        subject: Subject<'_>,
        root: &ProcRoot,
        tables: Option<&mut dyn KernelTables>,
        captures: &mut Captures,
    ) {
        let Subject { id, process, runtime } = subject;
        let Some(term) = self.terms.get_mut(&id) else { return };
        let ledgers = &mut self.ledgers;
        if let (Some(book), Some(tables)) = (&mut term.descriptors, tables) {
            let native = &mut term.native;
            // A port on which others listen tells of what they have accepted and handed over, which is rare.
            let listens = HashSet::new();
            let starters = term.tried_births.then(|| creators(ledgers, runtime, process, id)).flatten();
            let starters =
                Starters { known: starters.as_ref(), main_module: captures.main_module.as_deref() };
            let sources = Sources { ledgers, tables, runtime, native, process };
            let opened = descriptor_ledger::capture_with(book, sources, id, &listens, starters);
            push(&mut captures.descriptors, opened.map(|opened| opened.ledger));
        }
        if let Some(book) = &mut term.mappings {
            let mappings =
                mapping_ledger::capture(book, ledgers, runtime, &mut term.native, process, id, &[]);
            push(&mut captures.mappings, mappings);
        }
        for (kind, run) in
            [(TaskKind::Threads, &mut captures.threads), (TaskKind::Children, &mut captures.children)]
        {
            push(run, task_ledger::capture(kind, ledgers, runtime, &mut term.native, root, process, id));
        }
        if term.tried_spans {
            push(&mut captures.spans, span_ledger::read(ledgers, runtime, process, id));
        }
    }

    /// Processes whose term has reached its middle since this was last asked.
    pub fn halved(&mut self) -> Vec<ProcessId> {
        let now = clock::now().since_boot;
        let mut halved = Vec::new();
        for (id, term) in &mut self.terms {
            let middle = term.ends.map(|ends| term.began + (ends - term.began) / 2);
            if !term.is_halved && middle.is_some_and(|middle| now >= middle) {
                term.is_halved = true;
                halved.push(*id);
            }
        }
        halved
    }

    /// Processes whose term is over.
    pub fn expired(&self) -> Vec<ProcessId> {
        let now = clock::now().since_boot;
        let over = |term: &Term| term.ends.is_some_and(|ends| now >= ends);
        self.terms.iter().filter(|(_, term)| over(term)).map(|(id, _)| *id).collect()
    }

    /// Ceases to watch a process.
    pub fn end(&mut self, id: ProcessId) {
        if self.terms.remove(&id).is_some() {
            self.ledgers.unwatch(id);
            self.ended.insert(id, clock::now().since_boot);
        }
    }

    /// The same of a process that has left: there is nothing to remember.
    pub fn forget(&mut self, id: ProcessId) {
        self.end(id);
        self.ended.remove(&id);
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

fn push<T>(run: &mut Run<Ledger<T>>, ledger: Reading<Ledger<T>>) {
    if let Reading::Seen(ledger) = ledger {
        run.push(ledger);
    }
}

/// Connections are often opened by goroutines of a library.
fn wants_births(rising: &[Resource]) -> bool {
    rising.contains(&Resource::Connection) || rising.contains(&Resource::Goroutine)
}

fn wants_spans(rising: &[Resource]) -> bool {
    rising.contains(&Resource::Heap)
}

/// Who started the goroutines that opened what is open.
fn creators(
    ledgers: &Ledgers,
    runtime: &mut Runtime,
    process: &ProcessDir,
    id: ProcessId,
) -> Option<Creators> {
    let things = ledgers.descriptors(id)?.things;
    let openers = things.iter().filter_map(|descriptor| descriptor.origin.goroutine);
    creators::read(ledgers, runtime, process, id, openers).into_seen()
}
