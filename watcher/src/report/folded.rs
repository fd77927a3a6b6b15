//! Profiles as text: folded stacks for flame graphs, and a table of functions as `go tool pprof -top` prints it.

use super::fit;
use super::pprof::{Frame, Profile};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write;

/// One line per stack, root first, frames parted by semicolons, then the value: what `inferno-flamegraph` and
/// speedscope read. Stacks with equal text are added up; those of value zero are left out.
pub fn folded(profile: &Profile, value: usize) -> String {
    let mut stacks: BTreeMap<String, i64> = BTreeMap::new();
    for sample in &profile.samples {
        let mut frames: Vec<String> = profile.frames(sample).map(|frame| folded_name(&frame)).collect();
        frames.reverse();
        let total = stacks.entry(frames.join(";")).or_default();
        *total = total.saturating_add(sample.values.get(value).copied().unwrap_or(0));
    }
    let mut text = String::new();
    for (stack, total) in stacks.iter().filter(|(_, total)| **total != 0) {
        _ = writeln!(text, "{stack} {total}");
    }
    text
}

/// Functions by what was counted in them (flat) and below them (cum), largest first; at most `rows` of them.
pub fn top(profile: &Profile, value: usize, rows: usize) -> String {
    let mut by_function: HashMap<String, (i64, i64)> = HashMap::new();
    let mut total: i64 = 0;
    for sample in &profile.samples {
        let amount = sample.values.get(value).copied().unwrap_or(0);
        total = total.saturating_add(amount);
        let mut seen = HashSet::new();
        for (depth, frame) in profile.frames(sample).enumerate() {
            let name = name(&frame);
            // A recursive function holds what is below it once.
            if seen.insert(name.clone()) {
                let (flat, cumulative) = by_function.entry(name).or_default();
                *cumulative = cumulative.saturating_add(amount);
                if depth == 0 {
                    *flat = flat.saturating_add(amount);
                }
            }
        }
    }
    let mut functions: Vec<(String, (i64, i64))> =
        by_function.into_iter().filter(|(_, amounts)| *amounts != (0, 0)).collect();
    functions.sort_by(|(name, (flat, cumulative)), (other_name, (other_flat, other_cumulative))| {
        other_flat
            .unsigned_abs()
            .cmp(&flat.unsigned_abs())
            .then(other_cumulative.unsigned_abs().cmp(&cumulative.unsigned_abs()))
            .then_with(|| name.cmp(other_name))
    });
    let unit = profile.sample_types.get(value).map_or("", |each| each.unit.as_str());
    let mut text =
        format!("{:>10} {:>6} {:>6} {:>10} {:>6}  function\n", "flat", "flat%", "sum%", "cum", "cum%");
    let mut sum: i64 = 0;
    for (name, (flat, cumulative)) in functions.iter().take(rows) {
        sum = sum.saturating_add(*flat);
        _ = writeln!(
            text,
            "{:>10} {:>6} {:>6} {:>10} {:>6}  {}",
            amount(*flat, unit),
            percent(*flat, total),
            percent(sum, total),
            amount(*cumulative, unit),
            percent(*cumulative, total),
            fit::name(name),
        );
    }
    text
}

/// What a frame is called: its function, or its address.
pub(super) fn name(frame: &Frame<'_>) -> String {
    let named = frame.function.filter(|function| !function.name.is_empty());
    named.map_or_else(|| nameless(frame.address), |function| function.name.clone())
}

/// Semicolons part frames, and the value stands behind the last blank of a line: neither may be in a name.
fn folded_name(frame: &Frame<'_>) -> String {
    name(frame).replace([';', '\n'], ":")
}

/// A number in the profile's unit, as `go tool pprof` writes it.
pub(super) fn amount(value: i64, unit: &str) -> String {
    if unit != "bytes" {
        return value.to_string();
    }
    let (divisor, suffix) = match value.unsigned_abs() {
        0 => return "0".to_owned(),
        1..0x400 => (1.0, "B"),
        0x400..0x10_0000 => (f64::from(1 << 10), "kB"),
        0x10_0000..0x4000_0000 => (f64::from(1 << 20), "MB"),
        _ => (f64::from(1 << 30), "GB"),
    };
    #[expect(clippy::cast_precision_loss, reason = "two digits behind the point are shown")]
    let scaled = format!("{:.2}", value as f64 / divisor);
    format!("{}{suffix}", scaled.strip_suffix(".00").unwrap_or(&scaled))
}

/// A part of a whole.
pub(super) fn percent(part: i64, total: i64) -> String {
    if total == 0 {
        return "0%".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits behind the point are shown")]
    let share = 100.0 * part as f64 / total as f64;
    if share.abs() >= 99.95 { format!("{share:.0}%") } else { format!("{share:.2}%") }
}

/// What stands for a frame without a name. Go's threadcreate profile has one record for all threads of which it has no
/// stack, whose only address is the one before 0.
pub(super) fn nameless(address: u64) -> String {
    match address {
        u64::MAX => "[no stack was recorded]".to_owned(),
        address => format!("{address:#x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{folded, top};
    use crate::report::pprof::{Builder, Function, Profile};
    use expect_test::expect;
    use std::time::UNIX_EPOCH;

    fn sessions() -> Profile {
        let mut builder = Builder::heap(UNIX_EPOCH, 524_288);
        let function = |name: &str| Function { name: name.to_owned(), ..Function::default() };
        let insert = builder.location(0x10, [(function("main.insert"), 8), (function("main.serve"), 21)]);
        let main = builder.location(0x20, [(function("main.main"), 30)]);
        let descend = builder.location(0x30, [(function("main.descend"), 40)]);
        let bare = builder.location(0x4a0, []);
        builder.sample(vec![insert, main], vec![3, 6144, 2, 4096], vec![]);
        builder.sample(vec![descend, descend, main], vec![1, 1000, 1, 1000], vec![]);
        builder.sample(vec![bare], vec![9, 9, 0, 0], vec![]);
        builder.build()
    }

    #[test]
    fn folded_stacks_have_the_root_first_and_inlined_calls() {
        expect![[r"
            main.main;main.descend;main.descend 1000
            main.main;main.serve;main.insert 4096
        "]]
        .assert_eq(&folded(&sessions(), 3));
        expect![[r"
            0x4a0 9
            main.main;main.descend;main.descend 1
            main.main;main.serve;main.insert 3
        "]]
        .assert_eq(&folded(&sessions(), 0));
    }

    #[test]
    fn what_has_no_stack_is_no_address() {
        assert_eq!(super::nameless(u64::MAX), "[no stack was recorded]");
        assert_eq!(super::nameless(0x4a0), "0x4a0");
    }

    #[test]
    fn top_counts_a_recursive_function_once() {
        expect![[r#"
            top:
                  flat  flat%   sum%        cum   cum%  function
                   4kB 80.38% 80.38%        4kB 80.38%  main.insert
                 1000B 19.62%   100%      1000B 19.62%  main.descend
                     0  0.00%   100%     4.98kB   100%  main.main
        "#]]
        // Common leading blanks of a snapshot are no part of it, so a line without any stands before.
        .assert_eq(&format!("top:\n{}", top(&sessions(), 3, 3)));
    }
}
