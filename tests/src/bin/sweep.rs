//! Measures what a sweep over many Go processes costs, beside Debian's prometheus-process-exporter on the same
//! processes in the same run. `cargo xtask bench` runs it.

use anyhow::{Context, Result, bail};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;
use tests::cpu::Clock;
use tests::need::find_program;
use tests::program;
use tests::running::Running;
use tests::servers::free_address;
use tests::{agent, answer::SweepCosts};

/// Processes, and descriptors of each.
const POPULATIONS: [(usize, u64); 2] = [(300, 100), (50, 5000)];
const PEER: &str = "prometheus-process-exporter";

fn main() -> Result<()> {
    let sweeps: u32 =
        std::env::args().nth(1).context("how many sweeps?")?.parse().context("how many sweeps?")?;
    let depot = program::shipped("depot")?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "CPU time of one sweep in ms, over {sweeps} sweeps each, side by side on the same processes"
    )?;
    writeln!(out, "{:<60} {:>8} {:>8} {:>8} {:>8}", "", "median", "least", "p90", "most")?;
    for (processes, descriptors) in POPULATIONS {
        writeln!(out, "{processes} Go processes with {descriptors} descriptors each")?;
        let _population = populate(&depot, processes, descriptors)?;
        for (name, arguments) in
            [("watcher", &[][..]), ("watcher without kernel iterators", &["--no-kernel"])]
        {
            let costs = sweep_ours(arguments, sweeps, processes)?;
            row(&mut out, name, costs.cpu_milliseconds)?;
            let settling = costs.settling_cpu_milliseconds;
            writeln!(
                out,
                "    (before that, once: {settling:.0} ms until every Go runtime was attached to)"
            )?;
        }
        if find_program(PEER).is_none() {
            writeln!(out, "  {PEER} is not installed: Debian's package of that name has it")?;
            continue;
        }
        for (name, arguments) in [
            ("process-exporter as it comes", &[][..]),
            ("process-exporter at its cheapest", &["-threads=false", "-gather-smaps=false"]),
        ] {
            row(&mut out, name, sweep_peer(arguments, sweeps)?)?;
        }
    }
    Ok(())
}

fn populate(depot: &Path, processes: usize, descriptors: u64) -> Result<Vec<Running>> {
    let start = || {
        let mut command = Command::new(depot);
        Running::start(command.args(["-still", "-for=10m"]).arg(format!("-fds={descriptors}")))
    };
    let mut population = (0..processes).map(|_| start()).collect::<Result<Vec<_>>>()?;
    for running in &mut population {
        running.holding(descriptors)?;
    }
    Ok(population)
}

/// One line of the table; the first sweep, which fills caches, is not counted.
fn row(out: &mut impl Write, name: &str, mut milliseconds: Vec<f64>) -> Result<()> {
    if milliseconds.len() < 3 {
        bail!("{name} was measured {} times only", milliseconds.len());
    }
    milliseconds.remove(0);
    milliseconds.sort_by(f64::total_cmp);
    let at = |percent: usize| milliseconds[(milliseconds.len() - 1) * percent / 100];
    let (median, least, p90, most) = (at(50), at(0), at(90), at(100));
    Ok(writeln!(out, "  {name:<58} {median:>8.1} {least:>8.1} {p90:>8.1} {most:>8.1}")?)
}

fn sweep_ours(arguments: &[&str], sweeps: u32, processes: usize) -> Result<SweepCosts> {
    let sweeps = sweeps.to_string();
    let all = [&["bench-sweep", "--name", "depot", "--sweeps", &sweeps], arguments].concat();
    let outcome = agent::run(&all, Duration::from_secs(300))?;
    if outcome.status != Some(0) {
        bail!("watcher bench-sweep failed: {outcome:?}");
    }
    let costs: SweepCosts = outcome.json()?;
    if costs.processes < processes {
        bail!("watcher saw {} of {processes} processes", costs.processes);
    }
    Ok(costs)
}

fn sweep_peer(arguments: &[&str], sweeps: u32) -> Result<Vec<f64>> {
    let directory = tempfile::tempdir().context("create a directory for the exporter")?;
    let config = directory.path().join("names.yml");
    std::fs::write(&config, "process_names:\n  - name: depot\n    comm: [depot]\n")
        .context("configure it")?;
    let address = free_address()?;
    let mut command = Command::new(find_program(PEER).context("it was there")?);
    command.arg("-config.path").arg(&config).args(["-web.listen-address", &address]).args(arguments);
    let exporter = Running::start(command.stderr(Stdio::null()))?;
    let clock = Clock::of(exporter.pid())?;
    wait_for(&address)?;
    (0..sweeps)
        .map(|_| {
            let before = clock.spent()?;
            let answer = get_metrics(&address)?;
            let spent = clock.spent()?.saturating_sub(before);
            if !answer.contains("namedprocess_namegroup_open_filedesc{groupname=\"depot\"}") {
                bail!("the exporter does not see the processes: {answer}");
            }
            Ok(spent.as_secs_f64() * 1000.0)
        })
        .collect()
}

fn wait_for(address: &str) -> Result<()> {
    for _ in 0..500 {
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    bail!("{PEER} does not listen on {address} after 10 s")
}

fn get_metrics(address: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).context("connect to the exporter")?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read the exporter's answer")?;
    Ok(answer)
}
