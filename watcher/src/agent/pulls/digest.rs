//! What is kept in memory of a profile for judging: stacks with one number each.

use crate::observed::pulls::{MAX_SITES, PulledProfile, PulledSite};
use crate::report::pprof::Profile;
use crate::vocabulary::frame::{Frame, MAX_FRAMES};
use crate::vocabulary::reading::Moment;
use std::collections::HashMap;
use std::sync::Arc;

/// Stacks by the value called `kind`; stacks that differ only in labels or addresses are one.
pub fn of(profile: &Profile, kind: Option<&str>, at: Moment) -> PulledProfile {
    let value = profile.value_index(kind).unwrap_or(0);
    let mut texts: HashMap<&str, Arc<str>> = HashMap::new();
    let mut sites: HashMap<Arc<[Frame]>, u64> = HashMap::new();
    let mut total: u64 = 0;
    for sample in &profile.samples {
        let amount = sample.values.get(value).copied().and_then(|amount| u64::try_from(amount).ok());
        let Some(amount) = amount.filter(|amount| *amount > 0) else { continue };
        total = total.saturating_add(amount);
        let frames = profile.frames(sample).take(MAX_FRAMES).map(|frame| {
            let mut text = |text| Arc::clone(texts.entry(text).or_insert_with(|| Arc::from(text)));
            let (name, file) = frame.function.map_or(("", ""), |function| (&*function.name, &*function.file));
            Frame { function: text(name), file: text(file), line: frame.line }
        });
        let known = sites.entry(frames.collect()).or_default();
        *known = known.saturating_add(amount);
    }
    let mut sites: Vec<PulledSite> =
        sites.into_iter().map(|(stack, value)| PulledSite { stack, value }).collect();
    sites.sort_by(|one, other| other.value.cmp(&one.value).then_with(|| one.stack.cmp(&other.stack)));
    let left = sites.split_off(sites.len().min(MAX_SITES));
    let beyond = left.iter().fold(0, |sum: u64, site| sum.saturating_add(site.value));
    PulledProfile { at, sites, total, beyond }
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::report::pprof::{Builder, Function};
    use crate::vocabulary::reading::Moment;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn equal_stacks_are_added_up_and_negative_values_left_out() {
        let mut builder = Builder::goroutines(UNIX_EPOCH);
        let function = |name: &str| Function { name: name.to_owned(), ..Function::default() };
        let (one, same) =
            (builder.location(1, [(function("main.a"), 3)]), builder.location(2, [(function("main.a"), 3)]));
        let other = builder.location(3, [(function("main.b"), 4)]);
        for (place, count) in [(one, 5), (same, 6), (other, 2), (other, -9)] {
            builder.sample(vec![place], vec![count], vec![]);
        }
        let at = Moment { since_boot: Duration::ZERO, wall: UNIX_EPOCH };
        let digest = of(&builder.build(), None, at);
        let values: Vec<_> = digest.sites.iter().map(|site| (&*site.stack[0].function, site.value)).collect();
        assert_eq!(values, [("main.a", 11), ("main.b", 2)]);
        assert_eq!((digest.total, digest.beyond), (13, 0));
    }
}
