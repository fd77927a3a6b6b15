use super::{Mapped, Owner, Site, json, profile, svg, text};
use crate::explain::{Accounts, Frame, Route};
use crate::report::folded::folded;
use crate::report::ledger::{COLUMNS, Creator, Watch};
use crate::report::stack::fixture::process;
use expect_test::expect;
use std::time::{Duration, UNIX_EPOCH};

fn site(functions: &[&str], owner: Owner, count: u64, bytes: u64, file_bytes: u64) -> Site {
    let stack = functions.iter().map(|name| Frame::new(name, "/src/main.go", 9)).collect();
    Site {
        creator: Creator::Seen { stack, started_by: Vec::new() },
        owner,
        created: count + 2,
        ended: 2,
        outstanding: count,
        bytes,
        file_bytes,
        oldest: Some(Duration::from_secs(9)),
        youngest: Some(Duration::from_secs(1)),
    }
}

fn mapped() -> Mapped {
    let accounts =
        Accounts { outstanding: 1090, before: 31, created: 1066, ended: 7, one_in: 1, ..Accounts::default() };
    Mapped {
        process: process(),
        taken: UNIX_EPOCH,
        watch: Watch {
            watched: Duration::from_secs(10),
            route: Some(Route::SystemCalls),
            accounts,
            remarks: Vec::new(),
        },
        sites: vec![
            site(&["runtime.mmap", "runtime.sysReserve"], Owner::Runtime, 2, 64 << 20, 0),
            site(&["syscall.Mmap", "main.open", "main.main"], Owner::Go, 1024, 64 << 20, 64 << 20),
            site(&["mmap64", "malloc", "main._Cfunc_fill", "main.main"], Owner::Native, 30, 8 << 20, 1 << 20),
            site(&["syscall.Mmap", "main.peek"], Owner::Go, 0, 0, 0),
        ],
    }
}

#[test]
fn people_see_on_whose_behalf_and_by_which_line() {
    let text = text(&mapped(), 2, true);
    assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)

        136 MiB in 1,056 mappings, made while it was watched and still there.
        Watched for 10 s, by its system calls: 1,066 mapped, 7 unmapped.

           64 MiB  by Go code
            8 MiB  by C, such as malloc
           64 MiB  by the Go runtime for its heap, stacks and structures

            BYTES  MAPPINGS   MADE  GONE  OLDEST  OF         BY
           64 MiB     1,024  1,026     2     9 s  file       Go
                   main.open  /src/main.go:9
                   mapped at
                     syscall.Mmap  /src/main.go:9
                     main.open  /src/main.go:9
                     main.main  /src/main.go:9
           64 MiB         2      4     2     9 s  anonymous  Go's runtime
                   runtime.mmap  /src/main.go:9
                   mapped at
                     runtime.mmap  /src/main.go:9
                     runtime.sysReserve  /src/main.go:9

        not shown: 1 smaller stack with 8 MiB (-n 3 shows all)

        31 mappings were mapped before watching began: by whom was not seen.
    "#]]
    .assert_eq(&text);
}

#[test]
fn nothing_mapped_is_said() {
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)

        Nothing that was mapped while it was watched is still there.
        Watched for 10 s, by its system calls: 1,066 mapped, 7 unmapped.

        31 mappings were mapped before watching began: by whom was not seen.
    "#]]
    .assert_eq(&text(&Mapped { sites: Vec::new(), ..mapped() }, 2, false));
}

#[test]
fn programs_get_the_same() {
    let one = Mapped { sites: mapped().sites.split_off(3), ..mapped() };
    expect![[r#"
        {"schema":"watcher.mappings/1","process":{"pid":812,"start_time":"1970-01-01T00:00:00Z","name":"parcels","exe":null,"exe_deleted":false,"uid":0,"go_version":"go1.26.6","module":"example.com/parcels","module_version":"(devel)","package":null,"container":null,"container_runtime":null,"restarts":0},"taken":"1970-01-01T00:00:00Z","bytes":0,"watched_seconds":10.0,"route":"system_calls","outstanding":1090,"created":1066,"ended":7,"before":31,"missed":0,"without_stack":0,"copies":0,"corrected":0,"lost_events":0,"sampled_one_in":1,"remarks":[],"sites":[{"outstanding":0,"bytes":0,"file_bytes":0,"created":2,"ended":2,"oldest_seconds":9.0,"youngest_seconds":1.0,"owner":"go","creator":"seen","culprit":{"function":"main.peek","file":"/src/main.go","line":9},"stack":[{"function":"syscall.Mmap","file":"/src/main.go","line":9},{"function":"main.peek","file":"/src/main.go","line":9}],"started_by":[]}]}
    "#]].assert_eq(&json(&one).unwrap());
}

#[test]
fn a_profile_and_its_picture_add_up() {
    let profile = profile(&mapped());
    let sum = |value: usize| profile.samples.iter().map(|sample| sample.values[value]).sum::<i64>();
    assert_eq!((sum(0), sum(1)), (1056, 136 << 20));
    expect![[r#"
        main.main;main._Cfunc_fill;malloc;mmap64 8388608
        main.main;main.open;syscall.Mmap 67108864
        runtime.sysReserve;runtime.mmap 67108864
    "#]]
    .assert_eq(&folded(&profile, 1));
    let svg = String::from_utf8(svg(&mapped()).unwrap()).unwrap();
    for text in [
        ">136 MiB mapped in 10 s and still there, by the code that asked for it; 1970-01-01T00:00:00Z</text>",
        "<title>main.open (67,108,864 bytes, 47.06%)</title>",
        ">not Go</text>",
    ] {
        assert!(svg.contains(text), "{text} in {svg}");
    }
}
