//! Who allocated what stays on the Go heap, in programs that record no heap profile.
//!
//! Each time a thread of the runtime takes a span, the object that it is taken for becomes a sample: a program in the
//! kernel notes its place and its stack. Here the marks of later collections say which of them live. Only what
//! [`MIN_COLLECTIONS`] have found alive, and is older than [`MIN_AGE`], counts as outstanding: what is merely in use
//! is not shown, and neither is what was there before watching began. Bytes and objects are estimates from these
//! samples: each stands for all that its thread allocated from the span before it took another, so that the sums are
//! right on average, also where those who keep and those who do not share their spans. Where they come to more than the
//! marks of those spans admit, size by size, they are corrected.

use crate::capture::frames::Frames;
use crate::capture::{go_code, same_program};
use crate::golang::binary::symbols::StackPc;
use crate::golang::heap::HeapError;
use crate::golang::heap::heap_reader::HeapReader;
use crate::golang::heap::spans::marks::{SpanReading, SpanView};
use crate::golang::probes::span_probes::{self, SpanProbes};
use crate::golang::runtime::Runtime;
use crate::golang::{Memory, ReadAt};
use crate::observed::ledger::{Accounts, Ledger, MAX_SITES, Route, Site, Spans};
use crate::source::clock;
use crate::source::kernel::ledger::{
    Bounds, Ledgers, RawAllocated, RawLedger, RawSite, RawSpan, Refusal, SpanWatch, go_view,
};
use crate::source::memory::ProcessMemory;
use crate::source::proc::ProcessDir;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::origin::{StackId, WalkedStack};
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What so many collections have found alive since it was allocated is kept.
pub const MIN_COLLECTIONS: i32 = 2;
/// Where collections follow each other fast, what is in use for a moment outlives several of them.
pub const MIN_AGE: Duration = Duration::from_secs(1);
/// Spans that are looked at, about, before only a part of them is.
const MAX_SPANS: u64 = 32_768;
/// Of so many spans, those whose objects are all gone are forgotten.
const FORGET_FROM: usize = 16_384;

/// Why the spans of a process cannot be watched.
#[derive(Debug, thiserror::Error)]
pub enum NoSpans {
    /// The heap was not found, or its spans are laid out in a way that is not known.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// The code that takes spans is not what is known of Go 1.21 to 1.27.
    #[error("the runtime's allocator is none of a version of Go that is known")]
    NotLocated,
    /// The Go code is not the executable's: probes are put into executables only.
    #[error("the Go code is a library in a program of another language, where no probes are put in")]
    InLibrary,
    /// The kernel did not let us.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Begins to watch the spans of a process whose runtime is attached to.
///
/// # Errors
/// See [`NoSpans`].
pub fn watch(
    ledgers: &mut Ledgers,
    runtime: &mut Runtime,
    file: &dyn ReadAt,
    id: ProcessId,
    bounds: Bounds,
) -> Result<(), NoSpans> {
    if runtime.library_code().is_some() {
        return Err(NoSpans::InLibrary);
    }
    let memory = ProcessMemory::new(id.pid);
    let (probes, view, one_in) = prepare(runtime, file, &memory)?;
    let kernel_view = runtime.kernel_view(file, &memory).map(|view| go_view(&view));
    ledgers.watch_spans(id, kernel_view, &SpanWatch { probes, view, one_in }, bounds)?;
    Ok(())
}

fn prepare(
    runtime: &mut Runtime,
    file: &dyn ReadAt,
    memory: &dyn Memory,
) -> Result<(SpanProbes, SpanView, u32), NoSpans> {
    let spans = HeapReader::attach(runtime, file, memory).spans()?;
    let view = spans.view(memory)?;
    let one_in = spans.listed(memory)?.div_ceil(MAX_SPANS).next_power_of_two();
    let (symbols, loaded) = runtime.symbols(file, memory);
    let probes = span_probes::locate(&loaded, symbols).ok_or(NoSpans::NotLocated)?;
    Ok((probes, view, u32::try_from(one_in).unwrap_or(u32::MAX)))
}

/// Reads what stays, and makes sure that the process is still the one with this id afterwards. `Unsupported` where
/// it is not watched, or its heap cannot be read.
pub fn read(
    ledgers: &Ledgers,
    runtime: &mut Runtime,
    process: &ProcessDir,
    id: ProcessId,
) -> Reading<Ledger<Spans>> {
    let file = match go_code::reopen(runtime, process) {
        Reading::Seen(file) => file,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let memory = ProcessMemory::new(id.pid);
    let ledger = ledger(ledgers, runtime, &file, &memory, id);
    let ledger = ledger.map_or(Reading::Unsupported, Reading::Seen);
    same_program::confirmed(runtime, process, id, ledger)
}

fn ledger(
    ledgers: &Ledgers,
    runtime: &mut Runtime,
    file: &dyn ReadAt,
    memory: &dyn Memory,
    id: ProcessId,
) -> Option<Ledger<Spans>> {
    let spans = HeapReader::attach(runtime, file, memory).spans().ok()?;
    let raw = ledgers.spans(id)?;
    let allocated = ledgers.allocated(id)?;
    let at = clock::now();
    let addresses: Vec<u64> = raw.things.iter().map(|span| span.address).collect();
    let readings = spans.marks(memory, &addresses).ok()?;
    let in_use =
        spans.census(memory).ok().map(|census| census.classes.iter().map(|class| class.objects).sum());
    let joined = join(at.since_boot, &raw, &readings);
    if raw.things.len() > FORGET_FROM {
        ledgers.forget_spans(id, &joined.empty);
    }
    let (symbols, loaded) = runtime.symbols(file, memory);
    let mut frames = Frames::default();
    let mut expand = |stack: &WalkedStack| {
        let stack = stack.sorted(|pc| symbols.is_text(pc));
        let is_leaf_exact = stack.native.is_empty();
        let places: Vec<StackPc> = (0..)
            .zip(&stack.go)
            .map(|(index, pc)| StackPc { pc: *pc, is_exact: index == 0 && is_leaf_exact })
            .collect();
        let expanded = symbols.expand(&loaded, &places);
        frames.of(without_allocator(&expanded, |frame| &frame.function))
    };
    let (sites, accounts) = sites(&raw, &allocated, &joined, in_use, &mut expand);
    symbols.forget_pages();
    Some(Ledger { at, began: raw.began, route: Route::Runtime, accounts, sites })
}

/// A stack without the frames of the allocator: it begins where a person would look.
fn without_allocator<T>(stack: &[T], function: impl Fn(&T) -> &str) -> &[T] {
    let own = stack.iter().position(|frame| !function(frame).starts_with("runtime."));
    own.map_or(stack, |own| &stack[own..])
}

/// What one stack has on the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Held {
    objects: u64,
    bytes: u64,
    /// Objects of which it cannot be said yet, or not at all, whether they stay.
    undecided: u64,
    /// Ages of those that stay.
    ages: Option<(Duration, Duration)>,
    /// By how much its samples say more than the marks admit.
    exaggeration: Exaggeration,
}

/// Objects of one size as samples have it, and as marks have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exaggeration {
    sampled: u64,
    /// At least 1, and no more than `sampled`.
    marked: u64,
}

impl Default for Exaggeration {
    fn default() -> Self {
        Exaggeration::of(1, 1)
    }
}

impl Exaggeration {
    fn of(sampled: u64, marked: u64) -> Self {
        let sampled = sampled.max(1);
        Exaggeration { sampled, marked: marked.clamp(1, sampled) }
    }

    /// What is left of a number of objects, rounded.
    fn corrected(self, objects: u64) -> u64 {
        let [objects_wide, sampled, marked] = [objects, self.sampled, self.marked].map(u128::from);
        u64::try_from((objects_wide * marked + sampled / 2) / sampled).unwrap_or(objects)
    }
}

/// Samples and marks together, scaled.
#[derive(Debug, Default)]
struct Joined {
    held: HashMap<Option<StackId>, Held>,
    /// Spans in which nothing is alive, by address.
    empty: Vec<u64>,
}

/// A sample whose object is alive.
struct Alive {
    stack: Option<StackId>,
    span_class: u32,
    objects: u64,
    object_bytes: u64,
    age: Duration,
    is_kept: bool,
}

fn join(now: Duration, raw: &RawLedger<RawSpan>, readings: &[SpanReading]) -> Joined {
    let mut joined = Joined::default();
    let mut alive = Vec::new();
    // By class, objects alive in the spans that are looked at, and what their samples stand for.
    let mut marked_of: HashMap<u32, u64> = HashMap::new();
    let mut sampled_of: HashMap<u32, u64> = HashMap::new();
    for (span, reading) in raw.things.iter().zip(readings) {
        // Of spans for one large object all are looked at.
        let one_in = if span.span_class < 2 { 1 } else { u64::from(raw.one_in.max(1)) };
        let marked = match reading {
            SpanReading::Marked(marked)
                if marked.start == span.start && u32::from(marked.span_class) == span.span_class =>
            {
                Some(marked)
            }
            SpanReading::Unsettled => {
                for sample in &span.samples {
                    joined.held.entry(sample.stack).or_default().undecided +=
                        u64::from(sample.weight) * one_in;
                }
                continue;
            }
            // It holds others by now.
            SpanReading::Marked(_) | SpanReading::NotInUse => None,
        };
        let Some(marked) = marked else {
            joined.empty.push(span.address);
            continue;
        };
        *marked_of.entry(span.span_class).or_default() += u64::from(marked.marked()) * one_in;
        let mut has_young = false;
        for sample in &span.samples {
            let collections = marked.collections_since(sample.generation);
            let objects = u64::from(sample.weight) * one_in;
            if collections <= 0 {
                has_young = true;
                joined.held.entry(sample.stack).or_default().undecided += objects;
            } else if marked.is_marked(sample.slot) {
                // A sample may be newer than `now`; its age is 0 then and not, by underflow, huge.
                let age = now.saturating_sub(sample.at);
                let is_kept = collections >= MIN_COLLECTIONS && age >= MIN_AGE;
                let (stack, span_class, object_bytes) = (sample.stack, span.span_class, span.object_bytes);
                *sampled_of.entry(span_class).or_default() += objects;
                alive.push(Alive { stack, span_class, objects, object_bytes, age, is_kept });
            }
        }
        if !has_young && marked.marked() == 0 {
            joined.empty.push(span.address);
        }
    }
    for one in alive {
        // Whoever wakes up just behind a collection is the first to take a span more often than by chance. All
        // samples of a class together cannot stand for more than is marked in its spans.
        let of = |class: &HashMap<u32, u64>| class.get(&one.span_class).copied().unwrap_or(0);
        let exaggeration = Exaggeration::of(of(&sampled_of), of(&marked_of));
        let held = joined.held.entry(one.stack).or_default();
        held.exaggeration = exaggeration;
        let objects = exaggeration.corrected(one.objects).max(1);
        if !one.is_kept {
            held.undecided += objects;
            continue;
        }
        held.objects += objects;
        held.bytes = held.bytes.saturating_add(objects.saturating_mul(one.object_bytes));
        let (oldest, youngest) = held.ages.unwrap_or((one.age, one.age));
        held.ages = Some((oldest.max(one.age), youngest.min(one.age)));
    }
    joined
}

/// The sites, most bytes first, and what they come to. `in_use` is how many objects all spans hold.
fn sites(
    raw: &RawLedger<RawSpan>,
    allocated: &HashMap<StackId, RawAllocated>,
    joined: &Joined,
    in_use: Option<u64>,
    expand: &mut dyn FnMut(&WalkedStack) -> Arc<[Frame]>,
) -> (Vec<Site<Spans>>, Accounts) {
    let mut by_stack: HashMap<Arc<[Frame]>, Site<Spans>> = HashMap::new();
    let mut accounts = Accounts { one_in: raw.one_in.max(1), lost: raw.tally.lost, ..Accounts::default() };
    let mut add = |stack: Arc<[Frame]>, created: u64, held: Held, longest_ended: Option<Duration>| {
        let created = created.max(held.objects.saturating_add(held.undecided));
        let ended = created - held.objects - held.undecided;
        accounts.created += created;
        accounts.ended += ended;
        accounts.outstanding += held.objects;
        let (oldest, youngest) = held.ages.unwrap_or_default();
        let what = Spans { bytes: held.bytes, objects: held.objects };
        match by_stack.get_mut(&stack) {
            Some(site) => {
                site.created += created;
                site.ended += ended;
                if held.objects > 0 {
                    let is_first = site.outstanding == 0;
                    site.youngest = if is_first { youngest } else { site.youngest.min(youngest) };
                    site.oldest = site.oldest.max(oldest);
                }
                site.outstanding += held.objects;
                site.longest_ended = site.longest_ended.max(longest_ended);
                site.what.bytes += what.bytes;
                site.what.objects += what.objects;
            }
            None => {
                let outstanding = held.objects;
                let site = Site {
                    stack: Arc::clone(&stack),
                    started_by: Vec::new(),
                    created,
                    ended,
                    outstanding,
                    oldest,
                    youngest,
                    longest_ended,
                    what,
                };
                by_stack.insert(stack, site);
            }
        }
    };
    for (id, RawSite { stack, longest_ended, .. }) in &raw.sites {
        let held = joined.held.get(&Some(*id)).copied().unwrap_or_default();
        let created = allocated.get(id).map_or(0, |allocated| held.exaggeration.corrected(allocated.objects));
        add(expand(stack), created, held, *longest_ended);
    }
    // Of these only what stays is known.
    for (id, held) in &joined.held {
        if id.is_none_or(|id| !raw.sites.contains_key(&id)) {
            add(Arc::default(), 0, *held, None);
        }
    }
    let undecided: u64 = joined.held.values().map(|held| held.undecided).sum();
    let seen = accounts.outstanding.saturating_add(undecided);
    // Of what all spans hold, no sample stands for the rest: it was there before, and some of it may be dead.
    accounts.before = in_use.map_or(0, |in_use| in_use.saturating_sub(seen));
    accounts.outstanding = accounts.outstanding.saturating_add(accounts.before);
    accounts.without_stack = by_stack.get(&[][..]).map_or(0, |site| site.outstanding);
    let mut sites: Vec<Site<Spans>> = by_stack.into_values().collect();
    sites.sort_by(|a, b| {
        (b.what.bytes, b.created).cmp(&(a.what.bytes, a.created)).then(a.stack.cmp(&b.stack))
    });
    sites.truncate(MAX_SITES);
    (sites, accounts)
}

#[cfg(test)]
mod tests;
