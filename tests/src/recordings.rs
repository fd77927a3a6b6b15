//! The recordings below `recordings/`: which programs they are of, and how they are made.

use crate::agent;
use crate::build::{self, Variant};
use crate::program::{self, Style};
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// RLIMIT_NOFILE of the programs, so that time left is about a known number.
const DESCRIPTOR_LIMIT: u64 = 4096;
/// Start-up is over by then, and what is given back after three seconds is in balance.
const WARM_UP: Duration = Duration::from_secs(6);
/// How long is recorded.
const SECONDS: u64 = 45;
/// A program lives longer than that, on a busy machine too.
const LIFE: Duration = Duration::from_secs(150);

/// How one recording is made: the first half of a row of `recordings/table.toml`.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    /// The program below `programs/`.
    pub program: String,
    /// The N of Go 1.N that builds it.
    pub go: u32,
    /// With C linked in.
    #[serde(default)]
    pub cgo: bool,
    /// `round` keeps what `square` gives back.
    pub style: String,
    /// Per second.
    pub rate: f64,
    /// More arguments.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Whom it needs to have something to do.
    pub peer: Option<Peer>,
}

/// Whom a program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// Somebody who calls it.
    Calls,
    /// Somebody whom it calls.
    Serves,
}

/// Where the recordings lie.
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

/// All rows of the table, by name.
pub fn table() -> Result<BTreeMap<String, Row>> {
    let path = directory().join("table.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("read {}", path.display()))
}

/// Records a row into `file`.
pub fn record(row: &Row, file: &Path) -> Result<()> {
    let (program, _peer) = start(row)?;
    thread::sleep(WARM_UP);
    let pid = program.pid().to_string();
    let mut command = Command::new(agent::binary()?);
    command.args(["record", "--pid", &pid, "--duration", &format!("{SECONDS}s"), "--output"]).arg(file);
    let outcome = agent::finish(&mut command, Duration::from_secs(SECONDS + 60))?;
    ensure!(outcome.status == Some(0), "watcher record: {}", outcome.stderr);
    Ok(())
}

/// Starts the program of a row, and whom it needs.
fn start(row: &Row) -> Result<(Running, Option<Running>)> {
    let toolchain = Toolchain::minor(row.go).with_context(|| format!("Go 1.{} is not here", row.go))?;
    let variant = if row.cgo { Variant::CGO } else { Variant::STRIPPED };
    let executable = build::build(&row.program, toolchain, variant)?;
    let style = if row.style == "round" { Style::Round } else { Style::Square };
    let command =
        |style| program::command_with_descriptor_limit(&executable, style, row.rate, LIFE, DESCRIPTOR_LIMIT);
    let mut own = command(style);
    own.args(&row.arguments);
    Ok(match row.peer {
        None => (Running::start(&mut own)?, None),
        Some(Peer::Calls) => {
            let mut program = Running::start(&mut own)?;
            let address = program.address()?;
            (program, Some(Running::start(command(Style::Square).args(["-call", &address]))?))
        }
        Some(Peer::Serves) => {
            let mut server = Running::start(&mut command(Style::Square))?;
            let url = format!("http://{}/", server.address()?);
            (Running::start(own.args(["-url", &url]))?, Some(server))
        }
    })
}
