//! Puts probes into the process whose pid it is given, says so, and sleeps. The tests kill it.

use anyhow::{Context, Result};
use std::io::{self, Write};
use std::thread;
use std::time::Duration;
use tests::probed::Probed;
use watcher::source::kernel::ledger::Bounds;

fn main() -> Result<()> {
    let pid = std::env::args().nth(1).context("which process?")?.parse().context("which process?")?;
    let mut probed = Probed::to(pid)?;
    probed.watch_spans(Bounds::DEFAULT)?;
    probed.watch_births(Bounds::DEFAULT)?;
    writeln!(io::stdout(), "{{\"address\":\"probes are in\"}}").context("say so")?;
    thread::sleep(Duration::from_secs(60));
    Ok(())
}
