//! Lives simulated weeks of processes and prints how often innocents were accused and how soon leaks were found; fails
//! where that is too often or too late.

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::json;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use tests::process_weeks::curves::{INNOCENTS, LEAKS, Scene};
use tests::process_weeks::tally::{FalseAlarms, Found, missed};
use tests::process_weeks::{Week, live};
use watcher::judge::horizons::HORIZONS;

/// How far it is, is told after so many weeks.
const TELL_EVERY: usize = 500;

/// Lives simulated weeks of processes. What tuned the judge were weeks with seeds below 100,000, and what was found too
/// often in ten thousand from 1,000,000 and from 2,000,000 on.
#[derive(Parser)]
struct Args {
    /// Weeks of innocent processes.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    weeks: u64,
    /// Weeks of each leak.
    #[arg(long, value_name = "N", default_value_t = 200)]
    leaks: u64,
    /// The first seed; each week has the next one.
    #[arg(long, value_name = "S", default_value_t = 3_000_000)]
    seed: u64,
    /// Where to write the same as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Tell of each alarm.
    #[arg(long)]
    verbose: bool,
    /// Only scenes whose names hold this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    scene: String,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut plan: Vec<(Scene, u64)> =
        (0..args.weeks).map(|week| (innocent(week), args.seed + week)).collect();
    for scene in LEAKS {
        plan.extend((0..args.leaks).map(|week| (scene, args.seed + week)));
    }
    plan.retain(|(scene, _)| format!("{scene:?}").contains(&args.scene));
    let weeks = live_all(&plan)?;
    let mut out = stdout().lock();
    if args.verbose {
        for ((scene, seed), week) in plan.iter().zip(&weeks) {
            if let (Some(kind), Some(hours)) = (week.leaks, week.leaks_after) {
                writeln!(out, "{scene:?} {seed}: {kind:?} leaks after {hours:.1} h")?;
            }
            for told in &week.told {
                let (kind, name) = (told.kind, HORIZONS[told.horizon].name);
                writeln!(out, "{scene:?} {seed}: {kind:?} over {name} after {:.1} h", told.hours)?;
            }
        }
    }
    let (json, missed) = tell(&plan, &weeks, &args, &mut out)?;
    if let Some(path) = args.json {
        std::fs::write(&path, format!("{json:#}\n")).with_context(|| format!("write {}", path.display()))?;
    }
    ensure!(missed.is_empty(), "{}", missed.join("; "));
    Ok(())
}

/// The scene of one week of the mix, so that any run of a thousand weeks holds the published mix.
fn innocent(week: u64) -> Scene {
    // 377 and 1,000 have no common factor: neighbours have different scenes.
    let mut place = (week * 377 % 1_000) as u32;
    for (scene, weight) in INNOCENTS {
        if place < weight {
            return scene;
        }
        place -= weight;
    }
    Scene::Flat
}

fn live_all(plan: &[(Scene, u64)]) -> Result<Vec<Week>> {
    let next = AtomicUsize::new(0);
    let mut weeks = vec![Week::default(); plan.len()];
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let lived: Vec<Vec<(usize, Week)>> = thread::scope(|scope| -> Result<_> {
        let work = || {
            let mut own = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some((scene, seed)) = plan.get(index) else { break };
                own.push((index, live(*scene, *seed)));
                if index > 0 && index.is_multiple_of(TELL_EVERY) {
                    // Nobody need see it.
                    let _ = writeln!(stderr(), "{index} of {} weeks", plan.len());
                }
            }
            own
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        // A week that could not be lived is none without an alarm.
        workers.into_iter().map(|worker| worker.join().ok().context("a week could not be lived")).collect()
    })?;
    for (index, week) in lived.into_iter().flatten() {
        weeks[index] = week;
    }
    Ok(weeks)
}

fn tell(
    plan: &[(Scene, u64)],
    weeks: &[Week],
    args: &Args,
    out: &mut impl Write,
) -> Result<(serde_json::Value, Vec<String>)> {
    let of =
        |scene: Scene| plan.iter().zip(weeks).filter(move |((it, _), _)| *it == scene).map(|(_, week)| week);
    writeln!(out, "{} innocent process-weeks, seeds from {}", args.weeks, args.seed)?;
    writeln!(
        out,
        "{:<16} {:>7} {:>7} {:>24}  by horizon, by kind",
        "scene", "weeks", "alarms", "per 1,000 weeks (95 %)"
    )?;
    let mut all = FalseAlarms::default();
    let mut innocents = Vec::new();
    for (scene, _) in INNOCENTS {
        let mut alarms = FalseAlarms::default();
        for week in of(scene) {
            alarms.add(week);
            all.add(week);
        }
        innocents.push(row(&format!("{scene:?}"), &alarms, out)?);
    }
    let total = row("all", &all, out)?;
    let looks: usize = weeks.iter().map(|week| week.looks).sum();
    writeln!(out, "{looks} series were looked at in all weeks\n")?;
    writeln!(
        out,
        "{} weeks of each leak: found within 6 h, 12 h, 24 h, 72 h; half and nine in ten of the found within",
        args.leaks
    )?;
    let (mut leaks, mut all_found) = (Vec::new(), Vec::new());
    for scene in LEAKS {
        let mut found = Found::default();
        of(scene).for_each(|week| found.add(week));
        let within = [6.0, 12.0, 24.0, 72.0].map(|hours| found.within(hours));
        let (half, most) = (found.percentile(50).unwrap_or(0.0), found.percentile(90).unwrap_or(0.0));
        let [six, twelve, day, three] = within.map(|share| format!("{:.1} %", 100.0 * share));
        writeln!(
            out,
            "{:<18} {six:>8} {twelve:>8} {day:>8} {three:>8}  {half:>5.1} h {most:>5.1} h  other {}",
            format!("{scene:?}"),
            found.otherwise
        )?;
        leaks.push(json!({"scene": format!("{scene:?}"), "weeks": found.weeks, "within_hours": {"6": within[0], "12": within[1], "24": within[2], "72": within[3]}, "median_hours": half, "hours_of_nine_in_ten": most, "otherwise": found.otherwise}));
        all_found.push((scene, found));
    }
    let missed = missed(&all, &all_found);
    let json = json!({"schema": "watcher.process_weeks/1", "seed": args.seed, "innocents": innocents, "all": total, "leaks": leaks, "missed": missed});
    Ok((json, missed))
}

fn row(name: &str, alarms: &FalseAlarms, out: &mut impl Write) -> Result<serde_json::Value> {
    let (rate, low, high) = alarms.per_thousand();
    let horizons: Vec<String> = HORIZONS
        .iter()
        .zip(alarms.by_horizon)
        .filter(|(_, count)| *count > 0)
        .map(|(horizon, count)| format!("{}: {count}", horizon.name))
        .collect();
    let kinds: Vec<String> = alarms.by_kind.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let interval = format!("{rate:.2} ({low:.2} to {high:.2})");
    writeln!(
        out,
        "{name:<16} {:>7} {:>7} {interval:>24}  {} {}",
        alarms.weeks,
        alarms.alarms,
        horizons.join(", "),
        kinds.join(", ")
    )?;
    let by_horizon: serde_json::Map<_, _> = HORIZONS
        .iter()
        .zip(alarms.by_horizon)
        .map(|(horizon, count)| (horizon.name.to_owned(), count.into()))
        .collect();
    Ok(
        json!({"scene": name, "weeks": alarms.weeks, "alarms": alarms.alarms, "per_thousand": rate, "low": low, "high": high, "by_horizon": by_horizon, "by_kind": alarms.by_kind}),
    )
}
