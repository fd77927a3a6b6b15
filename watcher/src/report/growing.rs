//! Who holds ever more: what `watcher heap --holders --growing` prints.

use super::holders::what_text;
use super::json;
use super::threads::who;
use crate::explain::Unit;
use crate::explain::words::{brief, bytes, count, counted, duration, rate};
use crate::vocabulary::holders::{HolderKind, What};
use crate::vocabulary::process::Target;
use serde::Serialize;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

/// Fewer objects more than this, over all readings, are not told.
pub const LEAST_OBJECTS: u64 = 8;
/// Steps that the text shows of each holder.
const SHOWN_STEPS: usize = 6;

/// What several readings of a heap say together.
#[derive(Clone, Debug)]
pub struct Growing {
    /// Whose.
    pub process: Target,
    /// When the last reading ended.
    pub taken: SystemTime,
    /// Holders that hold more each time, those first that hold most bytes more.
    pub grown: Vec<Grown>,
    /// All holders in the last reading.
    pub holders: usize,
    /// When each reading began, in seconds from the first.
    pub seconds: Vec<f64>,
    /// How long each reading took.
    pub each: Duration,
    /// Most memory of ours, in bytes.
    pub own_bytes: u64,
    /// What makes this less sure, a sentence each.
    pub remarks: Vec<String>,
}

/// A holder that holds more each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// What it is.
    pub kind: HolderKind,
    /// As one calls it in a sentence.
    pub name: String,
    /// What there are more of each time, the nearest to the holder first.
    pub steps: Vec<GrownStep>,
}

/// Objects that are reached in the same way, of which there are more each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrownStep {
    /// Fields and what they lead to, from the holder on; the last is what there are more of.
    pub way: Vec<(String, What)>,
    /// How many, in each reading.
    pub objects: Vec<u64>,
    /// Their bytes, in each reading.
    pub bytes: Vec<u64>,
}

impl Grown {
    /// How many bytes more the last reading found than the first.
    pub fn more_bytes(&self) -> u64 {
        self.steps.iter().map(GrownStep::more_bytes).sum()
    }
}

impl GrownStep {
    /// How many bytes more the last reading found than the first.
    pub fn more_bytes(&self) -> u64 {
        more(&self.bytes)
    }
}

fn more(values: &[u64]) -> u64 {
    values.first().zip(values.last()).map_or(0, |(first, last)| last.saturating_sub(*first))
}

impl Growing {
    /// Seconds between the first reading and the last.
    fn span(&self) -> f64 {
        self.seconds.last().copied().unwrap_or(0.0)
    }
}

/// For people: at most `shown` holders, each with what there are more of.
pub fn text(growing: &Growing, shown: usize) -> String {
    let mut text = format!("{}\n{}\n", who(&growing.process), headline(growing));
    for grown in growing.grown.iter().take(shown) {
        let more = grown.more_bytes() as f64;
        let pace = rate(more / growing.span().max(f64::MIN_POSITIVE), Unit::Bytes);
        _ = writeln!(text, "\n{}: {} more, {pace}", grown.name, bytes(more));
        steps_text(&mut text, grown);
        let hidden = grown.steps.len().saturating_sub(SHOWN_STEPS);
        if hidden > 0 {
            _ = writeln!(text, "    and {} below these", counted(hidden, "type", "types"));
        }
    }
    let hidden = growing.grown.len().saturating_sub(shown);
    if hidden > 0 {
        let all = growing.grown.len();
        _ = writeln!(text, "\nnot shown: {} (-n {all} shows all)", counted(hidden, "holder", "holders"));
    }
    text.push('\n');
    for sentence in sentences(growing) {
        _ = writeln!(text, "{sentence}");
    }
    text
}

/// The steps as a tree: of a way only what comes behind the nearest step that was told.
fn steps_text(text: &mut String, grown: &Grown) {
    let mut steps: Vec<(Vec<String>, &GrownStep)> = grown
        .steps
        .iter()
        .take(SHOWN_STEPS)
        .map(|step| (step.way.iter().map(|(field, what)| place(field, what)).collect(), step))
        .collect();
    // A way comes before those that go on from it.
    steps.sort_by(|a, b| a.0.cmp(&b.0));
    let mut above: Vec<usize> = Vec::new();
    for (index, (way, step)) in steps.iter().enumerate() {
        above.retain(|above| way.starts_with(&steps[*above].0));
        let told = above.last().map_or(0, |above| steps[*above].0.len());
        let indent = " ".repeat(4 + 4 * above.len());
        let objects: Vec<String> = step.objects.iter().map(|objects| count(*objects as f64)).collect();
        _ = writeln!(text, "{indent}-> {}", way.get(told..).unwrap_or_default().join(" -> "));
        _ = writeln!(text, "{indent}   {} objects", objects.join(", "));
        above.push(index);
    }
}

fn headline(growing: &Growing) -> String {
    let of = counted(growing.holders, "holder", "holders");
    match growing.grown.len() {
        0 => format!("None of {of} held more each time."),
        1 => format!("1 of {of} held more each time."),
        number => format!("{number} of {of} held more each time."),
    }
}

fn place(field: &str, what: &What) -> String {
    if field.is_empty() { what_text(what) } else { format!("{field} {}", what_text(what)) }
}

fn sentences(growing: &Growing) -> Vec<String> {
    let each = brief(growing.each.as_secs_f64());
    let mut sentences = vec![format!(
        "Its heap was read {} within {}; {each} each, {} of memory here, without stopping it.",
        counted(growing.seconds.len(), "time", "times"),
        duration(growing.span()),
        bytes(growing.own_bytes as f64)
    )];
    sentences.push(format!(
        "Told is what there were more of each time, by {LEAST_OBJECTS} objects at least; what fills up for once looks the \
         same, so look longer before you call it a leak."
    ));
    sentences.extend(growing.remarks.iter().cloned());
    sentences
}

/// As one object on one line (`watcher.growing/1`), ending in a newline. Fields are only ever added.
///
/// # Errors
/// None that a heap can cause; what serde reports is passed on.
pub fn json(growing: &Growing) -> serde_json::Result<String> {
    let object = Object {
        schema: "watcher.growing/1",
        process: json::target(&growing.process),
        process_start_ticks: growing.process.id.start_ticks,
        taken: json::timestamp(growing.taken),
        seconds: growing.seconds.iter().map(|seconds| json::rounded(*seconds)).collect(),
        holders: growing.holders,
        growing: growing.grown.iter().map(GrownObject::of).collect(),
        milliseconds_each: json::rounded(growing.each.as_secs_f64() * 1000.0),
        own_bytes: growing.own_bytes,
        remarks: &growing.remarks,
    };
    Ok(serde_json::to_string(&object)? + "\n")
}

#[derive(Serialize)]
struct Object<'a, P: Serialize> {
    schema: &'static str,
    process: P,
    process_start_ticks: u64,
    taken: Option<String>,
    /// When each reading began, from the first on.
    seconds: Vec<f64>,
    holders: usize,
    growing: Vec<GrownObject<'a>>,
    milliseconds_each: f64,
    own_bytes: u64,
    remarks: &'a [String],
}

#[derive(Serialize)]
struct GrownObject<'a> {
    kind: &'static str,
    name: &'a str,
    more_bytes: u64,
    steps: Vec<StepObject<'a>>,
}

#[derive(Serialize)]
struct StepObject<'a> {
    way: Vec<PlaceObject<'a>>,
    r#type: String,
    objects: &'a [u64],
    bytes: &'a [u64],
}

#[derive(Serialize)]
struct PlaceObject<'a> {
    field: &'a str,
    r#type: String,
}

impl<'a> GrownObject<'a> {
    fn of(grown: &'a Grown) -> Self {
        let place = |(field, what): &'a (String, What)| PlaceObject { field, r#type: what_text(what) };
        let step = |step: &'a GrownStep| StepObject {
            way: step.way.iter().map(place).collect(),
            r#type: step.way.last().map(|(_, what)| what_text(what)).unwrap_or_default(),
            objects: &step.objects,
            bytes: &step.bytes,
        };
        GrownObject {
            kind: grown.kind.word(),
            name: &grown.name,
            more_bytes: grown.more_bytes(),
            steps: grown.steps.iter().map(step).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Growing, Grown, GrownStep, json, text};
    use crate::report::stack::fixture::process;
    use crate::vocabulary::holders::{HolderKind, What};
    use expect_test::expect;
    use std::time::{Duration, UNIX_EPOCH};

    fn growing(grown: Vec<Grown>) -> Growing {
        Growing {
            process: process(),
            taken: UNIX_EPOCH,
            grown,
            holders: 43,
            seconds: vec![0.0, 3.0, 6.0, 9.0, 12.0],
            each: Duration::from_millis(120),
            own_bytes: 4 << 20,
            remarks: Vec::new(),
        }
    }

    fn sessions() -> Grown {
        let named = |name: &str| What::Type(name.into());
        let way = vec![
            (".all".to_owned(), named("map[string]*main.Session")),
            (String::new(), named("main.Session")),
        ];
        let objects = vec![1000, 1050, 1100, 1150, 1200];
        let bytes: Vec<u64> = objects.iter().map(|objects| objects * 64).collect();
        let users = [way.clone(), vec![(".User".to_owned(), named("main.User"))]].concat();
        let other = GrownStep { way: users, objects: objects.clone(), bytes: vec![0, 1, 2, 3, 4] };
        Grown {
            kind: HolderKind::Variable,
            name: "package variable main.sessions".to_owned(),
            steps: vec![GrownStep { way, objects, bytes }, other],
        }
    }

    #[test]
    fn who_holds_more_each_time_is_told_with_the_counts() {
        expect![[r#"
            parcels (pid 812, go1.26.6, example.com/parcels)
            1 of 43 holders held more each time.

            package variable main.sessions: 12.5 KiB more, 1.04 KiB per second
                -> .all map[string]*main.Session -> main.Session
                   1,000, 1,050, 1,100, 1,150, 1,200 objects
                    -> .User main.User
                       1,000, 1,050, 1,100, 1,150, 1,200 objects

            Its heap was read 5 times within 12 s; 120 ms each, 4 MiB of memory here, without stopping it.
            Told is what there were more of each time, by 8 objects at least; what fills up for once looks the same, so look longer before you call it a leak.
        "#]].assert_eq(&text(&growing(vec![sessions()]), 5));
        assert!(text(&growing(Vec::new()), 5).contains("None of 43 holders held more each time."));
    }

    #[test]
    fn programs_read_every_reading() {
        let told: serde_json::Value =
            serde_json::from_str(&json(&growing(vec![sessions()])).unwrap()).unwrap();
        assert_eq!(told["schema"], "watcher.growing/1");
        assert_eq!(
            told["growing"][0]["steps"][0]["objects"],
            serde_json::json!([1000, 1050, 1100, 1150, 1200])
        );
        assert_eq!(told["growing"][0]["steps"][0]["type"], "main.Session");
        assert_eq!(told["growing"][0]["more_bytes"], 12_804);
    }
}
