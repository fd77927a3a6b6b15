//! Goroutines that can never go on: what `watcher goroutines --leaked` prints.

use super::goroutines::{Group, GroupObject, group_text};
use super::json;
use crate::explain::words::{brief, bytes, count, counted};
use crate::vocabulary::process::Target;
use serde::Serialize;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Addresses of what a group waits on that are told.
const TOLD_ADDRESSES: usize = 3;

/// What several readings of a process say together.
#[derive(Clone, Debug)]
pub struct Leaked {
    /// Whose.
    pub process: Target,
    /// When the last reading ended.
    pub taken: SystemTime,
    /// All goroutines of the program.
    pub goroutines: u64,
    /// Those that can never go on, by where they are, the largest group first.
    pub groups: Vec<LeakedGroup>,
    /// `likely` or `proven`; `None` where there are none.
    pub certainty: Option<&'static str>,
    /// What is missing for proof; empty where it is proven.
    pub missing: Vec<Missing>,
    /// Goroutines that nothing reachable can wake, while something that may be garbage leads to what they wait on.
    pub uncertain: u64,
    /// Goroutines that nothing can wake and that no collection has found waiting yet.
    pub undated: u64,
    /// Goroutines that wait for nobody could tell what.
    pub unresolved: u64,
    /// What was done to know it.
    pub readings: Readings,
    /// What makes it less sure, a sentence each.
    pub remarks: Vec<String>,
}

/// Goroutines that are alike.
#[derive(Clone, Debug)]
pub struct LeakedGroup {
    /// What they do and where, and only those of them that can never go on.
    pub group: Group,
    /// Objects that nobody else holds.
    pub held_objects: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// Bytes of their stacks.
    pub stack_bytes: u64,
    /// Addresses of what they wait on.
    pub waits_on: Vec<u64>,
}

/// What is missing for proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Readings.
    Readings(u32),
    /// Seconds between the first reading and the last.
    Seconds(u32),
    /// Garbage collections between them.
    Collections(u32),
    /// The goroutine that runs finalizers is held up.
    Finalizers,
}

/// What was done to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Readings {
    /// Readings of the whole heap.
    pub tried: u32,
    /// ... of which so many could be used.
    pub used: u32,
    /// Between the first that was used and the last.
    pub seconds: f64,
    /// Garbage collections between them.
    pub collections: u32,
    /// How long each took.
    pub each: Duration,
    /// Objects in the heap, free places for them included.
    pub objects: u64,
    /// Memory of ours that this took, in bytes.
    pub own_bytes: u64,
}

impl Leaked {
    /// Goroutines that can never go on.
    pub fn count(&self) -> u64 {
        self.groups.iter().map(|group| group.group.count()).sum()
    }
}

/// For people: what was found, then at most `shown` groups, largest first.
pub fn text(leaked: &Leaked, shown: usize) -> String {
    let mut text = format!("{}\n", super::threads::who(&leaked.process));
    _ = writeln!(text, "{}", headline(leaked));
    let all = |of: fn(&LeakedGroup) -> u64| leaked.groups.iter().map(of).sum::<u64>() as f64;
    if leaked.count() > 0 {
        _ = writeln!(
            text,
            "Nobody else holds {} of objects; their stacks take {}.",
            bytes(all(|group| group.held_bytes)),
            bytes(all(|group| group.stack_bytes))
        );
    }
    for group in leaked.groups.iter().take(shown) {
        text.push('\n');
        group_text(&mut text, &group.group);
        _ = writeln!(
            text,
            "           held by them alone: {} in {}, and {} of stacks",
            bytes(group.held_bytes as f64),
            counted(usize::try_from(group.held_objects).unwrap_or(usize::MAX), "object", "objects"),
            bytes(group.stack_bytes as f64)
        );
        if !group.waits_on.is_empty() {
            _ = writeln!(text, "           waiting on {}", addresses(&group.waits_on));
        }
    }
    let hidden = leaked.groups.len().saturating_sub(shown);
    if hidden > 0 {
        _ = writeln!(
            text,
            "\nnot shown: {} (-n {} shows all)",
            counted(hidden, "smaller group", "smaller groups"),
            leaked.groups.len()
        );
    }
    text.push('\n');
    for sentence in sentences(leaked) {
        _ = writeln!(text, "{sentence}");
    }
    text
}

fn headline(leaked: &Leaked) -> String {
    let of = counted(usize::try_from(leaked.goroutines).unwrap_or(usize::MAX), "goroutine", "goroutines");
    match (leaked.certainty, leaked.count()) {
        (Some(certainty), 1) => {
            format!("1 of {of} can never go on ({certainty}): nothing that runs can reach what it waits on.")
        }
        (Some(certainty), number) if number > 0 => format!(
            "{} of {of} can never go on ({certainty}): nothing that runs can reach what they wait on.",
            count(number as f64)
        ),
        _ if leaked.readings.used == 0 => {
            "No reading of its heap could be used, so that nothing is known of its goroutines.".to_owned()
        }
        _ => format!("Of {of} none was found that can never go on."),
    }
}

/// What was done, what is missing, and what this cannot see.
fn sentences(leaked: &Leaked) -> Vec<String> {
    let readings = &leaked.readings;
    let discarded = match readings.tried - readings.used {
        0 => String::new(),
        number => format!(", {number} of them of no use"),
    };
    let mut sentences = vec![format!(
        "Its heap was read {}{discarded}, over {} and {}; {} each, {} of memory here, without stopping it.",
        counted(readings.tried as usize, "time", "times"),
        brief(readings.seconds),
        counted(readings.collections as usize, "garbage collection", "garbage collections"),
        brief(readings.each.as_secs_f64()),
        bytes(readings.own_bytes as f64)
    )];
    if leaked.count() > 0 && !leaked.missing.is_empty() {
        let missing: Vec<String> = leaked.missing.iter().map(missing_words).collect();
        // A program that rests collects every two minutes.
        let collects = leaked.missing.iter().any(|it| matches!(it, Missing::Collections(_)));
        let advice = match (leaked.missing.contains(&Missing::Finalizers), collects) {
            (true, _) => "",
            (false, true) => {
                " Ask for longer: `--duration 6m`, since a program that rests collects every two minutes."
            }
            (false, false) => " Ask for longer: `--duration 2m`.",
        };
        sentences.push(format!("For proof it lacks {}.{advice}", missing.join(" and ")));
    }
    let more = if leaked.count() > 0 { " more" } else { "" };
    for (number, one, many) in [
        (
            leaked.uncertain,
            "waits on something that only garbage leads to, or something that moved: it is not accused",
            "wait on something that only garbage leads to, or something that moved: they are not accused",
        ),
        (
            leaked.undated,
            "waits on what nothing can reach, but only since the last garbage collection: ask again after the next, which comes within two minutes",
            "wait on what nothing can reach, but only since the last garbage collection: ask again after the next, which comes within two minutes",
        ),
        (
            leaked.unresolved,
            "waits on something outside of the heap, or nobody could tell on what: it counts as able to go on",
            "wait on something outside of the heap, or nobody could tell on what: they count as able to go on",
        ),
    ] {
        match number {
            0 => {}
            1 => sentences.push(format!("1{more} {one}.")),
            number => sentences.push(format!("{}{more} {many}.", count(number as f64))),
        }
    }
    sentences.push(
        "A goroutine that waits on something a package variable leads to is never accused: somebody could still wake it."
            .to_owned(),
    );
    sentences.extend(leaked.remarks.iter().cloned());
    sentences
}

fn missing_words(missing: &Missing) -> String {
    match missing {
        Missing::Readings(number) => counted(*number as usize, "more reading", "more readings"),
        Missing::Seconds(seconds) => format!("{seconds} s more"),
        Missing::Collections(number) => {
            counted(*number as usize, "more garbage collection", "more garbage collections")
        }
        Missing::Finalizers => {
            "sight of what waits for its finalizers, since the goroutine that runs them is held up".to_owned()
        }
    }
}

fn addresses(all: &[u64]) -> String {
    let told: Vec<String> = all.iter().take(TOLD_ADDRESSES).map(|address| format!("{address:#x}")).collect();
    match all.len().saturating_sub(TOLD_ADDRESSES) {
        0 => told.join(", "),
        more => format!("{} and {} more", told.join(", "), count(more as f64)),
    }
}

/// As one object on one line (`watcher.leaked/1`), ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that goroutines can cause; what serde reports is passed on.
pub fn json(leaked: &Leaked) -> serde_json::Result<String> {
    let readings = &leaked.readings;
    let object = Object {
        schema: "watcher.leaked/1",
        process: json::target(&leaked.process),
        process_start_ticks: leaked.process.id.start_ticks,
        taken: json::timestamp(leaked.taken),
        goroutines: leaked.goroutines,
        leaked: leaked.count(),
        certainty: leaked.certainty,
        held_bytes: leaked.groups.iter().map(|group| group.held_bytes).sum(),
        stack_bytes: leaked.groups.iter().map(|group| group.stack_bytes).sum(),
        groups: leaked.groups.iter().map(GroupOf::of).collect(),
        uncertain: leaked.uncertain,
        undated: leaked.undated,
        unresolved: leaked.unresolved,
        missing: leaked.missing.iter().map(missing_words).collect(),
        readings: ReadingsObject {
            tried: readings.tried,
            used: readings.used,
            seconds: json::rounded(readings.seconds),
            collections: readings.collections,
            milliseconds_each: json::rounded(readings.each.as_secs_f64() * 1000.0),
            objects: readings.objects,
            own_bytes: readings.own_bytes,
        },
        remarks: &leaked.remarks,
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct Object<'a, P: Serialize> {
    schema: &'static str,
    process: P,
    process_start_ticks: u64,
    taken: Option<String>,
    goroutines: u64,
    leaked: u64,
    certainty: Option<&'static str>,
    held_bytes: u64,
    stack_bytes: u64,
    groups: Vec<GroupOf<'a>>,
    uncertain: u64,
    undated: u64,
    unresolved: u64,
    missing: Vec<String>,
    readings: ReadingsObject,
    remarks: &'a [String],
}

#[derive(Serialize)]
struct GroupOf<'a> {
    #[serde(flatten)]
    group: GroupObject<'a>,
    held_objects: u64,
    held_bytes: u64,
    stack_bytes: u64,
    waits_on: Vec<String>,
}

impl<'a> GroupOf<'a> {
    fn of(leaked: &'a LeakedGroup) -> Self {
        GroupOf {
            group: GroupObject::of(&leaked.group),
            held_objects: leaked.held_objects,
            held_bytes: leaked.held_bytes,
            stack_bytes: leaked.stack_bytes,
            waits_on: leaked.waits_on.iter().map(|address| format!("{address:#x}")).collect(),
        }
    }
}

#[derive(Serialize)]
struct ReadingsObject {
    tried: u32,
    used: u32,
    seconds: f64,
    collections: u32,
    milliseconds_each: f64,
    objects: u64,
    own_bytes: u64,
}

#[cfg(test)]
mod tests;
