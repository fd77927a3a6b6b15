use super::Ladder;
use crate::judge::simulation::{Dice, moment};
use crate::judge::terms::Kind;
use crate::store::History;
use crate::store::history::{Readings, Signal};
use std::f64::consts::TAU;

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;
const BEAT: u32 = 60;

/// Load by the hour of the day: half as much at night as on average, one and a half times as much in the afternoon.
fn wave(second: f64) -> f64 {
    1.0 - 0.5 * (second / DAY * TAU).cos()
}

/// The hours after which goroutines, which `count` tells by second and noise, were believed to grow, and whether they
/// still are in the end.
fn told(
    days: u32,
    seed: u64,
    load: Option<fn(f64) -> f64>,
    count: impl Fn(f64, f64) -> f64,
) -> (Option<f64>, bool) {
    let (mut history, mut ladder, mut dice) = (History::default(), Ladder::default(), Dice(seed));
    let (mut noise, mut load_noise) = (0.0, 0.0);
    let mut first = None;
    for second in (0..days * 86_400).step_by(BEAT as usize).map(f64::from) {
        noise = 0.98 * noise + 0.004 * dice.normal();
        load_noise = 0.98 * load_noise + 0.003 * dice.normal();
        let mut readings = Readings::default();
        readings.set(Signal::Goroutines, (count(second, noise) + 0.02 * dice.normal()).max(0.0).round());
        if let Some(load) = load {
            readings.set(Signal::Allocation, 2e6 * load(second) * (1.0 + load_noise));
        }
        history.push(moment(second), &readings);
        ladder.look(&history);
        if first.is_none() && ladder.alarms().any(|alarm| alarm.kind == Kind::Goroutine) {
            first = Some(second / HOUR);
        }
    }
    (first, ladder.alarms().next().is_some())
}

#[test]
fn one_percent_an_hour_under_daily_waves_is_found_within_a_day() {
    let found = (0..8).filter(|seed| {
        let (at, _) = told(2, *seed, Some(wave), |second, noise| {
            let leaked = 0.01 * (second - DAY).max(0.0) / HOUR;
            1_000.0 * (wave(second) * (1.0 + noise) + leaked)
        });
        at.is_some_and(|hours| (24.0..=48.0).contains(&hours))
    });
    assert!(found.count() >= 7);
}

#[test]
fn what_follows_load_is_never_accused_whether_load_is_read_or_not() {
    for seed in 0..6 {
        let load: fn(f64) -> f64 =
            |second| wave(second) * if (second / DAY).floor() % 7.0 >= 5.0 { 0.6 } else { 1.0 };
        let count = |second: f64, noise: f64| 400.0 * load(second) * (1.0 + noise);
        assert_eq!(told(8, seed, Some(load).filter(|_| seed % 2 == 0), count).0, None, "seed {seed}");
    }
}

#[test]
fn what_doubles_within_minutes_is_found_within_an_hour_or_two() {
    let (at, _) = told(1, 7, Some(wave), |second, _| 50.0 + (second - 14.0 * HOUR).max(0.0) / 2.0);
    assert!(at.is_some_and(|hours| (14.0..16.5).contains(&hours)), "{at:?}");
}

#[test]
fn what_fills_up_and_stays_is_taken_back_or_never_told() {
    for hours in [0.5, 2.0, 6.0] {
        let (at, still) = told(3, 3, Some(wave), |second, noise| {
            300.0 * (1.0 - (-second / (hours * HOUR)).exp()) + 20.0 * (1.0 + noise)
        });
        assert!(!still, "{hours} h");
        assert_eq!(at, None, "{hours} h");
    }
}

#[test]
fn a_pause_takes_nothing_back() {
    let (mut history, mut ladder, mut dice) = (History::default(), Ladder::default(), Dice(7));
    let mut push = |from: u32, to: u32| {
        for second in (from..to).step_by(BEAT as usize).map(f64::from) {
            let mut readings = Readings::default();
            let grown = (second - 14.0 * HOUR).max(0.0) / 2.0;
            readings.set(Signal::Goroutines, (50.0 + grown + dice.normal().abs()).round());
            readings.set(Signal::Allocation, 2e6 * wave(second) * (1.0 + 0.01 * dice.normal()));
            history.push(moment(second), &readings);
            ladder.look(&history);
        }
        ladder.alarms().count()
    };
    assert_eq!(push(0, 61_200), 1);
    assert_eq!(push(160_000, 160_600), 1);
}
