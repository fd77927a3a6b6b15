//! Numbers as people say them: with a unit, as many digits as mean something, never more.

pub use crate::explain::names::{peer_name, state_name, type_name};

use crate::judge::terms::Unit;
use crate::vocabulary::health::LeftOut;
use std::time::SystemTime;

/// `1,234`.
pub fn count(value: f64) -> String {
    let whole = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value <= -0.5 { format!("-{grouped}") } else { grouped }
}

/// `3.4 MiB`.
pub fn bytes(value: f64) -> String {
    let mut value = value;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value.abs() < 1024.0 {
            return format!("{} {unit}", digits(value, unit == "B"));
        }
        value /= 1024.0;
    }
    format!("{} TiB", digits(value, false))
}

/// Three significant digits at most.
fn digits(value: f64, whole: bool) -> String {
    match value.abs() {
        size if whole || size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => trimmed(format!("{value:.1}")),
        _ => trimmed(format!("{value:.2}")),
    }
}

fn trimmed(number: String) -> String {
    number.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A quantity in its unit: `1,234`, or `3.4 MiB`.
pub fn quantity(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Bytes => bytes(value),
        _ => count(value),
    }
}

/// From one quantity to another: `5 to 7`, or just `17` where both are the same.
pub fn range(low: f64, high: f64, unit: Unit) -> String {
    let (low, high) = (quantity(low, unit), quantity(high, unit));
    if low == high { low } else { format!("{low} to {high}") }
}

/// A rate over the unit of time that gives a number one can picture: `11.9 per second`, `30 per minute`.
pub fn rate(per_second: f64, unit: Unit) -> String {
    let least = match unit {
        Unit::Bytes => 1024.0,
        _ => 1.0,
    };
    let (value, time) = match per_second.abs() {
        rate if rate >= least => (per_second, "second"),
        rate if rate * 60.0 >= least => (per_second * 60.0, "minute"),
        _ => (per_second * 3600.0, "hour"),
    };
    match unit {
        Unit::Bytes => format!("{} per {time}", bytes(value)),
        _ if value.abs() >= 1000.0 => format!("{} per {time}", count(value)),
        _ => format!("{} per {time}", digits(value, false)),
    }
}

/// The next round duration that is no shorter, with a little to spare: seconds may be lost before the first reading.
pub fn rounded_up(seconds: f64) -> f64 {
    let step = match seconds {
        seconds if seconds <= 114.0 => 5.0,
        seconds if seconds <= 2.0 * 3600.0 => 60.0,
        _ => 3600.0,
    };
    (seconds * 1.05 / step).ceil() * step
}

/// A round duration as the command line takes it: `50s`, `3m`, `2h`.
pub fn as_flag(seconds: f64) -> String {
    match seconds {
        seconds if seconds <= 120.0 => format!("{seconds:.0}s"),
        seconds if seconds % 3600.0 == 0.0 => format!("{:.0}h", seconds / 3600.0),
        seconds => format!("{:.0}m", seconds / 60.0),
    }
}

/// A span of time that may be short: `120 ms`, else as [`duration`].
pub fn brief(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.0} ms", seconds * 1000.0) } else { duration(seconds) }
}

/// A span of time in its two largest units: `45 s`, `1 h 30 min`, `3 days 4 h`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0);
    if seconds < 0.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    let two = |large: f64, name: &str, small: f64, small_name: &str| {
        let rest = (whole % large / small).floor();
        let count = (whole / large).floor();
        match rest {
            0.0 => format!("{count:.0} {name}"),
            _ => format!("{count:.0} {name} {rest:.0} {small_name}"),
        }
    };
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 3600.0;
    const DAY: f64 = 86_400.0;
    const YEAR: f64 = 365.0 * DAY;
    match whole {
        _ if whole < 2.0 * MINUTE => format!("{whole:.0} s"),
        _ if whole < 10.0 * MINUTE => two(MINUTE, "min", 1.0, "s"),
        _ if whole < HOUR => format!("{:.0} min", (whole / MINUTE).floor()),
        _ if whole < DAY => two(HOUR, "h", MINUTE, "min"),
        _ if whole < 2.0 * DAY => two(DAY, "day", HOUR, "h"),
        _ if whole < 14.0 * DAY => two(DAY, "days", HOUR, "h"),
        _ if whole < YEAR => format!("{} days", count((whole / DAY).floor())),
        _ => "more than a year".to_owned(),
    }
}

/// That so many processes may not be read, without a full stop.
pub fn denied(processes: u64) -> String {
    match processes {
        1 => "1 process may not be read, so what it is is not known".to_owned(),
        _ => format!("{} processes may not be read, so what they are is not known", count(processes as f64)),
    }
}

/// Where others' processes are not even listed.
pub const HIDDEN_PROCESSES: &str = "/proc is mounted with hidepid, which hides processes of other users: run as root, or with CAP_SYS_PTRACE";

/// That there was no place for some users' processes, without a full stop; `None` where there was for all.
pub fn left_out(left_out: &[LeftOut]) -> Option<String> {
    /// Whose processes are named, those with most first.
    const NAMED: usize = 3;
    let mut users: Vec<&LeftOut> = left_out.iter().collect();
    users.sort_by_key(|user| std::cmp::Reverse(user.processes));
    let named = users.iter().take(NAMED).map(|LeftOut { uid, processes }| {
        let of =
            uid.map_or_else(|| "of a user that could not be read".to_owned(), |uid| format!("of user {uid}"));
        format!("{} {of}", counted(usize::try_from(*processes).unwrap_or(usize::MAX), "process", "processes"))
    });
    let mut said: Vec<String> = named.collect();
    if users.len() > NAMED {
        let rest: u64 = users.iter().skip(NAMED).map(|user| user.processes).sum();
        said.push(format!("{} of {} other users", count(rest as f64), users.len() - NAMED));
    }
    (!said.is_empty())
        .then(|| format!("not watched, because there is no place for more: {}", said.join(", ")))
}

/// `1 came`, `1,234 came`: for what is counted without a noun.
pub fn came(number: u64) -> String {
    format!("{} came", count(number as f64))
}

/// A time of day where the reader is: `17:41`.
pub fn clock_time(at: SystemTime) -> String {
    let Ok(at) = jiff::Timestamp::try_from(at) else { return "a time unknown".to_owned() };
    let zoned = at.to_zoned(jiff::tz::TimeZone::system());
    zoned.strftime("%H:%M").to_string()
}

/// A part of a whole: `98 %`.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// `1 step`, `2 steps`.
pub fn counted(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{} {many}", count(number as f64)),
    }
}

#[cfg(test)]
mod tests {
    use super::{bytes, count, counted, duration, percent, range, rate};
    use crate::judge::terms::Unit;

    #[test]
    fn numbers_read_well() {
        for (said, expected) in [
            (count(0.0), "0"),
            (count(999.0), "999"),
            (count(1_234_567.0), "1,234,567"),
            (count(-1_234.0), "-1,234"),
            (count(-0.2), "0"),
            (bytes(0.0), "0 B"),
            (bytes(1023.0), "1023 B"),
            (bytes(1536.0), "1.5 KiB"),
            (bytes(42.0 * 1024.0 * 1024.0), "42 MiB"),
            (bytes(5e15), "4547 TiB"),
            (range(5.0, 7.0, Unit::Fds), "5 to 7"),
            (range(17.0, 17.2, Unit::Fds), "17"),
            (percent(0.984), "98 %"),
            (counted(0, "step", "steps"), "no step"),
            (counted(1, "step", "steps"), "1 step"),
            (counted(44, "step", "steps"), "44 steps"),
        ] {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn rates_choose_their_time() {
        for (per_second, unit, expected) in [
            (11.94, Unit::Connections, "11.9 per second"),
            (2.0, Unit::Fds, "2 per second"),
            (4321.0, Unit::Fds, "4,321 per second"),
            (0.5, Unit::Threads, "30 per minute"),
            (0.001, Unit::Children, "3.6 per hour"),
            (1_048_576.0, Unit::Bytes, "1 MiB per second"),
            (100.0, Unit::Bytes, "5.86 KiB per minute"),
        ] {
            assert_eq!(rate(per_second, unit), expected);
        }
    }

    #[test]
    fn durations_read_well() {
        for (seconds, expected) in [
            (0.2, "0.2 s"),
            (45.0, "45 s"),
            (119.0, "119 s"),
            (150.0, "2 min 30 s"),
            (1_500.0, "25 min"),
            (5_400.0, "1 h 30 min"),
            (7_200.0, "2 h"),
            (90_000.0, "1 day 1 h"),
            (273_600.0, "3 days 4 h"),
            (30.0 * 86_400.0, "30 days"),
            (1e12, "more than a year"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
