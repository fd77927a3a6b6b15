//! What the births of one cohort look like.

use crate::observed::ages::{Cohort, Group, LEAST_MEMBERS, Member};
use crate::observed::connections::Role;
use crate::vocabulary::descriptor::DescriptorType;

/// From how much on ages count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// A child that exited longer ago than this, in seconds, is not going to be waited for.
    pub dead_child_seconds: f64,
    /// A socket that the peer closed, and on which nothing has happened for so many seconds, is forgotten.
    pub dead_socket_seconds: f64,
    /// A cohort whose oldest is younger than this, in seconds, may be a start.
    pub least_seconds: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { dead_child_seconds: 180.0, dead_socket_seconds: 60.0, least_seconds: 20.0 }
    }
}

/// The first part of a process's life in which it sets itself up.
const STARTUP: f64 = 0.98;
/// Distance from an even spread (Kolmogorov-Smirnov) within which it is one, at the least.
const EVEN: f64 = 0.15;
/// ... and over the square root of how many there are: the 5 % point.
const EVEN_OF_FEW: f64 = 1.36;
/// The youngest is no older than so many times the mean distance between two.
const UP_TO_NOW: f64 = 4.0;
/// The oldest reaches back over this part of the process's life.
const REACHES_BACK: f64 = 0.5;
/// Of its life a thing was used: up to here never again after it came,
const NEVER_USED: f64 = 0.25;
/// ... and from here on all the time.
const IN_USE: f64 = 0.5;
/// So many within a tenth of the process's life were born together.
const SAME_BIRTH: f64 = 0.7;
const TOGETHER: f64 = 0.1;
/// With so many different peers each has one.
const ONE_PER_PEER: f64 = 0.8;
/// Numbers in the order of their births: none was given twice.
const IN_ORDER: f64 = 0.95;
/// What came within this part of the oldest age came at one moment.
const MOMENT: f64 = 1.0 / 200.0;
const LEAST_MOMENT_SECONDS: f64 = 0.05;
/// What is closer together than this part of the mean distance came in a batch.
const BATCH: f64 = 0.1;
/// So many descriptors of one file nobody needs,
const LEAST_OF_ONE_FILE: u64 = 24;
/// ... of which so many were never read.
const NEVER_READ: f64 = 0.9;
/// The dead of a crowd died together; those of a leak one by one.
const LEAST_DEATHS: usize = 3;

/// What the births of a cohort look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// What they look like.
    pub course: Course,
    /// Things that it is about: those of the process's start left out.
    pub count: u64,
    /// Moments at which they came.
    pub moments: usize,
    /// Age of the oldest, in seconds.
    pub oldest_seconds: f64,
    /// Seconds from one to the next, or from batch to batch.
    pub each_seconds: f64,
    /// They go on coming.
    pub goes_on: bool,
    /// The part of its life after which a thing was used last: the median; `None` where that is not known.
    pub use_share: Option<f64>,
}

/// What the births of a cohort look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Course {
    /// Evenly spread up to now, reaching back, none used again.
    Leaks,
    /// Dead for long, and still held.
    Dead {
        /// So many.
        count: u64,
        /// The one that is dead for longest, in seconds.
        oldest_seconds: f64,
    },
    /// It would be a leak, but they are used.
    InUse,
    /// Each has a peer of its own.
    OnePerPeer,
    /// Born together.
    SameBirth,
    /// Evenly spread, and none is older than they live.
    Turnover,
    /// Evenly spread and in order: begun late, or emptied at once.
    BeganLate,
    /// They no longer come.
    Stopped,
    /// None of these.
    Uneven,
    /// Too few, or too young.
    Few,
    /// Nothing dates them, but all are one file that nobody ever read or wrote through them.
    SameFile,
    /// Too few of them have an age.
    Undated,
}

/// What the births of a cohort of a process that has lived so many seconds look like.
pub fn shape(cohort: &Cohort, process_seconds: f64, settings: &Settings) -> Shape {
    let mut known: Vec<(f64, &Member)> =
        cohort.members.iter().filter_map(|member| Some((member.age_seconds?, member))).collect();
    known.sort_by(|a, b| b.0.total_cmp(&a.0));
    let at_start = known.iter().filter(|(age, _)| *age >= STARTUP * process_seconds).count();
    if at_start * 2 < known.len() {
        known.drain(..at_start);
    }
    let ages: Vec<f64> = known.iter().map(|(age, _)| *age).collect();
    let moments = moments(&known);
    let oldest = ages.first().copied().unwrap_or(0.0);
    let youngest = ages.last().copied().unwrap_or(0.0);
    let goes_on = moments > 0 && youngest <= UP_TO_NOW * oldest / moments as f64;
    let mut shape = Shape {
        course: Course::Few,
        count: scaled(ages.len(), cohort),
        moments,
        oldest_seconds: oldest,
        each_seconds: each_seconds(&known, cohort),
        goes_on,
        use_share: use_share(&known, process_seconds),
    };
    if let Some(dead) = dead(cohort, settings) {
        let known_since = ages.is_empty();
        let (count, seconds) = match dead {
            Course::Dead { count, oldest_seconds } => (count, oldest_seconds),
            _ => (0, 0.0),
        };
        return Shape {
            course: dead,
            count: shape.count.max(count),
            oldest_seconds: if known_since { seconds } else { oldest },
            ..shape
        };
    }
    let is_dated = cohort.dated >= LEAST_MEMBERS as u64 && cohort.dated * 2 >= cohort.count;
    shape.course = if cohort.count < LEAST_MEMBERS as u64 {
        Course::Few
    } else if !is_dated {
        Course::Undated
    } else if moments < LEAST_MEMBERS || oldest < settings.least_seconds {
        let together = same_birth(&ages, process_seconds) >= SAME_BIRTH;
        if together { Course::SameBirth } else { Course::Few }
    } else {
        course(cohort, &known, &shape, process_seconds)
    };
    // What dates files is who looked at their links, and when.
    if is_one_file(cohort) && shape.course != Course::Leaks {
        shape.course = Course::SameFile;
        shape.count = cohort.count;
    }
    shape
}

/// One file, opened again and again and never read.
fn is_one_file(cohort: &Cohort) -> bool {
    let named = matches!(&cohort.group, Group::Descriptors { kind: DescriptorType::File, path: Some(_) });
    named && cohort.count >= LEAST_OF_ONE_FILE && cohort.never_used as f64 >= NEVER_READ * cohort.count as f64
}

fn course(cohort: &Cohort, known: &[(f64, &Member)], shape: &Shape, process_seconds: f64) -> Course {
    let ages: Vec<f64> = known.iter().map(|(age, _)| *age).collect();
    let even = distance(&ages) <= EVEN.max(EVEN_OF_FEW / (shape.moments as f64).sqrt());
    if !shape.goes_on {
        let together = same_birth(&ages, process_seconds) >= SAME_BIRTH;
        return if together { Course::SameBirth } else { Course::Stopped };
    }
    if !even {
        return Course::Uneven;
    }
    if shape.oldest_seconds < REACHES_BACK * process_seconds {
        return if in_order(known) >= IN_ORDER { Course::BeganLate } else { Course::Turnover };
    }
    match shape.use_share {
        Some(share) if share >= IN_USE => return Course::InUse,
        Some(share) if share > NEVER_USED => return Course::Uneven,
        _ => {}
    }
    let one_per_peer = cohort.peers as f64 >= ONE_PER_PEER * cohort.count as f64;
    if one_per_peer && matches!(cohort.group, Group::Sockets { role: Role::Dialled | Role::Accepted, .. }) {
        return Course::OnePerPeer;
    }
    Course::Leaks
}

/// Those that are dead for long enough, where they are enough.
fn dead(cohort: &Cohort, settings: &Settings) -> Option<Course> {
    let is_child = cohort.group == Group::Zombies;
    let least = if is_child { settings.dead_child_seconds } else { settings.dead_socket_seconds };
    let dead: Vec<(f64, &Member)> = cohort
        .members
        .iter()
        .filter_map(|member| Some((member.dead_seconds?, member)))
        .filter(|(seconds, _)| *seconds > least)
        .collect();
    let count = scaled(dead.len(), cohort);
    let mut sorted = dead;
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    // Connections that a server ended together when it was restarted are an idle pool's.
    let one_by_one = is_child || moments(&sorted) >= LEAST_DEATHS;
    let oldest_seconds = sorted.first()?.0;
    (count >= LEAST_MEMBERS as u64 && one_by_one).then_some(Course::Dead { count, oldest_seconds })
}

/// For how many these members stand: for more than themselves where the cohort was thinned out.
fn scaled(members: usize, cohort: &Cohort) -> u64 {
    let all = cohort.members.len().max(1) as u64;
    let scaled = u128::from(cohort.count) * members as u128 / u128::from(all);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// Moments at which these came, the oldest first: a batch is one.
fn moments(known: &[(f64, &Member)]) -> usize {
    let Some((oldest, _)) = known.first() else { return 0 };
    let width = (oldest * MOMENT).max(LEAST_MOMENT_SECONDS);
    let mut moments = 0;
    let mut began = f64::INFINITY;
    for (age, _) in known {
        if began - age > width {
            moments += 1;
            began = *age;
        }
    }
    moments
}

/// Seconds from one coming to the next: of single things, or of batches.
fn each_seconds(known: &[(f64, &Member)], cohort: &Cohort) -> f64 {
    let Some((oldest, _)) = known.first() else { return 0.0 };
    let width = (BATCH * oldest / known.len() as f64).max(LEAST_MOMENT_SECONDS);
    let apart = known.windows(2).filter(|pair| matches!(pair, [a, b] if a.0 - b.0 > width)).count() + 1;
    // Thinning out leaves of each batch some, and of single things every so many-th.
    let comings = if apart * 2 < known.len() { apart as u64 } else { scaled(apart, cohort) };
    oldest / comings.max(1) as f64
}

/// The largest distance between the share that has come and the share of time that has passed; 0 to 1. Ages are
/// descending.
fn distance(ages: &[f64]) -> f64 {
    let count = ages.len() as f64;
    let Some(oldest) = ages.first().filter(|age| **age > 0.0) else { return 1.0 };
    let at = |(index, age): (usize, &f64)| {
        let passed = (oldest - age) / oldest;
        ((index as f64 + 1.0) / count - passed).abs().max((index as f64 / count - passed).abs())
    };
    ages.iter().enumerate().map(at).fold(0.0, f64::max)
}

/// The largest part of them that came within a tenth of the process's life. Ages are descending.
fn same_birth(ages: &[f64], process_seconds: f64) -> f64 {
    let width = TOGETHER * process_seconds;
    let within = |(index, age): (usize, &f64)| {
        let to = ages.partition_point(|other| age - other <= width);
        to.saturating_sub(index)
    };
    let most = ages.iter().enumerate().map(within).max().unwrap_or(0);
    most as f64 / ages.len().max(1) as f64
}

/// The part of its life after which a thing was used last: the median.
fn use_share(known: &[(f64, &Member)], process_seconds: f64) -> Option<f64> {
    // What has just come has had no time to be used.
    let least = (process_seconds / 100.0).clamp(1.0, 10.0);
    let share = |(age, member): &(f64, &Member)| {
        let idle = member.idle_seconds?.min(*age);
        (*age > least).then(|| (age - idle) / age)
    };
    let mut shares: Vec<f64> = known.iter().filter_map(share).collect();
    shares.sort_by(f64::total_cmp);
    (shares.len() * 2 >= known.len().min(LEAST_MEMBERS)).then(|| shares.get(shares.len() / 2).copied())?
}

/// How far numbers follow births: 1 where none was given twice (Kendall's tau).
pub(super) fn in_order(known: &[(f64, &Member)]) -> f64 {
    let (mut with, mut against) = (0_u64, 0_u64);
    for (index, (age, member)) in known.iter().enumerate() {
        for (other_age, other) in known.iter().take(index) {
            match (age < other_age, member.number.cmp(&other.number)) {
                (_, std::cmp::Ordering::Equal) => {}
                (true, std::cmp::Ordering::Greater) | (false, std::cmp::Ordering::Less) => with += 1,
                _ => against += 1,
            }
        }
    }
    if with + against == 0 { 0.0 } else { (with as f64 - against as f64) / (with + against) as f64 }
}
