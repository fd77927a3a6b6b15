//! The names of package variables, from the symbol table of executables that still have one.

use super::super::ReadAt;
use super::super::binary::image::read_up_to;
use super::super::bytes::{u16_at, u32_at, u64_at};
use std::ops::Range;
use std::sync::Arc;

const SECTION_HEADER_BYTES: usize = 64;
const MAX_SECTIONS: usize = 512;
const SYMBOL_BYTES: usize = 24;
/// The largest programs have half a million symbols.
const MAX_TABLE_BYTES: u64 = 64 << 20;
const MAX_VARIABLES: usize = 1 << 18;
const MAX_NAME_BYTES: usize = 512;
/// `SHT_SYMTAB` and `STT_OBJECT` of the ELF specification.
const SYMBOL_TABLE: u32 = 2;
const OBJECT: u8 = 1;

/// A package variable as the linker named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Where it begins, as the executable has it.
    pub address: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// `main.sessions`.
    pub name: Arc<str>,
}

/// The variables that begin within `ranges` (addresses as the executable has them), sorted; none where the symbol table
/// was removed.
pub fn read(file: &(impl ReadAt + ?Sized), ranges: &[Range<u64>]) -> Vec<Variable> {
    read_table(file, ranges).unwrap_or_default()
}

fn read_table(file: &(impl ReadAt + ?Sized), ranges: &[Range<u64>]) -> Option<Vec<Variable>> {
    let header = read_up_to(file, 0, 64).ok()?;
    let (offset, size, count) = (u64_at(&header, 40)?, u16_at(&header, 58)?, u16_at(&header, 60)?);
    if offset == 0 || usize::from(size) != SECTION_HEADER_BYTES {
        return None;
    }
    let count = usize::from(count).min(MAX_SECTIONS);
    let headers = read_up_to(file, offset, count * SECTION_HEADER_BYTES).ok()?;
    let mut sections = headers.chunks_exact(SECTION_HEADER_BYTES);
    let symbols = sections.find(|section| u32_at(section, 4) == Some(SYMBOL_TABLE))?;
    let strings = headers.chunks_exact(SECTION_HEADER_BYTES).nth(u32_at(symbols, 40)? as usize)?;
    let content = |section: &[u8]| {
        let length = u64_at(section, 32)?.min(MAX_TABLE_BYTES);
        read_up_to(file, u64_at(section, 24)?, usize::try_from(length).ok()?).ok()
    };
    let (symbols, strings) = (content(symbols)?, content(strings)?);
    let variable = |symbol: &[u8]| {
        let (address, bytes) = (u64_at(symbol, 8)?, u64_at(symbol, 16)?);
        if symbol.get(4)? & 0xf != OBJECT || !ranges.iter().any(|range| range.contains(&address)) {
            return None;
        }
        let name = strings.get(u32_at(symbol, 0)? as usize..)?;
        let name = name.get(..memchr::memchr(0, name.get(..name.len().min(MAX_NAME_BYTES))?)?)?;
        let name = std::str::from_utf8(name).ok()?;
        (!name.is_empty() && !name.chars().any(char::is_control)).then(|| Variable {
            address,
            bytes,
            name: name.into(),
        })
    };
    let mut variables: Vec<Variable> =
        symbols.chunks_exact(SYMBOL_BYTES).filter_map(variable).take(MAX_VARIABLES).collect();
    variables.sort_by_key(|variable| variable.address);
    Some(variables)
}

#[cfg(test)]
mod tests {
    use super::read;

    /// An executable that has nothing but a symbol table: (name, kind, address, size).
    fn executable(symbols: &[(&str, u8, u64, u64)]) -> Vec<u8> {
        let (mut table, mut strings) = (Vec::new(), vec![0]);
        for (name, kind, address, size) in symbols {
            table.extend_from_slice(&u32::try_from(strings.len()).unwrap().to_le_bytes());
            table.extend_from_slice(&[*kind, 0, 1, 0]);
            table.extend_from_slice(&address.to_le_bytes());
            table.extend_from_slice(&size.to_le_bytes());
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
        }
        let mut file = vec![0; 64];
        let section = |kind: u32, link: u32, offset: usize, length: usize| {
            let mut header = vec![0; 64];
            header[4..8].copy_from_slice(&kind.to_le_bytes());
            header[24..32].copy_from_slice(&(offset as u64).to_le_bytes());
            header[32..40].copy_from_slice(&(length as u64).to_le_bytes());
            header[40..44].copy_from_slice(&link.to_le_bytes());
            header
        };
        let begin = 64 + 2 * 64;
        let headers = [section(2, 1, begin, table.len()), section(3, 0, begin + table.len(), strings.len())];
        file[40] = 64;
        file[58] = 64;
        file[60] = 2;
        headers.iter().chain([&table, &strings]).for_each(|part| file.extend_from_slice(part));
        file
    }

    #[test]
    fn variables_are_named_where_a_symbol_table_is_left() {
        let file = executable(&[
            ("main.sessions", 1, 0x2010, 8),
            ("main.main", 2, 0x2018, 8),
            ("main.cache", 1, 0x2000, 16),
            ("main.elsewhere", 1, 0x9000, 8),
        ]);
        let found = read(&file, &[0x2000..0x3000, 0x5000..0x5008]);
        let found: Vec<_> = found.iter().map(|it| (it.address, it.bytes, &*it.name)).collect();
        assert_eq!(found, [(0x2000, 16, "main.cache"), (0x2010, 8, "main.sessions")]);
        for length in 0..file.len() {
            assert!(read(&file[..length], &[0x2000..0x3000, 0x5000..0x5008]).len() <= 2);
        }
        let mut without = file;
        without[60] = 0;
        assert!(read(&without, &[0x2000..0x3000, 0x5000..0x5008]).is_empty());
    }
}
