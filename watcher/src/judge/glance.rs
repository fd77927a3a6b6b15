//! The first glance: what the ages of the things that a process holds say of a leak.
//!
//! Things that came one by one, evenly, up to now, from one place, and of which none was used again, are what a leak
//! leaves behind. A pool came at once or is used; a crowd came at the start; what turns over reaches back only as far as
//! it lives. All of this takes one look. It is a suspicion and no proof: a set that is bounded and not yet full looks the
//! same. What is dead and still held needs no more proof.

mod cohort;
mod joined;
mod parked;
mod reason;

use crate::judge::glance::reason::Reason;
use crate::judge::judgement::{Detail, Finding, Outcome, Suspected};
use crate::judge::kinds::{goroutines, threads};
use crate::judge::terms::{Bounds, Kind, Rate};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{Steady, SteadyWhy, Undecided, UndecidedWhy};
use crate::observed::ages::{Ages, Cohort, Group};
use crate::observed::connections::Role;
use crate::store::Window;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::socket::SocketState;
pub use cohort::{Course, Settings, Shape, shape};
use std::time::Duration;

/// What was looked at longer ago than this says nothing of now, in seconds.
const FRESH_SECONDS: f64 = 900.0;
/// A suspicion is not a finding, however clear.
const SUSPECTED: f64 = 0.6;
/// The dead are.
const DEAD: f64 = 0.9;
/// A window and the ages agree: of the doubt so much is left.
const DOUBT_LEFT: f64 = 0.5;
/// A window in which so many more should come decides.
const DECIDED_BY: f64 = 10.0;
const LEAST_NEED_SECONDS: f64 = 60.0;
/// Of the things of a first look so many must still be there at a later one, or they come and go.
const STAYED: f64 = 0.9;
/// Between two looks that close nothing is told from the comparison.
const APART_SECONDS: f64 = 5.0;

/// Adds what the ages say to what the totals say.
pub(super) fn amend(outcomes: &mut Vec<Outcome>, window: &Window, bounds: &Bounds, settings: &Settings) {
    let looks = &window.captures().ages;
    let Some(ages) = looks.last() else { return };
    let newest = window.latest().map_or(ages.at, |sample| sample.at);
    if newest.seconds_since(&ages.at) > FRESH_SECONDS {
        return;
    }
    let first = looks.ends().map(|(first, _)| first);
    let mut reasons: Vec<Reason> = ages
        .cohorts
        .iter()
        .filter(|cohort| !follows_sockets(cohort, ages))
        .filter_map(|cohort| reason(cohort, ages, first, settings))
        .collect();
    for reason in reasons.iter_mut().filter(|it| it.kind == Kind::Thread) {
        threads::name_holders(&mut reason.finding, window.captures());
    }
    reasons.extend(of_goroutines(window, bounds, settings));
    // A child that was not waited for has its pidfd: one leak.
    let children = reasons.iter().filter(|it| it.kind == Kind::Child).map(|it| it.count).max();
    reasons.retain(|it| !it.is_pidfd || children.is_none_or(|children| it.count > 2 * children));
    reasons.sort_by_key(|it| (!it.is_dead, std::cmp::Reverse(it.count), it.is_accepted));
    let mut told: Vec<Kind> = Vec::new();
    for reason in reasons {
        if told.contains(&reason.kind) {
            continue;
        }
        told.push(reason.kind);
        add(outcomes, reason, window.seconds());
    }
    if window.len() <= 1 {
        after_one_look(outcomes, ages, settings);
    }
}

fn add(outcomes: &mut Vec<Outcome>, mut reason: Reason, window_seconds: f64) {
    let kind = reason.kind;
    for outcome in outcomes.iter_mut() {
        match outcome {
            Outcome::Leaks(finding) if finding.kind == kind => {
                finding.evidence.extend(reason.finding.evidence);
                finding.confidence = 1.0 - (1.0 - finding.confidence) * DOUBT_LEFT;
                return;
            }
            Outcome::Suspected(suspected) if suspected.finding.kind == kind && !reason.is_dead => {
                let proven = joined::prove(&reason, suspected, window_seconds);
                suspected.finding.evidence.extend(reason.finding.evidence);
                if let Some(finding) = proven {
                    let evidence = std::mem::take(&mut suspected.finding.evidence);
                    *outcome = Outcome::Leaks(Finding { evidence, ..finding });
                }
                return;
            }
            // It knows the lines.
            Outcome::Suspected(suspected) if suspected.finding.kind == kind => {
                reason.finding.culprits = std::mem::take(&mut suspected.finding.culprits);
                reason.finding.evidence.append(&mut suspected.finding.evidence);
            }
            _ => {}
        }
    }
    outcomes.retain(|outcome| match outcome {
        Outcome::Leaks(_) => true,
        Outcome::Suspected(it) => it.finding.kind != kind,
        Outcome::Steady(it) => it.kind != kind,
        Outcome::Undecided(it) => it.kind != kind,
    });
    outcomes.push(if reason.is_dead {
        Outcome::Leaks(reason.finding)
    } else {
        Outcome::Suspected(Suspected { finding: reason.finding, need_seconds: reason.need_seconds })
    });
}

/// Pipes of which there are one or two for each of so many sockets: `io.Copy` between connections keeps such
/// (`internal/poll/splice_linux.go`), and using it leaves no trace on them.
fn follows_sockets(cohort: &Cohort, ages: &Ages) -> bool {
    let is_pipe = matches!(cohort.group, Group::Descriptors { kind: DescriptorType::Pipe, .. });
    let goes_with = |it: &&Cohort| {
        matches!(it.group, Group::Sockets { .. }) && (it.count..=5 * it.count).contains(&cohort.count)
    };
    is_pipe && ages.cohorts.iter().any(|it| goes_with(&it))
}

/// What a cohort gives reason for, where it does.
fn reason(cohort: &Cohort, ages: &Ages, first: Option<&Ages>, settings: &Settings) -> Option<Reason> {
    let shape = shape(cohort, ages.process_seconds, settings);
    if went(cohort, ages, first) {
        return None;
    }
    let (evidence, is_dead) = match shape.course {
        Course::Dead { count, oldest_seconds } => {
            (Evidence::DeadAndHeld { count, of: cohort.count, oldest_seconds }, true)
        }
        Course::Leaks => (
            Evidence::OneByOne {
                count: shape.count,
                since: ages.at.wall.checked_sub(Duration::from_secs_f64(shape.oldest_seconds))?,
                seconds: shape.oldest_seconds,
                each_seconds: shape.each_seconds,
                unused: shape.use_share.map(|_| true),
            },
            false,
        ),
        Course::SameFile => {
            let Group::Descriptors { path: Some(path), .. } = &cohort.group else { return None };
            (Evidence::SameFile { count: cohort.count, path: path.as_str().into() }, false)
        }
        _ => return None,
    };
    // Nothing tells since when: with the process at the earliest.
    let shape = match shape.course {
        Course::SameFile => {
            let moments = usize::try_from(cohort.count).unwrap_or(usize::MAX);
            Shape {
                moments,
                oldest_seconds: ages.process_seconds,
                each_seconds: ages.process_seconds / moments.max(1) as f64,
                goes_on: true,
                ..shape
            }
        }
        _ => shape,
    };
    let is_socket = matches!(cohort.group, Group::Sockets { .. });
    let detail = Detail {
        // Some of those that wait to be closed have been given up by the kernel meanwhile.
        state: cohort.state.or(is_dead.then_some(SocketState::CloseWait).filter(|_| is_socket)),
        peer: cohort.peer.clone(),
        descriptor_type: match &cohort.group {
            Group::Descriptors { kind, .. } => Some(*kind),
            _ => None,
        },
        ..Detail::default()
    };
    let finding = Finding {
        confidence: if is_dead { DEAD } else { SUSPECTED },
        detail,
        ..finding(kind_of(&cohort.group), &shape, evidence)
    };
    Some(Reason {
        kind: finding.kind,
        finding,
        shape,
        is_dead,
        need_seconds: Some(need_seconds(&shape)),
        count: shape.count,
        is_accepted: matches!(cohort.group, Group::Sockets { role: Role::Accepted, .. }),
        is_pidfd: matches!(cohort.group, Group::Descriptors { kind: DescriptorType::PidFd, .. }),
    })
}

/// Goroutines that came one by one and wait since: the largest group.
fn of_goroutines(window: &Window, bounds: &Bounds, settings: &Settings) -> Option<Reason> {
    let captures = window.captures();
    let capture = captures.goroutines.last()?;
    let newest = window.latest().map_or(capture.at, |sample| sample.at);
    let age_seconds = bounds.age_seconds? - newest.seconds_since(&capture.at);
    let parked = parked::leaking(capture, age_seconds, settings).into_iter().next()?;
    let shape = parked.shape;
    let evidence = Evidence::OneByOne {
        count: shape.count,
        since: capture.at.wall.checked_sub(Duration::from_secs_f64(shape.oldest_seconds))?,
        seconds: shape.oldest_seconds,
        each_seconds: shape.each_seconds,
        unused: Some(true),
    };
    let mut finding = finding(Kind::Goroutine, &shape, evidence);
    goroutines::naming::name(&mut finding, captures, parked.site);
    let need_seconds = Some(need_seconds(&shape));
    Some(Reason {
        kind: Kind::Goroutine,
        finding,
        shape,
        is_dead: false,
        need_seconds,
        count: shape.count,
        is_pidfd: false,
        is_accepted: false,
    })
}

/// A window in which enough more should come.
fn need_seconds(shape: &Shape) -> f64 {
    (DECIDED_BY * shape.each_seconds).max(LEAST_NEED_SECONDS)
}

fn finding(kind: Kind, shape: &Shape, evidence: Evidence) -> Finding {
    let per_second = if shape.goes_on { shape.count as f64 / shape.oldest_seconds.max(1.0) } else { 0.0 };
    // Two standard deviations of so many independent comings.
    let spread = 2.0 / (shape.moments.max(1) as f64).sqrt();
    let rate =
        Rate { per_second, low: per_second * (1.0 - spread).max(0.0), high: per_second * (1.0 + spread) };
    Finding {
        kind,
        primary: false,
        consequence_of: None,
        confidence: SUSPECTED,
        rate,
        exhausts: None,
        detail: Detail::default(),
        culprits: Vec::new(),
        evidence: vec![evidence],
    }
}

/// Of those that were there at a first look many are not any more: they come and go.
fn went(cohort: &Cohort, ages: &Ages, first: Option<&Ages>) -> bool {
    let Some(first) = first else { return false };
    let apart = ages.at.seconds_since(&first.at);
    let Some(before) = first.cohorts.iter().find(|it| it.group == cohort.group) else { return false };
    if apart < APART_SECONDS || cohort.members.is_empty() {
        return false;
    }
    let old = cohort.members.iter().filter(|it| it.age_seconds.is_some_and(|age| age >= apart)).count();
    let undated = cohort.members.iter().filter(|it| it.age_seconds.is_none()).count();
    let now = (old + undated) as f64 / cohort.members.len() as f64 * cohort.count as f64;
    now < STAYED * before.count as f64
}

/// What one look leaves open of each kind.
fn after_one_look(outcomes: &mut Vec<Outcome>, ages: &Ages, settings: &Settings) {
    outcomes.retain(|outcome| match outcome {
        Outcome::Leaks(_) | Outcome::Suspected(_) => true,
        Outcome::Steady(Steady { why, .. }) => !matches!(why, SteadyWhy::Flat { .. }),
        Outcome::Undecided(it) => {
            !matches!(it.why, UndecidedWhy::TooFewSamples { .. } | UndecidedWhy::TooShort { .. })
        }
    });
    for kind in [
        Kind::Fd,
        Kind::Connection,
        Kind::Thread,
        Kind::Child,
        Kind::Mapping,
        Kind::Goroutine,
        Kind::Heap,
        Kind::Native,
    ] {
        let is_told = outcomes.iter().any(|outcome| match outcome {
            Outcome::Leaks(it) => it.kind == kind,
            Outcome::Suspected(it) => it.finding.kind == kind,
            Outcome::Steady(it) => it.kind == kind,
            Outcome::Undecided(it) => it.kind == kind,
        });
        if is_told {
            continue;
        }
        let of_kind = || ages.cohorts.iter().filter(|cohort| kind_of(&cohort.group) == kind);
        let undated =
            of_kind().any(|cohort| shape(cohort, ages.process_seconds, settings).course == Course::Undated);
        let unread = match kind {
            Kind::Thread | Kind::Child => ages.unread.tasks,
            Kind::Fd | Kind::Connection => ages.unread.descriptors,
            _ => true,
        };
        let why = UndecidedWhy::OneLook { dated: !undated && !unread };
        outcomes.push(Outcome::Undecided(Undecided { kind, why }));
    }
}

fn kind_of(group: &Group) -> Kind {
    match group {
        Group::Threads => Kind::Thread,
        Group::Goroutines => Kind::Goroutine,
        Group::Zombies => Kind::Child,
        Group::Sockets { .. } => Kind::Connection,
        Group::Descriptors { .. } => Kind::Fd,
    }
}

#[cfg(test)]
mod tests;
