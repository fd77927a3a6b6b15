//! `cargo xtask simulate`: are innocent processes accused in simulated weeks, and are leaks found soon?

use crate::workspace::{cargo, succeed};
use anyhow::Result;
use std::ffi::OsString;

/// `cargo xtask simulate`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Simulate {
    /// What the program `process_weeks` of the tests takes: its `--help` tells.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    arguments: Vec<OsString>,
}

impl Simulate {
    /// Prints a table; fails where innocents are accused too often, or slow leaks are found too late.
    pub fn carry_out(self) -> Result<()> {
        let mut simulate = cargo()?;
        simulate.args(["run", "--quiet", "--release", "--package", "tests", "--bin", "process_weeks", "--"]);
        succeed(simulate.args(self.arguments))
    }
}
