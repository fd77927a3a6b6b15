//! What `run` does on the thread that may block: beats, and between them the samples of those that cannot wait.

use super::endings::Ending;
use super::escalation::{self, Facts};
use super::observer::Observer;
use super::rush::{self, Course, Rushed};
use super::telling::Told;
use super::terms::Claim;
use crate::discover::Changes;
use crate::explain::diagnosis::{Diagnosis, Suspected};
use crate::explain::{self, Verdict};
use crate::judge::horizons::suspicion::Heading;
use crate::judge::judgement::Judgement;
use crate::sample::beat::SweepReport;
use crate::source::clock;
use crate::source::pprof::ProfileName;
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
    /// Those whose endpoint could say something, and which profiles would.
    pub suspects: Vec<(Target, Vec<ProfileName>)>,
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
    last: HashMap<ProcessId, Last>,
}

/// The same of one process.
#[derive(Debug, Default)]
struct Last {
    judged: Option<Duration>,
    read: Option<Duration>,
}

/// Samples those that cannot wait, and judges them where that is due.
pub(super) fn rush(observer: &mut Observer, rush: &mut Rush, interval: Duration) -> Looked {
    let ids: Vec<ProcessId> = rush.rushed.iter().map(|one| one.id).collect();
    rush.last.retain(|id, _| ids.contains(id));
    let mut looked = Looked::default();
    observer.beat_of(&ids);
    for one in &rush.rushed {
        let Some(target) = observer.targets().iter().find(|target| target.id == one.id).cloned() else {
            continue;
        };
        let now = clock::now().since_boot;
        let is_due =
            |last: Option<Duration>, apart| last.is_none_or(|last| now.saturating_sub(last) >= apart);
        let last = rush.last.entry(one.id).or_default();
        if one.left.is_some() {
            observer.watch(one.id, Claim::Urgent);
        }
        if !is_due(last.judged, one.judged_apart()) {
            continue;
        }
        last.judged = Some(now);
        if observer.is_watched(one.id) && is_due(last.read, one.read_apart()) {
            last.read = Some(now);
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
    let facts = Facts {
        rising: observer.suspects(id),
        creeping: observer.creeping(id),
        risen: observer.rising_of(id),
        seconds_left: observer.heading(target).and_then(|heading| heading.seconds_left()),
        ..Facts::of(&judgement, &judged.diagnosis)
    };
    let steps = escalation::steps(&facts);
    observer.note_claim(id, steps.claim);
    if steps.claim > Claim::Nothing {
        observer.watch(id, steps.claim);
    }
    // Whose ledgers are read is captured with them.
    let looks_closer = steps.captures
        && looked.suspects.len() < CAPTURES_PER_BEAT
        && !observer.is_watched(id)
        && observer.capture_again(id, BETWEEN_CAPTURES);
    if steps.captures && (looks_closer || observer.is_watched(id)) {
        looked.suspects.push((target.clone(), steps.pulls));
    }
    // Whether sockets that grow are in use tells their last use.
    let looks_closer = looks_closer | (steps.glances && observer.glance_again(id, BETWEEN_GLANCES));
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
