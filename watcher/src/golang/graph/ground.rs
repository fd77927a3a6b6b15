//! What a graph is made from: one process's runtime, found, and its memory.

use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::moduledata::Module;
use crate::golang::binary::symbols::Symbols;
use crate::golang::graph::error::GraphError;
use crate::golang::heap::Heap;
use crate::golang::heap::spans::Spans;
use crate::golang::runtime::layouts::GoroutineLayout;
use crate::observed::go_counters::HeapCounters;
use std::ops::Range;
use std::sync::Arc;

/// Everything that is needed to read graphs of one process, as often as wanted.
pub struct Ground<'a> {
    pub(in crate::golang) loaded: Loaded<'a>,
    pub(in crate::golang) symbols: &'a mut Symbols,
    pub(in crate::golang) minor: u32,
    pub(in crate::golang) layout: GoroutineLayout,
    /// Address of `runtime.allgs`.
    pub(in crate::golang) all_goroutines: u64,
    /// Address of `mheap_.allspans`.
    pub(in crate::golang) all_spans: u64,
    pub(in crate::golang) wait_reasons: &'a [Arc<str>],
    pub(in crate::golang) heap: Heap,
    pub(in crate::golang) spans: Spans,
}

impl Ground<'_> {
    /// Versions whose objects are laid out as it is known here.
    pub(in crate::golang) fn supports(minor: u32) -> bool {
        (21..=27).contains(&minor)
    }

    /// What the runtime says of its heap.
    ///
    /// # Errors
    /// Where that could not be read, or makes no sense.
    pub fn counters(&self) -> Result<HeapCounters, GraphError> {
        Ok(self.heap.counters(self.loaded.memory)?)
    }

    /// Addresses of the structures of all goroutines, and of the list itself.
    pub(super) fn goroutines(&self) -> Result<(Vec<u64>, u64), GraphError> {
        const MAX_GOROUTINES: u64 = 1 << 24;
        let list = crate::golang::runtime::found::goroutine_list(self.loaded.memory, self.all_goroutines)
            .ok_or(GraphError::NoGoroutines)?;
        if list.length > MAX_GOROUTINES {
            let (count, most) = (list.length, MAX_GOROUTINES);
            return Err(GraphError::TooLarge { what: "goroutines", count, most });
        }
        let mut bytes = vec![0; usize::try_from(list.length).unwrap_or(0) * 8];
        self.loaded.memory.read(list.pointer, &mut bytes).map_err(|_| GraphError::NoGoroutines)?;
        let mut addresses: Vec<u64> =
            bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).filter(|it| *it != 0).collect();
        addresses.sort_unstable();
        addresses.dedup();
        Ok((addresses, list.pointer))
    }

    /// Where types lie, in all modules.
    pub(super) fn types(&self) -> Vec<Range<u64>> {
        let modules = self.symbols.modules();
        modules.filter_map(|module| types_of(module, self.minor)).collect()
    }

    /// Where code lies, in all modules.
    pub(super) fn text(&self) -> Vec<Range<u64>> {
        self.symbols.modules().map(|module| module.text.clone()).collect()
    }
}

/// `types` and `etypes` of a module, where its version is known to keep them.
fn types_of(module: &Module, minor: u32) -> Option<Range<u64>> {
    const TYPES: usize = 296;
    let end = if minor >= 27 { 312 } else { 304 };
    let range = module.word_at(TYPES)?..module.word_at(end)?;
    (range.start < range.end && range.end - range.start <= 1 << 30).then_some(range)
}
