//! Puts a profile together, storing equal functions and locations once.

use super::{Function, Label, Line, Location, Mapping, Profile, Sample, ValueType};
use std::collections::HashMap;
use std::time::SystemTime;

/// A profile in the making.
#[derive(Debug, Default)]
pub struct Builder {
    profile: Profile,
    functions: HashMap<Function, u32>,
    locations: HashMap<Location, u32>,
}

impl Builder {
    /// Goroutines by stack, as `runtime/pprof` counts them: one value, `goroutine` in `count`.
    pub fn goroutines(taken: SystemTime) -> Builder {
        let count = ValueType::new("goroutine", "count");
        Builder::of(Profile {
            sample_types: vec![count.clone()],
            period_type: count,
            period: 1,
            taken: Some(taken),
            ..Profile::default()
        })
    }

    /// Heap objects by allocation stack (`runtime/pprof/protomem.go`). A sample's values are objects and bytes
    /// allocated so far, then objects and bytes in use; `period_bytes` is the process's `MemProfileRate`.
    pub fn heap(taken: SystemTime, period_bytes: i64) -> Builder {
        Builder::of(Profile {
            sample_types: vec![
                ValueType::new("alloc_objects", "count"),
                ValueType::new("alloc_space", "bytes"),
                ValueType::new("inuse_objects", "count"),
                ValueType::new("inuse_space", "bytes"),
            ],
            default_sample_type: Some("inuse_space".to_owned()),
            period_type: ValueType::new("space", "bytes"),
            period: period_bytes,
            taken: Some(taken),
            ..Profile::default()
        })
    }

    /// A profile with types, period and time as in `profile`, whose samples are added here.
    pub fn of(profile: Profile) -> Builder {
        Builder { profile, ..Builder::default() }
    }

    /// Adds what is mapped where; addresses are assigned to mappings as they are added afterwards.
    pub fn mapping(&mut self, mapping: Mapping) {
        self.profile.mappings.push(mapping);
    }

    /// Adds a remark.
    pub fn comment(&mut self, text: String) {
        self.profile.comments.push(text);
    }

    /// The index of the place at `address` with these lines, innermost first: function and line number, 0 where the
    /// line is unknown.
    pub fn location(&mut self, address: u64, lines: impl IntoIterator<Item = (Function, u32)>) -> u32 {
        let lines = lines
            .into_iter()
            .map(|(function, line)| Line { function: self.function(function), line })
            .collect();
        let within = |mapping: &Mapping| (mapping.start..mapping.end).contains(&address);
        let mapping =
            self.profile.mappings.iter().position(within).and_then(|index| u32::try_from(index).ok());
        let location = Location { address, mapping, lines };
        let next = next_index(self.profile.locations.len());
        *self.locations.entry(location).or_insert_with_key(|location| {
            self.profile.locations.push(location.clone());
            next
        })
    }

    /// Adds a sample: locations leaf first, one value for each sample type.
    pub fn sample(&mut self, stack: Vec<u32>, values: Vec<i64>, labels: Vec<Label>) {
        self.profile.samples.push(Sample { stack, values, labels });
    }

    /// The profile.
    pub fn build(self) -> Profile {
        self.profile
    }

    fn function(&mut self, function: Function) -> u32 {
        let next = next_index(self.profile.functions.len());
        *self.functions.entry(function).or_insert_with_key(|function| {
            self.profile.functions.push(function.clone());
            next
        })
    }
}

/// Four billion functions or locations do not fit into memory, long before they do not fit into an index.
pub(super) fn next_index(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
