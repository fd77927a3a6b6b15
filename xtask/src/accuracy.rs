//! `cargo xtask accuracy`: how right the judge is on programs of which it is known what leaks.

use crate::workspace::{cargo, prepare_to_watch, succeed};
use anyhow::{Result, bail};
use std::ffi::OsString;

/// `cargo xtask accuracy`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Accuracy {
    /// What the program `accuracy` of the tests takes, or with `--slow` the program `slow` and with `--real` the program
    /// `real`: their `--help` tells.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FILTER or OPTIONS")]
    arguments: Vec<OsString>,
}

impl Accuracy {
    /// Prints a table; fails where a goal is missed.
    pub fn carry_out(self) -> Result<()> {
        let watcher = prepare_to_watch()?;
        let is_mode = |argument: &OsString| argument == "--slow" || argument == "--real";
        let (modes, arguments): (Vec<_>, Vec<_>) = self.arguments.into_iter().partition(is_mode);
        let bin = match &*modes {
            [] => "accuracy",
            [mode] if mode == "--slow" => "slow",
            [_] => "real",
            _ => bail!("--slow and --real exclude each other"),
        };
        let mut accuracy = cargo()?;
        accuracy
            .args(["run", "--quiet", "--release", "--package", "tests", "--bin", bin, "--"])
            .args(arguments);
        succeed(accuracy.env("WATCHER_BIN", watcher))
    }
}
