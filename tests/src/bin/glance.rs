//! Measures what a first glance at a large process costs, beside what engineers do by hand: `lsof -p`, and a profile of
//! its goroutines from its endpoint. `cargo xtask bench --glance` runs it.

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::io::{self, Write};
use std::process::Command;
use std::time::Duration;
use tests::agent;
use tests::cpu::Clock;
use tests::market::Market;
use tests::need::find_program;

const WAITING: u64 = 10_000;
const DESCRIPTORS: u64 = 10_000;
const LIFE: Duration = Duration::from_secs(900);
/// The glance shall cost at most this share of the others together.
const GOAL: f64 = 0.25;
const PROFILE: &str = "/debug/pprof/goroutine?debug=1";

fn main() -> Result<()> {
    let rounds: usize =
        std::env::args().nth(1).context("how many rounds?")?.parse().context("how many rounds?")?;
    find_program("lsof").context("lsof is not installed: Debian's package of that name has it")?;
    let market = Market::open_with(WAITING, LIFE, &[format!("-shelved={DESCRIPTORS}")])?;
    let pid = market.pid().to_string();
    let process = Clock::of(market.pid())?;
    let (mut glances, mut lists, mut profiles) = (Vec::new(), Vec::new(), Vec::new());
    // The first round fills caches and is not counted.
    for round in 0..=rounds {
        let glance = of_children(|| {
            let arguments = ["diagnose", "--pid", &pid, "--duration", "0s", "--format", "json"];
            let outcome = agent::run(&arguments, Duration::from_secs(60))?;
            ensure!(outcome.stdout.contains("\"verdict\""), "no verdict: {outcome:?}");
            Ok(())
        })?;
        let list = of_children(|| {
            let outcome =
                agent::finish(Command::new("lsof").args(["-nP", "-p", &pid]), Duration::from_secs(60))?;
            ensure!(
                outcome.stdout.lines().count() as u64 > DESCRIPTORS,
                "lsof shows less: {}",
                outcome.stderr
            );
            Ok(())
        })?;
        // The process pays for it, and the one who asks.
        let (own, its) = (Clock::own()?, process.spent()?);
        let before = own.spent()?;
        let answer = market.get(PROFILE)?;
        let profile = own.spent()?.saturating_sub(before) + process.spent()?.saturating_sub(its);
        ensure!(answer.contains("goroutine profile: total 1"), "no profile: {answer}");
        if round > 0 {
            glances.push(glance);
            lists.push(list);
            profiles.push(profile);
        }
    }
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "CPU time in ms, {rounds} rounds of each by turns, of one process with {DESCRIPTORS} descriptors and {WAITING} goroutines"
    )?;
    writeln!(out, "{:<50}{:>10}{:>10}{:>10}", "", "median", "least", "most")?;
    let glance = row(&mut out, "watcher diagnose --duration 0", glances)?;
    let list = row(&mut out, "lsof -nP -p", lists)?;
    let profile = row(&mut out, "goroutine profile, debug=1, process and client", profiles)?;
    let share = glance / (list + profile);
    Ok(writeln!(out, "The glance costs {share:.2} of the others together; the goal is {GOAL} at most.")?)
}

/// CPU time of the processes that `run` starts and waits for.
fn of_children(run: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let spent = || getrusage(UsageWho::RUSAGE_CHILDREN).context("ask for the time of children");
    let before = time_of(&spent()?);
    run()?;
    Ok(time_of(&spent()?).saturating_sub(before))
}

fn time_of(usage: &Usage) -> Duration {
    let of = |time: TimeVal| {
        Duration::from_micros(u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or_default())
    };
    of(usage.user_time()) + of(usage.system_time())
}

/// One line of the table; returns the median in milliseconds.
fn row(out: &mut impl Write, name: &str, mut times: Vec<Duration>) -> Result<f64> {
    times.sort();
    let at = |index: usize| times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0);
    let (median, least, most) = (at(times.len() / 2), at(0), at(times.len().saturating_sub(1)));
    writeln!(out, "{name:<50}{median:>10.1}{least:>10.1}{most:>10.1}")?;
    Ok(median)
}
