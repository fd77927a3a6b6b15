//! The clocks.

use crate::vocabulary::reading::Moment;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::time::{Duration, SystemTime};

/// Now, on the clock for arithmetic and on the one for people.
///
/// Whoever reads something takes the moment at that read, not once for a whole sweep.
pub fn now() -> Moment {
    Moment { since_boot: read(ClockId::CLOCK_BOOTTIME), wall: SystemTime::now() }
}

/// CLOCK_MONOTONIC, on which Go's runtime counts (`nanotime` in `runtime/sys_linux_amd64.s`). A process in a time
/// namespace of its own may see another one.
pub fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Time since boot of so many clock ticks, the unit in which `/proc/PID/stat` tells when something started.
pub fn of_ticks(ticks: u64) -> Duration {
    let per_second = procfs::ticks_per_second().max(1);
    let nanos = u64::try_from(u128::from(ticks) * 1_000_000_000 / u128::from(per_second));
    nanos.map_or(Duration::MAX, Duration::from_nanos)
}

/// CPU time that the calling thread has used so far, in user space and in the kernel.
pub fn thread_cpu_time() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that all our threads together have used so far.
pub fn process_cpu_time() -> Duration {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that all threads of a process have used so far, those that have ended included; `None` where it has left
/// or this kernel does not say.
pub fn cpu_time_of(pid: i32) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid)).ok()?;
    Some(clock_gettime(clock).ok()?.into())
}

fn read(clock: ClockId) -> Duration {
    // All of them are older than any kernel we run on (2.6.39), and neither takes a permission.
    clock_gettime(clock).expect("Linux has this clock").into()
}

#[cfg(test)]
mod tests {
    #[test]
    fn boot_time_advances() {
        let before = super::now();
        std::thread::sleep(std::time::Duration::from_millis(2));
        let after = super::now();
        assert!(after.seconds_since(&before) >= 0.002);
    }
}
