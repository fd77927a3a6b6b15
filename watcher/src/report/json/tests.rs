use super::{DiagnosisObject, checks, diagnosis_line, list};
use crate::explain::diagnosis::{Diagnosis, Life, Story, Suspected};
use crate::explain::tests::{diagnosed, target};
use crate::explain::{Culprit, EndpointUse, Frame, Holder, PullCost};
use crate::judge::simulation::window;
use crate::report::endpoints::Endpoints;
use crate::vocabulary::health::{Check, CheckState};
use expect_test::expect;
use serde_json::Value;
use std::time::{Duration, SystemTime};

/// Asserts that `value` has exactly the shape of `shape`, in which a value stands for its type, `null` beside a
/// value in an array for "or null", and an array of one for "any number of these".
fn conforms(value: &Value, shape: &Value, path: &str) {
    match (value, shape) {
        (Value::Object(value), Value::Object(shape)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            let (mut have, mut want) = (keys(value), keys(shape));
            have.sort();
            want.sort();
            assert_eq!(have, want, "keys of {path}");
            for (key, value) in value {
                conforms(value, &shape[key], &format!("{path}.{key}"));
            }
        }
        (Value::Null, Value::Array(shape)) => {
            assert!(shape.len() == 2 && shape[1].is_null(), "{path} must not be null");
        }
        (value, Value::Array(shape)) if shape.len() == 2 => conforms(value, &shape[0], path),
        (Value::Array(values), Value::Array(shape)) => {
            assert!(!values.is_empty(), "{path} shows nothing of its shape");
            for value in values {
                conforms(value, &shape[0], &format!("{path}[]"));
            }
        }
        (Value::String(_), Value::String(_))
        | (Value::Number(_), Value::Number(_))
        | (Value::Bool(_), Value::Bool(_)) => {}
        (value, shape) => panic!("{path}: {value} is not like {shape}"),
    }
}

#[test]
fn every_key_of_the_contract_is_there_with_its_type() {
    let mut shown = diagnosed(&window(|second, beat| {
        beat.close_wait += 12 * second as u64;
        beat.anon_bytes += (second as u64) << 20;
    }));
    let frame = Frame::new("main.poll", "/src/main.go", 42);
    shown.findings[0].culprits = vec![Culprit { frame: frame.clone(), share: 0.98, stack: vec![frame] }];
    // `held_by` of a limit that is far from full is empty, and so would show nothing.
    shown.levels.retain(|level| level.limit == "RLIMIT_NOFILE");
    let what = "of type file".to_owned();
    shown.levels[0].held_by =
        vec![Holder { phrase: format!("5 {what}"), what, frame: None, count: 5, share: 0.01 }];
    shown.endpoint = Some(EndpointUse {
        address: Some("http://127.0.0.1:6060/debug/pprof/".to_owned()),
        pulls: vec![PullCost {
            profile: "heap",
            bytes: 1800,
            took: Duration::from_millis(4),
            target_cpu: Some(Duration::from_millis(2)),
            file: None,
        }],
        failures: vec!["it hung".to_owned()],
    });
    let left = shown.findings[0].exhausts.clone();
    let life = Life {
        started: SystemTime::UNIX_EPOCH,
        seconds: 9.5,
        from: 1.0,
        to: 9.0,
        rate_per_second: Some(1.0),
    };
    shown.story = Some(Story {
        text: "It was started twice.".to_owned(),
        total: "memory",
        typical_seconds: 9.5,
        rate_per_second: 1.0,
        exhausts: left,
        changed_since: Some(SystemTime::UNIX_EPOCH),
        lives: vec![life],
    });
    let finding = shown.findings[0].clone();
    shown.suspected = vec![Suspected { finding, need_seconds: Some(300.0), says_why: false }];
    let value: Value = serde_json::from_str(&pretty(&shown)).expect("is JSON");
    let shape = serde_json::json!({
        "schema": "", "window_seconds": 0, "samples": 0, "verdict": "", "headline": "",
        "process": {
            "pid": 0, "start_time": ["", null], "name": "", "exe": ["", null], "go_version": ["", null],
            "module": ["", null], "container": ["", null], "restarts": 0,
        },
        "findings": [{
            "kind": "", "primary": true, "consequence_of": ["", null], "confidence": 0, "rate_per_second": 0,
            "unit": "", "exhausts": [{"limit": "", "in_seconds": 0, "low": 0, "high": [0, null]}, null],
            "detail": {"state": ["", null], "peer": ["", null], "fd_type": ["", null]},
            "culprits": [{
                "function": "", "file": "", "line": 0, "share": 0,
                "stack": [{"function": "", "file": "", "line": 0}],
            }],
            "evidence": [""], "ruled_out": [{"kind": "", "why": ""}],
        }],
        "suspected": [{
            "kind": "", "primary": true, "consequence_of": ["", null], "confidence": 0, "rate_per_second": 0,
            "unit": "", "exhausts": [{"limit": "", "in_seconds": 0, "low": 0, "high": [0, null]}, null],
            "detail": {"state": ["", null], "peer": ["", null], "fd_type": ["", null]},
            "culprits": [{
                "function": "", "file": "", "line": 0, "share": 0,
                "stack": [{"function": "", "file": "", "line": 0}],
            }],
            "evidence": [""], "ruled_out": [{"kind": "", "why": ""}], "decides_in_seconds": [0, null],
        }],
        "steady": [{
            "kind": "", "why": "", "unit": "", "first": 0, "last": 0, "low": 0, "high": 0,
            "unnoticed_per_hour": [0, null], "unnoticed_per_day": [0, null],
        }],
        "readings": [{
            "kind": "", "unit": "", "first": 0, "last": 0, "low": 0, "high": 0,
            "unnoticed_per_hour": [0, null], "unnoticed_per_day": [0, null],
        }],
        "need_seconds": [0, null],
        "undecided": [{"kind": "", "why": "", "need_seconds": [0, null]}],
        "memory": [
            {"rss_bytes": 0, "parts": [{"name": "", "bytes": 0}], "unexplained_bytes": 0, "not_resident_bytes": 0,
             "swapped_bytes": 0},
            null,
        ],
        "endpoint": [{
            "address": ["", null], "failures": [""],
            "pulls": [{
                "profile": "", "bytes": 0, "seconds": 0, "target_cpu_seconds": [0, null], "file": ["", null],
            }],
        }, null],
        "unseen": [{"what": "", "why": ""}],
        "next_steps": [""],
        "story": [{
            "text": "", "total": "", "typical_seconds": 0, "rate_per_second": 0,
            "exhausts": [{"limit": "", "in_seconds": 0, "low": 0, "high": [0, null]}, null],
            "changed_since": ["", null],
            "lives": [{"start_time": ["", null], "seconds": 0, "from": 0, "to": 0, "rate_per_second": [0, null]}],
        }, null],
        "near_limit": true,
        "levels": [{
            "limit": "", "unit": "", "value": 0, "of": 0, "share": 0, "own": [0, null], "near": true,
            "held_by": [{
                "what": "", "function": ["", null], "file": ["", null], "line": [0, null], "count": 0, "share": 0,
            }],
        }],
    });
    conforms(&value, &shape, "$");
    assert_eq!(value["schema"], "watcher.diagnosis/1");
    assert_eq!(value["process"]["start_time"], "2026-09-21T11:26:40Z");
}

#[test]
fn a_leak() {
    let shown = diagnosed(&window(|second, beat| beat.close_wait += 12 * second as u64));
    expect![[r#"
        {
          "schema": "watcher.diagnosis/1",
          "process": {
            "pid": 812,
            "start_time": "2026-09-21T11:26:40Z",
            "name": "poller",
            "exe": "/usr/bin/poller",
            "go_version": "go1.26.6",
            "module": "example.com/poller",
            "container": null,
            "restarts": 0
          },
          "window_seconds": 45.0,
          "samples": 46,
          "verdict": "leak",
          "headline": "Sockets in CLOSE_WAIT to 127.0.0.1:8081 grow by 12 per second",
          "findings": [
            {
              "kind": "connection",
              "primary": true,
              "consequence_of": null,
              "confidence": 0.85,
              "rate_per_second": 12.0,
              "unit": "connections",
              "exhausts": {
                "limit": "RLIMIT_NOFILE",
                "in_seconds": 5415.583,
                "low": 5415.583,
                "high": 5415.583
              },
              "detail": {
                "state": "CLOSE_WAIT",
                "peer": "127.0.0.1:8081",
                "fd_type": null
              },
              "culprits": [],
              "evidence": [
                "From 3 to 543 in 45 s (46 samples): it never fell, and it rose in each quarter of that time, by 120 to 138.",
                "100 % of the growth is in CLOSE_WAIT, where there are 540 now."
              ],
              "ruled_out": [
                {
                  "kind": "fd",
                  "why": "Descriptors that are no sockets stayed at 5."
                },
                {
                  "kind": "thread",
                  "why": "OS threads stayed at 8."
                },
                {
                  "kind": "child",
                  "why": "Children that exited and were not waited for stayed at 0."
                },
                {
                  "kind": "mapping",
                  "why": "Memory mappings stayed at 60."
                },
                {
                  "kind": "heap",
                  "why": "Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB."
                },
                {
                  "kind": "native",
                  "why": "Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB."
                }
              ]
            }
          ],
          "suspected": [],
          "steady": [
            {
              "kind": "fd",
              "why": "Descriptors that are no sockets stayed at 5.",
              "unit": "fds",
              "first": 5.0,
              "last": 5.0,
              "low": 5.0,
              "high": 5.0,
              "unnoticed_per_hour": 240.0,
              "unnoticed_per_day": 5760.0
            },
            {
              "kind": "thread",
              "why": "OS threads stayed at 8.",
              "unit": "threads",
              "first": 8.0,
              "last": 8.0,
              "low": 8.0,
              "high": 8.0,
              "unnoticed_per_hour": 240.0,
              "unnoticed_per_day": 5760.0
            },
            {
              "kind": "child",
              "why": "Children that exited and were not waited for stayed at 0.",
              "unit": "children",
              "first": 0.0,
              "last": 0.0,
              "low": 0.0,
              "high": 0.0,
              "unnoticed_per_hour": 160.0,
              "unnoticed_per_day": 3840.0
            },
            {
              "kind": "mapping",
              "why": "Memory mappings stayed at 60.",
              "unit": "mappings",
              "first": 60.0,
              "last": 60.0,
              "low": 60.0,
              "high": 60.0,
              "unnoticed_per_hour": 240.0,
              "unnoticed_per_day": 5760.0
            },
            {
              "kind": "heap",
              "why": "Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB."
            },
            {
              "kind": "native",
              "why": "Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB.",
              "unit": "bytes",
              "first": 41943040.0,
              "last": 41943040.0,
              "low": 41943040.0,
              "high": 41943040.0,
              "unnoticed_per_hour": 20971520.0,
              "unnoticed_per_day": 503316480.0
            }
          ],
          "readings": [
            {
              "kind": "fd",
              "unit": "fds",
              "first": 5.0,
              "last": 5.0,
              "low": 5.0,
              "high": 5.0,
              "unnoticed_per_hour": 240.0,
              "unnoticed_per_day": 5760.0
            },
            {
              "kind": "connection",
              "unit": "connections",
              "first": 3.0,
              "last": 543.0,
              "low": 3.0,
              "high": 543.0,
              "unnoticed_per_hour": null,
              "unnoticed_per_day": null
            },
            {
              "kind": "thread",
              "unit": "threads",
              "first": 8.0,
              "last": 8.0,
              "low": 8.0,
              "high": 8.0,
              "unnoticed_per_hour": 240.0,
              "unnoticed_per_day": 5760.0
            },
            {
              "kind": "child",
              "unit": "children",
              "first": 0.0,
              "last": 0.0,
              "low": 0.0,
              "high": 0.0,
              "unnoticed_per_hour": 160.0,
              "unnoticed_per_day": 3840.0
            },
            {
              "kind": "mapping",
              "unit": "mappings",
              "first": 60.0,
              "last": 60.0,
              "low": 60.0,
              "high": 60.0,
              "unnoticed_per_hour": 240.0,
              "unnoticed_per_day": 5760.0
            },
            {
              "kind": "native",
              "unit": "bytes",
              "first": 41943040.0,
              "last": 41943040.0,
              "low": 41943040.0,
              "high": 41943040.0,
              "unnoticed_per_hour": 20971520.0,
              "unnoticed_per_day": 503316480.0
            }
          ],
          "undecided": [],
          "memory": {
            "rss_bytes": 52428800,
            "parts": [
              {
                "name": "mapped files",
                "bytes": 10485760
              },
              {
                "name": "shared memory",
                "bytes": 0
              }
            ],
            "unexplained_bytes": 41943040,
            "not_resident_bytes": 0,
            "swapped_bytes": 0
          },
          "endpoint": null,
          "unseen": [
            {
              "what": "goroutines and Go heap",
              "why": "the Go runtime was not found in the process's memory: other than Go 1.18 to 1.27 on x86-64, or just starting"
            },
            {
              "what": "opening stacks",
              "why": "who opens a descriptor, maps memory or starts a thread is recorded only while something grows"
            }
          ],
          "need_seconds": null,
          "next_steps": [
            "The other end has closed these and the program has not. Look for response bodies or connections that are not closed on every path: resp.Body.Close(), rows.Close(), conn.Close().",
            "`watcher fds -p 812` lists them. Until it is fixed, a restart within 1 h 30 min keeps the process from its limit."
          ],
          "story": null,
          "near_limit": false,
          "levels": [
            {
              "limit": "host memory",
              "unit": "bytes",
              "value": 4294967296,
              "of": 17179869184,
              "share": 0.25,
              "own": 41943040,
              "near": false,
              "held_by": []
            },
            {
              "limit": "RLIMIT_NOFILE",
              "unit": "fds",
              "value": 549,
              "of": 65536,
              "share": 0.008,
              "own": null,
              "near": false,
              "held_by": []
            },
            {
              "limit": "vm.max_map_count",
              "unit": "mappings",
              "value": 60,
              "of": 65530,
              "share": 0.001,
              "own": null,
              "near": false,
              "held_by": []
            }
          ]
        }
    "#]].assert_eq(&pretty(&shown));
}

#[test]
fn lines_are_lines() {
    let shown = diagnosed(&window(|second, beat| beat.files += 2 * second as u64));
    let line = diagnosis_line(&shown).expect("serializes");
    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.ends_with("}\n"));
    let value: Value = serde_json::from_str(&line).expect("is JSON");
    assert_eq!(value["findings"][0]["detail"]["fd_type"], "file");
    assert_eq!(value["findings"][0]["unit"], "fds");
}

/// Over several lines, for people who read this test.
fn pretty(diagnosis: &Diagnosis) -> String {
    serde_json::to_string_pretty(&DiagnosisObject::of(diagnosis)).expect("serializes") + "\n"
}

#[test]
fn processes_and_checks() {
    expect![[r#"
        {"schema":"watcher.list/1","processes":[{"pid":812,"start_time":"2026-09-21T11:26:40Z","name":"poller","exe":"/usr/bin/poller","exe_deleted":false,"uid":1000,"go_version":"go1.26.6","module":"example.com/poller","module_version":"v1.4.0","package":null,"container":null,"container_runtime":null,"restarts":0,"endpoint":null,"no_endpoint":null}]}
    "#]].assert_eq(&list(&[&target()], &Endpoints::default()).expect("serializes"));
    let refused = CheckState::Refused { why: "CAP_SYS_ADMIN is missing.".to_owned() };
    let check = |state| Check {
        name: "sockets".to_owned(),
        essential: false,
        state,
        lost: "Peers.".to_owned(),
        needs: "Root.".to_owned(),
    };
    expect![[r#"
        {"schema":"watcher.doctor/1","all_essential_work":true,"checks":[{"what":"sockets","works":true,"essential":false,"state":"works","why":null,"lost":null,"needs":null},{"what":"sockets","works":false,"essential":false,"state":"refused","why":"CAP_SYS_ADMIN is missing.","lost":"Peers.","needs":"Root."}]}
    "#]].assert_eq(&checks(&[CheckState::Works, refused].map(check)).expect("serializes"));
}
