//! Leaks that run into limits: the one that is reached first is named, and the process does end within the interval
//! that was said. A program that is restarted each time it runs into one is one story.

use crate::agent;
use crate::answer::{Diagnosis, Finding};
use crate::build::Variant;
use crate::case::Case;
use crate::cgroup::{Cgroup, Controller};
use crate::need::Need;
use crate::program::{self, Style, public_copy};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use tempfile::TempDir;

const LIFE: Duration = Duration::from_secs(180);
const WINDOW_SECONDS: u64 = 45;
const MIB: u64 = 1 << 20;
/// Each piece of work of `clippings` keeps a page of this size.
const PAGE_BYTES: f64 = 256.0 * 1024.0;

/// The cases.
pub fn cases() -> Vec<Case> {
    let memory = Need::Cgroup(Controller::Memory);
    vec![
        Case::new("limits::memory_of_a_cgroup_runs_out_when_said", [Need::Go, memory], memory_runs_out),
        Case::new("limits::tasks_of_a_cgroup", [Need::Go, Need::Cgroup(Controller::Pids)], tasks),
        Case::new("limits::gomemlimit_slows_down_and_does_not_end", [Need::Go], gomemlimit),
        Case::new("limits::restarts_are_one_story", [Need::Go, memory], restarts),
        Case::new("limits::restarts_without_growth_are_none", [Need::Go, memory], innocent_restarts),
    ]
}

/// What these cases build with the toolchain that ships.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    ["clippings", "signer"].into_iter().map(move |program| (program, toolchain, Variant::STRIPPED))
}

fn clippings(style: Style, rate: f64) -> Result<Command> {
    Ok(program::command(&program::shipped("clippings")?, style, rate, LIFE))
}

/// A copy of it under a name of its own: what is watched by its name shall not be another case's.
fn renamed(name: &str) -> Result<(TempDir, PathBuf)> {
    public_copy(&program::shipped("clippings")?, name)
}

fn exhausts(finding: &Finding) -> Result<&crate::answer::Exhaustion> {
    finding.exhausts.as_ref().with_context(|| format!("it runs into a limit: {finding:#?}"))
}

fn primary_of(diagnosis: &Diagnosis) -> Result<&Finding> {
    diagnosis.primary().with_context(|| format!("want a leak: {diagnosis:#?}"))
}

/// Let it run on until the kernel kills it, and look at the clock.
fn memory_runs_out() -> Result<()> {
    let cgroup = Cgroup::new(Controller::Memory, 210 * MIB)?;
    let mut program = Running::start(&mut cgroup.run(&clippings(Style::Round, 11.0)?))?;
    thread::sleep(Duration::from_secs(3));
    let (diagnosis, outcome) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    let primary = primary_of(&diagnosis)?;
    ensure!(primary.kind == "heap", "want heap: {diagnosis:#?}");
    let left = exhausts(primary)?;
    ensure!(left.limit == "memory.max", "want memory.max: {primary:#?}");
    program.wait()?;
    let truth = SystemTime::now().duration_since(outcome.ended)?.as_secs_f64();
    // Between the last sample and the end of the command some moments pass, and the heap grows in steps.
    let (low, high) = (0.7 * left.low - 3.0, 1.3 * left.high.unwrap_or(f64::INFINITY) + 3.0);
    ensure!((low..=high).contains(&truth), "it lived {truth:.1} s more: {left:?}");
    ensure!(
        (0.5..=2.0).contains(&((left.in_seconds + 3.0) / (truth + 3.0))),
        "it lived {truth:.1} s: {left:?}"
    );
    Ok(())
}

fn tasks() -> Result<()> {
    let cgroup = Cgroup::new(Controller::Pids, 419)?;
    let command = program::command(&program::shipped("signer")?, Style::Round, 3.7, LIFE);
    let program = Running::start(&mut cgroup.run(&command))?;
    thread::sleep(Duration::from_secs(4));
    let (diagnosis, _) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    let left = (419 - cgroup.used()?) as f64;
    let primary = primary_of(&diagnosis)?;
    ensure!(primary.kind == "thread", "want threads: {diagnosis:#?}");
    let said = exhausts(primary)?;
    ensure!(said.limit == "pids.max", "want pids.max: {primary:#?}");
    let truth = left / primary.rate_per_second;
    ensure!((said.in_seconds / truth - 1.0).abs() <= 0.2, "said {said:?}, in truth {truth:.0} s");
    Ok(())
}

fn gomemlimit() -> Result<()> {
    let mut command = clippings(Style::Round, 11.0)?;
    let program = Running::start(command.env("GOMEMLIMIT", format!("{}", 900 * MIB)))?;
    thread::sleep(Duration::from_secs(3));
    let (diagnosis, outcome) = agent::diagnose(program.pid(), WINDOW_SECONDS)?;
    let said = exhausts(primary_of(&diagnosis)?)?;
    ensure!(said.limit == "GOMEMLIMIT", "want GOMEMLIMIT: {diagnosis:#?}");
    let pages = program.held_at(outcome.ended).context("the program says what it holds")?.count;
    let truth = (900.0 * MIB as f64 - pages as f64 * PAGE_BYTES) / (11.0 * PAGE_BYTES);
    ensure!((said.in_seconds / truth - 1.0).abs() <= 0.25, "said {said:?}, in truth about {truth:.0} s");
    Ok(())
}

/// Watches everything called like the program for `seconds` while `act` starts it again and again, and gives back all
/// that was said of it.
fn watched(seconds: u64, name: &str, act: impl FnOnce() -> Result<()>) -> Result<Vec<Diagnosis>> {
    let duration = format!("{seconds}s");
    let arguments = ["run", "--name", name, "-d", &duration, "-i", "1s", "--format", "json"];
    let outcome = thread::scope(|scope| {
        let agent = scope.spawn(|| agent::run(&arguments, Duration::from_secs(seconds + 30)));
        thread::sleep(Duration::from_secs(2));
        let acted = act();
        let outcome = agent.join().map_err(|_| anyhow::anyhow!("the agent's thread panicked"))?;
        acted.and(outcome)
    })?;
    ensure!(outcome.status == Some(0), "run failed: {outcome:?}");
    let lines = outcome.stdout.lines().filter(|line| line.contains("\"watcher.diagnosis/1\""));
    lines.map(|line| serde_json::from_str(line).with_context(|| format!("no diagnosis: {line}"))).collect()
}

/// Starts it as soon as it has ended, each time in the same place, until the time is over.
fn supervise(command: &mut Command, seconds: u64, at_most: Option<Duration>) -> Result<usize> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut lives = 0;
    while Instant::now() < deadline {
        let mut program = Running::start(command)?;
        lives += 1;
        let end = Instant::now() + at_most.unwrap_or(LIFE);
        while Instant::now() < end.min(deadline) && program.is_running()? {
            thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(lives)
}

/// Lives so often as fit into `seconds`, in one cgroup and under a name of its own, and what was said of it meanwhile.
fn relived(
    name: &str,
    style: Style,
    seconds: u64,
    at_most: Option<Duration>,
) -> Result<(usize, Vec<Diagnosis>)> {
    let cgroup = Cgroup::new(Controller::Memory, 192 * MIB)?;
    let (_directory, executable) = renamed(name)?;
    let mut command = cgroup.run(&program::command(&executable, style, 47.0, LIFE));
    let mut lives = 0;
    let said = watched(seconds + 6, name, || {
        lives = supervise(&mut command, seconds, at_most)?;
        Ok(())
    })?;
    Ok((lives, said))
}

fn restarts() -> Result<()> {
    let (lives, said) = relived("scrapbook", Style::Round, 80, None)?;
    ensure!(lives >= 4, "it was to be restarted three times, and lived {lives} times");
    let told = said.iter().rev().find(|diagnosis| diagnosis.story.is_some());
    let told = told.with_context(|| format!("no story of {lives} lives: {said:#?}"))?;
    let story = told.story.as_ref().context("it has one")?;
    ensure!(told.verdict == "leak", "want a leak: {told:#?}");
    ensure!(primary_of(told)?.kind == "heap", "want heap: {told:#?}");
    ensure!(story.total == "memory" && story.lives.len() >= 3, "want three lives at least: {story:#?}");
    let left = story.exhausts.as_ref().context("it runs into a limit")?;
    ensure!(left.limit == "memory.max", "want memory.max: {story:#?}");
    ensure!(left.in_seconds <= 2.0 * story.typical_seconds, "a life is no longer than that: {story:#?}");
    Ok(())
}

fn innocent_restarts() -> Result<()> {
    let (lives, said) = relived("shoebox", Style::Square, 70, Some(Duration::from_secs(15)))?;
    ensure!(lives >= 4, "it was to be restarted three times, and lived {lives} times");
    let alarms: Vec<_> = said.iter().filter(|it| it.story.is_some() || it.verdict == "leak").collect();
    ensure!(alarms.is_empty(), "nothing grows here: {alarms:#?}");
    Ok(())
}
