//! How busy the machine is.

use anyhow::{Context, Result};
use std::fs;

/// Time that all processors together have spent, in ticks, since the start of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    busy: u64,
    all: u64,
}

impl Spent {
    /// By now.
    pub fn by_now() -> Result<Spent> {
        let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        Spent::parse(&text).context("/proc/stat has no line of all processors")
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guest times are in user already.
    fn parse(text: &str) -> Option<Spent> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> =
            line.split_whitespace().take(8).map(|it| it.parse().ok()).collect::<Option<_>>()?;
        let idle = ticks.get(3)?.saturating_add(*ticks.get(4)?);
        let all = ticks.iter().fold(0, |sum: u64, it| sum.saturating_add(*it));
        Some(Spent { busy: all.saturating_sub(idle), all })
    }

    /// The share of the time since `before` in which processors were busy: 0 to 1.
    pub fn busy_since(self, before: Spent) -> Option<f64> {
        let all = self.all.saturating_sub(before.all);
        (all > 0).then(|| self.busy.saturating_sub(before.busy) as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::Spent;

    #[test]
    fn idle_and_waiting_for_a_disk_is_not_busy() {
        let at = |line: &str| Spent::parse(line).unwrap();
        let before = at("cpu  10 0 10 70 10 0 0 0 5 0\ncpu0 1 1 1 1");
        let after = at("cpu  40 0 30 110 20 0 0 0 5 0\n");
        assert_eq!(after.busy_since(before), Some(0.5));
        assert_eq!(before.busy_since(before), None);
        assert_eq!(Spent::parse("intr 1 2 3"), None);
    }
}
