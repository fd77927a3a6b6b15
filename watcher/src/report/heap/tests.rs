use super::{Heap, Samples, SizeClass, Spans, Totals, json, profile, svg, text};
use crate::explain::words::bytes;
use crate::report::pprof::{Function, HeapSite, Place};
use crate::report::stack::fixture::process;
use expect_test::expect;
use std::time::UNIX_EPOCH;

fn site(address: u64, lines: &[(&str, u32)], objects: i64, object_bytes: u64) -> HeapSite {
    let function =
        |name: &str| Function { name: name.to_owned(), file: "/src/main.go".to_owned(), start_line: None };
    let lines = lines.iter().map(|(name, line)| (function(name), *line)).collect();
    let bytes = objects * i64::try_from(object_bytes).unwrap();
    HeapSite {
        places: vec![Place { address, lines }],
        object_bytes,
        allocated_objects: objects + 1,
        allocated_bytes: bytes + 100,
        in_use_objects: objects,
        in_use_bytes: bytes,
    }
}

fn heap() -> Heap {
    let class = |object_bytes: u64, objects: u64, has_pointers| SizeClass {
        object_bytes,
        has_pointers,
        spans: 2,
        objects,
        bytes: object_bytes * objects,
    };
    Heap {
        process: process(),
        taken: UNIX_EPOCH,
        totals: Ok(Totals {
            gc_cycles: 14,
            live_bytes: Some(12 << 20),
            allocated_bytes: 13 << 20,
            goal_bytes: Some(24 << 20),
            in_use_bytes: 14 << 20,
            idle_bytes: 1 << 20,
            released_bytes: 5 << 20,
            total_allocated_bytes: 3 << 30,
            gogc_percent: Some(100),
            memory_limit_bytes: None,
        }),
        spans: Ok(Spans {
            heap_bytes: 14 << 20,
            stack_bytes: 512 << 10,
            work_bytes: 32 << 10,
            not_counted: 1,
            classes: (0..12).map(|index| class(4096 >> index, 100, index % 2 == 0)).collect(),
        }),
        samples: Ok(Samples {
            rate_bytes: 512 << 10,
            sites: vec![
                site(0x471025, &[("main.insert", 8), ("main.serve", 21)], 100, 4096),
                site(0x471085, &[("main.insert", 8), ("main.serve", 21)], 3, 64),
                site(0x472000, &[("main.read[go.shape.int]", 40)], 1, 1 << 20),
                site(0x473000, &[("main.forget", 50)], 0, 32),
            ],
            remarks: vec!["No collection has ended yet: all that was allocated so far is shown.".to_owned()],
        }),
        remarks: Vec::new(),
        mappings: Vec::new(),
    }
}

#[test]
fn people_see_totals_sizes_and_who_allocated() {
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)

        live          12 MiB after collection 14
        allocated     13 MiB with what was allocated since
        next goal     24 MiB (GOGC 100, GOMEMLIMIT none)
        in use        14 MiB in spans that hold objects
        idle          1 MiB free and not returned to the system
        released      5 MiB free and returned
        stacks        512 KiB
        ever          3 GiB allocated since the start

        OBJECT SIZE  OBJECTS     BYTES  SPANS  POINTERS
              4 KiB      100   400 KiB      2  yes
              2 KiB      100   200 KiB      2  no
              1 KiB      100   100 KiB      2  yes
              512 B      100    50 KiB      2  no
              256 B      100    25 KiB      2  yes
              128 B      100  12.5 KiB      2  no
               64 B      100  6.25 KiB      2  yes
               32 B      100  3.12 KiB      2  no
               16 B      100  1.56 KiB      2  yes
                8 B      100     800 B      2  no
        and 2 more object sizes
        1 span changed meanwhile and not counted

        Who allocated what is in use: 1.39 MiB, estimated from one sample in 512 KiB

            1 MiB  1 object
                   main.read[go.shape.int]  /src/main.go:40

        not shown: 1 smaller stack with 400 KiB (-n 2 shows all)
        No collection has ended yet: all that was allocated so far is shown.
    "#]]
    .assert_eq(&text(&heap(), 1));
}

#[test]
fn what_could_not_be_read_says_why() {
    let nothing = Heap {
        totals: Err("the heap's counters do not add up: GOGC and heap minimum".to_owned()),
        spans: Err("8 bytes at 0x10 are not readable".to_owned()),
        samples: Err("no allocation has been sampled yet".to_owned()),
        ..heap()
    };
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)

        The runtime's totals could not be read: the heap's counters do not add up: GOGC and heap minimum.

        The spans of the heap could not be read: 8 bytes at 0x10 are not readable.

        No heap samples are recorded in this program, because no allocation has been sampled yet.
    "#]]
    .assert_eq(&text(&nothing, 1));
    expect![[r#"
        {"schema":"watcher.heap/1","process":{"pid":812,"start_time":"1970-01-01T00:00:00Z","name":"parcels","exe":null,"exe_deleted":false,"uid":0,"go_version":"go1.26.6","module":"example.com/parcels","module_version":"(devel)","package":null,"container":null,"container_runtime":null,"restarts":0},"process_start_ticks":1,"taken":"1970-01-01T00:00:00Z","totals":null,"spans":null,"sampled_every_bytes":null,"sites":null,"missing":["the runtime's totals could not be read: the heap's counters do not add up: GOGC and heap minimum","the spans of the heap could not be read: 8 bytes at 0x10 are not readable","no heap samples are recorded in this program, because no allocation has been sampled yet"],"remarks":[]}
    "#]].assert_eq(&json(&nothing).unwrap());
    assert!(profile(&nothing).is_none());
    let off = Totals { live_bytes: None, goal_bytes: None, gogc_percent: None, ..Totals::default() };
    let off = Heap { totals: Ok(Totals { memory_limit_bytes: Some(1 << 30), ..off }), ..nothing };
    let said = text(&off, 1);
    assert!(said.contains("next goal     none (GOGC off, GOMEMLIMIT 1 GiB)"), "{said}");
}

#[test]
fn programs_get_everything() {
    expect![[r#"
        {"schema":"watcher.heap/1","process":{"pid":812,"start_time":"1970-01-01T00:00:00Z","name":"parcels","exe":null,"exe_deleted":false,"uid":0,"go_version":"go1.26.6","module":"example.com/parcels","module_version":"(devel)","package":null,"container":null,"container_runtime":null,"restarts":0},"process_start_ticks":1,"taken":"1970-01-01T00:00:00Z","totals":{"gc_cycles":14,"live_bytes":12582912,"allocated_bytes":13631488,"goal_bytes":25165824,"in_use_bytes":14680064,"idle_bytes":1048576,"released_bytes":5242880,"total_allocated_bytes":3221225472,"gogc_percent":100,"memory_limit_bytes":null},"spans":{"heap_bytes":14680064,"stack_bytes":524288,"work_bytes":32768,"not_counted":1,"classes":[{"object_bytes":4096,"has_pointers":true,"spans":2,"objects":100,"bytes":409600},{"object_bytes":2048,"has_pointers":false,"spans":2,"objects":100,"bytes":204800},{"object_bytes":1024,"has_pointers":true,"spans":2,"objects":100,"bytes":102400},{"object_bytes":512,"has_pointers":false,"spans":2,"objects":100,"bytes":51200},{"object_bytes":256,"has_pointers":true,"spans":2,"objects":100,"bytes":25600},{"object_bytes":128,"has_pointers":false,"spans":2,"objects":100,"bytes":12800},{"object_bytes":64,"has_pointers":true,"spans":2,"objects":100,"bytes":6400},{"object_bytes":32,"has_pointers":false,"spans":2,"objects":100,"bytes":3200},{"object_bytes":16,"has_pointers":true,"spans":2,"objects":100,"bytes":1600},{"object_bytes":8,"has_pointers":false,"spans":2,"objects":100,"bytes":800},{"object_bytes":4,"has_pointers":true,"spans":2,"objects":100,"bytes":400},{"object_bytes":2,"has_pointers":false,"spans":2,"objects":100,"bytes":200}]},"sampled_every_bytes":524288,"sites":[{"object_bytes":4096,"in_use_objects":100,"in_use_bytes":409600,"allocated_objects":101,"allocated_bytes":409700,"stack":[{"function":"main.insert","file":"/src/main.go","line":8,"address":4657189,"inlined":true},{"function":"main.serve","file":"/src/main.go","line":21,"address":4657189,"inlined":false}]},{"object_bytes":64,"in_use_objects":3,"in_use_bytes":192,"allocated_objects":4,"allocated_bytes":292,"stack":[{"function":"main.insert","file":"/src/main.go","line":8,"address":4657285,"inlined":true},{"function":"main.serve","file":"/src/main.go","line":21,"address":4657285,"inlined":false}]},{"object_bytes":1048576,"in_use_objects":1,"in_use_bytes":1048576,"allocated_objects":2,"allocated_bytes":1048676,"stack":[{"function":"main.read[go.shape.int]","file":"/src/main.go","line":40,"address":4661248,"inlined":false}]},{"object_bytes":32,"in_use_objects":0,"in_use_bytes":0,"allocated_objects":1,"allocated_bytes":100,"stack":[{"function":"main.forget","file":"/src/main.go","line":50,"address":4665344,"inlined":false}]}],"missing":[],"remarks":["No collection has ended yet: all that was allocated so far is shown."]}
    "#]].assert_eq(&json(&heap()).unwrap());
    let profile = profile(&heap()).unwrap();
    assert_eq!((profile.period, profile.samples.len()), (512 << 10, 4));
}

#[test]
fn estimates_as_large_as_can_be_are_summed_up_to_the_largest_number() {
    let largest = |line| HeapSite { in_use_bytes: i64::MAX, ..site(0x40_0000, &[("main.fill", line)], 1, 8) };
    let samples = Samples { rate_bytes: 1, sites: [1, 2, 3].map(largest).into(), remarks: Vec::new() };
    let heap = Heap { samples: Ok(samples), ..heap() };
    let shown = text(&heap, 1);
    let largest = bytes(i64::MAX as f64);
    assert!(shown.contains(&format!("Who allocated what is in use: {largest}, ")), "{shown}");
    assert!(shown.contains(&format!("not shown: 2 smaller stacks with {largest}")), "{shown}");
    assert!(svg(&heap).is_ok());
}
