//! Measures what `watcher run` costs on many processes of which some rise slowly, beside another build of the agent that
//! watches the same processes at the same time. `cargo xtask bench --suspects` runs it.

use anyhow::{Context, Result};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tests::agent;
use tests::cpu::Clock;
use tests::program::{self, Style};
use tests::running::Running;

/// Processes at rest, each with so many descriptors.
const AT_REST: usize = 280;
const DESCRIPTORS: u64 = 100;
/// Processes that rise, so many of each, with how many a minute.
const RISING: [(&str, usize, f64); 3] = [("ingest", 8, 3.0), ("tickets", 6, 2.0), ("signer", 6, 2.0)];
/// New processes cost once: time until then is told apart.
const SETTLING: Duration = Duration::from_secs(60);
const SPARE: Duration = Duration::from_secs(120);
/// The agent shall cost at most so much of the other.
const GOAL: f64 = 1.3;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let minutes = arguments.next().context("how many minutes?")?;
    let minutes: f64 = minutes.to_str().and_then(|it| it.parse().ok()).context("how many minutes?")?;
    let baseline: PathBuf = arguments.next().context("which other build?")?.into();
    let watched = Duration::from_secs_f64(60.0 * minutes).max(2 * SETTLING);
    let _population = populate(watched + SPARE)?;
    let builds = [("this build", agent::binary()?), ("the other build", baseline)];
    let agents = builds.map(|(name, path)| Ok((name, Agent::start(&path, watched)?)));
    let agents = agents.into_iter().collect::<Result<Vec<_>>>()?;
    thread::sleep(SETTLING);
    let settled = spent(&agents)?;
    thread::sleep(watched - SETTLING);
    let all = spent(&agents)?;
    let mut out = io::stdout().lock();
    let rising: usize = RISING.iter().map(|(_, count, _)| count).sum();
    writeln!(
        out,
        "CPU time in s of `watcher run` for {:.0} s on {} processes, {rising} of which rise, both at the same time",
        watched.as_secs_f64(),
        AT_REST + rising
    )?;
    writeln!(
        out,
        "{:<24}{:>14}{:>14}{:>16}{:>12}",
        "", "first minute", "after that", "% of a core", "suspects"
    )?;
    for (index, (name, agent)) in agents.iter().enumerate() {
        let (first, later) = (settled[index], all[index].saturating_sub(settled[index]));
        let share = 100.0 * later.as_secs_f64() / (watched - SETTLING).as_secs_f64();
        writeln!(
            out,
            "{name:<24}{:>14.2}{:>14.2}{share:>16.2}{:>12}",
            first.as_secs_f64(),
            later.as_secs_f64(),
            agent.spoken_of()
        )?;
    }
    let of = |times: &[Duration]| match times {
        [ours, others] => ours.as_secs_f64() / others.as_secs_f64(),
        _ => f64::NAN,
    };
    let later: Vec<Duration> =
        all.iter().zip(&settled).map(|(all, first)| all.saturating_sub(*first)).collect();
    Ok(writeln!(
        out,
        "This build costs {:.2} of the other after the first minute, {:.2} in all; the goal is {GOAL} at most.",
        of(&later),
        of(&all)
    )?)
}

fn spent(agents: &[(&str, Agent)]) -> Result<Vec<Duration>> {
    agents.iter().map(|(_, agent)| agent.clock.spent()).collect()
}

fn populate(life: Duration) -> Result<Vec<Running>> {
    let depot = program::shipped("depot")?;
    let mut population = Vec::new();
    for _ in 0..AT_REST {
        let mut command = program::command(&depot, Style::Square, 1.0, life);
        population.push(Running::start(command.arg("-still").arg(format!("-fds={DESCRIPTORS}")))?);
    }
    for running in &mut population {
        running.holding(DESCRIPTORS)?;
    }
    for (name, count, per_minute) in RISING {
        let executable = program::shipped(name)?;
        for _ in 0..count {
            let mut command = program::command(&executable, Style::Round, per_minute / 60.0, life);
            population.push(Running::start(command.arg("-breath=200ms"))?);
        }
    }
    Ok(population)
}

/// `watcher run`.
struct Agent {
    _running: Running,
    clock: Clock,
    spoken_of: Arc<Mutex<std::collections::BTreeSet<u64>>>,
}

impl Agent {
    fn start(path: &Path, watched: Duration) -> Result<Agent> {
        let spoken_of: Arc<Mutex<std::collections::BTreeSet<u64>>> = Arc::default();
        let teller = Arc::clone(&spoken_of);
        let mut command = Command::new(path);
        command.args(["run", "--format", "json", "-d"]).arg(format!("{}s", (watched + SPARE).as_secs()));
        let running = Running::start_heard(&mut command, move |line| {
            let Ok(object) = serde_json::from_str::<serde_json::Value>(line) else { return };
            let suspects = object["suspected"].as_array().is_some_and(|it| !it.is_empty());
            if object["verdict"] == "leak" || suspects {
                let pid = object["process"]["pid"].as_u64();
                teller.lock().unwrap_or_else(PoisonError::into_inner).extend(pid);
            }
        })?;
        let clock = Clock::of(running.pid())?;
        Ok(Agent { _running: running, clock, spoken_of })
    }

    /// Of how many processes it said that they leak, or may.
    fn spoken_of(&self) -> usize {
        self.spoken_of.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
