//! `watcher diagnose`: watch for a while, then one verdict per process.

use super::beats::Beats;
use super::endings::{Ending, Judged};
use super::observer::Observer;
use super::progress::Progress;
use super::pulls::{Puller, Round, Settings};
use super::record::{CAPTURES_EVERY, Recorded, Recorder, Recording};
use super::{blocking, escalation, interruption, terms};
use crate::config::{Config, Selection};
use crate::explain::diagnosis::{Diagnosis, Ended};
use crate::explain::{self, Kind, words};
use crate::store::recording::WriterError;
use crate::vocabulary::process::{ProcessId, Target};
use anyhow::{Context, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// Time that captures may take in one beat, and at the end of the window: a hundred thousand goroutines take about
/// a tenth of a second.
const CAPTURE_BUDGET: Duration = Duration::from_millis(300);
const LAST_CAPTURE_BUDGET: Duration = Duration::from_secs(5);

/// All last profiles together may take this time; one pull has a limit of its own.
const LAST_PULLS_WITHIN: Duration = Duration::from_secs(30);

/// Of a process that has ended fewer samples than this say nothing.
const LEAST_SAMPLES: usize = 4;

/// What came of it.
#[derive(Debug)]
pub struct Diagnosed {
    /// One diagnosis per process that was there to the end, or long enough to say something of it; by pid.
    pub diagnoses: Vec<Diagnosis>,
    /// One sentence per process that was not there to the end.
    pub left: Vec<String>,
    /// Why the recording is not whole, where one was asked for.
    pub not_recorded: Option<WriterError>,
}

/// Watches the selected processes for `config.duration`, or until interrupted, and judges what it has seen by then.
/// Where a recording is asked for, what it has seen is written down besides.
///
/// # Errors
/// Where there is nothing to watch, or where a recording cannot be begun, in one sentence.
pub async fn diagnose(config: &Config, recording: Option<&Recording>) -> anyhow::Result<Diagnosed> {
    let watched = watch(config, recording, None).await?;
    let observer = &watched.observer;
    let present = watched.judged().filter_map(|target| explained(observer, target));
    let mut diagnoses: Vec<Diagnosis> = present.chain(watched.ended.iter().cloned()).collect();
    diagnoses.sort_by_key(|diagnosis| diagnosis.process.pid);
    let left_out = words::left_out(&observer.left_out());
    let not_recorded = watched.recorder.and_then(|recorder| recorder.finish().err());
    let left = watched.left.into_values().chain(left_out).collect();
    Ok(Diagnosed { diagnoses, left, not_recorded })
}

/// Watches the selected processes for `config.duration`, or until interrupted, and writes down what it sees: without
/// judging, for a recording from which verdicts can be had for any moment.
///
/// # Errors
/// Where there is nothing to watch, and where the file cannot be written on; what it holds by then stays readable.
pub async fn record(config: &Config, recording: &Recording) -> anyhow::Result<Recorded> {
    let watched = watch(config, Some(recording), Some(CAPTURES_EVERY)).await?;
    let processes = watched.judged().count();
    let bytes = match watched.recorder {
        Some(recorder) => recorder.finish().with_context(|| {
            format!("the recording ends after {:.0} s and can be replayed", watched.seconds)
        })?,
        None => 0,
    };
    Ok(Recorded { processes, seconds: watched.seconds, bytes, left: watched.left.into_values().collect() })
}

/// What is there when a watch is over.
struct Watched {
    observer: Observer,
    /// Those that were there for all of it.
    present: BTreeSet<ProcessId>,
    left: BTreeMap<ProcessId, String>,
    /// What was seen of those that were not, where that was enough to say something.
    ended: Vec<Diagnosis>,
    recorder: Option<Recorder>,
    seconds: f64,
}

impl Watched {
    fn judged(&self) -> impl Iterator<Item = &Target> {
        self.observer.targets().iter().filter(|target| self.present.contains(&target.id))
    }
}

/// Watches, captures and pulls. With `captures_every` everything is captured so often, else at the begin, in the middle
/// and at the end. A recording that cannot be written on ends the watch where nothing else comes of it.
async fn watch(
    config: &Config,
    recording: Option<&Recording>,
    captures_every: Option<Duration>,
) -> anyhow::Result<Watched> {
    let interrupted = interruption();
    tokio::pin!(interrupted);
    let mut round = Round::new(Puller::new(Settings::load(&config.pprof)?));
    let only_once = config.duration.is_some_and(|wanted| wanted.is_zero()) && captures_every.is_none();
    let mut observer =
        if only_once { Observer::for_one_look(config)? } else { Observer::with_config(config)? };
    let found = observer.discover();
    refuse_kernel_thread(&observer, &config.selection)?;
    if observer.targets().is_empty() {
        bail!(nothing_to_watch(&observer, &config.selection, found.denied));
    }
    let mut recorder =
        recording.map(|it| Recorder::create(it, &observer, config, captures_every)).transpose()?;
    let wanted = config.duration.unwrap_or(Duration::MAX);
    let on_interrupt = if captures_every.is_some() { "keeps" } else { "judges" };
    let mut progress = Progress::new(describe(observer.targets()), on_interrupt, wanted);
    // A process that starts later, even under a reused pid, did not live through the whole window.
    let mut present: BTreeSet<ProcessId> = observer.targets().iter().map(|target| target.id).collect();
    let mut left = BTreeMap::<ProcessId, String>::new();
    let mut ended = Vec::new();
    if captures_every.is_none() {
        observer.judge_endings(Judged::Everybody);
    }
    let mut between = Between::new(captures_every.is_none() && present.len() <= terms::AT_ONCE);
    let mut beats = Beats::new(config.interval);
    let began = Instant::now();
    let mut halfway = false;
    let mut captures = 0;
    let ids: Vec<ProcessId> = present.iter().copied().collect();
    // Before anything else of ours looks at what these processes hold.
    (observer, ()) = blocking(observer, move |observer| observer.glance(&ids)).await?;
    loop {
        let beat = tokio::select! {
            due = beats.next() => due,
            () = &mut interrupted => break,
        };
        let pids: Vec<i32> = present.iter().map(|id| id.pid).collect();
        // What came in the first half and is still there at the end has come to stay.
        let middle = !halfway && began.elapsed() >= wanted / 2;
        halfway |= middle;
        let due = captures_every.map(|every| began.elapsed().as_nanos() / every.as_nanos().max(1));
        let again = due.map_or(middle, |due| due > captures);
        captures = due.unwrap_or(captures);
        let looks_between = !again && between.is_due(began.elapsed());
        let (changes, endings, took);
        (observer, (changes, endings, took)) = blocking(observer, move |observer| {
            let changes = observer.look_at(&pids);
            observer.note_due(beat);
            observer.beat();
            if only_once {
                return (changes, observer.take_endings(), None);
            }
            observer.watch_all_of_few();
            observer.watch_rising();
            observer.tend_watches();
            if middle && captures_every.is_none() {
                observer.keep_first_captures();
            }
            observer.capture_all(again, CAPTURE_BUDGET);
            let took = looks_between.then(|| observer.capture_rising(CAPTURE_BUDGET));
            (changes, observer.take_endings(), took)
        })
        .await?;
        if let Some(took) = took {
            between.note(began.elapsed(), took);
        }
        // A first profile, so that there is something to compare the last one with.
        if middle {
            for (target, kinds) in observer.rising() {
                round.ask(&target, escalation::profiles(&kinds, false), "it seems to grow");
            }
        }
        let elapsed = began.elapsed();
        for target in changes.left.iter().filter(|target| present.remove(&target.id)) {
            let became_another = changes.came.iter().any(|came| came.id == target.id);
            let of_it = endings.iter().find(|ending| ending.target.id == target.id);
            let told = of_it.and_then(|it| judged_until_then(it, became_another, elapsed, wanted));
            let what = left_early(target, became_another, elapsed, wanted, told.is_some());
            left.insert(target.id, what);
            ended.extend(told);
            if let Some(recorder) = &mut recorder {
                recorder.note_left(target.id, became_another);
            }
        }
        if let Some(recorder) = &mut recorder {
            recorder.note(&observer, observer.targets().iter().filter(|target| present.contains(&target.id)));
            if recorder.has_failed() && captures_every.is_some() {
                break;
            }
        }
        progress.show(elapsed);
        if elapsed >= wanted || present.is_empty() {
            break;
        }
    }
    for arrival in round.all_within(Duration::ZERO).await {
        observer.note_pulls(arrival);
    }
    if !only_once {
        for (target, kinds) in accused(&observer) {
            round.ask(&target, escalation::profiles(&kinds, true), "it was found to grow");
        }
    }
    let ids: Vec<ProcessId> = present.iter().copied().collect();
    // At the same time, so that the two can be compared.
    (observer, ()) = blocking(observer, move |observer| {
        if !only_once {
            observer.glance(&ids);
            observer.measure_memory(LAST_CAPTURE_BUDGET);
        }
        observer.capture_all(true, LAST_CAPTURE_BUDGET);
    })
    .await?;
    for arrival in round.all_within(LAST_PULLS_WITHIN).await {
        observer.note_pulls(arrival);
    }
    progress.clear();
    if let Some(recorder) = &mut recorder {
        recorder.note(&observer, observer.targets().iter().filter(|target| present.contains(&target.id)));
    }
    Ok(Watched { observer, present, left, ended, recorder, seconds: began.elapsed().as_secs_f64() })
}

/// When to look closer between the begin and the middle of a watch, and after that, at processes that may end any time:
/// what was seen last must not be old when they do.
struct Between {
    is_wanted: bool,
    next: Duration,
}

impl Between {
    /// The first look comes when something can have grown.
    const FIRST: Duration = Duration::from_secs(4);
    const APART: Duration = Duration::from_secs(2);
    /// Looks come ever more seldom: none is older than this part of the time since the begin.
    const PART: u32 = 5;
    /// Looking takes no more than one part in so many of the time.
    const COST: u32 = 50;

    fn new(is_wanted: bool) -> Self {
        Between { is_wanted, next: Self::FIRST }
    }

    fn is_due(&self, elapsed: Duration) -> bool {
        self.is_wanted && elapsed >= self.next
    }

    fn note(&mut self, elapsed: Duration, took: Duration) {
        let apart = (elapsed / (Self::PART - 1)).max(Self::APART).max(took.saturating_mul(Self::COST));
        self.next = elapsed + apart;
    }
}

/// What was seen of a process that has ended; `None` where that says nothing.
fn judged_until_then(
    ending: &Ending,
    runs_another: bool,
    elapsed: Duration,
    wanted: Duration,
) -> Option<Diagnosis> {
    let Ending { target, judgement, .. } = ending;
    let of_seconds = (wanted != Duration::MAX).then_some(wanted.as_secs_f64());
    let ended = Ended { after_seconds: elapsed.as_secs_f64(), of_seconds, runs_another };
    let is_enough = judgement.samples >= LEAST_SAMPLES;
    is_enough.then(|| explain::explain_ended(judgement, target, ended))
}

/// Processes in which something grows, or may, and what.
fn accused(observer: &Observer) -> Vec<(Target, Vec<Kind>)> {
    let mut accused = observer.rising();
    for target in observer.targets() {
        let findings = observer.judge(target).map(|judgement| judgement.findings).unwrap_or_default();
        let kinds = findings.iter().map(|finding| finding.kind);
        match accused.iter_mut().find(|(known, _)| known.id == target.id) {
            Some((_, known)) => known.extend(kinds),
            None if !findings.is_empty() => accused.push((target.clone(), kinds.collect())),
            None => {}
        }
    }
    accused
}

/// Judges and explains one process; `None` where nothing was seen of it.
pub(super) fn explained(observer: &Observer, target: &Target) -> Option<Diagnosis> {
    let judgement = observer.judge(target)?;
    Some(explain::explain(&judgement, target, &[]))
}

/// A thread of the kernel has nothing that could be watched.
pub(super) fn refuse_kernel_thread(observer: &Observer, selection: &Selection) -> anyhow::Result<()> {
    match selection {
        Selection::Pid(pid) if observer.is_kernel_thread(*pid) => {
            bail!("process {pid} is a thread of the kernel: it has no memory and no descriptors of its own")
        }
        _ => Ok(()),
    }
}

pub(super) fn nothing_to_watch(observer: &Observer, selection: &Selection, denied: u64) -> String {
    let hidden = match denied {
        _ if observer.hides_processes() => {
            format!(" among those that we may see: {}", words::HIDDEN_PROCESSES)
        }
        0 => String::new(),
        _ => format!(" ({}: `watcher doctor` says what would help)", words::denied(denied)),
    };
    match selection {
        Selection::Pid(pid) if observer.exists(*pid) => {
            format!("process {pid} is there but may not be read: run as root")
        }
        Selection::Pid(pid) if observer.hides_processes() => {
            format!("there is no process {pid} that we can see: {}", words::HIDDEN_PROCESSES)
        }
        Selection::Pid(pid) => format!("there is no process {pid} that we can see"),
        Selection::Name(pattern) => format!("no process is named {:?}{hidden}", pattern.as_str()),
        Selection::AllGo => format!("no Go process was found{hidden}"),
    }
}

pub(super) fn left_early(
    target: &Target,
    became_another: bool,
    elapsed: Duration,
    wanted: Duration,
    is_judged: bool,
) -> String {
    let verdict = if is_judged { "judged by what was seen until then" } else { "no verdict" };
    let what = if became_another { "began to run another program" } else { "exited" };
    format!(
        "process {} ({}) {what} after {:.0} of {:.0} s: {verdict}",
        target.id.pid,
        target.name,
        elapsed.as_secs_f64(),
        wanted.as_secs_f64()
    )
}

fn describe(targets: &[Target]) -> String {
    match targets {
        [one] => format!("watching {} (pid {})", one.name, one.id.pid),
        many => format!("watching {} processes", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Between, describe, judged_until_then, left_early};
    use crate::agent::endings::Ending;
    use crate::explain::Verdict;
    use crate::explain::tests::target;
    use crate::judge::horizons::ladder::Ladder;
    use crate::judge::judge;
    use crate::judge::simulation::{Beat, PROCESS, sample, window};
    use crate::judge::terms::{Bounds, Thresholds};
    use crate::store::Window;
    use std::sync::Arc;
    use std::time::Duration;

    fn ending(window: Window) -> Ending {
        let judgement = judge(&window, &Bounds::default(), &Thresholds::default());
        Ending { target: Arc::new(target()), judgement, window, ladder: Ladder::default() }
    }

    /// When it is looked at within so many seconds, where a look takes so long.
    fn looks(seconds: u64, took: Duration) -> Vec<u64> {
        let mut between = Between::new(true);
        let mut looks = Vec::new();
        for second in 0..seconds {
            let elapsed = Duration::from_secs(second);
            if between.is_due(elapsed) {
                between.note(elapsed, took);
                looks.push(second);
            }
        }
        looks
    }

    #[test]
    fn looks_between_come_ever_more_seldom_and_never_cost_much() {
        let quick = looks(600, Duration::from_millis(2));
        assert_eq!(quick[..3], [4, 6, 8], "{quick:?}");
        for pair in quick.windows(2) {
            let apart = pair[1] - pair[0];
            assert!(apart >= 2 && apart <= 2 + pair[1] / 4, "never older than a fifth of the time: {pair:?}");
        }
        let slow = looks(600, Duration::from_millis(300));
        assert!(slow.windows(2).all(|pair| pair[1] - pair[0] >= 15), "one part in fifty: {slow:?}");
        assert!(!Between::new(false).is_due(Duration::from_secs(600)), "nobody asked for it");
    }

    #[test]
    fn of_a_process_that_ends_early_it_is_said_when_and_whether_it_was_judged() {
        let said = |another, judged| {
            left_early(&target(), another, Duration::from_millis(12_400), Duration::from_secs(60), judged)
        };
        assert_eq!(said(false, false), "process 812 (poller) exited after 12 of 60 s: no verdict");
        assert_eq!(
            said(true, true),
            "process 812 (poller) began to run another program after 12 of 60 s: judged by what was seen until then"
        );
    }

    #[test]
    fn few_samples_of_a_process_that_has_ended_say_nothing() {
        let judged = |ending: &Ending| {
            judged_until_then(ending, false, Duration::from_secs(5), Duration::from_secs(60))
        };
        let mut short = Window::new(PROCESS, 8);
        for second in 0..3_u32 {
            assert!(short.push(sample(f64::from(second), &Beat::default())));
        }
        assert!(judged(&ending(short)).is_none());
        let told =
            judged(&ending(window(|second, beat| beat.files += second as u64))).expect("it was long enough");
        assert_eq!(told.verdict, Verdict::Leak);
    }

    #[test]
    fn one_is_named_and_many_are_counted() {
        assert_eq!(describe(&[target()]), "watching poller (pid 812)");
        assert_eq!(describe(&[target(), target()]), "watching 2 processes");
    }
}
