//! Goroutines are read as they were while a program starts and ends them as fast as it can. What `cargo xtask bench
//! --churn` does for minutes is done here for seconds.

use crate::build::Variant;
use crate::case::Case;
use crate::market::seen::Seen;
use crate::market::{self, Market};
use crate::need::Need;
use crate::toolchain::Toolchain;
use anyhow::{Result, ensure};
use std::io::{self, Write};
use std::time::{Duration, Instant};

const WAITING: u64 = 2000;
const TRADERS: u32 = 2;
const READS: u32 = 20;
const EVERY: Duration = Duration::from_secs(1);

/// The cases.
pub fn cases() -> Vec<Case> {
    vec![Case::new("churn::no_group_is_wrong", [Need::Go], no_group_is_wrong).busy()]
}

/// What they build.
pub fn builds(
    toolchain: &'static Toolchain,
) -> impl Iterator<Item = (&'static str, &'static Toolchain, Variant)> {
    [("market", toolchain, Variant::STRIPPED)].into_iter()
}

fn no_group_is_wrong() -> Result<()> {
    let market = Market::open(WAITING, TRADERS, Duration::from_secs(120))?;
    let (before, began) = (market.deals()?, Instant::now());
    let mut seen = Seen::new(WAITING);
    market::read(market.pid(), READS, EVERY)?.iter().try_for_each(|reading| seen.take(reading))?;
    let deals = market.deals()?.saturating_sub(before);
    ensure!(seen.readings() == u64::from(READS), "it was read {} times", seen.readings());
    ensure!(deals > 1000, "only {deals} deals were made meanwhile: nothing churned");
    let version = Toolchain::newest().map_or("", |toolchain| &toolchain.version);
    writeln!(io::stdout(), "{version}: {deals} deals")?;
    seen.tell(&mut io::stdout(), began.elapsed())
}
