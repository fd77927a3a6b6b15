//! What the linker recorded of the functions of an executable, as we read it from the file alone, held against what
//! `gobin` reads of the same file: code that has nothing in common with ours.
//!
//! Of gobin everything is believed but three things. Its `decode_pcln` adds the line of the `func` keyword to lines
//! that are absolute already: to `main.main` of `depot`, which begins in line 13, where `go tool addr2line` of the twin
//! that is not stripped says 13 too, it adds another 13. So lines are taken from the table itself (`decode_pcvalue`).
//! That one ends a table where the address no longer grows, and not where the value no longer changes, as `pcvalue` in
//! `runtime/symtab.go` does: it reads on into the table behind, and what it has for the filling after a function is
//! not used. And records of inlined calls (`runtime.inlinedCall`), which had 20 bytes before Go 1.20, it takes for 16
//! in all versions: there the innermost position is compared, which does not need them, and the compiled function.

use anyhow::{Context, Result, ensure};
use gobin::GoBinary;
use gobin::structures::inline::InlineEntry;
use gobin::structures::pclntab::{FuncData, ParsedPclntab};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use watcher::golang::binary::buildinfo;
use watcher::golang::binary::image::Image;
use watcher::golang::binary::loaded::Loaded;
use watcher::golang::binary::moduledata::{self, Format};
use watcher::golang::binary::symbols::{Frame, StackPc, Symbols};
use watcher::golang::runtime::layouts::{self, Minor};
use watcher::golang::{Memory, Unreadable};
use watcher::vocabulary::process::printable;

/// Addresses that are compared in a function whose code is looked at: its entry, and others spread over it.
const ADDRESSES: u32 = 6;
/// We keep so much of a name or path.
const MAX_NAME_BYTES: usize = 4096;
/// Inlining is never that deep.
const MAX_DEPTH: usize = 64;

/// What was compared, and found to be the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    /// Functions: by entry, name and the line they begin in.
    pub functions: usize,
    /// Addresses: by file, line and inlined calls.
    pub addresses: usize,
    /// Inlined calls at them.
    pub inlined: usize,
}

/// Compares all functions of an executable, and addresses within each `every`-th of them.
pub fn compare(path: &Path, every: usize) -> Result<Compared> {
    let file = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let truth = GoBinary::parse(&file).context("gobin takes it for no program of Go")?;
    let truth = Truth::of(&truth)?;
    let image = Image::read(&file)?;
    let memory = Relocated::new(&file, &image).context("apply its relocations")?;
    let loaded = Loaded { file: &file, image: &image, bias: 0, memory: &memory };
    let modules = moduledata::find(&loaded, None);
    let module = modules.first().context("we find no module")?;
    let (text, has_inlined) = (module.text.clone(), module.format == Format::Go120);
    ensure!(text.start == truth.text, "code begins at {:#x}, not {:#x}", text.start, truth.text);
    ensure!(module.functions == truth.functions.len() as u64, "{} functions", module.functions);
    let version = buildinfo::read_image(&file, &image)?.context("it has a build information")?.version;
    let gofunc = Minor::parse(&version).and_then(layouts::known).map(|known| known.gofunc);
    ensure!(gofunc.is_some(), "{version} is in the table");
    // With the place of the inline trees by the table, and looked for as in a version that is in none.
    let mut readers =
        [gofunc, None].map(|gofunc| Symbols::new(&loaded, modules.clone(), gofunc, &Arc::default()));
    let ends = truth.functions.iter().skip(1).map(|(entry, _)| *entry).chain([text.end]);
    let mut compared = Compared::default();
    for (index, ((entry, function), end)) in truth.functions.iter().zip(ends).enumerate() {
        if end == *entry {
            // A mark that the linker set: no address lies in it.
            continue;
        }
        let [reader, _] = &mut readers;
        let ours = reader.entry_frame(&loaded, *entry).context("a function has a frame")?;
        let name = truth.name(function.name_off)?;
        ensure!(*ours.symbol == name, "at {entry:#x} we have {} and gobin {name}", ours.symbol);
        let start_line = u32::try_from(function.start_line).unwrap_or(0);
        ensure!(ours.start_line == start_line, "{name} begins in {}, not {start_line}", ours.start_line);
        compared.functions += 1;
        if index % every != 0 {
            continue;
        }
        let bytes = u32::try_from(end.saturating_sub(*entry)).context("functions are small")?;
        let inlined = if has_inlined { truth.inlined(function) } else { Vec::new() };
        for step in 0..ADDRESSES.min(bytes) {
            let offset = bytes / ADDRESSES.min(bytes) * step;
            let place = StackPc { pc: entry + u64::from(offset), is_exact: true };
            let expected = truth.frames(*entry, function, &inlined, offset)?;
            for reader in &mut readers {
                same(&reader.expand(&loaded, &[place]), &expected, has_inlined)
                    .with_context(|| format!("{name} + {offset:#x}"))?;
            }
            compared.addresses += 1;
            compared.inlined += expected.len().saturating_sub(1);
        }
    }
    ensure!(
        !has_inlined || compared.inlined * 20 > compared.addresses,
        "hardly any calls are inlined: {compared:?}"
    );
    Ok(compared)
}

/// Whether our frames are the expected ones; where inlined calls are not known, the position alone.
fn same(ours: &[Frame], expected: &[Frame], has_inlined: bool) -> Result<()> {
    let position = |frame: Option<&Frame>| frame.map(|frame| (Arc::clone(&frame.file), frame.line, frame.pc));
    let same = if has_inlined {
        let key = |frame: &Frame| (Arc::clone(&frame.symbol), frame.start_line, position(Some(frame)));
        ours.iter().map(key).eq(expected.iter().map(key))
    } else {
        let outermost = |frames: &[Frame]| frames.last().map(|frame| Arc::clone(&frame.symbol));
        // Of a wrapper what was inlined into it is shown alone.
        expected.is_empty()
            || (position(ours.first()) == position(expected.first())
                && outermost(ours) == outermost(expected))
    };
    ensure!(same, "we have {ours:#?}, gobin {expected:#?}");
    Ok(())
}

/// What gobin reads.
struct Truth<'a> {
    binary: &'a GoBinary<'a>,
    tables: ParsedPclntab<'a>,
    /// Where the code of Go begins.
    text: u64,
    /// Entries with what is recorded, ascending.
    functions: Vec<(u64, FuncData)>,
    /// The role of functions that the compiler generates around others: stacks are shown without them. It is another
    /// number in each version, and the only one that more than a handful of functions have.
    wrapper: u8,
}

impl<'a> Truth<'a> {
    fn of(binary: &'a GoBinary<'a>) -> Result<Truth<'a>> {
        let tables = binary.pclntab().context("gobin finds no pclntab")?;
        let text = binary.text_va().context("gobin does not know where code begins")?;
        let mut functions = Vec::new();
        let mut roles: HashMap<u8, usize> = HashMap::new();
        for (entry, record) in tables.func_entries() {
            let function = tables.parse_func(record).context("gobin reads every function")?;
            *roles.entry(function.func_id).or_default() += 1;
            functions.push((text + u64::from(entry), function));
        }
        roles.remove(&0);
        let wrapper = roles.into_iter().max_by_key(|(_, count)| *count).context("wrappers have a role")?.0;
        Ok(Truth { binary, tables, text, functions, wrapper })
    }

    fn name(&self, offset: i32) -> Result<String> {
        let name =
            self.tables.func_name(u32::try_from(offset)?).context("gobin has a name for each function")?;
        Ok(kept(name))
    }

    fn inlined(&self, function: &FuncData) -> Vec<InlineEntry<'a>> {
        self.binary.inline_tree(function).collect()
    }

    /// The value of a table at an offset from a function's entry.
    fn value(&self, table: u32, offset: u32) -> Option<u32> {
        let mut last = None;
        for (end, value) in self.tables.decode_pcvalue(table).take_while(|_| table != 0) {
            if last == Some(value) {
                break;
            }
            if offset < end {
                return u32::try_from(value).ok();
            }
            last = Some(value);
        }
        None
    }

    fn position(&self, function: &FuncData, offset: u32) -> Option<(String, u32)> {
        let file = self.value(function.pcfile, offset)?;
        let file = self.tables.resolve_file_via_cu(function.cu_offset, file)?;
        Some((kept(file), self.value(function.pcln, offset)?))
    }

    /// Innermost first, without wrappers.
    fn frames(
        &self,
        entry: u64,
        function: &FuncData,
        inlined: &[InlineEntry<'_>],
        mut offset: u32,
    ) -> Result<Vec<Frame>> {
        let mut frames = Vec::new();
        for _ in 0..MAX_DEPTH {
            let position = self.position(function, offset);
            let is_code = position.is_some();
            let (file, line) = position.unwrap_or_default();
            let call = inlined.iter().find(|call| is_code && call.pc_range.contains(&offset));
            let (name, role, start_line) = match call {
                Some(call) => (kept(call.function_name), call.func_id, call.start_line),
                None => (self.name(function.name_off)?, function.func_id, function.start_line),
            };
            if role != self.wrapper {
                frames.push(Frame {
                    function: "".into(),
                    symbol: name.into(),
                    file: file.into(),
                    line,
                    start_line: u32::try_from(start_line).unwrap_or(0),
                    pc: entry + u64::from(offset),
                });
            }
            let Some(call) = call else { break };
            offset = call.parent_pc;
        }
        Ok(frames)
    }
}

fn kept(text: &str) -> String {
    printable(text.as_bytes().get(..MAX_NAME_BYTES).unwrap_or(text.as_bytes()))
}

/// The segments of an executable as the loader leaves them at the addresses of the file.
struct Relocated<'a> {
    bytes: Vec<u8>,
    image: &'a Image,
}

impl<'a> Relocated<'a> {
    /// Writes what `R_X86_64_RELATIVE` says, which is all that pointers of Go need.
    fn new(file: &[u8], image: &'a Image) -> Option<Relocated<'a>> {
        const PT_DYNAMIC: u64 = 2;
        const DT_RELA: u64 = 7;
        const DT_RELASZ: u64 = 8;
        const RELATIVE: u64 = 8;
        const PROGRAM_HEADER_BYTES: usize = 56;
        let word = |at: usize| Some(u64::from_le_bytes(file.get(at..at + 8)?.try_into().ok()?));
        let place = |address: u64| usize::try_from(image.file_range(address)?.0).ok();
        let mut relocated = Relocated { bytes: file.to_owned(), image };
        let (headers, count) = (usize::try_from(word(32)?).ok()?, usize::from(*file.get(56)?));
        let mut headers = (0..count).map(|index| headers + index * PROGRAM_HEADER_BYTES);
        let Some(dynamic) = headers.find(|at| word(*at).is_some_and(|word| word & 0xffff_ffff == PT_DYNAMIC))
        else {
            return Some(relocated);
        };
        let start = usize::try_from(word(dynamic + 8)?).ok()?;
        let length = usize::try_from(word(dynamic + 32)?).ok()?;
        let entries = (start..start + length).step_by(16).map_while(|at| Some((word(at)?, word(at + 8)?)));
        let entries: HashMap<u64, u64> = entries.take_while(|(tag, _)| *tag != 0).collect();
        let (Some(table), Some(bytes)) = (entries.get(&DT_RELA), entries.get(&DT_RELASZ)) else {
            return Some(relocated);
        };
        let table = place(*table)?;
        for at in (table..table + usize::try_from(*bytes).ok()?).step_by(24) {
            if word(at + 8)? == RELATIVE {
                let target = place(word(at)?)?;
                relocated.bytes.get_mut(target..target + 8)?.copy_from_slice(&word(at + 16)?.to_le_bytes());
            }
        }
        Some(relocated)
    }
}

impl Memory for Relocated<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let range = self.image.file_range(address).and_then(|(offset, rest)| {
            let offset = usize::try_from(offset).ok()?;
            (buffer.len() as u64 <= rest).then(|| self.bytes.get(offset..offset + buffer.len()))?
        });
        buffer.copy_from_slice(range.ok_or(Unreadable { address, length: buffer.len() })?);
        Ok(())
    }
}
