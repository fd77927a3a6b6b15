//! What changed between two profiles, stack by stack.
//!
//! Stacks are the same where their functions, files and lines are: addresses differ between two runs of a
//! position-independent program, and between two builds.

use super::{Function, Line, Location, Profile, Sample, ValueType};
use std::collections::HashMap;

/// Two profiles of the same kind, side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff {
    /// Every stack of either, those that grew most first.
    pub growths: Vec<Growth>,
    /// What the stacks refer to: the newer profile's types and times, with the functions and locations of both and
    /// without samples.
    pub places: Profile,
}

/// One stack in both profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Which of the locations in [`Diff::places`], leaf first.
    pub stack: Vec<u32>,
    /// Its values in the older profile, zero where it was not there.
    pub before: Vec<i64>,
    /// Its values in the newer one.
    pub after: Vec<i64>,
}

/// Why two profiles cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the profiles count different things: {before} and {after}")]
pub struct DiffError {
    /// What the older one counts.
    pub before: String,
    /// What the newer one counts.
    pub after: String,
}

/// Compares two profiles that count the same things.
///
/// # Errors
/// Where their sample types differ.
pub fn diff(before: &Profile, after: &Profile) -> Result<Diff, DiffError> {
    if before.sample_types != after.sample_types {
        return Err(DiffError {
            before: describe(&before.sample_types),
            after: describe(&after.sample_types),
        });
    }
    let mut table = Table::default();
    table.add(before, |growth| &mut growth.before);
    table.add(after, |growth| &mut growth.after);
    let shown = after.value_index(None).unwrap_or(0);
    let mut growths = table.growths;
    growths
        .sort_by(|one, other| other.by(shown).cmp(&one.by(shown)).then_with(|| one.stack.cmp(&other.stack)));
    let places = Profile {
        sample_types: after.sample_types.clone(),
        default_sample_type: after.default_sample_type.clone(),
        period_type: after.period_type.clone(),
        period: after.period,
        taken: after.taken,
        duration: after.duration,
        mappings: after.mappings.clone(),
        functions: table.functions,
        locations: table.locations,
        samples: Vec::new(),
        comments: after.comments.clone(),
    };
    Ok(Diff { growths, places })
}

impl Diff {
    /// The difference as a profile: what `go tool pprof -diff_base` shows. Stacks that did not change are left out.
    pub fn profile(&self) -> Profile {
        let changed = self.growths.iter().filter(|growth| growth.before != growth.after);
        let samples = changed.map(|growth| Sample {
            stack: growth.stack.clone(),
            values: (0..growth.after.len()).map(|value| growth.by(value)).collect(),
            labels: Vec::new(),
        });
        Profile { samples: samples.collect(), ..self.places.clone() }
    }
}

impl Growth {
    /// By how much the value at `index` grew; zero where there is no such value.
    pub fn by(&self, index: usize) -> i64 {
        let value = |values: &[i64]| values.get(index).copied().unwrap_or(0);
        value(&self.after).saturating_sub(value(&self.before))
    }
}

fn describe(types: &[ValueType]) -> String {
    let each: Vec<String> = types.iter().map(|each| format!("{}/{}", each.kind, each.unit)).collect();
    if each.is_empty() { "nothing".to_owned() } else { each.join(", ") }
}

/// Where a location is: its lines, or its address where it has none.
type Place = (Vec<Line>, Option<u64>);

#[derive(Default)]
struct Table {
    functions: Vec<Function>,
    function_index: HashMap<Function, u32>,
    locations: Vec<Location>,
    location_index: HashMap<Place, u32>,
    growths: Vec<Growth>,
    growth_index: HashMap<Vec<u32>, usize>,
}

impl Table {
    fn add(&mut self, profile: &Profile, side: impl Fn(&mut Growth) -> &mut Vec<i64>) {
        let functions: Vec<u32> = profile.functions.iter().map(|function| self.function(function)).collect();
        let locations: Vec<u32> =
            profile.locations.iter().map(|location| self.location(location, &functions)).collect();
        let value_count = profile.sample_types.len();
        for sample in &profile.samples {
            let stack: Vec<u32> =
                sample.stack.iter().filter_map(|&index| locations.get(index as usize).copied()).collect();
            let next = self.growths.len();
            let index = *self.growth_index.entry(stack).or_insert_with_key(|stack| {
                let zero = vec![0; value_count];
                self.growths.push(Growth { stack: stack.clone(), before: zero.clone(), after: zero });
                next
            });
            for (sum, value) in side(&mut self.growths[index]).iter_mut().zip(&sample.values) {
                *sum = sum.saturating_add(*value);
            }
        }
    }

    fn function(&mut self, function: &Function) -> u32 {
        let next = super::builder::next_index(self.functions.len());
        *self.function_index.entry(function.clone()).or_insert_with_key(|function| {
            self.functions.push(function.clone());
            next
        })
    }

    fn location(&mut self, location: &Location, functions: &[u32]) -> u32 {
        let line = |line: &Line| {
            functions.get(line.function as usize).map(|&function| Line { function, line: line.line })
        };
        let lines: Vec<Line> = location.lines.iter().filter_map(line).collect();
        let address = lines.is_empty().then_some(location.address);
        let next = super::builder::next_index(self.locations.len());
        *self.location_index.entry((lines, address)).or_insert_with_key(|(lines, _)| {
            self.locations.push(Location { address: location.address, mapping: None, lines: lines.clone() });
            next
        })
    }
}
