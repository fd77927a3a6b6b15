use super::{Example, FdKind, Fds, Grouping, Site, json, profile, svg, text};
use crate::explain::{Accounts, Frame, Route};
use crate::report::folded::{folded, top};
use crate::report::ledger::{COLUMNS, Creator, Watch};
use crate::report::stack::fixture::process;
use expect_test::{Expect, expect};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

fn frames(named: &[(&str, &str, u32)]) -> Arc<[Frame]> {
    named.iter().map(|(function, file, line)| Frame::new(function, file, *line)).collect()
}

fn kind(name: &'static str, state: Option<&'static str>, peer: Option<&str>) -> FdKind {
    let protocol = (name == "socket").then(|| if peer == Some("@bus") { "unix" } else { "tcp" });
    FdKind { name, protocol, state, peer: peer.map(str::to_owned) }
}

/// A site whose oldest is as many seconds old as given.
fn site(creator: Creator, created: u64, ended: u64, oldest: Option<u64>, kinds: Vec<(FdKind, u64)>) -> Site {
    Site {
        creator,
        created,
        ended,
        outstanding: kinds.iter().map(|(_, number)| number).sum(),
        oldest: oldest.map(Duration::from_secs),
        youngest: oldest.map(|_| Duration::from_millis(100)),
        longest_ended: (ended > 0).then_some(Duration::from_secs(3)),
        kinds,
        examples: Vec::new(),
        waiting: Vec::new(),
    }
}

/// A client that keeps its connections, a file that comes and goes, and what was there before.
fn fds() -> Fds {
    let dial = Creator::Seen {
        stack: frames(&[
            ("syscall.connect", "syscall/zsyscall_linux_amd64.go", 1428),
            ("net.(*sysDialer).dialTCP", "net/tcpsock_posix.go", 80),
            ("net/http.(*Transport).dialConn", "net/http/transport.go", 1683),
            ("runtime.goexit", "runtime/asm_amd64.s", 1693),
        ]),
        started_by: vec![frames(&[
            ("net/http.(*Transport).queueForDial", "net/http/transport.go", 1494),
            ("main.poll", "example.com/parcels/courier/main.go", 40),
            ("main.main", "example.com/parcels/courier/main.go", 20),
        ])],
    };
    let store = Creator::Seen {
        stack: frames(&[
            ("os.OpenFile", "os/file.go", 385),
            ("main.store", "example.com/parcels/courier/store.go", 7),
            ("main.main", "example.com/parcels/courier/main.go", 23),
        ]),
        started_by: Vec::new(),
    };
    let watch = Creator::Seen { stack: frames(&[("main.look", "/src/look.go", 3)]), started_by: Vec::new() };
    let server = Some("127.0.0.1:8081");
    let mut dialled = site(
        dial,
        182,
        1,
        Some(9),
        vec![
            (kind("socket", Some("CLOSE_WAIT"), server), 180),
            (kind("socket", Some("ESTABLISHED"), server), 1),
        ],
    );
    dialled.waiting = vec![(
        frames(&[
            ("internal/poll.(*FD).Read", "internal/poll/fd_unix.go", 165),
            ("main.read", "/src/read.go", 5),
        ]),
        181,
    )];
    Fds {
        process: process(),
        taken: UNIX_EPOCH,
        watch: Watch {
            watched: Duration::from_secs(10),
            route: Some(Route::SystemCalls),
            accounts: Accounts {
                outstanding: 190,
                before: 5,
                missed: 1,
                without_stack: 0,
                copies: 0,
                created: 415,
                ended: 231,
                corrected: 2,
                lost: 0,
                one_in: 1,
            },
            remarks: vec!["Go's memory could not be read.".to_owned()],
        },
        sites: vec![
            dialled,
            site(
                Creator::Before,
                0,
                0,
                None,
                vec![
                    (kind("file", None, None), 3),
                    (kind("epoll", None, None), 1),
                    (kind("eventfd", None, None), 1),
                ],
            ),
            site(store, 213, 210, Some(2), vec![(kind("file", None, None), 3)]),
            site(Creator::Missed, 0, 0, None, vec![(kind("socket", Some("ESTABLISHED"), Some("@bus")), 1)]),
            site(watch, 20, 20, None, Vec::new()),
        ],
    }
}

fn check(grouping: Grouping, shown: usize, expected: &Expect) {
    let text = text(&fds(), grouping, shown);
    assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
    expected.assert_eq(&text);
}

#[test]
fn the_table_has_a_row_for_each_type_state_peer_and_opener() {
    check(
        Grouping::None,
        5,
        &expect![[r#"
            parcels (pid 812, go1.26.6, example.com/parcels)

            190 descriptors are open.
            Watched for 10 s, by its system calls: 415 opened, 231 closed.

               OPEN  TYPE        STATE       PEER            OLDEST
                180  tcp socket  CLOSE_WAIT  127.0.0.1:8081     9 s
                     main.poll  example.com/parcels/courier/main.go:40
                  3  file        -           -                >10 s
                  3  file        -           -                  2 s
                     main.store  example.com/parcels/courier/store.go:7
                  1  epoll       -           -                >10 s
                  1  eventfd     -           -                >10 s

            not shown: 2 smaller groups with 2 descriptors (-n 7 shows all)

            1 other stack opened 20 descriptors and closed all of them, each within 3 s.

            5 descriptors were opened before watching began: by whom was not seen.
            By whom 1 descriptor that came since was opened is not known: received from another process, or
              opened by the kernel itself.
            2 descriptors were believed to be there still and found to be gone: the numbers are corrected.
            Go's memory could not be read.
        "#]],
    );
}

#[test]
fn stacks_have_their_kinds_and_who_waits() {
    check(
        Grouping::Stack { whole: false },
        20,
        &expect![[r#"
            parcels (pid 812, go1.26.6, example.com/parcels)

            190 descriptors are open.
            Watched for 10 s, by its system calls: 415 opened, 231 closed.

                181  open, oldest 9 s; 182 opened, 1 closed
                     main.poll  example.com/parcels/courier/main.go:40
                     180 tcp socket CLOSE_WAIT, 127.0.0.1:8081
                     1 tcp socket ESTABLISHED, 127.0.0.1:8081
                     in a goroutine started there
                     181 goroutines wait on them in main.read  /src/read.go:5
                     none of the closed ones was open for longer than 3 s

                  5  open, oldest >10 s
                     opened before watching began
                     3 file
                     1 epoll
                     1 eventfd

                  3  open, oldest 2 s; 213 opened, 210 closed
                     main.store  example.com/parcels/courier/store.go:7
                     file
                     none of the closed ones was open for longer than 3 s

                  1  open, oldest <10 s
                     opened unseen while watched
                     unix socket ESTABLISHED, @bus

            1 other stack opened 20 descriptors and closed all of them, each within 3 s.

            5 descriptors were opened before watching began: by whom was not seen.
            By whom 1 descriptor that came since was opened is not known: received from another process, or
              opened by the kernel itself.
            2 descriptors were believed to be there still and found to be gone: the numbers are corrected.
            Go's memory could not be read.
        "#]],
    );
    check(
        Grouping::Stack { whole: true },
        1,
        &expect![[r#"
            parcels (pid 812, go1.26.6, example.com/parcels)

            190 descriptors are open.
            Watched for 10 s, by its system calls: 415 opened, 231 closed.

                181  open, oldest 9 s; 182 opened, 1 closed
                     main.poll  example.com/parcels/courier/main.go:40
                     180 tcp socket CLOSE_WAIT, 127.0.0.1:8081
                     1 tcp socket ESTABLISHED, 127.0.0.1:8081
                     opened at
                       syscall.connect  syscall/zsyscall_linux_amd64.go:1428
                       net.(*sysDialer).dialTCP  net/tcpsock_posix.go:80
                       net/http.(*Transport).dialConn  net/http/transport.go:1683
                     in a goroutine started at
                       net/http.(*Transport).queueForDial  net/http/transport.go:1494
                       main.poll  example.com/parcels/courier/main.go:40
                       main.main  example.com/parcels/courier/main.go:20
                     181 goroutines wait on them in main.read  /src/read.go:5
                       internal/poll.(*FD).Read  internal/poll/fd_unix.go:165
                       main.read  /src/read.go:5
                     none of the closed ones was open for longer than 3 s

            not shown: 3 smaller groups with 9 descriptors (-n 4 shows all)

            1 other stack opened 20 descriptors and closed all of them, each within 3 s.

            5 descriptors were opened before watching began: by whom was not seen.
            By whom 1 descriptor that came since was opened is not known: received from another process, or
              opened by the kernel itself.
            2 descriptors were believed to be there still and found to be gone: the numbers are corrected.
            Go's memory could not be read.
        "#]],
    );
}

#[test]
fn types_and_peers_have_their_openers() {
    check(
        Grouping::Type,
        20,
        &expect![[r#"
            parcels (pid 812, go1.26.6, example.com/parcels)

            190 descriptors are open.
            Watched for 10 s, by its system calls: 415 opened, 231 closed.

                181  tcp socket, oldest 9 s; 182 opened, 1 closed
                     180 CLOSE_WAIT, 1 ESTABLISHED
                     main.poll  example.com/parcels/courier/main.go:40

                  6  file, oldest >10 s; 213 opened, 210 closed
                     3 by main.store  example.com/parcels/courier/store.go:7
                     3 opened before watching began

                  1  epoll, oldest >10 s
                     opened before watching began

                  1  eventfd, oldest >10 s
                     opened before watching began

                  1  unix socket, oldest <10 s
                     1 ESTABLISHED
                     opened unseen while watched

            A stack that opened members of several groups has all that it opened and closed counted in each.

            1 other stack opened 20 descriptors and closed all of them, each within 3 s.

            5 descriptors were opened before watching began: by whom was not seen.
            By whom 1 descriptor that came since was opened is not known: received from another process, or
              opened by the kernel itself.
            2 descriptors were believed to be there still and found to be gone: the numbers are corrected.
            Go's memory could not be read.
        "#]],
    );
    check(
        Grouping::Peer,
        20,
        &expect![[r#"
            parcels (pid 812, go1.26.6, example.com/parcels)

            190 descriptors are open.
            Watched for 10 s, by its system calls: 415 opened, 231 closed.

                181  127.0.0.1:8081, oldest 9 s; 182 opened, 1 closed
                     180 CLOSE_WAIT, 1 ESTABLISHED
                     main.poll  example.com/parcels/courier/main.go:40

                  8  no peer, oldest >10 s; 213 opened, 210 closed
                     5 opened before watching began
                     3 by main.store  example.com/parcels/courier/store.go:7

                  1  @bus, oldest <10 s
                     1 ESTABLISHED
                     opened unseen while watched

            1 other stack opened 20 descriptors and closed all of them, each within 3 s.

            5 descriptors were opened before watching began: by whom was not seen.
            By whom 1 descriptor that came since was opened is not known: received from another process, or
              opened by the kernel itself.
            2 descriptors were believed to be there still and found to be gone: the numbers are corrected.
            Go's memory could not be read.
        "#]],
    );
}

#[test]
fn nothing_open_is_said() {
    let mut nothing = fds();
    nothing.sites.clear();
    nothing.watch.accounts = Accounts { lost: 3, one_in: 8, ..Accounts::default() };
    expect![[r#"
        parcels (pid 812, go1.26.6, example.com/parcels)

        No descriptor is open.
        Watched for 10 s, by its system calls: 0 opened, 0 closed.

        3 events were lost, as there was no more room for them: too few descriptors are shown by line.
        There are so many that only one in 8 was looked at: numbers by line are estimates.
        Go's memory could not be read.
    "#]]
    .assert_eq(&text(&nothing, Grouping::None, 20));
}

#[test]
fn programs_get_all_of_it() {
    expect![[r#"
        {"schema":"watcher.fds/1","process":{"pid":812,"start_time":"1970-01-01T00:00:00Z","name":"parcels","exe":null,"exe_deleted":false,"uid":0,"go_version":"go1.26.6","module":"example.com/parcels","module_version":"(devel)","package":null,"container":null,"container_runtime":null,"restarts":0},"taken":"1970-01-01T00:00:00Z","watched_seconds":10.0,"route":"system_calls","outstanding":190,"created":415,"ended":231,"before":5,"missed":1,"without_stack":0,"copies":0,"corrected":2,"lost_events":0,"sampled_one_in":1,"remarks":["Go's memory could not be read."],"sites":[{"outstanding":181,"created":182,"ended":1,"oldest_seconds":9.0,"youngest_seconds":0.1,"longest_ended_seconds":3.0,"descriptors":[{"count":180,"type":"socket","protocol":"tcp","state":"CLOSE_WAIT","peer":"127.0.0.1:8081","examples":[]},{"count":1,"type":"socket","protocol":"tcp","state":"ESTABLISHED","peer":"127.0.0.1:8081","examples":[]}],"creator":"seen","culprit":{"function":"main.poll","file":"example.com/parcels/courier/main.go","line":40},"stack":[{"function":"syscall.connect","file":"syscall/zsyscall_linux_amd64.go","line":1428},{"function":"net.(*sysDialer).dialTCP","file":"net/tcpsock_posix.go","line":80},{"function":"net/http.(*Transport).dialConn","file":"net/http/transport.go","line":1683},{"function":"runtime.goexit","file":"runtime/asm_amd64.s","line":1693}],"started_by":[[{"function":"net/http.(*Transport).queueForDial","file":"net/http/transport.go","line":1494},{"function":"main.poll","file":"example.com/parcels/courier/main.go","line":40},{"function":"main.main","file":"example.com/parcels/courier/main.go","line":20}]],"waiting":[{"goroutines":181,"stack":[{"function":"internal/poll.(*FD).Read","file":"internal/poll/fd_unix.go","line":165},{"function":"main.read","file":"/src/read.go","line":5}]}]},{"outstanding":5,"created":0,"ended":0,"oldest_seconds":null,"youngest_seconds":null,"longest_ended_seconds":null,"descriptors":[{"count":3,"type":"file","protocol":null,"state":null,"peer":null,"examples":[]},{"count":1,"type":"epoll","protocol":null,"state":null,"peer":null,"examples":[]},{"count":1,"type":"eventfd","protocol":null,"state":null,"peer":null,"examples":[]}],"creator":"before","culprit":null,"stack":[],"started_by":[],"waiting":[]},{"outstanding":3,"created":213,"ended":210,"oldest_seconds":2.0,"youngest_seconds":0.1,"longest_ended_seconds":3.0,"descriptors":[{"count":3,"type":"file","protocol":null,"state":null,"peer":null,"examples":[]}],"creator":"seen","culprit":{"function":"main.store","file":"example.com/parcels/courier/store.go","line":7},"stack":[{"function":"os.OpenFile","file":"os/file.go","line":385},{"function":"main.store","file":"example.com/parcels/courier/store.go","line":7},{"function":"main.main","file":"example.com/parcels/courier/main.go","line":23}],"started_by":[],"waiting":[]},{"outstanding":1,"created":0,"ended":0,"oldest_seconds":null,"youngest_seconds":null,"longest_ended_seconds":null,"descriptors":[{"count":1,"type":"socket","protocol":"unix","state":"ESTABLISHED","peer":"@bus","examples":[]}],"creator":"missed","culprit":null,"stack":[],"started_by":[],"waiting":[]},{"outstanding":0,"created":20,"ended":20,"oldest_seconds":null,"youngest_seconds":null,"longest_ended_seconds":3.0,"descriptors":[],"creator":"seen","culprit":{"function":"main.look","file":"/src/look.go","line":3},"stack":[{"function":"main.look","file":"/src/look.go","line":3}],"started_by":[],"waiting":[]}]}
    "#]].assert_eq(&json(&fds()).unwrap());
}

#[test]
fn a_profile_adds_up_to_what_is_open_and_what_was_opened() {
    let profile = profile(&fds());
    let sum = |value: usize| profile.samples.iter().map(|sample| sample.values[value]).sum::<i64>();
    assert_eq!((sum(0), sum(1)), (415, 190));
    expect![[r#"
        [opened before watching began] 5
        [opened unseen while watched] 1
        main.main;main.poll;net/http.(*Transport).queueForDial;runtime.goexit;net/http.(*Transport).dialConn;net.(*sysDialer).dialTCP;syscall.connect 181
        main.main;main.store;os.OpenFile 3
    "#]].assert_eq(&folded(&profile, 1));
    expect![[r#"
        top:
              flat  flat%   sum%        cum   cum%  function
               213 51.33% 51.33%        213 51.33%  os.OpenFile
               182 43.86% 95.18%        182 43.86%  syscall.connect
                20  4.82%   100%         20  4.82%  main.look
                 0  0.00%   100%        395 95.18%  main.main
    "#]]
    .assert_eq(&format!("top:\n{}", top(&profile, 0, 4)));
    let labels: Vec<String> =
        profile.samples[0].labels.iter().map(|label| format!("{}={:?}", label.key, label.value)).collect();
    expect![[
        r#"type=Text("socket") protocol=Text("tcp") state=Text("CLOSE_WAIT") peer=Text("127.0.0.1:8081")"#
    ]]
    .assert_eq(&labels.join(" "));
}

#[test]
fn a_flame_graph_says_how_many() {
    let svg = String::from_utf8(svg(&fds()).unwrap()).unwrap();
    for text in [
        ">Open descriptors of parcels (pid 812)</text>",
        ">190 descriptors by the code that opened them and who started it, watched for 10 s; 1970-01-01T00:00:00Z</text>",
        "<title>main.poll (181 descriptors, 95.26%)</title>",
        "<title>[opened before watching began] (5 descriptors, 2.63%)</title>",
    ] {
        assert!(svg.contains(text), "{text} in {svg}");
    }
}

#[test]
fn some_of_a_row_are_named_by_number() {
    let mut fds = fds();
    let listener = kind("socket", Some("LISTEN"), None);
    let mut before =
        site(Creator::Before, 0, 0, None, vec![(kind("file", None, None), 5), (listener.clone(), 1)]);
    let file = |fd, what: &str| Example { kind: kind("file", None, None), fd, what: Some(what.to_owned()) };
    before.examples = vec![file(3, "/etc/hosts"), file(7, "/var/log/a b")];
    let what = Some("listens on 127.0.0.1:8080".to_owned());
    before.examples.push(Example { kind: listener, fd: 4, what });
    fds.sites = vec![before];
    let shown = text(&fds, Grouping::None, 20);
    assert!(shown.contains("number 3 /etc/hosts, 7 /var/log/a b, …\n"), "{shown}");
    assert!(shown.contains("number 4 listens on 127.0.0.1:8080\n"), "{shown}");
    assert!(!shown.contains("         opened before watching began"), "{shown}");
    let told = json(&fds).unwrap();
    assert!(told.contains("{\"fd\":3,\"what\":\"/etc/hosts\"}"), "{told}");
}
