//! CPU time of processes.

use anyhow::{Context, Result};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::time::Duration;

/// The CPU clock of a process: that of all its threads, in user and kernel mode.
#[derive(Clone, Copy, Debug)]
pub struct Clock(ClockId);

impl Clock {
    /// That of the process `pid`.
    ///
    /// # Errors
    /// Where there is none.
    pub fn of(pid: u32) -> Result<Clock> {
        let pid = Pid::from_raw(pid.try_into().context("a pid fits")?);
        Ok(Clock(clock_getcpuclockid(pid).context("find a process's CPU clock")?))
    }

    /// Our own.
    ///
    /// # Errors
    /// Where there is none.
    pub fn own() -> Result<Clock> {
        Clock::of(std::process::id())
    }

    /// What it has spent so far.
    ///
    /// # Errors
    /// Where the process has ended.
    pub fn spent(self) -> Result<Duration> {
        Ok(clock_gettime(self.0).context("read a process's CPU clock")?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::Clock;

    #[test]
    fn work_takes_time() {
        let clock = Clock::own().unwrap();
        let before = clock.spent().unwrap();
        assert_ne!((0..20_000_000_u64).fold(7, |sum: u64, it| sum.wrapping_mul(31) ^ it), 0);
        assert!(clock.spent().unwrap() > before);
    }
}
