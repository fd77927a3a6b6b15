//! `cargo xtask bench`: what a sweep over many processes costs, beside a peer's on the same processes.

use crate::workspace::{build_watcher, cargo, succeed};
use anyhow::Result;

/// `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Bench {
    /// How many sweeps of each to measure.
    #[arg(long, value_name = "N", default_value_t = 20)]
    sweeps: u32,
}

impl Bench {
    /// Prints a table. Nothing depends on the numbers: a slow machine fails nothing.
    pub fn carry_out(self) -> Result<()> {
        let watcher = build_watcher()?;
        let sweeps = self.sweeps.to_string();
        let mut sweep = cargo()?;
        sweep.args(["run", "--quiet", "--release", "--package", "tests", "--bin", "sweep", "--", &sweeps]);
        succeed(sweep.env("WATCHER_BIN", watcher))
    }
}
