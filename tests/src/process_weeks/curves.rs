//! What processes do in a week: the published mix of innocents, and the leaks.
//!
//! Every process has a load, with a wave of a day, a weekend, days that differ, and noise that remembers; its totals
//! follow that load more or less, and one or several of them do what the scene is about. All parameters are drawn.

#![expect(clippy::cast_sign_loss, reason = "shares of a whole and counts of days are never negative")]

use super::BEAT;
use super::dice::{Dice, Drift};
use std::f64::consts::TAU;
use watcher::judge::terms::Kind;
use watcher::store::history::{Readings, Signal};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;
const WEEK: f64 = 7.0 * DAY;
const MIB: f64 = 1024.0 * 1024.0;

/// What a week is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scene {
    /// Nothing but jitter.
    Flat,
    /// Totals follow the load at once.
    FollowsLoad,
    /// They lag behind it, by ten minutes to three hours.
    Sessions,
    /// Weekends are much quieter, or busier.
    Weekend,
    /// Caches that fill ever more slowly, for up to a day, pools within an hour.
    WarmUp,
    /// Caches that fill at a constant pace to their maximum within ten minutes to six hours.
    FillsToMaximum,
    /// One to five deploys: another process each time, which warms up.
    Deploys,
    /// Settings are read anew: a level changes and stays.
    Steps,
    /// What is written, kept or opened goes at once every ten minutes to twelve hours.
    Sawtooth,
    /// A job by the hour or by night.
    Batch,
    /// The live heap breathes with what requests hold.
    Breathes,
    /// A level wanders, within bounds, over hours.
    Wanders,
    /// Something upstream is slow for ten to ninety minutes: what waits piles up and goes.
    Incidents,
    /// Load multiplies within minutes, stays for a while, and goes.
    Crowds,
    /// One percent of the level per hour under daily waves of half the level, beginning after one to three days.
    SlowLeak,
    /// The same from the process's begin.
    SlowLeakFromStart,
    /// Two to five percent of the level per hour.
    Leak,
    /// A tenth to five pieces per second.
    FastLeak,
    /// As much as [`Scene::Leak`], some tens at a time.
    BurstLeak,
    /// The same in steps every two to four hours.
    StepLeak,
    /// In proportion to traffic.
    TrafficLeak,
}

/// Innocents, and of a thousand weeks how many each of them has.
pub const INNOCENTS: [(Scene, u32); 14] = [
    (Scene::Flat, 130),
    (Scene::FollowsLoad, 140),
    (Scene::Sessions, 90),
    (Scene::Weekend, 90),
    (Scene::WarmUp, 90),
    (Scene::FillsToMaximum, 50),
    (Scene::Deploys, 80),
    (Scene::Steps, 60),
    (Scene::Sawtooth, 60),
    (Scene::Batch, 50),
    (Scene::Breathes, 40),
    (Scene::Wanders, 40),
    (Scene::Incidents, 40),
    (Scene::Crowds, 40),
];

/// Leaks.
pub const LEAKS: [Scene; 7] = [
    Scene::SlowLeak,
    Scene::SlowLeakFromStart,
    Scene::Leak,
    Scene::FastLeak,
    Scene::BurstLeak,
    Scene::StepLeak,
    Scene::TrafficLeak,
];

/// A leak that a week holds.
#[derive(Clone, Copy, Debug)]
pub struct Leak {
    /// Of what.
    pub kind: Kind,
    /// Seconds after the week began.
    pub begins: f64,
    per_second: f64,
    manner: Manner,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    Steady,
    /// Every so many seconds, from this part of them on.
    Steps {
        every: f64,
        phase: f64,
    },
    WithTraffic,
}

/// One process, drawn.
#[derive(Debug)]
pub struct Process {
    /// What leaks, if anything.
    pub leak: Option<Leak>,
    scene: Scene,
    load: Load,
    reads_allocation: bool,
    allocation: Drift,
    restarts: Vec<f64>,
    pauses: Vec<(f64, f64)>,
    began: f64,
    series: Vec<Series>,
    leaked: f64,
    second: f64,
}

/// The work that arrives: 1 on average.
#[derive(Debug)]
struct Load {
    amplitude: f64,
    second_harmonic: f64,
    phase: f64,
    weekday: f64,
    weekend: f64,
    days: [f64; 9],
    noise: Drift,
    events: Vec<Event>,
}

/// Between two moments something is multiplied, after a ramp up and before a ramp down.
#[derive(Clone, Copy, Debug)]
struct Event {
    begins: f64,
    ends: f64,
    ramp: f64,
    factor: f64,
}

impl Event {
    fn at(&self, second: f64) -> f64 {
        let up = ((second - self.begins) / self.ramp).clamp(0.0, 1.0);
        let down = ((self.ends - second) / self.ramp).clamp(0.0, 1.0);
        1.0 + (self.factor - 1.0) * up.min(down)
    }
}

/// One total.
#[derive(Debug)]
struct Series {
    kind: Kind,
    signal: Signal,
    base: f64,
    /// What it holds at mean load, beside its base.
    per_load: f64,
    lag: f64,
    remembered: Option<f64>,
    noise: Drift,
    /// Deviation without memory, for a level of 1.
    jitter: f64,
    extra: Extra,
}

/// What it does beside following the load.
#[derive(Debug)]
enum Extra {
    Nothing,
    Fills { size: f64, seconds: f64, delay: f64 },
    FillsEvenly { size: f64, seconds: f64, delay: f64 },
    Steps(Vec<(f64, f64)>),
    Teeth { height: f64, period: f64, phase: f64 },
    Wanders { width: f64, drift: Drift },
    Events(Vec<Event>),
}

const KINDS: [(Kind, Signal); 8] = [
    (Kind::Fd, Signal::Files),
    (Kind::Connection, Signal::Sockets),
    (Kind::Thread, Signal::Threads),
    (Kind::Goroutine, Signal::Goroutines),
    (Kind::Heap, Signal::LiveHeap),
    (Kind::Native, Signal::OutsideGo),
    (Kind::Mapping, Signal::Mappings),
    (Kind::Child, Signal::Zombies),
];

fn is_bytes(kind: Kind) -> bool {
    matches!(kind, Kind::Heap | Kind::Native)
}

impl Process {
    /// Draws everything about it.
    pub fn draw(scene: Scene, dice: &mut Dice) -> Process {
        let load = Load::draw(scene, dice);
        let mut series: Vec<Series> =
            KINDS.into_iter().map(|(kind, signal)| Series::draw(kind, signal, scene, dice)).collect();
        let leak = Leak::draw(scene, &mut series, dice);
        let mut restarts = Vec::new();
        if scene == Scene::Deploys {
            for _ in 0..1 + (dice.unit() * 5.0) as usize {
                restarts.push(dice.between(0.0, WEEK));
            }
        }
        let mut pauses = Vec::new();
        if dice.chance(0.3) && leak.is_none() {
            for _ in 0..1 + (dice.unit() * 3.0) as usize {
                let begins = dice.between(0.0, WEEK);
                pauses.push((begins, begins + dice.magnitude(300.0, 10.0 * HOUR)));
            }
        }
        let (deviation, seconds) = (dice.between(0.005, 0.02), dice.magnitude(300.0, HOUR));
        Process {
            leak,
            scene,
            load,
            // The slow leaks are about what can be told where load is known; without it, see the innocents.
            reads_allocation: leak.is_some() || dice.chance(0.9),
            allocation: Drift::new(deviation, seconds, f64::from(BEAT), dice),
            restarts,
            pauses,
            began: 0.0,
            series,
            leaked: 0.0,
            second: 0.0,
        }
    }

    /// Whether another process takes its place at this moment.
    pub fn restarts_at(&mut self, second: f64) -> bool {
        let due = |at: &f64| (second - f64::from(BEAT)..second).contains(at);
        let restarts = self.restarts.iter().any(due);
        if restarts {
            self.began = second;
        }
        restarts
    }

    /// Whether the agent reads nothing.
    pub fn is_paused(&self, second: f64) -> bool {
        self.pauses.iter().any(|(from, to)| (*from..*to).contains(&second))
    }

    /// The totals at this moment.
    pub fn read(&mut self, second: f64, dice: &mut Dice) -> Readings {
        let load = self.load.at(second, dice);
        let passed = second - self.second;
        self.second = second;
        let mut readings = Readings::default();
        let leaks = self.leak.filter(|leak| second >= leak.begins);
        if let Some(leak) = leaks {
            self.leaked += match leak.manner {
                Manner::Steady => leak.per_second * passed,
                Manner::WithTraffic => leak.per_second * load * passed,
                Manner::Steps { every, phase } => {
                    let steps = |at: f64| ((at - leak.begins) / every + phase).floor();
                    leak.per_second * every * (steps(second) - steps((second - passed).max(leak.begins)))
                }
            };
        }
        for series in &mut self.series {
            let own = series.at(load, second, second - self.began, dice);
            let leaked = leaks.filter(|leak| leak.kind == series.kind).map_or(0.0, |_| self.leaked);
            readings.set(series.signal, (own + leaked).max(0.0).round());
        }
        if self.reads_allocation {
            let busy = if self.scene == Scene::Flat { 0.05 } else { 1.0 };
            let drift = 1.0 + self.allocation.next(dice);
            readings.set(Signal::Allocation, (2e6 * (busy * load + 0.05) * drift).max(0.0));
        }
        readings
    }
}

impl Load {
    fn draw(scene: Scene, dice: &mut Dice) -> Load {
        let is_slow_leak = matches!(scene, Scene::SlowLeak | Scene::SlowLeakFromStart);
        let amplitude = match scene {
            Scene::Flat => 0.0,
            _ if is_slow_leak => 0.5,
            _ => dice.between(0.1, 0.8),
        };
        let weekend = match scene {
            Scene::Weekend => dice.between(0.3, 1.3),
            Scene::Flat => 1.0,
            _ => dice.between(0.7, 1.05),
        };
        let daily = if scene == Scene::Flat { 0.0 } else { dice.between(0.02, 0.08) };
        let events = match scene {
            Scene::Crowds => (0..1 + (dice.unit() * 4.0) as usize)
                .map(|_| {
                    let begins = dice.between(0.0, WEEK);
                    let ends = begins + dice.magnitude(1_200.0, 6.0 * HOUR);
                    Event {
                        begins,
                        ends,
                        ramp: dice.magnitude(120.0, 1_800.0),
                        factor: dice.between(2.0, 6.0),
                    }
                })
                .collect(),
            Scene::Batch => {
                let every = if dice.chance(0.5) { DAY } else { dice.between(1.0, 6.0).round() * HOUR };
                let (lasts, at) =
                    (dice.magnitude(300.0, (every / 3.0).min(2.0 * HOUR)), dice.between(0.0, every));
                let factor = dice.between(2.0, 10.0);
                (0..(WEEK / every) as u32)
                    .map(|run| {
                        let begins = at + f64::from(run) * every;
                        Event { begins, ends: begins + lasts * dice.between(0.8, 1.2), ramp: 60.0, factor }
                    })
                    .collect()
            }
            _ => Vec::new(),
        };
        let (deviation, seconds) = (dice.between(0.01, 0.05), dice.magnitude(300.0, 2.0 * HOUR));
        Load {
            amplitude,
            second_harmonic: dice.between(-0.3, 0.3),
            phase: dice.unit(),
            weekday: dice.between(0.0, 7.0),
            weekend,
            days: std::array::from_fn(|_| 1.0 + daily * dice.normal()),
            noise: Drift::new(deviation, seconds, f64::from(BEAT), dice),
            events,
        }
    }

    fn at(&mut self, second: f64, dice: &mut Dice) -> f64 {
        let angle = (second / DAY + self.phase) * TAU;
        let wave = 1.0 + self.amplitude * (angle.cos() + self.second_harmonic * (2.0 * angle).cos());
        // Days differ, and one passes into the next at night, within four hours or so.
        let day = second / DAY + self.phase + 0.5;
        let (whole, part) = (day.floor(), ((day.fract() - 0.5) * 6.0 + 0.5).clamp(0.0, 1.0));
        let of = |day: f64| {
            let weekend = (day + self.weekday.floor()) % 7.0 >= 5.0;
            self.days[(day as usize).min(8)] * if weekend { self.weekend } else { 1.0 }
        };
        let day = of(whole) * (1.0 - part) + of(whole + 1.0) * part;
        let events: f64 = self.events.iter().map(|event| event.at(second)).product();
        (wave.max(0.02) * day * events * (1.0 + self.noise.next(dice))).max(0.0)
    }
}

impl Series {
    fn draw(kind: Kind, signal: Signal, scene: Scene, dice: &mut Dice) -> Series {
        let scale =
            if is_bytes(kind) { dice.magnitude(20.0, 2_000.0) * MIB } else { dice.magnitude(20.0, 3_000.0) };
        let follows = match (kind, scene) {
            (_, Scene::Flat) | (Kind::Child, _) => 0.0,
            (Kind::Thread | Kind::Mapping | Kind::Fd, _) => dice.between(0.0, 0.3),
            (Kind::Heap | Kind::Native, _) => dice.between(0.0, 0.6),
            _ => dice.between(0.3, 1.0),
        };
        let scale = match kind {
            Kind::Child => 0.0,
            Kind::Thread => 10.0 + 0.05 * scale,
            _ => scale,
        };
        let lag = match scene {
            Scene::Sessions => dice.magnitude(600.0, 3.0 * HOUR),
            _ if is_bytes(kind) => dice.magnitude(60.0, HOUR),
            _ => dice.magnitude(1.0, 300.0),
        };
        let deviation = match scene {
            Scene::Breathes if kind == Kind::Heap => dice.between(0.05, 0.2),
            Scene::Flat => dice.between(0.0, 0.005),
            _ => dice.between(0.005, 0.03),
        };
        let seconds = dice.magnitude(120.0, HOUR);
        Series {
            kind,
            signal,
            base: scale * (1.0 - follows),
            per_load: scale * follows,
            lag,
            remembered: None,
            noise: Drift::new(deviation, seconds, f64::from(BEAT), dice),
            jitter: if is_bytes(kind) { 0.01 } else { 1.0 / scale.max(1.0).sqrt() },
            extra: Extra::draw(kind, scene, scale, dice),
        }
    }

    fn at(&mut self, load: f64, second: f64, age: f64, dice: &mut Dice) -> f64 {
        let keeps = (-f64::from(BEAT) / self.lag).exp();
        let remembered = self.remembered.map_or(load, |before| keeps * before + (1.0 - keeps) * load);
        self.remembered = Some(remembered);
        let flow = self.per_load * remembered;
        let noise = 1.0 + self.noise.next(dice);
        let jitter =
            if self.per_load > 0.0 { self.jitter * (flow * (self.base + self.per_load)).sqrt() } else { 0.3 };
        let own = self.base + flow * noise + jitter * dice.normal();
        let scale = self.base + self.per_load;
        own + match &mut self.extra {
            Extra::Nothing => 0.0,
            Extra::Fills { size, seconds, delay } => {
                *size * (1.0 - (-(age - *delay).max(0.0) / *seconds).exp())
            }
            Extra::FillsEvenly { size, seconds, delay } => {
                *size * ((age - *delay) / *seconds).clamp(0.0, 1.0)
            }
            Extra::Steps(steps) => {
                steps.iter().filter(|(at, _)| second >= *at).map(|(_, by)| by * scale).sum::<f64>()
            }
            Extra::Teeth { height, period, phase } => *height * (second / *period + *phase).fract(),
            Extra::Wanders { width, drift } => *width * drift.next(dice).clamp(-2.0, 2.0),
            Extra::Events(events) => {
                flow * (events.iter().map(|event| event.at(second)).product::<f64>() - 1.0)
            }
        }
    }
}

impl Extra {
    fn draw(kind: Kind, scene: Scene, scale: f64, dice: &mut Dice) -> Extra {
        let takes_part = dice.chance(if is_bytes(kind) { 0.8 } else { 0.5 });
        if !takes_part || kind == Kind::Child && scene != Scene::Sawtooth {
            return Extra::Nothing;
        }
        match scene {
            Scene::WarmUp | Scene::Deploys => {
                let longest = if is_bytes(kind) { 8.0 * HOUR } else { 0.5 * HOUR };
                let delay = if dice.chance(0.7) { 0.0 } else { dice.between(0.0, 3.0 * DAY) };
                let size = scale * dice.magnitude(0.2, 10.0);
                Extra::Fills { size, seconds: dice.magnitude(300.0, longest), delay }
            }
            Scene::FillsToMaximum => {
                let longest = if is_bytes(kind) { 6.0 * HOUR } else { 1_200.0 };
                let delay = if dice.chance(0.5) { 0.0 } else { dice.between(0.0, 5.0 * DAY) };
                let size = scale * dice.magnitude(0.2, 10.0);
                Extra::FillsEvenly { size, seconds: dice.magnitude(60.0, longest), delay }
            }
            Scene::Steps => Extra::Steps(
                (0..1 + (dice.unit() * 4.0) as usize)
                    .map(|_| (dice.between(0.0, WEEK), dice.between(-0.15, 1.0)))
                    .collect(),
            ),
            Scene::Sawtooth => {
                let height = if kind == Kind::Child {
                    dice.between(3.0, 100.0)
                } else {
                    scale * dice.between(0.1, 2.0)
                };
                Extra::Teeth { height, period: dice.magnitude(600.0, 12.0 * HOUR), phase: dice.unit() }
            }
            Scene::Wanders => {
                let seconds = dice.magnitude(HOUR, 12.0 * HOUR);
                let drift = Drift::new(1.0, seconds, f64::from(BEAT), dice);
                Extra::Wanders { width: scale * dice.between(0.05, 0.2), drift }
            }
            Scene::Incidents => Extra::Events(
                (0..1 + (dice.unit() * 5.0) as usize)
                    .map(|_| {
                        let begins = dice.between(0.0, WEEK);
                        let lasts = dice.magnitude(600.0, 5_400.0);
                        let ramp = lasts * dice.between(0.1, 0.8);
                        Event { begins, ends: begins + lasts, ramp, factor: dice.between(2.0, 10.0) }
                    })
                    .collect(),
            ),
            _ => Extra::Nothing,
        }
    }
}

impl Leak {
    fn draw(scene: Scene, series: &mut [Series], dice: &mut Dice) -> Option<Leak> {
        if !LEAKS.contains(&scene) {
            return None;
        }
        let kinds = [Kind::Fd, Kind::Connection, Kind::Goroutine, Kind::Heap, Kind::Native];
        let fast = [Kind::Fd, Kind::Connection, Kind::Goroutine, Kind::Thread, Kind::Child];
        let among = if scene == Scene::FastLeak { fast } else { kinds };
        let kind = among[(dice.unit() * 5.0) as usize];
        let leaking = series.iter_mut().find(|series| series.kind == kind)?;
        if !is_bytes(kind) && scene != Scene::FastLeak {
            // A percent of twenty descriptors is nothing that anybody could see.
            let grown = dice.magnitude(100.0, 3_000.0) / (leaking.base + leaking.per_load);
            leaking.base *= grown;
            leaking.per_load *= grown;
            leaking.jitter /= grown.sqrt();
        }
        let level = leaking.base + leaking.per_load;
        if matches!(scene, Scene::SlowLeak | Scene::SlowLeakFromStart) {
            // All of it waves.
            (leaking.base, leaking.per_load) = (0.0, level);
        }
        let hourly = match scene {
            Scene::SlowLeak | Scene::SlowLeakFromStart => 0.01,
            _ => dice.between(0.02, 0.05),
        };
        let per_second =
            if scene == Scene::FastLeak { dice.magnitude(0.1, 5.0) } else { hourly * level / HOUR };
        let manner = match scene {
            Scene::BurstLeak => {
                Manner::Steps { every: dice.between(30.0, 50.0) / per_second.max(1e-9), phase: dice.unit() }
            }
            Scene::StepLeak => Manner::Steps { every: dice.between(2.0, 4.0) * HOUR, phase: dice.unit() },
            Scene::TrafficLeak => Manner::WithTraffic,
            _ => Manner::Steady,
        };
        let manner = match manner {
            // Bytes come in bursts of their own size.
            Manner::Steps { phase, .. } if scene == Scene::BurstLeak && is_bytes(kind) => {
                Manner::Steps { every: dice.between(600.0, HOUR), phase }
            }
            manner => manner,
        };
        let begins = if scene == Scene::SlowLeakFromStart { 0.0 } else { dice.between(DAY, 3.0 * DAY) };
        Some(Leak { kind, begins, per_second, manner })
    }
}
