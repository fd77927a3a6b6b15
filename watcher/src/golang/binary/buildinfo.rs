//! Build information of Go executables, as the linker leaves it in every one of them: toolchain version, modules,
//! build settings.
//!
//! Follows `debug/buildinfo/buildinfo.go` of Go 1.27, but finds the blob by its magic alone in the writable
//! segments, since section headers may have been removed. It is how a Go process is told from any other.

use super::image::{Image, ImageError, read_up_to};
use super::modinfo;
use crate::golang::ReadAt;
use crate::golang::bytes::{u64_at, uvarint};
use crate::vocabulary::process::{GoProgram, printable};
use std::cell::Cell;
use std::io;
use std::ops::Range;

const MAGIC: &[u8; 14] = b"\xff Go buildinf:";
/// `buildInfoAlign`: the linker aligns the blob in memory.
const ALIGNMENT: u64 = 16;
const HEADER_BYTES: usize = 32;
/// Flag in byte 15: the strings follow the header (Go 1.18 and newer) instead of being pointed to.
const INLINE_STRINGS: u8 = 2;
const BIG_ENDIAN_POINTERS: u8 = 1;
const CHUNK_BYTES: usize = 256 * 1024;
/// Development builds have some hundred, with the experiments that they were built with.
const MAX_VERSION_BYTES: u64 = 256;
/// Programs with a thousand dependencies have some hundred KiB.
const MAX_MODULE_INFO_BYTES: u64 = 1024 * 1024;
/// Data segments of Go programs have a few MiB; the blob lies near their begin.
const MAX_SCANNED_BYTES: u64 = 64 * 1024 * 1024;
/// The magic is there once, and again in programs that read build information themselves.
const MAX_MAGICS: usize = 32;
/// All that is read of blobs, beside the search: one of the longest, and what was none.
const MAX_BLOB_BYTES: u64 = MAX_MODULE_INFO_BYTES + 64 * 1024;

/// Why an executable's build information could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BuildInfoError {
    /// The executable's headers could not be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The magic is there, but what follows makes no sense.
    #[error("malformed Go build information: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// The writable segments are larger than we are willing to search.
    #[error("no Go build information in the first {searched_bytes} bytes of writable data")]
    TooLarge {
        /// How much was searched.
        searched_bytes: u64,
    },
}

/// Reads the build information of an executable; `None` where it is none of Go's.
///
/// # Errors
/// Where the file cannot be read, is of a kind that is not supported, or contradicts itself. None of these says that
/// it is not Go.
pub fn read(file: &(impl ReadAt + ?Sized)) -> Result<Option<GoProgram>, BuildInfoError> {
    let image = match Image::read(file) {
        Err(ImageError::NotElf) => return Ok(None),
        other => other?,
    };
    read_image(file, &image)
}

/// The same for an executable whose headers have been read already.
///
/// # Errors
/// As [`read`].
pub fn read_image(file: &(impl ReadAt + ?Sized), image: &Image) -> Result<Option<GoProgram>, BuildInfoError> {
    let mut searched_bytes = 0;
    let mut searched: Vec<Range<u64>> = Vec::new();
    let mut malformed = None;
    let mut magics = 0;
    let blobs = Capped { file, left: Cell::new(MAX_BLOB_BYTES) };
    for segment in image.segments.iter().filter(|segment| segment.writable && !segment.executable) {
        let bytes = segment.file_offset..segment.file_offset.saturating_add(segment.file_bytes);
        // No linker lets two of them share bytes, and each would cost the same search.
        if searched.iter().any(|before| before.start < bytes.end && bytes.start < before.end) {
            continue;
        }
        searched.push(bytes);
        let mut inside = segment.address.wrapping_neg() % ALIGNMENT;
        while inside < segment.file_bytes {
            if searched_bytes >= MAX_SCANNED_BYTES {
                return Err(malformed.unwrap_or(BuildInfoError::TooLarge { searched_bytes }));
            }
            let length = usize::try_from(segment.file_bytes - inside)
                .map_or(CHUNK_BYTES, |rest| rest.min(CHUNK_BYTES));
            let chunk = read_up_to(file, segment.file_offset.saturating_add(inside), length)?;
            // The magic is aligned and chunks are multiples of the alignment: it never straddles two of them.
            for (index, _) in chunk.chunks(16).enumerate().filter(|(_, bytes)| bytes.starts_with(MAGIC)) {
                let address = segment.address.saturating_add(inside).saturating_add(index as u64 * ALIGNMENT);
                magics += 1;
                if magics > MAX_MAGICS {
                    return Err(BuildInfoError::Malformed { what: "its magic is there too often" });
                }
                match read_blob(&blobs, image, address) {
                    Ok(program) => return Ok(Some(program)),
                    Err(BuildInfoError::Image(error)) => return Err(error.into()),
                    Err(error) => malformed = malformed.or(Some(error)),
                }
            }
            if chunk.len() < length {
                break; // The file is shorter than the segment claims: there is nothing more to read.
            }
            searched_bytes += length as u64;
            inside += length as u64;
        }
    }
    malformed.map_or(Ok(None), Err)
}

/// A file of which no more is read than so many bytes.
struct Capped<'a, F: ?Sized> {
    file: &'a F,
    left: Cell<u64>,
}

impl<F: ReadAt + ?Sized> ReadAt for Capped<'_, F> {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get().checked_sub(buffer.len() as u64);
        self.left.set(left.ok_or(io::ErrorKind::QuotaExceeded)?);
        self.file.read_at(offset, buffer)
    }
}

fn read_blob(
    file: &(impl ReadAt + ?Sized),
    image: &Image,
    address: u64,
) -> Result<GoProgram, BuildInfoError> {
    let header = read_address(file, image, address, HEADER_BYTES as u64)?;
    // Whatever has no version is none: what is said of its modules is not read.
    let has_version = |version: &[u8]| {
        if version.is_empty() { Err(BuildInfoError::Malformed { what: "empty version" }) } else { Ok(()) }
    };
    let (version, module_info) = if header[15] & INLINE_STRINGS != 0 {
        let (version, after) =
            read_counted(file, image, address.saturating_add(HEADER_BYTES as u64), MAX_VERSION_BYTES)?;
        has_version(&version)?;
        let (module_info, _) = read_counted(file, image, after, MAX_MODULE_INFO_BYTES)?;
        (version, module_info)
    } else {
        if header[14] != 8 || header[15] & BIG_ENDIAN_POINTERS != 0 {
            return Err(BuildInfoError::Malformed { what: "pointers of another architecture" });
        }
        let version = read_string(file, image, u64_at(&header, 16), MAX_VERSION_BYTES)?;
        has_version(&version)?;
        let module_info = read_string(file, image, u64_at(&header, 24), MAX_MODULE_INFO_BYTES)?;
        (version, module_info)
    };
    let mut program = GoProgram { version: printable(&version), ..GoProgram::default() };
    modinfo::parse(&module_info, &mut program);
    Ok(program)
}

/// A string with its length before it as a varint, and the address after it.
fn read_counted(
    file: &(impl ReadAt + ?Sized),
    image: &Image,
    address: u64,
    limit: u64,
) -> Result<(Vec<u8>, u64), BuildInfoError> {
    const LONGEST_VARINT: usize = 10;
    let (offset, rest) = file_range(image, address)?;
    let prefix = read_up_to(file, offset, LONGEST_VARINT.min(usize::try_from(rest).unwrap_or(usize::MAX)))?;
    let (length, width) = uvarint(&prefix).ok_or(BuildInfoError::Malformed { what: "string length" })?;
    if length > limit {
        return Err(BuildInfoError::Malformed { what: "string longer than any real one" });
    }
    let begin = address.saturating_add(width as u64);
    let bytes = if length == 0 { Vec::new() } else { read_address(file, image, begin, length)? };
    Ok((bytes, begin.saturating_add(length)))
}

/// A Go string by the address of its header (pointer, length).
fn read_string(
    file: &(impl ReadAt + ?Sized),
    image: &Image,
    header_address: Option<u64>,
    limit: u64,
) -> Result<Vec<u8>, BuildInfoError> {
    let Some(header_address) = header_address.filter(|address| *address != 0) else { return Ok(Vec::new()) };
    let header = read_address(file, image, header_address, 16)?;
    let (Some(pointer), Some(length)) = (u64_at(&header, 0), u64_at(&header, 8)) else {
        return Err(BuildInfoError::Malformed { what: "string header" });
    };
    match length {
        0 => Ok(Vec::new()),
        length if length > limit => {
            Err(BuildInfoError::Malformed { what: "string longer than any real one" })
        }
        length => read_address(file, image, pointer, length),
    }
}

/// Exactly `length` bytes that belong at `address`.
fn read_address(
    file: &(impl ReadAt + ?Sized),
    image: &Image,
    address: u64,
    length: u64,
) -> Result<Vec<u8>, BuildInfoError> {
    let (offset, rest) = file_range(image, address)?;
    let wanted = usize::try_from(length).unwrap_or(usize::MAX);
    if length > rest {
        return Err(BuildInfoError::Malformed { what: "it reaches beyond its segment" });
    }
    let bytes = read_up_to(file, offset, wanted)?;
    if bytes.len() < wanted {
        return Err(BuildInfoError::Malformed { what: "the file ends within it" });
    }
    Ok(bytes)
}

fn file_range(image: &Image, address: u64) -> Result<(u64, u64), BuildInfoError> {
    image.file_range(address).ok_or(BuildInfoError::Malformed { what: "it points outside the file" })
}

#[cfg(test)]
mod tests {
    use super::{BuildInfoError, CHUNK_BYTES, ReadAt, read};
    use crate::golang::fixture::{Elf, build_info, framed};
    use crate::vocabulary::process::Module;
    use proptest::prelude::*;
    use std::cell::Cell;

    const MODULES: &str = "path\texample.com/x/cmd/x\nmod\texample.com/x\t(devel)\t\n\
        dep\tgolang.org/x/sys\tv0.28.0\th1:abc=\ndep\texample.com/y\tv1.0.0\n=>\t../y\t\t\n\
        build\tCGO_ENABLED=0\nbuild\tvcs.revision=0123abcd\n";

    fn program(blob: &[u8]) -> Result<Option<super::GoProgram>, BuildInfoError> {
        read(&Elf::new().data(0x52_0000, blob).build()[..])
    }

    #[test]
    fn inline_strings_give_version_modules_and_settings() {
        let program = program(&build_info("go1.26.6", MODULES)).unwrap().unwrap();
        assert_eq!(program.version, "go1.26.6");
        assert_eq!(program.package.as_deref(), Some("example.com/x/cmd/x"));
        let module =
            |path: &str, version: &str| Module { path: path.to_owned(), version: version.to_owned() };
        assert_eq!(program.module, Some(module("example.com/x", "(devel)")));
        assert_eq!(program.revision.as_deref(), Some("0123abcd"));
    }

    #[test]
    fn pointed_strings_of_go_before_1_18_are_read() {
        let mut blob = b"\xff Go buildinf:\x08\x00".to_vec();
        let text = framed("path\tx\n");
        for word in [0x52_0020_u64, 0x52_0030, 0x52_0040, 8, 0x52_0048, text.len() as u64] {
            blob.extend_from_slice(&word.to_le_bytes());
        }
        blob.extend_from_slice(b"go1.17.3");
        blob.extend_from_slice(&text);
        let program = program(&blob).unwrap().unwrap();
        assert_eq!((program.version.as_str(), program.package.as_deref()), ("go1.17.3", Some("x")));
    }

    #[test]
    fn the_blob_is_found_wherever_it_is_aligned() {
        let blob = build_info("go1.22.1", "");
        for before in [0, 16, 160, CHUNK_BYTES - 16, CHUNK_BYTES, CHUNK_BYTES + 48] {
            let content = [vec![0; before], blob.clone()].concat();
            let found = program(&content).unwrap().map(|program| program.version);
            assert_eq!(found.as_deref(), Some("go1.22.1"), "{before} bytes in");
        }
        // A segment that begins off the alignment, and a blob that is off it.
        let off = [vec![0; 8], blob].concat();
        assert!(read(&Elf::new().data(0x52_0008, &off).build()[..]).unwrap().is_some());
        assert!(read(&Elf::new().data(0x52_0000, &off).build()[..]).unwrap().is_none());
    }

    #[test]
    fn what_is_not_go_is_not_an_error() {
        assert!(program(b"nothing of the kind").unwrap().is_none());
        assert!(read(&b"#!/bin/sh\n"[..]).unwrap().is_none());
        assert!(read(&Elf::new().note(b"GNU\0", 3, b"id").build()[..]).unwrap().is_none());
    }

    #[test]
    fn a_garbled_blob_is_an_error_and_not_another_program() {
        let good = build_info("go1.26.6", MODULES);
        let length_of_a_gib = [&good[..32], &[0x80, 0x80, 0x80, 0x80, 0x04]].concat();
        for (blob, expected) in [
            (good[..32].to_vec(), "it points outside the file"),
            (good[..36].to_vec(), "it reaches beyond its segment"),
            (length_of_a_gib, "string longer than any real one"),
            (build_info("", MODULES), "empty version"),
        ] {
            let error = program(&blob).unwrap_err();
            assert_eq!(error.to_string(), format!("malformed Go build information: {expected}"));
        }
        // An innocent string in the data of a Go program does not hide the real blob behind it.
        let mut decoy = b"\xff Go buildinf:\x08\x00".to_vec();
        decoy.resize(48, 0xff);
        assert!(program(&[decoy, good].concat()).unwrap().is_some());
    }

    /// Counts what is read of it.
    struct Counted {
        file: Vec<u8>,
        bytes: Cell<u64>,
        calls: Cell<u64>,
    }

    impl ReadAt for Counted {
        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.bytes.set(self.bytes.get() + buffer.len() as u64);
            self.calls.set(self.calls.get() + 1);
            self.file.read_at(offset, buffer)
        }
    }

    /// Bytes and calls that it took to say what the file is.
    fn cost(file: Vec<u8>) -> (u64, u64) {
        let counted = Counted { file, bytes: Cell::new(0), calls: Cell::new(0) };
        let _ = read(&counted);
        (counted.bytes.get(), counted.calls.get())
    }

    #[test]
    fn magics_without_end_cost_one_search() {
        const MIB: usize = 1 << 20;
        let magic = b"\xff Go buildinf:\x08\x02";
        // A version, and modules that reach to the end of the file and beyond.
        let mut promising = [&magic[..], &[0; 16], &[1, b'x', 0xff, 0xff, 0x3f]].concat();
        promising.resize(48, 0);
        for unit in [magic.to_vec(), b"\xff Go buildinf:\x08\x00".to_vec(), promising] {
            for length in [MIB, 4 * MIB] {
                let content: Vec<u8> = unit.iter().copied().cycle().take(length).collect();
                let whole = Elf::new().data(0x52_0000, &content).build();
                let cut_short = whole[..whole.len() - 100].to_vec();
                for file in [whole, cut_short] {
                    let size = file.len() as u64;
                    let (bytes, calls) = cost(file);
                    assert!(bytes <= 2 * size + MIB as u64, "{bytes} bytes read of {size}");
                    assert!(calls < 300, "{calls} calls");
                }
            }
        }
    }

    #[test]
    fn segments_that_share_their_bytes_are_searched_once() {
        let mut elf = Elf::new().data(0x52_0000, &vec![0; 1 << 20]);
        for number in 0..64 {
            elf = elf.data(0x1000_0000 + number * 0x100_0000, b"");
        }
        let mut file = elf.build();
        let (first, rest) = file[64..].split_at_mut(56);
        for header in rest.chunks_exact_mut(56).take(64) {
            header[8..16].copy_from_slice(&first[8..16]);
            header[32..48].copy_from_slice(&first[32..48]);
        }
        let size = file.len() as u64;
        let (bytes, _) = cost(file);
        assert!(bytes <= 2 * size + (1 << 20), "{bytes} bytes read of {size}");
    }

    #[test]
    fn names_cannot_control_a_terminal() {
        let program = program(&build_info("go1.26.6\x1b[2J", "path\t\x1b[31m\n")).unwrap().unwrap();
        assert_eq!(program.version, "go1.26.6\\u{1b}[2J");
        assert_eq!(program.package.as_deref(), Some("\\u{1b}[31m"));
    }

    #[test]
    fn any_flipped_byte_is_survived() {
        let file = Elf::new().data(0x52_0000, &build_info("go1.26.6", MODULES)).build();
        for position in 0..file.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut file = file.clone();
                file[position] ^= flip;
                let _ = read(&file[..]);
            }
        }
        for length in 0..file.len() {
            let _ = read(&file[..length]);
        }
    }

    proptest! {
        #[test]
        fn any_blob_is_survived(blob in proptest::collection::vec(any::<u8>(), 0..400), flags: u8) {
            let content = [b"\xff Go buildinf:\x08", &[flags][..], &blob].concat();
            let _ = program(&content);
        }
    }
}
