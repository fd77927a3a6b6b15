//! Reads the goroutines of a process every second while it allocates and starts goroutines as fast as it can: no group
//! may be wrong, and the process must not work less than while nobody reads. `cargo xtask bench --churn` runs it, for
//! so many minutes of reading; as many pass between them without.

use anyhow::{Context, Result};
use std::env;
use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};
use tests::market::seen::Seen;
use tests::market::turns::Turns;
use tests::market::{self, Market};

const WAITING: u64 = 4000;
const TRADERS: u32 = 4;
/// Watched and unwatched alternate, so that whatever else the machine does falls on both.
const TURN_SECONDS: u32 = 10;
/// No program of the tests lives for more than ten minutes: then there is another market.
const MARKET_DAY: Duration = Duration::from_secs(480);

fn main() -> Result<()> {
    let minutes: f64 =
        env::args().nth(1).context("how many minutes?")?.parse().context("how many minutes?")?;
    let wanted = Duration::from_secs_f64(minutes * 60.0);
    let turn = Duration::from_secs(TURN_SECONDS.into());
    let mut market = open()?;
    let mut opened = Instant::now();
    let (mut seen, mut turns, mut watched) = (Seen::new(WAITING), Turns::default(), Duration::ZERO);
    while watched < wanted {
        if opened.elapsed() > MARKET_DAY {
            market = open()?;
            opened = Instant::now();
        }
        let (_, rate) = rate_of(&market, || {
            thread::sleep(turn);
            Ok(())
        })?;
        turns.unwatched.push(rate);
        let began = Instant::now();
        let (readings, rate) = rate_of(&market, || {
            let readings = market::read(market.pid(), TURN_SECONDS, Duration::from_secs(1))?;
            // The last of a turn has its second too.
            thread::sleep(turn.saturating_sub(began.elapsed()));
            Ok(readings)
        })?;
        turns.watched.push(rate);
        watched += began.elapsed();
        readings.iter().try_for_each(|reading| seen.take(reading))?;
    }
    let mut out = io::stdout().lock();
    seen.tell(&mut out, watched)?;
    write!(out, "{}", turns.tell()?).context("print")
}

fn open() -> Result<Market> {
    let market = Market::open(WAITING, TRADERS, MARKET_DAY + Duration::from_secs(100))?;
    // Start-up is over by then.
    thread::sleep(Duration::from_secs(2));
    Ok(market)
}

/// What was done per second while `watch` ran, and what that gave.
fn rate_of<T>(market: &Market, watch: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let (before, began) = (market.deals()?, Instant::now());
    let seen = watch()?;
    let (done, taken) =
        (market.deals()?.checked_sub(before).context("deals are never undone")?, began.elapsed());
    #[expect(clippy::cast_precision_loss, reason = "far fewer deals than 2^52")]
    let rate = done as f64 / taken.as_secs_f64();
    Ok((seen, rate))
}
