use super::{
    Ending, Entry, Header, HostFacts, HostUse, Journal, Override, Reader, SCHEMA, Stage, Writer, WriterError,
};
use crate::judge::simulation::{Beat, PROCESS, moment, sample};
use crate::observed::doubts::{Doubt, Structure, Why};
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite, Member};
use crate::observed::heap::{HeapCapture, HeapSite};
use crate::observed::ledger::{Accounts, Ledger, Mappings, Route, Site};
use crate::observed::pulls::{EndpointUse, PullCost, PulledProfile};
use crate::store::Window;
use crate::store::captures::{LedgerName, Run};
use crate::vocabulary::frame::Frame;
use crate::vocabulary::process::{GoProgram, Limits, Lineage, Target};
use expect_test::{Expect, expect};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

const CAPACITY: usize = 16;

fn header() -> Header {
    Header {
        schema: SCHEMA.to_owned(),
        watcher: env!("CARGO_PKG_VERSION").to_owned(),
        began: moment(0.0),
        interval: Duration::from_secs(1),
        captures_every: None,
        host: HostFacts { memory_bytes: Some(8 << 30), ..HostFacts::default() },
    }
}

fn target() -> Target {
    Target {
        id: PROCESS,
        parent_pid: 1,
        name: "store".to_owned(),
        exe: Some("/usr/bin/store".into()),
        exe_deleted: false,
        args: Vec::new(),
        uid: Some(0),
        started: UNIX_EPOCH + Duration::from_secs(1_790_000_000),
        go: Some(Arc::new(GoProgram { version: "go1.27.3".to_owned(), ..GoProgram::default() })),
        container: None,
        cgroup: None,
        network_namespace: None,
        limits: Limits { open_files: Some(1024), ..Limits::default() },
        lineage: Lineage::default(),
    }
}

fn stack(function: &str) -> Arc<[Frame]> {
    [Frame::new(function, "main.go", 7)].into()
}

/// What may happen to a process while it is watched.
#[derive(Clone, Debug)]
enum Happening {
    Sample { files: u64, again: bool },
    Goroutines(u64, String),
    Heap(Result<u64, String>),
    Mapping(u64),
    BegunAnew,
    Pull(u64),
    Limit(u64),
    NoLedger(String),
}

fn happenings() -> impl Strategy<Value = Happening> {
    let text = "[ -~äé\\\\\"]{0,12}";
    prop_oneof![
        (0..9_u64, any::<bool>()).prop_map(|(files, again)| Happening::Sample { files, again }),
        (0..99_u64, text).prop_map(|(count, text)| Happening::Goroutines(count, text)),
        prop::result::maybe_ok(0..1_u64 << 40, text).prop_map(Happening::Heap),
        (0..99_u64).prop_map(Happening::Mapping),
        Just(Happening::BegunAnew),
        (0..99_u64).prop_map(Happening::Pull),
        (0..99_u64).prop_map(Happening::Limit),
        text.prop_map(Happening::NoLedger),
    ]
}

fn happen(what: &Happening, second: f64, target: &mut Target, window: &mut Window) {
    let at = moment(second);
    let captures = window.captures_mut();
    match what {
        Happening::Sample { files, again } => {
            let mut new = sample(second, &Beat { files: *files, ..Beat::default() });
            // Details that were not read anew.
            if let Some(before) = window.latest().filter(|_| *again) {
                new.connections = Arc::clone(&before.connections);
                new.descriptor_types = Arc::clone(&before.descriptor_types);
            }
            assert!(window.push(new));
        }
        Happening::Goroutines(count, text) => captures.goroutines.push(GoroutineCapture {
            at,
            runtime_nanos: *count,
            sites: vec![GoroutineSite {
                started_by: Vec::new(),
                or_started_by: Vec::new(),
                parent_at: Arc::default(),
                created_by: stack(text),
                stack: stack("main.wait"),
                wait_reason: Some(text.as_str().into()),
                count: *count,
                holding_threads: 0,
            }],
            members: vec![Member { id: *count, site: 0, waiting_since_nanos: Some(*count) }],
            one_in: 1,
            total: *count,
            beyond: 0,
            without_stack: 0,
        }),
        Happening::Heap(sites) => captures.heap.push(HeapCapture {
            at,
            sites: sites.clone().map(|bytes| {
                vec![HeapSite { stack: stack("main.keep"), objects: 1, bytes, object_bytes: 48 }]
            }),
            mapped_bytes: None,
        }),
        Happening::Mapping(count) => captures.mappings.push(Ledger {
            at,
            began: moment(0.0),
            route: Route::Exact,
            accounts: Accounts { outstanding: *count, ..Accounts::default() },
            sites: vec![Site {
                stack: stack("main.open"),
                started_by: vec![stack("main.main")],
                created: *count,
                ended: 0,
                outstanding: *count,
                oldest: Duration::from_millis(*count),
                youngest: Duration::ZERO,
                longest_ended: None,
                what: Mappings::default(),
            }],
        }),
        Happening::BegunAnew => captures.mappings = Run::default(),
        Happening::Pull(total) => {
            let profile = PulledProfile { at, sites: Vec::new(), total: *total, beyond: 0 };
            captures.pulls.leaked = Some(profile.clone());
            captures.pulls.heap.push(profile);
            let cost = PullCost {
                profile: "heap",
                bytes: *total,
                took: Duration::from_millis(*total),
                target_cpu: None,
                file: None,
            };
            captures.pulls.used = Some(EndpointUse { pulls: vec![cost], ..EndpointUse::default() });
        }
        Happening::Limit(limit) => target.limits.open_files = Some(*limit),
        Happening::NoLedger(why) => {
            captures.without_ledger = vec![(LedgerName::Tasks, why.clone())];
            let doubts = [Why::UnknownVersion(why.clone()), Why::NotConfirmed, Why::NotRead(why.clone())];
            let doubt = |why| Doubt { structure: Structure::Goroutine, why };
            captures.doubts = doubts.into_iter().map(doubt).collect();
        }
    }
}

/// Plays all of a recording; how it ended, or what is wrong with it.
fn play(recording: impl Read) -> Result<(Stage, Option<Ending>), String> {
    let mut reader = Reader::new(recording).map_err(|error| error.to_string())?;
    let mut stage = Stage::new(reader.header().clone(), Override::default(), CAPACITY);
    while let Some(entry) = reader.next_entry().map_err(|error| error.to_string())? {
        stage.apply(entry, reader.line_bytes()).map_err(|why| reader.refused(why).to_string())?;
    }
    Ok((stage, reader.ended()))
}

/// A recording of one process with these things happening to it, one a second, and how it was then.
fn recorded(path: &Path, happened: &[Happening]) -> (Target, Window) {
    let mut writer = Writer::create(path, &header(), u64::MAX).unwrap();
    let mut journal = Journal::default();
    let (mut target, mut window) = (target(), Window::new(PROCESS, CAPACITY));
    for (second, what) in (1_u32..).zip(happened) {
        happen(what, second.into(), &mut target, &mut window);
        for entry in journal.news(&target, &window) {
            writer.add(&entry).unwrap();
        }
        writer.end_beat(moment(second.into()), HostUse::default()).unwrap();
    }
    writer.finish().unwrap();
    (target, window)
}

fn some() -> Vec<Happening> {
    let files = [3, 4, 5, 6];
    let mut some: Vec<Happening> = files.map(|files| Happening::Sample { files, again: false }).to_vec();
    some.insert(1, Happening::Goroutines(5, "main.start".to_owned()));
    some.insert(3, Happening::Mapping(4));
    some
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_seen_is_seen_again(happened in prop::collection::vec(happenings(), 1..60)) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("recording");
        let (target, window) = recorded(&path, &happened);
        let (stage, ended) = play(fs::File::open(&path).unwrap()).unwrap();
        prop_assert_eq!(ended, Some(Ending::Done));
        let played: Vec<_> = stage.processes().collect();
        prop_assert_eq!(played.len(), 1);
        prop_assert_eq!(played[0].target(), &target);
        let again = played[0].window();
        prop_assert_eq!(format!("{:?}", again.captures()), format!("{:?}", window.captures()));
        let samples = |window: &Window| window.samples().map(|it| format!("{it:?}")).collect::<Vec<_>>();
        prop_assert_eq!(samples(&again), samples(&window));
    }

    #[test]
    fn garbled_recordings_are_refused_or_read_and_nothing_worse(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        lines in any::<bool>(),
    ) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("recording");
        recorded(&path, &some());
        let mut bytes = fs::read(&path).unwrap();
        if lines {
            let mut text = unpacked(&bytes).into_bytes();
            let index = at.index(text.len());
            text[index] = byte;
            bytes = packed(&text);
        } else {
            let index = at.index(bytes.len());
            bytes[index] = byte;
        }
        let _ = play(&bytes[..]);
    }
}

fn packed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn what_was_cut_off_is_read_up_to_the_last_whole_line() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("recording");
    recorded(&path, &some());
    let bytes = fs::read(&path).unwrap();
    let mut most = 0;
    // Behind the first bytes of the header.
    for length in 400..bytes.len() - 16 {
        let (stage, ended) = play(&bytes[..length]).unwrap_or_else(|error| panic!("{length}: {error}"));
        assert_eq!(ended, None, "{length}");
        let samples = stage.processes().next().map_or(0, |played| played.window().len());
        assert!(samples >= most, "{length} bytes hold {samples} samples, fewer bytes held {most}");
        most = samples;
    }
    assert_eq!(most, 4);
    assert_eq!(play(&bytes[..]).unwrap().1, Some(Ending::Done));
}

#[test]
fn all_of_a_beat_is_in_the_file_when_it_ends() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("recording");
    let mut writer = Writer::create(&path, &header(), u64::MAX).unwrap();
    let (target, mut window) = (target(), Window::new(PROCESS, CAPACITY));
    let mut journal = Journal::default();
    for second in [1.0, 2.0, 3.0] {
        assert!(window.push(sample(second, &Beat::default())));
        journal.news(&target, &window).iter().for_each(|entry| writer.add(entry).unwrap());
        writer.end_beat(moment(second), HostUse::default()).unwrap();
        // As though the writer were killed now.
        let (stage, ended) = play(fs::File::open(&path).unwrap()).unwrap();
        assert_eq!((stage.seconds(), ended), (second, None));
        assert_eq!(stage.processes().next().unwrap().window().seconds(), second - 1.0);
    }
}

#[test]
fn a_recording_has_a_size_and_a_disk_has_one() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("recording");
    let mut writer = Writer::create(&path, &header(), 300).unwrap();
    let full = (0..100)
        .find_map(|second| writer.end_beat(moment(f64::from(second)), HostUse::default()).err())
        .unwrap();
    assert!(matches!(full, WriterError::Full { most_bytes: 300, .. }), "{full}");
    drop(writer);
    assert_eq!(play(fs::File::open(&path).unwrap()).unwrap().1, Some(Ending::Full));

    let error = Writer::create(Path::new("/dev/full"), &header(), u64::MAX).unwrap_err();
    expect!["cannot write on to /dev/full: No space left on device (os error 28)"]
        .assert_eq(&error.to_string());
}

#[test]
fn secrets_and_what_confuses_terminals_are_not_written() {
    let mut target = target();
    target.args = vec!["--password=hunter2".to_owned()];
    target.cgroup = Some("/user.slice/hunter2".to_owned());
    target.name = "two\nlines\u{202e}".to_owned();
    let go = GoProgram { revision: Some("hunter2".to_owned()), ..GoProgram::default() };
    target.go = Some(Arc::new(go));
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("recording");
    let mut writer = Writer::create(&path, &header(), u64::MAX).unwrap();
    writer.add(&Entry::Process(std::borrow::Cow::Borrowed(&target))).unwrap();
    writer.finish().unwrap();
    let text = unpacked(&fs::read(&path).unwrap());
    assert!(!text.contains("hunter2"), "{text}");
    let (stage, _) = play(fs::File::open(&path).unwrap()).unwrap();
    assert_eq!(stage.processes().next().unwrap().target().name, "two\\nlines\\u{202e}");
}

fn check(lines: &[&str], expected: &Expect) {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    expected.assert_eq(&play(&packed(text.as_bytes())[..]).err().unwrap_or_default());
}

#[test]
fn what_cannot_be_is_refused_with_its_line() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("recording");
    recorded(&path, &some());
    let text = unpacked(&fs::read(&path).unwrap());
    let lines: Vec<&str> = text.lines().collect();
    let (head, process, first) = (lines[0], lines[1], lines[2]);
    let goroutines = lines.iter().find(|line| line.contains("goroutines")).unwrap();

    check(
        &[head, process, first, first],
        &expect!["line 4: a sample that is not newer than the one before it"],
    );
    check(&[head, first], &expect!["line 2: it speaks of a process that no line before it has introduced"]);
    check(&[head, process, r#"{"sample":{}}"#], &expect!["line 3: missing field `process`"]);
    check(
        &[head, process, r#"{"rumour":1}"#],
        &expect![
            "line 3: unknown variant `rumour`, expected one of `process`, `left`, `sample`, `capture`, `anew`, `about`, `beat`, `end`"
        ],
    );
    check(&[head, process, "{"], &expect!["line 3: EOF while parsing an object"]);
    check(
        &[head, process, "{\"a\":\"\\u001b[2J\"}"],
        &expect!["line 3: it holds characters that none is written with"],
    );
    check(
        &[head, process, "{\"a\":\"\u{202e}\"}"],
        &expect!["line 3: it holds characters that none is written with"],
    );
    let elsewhere = goroutines.replace("\"site\":0", "\"site\":7");
    check(
        &[head, process, &elsewhere],
        &expect!["line 3: a capture with goroutines at a site that it does not have"],
    );
    let more = goroutines.replace("\"total\":5", "\"total\":18446744073709551615");
    check(&[head, process, &more], &expect!["line 3: a capture with a number that no machine has"]);
    let huge = first.replace("\"anon_bytes\":41943040", "\"anon_bytes\":9223372036854775807");
    check(&[head, process, &huge], &expect!["line 3: a sample with a number that no machine has"]);
    let beat = |nanos: u64| format!("{{\"beat\":{{\"at\":[{nanos},0,0]}}}}");
    let (later, sooner) = (beat(2_000_000_000_000), beat(1_999_999_999_999));
    check(&[head, &later, &sooner], &expect!["line 3: a beat that was over before the one before it"]);
    let newer = head.replace(env!("CARGO_PKG_VERSION"), "9.0.0");
    check(
        &[&newer, r#"{"rumour":1}"#],
        &expect![
            "line 2: unknown variant `rumour`, expected one of `process`, `left`, `sample`, `capture`, `anew`, `about`, `beat`, `end` (watcher 9.0.0 wrote it, and this is 0.1.0)"
        ],
    );
    let other = newer.replace(SCHEMA, "watcher.recording/2");
    check(
        &[&other],
        &expect![[
            r#"it is a recording of form "watcher.recording/2", and this watcher reads "watcher.recording/1" only: use watcher 9.0.0"#
        ]],
    );
    check(
        &[r#"{"schema":"watcher.diagnosis/1"}"#],
        &expect!["it is no recording of watcher, or its beginning is damaged"],
    );
    check(&[], &expect!["the recording is empty: its recorder ended before the first line was written"]);
}

#[test]
fn other_files_are_told_from_recordings() {
    for bytes in
        [&b"%PDF-1.7 and so on"[..], b"\x1f\x8b", b"\x1f\x8b\x08\x00garbage that is no gzip at all", b"x"]
    {
        let said = play(bytes).unwrap_err();
        assert!(said.contains("no recording") || said.contains("empty"), "{bytes:?}: {said}");
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("recording");
    recorded(&path, &[]);
    let head = unpacked(&fs::read(&path).unwrap()).lines().next().unwrap().to_owned() + "\n";
    let spread = |line: &[u8], times: usize| packed(&[head.as_bytes(), &line.repeat(times)].concat());
    let bounds = super::reader::Bounds { line_bytes: 1 << 12, ratio: 20, free_bytes: 1 << 15 };
    let refused = |recording: &[u8]| {
        let mut reader = Reader::within(recording, bounds).unwrap();
        std::iter::repeat_with(|| reader.next_entry()).find_map(Result::err).unwrap().to_string()
    };
    let long = refused(&spread(b" ", 1 << 13));
    assert_eq!(long, "line 2: it is longer than any line of a recording");
    let beat = b"{\"beat\":{\"at\":[2000000000000,0,0]}}\n";
    let many = refused(&spread(beat, 1 << 14));
    assert!(many.ends_with("it unpacks to more than any recording does"), "{many}");
}

/// A reading that a later version has added is not read in an older recording, and what a later one does not know any
/// more harms nothing.
#[test]
fn what_is_added_later_is_not_read_and_never_zero() {
    #[derive(serde::Deserialize)]
    struct Later {
        #[serde(default = "crate::vocabulary::reading::Stamped::not_read")]
        threads_of_tomorrow: crate::vocabulary::reading::Stamped<u64>,
    }
    let later: Later = serde_json::from_str(r#"{"threads":7}"#).unwrap();
    assert_eq!(later.threads_of_tomorrow.reading, crate::vocabulary::reading::Reading::Unsupported);
}
