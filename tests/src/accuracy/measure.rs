//! Runs subjects, several at once, and asks the agent about each.

use super::load::Spent;
use super::{Failure, Measured, Run, Stated, Subject};
use crate::agent;
use crate::answer::{Diagnosis, Finding, Replay, Step};
use crate::build;
use crate::corpus::expect::{Truth, objections, rank};
use crate::scene::{Scene, WARM_UP};
use anyhow::{Context, Result, ensure};
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// On a machine that is too busy to look, one is asked so often at most.
const TURNS: u32 = 3;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long each is watched.
    pub window: Duration,
    /// How many at once.
    pub at_once: usize,
    /// Where to write each diagnosis.
    pub save_in: PathBuf,
}

/// Builds what has to be built, then measures; tells `hear` of each as it is done.
///
/// Whatever is started ends with it. Should it be killed, the programs end when nobody reads what they print, and the
/// agents with their windows.
pub fn measure(
    subjects: Vec<Subject>,
    settings: &Settings,
    mut hear: impl FnMut(&Subject, Result<&Run, &str>),
) -> Result<Measured> {
    fs::create_dir_all(&settings.save_in)
        .with_context(|| format!("create {}", settings.save_in.display()))?;
    let mut measured = Measured::default();
    let mut queue = VecDeque::new();
    for subject in subjects {
        // Before anybody is watched: a compiler takes every core.
        match build::build(subject.row.program, subject.toolchain, subject.flavour.variant(&subject.row)) {
            Ok(executable) => queue.push_back((subject, executable, 1)),
            Err(error) => {
                let why = format!("{error:#}");
                hear(&subject, Err(&why));
                measured.failures.push(Failure { subject, why });
            }
        }
    }
    let queue = Mutex::new(queue);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let discarded = Mutex::new(Vec::new());
    let workers = u32::try_from(settings.at_once.max(1)).context("so many at once")?;
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for worker in 0..workers {
            let (tell, next, queue, discarded) = (tell.clone(), &next, &queue, &discarded);
            scope.spawn(move || {
                // Staggered, so that not all are judged at the same moment: that is what costs most.
                thread::sleep((WARM_UP + settings.window) * worker / workers);
                while let Some((subject, executable, turn)) = next() {
                    let outcome = match watch(&subject, &executable, settings) {
                        // Whatever was said, right or wrong: nobody had time to look.
                        Ok(run) if turn < TURNS && !run.is_honest() => {
                            discarded.lock().unwrap_or_else(PoisonError::into_inner).push(run);
                            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                            queue.push_back((subject, executable, turn + 1));
                            continue;
                        }
                        outcome => outcome,
                    };
                    if tell.send((subject, outcome)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for (subject, outcome) in told {
            match outcome {
                Ok(run) => {
                    hear(&subject, Ok(&run));
                    measured.runs.push(run);
                }
                Err(error) => {
                    let why = format!("{error:#}");
                    hear(&subject, Err(&why));
                    measured.failures.push(Failure { subject, why });
                }
            }
        }
    });
    measured.discarded = discarded.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(measured)
}

/// Starts it, watches it, and compares.
fn watch(subject: &Subject, executable: &Path, settings: &Settings) -> Result<Run> {
    let Subject { row, style, toolchain, .. } = *subject;
    let guilt = subject.guilt();
    let scene = Scene::start(&row, style, executable, settings.window)?;
    let seconds = settings.window.as_secs();
    let before = Spent::by_now()?;
    let recording = settings.save_in.join(format!("{}.recording", subject.name()));
    let recorded = recording.to_str().context("the directory's name is no UTF-8")?;
    let (diagnosis, outcome) = agent::diagnose_with(scene.pid(), seconds, &["--record", recorded])?;
    let busy = Spent::by_now()?.busy_since(before);
    let truth = match guilt {
        Some(_) => scene.truth(&row, outcome.began, outcome.ended)?,
        None => Truth::default(),
    };
    // Nothing of it is needed any more, and others need the processor.
    drop(scene);
    let accused = accusations(recorded)?;
    let saved = settings.save_in.join(format!("{}.json", subject.name()));
    fs::write(&saved, &outcome.stdout).with_context(|| format!("write {}", saved.display()))?;
    let rightly = diagnosis.primary().filter(|primary| Some(&*primary.kind) == guilt);
    Ok(Run {
        subject: *subject,
        rank: rightly.map(|primary| rank(&row, primary)).transpose()?.flatten(),
        objections: objections(&row, style, toolchain.minor, &diagnosis, &truth)?,
        findings: stated(&diagnosis, guilt),
        unexplained: diagnosis.memory.and_then(|memory| {
            (memory.rss_bytes > 0).then(|| memory.unexplained_bytes as f64 / memory.rss_bytes as f64)
        }),
        // One at the begin, and one for each second.
        looks: (diagnosis.samples as f64 / (seconds + 1) as f64).min(1.0),
        verdict: diagnosis.verdict,
        detected_after_seconds: accused.iter().find(|it| it.kind.as_deref() == guilt).map(|it| it.seconds),
        accused_on_the_way: !accused.is_empty(),
        busy,
        saved,
    })
}

/// Each finding, and whether it is right: the cause where it names what leaks, what follows where it says so.
pub fn stated(diagnosis: &Diagnosis, guilt: Option<&str>) -> Vec<Stated> {
    let names_it = |finding: &Finding| {
        let named = if finding.primary { Some(&*finding.kind) } else { finding.consequence_of.as_deref() };
        guilt.is_some() && named == guilt
    };
    let one = |finding: &Finding| Stated { confidence: finding.confidence, is_right: names_it(finding) };
    diagnosis.findings.iter().map(one).collect()
}

/// The moments at which a diagnosis that ended then would have said that something leaks: what was seen is judged again
/// by the second.
fn accusations(recorded: &str) -> Result<Vec<Step>> {
    let arguments = ["replay", recorded, "--every", "1s", "--format", "json"];
    let replay: Replay = agent::run(&arguments, Duration::from_secs(120))?.json()?;
    ensure!(replay.schema == "watcher.replay/1", "unknown schema {}", replay.schema);
    Ok(replay.steps.into_iter().filter(|step| step.verdict == "leak").collect())
}
