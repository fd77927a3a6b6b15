//! Goroutines for programs: JSON (`watcher.goroutines/1`) and a profile.

use super::{Goroutines, Group, StackState};
use crate::explain::words::counted;
use crate::report::folded::folded;
use crate::report::json;
use crate::report::pprof::{Builder, Label, LabelValue, Profile, identity_comment};
use crate::report::stack::{self, Frame, FrameObject};
use crate::report::svg::{Caption, SvgError, flame_graph, name_of};
use crate::report::threads::{self, ThreadObject};
use serde::Serialize;
use std::collections::BTreeMap;

/// Goroutines whose numbers are named in each group.
const NAMED: usize = 10;

/// As one object on one line, ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that goroutines can cause; what serde reports is passed on.
pub fn json(goroutines: &Goroutines) -> serde_json::Result<String> {
    let effort = &goroutines.effort;
    let object = Object {
        schema: "watcher.goroutines/1",
        process: json::target(&goroutines.process),
        process_start_ticks: goroutines.process.id.start_ticks,
        taken: json::timestamp(goroutines.taken),
        total: goroutines.total(),
        system: goroutines.system(),
        groups: goroutines.groups.iter().map(GroupObject::of).collect(),
        threads: goroutines.threads.as_deref().map(threads::objects),
        effort: EffortObject {
            milliseconds: effort.elapsed.as_secs_f64() * 1000.0,
            bytes_read: effort.bytes_read,
            retried: effort.retried,
            given_up: effort.given_up,
            running: effort.running,
            unreadable: effort.unreadable,
            incomplete: effort.incomplete,
            labels_skipped: effort.labels_skipped,
        },
        remarks: &goroutines.remarks,
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct Object<'a, P: Serialize> {
    schema: &'static str,
    process: P,
    process_start_ticks: u64,
    taken: Option<String>,
    total: u64,
    system: u64,
    groups: Vec<GroupObject<'a>>,
    threads: Option<Vec<ThreadObject<'a>>>,
    effort: EffortObject,
    remarks: &'a [String],
}

/// A group, as JSON has it.
#[derive(Serialize)]
pub struct GroupObject<'a> {
    count: u64,
    system: bool,
    status: &'static str,
    wait_reason: Option<&'a str>,
    longest_wait_seconds: Option<f64>,
    locked_to_thread: usize,
    labels: BTreeMap<&'a str, &'a str>,
    created_by: Vec<FrameObject<'a>>,
    start: Option<FrameObject<'a>>,
    stack: Vec<FrameObject<'a>>,
    stack_state: &'static str,
    /// The first few, by number.
    ids: Vec<u64>,
}

#[derive(Serialize)]
struct EffortObject {
    milliseconds: f64,
    bytes_read: u64,
    retried: u64,
    given_up: u64,
    running: u64,
    unreadable: u64,
    incomplete: u64,
    labels_skipped: u64,
}

impl<'a> GroupObject<'a> {
    /// Of this group.
    pub fn of(group: &'a Group) -> Self {
        let mut ids: Vec<u64> = group.members.iter().map(|member| member.id).collect();
        ids.sort_unstable();
        ids.truncate(NAMED);
        GroupObject {
            count: group.count(),
            system: group.is_system,
            status: group.status,
            wait_reason: group.wait_reason.as_deref(),
            longest_wait_seconds: group.longest_wait().map(|wait| wait.as_secs_f64()),
            locked_to_thread: group.members.iter().filter(|member| member.is_locked).count(),
            labels: group.labels.iter().map(|(key, value)| (&**key, &**value)).collect(),
            created_by: stack::objects(&group.created_by),
            start: stack::objects(group.start.as_slice()).pop(),
            stack: stack::objects(&group.stack),
            stack_state: group.stack_state.word(),
            ids,
        }
    }
}

/// The profile that `/debug/pprof/goroutine` would give, without the goroutine that writes it.
///
/// A goroutine whose stack could not be read appears with the function that it began with, and a label `stack` that
/// says why.
pub fn profile(goroutines: &Goroutines) -> Profile {
    let mut builder = Builder::goroutines(goroutines.taken);
    for mapping in &goroutines.mappings {
        builder.mapping(mapping.clone());
    }
    builder.comment(identity_comment(&goroutines.process.name, goroutines.process.id));
    for group in goroutines.own() {
        let stack = stack::locations(&mut builder, without_root(&group.known_stack()));
        let mut labels: Vec<Label> = group.labels.iter().map(|(key, value)| label(key, value)).collect();
        if group.stack_state != StackState::Complete {
            labels.push(label("stack", group.stack_state.word()));
        }
        builder.sample(stack, vec![i64::try_from(group.count()).unwrap_or(i64::MAX)], labels);
    }
    builder.build()
}

/// Go's own profiles leave out the function that all stacks begin with (`allFrames` in `runtime/pprof/proto.go`).
fn without_root(stack: &[Frame]) -> &[Frame] {
    match stack {
        [rest @ .., root] if &*root.function == "runtime.goexit" => rest,
        _ => stack,
    }
}

/// A flame graph of them by where they are.
///
/// # Errors
/// Where there is none.
pub fn svg(goroutines: &Goroutines) -> Result<Vec<u8>, SvgError> {
    let total = usize::try_from(goroutines.total()).unwrap_or(usize::MAX);
    let caption = Caption {
        title: &format!("Goroutines of {}", name_of(&goroutines.process)),
        subtitle: &format!(
            "{} by where they are, the runtime's own left out{}",
            counted(total, "goroutine", "goroutines"),
            json::timestamp(goroutines.taken).map(|taken| format!("; {taken}")).unwrap_or_default()
        ),
        unit: "goroutines",
        main_module: goroutines.process.go.as_deref().and_then(|go| go.module_path()),
    };
    flame_graph(&folded(&profile(goroutines), 0), &caption)
}

fn label(key: &str, value: &str) -> Label {
    Label { key: key.to_owned(), value: LabelValue::Text(value.to_owned()) }
}
