//! Every stack of a profile, as `go tool pprof -traces` prints them: the value, then the frames, innermost first.

use super::fit;
use super::folded::{amount, name};
use super::pprof::{LabelValue, Profile, Sample};
use std::fmt::Write;

const RULE: &str = "-----------+----------------------------------------------------";

/// The stacks with most, at most `stacks` of them; those of value zero are left out.
pub fn text(profile: &Profile, value: usize, stacks: usize) -> String {
    let of = |sample: &Sample| sample.values.get(value).copied().unwrap_or(0);
    let unit = profile.sample_types.get(value).map_or("", |each| each.unit.as_str());
    let mut samples: Vec<&Sample> = profile.samples.iter().filter(|sample| of(sample) != 0).collect();
    samples.sort_by_key(|sample| std::cmp::Reverse(of(sample).unsigned_abs()));
    let mut text = String::new();
    for sample in samples.iter().take(stacks) {
        _ = writeln!(text, "{RULE}");
        for label in &sample.labels {
            let LabelValue::Text(said) = &label.value else { continue };
            _ = writeln!(text, "{:>12} {}", format!("{}:", fit::name(&label.key)), fit::name(said));
        }
        let mut first = amount(of(sample), unit);
        for frame in profile.frames(sample) {
            let place = frame.function.filter(|function| !function.file.is_empty());
            let place = place.map_or_else(String::new, |function| {
                format!("  {}:{}", fit::name(&function.file), frame.line)
            });
            _ = writeln!(text, "{first:>11}   {}{place}", fit::name(&name(&frame)));
            first.clear();
        }
    }
    if !samples.is_empty() {
        _ = writeln!(text, "{RULE}");
    }
    let hidden = samples.len().saturating_sub(stacks);
    if hidden > 0 {
        _ = writeln!(text, "not shown: {hidden} stacks (-n {} shows all)", samples.len());
    }
    text
}
