//! `programs/market`: goroutines that wait, goroutines that churn, and a bell that notes how late it rings.

pub mod seen;
pub mod turns;

use crate::agent;
use crate::answer::GoroutineReading;
use crate::http::Address;
use crate::program;
use crate::running::Running;
use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::{Duration, Instant};

/// A running market.
pub struct Market {
    running: Running,
    address: Address,
}

/// How late the bell rang at worst, and how often it rang.
#[derive(Clone, Copy, Debug)]
pub struct Lateness {
    /// Worst lateness.
    pub worst: Duration,
    /// How often.
    pub rings: u64,
}

impl Market {
    /// Starts one where `waiting` goroutines wait and `traders` churn.
    pub fn open(waiting: u64, traders: u32, life: Duration) -> Result<Market> {
        Market::open_with(waiting, life, &[format!("-traders={traders}")])
    }

    /// Starts one where `waiting` goroutines wait, told more besides.
    pub fn open_with(waiting: u64, life: Duration, more: &[String]) -> Result<Market> {
        let mut command = Command::new(program::shipped("market")?);
        command.arg(format!("-waiting={waiting}")).args(more);
        let mut running = Running::start(command.arg(format!("-for={}s", life.as_secs())))?;
        running.holding(waiting)?;
        let address = Address::Tcp(running.address()?);
        Ok(Market { running, address })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// The lateness since this was last asked.
    pub fn lateness(&self) -> Result<Lateness> {
        let answer = self.get("/late")?;
        let (worst, rings) = answer.split_once(' ').context("two numbers")?;
        let worst = Duration::from_nanos(worst.parse().context("nanoseconds")?);
        Ok(Lateness { worst, rings: rings.parse().context("how often it rang")? })
    }

    /// How much was done since the start.
    pub fn deals(&self) -> Result<u64> {
        self.get("/deals")?.parse().context("a count of deals")
    }

    /// The body of a 200 answer.
    pub fn get(&self, path: &str) -> Result<String> {
        self.address.get_text(path)
    }

    /// How long one answer takes, and how many bytes it has.
    pub fn time(&self, path: &str) -> Result<(Duration, usize)> {
        let began = Instant::now();
        let body = self.address.get(path)?;
        Ok((began.elapsed(), body.len()))
    }
}

/// `watcher bench-goroutines`: so many readings, one begun `every` so often.
pub fn read(pid: u32, reads: u32, every: Duration) -> Result<Vec<GoroutineReading>> {
    let (pid, count) = (pid.to_string(), reads.to_string());
    let milliseconds = format!("{}ms", every.as_millis());
    let arguments = ["bench-goroutines", "--pid", &pid, "--reads", &count, "--every", &milliseconds];
    let outcome =
        agent::run(&arguments, Duration::from_secs(120) + (every + Duration::from_secs(2)) * reads)?;
    if outcome.status != Some(0) {
        bail!("watcher bench-goroutines failed: {}", outcome.stderr);
    }
    let lines = outcome.stdout.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().context("a line of JSON for each reading")
}
