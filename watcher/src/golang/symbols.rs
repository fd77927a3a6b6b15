//! From addresses to functions, files and lines, the way Go's own tools see them: inlined calls expanded, wrappers
//! dropped.
//!
//! Follows `tracebackPCs` in `runtime/traceback.go` and `Frames.Next` in `runtime/symtab.go`.

use super::loaded::Loaded;
use super::moduledata::Module;
use super::pclntab::{Function, Pclntab};
use crate::process::printable;
use std::collections::HashMap;
use std::sync::Arc;

/// Deeper inlining than the compiler does means that the tree leads in a circle.
const MAX_INLINE_DEPTH: usize = 64;
/// Resolved addresses that are kept; a program has a few thousand that ever show up in stacks.
const MAX_CACHED_ADDRESSES: usize = 65_536;
/// Functions looked at when the base of inline trees is checked.
const INLINE_SAMPLES: usize = 24;

/// A frame of a stack as a person reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Function, as Go shows it: `net/http.(*Transport).dialConn`, `main.generic[...]`. Empty where unknown.
    pub function: Arc<str>,
    /// Function, as the linker names it: `main.generic[go.shape.int]`; Go's own profiles carry this name. The same as
    /// `function` where it is not generic, and before Go 1.21.
    pub symbol: Arc<str>,
    /// Source file as the compiler recorded it; empty where unknown.
    pub file: Arc<str>,
    /// Line in it, from 1; 0 where unknown.
    pub line: u32,
    /// Line of the `func` keyword; 0 where unknown (before Go 1.20).
    pub start_line: u32,
    /// An instruction within the call: the position that pprof reports as the frame's address.
    pub pc: u64,
}

/// One address of a stack, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StackPc {
    /// The address.
    pub pc: u64,
    /// It is the instruction that was executed itself, not the return address behind a call: a trap, or a goroutine
    /// that has not begun to run.
    pub is_exact: bool,
}

/// Numbers of the functions that a walk treats in a special way. They differ between versions, so they are read off
/// the functions themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FunctionIds {
    /// `runtime.sigpanic`.
    pub sigpanic: Option<u8>,
    /// `runtime.gopanic`.
    pub gopanic: Option<u8>,
    /// `runtime.panicwrap`.
    pub panicwrap: Option<u8>,
    /// `runtime.asyncPreempt`.
    pub async_preempt: Option<u8>,
    /// `runtime.debugCallV2`.
    pub debug_call: Option<u8>,
    /// `runtime.cgocallback`.
    pub cgocallback: Option<u8>,
    /// Wrappers that the compiler generates: the number after that of `runtime.systemstack_switch`.
    pub wrapper: Option<u8>,
}

/// The symbols of a process: of its executable and its plugins.
pub struct Symbols {
    tables: Vec<Pclntab>,
    ids: FunctionIds,
    frames: HashMap<StackPc, Arc<[Located]>>,
    texts: HashMap<Vec<u8>, Arc<str>>,
}

#[derive(Clone, Debug)]
struct Located {
    frame: Frame,
    id: u8,
}

impl Symbols {
    /// Prepares the symbols of `modules`. `gofunc_offset` is where a table by version says that the base of inline
    /// trees stands in `moduledata`; it is checked, and looked for where it is wrong or not known.
    pub fn new(loaded: &Loaded, modules: Vec<Module>, gofunc_offset: Option<usize>) -> Self {
        let mut symbols = Symbols {
            tables: modules.into_iter().map(Pclntab::new).collect(),
            ids: FunctionIds::default(),
            frames: HashMap::new(),
            texts: HashMap::new(),
        };
        for table in &mut symbols.tables {
            table.function_data = inline_base(loaded, table, gofunc_offset);
        }
        let names = [
            "runtime.sigpanic",
            "runtime.gopanic",
            "runtime.panicwrap",
            "runtime.asyncPreempt",
            "runtime.debugCallV2",
            "runtime.cgocallback",
            "runtime.systemstack_switch",
        ];
        let found = symbols.functions_named(loaded, &names);
        let id = |index: usize| found[index].map(|function| function.id).filter(|id| *id != 0);
        symbols.ids = FunctionIds {
            sigpanic: id(0),
            gopanic: id(1),
            panicwrap: id(2),
            async_preempt: id(3),
            debug_call: id(4),
            cgocallback: id(5),
            wrapper: id(6).and_then(|id| id.checked_add(1)),
        };
        symbols
    }

    /// The special functions of this runtime.
    pub fn ids(&self) -> FunctionIds {
        self.ids
    }

    /// The modules.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.tables.iter().map(|table| &table.module)
    }

    /// Whether `pc` lies in code of Go.
    pub fn is_text(&self, pc: u64) -> bool {
        self.tables.iter().any(|table| table.module.text.contains(&pc))
    }

    /// The function whose code holds `pc`.
    pub fn function_at(&mut self, loaded: &Loaded, pc: u64) -> Option<Function> {
        self.table_for(pc)?.function_at(loaded, pc)
    }

    /// How far the stack pointer has moved down at `pc` since its function was entered; `None` where that is not
    /// recorded.
    pub fn stack_delta(&mut self, loaded: &Loaded, function: &Function, pc: u64) -> Option<u64> {
        self.table_for(function.entry)?.stack_delta(loaded, function, pc)
    }

    /// The name of a function.
    pub fn name(&mut self, loaded: &Loaded, function: &Function) -> Option<Arc<str>> {
        let name = self.table_for(function.entry)?.name(loaded, function.name)?;
        Some(self.intern(shorten(name)))
    }

    /// Looks up functions of the executable by name, in one pass over all of them.
    pub fn functions_named(&mut self, loaded: &Loaded, names: &[&str]) -> Vec<Option<Function>> {
        let mut found = vec![None; names.len()];
        let Some(table) = self.tables.first_mut() else { return found };
        let wanted = name_offsets(loaded, table, names);
        let mut missing = names.len();
        for index in 0..table.module.functions {
            if missing == 0 {
                break;
            }
            let Some(offset) = table.function_name_offset(loaded, index) else { break };
            if let Some(name) = wanted.get(&offset)
                && found[*name].is_none()
            {
                found[*name] = table.function(loaded, index);
                missing -= 1;
            }
        }
        found
    }

    /// The frames of a stack, innermost first, as Go's own profiles have them: inlined calls expanded, wrappers that
    /// the compiler generated left out.
    pub fn expand(&mut self, loaded: &Loaded, stack: &[StackPc]) -> Vec<Frame> {
        let mut frames = Vec::with_capacity(stack.len() + 4);
        let mut callee = 0;
        for place in stack {
            for located in self.locate(loaded, *place).iter() {
                let is_wrapper = Some(located.id) == self.ids.wrapper && located.id != 0;
                // A wrapper that called a panic function is shown, as it did not get to what it wraps.
                let called_panic = callee != 0
                    && [self.ids.gopanic, self.ids.sigpanic, self.ids.panicwrap].contains(&Some(callee));
                if !is_wrapper || called_panic {
                    frames.push(located.frame.clone());
                }
                callee = located.id;
            }
        }
        frames
    }

    /// The frame of the function that begins at `entry`, such as a goroutine's start function.
    pub fn entry_frame(&mut self, loaded: &Loaded, entry: u64) -> Option<Frame> {
        self.locate(loaded, StackPc { pc: entry, is_exact: true }).last().map(|located| located.frame.clone())
    }

    /// Gives back the pages that were read of the executable. Resolved addresses are kept.
    pub fn forget_pages(&mut self) {
        for table in &mut self.tables {
            table.forget_pages();
        }
    }

    /// The frames at one address, innermost first; what could not be found out has an empty name and the address.
    fn locate(&mut self, loaded: &Loaded, place: StackPc) -> Arc<[Located]> {
        if let Some(known) = self.frames.get(&place) {
            return Arc::clone(known);
        }
        let resolved = self.resolve(loaded, place);
        let unknown = || Located {
            frame: Frame {
                function: "".into(),
                symbol: "".into(),
                file: "".into(),
                line: 0,
                start_line: 0,
                pc: place.pc,
            },
            id: 0,
        };
        let Some(resolved) = resolved.filter(|frames| !frames.is_empty()) else { return [unknown()].into() };
        let frames: Arc<[Located]> = resolved.into();
        if self.frames.len() >= MAX_CACHED_ADDRESSES {
            self.frames.clear();
            self.texts.clear();
        }
        self.frames.insert(place, Arc::clone(&frames));
        frames
    }

    fn resolve(&mut self, loaded: &Loaded, place: StackPc) -> Option<Vec<Located>> {
        let function = self.function_at(loaded, place.pc)?;
        // A return address may belong to the line, the inlined call, even the function after the call.
        let mut pc = if place.is_exact || place.pc == function.entry { place.pc } else { place.pc - 1 };
        let mut frames = Vec::new();
        while frames.len() < MAX_INLINE_DEPTH {
            let table = self.table_for(function.entry)?;
            let inlined = table.inlined_at(loaded, &function, pc);
            let (file, line) = table.position(loaded, &function, pc).unwrap_or_default();
            let (name, id, start_line) = match &inlined {
                Some(call) => (call.name, call.id, call.start_line),
                None => (function.name, function.id, function.start_line),
            };
            let name = table.name(loaded, name)?;
            let symbol = self.intern(name.clone());
            let function = self.intern(shorten(name));
            let frame = Frame { function, symbol, file: self.intern(file), line, start_line, pc };
            frames.push(Located { frame, id });
            let Some(call) = inlined else { break };
            pc = call.call_pc;
        }
        Some(frames)
    }

    fn table_for(&mut self, pc: u64) -> Option<&mut Pclntab> {
        self.tables.iter_mut().find(|table| table.module.text.contains(&pc))
    }

    fn intern(&mut self, text: Vec<u8>) -> Arc<str> {
        if let Some(known) = self.texts.get(&text) {
            return Arc::clone(known);
        }
        let interned: Arc<str> = printable(&text).into();
        self.texts.insert(text, Arc::clone(&interned));
        interned
    }
}

/// Replaces the types that a generic function was instantiated with by `...`, as Go does wherever it shows a name
/// (`funcNameForPrint` in `runtime/symtab.go`).
fn shorten(mut name: Vec<u8>) -> Vec<u8> {
    let open = name.iter().position(|byte| *byte == b'[');
    let close = name.iter().rposition(|byte| *byte == b']');
    if let (Some(open), Some(close)) = (open, close)
        && open < close
    {
        name.splice(open + 1..close, *b"...");
    }
    name
}

/// The places in the names of a module at which one of `names` lies, in one pass over them. A name can occur more
/// than once.
fn name_offsets(loaded: &Loaded, table: &Pclntab, names: &[&str]) -> HashMap<u32, usize> {
    const CHUNK_BYTES: usize = 64 * 1024;
    let range = table.module.names.clone();
    let mut found = HashMap::new();
    let mut start = range.start;
    let mut buffer = vec![0; CHUNK_BYTES];
    // The first name follows no other; all others begin behind a zero byte.
    let mut begins_name = true;
    while start < range.end {
        let length = usize::try_from(range.end - start).map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
        let Some(length) = loaded.read_static(start, &mut buffer[..length]).filter(|length| *length > 0)
        else {
            break;
        };
        let bytes = &buffer[..length];
        let mut position = 0;
        while let Some(name_bytes) = bytes[position..].iter().position(|byte| *byte == 0) {
            let name = &bytes[position..position + name_bytes];
            let index = names.iter().position(|wanted| begins_name && wanted.as_bytes() == name);
            if let (Some(index), Ok(offset)) = (index, u32::try_from(start - range.start + position as u64)) {
                found.insert(offset, index);
            }
            begins_name = true;
            position += name_bytes + 1;
        }
        if position == 0 {
            // A name longer than the whole chunk is none that we look for.
            begins_name = false;
            position = length;
        }
        start += position as u64;
    }
    found
}

/// Finds the base of inline trees: the word of `moduledata` that a table by version names, if trees make sense
/// there, else the one word where they do.
fn inline_base(loaded: &Loaded, table: &mut Pclntab, offset: Option<usize>) -> Option<u64> {
    let mut samples = Vec::new();
    let stride = (table.module.functions / 2000).max(1);
    let mut index = 0;
    while index < table.module.functions && samples.len() < INLINE_SAMPLES {
        if let Some(function) = table.function(loaded, index)
            && table.fits_inline_tree(loaded, &function, 0).is_some()
        {
            samples.push(function);
        }
        index += stride;
    }
    let hint = offset.and_then(|offset| table.module.word_at(offset));
    let mut candidates: Vec<u64> = hint.into_iter().chain(table.module.rest.iter().copied()).collect();
    candidates.retain(|word| *word != 0);
    candidates.into_iter().find(|base| {
        let fitting = samples
            .iter()
            .filter(|function| table.fits_inline_tree(loaded, function, *base) == Some(true))
            .count();
        // Some trees begin with a call of which no instruction was left.
        fitting > 0 && fitting * 4 >= samples.len() * 3
    })
}
