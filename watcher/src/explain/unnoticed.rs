//! What leak would not have shown, in a sentence.

use super::words::{bytes, count, duration};
use crate::judge::judgement::Judgement;
use crate::judge::terms::{Kind, Unit};

const HOUR_SECONDS: f64 = 3_600.0;
const DAY_SECONDS: f64 = 86_400.0;

/// "A leak slower than 240 an hour (5,760 a day) would not have shown in 45 s; threads: 1,200 an hour; of memory, 2.1 GiB
/// a day." `None` where nothing was ruled out.
pub(super) fn sentence(judgement: &Judgement) -> Option<String> {
    let mut pieces: Vec<(f64, Vec<&'static str>)> = Vec::new();
    let mut of_bytes = Vec::new();
    for reading in &judgement.readings {
        let Some(per_second) = reading.unnoticed_per_second else { continue };
        if reading.kind.unit() == Unit::Bytes {
            of_bytes.push(format!("{} {} a day", name(reading.kind), bytes(per_second * DAY_SECONDS)));
            continue;
        }
        let per_hour = two_digits(per_second * HOUR_SECONDS);
        match pieces.iter_mut().find(|(known, _)| (*known - per_hour).abs() < 0.5) {
            Some((_, names)) => names.push(name(reading.kind)),
            None => pieces.push((per_hour, vec![name(reading.kind)])),
        }
    }
    pieces.sort_by(|a, b| b.1.len().cmp(&a.1.len()).then(a.0.total_cmp(&b.0)));
    let mut parts: Vec<String> = pieces
        .iter()
        .map(|(per_hour, names)| format!("{} {} an hour", names.join(", "), count(*per_hour)))
        .collect();
    parts.extend(of_bytes);
    (!parts.is_empty()).then(|| {
        format!(
            "slower leaks than these would not show in {}: {}",
            duration(judgement.window_seconds),
            parts.join("; ")
        )
    })
}

/// Two digits say enough of a bound.
fn two_digits(value: f64) -> f64 {
    if value < 10.0 {
        return value.ceil();
    }
    let unit = 10_f64.powf(value.log10().floor() - 1.0);
    (value / unit).round() * unit
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Heap => "Go heap",
        Kind::Native => "native memory",
        Kind::Fd => "descriptors",
        Kind::Connection => "sockets",
        Kind::Thread => "threads",
        Kind::Child => "unreaped children",
        Kind::Mapping => "mappings",
        Kind::Goroutine => "goroutines",
    }
}
