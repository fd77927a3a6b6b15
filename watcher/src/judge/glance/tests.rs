//! Births of leaks and of their innocent look-alikes, and what one look says of each.

use super::{Course, Settings, amend, shape};
use crate::judge;
use crate::judge::judgement::Outcome;
use crate::judge::simulation::{Beat, Dice, PROCESS, moment, sample};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::evidence::Evidence;
use crate::observed::ages::{Ages, Cohort, Group, LEAST_MEMBERS, Member, Unread};
use crate::observed::connections::{Peer, Role};
use crate::observed::goroutines;
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
use crate::store::Window;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::frame::Frame;
use crate::vocabulary::socket::{Family, SocketState, Transport};
use std::net::Ipv4Addr;

/// Seconds that the process has lived.
const LIFE: f64 = 1_260.0;

fn member(number: u64, age: f64, idle: Option<f64>) -> Member {
    Member { number, age_seconds: Some(age), error_seconds: 0.0, idle_seconds: idle, dead_seconds: None }
}

fn cohort(group: Group, members: Vec<Member>) -> Cohort {
    Cohort {
        count: members.len() as u64,
        dated: members.iter().filter(|it| it.age_seconds.is_some()).count() as u64,
        group,
        state: None,
        peer: None,
        peers: 1,
        never_used: 0,
        members,
    }
}

fn dialled() -> Group {
    Group::Sockets {
        family: Family::Inet,
        transport: Transport::Tcp,
        role: Role::Dialled,
        port: 443,
        path: String::new(),
    }
}

/// One each so many seconds since the beginning, a little unevenly; used last after this part of its life.
fn one_by_one(each: f64, used: Option<f64>, dice: &mut Dice) -> Vec<Member> {
    let mut members = Vec::new();
    let mut age = LIFE - each;
    while age > 0.0 {
        let age_now = (age + dice.between(-0.3, 0.3) * each).clamp(0.01, LIFE);
        members.push(member(members.len() as u64, age_now, used.map(|used| age_now * (1.0 - used))));
        age -= each;
    }
    members
}

fn course(cohort: &Cohort) -> Course {
    shape(cohort, LIFE, &Settings::default()).course
}

#[test]
fn leaks_are_suspected_at_every_pace() {
    for seed in 0..40 {
        let mut dice = Dice(seed);
        for each in [120.0, 60.0, 30.0, 20.0, 5.0, 1.0] {
            for (group, used) in [
                (Group::Threads, Some(0.01)),
                (Group::Zombies, None),
                (dialled(), Some(0.0)),
                (Group::Descriptors { kind: DescriptorType::Pipe, path: None }, None),
            ] {
                let cohort = cohort(group, one_by_one(each, used, &mut dice));
                assert_eq!(course(&cohort), Course::Leaks, "each {each} s, {:?}, seed {seed}", cohort.group);
            }
        }
    }
}

#[test]
fn a_young_process_is_dated_by_its_own_measure() {
    let members = (0..36).map(|index| member(index, 37.0 - index as f64, None)).collect();
    let shape = shape(&cohort(Group::Threads, members), 40.0, &Settings::default());
    assert_eq!((shape.course, shape.moments), (Course::Leaks, 36));
}

#[test]
fn batches_count_as_moments() {
    let batches = |each: f64, of: u64| {
        let mut members = Vec::new();
        let mut age = LIFE - each;
        while age > 0.0 {
            members.extend((0..of).map(|index| member(index, age + 0.001 * index as f64, None)));
            age -= each;
        }
        cohort(Group::Descriptors { kind: DescriptorType::Pipe, path: None }, members)
    };
    assert_eq!(course(&batches(20.0, 50)), Course::Leaks);
    // Five moments say nothing, however many came at each.
    assert_eq!(course(&batches(250.0, 50)), Course::Few);
}

#[test]
fn innocents_are_told_apart() {
    let mut dice = Dice(7);
    let sockets = |members| cohort(dialled(), members);
    let spread = |from: f64, to: f64, count: u64, used: Option<f64>| -> Vec<Member> {
        let at = |index: u64| from - (from - to) * index as f64 / count as f64;
        (0..count).map(|index| member(index, at(index), used.map(|used| at(index) * (1.0 - used)))).collect()
    };
    for (what, cohort, expected) in [
        ("a pool from the start", sockets(spread(LIFE, LIFE - 4.0, 48, Some(0.99))), Course::SameBirth),
        ("the same, idle", sockets(spread(LIFE - 60.0, LIFE - 70.0, 48, Some(0.0))), Course::SameBirth),
        ("a pool that fills and is used", sockets(one_by_one(30.0, Some(0.98), &mut dice)), Course::InUse),
        ("websockets with pings", sockets(one_by_one(20.0, Some(0.94), &mut dice)), Course::InUse),
        (
            "threads of workers",
            cohort(Group::Threads, spread(LIFE - 30.0, LIFE - 32.0, 25, None)),
            Course::SameBirth,
        ),
        (
            "sessions of 200 s",
            {
                let mut members = spread(200.0, 1.0, 40, None);
                // Numbers are given again as they come free.
                members.iter_mut().for_each(|it| it.number = it.number * 17 % 41);
                cohort(Group::Descriptors { kind: DescriptorType::Pipe, path: None }, members)
            },
            Course::Turnover,
        ),
        ("begun late", cohort(Group::Threads, spread(200.0, 1.0, 40, None)), Course::BeganLate),
        (
            "a crowd that came and stayed",
            cohort(Group::Threads, spread(900.0, 500.0, 60, Some(0.0))),
            Course::Stopped,
        ),
        (
            "a connection per host",
            {
                let members = one_by_one(40.0, Some(0.0), &mut dice);
                Cohort { peers: members.len() as u64, ..sockets(members) }
            },
            Course::OnePerPeer,
        ),
        ("a few", sockets(spread(LIFE - 60.0, 1.0, LEAST_MEMBERS as u64 - 1, None)), Course::Few),
        (
            "a burst of load",
            sockets(
                spread(1_000.0, 900.0, 20, Some(0.0))
                    .into_iter()
                    .chain(spread(100.0, 1.0, 30, Some(0.0)))
                    .collect(),
            ),
            Course::Uneven,
        ),
    ] {
        assert_eq!(course(&cohort), expected, "{what}");
    }
}

#[test]
fn what_has_no_age_is_not_guessed() {
    let mut members = one_by_one(20.0, None, &mut Dice(1));
    for member in members.iter_mut().skip(10) {
        member.age_seconds = None;
    }
    assert_eq!(course(&cohort(dialled(), members)), Course::Undated);
}

fn dead_ones(count: u64, from: f64, apart: f64) -> Vec<Member> {
    (0..count)
        .map(|index| {
            let seconds = from - apart * index as f64;
            Member { dead_seconds: Some(seconds), ..member(index, seconds, Some(seconds)) }
        })
        .collect()
}

#[test]
fn the_dead_need_no_evenness() {
    let dead = |count| Course::Dead { count, oldest_seconds: 400.0 };
    assert_eq!(course(&cohort(Group::Zombies, dead_ones(8, 400.0, 10.0))), dead(8));
    assert_eq!(course(&cohort(Group::Zombies, dead_ones(7, 400.0, 10.0))), Course::Few);
    assert_eq!(course(&cohort(dialled(), dead_ones(20, 400.0, 10.0))), dead(20));
    // Reaped each two minutes.
    assert!(!matches!(course(&cohort(Group::Zombies, dead_ones(21, 119.0, 5.0))), Course::Dead { .. }));
    // A server was restarted: its clients' pool died at one moment.
    assert_eq!(course(&cohort(dialled(), dead_ones(20, 400.0, 0.001))), Course::SameBirth);
}

fn window(ages: Ages, seconds: u32, threads: fn(u32) -> u64) -> Window {
    let mut window = Window::new(PROCESS, 128);
    for second in 0..=seconds {
        let beat = Beat { threads: threads(second), ..Beat::default() };
        assert!(window.push(sample(f64::from(second), &beat)));
    }
    window.captures_mut().ages.push(ages);
    window
}

fn ages(cohorts: Vec<Cohort>) -> Ages {
    Ages { at: moment(0.0), process_seconds: LIFE, cohorts, single: 0, beyond: 0, unread: Unread::default() }
}

fn leaking() -> Cohort {
    cohort(Group::Threads, one_by_one(30.0, Some(0.0), &mut Dice(3)))
}

#[test]
fn one_look_suspects_and_never_acquits() {
    let bounds = Bounds { is_go: true, age_seconds: Some(LIFE), ..Bounds::default() };
    let judged = |cohorts| judge::judge(&window(ages(cohorts), 0, |_| 50), &bounds, &Thresholds::default());
    let judgement = judged(vec![leaking()]);
    assert_eq!(judgement.verdict, Verdict::Inconclusive);
    let [suspected] = &judgement.suspected[..] else { panic!("{:?}", judgement.suspected) };
    assert_eq!(suspected.finding.kind, Kind::Thread);
    assert!((suspected.finding.rate.per_second * 30.0 - 1.0).abs() < 0.1, "{:?}", suspected.finding.rate);
    assert!(suspected.need_seconds.is_some_and(|need| (250.0..=350.0).contains(&need)));
    let nothing = judged(Vec::new());
    assert_eq!((nothing.verdict, nothing.suspected.len()), (Verdict::Inconclusive, 0));
    let zombies = judged(vec![cohort(Group::Zombies, dead_ones(9, 400.0, 10.0))]);
    assert_eq!((zombies.verdict, zombies.findings[0].kind), (Verdict::Leak, Kind::Child));
}

#[test]
fn a_window_in_which_nothing_rose_does_not_acquit_what_the_glance_suspects() {
    let window = window(ages(vec![leaking()]), 60, |_| 50);
    let judgement = judge::judge(&window, &Bounds::default(), &Thresholds::default());
    assert!(judgement.suspected.iter().any(|it| it.finding.kind == Kind::Thread), "{judgement:?}");
    assert!(judgement.steady.iter().all(|it| it.kind != Kind::Thread));
}

#[test]
fn a_window_that_finds_the_leak_is_the_surer_for_it() {
    let rising = |second| 50 + u64::from(second);
    let found = |cohorts| {
        let judgement =
            judge::judge(&window(ages(cohorts), 60, rising), &Bounds::default(), &Thresholds::default());
        judgement.findings.into_iter().find(|it| it.kind == Kind::Thread).unwrap()
    };
    let (without, with) = (found(Vec::new()), found(vec![leaking()]));
    assert!(with.confidence > without.confidence);
    assert!(with.evidence.iter().any(|it| matches!(it, Evidence::OneByOne { .. })));
}

#[test]
fn what_was_there_at_the_first_look_and_went_is_no_leak() {
    let mut window = window(ages(vec![leaking()]), 60, |_| 50);
    let members: Vec<Member> = leaking().members.into_iter().skip(10).collect();
    window.captures_mut().ages.push(Ages { at: moment(60.0), ..ages(vec![cohort(Group::Threads, members)]) });
    let mut outcomes: Vec<Outcome> = Vec::new();
    amend(&mut outcomes, &window, &Bounds::default(), &Settings::default());
    assert_eq!(outcomes, []);
}

#[test]
fn zombies_and_their_pidfds_are_one_leak_and_a_forgotten_socket_is_a_connection() {
    let pidfds = one_by_one(30.0, None, &mut Dice(5));
    let pidfds = cohort(Group::Descriptors { kind: DescriptorType::PidFd, path: None }, pidfds);
    let zombies = cohort(Group::Zombies, dead_ones(40, LIFE - 30.0, 30.0));
    let peer = Peer::Server { ip: Ipv4Addr::LOCALHOST.into(), port: 443 };
    let closed = Cohort {
        state: Some(SocketState::Close),
        peer: Some(peer.clone()),
        ..cohort(dialled(), dead_ones(30, LIFE - 30.0, 30.0))
    };
    let window = window(ages(vec![pidfds, zombies, closed]), 0, |_| 50);
    let mut outcomes = Vec::new();
    amend(&mut outcomes, &window, &Bounds::default(), &Settings::default());
    let found: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| match outcome {
            Outcome::Leaks(it) => Some((it.kind, it.detail.state, it.detail.peer.clone())),
            Outcome::Suspected(it) => panic!("{it:?}"),
            _ => None,
        })
        .collect();
    assert_eq!(found, [(Kind::Child, None, None), (Kind::Connection, Some(SocketState::Close), Some(peer)),]);
}

/// Goroutines that came one each so many seconds, of a process with a collection each `collected` seconds; every
/// `wakes`-th id is one that has run since the last collection.
fn parked(each: f64, collected: f64, wakes: Option<u64>, reason: &str) -> GoroutineCapture {
    const NOW: f64 = 5_000.0;
    let nanos = |seconds: f64| {
        let whole = (seconds * 1e9).round();
        #[expect(clippy::cast_sign_loss, reason = "after boot")]
        let nanos = whole as u64;
        nanos
    };
    let began = NOW - LIFE;
    let site = GoroutineSite {
        created_by: [Frame::new("main.serve", "serve.go", 41)].into(),
        stack: [Frame::new("main.wait", "serve.go", 52)].into(),
        wait_reason: Some(reason.into()),
        count: 0,
        holding_threads: 0,
        started_by: Vec::new(),
        or_started_by: Vec::new(),
        parent_at: [].into(),
    };
    let mut members = Vec::new();
    let mut at = began + each;
    while at < NOW {
        let id = 20 + members.len() as u64;
        // With the end of the collection before the first that found it; the very first stamps nothing.
        let stamp = began + collected * ((at - began) / collected).floor().max(1.0);
        let stamped = stamp + collected < NOW && wakes.is_none_or(|every| !id.is_multiple_of(every));
        let waiting_since_nanos = stamped.then(|| nanos(stamp));
        members.push(goroutines::Member { id, site: 0, waiting_since_nanos });
        at += each;
    }
    let total = members.len() as u64;
    GoroutineCapture {
        at: moment(0.0),
        runtime_nanos: nanos(NOW),
        sites: vec![GoroutineSite { count: total, ..site }],
        members,
        one_in: 1,
        total,
        beyond: 0,
        without_stack: 0,
    }
}

#[test]
fn goroutines_are_dated_by_collections() {
    let count = |capture: &GoroutineCapture| {
        let found = super::parked::leaking(capture, LIFE, &Settings::default());
        found.first().map(|it| it.shape.count)
    };
    for (what, capture, expected) in [
        ("one each 30 s", parked(30.0, 120.0, None, "chan receive"), Some(38..=42)),
        ("one each 10 s", parked(10.0, 3.0, None, "select"), Some(120..=126)),
        ("they sleep and end by themselves", parked(30.0, 120.0, None, "sleep"), None),
        ("most of them wake now and then", parked(10.0, 60.0, Some(1), "select"), None),
        ("too few collections", parked(30.0, 500.0, None, "select"), None),
    ] {
        let (found, expected): (_, Option<std::ops::RangeInclusive<u64>>) = (count(&capture), expected);
        let fits = match (found, &expected) {
            (Some(found), Some(expected)) => expected.contains(&found),
            (found, expected) => found.is_none() && expected.is_none(),
        };
        assert!(fits, "{what}: {found:?} and not {expected:?}");
    }
    // A pool of workers: numbers from the start, the time since the last job at random.
    let mut pool = parked(10.0, 10.0, None, "select");
    let mut dice = Dice(11);
    for member in &mut pool.members {
        member.id = dice.next() % 1_000;
    }
    assert_eq!(count(&pool), None);
}

#[test]
fn files_without_an_age_are_told_by_repetition() {
    let group = |path: &str| Group::Descriptors { kind: DescriptorType::File, path: Some(path.to_owned()) };
    let files = |count: u64, never_used: u64| {
        let members =
            (0..count).map(|number| Member { age_seconds: None, ..member(number, 0.0, None) }).collect();
        Cohort { never_used, ..cohort(group("/etc/hosts"), members) }
    };
    assert_eq!(course(&files(38, 38)), Course::SameFile);
    assert_eq!(course(&files(38, 30)), Course::Undated, "a pool that reads");
    assert_eq!(course(&files(12, 12)), Course::Undated, "a few");
    // Somebody looked at their links now and then, which dates nothing.
    let looked_at =
        (0..200_u32).map(|number| member(number.into(), if number < 70 { 900.0 } else { 3.0 }, None));
    let looked_at = Cohort { never_used: 200, ..cohort(group("/etc/hosts"), looked_at.collect()) };
    assert_eq!(course(&looked_at), Course::SameFile);
    // Where something lists them, links tell more.
    let dated = cohort(group("/etc/hosts"), one_by_one(20.0, None, &mut Dice(4)));
    assert_eq!(course(&dated), Course::Leaks);
}

#[test]
fn pipes_that_serve_connections_follow_them() {
    let pipes = || {
        let members = one_by_one(10.0, None, &mut Dice(9));
        cohort(Group::Descriptors { kind: DescriptorType::Pipe, path: None }, members)
    };
    let used = || cohort(dialled(), one_by_one(20.0, Some(0.99), &mut Dice(8)));
    let suspected = |cohorts| {
        let mut outcomes = Vec::new();
        let window = window(ages(cohorts), 30, |_| 50);
        amend(&mut outcomes, &window, &Bounds::default(), &Settings::default());
        outcomes.len()
    };
    assert_eq!((suspected(vec![pipes()]), suspected(vec![pipes(), used()])), (1, 0));
}

#[test]
fn the_pace_is_that_of_single_things_or_of_batches() {
    let pace = |members| shape(&cohort(Group::Threads, members), LIFE, &Settings::default()).each_seconds;
    for each in [60.0, 2.0, 0.5] {
        let found = pace(one_by_one(each, None, &mut Dice(2)));
        assert!((0.8 * each..1.3 * each).contains(&found), "each {each} s: {found}");
    }
    let batches = (1..63).flat_map(|batch| {
        (0..50).map(move |index| member(index, LIFE - 20.0 * f64::from(batch) + 0.001 * index as f64, None))
    });
    assert!((19.0..21.0).contains(&pace(batches.collect())));
}
