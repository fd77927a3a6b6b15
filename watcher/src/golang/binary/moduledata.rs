//! `runtime.moduledata`: the runtime's own map of a program, one for the executable and one for every plugin.
//!
//! `runtime/symtab.go`. From Go 1.18 to 1.27 it begins with the same words: header and parts of the pclntab, then
//! the bounds of code and data. That beginning is so regular that it is recognised by content alone, and it is
//! checked against the pclntab that it points to.

use super::loaded::Loaded;
use crate::golang::bytes::{u32_at, u64_at};
use crate::golang::metered::{Allowance, Metered};
use std::ops::Range;

/// Words of the stable beginning, up to `enoptrbss`.
const STABLE_BYTES: usize = 32 * 8;
/// How far behind the stable beginning `gofunc` and `next` are looked for; the whole structure has less.
const WHOLE_BYTES: usize = 96 * 8;
const MAX_SCANNED_BYTES: u64 = 64 * 1024 * 1024;
const MAX_MODULES: usize = 64;
/// Larger than any real symbol table.
const MAX_TABLE_BYTES: u64 = 1 << 30;
/// Those of the largest programs take some ten MiB. All names are looked through.
const MAX_NAMES_BYTES: u64 = 256 << 20;
/// The largest programs have half a million. All functions are looked through.
const MAX_FUNCTIONS: u64 = 4 << 20;
/// For the whole search. What looks like a module and is none takes a call.
const SEARCH: Allowance = Allowance { bytes: 512 << 20, calls: 1 << 17 };
const HEADER_BYTES: u64 = 72;
/// No program has addresses from here on (x86-64 and AArch64 with five page-table levels have 56 bits). Sums of an
/// address below it and anything of 32 bits cannot overflow.
pub(in crate::golang) const ADDRESS_LIMIT: u64 = 1 << 56;

/// Formats of the pclntab that are read here (`internal/abi.PCLnTabMagic`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `0xfffffff0`: Go 1.18 and 1.19.
    Go118,
    /// `0xfffffff1`: Go 1.20 and newer.
    Go120,
}

/// What a module says of itself. All addresses are run-time addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Of the structure itself.
    pub address: u64,
    /// Format of its pclntab.
    pub format: Format,
    /// The smallest step between instructions: 1 on amd64, 4 on arm64.
    pub pc_quantum: u8,
    /// Number of functions.
    pub functions: u64,
    /// `funcnametab`: names, each ended by a zero byte.
    pub names: Range<u64>,
    /// `cutab`: file numbers of each compilation unit.
    pub units: Range<u64>,
    /// `filetab`: file names, each ended by a zero byte.
    pub files: Range<u64>,
    /// `pctab`: pc-value tables.
    pub values: Range<u64>,
    /// `pclntable`: what is recorded of each function.
    pub records: Range<u64>,
    /// `ftab`: entry and record of each function, by entry.
    pub index: Range<u64>,
    /// Machine code of Go.
    pub text: Range<u64>,
    /// Initialised variables without pointers.
    pub noptrdata: Range<u64>,
    /// Initialised variables with pointers.
    pub data: Range<u64>,
    /// Zeroed variables with pointers.
    pub bss: Range<u64>,
    /// Zeroed variables without pointers; 33 MB, and sparse, in many programs built by Go 1.26 and newer.
    pub noptrbss: Range<u64>,
    /// The words behind, whose order depends on the version: `gofunc`, `next` and more.
    pub rest: Vec<u64>,
}

/// The modules of a process, the executable's first; empty where there is none of a version that is read here. The
/// first is looked for where another process of the same executable has it, then everywhere.
pub fn find(loaded: &Loaded, hint: Option<u64>) -> Vec<Module> {
    let metered = Metered::new(loaded, SEARCH);
    let loaded = &metered.loaded();
    let hinted = hint.and_then(|address| recognise_at(loaded, address));
    let search = || {
        loaded.initialised_data().find_map(|range| {
            loaded.scan(range, STABLE_BYTES, MAX_SCANNED_BYTES, |address, bytes| {
                recognise(loaded, address, bytes)
            })
        })
    };
    let mut modules: Vec<Module> = hinted.or_else(search).into_iter().collect();
    follow(loaded, &mut modules);
    modules
}

/// The modules that were linked behind `last` since it was read: plugins that were loaded meanwhile. `known` are the
/// addresses of all that are known, `last` among them. One read where there are none.
pub(in crate::golang) fn newer(loaded: &Loaded, last: &Module, known: &[u64]) -> Vec<Module> {
    let mut now = last.clone();
    let mut rest = vec![0; last.rest.len() * 8];
    if known.len() >= MAX_MODULES
        || loaded.memory.read(last.address.wrapping_add(STABLE_BYTES as u64), &mut rest).is_err()
    {
        return Vec::new();
    }
    now.rest = words(&rest);
    if now.rest == last.rest {
        return Vec::new();
    }
    // Only what is new there can be the link; the rest was followed before.
    now.rest =
        now.rest.iter().zip(&last.rest).filter(|(now, before)| now != before).map(|(now, _)| *now).collect();
    now.rest.retain(|word| !known.contains(word));
    let mut modules = vec![now];
    follow(loaded, &mut modules);
    modules.retain(|module| !known.contains(&module.address));
    modules.truncate(MAX_MODULES - known.len());
    modules
}

/// Appends the modules that the last one leads to.
///
/// `next` links the modules of plugins. Its place depends on the version, its target does not look like anything else.
/// A link back into the list ends it.
fn follow(loaded: &Loaded, modules: &mut Vec<Module>) {
    let mut last = 0;
    while let Some(module) = modules.get(last).filter(|_| modules.len() < MAX_MODULES) {
        let next = module
            .rest
            .iter()
            .filter(|word| **word != 0 && **word % 8 == 0)
            .filter(|word| modules.iter().all(|known| known.address != **word))
            .find_map(|word| recognise_at(loaded, *word));
        modules.extend(next);
        last += 1;
    }
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).filter_map(|word| u64_at(word, 0)).collect()
}

fn recognise_at(loaded: &Loaded, address: u64) -> Option<Module> {
    let mut bytes = [0; STABLE_BYTES];
    loaded.memory.read(address, &mut bytes).ok()?;
    recognise(loaded, address, &bytes)
}

/// Takes the bytes at `address` for a `moduledata` if all that it says of itself holds together.
fn recognise(loaded: &Loaded, address: u64, bytes: &[u8]) -> Option<Module> {
    let word = |index: usize| u64_at(bytes, index * 8);
    let header = word(0)?;
    // Cheapest test first, as this runs for every word of the data segments: the names follow the header closely.
    if !(HEADER_BYTES..=256).contains(&word(1)?.wrapping_sub(header)) || header == 0 || header % 8 != 0 {
        return None;
    }
    let slice = |index: usize, element_bytes: u64| {
        let (start, length, capacity) = (word(index)?, word(index + 1)?, word(index + 2)?);
        let bytes = length.checked_mul(element_bytes)?;
        let fits = length == capacity && bytes <= MAX_TABLE_BYTES && start < ADDRESS_LIMIT;
        fits.then_some(start..start.checked_add(bytes)?)
    };
    let range = |index: usize| {
        let (start, end) = (word(index)?, word(index + 1)?);
        (start <= end && end < ADDRESS_LIMIT).then_some(start..end)
    };
    let (names, units, files) = (slice(1, 1)?, slice(4, 4)?, slice(7, 1)?);
    let (values, records, index) = (slice(10, 1)?, slice(13, 1)?, slice(16, 8)?);
    let ordered = names.start < units.start
        && units.start <= files.start
        && files.start <= values.start
        && values.start <= records.start;
    let text = range(22)?;
    if !ordered || index.is_empty() || text.is_empty() {
        return None;
    }

    let mut head = [0; 72];
    if loaded.read_static(header, &mut head)? < head.len() {
        return None;
    }
    let format = match u32_at(&head, 0)? {
        0xffff_fff0 => Format::Go118,
        0xffff_fff1 => Format::Go120,
        _ => return None,
    };
    let pc_quantum = head[6];
    let functions = u64_at(&head, 8)?;
    let offsets_agree = [(32, &names), (40, &units), (48, &files), (56, &values), (64, &records)]
        .into_iter()
        .all(|(offset, range)| {
            u64_at(&head, offset).map(|value| header.wrapping_add(value)) == Some(range.start)
        });
    // One entry more than there are functions: it marks the end of the last.
    let index_agrees = (index.end - index.start) / 8 == functions.checked_add(1)?;
    let is_known = head[4] == 0 && head[5] == 0 && matches!(pc_quantum, 1 | 2 | 4) && head[7] == 8;
    let is_bounded = functions <= MAX_FUNCTIONS && names.end - names.start <= MAX_NAMES_BYTES;
    if !(offsets_agree && index_agrees && is_known && is_bounded) {
        return None;
    }
    let mut rest = vec![0; WHOLE_BYTES];
    // The structure may end before, and the segment with it.
    while loaded.memory.read(address.saturating_add(STABLE_BYTES as u64), &mut rest).is_err()
        && !rest.is_empty()
    {
        rest.truncate(rest.len() - 8);
    }
    Some(Module {
        address,
        format,
        pc_quantum,
        functions,
        names,
        units,
        files,
        values,
        records,
        index,
        text,
        noptrdata: range(24)?,
        data: range(26)?,
        bss: range(28)?,
        noptrbss: range(30)?,
        rest: words(&rest),
    })
}

impl Module {
    /// What it says without `bias`, in the terms of the executable's file, so that it can be compared with another
    /// process's. The words behind the stable part are left out: some are not addresses.
    pub(in crate::golang) fn without_bias(&self, bias: u64) -> Module {
        let moved = |range: &Range<u64>| range.start.wrapping_sub(bias)..range.end.wrapping_sub(bias);
        Module {
            address: self.address.wrapping_sub(bias),
            format: self.format,
            pc_quantum: self.pc_quantum,
            functions: self.functions,
            names: moved(&self.names),
            units: moved(&self.units),
            files: moved(&self.files),
            values: moved(&self.values),
            records: moved(&self.records),
            index: moved(&self.index),
            text: moved(&self.text),
            noptrdata: moved(&self.noptrdata),
            data: moved(&self.data),
            bss: moved(&self.bss),
            noptrbss: moved(&self.noptrbss),
            rest: Vec::new(),
        }
    }

    /// The word at `offset` bytes from the begin of the structure, behind the stable part.
    pub(in crate::golang) fn word_at(&self, offset: usize) -> Option<u64> {
        self.rest.get(offset.checked_sub(STABLE_BYTES)? / 8).copied()
    }

    /// Lies in one of the areas of variables.
    pub(in crate::golang) fn holds_variable(&self, address: u64) -> bool {
        [&self.noptrdata, &self.data, &self.bss, &self.noptrbss]
            .into_iter()
            .any(|range| range.contains(&address))
    }
}
