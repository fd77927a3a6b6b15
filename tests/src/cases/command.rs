//! The command itself: `run` names what it watches within seconds and stops when told.

use crate::agent;
use crate::case::Case;
use crate::need::Need;
use crate::program;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The cases.
pub fn cases() -> Vec<Case> {
    let needs = [Need::Go];
    vec![
        Case::new("run::names_processes_within_15_seconds", needs, || names_processes("text")),
        Case::new("run::names_processes_in_json_lines", needs, || names_processes("json")),
    ]
}

fn names_processes(format: &str) -> Result<()> {
    let depot = program::depot(&program::shipped("depot")?, 3, Duration::from_secs(60))?;
    let mut watcher = Command::new(agent::binary()?)
        .args(["run", "--format", format])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("start watcher run")?;
    let output = watcher.stdout.take().context("standard output is a pipe")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        // Ends when the agent does, or when nobody listens any more.
        BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let pid = depot.pid().to_string();
    let names_it = |line: &str| {
        let words: Vec<&str> = line.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        words.contains(&pid.as_str()) && line.contains("example.com/parcels") && line.contains("go1.")
    };
    let named = within(Duration::from_secs(15), &lines, names_it);
    let agent = Pid::from_raw(watcher.id().try_into().context("a pid fits")?);
    kill(agent, Signal::SIGINT).context("interrupt watcher run")?;
    let status = watcher.wait().context("wait for watcher run")?;
    let heard = named?;
    ensure!(status.success(), "interrupted, it should end well: {status}");
    if format == "json" {
        serde_json::from_str::<serde_json::Value>(&heard)
            .with_context(|| format!("no JSON line: {heard}"))?;
    }
    Ok(())
}

/// The first line for which `wanted` holds, if it comes within `limit`.
fn within(limit: Duration, lines: &mpsc::Receiver<String>, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let deadline = std::time::Instant::now() + limit;
    let mut heard = Vec::new();
    loop {
        let left = deadline.saturating_duration_since(std::time::Instant::now());
        let line =
            lines.recv_timeout(left).with_context(|| format!("not named in {limit:?}; heard {heard:?}"))?;
        if wanted(&line) {
            return Ok(line);
        }
        heard.push(line);
    }
}
