use super::{About, Truth, objections};
use crate::answer::Diagnosis;
use crate::corpus::{Row, rows};
use crate::program::Style;
use serde_json::{Value, json};

/// A connection that `courier` leaks: its peer serves, and each brings two goroutines.
fn row() -> Row {
    rows().find(|row| row.name() == "courier").unwrap()
}

fn truth() -> Truth {
    Truth { rate_per_second: Some(5.9), held: Some(296), server: Some("127.0.0.1:7".to_owned()) }
}

/// What must be said of it.
fn answer() -> Value {
    let (file, line) = row().line("http.Get(url)").unwrap();
    let finding = |kind: &str, of: Value, rate: f64| {
        json!({
            "kind": kind, "primary": of.is_null(), "consequence_of": of, "confidence": 0.97,
            "rate_per_second": rate, "unit": format!("{kind}s"), "exhausts": null,
            "detail": {"state": null, "peer": null, "fd_type": null}, "culprits": [], "evidence": ["a goroutine each"],
        })
    };
    let mut cause = finding("connection", Value::Null, 6.0);
    cause["exhausts"] = json!({"limit": "RLIMIT_NOFILE", "in_seconds": 640.0, "low": 600.0, "high": 700.0});
    cause["detail"] = json!({"state": "ESTABLISHED", "peer": "127.0.0.1:7", "fd_type": null});
    cause["evidence"] = json!(["270 opened at this stack, none closed"]);
    let culprit = |line: u32| json!({"function": "main.poll", "file": format!("parcels/courier/{file}"), "line": line, "share": 0.9});
    cause["culprits"] = json!([culprit(line + 1), culprit(line + 2), culprit(line)]);
    json!({
        "schema": "watcher.diagnosis/1",
        "process": {"pid": 7, "start_time": "", "go_version": null, "module": null},
        "window_seconds": 45.0, "samples": 46, "story": null, "verdict": "leak", "memory": null, "unseen": [], "steady": [],
        "suspected": [], "headline": "", "near_limit": false, "levels": [],
        "findings": [cause, finding("goroutine", json!("connection"), 12.0)],
    })
}

/// What is objected to the answer after a change, by what it is about, with the sentences.
fn objected(style: Style, change: impl FnOnce(&mut Value)) -> Vec<(About, String)> {
    let mut answer = answer();
    change(&mut answer);
    let diagnosis: Diagnosis = serde_json::from_value(answer).unwrap();
    let found = objections(&row(), style, 27, &diagnosis, &truth()).unwrap();
    found.into_iter().map(|objection| (objection.about, objection.sentence)).collect()
}

#[test]
fn what_must_be_said_is_not_objected_to() {
    assert_eq!(objected(Style::Round, |_| {}), []);
}

#[test]
fn each_wrong_part_of_an_answer_is_objected_to_once() {
    type Change = fn(&mut Value);
    let rows: [(Change, About, &str); 16] = [
        (|it| it["verdict"] = json!("healthy"), About::Missed, "said to be healthy"),
        (|it| it["verdict"] = json!("inconclusive"), About::Undecided, "inconclusive"),
        (|it| it["findings"][0]["primary"] = json!(false), About::Missed, "said to be leak"),
        (|it| it["findings"][0]["kind"] = json!("fd"), About::Kind, "fd at 0.97: main.poll main.go:"),
        (|it| it["findings"][0]["culprits"][2]["line"] = json!(1), About::Line, "http.Get(url)"),
        (|it| it["findings"][0]["culprits"][2]["file"] = json!("/other.go"), About::Line, "http.Get(url)"),
        (|it| it["findings"][0]["culprits"][0]["share"] = json!(1.5), About::Detail, "share"),
        (|it| it["findings"][0]["unit"] = json!("fds"), About::Detail, "want connections, said fds"),
        (|it| it["findings"][0]["detail"]["state"] = json!("CLOSE_WAIT"), About::Detail, "CLOSE_WAIT"),
        (|it| it["findings"][0]["detail"]["peer"] = json!("127.0.0.1:8"), About::Detail, "127.0.0.1:8"),
        (|it| it["findings"][0]["evidence"] = json!(["they grow"]), About::Detail, "they grow"),
        (|it| it["findings"][0]["exhausts"] = json!(null), About::Detail, "RLIMIT_NOFILE"),
        (
            |it| it["findings"][0]["exhausts"]["in_seconds"] = json!(700.0),
            About::Detail,
            "in 633 s, said 700 s",
        ),
        (|it| it["findings"][0]["exhausts"]["limit"] = json!("pids.max"), About::Detail, "pids.max"),
        (|it| it["findings"][1]["rate_per_second"] = json!(6.0), About::Detail, "want 2 of goroutine"),
        (|it| it["findings"][1]["consequence_of"] = json!(null), About::Detail, "not explained"),
    ];
    for (change, about, words) in rows {
        let objected = objected(Style::Round, change);
        assert!(
            matches!(&*objected, [(said, it)] if *said == about && it.contains(words)),
            "{words}: {objected:?}"
        );
    }
}

#[test]
fn a_rate_is_right_within_a_twentieth() {
    let rate = |rate: f64| {
        objected(Style::Round, |it| {
            it["findings"][0]["rate_per_second"] = json!(rate);
            it["findings"][1]["rate_per_second"] = json!(2.0 * rate);
            it["findings"][0]["exhausts"]["in_seconds"] = json!(3800.0 / rate);
        })
    };
    assert_eq!(rate(6.19), []);
    assert_eq!(rate(6.3), [(About::Detail, "said 6.30 per second, in truth 5.90".to_owned())]);
}

#[test]
fn an_innocent_twin_must_be_acquitted() {
    let about = |verdict: &str, findings: Option<Value>| {
        let objected = objected(Style::Square, |it| {
            it["verdict"] = json!(verdict);
            it["findings"] = findings.unwrap_or_else(|| it["findings"].clone());
        });
        objected.into_iter().map(|it| it.0).collect::<Vec<_>>()
    };
    assert_eq!(about("healthy", Some(json!([]))), []);
    assert_eq!(about("leak", None), [About::FalseAlarm]);
    assert_eq!(about("healthy", None), [About::FalseAlarm]);
    assert_eq!(about("inconclusive", Some(json!([]))), [About::Undecided]);
}

#[test]
fn an_innocent_is_named_for_what_it_is() {
    let row = rows().find(|row| row.name() == "seasons_flood").unwrap();
    let objected = |why: &str| {
        let mut answer = answer();
        answer["verdict"] = json!("healthy");
        answer["findings"] = json!([]);
        answer["steady"] = json!([{"kind": "heap", "why": why}]);
        let diagnosis: Diagnosis = serde_json::from_value(answer).unwrap();
        objections(&row, Style::Square, 27, &diagnosis, &truth()).unwrap()
    };
    assert_eq!(objected("It rises to 100 MiB between collections (GOGC=400)."), []);
    let found = objected("It stayed at 4 MiB.");
    assert!(matches!(&*found, [one] if one.about == About::Detail && one.sentence.contains("GOGC=400")));
}

#[test]
fn words_and_what_follows_are_those_of_the_version_of_go() {
    let group = rows().find(|row| row.name() == "queues_group").unwrap();
    assert_eq!(
        [22, 24].map(|minor| group.words(minor)),
        ["wait for a lock or a WaitGroup", "wait for a WaitGroup"]
    );
    let objected = |brings, brings_from_go| {
        let row = Row { brings, brings_from_go, ..row() };
        let mut answer = answer();
        answer["findings"].as_array_mut().unwrap().pop();
        let diagnosis: Diagnosis = serde_json::from_value(answer).unwrap();
        let found = objections(&row, Style::Round, 27, &diagnosis, &truth()).unwrap();
        found.into_iter().map(|objection| objection.sentence).collect::<Vec<_>>()
    };
    assert_eq!(objected(Some(("goroutine", Some(2.0))), 27), ["want 2 of goroutine for each, said None"]);
    assert_eq!(objected(Some(("goroutine", None)), 0), ["want some of goroutine for each, said None"]);
    assert!(objected(Some(("goroutine", Some(2.0))), 28).is_empty());
}
