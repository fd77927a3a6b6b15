//! `cargo xtask servers`: Debian's servers under load, watched all the time: is any of them said to leak?

use crate::workspace::{cargo, prepare_to_watch, succeed};
use anyhow::Result;
use std::path::PathBuf;

/// `cargo xtask servers`, as root. They run side by side, on the loopback interface alone.
#[derive(clap::Args)]
pub struct Servers {
    /// For how many minutes each is called.
    #[arg(long, value_name = "N", default_value_t = 10.0)]
    minutes: f64,
    /// Calls per second and server, on average.
    #[arg(long, value_name = "N", default_value_t = 40.0)]
    rate: f64,
    /// Half of the calls give the server something to keep: what grows then has a place, and is no leak.
    #[arg(long)]
    storing: bool,
    /// Windows of 45 s that `watcher diagnose` judges of each, beside `watcher run`.
    #[arg(long, value_name = "N", default_value_t = 5)]
    windows: u32,
    /// Keep every verdict in this directory, as JSON.
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
    /// Write the whole report to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Which: prometheus, etcd, nats, caddy, influx; all where none is named.
    names: Vec<String>,
}

impl Servers {
    /// Prints a table; fails where a server is said to leak, or nothing is said of it.
    pub fn carry_out(self) -> Result<()> {
        let watcher = prepare_to_watch()?;
        let mut servers = cargo()?;
        servers.args([
            "run",
            "--quiet",
            "--release",
            "--package",
            "tests",
            "--bin",
            "servers_under_load",
            "--",
        ]);
        servers.arg(format!("--minutes={}", self.minutes)).arg(format!("--rate={}", self.rate));
        servers.arg(format!("--windows={}", self.windows));
        servers.args(self.storing.then_some("--storing"));
        for (option, path) in [("--keep", self.keep), ("--json", self.json)] {
            if let Some(path) = path {
                servers.arg(option).arg(std::path::absolute(path)?);
            }
        }
        succeed(servers.args(self.names).env("WATCHER_BIN", watcher))
    }
}
