use super::report::Report;
use super::rows::rows;
use super::tally::{Tally, first_accusation, first_naming, goals};
use super::{Answer, Cell, Failure, Look, Measured, Subject, Told};
use crate::answer::Diagnosis;
use crate::program::Style;
use crate::toolchain::Toolchain;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

static NEW: Toolchain = Toolchain { minor: 27, version: String::new(), go: PathBuf::new() };

fn subject(name: &str, style: Style) -> Subject {
    let slow = rows().unwrap().into_iter().find(|it| it.row.name() == name).unwrap();
    Subject { slow, style, toolchain: &NEW }
}

fn cell(subject: &Subject, after_minutes: u64, window_seconds: u64, answer: Answer) -> Cell {
    let look =
        Look { after: Duration::from_secs(60 * after_minutes), window: Duration::from_secs(window_seconds) };
    Cell { subject: *subject, look, answer, looks: 1.0, saved: "x.json".into() }
}

fn kept(answer: Answer) -> Cell {
    cell(&subject("ingest", Style::Round), 30, 300, answer)
}

fn named(has_line: bool) -> Answer {
    Answer::Named { has_line, said: "fd".to_owned() }
}

fn suspected(has_place: bool) -> Answer {
    Answer::Suspected { has_place, said: "fd".to_owned() }
}

fn finding(kind: &str, line: u32) -> Value {
    json!({
        "kind": kind, "primary": true, "consequence_of": null, "confidence": 0.9, "rate_per_second": 0.05,
        "unit": "fds", "exhausts": null, "detail": {}, "evidence": [], "decides_in_seconds": 300.0,
        "culprits": [{"function": "main.readHeader", "file": "x/ingest/main.go", "line": line, "share": 1.0}],
    })
}

fn diagnosis(verdict: &str, findings: &[Value], suspected: &[Value]) -> Diagnosis {
    serde_json::from_value(json!({
        "schema": "watcher.diagnosis/1", "process": {"pid": 7, "start_time": ""}, "window_seconds": 45.0,
        "samples": 46, "verdict": verdict, "findings": findings, "suspected": suspected, "steady": [],
        "memory": null, "unseen": [], "story": null, "headline": "", "near_limit": false, "levels": [],
    }))
    .unwrap()
}

#[test]
fn an_answer_is_read_off_a_diagnosis() {
    let ingest = subject("ingest", Style::Round);
    let (_, line) = ingest.slow.row.line(ingest.slow.row.lines[0]).unwrap();
    let of = |subject: &Subject, verdict: &str, findings: &[Value], suspected: &[Value]| {
        Answer::of(subject, &diagnosis(verdict, findings, suspected)).unwrap()
    };
    let words = |verdict: &str, findings: &[Value], suspected: &[Value]| {
        of(&ingest, verdict, findings, suspected).words()
    };
    assert_eq!(words("leak", &[finding("fd", line)], &[]), "named");
    assert_eq!(words("leak", &[finding("fd", line + 1)], &[]), "named, no line");
    assert_eq!(words("leak", &[finding("heap", line)], &[]), "another kind");
    assert_eq!(words("inconclusive", &[], &[finding("fd", line)]), "suspected");
    assert_eq!(words("inconclusive", &[], &[finding("fd", line + 1)]), "susp., no place");
    assert_eq!(words("inconclusive", &[], &[finding("heap", line)]), "undecided");
    assert_eq!(words("inconclusive", &[], &[]), "undecided");
    assert_eq!(words("healthy", &[], &[]), "HEALTHY");
    let mut typed = finding("fd", line + 1);
    typed["detail"]["fd_type"] = json!("file");
    assert_eq!(words("inconclusive", &[], &[typed]), "suspected");
    // Whatever an innocent is accused of is an accusation.
    let twin = subject("ingest", Style::Square);
    assert!(of(&twin, "leak", &[finding("heap", line)], &[]).is_accusation());
    assert!(!of(&twin, "inconclusive", &[], &[finding("heap", line)]).is_accusation());
}

#[test]
fn looks_are_counted_by_what_was_said() {
    let leaks =
        [named(true), named(false), suspected(true), suspected(false), Answer::Undecided, Answer::Healthy];
    let tally = Tally::of(&leaks.map(kept));
    assert_eq!((tally.leaks, tally.named, tally.with_line), (6, 2, 1));
    assert_eq!((tally.suspected, tally.with_place, tally.undecided, tally.healthy), (2, 1, 1, 1));
    assert_eq!(tally.innocents, 0);
}

#[test]
fn who_fills_for_the_first_time_is_accused_wrongly_by_a_glance_and_by_what_ends_later() {
    let file = subject("cloakroom_file_hooks_slow", Style::Square);
    assert!(file.slow.fills_for_seconds > 0 && file.guilt().is_none());
    let accused = |minutes, seconds| {
        let tally = Tally::of(&[cell(&file, minutes, seconds, named(false))]);
        (tally.accused, tally.accused_filling)
    };
    assert_eq!(accused(1, 45), (0, 1));
    assert_eq!(accused(1, 0), (1, 0));
    assert_eq!(accused(10, 45), (1, 0));
}

fn missed(measured: &Measured) -> Vec<String> {
    goals(measured).into_iter().filter(|goal| !goal.is_met).map(|goal| goal.goal).collect()
}

#[test]
fn a_goal_is_missed_by_one_answer_too_many() {
    let of = |right: usize, wrong: Answer| {
        let mut cells = vec![kept(named(true)); right];
        cells.push(kept(wrong));
        missed(&Measured { cells, ..Measured::default() })
    };
    assert!(of(19, Answer::Undecided).is_empty());
    assert_eq!(of(18, Answer::Undecided).len(), 1);
    assert!(of(9, named(false)).is_empty());
    assert_eq!(of(8, named(false)).len(), 1);
    assert_eq!(of(999, Answer::Healthy), ["no leak is said to be healthy"]);
    let twin = cell(&subject("ingest", Style::Square), 1, 45, named(false));
    assert_eq!(missed(&Measured { cells: vec![twin], ..Measured::default() }), ["no innocent is accused"]);
}

#[test]
fn five_of_the_nine_are_seen_at_first_glance() {
    let of = |seen: usize, answer: Answer| {
        let mut cells = vec![cell(&subject("ingest", Style::Round), 30, 0, suspected(true)); seen];
        cells.resize(9, cell(&subject("ingest", Style::Round), 30, 0, answer));
        missed(&Measured { cells, ..Measured::default() }).len()
    };
    assert_eq!(of(5, Answer::Undecided), 0);
    assert_eq!(of(4, Answer::Undecided), 1);
    assert_eq!(of(4, suspected(false)), 1);
}

#[test]
fn run_is_held_to_its_times_and_lines() {
    let told = |style, said: &[(u64, Answer)]| Told {
        subject: subject("ingest", style),
        watched: Duration::from_secs(2000),
        said: said.iter().map(|(at, answer)| (Duration::from_secs(*at), answer.clone())).collect(),
    };
    let of = |told: Told| missed(&Measured { told: vec![told], ..Measured::default() }).len();
    assert_eq!(of(told(Style::Round, &[(30, suspected(true)), (899, named(true))])), 0);
    assert_eq!(of(told(Style::Round, &[(901, named(true))])), 1);
    assert_eq!(of(told(Style::Round, &[(500, named(false))])), 1);
    assert_eq!(of(told(Style::Round, &[])), 1);
    assert_eq!(of(told(Style::Square, &[(500, Answer::Undecided)])), 0);
    assert_eq!(of(told(Style::Square, &[(500, named(false))])), 1);
    // Due later than the end of the watch: not asked.
    let short = Told { watched: Duration::from_secs(800), ..told(Style::Round, &[]) };
    assert_eq!(of(short), 0);
    let late = told(Style::Round, &[(5, Answer::Undecided), (7, named(true)), (9, named(false))]);
    assert_eq!(first_naming(&late), Some((Duration::from_secs(7), true)));
    assert_eq!(first_accusation(&late).map(|it| it.0), Some(Duration::from_secs(7)));
}

#[test]
fn a_report_says_what_was_wrong_and_what_was_not_measured() {
    let measured = Measured {
        cells: vec![kept(Answer::Healthy), kept(named(true)), kept(named(false))],
        failures: vec![Failure { what: "somebody".to_owned(), why: "it ended early".to_owned() }],
        ..Measured::default()
    };
    let report = Report::of(&measured);
    assert!(!report.is_good());
    let text = report.text();
    for wanted in [
        "after 30 min of work",
        "MISSED  no leak is said to be healthy: 1 of 3",
        "ingest-kept-go1.27 after 30 min for 5 min: HEALTHY [x.json]",
        "somebody: it ended early",
        "30 min, 5 min",
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let json: Value = serde_json::from_str(&report.json().unwrap()).unwrap();
    assert_eq!(json["schema"], "watcher.accuracy-slow/1");
    assert_eq!(json["looks"][0]["answer"], "HEALTHY");
    assert_eq!(json["all"]["healthy"], 1);
    assert!(!Report::of(&Measured::default()).is_good());
    let good = Measured { cells: vec![kept(named(true))], ..Measured::default() };
    assert!(Report::of(&good).is_good());
}
