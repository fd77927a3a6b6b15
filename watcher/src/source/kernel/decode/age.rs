//! What tells the age of a descriptor, and the kernel's clock of jiffies in which TCP notes its times.

use crate::vocabulary::descriptor::{DescriptorAge, TcpTimes};
use std::time::Duration;
use watcher_ebpf::{AGE_OF_MPTCP, AGE_OF_PIPE, AGE_OF_TCP, AGE_UNTOUCHED, AgeRecord};

/// The age of a descriptor with TCP's times as the kernel counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct RawAge {
    pid: i32,
    fd: i32,
    inode: u64,
    changed_nanos: u64,
    is_pipe: bool,
    untouched: bool,
    never_used: bool,
    tcp: Option<RawTcp>,
    now_jiffies: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RawTcp {
    sent_jiffies: u32,
    received_jiffies: u32,
    carried_data: Option<bool>,
}

impl RawAge {
    pub(super) fn decode(record: &AgeRecord) -> RawAge {
        let counted = record.flags & AGE_OF_TCP != 0;
        let carried = record.data_sent != 0 || record.data_received != 0;
        let tcp = RawTcp {
            sent_jiffies: record.sent_jiffies,
            received_jiffies: record.received_jiffies,
            carried_data: counted.then_some(carried),
        };
        RawAge {
            pid: record.tgid.cast_signed(),
            fd: record.fd.cast_signed(),
            inode: record.inode,
            changed_nanos: record.changed_ns,
            is_pipe: record.flags & AGE_OF_PIPE != 0,
            untouched: record.flags & AGE_UNTOUCHED != 0,
            // The kernel begins with -1 (`file_ra_state_init`, `mm/readahead.c`).
            never_used: record.position == 0 && record.read_to == u64::MAX,
            tcp: (record.flags & (AGE_OF_TCP | AGE_OF_MPTCP) != 0).then_some(tcp),
            now_jiffies: record.now_jiffies,
        }
    }

    /// Whose it is.
    pub(in super::super) fn pid(&self) -> i32 {
        self.pid
    }

    /// The kernel's clock when it was read.
    pub(in super::super) fn now_jiffies(&self) -> u32 {
        self.now_jiffies
    }

    /// The same in seconds, for a kernel with so many jiffies in one; without TCP's times where that is not known.
    pub(in super::super) fn in_seconds(&self, per_second: Option<JiffiesPerSecond>) -> DescriptorAge {
        let tcp = self.tcp.zip(per_second).map(|(tcp, per_second)| TcpTimes {
            since_sent: per_second.since(self.now_jiffies, tcp.sent_jiffies),
            since_received: per_second.since(self.now_jiffies, tcp.received_jiffies),
            carried_data: tcp.carried_data,
        });
        DescriptorAge {
            pid: self.pid,
            fd: self.fd,
            inode: self.inode,
            changed: Duration::from_nanos(self.changed_nanos),
            is_pipe: self.is_pipe,
            untouched: self.untouched,
            never_used: self.never_used,
            tcp,
        }
    }
}

/// CONFIG_HZ, which no interface tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct JiffiesPerSecond(u32);

/// What kernels are built with.
const USUAL: [u32; 8] = [250, 1000, 100, 300, 128, 200, 256, 1024];
/// Jiffies begin five minutes before they overflow (INITIAL_JIFFIES, `include/linux/jiffies.h`).
const BEFORE_OVERFLOW_SECONDS: u32 = 300;
/// What is farther off than this is another clock.
const MOST_SECONDS_OFF: f64 = 5.0;

impl JiffiesPerSecond {
    /// By where the clock stands so many seconds after boot, time asleep left out; `None` where no usual pace fits.
    pub(in super::super) fn of(now_jiffies: u32, monotonic: Duration) -> Option<JiffiesPerSecond> {
        let off = |per_second: u32| {
            // As the kernel's own: the lower half of the clock.
            let passed = monotonic.as_millis().wrapping_mul(u128::from(per_second)) / 1_000;
            let begun = u128::from(BEFORE_OVERFLOW_SECONDS) * u128::from(per_second);
            let lower = passed.wrapping_sub(begun) & u128::from(u32::MAX);
            let expected = u32::try_from(lower).unwrap_or_default();
            f64::from(now_jiffies.wrapping_sub(expected).cast_signed().unsigned_abs()) / f64::from(per_second)
        };
        let nearest = USUAL.into_iter().min_by(|a, b| off(*a).total_cmp(&off(*b)))?;
        (off(nearest) <= MOST_SECONDS_OFF).then_some(JiffiesPerSecond(nearest))
    }

    fn since(self, now: u32, then: u32) -> Duration {
        // What was noted after this record began is no time ago.
        let jiffies = now.wrapping_sub(then);
        let jiffies = if jiffies > u32::MAX - 1_000 { 0 } else { jiffies };
        Duration::from_secs_f64(f64::from(jiffies) / f64::from(self.0.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::JiffiesPerSecond;
    use std::time::Duration;

    #[test]
    fn the_pace_of_jiffies_follows_from_where_they_stand() {
        for per_second in [100_u32, 250, 300, 1000] {
            for seconds in [10_u64, 290, 1_500, 86_400, 40 * 86_400] {
                let initial = 0_u32.wrapping_sub(300 * per_second);
                let passed = (seconds * u64::from(per_second)) & u64::from(u32::MAX);
                let now = initial.wrapping_add(u32::try_from(passed).unwrap());
                let found = JiffiesPerSecond::of(now, Duration::from_millis(seconds * 1_000 + 20));
                assert_eq!(found, Some(JiffiesPerSecond(per_second)), "{seconds} s");
            }
        }
        assert_eq!(JiffiesPerSecond::of(0, Duration::from_secs(1_000_000)), None);
    }

    #[test]
    fn what_happens_while_it_is_read_is_no_time_ago() {
        let pace = JiffiesPerSecond(250);
        assert_eq!(pace.since(1_000, 500), Duration::from_secs(2));
        assert_eq!(pace.since(1_000, 1_001), Duration::ZERO);
        assert_eq!(pace.since(5, u32::MAX - 244), Duration::from_secs(1));
    }
}
