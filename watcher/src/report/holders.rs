//! Who holds the memory: what `watcher heap --holders` prints.

use super::json;
use super::svg::{Caption, SvgError, flame_graph, name_of};
use super::threads::who;
use crate::explain::words::{brief, bytes, count, counted, percent};
use crate::vocabulary::holders::{Amount, Held, Step, What};
use crate::vocabulary::process::Target;
use serde::Serialize;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Who holds what of the heap of a process, at about one moment.
#[derive(Clone, Debug)]
pub struct Holders {
    /// Whose.
    pub process: Target,
    /// When it had been read.
    pub taken: SystemTime,
    /// Those that hold most first.
    pub holders: Vec<Held>,
    /// What all of them hold.
    pub reached: Amount,
    /// What of it has a type that is known.
    pub typed: Amount,
    /// Allocated, and nobody holds it.
    pub unreached: Amount,
    /// What reading took.
    pub reading: Reading,
    /// What makes this less sure, a sentence each.
    pub remarks: Vec<String>,
}

/// What reading took, and what it may have missed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// How long.
    pub took: Duration,
    /// Objects in the heap, free places for them included.
    pub places: u64,
    /// Memory of ours, in bytes.
    pub own_bytes: u64,
    /// Memory that may lead somewhere could not be read.
    pub has_gaps: bool,
    /// Far less was found than the runtime's last collection found alive.
    pub is_far_below_collector: bool,
}

/// For people: how much is held, then at most `shown` holders, each with the way to most of what it holds.
pub fn text(holders: &Holders, shown: usize) -> String {
    let mut text = format!("{}\n{}\n", who(&holders.process), headline(holders));
    for held in holders.holders.iter().take(shown) {
        let share = percent_of(held.below, holders.reached);
        _ = writeln!(
            text,
            "\n{share:>5} {:>9}  {}: {}",
            bytes(held.below.bytes as f64),
            held.name,
            objects(held.below.objects)
        );
        for step in held.chain() {
            _ = writeln!(text, "                   {}", step_text(step));
        }
    }
    let rest = holders.holders.get(shown..).unwrap_or_default();
    if !rest.is_empty() {
        let mut sum = Amount::default();
        rest.iter().for_each(|held| sum += held.below);
        _ = writeln!(
            text,
            "\nnot shown: {} with {} (-n {} shows all)",
            counted(rest.len(), "smaller holder", "smaller holders"),
            bytes(sum.bytes as f64),
            holders.holders.len()
        );
    }
    text.push('\n');
    for sentence in sentences(holders) {
        _ = writeln!(text, "{sentence}");
    }
    text
}

fn headline(holders: &Holders) -> String {
    if holders.holders.is_empty() {
        return "Nothing of its heap is held by anybody.".to_owned();
    }
    format!(
        "{} of its heap are held, in {}.",
        bytes(holders.reached.bytes as f64),
        objects(holders.reached.objects)
    )
}

fn step_text(step: &Step) -> String {
    let field = if step.field.is_empty() { String::new() } else { format!("{} ", step.field) };
    let own = format!("{}, {}", objects(step.own.objects), bytes(step.own.bytes as f64));
    format!("-> {field}{}: {own}", what_text(&step.what))
}

pub(super) fn what_text(what: &What) -> String {
    match what {
        What::Type(name) => name.to_string(),
        What::Unknown(size) => format!("{size}-byte objects of unknown type"),
        What::UnknownLarge => "large objects of unknown type".to_owned(),
        What::Rest => "all that lies deeper".to_owned(),
    }
}

fn sentences(holders: &Holders) -> Vec<String> {
    let reading = &holders.reading;
    let took = brief(reading.took.as_secs_f64());
    let mut sentences = vec![format!(
        "Read once in {took}, without stopping it: {}, and {} of memory here. The type of {} of the bytes is known.",
        counted(number(reading.places), "place for objects", "places for objects"),
        bytes(reading.own_bytes as f64),
        percent_of(holders.typed, holders.reached)
    )];
    if holders.unreached.objects > 0 {
        sentences.push(format!(
            "{} more, in {}, are held by nobody: garbage that was not swept yet, as a rule.",
            bytes(holders.unreached.bytes as f64),
            objects(holders.unreached.objects)
        ));
    }
    if reading.has_gaps {
        sentences.push("Some of its memory could not be read: what it holds may be missing here.".to_owned());
    }
    if reading.is_far_below_collector {
        sentences.push(
            "This is less than half of what its last garbage collection found alive. It let go of much since, or \
             references moved while they were read: ask again."
                .to_owned(),
        );
    }
    sentences.push(
        "What several hold is counted once: with a variable before a finalizer, with a finalizer before a goroutine."
            .to_owned(),
    );
    sentences.extend(holders.remarks.iter().cloned());
    sentences
}

fn objects(all: u64) -> String {
    counted(number(all), "object", "objects")
}

fn number(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn percent_of(part: Amount, whole: Amount) -> String {
    let share = share(part, whole);
    if part.bytes > 0 && share < 0.005 { "<1 %".to_owned() } else { percent(share) }
}

fn share(part: Amount, whole: Amount) -> f64 {
    if whole.bytes == 0 { 0.0 } else { part.bytes as f64 / whole.bytes as f64 }
}

/// One line per way, the holder first, then fields and types, and the bytes of the objects at its end.
pub fn folded(holders: &Holders) -> String {
    let mut text = String::new();
    for held in &holders.holders {
        let mut way = without_separators(&held.name);
        for step in &held.steps {
            fold(&mut text, &mut way, step);
        }
    }
    text
}

fn fold(text: &mut String, way: &mut String, step: &Step) {
    let length = way.len();
    let field = if step.field.is_empty() { String::new() } else { format!("{} ", step.field) };
    _ = write!(way, ";{}", without_separators(&format!("{field}{}", what_text(&step.what))));
    if step.own.bytes > 0 {
        _ = writeln!(text, "{way} {}", step.own.bytes);
    }
    for next in &step.steps {
        fold(text, way, next);
    }
    way.truncate(length);
}

/// Semicolons part frames; types of structs have some.
fn without_separators(name: &str) -> String {
    name.replace(';', ",")
}

/// A flame graph: holders at the bottom, what they hold above.
///
/// # Errors
/// Where nothing is held.
pub fn svg(holders: &Holders) -> Result<Vec<u8>, SvgError> {
    let caption = Caption {
        title: &format!("Holders of the heap of {}", name_of(&holders.process)),
        subtitle: &format!(
            "{} in {} objects, by what holds them{}",
            bytes(holders.reached.bytes as f64),
            count(holders.reached.objects as f64),
            json::timestamp(holders.taken).map(|taken| format!("; {taken}")).unwrap_or_default()
        ),
        unit: "bytes",
        main_module: holders.process.go.as_deref().and_then(|go| go.module_path()),
    };
    flame_graph(&folded(holders), &caption)
}

/// As one object on one line (`watcher.holders/1`), ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that a heap can cause; what serde reports is passed on.
pub fn json(holders: &Holders) -> serde_json::Result<String> {
    let reading = &holders.reading;
    let object = Object {
        schema: "watcher.holders/1",
        process: json::target(&holders.process),
        process_start_ticks: holders.process.id.start_ticks,
        taken: json::timestamp(holders.taken),
        bytes: holders.reached.bytes,
        objects: holders.reached.objects,
        typed_bytes: holders.typed.bytes,
        typed_objects: holders.typed.objects,
        unreached_bytes: holders.unreached.bytes,
        unreached_objects: holders.unreached.objects,
        holders: holders.holders.iter().map(|held| HolderObject::of(held, holders.reached)).collect(),
        reading: ReadingObject {
            milliseconds: json::rounded(reading.took.as_secs_f64() * 1000.0),
            places: reading.places,
            own_bytes: reading.own_bytes,
            has_gaps: reading.has_gaps,
            is_far_below_collector: reading.is_far_below_collector,
        },
        remarks: &holders.remarks,
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct Object<'a, P: Serialize> {
    schema: &'static str,
    process: P,
    process_start_ticks: u64,
    taken: Option<String>,
    bytes: u64,
    objects: u64,
    typed_bytes: u64,
    typed_objects: u64,
    unreached_bytes: u64,
    unreached_objects: u64,
    holders: Vec<HolderObject<'a>>,
    reading: ReadingObject,
    remarks: &'a [String],
}

#[derive(Serialize)]
struct HolderObject<'a> {
    kind: &'static str,
    name: &'a str,
    bytes: u64,
    objects: u64,
    /// Of all that is held, from 0 to 1.
    share: f64,
    chain: Vec<StepObject<'a>>,
}

#[derive(Serialize)]
struct StepObject<'a> {
    field: &'a str,
    r#type: String,
    is_typed: bool,
    bytes: u64,
    objects: u64,
    /// With all that they lead to.
    below_bytes: u64,
    below_objects: u64,
}

#[derive(Serialize)]
struct ReadingObject {
    milliseconds: f64,
    places: u64,
    own_bytes: u64,
    has_gaps: bool,
    is_far_below_collector: bool,
}

impl<'a> HolderObject<'a> {
    fn of(held: &'a Held, reached: Amount) -> Self {
        let step = |step: &'a Step| StepObject {
            field: &step.field,
            r#type: what_text(&step.what),
            is_typed: matches!(step.what, What::Type(_)),
            bytes: step.own.bytes,
            objects: step.own.objects,
            below_bytes: step.below.bytes,
            below_objects: step.below.objects,
        };
        HolderObject {
            kind: held.kind.word(),
            name: &held.name,
            bytes: held.below.bytes,
            objects: held.below.objects,
            share: json::rounded(share(held.below, reached)),
            chain: held.chain().into_iter().map(step).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
