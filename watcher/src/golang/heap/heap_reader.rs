//! Everything about the heap of one process: found once, read as often as wanted.

use super::own_memory::{self, OwnMemory};
use super::profile::{self, Counts, Estimate, HeapProfile, Location, NoProfile};
use super::spans::{Census, Spans};
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::{Frame, StackPc, Symbols};
use crate::golang::heap::{Heap, HeapError};
use crate::golang::runtime::{Runtime, sampling};
use crate::golang::{Memory, ReadAt};
use crate::observed::go_counters::HeapCounters;
use std::ops::Range;

/// The heap of one process.
#[derive(Clone, Copy, Debug)]
pub struct HeapReader {
    heap: Result<Heap, HeapError>,
    spans: Result<Spans, HeapError>,
    profile: Location,
}

/// A site of the heap profile with its symbols.
#[derive(Clone, Debug, PartialEq)]
pub struct ResolvedSite {
    /// Places in the code, leaf first, as pprof shows them: the allocator's own are left out, and each has the calls
    /// that were inlined there, innermost first. Empty where the program allocated in no code of its own.
    pub places: Vec<Vec<Frame>>,
    /// Size of the objects, in bytes; 0 where pprof does not tell it either, before Go 1.27 of what was not allocated.
    pub object_bytes: u64,
    /// As sampled.
    pub counts: Counts,
    /// Estimated from that, as pprof does.
    pub estimate: Estimate,
}

impl HeapReader {
    /// Finds the heap of a process whose runtime is known. Never fails as a whole: what was not found says so when
    /// it is asked for.
    pub fn attach(runtime: &mut Runtime, file: &dyn ReadAt, memory: &dyn Memory) -> HeapReader {
        let minor = runtime.minor().map(|minor| minor.0);
        // Where the profile begins is not known before the first allocation is sampled.
        runtime.look_again(file, memory);
        let places = *runtime.places();
        let heap = runtime.heap(memory);
        let spans = heap.and_then(|heap| Spans::locate(memory, heap, minor));
        let (symbols, loaded) = runtime.symbols(file, memory);
        let profile = Location {
            buckets: places.mbuckets.map(|place| place.address),
            rate: sampling::rate(&loaded, symbols),
            sweep_generation: places.allspans.map(|place| place.address.wrapping_sub(8)),
            is_linked: sampling::is_linked(&loaded, symbols),
        };
        symbols.forget_pages();
        HeapReader { heap, spans, profile }
    }

    /// The heap as it was found, or why it was not.
    ///
    /// # Errors
    /// See [`HeapError`].
    pub fn heap(&self) -> Result<Heap, HeapError> {
        self.heap
    }

    /// The spans as they were found, or why they were not.
    ///
    /// # Errors
    /// See [`HeapError`].
    pub fn spans(&self) -> Result<Spans, HeapError> {
        self.spans
    }

    /// Reads the counters: less than a KiB in one call.
    ///
    /// # Errors
    /// See [`HeapError`].
    pub fn counters(&self, memory: &dyn Memory) -> Result<HeapCounters, HeapError> {
        self.heap?.counters(memory)
    }

    /// Reads all spans.
    ///
    /// # Errors
    /// See [`HeapError`].
    pub fn census(&self, memory: &dyn Memory) -> Result<Census, HeapError> {
        self.spans?.census(memory)
    }

    /// Which of these mappings, that hold none of the heap's spans, the runtime keeps its own structures in: see
    /// [`own_memory::reached`].
    ///
    /// # Errors
    /// See [`HeapError`].
    pub fn reached(
        &self,
        memory: &dyn Memory,
        spans: &[Range<u64>],
        mappings: &[Range<u64>],
    ) -> Result<OwnMemory, HeapError> {
        own_memory::reached(memory, &self.heap?, self.profile.buckets, spans, mappings)
    }

    /// Reads the heap profile. That of a process that had sampled nothing when this was made needs a new reader.
    ///
    /// # Errors
    /// See [`NoProfile`].
    pub fn profile(&self, memory: &dyn Memory) -> Result<HeapProfile, NoProfile> {
        self.profile.read(memory)
    }
}

impl HeapProfile {
    /// Looks up the symbols of a site.
    pub fn resolve(&self, site: &profile::Site, symbols: &mut Symbols, loaded: &Loaded) -> ResolvedSite {
        let mut frames = |pc: u64, is_exact: bool| symbols.expand(loaded, &[StackPc { pc, is_exact }]);
        let shown = profile::without_runtime(&site.stack, |pc| {
            frames(pc, true).into_iter().next().map(|frame| frame.symbol)
        });
        let mut places = Vec::new();
        // Where nothing else is left, the runtime is shown after all (`writeHeapProto`).
        for stack in [shown, &site.stack] {
            places = profile::places(stack, |pc| frames(pc, false), |one, other| one.symbol == other.symbol);
            places.retain(|place| place.iter().all(|frame| &*frame.symbol != "runtime.goexit"));
            if !places.is_empty() {
                break;
            }
        }
        let counts = site.counts;
        let is_told = self.tells_unused_sizes || counts.allocated != 0;
        let object_bytes = if is_told { site.object_bytes } else { 0 };
        ResolvedSite { places, object_bytes, counts, estimate: self.estimate(site) }
    }
}
