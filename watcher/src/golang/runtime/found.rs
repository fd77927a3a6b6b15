//! What is found of a runtime in the memory of its process: where its variables lie, and how its structures are laid
//! out.
//!
//! A process that has only just started has not set all of it up: its list of goroutines is empty, its heap has no
//! spans, nothing was sampled. So what is missing can be looked for again.

use super::calibrate::{self, SAMPLE_BYTES, Sample};
use super::layouts::{GoroutineLayout, Layouts, Minor, ThreadLayout};
use super::locate::{self, Places, Route, Routes};
use crate::golang::Memory;
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::Symbols;
use crate::golang::bytes::u64_at;
use crate::golang::heap::{Certainty, Heap, HeapError};
use std::sync::Arc;

/// Goroutines that calibration looks at.
const MAX_SAMPLES: usize = 256;
/// Bounds what is read of a list whose length is nonsense; the structures alone would fill gigabytes.
const MAX_GOROUTINES: u64 = 4 << 20;

/// What is known before anything is looked for.
pub(in crate::golang) struct Expected {
    /// The version of Go, as the executable has it.
    pub version: Arc<str>,
    /// The layouts of that version; `None` where they are not known, or not to be used.
    pub table: Option<Layouts>,
    /// By whose table the heap is looked for.
    pub heap_minor: Option<Minor>,
    /// By which routes variables may be found.
    pub routes: Routes,
}

/// What was found.
pub(in crate::golang) struct Found {
    pub places: Places,
    pub goroutine: Option<GoroutineLayout>,
    pub thread: Option<ThreadLayout>,
    pub heap: Result<Heap, HeapError>,
    pub wait_reasons: Vec<Arc<str>>,
    /// All but that of the heap, which can be found later than the rest.
    remarks: Vec<Remark>,
}

impl Found {
    /// Looks for everything.
    pub fn find(loaded: &Loaded, symbols: &mut Symbols, expected: &Expected) -> Found {
        let table = expected.table;
        let places = Places::find(loaded, symbols, expected.routes);
        let mut remarks = remarks(&places, expected);
        let goroutine = places.allgs.and_then(|place| {
            let samples = sample_goroutines(loaded, place.address);
            let is_entry = |pc| symbols.function_at(loaded, pc).is_some_and(|function| function.entry == pc);
            choose_goroutine(table.map(|table| table.goroutine), &samples, is_entry, &mut remarks)
        });
        let thread = places.allm.and_then(|place| {
            let first = loaded.word(place.address)?;
            choose_thread(loaded, first, table.map(|table| table.thread), &mut remarks)
        });
        let heap = locate_heap(&places, loaded.memory, expected.heap_minor);
        let wait_reasons = places.wait_reasons.map(|place| locate::wait_reasons(loaded, place));
        let wait_reasons = wait_reasons.unwrap_or_default().into_iter().map(Arc::from).collect();
        Found { places, goroutine, thread, heap, wait_reasons, remarks }
    }

    /// Number of required runtime structures that were not found or not recognised.
    pub fn missing(&self) -> usize {
        let places = [self.places.allgs, self.places.allm, self.places.controller, self.places.allspans];
        let doubted = self.remarks.iter().filter(|it| matches!(it, Remark::NotConfirmed { .. }));
        places.iter().filter(|place| place.is_none()).count()
            + usize::from(self.goroutine.is_none())
            + usize::from(self.thread.is_none())
            + usize::from(self.heap.is_err())
            + doubted.count()
    }

    /// What is less sure than it could be, and what cannot be read.
    pub fn remarks(&self, expected: &Expected) -> Vec<Remark> {
        let differs = expected.heap_minor.is_some()
            && self.heap.is_ok_and(|heap| heap.certainty() == Certainty::Calibrated);
        let of_heap = differs.then_some(Remark::Disagreement { structure: "gcController" });
        self.remarks.iter().cloned().chain(of_heap).collect()
    }
}

fn remarks(places: &Places, expected: &Expected) -> Vec<Remark> {
    let mut remarks = Vec::new();
    if expected.table.is_none() {
        remarks.push(Remark::UnknownVersion { version: expected.version.to_string() });
    }
    for (variable, place) in [
        ("allgs", places.allgs),
        ("allm", places.allm),
        ("gcController", places.controller),
        ("mheap", places.allspans),
        ("waitReasonStrings", places.wait_reasons),
    ] {
        match place {
            Some(place) if place.route == Route::Content => remarks.push(Remark::ByContentAlone { variable }),
            Some(_) => {}
            None => remarks.push(Remark::NotFound { variable }),
        }
    }
    remarks
}

/// Where the runtime keeps the books of its heap.
pub(in crate::golang) fn locate_heap(
    places: &Places,
    memory: &dyn Memory,
    minor: Option<Minor>,
) -> Result<Heap, HeapError> {
    let found = places.controller.zip(places.allspans);
    let (controller, spans) =
        found.ok_or(HeapError::Implausible { what: "gcController or mheap was not found" })?;
    Heap::locate(memory, controller.address, spans.address, minor.map(|minor| minor.0))
}

/// Pointer and length of a slice.
pub(in crate::golang) const LIST_HEADER_BYTES: usize = 16;

/// Where the addresses of goroutines stand, and how many.
pub(in crate::golang) struct GoroutineList {
    pub pointer: u64,
    pub length: u64,
}

/// Reads the header of `runtime.allgs` until two readings agree: pointer and length are not written at once.
pub(in crate::golang) fn goroutine_list(memory: &dyn Memory, address: u64) -> Option<GoroutineList> {
    let read = || {
        let mut header = [0; LIST_HEADER_BYTES];
        memory.read(address, &mut header).ok()?;
        Some((u64_at(&header, 0)?, u64_at(&header, 8)?))
    };
    let mut before = read()?;
    for _ in 0..8 {
        let after = read()?;
        if before == after {
            break;
        }
        before = after;
    }
    let (pointer, length) = before;
    (length <= MAX_GOROUTINES).then_some(GoroutineList { pointer, length })
}

/// Some goroutines, the main one first, the others spread over all.
fn sample_goroutines(loaded: &Loaded, address: u64) -> Vec<Sample> {
    let Some(list) = goroutine_list(loaded.memory, address) else { return Vec::new() };
    let step = list.length.div_ceil(MAX_SAMPLES as u64).max(1);
    let mut samples = Vec::new();
    let mut index = 0;
    while index < list.length {
        let mut bytes = vec![0; SAMPLE_BYTES];
        if let Some(goroutine) = loaded.word(list.pointer.wrapping_add(index * 8))
            && loaded.memory.read(goroutine, &mut bytes).is_ok()
        {
            samples.push(Sample { address: goroutine, bytes });
        }
        index += step;
    }
    samples
}

fn choose_goroutine(
    table: Option<GoroutineLayout>,
    samples: &[Sample],
    mut is_entry: impl FnMut(u64) -> bool,
    remarks: &mut Vec<Remark>,
) -> Option<GoroutineLayout> {
    let structure = "g";
    let Some(found) = calibrate::goroutine_layout(samples, &mut is_entry) else {
        if table.is_some_and(|table| !calibrate::fits_goroutines(samples, &table, is_entry)) {
            remarks.push(Remark::NotConfirmed { structure });
        }
        return table;
    };
    match table {
        Some(table) if GoroutineLayout { locked_m: None, ..table } == found => Some(table),
        Some(_) => {
            remarks.push(Remark::Disagreement { structure });
            Some(found)
        }
        None => Some(found),
    }
}

fn choose_thread(
    loaded: &Loaded,
    first: u64,
    table: Option<ThreadLayout>,
    remarks: &mut Vec<Remark>,
) -> Option<ThreadLayout> {
    let structure = "m";
    match table {
        Some(table) if calibrate::fits_threads(loaded, first, &table) => Some(table),
        Some(_) => {
            remarks.push(Remark::Disagreement { structure });
            calibrate::thread_layout(loaded, first)
        }
        None => calibrate::thread_layout(loaded, first),
    }
}

/// Something that makes what is read less sure, or that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// This version is newer, or older, than those whose layouts are known; offsets were found in the process.
    UnknownVersion {
        /// The version.
        version: String,
    },
    /// The table by version and what was found in the process differ; what was found is used.
    Disagreement {
        /// Of which structure.
        structure: &'static str,
    },
    /// The table by version does not fit what is in the process, and nothing that fits was found: it is used, and may
    /// be wrong.
    NotConfirmed {
        /// Of which structure.
        structure: &'static str,
    },
    /// A variable of the runtime was found by its content alone.
    ByContentAlone {
        /// Which one.
        variable: &'static str,
    },
    /// A variable of the runtime was not found: what depends on it cannot be read.
    NotFound {
        /// Which one.
        variable: &'static str,
    },
}
