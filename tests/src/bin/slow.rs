//! Runs the corpus at the pace of production and prints how right the judge was. `cargo xtask accuracy --slow` builds
//! the agent and calls it.

use anyhow::{Context, Result};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tests::slow::plan::Plan;
use tests::slow::report::Report;
use tests::slow::watch::measure;
use tests::toolchain::Toolchain;

/// What was typed.
#[derive(Parser)]
#[command(name = "cargo xtask accuracy --slow", bin_name = "cargo xtask accuracy --slow")]
struct Arguments {
    /// Only programs whose name contains this, or of this kind.
    filter: Option<String>,
    /// Versions of Go, such as 1.21,1.27; the newest where it is not said.
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', value_parser = Toolchain::of_version)]
    go: Vec<&'static Toolchain>,
    /// After how long a time of leaking somebody looks.
    #[arg(long, value_name = "TIMES", value_delimiter = ',', default_value = "1m,10m,30m", value_parser = time)]
    attach: Vec<Duration>,
    /// For how long, one after the other; 0s for a first glance.
    #[arg(long, value_name = "TIMES", value_delimiter = ',', default_value = "0s,45s,5m", value_parser = time)]
    durations: Vec<Duration>,
    /// For how long `watcher run` watches some of them from the begin on; 0s for not at all.
    #[arg(long, value_name = "TIME", default_value = "36m", value_parser = time)]
    run: Duration,
    /// Write the same as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write each diagnosis to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    save_in: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let newest = || Toolchain::newest().context("no Go toolchain is here: `cargo xtask test` fetches them");
    let toolchains = if arguments.go.is_empty() { vec![newest()?] } else { arguments.go };
    let plan = Plan {
        filter: arguments.filter,
        toolchains,
        attach: arguments.attach,
        windows: arguments.durations,
        run: (!arguments.run.is_zero()).then_some(arguments.run),
    };
    let default_place = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/accuracy-slow");
    let save_in = arguments.save_in.unwrap_or_else(default_place);
    let measured = measure(&plan, &save_in, |line| {
        // Nobody is left to tell where standard error is closed.
        let _ = writeln!(io::stderr(), "{line}");
    })?;
    let report = Report::of(&measured);
    io::stdout().write_all(report.text().as_bytes())?;
    if let Some(path) = arguments.json {
        fs::write(&path, report.json()?).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A time such as 45s, 5m or 1h.
fn time(text: &str) -> Result<Duration, String> {
    let (number, seconds) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60),
        None => text.strip_suffix('h').map_or((text.trim_end_matches('s'), 1), |hours| (hours, 3600)),
    };
    let number: u64 = number.parse().map_err(|_| "want a time such as 45s or 5m".to_owned())?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "that is for ever".to_owned())
}
