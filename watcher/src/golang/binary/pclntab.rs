//! The pclntab: what the Go linker records of every function, in all binaries, stripped or not.
//!
//! `runtime/symtab.go` and `internal/abi/symtab.go`, Go 1.18 to 1.27. Nothing is materialised: a lookup reads the few
//! bytes it needs through a small page cache. All of it is untrusted; every loop has a bound.

use super::loaded::{Loaded, Pages};
use super::moduledata::{Format, Module};
use crate::golang::bytes::{u32_at, uvarint};

/// Longest name or path that is kept; generic instances can be long.
const MAX_NAME_BYTES: usize = 4096;
/// More than the pc-value table of any real function needs.
const MAX_VALUE_TABLE_BYTES: u64 = 1024 * 1024;
const MAX_PCDATA_TABLES: u32 = 64;
/// `PCDATA_StackMapIndex`.
const STACK_MAP_INDEX_TABLE: u32 = 1;
/// `PCDATA_InlTreeIndex`.
const INLINE_INDEX_TABLE: u32 = 2;
/// `FUNCDATA_InlTree`.
const INLINE_TREE: u32 = 3;
const NO_FUNCDATA: u32 = u32::MAX;

/// One function as recorded (`runtime._func`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Address of its first instruction.
    pub entry: u64,
    /// Address behind its last.
    pub end: u64,
    /// Where its name lies in the names.
    pub name: u32,
    /// Its special role, or 0 (`abi.FuncID`; the numbers differ between versions).
    pub id: u8,
    /// It is the outermost function of its stack (`FuncFlagTopFrame`).
    pub is_stack_root: bool,
    /// It moves the stack pointer in ways that are not recorded (`FuncFlagSPWrite`).
    pub writes_stack_pointer: bool,
    /// Line of its `func` keyword; 0 where not recorded (before Go 1.20).
    pub start_line: u32,
    stack_deltas: u32,
    file_table: u32,
    line_table: u32,
    unit: u32,
    inline_index: u32,
    inline_tree: u32,
    stack_map_index: u32,
    /// Bytes of arguments that its callers put on the stack, spill space included; negative where that is not known.
    pub argument_bytes: i32,
    /// Where the offsets of its funcdata stand, and how many there are.
    function_data: (u64, u32),
}

/// What the compiler recorded of a function besides its code (`internal/abi/symtab.go`, the same from Go 1.18 to 1.27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionData {
    /// Which words of the arguments hold pointers.
    ArgumentPointers = 0,
    /// Which words of the frame hold pointers.
    LocalPointers = 1,
    /// Variables of the frame whose address was taken.
    StackObjects = 2,
}

/// A function that was inlined into another (`runtime.inlinedCall`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InlinedCall {
    /// Where its name lies in the names.
    pub name: u32,
    /// Its special role, or 0.
    pub id: u8,
    /// Line of its `func` keyword; 0 where not recorded.
    pub start_line: u32,
    /// An instruction at the position of the call.
    pub call_pc: u64,
}

/// The tables of one module, with the pages that were read of them lately.
pub struct Pclntab {
    pub(in crate::golang) module: Module,
    /// `gofunc`: base of inline trees; `None` where it could not be established.
    pub(in crate::golang) function_data: Option<u64>,
    pages: Pages,
}

impl Pclntab {
    /// The tables of a module.
    pub fn new(module: Module) -> Self {
        Pclntab { module, function_data: None, pages: Pages::default() }
    }

    /// The function whose code holds `pc`.
    pub fn function_at(&mut self, loaded: &Loaded, pc: u64) -> Option<Function> {
        if !self.module.text.contains(&pc) {
            return None;
        }
        let offset = u32::try_from(pc - self.module.text.start).ok()?;
        // The last function that does not begin behind `offset`.
        let (mut low, mut high) = (0, self.module.functions);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.pages.u32(loaded, self.index_entry(middle))?;
            if entry <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        self.function(loaded, low.checked_sub(1)?)
    }

    /// The function number `index`, counted by entry.
    pub fn function(&mut self, loaded: &Loaded, index: u64) -> Option<Function> {
        let mut entries = [0; 16];
        self.pages.read(loaded, self.index_entry(index), &mut entries[..12])?;
        let (entry, record, end) = (u32_at(&entries, 0)?, u32_at(&entries, 4)?, u32_at(&entries, 8)?);
        let address = self.record_address(record)?;
        let header_bytes = match self.module.format {
            Format::Go118 => 40,
            Format::Go120 => 44,
        };
        let mut header = [0; 44];
        self.pages.read(loaded, address, &mut header[..header_bytes])?;
        // The record repeats the entry; where the two differ, the index leads somewhere else.
        if u32_at(&header, 0)? != entry || entry >= end {
            return None;
        }
        let pcdata_tables = u32_at(&header, 28)?.min(MAX_PCDATA_TABLES);
        let funcdata_tables = u32::from(header[header_bytes - 1]);
        let behind = address + header_bytes as u64;
        let mut inline_index = 0;
        let mut inline_tree = NO_FUNCDATA;
        if pcdata_tables > INLINE_INDEX_TABLE && funcdata_tables > INLINE_TREE {
            inline_index = self.pages.u32(loaded, behind + u64::from(INLINE_INDEX_TABLE) * 4)?;
            inline_tree = self.pages.u32(loaded, behind + u64::from(pcdata_tables + INLINE_TREE) * 4)?;
        }
        let mut stack_map_index = 0;
        if pcdata_tables > STACK_MAP_INDEX_TABLE {
            stack_map_index = self.pages.u32(loaded, behind + u64::from(STACK_MAP_INDEX_TABLE) * 4)?;
        }
        let (id, flags, start_line) = match self.module.format {
            Format::Go118 => (header[36], header[37], 0),
            Format::Go120 => (header[40], header[41], u32_at(&header, 36)?),
        };
        let text = self.module.text.start;
        Some(Function {
            entry: text.checked_add(u64::from(entry))?,
            end: text.checked_add(u64::from(end))?,
            name: u32_at(&header, 4)?,
            id,
            is_stack_root: flags & 1 != 0,
            writes_stack_pointer: flags & 2 != 0,
            start_line,
            stack_deltas: u32_at(&header, 16)?,
            file_table: u32_at(&header, 20)?,
            line_table: u32_at(&header, 24)?,
            unit: u32_at(&header, 32)?,
            inline_index,
            inline_tree,
            stack_map_index,
            argument_bytes: u32_at(&header, 8)?.cast_signed(),
            function_data: (behind + u64::from(pcdata_tables) * 4, funcdata_tables),
        })
    }

    /// Which of its stack maps holds at `pc`; `None` where none is recorded, and then it is the first.
    pub(in crate::golang) fn stack_map_index(
        &mut self,
        loaded: &Loaded,
        function: &Function,
        pc: u64,
    ) -> Option<u32> {
        u32::try_from(self.value(loaded, function, function.stack_map_index, pc)?).ok()
    }

    /// Where such data of a function lies; `None` where it has none, or where that cannot be told.
    pub(in crate::golang) fn function_data(
        &mut self,
        loaded: &Loaded,
        function: &Function,
        kind: FunctionData,
    ) -> Option<u64> {
        let (begin, tables) = function.function_data;
        if kind as u32 >= tables {
            return None;
        }
        let offset = self.pages.u32(loaded, begin.checked_add(kind as u64 * 4)?)?;
        (offset != NO_FUNCDATA).then_some(())?;
        self.function_data?.checked_add(u64::from(offset))
    }

    /// Where the name of function number `index` lies: less to read than the whole function.
    pub(in crate::golang) fn function_name_offset(&mut self, loaded: &Loaded, index: u64) -> Option<u32> {
        let record = self.pages.u32(loaded, self.index_entry(index).checked_add(4)?)?;
        let address = self.record_address(record)?;
        self.pages.u32(loaded, address.checked_add(4)?)
    }

    /// A name by its place in the names.
    pub fn name(&mut self, loaded: &Loaded, offset: u32) -> Option<Vec<u8>> {
        let address = self.module.names.start.checked_add(u64::from(offset))?;
        self.text(loaded, address, self.module.names.end)
    }

    /// File and line of the instruction at `pc`. For code that was inlined this is the innermost function's.
    pub fn position(&mut self, loaded: &Loaded, function: &Function, pc: u64) -> Option<(Vec<u8>, u32)> {
        let file = self.value(loaded, function, function.file_table, pc)?;
        let line = self.value(loaded, function, function.line_table, pc)?;
        let index = u64::from(function.unit) + u64::try_from(file).ok()?;
        let entry = self.module.units.start.checked_add(index.checked_mul(4)?)?;
        if entry >= self.module.units.end {
            return None;
        }
        let offset = self.pages.u32(loaded, entry)?;
        let path = (offset != u32::MAX).then(|| {
            self.text(loaded, self.module.files.start + u64::from(offset), self.module.files.end)
        })??;
        Some((path, u32::try_from(line).ok()?))
    }

    /// How far the stack pointer has moved down at `pc` since the function was entered.
    pub fn stack_delta(&mut self, loaded: &Loaded, function: &Function, pc: u64) -> Option<u64> {
        u64::try_from(self.value(loaded, function, function.stack_deltas, pc)?).ok()
    }

    /// Does the function keep no record of its stack: code that Go did not write.
    pub fn is_external(&self, function: &Function) -> bool {
        function.stack_deltas == 0
    }

    /// The innermost call that was inlined at `pc`.
    pub fn inlined_at(&mut self, loaded: &Loaded, function: &Function, pc: u64) -> Option<InlinedCall> {
        let index = self.value(loaded, function, function.inline_index, pc)?;
        self.inlined_call(loaded, function, u64::try_from(index).ok()?, self.function_data?)
    }

    fn inlined_call(
        &mut self,
        loaded: &Loaded,
        function: &Function,
        index: u64,
        base: u64,
    ) -> Option<InlinedCall> {
        if function.inline_tree == NO_FUNCDATA {
            return None;
        }
        let entry_bytes = match self.module.format {
            Format::Go118 => 20,
            Format::Go120 => 16,
        };
        let tree = base.checked_add(u64::from(function.inline_tree))?;
        let mut entry = [0; 20];
        let entry_address = tree.checked_add(index.checked_mul(entry_bytes)?)?;
        self.pages.read(loaded, entry_address, &mut entry[..usize::try_from(entry_bytes).ok()?])?;
        let (id, name, call_offset, start_line) = match self.module.format {
            Format::Go118 => (entry[2], u32_at(&entry, 12)?, u32_at(&entry, 16)?, 0),
            Format::Go120 => (entry[0], u32_at(&entry, 4)?, u32_at(&entry, 8)?, u32_at(&entry, 12)?),
        };
        let call_pc = function.entry.checked_add(u64::from(call_offset))?;
        (call_pc < function.end).then_some(InlinedCall { name, id, start_line, call_pc })
    }

    /// Is `base` a plausible base of inline trees, judged by the first entry of this function's tree? `None` where
    /// the function has no tree to judge by.
    pub(in crate::golang) fn fits_inline_tree(
        &mut self,
        loaded: &Loaded,
        function: &Function,
        base: u64,
    ) -> Option<bool> {
        if function.inline_tree == NO_FUNCDATA || function.inline_index == 0 {
            return None;
        }
        let Some(call) = self.inlined_call(loaded, function, 0, base) else { return Some(false) };
        // The name must be one: it begins behind the zero byte that ends the name before it.
        let Some(address) = self.module.names.start.checked_add(u64::from(call.name)) else {
            return Some(false);
        };
        if call.name == 0 || address >= self.module.names.end {
            return Some(false);
        }
        let mut around = [0; 2];
        Some(self.pages.read(loaded, address - 1, &mut around).is_some() && around[0] == 0 && around[1] != 0)
    }

    /// Value of a pc-value table at `pc` (`runtime.pcvalue`).
    fn value(&mut self, loaded: &Loaded, function: &Function, table: u32, pc: u64) -> Option<i32> {
        if table == 0 {
            return None;
        }
        let start = self.module.values.start.checked_add(u64::from(table))?;
        let end = self.module.values.end.min(start.checked_add(MAX_VALUE_TABLE_BYTES)?);
        let mut cursor = Cursor { address: start, end, window: [0; 32], position: 0, filled: 0 };
        let mut reached = function.entry;
        let mut value = -1_i32;
        loop {
            let change = cursor.varint(loaded, &mut self.pages)?;
            if change == 0 && reached != function.entry {
                return None;
            }
            // Zigzag: the lowest bit is the sign.
            let magnitude = change >> 1;
            value = value.wrapping_add_unsigned(if change & 1 != 0 { !magnitude } else { magnitude });
            let step = cursor.varint(loaded, &mut self.pages)?;
            reached = reached.checked_add(u64::from(step) * u64::from(self.module.pc_quantum))?;
            if pc < reached {
                return (value >= 0).then_some(value);
            }
        }
    }

    fn text(&mut self, loaded: &Loaded, start: u64, end: u64) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        let mut address = start;
        while address < end && text.len() < MAX_NAME_BYTES {
            let mut chunk = [0; 64];
            let length = chunk.len().min(usize::try_from(end - address).ok()?);
            self.pages.read(loaded, address, &mut chunk[..length])?;
            let ended = chunk[..length].iter().position(|byte| *byte == 0);
            text.extend_from_slice(&chunk[..ended.unwrap_or(length)]);
            if ended.is_some() {
                return Some(text);
            }
            address += length as u64;
        }
        (!text.is_empty()).then_some(text)
    }

    fn index_entry(&self, index: u64) -> u64 {
        self.module.index.start.saturating_add(index.saturating_mul(8))
    }

    fn record_address(&self, offset: u32) -> Option<u64> {
        let address = self.module.records.start.checked_add(u64::from(offset))?;
        (address < self.module.records.end).then_some(address)
    }

    /// Gives the cached pages back.
    pub(in crate::golang) fn forget_pages(&mut self) {
        self.pages.clear();
    }
}

/// Reads varints one after the other, a window at a time.
struct Cursor {
    address: u64,
    end: u64,
    window: [u8; 32],
    position: usize,
    filled: usize,
}

impl Cursor {
    fn varint(&mut self, loaded: &Loaded, pages: &mut Pages) -> Option<u32> {
        const LONGEST: usize = 5;
        if self.filled - self.position < LONGEST {
            self.address += self.position as u64;
            self.position = 0;
            self.filled = usize::try_from(self.end.saturating_sub(self.address)).ok()?.min(self.window.len());
            pages.read(loaded, self.address, &mut self.window[..self.filled])?;
        }
        let (value, width) = uvarint(&self.window[self.position..self.filled])?;
        self.position += width;
        u32::try_from(value).ok()
    }
}
