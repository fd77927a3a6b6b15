//! The program `lobby`, which says who of its goroutines waits for which descriptor.

use crate::attached::Attached;
use crate::build::{self, Variant};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use watcher::golang::goroutines::poll;

const GUESTS: u64 = 203;
/// Whoever writes must have filled what the kernel buffers, and what is read must not change meanwhile.
const PATIENCE: Duration = Duration::from_secs(20);

/// It, running; dropping it kills exactly this one and waits for it.
struct Lobby {
    child: Child,
    /// Goroutines, and what each waits for.
    seats: BTreeSet<(u64, i32)>,
}

#[derive(Deserialize)]
struct Seat {
    goroutine: u64,
    descriptor: i32,
}

impl Lobby {
    fn start(toolchain: &Toolchain, variant: Variant) -> Result<Lobby> {
        let mut command = Command::new(build::build("lobby", toolchain, variant)?);
        let command = command.args(["-guests", &GUESTS.to_string(), "-for", "60s"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start it")?;
        let mut lobby = Lobby { child, seats: BTreeSet::new() };
        let output = lobby.child.stdout.take().context("standard output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).context("read who waits where")?;
        let seats: Vec<Seat> = serde_json::from_str(&line).with_context(|| format!("it said {line:?}"))?;
        lobby.seats = seats.into_iter().map(|seat| (seat.goroutine, seat.descriptor)).collect();
        Ok(lobby)
    }
}

impl Drop for Lobby {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do but to wait.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Who waits for which descriptor is what the program says of itself: those that read, write, accept and do both at
/// once, and nobody else.
pub fn who_waits_for_what(toolchain: &Toolchain, variant: Variant) -> Result<()> {
    let lobby = Lobby::start(toolchain, variant)?;
    // One in four reads, one writes, one does both, one waits for something else; three more are no guests.
    let expected = GUESTS.div_ceil(4) + (GUESTS - 1).div_ceil(4) + 2 * (GUESTS - 2).div_ceil(4) + 3;
    ensure!(lobby.seats.len() as u64 == expected, "{} wait, not {expected}", lobby.seats.len());
    let mut attached = Attached::to(lobby.child.id())?;
    let until = Instant::now() + PATIENCE;
    loop {
        let snapshot = attached.runtime.goroutines(&attached.file, &attached.memory)?;
        let waiting = poll::waiting(&attached.memory, &snapshot, |number| {
            Path::new("/proc").join(format!("{}/fd/{number}", lobby.child.id())).is_symlink()
        });
        let found = waiting.found.iter().filter_map(|(index, descriptor)| {
            snapshot.goroutines.get(*index).map(|goroutine| (goroutine.id, *descriptor))
        });
        let found: BTreeSet<(u64, i32)> = found.collect();
        let wrong: Vec<_> = found.difference(&lobby.seats).collect();
        ensure!(wrong.is_empty(), "goroutines do not wait for these: {wrong:?}");
        if found == lobby.seats && waiting.unknown == 0 {
            return Ok(());
        }
        let missing: Vec<_> = lobby.seats.difference(&found).collect();
        ensure!(Instant::now() < until, "missing: {missing:?}, {} unknown", waiting.unknown);
        thread::sleep(Duration::from_millis(100));
    }
}
