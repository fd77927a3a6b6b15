use super::{compare, load, of_one_process};
use crate::report::pprof::{Builder, Function, Profile, decode, encode, identity, identity_comment};
use crate::vocabulary::process::ProcessId;
use expect_test::expect;
use proptest::prelude::*;
use std::time::UNIX_EPOCH;

fn function(name: &str) -> Function {
    Function { name: name.to_owned(), file: "/src/main.go".to_owned(), start_line: None }
}

fn goroutines(receiving: i64, sending: i64) -> Profile {
    let mut builder = Builder::goroutines(UNIX_EPOCH);
    let park = builder.location(0x10, [(function("runtime.gopark"), 402)]);
    let receive = builder.location(0x20, [(function("main.receive"), 8)]);
    let send = builder.location(0x30, [(function("main.send"), 12), (function("main.serve"), 14)]);
    let bare = builder.location(0x4a0, []);
    builder.sample(vec![park, receive], vec![receiving], vec![]);
    builder.sample(vec![park, send], vec![sending], vec![]);
    builder.sample(vec![bare], vec![3], vec![]);
    builder.build()
}

#[test]
fn people_see_what_grew_by_stack_and_by_function() {
    let comparison = compare(&goroutines(10, 7), &goroutines(1010, 2), None).unwrap();
    expect![[r#"
        goroutine: 20 before, 1,015 after, +995

        by stack

              +1,000  10 -> 1,010
                      main.receive  /src/main.go:8

                  -5  7 -> 2
                      main.send  /src/main.go:12
                      main.serve  /src/main.go:14

        by function, with all that it calls

              +1,000  main.receive  10 -> 1,010
                +995  runtime.gopark  17 -> 1,012
                  -5  main.send  7 -> 2
                  -5  main.serve  7 -> 2
    "#]]
    .assert_eq(&comparison.text(10));
    expect![[r#"
        goroutine: 20 before, 1,015 after, +995

        by stack

              +1,000  10 -> 1,010
                      main.receive  /src/main.go:8

        not shown: 1 stack (-n 2 shows all)

        by function, with all that it calls

              +1,000  main.receive  10 -> 1,010

        not shown: 3 functions (-n 4 shows all)
    "#]]
    .assert_eq(&comparison.text(1));
    expect![[r#"
        {"schema":"watcher.diff/1","kind":"goroutine","unit":"count","after_taken":"1970-01-01T00:00:00Z","before":20,"after":1015,"growth":995,"stacks":[{"before":10,"after":1010,"growth":1000,"stack":[{"function":"runtime.gopark","file":"/src/main.go","line":402},{"function":"main.receive","file":"/src/main.go","line":8}]},{"before":7,"after":2,"growth":-5,"stack":[{"function":"runtime.gopark","file":"/src/main.go","line":402},{"function":"main.send","file":"/src/main.go","line":12},{"function":"main.serve","file":"/src/main.go","line":14}]}],"functions":[{"function":"main.receive","before":10,"after":1010,"growth":1000},{"function":"runtime.gopark","before":17,"after":1012,"growth":995},{"function":"main.send","before":7,"after":2,"growth":-5},{"function":"main.serve","before":7,"after":2,"growth":-5}]}
    "#]].assert_eq(&comparison.json().unwrap());
    assert_eq!(comparison.profile().samples.len(), 2);
}

#[test]
fn nothing_changed_is_said() {
    let comparison = compare(&goroutines(10, 7), &goroutines(10, 7), None).unwrap();
    expect![[r#"
        goroutine: 20 before, 20 after, no change in sum

        No stack changed.
    "#]]
    .assert_eq(&comparison.text(10));
}

#[test]
fn what_cannot_be_compared_is_refused_with_a_sentence() {
    let refusal =
        |after: &Profile, kind| compare(&goroutines(1, 1), after, kind).map(|_| ()).unwrap_err().to_string();
    let heap = Builder::heap(UNIX_EPOCH, 524_288).build();
    expect!["the captures cannot be compared: the profiles count different things: goroutine/count and alloc_objects/count, alloc_space/bytes, inuse_objects/count, inuse_space/bytes"].assert_eq(&refusal(&heap, None));
    expect!["the captures hold no inuse_space: they hold goroutine"]
        .assert_eq(&refusal(&goroutines(1, 1), Some("inuse_space")));
}

#[test]
fn captures_of_ours_are_read_back() {
    let bytes = {
        let mut bytes = Vec::new();
        encode(&goroutines(10, 7), &mut bytes).unwrap();
        bytes
    };
    assert_eq!(load(&bytes).unwrap().samples, decode(&bytes, &Default::default()).unwrap().samples);
    let line = r#"{"function":"main.receive","file":"/src/main.go","line":8,"address":32,"inlined":false}"#;
    let json = format!(
        r#"{{"schema":"watcher.goroutines/1","taken":"2026-01-01T00:00:00Z","groups":[
        {{"count":5,"system":false,"start":null,"stack":[{line}]}},
        {{"count":2,"system":false,"start":{line},"stack":[]}},
        {{"count":9,"system":true,"start":null,"stack":[{line}]}}]}}"#
    );
    let loaded = load(json.as_bytes()).unwrap();
    assert_eq!(loaded.samples.iter().map(|sample| sample.values[0]).collect::<Vec<_>>(), [5, 2]);
    let comparison = compare(&goroutines(1, 0), &loaded, None).unwrap();
    assert!(comparison.text(5).contains("+7  0 -> 7"), "{}", comparison.text(5));
    for (text, error) in [
        (r#"{"schema":"watcher.memory/1"}"#, "a watcher.memory/1 holds no stacks that could be compared"),
        ("{}", "no capture of goroutines or of a heap: missing field `schema` at line 1 column 2"),
    ] {
        assert_eq!(load(text.as_bytes()).unwrap_err().to_string(), error);
    }
    let text = "goroutine profile: total 7\n7 @ 0x20\n#\t0x20\tmain.receive+0x0\t/src/main.go:8\n";
    let comparison = compare(&loaded, &load(text.as_bytes()).unwrap(), None).unwrap();
    assert!(comparison.text(5).contains("No stack changed"), "{}", comparison.text(5));
    assert!(load(b"threadcreate profile: total 3\n").is_err());
    assert!(load(b"").is_ok_and(|profile| compare(&profile, &profile, None).is_err()));
}

/// One and the same state of a process, as each format tells it: of a generic function, a call that was inlined, and
/// what the runtime does at the innermost end.
fn each_format(receiving: i64) -> [(&'static str, Vec<u8>); 3] {
    let function = |name: &str, start_line| Function { start_line: Some(start_line), ..function(name) };
    let mut builder = Builder::goroutines(UNIX_EPOCH);
    let park = builder.location(0x10, [(function("runtime.gopark", 400), 402)]);
    let places =
        [(function("main.take[go.shape.int]", 7), 8), (function("main.each[go.shape.int].func1", 12), 14)];
    let receive = builder.location(0x20, places);
    builder.sample(vec![park, receive], vec![receiving], vec![]);
    let bare = builder.location(0x4a0, []);
    builder.sample(vec![bare], vec![2], vec![]);
    let wrapped = builder.location(0x50, [(function("main.quay.wait", 30), 35)]);
    builder.sample(vec![park, wrapped], vec![3], vec![]);
    builder.comment(identity_comment("shop", ProcessId { pid: 812, start_ticks: 4711 }));
    let mut packed = Vec::new();
    encode(&builder.build(), &mut packed).unwrap();
    let line = |name: &str, line, address, inlined| {
        let file = if name.is_empty() { "" } else { "/src/main.go" };
        serde_json::json!({"function": name, "file": file, "line": line, "address": address, "inlined": inlined})
    };
    let stack = [
        line("runtime.gopark", 402, 16, false),
        line("main.take[...]", 8, 32, true),
        line("main.each[...].func1", 14, 32, false),
        line("runtime.goexit", 1700, 48, false),
    ];
    // What it was inlined in is a wrapper, of which nobody is told.
    let wrapped = [
        line("runtime.gopark", 402, 16, false),
        line("main.quay.wait", 35, 0x50, true),
        line("runtime.goexit", 1700, 48, false),
    ];
    let json = serde_json::json!({
        "schema": "watcher.goroutines/1", "process": {"pid": 812, "name": "shop"}, "process_start_ticks": 4711,
        "groups": [
            {"count": receiving, "system": false, "start": null, "stack": stack},
            {"count": 2, "system": false, "start": null, "stack": [line("", 0, 0x4a0, false)]},
            {"count": 3, "system": false, "start": null, "stack": wrapped}
        ]
    });
    let text = format!(
        "goroutine profile: total {}\n{receiving} @ 0x11 0x21 0x31\n#\t0x20\tmain.take[...]+0x0\t/src/main.go:8\n\
         #\t0x20\tmain.each[...].func1+0x10\t/src/main.go:14\n\n2 @ 0x4a1\n#\t0x4a0\n\n3 @ 0x11 0x51 0x31\n\
         #\t0x50\tmain.quay.wait+0x10\t/src/main.go:35\n",
        receiving + 5
    );
    [("pprof", packed), ("json", json.to_string().into_bytes()), ("text", text.into_bytes())]
}

#[test]
fn a_stack_is_the_same_in_every_format() {
    for (before, bytes) in each_format(5) {
        for (after, more) in each_format(9) {
            let [before_profile, after_profile] = [&bytes, &more].map(|bytes| load(bytes).unwrap());
            let comparison = compare(&before_profile, &after_profile, None).unwrap();
            let changed = comparison.changed();
            assert_eq!(changed.len(), 1, "{before} and {after}: {}", comparison.text(9));
            assert_eq!((changed[0].before[0], changed[0].after[0]), (5, 9), "{before} and {after}");
            assert!(comparison.text(9).contains("main.each["), "{}", comparison.text(9));
            let same = compare(&load(&bytes).unwrap(), &before_profile, None).unwrap();
            assert!(same.changed().is_empty());
        }
    }
}

#[test]
fn functions_of_other_types_are_kept_apart_where_both_sides_know_them() {
    let profile = |kinds: [(&str, i64); 2]| {
        let mut builder = Builder::goroutines(UNIX_EPOCH);
        for (kind, count) in kinds {
            let place = builder.location(0x20, [(function(&format!("main.take[go.shape.{kind}]")), 8)]);
            builder.sample(vec![place], vec![count], vec![]);
        }
        builder.build()
    };
    let comparison =
        compare(&profile([("int", 5), ("string", 5)]), &profile([("int", 2), ("string", 9)]), None);
    assert_eq!(comparison.unwrap().changed().len(), 2);
    let text = load(b"goroutine profile: total 12\n12 @ 0x21\n#\t0x20\tmain.take[...]+0x0\t/src/main.go:8\n")
        .unwrap();
    let comparison = compare(&profile([("int", 5), ("string", 5)]), &text, None).unwrap();
    assert!(
        comparison.text(5).contains("+2  10 -> 12\n              main.take[...]"),
        "{}",
        comparison.text(5)
    );
}

#[test]
fn a_stack_of_the_runtime_alone_is_kept_where_a_text_has_it() {
    let mut builder = Builder::goroutines(UNIX_EPOCH);
    let [park, sweep] = [("runtime.gopark", 402), ("runtime.bgsweep", 300)]
        .map(|(name, line)| builder.location(0x10, [(function(name), line)]));
    builder.sample(vec![park, sweep], vec![1], vec![]);
    let text = "goroutine profile: total 1\n1 @ 0x11 0x11\n#\t0x10\truntime.gopark+0x0\t/src/main.go:402\n\
                #\t0x10\truntime.bgsweep+0x0\t/src/main.go:300\n";
    let comparison = compare(&builder.build(), &load(text.as_bytes()).unwrap(), None).unwrap();
    assert!(comparison.changed().is_empty(), "{}", comparison.text(5));
}

#[test]
fn captures_of_two_processes_are_told_apart_in_json_too() {
    let json = |pid: i32, ticks: u64| {
        let capture = serde_json::json!({
            "schema": "watcher.heap/1", "process": {"pid": pid, "name": "shop), started at tick 1 after boot"},
            "process_start_ticks": ticks, "sampled_every_bytes": 1, "sites": []
        });
        load(capture.to_string().as_bytes()).unwrap()
    };
    assert!(of_one_process(&json(812, 4711), &json(812, 4711)).is_ok());
    for (other, which) in [(json(812, 4712), "restarts of one pid"), (json(813, 4711), "different processes")]
    {
        let refusal = of_one_process(&json(812, 4711), &other).unwrap_err().to_string();
        assert!(refusal.contains(which), "{refusal}");
    }
    let [(_, packed), (_, json), (_, text)] =
        each_format(1).map(|(format, bytes)| (format, load(&bytes).unwrap()));
    assert!(of_one_process(&packed, &json).is_ok() && of_one_process(&packed, &text).is_ok());
    assert_eq!(identity(&packed), identity(&json));
}

proptest! {
    #[test]
    fn any_file_does_no_harm(text in r#"[{}\[\]":,a-z0-9 ]{0,200}"#) {
        let _ = load(text.as_bytes());
        let _ = load(format!("{{{text}").as_bytes());
    }
}
