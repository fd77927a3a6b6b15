use super::{Course, Layout, Step, json_line, text};
use crate::explain::tests::diagnosed;
use crate::explain::{Culprit, Frame};
use crate::judge::simulation::window;
use expect_test::expect;
use serde_json::Value;

/// Undecided at first, then a leak, for a moment not, and a leak with its line in the end.
fn course() -> Course {
    let idle = diagnosed(&window(|_, _| {}));
    let mut leak = diagnosed(&window(|second, beat| beat.close_wait += 12 * second as u64));
    let without = leak.clone();
    let frame = Frame::new("main.poll", "/src/main.go", 42);
    leak.findings[0].culprits = vec![Culprit { frame: frame.clone(), share: 0.98, stack: vec![frame] }];
    let on_the_way = [&idle, &idle, &without, &idle, &without, &leak, &leak];
    let steps = (0..).map(|index| 10.0 * f64::from(index)).zip(on_the_way);
    Course { steps: steps.map(|(seconds, one)| Step::of(seconds, one)).collect(), diagnosis: leak }
}

#[test]
fn people_read_when_the_verdict_changed() {
    let text = text(&course(), Layout::PLAIN);
    let (on_the_way, _) = text.split_once("\n\n").unwrap();
    expect![[r#"
        poller (pid 812), verdicts on the way:
               0 s  healthy
              20 s  leak (connection)
              30 s  healthy
              40 s  leak (connection)
              50 s  leak (connection)  main.poll /src/main.go:42
        leak (connection) after 20 s, to stay after 40 s, judged 7 times."#]]
    .assert_eq(on_the_way);
}

#[test]
fn programs_read_when_the_verdict_was_first_what_it_is_in_the_end() {
    let line = json_line(&course(), 60.25, true).unwrap();
    let object: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(object["schema"], "watcher.replay/1");
    assert_eq!(object["diagnosis"]["schema"], "watcher.diagnosis/1");
    assert_eq!(object["process"], object["diagnosis"]["process"]);
    let mut short = object.clone();
    for long in ["schema", "process", "diagnosis"] {
        short.as_object_mut().unwrap().remove(long);
    }
    short["steps"] = object["steps"].as_array().unwrap()[4..6].into();
    expect![[r#"
        {
          "cut_off": true,
          "first_seconds": 20.0,
          "line_since_seconds": 50.0,
          "recorded_seconds": 60.25,
          "since_seconds": 40.0,
          "steps": [
            {
              "confidence": 0.85,
              "kind": "connection",
              "line": null,
              "seconds": 40.0,
              "verdict": "leak"
            },
            {
              "confidence": 0.85,
              "kind": "connection",
              "line": {
                "file": "/src/main.go",
                "function": "main.poll",
                "line": 42
              },
              "seconds": 50.0,
              "verdict": "leak"
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&short).unwrap());
}
