//! Watches Debian's servers while their customers call. `cargo xtask servers` runs it; it fails where one of them is
//! said to leak, is never said to be healthy, or grows with what it stores and no function is named.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use tests::load::CALLED;
use tests::program;
use tests::servers::Debian;
use tests::under_load::{Plan, Report, watch};

#[derive(Parser)]
struct Arguments {
    /// For how many minutes each is called.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Calls per second and server, on average.
    #[arg(long, default_value_t = 40.0)]
    rate: f64,
    /// Half of the calls give the server something to keep.
    #[arg(long)]
    storing: bool,
    /// Windows that are judged of each.
    #[arg(long, default_value_t = 5)]
    windows: u32,
    /// Keep every verdict in this directory, as JSON.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Write everything to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Which servers; all where none is named.
    names: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    ensure!((1.0..=15.0).contains(&arguments.minutes), "--minutes must lie between 1 and 15");
    ensure!((1.0..=500.0).contains(&arguments.rate), "--rate must lie between 1 and 500");
    let servers = chosen(&arguments.names)?;
    // Once, and before they would all do it at once.
    program::shipped("patrons")?;
    let plan = Plan {
        life: Duration::from_secs_f64(60.0 * arguments.minutes),
        rate: arguments.rate,
        storing: arguments.storing,
        windows: arguments.windows,
        run: true,
        keep: arguments.keep,
    };
    let reports = watch_all(&servers, &plan)?;
    let mut out = io::stdout().lock();
    tell(&mut out, &reports)?;
    if let Some(file) = arguments.json {
        let text = serde_json::to_string_pretty(&reports).context("put reports into JSON")?;
        fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))?;
    }
    let objections: Vec<String> = reports
        .iter()
        .flat_map(|report| {
            let of = |objection| format!("{}: {objection}", report.server);
            report.objections(plan.storing).into_iter().map(of)
        })
        .collect();
    ensure!(objections.is_empty(), "{}", objections.join("; "));
    for report in &reports {
        report.told.expect_served().with_context(|| report.server.clone())?;
    }
    Ok(())
}

fn chosen(names: &[String]) -> Result<Vec<Debian>> {
    let known = |name: &String| {
        let found = CALLED.into_iter().find(|server| server.name() == *name);
        found.with_context(|| format!("{name} is none of {:?}", CALLED.map(Debian::name)))
    };
    let servers =
        if names.is_empty() { CALLED.to_vec() } else { names.iter().map(known).collect::<Result<_>>()? };
    for server in &servers {
        if let Some(lacking) = server.need().lacking() {
            bail!("{lacking}");
        }
    }
    Ok(servers)
}

fn watch_all(servers: &[Debian], plan: &Plan) -> Result<Vec<Report>> {
    thread::scope(|scope| {
        let watching: Vec<_> =
            servers.iter().map(|server| scope.spawn(move || watch(*server, plan))).collect();
        let ended = watching.into_iter().map(|one| one.join().ok().context("a thread panicked")?);
        ended.collect()
    })
}

fn tell(out: &mut impl Write, reports: &[Report]) -> Result<()> {
    let verdicts = ["leak", "healthy", "inconclusive"];
    writeln!(
        out,
        "| {:<10} | {:<19} | {:>8} | {:>6} | windows: leak, healthy, inconclusive | news: leak, healthy, inconclusive |",
        "server", "version", "requests", "failed"
    )?;
    writeln!(out, "|---|---|--:|--:|---|---|")?;
    for report in reports {
        let counts = |judged| verdicts.map(|verdict| Report::count(judged, verdict).to_string()).join(", ");
        writeln!(
            out,
            "| {:<10} | {:<19} | {:>8} | {:>6} | {:<36} | {:<33} |",
            report.server,
            report.version,
            report.told.requests,
            report.told.failures,
            counts(&report.windows),
            counts(&report.news)
        )?;
    }
    for report in reports {
        writeln!(out, "\n{}", report.server)?;
        for (what, judged) in [("window", &report.windows), ("news", &report.news)] {
            for one in judged {
                writeln!(
                    out,
                    "  {what:<6} at {:>4.0} s: {:<12} {}",
                    one.after_seconds, one.verdict, one.headline
                )?;
                for growth in &one.growth {
                    writeln!(out, "                  {growth}")?;
                }
            }
        }
    }
    Ok(())
}
