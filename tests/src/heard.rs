//! `watcher run`, and what it says while it runs.

use crate::agent::binary;
use crate::running::Running;
use anyhow::{Result, bail};
use serde_json::Value;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A `watcher run` that is under way.
pub struct Heard {
    /// The process.
    pub agent: Running,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Heard {
    /// Starts it with these arguments more.
    pub fn start(arguments: &[&str]) -> Result<Heard> {
        let lines: Arc<Mutex<Vec<Value>>> = Arc::default();
        let listener = Arc::clone(&lines);
        let mut command = Command::new(binary()?);
        command.args(["run", "--format", "json"]).args(arguments);
        let agent = Running::start_heard(&mut command, move |line| {
            if let Ok(said) = serde_json::from_str(line) {
                listener.lock().unwrap_or_else(PoisonError::into_inner).push(said);
            }
        })?;
        Ok(Heard { agent, lines })
    }

    /// All that it has said so far.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it said `event` of this process.
    pub fn count(&self, event: &str, pid: u32) -> usize {
        self.lines().iter().filter(|said| said["event"] == event && said["about"]["pid"] == pid).count()
    }

    /// How often it has said that it watches this process from now on.
    pub fn begun(&self, pid: u32) -> usize {
        self.count("watched", pid) + self.count("came", pid)
    }

    /// Waits until what it has said is enough.
    pub fn until(&self, what: &str, is_enough: impl Fn(&[Value]) -> bool) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_enough(&self.lines()) {
            if Instant::now() > deadline {
                bail!(
                    "it took over a minute until {what}: {:#?}",
                    self.lines().iter().rev().take(20).collect::<Vec<_>>()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// A number of the newest line about its own health.
    pub fn health(&self, number: &str) -> Option<u64> {
        self.lines().iter().rev().find(|said| said["event"] == "health")?["about"][number].as_u64()
    }
}
