use super::{compare, load};
use crate::report::pprof::{Builder, Function, Profile, decode, encode};
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

proptest! {
    #[test]
    fn any_file_does_no_harm(text in r#"[{}\[\]":,a-z0-9 ]{0,200}"#) {
        let _ = load(text.as_bytes());
        let _ = load(format!("{{{text}").as_bytes());
    }
}
