//! `cargo xtask bench`: what watching costs the watcher and the watched, side by side with the alternatives.

use crate::workspace::{cargo, prepare_to_watch, succeed};
use anyhow::Result;

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
    /// How many turns each watcher has.
    #[arg(long, value_name = "N", default_value_t = 7, requires = "ledger", value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// For how many minutes it is watched; for as many it is left alone in between.
    #[arg(long, value_name = "N", default_value_t = 10.0, requires = "churn")]
    minutes: f64,
}

impl Bench {
    /// Prints a table. Nothing depends on the numbers: a slow machine fails nothing.
    pub fn carry_out(self) -> Result<()> {
        let watcher = prepare_to_watch()?;
        let (bin, argument) = if self.goroutines {
            ("goroutines", None)
        } else if self.churn {
            ("churn", Some(self.minutes.to_string()))
        } else if self.ledger {
            ("ledger", Some(self.rounds.to_string()))
        } else {
            ("sweep", Some(self.sweeps.to_string()))
        };
        let mut bench = cargo()?;
        bench.args(["run", "--quiet", "--release", "--package", "tests", "--bin", bin, "--"]).args(argument);
        succeed(bench.env("WATCHER_BIN", watcher))
    }
}
