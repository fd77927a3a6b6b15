//! How long it can go on, in a sentence.

use super::LimitName;
use super::words::{bytes, count, duration};
use crate::judge::Exhaustion;

/// How long until the first limit, within which interval, and what happens then.
pub(super) fn sentence(exhaustion: &Exhaustion) -> String {
    let first =
        Span { likely: exhaustion.in_seconds, low: exhaustion.low_seconds, high: exhaustion.high_seconds };
    let value = value(exhaustion.limit, exhaustion.limit_value);
    let mut text = format!("{}, until {}", first.text(), reached(exhaustion.limit, &value));
    if let Some(end) = exhaustion.beyond {
        let span = Span { likely: end.in_seconds, low: end.low_seconds, high: end.high_seconds };
        let value = self::value(end.limit, end.limit_value);
        text +=
            &format!("; {} of {value}, which ends it, is reached in {}", limit_name(end.limit), span.text());
    }
    text
}

struct Span {
    likely: f64,
    low: f64,
    high: Option<f64>,
}

impl Span {
    fn text(&self) -> String {
        let short = |seconds: f64| if seconds < 1.0 { "no time".to_owned() } else { duration(seconds) };
        let likely = if self.likely < 1.0 { "none".to_owned() } else { duration(self.likely) };
        match (short(self.low), self.high.map(short)) {
            (low, Some(high)) if high == low => likely,
            (low, Some(high)) => format!("{likely}, between {low} and {high}"),
            (low, None) => format!("{likely}, {low} at the soonest"),
        }
    }
}

fn reached(limit: LimitName, value: &str) -> String {
    let name = limit_name(limit);
    match limit {
        LimitName::GoMemory => format!(
            "what is live fills {name} of {value}: from there on the collector runs all the time, which slows the \
             program down and does not end it"
        ),
        LimitName::CgroupMemoryHigh => format!(
            "{name} of {value} is reached: from there on the kernel slows the program down and does not end it"
        ),
        LimitName::HostMemory => format!("{name} of {value} is used up"),
        _ => format!("{name} of {value} is reached"),
    }
}

fn value(limit: LimitName, value: u64) -> String {
    if limit.is_of_bytes() { bytes(value as f64) } else { count(value as f64) }
}

/// A limit as the system calls it.
pub(super) fn limit_name(limit: LimitName) -> &'static str {
    match limit {
        LimitName::OpenFiles => "RLIMIT_NOFILE",
        LimitName::Mappings => "vm.max_map_count",
        LimitName::CgroupPids => "pids.max",
        LimitName::CgroupMemory => "memory.max",
        LimitName::UserProcesses => "RLIMIT_NPROC",
        LimitName::HostMemory => "host memory",
        LimitName::HostTasks => "kernel.pid_max or kernel.threads-max",
        LimitName::CgroupMemoryHigh => "memory.high",
        LimitName::GoMemory => "GOMEMLIMIT",
        LimitName::GoThreads => "runtime/debug.SetMaxThreads",
        LimitName::AddressSpace => "RLIMIT_AS",
        LimitName::DataSize => "RLIMIT_DATA",
    }
}
