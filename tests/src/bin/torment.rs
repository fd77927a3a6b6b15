//! Torments `watcher run` with all that other users can do. `cargo xtask torment` runs it; it fails where the agent
//! ends, grows, judges wrongly, does not end when told, or leaves something behind.

use anyhow::{Result, bail, ensure};
use clap::Parser;
use std::io::{self, Write};
use std::time::Duration;
use tests::torment::{Figures, Plan, Report, torment};

#[derive(Parser)]
struct Arguments {
    /// For how many minutes.
    #[arg(long, default_value_t = 30.0)]
    minutes: f64,
    /// Processes of one user that pretend to be Go programs.
    #[arg(long, default_value_t = 2048)]
    crowd: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!((2.0..=600.0).contains(&arguments.minutes), "--minutes must lie between 2 and 600");
    let plan = Plan {
        life: Duration::from_secs_f64(60.0 * arguments.minutes),
        calm: Duration::from_secs(60),
        crowd: arguments.crowd,
        whole_host: true,
    };
    let report = torment(&plan)?;
    tell(&mut io::stdout().lock(), &report)?;
    let objections = report.objections();
    if !objections.is_empty() {
        bail!("{}", objections.join("; "));
    }
    Ok(())
}

fn tell(out: &mut impl Write, report: &Report) -> Result<()> {
    writeln!(out, "{:>6}  {:>9}  {:>7}  {:>11}", "SECOND", "MEMORY", "THREADS", "DESCRIPTORS")?;
    let every = (report.figures.len() / 20).max(1);
    for (second, Figures { rss_bytes, threads, descriptors }) in
        report.figures.iter().enumerate().step_by(every)
    {
        writeln!(out, "{second:>6}  {:>5} MiB  {threads:>7}  {descriptors:>11}", rss_bytes >> 20)?;
    }
    let most = report.figures.iter().map(|each| each.rss_bytes).max().unwrap_or(0);
    writeln!(out, "most memory: {} MiB", most >> 20)?;
    for (name, count) in &report.attacks {
        writeln!(out, "{count:>9}  {name}")?;
    }
    writeln!(out, "the one that leaks: {}", report.leaking.join(", "))?;
    writeln!(out, "the innocent one: {}", report.innocent.join(", "))?;
    let late = report.late_beats.map_or_else(|| "not told".to_owned(), |late| late.to_string());
    writeln!(
        out,
        "late beats: {late}; ended after {:?} with status {:?}",
        report.ended_after, report.status
    )?;
    Ok(())
}
