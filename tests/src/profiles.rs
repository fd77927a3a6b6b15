//! Profiles as the agent's commands and the endpoints of Go programs give them.

use crate::agent;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use watcher::report::pprof::{Limits, Profile, decode};

const LIMIT: Duration = Duration::from_secs(20);

/// What a command of the agent prints of a process.
pub fn view(arguments: &[&str], pid: u32) -> Result<String> {
    let pid = pid.to_string();
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--pid", &pid]).collect();
    let outcome = agent::run(&arguments, LIMIT)?;
    ensure!(outcome.status == Some(0), "{arguments:?} failed: {outcome:?}");
    Ok(outcome.stdout)
}

/// The pprof profile that a command of the agent writes of a process.
pub fn profile_bytes(command: &str, pid: u32) -> Result<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().context("create a file")?;
    view(&[command, "--format", "pprof", "--output", &file.path().display().to_string()], pid)?;
    fs::read(file.path()).context("read a profile back")
}

/// The same, understood.
pub fn profile(command: &str, pid: u32) -> Result<Profile> {
    parse(&profile_bytes(command, pid)?)
}

/// A pprof profile.
pub fn parse(bytes: &[u8]) -> Result<Profile> {
    decode(bytes, &Limits::default()).context("read a profile")
}

/// Records of `debug=1` with their counts, without those that have a function of `of_the_endpoint`: goroutines that
/// are there only because somebody reads it.
pub fn records(text: &str, of_the_endpoint: &[&str]) -> BTreeMap<String, u64> {
    let mut records = BTreeMap::new();
    let behind_total = text.split_once('\n').map_or("", |(_, rest)| rest);
    for record in behind_total.split("\n\n") {
        let is_of_endpoint = of_the_endpoint.iter().any(|name| record.contains(name));
        // A goroutine that has only just been created has no frames yet.
        let Some((count, stack)) = record.trim_start().split_once(' ').filter(|_| record.contains("#\t"))
        else {
            continue;
        };
        if let (Ok(count), false) = (count.parse::<u64>(), is_of_endpoint) {
            *records.entry(stack.to_owned()).or_default() += count;
        }
    }
    records
}
