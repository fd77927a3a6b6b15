use crate::judge::judge;
use crate::judge::judgement::{Judgement, Outcome};
use crate::judge::simulation::{Dice, moment, window};
use crate::judge::terms::{Bounds, Kind, Rate, Thresholds, Verdict};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{SteadyWhy, UndecidedWhy};
use crate::observed::go_counters::GoCounters;
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite, Member};
use crate::observed::heap::{HeapCapture, HeapSite};
use crate::store::Window;
use crate::vocabulary::frame::Frame;
use proptest::prelude::{ProptestConfig, any, proptest};
use std::sync::Arc;

/// Captures over so many hours, begun with three goroutines of this place, to which one came each so many seconds; those
/// that came have not run since, or run all the time, or have gone after so many seconds.
fn hours(apart: f64, hours: f64, runs: bool, lives: f64) -> Window {
    let mut window = window(|_, beat| {
        beat.runtime = Some(GoCounters { goroutines: Some(30), ..GoCounters::default() });
    });
    for second in [0.0, 0.5, 1.0].map(|part| part * hours * 3_600.0) {
        let births =
            (1..).map(|number: u32| (number, f64::from(number) * apart)).take_while(|(_, at)| *at <= second);
        let alive = births.filter(|(_, at)| at + lives > second);
        let since = |at: f64| Some(nanos(if runs { second } else { at } + 60.0));
        let members = (1..4)
            .map(|id| (id, Some(nanos(0.0))))
            .chain(alive.map(|(number, at)| (u64::from(number) + 10, since(at))));
        window.captures_mut().keep_lasting(&capture(second, &[(HANDLER, members.collect())]));
    }
    window
}

#[test]
fn one_an_hour_that_never_runs_again_is_found_within_a_day_and_suspected_before() {
    let day = judged_goroutines(&hours(3_600.0, 20.0, false, f64::INFINITY));
    assert_eq!(day.verdict, Verdict::Leak, "{day:#?}");
    let names: Vec<&str> = day.findings[0].culprits.iter().map(|it| &*it.frame.function).collect();
    assert_eq!(names.first(), Some(&"main.handle"));
    let evening = judged_goroutines(&hours(3_600.0, 8.0, false, f64::INFINITY));
    assert_eq!((evening.findings.len(), evening.suspected.len()), (0, 1), "{evening:#?}");
}

#[test]
fn sessions_that_are_used_and_those_that_end_are_not_suspected() {
    for (apart, runs, lives) in [(600.0, true, f64::INFINITY), (600.0, false, 9_000.0), (600.0, false, 300.0)]
    {
        let judgement = judged_goroutines(&hours(apart, 8.0, runs, lives));
        let kinds = [judgement.findings.len(), judgement.suspected.len()];
        assert_eq!(kinds, [0, 0], "{apart} {runs} {lives}: {judgement:#?}");
    }
    let short = judged_goroutines(&hours(120.0, 1.5, false, f64::INFINITY));
    assert_eq!(short.findings.len(), 0, "windows are for that");
}

fn judged_goroutines(window: &Window) -> Judgement {
    judge(window, &Bounds { is_go: true, ..Bounds::default() }, &Thresholds::default())
}

/// A site: who created its goroutines and where they are, each innermost first, and for what they wait.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    created_by: &'static [&'static str],
    stack: &'static [&'static str],
    wait: &'static str,
}

pub(crate) const HANDLER: Place = Place {
    created_by: &["main.handle"],
    stack: &["runtime.gopark", "runtime.chanrecv1", "main.await"],
    wait: "chan receive",
};
pub(crate) const CONNECTIONS: Place = Place {
    created_by: &["net/http.(*Transport).dialConn"],
    stack: &["runtime.gopark", "internal/poll.(*FD).Read", "net/http.(*persistConn).readLoop"],
    wait: "IO wait",
};
pub(crate) const REQUEST: Place = Place {
    created_by: &["main.serve"],
    stack: &["runtime.gopark", "runtime.selectgo", "main.answer"],
    wait: "select",
};
pub(crate) const LIBRARY: Place = Place {
    created_by: &["github.com/a/log.New"],
    stack: &["runtime.gopark", "time.Sleep", "github.com/a/log.(*Logger).drain"],
    wait: "sleep",
};

fn frames(functions: &[&str]) -> Arc<[Frame]> {
    (1..).zip(functions).map(|(line, function)| Frame::new(function, "/src/main.go", line)).collect()
}

/// Goroutines of a place, by id and since when they wait.
pub(crate) type Crowd = (Place, Vec<(u64, Option<u64>)>);

/// The runtime's clock at a second of the window.
fn nanos(second: f64) -> u64 {
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "seconds of a window")]
    let nanos = ((1_000.0 + second) * 1e9) as u64;
    nanos
}

fn capture(second: f64, crowds: &[Crowd]) -> GoroutineCapture {
    let mut crowds: Vec<&Crowd> = crowds.iter().collect();
    crowds.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
    let sites: Vec<GoroutineSite> = crowds
        .iter()
        .map(|(place, members)| GoroutineSite {
            started_by: Vec::new(),
            or_started_by: Vec::new(),
            parent_at: Arc::default(),
            created_by: frames(place.created_by),
            stack: frames(place.stack),
            wait_reason: Some(place.wait.into()),
            count: members.len() as u64,
            holding_threads: 0,
        })
        .collect();
    let mut members: Vec<Member> = (0..)
        .zip(&crowds)
        .flat_map(|(site, (_, members))| {
            members.iter().map(move |(id, since)| Member { id: *id, site, waiting_since_nanos: *since })
        })
        .collect();
    members.sort_by_key(|member| member.id);
    let total = members.len() as u64;
    GoroutineCapture {
        at: moment(second),
        runtime_nanos: nanos(second),
        sites,
        members,
        one_in: 1,
        total,
        beyond: 0,
        without_stack: 0,
    }
}

/// A window with this many goroutines in each second, and captures at its begin, in its middle and at its end.
pub(crate) fn watched(count: impl Fn(usize) -> u64, crowds: impl Fn(usize) -> Vec<Crowd>) -> Window {
    let mut window = window(|second, beat| {
        beat.runtime = Some(GoCounters { goroutines: Some(count(second)), ..GoCounters::default() });
    });
    window.captures_mut().main_module = Some("example.com/shop".into());
    for second in [0, 22, 45] {
        let capture = capture(second as f64, &crowds(second));
        window.captures_mut().goroutines.push(capture);
    }
    window
}

pub(crate) fn judged(window: &Window) -> Judgement {
    judge(window, &Bounds::default(), &Thresholds::default())
}

pub(crate) fn lines(judgement: &Judgement) -> Vec<(&str, f64)> {
    judgement.findings[0]
        .culprits
        .iter()
        .map(|culprit| (&*culprit.frame.function, (culprit.share * 100.0).round() / 100.0))
        .collect()
}

/// So many goroutines, numbered from `first`, that wait since the same moment.
pub(crate) fn crowd(first: u64, count: u64, since: Option<u64>) -> Vec<(u64, Option<u64>)> {
    (first..first + count).map(|id| (id, since)).collect()
}

#[test]
fn growth_names_the_go_statement_and_where_they_wait() {
    let window = watched(
        |second| 20 + 5 * second as u64,
        |second| vec![(HANDLER, crowd(100, 5 * second as u64, None)), (CONNECTIONS, crowd(1, 20, None))],
    );
    let judgement = judged(&window);
    let finding = &judgement.findings[0];
    assert_eq!((finding.kind, finding.rate.per_second.round()), (Kind::Goroutine, 5.0));
    assert_eq!(lines(&judgement), [("main.handle", 1.0), ("main.await", 1.0)]);
    let origin = finding.evidence.iter().find(|evidence| matches!(evidence, Evidence::Origin { .. }));
    let expected = Evidence::Origin {
        grown: 225,
        share: 1.0,
        seconds: 45.0,
        came: 110,
        stayed: 110,
        wait: Some("chan receive".into()),
    };
    assert_eq!(origin, Some(&expected));
    let stack = &finding.culprits[0].stack;
    assert_eq!(stack.last().map(|frame| &*frame.function), Some("main.handle"));
}

#[test]
fn two_origins_share_the_growth() {
    let window = watched(
        |second| 20 + 4 * second as u64,
        |second| {
            let second = second as u64;
            vec![(HANDLER, crowd(1_000, 3 * second, None)), (LIBRARY, crowd(9_000, second, None))]
        },
    );
    let judgement = judged(&window);
    assert_eq!(
        lines(&judgement),
        [
            ("main.handle", 0.75),
            ("main.await", 0.75),
            ("github.com/a/log.New", 0.25),
            ("github.com/a/log.(*Logger).drain", 0.25)
        ]
    );
}

#[test]
fn who_calls_a_dependency_is_known_from_what_it_allocates_there() {
    let site =
        |stack: &[&str], bytes| HeapSite { stack: frames(stack), objects: 1, bytes, object_bytes: bytes };
    let called_with = |sites| {
        let mut window = watched(
            |second| 20 + 5 * second as u64,
            |second| vec![(LIBRARY, crowd(1_000, 5 * second as u64, None))],
        );
        window.captures_mut().heap.push(HeapCapture {
            at: moment(45.0),
            sites: Ok(sites),
            mapped_bytes: None,
        });
        lines(&judged(&window)).into_iter().map(|(function, _)| function.to_owned()).collect::<Vec<_>>()
    };
    let elsewhere = site(&["main.cache"], 1 << 30);
    let beside =
        site(&["github.com/a/log.parse", "github.com/a/log.Load", "main.setUp", "main.main"], 1 << 24);
    let there = site(&["github.com/a/log.New", "github.com/a/log.Clone", "main.serve", "main.main"], 1 << 20);
    let library = ["github.com/a/log.New", "github.com/a/log.(*Logger).drain"];
    for (sites, caller) in [
        (vec![elsewhere.clone(), beside.clone(), there], Some("main.serve")),
        // No sample fell into that very function: its package is the next best.
        (vec![elsewhere.clone(), beside], Some("main.setUp")),
        (vec![elsewhere], None),
    ] {
        let expected: Vec<&str> = caller.into_iter().chain(library).collect();
        assert_eq!(called_with(sites), expected);
    }
}

#[test]
fn load_that_rises_is_not_accused_where_all_that_come_go_again() {
    let window = watched(
        |second| 20 + 5 * second as u64,
        |second| vec![(HANDLER, crowd(10_000 * second as u64, 20 + 5 * second as u64, None))],
    );
    let judgement = judged(&window);
    assert_eq!(judgement.verdict, Verdict::Inconclusive, "{judgement:?}");
    assert!(judgement.findings.is_empty());
}

/// A constant crowd beside ten others.
fn constant(place: Place, count: u64, since: impl Fn(usize, u64) -> Option<u64>) -> Judgement {
    judged(&watched(
        |_| count + 10,
        |second| {
            let members = (0..count).map(|id| (100 + id, since(second, id))).collect();
            vec![(place, members), (CONNECTIONS, crowd(1, 10, Some(1)))]
        },
    ))
}

#[test]
fn a_crowd_that_never_ran_is_stuck_by_what_it_waits_for_and_how_large_it_is() {
    let waits = |wait| Place { wait, ..HANDLER };
    let since_long = |_: usize, _: u64| Some(7);
    for (wait, count, expected) in [
        ("chan receive", 1_000, Some(0.65)),
        ("chan receive", 499, None),
        ("select", 500, Some(0.65)),
        ("chan send", 100, Some(0.8)),
        ("sync.WaitGroup.Wait", 150, Some(0.8)),
        ("sync.Mutex.Lock", 99, None),
        ("chan receive (nil chan)", 100, Some(0.9)),
        ("IO wait", 5_000, None),
        ("GC worker (idle)", 5_000, None),
    ] {
        let judgement = constant(waits(wait), count, since_long);
        let confidence = judgement.findings.first().map(|finding| finding.confidence);
        assert_eq!(confidence, expected, "{count} in {wait}: {judgement:?}");
        let verdict = if expected.is_some() { Verdict::Leak } else { Verdict::Healthy };
        assert_eq!(judgement.verdict, verdict, "{count} in {wait}");
        if expected.is_some() {
            assert_eq!(judgement.findings[0].rate.per_second, 0.0);
            assert_eq!(judgement.findings[0].culprits[0].frame.function.as_ref(), "main.handle");
        }
    }
}

#[test]
fn a_crowd_is_one_whoever_asked_for_its_members() {
    let waits = Place { wait: "chan send", ..HANDLER };
    let mut window =
        watched(|_| 170, |_| vec![(waits, crowd(1_000, 80, Some(7))), (waits, crowd(5_000, 80, Some(7)))]);
    for site in [0, 1] {
        let mut last = window.captures().goroutines.last().unwrap().clone();
        last.sites[site].started_by = vec![frames(&["main.handle", "main.main"])];
        window.captures_mut().goroutines.push(last);
    }
    let judgement = judged(&window);
    assert_eq!(judgement.verdict, Verdict::Leak, "{judgement:?}");
    let count = judgement.findings[0].evidence.iter().find_map(|evidence| match evidence {
        Evidence::Stuck { count, .. } => Some(*count),
        _ => None,
    });
    assert_eq!(count, Some(160));
}

#[test]
fn a_pool_of_workers_is_healthy_as_soon_as_one_of_them_did_anything() {
    // A collection notes anew whoever has run since.
    let judgement = constant(HANDLER, 1_000, |second, id| Some(if id == 17 { second as u64 + 1 } else { 7 }));
    assert_eq!(judgement.verdict, Verdict::Healthy, "{judgement:?}");
    // One has run since the last collection.
    let judgement = constant(HANDLER, 1_000, |second, id| (id != 17 || second < 45).then_some(7));
    assert_eq!(judgement.verdict, Verdict::Healthy, "{judgement:?}");
}

#[test]
fn without_a_collection_nothing_is_known() {
    let judgement = constant(HANDLER, 1_000, |_, _| None);
    let unmoved = |why: &UndecidedWhy| matches!(why, UndecidedWhy::Unmoved { count: 1_000, .. });
    assert!(judgement.undecided.iter().any(|one| unmoved(&one.why)), "{judgement:?}");
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    // One that has only just come by, or is still at it, tells nothing of the time before.
    for just_now in [40.0, 44.9, 45.2] {
        let judgement = constant(HANDLER, 1_000, |second, _| (second == 45).then_some(nanos(just_now)));
        assert_eq!(judgement.verdict, Verdict::Inconclusive, "{just_now}");
    }
    // Nor does one whose moment lies before it can have been: that clock is another one.
    let judgement = constant(HANDLER, 1_000, |second, _| (second == 45).then_some(7));
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    // One that came by in time does, whichever captures it lies between.
    for collected in [10.0, 30.0] {
        let judgement =
            constant(HANDLER, 1_000, |second, _| (second as f64 >= collected).then_some(nanos(collected)));
        assert_eq!(judgement.verdict, Verdict::Leak, "{collected}");
        // And acquits them all where it missed one: that one has run since.
        let judgement = constant(HANDLER, 1_000, |second, id| {
            (second as f64 >= collected && id != 17).then_some(nanos(collected))
        });
        assert_eq!(judgement.verdict, Verdict::Healthy, "{collected}");
    }
}

#[test]
fn a_chain_whose_end_waits_for_an_answer_is_not_stuck() {
    const LAST: Place = Place {
        created_by: &["main.handle"],
        stack: &["runtime.gopark", "internal/poll.(*FD).Read", "main.ask"],
        wait: "IO wait",
    };
    let judged_with = |last: Option<Place>| {
        let window = watched(
            |_| 1_011,
            |_| {
                let mut crowds = vec![(HANDLER, crowd(100, 1_000, Some(7)))];
                crowds.extend(last.map(|last| (last, crowd(1_100, 1, Some(7)))));
                crowds
            },
        );
        judged(&window)
    };
    let chain = judged_with(Some(LAST));
    assert_eq!(chain.verdict, Verdict::Inconclusive, "{chain:?}");
    let awaits = |why: &UndecidedWhy| matches!(why, UndecidedWhy::MayAwait { count: 1_000 });
    assert!(chain.undecided.iter().any(|one| awaits(&one.why)));
    // Somebody else's connection answers nobody here, and one more that waits for a message is no end.
    for other in [None, Some(CONNECTIONS), Some(Place { wait: "select", stack: &["main.idle"], ..LAST })] {
        assert_eq!(judged_with(other).verdict, Verdict::Leak);
    }
}

#[test]
fn who_sleeps_and_comes_seldom_is_named_where_some_were_seen_to_wake() {
    const NAP: Place = Place {
        created_by: &["main.guest"],
        stack: &["runtime.gopark", "time.Sleep", "main.nap"],
        wait: "sleep",
    };
    let outcome = |wakes: bool| {
        let window = watched(
            |second| 40 + second as u64,
            |second| {
                let since = Some(nanos(if wakes { second as f64 } else { 0.0 }));
                vec![(NAP, crowd(1, 40 + second as u64, since))]
            },
        );
        let mut finding = judged(&window).findings.remove(0);
        finding.rate = Rate { per_second: 0.05, low: 0.05, high: 0.05 };
        super::asleep::weigh(Outcome::Leaks(finding), &window)
    };
    assert!(matches!(outcome(true), Outcome::Leaks(_)));
    assert!(matches!(outcome(false), Outcome::Suspected(_)), "it may sleep for an hour, and go");
}

#[test]
fn idle_connections_and_crowds_of_a_library_are_left_alone() {
    for place in [CONNECTIONS, LIBRARY, Place { created_by: &[], ..HANDLER }] {
        let judgement = constant(place, 5_000, |_, _| Some(7));
        assert_eq!(judgement.verdict, Verdict::Healthy, "{judgement:?}");
    }
}

#[test]
fn a_crowd_whose_members_come_and_go_is_no_crowd_that_is_stuck() {
    let window =
        watched(|_| 1_010, |second| vec![(HANDLER, crowd(2_000 * second as u64 + 100, 1_000, Some(7)))]);
    assert_eq!(judged(&window).verdict, Verdict::Healthy);
}

#[test]
fn where_no_runtime_is_read_nothing_is_said_of_goroutines() {
    let judgement = judged(&window(|_, _| {}));
    let kinds: Vec<Kind> = judgement.steady.iter().map(|steady| steady.kind).collect();
    assert!(!kinds.contains(&Kind::Goroutine));
    let idle = watched(|_| 9, |_| vec![(CONNECTIONS, crowd(1, 9, None))]);
    let flat = judged(&idle).steady.iter().any(|steady| {
        steady.kind == Kind::Goroutine && steady.why == SteadyWhy::Flat { low: 9.0, high: 9.0 }
    });
    assert!(flat);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A service whose handlers come and go at any load and lifetime, beside a pool that works, is never accused.
    #[test]
    fn traffic_is_innocent(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let (mean, pool) = (dice.between(5.0, 2_000.0), dice.events(800.0));
        let counts: Vec<u64> = (0..=45).map(|_| dice.events(mean)).collect();
        let window = watched(
            |second| counts[second] + pool,
            |second| {
                let workers = (0..pool).map(|id| (id + 1, Some(id + second as u64))).collect();
                let first = 100_000 * (second as u64 + 1);
                vec![(HANDLER, crowd(first, counts[second], None)), (LIBRARY, workers)]
            },
        );
        let judgement = judged(&window);
        assert!(judgement.findings.is_empty(), "{judgement:?}");
    }

    /// A leak at any rate that a window can show is found with its line, beside traffic that comes and goes.
    #[test]
    fn a_leak_beside_traffic_is_found_with_its_line(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let (rate, mean) = (dice.between(2.0, 300.0), dice.between(0.0, 4.0));
        let kept = |second: usize| {
            #[expect(clippy::cast_sign_loss, reason = "a count is never negative")]
            let kept = (rate * second as f64).round() as u64;
            kept
        };
        let counts: Vec<u64> = (0..=45).map(|_| dice.events(mean)).collect();
        let window = watched(
            |second| kept(second) + counts[second] + 4,
            |second| {
                let first = 1_000_000 * (second as u64 + 1);
                vec![(HANDLER, crowd(10, kept(second), None)), (CONNECTIONS, crowd(first, counts[second], None))]
            },
        );
        let judgement = judged(&window);
        assert_eq!(judgement.findings.len(), 1, "{judgement:?}");
        assert_eq!(&*judgement.findings[0].culprits[0].frame.function, "main.handle");
    }
}
