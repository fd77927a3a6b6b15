//! What the judge says of programs at work, as they were recorded once: each must have the verdict, the kind, the line
//! and the limit that `tests/recordings/table.toml` expects. It takes seconds and needs neither root nor Go.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what is wrong with a fixture has to end the test")]

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use watcher::agent::replay::{Replayed, Settings, replay};
use watcher::explain::Verdict;
use watcher::explain::diagnosis::Finding;
use watcher::report::replay::text;
use watcher::report::text::{Layout, kind_word};
use watcher::store::recording::{Override, Reader};

/// All recordings together, since they lie in the repository.
const MOST_BYTES: u64 = 1 << 20;

/// What is expected: the second half of a row of the table.
#[derive(Deserialize)]
struct Row {
    program: String,
    verdict: String,
    kind: Option<String>,
    culprit: Option<String>,
    limit: Option<String>,
}

#[test]
fn every_recording_has_the_verdict_that_is_expected_of_it() {
    let mut wrong = Vec::new();
    for (name, row) in table() {
        let replayed = replayed(&name, &Settings::default());
        if let Err(why) = expect(&row, &replayed) {
            wrong.push(format!("{name}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_leak_is_found_before_the_end_and_its_twin_never_called_one() {
    let every = Some(Duration::from_secs(3));
    for (name, row) in table() {
        let replayed = replayed(&name, &Settings { every, ..Settings::default() });
        let course = &replayed.courses[0];
        let leaks: Vec<f64> = course
            .steps
            .iter()
            .filter(|step| step.verdict == Verdict::Leak)
            .map(|step| step.seconds)
            .collect();
        if row.verdict == "leak" {
            assert!(
                leaks.first().is_some_and(|first| *first < replayed.seconds),
                "{name}: {:#?}",
                course.steps
            );
        } else {
            assert!(leaks.is_empty(), "{name}: {:#?}", course.steps);
        }
    }
}

/// Whoever is called at night has a terminal of 24 lines, and types on the last of them.
#[test]
fn each_leak_is_told_on_one_screen() {
    let screen = Layout::terminal(Some(80), false);
    let mut wrong = Vec::new();
    for (name, row) in table() {
        let replayed = replayed(&name, &Settings::default());
        let page = text(&replayed.courses[0], screen);
        let lines = page.lines().count();
        if lines >= 24 || page.lines().any(|line| line.chars().count() > 80) {
            wrong.push(format!("{name}: {lines} lines\n{page}"));
        }
        let Some(found) = primary(&replayed) else { continue };
        // However words are broken into lines.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let page = words(&page);
        let culprit = found.culprits.first().map(|it| format!("{}:{}", it.frame.file, it.frame.line));
        let next = &replayed.courses[0].diagnosis.next_steps;
        let mut needed = vec![format!("({})", row.kind.unwrap()), culprit.unwrap(), found.headline.clone()];
        needed.push(found.time_left.clone().unwrap());
        needed.extend(next.iter().cloned());
        assert!(found.headline.contains(" per ") && next.len() >= 2, "{name}: {page}");
        wrong.extend(
            needed.iter().filter(|it| !page.contains(&words(it))).map(|it| format!("{name} lacks: {it}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn another_limit_gives_another_end() {
    let first = |limits: Override| {
        let replayed = replayed("ingest-kept", &Settings { limits, ..Settings::default() });
        primary(&replayed).unwrap().exhausts.clone().unwrap()
    };
    let own = first(Override::default());
    let double = first(Override { open_files: Some(2 * 4096), ..Override::default() });
    assert_eq!((own.limit, double.limit), ("RLIMIT_NOFILE", "RLIMIT_NOFILE"));
    let rate = primary(&replayed("ingest-kept", &Settings::default())).unwrap().rate_per_second;
    let more = (double.in_seconds - own.in_seconds) * rate;
    assert!((more - 4096.0).abs() < 1.0, "4096 descriptors more last longer by {more:.1} of them");

    let heap = |limits: Override| {
        let replayed = replayed("catalog-kept", &Settings { limits, ..Settings::default() });
        primary(&replayed).unwrap().exhausts.clone().unwrap()
    };
    let header = replayed("catalog-kept", &Settings::default()).header;
    let less = header.host.memory_bytes.map(|bytes| bytes - (4 << 30));
    let host = heap(Override { host_memory_bytes: less, ..Override::default() });
    assert_eq!(host.limit, "host memory");
    assert!(host.in_seconds < heap(Override::default()).in_seconds);
}

#[test]
fn the_recordings_are_small_and_tell_no_secrets() {
    let total: u64 =
        fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(total <= MOST_BYTES, "{total} bytes");
}

fn expect(row: &Row, replayed: &Replayed) -> Result<(), String> {
    if replayed.is_cut_off {
        return Err("it is cut off".to_owned());
    }
    let [course] = &replayed.courses[..] else { return Err("not one process".to_owned()) };
    let said = &course.diagnosis;
    let verdict = match said.verdict {
        Verdict::Leak => "leak",
        Verdict::Healthy => "healthy",
        Verdict::Inconclusive => "inconclusive",
    };
    if verdict != row.verdict || said.process.name != row.program {
        return Err(format!("{verdict}: {}", said.headline));
    }
    let found = primary(replayed);
    let kind = found.map(|finding| kind_word(finding.kind));
    if kind != row.kind.as_deref() {
        return Err(format!("{kind:?}: {}", said.headline));
    }
    let limit = found.and_then(|finding| finding.exhausts.as_ref()).map(|exhausts| exhausts.limit);
    if row.limit.is_some() && limit != row.limit.as_deref() {
        return Err(format!("ends by {limit:?}"));
    }
    let lines: Vec<String> = found.into_iter().flat_map(lines).collect();
    match &row.culprit {
        Some(line) if !lines.iter().take(3).any(|it| it == line) => Err(format!("lines are {lines:?}")),
        _ => Ok(()),
    }
}

/// Lines that are named, as the table has them: `main.place tickets/main.go:26`.
fn lines(finding: &Finding) -> impl Iterator<Item = String> {
    finding.culprits.iter().map(|culprit| {
        let frame = &culprit.frame;
        let file = frame.file.strip_prefix("example.com/parcels/").unwrap_or(&frame.file);
        format!("{} {file}:{}", frame.function, frame.line)
    })
}

fn primary(replayed: &Replayed) -> Option<&Finding> {
    replayed.courses.first()?.diagnosis.findings.iter().find(|finding| finding.primary)
}

fn replayed(name: &str, settings: &Settings) -> Replayed {
    let path = directory().join(format!("{name}.jsonl.gz"));
    let reader = Reader::open(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    replay(reader, settings).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn table() -> BTreeMap<String, Row> {
    let text = fs::read_to_string(directory().join("table.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/recordings")
}
