use super::{Fall, fall, plateau, present_regime, quarter_rises, rises_in_every_quarter};
use crate::judge::series::trend::Trend;
use crate::judge::simulation::Formula;
use crate::judge::terms::Thresholds;
use crate::judge::weigh::reasons::SteadyWhy;
use crate::store::Series;

fn run(value: impl Fn(f64) -> f64) -> Series {
    let seconds: Vec<f64> = (0..=45).map(f64::from).collect();
    let values = seconds.iter().map(|second| value(*second)).collect();
    Series { seconds, values, gaps: 0 }
}

#[test]
fn falls_are_told_from_noise() {
    let rows: [(&str, Formula, Fall); 6] = [
        ("line", |t| 2.0 * t, Fall::None),
        ("noise", |t| (t * 77.7).sin() * 10.0, Fall::None),
        ("teeth", |t| t % 10.0, Fall::Repeated),
        ("teeth that rise", |t| 3.0 * (t % 10.0) + t, Fall::RisingTroughs),
        ("one tooth", |t| t % 30.0, Fall::Recent),
        ("a tooth long outgrown", |t| if t < 10.0 { t } else { t - 10.0 }, Fall::None),
    ];
    for (name, curve, expected) in rows {
        assert_eq!(fall(&run(curve)), expected, "{name}");
    }
}

#[test]
fn a_plateau_is_flat_for_long_enough() {
    let found = |curve: fn(f64) -> f64| {
        let series = run(curve);
        plateau(&series, &Trend::of(&series).expect("finite"), 5.0)
    };
    assert_eq!(
        found(|t| 10.0 + 5.0 * t.min(20.0)),
        Some(SteadyWhy::Plateau { flat_seconds: 25.0, level: 110.0 })
    );
    assert_eq!(found(|t| 10.0 + 5.0 * t.min(40.0)), None, "five seconds are not long");
    assert_eq!(found(|t| 30.0 * (t / 14.0).floor()), None, "a pause as before between bursts");
    assert_eq!(found(|t| 10.0 + t), None, "a line");
    assert_eq!(found(|t| if t < 20.0 { 5.0 * t } else { 10.0 }), None, "it fell back");
}

#[test]
fn the_present_regime_begins_at_the_one_jump() {
    let thresholds = Thresholds::default();
    let since = |curve: fn(f64) -> f64| present_regime(&run(curve), &thresholds).map(|rest| rest.seconds[0]);
    assert_eq!(since(|t| if t < 7.0 { t } else { 100.0 + t }), Some(7.0));
    assert_eq!(since(|t| if t < 30.0 { t } else { 100.0 + t }), None, "too little is left");
    assert_eq!(since(|t| t), None);
    assert_eq!(since(|t| t + 100.0 * (t / 12.0).floor()), None, "jumps are how it grows");
}

#[test]
fn every_quarter_has_to_carry_its_part() {
    assert_eq!(quarter_rises(&run(|t| 4.0 * t)), [40.0, 46.0, 46.0, 40.0]);
    for (rises, expected) in [
        ([5.0, 5.0, 5.0, 5.0], true),
        ([9.0, 3.0, 5.0, 4.0], true),
        ([9.0, 0.0, 5.0, 6.0], false),
        ([8.0, 6.0, 4.0, 2.0], false),
        ([-5.0, -5.0, -5.0, -5.0], false),
        ([0.0; 4], false),
    ] {
        assert_eq!(rises_in_every_quarter(&rises), expected, "{rises:?}");
    }
    assert_eq!(quarter_rises(&Series::default()), [0.0; 4]);
}
