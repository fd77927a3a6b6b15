//! The ledger of mappings: who asked for the address space that a process has taken since it is watched.
//!
//! Memory that C's allocator hands out in small pieces is asked for in bulk: by `brk(2)`, by `mmap(2)` for a heap of
//! another thread, by `mprotect(2)` for more of such a heap. Whoever needs a little more at that moment is noted for
//! all of it. So a line that allocates and never frees stands out by how often it is met, not by each byte.

use super::mapping_book::{Maker, MappingBook, Outstanding, Piece, Scan};
use crate::capture::frames::Frames;
use crate::capture::named::{Named, Names, Sites};
use crate::capture::starters::{Chains, Starter, Starters};
use crate::capture::{go_code, same_program};
use crate::golang::runtime::Runtime;
use crate::observed::ledger::{Accounts, Ledger, Mappings, Site};
use crate::source::clock;
use crate::source::kernel::ledger::{Ledgers, RawLedger, RawMapping};
use crate::source::memory::ProcessMemory;
use crate::source::native_symbols::NativeSymbols;
use crate::source::proc::ProcessDir;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::StackId;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::{Moment, Reading};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Begins a book with what a process has mapped now. To be called when it is watched already: what is mapped between
/// the two is in both, and is taken for new.
pub fn begin(process: &ProcessDir) -> Reading<MappingBook> {
    process.mappings().map(|mappings| MappingBook::new(&mappings))
}

/// Reads the ledger of a process that is watched for mappings and whose runtime is attached to. `heap` are the
/// addresses of the Go heap where they are known, ascending: what nobody was seen to map there is the runtime's.
pub fn capture(
    book: &mut MappingBook,
    ledgers: &Ledgers,
    runtime: &mut Runtime,
    native: &mut NativeSymbols,
    process: &ProcessDir,
    id: ProcessId,
    heap: &[Range<u64>],
) -> Reading<Ledger<Mappings>> {
    let starters = Starters::default();
    capture_with(book, Sources { ledgers, runtime, native, process, starters }, id, heap)
}

/// What reading the ledger takes.
pub struct Sources<'a> {
    /// Which watch the process.
    pub ledgers: &'a Ledgers,
    /// The process's Go runtime.
    pub runtime: &'a mut Runtime,
    /// Names of code that is not Go.
    pub native: &'a mut NativeSymbols,
    /// The process.
    pub process: &'a ProcessDir,
    /// Who started the goroutines and threads that created something.
    pub starters: Starters<'a>,
}

/// The same where it is known who started the goroutines and threads that mapped something.
pub fn capture_with(
    book: &mut MappingBook,
    sources: Sources<'_>,
    id: ProcessId,
    heap: &[Range<u64>],
) -> Reading<Ledger<Mappings>> {
    let Sources { ledgers, runtime, native, process, starters } = sources;
    let file = match go_code::reopen(runtime, process) {
        Reading::Seen(file) => file,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let at = clock::now();
    // In this order: what is mapped between the two readings is told by its age.
    let mappings = match process.mappings() {
        Reading::Seen(mappings) => mappings,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let Some(raw) = ledgers.mappings(id) else { return process.id().and_then(|_| Reading::Unsupported) };
    let scan = book.scan(&raw.things, &mappings, at.since_boot);
    ledgers.forget_mappings(id, book.settled(&raw.things, at.since_boot));
    let memory = ProcessMemory::new(id.pid);
    let (symbols, loaded) = runtime.symbols(&file, &memory);
    let mut names =
        Names { symbols, loaded, native, process, mappings: &mappings, frames: Frames::default() };
    let stacks: HashMap<StackId, Named> =
        raw.sites.iter().map(|(id, site)| (*id, names.walked(&site.stack))).collect();
    let mut texts = Texts { stacks, chains: Chains::default() };
    texts.chains =
        Chains::of(scan.makers.keys().filter_map(|maker| texts.starter(maker)), starters, &mut names);
    let ledger = join(at, &raw, &scan, &|stack| book.longest(stack), &texts, heap);
    runtime.symbols(&file, &memory).0.forget_pages();
    same_program::confirmed(runtime, process, id, Reading::Seen(ledger))
}

/// Names that were looked up.
struct Texts {
    stacks: HashMap<StackId, Named>,
    /// Who started the goroutines and threads that mapped something.
    chains: Chains,
}

impl Texts {
    fn stack(&self, stack: Option<StackId>) -> Option<&Named> {
        stack.and_then(|stack| self.stacks.get(&stack))
    }

    fn starter(&self, maker: &Maker) -> Option<Starter> {
        maker.ran_by.behind(self.stack(maker.stack))
    }

    fn started_by(&self, maker: &Maker) -> Vec<Arc<[Frame]>> {
        self.chains.chain(self.chains.index(self.starter(maker)))
    }
}

/// What was found, under the names of who made it.
fn join(
    at: Moment,
    raw: &RawLedger<RawMapping>,
    scan: &Scan,
    longest: &dyn Fn(Option<StackId>) -> Option<Duration>,
    texts: &Texts,
    heap: &[Range<u64>],
) -> Ledger<Mappings> {
    let mut sites = Sites::new();
    let mut accounts = Accounts {
        before: scan.before,
        missed: scan.missed.len() as u64,
        created: raw.tally.created.saturating_sub(scan.young(None)),
        corrected: scan.corrected,
        lost: raw.tally.lost + scan.lost,
        one_in: 1,
        ..Accounts::default()
    };
    let mut outstanding_by_stack: HashMap<Option<StackId>, u64> = HashMap::new();
    for (maker, held) in &scan.makers {
        accounts.outstanding += held.count;
        let named = texts.stack(maker.stack);
        if named.is_none() {
            accounts.without_stack += held.count;
        }
        *outstanding_by_stack.entry(maker.stack).or_default() += held.count;
        sites.add(Site { started_by: texts.started_by(maker), ..site(named, held) }, merge);
    }
    // What of each stack's creations is no more is known for the stack as a whole.
    for (stack, known) in &raw.sites {
        let left = outstanding_by_stack.remove(&Some(*stack)).unwrap_or(0);
        let ended = known.created.saturating_sub(left + scan.young(Some(*stack)));
        accounts.created += known.created.min(left + ended);
        let mut gone = site(texts.stack(Some(*stack)), &Outstanding::default());
        gone.created = ended;
        gone.ended = ended;
        gone.longest_ended = known.longest_ended.max(longest(Some(*stack))).filter(|_| ended > 0);
        gone.started_by = most_of(scan, *stack).map(|maker| texts.started_by(maker)).unwrap_or_default();
        sites.add(gone, |_, _| {});
    }
    accounts.outstanding += accounts.missed;
    let (of_heap, others) = unseen(&scan.missed, heap);
    sites.add(others, merge);
    sites.push(of_heap);
    accounts.outstanding += scan.before;
    accounts.ended = (accounts.created + accounts.missed).saturating_sub(accounts.outstanding - scan.before);
    Ledger { at, began: raw.began, route: raw.route, accounts, sites: sites.finish(|site| site.what.bytes) }
}

fn site(named: Option<&Named>, held: &Outstanding) -> Site<Mappings> {
    let is_runtime = named.is_some_and(is_runtime);
    let is_native = !is_runtime && named.is_some_and(|named| named.native > 0);
    Site {
        stack: named.map(|named| named.frames.clone()).unwrap_or_default(),
        started_by: Vec::new(),
        created: held.count,
        ended: 0,
        outstanding: held.count,
        oldest: held.oldest,
        youngest: held.youngest,
        longest_ended: None,
        what: Mappings {
            bytes: held.bytes,
            file_bytes: held.file_bytes,
            is_runtime,
            is_native,
            is_thread_stack: held.is_thread_stack,
        },
    }
}

/// Who has most left of what this stack made.
fn most_of(scan: &Scan, stack: StackId) -> Option<&Maker> {
    let makers = scan.makers.iter().filter(|(maker, _)| maker.stack == Some(stack));
    makers.max_by_key(|(maker, held)| (held.bytes, maker.ran_by)).map(|(maker, _)| maker)
}

/// Sites of what nobody was seen to make: in the Go heap, and elsewhere.
fn unseen(pieces: &[Piece], heap: &[Range<u64>]) -> (Site<Mappings>, Site<Mappings>) {
    let mut held = [Outstanding::default(), Outstanding::default()];
    for piece in pieces {
        let in_heap = |range: &Range<u64>| range.start < piece.range.end && piece.range.start < range.end;
        let held = &mut held[usize::from(heap.iter().any(in_heap))];
        held.count += 1;
        held.bytes += piece.bytes;
        held.file_bytes += piece.file_bytes;
    }
    // Nobody saw them made, or knows since when.
    let [others, of_heap] = held.map(|held| Site { created: 0, ..site(None, &held) });
    (Site { what: Mappings { is_runtime: true, ..of_heap.what }, ..of_heap }, others)
}

fn merge(known: &mut Mappings, more: Mappings) {
    let was_nothing = known.bytes == 0;
    known.bytes += more.bytes;
    known.file_bytes += more.file_bytes;
    known.is_thread_stack = more.is_thread_stack && (known.is_thread_stack || was_nothing);
    known.is_runtime = more.is_runtime && (known.is_runtime || was_nothing);
}

/// Whether the runtime maps something for itself here. With cgo it asks C to do it (`_cgo_mmap`), so that frames of C
/// say nothing about it.
fn is_runtime(named: &Named) -> bool {
    // `runtime/mem.go`, `runtime/mem_linux.go`, `runtime/cgo_mmap.go`; none of these is called for anybody else.
    const MAPPING: [&str; 6] = ["sysAlloc", "sysReserve", "sysMap", "sysMmap", "mmap", "persistentalloc"];
    let own = |frame: &Frame| {
        frame.function.strip_prefix("runtime.").is_some_and(|name| {
            MAPPING.iter().any(|mapping| match *mapping {
                "mmap" => name == "mmap" || name.starts_with("mmap."),
                mapping => name.starts_with(mapping),
            })
        })
    };
    let go = named.go();
    go.iter().any(own)
        || named.native == 0 && !go.is_empty() && go.iter().all(|it| it.function.starts_with("runtime."))
}

#[cfg(test)]
mod tests;
