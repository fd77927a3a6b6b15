//! `cargo xtask fuzz`: runs the fuzz targets below `tests/fuzz`, each for a while, and says what came of it.

use crate::workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A target that needs more is a finding: no input is larger than a few KiB.
const MAX_RESIDENT_MEBIBYTES: u32 = 1024;
/// An input that takes longer is a finding.
const MAX_INPUT_SECONDS: u32 = 10;

/// The processes that are read are those of x86-64.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Fuzz {
    /// Only this target.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u32,
    /// Write the inputs to begin with anew, and keep of all inputs only those that add coverage.
    #[arg(long)]
    minimise: bool,
}

impl Fuzz {
    /// Fails where anything was found.
    pub fn carry_out(self) -> Result<()> {
        check_tools()?;
        let directory = workspace::root()?.join("tests/fuzz");
        let targets: Vec<String> = targets(&directory)?
            .into_iter()
            .filter(|target| self.target.as_ref().is_none_or(|wanted| wanted == target))
            .collect();
        if targets.is_empty() {
            bail!("no such target; there are: {}", self::targets(&directory)?.join(", "));
        }
        if self.minimise {
            write_seeds(&directory)?;
        }
        let mut rows = Vec::new();
        for target in &targets {
            workspace::succeed(cargo_fuzz(&directory, "build").arg(target))?;
            rows.push(self.run(&directory, target)?);
            if self.minimise {
                workspace::succeed(cargo_fuzz(&directory, "cmin").arg(target))?;
            }
        }
        let mut out = io::stdout().lock();
        write!(out, "{}", table(&rows))?;
        let findings: Vec<_> = rows.iter().flat_map(|row| &row.findings).collect();
        for finding in &findings {
            writeln!(out, "{}", finding.display())?;
        }
        if !findings.is_empty() {
            bail!(
                "{} findings: `cargo +nightly fuzz run --fuzz-dir tests/fuzz TARGET FILE` shows one",
                findings.len()
            );
        }
        Ok(())
    }

    fn run(&self, directory: &Path, target: &str) -> Result<Row> {
        let artifacts = directory.join("artifacts").join(target);
        let before = files_in(&artifacts)?;
        let mut command = cargo_fuzz(directory, "run");
        command.args([target, "--", "-print_final_stats=1"]);
        command.arg(format!("-max_total_time={}", self.seconds));
        command.arg(format!("-rss_limit_mb={MAX_RESIDENT_MEBIBYTES}"));
        command.arg(format!("-timeout={MAX_INPUT_SECONDS}"));
        let output = command.output().with_context(|| format!("run {}", workspace::line_of(&command)))?;
        let log = String::from_utf8_lossy(&output.stderr);
        let mut findings = files_in(&artifacts)?;
        findings.retain(|file| !before.contains(file));
        if !output.status.success() && findings.is_empty() {
            bail!("{} failed:\n{log}", workspace::line_of(&command));
        }
        let statistics = statistics(&log);
        let number = |name| statistics.get(name).copied();
        Ok(Row {
            target: target.to_owned(),
            runs: number("number_of_executed_units"),
            new_units: number("new_units_added"),
            peak_mebibytes: number("peak_rss_mb"),
            findings,
        })
    }
}

/// What came of one target; `None` where libFuzzer did not say.
struct Row {
    target: String,
    runs: Option<u64>,
    new_units: Option<u64>,
    peak_mebibytes: Option<u64>,
    findings: Vec<PathBuf>,
}

fn table(rows: &[Row]) -> String {
    let mut text =
        format!("{:<12}{:>12}{:>12}{:>12}{:>10}\n", "target", "runs", "new units", "peak RSS", "findings");
    for row in rows {
        let number = |value: Option<u64>| value.map_or("?".to_owned(), |value| value.to_string());
        let peak = row.peak_mebibytes.map_or("?".to_owned(), |mebibytes| format!("{mebibytes} MiB"));
        let (runs, new_units) = (number(row.runs), number(row.new_units));
        text += &format!("{:<12}{runs:>12}{new_units:>12}{peak:>12}{:>10}\n", row.target, row.findings.len());
    }
    text
}

/// The numbers that libFuzzer ends with: `stat::number_of_executed_units: 12`.
fn statistics(log: &str) -> BTreeMap<&str, u64> {
    let lines = log.lines().filter_map(|line| line.strip_prefix("stat::")?.split_once(':'));
    lines.filter_map(|(name, value)| Some((name, value.trim().parse().ok()?))).collect()
}

fn check_tools() -> Result<()> {
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !works(Command::new("cargo").args(["+nightly", "--version"])) {
        bail!("fuzzing needs a nightly compiler: `rustup toolchain install nightly`");
    }
    if !works(Command::new("cargo").args(["fuzz", "--version"])) {
        bail!("cargo-fuzz is missing: `cargo install cargo-fuzz --locked`");
    }
    Ok(())
}

/// `cargo fuzz` of the nightly toolchain, with nothing left of the cargo that runs us.
fn cargo_fuzz(directory: &Path, command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(directory).args(["+nightly", "fuzz", command, "--fuzz-dir", "."]);
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN", "RUSTFLAGS", "CARGO_TARGET_DIR"] {
        cargo.env_remove(variable);
    }
    cargo
}

fn targets(directory: &Path) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for file in files_in(&directory.join("fuzz_targets"))? {
        let name = file.file_stem().and_then(OsStr::to_str).context("targets have plain names")?;
        targets.push(name.to_owned());
    }
    Ok(targets)
}

/// Sorted; none where there is no such directory.
fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(directory).with_context(|| format!("list {}", directory.display()))?;
    let mut files = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// Writes the seeds, among them the beginnings of two executables that are built for it.
fn write_seeds(directory: &Path) -> Result<()> {
    let programs = workspace::root()?.join("tests/programs");
    let made = directory.join("target/seeds");
    let mut executables = Vec::new();
    for (name, mode) in [("plain", "exe"), ("movable", "pie")] {
        let executable = made.join(name);
        let mut go = Command::new("go");
        go.current_dir(&programs).args(["build", "-trimpath", "-ldflags=-s -w", "-buildmode", mode, "-o"]);
        workspace::succeed(go.arg(&executable).arg("./kiosk"))?;
        executables.push(executable);
    }
    // Built like a target: what the targets are built of is built already.
    workspace::succeed(cargo_fuzz(directory, "build").args(["--target", PLATFORM, "seeds"]))?;
    let seeds = directory.join("target").join(PLATFORM).join("release/seeds");
    workspace::succeed(Command::new(seeds).args(&executables))
}

#[cfg(test)]
mod tests {
    use super::{Row, statistics, table};
    use expect_test::expect;

    #[test]
    fn the_end_of_a_log_becomes_a_row() {
        let log =
            "#10 DONE cov: 3\nstat::number_of_executed_units: 120\nstat::peak_rss_mb:              41\n";
        let statistics = statistics(log);
        let row = Row {
            target: "image".to_owned(),
            runs: statistics.get("number_of_executed_units").copied(),
            new_units: statistics.get("new_units_added").copied(),
            peak_mebibytes: statistics.get("peak_rss_mb").copied(),
            findings: vec!["artifacts/image/crash-1".into()],
        };
        expect![[r#"
            target              runs   new units    peak RSS  findings
            image                120           ?      41 MiB         1
        "#]]
        .assert_eq(&table(&[row]));
    }
}
