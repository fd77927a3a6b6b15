//! What is in use of the heap at one moment, by the stack that allocated it.

use super::{go_code, same_program};
use crate::capture::frames::Frames;
use crate::golang::binary::symbols;
use crate::golang::heap::heap_reader::HeapReader;
use crate::golang::runtime::Runtime;
use crate::observed::heap::{HeapCapture, HeapSite, MAX_SITES};
use crate::source::clock;
use crate::source::memory::ProcessMemory;
use crate::source::proc::ProcessDir;
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Reading;

/// Reads the heap profile of a process whose runtime is attached to, and makes sure that it is still the one with
/// this id, and runs the same program, afterwards.
pub fn capture(runtime: &mut Runtime, process: &ProcessDir, id: ProcessId) -> Reading<HeapCapture> {
    let at = clock::now();
    let file = match go_code::reopen(runtime, process) {
        Reading::Seen(file) => file,
        other => return other.and_then(|_| Reading::Unsupported),
    };
    let memory = ProcessMemory::new(id.pid);
    // Anew each time: where the profile begins is not known before the first sample is taken.
    let reader = HeapReader::attach(runtime, &file, &memory);
    let mapped_bytes = reader.counters(&memory).ok().map(|counters| counters.mapped_bytes);
    let sites = reader.profile(&memory).map_err(|why| why.to_string()).map(|profile| {
        let mut in_use: Vec<_> = profile
            .sites
            .iter()
            .filter_map(|site| {
                let estimate = profile.estimate(site);
                let bytes = u64::try_from(estimate.in_use_bytes).ok().filter(|bytes| *bytes > 0)?;
                Some((site, bytes, u64::try_from(estimate.in_use_objects).unwrap_or(0)))
            })
            .collect();
        in_use.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
        in_use.truncate(MAX_SITES);
        let mut frames = Frames::default();
        let (symbols, loaded) = runtime.symbols(&file, &memory);
        let sites = in_use
            .into_iter()
            .map(|(site, bytes, objects)| {
                let places = profile.resolve(site, symbols, &loaded).places;
                let stack: Vec<symbols::Frame> = places.into_iter().flatten().collect();
                HeapSite { stack: frames.of(&stack), objects, bytes, object_bytes: site.object_bytes }
            })
            .collect();
        symbols.forget_pages();
        sites
    });
    let capture = HeapCapture { at, sites, mapped_bytes };
    same_program::confirmed(runtime, process, id, Reading::Seen(capture))
}
