use crate::judge::judge;
use crate::judge::judgement::{Culprit, Detail, Finding, Judgement};
use crate::judge::simulation::{Beat, Dice, details_every, window};
use crate::judge::terms::{Bounds, Kind, LimitName, Rate, Thresholds, Verdict};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{MemoryPart, SteadyWhy, UndecidedWhy};
use crate::observed::connections::Peer;
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::store::Window;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::process::Limits;
use crate::vocabulary::reading::Reading;
use crate::vocabulary::socket::SocketState;
use std::sync::Arc;

fn judged(window: &Window) -> Judgement {
    let limits =
        Limits { open_files: Some(1_024), user_processes: None, mappings: Some(65_530), ..Limits::default() };
    let bounds = Bounds { limits, host_tasks: Some(32_768), ..Bounds::default() };
    judge(window, &bounds, &Thresholds::default())
}

fn kinds(judgement: &Judgement) -> Vec<(Kind, Option<Kind>)> {
    judgement.findings.iter().map(|finding| (finding.kind, finding.consequence_of)).collect()
}

#[test]
fn an_idle_process_is_healthy_in_every_kind() {
    let judgement = judged(&window(|_, _| {}));
    assert_eq!(judgement.verdict, Verdict::Healthy, "{judgement:?}");
    let steady: Vec<Kind> = judgement.steady.iter().map(|steady| steady.kind).collect();
    let all =
        [Kind::Fd, Kind::Connection, Kind::Thread, Kind::Child, Kind::Mapping, Kind::Heap, Kind::Native];
    assert_eq!(steady, all);
}

/// What a beat of this second has beyond an idle process.
type Change = fn(u64, &mut Beat);

#[test]
fn each_leak_is_named_by_kind_with_its_rate_and_nothing_else() {
    let rows: [(&str, Change, Kind, f64); 6] = [
        ("files", |t, beat| beat.files += 3 * t, Kind::Fd, 3.0),
        ("pipes", |t, beat| beat.pipes += 2 * t, Kind::Fd, 2.0),
        ("sockets", |t, beat| beat.established += 5 * t, Kind::Connection, 5.0),
        ("threads", |t, beat| beat.threads += t, Kind::Thread, 1.0),
        ("zombies", |t, beat| beat.zombies += t, Kind::Child, 1.0),
        ("mappings", |t, beat| beat.mappings += 4 * t, Kind::Mapping, 4.0),
    ];
    for (name, change, kind, rate) in rows {
        let judgement = judged(&window(|second, beat| change(second as u64, beat)));
        assert_eq!(judgement.verdict, Verdict::Leak, "{name}");
        assert_eq!(kinds(&judgement), [(kind, None)], "{name}");
        let finding = &judgement.findings[0];
        assert!(finding.primary);
        assert!((finding.rate.per_second - rate).abs() < 1e-9, "{name}: {:?}", finding.rate);
        assert!((0.7..=0.9).contains(&finding.confidence), "{name}: {}", finding.confidence);
    }
}

#[test]
fn the_growing_type_is_named() {
    let finding = &judged(&window(|second, beat| beat.pipes += 2 * second as u64)).findings[0];
    assert_eq!(finding.detail.descriptor_type, Some(DescriptorType::Pipe));
    assert!(finding.evidence.contains(&Evidence::Concentrated { share: 1.0, now: 90 }));
}

#[test]
fn close_wait_and_its_peer_are_named_also_while_sockets_pass_through() {
    let finding = &judged(&window(|second, beat| {
        beat.close_wait += 3 * second as u64;
        beat.established += 2 * second as u64;
    }))
    .findings[0];
    assert_eq!(finding.detail.state, Some(SocketState::CloseWait));
    assert_eq!(finding.detail.peer, Some(Peer::Server { ip: [127, 0, 0, 1].into(), port: 8081 }));
}

#[test]
fn close_wait_is_found_under_the_traffic_of_all_other_sockets() {
    let judgement = judged(&window(|second, beat| {
        beat.established = 200 + (second as u64 * 37) % 90 - second as u64;
        beat.close_wait = second as u64;
    }));
    assert_eq!(kinds(&judgement), [(Kind::Connection, None)]);
    assert_eq!(judgement.findings[0].detail.state, Some(SocketState::CloseWait));
    assert!((judgement.findings[0].rate.per_second - 1.0).abs() < 0.01);
}

#[test]
fn rare_readings_of_the_types_attribute_the_growth_of_the_total() {
    for every in [5, 15, 22] {
        let judgement = judged(&details_every(every, |second, beat| beat.established += 4 * second as u64));
        assert_eq!(kinds(&judgement), [(Kind::Connection, None)], "every {every} beats: {judgement:?}");
        assert!((judgement.findings[0].rate.per_second - 4.0).abs() < 0.2, "every {every} beats");
        let judgement = judged(&details_every(every, |second, beat| beat.files += 4 * second as u64));
        assert_eq!(kinds(&judgement), [(Kind::Fd, None)], "every {every} beats");
    }
}

#[test]
fn sockets_and_files_that_leak_together_are_both_found_and_share_the_limit() {
    for every in [1, 15] {
        let judgement = judged(&details_every(every, |second, beat| {
            beat.files += 3 * second as u64;
            beat.established += 9 * second as u64;
        }));
        let mut rates: Vec<(Kind, f64)> = judgement
            .findings
            .iter()
            .map(|finding| (finding.kind, finding.rate.per_second.round()))
            .collect();
        rates.sort_by_key(|(kind, _)| *kind);
        assert_eq!(rates, [(Kind::Fd, 3.0), (Kind::Connection, 9.0)], "every {every} beats");
        assert_eq!(judgement.findings.iter().filter(|finding| finding.primary).count(), 1);
        for finding in &judgement.findings {
            let exhaustion = finding.exhausts.expect("the limit is known");
            assert_eq!(exhaustion.limit, LimitName::OpenFiles);
            // 9 + 45 * 12 are open at the end.
            let truth = (1_024.0 - 549.0) / 12.0;
            assert!((exhaustion.in_seconds / truth - 1.0).abs() < 0.05, "{exhaustion:?}");
        }
    }
}

#[test]
fn what_merely_follows_says_of_what() {
    let judgement = judged(&window(|second, beat| {
        beat.zombies += second as u64;
        beat.pipes += 3 * second as u64;
    }));
    assert_eq!(kinds(&judgement), [(Kind::Child, None), (Kind::Fd, Some(Kind::Child))]);
    assert!(judgement.findings[0].primary && !judgement.findings[1].primary);

    let judgement = judged(&window(|second, beat| {
        beat.established += second as u64;
        beat.threads += second as u64;
        beat.mappings += 2 * second as u64;
    }));
    assert_eq!(
        kinds(&judgement),
        [
            (Kind::Connection, None),
            (Kind::Thread, Some(Kind::Connection)),
            (Kind::Mapping, Some(Kind::Thread))
        ]
    );
}

#[test]
fn growth_at_another_pace_is_a_finding_of_its_own() {
    let judgement = judged(&window(|second, beat| {
        beat.files += 40 * second as u64;
        beat.threads += second as u64;
    }));
    let mut found = kinds(&judgement);
    found.sort_by_key(|(kind, _)| *kind);
    assert_eq!(found, [(Kind::Fd, None), (Kind::Thread, None)]);
}

#[test]
fn growing_resident_memory_accuses_nobody() {
    let grows = |second: usize, beat: &mut Beat| beat.anon_bytes += (second as u64) << 20;
    let judgement = judged(&window(grows));
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let why = UndecidedWhy::CompositionUnknown { part: MemoryPart::Anonymous, per_second: 1_048_576.0 };
    let undecided: Vec<_> = judgement.undecided.iter().map(|one| (one.kind, one.why.clone())).collect();
    assert_eq!(undecided, [(Kind::Heap, why.clone()), (Kind::Native, why)]);
    let judgement = judged(&window(|second, beat| {
        grows(second, beat);
        beat.files += 2 * second as u64;
    }));
    assert_eq!(judgement.verdict, Verdict::Leak);
    assert_eq!(judgement.undecided.len(), 2, "the memory is still mentioned");
}

#[test]
fn page_cache_that_is_mapped_acquits_the_heap_and_not_the_mappings() {
    let judgement = judged(&window(|second, beat| beat.file_bytes += (second as u64) << 20));
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert_eq!(judgement.undecided[0].kind, Kind::Mapping);
    assert!(judgement.steady.iter().any(|steady| steady.kind == Kind::Heap));
    assert!(judgement.steady.iter().all(|steady| steady.kind != Kind::Mapping), "not both");
}

#[test]
fn the_limit_that_bites_first_is_named() {
    let window = |pids_limit| {
        let mut window = Window::new(crate::judge::simulation::PROCESS, 64);
        for second in 0..=45u64 {
            let beat = Beat { threads: 8 + second, ..Beat::default() };
            let mut sample = crate::judge::simulation::sample(second as f64, &beat);
            if let Reading::Seen(cgroup) = &mut sample.cgroup.reading {
                cgroup.pids_limit = pids_limit;
            }
            assert!(window.push(sample));
        }
        window
    };
    let limit = |pids_limit| {
        let exhaustion = judged(&window(pids_limit)).findings[0].exhausts.expect("a limit");
        (exhaustion.limit, exhaustion.limit_value, exhaustion.in_seconds.round())
    };
    assert_eq!(limit(Some(153)), (LimitName::CgroupPids, 153, 100.0));
    assert_eq!(limit(Some(40_000)), (LimitName::HostTasks, 32_768, 32_715.0));
    assert_eq!(limit(None), (LimitName::HostTasks, 32_768, 32_715.0));
}

#[test]
fn what_is_denied_is_undecided_and_never_zero() {
    let mut denied = Window::new(crate::judge::simulation::PROCESS, 64);
    for second in 0..=45 {
        let mut sample = crate::judge::simulation::sample(f64::from(second), &Beat::default());
        sample.descriptors.reading = Reading::Denied;
        let mut types = (*sample.descriptor_types).clone();
        types.reading = Reading::Denied;
        sample.descriptor_types = Arc::new(types);
        let mut connections = (*sample.connections).clone();
        connections.reading = Reading::Denied;
        sample.connections = Arc::new(connections);
        assert!(denied.push(sample));
    }
    let judgement = judged(&denied);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let undecided: Vec<_> = judgement.undecided.iter().map(|one| (one.kind, one.why.clone())).collect();
    assert_eq!(undecided, [(Kind::Fd, UndecidedWhy::NotRead), (Kind::Connection, UndecidedWhy::NotRead)]);
    assert!(judgement.steady.iter().any(|steady| steady.kind == Kind::Thread));
}

#[test]
fn an_empty_or_short_window_is_inconclusive() {
    let empty = Window::new(crate::judge::simulation::PROCESS, 64);
    assert_eq!(judged(&empty).verdict, Verdict::Inconclusive);
    let mut short = Window::new(crate::judge::simulation::PROCESS, 64);
    for second in 0..20 {
        assert!(short.push(crate::judge::simulation::sample(f64::from(second), &Beat::default())));
    }
    let judgement = judged(&short);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    assert!(judgement.undecided.iter().all(|one| matches!(one.why, UndecidedWhy::TooShort { .. })));
}

#[test]
fn churn_in_every_kind_at_once_is_healthy() {
    let mut healthy = 0;
    for seed in 0..100 {
        let dice = std::cell::RefCell::new(Dice(seed));
        let judgement = judged(&window(|_, beat| {
            let mut dice = dice.borrow_mut();
            beat.files += dice.events(20.0);
            beat.established += dice.events(60.0);
            beat.threads += dice.events(2.0);
            beat.zombies += dice.events(0.5);
            beat.mappings += dice.events(4.0);
            beat.anon_bytes += dice.events(30.0) << 20;
        }));
        assert_ne!(judgement.verdict, Verdict::Leak, "seed {seed}: {judgement:?}");
        healthy += u64::from(judgement.verdict == Verdict::Healthy);
    }
    assert!(healthy >= 92, "{healthy} of 100");
}

#[test]
fn a_steady_total_acquits_its_parts_by_what_was_seen_of_them() {
    let judgement = judged(&details_every(45, |second, beat| beat.files += (second as u64 % 2) * 2));
    let fd = judgement.steady.iter().find(|steady| steady.kind == Kind::Fd).expect("steady");
    assert!(matches!(fd.why, SteadyWhy::Flat { low, high } if low >= 5.0 && high <= 7.0), "{:?}", fd.why);
}

/// Adds so many leaked ones to a beat.
type Leak = fn(&mut Beat, u64);

#[test]
fn one_leak_among_churn_is_found_by_kind_whatever_its_rate() {
    let leaks: [(Kind, Leak); 6] = [
        (Kind::Fd, |beat, leaked| beat.files += leaked),
        (Kind::Fd, |beat, leaked| beat.pipes += leaked),
        (Kind::Connection, |beat, leaked| beat.close_wait += leaked),
        (Kind::Thread, |beat, leaked| beat.threads += leaked),
        (Kind::Child, |beat, leaked| beat.zombies += leaked),
        (Kind::Mapping, |beat, leaked| beat.mappings += leaked),
    ];
    let (mut runs, mut found) = (0, 0);
    for (kind, leak) in leaks {
        for seed in 0..40 {
            let mut dice = Dice(seed);
            let per_second = dice.between(0.5, 20.0);
            let every = [1, 1, 5, 15][seed as usize % 4];
            let dice = std::cell::RefCell::new(dice);
            let judgement = judged(&details_every(every, |second, beat| {
                let mut dice = dice.borrow_mut();
                beat.files += dice.events(1.0);
                beat.established += dice.events(2.0);
                beat.threads += dice.events(0.5);
                #[expect(clippy::cast_sign_loss, reason = "time and rate are positive")]
                leak(beat, (second as f64 * per_second) as u64);
            }));
            runs += 1;
            assert_ne!(judgement.verdict, Verdict::Healthy, "{kind:?} at {per_second} a second, seed {seed}");
            for finding in &judgement.findings {
                assert_eq!(finding.kind, kind, "at {per_second} a second, seed {seed}: {judgement:?}");
                found += 1;
            }
        }
    }
    println!("{found} of {runs} found");
    assert!(found >= runs * 95 / 100, "{found} of {runs}");
}

/// Goroutines, sockets and live heap that grow by so much a second; a collection comes each second.
fn growing(goroutines: u64, sockets: u64, live_bytes: u64) -> Judgement {
    judged(&window(|second, beat| {
        let second = second as u64;
        let marked_bytes = (20 << 20) + live_bytes * second;
        let heap = HeapCounters {
            marked_bytes: Some(marked_bytes),
            in_use_bytes: 2 * marked_bytes,
            ..HeapCounters::default()
        };
        let counters = GoCounters {
            goroutines: Some(20 + goroutines * second),
            heap: Some(heap),
            gc_cycles: Some(second),
        };
        beat.established += sockets * second;
        beat.anon_bytes = 2 * marked_bytes;
        beat.runtime = Some(counters);
    }))
}

#[test]
fn heap_follows_from_goroutines_that_hold_little_each_and_not_from_those_that_cannot() {
    let goroutine = (Kind::Goroutine, None);
    for (live_bytes, expected) in
        [(0, vec![goroutine]), (10 * 20 * 1024, vec![goroutine, (Kind::Heap, Some(Kind::Goroutine))])]
    {
        assert_eq!(kinds(&growing(10, 0, live_bytes)), expected, "{live_bytes} a second");
    }
    let mut apart = kinds(&growing(10, 0, 10 << 20));
    apart.sort();
    assert_eq!(apart, [(Kind::Heap, None), goroutine]);
}

#[test]
fn a_connection_explains_its_two_goroutines_and_their_buffers() {
    assert_eq!(
        kinds(&growing(20, 10, 10 * 40 * 1024)),
        [
            (Kind::Connection, None),
            (Kind::Goroutine, Some(Kind::Connection)),
            (Kind::Heap, Some(Kind::Connection))
        ]
    );
}

/// Growth by so much a second, of which this part was allocated, opened or started in this stack of the program's own,
/// innermost first.
pub(crate) fn found(kind: Kind, per_second: f64, share: f64, stack: &[&str]) -> Finding {
    let stack: Vec<Frame> =
        (1..).zip(stack).map(|(line, function)| Frame::new(function, "/src/main.go", line)).collect();
    Finding {
        kind,
        primary: false,
        consequence_of: None,
        confidence: 0.9,
        rate: Rate { per_second, low: per_second, high: per_second },
        exhausts: None,
        detail: Detail::default(),
        culprits: vec![Culprit { frame: stack[0].clone(), share, stack }],
        evidence: Vec::new(),
    }
}

#[test]
fn what_a_first_look_could_not_date_is_said() {
    use crate::observed::ages::{Ages, Unread};
    use crate::store::Captures;
    let moment = crate::judge::simulation::moment(0.0);
    let lacks = |descriptors| {
        let mut captures = Captures::default();
        let unread = Unread { tasks: false, descriptors };
        captures.ages.push(Ages {
            at: moment,
            process_seconds: 9.0,
            cohorts: Vec::new(),
            single: 0,
            beyond: 0,
            unread,
        });
        super::lacking_ages(&captures)
    };
    assert_eq!(lacks(true), Some(super::Lacking::Ages));
    assert_eq!(lacks(false), None);
}

#[test]
fn a_heap_that_is_kept_elsewhere_and_is_much_does_not_follow() {
    const KIB: f64 = 1024.0;
    let open: &[&str] = &["main.open", "main.poll", "main.main"];
    for (name, each, share, stack, cause) in [
        ("a map of its own", 430.0 * KIB, 0.9, &["main.remember", "main.main"][..], None),
        ("little each", 10.0 * KIB, 0.9, &["main.remember", "main.main"], Some(Kind::Fd)),
        (
            "its buffer",
            64.0 * KIB,
            0.9,
            &["main.fill", "main.buffer", "main.poll", "main.main"],
            Some(Kind::Fd),
        ),
        ("run by one dispatcher", 64.0 * KIB, 0.9, &["main.remember", "main.poll", "main.main"], None),
        ("made where it is opened", 64.0 * KIB, 0.9, &["main.open", "main.poll"], Some(Kind::Fd)),
        ("many lines", 64.0 * KIB, 0.3, &["main.remember", "main.main"], Some(Kind::Fd)),
        ("a library's", 64.0 * KIB, 0.9, &["bufio.NewReaderSize", "net/http.dial"], Some(Kind::Fd)),
    ] {
        let mut findings = [found(Kind::Fd, 7.0, 1.0, open), found(Kind::Heap, 7.0 * each, share, stack)];
        super::relate(&mut findings, None);
        assert_eq!(findings[1].consequence_of, cause, "{name}");
    }
    // Who opens them is only known as far as a library goes.
    let library = found(Kind::Connection, 7.0, 1.0, &["net/http.(*Transport).dialConn"]);
    let heap = found(Kind::Heap, 7.0 * 64.0 * KIB, 0.9, &["main.remember", "main.main"]);
    let mut findings = [library, heap];
    super::relate(&mut findings, None);
    assert_eq!(findings[1].consequence_of, Some(Kind::Connection));
}

/// The same at the line of a library, which the program's own line called.
fn by_library(kind: Kind, per_second: f64, library: &str, stack: &[&str]) -> Finding {
    let mut finding = found(kind, per_second, 1.0, stack);
    finding.culprits[0].stack.insert(0, Frame::new(library, "/lib.go", 7));
    let frame = finding.culprits[0].stack[0].clone();
    let stack = finding.culprits[0].stack.clone();
    finding.culprits.push(Culprit { frame, share: 1.0, stack });
    finding
}

#[test]
fn what_one_creation_makes_is_one_leak_with_one_cause() {
    let publish: &[&str] = &["main.connect", "main.publish", "main.main"];
    let of = |kind, per_second, library| by_library(kind, per_second, library, publish);
    let mut findings = [
        of(Kind::Connection, 0.5, "rd_kafka_connect"),
        of(Kind::Fd, 2.0, "rd_kafka_q_io_event_enable"),
        of(Kind::Thread, 2.0, "pthread_create"),
        of(Kind::Goroutine, 1.5, "kafka.NewProducer"),
        of(Kind::Mapping, 4.0, "mmap"),
    ];
    super::relate(&mut findings, None);
    let causes: Vec<Option<Kind>> = findings.iter().map(|finding| finding.consequence_of).collect();
    let connection = Some(Kind::Connection);
    assert_eq!(causes, [None, connection, connection, connection, connection]);
}

#[test]
fn leaks_at_lines_of_their_own_stay_independent_at_whatever_pace() {
    for pace in [0.3, 1.0, 3.0] {
        let each = [
            (Kind::Child, "main.leakChild"),
            (Kind::Connection, "main.fetch"),
            (Kind::Fd, "main.leakFile"),
            (Kind::Thread, "main.leakThread"),
            (Kind::Goroutine, "main.leakGo"),
            (Kind::Mapping, "main.leakMapping"),
        ];
        let mut findings: Vec<Finding> = (0..)
            .zip(each)
            .map(|(index, (kind, line))| {
                let per_second = if index % 2 == 0 { 1.0 } else { pace };
                by_library(kind, per_second, "lib.Make", &[line, "main.every"])
            })
            .collect();
        findings.push(found(Kind::Heap, 400.0 * 1024.0, 0.9, &["main.remember", "main.every"]));
        super::relate(&mut findings, None);
        assert!(findings.iter().all(|finding| finding.consequence_of.is_none()), "{findings:?}");
    }
}

#[test]
fn stacks_of_threads_follow_from_threads_alone() {
    let mut stacks = found(Kind::Mapping, 2.0, 1.0, &["main.x"]);
    stacks.culprits.clear();
    stacks.evidence.push(Evidence::ThreadStacks { count: 90, seconds: 45.0 });
    let files = found(Kind::Fd, 2.0, 1.0, &["main.leakFile"]);
    let threads = found(Kind::Thread, 1.0, 1.0, &["main.leakThread"]);
    let mut findings = [files, threads, stacks];
    super::relate(&mut findings, None);
    assert_eq!(findings[2].consequence_of, Some(Kind::Thread));
}

#[test]
fn a_goroutine_that_waits_for_ever_is_the_cause_of_what_it_holds() {
    let wait =
        ["runtime.gopark", "io.(*pipe).read", "lib.(*Entry).writerScanner", "lib.WriterLevel", "main.start"];
    let mut goroutines = found(Kind::Goroutine, 5.0, 1.0, &wait);
    goroutines.culprits[0].frame = goroutines.culprits[0].stack[4].clone();
    let buffers = found(Kind::Heap, 5.0 * 66.0 * 1024.0, 0.8, &["lib.(*Entry).writerScanner"]);
    let mut findings = [goroutines.clone(), buffers];
    super::relate(&mut findings, None);
    assert_eq!(findings[1].consequence_of, Some(Kind::Goroutine));
    // What is kept elsewhere, and is as much, is another leak.
    let elsewhere = found(Kind::Heap, 5.0 * 66.0 * 1024.0, 0.8, &["main.remember", "main.main"]);
    let mut findings = [goroutines, elsewhere];
    super::relate(&mut findings, None);
    assert_eq!(findings[1].consequence_of, None);
}
