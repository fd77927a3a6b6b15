//! The Go heap of one process: what `watcher heap` prints.

use super::folded::folded;
use super::json;
use super::list::{plain_table, without_trailing_blanks};
use super::pprof::{Function, HeapSite, Mapping, Profile, heap_profile, identity_comment};
use super::svg::{Caption, SvgError, flame_graph, name_of};
use super::threads::who;
use crate::explain::words::{bytes, count, counted};
use crate::vocabulary::process::Target;
use comfy_table::CellAlignment;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write;
use std::time::SystemTime;

/// Size classes in the text.
const SHOWN_CLASSES: usize = 10;

/// The heap of a process at about one moment. What could not be read says why.
#[derive(Clone, Debug)]
pub struct Heap {
    /// Whose.
    pub process: Target,
    /// When it was read.
    pub taken: SystemTime,
    /// The runtime's own totals.
    pub totals: Result<Totals, String>,
    /// What its spans hold.
    pub spans: Result<Spans, String>,
    /// Who allocated; else why that is not known, as it completes "…, because".
    pub samples: Result<Samples, String>,
    /// What makes this less sure, a sentence each.
    pub remarks: Vec<String>,
    /// What of the executable is mapped where.
    pub mappings: Vec<Mapping>,
}

/// The runtime's own totals, in bytes where nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Collections so far.
    pub gc_cycles: u32,
    /// What the last collection found reachable; `None` before the first.
    pub live_bytes: Option<u64>,
    /// The same with what was allocated since.
    pub allocated_bytes: u64,
    /// Size at which the next collection should be complete; `None` where none will start.
    pub goal_bytes: Option<u64>,
    /// Spans that hold objects.
    pub in_use_bytes: u64,
    /// Free and not returned to the system.
    pub idle_bytes: u64,
    /// Free and returned.
    pub released_bytes: u64,
    /// Allocated since the start, freed or not.
    pub total_allocated_bytes: u64,
    /// GOGC; `None` for off.
    pub gogc_percent: Option<u32>,
    /// GOMEMLIMIT; `None` where there is none.
    pub memory_limit_bytes: Option<u64>,
}

/// What the spans hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spans {
    /// Spans of objects.
    pub heap_bytes: u64,
    /// Goroutine stacks.
    pub stack_bytes: u64,
    /// The collector's work lists.
    pub work_bytes: u64,
    /// Spans that changed while they were read, or could not be read: in no sum.
    pub not_counted: u64,
    /// Objects by size, the largest sum first.
    pub classes: Vec<SizeClass>,
}

/// Objects of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SizeClass {
    /// Size of one.
    pub object_bytes: u64,
    /// They may hold pointers.
    pub has_pointers: bool,
    /// Spans for them.
    pub spans: u64,
    /// How many there are, dead ones that are not swept included.
    pub objects: u64,
    /// All of them.
    pub bytes: u64,
}

/// Who allocated, as the runtime's own profile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Samples {
    /// One allocation in so many bytes was sampled, on average.
    pub rate_bytes: i64,
    /// Stacks with what is estimated from the samples.
    pub sites: Vec<HeapSite>,
    /// What makes them less sure, a sentence each.
    pub remarks: Vec<String>,
}

/// Why there is no profile: one sentence.
pub fn no_samples(why: &str) -> String {
    format!("no heap samples are recorded in this program, because {why}")
}

/// The profile that `/debug/pprof/heap` would give; `None` where nothing is sampled.
pub fn profile(heap: &Heap) -> Option<Profile> {
    let samples = heap.samples.as_ref().ok()?;
    let sites = samples.sites.iter().cloned();
    let mut profile = heap_profile(heap.taken, samples.rate_bytes, heap.mappings.clone(), sites);
    profile.comments.push(identity_comment(&heap.process.name, heap.process.id));
    Some(profile)
}

/// A flame graph of the bytes in use by the stack that allocated them.
///
/// # Errors
/// Where nothing is sampled, or nothing is in use.
pub fn svg(heap: &Heap) -> Result<Vec<u8>, SvgError> {
    let (Some(profile), Ok(samples)) = (profile(heap), &heap.samples) else { return Err(SvgError::Empty) };
    let in_use = sum(samples.sites.iter().map(|site| site.in_use_bytes));
    let caption = Caption {
        title: &format!("Live heap of {}", name_of(&heap.process)),
        subtitle: &format!(
            "{} in use by the code that allocated it, estimated from one sample in {}{}",
            bytes(in_use as f64),
            bytes(samples.rate_bytes as f64),
            json::timestamp(heap.taken).map(|taken| format!("; {taken}")).unwrap_or_default()
        ),
        unit: "bytes",
        main_module: heap.process.go.as_deref().and_then(|go| go.module_path()),
    };
    flame_graph(&folded(&profile, profile.value_index(None).unwrap_or(0)), &caption)
}

/// Estimates come from memory of the process, which may hold anything: a sum that is too large is the largest there is.
fn sum(values: impl Iterator<Item = i64>) -> i64 {
    values.fold(0, i64::saturating_add)
}

/// Sites with the same lines of source together.
struct Stack<'a> {
    lines: Vec<&'a (Function, u32)>,
    objects: i64,
    bytes: i64,
}

/// Those that hold most first.
fn by_stack(samples: &Samples) -> Vec<Stack<'_>> {
    let mut index = HashMap::new();
    let mut stacks: Vec<Stack<'_>> = Vec::new();
    for site in &samples.sites {
        let lines: Vec<&(Function, u32)> = site.places.iter().flat_map(|place| &place.lines).collect();
        let place = *index.entry(lines.clone()).or_insert(stacks.len());
        match stacks.get_mut(place) {
            Some(stack) => {
                stack.objects = stack.objects.saturating_add(site.in_use_objects);
                stack.bytes = stack.bytes.saturating_add(site.in_use_bytes);
            }
            None => stacks.push(Stack { lines, objects: site.in_use_objects, bytes: site.in_use_bytes }),
        }
    }
    stacks.retain(|stack| stack.bytes != 0);
    stacks.sort_by_key(|stack| std::cmp::Reverse(stack.bytes));
    stacks
}

/// For people: totals, object sizes, then at most `shown` stacks, those that hold most first.
pub fn text(heap: &Heap, shown: usize) -> String {
    let mut text = format!("{}\n\n", who(&heap.process));
    match &heap.totals {
        Ok(totals) => totals_text(&mut text, totals, heap.spans.as_ref().ok()),
        Err(why) => _ = writeln!(text, "The runtime's totals could not be read: {why}."),
    }
    match &heap.spans {
        Ok(spans) => spans_text(&mut text, spans),
        Err(why) => _ = writeln!(text, "\nThe spans of the heap could not be read: {why}."),
    }
    match &heap.samples {
        Ok(samples) => samples_text(&mut text, samples, shown),
        Err(why) => {
            let sentence = no_samples(why);
            _ = writeln!(text, "\nN{}.", sentence.strip_prefix('n').unwrap_or(&sentence));
        }
    }
    for remark in &heap.remarks {
        _ = writeln!(text, "{remark}");
    }
    text
}

fn totals_text(text: &mut String, totals: &Totals, spans: Option<&Spans>) {
    let size = |number: u64| bytes(number as f64);
    let mut row = |label: &str, value: String| _ = writeln!(text, "{label:<14}{value}");
    let cycles = count(f64::from(totals.gc_cycles));
    match totals.live_bytes {
        Some(live) => row("live", format!("{} after collection {cycles}", size(live))),
        None => row("live", "unknown: no collection has ended yet".to_owned()),
    }
    row("allocated", format!("{} with what was allocated since", size(totals.allocated_bytes)));
    let gogc = totals.gogc_percent.map_or("off".to_owned(), |percent| percent.to_string());
    let limit = totals.memory_limit_bytes.map_or("none".to_owned(), size);
    let goal = totals.goal_bytes.map_or("none".to_owned(), size);
    row("next goal", format!("{goal} (GOGC {gogc}, GOMEMLIMIT {limit})"));
    row("in use", format!("{} in spans that hold objects", size(totals.in_use_bytes)));
    row("idle", format!("{} free and not returned to the system", size(totals.idle_bytes)));
    row("released", format!("{} free and returned", size(totals.released_bytes)));
    if let Some(spans) = spans {
        row("stacks", size(spans.stack_bytes));
    }
    // The runtime adds to this one only when a processor needs another span, and at collections
    // (`mcache.refill` in `runtime/mcache.go`): it lags behind what is there.
    let ever = size(totals.total_allocated_bytes.max(totals.allocated_bytes));
    row(
        "ever",
        match totals.total_allocated_bytes < totals.in_use_bytes {
            true => format!("at least {ever} allocated since the start: the runtime counts it late"),
            false => format!("{ever} allocated since the start"),
        },
    );
}

fn spans_text(text: &mut String, spans: &Spans) {
    if spans.classes.is_empty() {
        return;
    }
    let mut table = plain_table();
    table.set_header(["OBJECT SIZE", "OBJECTS", "BYTES", "SPANS", "POINTERS"]);
    for class in spans.classes.iter().take(SHOWN_CLASSES) {
        table.add_row([
            bytes(class.object_bytes as f64),
            count(class.objects as f64),
            bytes(class.bytes as f64),
            count(class.spans as f64),
            if class.has_pointers { "yes" } else { "no" }.to_owned(),
        ]);
    }
    for column in table.column_iter_mut().take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    text.push('\n');
    text.push_str(&without_trailing_blanks(&table));
    let hidden = spans.classes.len().saturating_sub(SHOWN_CLASSES);
    if hidden > 0 {
        _ = writeln!(text, "and {}", counted(hidden, "more object size", "more object sizes"));
    }
    if spans.not_counted > 0 {
        let not_counted = usize::try_from(spans.not_counted).unwrap_or(usize::MAX);
        _ = writeln!(text, "{} changed meanwhile and not counted", counted(not_counted, "span", "spans"));
    }
}

fn samples_text(text: &mut String, samples: &Samples, shown: usize) {
    let stacks = by_stack(samples);
    let total = sum(samples.sites.iter().map(|site| site.in_use_bytes));
    _ = writeln!(
        text,
        "\nWho allocated what is in use: {}, estimated from one sample in {}",
        bytes(total as f64),
        bytes(samples.rate_bytes as f64)
    );
    for stack in stacks.iter().take(shown) {
        let objects = usize::try_from(stack.objects).unwrap_or(0);
        _ = writeln!(text, "\n{:>9}  {}", bytes(stack.bytes as f64), counted(objects, "object", "objects"));
        for (function, line) in &stack.lines {
            _ = writeln!(text, "           {}  {}", function.name, position(function, *line));
        }
    }
    let hidden = stacks.len().saturating_sub(shown);
    if hidden > 0 {
        let held = sum(stacks.iter().skip(shown).map(|stack| stack.bytes));
        _ = writeln!(
            text,
            "\nnot shown: {} with {} (-n {} shows all)",
            counted(hidden, "smaller stack", "smaller stacks"),
            bytes(held as f64),
            stacks.len()
        );
    }
    for remark in &samples.remarks {
        _ = writeln!(text, "{remark}");
    }
}

fn position(function: &Function, line: u32) -> String {
    if function.file.is_empty() { "source unknown".to_owned() } else { format!("{}:{line}", function.file) }
}

/// As one object on one line (`watcher.heap/1`), ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that a heap can cause; what serde reports is passed on.
pub fn json(heap: &Heap) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Object<'a, P: Serialize> {
        schema: &'static str,
        process: P,
        process_start_ticks: u64,
        taken: Option<String>,
        totals: Option<Totals>,
        spans: Option<&'a Spans>,
        sampled_every_bytes: Option<i64>,
        sites: Option<Vec<SiteObject<'a>>>,
        missing: Vec<String>,
        remarks: Vec<&'a str>,
    }
    let samples = heap.samples.as_ref().ok();
    let remarks = heap.remarks.iter().chain(samples.into_iter().flat_map(|samples| &samples.remarks));
    let missing = [
        heap.totals.as_ref().err().map(|why| format!("the runtime's totals could not be read: {why}")),
        heap.spans.as_ref().err().map(|why| format!("the spans of the heap could not be read: {why}")),
        heap.samples.as_ref().err().map(|why| no_samples(why)),
    ];
    let object = Object {
        schema: "watcher.heap/1",
        process: json::target(&heap.process),
        process_start_ticks: heap.process.id.start_ticks,
        taken: json::timestamp(heap.taken),
        totals: heap.totals.as_ref().ok().copied(),
        spans: heap.spans.as_ref().ok(),
        sampled_every_bytes: samples.map(|samples| samples.rate_bytes),
        sites: samples.map(|samples| samples.sites.iter().map(SiteObject::of).collect()),
        missing: missing.into_iter().flatten().collect(),
        remarks: remarks.map(String::as_str).collect(),
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct SiteObject<'a> {
    object_bytes: u64,
    in_use_objects: i64,
    in_use_bytes: i64,
    allocated_objects: i64,
    allocated_bytes: i64,
    stack: Vec<LineObject<'a>>,
}

#[derive(Serialize)]
struct LineObject<'a> {
    function: &'a str,
    file: &'a str,
    line: u32,
    address: u64,
    inlined: bool,
}

impl<'a> SiteObject<'a> {
    fn of(site: &'a HeapSite) -> Self {
        let lines = site.places.iter().flat_map(|place| {
            place.lines.iter().enumerate().map(move |(index, (function, line))| LineObject {
                function: &function.name,
                file: &function.file,
                line: *line,
                address: place.address,
                inlined: index + 1 < place.lines.len(),
            })
        });
        SiteObject {
            object_bytes: site.object_bytes,
            in_use_objects: site.in_use_objects,
            in_use_bytes: site.in_use_bytes,
            allocated_objects: site.allocated_objects,
            allocated_bytes: site.allocated_bytes,
            stack: lines.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
