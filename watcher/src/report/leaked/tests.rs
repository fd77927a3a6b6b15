use super::{Leaked, LeakedGroup, Missing, Readings, json, text};
use crate::report::goroutines::{Group, Member, StackState};
use crate::report::stack::fixture::{frame, process};
use expect_test::expect;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

fn waiting() -> LeakedGroup {
    let member =
        |id| Member { id, parent_id: Some(1), waited: Some(Duration::from_secs(301)), is_locked: false };
    let group = Group {
        status: "waiting",
        wait_reason: Some("chan receive".into()),
        stack: [frame("main.consult", "/src/main.go", 40, 0x47_1020)].into(),
        stack_state: StackState::Complete,
        created_by: [frame("main.main", "/src/main.go", 19, 0x47_2045)].into(),
        start: None,
        labels: Arc::default(),
        is_system: false,
        members: [7, 8, 9, 10].map(member).into(),
    };
    let waits_on = (1..=4).map(|number| 0xc0_0000_0000 + number * 96).collect();
    LeakedGroup { group, held_objects: 8, held_bytes: 768, stack_bytes: 8192, waits_on }
}

fn leaked(groups: Vec<LeakedGroup>) -> Leaked {
    Leaked {
        process: process(),
        taken: UNIX_EPOCH + Duration::from_secs(1_000),
        goroutines: 6,
        certainty: (!groups.is_empty()).then_some("likely"),
        missing: if groups.is_empty() {
            Vec::new()
        } else {
            vec![Missing::Seconds(49), Missing::Collections(2)]
        },
        groups,
        uncertain: 0,
        undated: 1,
        unresolved: 0,
        readings: Readings {
            tried: 12,
            used: 11,
            seconds: 11.0,
            collections: 1,
            each: Duration::from_millis(45),
            objects: 40_000,
            own_bytes: 500_000,
        },
        remarks: Vec::new(),
    }
}

#[test]
fn what_can_never_go_on_is_told_with_what_it_holds_and_what_is_missing_for_proof() {
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)
        4 of 6 goroutines can never go on (likely): nothing that runs can reach what they wait on.
        Nobody else holds 768 B of objects; their stacks take 8 KiB.

                4  waiting: chan receive, longest 5 min 1 s
                   created by main.main  /src/main.go:19
                   main.consult  /src/main.go:40
                   held by them alone: 768 B in 8 objects, and 8 KiB of stacks
                   waiting on 0xc000000060, 0xc0000000c0, 0xc000000120 and 1 more

        Its heap was read 12 times, 1 of them of no use, over 11 s and 1 garbage collection; 45 ms each, 488 KiB of memory here, without stopping it.
        For proof it lacks 49 s more and 2 more garbage collections. Ask for longer: `--duration 6m`, since a program that rests collects every two minutes.
        1 more waits on what nothing can reach, but only since the last garbage collection: ask again after the next, which comes within two minutes.
        A goroutine that waits on something a package variable leads to is never accused: somebody could still wake it.
    "#]]
    .assert_eq(&text(&leaked(vec![waiting()]), 20));
}

#[test]
fn that_none_was_found_is_not_that_there_are_none() {
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)
        Of 6 goroutines none was found that can never go on.

        Its heap was read 12 times, 1 of them of no use, over 11 s and 1 garbage collection; 45 ms each, 488 KiB of memory here, without stopping it.
        1 waits on what nothing can reach, but only since the last garbage collection: ask again after the next, which comes within two minutes.
        A goroutine that waits on something a package variable leads to is never accused: somebody could still wake it.
    "#]]
    .assert_eq(&text(&leaked(Vec::new()), 20));
    let mut unread = leaked(Vec::new());
    unread.readings.used = 0;
    assert!(text(&unread, 20).contains("nothing is known of its goroutines"));
}

#[test]
fn programs_read_the_same() {
    let told: serde_json::Value = serde_json::from_str(&json(&leaked(vec![waiting()])).unwrap()).unwrap();
    assert_eq!(told["schema"], "watcher.leaked/1");
    assert_eq!((&told["leaked"], &told["certainty"]), (&4.into(), &"likely".into()));
    assert_eq!(told["groups"][0]["held_bytes"], 768);
    assert_eq!(told["groups"][0]["ids"], serde_json::json!([7, 8, 9, 10]));
    assert_eq!(told["groups"][0]["waits_on"][0], "0xc000000060");
    assert_eq!(told["readings"]["used"], 11);
    let none: serde_json::Value = serde_json::from_str(&json(&leaked(Vec::new())).unwrap()).unwrap();
    assert_eq!((&none["leaked"], &none["certainty"]), (&0.into(), &serde_json::Value::Null));
}
