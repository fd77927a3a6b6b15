//! A process with probes in its Go runtime.

use crate::attached::Attached;
use anyhow::{Context, Result};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant};
use watcher::capture::creators::{self, Creators};
use watcher::golang::Memory;
use watcher::ledger::span_ledger;
use watcher::observed::ledger::{Ledger, Spans};
use watcher::source::kernel::Kernel;
use watcher::source::kernel::ledger::{Bounds, Ledgers};
use watcher::source::proc::{ProcRoot, ProcessDir};
use watcher::vocabulary::process::ProcessId;

/// Prints a line of figures for whoever asks by the variable `FIGURES`: what probes cost, and what they found.
macro_rules! tell {
    ($($line:tt)*) => {
        if std::env::var_os("FIGURES").is_some() {
            use std::io::Write as _;
            // Where nobody reads them, nothing is lost.
            let _ = writeln!(std::io::stderr(), $($line)*);
        }
    };
}
pub(crate) use tell;

/// A process that can be probed; dropping it takes all probes out.
pub struct Probed {
    /// Its runtime.
    pub attached: Attached,
    /// Who it is.
    pub id: ProcessId,
    /// The ledgers, of this process only.
    pub ledgers: Ledgers,
    process: ProcessDir,
}

impl Probed {
    /// Attaches to a process; puts nothing in yet.
    pub fn to(pid: u32) -> Result<Probed> {
        let attached = Attached::to(pid)?;
        let proc = ProcRoot::host().context("open /proc")?;
        let process =
            proc.open(i32::try_from(pid).context("a pid")?).into_seen().context("open the process")?;
        let id = process.id().into_seen().context("identify the process")?;
        Ok(Probed { attached, id, ledgers: Ledgers::new(&Kernel::load()), process })
    }

    /// Watches its spans.
    pub fn watch_spans(&mut self, bounds: Bounds) -> Result<()> {
        let Attached { file, runtime, .. } = &mut self.attached;
        span_ledger::watch(&mut self.ledgers, runtime, file, self.id, bounds).context("watch spans")
    }

    /// Watches the births of its goroutines.
    pub fn watch_births(&mut self, bounds: Bounds) -> Result<()> {
        let Attached { file, runtime, .. } = &mut self.attached;
        creators::watch(&mut self.ledgers, runtime, file, self.id, bounds).context("watch births")
    }

    /// What stays on its heap.
    pub fn spans(&mut self) -> Result<Ledger<Spans>> {
        let read = span_ledger::read(&self.ledgers, &mut self.attached.runtime, &self.process, self.id);
        read.into_seen().context("read the spans")
    }

    /// Who started whom.
    pub fn creators(&mut self) -> Result<Creators> {
        let read = creators::read(&self.ledgers, &mut self.attached.runtime, &self.process, self.id, []);
        read.into_seen().context("read the births")
    }
}

/// Waits until no probe is left; false where that takes too long. They are taken out by a thread of their own, as the
/// kernel takes its time.
pub fn is_left_alone(probed: &Probed) -> bool {
    const PATIENCE: Duration = Duration::from_secs(30);
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if breakpoints(probed).is_ok_and(|count| count == 0) {
            return true;
        }
        thread::sleep(Duration::from_millis(100));
    }
    false
}

/// Breakpoint instructions where probes go, as the process has its code now.
pub fn breakpoints(probed: &Probed) -> Result<usize> {
    let pid = probed.id.pid;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).context("read its mappings")?;
    let code = maps.lines().filter(|line| line.contains(" r-xp ") && line.contains('/'));
    let mut count = 0;
    for line in code {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next().and_then(|range| range.split_once('-')).context("a range")?;
        let (start, end) = (u64::from_str_radix(start, 16)?, u64::from_str_radix(end, 16)?);
        let offset = u64::from_str_radix(fields.nth(1).context("an offset")?, 16)?;
        if line.contains("/lib") {
            continue;
        }
        let mut now = vec![0; usize::try_from(end - start)?];
        probed.attached.memory.read(start, &mut now)?;
        let mut before = vec![0; now.len()];
        let length = probed.attached.file.read_at(&mut before, offset)?;
        let changed = now.iter().zip(&before[..length]).filter(|(now, before)| now != before);
        count += changed.filter(|(now, _)| **now == 0xcc).count();
    }
    Ok(count)
}
