//! The heap profile that `/debug/pprof/heap` would give (`runtime/pprof/protomem.go`).

use super::{Builder, Function, Label, LabelValue, Mapping, Profile};
use std::time::SystemTime;

/// What one stack allocated. Objects and bytes are estimates, un-sampled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeapSite {
    /// Places in the code, leaf first.
    pub places: Vec<Place>,
    /// Size of the objects, in bytes; 0 where Go does not tell it.
    pub object_bytes: u64,
    /// Objects allocated since the start.
    pub allocated_objects: i64,
    /// Their bytes.
    pub allocated_bytes: i64,
    /// Objects in use.
    pub in_use_objects: i64,
    /// Their bytes.
    pub in_use_bytes: i64,
}

/// One address of a stack and the lines of source there, innermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The address, inside the call.
    pub address: u64,
    /// Functions with the line in each; 0 where the line is unknown.
    pub lines: Vec<(Function, u32)>,
}

/// The profile of these sites. `rate_bytes` is the process's `runtime.MemProfileRate`.
pub fn heap_profile(
    taken: SystemTime,
    rate_bytes: i64,
    mappings: Vec<Mapping>,
    sites: impl IntoIterator<Item = HeapSite>,
) -> Profile {
    let mut builder = Builder::heap(taken, rate_bytes);
    for mapping in mappings {
        builder.mapping(mapping);
    }
    for site in sites {
        let stack =
            site.places.into_iter().map(|place| builder.location(place.address, place.lines)).collect();
        let values =
            vec![site.allocated_objects, site.allocated_bytes, site.in_use_objects, site.in_use_bytes];
        // Before Go 1.27 it is left out where nothing was allocated yet.
        let size = i64::try_from(site.object_bytes).ok().filter(|bytes| *bytes != 0);
        let label =
            |bytes| Label { key: "bytes".to_owned(), value: LabelValue::Number(bytes, String::new()) };
        builder.sample(stack, values, size.map(label).into_iter().collect());
    }
    builder.build()
}
