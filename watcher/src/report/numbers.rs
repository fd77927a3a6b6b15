//! Numbers and times as JSON has them.

use std::time::SystemTime;

/// RFC 3339 in UTC, to the millisecond; `None` for a time that no calendar has.
pub(super) fn timestamp(time: SystemTime) -> Option<String> {
    let timestamp = jiff::Timestamp::try_from(time).ok()?;
    Some(timestamp.round(jiff::Unit::Millisecond).unwrap_or(timestamp).to_string())
}

/// Three digits behind the point: more than any of the numbers means.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
