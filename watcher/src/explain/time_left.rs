//! How long it can go on, in a sentence.

use super::LimitName;
use super::words::{bytes, count, duration};
use crate::judge::terms::Exhaustion;

/// A restart is not due before this: programs are replaced more often than that.
const FAR_SECONDS: f64 = 30.0 * 86_400.0;
/// Nobody restarts anything within less.
const AT_ONCE_SECONDS: f64 = 60.0;

/// By when a restart keeps the process from its end, in a sentence or two; `None` where that is far.
pub(super) fn restart(exhaustion: &Exhaustion) -> Option<String> {
    if !exhaustion.limit.only_slows() {
        return restart_before(exhaustion.low_seconds, "its limit");
    }
    let name = limit_name(exhaustion.limit);
    let slows = (exhaustion.low_seconds < FAR_SECONDS).then(|| {
        let from = match exhaustion.low_seconds {
            now if now < AT_ONCE_SECONDS => "at any moment now".to_owned(),
            later => format!("in {} at the soonest", duration(later)),
        };
        format!("{name} slows the program down {from}; a restart makes it fast again for a while.")
    });
    let end = exhaustion.beyond.and_then(|end| restart_before(end.low_seconds, limit_name(end.limit)));
    let sentences: Vec<String> = [slows, end].into_iter().flatten().collect();
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn restart_before(seconds: f64, limit: &str) -> Option<String> {
    match seconds {
        far if far >= FAR_SECONDS || far.is_nan() => None,
        now if now < AT_ONCE_SECONDS => {
            Some(format!("Restart it now: it is at {limit}, or may be within a minute."))
        }
        later => Some(format!(
            "Until it is fixed, a restart within {} keeps the process from {limit}.",
            duration(later)
        )),
    }
}

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
        LimitName::InotifyInstances => "fs.inotify.max_user_instances",
        LimitName::InotifyWatches => "fs.inotify.max_user_watches",
        LimitName::Ports => "net.ipv4.ip_local_port_range",
    }
}

#[cfg(test)]
mod tests {
    use super::{LimitName, restart};
    use crate::judge::terms::{Beyond, Exhaustion};

    fn ends(limit: LimitName, low_seconds: f64) -> Exhaustion {
        let in_seconds = 2.0 * low_seconds;
        Exhaustion { limit, limit_value: 1 << 30, in_seconds, low_seconds, high_seconds: None, beyond: None }
    }

    #[test]
    fn a_restart_is_advised_where_it_is_due_and_where_it_helps() {
        let files = |seconds| restart(&ends(LimitName::OpenFiles, seconds));
        let now = "Restart it now: it is at its limit, or may be within a minute.";
        assert_eq!(files(0.0).as_deref(), Some(now));
        assert_eq!(files(59.0).as_deref(), Some(now));
        let hour = "Until it is fixed, a restart within 1 h keeps the process from its limit.";
        assert_eq!(files(3600.0).as_deref(), Some(hour));
        // RLIMIT_NOFILE of 2^30, as in many containers.
        assert_eq!(files(2.6e6), None);
        assert_eq!(files(f64::INFINITY), None);
    }

    #[test]
    fn what_only_slows_a_program_down_ends_nothing() {
        let soft = |seconds| ends(LimitName::GoMemory, seconds);
        assert_eq!(
            restart(&soft(600.0)).as_deref(),
            Some(
                "GOMEMLIMIT slows the program down in 10 min at the soonest; a restart makes it fast again for a \
                 while."
            )
        );
        assert_eq!(
            restart(&ends(LimitName::CgroupMemoryHigh, 0.0)).as_deref(),
            Some(
                "memory.high slows the program down at any moment now; a restart makes it fast again for a while."
            )
        );
        assert_eq!(restart(&soft(1e9)), None);
        let beyond = Beyond {
            limit: LimitName::CgroupMemory,
            limit_value: 2 << 30,
            in_seconds: 9_000.0,
            low_seconds: 7_200.0,
            high_seconds: None,
        };
        let both = restart(&Exhaustion { beyond: Some(beyond), ..soft(600.0) });
        let end = "Until it is fixed, a restart within 2 h keeps the process from memory.max.";
        assert!(both.is_some_and(|both| both.starts_with("GOMEMLIMIT") && both.ends_with(end)));
    }
}
