//! Finds the runtime's global variables in a live process.
//!
//! Stripped programs have no names for variables, but all have names for functions (the pclntab). So the first
//! route reads the code of a function that is known to use a variable and takes every address of a variable that
//! could be meant in it; the second route goes through the variables themselves. Whatever a route proposes counts
//! only if the content there is what the variable must hold: a coincidence in code bytes cannot pass for it.

pub use super::places::{Place, Places, Route};

use super::layouts::GoroutineLayout;
use super::places::Variable;
use crate::golang::binary::loaded::Loaded;
use crate::golang::binary::moduledata::Module;
use crate::golang::binary::symbols::Symbols;
use crate::golang::bytes::{u32_at, u64_at};
use crate::golang::metered::{Allowance, Metered};
use std::collections::HashSet;
use std::ops::Range;

/// Code of the functions that are looked through; they have a few hundred bytes to a few KiB.
const MAX_CODE_BYTES: u64 = 64 * 1024;
/// Variables that are looked through where code did not help.
const MAX_SCANNED_BYTES: u64 = 16 * 1024 * 1024;
const MAX_SLICE_LENGTH: u64 = 1 << 27;
/// For one variable. A program of 300 MB takes some ten thousand calls where its code tells, and some hundred thousand
/// where each word of its variables has to be followed.
const PER_VARIABLE: Allowance = Allowance { bytes: 512 << 20, calls: 1 << 19 };
/// Threads by which lists of them are compared; what is found is read whole later.
const MAX_COMPARED_THREADS: usize = 1024;
const MAX_THREADS: usize = 100_000;

/// Which routes may be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Routes {
    /// Code first, content where that fails.
    #[default]
    Both,
    /// Code only.
    CodeOnly,
    /// Content only.
    ContentOnly,
}

impl Places {
    /// Finds what can be found.
    pub fn find(loaded: &Loaded, symbols: &mut Symbols, routes: Routes) -> Places {
        let Some(module) = symbols.modules().next().cloned() else { return Places::default() };
        // Where another process of the executable has a variable by its code, this one has it too.
        let known = match routes {
            Routes::Both => symbols.program().facts().places,
            Routes::CodeOnly | Routes::ContentOnly => Places::default(),
        };
        let finder = Finder { loaded, code: &[], module: &module, routes };
        let guess = |place: Option<Place>, variable| {
            let place = place.filter(|place| place.route == Route::Code)?;
            let place = Place { address: place.address.wrapping_add(loaded.bias), ..place };
            finder.accepts(variable, place.address).then_some(place)
        };
        let guessed = known.map(guess);
        if guessed.all_found() {
            return guessed;
        }
        let code = code_references(loaded, symbols, &module);
        let search = |variable| {
            let metered = Metered::new(loaded, PER_VARIABLE);
            Finder { loaded: &metered.loaded(), code: &code, module: &module, routes }.place(variable)
        };
        let found = guessed.map(|place, variable| place.or_else(|| search(variable)));
        symbols.program().facts().places = found.map(|place, _| {
            place.map(|place| Place { address: place.address.wrapping_sub(loaded.bias), ..place })
        });
        found
    }
}

/// Functions that use the variables (`runtime/proc.go`, `mgc.go`, `malloc.go`, `mheap.go`, `mprof.go`,
/// `runtime2.go`). Not every version has all of them, and the compiler inlines some.
const USERS: &[(&str, Variable)] = &[
    ("runtime.allgadd", Variable::Allgs),
    ("runtime.mcommoninit", Variable::Allm),
    ("runtime.checkdead", Variable::Allm),
    ("runtime.schedinit", Variable::Controller),
    ("runtime.gcStart", Variable::Controller),
    ("runtime.gcMarkTermination", Variable::Controller),
    ("runtime.mallocinit", Variable::Allspans),
    ("runtime.gcSweep", Variable::Allspans),
    ("runtime.(*mcache).refill", Variable::Allspans),
    ("runtime.stkbucket", Variable::Mbuckets),
    ("runtime.mProf_FlushLocked", Variable::Mbuckets),
    ("runtime.waitReason.String", Variable::WaitReasons),
    ("runtime.goroutineheader", Variable::WaitReasons),
];

/// Addresses of variables that may be meant in the code of each of [`USERS`], those of the first users first.
fn code_references(loaded: &Loaded, symbols: &mut Symbols, module: &Module) -> Vec<(Variable, u64)> {
    let names: Vec<&str> = USERS.iter().map(|(name, _)| *name).collect();
    let functions = symbols.functions_named(loaded, &names);
    let mut references = Vec::new();
    for (function, (_, variable)) in functions.into_iter().zip(USERS) {
        let Some(function) = function else { continue };
        let length = (function.end - function.entry).min(MAX_CODE_BYTES);
        let mut code = vec![0; usize::try_from(length).unwrap_or(0)];
        let Some(filled) = loaded.read_static(function.entry, &mut code) else { continue };
        references.extend(
            rip_relative(&code[..filled], function.entry)
                .filter(|address| module.holds_variable(*address))
                .map(|address| (*variable, address)),
        );
    }
    let mut seen = HashSet::new();
    references.retain(|reference| seen.insert(*reference));
    references
}

/// Every address that some four bytes of x86-64 code could mean relative to the instruction's end, for instructions
/// that end with those four bytes. To take more than are meant costs a check each; to miss none needs no disassembler.
fn rip_relative(code: &[u8], address: u64) -> impl Iterator<Item = u64> {
    code.windows(4).enumerate().filter_map(move |(offset, bytes)| {
        let displacement = i32::from_le_bytes(bytes.try_into().ok()?);
        Some(address.wrapping_add(offset as u64 + 4).wrapping_add_signed(displacement.into()))
    })
}

struct Finder<'a> {
    loaded: &'a Loaded<'a>,
    module: &'a Module,
    code: &'a [(Variable, u64)],
    routes: Routes,
}

impl Finder<'_> {
    fn place(&self, variable: Variable) -> Option<Place> {
        let by_code = || self.by_code(variable).map(|address| Place { address, route: Route::Code });
        let by_content = || self.by_content(variable).map(|address| Place { address, route: Route::Content });
        match self.routes {
            Routes::Both => by_code().or_else(by_content),
            Routes::CodeOnly => by_code(),
            Routes::ContentOnly => by_content(),
        }
    }

    fn by_code(&self, variable: Variable) -> Option<u64> {
        let candidates = self.code.iter().filter(|(used, _)| *used == variable).map(|(_, address)| *address);
        match variable {
            // The heap is meant as a whole, or one of its fields; `allspans` lies at this distance from its begin
            // (1.19 to 1.27).
            Variable::Allspans => candidates
                .flat_map(|address| {
                    [0, 8, 65_824, 65_856, 65_864].map(|distance| address.wrapping_add(distance))
                })
                .find(|address| self.accepts(variable, *address)),
            // The list with the most threads is the list of all threads. Others begin with the same thread at times;
            // what `mcommoninit` uses, which adds to the list, comes before what its readers do.
            Variable::Allm => candidates
                .rev()
                .filter_map(|address| Some((self.threads_at(address)?, address)))
                .max_by_key(|(threads, _)| *threads)
                .map(|(_, address)| address),
            _ => candidates.into_iter().find(|address| self.accepts(variable, *address)),
        }
    }

    fn by_content(&self, variable: Variable) -> Option<u64> {
        let module = self.module;
        let areas: &[&Range<u64>] = match variable {
            Variable::Allgs | Variable::Allspans | Variable::Mbuckets => &[&module.bss, &module.noptrbss],
            Variable::Allm => &[&module.bss, &module.data],
            Variable::Controller => &[&module.noptrbss, &module.bss, &module.noptrdata, &module.data],
            Variable::WaitReasons => &[&module.data, &module.noptrdata],
        };
        let mut best: Option<(usize, u64)> = None;
        for area in areas {
            let found =
                self.loaded.scan((*area).clone(), WINDOW_BYTES, MAX_SCANNED_BYTES, |address, bytes| {
                    if !is_promising(variable, bytes) {
                        return None;
                    }
                    if variable != Variable::Allm {
                        return self.accepts(variable, address).then_some(address);
                    }
                    let length = self.threads_at(address)?;
                    if best.is_none_or(|(most, _)| length > most) {
                        best = Some((length, address));
                    }
                    None
                });
            if found.is_some() {
                return found;
            }
        }
        best.map(|(_, address)| address)
    }

    /// How many threads are listed from what could be `allm` on; `None` where it cannot be.
    fn threads_at(&self, address: u64) -> Option<usize> {
        if !address.is_multiple_of(8) {
            return None;
        }
        let list = longest_thread_list(self.loaded, self.loaded.word(address)?)?;
        let is_list = list.threads.len() >= 2 && !is_idle_threads(self.loaded, address);
        is_list.then_some(list.threads.len())
    }

    /// Whether `address` holds what the variable must hold.
    fn accepts(&self, variable: Variable, address: u64) -> bool {
        let loaded = self.loaded;
        address.is_multiple_of(8)
            && match variable {
                Variable::Allgs => is_allgs(loaded, address),
                Variable::Allm => Some(self.threads_at(address).is_some()),
                Variable::Controller => is_controller(loaded, address),
                Variable::Allspans => is_allspans(loaded, address),
                Variable::Mbuckets => is_mbuckets(loaded, address, &self.module.text),
                Variable::WaitReasons => is_wait_reasons(loaded, address),
            }
            .unwrap_or(false)
    }
}

/// Bytes that [`is_promising`] needs.
const WINDOW_BYTES: usize = 32;

/// A test of the bytes at hand, before anything they point to is read.
fn is_promising(variable: Variable, bytes: &[u8]) -> bool {
    let word = |index: usize| u64_at(bytes, index * 8).unwrap_or(0);
    match variable {
        Variable::Allgs | Variable::Allspans => is_slice(word(0), word(1), word(2)),
        Variable::Allm | Variable::Mbuckets => is_pointer(word(0)),
        Variable::Controller => is_controller_head(bytes),
        Variable::WaitReasons => word(1) == 0 && word(3) == FIRST_WAIT_REASON.len() as u64,
    }
}

fn is_pointer(word: u64) -> bool {
    word >= 4096 && word.is_multiple_of(8) && word < 1 << 47
}

fn is_slice(pointer: u64, length: u64, capacity: u64) -> bool {
    is_pointer(pointer) && length > 0 && length <= capacity && capacity <= MAX_SLICE_LENGTH
}

fn words<const N: usize>(loaded: &Loaded, address: u64) -> Option<[u64; N]> {
    let mut buffer = vec![0; N * 8];
    loaded.memory.read(address, &mut buffer).ok()?;
    let mut words = [0; N];
    for (index, word) in words.iter_mut().enumerate() {
        *word = u64_at(&buffer, index * 8)?;
    }
    Some(words)
}

/// `allgs []*g`: its first element is the main goroutine, which has the id 1 and, like all goroutines, points back to
/// itself in `sched.g`.
fn is_allgs(loaded: &Loaded, address: u64) -> Option<bool> {
    let [pointer, length, capacity] = words(loaded, address)?;
    if !is_slice(pointer, length, capacity) {
        return Some(false);
    }
    let main = loaded.word(pointer)?;
    if !is_pointer(main) || !is_goroutine(loaded, main)? {
        return Some(false);
    }
    let fields: [u64; 25] = words(loaded, main)?;
    let points_to_itself = fields[4..16].contains(&main);
    let has_first_id = fields[IDS].contains(&1);
    let second = if length > 1 { is_goroutine(loaded, loaded.word(pointer + 8)?)? } else { true };
    Some(points_to_itself && second && (has_first_id || are_goroutines(loaded, pointer, length)?))
}

/// Words of a goroutine among which its id is.
const IDS: Range<usize> = 15..25;

/// The main goroutine of a library ends when the library is set up, and its structure is used for another. So the first
/// few must all point to themselves, and there must be a word that is different in all of them and could be an id.
fn are_goroutines(loaded: &Loaded, list: u64, length: u64) -> Option<bool> {
    const LOOKED_AT: u64 = 16;
    /// The runtime has started as many of its own before anybody can call a library.
    const ENOUGH: u64 = 4;
    const HIGHEST_ID: u64 = 1 << 44;
    let mut ids: Vec<HashSet<u64>> = vec![HashSet::new(); IDS.len()];
    let looked_at = length.min(LOOKED_AT);
    for index in 0..looked_at {
        let goroutine = loaded.word(list + index * 8)?;
        let fields: [u64; 25] = words(loaded, goroutine)?;
        if !is_pointer(goroutine) || !is_goroutine(loaded, goroutine)? || !fields[4..16].contains(&goroutine)
        {
            return Some(false);
        }
        for (ids, word) in ids.iter_mut().zip(&fields[IDS]) {
            ids.extend((1..HIGHEST_ID).contains(word).then_some(*word));
        }
    }
    Some(looked_at >= ENOUGH && ids.iter().any(|ids| ids.len() as u64 == looked_at))
}

/// Bounds of a stack, or none where the goroutine has ended.
fn is_goroutine(loaded: &Loaded, address: u64) -> Option<bool> {
    const LARGEST_STACK_BYTES: u64 = 1 << 30;
    let [low, high] = words(loaded, address)?;
    Some((low == 0 && high == 0) || (low < high && high - low <= LARGEST_STACK_BYTES))
}

/// The threads that are linked one to the next, and the offset of the link.
pub(in crate::golang) struct ThreadList {
    pub link: usize,
    pub threads: Vec<u64>,
}

/// Follows `first` along each field that could be `alllink`; the list of all threads is the longest. Of long lists only
/// the beginning is looked at, and where that is as long for several fields the first is taken: `alllink` comes before
/// the links of threads that are idle or have ended.
pub(in crate::golang) fn longest_thread_list(loaded: &Loaded, first: u64) -> Option<ThreadList> {
    const LINKS: Range<usize> = 200..480;
    if !is_thread(loaded, first)? {
        return None;
    }
    let threads = |link| follow_at_most(loaded, first, link, MAX_COMPARED_THREADS);
    let lists = LINKS.step_by(8).rev().map(|link| ThreadList { link, threads: threads(link) });
    lists.max_by_key(|list| list.threads.len())
}

/// The threads from `first` on, as far as they are threads; a circle ends the list.
pub(in crate::golang) fn follow_threads(loaded: &Loaded, first: u64, link: usize) -> Vec<u64> {
    follow_at_most(loaded, first, link, MAX_THREADS)
}

fn follow_at_most(loaded: &Loaded, first: u64, link: usize, most: usize) -> Vec<u64> {
    let mut threads = Vec::new();
    let mut seen = HashSet::new();
    let mut next = Some(first);
    while let Some(thread) = next.filter(|thread| threads.len() < most && seen.insert(*thread)) {
        if is_thread(loaded, thread) != Some(true) {
            break;
        }
        threads.push(thread);
        next = thread.checked_add(link as u64).and_then(|address| loaded.word(address));
    }
    threads
}

/// An `m` begins with its `g0`, which points back to it.
fn is_thread(loaded: &Loaded, address: u64) -> Option<bool> {
    if !is_pointer(address) {
        return Some(false);
    }
    let g0 = loaded.word(address)?;
    Some(is_pointer(g0) && loaded.word(g0 + GoroutineLayout::M as u64)? == address)
}

/// `sched.midle`, which begins with the newest thread when that is idle: behind it stand how many are idle and the
/// most that there may be (`schedt` in `runtime/runtime2.go`, 1.19 to 1.27; `schedinit` sets the last).
fn is_idle_threads(loaded: &Loaded, address: u64) -> bool {
    const DEFAULT_MAX_THREADS: u32 = 10_000;
    let most = loaded.word(address.wrapping_add(24)).map(u64::to_le_bytes);
    most.and_then(|bytes| u32_at(&bytes, 0)) == Some(DEFAULT_MAX_THREADS)
}

fn is_controller(loaded: &Loaded, address: u64) -> Option<bool> {
    let mut head = [0; 24];
    loaded.memory.read(address, &mut head).ok()?;
    Some(is_controller_head(&head))
}

/// `gcPercent`, padding, `memoryLimit`, and `heapMinimum`, which `setGCPercent` computes from the first, also for
/// GOGC=off (-1), where the product wraps around.
fn is_controller_head(bytes: &[u8]) -> bool {
    const DEFAULT_HEAP_MINIMUM: u64 = 4 << 20;
    let (Some(percent), Some(0)) = (u32_at(bytes, 0), u32_at(bytes, 4)) else { return false };
    let percent = percent.cast_signed();
    let (Some(limit), Some(minimum)) = (u64_at(bytes, 8), u64_at(bytes, 16)) else { return false };
    let expected = DEFAULT_HEAP_MINIMUM.wrapping_mul(i64::from(percent).cast_unsigned()) / 100;
    // GOGC=0 leaves little to recognise it by; then the limit must be the default.
    let is_distinct = percent != 0 || limit == i64::MAX.cast_unsigned();
    percent >= -1 && limit.cast_signed() > 0 && minimum == expected && is_distinct
}

/// `allspans []*mspan`: spans begin at a page and have a few pages.
fn is_allspans(loaded: &Loaded, address: u64) -> Option<bool> {
    const START_ADDRESS: u64 = 24;
    const RUNTIME_PAGE_BYTES: u64 = 8192;
    let [pointer, length, capacity] = words(loaded, address)?;
    if !is_slice(pointer, length, capacity) || length < 8 {
        return Some(false);
    }
    let spans: [u64; 8] = words(loaded, pointer)?;
    for span in spans {
        if !is_pointer(span) {
            return Some(false);
        }
        let [start, pages] = words(loaded, span + START_ADDRESS)?;
        if !is_pointer(start) || !start.is_multiple_of(RUNTIME_PAGE_BYTES) || pages == 0 || pages >= 1 << 24 {
            return Some(false);
        }
    }
    Some(true)
}

/// `mbuckets *bucket`: buckets of type 1 (memory) with a stack of code addresses, linked by `allnext`.
fn is_mbuckets(loaded: &Loaded, address: u64, text: &Range<u64>) -> Option<bool> {
    const MEMORY_PROFILE: u64 = 1;
    let mut bucket = loaded.word(address)?;
    for _ in 0..4 {
        if bucket == 0 {
            break;
        }
        if !is_pointer(bucket) {
            return Some(false);
        }
        let [next, all_next, kind, _hash, _size, depth, innermost] = words(loaded, bucket)?;
        let fits = kind == MEMORY_PROFILE
            && (1..=1024).contains(&depth)
            && text.contains(&innermost)
            && (next == 0 || is_pointer(next));
        if !fits {
            return Some(false);
        }
        bucket = all_next;
    }
    Some(loaded.word(address)? != 0)
}

/// The first of the reasons that has a name, the second string of the array (`runtime/runtime2.go`).
const FIRST_WAIT_REASON: &[u8] = b"GC assist marking";

fn is_wait_reasons(loaded: &Loaded, address: u64) -> Option<bool> {
    let [_, empty, pointer, length] = words(loaded, address)?;
    if empty != 0 || length != FIRST_WAIT_REASON.len() as u64 {
        return Some(false);
    }
    let mut text = [0; FIRST_WAIT_REASON.len()];
    loaded.memory.read(pointer, &mut text).ok()?;
    Some(text == FIRST_WAIT_REASON)
}

/// The reasons for which goroutines wait, by number, as the program itself names them.
pub fn wait_reasons(loaded: &Loaded, place: Place) -> Vec<String> {
    const MAX_REASONS: u64 = 128;
    const LONGEST: u64 = 64;
    let mut reasons = Vec::new();
    for index in 0..MAX_REASONS {
        let Some([pointer, length]) = words(loaded, place.address + index * 16) else { break };
        let mut text = vec![0; usize::try_from(length.min(LONGEST)).unwrap_or(0)];
        let is_text = (length > 0 || index == 0)
            && length <= LONGEST
            && (length == 0 || loaded.memory.read(pointer, &mut text).is_ok())
            && text.iter().all(|byte| (b' '..=b'~').contains(byte));
        if !is_text {
            break;
        }
        reasons.push(String::from_utf8_lossy(&text).into_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::{Loaded, MAX_COMPARED_THREADS, longest_thread_list};
    use crate::golang::binary::image::Image;
    use crate::golang::fixture::Elf;
    use crate::golang::{Memory, Unreadable};
    use std::cell::Cell;

    const THREADS: u64 = 0x1000_0000;
    const FIRST_GOROUTINES: u64 = 0x1000_0000_0000;
    const THREAD_BYTES: u64 = 512;

    /// A process whose threads have no end, by whatever word one is followed to the next.
    struct Endless(Cell<usize>);

    impl Memory for Endless {
        fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
            self.0.set(self.0.get() + 1);
            let word = match (address.checked_sub(FIRST_GOROUTINES), address % THREAD_BYTES) {
                (Some(thread), _) => thread - 48,
                (None, 0) => FIRST_GOROUTINES + address,
                (None, within) => address - within + THREAD_BYTES,
            };
            buffer.copy_from_slice(&word.to_le_bytes()[..buffer.len()]);
            Ok(())
        }
    }

    #[test]
    fn lists_of_threads_are_compared_by_their_beginnings() {
        let file = Elf::new().data(0x1000, &[0; 8]).build();
        let image = Image::read(&file).unwrap();
        let memory = Endless(Cell::new(0));
        let loaded = Loaded { file: &file, image: &image, bias: 0, memory: &memory };
        let list = longest_thread_list(&loaded, THREADS).unwrap();
        assert_eq!((list.threads.len(), list.link), (MAX_COMPARED_THREADS, 200));
        assert!(memory.0.get() <= 2 + 35 * 3 * MAX_COMPARED_THREADS, "{} reads", memory.0.get());
    }
}
