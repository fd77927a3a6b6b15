//! The Go runtime of one process: attached to once, read on every beat.

pub(crate) mod calibrate;
pub(crate) mod found;
pub mod layouts;
pub mod locate;
pub(in crate::golang) mod places;
pub mod sampling;

use super::bytes::{u32_at, u64_at};
use super::goroutines::{self, GoroutineSnapshot};
use super::heap::{Heap, HeapError};
use super::prefetched::{Prefetched, ReadAhead};
use super::{Memory, ReadAt, Unreadable, ranges};
use crate::golang::binary::buildinfo::{self, BuildInfoError};
use crate::golang::binary::image::{Image, ImageError, Machine};
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::moduledata;
use crate::golang::binary::program::Program;
use crate::golang::binary::prologue::{self, ProbePoint};
use crate::golang::binary::symbols::Symbols;
use crate::golang::goroutines::threads::{self, OsThread};
use crate::golang::graph::GraphError;
use crate::golang::graph::Ground;
use crate::golang::heap::spans::Spans;
use crate::golang::probes::kernel_view::{self, KernelView};
use crate::golang::runtime::found::{Expected, Found, Remark};
use crate::golang::runtime::layouts::Minor;
use crate::golang::runtime::locate::{Places, Routes};
use crate::observed::go_counters::GoCounters;
use crate::vocabulary::process::ProgramId;
use std::sync::Arc;

/// A heap that made no sense so often is not looked at again, unless all that is missing is.
const MAX_HEAP_ATTEMPTS: u32 = 8;
/// What is missing is looked for so often without a pause. Each further look waits until it has been asked for twice as
/// often as at the one before: what no look has found is seldom there.
const LOOKS_WITHOUT_PAUSE: u32 = 8;

/// Goroutines that are counted with one read.
const COUNTED_AT_ONCE: usize = 1024;
/// Structures of goroutines lie side by side, 400 to 500 bytes each.
const STATUS_GAP_BYTES: u64 = 1024;

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

/// The runtime of one process.
pub struct Runtime {
    image: Arc<Image>,
    bias: u64,
    is_library: bool,
    minor: Option<Minor>,
    symbols: Symbols,
    /// Where a table by version says that modules keep the base of their inline trees.
    gofunc_offset: Option<usize>,
    expected: Expected,
    found: Found,
    heap_attempts: u32,
    /// How often it was asked to look again for what is missing.
    looks: u32,
    /// Of which program it is the runtime; `None` where whoever attached did not say.
    program: Option<ProgramId>,
    /// Addresses of goroutines seen so far, sorted: `runtime.allgs` only ever grows.
    known: Vec<u64>,
    /// How many entries of `runtime.allgs` they stand for.
    listed: u64,
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
        let heap_minor = minor.filter(|_| table.is_some());
        let expected = Expected { version, table, heap_minor, routes: options.routes };
        let found = Found::find(&loaded, &mut symbols, &expected);
        symbols.forget_pages();
        Ok(Runtime {
            image,
            bias,
            is_library: options.is_library,
            minor,
            symbols,
            gofunc_offset,
            expected,
            found,
            heap_attempts: 1,
            looks: 0,
            program: None,
            known: Vec::new(),
            listed: 0,
        })
    }

    /// The version of Go it was built by.
    pub fn version(&self) -> &str {
        &self.expected.version
    }

    /// The version as layouts are told apart by.
    pub fn minor(&self) -> Option<Minor> {
        self.minor
    }

    /// Notes of which program it is the runtime, as it was before it was attached to.
    pub fn belongs_to(&mut self, program: ProgramId) {
        self.program = Some(program);
    }

    /// Of which program it is the runtime; `None` where that was not noted.
    pub fn program(&self) -> Option<ProgramId> {
        self.program
    }

    /// Where the code of a library lies that was attached to; `None` for an executable.
    pub fn library_code(&self) -> Option<u64> {
        let text = self.symbols.modules().next().map(|module| module.text.start);
        text.filter(|_| self.is_library)
    }

    /// What is less sure than it could be, and what cannot be read.
    pub fn remarks(&self) -> Vec<Remark> {
        self.found.remarks(&self.expected)
    }

    /// Whether anything is missing that every runtime has once it has begun to run, or nothing is as it should be: it
    /// may just be starting, and is worth another look.
    pub fn lacks_something(&self) -> bool {
        self.found.missing() > 0
    }

    /// Whether goroutines that are locked to a thread can be told from others.
    pub fn tells_locks(&self) -> bool {
        self.found.goroutine.is_some_and(|layout| layout.locked_m.is_some())
    }

    /// Whether neither its goroutines nor its heap can be read.
    pub fn is_blind(&self) -> bool {
        (self.found.places.allgs.is_none() || self.found.goroutine.is_none()) && self.found.heap.is_err()
    }

    /// Looks again for what was not found before, the memory profile included, of which there is none before a first
    /// allocation was sampled. Asked for too often, it does nothing at ever more of the times.
    pub fn look_again(&mut self, file: &dyn ReadAt, memory: &dyn Memory) {
        if !self.lacks_something() && self.found.places.mbuckets.is_some() {
            return;
        }
        self.looks = self.looks.saturating_add(1);
        if self.looks > LOOKS_WITHOUT_PAUSE && !self.looks.is_power_of_two() {
            return;
        }
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        let found = Found::find(&loaded, &mut self.symbols, &self.expected);
        self.symbols.forget_pages();
        // What cannot be read any more leaves what is known as it is.
        if found.missing() > self.found.missing() {
            return;
        }
        if found.places.allgs != self.found.places.allgs {
            self.known.clear();
            self.listed = 0;
        }
        self.found = found;
    }

    /// Where the runtime's variables lie.
    pub fn places(&self) -> &Places {
        &self.found.places
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
        let (goroutine, thread) = (self.found.goroutine?, self.found.thread?);
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
        let layout = self.found.goroutine.ok_or(GoroutineError::NotLocated)?;
        self.learn_goroutines(memory)?;
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        self.symbols.learn_plugins(&loaded, self.gofunc_offset);
        Ok(goroutines::read(&loaded, &mut self.symbols, &layout, &self.found.wait_reasons, &self.known))
    }

    /// What graphs of its heap are made from.
    ///
    /// # Errors
    /// Where a part of it was not found, or its version lays out its heap as nothing that is known.
    pub fn ground<'a>(
        &'a mut self,
        file: &'a dyn ReadAt,
        memory: &'a dyn Memory,
    ) -> Result<Ground<'a>, GraphError> {
        let known = self.minor.map(|minor| minor.0).filter(|minor| Ground::supports(*minor));
        let other = || GraphError::OtherVersion { version: self.expected.version.to_string() };
        let minor = known.ok_or_else(other)?;
        let heap = self.heap(memory)?;
        let spans = Spans::locate(memory, heap, Some(minor))?;
        let layout = self.found.goroutine.ok_or(GraphError::NoGoroutines)?;
        let all_goroutines = self.found.places.allgs.ok_or(GraphError::NoGoroutines)?.address;
        let all_spans = heap.sweep_generation_address().wrapping_add(8);
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        self.symbols.learn_plugins(&loaded, self.gofunc_offset);
        Ok(Ground {
            loaded,
            symbols: &mut self.symbols,
            minor,
            layout,
            all_goroutines,
            all_spans,
            wait_reasons: &self.found.wait_reasons,
            heap,
            spans,
        })
    }

    /// Reads every thread; `None` where they could not be located.
    pub fn threads(&self, file: &dyn ReadAt, memory: &dyn Memory) -> Option<Vec<OsThread>> {
        let loaded = Loaded { file, image: &self.image, bias: self.bias, memory };
        let first = loaded.word(self.found.places.allm?.address)?;
        Some(threads::read(&loaded, first, self.found.thread.as_ref()?))
    }

    /// Reads the cheap numbers, as a rule in one call.
    pub fn counters(&mut self, memory: &dyn Memory) -> GoCounters {
        let ahead = ReadAhead::read(memory, self.foreseen());
        self.counters_read(memory, ahead)
    }

    /// The same where what is foreseen has been read already.
    pub fn counters_read(&mut self, memory: &dyn Memory, ahead: ReadAhead) -> GoCounters {
        let memory = &Prefetched::new(memory, ahead);
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
        if self.found.heap.is_err() && self.heap_attempts < MAX_HEAP_ATTEMPTS {
            self.heap_attempts += 1;
            self.found.heap = found::locate_heap(&self.found.places, memory, self.expected.heap_minor);
        }
        self.found.heap
    }

    /// What the cheap numbers are read from (address, bytes), unless something has changed.
    pub fn foreseen(&self) -> Vec<(u64, usize)> {
        let list = self.found.places.allgs.map(|place| (place.address, found::LIST_HEADER_BYTES));
        let mut foreseen: Vec<(u64, usize)> = list.into_iter().collect();
        foreseen.extend(self.found.heap.iter().flat_map(Heap::ranges));
        // The list is read until two readings agree.
        foreseen.extend(list);
        if let Some(layout) = self.found.goroutine.filter(|_| self.known.len() <= COUNTED_AT_ONCE) {
            let mut ranges = Vec::new();
            ranges::merge(status_ranges(&self.known, layout.status()), STATUS_GAP_BYTES, &mut ranges);
            foreseen.extend(ranges);
        }
        foreseen
    }

    /// Counts goroutines by status alone; `None` where they cannot be read.
    fn count_goroutines(&mut self, memory: &dyn Memory) -> Option<u64> {
        const SCAN_BIT: u32 = 0x1000;
        let layout = self.found.goroutine?;
        self.learn_goroutines(memory).ok()?;
        let (mut ranges, mut buffer, mut readable) = (Vec::new(), Vec::new(), Vec::new());
        let (mut live, mut any_readable) = (0, false);
        for chunk in self.known.chunks(COUNTED_AT_ONCE) {
            let wanted = status_ranges(chunk, layout.status());
            let places = ranges::merge(wanted, STATUS_GAP_BYTES, &mut ranges);
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
        let place = self.found.places.allgs.ok_or(GoroutineError::NotLocated)?;
        let list = found::goroutine_list(memory, place.address).ok_or(GoroutineError::Unreadable)?;
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

/// Where the status of each of these goroutines stands.
fn status_ranges(goroutines: &[u64], offset: usize) -> impl Iterator<Item = (u64, usize)> {
    goroutines.iter().map(move |address| (address.wrapping_add(offset as u64), 4))
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

/// For what stands in the executable's file: the memory of its process is not looked at.
struct FileOnly;

impl Memory for FileOnly {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        Err(Unreadable { address, length: buffer.len() })
    }
}
