//! What `run` does on the thread that may block: beats, and between them the samples of those that cannot wait.

use super::endings::Ending;
use super::observer::Observer;
use super::rush::{self, Course, Rushed};
use super::telling::Told;
use super::terms::Claim;
use crate::discover::Changes;
use crate::explain::diagnosis::{Diagnosis, Suspected};
use crate::explain::{self, Kind, Verdict};
use crate::judge::horizons::suspicion::Heading;
use crate::judge::judgement::Judgement;
use crate::judge::weigh::reasons::SteadyWhy;
use crate::sample::beat::SweepReport;
use crate::source::clock;
use crate::vocabulary::process::{ProcessId, Target};
use std::collections::HashMap;
use std::time::Duration;

/// A process is judged again after so many beats. Judging costs more than sampling does.
const BEATS_BETWEEN_JUDGEMENTS: u64 = 3;
/// All goroutines of a process whose ledgers are not watched are looked at only where their number, or the live heap,
/// seems to grow, and not again within this time.
const BETWEEN_CAPTURES: Duration = Duration::from_secs(60);
/// ... and of no more processes in one beat.
const CAPTURES_PER_BEAT: usize = 4;
/// How old things are is looked at again no sooner than this.
const BETWEEN_GLANCES: Duration = Duration::from_secs(60);

/// What totals show alone is suspected after so many seconds.
const LONG_SECONDS: f64 = 1_800.0;

/// A process that was judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub id: ProcessId,
    pub told: Told,
    pub diagnosis: Diagnosis,
    /// What may leak: what the judge suspects, and what it found by too little to be told as a leak.
    pub suspected: Vec<Suspected>,
}

/// What a beat brought.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub changes: Changes,
    pub endings: Vec<Ending>,
    /// `None` where not all were sampled.
    pub sweep: Option<SweepReport>,
    pub judged: Vec<Judged>,
    /// Those whose endpoint could say something.
    pub suspects: Vec<(Target, Vec<Kind>)>,
    /// Those that cannot wait for the next beat.
    pub rushed: Vec<Rushed>,
    /// What rises in those that are about to be full.
    pub filling: Vec<(Target, Heading)>,
}

/// Samples all processes, and judges those whose turn it is.
pub(super) fn beat(observer: &mut Observer, beat: u64, interval: Duration) -> Looked {
    let changes = observer.discover();
    let sweep = observer.beat();
    let read = observer.tend_watches();
    let is_due = |target: &&Target| {
        (u64::from(target.id.pid.unsigned_abs()) + beat).is_multiple_of(BEATS_BETWEEN_JUDGEMENTS)
            || read.contains(&target.id)
    };
    let due: Vec<Target> = observer.targets().iter().filter(is_due).cloned().collect();
    let mut looked = Looked { changes, sweep: Some(sweep), ..Looked::default() };
    for target in &due {
        look_at(observer, target, &mut looked);
    }
    look_ahead(observer, interval, &mut looked);
    looked.endings = observer.take_endings();
    looked
}

/// When those that cannot wait were judged, and their ledgers read, last; since boot.
#[derive(Debug, Default)]
pub(super) struct Rush {
    pub rushed: Vec<Rushed>,
    judged: HashMap<ProcessId, Duration>,
    read: HashMap<ProcessId, Duration>,
}

/// Samples those that cannot wait, and judges them where that is due.
pub(super) fn rush(observer: &mut Observer, rush: &mut Rush, interval: Duration) -> Looked {
    let ids: Vec<ProcessId> = rush.rushed.iter().map(|one| one.id).collect();
    rush.judged.retain(|id, _| ids.contains(id));
    rush.read.retain(|id, _| ids.contains(id));
    let mut looked = Looked::default();
    observer.beat_of(&ids);
    for one in &rush.rushed {
        let Some(target) = observer.targets().iter().find(|target| target.id == one.id).cloned() else {
            continue;
        };
        let now = clock::now().since_boot;
        let is_due = |last: Option<&Duration>, apart: Duration| {
            last.is_none_or(|last| now.saturating_sub(*last) >= apart)
        };
        if one.left.is_some() {
            observer.watch(one.id, Claim::Urgent);
        }
        if !is_due(rush.judged.get(&one.id), one.judged_apart()) {
            continue;
        }
        rush.judged.insert(one.id, now);
        if observer.is_watched(one.id) && is_due(rush.read.get(&one.id), one.read_apart()) {
            rush.read.insert(one.id, now);
            observer.capture_again(one.id, one.read_apart());
        }
        look_at(observer, &target, &mut looked);
    }
    look_ahead(observer, interval, &mut looked);
    looked.endings = observer.take_endings();
    looked
}

/// Judges one process, and looks closer where that pays.
fn look_at(observer: &mut Observer, target: &Target, looked: &mut Looked) {
    let id = target.id;
    let Some((judgement, judged)) = judge(observer, target) else { return };
    let is_urgent = observer.heading(target).and_then(|heading| heading.seconds_left());
    let is_urgent = is_urgent.is_some_and(|left| left < rush::SOON.as_secs_f64());
    let claim = if is_urgent {
        Claim::Urgent
    } else {
        claim(&judgement, &observer.suspects(id), &observer.creeping(id))
    };
    observer.note_claim(id, claim);
    if claim > Claim::Nothing {
        observer.watch(id, claim);
    }
    // Whose ledgers are read is captured with them.
    let looks_closer = looked.suspects.len() < CAPTURES_PER_BEAT
        && is_suspicious(&judged.diagnosis)
        && !observer.is_watched(id)
        && observer.capture_again(id, BETWEEN_CAPTURES);
    if is_suspicious(&judged.diagnosis) && (looks_closer || observer.is_watched(id)) {
        let found = judged.diagnosis.findings.iter().map(|finding| finding.kind);
        looked.suspects.push((target.clone(), observer.rising_of(id).into_iter().chain(found).collect()));
    }
    // Whether sockets that grow are in use tells their last use.
    let sockets_grow = judged.diagnosis.findings.iter().any(|finding| finding.kind == Kind::Connection);
    let looks_closer = looks_closer | (sockets_grow && observer.glance_again(id, BETWEEN_GLANCES));
    let closer = looks_closer.then(|| judge(observer, target)).flatten();
    looked.judged.push(closer.map_or(judged, |(_, judged)| judged));
}

/// Who is to be sampled before the next beat, and what is about to be full.
fn look_ahead(observer: &Observer, interval: Duration, looked: &mut Looked) {
    let headings: Vec<(&Target, Heading)> =
        observer.targets().iter().filter_map(|target| Some((target, observer.heading(target)?))).collect();
    let courses = headings.iter().filter_map(|(target, heading)| {
        let window = observer.window(target.id)?;
        Some(Course {
            id: target.id,
            samples: window.len(),
            seconds: window.seconds(),
            heading: Some(heading),
        })
    });
    looked.rushed = rush::rushed(courses, interval);
    let filling = headings.iter().filter(|(_, heading)| rush::is_filling(heading));
    looked.filling = filling.map(|(target, heading)| ((*target).clone(), *heading)).collect();
}

/// One process judged and explained, and what of that may be told; `None` where nothing was seen of it.
fn judge(observer: &Observer, target: &Target) -> Option<(Judgement, Judged)> {
    let judgement = observer.judge(target)?;
    let diagnosis = explain::explain(&judgement, target, &[]);
    let told = Told::of(&judgement, &diagnosis, observer.ladder(target.id)?);
    let suspected = suspected(&told, &diagnosis);
    Some((judgement, Judged { id: target.id, told, diagnosis, suspected }))
}

/// What the judge suspects, and what grew at a known line for long, where nothing stands behind it but totals.
fn suspected(told: &Told, diagnosis: &Diagnosis) -> Vec<Suspected> {
    let unproven = diagnosis.findings.iter().filter(|finding| {
        told.verdict != Verdict::Leak
            && finding.primary
            && !finding.culprits.is_empty()
            && diagnosis.window_seconds >= LONG_SECONDS
    });
    let unproven =
        unproven.map(|finding| Suspected { finding: finding.clone(), need_seconds: None, says_why: false });
    diagnosis.suspected.iter().cloned().chain(unproven).collect()
}

/// What speaks for watching a process: what was judged, what rises in its window, and what has crept up for longer.
fn claim(judgement: &Judgement, rising: &[Kind], creeping: &[Kind]) -> Claim {
    if !judgement.findings.is_empty() {
        return Claim::Leaks;
    }
    if !judgement.suspected.is_empty() {
        return Claim::Suspected;
    }
    let is_steady = |kind: Kind| judgement.steady.iter().any(|it| it.kind == kind);
    // What moved little within the window may have moved all the same.
    let is_acquitted = |kind: Kind| {
        let acquits = |why: &SteadyWhy| {
            !matches!(
                why,
                SteadyWhy::Flat { .. }
                    | SteadyWhy::LiveHeap { .. }
                    | SteadyWhy::LittleAllocated { .. }
                    | SteadyWhy::OutsideGo { .. }
            )
        };
        judgement.steady.iter().any(|it| it.kind == kind && acquits(&it.why))
    };
    let rises =
        rising.iter().any(|kind| !is_steady(*kind)) || creeping.iter().any(|kind| !is_acquitted(*kind));
    if rises { Claim::Rises } else { Claim::Nothing }
}

/// Goroutines or the live heap grow, or may.
fn is_suspicious(diagnosis: &Diagnosis) -> bool {
    let costly = |kind: Kind| matches!(kind, Kind::Goroutine | Kind::Heap);
    diagnosis.findings.iter().any(|finding| costly(finding.kind))
        || diagnosis.suspected.iter().any(|one| costly(one.finding.kind))
        || diagnosis.undecided.iter().any(|one| costly(one.kind) && one.need_seconds.is_some())
}
