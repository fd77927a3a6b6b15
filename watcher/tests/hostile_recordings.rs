//! Recordings in which somebody has changed numbers and lists: each is refused or judged and printed in every format,
//! and nothing worse. Each place of a number is tried once, with what no machine has, with the most that is taken, and
//! with nothing and the most in turn, so that what should rise falls and sums are as large as they can be.

#![expect(clippy::unwrap_used, reason = "what is wrong with a fixture has to end the test")]

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use watcher::agent::replay::{Settings, replay};
use watcher::report::text::Layout;
use watcher::report::{json as one_line, replay as courses};
use watcher::store::recording::Reader;

/// Together they have every kind of capture.
const RECORDINGS: [&str; 4] = ["catalog-kept", "tickets-kept", "relay-kept", "pressings-kept"];
/// The most that is taken of what a machine can have.
const MOST: u64 = 1 << 50;

#[test]
fn numbers_and_lists_that_somebody_has_changed_harm_nothing() {
    let mut tried = BTreeSet::new();
    let mut wrong = Vec::new();
    for name in RECORDINGS {
        let lines = recording(name);
        let mut places = BTreeMap::new();
        lines.iter().for_each(|line| {
            visit(line, "", &mut |place, value| {
                places.entry(place.to_owned()).or_insert(value.is_array());
            });
        });
        places.retain(|place, _| tried.insert(place.clone()));
        for (place, is_list) in places {
            let all: &[&[Value]] = if is_list {
                &[&[json!([])]]
            } else {
                &[&[json!(u64::MAX)], &[json!(u32::MAX)], &[json!(0), json!(MOST)]]
            };
            for values in all {
                let changed = changed(&lines, &place, values);
                if catch_unwind(AssertUnwindSafe(|| judge_and_print(&changed))).is_err() {
                    wrong.push(format!("{name}: {place} = {values:?}"));
                }
            }
        }
    }
    assert!(tried.len() > 100, "{tried:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn times_without_end_are_refused() {
    let mut lines = recording("catalog-kept");
    let about = lines.iter_mut().find_map(|line| line.get_mut("about")).unwrap();
    let pull = &mut about["endpoint"]["pulls"][0];
    pull["took"]["secs"] = json!(u64::MAX);
    let why = judge_and_print(&lines).unwrap_err();
    assert!(why.ends_with("a capture with a number that no machine has"), "{why}");
}

/// What is wrong with it, where it is refused.
fn judge_and_print(lines: &[Value]) -> Result<(), String> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::none());
    lines.iter().for_each(|line| writeln!(packed, "{line}").unwrap());
    let packed = packed.finish().unwrap();
    let reader = Reader::new(&packed[..]).map_err(|error| error.to_string())?;
    let replayed = replay(reader, &Settings::default()).map_err(|error| error.to_string())?;
    for course in &replayed.courses {
        courses::text(course, Layout::PLAIN);
        courses::text(course, Layout::terminal(Some(60), true));
        courses::json_line(course, replayed.seconds, replayed.is_cut_off).unwrap();
        one_line::diagnosis_line(&course.diagnosis).unwrap();
    }
    Ok(())
}

/// The lines of a recording, with every second sample, three captures of each kind and an endpoint that was asked.
fn recording(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/recordings/{name}.jsonl.gz"));
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kind = |line: &Value| Some(line.get("capture")?["what"].as_object()?.keys().next()?.clone());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        kind(line).into_iter().for_each(|kind| *counts.entry(kind).or_default() += 1);
    }
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut samples = 0;
    lines.retain(|line| {
        samples += usize::from(line.get("sample").is_some());
        let Some(kind) = kind(line) else { return line.get("sample").is_none() || samples % 2 == 1 };
        let (all, index) = (counts[&kind], seen.entry(kind).or_default());
        *index += 1;
        [1, all / 2, all].contains(index)
    });
    let pull = json!({
        "profile": "heap", "bytes": 1, "took": {"secs": 1, "nanos": 0}, "target_cpu": {"secs": 1, "nanos": 0},
        "file": null,
    });
    let about = lines.iter_mut().find_map(|line| line.get_mut("about")).unwrap();
    about["endpoint"] = json!({"address": "127.0.0.1:6060", "pulls": [pull, pull], "failures": ["none"]});
    lines
}

/// The same with `values` one after the other wherever a value stands at this place.
fn changed(lines: &[Value], place: &str, values: &[Value]) -> Vec<Value> {
    let mut lines = lines.to_vec();
    let mut next = values.iter().cycle();
    for line in &mut lines {
        change(line, "", place, &mut next);
    }
    lines
}

fn change<'a>(value: &mut Value, at: &str, place: &str, next: &mut impl Iterator<Item = &'a Value>) {
    match value {
        Value::Number(_) if at == place => *value = next.next().unwrap().clone(),
        Value::Array(_) if place.strip_suffix("[]") == Some(at) => *value = next.next().unwrap().clone(),
        Value::Array(all) => all.iter_mut().for_each(|one| change(one, at, place, next)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(name, one)| change(one, &format!("{at}.{name}"), place, next));
        }
        _ => {}
    }
}

/// Each number and each list, with the names that lead to it.
fn visit(value: &Value, at: &str, see: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Number(_) => see(at, value),
        Value::Array(all) => {
            see(&format!("{at}[]"), value);
            all.iter().for_each(|one| visit(one, at, see));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(name, one)| visit(one, &format!("{at}.{name}"), see));
        }
        _ => {}
    }
}
