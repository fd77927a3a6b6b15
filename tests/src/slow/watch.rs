//! Asks the agent about programs that have run for a while.

use super::field::{self, Cohort, Group};
use super::plan::Plan;
use super::{Answer, Cell, Failure, Look, Measured, Subject, Told};
use crate::accuracy::load::Spent;
use crate::agent;
use crate::answer::Diagnosis;
use crate::corpus::Leaks;
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The agent may take so much longer than its window on a busy machine.
const GRACE: Duration = Duration::from_secs(120);
/// Programs outlive the last look by this.
const SPARE: Duration = Duration::from_secs(300);
/// Between two samples of `run`.
const RUN_INTERVAL: &str = "10s";

/// Starts everything, waits, looks; tells `hear` what is going on. Whatever is started ends with it.
///
/// # Errors
/// Where programs cannot be started or nothing can be written.
pub fn measure(plan: &Plan, save_in: &Path, mut hear: impl FnMut(&str)) -> Result<Measured> {
    fs::create_dir_all(save_in).with_context(|| format!("create {}", save_in.display()))?;
    let (built, failures) = field::build(plan.subjects()?);
    ensure!(!built.is_empty() || !failures.is_empty(), "no program is called that");
    let mut measured = Measured { failures, ..Measured::default() };
    let life = plan.length() + SPARE + GRACE;
    let mut attach = plan.attach.clone();
    attach.sort();
    let mut cohorts = Vec::new();
    for (number, after) in attach.iter().enumerate() {
        cohorts.push((*after, Cohort::start(&format!("lot{number}at"), &built, life)?));
    }
    let watched = plan.run.map(|run| (run, watch_all_the_time(run, &built, life)));
    hear(&format!(
        "{} programs are at work, {} of them for each look",
        built.len() * attach.len(),
        built.len()
    ));
    for (after, cohort) in cohorts {
        thread::sleep((cohort.began + after).saturating_duration_since(Instant::now()));
        for window in &plan.windows {
            let before = Spent::by_now()?;
            let look = Look { after, window: *window };
            look_at(&cohort, look, save_in, &mut measured);
            let busy = Spent::by_now()?.busy_since(before);
            measured.busiest = measured.busiest.into_iter().chain(busy).max_by(f64::total_cmp);
            hear(&format!("looked after {} s for {} s", after.as_secs(), window.as_secs()));
        }
    }
    if let Some((run, watched)) = watched {
        measured.told = watched?.finish(run)?;
    }
    Ok(measured)
}

/// Every group by an agent of its own, all at once.
pub fn look_at(cohort: &Cohort, look: Look, save_in: &Path, measured: &mut Measured) {
    thread::scope(|scope| {
        let looking = |group| scope.spawn(move || look_at_group(group, look, save_in));
        let all: Vec<_> = cohort.groups.iter().map(|group| (group, looking(group))).collect();
        for (group, one) in all {
            let outcome = one.join().unwrap_or_else(|_| Err(anyhow::anyhow!("panicked")));
            match outcome {
                Ok((cells, failures)) => {
                    measured.cells.extend(cells);
                    measured.failures.extend(failures);
                }
                Err(error) => measured
                    .failures
                    .push(Failure { what: format!("{} {look:?}", group.glob), why: format!("{error:#}") }),
            }
        }
    });
}

fn look_at_group(group: &Group, look: Look, save_in: &Path) -> Result<(Vec<Cell>, Vec<Failure>)> {
    let seconds = look.window.as_secs();
    let window = format!("{seconds}s");
    let arguments = ["diagnose", "--name", &group.glob, "-d", &window, "-i", "1s", "--format", "json"];
    let outcome = agent::run(&arguments, look.window + GRACE)?;
    let said = serde_json::Deserializer::from_str(&outcome.stdout).into_iter::<serde_json::Value>();
    let mut by_pid = BTreeMap::new();
    for object in said {
        let object = object.with_context(|| format!("no such JSON: {outcome:?}"))?;
        if let Some(pid) = object["process"]["pid"].as_u64() {
            by_pid.insert(pid, object);
        }
    }
    let (mut cells, mut failures) = (Vec::new(), Vec::new());
    for member in &group.members {
        let name = format!("{}-after-{}s-for-{seconds}s", member.subject.name(), look.after.as_secs());
        let Some(object) = by_pid.remove(&u64::from(member.scene.pid())) else {
            let why = outcome.stderr.lines().next().unwrap_or("nothing was said of it").to_owned();
            failures.push(Failure { what: name, why });
            continue;
        };
        let saved = save_in.join(format!("{name}.json"));
        fs::write(&saved, serde_json::to_vec_pretty(&object)?)
            .with_context(|| format!("write {}", saved.display()))?;
        let diagnosis: Diagnosis = serde_json::from_value(object).context("no diagnosis")?;
        cells.push(Cell {
            subject: member.subject,
            look,
            answer: Answer::of(&member.subject, &diagnosis)?,
            looks: share_of_looks(diagnosis.samples, look.window),
            saved,
        });
    }
    Ok((cells, failures))
}

/// The share of the samples that were due and were taken: 0 to 1. A longer window keeps fewer than were taken, the
/// older the fewer, so that nothing can be told of it.
fn share_of_looks(samples: u64, window: Duration) -> f64 {
    const KEEPS_ALL: Duration = Duration::from_secs(60);
    if window > KEEPS_ALL {
        return 1.0;
    }
    (samples as f64 / (window.as_secs() + 1) as f64).min(1.0)
}

/// `watcher run` on programs of its own.
struct Watched {
    cohort: Cohort,
    said: Arc<Mutex<Vec<(Duration, Diagnosis)>>>,
    agent: Running,
}

fn watch_all_the_time(run: Duration, built: &field::Built, life: Duration) -> Result<Watched> {
    let asked = built.iter().filter(|(subject, _)| {
        subject.slow.told_within_minutes.is_some() || subject.slow.row.leaks == Leaks::Never
    });
    let cohort = Cohort::start("allday", &asked.cloned().collect(), life)?;
    let said: Arc<Mutex<Vec<(Duration, Diagnosis)>>> = Arc::default();
    let teller = Arc::clone(&said);
    let began = Instant::now();
    let mut command = Command::new(agent::binary()?);
    command.args(["run", "--name", "allday*", "-i", RUN_INTERVAL, "--format", "json"]);
    command.arg("-d").arg(format!("{}s", run.as_secs()));
    let agent = Running::start_heard(&mut command, move |line| {
        if let Ok(diagnosis) = serde_json::from_str::<Diagnosis>(line) {
            teller.lock().unwrap_or_else(PoisonError::into_inner).push((began.elapsed(), diagnosis));
        }
    })?;
    Ok(Watched { cohort, said, agent })
}

impl Watched {
    /// Waits until its time is over, and says what was told of each.
    fn finish(mut self, watched: Duration) -> Result<Vec<Told>> {
        self.agent.wait()?;
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |subject: Subject, pid: u32| -> Result<Told> {
            let mine = said.iter().filter(|(_, diagnosis)| diagnosis.process.pid == pid);
            let said = mine.map(|(at, diagnosis)| Ok((*at, Answer::of(&subject, diagnosis)?)));
            Ok(Told { subject, watched, said: said.collect::<Result<_>>()? })
        };
        let members = self.cohort.groups.iter().flat_map(|group| &group.members);
        members.map(|member| of(member.subject, member.scene.pid())).collect()
    }
}
