//! From addresses to functions, files and lines, the way Go's own tools see them: inlined calls expanded, wrappers
//! dropped.
//!
//! Follows `tracebackPCs` in `runtime/traceback.go` and `Frames.Next` in `runtime/symtab.go`.

pub use super::frames::{Frame, FunctionIds, StackPc};

use super::frames::Located;
use super::loaded::Loaded;
use super::moduledata::{self, ADDRESS_LIMIT, Module};
use super::pclntab::{Function, FunctionData, Pclntab};
use super::program::{Program, Resolved, Tables};
use crate::golang::metered::{Allowance, Metered};
use crate::vocabulary::process::printable;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Deeper inlining than the compiler does means that the tree leads in a circle.
const MAX_INLINE_DEPTH: usize = 64;
/// For one pass over all names and all functions. Half a million functions take 200 MiB in some ten thousand calls.
const PASS: Allowance = Allowance { bytes: 1 << 30, calls: 1 << 18 };
/// Functions looked at when the base of inline trees is checked.
const INLINE_SAMPLES: usize = 24;

/// The symbols of a process: of its executable and its plugins.
pub struct Symbols {
    tables: Vec<Pclntab>,
    ids: FunctionIds,
    bias: u64,
    /// What is shared with the other processes of the executable.
    program: Arc<Program>,
    /// Resolved addresses in plugins, which lie elsewhere in each process.
    in_plugins: Resolved,
}

impl Symbols {
    /// Prepares the symbols of `modules`. `gofunc_offset` is where a table by version says that the base of inline
    /// trees stands in `moduledata`; it is checked, and looked for where it is wrong or not known. `program` is what
    /// other processes of the same executable have found out.
    pub fn new(
        loaded: &Loaded,
        modules: Vec<Module>,
        gofunc_offset: Option<usize>,
        program: &Arc<Program>,
    ) -> Self {
        let mut symbols = Symbols {
            tables: modules.into_iter().map(Pclntab::new).collect(),
            ids: FunctionIds::default(),
            bias: loaded.bias,
            program: Arc::clone(program),
            in_plugins: Resolved::of_plugins(),
        };
        let known = symbols.known_tables(program);
        for (index, table) in symbols.tables.iter_mut().enumerate() {
            let base = known.as_ref().filter(|_| index == 0).and_then(|known| known.function_data);
            table.function_data = base
                .map(|base| base.wrapping_add(loaded.bias))
                .filter(|base| *base < ADDRESS_LIMIT)
                .or_else(|| inline_base(loaded, table, gofunc_offset));
        }
        if let Some(known) = known {
            symbols.ids = known.ids;
            return symbols;
        }
        if program.facts().tables.is_some() {
            // Its tables differ from those of the others.
            symbols.program = Arc::default();
        }
        symbols.ids = symbols.find_ids(loaded);
        if let Some(table) = symbols.tables.first() {
            let function_data = table.function_data.map(|base| base.wrapping_sub(loaded.bias));
            let module = table.module.without_bias(loaded.bias);
            symbols.program.facts().tables = Some(Tables { module, function_data, ids: symbols.ids });
        }
        symbols
    }

    /// The tables of the executable itself.
    pub(crate) fn executable(&mut self) -> Option<&mut Pclntab> {
        self.tables.first_mut()
    }

    /// Takes in the modules of plugins that were loaded since the symbols were prepared. One read where there are none.
    pub(in crate::golang) fn learn_plugins(&mut self, loaded: &Loaded, gofunc_offset: Option<usize>) {
        let known: Vec<u64> = self.tables.iter().map(|table| table.module.address).collect();
        let Some(last) = self.tables.last() else { return };
        let new = moduledata::newer(loaded, &last.module, &known);
        for module in new {
            let mut table = Pclntab::new(module);
            table.function_data = inline_base(loaded, &mut table, gofunc_offset);
            self.tables.push(table);
        }
    }

    /// What others found out about the executable's tables, if ours are the same.
    fn known_tables(&self, program: &Program) -> Option<Tables> {
        let module = &self.tables.first()?.module;
        let known = program.facts().tables.clone()?;
        let has_base = |base: u64| module.rest.contains(&base.wrapping_add(self.bias));
        let same = known.module == module.without_bias(self.bias) && known.function_data.is_none_or(has_base);
        same.then_some(known)
    }

    fn find_ids(&mut self, loaded: &Loaded) -> FunctionIds {
        let names = [
            "runtime.sigpanic",
            "runtime.gopanic",
            "runtime.panicwrap",
            "runtime.asyncPreempt",
            "runtime.debugCallV2",
            "runtime.cgocallback",
            "runtime.systemstack_switch",
        ];
        let found = self.functions_named(loaded, &names);
        let id = |index: usize| found[index].map(|function| function.id).filter(|id| *id != 0);
        FunctionIds {
            sigpanic: id(0),
            gopanic: id(1),
            panicwrap: id(2),
            async_preempt: id(3),
            debug_call: id(4),
            cgocallback: id(5),
            wrapper: id(6).and_then(|id| id.checked_add(1)),
        }
    }

    /// What is shared with the other processes of the executable.
    pub(in crate::golang) fn program(&self) -> &Program {
        &self.program
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

    /// Which of the function's stack maps holds at `pc`; `None` where none is recorded, and then it is the first.
    pub(in crate::golang) fn stack_map_index(
        &mut self,
        loaded: &Loaded,
        function: &Function,
        pc: u64,
    ) -> Option<u32> {
        self.table_for(function.entry)?.stack_map_index(loaded, function, pc)
    }

    /// Where such data of a function lies; `None` where it has none.
    pub(in crate::golang) fn function_data(
        &mut self,
        loaded: &Loaded,
        function: &Function,
        kind: FunctionData,
    ) -> Option<u64> {
        self.table_for(function.entry)?.function_data(loaded, function, kind)
    }

    /// The name of a function.
    pub fn name(&mut self, loaded: &Loaded, function: &Function) -> Option<Arc<str>> {
        let name = self.table_for(function.entry)?.name(loaded, function.name)?;
        Some(self.intern(function.entry, shorten(name)))
    }

    /// Looks up functions of the executable by name. Those that nobody has asked for yet are looked up in one pass
    /// over all of them.
    pub fn functions_named(&mut self, loaded: &Loaded, names: &[&str]) -> Vec<Option<Function>> {
        let metered = Metered::new(loaded, PASS);
        let loaded = &metered.loaded();
        let Some(table) = self.tables.first_mut() else { return vec![None; names.len()] };
        let mut facts = self.program.facts();
        let new: Vec<&str> = names.iter().copied().filter(|name| facts.function(name).is_none()).collect();
        let mut indexes: HashMap<&str, u64> = HashMap::new();
        let wanted = if new.is_empty() { HashMap::new() } else { name_offsets(loaded, table, &new) };
        let found: HashSet<usize> = wanted.values().copied().collect();
        for index in 0..table.module.functions {
            if indexes.len() == found.len() {
                break;
            }
            let Some(offset) = table.function_name_offset(loaded, index) else { break };
            if let Some(name) = wanted.get(&offset) {
                indexes.entry(new[*name]).or_insert(index);
            }
        }
        for name in new {
            facts.learn_function(name, indexes.get(name).copied());
        }
        let index_of = |name: &&str| indexes.get(name).copied().or_else(|| facts.function(name).flatten());
        names.iter().map(|name| index_of(name).and_then(|index| table.function(loaded, index))).collect()
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
                    frames.push(self.frame(located, place.pc));
                }
                callee = located.id;
            }
        }
        frames
    }

    /// The frame of the function that begins at `entry`, such as a goroutine's start function.
    pub fn entry_frame(&mut self, loaded: &Loaded, entry: u64) -> Option<Frame> {
        let located = self.locate(loaded, StackPc { pc: entry, is_exact: true });
        located.last().map(|located| self.frame(located, entry))
    }

    /// A frame at the address that it has in this process, on the stack at `pc`.
    fn frame(&self, located: &Located, pc: u64) -> Frame {
        let mut frame = located.frame.clone();
        if self.is_shared(pc) {
            frame.pc = frame.pc.wrapping_add(self.bias);
        }
        frame
    }

    /// Lies in code of the executable itself.
    fn is_shared(&self, pc: u64) -> bool {
        self.tables.first().is_some_and(|table| table.module.text.contains(&pc))
    }

    /// Gives back the pages that were read of the executable. Resolved addresses are kept.
    pub fn forget_pages(&mut self) {
        for table in &mut self.tables {
            table.forget_pages();
        }
    }

    /// The frames at one address, innermost first; what could not be found out has an empty name and the address.
    fn locate(&mut self, loaded: &Loaded, place: StackPc) -> Arc<[Located]> {
        let is_shared = self.is_shared(place.pc);
        let key = StackPc { pc: place.pc.wrapping_sub(if is_shared { self.bias } else { 0 }), ..place };
        let known =
            if is_shared { self.program.facts().resolved.frames(key) } else { self.in_plugins.frames(key) };
        if let Some(known) = known {
            return known;
        }
        let resolved = self.resolve(loaded, place);
        let unknown = || Located {
            frame: Frame {
                function: "".into(),
                symbol: "".into(),
                file: "".into(),
                line: 0,
                start_line: 0,
                pc: key.pc,
            },
            id: 0,
        };
        let Some(mut resolved) = resolved.filter(|frames| !frames.is_empty()) else {
            return [unknown()].into();
        };
        for located in &mut resolved {
            located.frame.pc = located.frame.pc.wrapping_sub(place.pc.wrapping_sub(key.pc));
        }
        let frames: Arc<[Located]> = resolved.into();
        if is_shared {
            self.program.facts().resolved.learn_frames(key, Arc::clone(&frames));
        } else {
            self.in_plugins.learn_frames(key, Arc::clone(&frames));
        }
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
            let symbol = self.intern(place.pc, name.clone());
            let function = self.intern(place.pc, shorten(name));
            let frame = Frame { function, symbol, file: self.intern(place.pc, file), line, start_line, pc };
            frames.push(Located { frame, id });
            let Some(call) = inlined else { break };
            pc = call.call_pc;
        }
        Some(frames)
    }

    fn table_for(&mut self, pc: u64) -> Option<&mut Pclntab> {
        self.tables.iter_mut().find(|table| table.module.text.contains(&pc))
    }

    /// The same text, kept once with whatever else is known of the code at `pc`.
    fn intern(&mut self, pc: u64, text: Vec<u8>) -> Arc<str> {
        if self.is_shared(pc) {
            self.program.facts().resolved.text(text, printable)
        } else {
            self.in_plugins.text(text, printable)
        }
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
    let shortest = names.iter().map(|name| name.len()).min().unwrap_or(0);
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
        while let Some(name_bytes) = memchr::memchr(0, &bytes[position..]) {
            let name = &bytes[position..position + name_bytes];
            // Most of a table that is none is holes: those cost little.
            let is_candidate = begins_name && name_bytes >= shortest;
            let index =
                is_candidate.then(|| names.iter().position(|wanted| wanted.as_bytes() == name)).flatten();
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
    candidates.retain(|word| (1..ADDRESS_LIMIT).contains(word));
    candidates.into_iter().find(|base| {
        let fitting = samples
            .iter()
            .filter(|function| table.fits_inline_tree(loaded, function, *base) == Some(true))
            .count();
        // Some trees begin with a call of which no instruction was left.
        fitting > 0 && fitting * 4 >= samples.len() * 3
    })
}
