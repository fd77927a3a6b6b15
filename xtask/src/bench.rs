//! `cargo xtask bench`: what watching costs the watcher and the watched, side by side with the alternatives.

use crate::workspace::{cargo, prepare_to_watch, succeed};
use anyhow::Result;
use std::ffi::OsString;
use std::path::PathBuf;

/// `cargo xtask bench`: a sweep over many processes beside a peer's, unless another is asked for.
#[derive(clap::Args)]
pub struct Bench {
    /// How many sweeps of each to measure.
    #[arg(long, value_name = "N", default_value_t = 20)]
    sweeps: u32,
    /// Reading 100,000 goroutines, beside the process's own endpoint.
    #[arg(long, conflicts_with = "churn")]
    goroutines: bool,
    /// A snapshot every second of a process that churns: is every group right, and does it work as fast as unwatched?
    #[arg(long)]
    churn: bool,
    /// What a watched process pays for its ledger of descriptors, and what an unwatched one, beside other watchers.
    #[arg(long, conflicts_with_all = ["goroutines", "churn"])]
    ledger: bool,
    /// A first glance at a process with 10,000 descriptors and 10,000 goroutines, beside lsof and its endpoint.
    #[arg(long, conflicts_with_all = ["goroutines", "churn", "ledger"])]
    glance: bool,
    /// `run` on 300 processes of which 20 rise slowly, beside another build of the agent.
    #[arg(long, requires = "baseline", conflicts_with_all = ["goroutines", "churn", "ledger", "glance"])]
    suspects: bool,
    /// The other build.
    #[arg(long, value_name = "PATH", requires = "suspects")]
    baseline: Option<PathBuf>,
    /// How many turns each watcher has: with --ledger and with --glance.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// For how many minutes it is watched: with --churn, which leaves it alone for as many in between, and with
    /// --suspects.
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
}

impl Bench {
    /// Prints a table. Nothing depends on the numbers: a slow machine fails nothing.
    pub fn carry_out(self) -> Result<()> {
        let watcher = prepare_to_watch()?;
        let number = |number: &dyn ToString| vec![OsString::from(number.to_string())];
        let (bin, arguments) = if self.goroutines {
            ("goroutines", Vec::new())
        } else if self.churn {
            ("churn", number(&self.minutes))
        } else if self.ledger {
            ("ledger", number(&self.rounds))
        } else if self.glance {
            ("glance", number(&self.rounds))
        } else if self.suspects {
            let baseline = self.baseline.map(std::path::absolute).transpose()?;
            ("suspects", number(&self.minutes).into_iter().chain(baseline.map(OsString::from)).collect())
        } else {
            ("sweep", number(&self.sweeps))
        };
        let mut bench = cargo()?;
        bench.args(["run", "--quiet", "--release", "--package", "tests", "--bin", bin, "--"]).args(arguments);
        succeed(bench.env("WATCHER_BIN", watcher))
    }
}
