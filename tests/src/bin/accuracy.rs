//! Runs the corpus, or a part of it, and prints how right the judge was. `cargo xtask accuracy` builds the agent and
//! calls it.

use anyhow::{Context, Result, bail};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;
use tests::accuracy::measure::{Settings, measure};
use tests::accuracy::plan::{Flavour, Wanted, subjects};
use tests::accuracy::report::Report;
use tests::toolchain::Toolchain;

/// A program that is watched and its watchers take a fifth of a core at most.
const AT_ONCE_PER_CORE: usize = 4;

/// What was typed.
#[derive(Parser)]
struct Arguments {
    /// Only programs whose name contains this, or of this kind.
    filter: Option<String>,
    /// Versions of Go, such as 1.21,1.27.
    #[arg(long, value_name = "VERSIONS", value_delimiter = ',', default_value = "1.21,1.24,1.27")]
    go: Vec<String>,
    /// How programs are built; may be given several times.
    #[arg(long, value_name = "HOW", value_delimiter = ',', default_value = "stripped")]
    flavour: Vec<Flavour>,
    /// How long each is watched.
    #[arg(long, value_name = "N", default_value_t = 45, value_parser = clap::value_parser!(u64).range(20..=400))]
    seconds: u64,
    /// How many at once; four for each core where it is not said.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=200))]
    at_once: Option<u32>,
    /// Write the same as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// One program of each kind, with the newest of the versions.
    #[arg(long)]
    short: bool,
    /// Write each diagnosis to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    save_in: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut toolchains =
        arguments.go.iter().map(|it| Toolchain::of_version(it)).collect::<Result<Vec<_>>>()?;
    if arguments.short {
        toolchains.sort_by_key(|toolchain| toolchain.minor);
        toolchains.drain(..toolchains.len().saturating_sub(1));
    }
    let wanted =
        Wanted { filter: arguments.filter, toolchains, flavours: arguments.flavour, short: arguments.short };
    let subjects = subjects(&wanted);
    if subjects.is_empty() {
        bail!("no program of the corpus is called that");
    }
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let at_once = arguments.at_once.map_or(Ok(AT_ONCE_PER_CORE * cores), usize::try_from)?;
    let default_place = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/accuracy");
    let settings = Settings {
        window: Duration::from_secs(arguments.seconds),
        at_once: at_once.min(subjects.len()),
        save_in: arguments.save_in.unwrap_or_else(default_place),
    };
    let all = subjects.len();
    let mut done = 0;
    let measured = measure(subjects, &settings, |subject, outcome| {
        done += 1;
        let words = match outcome {
            Ok(run) if run.objections.is_empty() => format!("{}, as it should be", run.verdict),
            Ok(run) => run.objections.iter().map(|it| &*it.sentence).collect::<Vec<_>>().join("; "),
            Err(why) => format!("not measured: {why}"),
        };
        // Nobody is left to tell where standard error is closed.
        let _ = writeln!(io::stderr(), "{done} of {all}  {}: {words}", subject.name());
    })?;
    let report = Report::of(&measured, settings.window, settings.at_once, cores);
    io::stdout().write_all(report.text().as_bytes())?;
    if let Some(path) = arguments.json {
        fs::write(&path, report.json()?).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
