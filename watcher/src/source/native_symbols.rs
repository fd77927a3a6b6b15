//! Names of functions that are not Go's: of C libraries, and of C in programs with cgo.
//!
//! The symbol tables of the mapped files have them. What is read of a file is its tables alone, copied: it belongs to
//! the watched process, and a mapped file that its owner cuts short would end whoever touches it.

use crate::source::proc::{FileIdentity, Mapping, ProcessDir};
use crate::source::target_file::TargetFile;
use crate::vocabulary::process::printable;
use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Symbolized, Symbolizer};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Names that are kept; the C that a program calls into the kernel from has a few hundred places.
const MAX_CACHED: usize = 16_384;
/// Symbol tables of one file that are read. Those of the largest browsers take a few hundred MiB, those of the
/// libraries that Go programs link a few.
const MAX_TABLE_BYTES: u64 = 64 << 20;
/// Sections of one file that are looked at.
const MAX_SECTIONS: u64 = 4096;

/// A function that is not Go's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NativeFrame {
    /// Its name, without version and arguments; where the file does not name it, the file's name and the place in it:
    /// `libc.so.6+0x94121`. Printable form.
    pub function: Arc<str>,
    /// Path of the file that has it, or the kernel's name for the mapping. Printable form.
    pub file: Arc<str>,
}

/// Looks names up and remembers them.
#[derive(Debug, Default)]
pub struct NativeSymbols {
    /// By file and offset in it; `None` where the file names nothing there.
    names: HashMap<(FileIdentity, u64), Option<Arc<str>>>,
}

impl NativeSymbols {
    /// The functions at `addresses` of a process, which are return addresses but for the first, one for each as far
    /// as they lie in code: an address that does not shows that the walk of the stack has lost its way, and it and
    /// all behind it are left out. `mappings` are those of the process.
    pub fn frames(
        &mut self,
        process: &ProcessDir,
        mappings: &[Mapping],
        addresses: &[u64],
    ) -> Vec<NativeFrame> {
        // The call stands before the address to which it returns.
        let calls = addresses
            .iter()
            .enumerate()
            .map(|(index, address)| address - u64::from(index > 0 && *address > 0));
        let places = calls.map_while(|address| {
            let mapping = code_at(mappings, address)?;
            Some((mapping, (address - mapping.range.start).checked_add(mapping.file_offset)?))
        });
        let places: Vec<(&Mapping, u64)> = places.collect();
        let files = self.learn(process, &places);
        let frame = |(mapping, offset): &(&Mapping, u64)| {
            let identity = files.get(&mapping.range.start);
            let known = identity.and_then(|identity| self.names.get(&(*identity, *offset))?.clone());
            let function = known.unwrap_or_else(|| {
                let file = mapping.name.rsplit('/').next().unwrap_or_default();
                format!("{file}+{offset:#x}").into()
            });
            NativeFrame { function, file: mapping.name.as_str().into() }
        };
        places.iter().map(frame).collect()
    }

    /// Looks up what is not known yet, file by file, and tells which file each mapping is of, by its start.
    fn learn(&mut self, process: &ProcessDir, places: &[(&Mapping, u64)]) -> HashMap<u64, FileIdentity> {
        let mut files = HashMap::new();
        for (mapping, _) in places {
            if files.contains_key(&mapping.range.start) {
                continue;
            }
            let Some(file) = process.mapped_file(mapping).into_seen() else { continue };
            let identity = file.identity();
            files.insert(mapping.range.start, identity);
            let of_file =
                places.iter().filter(|(of, _)| of.range == mapping.range).map(|(_, offset)| *offset);
            let unknown: Vec<u64> =
                of_file.filter(|offset| !self.names.contains_key(&(identity, *offset))).collect();
            if unknown.is_empty() {
                continue;
            }
            if self.names.len() + unknown.len() > MAX_CACHED {
                self.names.clear();
            }
            let names = names_at(&file, &unknown);
            let names = names.into_iter().map(|name| name.map(|name| Arc::from(printable(name.as_bytes()))));
            self.names.extend(unknown.iter().map(|offset| (identity, *offset)).zip(names));
        }
        files
    }
}

/// The mapping that holds this address, if it is code.
fn code_at(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let index = mappings.partition_point(|mapping| mapping.range.end <= address);
    mappings.get(index).filter(|mapping| mapping.range.contains(&address) && mapping.is_executable)
}

/// The symbols that cover these places in the file, in the same order; that a symbol is the nearest is not enough.
fn names_at(file: &TargetFile, offsets: &[u64]) -> Vec<Option<String>> {
    let nothing = || vec![None; offsets.len()];
    let Ok(tables) = copy_tables(file) else { return nothing() };
    let source =
        Source::Elf(Elf { debug_syms: false, ..Elf::new(format!("/proc/self/fd/{}", tables.as_raw_fd())) });
    let symbolizer = Symbolizer::builder().enable_auto_reload(false).enable_code_info(false).build();
    let Ok(found) = symbolizer.symbolize(&source, Input::FileOffset(offsets)) else { return nothing() };
    let name = |found: Symbolized<'_>| {
        let symbol = found.into_sym()?;
        symbol.size.filter(|bytes| symbol.offset < *bytes)?;
        Some(symbol.name.into_owned())
    };
    let mut names: Vec<Option<String>> = found.into_iter().map(name).collect();
    names.resize(offsets.len(), None);
    names
}

/// Names of functions at some places of a library, from bytes, for fuzz targets.
#[cfg(feature = "fuzzing")]
pub(super) fn understand(bytes: &[u8]) {
    let Ok(file) = memfd_create(c"library", MFdFlags::MFD_CLOEXEC).map(File::from) else { return };
    if file.write_all_at(bytes, 0).is_ok()
        && let Ok(file) = TargetFile::direct(file)
    {
        let _ = names_at(&file, &[0, 0x1000, 0x1004, bytes.len() as u64, u64::MAX]);
    }
}

/// A file in memory, as large as this one, with its ELF headers and symbol tables where they were and nothing else.
fn copy_tables(file: &TargetFile) -> io::Result<File> {
    const HEADER_BYTES: usize = 64;
    const SECTION_BYTES: u64 = 64;
    const PROGRAM_HEADER_BYTES: u64 = 56;
    /// `SHT_SYMTAB`, `SHT_STRTAB`, `SHT_DYNSYM`.
    const TABLES: [u64; 3] = [2, 3, 11];
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0)?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let copy = File::from(memfd_create(c"tables", MFdFlags::MFD_CLOEXEC)?);
    copy.set_len(file.len())?;
    copy.write_all_at(&header, 0)?;
    let mut budget = MAX_TABLE_BYTES;
    let (programs, count) = (number(&header, 32, 8), number(&header, 56, 2));
    copy_range(file, &copy, programs, count * PROGRAM_HEADER_BYTES, &mut budget)?;
    for index in 0..count {
        let mut program = [0; PROGRAM_HEADER_BYTES as usize];
        copy.read_exact_at(&mut program, programs + index * PROGRAM_HEADER_BYTES)?;
        // Where it lies in the file and in memory, and how long it is in each: whoever reads the copy adds these up.
        let [offset, address, bytes, room] = [8, 16, 32, 40].map(|at| number(&program, at, 8));
        let ends = [offset.checked_add(bytes), address.checked_add(bytes), address.checked_add(room)];
        if ends.contains(&None) {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    let (sections, count) = (number(&header, 40, 8), number(&header, 60, 2).min(MAX_SECTIONS));
    copy_range(file, &copy, sections, count * SECTION_BYTES, &mut budget)?;
    for index in 0..count {
        let mut section = [0; SECTION_BYTES as usize];
        let at = sections.checked_add(index * SECTION_BYTES).ok_or(io::ErrorKind::InvalidData)?;
        file.read_exact_at(&mut section, at)?;
        if number(&section, 24, 8).checked_add(number(&section, 32, 8)).is_none() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if TABLES.contains(&number(&section, 4, 4)) {
            copy_range(file, &copy, number(&section, 24, 8), number(&section, 32, 8), &mut budget)?;
        }
    }
    Ok(copy)
}

/// A little-endian number of the header.
fn number(bytes: &[u8], at: usize, width: usize) -> u64 {
    bytes
        .get(at..at + width)
        .unwrap_or_default()
        .iter()
        .rev()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn copy_range(from: &TargetFile, to: &File, start: u64, length: u64, budget: &mut u64) -> io::Result<()> {
    const CHUNK_BYTES: u64 = 64 << 10;
    *budget = budget.checked_sub(length).ok_or(io::ErrorKind::FileTooLarge)?;
    let end = start.checked_add(length).ok_or(io::ErrorKind::InvalidData)?;
    let mut buffer = vec![0; usize::try_from(length.min(CHUNK_BYTES)).unwrap_or(0)];
    let mut at = start;
    while at < end {
        let rest = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
        let chunk = buffer.get_mut(..rest).unwrap_or_default();
        from.read_exact_at(chunk, at)?;
        to.write_all_at(chunk, at)?;
        at += chunk.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{NativeSymbols, TargetFile, code_at, names_at, number};
    use crate::source::proc::{Mapping, ProcRoot, ProcessDir};
    use proptest::prelude::*;
    use std::io::{Read, Write};

    fn own() -> (ProcessDir, Vec<Mapping>) {
        let process = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        let mappings = process.mappings().into_seen().unwrap();
        (process, mappings)
    }

    #[test]
    fn functions_of_the_c_library_have_names() {
        let (process, mappings) = own();
        let mut symbols = NativeSymbols::default();
        let malloc = (libc::malloc as *const ()).addr() as u64;
        for _ in 0..2 {
            let frames = symbols.frames(&process, &mappings, &[malloc + 4, malloc + 1, 0x10, malloc]);
            let names: Vec<&str> = frames.iter().map(|frame| &*frame.function).collect();
            // Which of its names the library lists first is its own affair.
            assert!(names.len() == 2 && names.iter().all(|name| name.contains("malloc")), "{names:?}");
            assert!(frames[0].file.contains("libc"), "{frames:?}");
        }
        assert_eq!(symbols.names.len(), 2);
    }

    #[test]
    fn a_place_that_no_symbol_covers_is_named_by_its_file() {
        let (process, mappings) = own();
        let library =
            mappings.iter().find(|mapping| mapping.name.contains("libc.so") && mapping.is_executable);
        let library = library.unwrap();
        // What precedes the first function of a library is no symbol's.
        let frames = NativeSymbols::default().frames(&process, &mappings, &[library.range.start]);
        let expected = format!("{}+{:#x}", library.name.rsplit('/').next().unwrap(), library.file_offset);
        assert_eq!(&*frames[0].function, expected);
    }

    #[test]
    fn what_is_no_code_ends_a_stack() {
        let (_, mappings) = own();
        let local = 0;
        assert!(code_at(&mappings, (&raw const local).addr() as u64).is_none());
        assert!(code_at(&mappings, 0).is_none());
        assert!(code_at(&mappings, u64::MAX).is_none());
    }

    #[test]
    fn a_segment_beyond_all_addresses_is_refused() {
        let (process, mappings) = own();
        let library = mappings.iter().find(|mapping| mapping.name.contains("libc.so")).unwrap();
        let mut bytes = Vec::new();
        process.mapped_file(library).into_seen().unwrap().read_to_end(&mut bytes).unwrap();
        let programs = usize::try_from(number(&bytes, 32, 8)).unwrap();
        let names = |bytes: &[u8]| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(bytes).unwrap();
            let malloc = (libc::malloc as *const ()).addr() as u64;
            let mapping = code_at(&mappings, malloc).unwrap();
            let file = TargetFile::direct(file).unwrap();
            names_at(&file, &[malloc - mapping.range.start + mapping.file_offset]).remove(0)
        };
        assert!(names(&bytes).is_some());
        for field in [8, 16, 32, 40] {
            let mut garbled = bytes.clone();
            garbled[programs + 56 + field..][..8].fill(0xff);
            assert_eq!(names(&garbled), None, "field at {field}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn garbled_files_do_no_harm(
            garbage in prop::collection::vec((0_usize..3, any::<usize>(), any::<u8>()), 0..40),
            offset in 0_u64..3 << 20,
        ) {
            let (process, mappings) = own();
            let library = mappings.iter().find(|mapping| mapping.name.contains("libc.so")).unwrap();
            let mut bytes = Vec::new();
            process.mapped_file(library).into_seen().unwrap().read_to_end(&mut bytes).unwrap();
            let sections = usize::try_from(number(&bytes, 40, 8)).unwrap();
            for (region, at, byte) in garbage {
                // The headers, the list of sections behind everything else, the symbols.
                let region = [0..1024, sections..bytes.len(), 0..256 << 10][region].clone();
                bytes[region.start + at % region.len()] = byte;
            }
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let file = TargetFile::direct(file).unwrap();
            prop_assert_eq!(names_at(&file, &[offset, 0]).len(), 2);
        }
    }
}
