//! The Go runtime of one process: attached to once, read on every beat.

use super::buildinfo::{self, BuildInfoError};
use super::bytes::{u32_at, u64_at};
use super::calibrate::{self, SAMPLE_BYTES, Sample};
use super::goroutines::{self, GoroutineSnapshot};
use super::heap::{Certainty, Heap, HeapError};
use super::image::{Image, ImageError, Machine};
use super::kernel_view::{self, KernelView};
use super::layouts::{self, GoroutineLayout, Minor, ThreadLayout};
use super::loaded::Loaded;
use super::locate::{self, Places, Route, Routes};
use super::moduledata;
use super::program::Program;
use super::prologue::{self, ProbePoint};
use super::ranges;
use super::symbols::Symbols;
use super::threads::{self, OsThread};
use super::{Memory, ReadAt, Unreadable};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub use super::heap::HeapCounters;

/// Goroutines that calibration looks at.
const MAX_SAMPLES: usize = 256;
/// Bounds what is read of a list whose length is nonsense; the structures alone would fill gigabytes.
const MAX_GOROUTINES: u64 = 4 << 20;
/// A heap that made no sense so often is not looked at again.
const MAX_HEAP_ATTEMPTS: u32 = 8;

/// How to attach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Do not use the tables of layouts, as for a version of Go that is not out yet.
    pub hide_tables: bool,
    /// By which routes variables may be found.
    pub routes: Routes,
    /// What is attached to is a shared library in a program of another language.
    pub is_library: bool,
}

/// Why a process could not be attached to.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The headers of its executable could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its build information could not be read.
    #[error(transparent)]
    BuildInfo(#[from] BuildInfoError),
    /// Its executable is none of Go's.
    #[error("not a Go program")]
    NotGo,
    /// It was built for another kind of processor.
    #[error("Go runtimes on this kind of processor are not read: {machine:?}")]
    OtherMachine {
        /// Which kind.
        machine: Machine,
    },
    /// Its runtime is older than Go 1.18, was changed beyond recognition, or its memory may not be read.
    #[error("no runtime of Go 1.18 or newer found in its memory ({version})")]
    NoRuntime {
        /// The version in its build information.
        version: String,
    },
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

/// The runtime of one process.
pub struct Runtime {
    image: Arc<Image>,
    bias: u64,
    is_library: bool,
    version: Arc<str>,
    minor: Option<Minor>,
    symbols: Symbols,
    /// Where a table by version says that modules keep the base of their inline trees.
    gofunc_offset: Option<usize>,
    places: Places,
    goroutine: Option<GoroutineLayout>,
    thread: Option<ThreadLayout>,
    heap: Result<Heap, HeapError>,
    /// By whose table the heap is looked for.
    heap_minor: Option<Minor>,
    heap_attempts: u32,
    wait_reasons: Vec<Arc<str>>,
    remarks: Vec<Remark>,
    /// Addresses of goroutines seen so far, sorted: `runtime.allgs` only ever grows.
    known: Vec<u64>,
    /// How many entries of `runtime.allgs` they stand for.
    listed: u64,
}

/// The cheap numbers: a few hundred bytes of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoCounters {
    /// Goroutines that live, the runtime's own included.
    pub goroutines: Option<u64>,
    /// Numbers of the garbage collector.
    pub heap: Option<HeapCounters>,
    /// Garbage collections that began sweeping.
    pub gc_cycles: Option<u64>,
}

/// Goroutines could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoroutineError {
    /// Where they are listed, or how they are laid out, could not be found out when the runtime was attached to.
    #[error("the runtime's list of goroutines was not found")]
    NotLocated,
    /// The list could not be read: the process is gone, or no longer allows it.
    #[error("the runtime's list of goroutines cannot be read")]
    Unreadable,
}

impl Runtime {
    /// Finds the runtime in the memory of a process.
    ///
    /// `entry_address` is where the kernel put the executable's entry point (`AT_ENTRY`).
    ///
    /// # Errors
    /// See [`AttachError`]. What is found in part is no error: see [`Runtime::remarks`].
    pub fn attach(
        file: &dyn ReadAt,
        entry_address: u64,
        memory: &dyn Memory,
        options: AttachOptions,
    ) -> Result<Runtime, AttachError> {
        Runtime::attach_another(&Arc::default(), file, entry_address, memory, options)
    }

    /// The same for one of several processes of the same executable: what follows from its `file` alone is found out
    /// once, and kept for as long as anybody keeps `program` or a runtime that was attached to with it.
    ///
    /// # Errors
    /// As [`Runtime::attach`].
    pub fn attach_another(
        program: &Arc<Program>,
        file: &dyn ReadAt,
        entry_address: u64,
        memory: &dyn Memory,
        options: AttachOptions,
    ) -> Result<Runtime, AttachError> {
        let (image, version) = read_head(program, file)?;
        let bias = entry_address.wrapping_sub(image.entry);
        let minor = Minor::parse(&version);
        let table = minor.and_then(layouts::known).filter(|_| !options.hide_tables);

        let loaded = Loaded { file, image: &image, bias, memory };
        let known = program.facts().tables.as_ref().map(|tables| tables.module.address.wrapping_add(bias));
        let modules = moduledata::find(&loaded, known);
        if modules.is_empty() {
            return Err(AttachError::NoRuntime { version: version.to_string() });
        }
        let gofunc_offset = table.map(|table| table.gofunc);
        let mut symbols = Symbols::new(&loaded, modules, gofunc_offset, program);
        let places = Places::find(&loaded, &mut symbols, options.routes);
        let mut remarks = Vec::new();
        if table.is_none() {
            remarks.push(Remark::UnknownVersion { version: version.to_string() });
        }
        for (variable, place) in [
            ("allgs", places.allgs),
            ("allm", places.allm),
            ("gcController", places.controller),
            ("mheap", places.allspans),
            ("waitReasonStrings", places.wait_reasons),
        ] {
            match place {
                Some(place) if place.route == Route::Content => {
                    remarks.push(Remark::ByContentAlone { variable });
                }
                Some(_) => {}
                None => remarks.push(Remark::NotFound { variable }),
            }
        }
        let goroutine = places.allgs.and_then(|place| {
            let samples = sample_goroutines(&loaded, place.address);
            let is_entry = |pc| symbols.function_at(&loaded, pc).is_some_and(|function| function.entry == pc);
            choose_goroutine(table.map(|table| table.goroutine), &samples, is_entry, &mut remarks)
        });
        let thread = places.allm.and_then(|place| {
            let first = loaded.word(place.address)?;
            choose_thread(&loaded, first, table.map(|table| table.thread), &mut remarks)
        });
        let heap_minor = minor.filter(|_| table.is_some());
        let heap = locate_heap(&places, memory, heap_minor);
        if table.is_some() && heap.is_ok_and(|heap| heap.certainty() == Certainty::Calibrated) {
            remarks.push(Remark::Disagreement { structure: "gcController" });
        }
        let wait_reasons = places.wait_reasons.map(|place| locate::wait_reasons(&loaded, place));
        let wait_reasons = wait_reasons.unwrap_or_default().into_iter().map(Arc::from).collect();
        symbols.forget_pages();
        Ok(Runtime {
            image,
            bias,
            is_library: options.is_library,
            version,
            minor,
            symbols,
            gofunc_offset,
            places,
            goroutine,
            thread,
            heap,
            heap_minor,
            heap_attempts: 1,
            wait_reasons,
            remarks,
            known: Vec::new(),
            listed: 0,
        })
    }

    /// The version of Go it was built by.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The version as layouts are told apart by.
    pub fn minor(&self) -> Option<Minor> {
        self.minor
    }

    /// Where the code of a library lies that was attached to; `None` for an executable.
    pub fn library_code(&self) -> Option<u64> {
        let text = self.symbols.modules().next().map(|module| module.text.start);
        text.filter(|_| self.is_library)
    }

    /// What is less sure than it could be, and what cannot be read.
    pub fn remarks(&self) -> &[Remark] {
        &self.remarks
    }

    /// Where the runtime's variables lie.
    pub fn places(&self) -> &Places {
        &self.places
    }

    /// The symbols of the program and of the plugins that it has loaded by now, with a view of it through `file` and
    /// `memory` to use them with.
    pub fn symbols<'a>(
        &'a mut self,
        file: &'a dyn ReadAt,
        memory: &'a dyn Memory,
    ) -> (&'a mut Symbols, Loaded<'a>) {
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        self.symbols.learn_plugins(&loaded, self.gofunc_offset);
        (&mut self.symbols, loaded)
    }

    /// Where probes on these functions are best put, in the order of `names` (as the linker names them); `None` for
    /// each that the program does not have, or that makes no frame. They are looked up in one pass over all names.
    pub fn probe_points(&mut self, file: &dyn ReadAt, names: &[&str]) -> Vec<Option<ProbePoint>> {
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory: &FileOnly };
        let functions = self.symbols.functions_named(&loaded, names);
        let points = functions.into_iter().map(|function| {
            let function = function?;
            let length = usize::try_from(function.end.checked_sub(function.entry)?).ok()?;
            let mut code = vec![0; length.min(prologue::MAX_BYTES)];
            let filled = loaded.read_static(function.entry, &mut code)?;
            let begin = prologue::frame_begin(&code[..filled], function.entry)?;
            let address = begin.address.wrapping_sub(loaded.bias);
            let (file_offset, _) = loaded.image.file_range(address)?;
            Some(ProbePoint { address, file_offset, is_push: begin.is_push })
        });
        let points = points.collect();
        self.symbols.forget_pages();
        points
    }

    /// The push of the frame pointer in the prologue of one function; `None` where there is none, as always before Go
    /// 1.21. See [`Runtime::probe_points`].
    pub fn push_of(&mut self, file: &dyn ReadAt, name: &str) -> Option<ProbePoint> {
        self.probe_points(file, &[name]).into_iter().flatten().find(|point| point.is_push)
    }

    /// What a kernel program needs to get from a thread to its goroutine; `None` where that could not be made out.
    pub fn kernel_view(&mut self, file: &dyn ReadAt, memory: &dyn Memory) -> Option<KernelView> {
        let (goroutine, thread) = (self.goroutine?, self.thread?);
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        let view = kernel_view::view(&loaded, &mut self.symbols, &goroutine, &thread);
        self.symbols.forget_pages();
        view
    }

    /// Reads every goroutine.
    ///
    /// # Errors
    /// Where there is nothing to read them from.
    pub fn goroutines(
        &mut self,
        file: &dyn ReadAt,
        memory: &dyn Memory,
    ) -> Result<GoroutineSnapshot, GoroutineError> {
        let layout = self.goroutine.ok_or(GoroutineError::NotLocated)?;
        self.learn_goroutines(memory)?;
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        self.symbols.learn_plugins(&loaded, self.gofunc_offset);
        Ok(goroutines::read(&loaded, &mut self.symbols, &layout, &self.wait_reasons, &self.known))
    }

    /// Reads every thread; `None` where they could not be located.
    pub fn threads(&self, file: &dyn ReadAt, memory: &dyn Memory) -> Option<Vec<OsThread>> {
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        let first = loaded.word(self.places.allm?.address)?;
        Some(threads::read(&loaded, first, self.thread.as_ref()?))
    }

    /// Reads the cheap numbers.
    pub fn counters(&mut self, memory: &dyn Memory) -> GoCounters {
        let heap = self.heap(memory).and_then(|heap| heap.counters(memory)).ok();
        let gc_cycles = heap.map(|heap| heap.gc_cycles.into());
        GoCounters { goroutines: self.count_goroutines(memory), heap, gc_cycles }
    }

    /// Where the runtime keeps the books of its heap, or why that could not be told.
    ///
    /// # Errors
    /// See [`HeapError`].
    pub fn heap(&mut self, memory: &dyn Memory) -> Result<Heap, HeapError> {
        // Whoever had not set up its heap yet, or changed it all the time, may be done.
        if self.heap.is_err() && self.heap_attempts < MAX_HEAP_ATTEMPTS {
            self.heap_attempts += 1;
            self.heap = locate_heap(&self.places, memory, self.heap_minor);
        }
        self.heap
    }

    /// Counts goroutines by status alone; `None` where they cannot be read.
    fn count_goroutines(&mut self, memory: &dyn Memory) -> Option<u64> {
        const SCAN_BIT: u32 = 0x1000;
        const CHUNK: usize = 1024;
        /// Structures of goroutines lie side by side, 400 to 500 bytes each.
        const GAP_BYTES: u64 = 1024;
        let layout = self.goroutine?;
        self.learn_goroutines(memory).ok()?;
        let (mut ranges, mut buffer, mut readable) = (Vec::new(), Vec::new(), Vec::new());
        let (mut live, mut any_readable) = (0, false);
        for chunk in self.known.chunks(CHUNK) {
            let wanted = chunk.iter().map(|address| (address.wrapping_add(layout.status() as u64), 4));
            let places = ranges::merge(wanted, GAP_BYTES, &mut ranges);
            buffer.resize(ranges.iter().map(|(_, length)| length).sum(), 0);
            memory.read_many(&ranges, &mut buffer, &mut readable);
            for place in places.iter().filter(|place| readable.get(place.range) == Some(&true)) {
                any_readable = true;
                let status = u32_at(&buffer, place.offset).unwrap_or(0) & !SCAN_BIT;
                live += u64::from(!matches!(status, 0 | 5 | 6 | 7 | 11));
            }
        }
        any_readable.then_some(live)
    }

    /// Brings the known addresses of goroutines up to date.
    fn learn_goroutines(&mut self, memory: &dyn Memory) -> Result<(), GoroutineError> {
        let place = self.places.allgs.ok_or(GoroutineError::NotLocated)?;
        let list = goroutine_list(memory, place.address).ok_or(GoroutineError::Unreadable)?;
        let known = self.listed;
        if let Some(new) = list.length.checked_sub(known).filter(|new| *new > 0) {
            let mut buffer = vec![0; usize::try_from(new * 8).map_err(|_| GoroutineError::Unreadable)?];
            memory
                .read(list.pointer.wrapping_add(known * 8), &mut buffer)
                .map_err(|_| GoroutineError::Unreadable)?;
            // A slot that is appended at this moment may still be empty; then it, and all behind it, wait.
            let addresses = buffer.chunks_exact(8).map_while(|bytes| u64_at(bytes, 0).filter(|a| *a != 0));
            let before = self.known.len();
            self.known.extend(addresses);
            self.listed += (self.known.len() - before) as u64;
            // Sorted, so that what lies side by side is read together.
            self.known.sort_unstable();
            self.known.dedup();
        }
        Ok(())
    }
}

/// The headers of an executable, and its version of Go.
fn read_head(program: &Program, file: &dyn ReadAt) -> Result<(Arc<Image>, Arc<str>), AttachError> {
    if let Some(head) = program.facts().head.clone() {
        return Ok(head);
    }
    let image = Image::read(file)?;
    if image.machine != Machine::X86_64 {
        return Err(AttachError::OtherMachine { machine: image.machine });
    }
    let build = buildinfo::read_image(file, &image)?.ok_or(AttachError::NotGo)?;
    let head: (Arc<Image>, Arc<str>) = (Arc::new(image), build.version.into());
    program.facts().head = Some(head.clone());
    Ok(head)
}

fn locate_heap(places: &Places, memory: &dyn Memory, minor: Option<Minor>) -> Result<Heap, HeapError> {
    let found = places.controller.zip(places.allspans);
    let (controller, spans) =
        found.ok_or(HeapError::Implausible { what: "gcController or mheap was not found" })?;
    Heap::locate(memory, controller.address, spans.address, minor.map(|minor| minor.0))
}

/// For what stands in the executable's file: the memory of its process is not looked at.
struct FileOnly;

impl Memory for FileOnly {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        Err(Unreadable { address, length: buffer.len() })
    }
}

struct GoroutineList {
    pointer: u64,
    length: u64,
}

/// Reads the header of `runtime.allgs` until two readings agree: pointer and length are not written at once.
fn goroutine_list(memory: &dyn Memory, address: u64) -> Option<GoroutineList> {
    let read = || {
        let mut header = [0; 16];
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
