//! Reads the goroutines of a process every second while it allocates and starts goroutines as fast as it can: no group
//! may be wrong, and the process must not work less than while nobody reads. `cargo xtask bench --churn` runs it, for
//! so many minutes of reading; as many pass between them without.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::env;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};
use tests::answer::GoroutineReading;
use tests::market::{self, Market};

const WAITING: u64 = 4000;
const TRADERS: u32 = 4;
/// Watched and unwatched alternate, so that whatever else the machine does falls on both.
const TURN_SECONDS: u32 = 10;
/// No program of the tests lives for more than ten minutes: then there is another market.
const MARKET_DAY: Duration = Duration::from_secs(480);
/// Every function that waits, how it came there, and what share of those that wait it has.
const STALLS: [&str; 4] = [
    "main.(*stall).queueForFish",
    "main.(*stall).queueForFruit",
    "main.(*stall).queueForBread",
    "main.(*stall).queueForCheese",
];

fn main() -> Result<()> {
    let minutes: f64 =
        env::args().nth(1).context("how many minutes?")?.parse().context("how many minutes?")?;
    let wanted = Duration::from_secs_f64(minutes * 60.0);
    let turn = Duration::from_secs(TURN_SECONDS.into());
    let mut market = open()?;
    let mut opened = Instant::now();
    let mut seen = Seen::default();
    let (mut watched, mut unwatched) = (Side::default(), Side::default());
    while watched.time < wanted {
        if opened.elapsed() > MARKET_DAY {
            market = open()?;
            opened = Instant::now();
        }
        unwatched.turn(&market, || {
            thread::sleep(turn);
            Ok(())
        })?;
        let readings = watched.turn(&market, || {
            let began = Instant::now();
            let readings = market::read(market.pid(), TURN_SECONDS, Duration::from_secs(1))?;
            // The last of a turn has its second too.
            thread::sleep(turn.saturating_sub(began.elapsed()));
            Ok(readings)
        })?;
        readings.iter().try_for_each(|reading| seen.take(reading))?;
    }
    seen.tell(&mut io::stdout().lock(), &unwatched, &watched)
}

fn open() -> Result<Market> {
    let market = Market::open(WAITING, TRADERS, MARKET_DAY + Duration::from_secs(100))?;
    // Start-up is over by then.
    thread::sleep(Duration::from_secs(2));
    Ok(market)
}

/// The turns in which somebody reads, or nobody.
#[derive(Default)]
struct Side {
    time: Duration,
    /// What was done in each turn, per second.
    rates: Vec<f64>,
}

impl Side {
    fn turn<T>(&mut self, market: &Market, watch: impl FnOnce() -> Result<T>) -> Result<T> {
        let (before, began) = (market.deals()?, Instant::now());
        let seen = watch()?;
        let (done, taken) =
            (market.deals()?.checked_sub(before).context("deals are never undone")?, began.elapsed());
        #[expect(clippy::cast_precision_loss, reason = "far fewer deals than 2^52")]
        self.rates.push(done as f64 / taken.as_secs_f64());
        self.time += taken;
        Ok(seen)
    }
}

/// What all readings together had.
#[derive(Default)]
struct Seen {
    readings: u64,
    goroutines: u64,
    retried: u64,
    given_up: u64,
    running: u64,
    incomplete: u64,
    unreadable: u64,
    milliseconds: Vec<f64>,
    /// Stacks that were not walked to their root, and how often.
    cut_off: BTreeMap<String, u64>,
}

impl Seen {
    /// Fails where a group is wrong.
    fn take(&mut self, reading: &GoroutineReading) -> Result<()> {
        let mut waiting = BTreeMap::new();
        for group in &reading.groups {
            let stack = &group.stack;
            if group.reading != "complete" {
                *self.cut_off.entry(format!("{}: {stack}", group.reading)).or_default() += group.count;
                continue;
            }
            ensure!(is_possible(stack), "no goroutine of this program has this stack: {stack}");
            if let Some(stall) = STALLS.iter().find(|stall| stack.contains(*stall)) {
                *waiting.entry(*stall).or_insert(0) += group.count;
            }
        }
        for stall in STALLS {
            let count = waiting.get(stall).copied().unwrap_or(0);
            ensure!(count == WAITING / 4, "{count} of {} goroutines are in {stall}", WAITING / 4);
        }
        self.readings += 1;
        self.goroutines += reading.live;
        self.retried += reading.retried;
        self.given_up += reading.given_up;
        self.running += reading.running;
        self.incomplete += reading.incomplete;
        self.unreadable += reading.unreadable;
        self.milliseconds.push(reading.milliseconds);
        Ok(())
    }

    fn tell(mut self, out: &mut impl Write, unwatched: &Side, watched: &Side) -> Result<()> {
        self.milliseconds.sort_by(f64::total_cmp);
        let most = self.milliseconds.last().context("too short: nothing was read")?;
        let median = self.milliseconds[self.milliseconds.len() / 2];
        writeln!(
            out,
            "{} snapshots in {:.0} s of watched time; no wrong group; {median:.1} ms each, {most:.1} at most",
            self.readings,
            watched.time.as_secs_f64()
        )?;
        writeln!(
            out,
            "{} goroutines read, {} of them again; {} given up, {} running, {} incomplete, {} unreadable",
            self.goroutines, self.retried, self.given_up, self.running, self.incomplete, self.unreadable
        )?;
        for (stack, count) in &self.cut_off {
            writeln!(out, "  {count:>6} {stack}")?;
        }
        writeln!(
            out,
            "{:<12}{:>8}{:>10}{:>14}{:>12}{:>12}",
            "deals per s", "turns", "seconds", "mean", "least", "most"
        )?;
        for (name, Side { time, rates }) in [("unwatched", unwatched), ("watched", watched)] {
            let (least, most) =
                rates.iter().fold((f64::MAX, 0.0_f64), |(a, b), rate| (a.min(*rate), b.max(*rate)));
            #[expect(clippy::cast_precision_loss, reason = "a few dozen turns")]
            let mean = rates.iter().sum::<f64>() / rates.len() as f64;
            let (turns, seconds) = (rates.len(), time.as_secs_f64());
            writeln!(out, "{name:<12}{turns:>8}{seconds:>10.0}{mean:>14.0}{least:>12.0}{most:>12.0}")?;
        }
        Ok(())
    }
}

/// Whether the program can have this stack at all: each of its own functions is called by that which calls it in the
/// source, and the stack ends where every stack ends.
fn is_possible(stack: &str) -> bool {
    const CALLERS: [(&str, &[&str]); 9] = [
        ("main.(*stall).queueForFish", &["runtime.goexit"]),
        (
            "main.(*stall).queueForFruit",
            &["main.(*stall).queueForFruit", "main.main.gowrap", "runtime.goexit"],
        ),
        ("main.(*stall).queueForBread", &["runtime.goexit"]),
        ("main.(*stall).queueForCheese", &["runtime.goexit"]),
        ("main.bell", &["runtime.goexit"]),
        ("main.trade", &["main.main.gowrap", "runtime.goexit"]),
        ("main.haggle", &["main.trade.gowrap", "runtime.goexit"]),
        ("main.offer", &["main.offer", "main.haggle"]),
        ("main.main", &["runtime.main"]),
    ];
    let functions: Vec<&str> = stack.split(';').collect();
    let ends = functions.last().is_some_and(|last| *last == "runtime.goexit");
    let fruit = functions.iter().filter(|function| **function == "main.(*stall).queueForFruit").count();
    let fits = functions.windows(2).all(|pair| {
        let callers = CALLERS.iter().find(|(function, _)| *function == pair[0]);
        callers.is_none_or(|(_, callers)| callers.iter().any(|caller| pair[1].starts_with(caller)))
    });
    ends && fits && (fruit == 0 || fruit == 4)
}
