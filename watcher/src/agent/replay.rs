//! `watcher replay`: judges a recording as the processes themselves would have been judged at that moment: by their
//! windows, and where it lasts for hours by the horizons of their history, as `diagnose` does.
//!
//! A recording follows those processes that were there when it was begun. So there is no story across restarts in it,
//! and nothing here waits, as `run` does, until a verdict has been reached often enough to be news.

use super::bounds;
use super::diagnose::left_early;
use crate::config::WINDOW_CAPACITY;
use crate::explain::diagnosis::Diagnosis;
use crate::judge::horizons::ladder::Ladder;
use crate::judge::terms::Thresholds;
use crate::report::replay::{Course, Step};
use crate::store::recording::{
    Entry, Header, HostFacts, HostUse, Override, Played, Reader, RecordingError, Stage,
};
use crate::vocabulary::process::ProcessId;
use crate::{explain, judge};
use std::collections::{BTreeMap, BTreeSet};
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
    let mut ladders = BTreeMap::<ProcessId, Ladder>::new();
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
        look(&mut ladders, &stage);
        steps.judge_where_due(&stage, &ladders, &host, settings.pid);
        if steps.count > MAX_STEPS {
            return Err(reader.refused("there have been more verdicts than are kept: judge less often"));
        }
    }
    let seconds = stage.seconds();
    let courses = chosen(&stage, settings.pid).filter_map(|played| {
        let mut steps = steps.of.remove(&played.target().id).unwrap_or_default();
        let diagnosis = judged(played, &ladders, &host, stage.host_use())?;
        if settings.every.is_some() && steps.last().is_none_or(|step| step.seconds < seconds) {
            steps.push(Step::of(seconds, &diagnosis));
        }
        Some(Course { steps, diagnosis })
    });
    let courses = courses.collect();
    let left = stage.left().iter().filter(|left| settings.pid.is_none_or(|pid| pid == left.target.id.pid));
    let left = left.map(|left| {
        let after = Duration::from_secs_f64(left.at.seconds_since(&header.began));
        left_early(&left.target, left.became_another, after, Duration::from_secs_f64(seconds), false)
    });
    let left = left.collect();
    Ok(Replayed { header, seconds, courses, left, is_cut_off })
}

fn chosen(stage: &Stage, pid: Option<i32>) -> impl Iterator<Item = &Played> {
    stage.processes().filter(move |played| pid.is_none_or(|pid| pid == played.target().id.pid))
}

/// Looks over those horizons of each process whose time has come, as the observer does with each sample.
fn look(ladders: &mut BTreeMap<ProcessId, Ladder>, stage: &Stage) {
    for played in stage.processes() {
        let id = played.target().id;
        let ladder = ladders.entry(id).or_insert_with(|| Ladder::new(id.pid.unsigned_abs()));
        ladder.look(played.history());
    }
    if ladders.len() > stage.processes().count() {
        let present: BTreeSet<ProcessId> = stage.processes().map(|played| played.target().id).collect();
        ladders.retain(|id, _| present.contains(id));
    }
}

fn judged(
    played: &Played,
    ladders: &BTreeMap<ProcessId, Ladder>,
    host: &HostFacts,
    used: HostUse,
) -> Option<Diagnosis> {
    let window = played.window();
    if window.is_empty() {
        return None;
    }
    let bounds = bounds::of(played.target(), host, &used, window.latest());
    let new = Ladder::default();
    let ladder = ladders.get(&played.target().id).unwrap_or(&new);
    let judgement = judge::judge_with(&window, ladder, &bounds, &Thresholds::default());
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
    fn judge_where_due(
        &mut self,
        stage: &Stage,
        ladders: &BTreeMap<ProcessId, Ladder>,
        host: &HostFacts,
        pid: Option<i32>,
    ) {
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
            if let Some(diagnosis) = judged(played, ladders, host, stage.host_use()) {
                let steps = self.of.entry(played.target().id).or_default();
                steps.push(Step::of(now.as_secs_f64(), &diagnosis));
                self.count += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Settings, replay};
    use crate::explain::{Kind, Verdict};
    use crate::judge::judge;
    use crate::judge::simulation::{Beat, PROCESS, moment, sample};
    use crate::judge::terms::{Bounds, Thresholds};
    use crate::store::Window;
    use crate::store::recording::{Header, HostFacts, HostUse, Journal, Reader, SCHEMA, Writer};
    use std::time::Duration;

    /// A day without news, and two hours of growth: too steep for what the whole day shows.
    #[test]
    fn a_recording_of_hours_is_judged_by_its_last_hour_too() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("recording");
        let header = Header {
            schema: SCHEMA.to_owned(),
            watcher: "0.1.0".to_owned(),
            began: moment(0.0),
            interval: Duration::from_secs(60),
            captures_every: None,
            host: HostFacts::default(),
        };
        let mut writer = Writer::create(&path, &header, u64::MAX).expect("a file");
        let target = crate::explain::tests::target();
        let (mut journal, mut window) = (Journal::default(), Window::new(PROCESS, 512));
        for minute in 0..16 * 60_u32 {
            let at = f64::from(60 * minute);
            let files = 20 + 2 * u64::from(minute.saturating_sub(14 * 60));
            assert!(window.push(sample(at, &Beat { files, ..Beat::default() })));
            journal.news(&target, &window).iter().for_each(|entry| writer.add(entry).expect("room"));
            writer.end_beat(moment(at), HostUse::default()).expect("room");
        }
        writer.finish().expect("room");
        let by_window = judge(&window, &Bounds::default(), &Thresholds::default());
        assert_ne!(by_window.verdict, Verdict::Leak, "the window alone tells it: {by_window:?}");
        let replayed = replay(Reader::open(&path).expect("a recording"), &Settings::default());
        let said = &replayed.expect("it can be judged").courses[0].diagnosis;
        let kinds: Vec<Kind> = said.findings.iter().map(|finding| finding.kind).collect();
        assert_eq!((said.verdict, &kinds[..]), (Verdict::Leak, &[Kind::Fd][..]), "{said:?}");
    }
}
