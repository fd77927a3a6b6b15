use super::{Layout, diagnosis};
use crate::explain::diagnosis::Diagnosis;
use crate::explain::tests::diagnosed;
use crate::explain::{Culprit, Frame};
use crate::judge::simulation::{Beat, PROCESS, sample, window};
use crate::store::Window;
use crate::vocabulary::process::Container;
use crate::vocabulary::reading::Reading;
use expect_test::{Expect, expect};

fn check(shown: &Diagnosis, expected: Expect) {
    let text = diagnosis(shown, Layout::PLAIN);
    expected.assert_eq(&text);
    for columns in [80, 100, 120] {
        let text = diagnosis(shown, Layout::terminal(Some(columns), false));
        assert!(text.lines().count() <= 24, "one screen of {columns} columns:\n{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= usize::from(columns), "{line}");
            assert_eq!(line, line.trim_end(), "no blanks at the end");
        }
    }
}

#[test]
fn a_leak_fits_on_a_screen() {
    check(
        &diagnosed(&window(|second, beat| beat.close_wait += 12 * second as u64)),
        expect![[r#"
            LEAK (connection)  Sockets in CLOSE_WAIT to 127.0.0.1:8081 grow by 12 per second
            poller (pid 812, go1.26.6, example.com/poller, up 3 h 4 min)
            watched for 45 s, 46 samples

            Time left    1 h 30 min, until RLIMIT_NOFILE of 65,536 is reached
            Line         no line: who opened or started them was not recorded; see below
            Sure         85 %, by the counts alone: no line was seen
            How we know  From 3 to 543 in 45 s (46 samples): it never fell, and it rose in each quarter of that
                         time, by 120 to 138. 100 % of the growth is in CLOSE_WAIT, where there are 540 now.
            Level        549 of 65,536 descriptors, 1 %.
            Ruled out    descriptors 5; threads 8; unreaped children 0; mappings 60; anonymous memory 40 MiB
            Memory       50 MiB resident; mapped files 10 MiB; not looked into 40 MiB
            Next         The other end has closed these and the program has not. Look for response bodies or
                         connections that are not closed on every path: resp.Body.Close(), rows.Close(),
                         conn.Close().
                         `watcher fds -p 812` lists them. Until it is fixed, a restart within 1 h 30 min keeps
                         the process from its limit.
            Not seen     goroutines and Go heap: the Go runtime was not found in the process's memory: other
                         than Go 1.18 to 1.27 on x86-64, or just starting
                         opening stacks: who opens a descriptor, maps memory or starts a thread is recorded only
                         while something grows
        "#]],
    );
}

#[test]
fn a_cause_and_what_follows() {
    let mut shown = diagnosed(&window(|second, beat| {
        beat.zombies += second as u64;
        beat.pipes += 2 * second as u64;
        beat.anon_bytes += (second as u64) << 20;
    }));
    let id = "3f4e5d6c7b8a9f0e".repeat(4);
    shown.process.container = Some(Container { id, runtime: None });
    shown.process.restarts = 3;
    check(
        &shown,
        expect![[r#"
            LEAK (child)  Children that exited and were not waited for grow by 1 per second
            poller (pid 812, go1.26.6, example.com/poller, container 3f4e5d6c7b8a, up 3 h 4 min, 3 restarts
              before it)
            watched for 45 s, 46 samples

            Time left    9 h 5 min, until RLIMIT_NOFILE of 65,536 is reached
            Line         no line: who opened or started them was not recorded; see below
            Sure         83 %, by the counts alone: no line was seen
            How we know  From 0 to 45 in 45 s (46 samples): it never fell, and it rose in each quarter of that
                         time, by 10 to 12.
            Follows      Open descriptors of type pipe grow by 2 per second.
            Level        99 of 65,536 descriptors, under 1 %.
            Undecided    Anonymous memory grows by 1 MiB per second; how much of it is live heap, garbage, freed
                         memory not yet returned, or C memory is not read.
            Ruled out    sockets 3; threads 8; mappings 60
            Memory       95 MiB resident; mapped files 10 MiB; not looked into 85 MiB
            Next         Look for exec.Cmd.Start, os.StartProcess or a raw fork without Wait on every path; an
                         exited child keeps its pid until it is waited for.
                         `ps --ppid 812` lists them. Until it is fixed, a restart within 9 h 5 min keeps the
                         process from its limit.
            Not seen     goroutines and Go heap; opening stacks (all reasons: --format json)
        "#]],
    );
}

#[test]
fn the_line_of_what_leaks_besides_is_told_too() {
    let mut shown = diagnosed(&window(|second, beat| {
        beat.zombies += second as u64;
        beat.files += 40 * second as u64;
    }));
    let other = shown.findings.get_mut(1).expect("two leaks");
    assert_eq!(other.consequence_of, None);
    let frame = Frame::new("main.run", "/src/poller/run.go", 17);
    other.culprits = vec![Culprit { frame, share: 0.98, stack: Vec::new() }];
    let headline = other.headline.clone();
    for columns in [80, 100, 120] {
        let text = diagnosis(&shown, Layout::terminal(Some(columns), false));
        let words: Vec<&str> = text.split_whitespace().collect();
        let also = format!("Also leaks {headline}: /src/poller/run.go:17 main.run");
        assert!(words.join(" ").contains(&also), "{text}");
        assert!(text.lines().count() <= 24, "{text}");
    }
}

#[test]
fn a_healthy_process() {
    check(
        &diagnosed(&window(|second, beat| beat.established += (second as u64 * 7) % 5)),
        expect![[r#"
            HEALTHY  Nothing that was watched grows without end
            poller (pid 812, go1.26.6, example.com/poller, up 3 h 4 min)
            watched for 45 s, 46 samples

            Level        60 of 65,530 memory mappings, under 1 %.
            Ruled out    descriptors 5; sockets 3 to 7; threads 8; unreaped children 0; mappings 60; anonymous
                         memory 40 MiB
            Unnoticed    slower leaks than these would not show in 45 s: descriptors, threads, mappings 240 an
                         hour; unreaped children 160 an hour; sockets 1,200 an hour; native memory 480 MiB a day
            Memory       50 MiB resident; mapped files 10 MiB; not looked into 40 MiB
            Not seen     goroutines and Go heap: the Go runtime was not found in the process's memory: other
                         than Go 1.18 to 1.27 on x86-64, or just starting
                         opening stacks: who opens a descriptor, maps memory or starts a thread is recorded only
                         while something grows
        "#]],
    );
}

/// At rest, and with 98 % of its descriptors open.
fn full() -> Diagnosis {
    diagnosed(&window(|_, beat| beat.files = 64_230))
}

#[test]
fn a_process_that_is_nearly_full_is_never_just_healthy() {
    check(
        &full(),
        expect![[r#"
            HEALTHY (nearly full)  Nothing grows, but 64,234 of 65,536 descriptors are open, 98 %
            poller (pid 812, go1.26.6, example.com/poller, up 3 h 4 min)
            watched for 45 s, 46 samples

            Level        64,234 of 65,536 descriptors, 98 %: 64,230 of type file.
            Ruled out    descriptors 64,230; sockets 3; threads 8; unreaped children 0; mappings 60; anonymous
                         memory 40 MiB
            Unnoticed    slower leaks than these would not show in 45 s: descriptors, sockets, threads, mappings
                         240 an hour; unreaped children 160 an hour; native memory 480 MiB a day
            Memory       50 MiB resident; mapped files 10 MiB; not looked into 40 MiB
            Next         At the limit each open, accept and dial fails with "too many open files". `watcher fds
                         -p 812` lists what is open.
            Not seen     goroutines and Go heap: the Go runtime was not found in the process's memory: other
                         than Go 1.18 to 1.27 on x86-64, or just starting
                         opening stacks: who opens a descriptor, maps memory or starts a thread is recorded only
                         while something grows
        "#]],
    );
    let coloured = diagnosis(&full(), Layout { colour: true, ..Layout::PLAIN });
    assert!(coloured.starts_with("\x1b[1;33mHEALTHY\x1b[0m (nearly full)  Nothing grows, but"), "{coloured}");
}

#[test]
fn a_leak_that_has_nearly_filled_its_limit_says_so_at_the_head() {
    check(
        &diagnosed(&window(|second, beat| {
            beat.files = 60_000 + 40 * second as u64;
            beat.mappings = 64_000;
        })),
        expect![[r#"
            LEAK (fd)  Open descriptors of type file grow by 40 per second
            64,000 of 65,530 memory mappings are in use, 98 %
            61,804 of 65,536 descriptors are open, 94 %
            poller (pid 812, go1.26.6, example.com/poller, up 3 h 4 min)
            watched for 45 s, 46 samples

            Time left    93 s, until RLIMIT_NOFILE of 65,536 is reached
            Line         no line: who opened or started them was not recorded; see below
            Sure         85 %, by the counts alone: no line was seen
            How we know  From 60,000 to 61,800 in 45 s (46 samples): it never fell, and it rose in each quarter
                         of that time, by 400 to 460. 100 % of the growth is of type file, where there are
                         61,800 now.
            Level        64,000 of 65,530 memory mappings, 98 %.
                         61,804 of 65,536 descriptors, 94 %: 61,800 of type file.
            Ruled out    sockets 3; threads 8; unreaped children 0; mappings 64,000; anonymous memory 40 MiB
            Memory       50 MiB resident; mapped files 10 MiB; not looked into 40 MiB
            Next         Look for os.Open or os.Create without Close on every path, and for `defer f.Close()`
                         inside a long loop, which closes nothing until the function returns.
                         `watcher fds -p 812` lists them. Until it is fixed, a restart within 93 s keeps the
                         process from its limit.
            Not seen     goroutines and Go heap; opening stacks (all reasons: --format json)
        "#]],
    );
}

#[test]
fn no_verdict_says_what_is_missing() {
    let mut short = Window::new(PROCESS, 64);
    for second in 0..15 {
        let mut sample = sample(f64::from(second), &Beat::default());
        sample.children.reading = Reading::Denied;
        assert!(short.push(sample));
    }
    check(
        &diagnosed(&short),
        expect![[r#"
            INCONCLUSIVE  No verdict yet; 30 s of watching should bring one
            poller (pid 812, go1.26.6, example.com/poller, up 3 h 3 min)
            watched for 14 s, 15 samples

            Level        60 of 65,530 memory mappings, under 1 %.
            Undecided    descriptors, sockets, threads, mappings, anonymous memory: 14 s of watching are too
                         short.
            Undecided    Children that exited and were not waited for could not be read.
            Memory       50 MiB resident; mapped files 10 MiB; not looked into 40 MiB
            Next         Watch for longer: --duration 30s.
                         See what could not be read with `watcher doctor`; most of it takes root.
            Not seen     children: the kernel denied it; root, or the capabilities that `watcher doctor` names,
                         would bring it
                         goroutines and Go heap: the Go runtime was not found in the process's memory: other
                         than Go 1.18 to 1.27 on x86-64, or just starting
                         opening stacks: who opens a descriptor, maps memory or starts a thread is recorded only
                         while something grows
        "#]],
    );
}

#[test]
fn colour_is_only_there_when_asked_for() {
    let shown = diagnosed(&window(|_, _| {}));
    assert!(!diagnosis(&shown, Layout::PLAIN).contains('\x1b'));
    let coloured = diagnosis(&shown, Layout { colour: true, ..Layout::PLAIN });
    assert!(coloured.starts_with("\x1b[1;32mHEALTHY\x1b[0m"));
}
