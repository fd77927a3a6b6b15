//! Watches programs with real libraries and prints how right the judge was. `cargo xtask accuracy --real` builds the
//! agent and calls it.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use tests::real::Twin;
use tests::real::measure::{Settings, measure, subjects};
use tests::real::report::{Report, objection};
use tests::toolchain::Toolchain;

/// A program that is watched and its watchers take a fifth of a core at most.
const AT_ONCE_PER_CORE: usize = 4;

/// What was typed.
#[derive(Parser)]
struct Arguments {
    /// Only programs whose name or library contains this, or of this kind.
    filter: Option<String>,
    /// Versions of Go, such as 1.26,1.27; the newest that is here where it is not said.
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',')]
    go: Vec<String>,
    /// How long each is watched.
    #[arg(long, value_name = "N", default_value_t = 45, value_parser = clap::value_parser!(u64).range(20..=400))]
    seconds: u64,
    /// How many at once; four for each core where it is not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    at_once: Option<u32>,
    /// How much of its work each does: 0.01 for a hundredth, as in production.
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pace: f64,
    /// Write the same as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write each diagnosis to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    save_in: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    ensure!(arguments.pace > 0.0 && arguments.pace <= 10.0, "--pace takes a number above 0 and up to 10");
    let toolchains = match &*arguments.go {
        [] => vec![Toolchain::newest().context("no Go toolchain is here: `cargo xtask test` fetches them")?],
        versions => versions.iter().map(|it| toolchain(it)).collect::<Result<Vec<_>>>()?,
    };
    let subjects = subjects(arguments.filter.as_deref(), &toolchains);
    if subjects.is_empty() {
        bail!("no program with a real library is called that");
    }
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let at_once = arguments.at_once.map_or(Ok(AT_ONCE_PER_CORE * cores), usize::try_from)?;
    let default_place = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/accuracy-real");
    let settings = Settings {
        window: Duration::from_secs(arguments.seconds),
        at_once: at_once.min(subjects.len()),
        pace: arguments.pace,
        save_in: arguments.save_in.unwrap_or_else(default_place),
    };
    let all = subjects.len();
    let mut done = 0;
    let outcomes = measure(subjects, &settings, |subject, outcome| {
        done += 1;
        let words = match outcome {
            Ok(run) if run.judged.is_right(subject.twin) => match subject.twin {
                Twin::Reported => {
                    format!("{}, as it should be", run.judged.kind.as_deref().unwrap_or("leak"))
                }
                Twin::Fixed => format!("{}, as it should be", run.judged.verdict),
            },
            Ok(run) => objection(run),
            Err(why) => format!("not measured: {why}"),
        };
        // Nobody is left to tell where standard error is closed.
        let _ = writeln!(io::stderr(), "{done} of {all}  {}: {words}", subject.name());
    })?;
    let report = Report::of(outcomes);
    let window = settings.window.as_secs();
    writeln!(io::stdout(), "{all} programs, each watched for {window} s, {} at once.\n", settings.at_once)?;
    io::stdout().write_all(report.text().as_bytes())?;
    if let Some(path) = arguments.json {
        fs::write(&path, report.json()?).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The toolchain of a version such as `1.21`.
fn toolchain(version: &str) -> Result<&'static Toolchain> {
    let minor = version.strip_prefix("1.").and_then(|minor| minor.parse().ok());
    let minor = minor.with_context(|| format!("{version:?} is no version of Go such as 1.27"))?;
    Toolchain::minor(minor)
        .with_context(|| format!("Go {version} is not here: `cargo xtask test` fetches it"))
}
