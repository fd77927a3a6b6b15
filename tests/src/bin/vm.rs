//! The cases of the kernel on other kernels than this host's.
//!
//! `vm boot`   boots virtual machines and tells what came of the cases in them
//! `vm guest`  runs the cases: what the virtual machines start

use anyhow::{Context, Result};
use clap::Parser;
use libtest_mimic::Arguments;
use std::io::{self, Write};
use std::process::ExitCode;
use tests::vm::{self, Order};
use tests::{cases, runner};

#[derive(Parser)]
enum Command {
    /// Boot virtual machines and tell what came of the cases in them.
    Boot(Order),
    /// Run the cases on the kernel that is running.
    Guest {
        /// Only cases whose names contain this.
        filter: Option<String>,
    },
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Boot(order) => vm::boot(&order),
        Command::Guest { filter } => guest(filter),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(io::stderr(), "virtual machines: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One case at a time: what several do at once on one processor tells of the emulator and not of the kernel.
fn guest(filter: Option<String>) -> Result<bool> {
    let arguments = Arguments { filter, test_threads: Some(1), ..Arguments::default() };
    let release = nix::sys::utsname::uname()?.release().to_string_lossy().into_owned();
    let kernel = release.split('.').take(2).collect::<Vec<_>>().join(".");
    let cases = cases::guest().into_iter().map(|case| case.called_in(&format!("linux-{kernel}"))).collect();
    let conclusion = runner::run(cases, &arguments).context("print what came of the cases")?;
    Ok(!conclusion.has_failed())
}
