//! What fuzz targets call: hostile bytes go in, nothing comes out. A panic, a hang or a swollen process is a finding.

use super::fixture::process::{
    BSS, DATA, EXTRA, FUNCTIONS, FakeGoroutine, FakeMemory, FakeProcess, TABLES, pc,
};
use super::runtime::{AttachOptions, Runtime};
use super::{Memory, ReadAt, Unreadable, graph};
use crate::golang::binary::image::Image;
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::symbols::{StackPc, Symbols};
use crate::golang::binary::{moduledata, prologue};
use crate::golang::goroutines::{labels, poll};
use crate::golang::heap::heap_reader::HeapReader;
use crate::golang::probes::{kernel_view, span_probes};
use crate::golang::runtime::layouts::{Layouts, Minor, known};
use crate::golang::runtime::locate::Routes;
use std::cell::{Cell, RefCell};

/// Bytes of one [`Edit`] in the input.
const EDIT_BYTES: usize = 12;

/// One thing that is not as the runtime would have it.
struct Edit {
    /// 0 is the executable, the rest are pieces of memory.
    piece: usize,
    /// After how many reads of memory it shows: the process runs while it is read.
    after: u32,
    /// Where, as a fraction of the piece in 65536ths.
    place: u16,
    /// A whole word, or only a byte of it.
    is_word: bool,
    value: u64,
}

impl Edit {
    fn parse(bytes: &[u8]) -> Option<Edit> {
        let [kind, after, place @ .., _, _, _, _, _, _, _, _] = bytes.first_chunk::<EDIT_BYTES>()?;
        Some(Edit {
            piece: usize::from(kind & 7),
            after: u32::from(*after) * 4,
            place: u16::from_le_bytes(*place),
            is_word: kind & 8 == 0,
            value: u64::from_le_bytes(*bytes.get(4..)?.first_chunk()?),
        })
    }

    fn apply(&self, bytes: &mut [u8]) {
        let mut at = usize::from(self.place) * bytes.len() / 65536;
        let value = self.value.to_le_bytes();
        let value = if self.is_word {
            at = at / 8 * 8;
            &value[..]
        } else {
            &value[..1]
        };
        if let Some(target) = bytes.get_mut(at..at + value.len()) {
            target.copy_from_slice(value);
        }
    }
}

/// Memory that changes while it is read.
struct Restless<'a> {
    memory: RefCell<FakeMemory>,
    edits: &'a [Edit],
    reads: Cell<u32>,
}

impl Memory for Restless<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let reads = self.reads.get();
        self.reads.set(reads.saturating_add(1));
        let mut memory = self.memory.borrow_mut();
        for edit in self.edits.iter().filter(|edit| edit.after == reads) {
            let piece = edit.piece.checked_sub(1).and_then(|piece| memory.pieces.get_mut(piece));
            if let Some((_, bytes)) = piece {
                edit.apply(bytes);
            }
        }
        memory.read(address, buffer)
    }
}

fn process(layouts: &Layouts, minor: u32) -> FakeProcess {
    let goexit = pc(0, 1);
    let stacks = [
        vec![pc(1, 60), pc(7, 100), pc(5, 50), goexit],
        vec![pc(1, 60), pc(6, 50), goexit],
        vec![pc(1, 60), pc(8, 200), pc(9, 20), goexit],
        vec![pc(1, 60), pc(10, 20), goexit],
        vec![pc(8, 20), goexit],
        vec![pc(8, 0), goexit],
    ];
    let goroutines: Vec<_> = (1..)
        .zip(stacks)
        .map(|(id, stack)| FakeGoroutine { id, status: 4, wait_reason: 3, start: 9, parent: id / 2, stack })
        .collect();
    let mut process = FakeProcess::new(&format!("go1.{minor}.1"), layouts, &goroutines);
    process.add_threads(layouts);
    process.add_heap(100, i64::MAX.cast_unsigned());
    process
}

/// Everything that is read of a process, whose executable and memory are changed by edits: the first byte of `input`
/// says which version and which routes, the rest is edits.
pub fn garbled_process(input: &[u8]) {
    let Some((options, edits)) = input.split_first() else { return };
    let minor = [19, 21, 22, 23, 24, 25, 26, 27][usize::from(options & 7)];
    let Some(layouts) = known(Minor(minor)) else { return };
    let edits: Vec<Edit> = edits.chunks_exact(EDIT_BYTES).filter_map(Edit::parse).collect();
    let FakeProcess { mut file, mut memory } = process(&layouts, minor);
    for edit in &edits {
        match edit.piece.checked_sub(1) {
            None => edit.apply(&mut file),
            Some(piece) if edit.after == 0 => {
                memory.pieces.get_mut(piece).into_iter().for_each(|(_, bytes)| edit.apply(bytes));
            }
            Some(_) => {}
        }
    }
    let memory = Restless { memory: RefCell::new(memory), edits: &edits, reads: Cell::new(0) };
    let routes =
        [Routes::Both, Routes::CodeOnly, Routes::ContentOnly, Routes::Both][usize::from(options >> 4 & 3)];
    read_all(
        &file,
        &memory,
        AttachOptions { hide_tables: options & 8 != 0, routes, ..AttachOptions::default() },
    );
}

/// Everything that is read of a process whose executable is `file`, while its memory is whole.
pub fn executable(file: &[u8]) {
    let Some(layouts) = known(Minor(26)) else { return };
    read_all(&file, &process(&layouts, 26).memory, AttachOptions::default());
}

/// The executable of the process, as a seed.
pub fn good_executable() -> Option<Vec<u8>> {
    Some(process(&known(Minor(26))?, 26).file)
}

fn read_all(file: &dyn ReadAt, memory: &dyn Memory, options: AttachOptions) {
    let Ok(mut runtime) = Runtime::attach(file, 0, memory, options) else { return };
    for _ in 0..2 {
        let _ = runtime.goroutines(file, memory);
        let _ = runtime.counters(memory);
        let _ = runtime.threads(file, memory);
    }
    let _ = runtime.kernel_view(file, memory);
    let _ = runtime.probe_points(file, &["runtime.allgadd", "main.worker"]);
    if let Ok(snapshot) = runtime.goroutines(file, memory) {
        let _ = poll::waiting(memory, &snapshot, |descriptor| descriptor > 0);
    }
    let heap = HeapReader::attach(&mut runtime, file, memory);
    if let Ok(spans) = heap.spans() {
        let _ = spans.view(memory);
        let _ = spans.listed(memory);
    }
    let _ = heap.counters(memory);
    if let Ok(census) = heap.census(memory) {
        let mappings = [DATA..DATA + 0x3000, BSS..BSS + 0x1000, EXTRA..EXTRA + 0x4000];
        let _ = heap.reached(memory, &census.ranges, &mappings);
    }
    // Whatever the spans are, as they are listed in a heap that is not made of bytes.
    let _ = heap.reached(memory, &[0xc0_0000_0000..0xc0_4000_0000], &[EXTRA..EXTRA + (64 << 20)]);
    if let Ok(profile) = heap.profile(memory) {
        let (symbols, loaded) = runtime.symbols(file, memory);
        for site in &profile.sites {
            let _ = profile.resolve(site, symbols, &loaded);
        }
    }
}

/// Looks up symbols in `tables`, which take the place of a pclntab that was good when it was found: one of Go 1.19
/// where they begin like one.
pub fn symbol_tables(tables: &[u8]) {
    let minor = if tables.first() == Some(&0xf0) { 19 } else { 26 };
    let Some(layouts) = known(Minor(minor)) else { return };
    let process = process(&layouts, minor);
    let Some(range) = tables_in(&process.file) else { return };
    let Ok(image) = Image::read(&process.file) else { return };
    let modules = moduledata::find(
        &Loaded { file: &process.file, image: &image, bias: 0, memory: &process.memory },
        None,
    );
    let mut file = process.file.clone();
    let length = tables.len().min(range.len());
    file[range.start..range.start + length].copy_from_slice(&tables[..length]);
    let loaded = Loaded { file: &file, image: &image, bias: 0, memory: &process.memory };
    let mut symbols = Symbols::new(&loaded, modules, Some(layouts.gofunc), &std::sync::Arc::default());
    for function in 0..=FUNCTIONS.len() {
        for offset in [0, 1, 64, 127, 128, 200, 255] {
            let pc = pc(function, offset);
            if let Some(function) = symbols.function_at(&loaded, pc) {
                let _ = symbols.stack_delta(&loaded, &function, pc);
                let _ = symbols.name(&loaded, &function);
                let _ = symbols.entry_frame(&loaded, function.entry);
            }
            for is_exact in [false, true] {
                let _ = symbols.expand(&loaded, &[StackPc { pc, is_exact }]);
            }
        }
    }
    let _ = symbols.functions_named(&loaded, &["runtime.allgadd", "main.worker"]);
}

/// Looks through machine code for what is wanted of the runtime's functions.
pub fn code(bytes: &[u8]) {
    const ADDRESS: u64 = 0x40_1000;
    let Some((callee, code)) = bytes.split_first_chunk::<8>() else { return };
    if let Some(begin) = prologue::frame_begin(code, ADDRESS) {
        assert!((ADDRESS..ADDRESS + code.len() as u64).contains(&begin.address));
    }
    // Slots that the loader filled hold anything.
    let slot = |address: u64| (address & 1 == 0).then_some(address.rotate_left(17));
    let _ = kernel_view::thread_local_offsets(code, ADDRESS, slot);
    let callee = u64::from_le_bytes(*callee);
    for address in [ADDRESS, u64::MAX - 64] {
        span_probes::look_through(code, address, callee);
    }
}

/// A good pclntab of this minor version of Go, as a seed.
pub fn good_symbol_tables(minor: u32) -> Option<Vec<u8>> {
    let file = process(&known(Minor(minor))?, minor).file;
    let range = tables_in(&file)?;
    file.get(range).map(<[u8]>::to_vec)
}

/// Where in the executable of the fixture its pclntab lies.
fn tables_in(file: &[u8]) -> Option<std::ops::Range<usize>> {
    let image = Image::read(file).ok()?;
    let segment = image.segments.iter().find(|segment| segment.address == TABLES)?;
    let start = usize::try_from(segment.file_offset).ok()?;
    Some(start..start + usize::try_from(segment.file_bytes).ok()?)
}

/// Reads labels at `address` of `memory`.
pub fn labels(memory: &dyn Memory, address: u64) {
    let file: &[u8] = &[];
    let Some(good) = good_executable() else { return };
    let Ok(image) = Image::read(&good) else { return };
    let _ = labels::read(&Loaded { file: &file, image: &image, bias: 0, memory }, address);
}

/// Types that the bytes behind the first describe; the first chooses the version.
pub fn types(bytes: &[u8]) {
    if let Some((minor, bytes)) = bytes.split_first() {
        graph::go_through(bytes, 18 + u32::from(*minor) % 11);
    }
}
