//! The agent that is tormented, seen from outside.

use crate::agent::binary;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Whoever has not ended by then is killed.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until then its children are gone, however many others want a processor.
const MOMENT: Duration = Duration::from_secs(10);

/// What it uses at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Its resident memory.
    pub rss_bytes: u64,
    /// Its threads.
    pub threads: usize,
    /// Its open descriptors.
    pub descriptors: usize,
}

pub(super) struct Agent {
    child: Child,
    heard: Arc<Mutex<Vec<Value>>>,
    pulls: PathBuf,
}

/// How it ended.
pub(super) struct Ended {
    pub(super) after: Duration,
    pub(super) status: Option<i32>,
    pub(super) heard: Heard,
    /// Its children at the end.
    children: Vec<String>,
    /// Where it kept profiles.
    pulls: PathBuf,
}

impl Ended {
    /// What is still there of it, each in words. A reader that is stuck ends when whoever holds it up has ended.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let mut left_behind = Vec::new();
        let is_there = |child: &&String| {
            fs::read_to_string(format!("/proc/{child}/cmdline")).is_ok_and(|line| line.contains("watcher"))
        };
        // A child that it has told to end, and one that was held up until now, has a moment for it.
        let until = Instant::now() + MOMENT;
        while self.children.iter().any(|child| is_there(&child)) && Instant::now() < until {
            thread::sleep(Duration::from_millis(100));
        }
        for child in self.children.iter().filter(is_there) {
            left_behind.push(format!("its child {child} is still there"));
        }
        for file in fs::read_dir(&self.pulls).into_iter().flatten().flatten() {
            if !file.file_name().to_string_lossy().ends_with(".pb.gz") {
                left_behind.push(format!("a file {}", file.path().display()));
            }
        }
        left_behind
    }
}

/// What it has told.
pub(super) struct Heard(Vec<Value>);

impl Heard {
    /// The verdicts on a process.
    pub(super) fn verdicts(&self, pid: u32) -> Vec<String> {
        let of = self.0.iter().filter(|said| said["schema"] == "watcher.diagnosis/1");
        let of = of.filter(|said| said["process"]["pid"] == pid);
        of.filter_map(|said| said["verdict"].as_str().map(str::to_owned)).collect()
    }

    /// Whether it has told that something of this process does not answer.
    pub(super) fn names_as_silent(&self, pid: u32) -> bool {
        let all = self.0.iter().filter_map(|said| said["about"]["unanswered"].as_array()).flatten();
        all.into_iter().any(|one| one["pid"] == pid)
    }

    /// The newest count of late beats.
    pub(super) fn late_beats(&self) -> Option<u64> {
        self.0.iter().rev().find_map(|said| said["about"]["late_beats"].as_u64())
    }
}

impl Agent {
    /// Starts `watcher run`, with a beat each second.
    pub(super) fn start(place: &Path, whole_host: bool) -> Result<Agent> {
        let pulls = place.join("pulls");
        let settings = place.join("settings.toml");
        fs::write(&settings, format!("timeout_seconds = 2\ndirectory = '{}'\n", pulls.display()))
            .context("write settings")?;
        let mut command = Command::new(binary()?);
        command.args(["run", "-i", "1s", "--format", "json", "--pprof-settings"]).arg(&settings);
        if !whole_host {
            command.args(["--name", "torment-*"]);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("start watcher run")?;
        let output = child.stdout.take().context("standard output is a pipe")?;
        let heard: Arc<Mutex<Vec<Value>>> = Arc::default();
        let listener = Arc::clone(&heard);
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(said) = serde_json::from_str::<Value>(&line) else { continue };
                // Of the storms nothing is kept.
                if said["schema"] == "watcher.diagnosis/1" || said["event"] == "health" {
                    listener.lock().unwrap_or_else(PoisonError::into_inner).push(said);
                }
            }
        });
        Ok(Agent { child, heard, pulls })
    }

    /// What it uses now.
    pub(super) fn figures(&mut self) -> Result<Figures> {
        if let Some(status) = self.child.try_wait().context("ask after watcher")? {
            bail!("watcher has ended by itself: {status}");
        }
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let status = fs::read_to_string(proc.join("status")).context("read its status")?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("it has memory")?;
        let kibibytes: u64 = rss.trim().trim_end_matches(" kB").parse().context("a number of kilobytes")?;
        let count = |name: &str| -> Result<usize> {
            Ok(fs::read_dir(proc.join(name)).with_context(|| format!("list its {name}"))?.count())
        };
        Ok(Figures { rss_bytes: kibibytes * 1024, threads: count("task")?, descriptors: count("fd")? })
    }

    /// Asks it to end, as a service manager does.
    pub(super) fn end(mut self) -> Result<Ended> {
        let children = children(self.child.id())?;
        let pid = Pid::from_raw(self.child.id().try_into().context("a pid fits")?);
        let began = Instant::now();
        kill(pid, Signal::SIGTERM).context("ask watcher to end")?;
        let status = loop {
            if let Some(status) = self.child.try_wait().context("ask after watcher")? {
                break status.code();
            }
            if began.elapsed() > PATIENCE {
                self.child.kill().context("kill watcher")?;
                break self.child.wait().context("wait for watcher")?.code();
            }
            thread::sleep(Duration::from_millis(10));
        };
        let after = began.elapsed();
        let heard = std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Ended { after, status, heard: Heard(heard), children, pulls: self.pulls.clone() })
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail where it has ended, which is what we want.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pids of the children of all its threads.
fn children(pid: u32) -> Result<Vec<String>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("list its threads")?;
    let listed = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    Ok(listed
        .flat_map(|children| children.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .collect())
}
