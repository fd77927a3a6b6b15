//! Starts the programs under `programs/`.

use crate::build::{self, Variant};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The executable of `programs/NAME` as most people ship it, built with the newest toolchain.
pub fn shipped(name: &str) -> Result<PathBuf> {
    let toolchain = Toolchain::newest().context("no Go toolchain is here")?;
    build::build(name, toolchain, Variant::STRIPPED)
}

/// Which of the twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Keeps what it should give back.
    Round,
    /// Gives it back.
    Square,
}

/// The command that runs `executable`, one of ours, as the twin `style` at `rate` per second for `life`.
pub fn command(executable: &Path, style: Style, rate: f64, life: Duration) -> Command {
    with_arguments(Command::new(executable), style, rate, life)
}

/// The same with soft and hard RLIMIT_NOFILE set, so that the limit is a known number.
pub fn command_with_descriptor_limit(
    executable: &Path,
    style: Style,
    rate: f64,
    life: Duration,
    limit: u64,
) -> Command {
    let mut prlimit = Command::new("prlimit");
    prlimit.arg(format!("--nofile={limit}:{limit}")).arg(executable);
    with_arguments(prlimit, style, rate, life)
}

fn with_arguments(mut command: Command, style: Style, rate: f64, life: Duration) -> Command {
    let style = match style {
        Style::Round => "round",
        Style::Square => "square",
    };
    command.args(["-style", style, "-rate", &rate.to_string()]).arg(format!("-for={}s", life.as_secs()));
    command
}

/// Starts `depot`, which holds `descriptors` of them and idles, and waits until it does.
pub fn depot(executable: &Path, descriptors: u64, life: Duration) -> Result<Running> {
    let mut command = command(executable, Style::Square, 1.0, life);
    let mut running = Running::start(command.arg(format!("-fds={descriptors}")))?;
    running.holding(descriptors)?;
    Ok(running)
}

/// Copies an executable to where every user may run it: `name` in a fresh directory.
pub fn public_copy(executable: &Path, name: impl AsRef<Path>) -> Result<(tempfile::TempDir, PathBuf)> {
    let directory =
        tempfile::Builder::new().prefix("public-").tempdir_in("/tmp").context("create a directory")?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).context("open it to all")?;
    let copy = directory.path().join(name);
    // Another process writes the copy. If this one did, a child that another thread forks at that moment would hold
    // it open for writing, and the kernel runs no file that is open for writing.
    let status = Command::new("install").args(["-m", "755"]).arg(executable).arg(&copy).status();
    ensure!(status.context("run install")?.success(), "install could not copy {}", executable.display());
    Ok((directory, copy))
}
