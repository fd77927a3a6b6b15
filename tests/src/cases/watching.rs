//! `watcher run` finds what leaks slowly and what fills up fast, and what ends is judged by what was seen of it.

use crate::agent::{self, binary};
use crate::build;
use crate::case::Case;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Opens files, and in one of its ways of working keeps them open.
const PROGRAM: &str = "stocktake";
const OPENS: &str = "os.Open(shelf)";

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = || [Need::Root, Need::Go];
    vec![
        Case::new("watching::twelve_a_minute_are_told_with_their_line", needs(), slow),
        Case::new("watching::what_fills_up_is_told_before_and_when_it_ends", needs(), fast),
        Case::new("watching::what_ends_is_judged_by_what_was_seen", needs(), ends),
    ]
}

/// A line that `run` printed, and when.
type Told = (SystemTime, Value);

/// What `run` tells of the processes of these pids within `life`.
fn watched(pids: [u32; 2], interval: &str, life: Duration) -> Result<Vec<Told>> {
    let heard: Arc<Mutex<Vec<Told>>> = Arc::default();
    let listener = Arc::clone(&heard);
    let life = format!("{}s", life.as_secs());
    let mut command = Command::new(binary()?);
    command.args(["run", "--name", PROGRAM, "-i", interval, "-d", &life, "--format", "json"]);
    let mut agent = Running::start_heard(&mut command, move |line| {
        if let Ok(said) = serde_json::from_str(line) {
            listener.lock().unwrap_or_else(PoisonError::into_inner).push((SystemTime::now(), said));
        }
    })?;
    agent.wait()?;
    let heard = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    let is_there =
        |pid: u32| heard.iter().any(|(_, said)| said["event"] == "watched" && pid_of(said) == Some(pid));
    ensure!(pids.into_iter().all(is_there), "both are watched: {heard:#?}");
    Ok(heard)
}

/// Whom a line is about.
fn pid_of(said: &Value) -> Option<u32> {
    let places = [&said["about"]["pid"], &said["about"]["process"]["pid"], &said["process"]["pid"]];
    places.into_iter().find_map(Value::as_u64).and_then(|pid| u32::try_from(pid).ok())
}

/// The first line that says that a process leaks.
fn leak(told: &[Told], pid: u32) -> Option<&Told> {
    told.iter().find(|(_, said)| said["verdict"] == "leak" && pid_of(said) == Some(pid))
}

/// Fails unless what leaks are descriptors opened at the line that opens them.
fn expect_line(diagnosis: &Value) -> Result<()> {
    let path = build::programs().join(PROGRAM).join("main.go");
    let source = fs::read_to_string(path).context("read a source")?;
    let wanted: Vec<usize> = source
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains(OPENS))
        .map(|(index, _)| index + 1)
        .collect();
    let finding = &diagnosis["findings"][0];
    let line = finding["culprits"][0]["line"].as_u64().and_then(|line| usize::try_from(line).ok());
    let is_right = finding["kind"] == "fd" && line.is_some_and(|line| wanted.contains(&line));
    ensure!(is_right, "want descriptors opened at one of the lines {wanted:?}: {diagnosis:#}");
    Ok(())
}

fn start(style: Style, rate: f64, life: Duration) -> Result<Running> {
    Running::start(&mut program::command(&program::shipped(PROGRAM)?, style, rate, life))
}

fn slow() -> Result<()> {
    const LIFE: Duration = Duration::from_secs(240);
    let keeps = start(Style::Round, 0.2, 2 * LIFE)?;
    let returns = start(Style::Square, 0.2, 2 * LIFE)?;
    let told = watched([keeps.pid(), returns.pid()], "5s", LIFE)?;
    let (_, said) = leak(&told, keeps.pid()).with_context(|| format!("it is told: {told:#?}"))?;
    expect_line(said)?;
    let accused = told.iter().find(|(_, said)| {
        let suspects = said["event"] == "suspected" && said["about"]["suspected"]["kind"] == "fd";
        pid_of(said) == Some(returns.pid()) && (said["verdict"] == "leak" || suspects)
    });
    ensure!(accused.is_none(), "whoever closes what he opens is not suspected: {accused:#?}");
    Ok(())
}

fn fast() -> Result<()> {
    const LIFE: Duration = Duration::from_secs(38);
    const LIMIT: u64 = 4_000;
    let executable = program::shipped(PROGRAM)?;
    let start = |style| {
        let mut command = program::command_with_descriptor_limit(&executable, style, 100.0, LIFE, LIMIT);
        Running::start(&mut command)
    };
    let (keeps, returns) = (start(Style::Round)?, start(Style::Square)?);
    let told = watched([keeps.pid(), returns.pid()], "5s", LIFE + Duration::from_secs(12))?;
    let of = |pid: u32| told.iter().filter(move |(_, said)| pid_of(said) == Some(pid));
    let left = of(keeps.pid()).find(|(_, said)| said["event"] == "left").context("it ends")?;
    let warned = of(keeps.pid()).find(|(_, said)| said["event"] == "filling" || said["verdict"] == "leak");
    let (when, said) = warned.with_context(|| format!("a word before it is full: {told:#?}"))?;
    ensure!(*when < left.0 && said["event"] != "left", "it comes before the end: {told:#?}");
    let (_, said) = leak(&told, keeps.pid()).with_context(|| format!("it is told: {told:#?}"))?;
    expect_line(said)?;
    let at_the_end = left.1["about"]["at_the_end"].as_str().unwrap_or_default();
    let words = ["of 4,000 descriptors", "main.walk"];
    ensure!(words.iter().all(|word| at_the_end.contains(word)), "how it stood at the last: {left:#?}");
    let accused = of(returns.pid()).find(|(_, said)| {
        said["verdict"] == "leak" || said["event"] == "filling" || !said["about"]["at_the_end"].is_null()
    });
    ensure!(accused.is_none(), "whoever closes what he opens is not accused: {accused:#?}");
    Ok(())
}

fn ends() -> Result<()> {
    const LIFE: Duration = Duration::from_secs(36);
    for style in [Style::Round, Style::Square] {
        let running = start(style, 5.0, LIFE)?;
        let pid = running.pid().to_string();
        let arguments = ["diagnose", "--pid", &pid, "--duration", "80s", "--format", "json"];
        let outcome = agent::run(&arguments, Duration::from_secs(100))?;
        let said: Value = outcome.json()?;
        let after = said["ended"]["after_seconds"].as_f64().context("it is said that it ended")?;
        ensure!(after <= LIFE.as_secs_f64() + 5.0, "no later than it did: {said:#}");
        ensure!(outcome.stderr.contains("judged by what was seen until then"), "{outcome:?}");
        let steps = said["next_steps"].to_string();
        ensure!(!steps.contains(&pid), "nothing is asked of one that is not there: {steps}");
        match style {
            Style::Round => {
                ensure!(said["verdict"] == "leak" && outcome.status == Some(1), "{said:#}");
                expect_line(&said)?;
            }
            Style::Square => ensure!(said["verdict"] != "leak", "{said:#}"),
        }
    }
    Ok(())
}
