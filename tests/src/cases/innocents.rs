//! What looks like a leak and is none is named, and the parts of resident memory add up, of a dozen programs at once.

use crate::agent;
use crate::build::{self, Variant};
use crate::case::Case;
use crate::need::Need;
use crate::running::Running;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::process::Command;
use std::thread;
use std::time::Duration;

/// One program in one season, watched for 45 s.
#[derive(Clone, Copy)]
struct Row {
    season: &'static str,
    /// The N of Go 1.N.
    minor: u32,
    rate: u32,
    /// Seconds of its life before the window begins.
    after: u64,
    /// Verdicts that are right.
    verdicts: &'static [&'static str],
    /// What must be said of it where the verdict is `healthy`.
    says: &'static str,
}

const HEALTHY: &[&str] = &["healthy"];
/// In the middle of a warm-up nobody can tell.
const UNTIL_IT_ENDS: &[&str] = &["healthy", "inconclusive"];

#[rustfmt::skip]
const ROWS: [Row; 12] = [
    Row { season: "spring", minor: 21, rate: 2000, after: 2, verdicts: HEALTHY, says: "live heap" },
    Row { season: "spring", minor: 27, rate: 80, after: 1, verdicts: UNTIL_IT_ENDS, says: "live heap" },
    Row { season: "flood", minor: 21, rate: 5, after: 2, verdicts: HEALTHY, says: "GOGC=400" },
    Row { season: "flood", minor: 27, rate: 5, after: 15, verdicts: HEALTHY, says: "GOGC=400" },
    Row { season: "storm", minor: 21, rate: 5, after: 6, verdicts: HEALTHY, says: "anonymous memory" },
    Row { season: "storm", minor: 27, rate: 5, after: 1, verdicts: HEALTHY, says: "anonymous memory" },
    Row { season: "harvest", minor: 21, rate: 5, after: 5, verdicts: HEALTHY, says: "live heap" },
    Row { season: "frost", minor: 21, rate: 5, after: 2, verdicts: HEALTHY, says: "GOMEMLIMIT" },
    Row { season: "frost", minor: 27, rate: 5, after: 15, verdicts: HEALTHY, says: "GOMEMLIMIT" },
    Row { season: "fog", minor: 27, rate: 5, after: 2, verdicts: HEALTHY, says: "by being read" },
    Row { season: "rush", minor: 27, rate: 5, after: 2, verdicts: HEALTHY, says: "goroutine" },
    Row { season: "fair", minor: 21, rate: 20, after: 3, verdicts: UNTIL_IT_ENDS, says: "sockets" },
];

/// What these cases build.
pub fn builds() -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    let seasons = ROWS.map(|row| ("seasons", row.minor, Variant::STRIPPED)).into_iter();
    let others = BUILT.map(|(name, minor, variant, _, _)| (name, minor, variant));
    let here = |(name, minor, variant)| Some((name, toolchain(minor)?, variant));
    seasons.chain(others).filter_map(here)
}

/// The cases.
pub fn cases() -> Vec<Case> {
    let rows = ROWS.map(|row| {
        let name = format!("innocents::{}_go1_{}_after_{}_s", row.season, row.minor, row.after);
        Case::new(name, [Need::Go], move || innocent(row))
    });
    let parts = Case::new("innocents::the_parts_of_memory_add_up", [Need::Go], parts_add_up);
    rows.into_iter().chain([parts]).collect()
}

fn innocent(row: Row) -> Result<()> {
    let running = start("seasons", row.minor, Variant::STRIPPED, &["-season", row.season], row.rate)?;
    thread::sleep(Duration::from_secs(row.after));
    let (diagnosis, outcome) = agent::diagnose(running.pid(), 45)?;
    ensure!(
        row.verdicts.contains(&&*diagnosis.verdict),
        "{}: a wrong verdict: {}",
        row.season,
        outcome.stdout
    );
    let is_said = outcome.stdout.to_lowercase().contains(&row.says.to_lowercase());
    ensure!(
        diagnosis.verdict != "healthy" || is_said,
        "{}: want {:?} said: {}",
        row.season,
        row.says,
        outcome.stdout
    );
    let memory = outcome.json::<WithMemory>()?.memory;
    memory.check().with_context(|| format!("{} with go1.{}", row.season, row.minor))
}

fn start(name: &str, minor: u32, variant: Variant, arguments: &[&str], rate: u32) -> Result<Running> {
    let toolchain = toolchain(minor).context("no Go toolchain is here")?;
    let executable = build::build(name, toolchain, variant)?;
    let mut command = Command::new(executable);
    Running::start(command.args(arguments).args(["-for=150s", "-rate", &rate.to_string()]))
}

fn toolchain(minor: u32) -> Option<&'static Toolchain> {
    Toolchain::minor(minor).or_else(Toolchain::newest)
}

#[derive(Deserialize)]
struct WithMemory {
    memory: Memory,
}

/// The fields that a diagnosis and `watcher memory` share.
#[derive(Debug, Deserialize)]
struct Memory {
    rss_bytes: u64,
    parts: Vec<Part>,
    unexplained_bytes: u64,
}

#[derive(Debug, Deserialize)]
struct Part {
    name: String,
    bytes: u64,
}

impl Memory {
    fn part(&self, name: &str) -> u64 {
        self.parts.iter().filter(|part| part.name == name).map(|part| part.bytes).sum()
    }

    /// The parts and the rest are the whole, and the rest is small.
    fn check(&self) -> Result<()> {
        let parts: u64 = self.parts.iter().map(|part| part.bytes).sum();
        ensure!(parts + self.unexplained_bytes == self.rss_bytes, "parts do not add up: {self:?}");
        ensure!(self.unexplained_bytes * 50 <= self.rss_bytes, "over 2 % unexplained: {self:?}");
        Ok(())
    }
}

/// Programs, and the part that must hold most of their memory where one does.
#[rustfmt::skip]
const BUILT: [(&str, u32, Variant, &[&str], &str); 12] = [
    ("pressings", 27, Variant::CGO, &["-style", "round", "-way", "press"], "C heap"),
    ("pressings", 21, Variant::CGO, &["-style", "round", "-way", "press"], "C heap"),
    ("pressings", 27, Variant::STRIPPED, &["-style", "round", "-way", "sheet"], "anonymous mappings"),
    ("pressings", 21, Variant::PIE, &["-style", "round", "-way", "sheet"], "anonymous mappings"),
    ("seasons", 19, Variant::STRIPPED, &["-season", "harvest"], ""),
    ("seasons", 21, Variant::PIE, &["-season", "flood"], ""),
    ("seasons", 22, Variant::STRIPPED, &["-season", "frost"], ""),
    ("seasons", 24, Variant::STRIPPED, &["-season", "spring"], ""),
    ("seasons", 27, Variant::STRIPPED, &["-season", "fog"], "mapped files"),
    ("divers", 27, Variant::CGO, &["-style", "round"], ""),
    ("signer", 27, Variant::STRIPPED, &["-style", "round"], ""),
    ("mosaic", 27, Variant::CGO, &["-style", "round"], ""),
];

fn parts_add_up() -> Result<()> {
    let mut all = Vec::new();
    for (name, minor, variant, arguments, most) in BUILT {
        all.push((name, minor, variant, most, start(name, minor, variant, arguments, 20)?));
    }
    thread::sleep(Duration::from_secs(15));
    for (name, minor, variant, most, running) in &all {
        let what = || format!("{name} with go1.{minor}, {}", variant.name());
        let pid = running.pid().to_string();
        let outcome = agent::run(&["memory", "--pid", &pid, "--format", "json"], Duration::from_secs(30))?;
        let memory: Memory = outcome.json().with_context(what)?;
        memory.check().with_context(what)?;
        let most_bytes = memory.part(most);
        ensure!(
            most.is_empty() || most_bytes * 2 > memory.rss_bytes,
            "{}: want most in {most}: {memory:?}",
            what()
        );
    }
    Ok(())
}
