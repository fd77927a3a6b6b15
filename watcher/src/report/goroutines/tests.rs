use super::{Effort, Goroutines, Group, Member, StackState, debug1, debug2, json, profile, text};
use crate::report::folded::folded;
use crate::report::stack::Frame;
use crate::report::stack::fixture::{frame, process};
use crate::report::threads::{self, Doing, Thread};
use crate::vocabulary::task::ThreadState;
use expect_test::expect;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

fn park() -> Frame {
    frame("runtime.gopark", "/go/src/runtime/proc.go", 402, 0x401f30)
}

fn root() -> Frame {
    frame("runtime.goexit", "/go/src/runtime/asm_amd64.s", 1693, 0x40ff00)
}

fn waiting() -> Group {
    let quote = frame("main.(*exchange).quote", "/src/exchange.go", 21, 0x471025);
    let inlined = Frame { is_inlined: true, place: 0x471025, address: 0x471025, ..quote };
    let consult = Frame { place: 0x471025, ..frame("main.consult", "/src/main.go", 40, 0x471020) };
    Group {
        status: "waiting",
        wait_reason: Some("chan receive".into()),
        stack: [park(), inlined, consult, root()].into(),
        stack_state: StackState::Complete,
        created_by: [frame("main.main", "/src/main.go", 19, 0x472045)].into(),
        start: Some(frame("main.consult", "/src/main.go", 38, 0x471000)),
        labels: Arc::new(vec![("lane".to_owned(), "a".to_owned())]),
        is_system: false,
        members: vec![
            Member { id: 18, parent_id: Some(1), waited: Some(Duration::from_secs(301)), is_locked: false },
            Member { id: 7, parent_id: Some(1), waited: None, is_locked: true },
        ],
    }
}

fn running() -> Group {
    Group {
        status: "running",
        wait_reason: None,
        stack: [].into(),
        stack_state: StackState::Running,
        start: Some(frame("main.spin", "/src/main.go", 50, 0x473000)),
        labels: Arc::default(),
        members: vec![Member { id: 20, parent_id: None, waited: None, is_locked: false }],
        ..waiting()
    }
}

fn collector() -> Group {
    Group {
        stack: [park(), frame("runtime.bgsweep", "/go/src/runtime/mgcsweep.go", 300, 0x402000), root()]
            .into(),
        labels: Arc::default(),
        is_system: true,
        members: vec![Member { id: 3, parent_id: Some(0), waited: None, is_locked: false }],
        ..waiting()
    }
}

fn goroutines() -> Goroutines {
    let thread = |tid, doing, goroutine, locked_goroutine, stack: Arc<[Frame]>| Thread {
        tid,
        kernel: Some(("parcels".to_owned(), ThreadState::Sleeping)),
        doing,
        goroutine,
        locked_goroutine,
        stack,
    };
    Goroutines {
        process: process(),
        taken: UNIX_EPOCH + Duration::from_secs(1_000),
        groups: vec![waiting(), running(), collector()],
        effort: Effort {
            elapsed: Duration::from_micros(2400),
            bytes_read: 70_000,
            retried: 3,
            given_up: 1,
            running: 1,
            ..Effort::default()
        },
        remarks: vec!["runtime.allm was not found: what depends on it is missing.".to_owned()],
        threads: Some(vec![
            thread(812, Doing::Idle, None, None, [].into()),
            thread(813, Doing::C, Some(7), Some(7), waiting().stack),
            thread(814, Doing::Locked, None, Some(7), waiting().stack),
            Thread { kernel: None, ..thread(9, Doing::Foreign, None, None, [].into()) },
        ]),
        mappings: Vec::new(),
    }
}

#[test]
fn people_see_totals_and_then_the_largest_groups() {
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)
        3 goroutines, and 1 of the runtime's own
                2  waiting: chan receive
                1  running

                2  waiting: chan receive, longest 5 min 1 s, 1 locked to a thread
                   labels lane=a
                   created by main.main  /src/main.go:19
                   main.(*exchange).quote  /src/exchange.go:21
                   main.consult  /src/main.go:40

                1  running
                   created by main.main  /src/main.go:19
                   it ran, and a stack in use cannot be read; it began with main.spin  /src/main.go:50

        Read 68.4 KiB in 2.4 ms without stopping it. Goroutines: 3 read again as they changed, 1 given up as they kept changing, 1 running (no stack).
        runtime.allm was not found: what depends on it is missing.
    "#]].assert_eq(&text(&goroutines(), 20));
}

#[test]
fn groups_that_are_not_shown_are_counted() {
    let shown = text(&goroutines(), 1);
    let said: Vec<&str> = shown.lines().filter(|line| line.starts_with("not shown")).collect();
    assert_eq!(said, ["not shown: 1 smaller group with 1 goroutine (-n 2 shows all)"]);
}

#[test]
fn debug1_is_what_the_endpoint_says() {
    expect![[r#"
        goroutine profile: total 3
        2 @ 0x401f31 0x471026 0x471021 0x40ff01
        # labels: {"lane":"a"}
        #	0x471025	main.(*exchange).quote+0x25	/src/exchange.go:21
        #	0x471020	main.consult+0x20		/src/main.go:40

        1 @ 0x473001
        #	0x473000	main.spin+0x0	/src/main.go:50

    "#]]
    .assert_eq(&debug1(&goroutines()));
}

#[test]
fn debug1_shows_the_runtimes_frames_where_there_are_no_others() {
    let only_runtime = Group { is_system: false, ..collector() };
    let all = Goroutines { groups: vec![only_runtime], ..goroutines() };
    expect![[r#"
        goroutine profile: total 1
        1 @ 0x401f31 0x402001 0x40ff01
        #	0x401f30	runtime.gopark+0x30	/go/src/runtime/proc.go:402
        #	0x402000	runtime.bgsweep+0x0	/go/src/runtime/mgcsweep.go:300

    "#]]
    .assert_eq(&debug1(&all));
}

#[test]
fn debug2_is_what_the_endpoint_says_without_arguments() {
    expect![[r#"
        goroutine 7 [chan receive, locked to thread]:
        main.(*exchange).quote(...)
        	/src/exchange.go:21
        main.consult(...)
        	/src/main.go:40 +0x26
        created by main.main in goroutine 1
        	/src/main.go:19 +0x46

        goroutine 18 [chan receive, 5 minutes]:
        main.(*exchange).quote(...)
        	/src/exchange.go:21
        main.consult(...)
        	/src/main.go:40 +0x26
        created by main.main in goroutine 1
        	/src/main.go:19 +0x46

        goroutine 20 [running]:
        	(it ran, and a stack in use cannot be read)
        created by main.main
        	/src/main.go:19 +0x46
    "#]]
    .assert_eq(&debug2(&goroutines()));
}

#[test]
fn programs_get_everything() {
    expect![[r#"
        {"schema":"watcher.goroutines/1","process":{"pid":812,"start_time":"1970-01-01T00:00:00Z","name":"parcels","exe":null,"exe_deleted":false,"uid":0,"go_version":"go1.26.6","module":"example.com/parcels","module_version":"(devel)","package":null,"container":null,"container_runtime":null,"restarts":0},"process_start_ticks":1,"taken":"1970-01-01T00:16:40Z","total":3,"system":1,"groups":[{"count":2,"system":false,"status":"waiting","wait_reason":"chan receive","longest_wait_seconds":301.0,"locked_to_thread":1,"labels":{"lane":"a"},"created_by":[{"function":"main.main","file":"/src/main.go","line":19,"address":4661317,"inlined":false}],"start":{"function":"main.consult","file":"/src/main.go","line":38,"address":4657152,"inlined":false},"stack":[{"function":"runtime.gopark","file":"/go/src/runtime/proc.go","line":402,"address":4202288,"inlined":false},{"function":"main.(*exchange).quote","file":"/src/exchange.go","line":21,"address":4657189,"inlined":true},{"function":"main.consult","file":"/src/main.go","line":40,"address":4657184,"inlined":false},{"function":"runtime.goexit","file":"/go/src/runtime/asm_amd64.s","line":1693,"address":4259584,"inlined":false}],"stack_state":"complete","ids":[7,18]},{"count":1,"system":false,"status":"running","wait_reason":null,"longest_wait_seconds":null,"locked_to_thread":0,"labels":{},"created_by":[{"function":"main.main","file":"/src/main.go","line":19,"address":4661317,"inlined":false}],"start":{"function":"main.spin","file":"/src/main.go","line":50,"address":4665344,"inlined":false},"stack":[],"stack_state":"running","ids":[20]},{"count":1,"system":true,"status":"waiting","wait_reason":"chan receive","longest_wait_seconds":null,"locked_to_thread":0,"labels":{},"created_by":[{"function":"main.main","file":"/src/main.go","line":19,"address":4661317,"inlined":false}],"start":{"function":"main.consult","file":"/src/main.go","line":38,"address":4657152,"inlined":false},"stack":[{"function":"runtime.gopark","file":"/go/src/runtime/proc.go","line":402,"address":4202288,"inlined":false},{"function":"runtime.bgsweep","file":"/go/src/runtime/mgcsweep.go","line":300,"address":4202496,"inlined":false},{"function":"runtime.goexit","file":"/go/src/runtime/asm_amd64.s","line":1693,"address":4259584,"inlined":false}],"stack_state":"complete","ids":[3]}],"threads":[{"tid":812,"name":"parcels","state":"sleeping","does":"idle","goroutine":null,"locked_goroutine":null,"stack":[]},{"tid":813,"name":"parcels","state":"sleeping","does":"in C","goroutine":7,"locked_goroutine":7,"stack":[{"function":"runtime.gopark","file":"/go/src/runtime/proc.go","line":402,"address":4202288,"inlined":false},{"function":"main.(*exchange).quote","file":"/src/exchange.go","line":21,"address":4657189,"inlined":true},{"function":"main.consult","file":"/src/main.go","line":40,"address":4657184,"inlined":false},{"function":"runtime.goexit","file":"/go/src/runtime/asm_amd64.s","line":1693,"address":4259584,"inlined":false}]},{"tid":814,"name":"parcels","state":"sleeping","does":"locked","goroutine":null,"locked_goroutine":7,"stack":[{"function":"runtime.gopark","file":"/go/src/runtime/proc.go","line":402,"address":4202288,"inlined":false},{"function":"main.(*exchange).quote","file":"/src/exchange.go","line":21,"address":4657189,"inlined":true},{"function":"main.consult","file":"/src/main.go","line":40,"address":4657184,"inlined":false},{"function":"runtime.goexit","file":"/go/src/runtime/asm_amd64.s","line":1693,"address":4259584,"inlined":false}]},{"tid":9,"name":null,"state":null,"does":"not Go's","goroutine":null,"locked_goroutine":null,"stack":[]}],"effort":{"milliseconds":2.4,"bytes_read":70000,"retried":3,"given_up":1,"running":1,"unreadable":0,"incomplete":0,"labels_skipped":0},"remarks":["runtime.allm was not found: what depends on it is missing."]}
    "#]].assert_eq(&json(&goroutines()).unwrap());
}

#[test]
fn each_thread_has_a_row() {
    expect![[r#"
        4 OS threads
        TID  NAME     STATE     DOES      GOROUTINE   WHERE
        812  parcels  sleeping  idle      -           -
        813  parcels  sleeping  in C      7 (locked)  main.(*exchange).quote  /src/exchange.go:21
        814  parcels  sleeping  locked    7 (locked)  main.(*exchange).quote  /src/exchange.go:21
          9  -        -         not Go's  -           -
    "#]]
    .assert_eq(&threads::text(&goroutines().threads.unwrap()));
    assert_eq!(threads::text(&[]), "no OS thread\n");
}

#[test]
fn a_profile_has_one_location_for_calls_inlined_into_one_place() {
    let profile = profile(&goroutines());
    assert_eq!(profile.samples.iter().map(|sample| sample.values[0]).sum::<i64>(), 3);
    let lines = |stack: &[u32]| -> Vec<usize> {
        stack.iter().map(|index| profile.locations[*index as usize].lines.len()).collect()
    };
    assert_eq!(lines(&profile.samples[0].stack), [1, 2], "as Go has it, without the root of all stacks");
    assert_eq!(profile.samples[1].labels.len(), 1);
    expect![[r#"
        main.consult;main.(*exchange).quote;runtime.gopark 2
        main.spin 1
    "#]]
    .assert_eq(&folded(&profile, 0));
}

#[test]
fn goroutines_that_say_they_begin_at_the_last_address_are_written() {
    let last = Frame { entry: 0x10, ..frame("main.spin", "/src/main.go", 50, u64::MAX) };
    let group = Group { start: Some(last.clone()), created_by: [last.clone()].into(), ..running() };
    let walked = Group { stack: [last].into(), ..group.clone() };
    let goroutines = Goroutines { groups: vec![group, walked], ..goroutines() };
    assert!(debug1(&goroutines).contains("2 @ 0x0\n#\t0xffffffffffffffff"), "{}", debug1(&goroutines));
    assert!(
        debug2(&goroutines).contains("created by main.spin\n\t/src/main.go:50 +0x0"),
        "{}",
        debug2(&goroutines)
    );
}
