//! Runs programs, several at once, and asks the agent about each.

use super::tally::Judged;
use super::{PROGRAMS, Program, Twin};
use crate::agent;
use crate::program::{self, Style};
use crate::running::Running;
use crate::scene::WARM_UP;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result};
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// Programs live this much longer than they are to be watched.
const SPARE: Duration = Duration::from_secs(100);
/// Of the looks that were due this share must have been taken, or nobody had time to look.
const MIN_LOOKS: f64 = 0.9;
/// On a machine that is too busy to look, one is asked so often at most.
const TURNS: u32 = 3;

/// One of the twins of a program, built with one toolchain.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// The program.
    pub program: &'static Program,
    /// Which of the twins.
    pub twin: Twin,
    /// With what it is built.
    pub toolchain: &'static Toolchain,
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long each is watched.
    pub window: Duration,
    /// How many at once.
    pub at_once: usize,
    /// How much of its work each does: 1 for as much as the table says.
    pub pace: f64,
    /// Where to write each diagnosis.
    pub save_in: PathBuf,
}

/// What was said of a subject.
#[derive(Clone, Debug)]
pub struct Run {
    /// Whom it is about.
    pub subject: Subject,
    /// What is right and wrong about it.
    pub judged: Judged,
    /// The share of looks that were due and were taken: 0 to 1.
    pub looks: f64,
    /// Where the whole diagnosis lies.
    pub saved: PathBuf,
}

/// Both twins of every program whose name, library or kind holds `filter`.
pub fn subjects(filter: Option<&str>, toolchains: &[&'static Toolchain]) -> Vec<Subject> {
    let is_wanted = |program: &&Program| {
        let holds = |filter: &str| {
            program.name.contains(filter) || program.library.contains(filter) || program.kinds[0] == filter
        };
        filter.is_none_or(holds)
    };
    let of_toolchain = |toolchain: &'static Toolchain| {
        PROGRAMS.iter().filter(is_wanted).flat_map(move |program| {
            [Twin::Reported, Twin::Fixed].map(|twin| Subject { program, twin, toolchain })
        })
    };
    toolchains.iter().copied().flat_map(of_toolchain).collect()
}

impl Subject {
    /// One word that no other has.
    pub fn name(&self) -> String {
        let twin = match self.twin {
            Twin::Reported => "reported",
            Twin::Fixed => "fixed",
        };
        format!("{}-{twin}-go1.{}", self.program.name, self.toolchain.minor)
    }
}

/// Builds everything, then watches; tells `hear` of each as it is done. What could not be measured has a sentence.
///
/// # Errors
/// Where the directory for diagnoses cannot be made.
pub fn measure(
    subjects: Vec<Subject>,
    settings: &Settings,
    mut hear: impl FnMut(&Subject, &Result<Run, String>),
) -> Result<Vec<(Subject, Result<Run, String>)>> {
    fs::create_dir_all(&settings.save_in)
        .with_context(|| format!("create {}", settings.save_in.display()))?;
    let mut done = Vec::new();
    let mut queue = VecDeque::new();
    for subject in subjects {
        // Before anybody is watched: a compiler takes every core.
        match subject.program.build(subject.twin, subject.toolchain) {
            Ok(executable) => queue.push_back((subject, executable, 1)),
            Err(error) => {
                let why = Err(format!("{error:#}"));
                hear(&subject, &why);
                done.push((subject, why));
            }
        }
    }
    let queue = Mutex::new(queue);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let workers = u32::try_from(settings.at_once.max(1)).context("so many at once")?;
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for worker in 0..workers {
            let (tell, next, queue) = (tell.clone(), &next, &queue);
            scope.spawn(move || {
                // Staggered, so that not all are judged at the same moment.
                thread::sleep((WARM_UP + settings.window) * worker / workers);
                while let Some((subject, executable, turn)) = next() {
                    let outcome = watch(subject, &executable, settings);
                    if turn < TURNS && outcome.as_ref().is_ok_and(|run| run.looks < MIN_LOOKS) {
                        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                        queue.push_back((subject, executable, turn + 1));
                        continue;
                    }
                    if tell.send((subject, outcome.map_err(|error| format!("{error:#}")))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(tell);
        for (subject, outcome) in told {
            hear(&subject, &outcome);
            done.push((subject, outcome));
        }
    });
    Ok(done)
}

/// Starts it and its server, watches it, and judges what is said.
///
/// # Errors
/// Where it cannot be started, or the agent fails.
pub fn watch(subject: Subject, executable: &Path, settings: &Settings) -> Result<Run> {
    let Subject { program, twin, .. } = subject;
    let seconds = settings.window.as_secs();
    let life = WARM_UP + settings.window + SPARE;
    let rate = program.rate_per_second * settings.pace;
    // What it leaves in the file system goes with it.
    let scratch = tempfile::tempdir().context("create a directory")?;
    let command = |style: Style| {
        let mut command = program::command(executable, style, rate, life);
        command.env("TMPDIR", scratch.path());
        command
    };
    let mut server = program.has_server.then(|| Running::start(&mut command(Style::Square))).transpose()?;
    let mut command = command(program.style(twin));
    if let Some(server) = &mut server {
        command.args(["-url", &format!("http://{}/", server.address()?)]);
    }
    let running = Running::start(&mut command)?;
    thread::sleep(WARM_UP);
    let (diagnosis, outcome) = agent::diagnose(running.pid(), seconds)?;
    // Whoever calls ends before the one who is called.
    drop(running);
    let saved = settings.save_in.join(format!("{}.json", subject.name()));
    fs::write(&saved, &outcome.stdout).with_context(|| format!("write {}", saved.display()))?;
    let judged = Judged::of(program, twin, &diagnosis)?;
    // One at the begin, and one for each second.
    let looks = (diagnosis.samples as f64 / (seconds + 1) as f64).min(1.0);
    Ok(Run { subject, judged, looks, saved })
}
