use super::{Kind, explain};
use crate::explain::diagnosis::{Diagnosis, Unseen};
use crate::judge::judge;
use crate::judge::kinds::goroutines::tests::{HANDLER, crowd, watched};
use crate::judge::simulation::{Beat, PROCESS, details_every, moment, sample, window};
use crate::judge::terms::{Bounds, Thresholds, Verdict};
use crate::judge::weigh::reasons::{Steady, SteadyWhy};
use crate::observed::data_files::{DataFile, DataFiles};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::observed::heap::{HeapCapture, HeapSite};
use crate::store::Window;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::process::{GoProgram, Limits, Lineage, Module, Target};
use crate::vocabulary::reading::Reading;
use expect_test::{Expect, expect};
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// The process that simulated windows are about.
pub(crate) fn target() -> Target {
    let limits = Limits {
        open_files: Some(65_536),
        user_processes: Some(63_304),
        mappings: Some(65_530),
        ..Limits::default()
    };
    Target {
        id: PROCESS,
        parent_pid: 1,
        name: "poller".to_owned(),
        exe: Some(PathBuf::from("/usr/bin/poller")),
        exe_deleted: false,
        args: vec!["poller".to_owned()],
        uid: Some(1000),
        started: UNIX_EPOCH + Duration::from_secs(1_789_990_000),
        go: Some(Arc::new(GoProgram {
            version: "go1.26.6".to_owned(),
            module: Some(Module { path: "example.com/poller".to_owned(), version: "v1.4.0".to_owned() }),
            ..GoProgram::default()
        })),
        container: None,
        cgroup: None,
        network_namespace: None,
        limits,
        lineage: Lineage::default(),
    }
}

/// Judges and explains a window.
pub(crate) fn diagnosed(window: &Window) -> Diagnosis {
    let target = target();
    let bounds = Bounds {
        limits: target.limits,
        host_memory_bytes: Some(16 << 30),
        host_available_bytes: Some(12 << 30),
        host_tasks: Some(126_608),
        ..Bounds::default()
    };
    explain(&judge(window, &bounds, &Thresholds::default()), &target, &[])
}

/// Everything that is said about a window, a sentence a line.
fn check(window: &Window, expected: Expect) {
    let diagnosis = diagnosed(window);
    let mut text = format!("{:?}: {}\n", diagnosis.verdict, diagnosis.headline);
    for finding in &diagnosis.findings {
        let _ = writeln!(text, "{:?} of {:?}: {}", finding.kind, finding.consequence_of, finding.headline);
        let _ = writeln!(text, "  left: {}", finding.time_left.as_deref().unwrap_or("-"));
        for evidence in &finding.evidence {
            let _ = writeln!(text, "  {evidence}");
        }
    }
    for one in &diagnosis.ruled_out {
        let _ = writeln!(text, "not {:?}: {} [{}]", one.kind, one.why, one.phrase);
    }
    for one in &diagnosis.undecided {
        let _ = writeln!(text, "perhaps {:?}: {}", one.kind, one.why);
    }
    for step in &diagnosis.next_steps {
        let _ = writeln!(text, "next: {step}");
    }
    expected.assert_eq(&text);
}

#[test]
fn close_wait() {
    check(
        &window(|second, beat| beat.close_wait += 12 * second as u64),
        expect![[r#"
            Leak: Sockets in CLOSE_WAIT to 127.0.0.1:8081 grow by 12 per second
            Connection of None: Sockets in CLOSE_WAIT to 127.0.0.1:8081 grow by 12 per second
              left: 1 h 30 min, until RLIMIT_NOFILE of 65,536 is reached
              From 3 to 543 in 45 s (46 samples): it never fell, and it rose in each quarter of that time, by 120 to 138.
              100 % of the growth is in CLOSE_WAIT, where there are 540 now.
            not Fd: Descriptors that are no sockets stayed at 5. [descriptors 5]
            not Thread: OS threads stayed at 8. [threads 8]
            not Child: Children that exited and were not waited for stayed at 0. [unreaped children 0]
            not Mapping: Memory mappings stayed at 60. [mappings 60]
            not Heap: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            not Native: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            next: The other end has closed these and the program has not. Look for response bodies or connections that are not closed on every path: resp.Body.Close(), rows.Close(), conn.Close().
            next: `watcher fds -p 812` lists them. Until it is fixed, a restart within 1 h 30 min keeps the process from its limit.
        "#]],
    );
}

#[test]
fn files_with_rare_readings_of_their_types() {
    check(
        &details_every(15, |second, beat| beat.files += 2 * second as u64),
        expect![[r#"
            Leak: Open descriptors of type file grow by 2 per second
            Fd of None: Open descriptors of type file grow by 2 per second
              left: 9 h 5 min, until RLIMIT_NOFILE of 65,536 is reached
              From 9 to 99 in 45 s (46 samples): it never fell, and it rose in each quarter of that time, by 20 to 23.
              They are 100 % of the growth of all open descriptors, by 4 readings of what these are.
              100 % of the growth is of type file, where there are 95 now.
            not Connection: Sockets stayed at 4. [sockets 4]
            not Thread: OS threads stayed at 8. [threads 8]
            not Child: Children that exited and were not waited for stayed at 0. [unreaped children 0]
            not Mapping: Memory mappings stayed at 60. [mappings 60]
            not Heap: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            not Native: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            next: Look for os.Open or os.Create without Close on every path, and for `defer f.Close()` inside a long loop, which closes nothing until the function returns.
            next: `watcher fds -p 812` lists them. Until it is fixed, a restart within 9 h 5 min keeps the process from its limit.
        "#]],
    );
}

#[test]
fn children_and_their_pipes() {
    check(
        &window(|second, beat| {
            beat.zombies += second as u64;
            beat.pipes += 2 * second as u64;
        }),
        expect![[r#"
            Leak: Children that exited and were not waited for grow by 1 per second
            Child of None: Children that exited and were not waited for grow by 1 per second
              left: 9 h 5 min, until RLIMIT_NOFILE of 65,536 is reached
              From 0 to 45 in 45 s (46 samples): it never fell, and it rose in each quarter of that time, by 10 to 12.
            Fd of Some(Child): Open descriptors of type pipe grow by 2 per second
              left: 9 h 5 min, until RLIMIT_NOFILE of 65,536 is reached
              From 5 to 95 in 45 s (46 samples): it never fell, and it rose in each quarter of that time, by 20 to 23.
              100 % of the growth is of type pipe, where there are 90 now.
            not Connection: Sockets stayed at 3. [sockets 3]
            not Thread: OS threads stayed at 8. [threads 8]
            not Mapping: Memory mappings stayed at 60. [mappings 60]
            not Heap: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            not Native: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            next: Look for exec.Cmd.Start, os.StartProcess or a raw fork without Wait on every path; an exited child keeps its pid until it is waited for.
            next: `ps --ppid 812` lists them. Until it is fixed, a restart within 9 h 5 min keeps the process from its limit.
        "#]],
    );
}

#[test]
fn healthy() {
    check(
        &window(|second, beat| {
            beat.established += (second as u64 * 7) % 5;
            beat.files += 3 * (second as u64).min(8);
            beat.pipes += 4 * (second as u64 % 15) * 5;
        }),
        expect![[r#"
            Healthy: Nothing that was watched grows without end
            not Fd: Descriptors that are no sockets rise and fall back, within 5 to 309. [descriptors 5 to 309, a sawtooth]
            not Connection: Sockets stayed within 3 to 7. [sockets 3 to 7]
            not Thread: OS threads stayed at 8. [threads 8]
            not Child: Children that exited and were not waited for stayed at 0. [unreaped children 0]
            not Mapping: Memory mappings stayed at 60. [mappings 60]
            not Heap: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            not Native: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
        "#]],
    );
}

#[test]
fn what_follows_the_load_is_not_said_to_have_stayed() {
    let why = |kind, low, high| {
        super::verdicts::ruled_out(&Steady { kind, why: SteadyWhy::Flat { low, high } }).why
    };
    assert_eq!(
        why(Kind::Goroutine, 30.0, 229.0),
        "Goroutines rise and fall within 30 to 229, without a trend, as what follows the load does."
    );
    assert_eq!(why(Kind::Connection, 2_039.0, 2_099.0), "Sockets stayed within 2,039 to 2,099.",);
    assert_eq!(why(Kind::Thread, 4.0, 12.0), "OS threads stayed within 4 to 12.");
}

#[test]
fn memory_and_a_filling_pool() {
    check(
        &window(|second, beat| {
            beat.anon_bytes += (second as u64) << 20;
            beat.file_bytes += (second as u64) << 19;
            beat.established += [0, 20, 36, 49, 59, 67, 74, 79, 83, 86, 89, 91, 92, 94, 95, 96][second / 3];
        }),
        expect![[r#"
            Inconclusive: No verdict yet; 95 s of watching should bring one
            not Fd: Descriptors that are no sockets stayed at 5. [descriptors 5]
            not Thread: OS threads stayed at 8. [threads 8]
            not Child: Children that exited and were not waited for stayed at 0. [unreaped children 0]
            perhaps Connection: Sockets rise by 1.81 per second, but ever more slowly, as a pool does that fills.
            perhaps Heap: Anonymous memory grows by 1 MiB per second; how much of it is live heap, garbage, freed memory not yet returned, or C memory is not read.
            perhaps Mapping: Resident pages of mapped files grow by 512 KiB per second; reading through a mapped file does that, and the kernel takes them back when it needs to.
            perhaps Native: Anonymous memory grows by 1 MiB per second; how much of it is live heap, garbage, freed memory not yet returned, or C memory is not read.
            next: Watch for longer: --duration 95s.
            next: Watch the memory for some minutes more: what a garbage collector frees it gives back late, so that a rise that ends is none.
        "#]],
    );
}

#[test]
fn too_short() {
    let mut short = Window::new(PROCESS, 64);
    for second in 0..15 {
        assert!(short.push(sample(f64::from(second), &Beat::default())));
    }
    check(
        &short,
        expect![[r#"
            Inconclusive: No verdict yet; 30 s of watching should bring one
            perhaps Fd: Descriptors that are no sockets: 14 s of watching are too short.
            perhaps Connection: Sockets: 14 s of watching are too short.
            perhaps Thread: OS threads: 14 s of watching are too short.
            perhaps Child: Children that exited and were not waited for: 14 s of watching are too short.
            perhaps Mapping: Memory mappings: 14 s of watching are too short.
            perhaps Heap: Bytes of anonymous memory, Go heap and native together,: 14 s of watching are too short.
            perhaps Native: Bytes of anonymous memory, Go heap and native together,: 14 s of watching are too short.
            next: Watch for longer: --duration 30s.
        "#]],
    );
}

#[test]
fn what_could_not_be_read_is_said_once_with_its_reason() {
    let mut gaps = Window::new(PROCESS, 64);
    for second in 0..=45 {
        let mut sample = sample(f64::from(second), &Beat::default());
        sample.children.reading = Reading::Unsupported;
        if second > 39 {
            sample.descriptors.reading = Reading::Denied;
        }
        assert!(gaps.push(sample));
    }
    let known = Unseen {
        what: "kernel programs".to_owned(),
        why: "refused by this kernel".to_owned(),
        is_of_host: true,
    };
    let target = target();
    let judgement = judge(&gaps, &Bounds::default(), &Thresholds::default());
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let mut text = String::new();
    for unseen in explain(&judgement, &target, &[known]).unseen {
        let _ = writeln!(text, "{}: {}", unseen.what, unseen.why);
    }
    expect![[r#"
        number of open descriptors: in 6 of 46 samples the kernel denied it; root, or the capabilities that `watcher doctor` names, would bring it
        children: this kernel or this process does not offer it
        goroutines and Go heap: the Go runtime was not found in the process's memory: other than Go 1.18 to 1.27 on x86-64, or just starting
        kernel programs: refused by this kernel
        opening stacks: who opens a descriptor, maps memory or starts a thread is recorded only while something grows
    "#]].assert_eq(&text);
}

#[test]
fn the_memory_adds_up() {
    let memory = diagnosed(&window(|_, _| {})).memory.expect("it was read");
    let parts: u64 = memory.parts.iter().map(|part| part.bytes).sum();
    assert_eq!(parts + memory.unexplained_bytes, memory.rss_bytes);
    assert_eq!(memory.rss_bytes, 50 << 20);
}

#[test]
fn goroutines_that_stay() {
    let window = watched(
        |second| 20 + 5 * second as u64,
        |second| vec![(HANDLER, crowd(100, 5 * second as u64, None))],
    );
    check(
        &window,
        expect![[r#"
            Leak: Goroutines grow by 5 per second
            Goroutine of None: Goroutines grow by 5 per second
              left: 14 days, until host memory of 16 GiB is used up
              From 20 to 245 in 45 s (46 samples): it never fell, and it rose in each quarter of that time, by 50 to 58.
              100 % of the growth comes from one `go` statement: 225 more goroutines in 45 s; most of them wait to receive from a channel. Of 110 that came in the first half of that time, all are still there.
            not Fd: Descriptors that are no sockets stayed at 5. [descriptors 5]
            not Connection: Sockets stayed at 3. [sockets 3]
            not Thread: OS threads stayed at 8. [threads 8]
            not Child: Children that exited and were not waited for stayed at 0. [unreaped children 0]
            not Mapping: Memory mappings stayed at 60. [mappings 60]
            not Heap: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            not Native: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            next: Look where these goroutines are started, and for what each waits: a channel that nobody serves or closes, a context that is never cancelled.
            next: `watcher goroutines -p 812` lists them. Until it is fixed, a restart within 14 days keeps the process from its limit.
        "#]],
    );
}

#[test]
fn goroutines_that_are_stuck() {
    check(
        &watched(|_| 1_010, |_| vec![(HANDLER, crowd(100, 1_000, Some(7)))]),
        expect![[r#"
            Leak: 1,000 goroutines are stuck at one line; their number no longer grows
            Goroutine of None: 1,000 goroutines are stuck at one line; their number no longer grows
              left: -
              1,000 of 1,000 goroutines wait to receive from a channel, the same ones as 45 s before, and by the runtime's own notes none of them has run meanwhile. Workers of a pool that had nothing to do for all that time would look the same.
            not Fd: Descriptors that are no sockets stayed at 5. [descriptors 5]
            not Connection: Sockets stayed at 3. [sockets 3]
            not Thread: OS threads stayed at 8. [threads 8]
            not Child: Children that exited and were not waited for stayed at 0. [unreaped children 0]
            not Mapping: Memory mappings stayed at 60. [mappings 60]
            not Heap: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            not Native: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            next: Look where these goroutines are started, and for what each waits: a channel that nobody serves or closes, a context that is never cancelled.
            next: `watcher goroutines -p 812` lists them.
        "#]],
    );
    check(
        &watched(|_| 1_010, |_| vec![(HANDLER, crowd(100, 1_000, None))]),
        expect![[r#"
            Inconclusive: No verdict yet; 3 min of watching should bring one
            not Fd: Descriptors that are no sockets stayed at 5. [descriptors 5]
            not Connection: Sockets stayed at 3. [sockets 3]
            not Thread: OS threads stayed at 8. [threads 8]
            not Child: Children that exited and were not waited for stayed at 0. [unreaped children 0]
            not Mapping: Memory mappings stayed at 60. [mappings 60]
            not Heap: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            not Native: Bytes of anonymous memory, Go heap and native together, stayed at 40 MiB. [anonymous memory 40 MiB]
            perhaps Goroutine: Goroutines are 1,000 at one line, always the same ones; whether any of them has run meanwhile shows after the next collection.
            next: Watch for longer: --duration 3m.
        "#]],
    );
}

#[test]
fn a_runtime_that_is_not_read_says_why_and_a_profile_that_is_off() {
    let mut window = watched(|_| 10, |_| Vec::new());
    let unseen = |window: &Window| {
        let unseen = diagnosed(window).unseen;
        unseen.iter().map(|one| format!("{}: {}\n", one.what, one.why)).collect::<String>()
    };
    let sites = Err("nothing in it can report the heap profile".to_owned());
    window.captures_mut().heap.push(HeapCapture { at: moment(45.0), sites, mapped_bytes: None });
    expect![[r#"
        heap samples: no heap samples are recorded in this program, because nothing in it can report the heap profile
        opening stacks: who opens a descriptor, maps memory or starts a thread is recorded only while something grows
    "#]].assert_eq(&unseen(&window));
    window.captures_mut().no_runtime = Some("its memory may not be read".to_owned());
    expect![[r#"
        goroutines and Go heap: its memory may not be read
        opening stacks: who opens a descriptor, maps memory or starts a thread is recorded only while something grows
    "#]].assert_eq(&unseen(&window));
}

/// What the Go runtime counts and nobody has touched is not resident: the parts never exceed the whole.
#[test]
fn the_memory_adds_up_whatever_the_runtime_counts() {
    for mib in [0, 1, 20, 40, 41, 400, 1 << 40] {
        let heap = HeapCounters {
            marked_bytes: Some(mib << 19),
            in_use_bytes: mib << 20,
            idle_bytes: mib << 20,
            stack_bytes: mib << 16,
            ..HeapCounters::default()
        };
        let memory = diagnosed(&window(|_, beat| {
            beat.runtime = Some(GoCounters { heap: Some(heap), ..GoCounters::default() });
        }))
        .memory
        .expect("it was read");
        let parts: u64 = memory.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(parts + memory.unexplained_bytes, memory.rss_bytes, "{mib}: {memory:?}");
    }
}

/// A heap that every second grows by 200 KiB, in a process that appends to a journal.
#[test]
fn what_is_stored_grows_at_its_place_and_is_no_leak() {
    let mut window = window(|second, beat| {
        let live = (20 << 20) + 200 * 1024 * second as u64;
        let heap = HeapCounters { marked_bytes: Some(live), in_use_bytes: live, ..HeapCounters::default() };
        beat.anon_bytes = live + (8 << 20);
        let gc_cycles = Some(second as u64);
        beat.runtime = Some(GoCounters { goroutines: Some(8), heap: Some(heap), gc_cycles });
    });
    for (second, kibibytes) in [(0.0, 100), (45.0, 9_100)] {
        let stack = [Frame::new("example.com/shop.(*table).put", "/src/table.go", 42)].into();
        let sites =
            Ok(vec![HeapSite { stack, objects: kibibytes, bytes: kibibytes << 10, object_bytes: 1024 }]);
        let at = moment(second);
        window.captures_mut().heap.push(HeapCapture { at, sites, mapped_bytes: None });
        let written = kibibytes << 9;
        let file =
            DataFile { identity: (8, 1, 7), position: written, size: written, name: "0001.wal".into() };
        window.captures_mut().data_files.push(DataFiles { at, files: vec![file] });
    }
    let shown = diagnosed(&window);
    assert_eq!(shown.verdict, Verdict::Inconclusive);
    let heap = shown.undecided.iter().find(|one| one.kind == Kind::Heap).expect("the heap is undecided");
    expect![[r#"
        The Go heap grows by 200 KiB per second in a process that stores data, most of it from example.com/shop.(*table).put
        Live objects on the Go heap grow by 200 KiB per second, most of them allocated in example.com/shop.(*table).put (/src/table.go:42); meanwhile the process writes 100 KiB per second to data files, 0001.wal among them. What clients store in it looks the same as a leak from outside, so it is not called one.
        Ask whether clients store ever more: keys, series or messages without an expiry or a bound. If they do not, that line keeps what it should not.
    "#]]
    .assert_eq(&format!("{}\n{}\n{}\n", shown.headline, heap.why, shown.next_steps.join("\n")));
}
