//! A file that a watched process has brought: its executable, a library, or one of the kernel's files about it.

use super::proc::{FileIdentity, file};
use super::reader::{self, OpenFile};
use crate::golang::ReadAt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

/// What is read at once where less is asked for: symbols are looked up piece by piece.
const BLOCK_BYTES: usize = 16 << 10;
/// What is read at once of a file that is read whole.
const PIECE_BYTES: usize = 64 << 10;

/// An open file, read by the reader where there is one: it may lie where nobody answers.
#[derive(Debug)]
pub struct TargetFile {
    way: Way,
    identity: FileIdentity,
    /// How far [`Read`] has come.
    position: u64,
    /// It has come to the end: to ask the reader once more would only tell the same.
    has_ended: bool,
}

#[derive(Debug)]
enum Way {
    /// Where there is no reader, as in tests.
    Direct(File),
    ByReader(OpenFile, Mutex<Block>),
}

#[derive(Debug, Default)]
struct Block {
    start: u64,
    bytes: Vec<u8>,
}

/// Opens the file at `name` below the directory of a process. Where `is_ordinary`, anything else is refused.
pub(super) fn open(pid: i32, directory: &OwnedFd, name: &str, is_ordinary: bool) -> io::Result<TargetFile> {
    if let Some((file, identity)) = reader::open(pid, directory, name, is_ordinary)? {
        return Ok(TargetFile::by_reader(file, identity));
    }
    let open = if is_ordinary { file::open_ordinary } else { file::open_file };
    TargetFile::direct(open(directory, name)?)
}

impl TargetFile {
    pub(super) fn direct(file: File) -> io::Result<TargetFile> {
        let identity = FileIdentity::of(&file)?;
        Ok(TargetFile { way: Way::Direct(file), identity, position: 0, has_ended: false })
    }

    fn by_reader(file: OpenFile, identity: FileIdentity) -> TargetFile {
        TargetFile { way: Way::ByReader(file, Mutex::default()), identity, position: 0, has_ended: false }
    }

    /// Which file it is.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Its length in bytes.
    pub fn len(&self) -> u64 {
        self.identity.size()
    }

    /// Whether it has no bytes, as files of the kernel say.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads on to the end, but no more than `most_bytes`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read_rest(&mut self, most_bytes: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while bytes.len() < most_bytes {
            let begin = bytes.len();
            bytes.resize(most_bytes.min(begin + PIECE_BYTES), 0);
            let count = self.read(&mut bytes[begin..])?;
            bytes.truncate(begin + count);
            if count == 0 {
                break;
            }
        }
        Ok(bytes)
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    /// Where the file ends before, or cannot be read.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(offset.saturating_add(filled as u64), &mut buffer[filled..])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(())
    }
}

impl ReadAt for TargetFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let (file, block) = match &self.way {
            Way::Direct(file) => return FileExt::read_at(file, buffer, offset),
            Way::ByReader(file, block) => (file, block),
        };
        if buffer.len() >= BLOCK_BYTES {
            return file.read_at(offset, buffer);
        }
        let mut block = block.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = |block: &Block| {
            let at = usize::try_from(offset.checked_sub(block.start)?).ok()?;
            let rest = block.bytes.get(at..)?;
            // At the end of a block there may be more in the file.
            let is_enough = rest.len() >= buffer.len() || block.bytes.len() < BLOCK_BYTES;
            (is_enough && !rest.is_empty()).then_some(at)
        };
        if inside(&block).is_none() {
            block.bytes.resize(BLOCK_BYTES, 0);
            let read = file.read_at(offset, &mut block.bytes);
            block.start = offset;
            block.bytes.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        let at = inside(&block).unwrap_or(0);
        let rest = block.bytes.get(at..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

impl Read for TargetFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &self.way {
            Way::Direct(file) => FileExt::read_at(file, buffer, self.position)?,
            // Files of the kernel are made anew for each read: what was read before is of no use.
            Way::ByReader(file, _) => {
                if self.has_ended {
                    return Ok(0);
                }
                let length = buffer.len().min(reader::MAX_READ_BYTES);
                let count = file.read_at(self.position, &mut buffer[..length])?;
                self.has_ended = count < length;
                count
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}
