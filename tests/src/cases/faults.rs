//! What can go wrong with a process while it is watched: it never was, it leaves, its pid comes back, it is huge.

use crate::agent::{self, Outcome};
use crate::answer::Diagnosis;
use crate::case::Case;
use crate::cases::leaks::expect_healthy;
use crate::need::Need;
use crate::program::{self, Style};
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit};
use std::process::Command;
use std::time::{Duration, Instant};

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![
        Case::new("faults::no_such_pid", [], no_such_pid),
        Case::new("faults::leaves_while_sampled", [Need::Go], leaves_while_sampled),
        Case::new("faults::pid_comes_back", [Need::Root, Need::Go], pid_comes_back),
        Case::new("faults::very_many_descriptors", [Need::Go], very_many_descriptors),
    ]
}

fn no_such_pid() -> Result<()> {
    let mut gone = Running::start(&mut Command::new("true"))?;
    gone.wait()?;
    for pid in [gone.pid().to_string(), i32::MAX.to_string()] {
        let outcome = agent::run(&["diagnose", "--pid", &pid, "-d", "30s"], Duration::from_secs(10))?;
        outcome.expect_refusal(&[&pid])?;
    }
    Ok(())
}

/// Nobody waits for it before the diagnosis is over, so that its pid stays as that of a zombie.
fn leaves_while_sampled() -> Result<()> {
    let executable = program::shipped("ledger")?;
    let running =
        Running::start(&mut program::command(&executable, Style::Square, 9.0, Duration::from_secs(5)))?;
    let pid = running.pid().to_string();
    let began = Instant::now();
    let arguments = ["diagnose", "--pid", &pid, "-d", "40s", "--format", "json"];
    let outcome = agent::run(&arguments, Duration::from_secs(60))?;
    ensure!(
        began.elapsed() < Duration::from_secs(15),
        "it should not wait for a process that left: {outcome:?}"
    );
    expect_it_left(&outcome)
}

/// In a pid namespace of its own the next pid can be chosen: another program gets the watched one's.
fn pid_comes_back() -> Result<()> {
    let script = r#"
        program=$0 watcher=$1
        echo 699 > /proc/sys/kernel/ns_last_pid
        "$program" -for=20s >/dev/null &
        first=$!
        "$watcher" diagnose --pid $first -d 30s --format json &
        diagnosis=$!
        sleep 4
        kill -9 $first
        wait $first 2>/dev/null
        echo $((first - 1)) > /proc/sys/kernel/ns_last_pid
        "$program" -for=60s >/dev/null &
        second=$!
        wait $diagnosis
        status=$?
        kill -9 $second
        [ $first = $second ] || { echo "could not get pid $first again, got $second" >&2; exit 99; }
        exit $status"#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script]);
    unshare.arg(program::shipped("depot")?).arg(agent::binary()?);
    let outcome = agent::finish(&mut unshare, Duration::from_secs(60))?;
    ensure!(outcome.status != Some(99), "the case itself failed: {}", outcome.stderr);
    expect_it_left(&outcome)
}

/// It left: either refused with a sentence, or judged by what was seen and said so. Never a leak, never healthy.
fn expect_it_left(outcome: &Outcome) -> Result<()> {
    if outcome.status == Some(2) {
        return outcome.expect_refusal(&["ended", "exited", "left", "gone"]);
    }
    let diagnosis: Diagnosis = outcome.json()?;
    ensure!(diagnosis.verdict == "inconclusive", "it left too early to tell: {diagnosis:#?}");
    ensure!(diagnosis.window_seconds < 15.0, "the window ends with the process: {diagnosis:#?}");
    Ok(())
}

/// 60,000 descriptors, or as many as this host lets anybody have.
fn very_many_descriptors() -> Result<()> {
    const SPARE: u64 = 1000;
    let highest = highest_descriptor_limit(60_000 + SPARE)?;
    let executable = program::shipped("depot")?;
    let life = Duration::from_secs(120);
    let mut command = program::command_with_descriptor_limit(&executable, Style::Square, 1.0, life, highest);
    let mut running = Running::start(command.arg(format!("-fds={}", highest - SPARE)))?;
    running.holding(highest - SPARE).context("open so many descriptors")?;
    expect_healthy(&agent::diagnose(running.pid(), 40)?.0)
}

/// `wanted`, where we may have it, else our own hard limit.
fn highest_descriptor_limit(wanted: u64) -> Result<u64> {
    let allowed = Command::new("prlimit").arg(format!("--nofile={wanted}:{wanted}")).arg("true").output();
    if allowed.context("run prlimit")?.status.success() {
        return Ok(wanted);
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("read the limit of descriptors")?;
    Ok(hard.min(wanted))
}
