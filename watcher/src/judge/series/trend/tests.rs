use super::{Steps, Trend, lag_one, ranks, variance_inflation};
use crate::judge::simulation::Dice;
use crate::store::Series;
use proptest::prelude::*;

fn series(values: &[f64]) -> Series {
    Series { seconds: (0..values.len()).map(|i| i as f64).collect(), values: values.to_vec(), gaps: 0 }
}

fn line(n: usize, value: impl Fn(f64) -> f64) -> Trend {
    let values: Vec<f64> = (0..n).map(|i| value(i as f64)).collect();
    Trend::of(&series(&values)).expect("enough finite values")
}

#[test]
fn a_line_is_measured_exactly() {
    for slope in [-7.0, -0.25, 0.5, 2.0, 1e9] {
        let trend = line(46, |t| 3.0 + slope * t);
        assert!((trend.rate.per_second / slope - 1.0).abs() < 1e-9, "{slope}: {:?}", trend.rate);
        assert!((trend.rise / (45.0 * slope) - 1.0).abs() < 1e-9);
        assert!(trend.noise < 1e-6 * slope.abs());
        assert_eq!(trend.p_rising < 1e-6, slope > 0.0);
        assert_eq!(trend.p_falling < 1e-6, slope < 0.0);
    }
}

#[test]
fn an_outlier_does_not_bend_the_line() {
    let trend = line(46, |t| if t == 44.0 { 5_000.0 } else { 2.0 * t });
    assert!((trend.rate.per_second - 2.0).abs() < 0.01, "{:?}", trend.rate);
}

#[test]
fn bursts_are_measured_from_top_to_top() {
    let trend = line(46, |t| 20.0 * ((t + 3.0) / 7.0).floor());
    assert!((trend.rate.per_second - 20.0 / 7.0).abs() < 1e-9, "{:?}", trend.rate);
}

#[test]
fn too_little_or_meaningless_numbers_have_no_trend() {
    assert_eq!(Trend::of(&series(&[1.0; 7])), None);
    assert_eq!(Trend::of(&series(&[f64::NAN; 20])), None);
    assert_eq!(Trend::of(&series(&[f64::INFINITY; 20])), None);
    assert_eq!(Trend::of(&Series { seconds: vec![1.0; 20], values: vec![1.0; 20], gaps: 0 }), None);
    assert_eq!(Trend::of(&Series { seconds: vec![1.0; 3], values: vec![1.0; 20], gaps: 0 }), None);
    let mut opposite = [f64::MAX; 20];
    opposite[3] = f64::MIN;
    assert_eq!(Trend::of(&series(&opposite)), None, "their difference is not finite");
}

#[test]
fn a_constant_neither_rises_nor_falls() {
    let trend = line(20, |_| 1e18);
    assert_eq!((trend.rate.per_second, trend.p_rising, trend.p_falling), (0.0, 1.0, 1.0));
}

#[test]
fn steps_are_counted_by_direction() {
    assert_eq!(Steps::of(&[1.0, 2.0, 2.0, 5.0, 3.0]), Steps { up: 2, down: 1, level: 1 });
    assert_eq!(Steps::of(&[]), Steps::default());
}

#[test]
fn ties_share_their_rank() {
    assert_eq!(ranks(&[3.0, 1.0, 3.0, 9.0]), [2.5, 1.0, 2.5, 4.0]);
}

#[test]
fn a_walk_inflates_the_variance_and_noise_does_not() {
    let mut dice = Dice(5);
    let noise: Vec<f64> = (0..60).map(|_| dice.normal()).collect();
    let mut level = 0.0;
    let walk: Vec<f64> = noise
        .iter()
        .map(|step| {
            level += step;
            level
        })
        .collect();
    assert!(variance_inflation(&walk) > 3.0, "{}", variance_inflation(&walk));
    assert!(variance_inflation(&noise) < 2.0, "{}", variance_inflation(&noise));
    assert!(lag_one(&walk) > 0.7 && lag_one(&noise) < 0.4);
    assert_eq!(variance_inflation(&[0.0; 9]), 1.0);
}

/// The next value after this one.
type NextValue = fn(&mut Dice, f64) -> f64;

/// How often each of these nulls, none of which rises, has a p-value below 0.01.
#[test]
fn the_p_value_keeps_its_promise_on_every_null() {
    let nulls: [(&str, NextValue); 3] = [
        ("white noise", |dice, _| dice.normal()),
        ("noise that remembers", |dice, before| 0.7 * before + dice.normal()),
        ("random walk", |dice, before| before + dice.normal()),
    ];
    for (name, next) in nulls {
        let runs = 1_000;
        let mut alarms = 0;
        for seed in 0..runs {
            let mut dice = Dice(seed);
            let mut level = 0.0;
            let values: Vec<f64> = (0..46)
                .map(|_| {
                    level = next(&mut dice, level);
                    level
                })
                .collect();
            alarms += u64::from(Trend::of(&series(&values)).expect("finite").p_rising < 0.01);
        }
        // Twice the promise is the price of estimating the correlation from 46 values.
        assert!(alarms <= runs * 2 / 100, "{name}: {alarms} of {runs}");
    }
}

proptest! {
    #[test]
    fn any_numbers_give_finite_answers(values in proptest::collection::vec(-1e300..1e300f64, 8..120)) {
        if let Some(trend) = Trend::of(&series(&values)) {
            for number in [trend.rate.per_second, trend.rate.low, trend.rate.high, trend.rise, trend.noise,
                           trend.keeps_rising_z] {
                prop_assert!(number.is_finite(), "{trend:?}");
            }
            for p in [trend.p_rising, trend.p_falling] {
                prop_assert!((0.0..=1.0).contains(&p), "{trend:?}");
            }
            prop_assert!(trend.rate.low <= trend.rate.per_second && trend.rate.per_second <= trend.rate.high);
        }
    }

    #[test]
    fn counts_that_hardly_move_give_finite_answers(values in proptest::collection::vec(0..3u8, 8..120)) {
        let values: Vec<f64> = values.into_iter().map(f64::from).collect();
        let trend = Trend::of(&series(&values)).expect("finite");
        prop_assert!(trend.rate.low.is_finite() && trend.rate.high.is_finite() && !trend.p_rising.is_nan());
    }

    #[test]
    fn scale_and_shift_change_the_rate_and_nothing_else(
        values in proptest::collection::vec(0..1000u16, 12..60), scale in 1..64u8, shift in 0..100_000u32,
    ) {
        let plain: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let moved: Vec<f64> = plain.iter().map(|value| value * f64::from(scale) + f64::from(shift)).collect();
        let (plain, moved) = (Trend::of(&series(&plain)).expect("finite"), Trend::of(&series(&moved)).expect("finite"));
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-6 * (1.0 + a.abs().max(b.abs()));
        prop_assert!(close(plain.rate.per_second * f64::from(scale), moved.rate.per_second));
        prop_assert!(close(plain.noise * f64::from(scale), moved.noise));
        prop_assert!((plain.p_rising - moved.p_rising).abs() < 0.01, "{} {}", plain.p_rising, moved.p_rising);
        prop_assert_eq!(plain.steps, moved.steps);
    }

    #[test]
    fn what_falls_is_what_rises_upside_down(values in proptest::collection::vec(0..1000u16, 12..60)) {
        let up: Vec<f64> = values.iter().copied().map(f64::from).collect();
        let down: Vec<f64> = up.iter().map(|value| 1000.0 - value).collect();
        let (up, down) = (Trend::of(&series(&up)).expect("finite"), Trend::of(&series(&down)).expect("finite"));
        // Residuals that are equal but for rounding may swap their ranks.
        prop_assert!((up.p_rising - down.p_falling).abs() < 0.01);
    }
}
