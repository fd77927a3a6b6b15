use super::tell;
use crate::judge::judge;
use crate::judge::judgement::{Judgement, Story};
use crate::judge::simulation::{Beat, Dice, sample};
use crate::judge::terms::{Bounds, Kind, LimitName, Thresholds, Verdict};
use crate::observed::go_counters::{GoCounters, HeapCounters};
use crate::store::Window;
use crate::store::lives::{Born, Life};
use crate::vocabulary::process::{Limits, ProcessId};
use std::time::{Duration, UNIX_EPOCH};

/// Memory of the simulated host.
const HOST: u64 = 1 << 30;

/// One life: for how long, after which pause, and how memory runs from second to second.
struct Plan {
    seconds: f64,
    pause: f64,
    build: u64,
    memory: Box<dyn Fn(f64) -> f64>,
    /// The live heap's part of what memory is more than at first; `None` where the runtime is not read.
    live: Option<f64>,
}

fn plan(seconds: f64, memory: impl Fn(f64) -> f64 + 'static) -> Plan {
    Plan { seconds, pause: 1.0, build: 1, memory: Box::new(memory), live: Some(0.5) }
}

/// What is said in the last of these lives, at its end.
fn told(plans: &[Plan], dice: &mut Dice) -> (Judgement, Option<Story>) {
    let mut lives: Vec<(Life, Window)> = Vec::new();
    let mut clock = 0.0;
    for (index, plan) in plans.iter().enumerate() {
        clock += plan.pause;
        let mut window = Window::new(ProcessId { pid: 100, start_ticks: index as u64 }, 256);
        let beat_seconds = (plan.seconds / 200.0).max(1.0);
        let mut at = 0.0;
        while at <= plan.seconds {
            let bytes = (plan.memory)(at) * dice.between(0.995, 1.005);
            let first = (plan.memory)(0.0);
            #[expect(clippy::cast_sign_loss, reason = "bytes are positive")]
            let counters = plan.live.map(|part| {
                let marked = ((8 << 20) as f64 + part * (bytes - first).max(0.0)) as u64;
                let heap = HeapCounters {
                    marked_bytes: Some(marked),
                    in_use_bytes: bytes as u64,
                    ..HeapCounters::default()
                };
                GoCounters { goroutines: Some(12), heap: Some(heap), gc_cycles: Some(at as u64) }
            });
            #[expect(clippy::cast_sign_loss, reason = "bytes are positive")]
            let beat = Beat { anon_bytes: bytes as u64, runtime: counters, ..Beat::default() };
            let mut taken = sample(clock + at, &beat);
            taken.process = window.process();
            assert!(window.push(taken));
            at += beat_seconds;
        }
        let born = Born {
            build: plan.build,
            build_name: Some(format!("v1.{}.0", plan.build)),
            started: UNIX_EPOCH + Duration::from_secs_f64(clock),
            // Samples begin a thousand seconds after boot.
            began: 1_000.0 + clock,
        };
        lives.push((Life::of(&window, born).expect("samples"), window));
        clock += plan.seconds;
    }
    let bounds = Bounds {
        limits: Limits { open_files: Some(1_024), ..Limits::default() },
        host_memory_bytes: Some(HOST),
        host_available_bytes: Some(HOST / 2),
        is_go: true,
        ..Bounds::default()
    };
    let (present, window) = lives.pop().expect("a present life");
    let mut judgement = judge(&window, &bounds, &Thresholds::default());
    tell(&mut judgement, lives.iter().map(|(life, _)| life), &present, &bounds, None);
    let story = judgement.story.clone();
    (judgement, story)
}

fn line(from: f64, to: f64, seconds: f64) -> impl Fn(f64) -> f64 {
    move |at| HOST as f64 * (from + (to - from) * at / seconds)
}

#[test]
fn a_line_to_nine_tenths_of_the_host_that_falls_at_each_restart_is_one_story() {
    let mut plans: Vec<Plan> = (0..3).map(|_| plan(18.0, line(0.1, 0.9, 18.0))).collect();
    plans.push(plan(4.0, line(0.1, 0.28, 4.0)));
    let (judgement, story) = told(&plans, &mut Dice(1));
    let story = story.expect("a story");
    assert!(story.accuses);
    assert_eq!(judgement.verdict, Verdict::Leak, "{judgement:?}");
    assert_eq!(story.chapters.len(), 4);
    assert!((story.typical_seconds - 18.0).abs() < 1.0, "{story:?}");
    let truth = 0.8 * HOST as f64 / 18.0;
    assert!((story.rate.per_second / truth - 1.0).abs() < 0.05, "{:?}", story.rate);
    let left = story.exhausts.expect("a limit");
    assert_eq!(left.limit, LimitName::HostMemory);
    assert!((left.in_seconds / 16.2 - 1.0).abs() < 0.1, "{left:?}");
    let kinds: Vec<Kind> = judgement.findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Heap]);
}

#[test]
fn what_it_is_made_of_decides_the_kind_and_not_knowing_accuses_none() {
    for (live, expected) in [(Some(0.6), vec![Kind::Heap]), (Some(0.0), vec![Kind::Native]), (None, vec![])] {
        let plans: Vec<Plan> = (0..4).map(|_| Plan { live, ..plan(15.0, line(0.1, 0.9, 15.0)) }).collect();
        let (judgement, story) = told(&plans, &mut Dice(7));
        let kinds: Vec<Kind> = judgement.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!(kinds, expected, "{live:?}: {judgement:?}");
        assert!(story.is_some(), "{live:?}");
        assert_ne!(judgement.verdict, Verdict::Healthy);
    }
}

#[test]
fn leaks_that_are_restarted_at_random_near_the_limit_are_told_whatever_their_pace() {
    let mut found = 0;
    for seed in 0..200 {
        let mut dice = Dice(seed);
        // Eight values are needed of a life, a second each.
        let pace = dice.between(0.01, 0.06);
        let plans: Vec<Plan> = (0..4)
            .map(|_| {
                // Killed by whoever watches the host: now and then sooner, now and then at the last moment.
                let (from, to) = (dice.between(0.05, 0.15), dice.between(0.83, 0.97));
                let own = pace * dice.between(0.8, 1.25);
                let seconds = (to - from) / own;
                let pause = dice.between(0.2, 4.0);
                Plan { pause, ..plan(seconds, line(from, to, seconds)) }
            })
            .collect();
        found += u64::from(told(&plans, &mut dice).1.is_some_and(|story| story.chapters.len() == 4));
    }
    assert!(found >= 190, "{found} of 200");
}

#[test]
fn innocent_restarts_raise_no_alarm() {
    let mut alarms = Vec::new();
    for seed in 0..400 {
        let mut dice = Dice(seed);
        let kind = seed % 5;
        let plans: Vec<Plan> = (0..5)
            .map(|_| {
                let seconds = dice.between(20.0, 600.0);
                let level = dice.between(0.1, 0.9);
                match kind {
                    // A job that a schedule starts: it fills memory each time, and even nearly all of it.
                    0 => Plan {
                        pause: seconds * dice.between(0.8, 3.0),
                        ..plan(seconds, line(0.05, level, seconds))
                    },
                    // The same in an endless loop, well below the limit.
                    1 => plan(seconds, line(0.05, 0.7 * level, seconds)),
                    // A service that warms up and stays, restarted by rolling deploys.
                    2 => plan(seconds, move |at| {
                        HOST as f64 * level * (0.3 + 0.7 * (1.0 - (-at * 10.0 / seconds).exp()))
                    }),
                    // A sawtooth of garbage.
                    3 => plan(seconds, move |at| HOST as f64 * level * (0.5 + 0.5 * (at / 7.0).fract())),
                    // Nothing at all.
                    _ => plan(seconds, line(level, level, seconds)),
                }
            })
            .map(|plan| Plan { live: Some(0.0), ..plan })
            .collect();
        if let (_, Some(story)) = told(&plans, &mut dice)
            && story.accuses
        {
            alarms.push((seed, kind));
        }
    }
    assert!(alarms.is_empty(), "{alarms:?}");
}

#[test]
fn a_build_that_brought_the_growth_is_named() {
    let before = |_| plan(120.0, line(0.2, 0.2, 120.0));
    let mut plans: Vec<Plan> = (0..2).map(before).collect();
    plans.push(Plan { build: 2, live: Some(0.5), ..plan(120.0, line(0.1, 0.6, 120.0)) });
    let (judgement, story) = told(&plans, &mut Dice(3));
    assert_eq!(judgement.verdict, Verdict::Leak, "{judgement:?}");
    let changed = story.and_then(|story| story.changed).expect("a change");
    assert_eq!(changed.build_name.as_deref(), Some("v1.2.0"));
    assert_eq!(changed.before, 0.0);
    assert!(changed.after > 0.0);
    assert_eq!(changed.since, UNIX_EPOCH + Duration::from_secs(243));
}
