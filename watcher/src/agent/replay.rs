//! `watcher replay`: judges a recording as the processes themselves would have been judged at that moment.

use super::bounds;
use super::diagnose::left_early;
use crate::config::WINDOW_CAPACITY;
use crate::explain::{self, Diagnosis};
use crate::judge::{self, Thresholds};
use crate::process::ProcessId;
use crate::report::replay::{Course, Step};
use crate::store::recording::{
    Entry, Header, HostFacts, HostUse, Override, Played, Reader, RecordingError, Stage,
};
use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

/// A beat has no more bytes in the file: captures of all processes that are watched at once.
const MAX_BEAT_BYTES: usize = 1 << 30;
/// No more verdicts are kept of all processes together.
const MAX_STEPS: usize = 1 << 20;

/// How a recording is judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// Only the process with this pid.
    pub pid: Option<i32>,
    /// Limits that hold instead of those that were read.
    pub limits: Override,
    /// Only what was recorded up to this time after the begin.
    pub until: Option<Duration>,
    /// Judge each time so much has passed, not only at the end.
    pub every: Option<Duration>,
}

/// What came of it.
#[derive(Debug)]
pub struct Replayed {
    /// What the recording says of itself.
    pub header: Header,
    /// Seconds of it that were judged.
    pub seconds: f64,
    /// One per process that was there to the end, by pid.
    pub courses: Vec<Course>,
    /// One sentence per process that was not.
    pub left: Vec<String>,
    /// The recorder was killed, or could not write on.
    pub is_cut_off: bool,
}

/// Judges a recording.
///
/// # Errors
/// Where it cannot be read, in one sentence.
pub fn replay<R: Read>(mut reader: Reader<R>, settings: &Settings) -> Result<Replayed, RecordingError> {
    let header = reader.header().clone();
    let host = HostFacts {
        memory_bytes: settings.limits.host_memory_bytes.or(header.host.memory_bytes),
        tasks: settings.limits.host_tasks.or(header.host.tasks),
        ..header.host.clone()
    };
    let mut stage = Stage::new(header.clone(), settings.limits, WINDOW_CAPACITY);
    let mut steps = Steps { every: settings.every, due: Duration::ZERO, of: BTreeMap::new(), count: 0 };
    let until = settings.until.map(|until| header.began.since_boot.saturating_add(until));
    let mut beat: Vec<(u64, usize, Entry<'static>)> = Vec::new();
    let mut beat_bytes = 0;
    let mut is_cut_off = false;
    loop {
        let Some(entry) = reader.next_entry()? else {
            is_cut_off = reader.ended().is_none();
            break;
        };
        let ends_at = match &entry {
            Entry::Beat { at, .. } => Some(*at),
            _ => None,
        };
        if ends_at.zip(until).is_some_and(|(at, until)| at.since_boot > until) {
            break;
        }
        beat_bytes += reader.line_bytes();
        if beat_bytes > MAX_BEAT_BYTES {
            return Err(reader.refused("the beat before it has no end"));
        }
        beat.push((reader.line(), reader.line_bytes(), entry));
        if ends_at.is_none() {
            continue;
        }
        // Beat by beat: what was cut off in the middle of one is not judged.
        for (line, bytes, entry) in beat.drain(..) {
            stage.apply(entry, bytes).map_err(|why| reader.refused_at(line, why))?;
        }
        beat_bytes = 0;
        steps.judge_where_due(&stage, &host, settings.pid);
        if steps.count > MAX_STEPS {
            return Err(reader.refused("there have been more verdicts than are kept: judge less often"));
        }
    }
    let seconds = stage.seconds();
    let courses = chosen(&stage, settings.pid).filter_map(|played| {
        let mut steps = steps.of.remove(&played.target().id).unwrap_or_default();
        let diagnosis = judged(played, &host, stage.host_use())?;
        if settings.every.is_some() && steps.last().is_none_or(|step| step.seconds < seconds) {
            steps.push(Step::of(seconds, &diagnosis));
        }
        Some(Course { steps, diagnosis })
    });
    let courses = courses.collect();
    let left = stage.left().iter().filter(|left| settings.pid.is_none_or(|pid| pid == left.target.id.pid));
    let left = left.map(|left| {
        let after = Duration::from_secs_f64(left.at.seconds_since(&header.began));
        left_early(&left.target, left.became_another, after, Duration::from_secs_f64(seconds))
    });
    let left = left.collect();
    Ok(Replayed { header, seconds, courses, left, is_cut_off })
}

fn chosen(stage: &Stage, pid: Option<i32>) -> impl Iterator<Item = &Played> {
    stage.processes().filter(move |played| pid.is_none_or(|pid| pid == played.target().id.pid))
}

fn judged(played: &Played, host: &HostFacts, used: HostUse) -> Option<Diagnosis> {
    let window = played.window();
    if window.is_empty() {
        return None;
    }
    let bounds = bounds::of(played.target(), host, &used, window.latest());
    let judgement = judge::judge(&window, &bounds, &Thresholds::default());
    Some(explain::explain(&judgement, played.target(), &[]))
}

/// Verdicts on the way.
struct Steps {
    every: Option<Duration>,
    /// In time since the begin.
    due: Duration,
    of: BTreeMap<ProcessId, Vec<Step>>,
    count: usize,
}

impl Steps {
    fn judge_where_due(&mut self, stage: &Stage, host: &HostFacts, pid: Option<i32>) {
        let Some(every) = self.every else { return };
        let now = stage.now().since_boot.saturating_sub(stage.header().began.since_boot);
        if now < self.due {
            return;
        }
        // The next multiple that lies ahead.
        let every_nanos = every.as_nanos().max(1);
        let due = (now.as_nanos() / every_nanos + 1).saturating_mul(every_nanos);
        self.due = Duration::from_nanos(u64::try_from(due).unwrap_or(u64::MAX));
        for played in chosen(stage, pid) {
            if let Some(diagnosis) = judged(played, host, stage.host_use()) {
                let steps = self.of.entry(played.target().id).or_default();
                steps.push(Step::of(now.as_secs_f64(), &diagnosis));
                self.count += 1;
            }
        }
    }
}
