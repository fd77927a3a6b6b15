use super::Few;
use crate::judge::judge;
use crate::judge::judgement::{Judgement, Suspected};
use crate::judge::simulation::{Beat, Dice, window};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::evidence::{Begin, Evidence};
use crate::judge::weigh::survivors::world::{
    LOG, LOOKUP, NEVER, POLL, READ, Thing, alive, every, files, ledger, older, sockets, thing,
};
use crate::observed::ledger::Tasks;
use crate::store::{Series, Window};

fn few(count: u64, oldest: f64, youngest: f64, alike_before: u64) -> Few {
    Few { count, oldest, youngest, alike_before, seconds: 45.0 }
}

#[test]
fn a_few_are_suspected_where_they_are_spread_and_the_last_came_of_late() {
    let rows = [
        (few(2, 40.0, 10.0, 0), true, "two a minute"),
        (few(3, 40.0, 2.0, 0), true, "three a minute"),
        (few(100, 40.0, 20.0, 0), true, "two bursts"),
        (few(5, 44.0, 40.0, 0), false, "made at the start"),
        (few(40, 44.0, 25.0, 0), false, "a pool that is full"),
        (few(2, 12.0, 11.9, 0), false, "two that came together"),
        (few(2, 4.0, 0.1, 0), false, "nobody knows whether they stay"),
        (few(1, 20.0, 20.0, 0), false, "one of its kind"),
        (few(1, 20.0, 20.0, 8), true, "one more of many"),
        (few(1, 40.0, 40.0, 8), false, "one that came early"),
        (few(1, 2.0, 2.0, 8), false, "one that came just now"),
        (few(0, 0.0, 0.0, 8), false, "none"),
    ];
    for (few, expected, name) in rows {
        assert_eq!(few.keep_coming(), expected, "{name}");
    }
}

#[test]
fn a_total_that_fell_tells_nothing_of_who_stayed() {
    let of = |values: &[f64]| {
        let seconds = (0_u32..).map(f64::from).take(values.len()).collect();
        Few::of_series(&Series { seconds, values: values.to_vec(), gaps: 0 })
    };
    assert_eq!(of(&[5.0, 6.0, 6.0, 5.0, 7.0]), None);
    assert_eq!(of(&[5.0, 5.0, 5.0]), None);
    let rose = of(&[5.0, 6.0, 6.0, 9.0, 9.0]).map(|few| (few.count, few.oldest, few.youngest));
    assert_eq!(rose, Some((4, 3.0, 1.0)));
}

fn judged(window: &Window) -> Judgement {
    judge(window, &Bounds::default(), &Thresholds::default())
}

fn with_ledger(things: &[Thing], of_sockets: bool) -> Window {
    let change = |second, beat: &mut Beat| {
        let alive = alive(things, second);
        *if of_sockets { &mut beat.established } else { &mut beat.files } += alive;
    };
    let mut window = window(change);
    let what = if of_sockets { sockets } else { files };
    for second in [0.0, 22.0, 45.0] {
        window.captures_mut().descriptors.push(ledger(second, things, what));
    }
    window
}

fn the_suspicion(judgement: &Judgement) -> &Suspected {
    assert_eq!(judgement.verdict, Verdict::Inconclusive, "{judgement:#?}");
    assert_eq!(judgement.suspected.len(), 1, "{judgement:#?}");
    &judgement.suspected[0]
}

/// Three a minute, at any phase, beside a thousand that others open and close.
#[test]
fn a_leak_of_three_a_minute_is_named_beside_a_thousand_that_go() {
    for seed in 0..60 {
        let mut dice = Dice(seed);
        let phase = dice.between(0.0, 20.0);
        let mut things: Vec<Thing> = [0.0, 20.0, 40.0].map(|at| thing(READ, phase + at, NEVER)).to_vec();
        things.extend((0..6).map(|_| older(NEVER)));
        for _ in 0..1_000 {
            let born = dice.between(0.0, 45.0);
            things.push(thing(LOG, born, born + 0.2));
        }
        let judgement = judged(&with_ledger(&things, false));
        let suspected = the_suspicion(&judgement);
        assert_eq!(suspected.finding.kind, Kind::Fd);
        assert_eq!(&*suspected.finding.culprits[0].frame.function, "main.readHeader");
        assert!(judgement.steady.iter().all(|it| it.kind != Kind::Fd), "not ruled out as well");
        assert!(suspected.need_seconds.is_some_and(|need| need > 90.0), "{suspected:?}");
    }
}

#[test]
fn a_slow_leak_is_suspected_by_totals_alone_where_there_is_no_ledger() {
    for phase in 0..20 {
        let window = window(|second, beat| beat.files += (second as u64 + phase) / 20);
        assert_eq!(the_suspicion(&judged(&window)).finding.kind, Kind::Fd, "phase {phase}");
    }
}

#[test]
fn what_is_made_once_is_no_suspicion() {
    let start = [0.5, 1.0, 3.0, 4.0].map(|at| thing(READ, at, NEVER)).to_vec();
    let one = vec![thing(READ, 20.0, NEVER)];
    // A file of a log makes room for its successor.
    let rotation = vec![older(20.0), thing(LOG, 20.1, NEVER), older(40.0), thing(LOG, 40.1, NEVER)];
    let full: Vec<Thing> = every(3.0, POLL, NEVER).into_iter().take(40).collect();
    let busy = every(20.0, LOOKUP, 0.4);
    let rows = [
        (start, false, "at the start"),
        (one, false, "one alone"),
        (rotation, false, "a rotation"),
        (full, true, "a pool"),
        (busy, true, "traffic"),
    ];
    for (things, of_sockets, name) in rows {
        let judgement = judged(&with_ledger(&things, of_sockets));
        assert_eq!(judgement.verdict, Verdict::Healthy, "{name}: {judgement:#?}");
    }
}

#[test]
fn bursts_far_apart_are_suspected_or_found() {
    for phase in 0..20_u32 {
        let things: Vec<Thing> = (0..3_u32)
            .flat_map(|burst| (0..50).map(move |_| thing(READ, f64::from(phase + 20 * burst), NEVER)))
            .collect();
        let judgement = judged(&with_ledger(&things, false));
        assert_ne!(judgement.verdict, Verdict::Healthy, "phase {phase}: {judgement:#?}");
        let suspected = judgement.suspected.iter().map(|one| &one.finding);
        let named: Vec<_> = judgement.findings.iter().chain(suspected).map(|it| it.kind).collect();
        assert_eq!(named, [Kind::Fd], "phase {phase}");
    }
}

#[test]
fn one_child_that_nobody_waits_for_is_suspected_and_those_that_were_there_are_not() {
    let came = window(|second, beat| beat.zombies = 5 + u64::from(second >= 20));
    assert_eq!(the_suspicion(&judged(&came)).finding.kind, Kind::Child);
    let there = window(|_, beat| beat.zombies = 5);
    assert_eq!(judged(&there).verdict, Verdict::Healthy);
    let waited_for = window(|second, beat| beat.zombies = u64::from(second % 10 == 3));
    assert_eq!(judged(&waited_for).verdict, Verdict::Healthy);
    let mut named = window(|second, beat| beat.zombies = (second as u64 + 5) / 20);
    let things = [thing(POLL, 15.0, NEVER), thing(POLL, 35.0, NEVER)];
    for second in [0.0, 22.0, 45.0] {
        let tasks = |_: &_, outstanding| Tasks { zombies: outstanding };
        named.captures_mut().children.push(ledger(second, &things, tasks));
    }
    let judgement = judged(&named);
    assert_eq!(&*the_suspicion(&judgement).finding.culprits[0].frame.function, "main.pollUpstream");
}

#[test]
fn a_leak_that_begins_in_the_window_is_told_with_its_own_pace_and_begin() {
    for begins in [8, 12, 18, 24, 30] {
        let leak = |second: f64| second >= f64::from(begins);
        let things: Vec<Thing> = every(10.0, READ, NEVER).into_iter().filter(|it| leak(it.born)).collect();
        let judgement = judged(&with_ledger(&things, false));
        assert_eq!(judgement.verdict, Verdict::Leak, "{begins}: {judgement:#?}");
        let finding = &judgement.findings[0];
        assert!((9.0..11.0).contains(&finding.rate.per_second), "{begins}: {:?}", finding.rate);
        let began = finding.evidence.iter().find_map(|evidence| match evidence {
            Evidence::Since { seconds, begin: Begin::Watched } => Some(*seconds),
            _ => None,
        });
        let ago = f64::from(45 - begins);
        assert!(began.is_some_and(|began| (began - ago).abs() < 2.5), "{begins}: {began:?}");
    }
}

#[test]
fn what_has_just_begun_is_neither_a_leak_nor_none() {
    let late: Vec<Thing> = every(10.0, READ, NEVER).into_iter().filter(|it| it.born >= 37.0).collect();
    assert_eq!(judged(&with_ledger(&late, false)).verdict, Verdict::Inconclusive);
    // By the total alone nobody knows whether it stays.
    let total = window(|second, beat| beat.threads += 5 * (second as u64).saturating_sub(28));
    assert_eq!(judged(&total).verdict, Verdict::Inconclusive);
}
