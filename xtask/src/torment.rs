//! `cargo xtask torment`: the agent beside everything that other users can do to it, for as long as is wanted.

use crate::workspace::{cargo, prepare_to_watch, succeed};
use anyhow::Result;

/// `cargo xtask torment`, as root. Everything stays on this host; the attackers have a user id of their own.
#[derive(clap::Args)]
pub struct Torment {
    /// For how many minutes.
    #[arg(long, value_name = "N", default_value_t = 30.0)]
    minutes: f64,
    /// Processes of one user that pretend to be Go programs.
    #[arg(long, value_name = "N", default_value_t = 2048)]
    crowd: usize,
}

impl Torment {
    /// Prints a table; fails where the agent ends, grows, judges wrongly or leaves something behind.
    pub fn carry_out(self) -> Result<()> {
        let watcher = prepare_to_watch()?;
        let mut torment = cargo()?;
        torment.args(["run", "--quiet", "--release", "--package", "tests", "--bin", "torment", "--"]);
        torment.arg(format!("--minutes={}", self.minutes)).arg(format!("--crowd={}", self.crowd));
        succeed(torment.env("WATCHER_BIN", watcher))
    }
}
