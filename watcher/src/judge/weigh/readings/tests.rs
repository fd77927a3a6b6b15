#![expect(clippy::cast_sign_loss, reason = "seconds of a window")]
use crate::judge::judge;
use crate::judge::judgement::{Judgement, Reading};
use crate::judge::simulation::{Beat, Dice, window_of};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::survivors::world::{LOG, NEVER, READ, Thing, alive_at, files, ledger, thing};
use crate::store::Window;

fn judged(window: &Window) -> Judgement {
    judge(window, &Bounds::default(), &Thresholds::default())
}

fn reading(judgement: &Judgement, kind: Kind) -> Reading {
    *judgement.readings.iter().find(|one| one.kind == kind).expect("it was read")
}

/// Files that come and go, and so many a second that stay, each of them a little early or late; with ledgers or without.
fn leaking(per_second: f64, busy: bool, with_ledger: bool, seconds: f64, seed: u64) -> Window {
    let mut dice = Dice(seed);
    let mut things: Vec<Thing> = Vec::new();
    if per_second > 0.0 {
        let phase = dice.unit();
        let moments = (0..).map(|number| (f64::from(number) + phase) / per_second);
        for born in moments.take_while(|born| *born < seconds) {
            things.push(thing(
                READ,
                (born + dice.between(-0.2, 0.2) / per_second).clamp(0.0, seconds),
                NEVER,
            ));
        }
    }
    if busy {
        for _ in 0..dice.events(10.0 * seconds) {
            let born = dice.between(0.0, seconds);
            things.push(thing(LOG, born, born + dice.between(0.1, 2.0)));
        }
    }
    let mut window = window_of(seconds, (seconds / 90.0).max(1.0), |second, beat: &mut Beat| {
        beat.files += alive_at(&things, second);
    });
    for part in [0.0, 0.5, 1.0].iter().filter(|_| with_ledger) {
        window.captures_mut().descriptors.push(ledger(part * seconds, &things, files));
    }
    window
}

#[test]
fn what_is_ruled_out_is_told_in_numbers() {
    let judgement = judged(&window_of(45.0, 1.0, |second, beat| beat.files = 17 + u64::from(second > 20.0)));
    let fd = reading(&judgement, Kind::Fd);
    assert_eq!((fd.first, fd.last, fd.low, fd.high), (17.0, 18.0, 17.0, 18.0));
    assert_eq!(fd.unnoticed_per_second.map(|rate| (rate * 3_600.0).round()), Some(240.0));
    let grows = judged(&window_of(45.0, 1.0, |second, beat| beat.files = 17 + 2 * second as u64));
    assert_eq!(reading(&grows, Kind::Fd).unnoticed_per_second, None, "it is not ruled out");
}

/// What is said to be noticed is: at half as much again as the rate that may go unnoticed nearly no window is healthy.
#[test]
fn a_leak_half_as_fast_again_as_what_may_go_unnoticed_is_noticed() {
    for seconds in [45.0, 150.0] {
        for (busy, with_ledger) in [(false, false), (false, true), (true, true), (true, false)] {
            let (mut runs, mut missed) = (0, 0);
            for seed in 0..20 {
                let quiet = judged(&leaking(0.0, busy, with_ledger, seconds, seed));
                let Some(rate) = reading(&quiet, Kind::Fd).unnoticed_per_second else { continue };
                let leak = judged(&leaking(1.5 * rate, busy, with_ledger, seconds, seed));
                runs += 1;
                missed += usize::from(leak.verdict == Verdict::Healthy);
            }
            assert!(runs >= 10, "{seconds} s, busy {busy}, ledger {with_ledger}: {runs} were ruled out");
            assert!(
                missed * 10 <= runs,
                "{seconds} s, busy {busy}, ledger {with_ledger}: {missed} of {runs} missed"
            );
        }
    }
}

/// Whoever watches for as long as is asked gets an answer: of a leak that it is one, of what has stopped that it is none.
#[test]
fn the_advised_duration_brings_a_verdict() {
    let (mut asked, mut answered) = (0, 0);
    for per_minute in [3.0, 6.0, 9.0] {
        for (busy, with_ledger) in [(false, false), (false, true), (true, true)] {
            for seed in 0..7 {
                let first = judged(&leaking(per_minute / 60.0, busy, with_ledger, 45.0, seed));
                let need = first.suspected.iter().filter_map(|one| one.need_seconds);
                let undecided = first.undecided.iter().filter_map(|one| one.why.need_seconds());
                let Some(need) = need.chain(undecided).reduce(f64::max) else { continue };
                let again = judged(&leaking(per_minute / 60.0, busy, with_ledger, need, seed + 100));
                asked += 1;
                let is_leak = again.verdict == Verdict::Leak;
                answered += usize::from(is_leak);
                if !is_leak {
                    println!("{per_minute} a minute, busy {busy}, ledger {with_ledger}, {need} s: {again:?}");
                }
            }
        }
    }
    assert!(asked >= 30, "{asked}");
    assert!(answered * 10 >= asked * 9, "{answered} of {asked}");
}

#[test]
fn a_window_that_is_too_short_asks_for_one_that_is_not() {
    for (seconds, beat) in [(4.0, 1.0), (12.0, 1.0), (20.0, 1.0), (20.0, 10.0), (60.0, 15.0)] {
        let idle = |_: f64, _: &mut Beat| {};
        let short = judged(&window_of(seconds, beat, idle));
        assert_eq!(short.verdict, Verdict::Inconclusive, "{seconds} s");
        let mut needs = short.undecided.iter().map(|one| one.why.need_seconds());
        let need = needs.clone().flatten().reduce(f64::max).expect("a duration");
        assert!(needs.all(|one| one.is_some()), "{seconds} s: {:?}", short.undecided);
        assert!(need <= 200.0, "{seconds} s at {beat} s: {need}");
        let long = judged(&window_of(need + beat, beat, idle));
        assert_eq!(long.verdict, Verdict::Healthy, "{seconds} s, then {need} s: {:?}", long.undecided);
    }
}
