//! What changed between two profiles, stack by stack.
//!
//! Stacks are the same where their functions, files and lines are: addresses differ between two runs of a
//! position-independent program, and between two builds. What not every form of a profile has tells no two stacks
//! apart: where a function begins, which calls were inlined, the root of all stacks, and, where one side has them not,
//! the types of generic functions and what the runtime does at the innermost end.

use super::{Function, Line, Location, Profile, Sample, ValueType};
use std::borrow::Cow;
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
    let both = [before, after];
    let mut table = Table {
        has_short_names: both.iter().any(|profile| profile.functions.iter().any(is_short)),
        lacks_leaves: both.iter().any(|profile| profile.lacks_leaves),
        ..Table::default()
    };
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
        lacks_leaves: table.lacks_leaves,
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

/// What Go's texts and our JSON have in place of the types of a generic function.
const TYPES: &str = "[...]";

fn is_short(function: &Function) -> bool {
    function.name.contains(TYPES)
}

/// A name as the texts have it (`funcNameForPrint` in `runtime/symtab.go`).
fn shortened(name: &str) -> Cow<'_, str> {
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close => {
            Cow::Owned([&name[..open], TYPES, &name[close + 1..]].concat())
        }
        _ => Cow::Borrowed(name),
    }
}

/// What the texts leave out at the innermost end (`printStackRecord` in `runtime/pprof/pprof.go`).
fn is_runtime(name: &str) -> bool {
    name.starts_with("runtime.") || name.starts_with("internal/runtime/")
}

/// One frame of a stack: a line of a function, or an address without symbol.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Line(Line),
    Address(u64),
}

/// Where a location is: its lines, or its address where it has none.
type Place = (Vec<Line>, Option<u64>);

#[derive(Default)]
struct Table {
    /// The types of generic functions are not known on one side.
    has_short_names: bool,
    /// The runtime's frames at the innermost end are not known on one side.
    lacks_leaves: bool,
    functions: Vec<Function>,
    /// By name and file.
    function_index: HashMap<(String, String), u32>,
    locations: Vec<Location>,
    location_index: HashMap<Place, u32>,
    growths: Vec<Growth>,
    growth_index: HashMap<Vec<Step>, usize>,
}

impl Table {
    fn add(&mut self, profile: &Profile, side: impl Fn(&mut Growth) -> &mut Vec<i64>) {
        let functions: Vec<u32> = profile.functions.iter().map(|function| self.function(function)).collect();
        let value_count = profile.sample_types.len();
        for sample in &profile.samples {
            let places = self.places(profile, sample, &functions);
            let steps = places.iter().flat_map(|(address, lines)| {
                let bare = lines.is_empty().then_some(Step::Address(*address));
                lines.iter().map(|line| Step::Line(*line)).chain(bare)
            });
            let steps: Vec<Step> = steps.collect();
            let index = match self.growth_index.get(&steps) {
                Some(index) => *index,
                None => {
                    let stack = places.into_iter().map(|(address, lines)| self.location(address, lines));
                    let (stack, zero) = (stack.collect(), vec![0; value_count]);
                    self.growths.push(Growth { stack, before: zero.clone(), after: zero });
                    self.growth_index.insert(steps, self.growths.len() - 1);
                    self.growths.len() - 1
                }
            };
            let Some(growth) = self.growths.get_mut(index) else { continue };
            for (sum, value) in side(growth).iter_mut().zip(&sample.values) {
                *sum = sum.saturating_add(*value);
            }
        }
    }

    /// The locations of a sample with our lines, without what is not compared. A stack of which that would leave
    /// nothing stays whole.
    fn places(&self, profile: &Profile, sample: &Sample, functions: &[u32]) -> Vec<(u64, Vec<Line>)> {
        let locations = sample.stack.iter().filter_map(|&index| profile.locations.get(index as usize));
        let mut places: Vec<(u64, Vec<Line>)> = locations
            .map(|location| {
                let line = |line: &Line| {
                    functions.get(line.function as usize).map(|&function| Line { function, line: line.line })
                };
                (location.address, location.lines.iter().filter_map(line).collect())
            })
            .collect();
        let name = |line: &Line| self.functions.get(line.function as usize).map_or("", |it| it.name.as_str());
        // By line and not by location: where a wrapper is dropped, what was inlined in it stands in one with its caller.
        let has_more = places.len() > 1 || places.iter().any(|(_, lines)| lines.len() > 1);
        if has_more && let Some((_, lines)) = places.last_mut() {
            let root = lines.pop_if(|line| name(line) == "runtime.goexit");
            if root.is_some() && lines.is_empty() {
                places.pop();
            }
        }
        let is_own = |(_, lines): &(u64, Vec<Line>)| {
            lines.is_empty() || lines.iter().any(|line| !is_runtime(name(line)))
        };
        if self.lacks_leaves
            && let Some(first) = places.iter().position(is_own)
        {
            places.drain(..first);
            if let Some((_, lines)) = places.first_mut() {
                let leaves = lines.iter().take_while(|line| is_runtime(name(line))).count();
                lines.drain(..leaves);
            }
        }
        places
    }

    fn function(&mut self, function: &Function) -> u32 {
        let name =
            if self.has_short_names { shortened(&function.name) } else { Cow::Borrowed(&*function.name) };
        let next = super::builder::next_index(self.functions.len());
        let key = (name.clone().into_owned(), function.file.clone());
        let index = *self.function_index.entry(key).or_insert_with(|| {
            self.functions.push(Function { name: name.into_owned(), ..function.clone() });
            next
        });
        if let Some(known) = self.functions.get_mut(index as usize) {
            known.start_line = known.start_line.or(function.start_line);
        }
        index
    }

    fn location(&mut self, address: u64, lines: Vec<Line>) -> u32 {
        let bare = lines.is_empty().then_some(address);
        let next = super::builder::next_index(self.locations.len());
        *self.location_index.entry((lines, bare)).or_insert_with_key(|(lines, _)| {
            self.locations.push(Location { address, mapping: None, lines: lines.clone() });
            next
        })
    }
}
