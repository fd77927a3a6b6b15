//! Measures what reading the goroutines of a large process takes, from outside and through its own endpoint, and what
//! the process itself feels of either. `cargo xtask bench --goroutines` runs it.

use anyhow::{Context, Result, ensure};
use std::io::{self, Write};
use std::thread;
use std::time::Duration;
use tests::market::{self, Lateness, Market};

const WAITING: u64 = 100_000;
const READS: u32 = 10;
const LIFE: Duration = Duration::from_secs(300);

fn main() -> Result<()> {
    let market = Market::open(WAITING, 0, LIFE)?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{WAITING} goroutines in one process, read {READS} times each way. In it a bell rings every millisecond: how\n\
         late it was at worst is the longest that the process stood still, by whatever the machine does or by reading"
    )?;
    writeln!(out, "{:<34}{:>12}{:>12}{:>16}{:>10}", "ms", "median", "most", "worst lateness", "rings")?;
    market.lateness()?;
    thread::sleep(Duration::from_secs(5));
    row(&mut out, "nobody reads, for 5 s", Vec::new(), market.lateness()?)?;

    market.lateness()?;
    let readings = market::read(market.pid(), READS, Duration::ZERO)?;
    let late = market.lateness()?;
    for reading in &readings {
        ensure!(reading.live >= WAITING, "watcher saw {} of {WAITING} goroutines", reading.live);
        ensure!(
            reading.incomplete + reading.unreadable + reading.given_up == 0,
            "not all was read: {reading:?}"
        );
    }
    let attach = readings.first().context("readings")?.attach_milliseconds;
    row(&mut out, "watcher, attached", readings.iter().map(|reading| reading.milliseconds).collect(), late)?;
    writeln!(out, "  (attaching took {attach:.1} ms, once)")?;

    for (name, path) in [
        ("endpoint, debug=0 (pprof)", "/debug/pprof/goroutine?debug=0"),
        ("endpoint, debug=1 (by stack)", "/debug/pprof/goroutine?debug=1"),
        ("endpoint, debug=2 (each)", "/debug/pprof/goroutine?debug=2"),
    ] {
        market.lateness()?;
        let mut taken = Vec::new();
        let mut bytes = 0;
        for _ in 0..READS {
            let (time, length) = market.time(path)?;
            taken.push(time.as_secs_f64() * 1000.0);
            bytes = length;
        }
        row(&mut out, name, taken, market.lateness()?)?;
        writeln!(out, "  ({bytes} bytes)")?;
    }
    Ok(())
}

fn row(out: &mut impl Write, name: &str, mut taken: Vec<f64>, late: Lateness) -> Result<()> {
    taken.sort_by(f64::total_cmp);
    let number = |at: Option<&f64>| at.map_or("-".to_owned(), |number| format!("{number:.1}"));
    let (median, most) = (number(taken.get(taken.len() / 2)), number(taken.last()));
    let worst = format!("{:.2}", late.worst.as_secs_f64() * 1000.0);
    Ok(writeln!(out, "{name:<34}{median:>12}{most:>12}{worst:>16}{:>10}", late.rings)?)
}
