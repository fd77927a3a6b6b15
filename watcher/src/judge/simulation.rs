//! A small simulator for tests: seeded noise, the curves of leaks and of their innocent look-alikes, and windows
//! made of them.

use crate::observed::Sample;
use crate::observed::cgroup::CgroupUsage;
use crate::observed::children::Children;
use crate::observed::connections::{ConnectionGroup, ConnectionKey, Connections, Peer, Role};
use crate::observed::descriptors::DescriptorTypes;
use crate::observed::go_counters::GoCounters;
use crate::observed::memory::Memory;
use crate::observed::quotas::Quotas;
use crate::observed::threads::ThreadGroups;
use crate::store::{Series, Window};
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::{Moment, Reading, Stamped, Via};
use crate::vocabulary::socket::{Family, SocketState, Transport};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

/// Splitmix64: small, seeded, good enough to draw noise from.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Between 0 and 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// The same as a whole number.
    pub fn events(&mut self, mean: f64) -> u64 {
        #[expect(clippy::cast_sign_loss, reason = "a count is never negative")]
        let events = self.poisson(mean) as u64;
        events
    }

    /// How many events of this mean happened.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let limit = (-mean).exp();
        let mut product = self.unit();
        let mut count = 0.0;
        while product > limit {
            product *= self.unit();
            count += 1.0;
        }
        count
    }
}

/// What a curve does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Curve {
    // Leaks.
    /// Constant rate; the phase and the beat's jitter are random.
    Ticker {
        per_second: f64,
    },
    /// Constant rate over a level of requests in flight.
    TickerUnderChurn {
        per_second: f64,
        in_flight: f64,
    },
    /// Events at random moments.
    RandomArrivals {
        per_second: f64,
    },
    /// So many at once, every so many seconds.
    Bursts {
        size: f64,
        period: f64,
    },
    // Innocents.
    Flat,
    /// Requests in flight: each lives for a second or a few.
    Churn {
        in_flight: f64,
        lifetime: f64,
    },
    /// Rises fast and stays.
    WarmUp {
        to: f64,
        seconds: f64,
    },
    /// Rises and is freed at once, over and over.
    Sawtooth {
        height: f64,
        period: f64,
    },
    /// Much at once, then nothing.
    BurstThenIdle {
        size: f64,
        gives_back: bool,
    },
    /// Wanders between two walls.
    BoundedWalk {
        step: f64,
        width: f64,
    },
    /// Follows a load of which the window shows a whole period.
    Wave {
        height: f64,
        periods: f64,
    },
    /// A pool that is taken into use ever more slowly, and is still filling.
    PoolFills {
        max: f64,
        time_constant: f64,
    },
}

/// A curve with a seed's own parameters.
pub type DrawCurve = fn(&mut Dice) -> Curve;

/// A number over time without any noise.
pub type Formula = fn(f64) -> f64;

/// One number a beat for `seconds`, with a beat of one second and the jitter of a real sampler.
pub fn series(curve: Curve, seconds: f64, seed: u64) -> Series {
    let mut dice = Dice(seed);
    let mut series = Series::default();
    let base = dice.between(8.0, 60.0).round();
    let phase = dice.unit();
    let mut state = State { base, phase, level: 0.0, second: 0.0, direct: Vec::new() };
    let beats = (0..).map(f64::from).take_while(|beat| *beat <= seconds);
    for beat in beats {
        let at = beat + if beat == 0.0 { 0.0 } else { dice.between(-0.03, 0.03) };
        let value = state.value(curve, at, seconds, &mut dice);
        series.seconds.push(at);
        series.values.push(value.max(0.0).round());
    }
    series
}

struct State {
    base: f64,
    phase: f64,
    level: f64,
    second: f64,
    direct: Vec<f64>,
}

impl State {
    fn value(&mut self, curve: Curve, at: f64, seconds: f64, dice: &mut Dice) -> f64 {
        let passed = at - self.second;
        self.second = at;
        let base = self.base;
        match curve {
            Curve::Ticker { per_second } => base + (at * per_second + self.phase).floor(),
            Curve::TickerUnderChurn { per_second, in_flight } => {
                base + (at * per_second + self.phase).floor()
                    + self.churn(in_flight, 2.0, at == 0.0, passed, dice)
            }
            Curve::RandomArrivals { per_second } => {
                self.level += dice.poisson(per_second * passed);
                base + self.level
            }
            Curve::Bursts { size, period } => base + size * (at / period + self.phase).floor(),
            Curve::Flat => base + if dice.unit() < 0.1 { 1.0 } else { 0.0 },
            Curve::Churn { in_flight, lifetime } => {
                base + self.churn(in_flight, lifetime, at == 0.0, passed, dice)
            }
            Curve::WarmUp { to, seconds } => {
                let target = to * (at / seconds).min(1.0);
                self.level = self.level.max((target + dice.normal() * 0.02 * to).min(to));
                base + self.level
            }
            Curve::Sawtooth { height, period } => {
                base + height * (at / period + self.phase).fract() + dice.normal() * 0.03 * height
            }
            Curve::BurstThenIdle { size, gives_back } => {
                let start = 3.0 + 5.0 * self.phase;
                let busy = (start..start + 4.0).contains(&at);
                if busy {
                    self.level = (self.level + size / 3.0).min(size);
                } else if gives_back && at > start + 4.0 {
                    self.level *= 0.7;
                }
                base + self.level + if dice.unit() < 0.2 { 1.0 } else { 0.0 }
            }
            Curve::BoundedWalk { step, width } => {
                if at == 0.0 {
                    self.level = width * self.phase;
                }
                self.level += step * dice.normal();
                if self.level < 0.0 {
                    self.level = -self.level;
                }
                if self.level > width {
                    self.level = 2.0 * width - self.level;
                }
                base + self.level.clamp(0.0, width)
            }
            Curve::Wave { height, periods } => {
                let angle = std::f64::consts::TAU * (at / seconds * periods + self.phase);
                base + height * (1.0 + angle.sin()) / 2.0 + dice.normal() * 0.04 * height
            }
            Curve::PoolFills { max, time_constant } => {
                let free = max - self.level;
                self.level += dice.poisson(free / time_constant * passed).min(free);
                base + self.level
            }
        }
    }

    /// Requests that arrive at random and live for a while, in equilibrium from the start.
    fn churn(&mut self, mean: f64, lifetime: f64, first: bool, passed: f64, dice: &mut Dice) -> f64 {
        if first {
            let open = dice.events(mean);
            self.direct = (0..open).map(|_| -lifetime * dice.unit().max(1e-12).ln()).collect();
        }
        for left in &mut self.direct {
            *left -= passed;
        }
        self.direct.retain(|left| *left > 0.0);
        for _ in 0..dice.events(mean / lifetime * passed) {
            let left = -lifetime * dice.unit().max(1e-12).ln() - passed * dice.unit();
            if left > 0.0 {
                self.direct.push(left);
            }
        }
        self.direct.len() as f64
    }
}

/// The numbers of one beat from which a sample is made.
#[derive(Clone, Debug)]
pub struct Beat {
    pub files: u64,
    pub pipes: u64,
    pub established: u64,
    pub close_wait: u64,
    pub threads: u64,
    pub zombies: u64,
    pub mappings: u64,
    pub anon_bytes: u64,
    pub file_bytes: u64,
    /// The Go runtime's totals; `None` where they are not read.
    pub runtime: Option<GoCounters>,
}

impl Default for Beat {
    fn default() -> Self {
        Beat {
            files: 5,
            pipes: 0,
            established: 3,
            close_wait: 0,
            threads: 8,
            zombies: 0,
            mappings: 60,
            anon_bytes: 40 << 20,
            file_bytes: 10 << 20,
            runtime: None,
        }
    }
}

pub const PROCESS: ProcessId = ProcessId { pid: 812, start_ticks: 4_711 };

pub fn moment(seconds: f64) -> Moment {
    let since_boot = Duration::from_secs_f64(1_000.0 + seconds);
    Moment { since_boot, wall: UNIX_EPOCH + Duration::from_secs(1_790_000_000) + since_boot }
}

fn seen<T>(at: Moment, value: T) -> Stamped<T> {
    Stamped { at, via: Via::Procfs, reading: Reading::Seen(value) }
}

/// A sample with everything read at this second.
pub fn sample(second: f64, beat: &Beat) -> Sample {
    let at = moment(second);
    let sockets = beat.established + beat.close_wait + 1;
    let counts: BTreeMap<_, _> = [
        (DescriptorType::File, beat.files),
        (DescriptorType::Pipe, beat.pipes),
        (DescriptorType::Socket, sockets),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .collect();
    let types = DescriptorTypes { counts };
    let group = |state, role, peer, count| ConnectionGroup {
        key: ConnectionKey { family: Family::Inet, transport: Transport::Tcp, state, role, peer },
        count,
    };
    let server = Peer::Server { ip: [127, 0, 0, 1].into(), port: 8081 };
    let groups = vec![
        group(SocketState::CloseWait, Role::Dialled, server.clone(), beat.close_wait),
        group(SocketState::Established, Role::Dialled, server, beat.established),
        group(SocketState::Listen, Role::Listener, Peer::None, 1),
    ];
    let connections = Connections {
        groups: groups.into_iter().filter(|g| g.count > 0).collect(),
        ..Connections::default()
    };
    Sample {
        process: PROCESS,
        at,
        missed_beats: 0,
        memory: seen(
            at,
            Memory { anon_bytes: beat.anon_bytes, file_bytes: beat.file_bytes, ..Memory::default() },
        ),
        mappings: seen(at, beat.mappings),
        threads: seen(at, beat.threads),
        thread_groups: Arc::new(seen(at, ThreadGroups::default())),
        descriptors: seen(at, types.total()),
        descriptor_types: Arc::new(seen(at, types)),
        connections: Arc::new(seen(at, connections)),
        children: seen(at, Children { zombies: beat.zombies, running: 0 }),
        cgroup: seen(at, CgroupUsage { pids: Some(beat.threads), ..CgroupUsage::default() }),
        runtime: Stamped {
            at,
            via: Via::RuntimeMemory,
            reading: beat.runtime.map_or(Reading::Unsupported, Reading::Seen),
        },
        quotas: Arc::new(seen(at, Quotas::default())),
    }
}

/// One sample a second for 45 s; `change` says what differs from an idle process.
pub fn window(change: impl Fn(usize, &mut Beat)) -> Window {
    details_every(1, change)
}

/// One sample each `beat` seconds for so many seconds; `change` is given the second.
pub fn window_of(seconds: f64, beat: f64, change: impl Fn(f64, &mut Beat)) -> Window {
    let mut window = Window::new(PROCESS, 4_096);
    let moments = (0_u32..).map(|number| f64::from(number) * beat);
    for second in moments.take_while(|second| *second <= seconds + 1e-9) {
        let mut numbers = Beat::default();
        change(second, &mut numbers);
        assert!(window.push(sample(second, &numbers)));
    }
    window
}

/// The same, but descriptor types and sockets are read only every so many beats.
pub fn details_every(beats: usize, change: impl Fn(usize, &mut Beat)) -> Window {
    let mut window = Window::new(PROCESS, 256);
    let mut details: Option<Sample> = None;
    for second in 0..=45 {
        let mut beat = Beat::default();
        change(second, &mut beat);
        let mut sample = sample(second as f64, &beat);
        if second % beats == 0 {
            details = Some(sample.clone());
        } else if let Some(read) = &details {
            sample.descriptor_types = Arc::clone(&read.descriptor_types);
            sample.connections = Arc::clone(&read.connections);
        }
        assert!(window.push(sample));
    }
    window
}
