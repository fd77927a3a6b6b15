//! The program headers of an ELF executable: which part of the file lies at which address.
//!
//! Nothing but build ids is taken from section headers: they may have been removed, and the kernel does not need them
//! either.

use crate::golang::ReadAt;
use crate::golang::bytes::{u16_at, u32_at, u64_at};
use object::elf;
use std::io;

/// Executables have about a dozen program headers; the limit only keeps hostile ones cheap.
const MAX_PROGRAM_HEADERS: usize = 512;
const FILE_HEADER_BYTES: usize = 64;
const PROGRAM_HEADER_BYTES: usize = 56;
/// Executables have about thirty.
const MAX_SECTION_HEADERS: usize = 512;
const SECTION_HEADER_BYTES: usize = 64;
const MAX_NOTE_BYTES: u64 = 16 * 1024;

/// What the kernel maps of an executable, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The processor it was built for.
    pub machine: Machine,
    /// `ET_DYN`: the kernel chooses the base, addresses in the file count from there.
    pub position_independent: bool,
    /// Address of the first instruction, before relocation. Where the kernel put it tells the bias of all others.
    pub entry: u64,
    /// `PT_LOAD` segments in file order.
    pub segments: Vec<Segment>,
    notes: Vec<Segment>,
}

/// Processors by `e_machine`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64 (`amd64` in Go).
    X86_64,
    /// AArch64 (`arm64` in Go).
    Aarch64,
    /// Any other, by its number.
    Other(u16),
}

/// One program header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Where its bytes begin in the file.
    pub file_offset: u64,
    /// How many of its bytes the file holds; the rest is zero.
    pub file_bytes: u64,
    /// Where it lies in memory, before relocation.
    pub address: u64,
    /// Its size in memory.
    pub memory_bytes: u64,
    /// `PF_W`.
    pub writable: bool,
    /// `PF_X`.
    pub executable: bool,
}

/// Build ids of an executable, from its notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuildId {
    /// `NT_GNU_BUILD_ID`: chosen by the linker, usually 20 bytes.
    pub gnu: Option<Vec<u8>>,
    /// Go's own: `action/content` hashes as the go command wrote them.
    pub go: Option<Vec<u8>>,
}

/// Why an executable's headers could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The system refused a read.
    #[error("read executable at offset {offset}: {source}")]
    Read {
        /// Position in the file.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Not an ELF file: a script, an image of something else.
    #[error("not an ELF file")]
    NotElf,
    /// An ELF file of a kind that is not read here.
    #[error("{what} executables are not supported")]
    Unsupported {
        /// Which kind.
        what: &'static str,
    },
    /// The headers contradict themselves or the file ends too early.
    #[error("malformed ELF file: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

impl Image {
    /// Of an executable that has nothing in it.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(in crate::golang) fn without_segments(machine: Machine) -> Image {
        Image { machine, position_independent: false, entry: 0, segments: Vec::new(), notes: Vec::new() }
    }

    /// Reads file header and program headers.
    ///
    /// # Errors
    /// See [`ImageError`]. 32-bit and big-endian executables are `Unsupported`.
    pub fn read(file: &(impl ReadAt + ?Sized)) -> Result<Image, ImageError> {
        let header = read_up_to(file, 0, FILE_HEADER_BYTES)?;
        if header.get(..4) != Some(&elf::ELFMAG[..]) {
            return Err(ImageError::NotElf);
        }
        if header.len() < FILE_HEADER_BYTES {
            return Err(ImageError::Malformed { what: "file header cut off" });
        }
        if header[5] == elf::ELFDATA2MSB.0 {
            return Err(ImageError::Unsupported { what: "big-endian" });
        }
        if header[4] == elf::ELFCLASS32.0 {
            return Err(ImageError::Unsupported { what: "32-bit" });
        }
        let malformed = |what| ImageError::Malformed { what };
        if header[4] != elf::ELFCLASS64.0 || header[5] != elf::ELFDATA2LSB.0 {
            return Err(malformed("unknown class or byte order"));
        }
        let half = |offset| u16_at(&header, offset).ok_or(malformed("file header cut off"));
        let kind = half(16)?;
        let machine = match elf::Machine(half(18)?) {
            elf::EM_X86_64 => Machine::X86_64,
            elf::EM_AARCH64 => Machine::Aarch64,
            other => Machine::Other(other.0),
        };
        let headers_offset = u64_at(&header, 32).ok_or(malformed("file header cut off"))?;
        let count = usize::from(half(56)?);
        if usize::from(half(54)?) != PROGRAM_HEADER_BYTES {
            return Err(malformed("program headers of unknown size"));
        }
        if count == 0 || count > MAX_PROGRAM_HEADERS {
            return Err(malformed("no program headers or too many"));
        }
        let table = read_up_to(file, headers_offset, count * PROGRAM_HEADER_BYTES)?;
        if table.len() < count * PROGRAM_HEADER_BYTES {
            return Err(malformed("program headers cut off"));
        }
        let mut image = Image {
            machine,
            entry: u64_at(&header, 24).ok_or(malformed("file header cut off"))?,
            position_independent: kind == elf::ET_DYN.0,
            segments: Vec::new(),
            notes: Vec::new(),
        };
        for entry in table.chunks_exact(PROGRAM_HEADER_BYTES) {
            match u32_at(entry, 0).map(elf::ProgramType) {
                Some(elf::PT_LOAD) => image.segments.extend(Segment::parse(entry)),
                Some(elf::PT_NOTE) => image.notes.extend(Segment::parse(entry)),
                _ => {}
            }
        }
        Ok(image)
    }

    /// Position in the file of the byte that belongs at `address`, with the bytes that follow it in its segment.
    pub fn file_range(&self, address: u64) -> Option<(u64, u64)> {
        let segment = self.segments.iter().find(|segment| segment.holds(address))?;
        let inside = address - segment.address;
        Some((segment.file_offset.checked_add(inside)?, segment.file_bytes - inside))
    }

    /// Build ids, from the notes that the program headers name, and the section headers where there are any.
    ///
    /// # Errors
    /// Where the file cannot be read. Notes that make no sense are passed over.
    pub fn build_id(&self, file: &(impl ReadAt + ?Sized)) -> Result<BuildId, ImageError> {
        /// `ELF_NOTE_GOBUILDID_TAG` in `cmd/link/internal/ld/elf.go`.
        const NT_GO_BUILD_ID: u32 = 4;
        const NT_GNU_BUILD_ID: u32 = elf::NT_GNU_BUILD_ID.0;
        let mut id = BuildId::default();
        let mut take = |places: &[Segment]| {
            for segment in places {
                let length = usize::try_from(segment.file_bytes.min(MAX_NOTE_BYTES)).unwrap_or(0);
                let bytes = read_up_to(file, segment.file_offset, length)?;
                for (name, kind, content) in Notes(&bytes) {
                    match (name, kind) {
                        (b"GNU\0", NT_GNU_BUILD_ID) => id.gnu = Some(content.to_vec()),
                        (b"Go\0\0", NT_GO_BUILD_ID) => id.go = Some(content.to_vec()),
                        _ => {}
                    }
                }
            }
            Ok::<_, ImageError>(())
        };
        take(&self.notes)?;
        // Go's own linker, from 1.24 on, maps its own note and leaves the other to the section headers alone.
        take(&note_sections(file)?)?;
        Ok(id)
    }
}

impl Segment {
    fn parse(entry: &[u8]) -> Option<Segment> {
        let flags = elf::ProgramFlags(u32_at(entry, 4)?);
        Some(Segment {
            file_offset: u64_at(entry, 8)?,
            address: u64_at(entry, 16)?,
            file_bytes: u64_at(entry, 32)?,
            memory_bytes: u64_at(entry, 40)?,
            writable: flags.contains(elf::PF_W),
            executable: flags.contains(elf::PF_X),
        })
    }

    fn holds(&self, address: u64) -> bool {
        address.checked_sub(self.address).is_some_and(|inside| inside < self.file_bytes)
    }
}

/// Where notes lie by the section headers; nowhere in a file without any.
fn note_sections(file: &(impl ReadAt + ?Sized)) -> Result<Vec<Segment>, ImageError> {
    let header = read_up_to(file, 0, FILE_HEADER_BYTES)?;
    let (Some(offset), Some(size), Some(count)) =
        (u64_at(&header, 40), u16_at(&header, 58), u16_at(&header, 60))
    else {
        return Ok(Vec::new());
    };
    let count = usize::from(count).min(MAX_SECTION_HEADERS);
    if offset == 0 || usize::from(size) != SECTION_HEADER_BYTES {
        return Ok(Vec::new());
    }
    let table = read_up_to(file, offset, count * SECTION_HEADER_BYTES)?;
    let is_note = |entry: &&[u8]| u32_at(entry, 4) == Some(elf::SHT_NOTE.0);
    let place = |entry: &[u8]| {
        Some(Segment {
            file_offset: u64_at(entry, 24)?,
            file_bytes: u64_at(entry, 32)?,
            address: u64_at(entry, 16)?,
            memory_bytes: u64_at(entry, 32)?,
            writable: false,
            executable: false,
        })
    };
    Ok(table.chunks_exact(SECTION_HEADER_BYTES).filter(is_note).filter_map(place).collect())
}

/// The notes of one `PT_NOTE` segment: name, type, content. Ends at the first that does not fit.
struct Notes<'a>(&'a [u8]);

impl<'a> Iterator for Notes<'a> {
    type Item = (&'a [u8], u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.0;
        let name_bytes = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let content_bytes = usize::try_from(u32_at(bytes, 4)?).ok()?;
        let kind = u32_at(bytes, 8)?;
        let name = bytes.get(12..)?.get(..name_bytes.checked_next_multiple_of(4)?)?;
        let rest = &bytes[12 + name.len()..];
        let content = rest.get(..content_bytes)?;
        self.0 = rest.get(content_bytes.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some((name, kind, content))
    }
}

/// At most `length` bytes at `offset`; fewer where the file ends.
pub(in crate::golang) fn read_up_to(
    file: &(impl ReadAt + ?Sized),
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, ImageError> {
    let mut buffer = vec![0; length];
    let mut filled = 0;
    while filled < length {
        let at = offset.saturating_add(filled as u64);
        match file.read_at(at, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count.min(length - filled),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ImageError::Read { offset: at, source }),
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use super::{Image, ImageError, Machine};
    use crate::golang::fixture::Elf;

    #[test]
    fn segments_and_notes_come_from_program_headers_alone() {
        let file = Elf::new()
            .data(0x52_0000, b"data")
            .note(b"GNU\0", 3, &[0xab; 20])
            .note(b"Go\0\0", 4, b"a/b/c")
            .note(b"Go\0\0", 9, b"of another kind")
            .build();
        let image = Image::read(&file[..]).unwrap();
        assert_eq!(image.machine, Machine::X86_64);
        assert_eq!(image.segments.len(), 1);
        let (offset, rest) = image.file_range(0x52_0001).unwrap();
        assert_eq!(&file[usize::try_from(offset).unwrap()..][..3], b"ata");
        assert_eq!(rest, 3);
        assert_eq!(image.file_range(0x52_0004), None);
        assert_eq!(image.file_range(0x51_ffff), None);
        let id = image.build_id(&file[..]).unwrap();
        assert_eq!(id.gnu, Some(vec![0xab; 20]));
        assert_eq!(id.go, Some(b"a/b/c".to_vec()));
    }

    #[test]
    fn a_build_id_that_only_a_section_names_is_found() {
        let mut file = Elf::new().data(0x52_0000, b"data").note(b"Go\0\0", 4, b"a/b/c").build();
        let mut append = |bytes: &[u8]| {
            let start = file.len();
            file.extend_from_slice(bytes);
            start
        };
        let mut note = Vec::new();
        for word in [4, 20, 3_u32] {
            note.extend_from_slice(&word.to_le_bytes());
        }
        note.extend_from_slice(b"GNU\0");
        note.extend_from_slice(&[0xcd; 20]);
        let note_start = append(&note);
        let mut section = [0; 64];
        section[4..8].copy_from_slice(&7_u32.to_le_bytes());
        section[24..32].copy_from_slice(&(note_start as u64).to_le_bytes());
        section[32..40].copy_from_slice(&(note.len() as u64).to_le_bytes());
        let table = append(&section);
        file[40..48].copy_from_slice(&(table as u64).to_le_bytes());
        file[58..60].copy_from_slice(&64_u16.to_le_bytes());
        file[60..62].copy_from_slice(&1_u16.to_le_bytes());
        let id = Image::read(&file[..]).unwrap().build_id(&file[..]).unwrap();
        assert_eq!((id.gnu, id.go), (Some(vec![0xcd; 20]), Some(b"a/b/c".to_vec())));
        // A table that lies behind the end of the file is none.
        file[40..48].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Image::read(&file[..]).unwrap().build_id(&file[..]).unwrap().gnu, None);
    }

    #[test]
    fn what_is_not_read_here_is_named() {
        let good = Elf::new().data(0x52_0000, b"data").build();
        for (offset, byte, expected) in [
            (0, b'#', "not an ELF file"),
            (4, 1, "32-bit executables are not supported"),
            (4, 9, "malformed ELF file: unknown class or byte order"),
            (5, 2, "big-endian executables are not supported"),
            (33, 0xff, "malformed ELF file: program headers cut off"),
            (54, 32, "malformed ELF file: program headers of unknown size"),
            (56, 0, "malformed ELF file: no program headers or too many"),
            (57, 0xff, "malformed ELF file: no program headers or too many"),
        ] {
            let mut file = good.clone();
            file[offset] = byte;
            let error = Image::read(&file[..]).unwrap_err();
            assert_eq!(error.to_string(), expected, "byte {offset}");
        }
        assert!(matches!(Image::read(&good[..40]), Err(ImageError::Malformed { .. })));
        assert!(matches!(Image::read(&good[..0]), Err(ImageError::NotElf)));
    }
}
