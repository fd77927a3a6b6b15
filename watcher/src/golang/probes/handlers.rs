//! Whether a program has the handlers of `net/http/pprof` linked in.
//!
//! Every program that imports the package keeps them, since its `init` registers them, and their names then stand
//! among those of all functions (`pclntab`, each ended by a zero byte), also in a stripped executable.

use crate::golang::ReadAt;
use crate::golang::binary::image::{Image, ImageError, Segment};
use memchr::memmem::Finder;

const HANDLER: &[u8] = b"\0net/http/pprof.Index\0";
/// Read at once.
const CHUNK_BYTES: usize = 1 << 20;
/// As much of an executable is searched, all of its segments together.
const MAX_BYTES: u64 = 1 << 30;

/// Whether the executable holds the handlers.
///
/// # Errors
/// Where it is no executable, or cannot be read.
pub fn offers_pprof(file: &(impl ReadAt + ?Sized)) -> Result<bool, ImageError> {
    offers_within(file, MAX_BYTES)
}

fn offers_within(file: &(impl ReadAt + ?Sized), mut most_bytes: u64) -> Result<bool, ImageError> {
    let image = Image::read(file)?;
    let finder = Finder::new(HANDLER);
    // The names are data; linkers of C may put what is only read beside the code.
    let (code, data): (Vec<_>, Vec<_>) = image.segments.iter().partition(|segment| segment.executable);
    for segment in data.into_iter().chain(code) {
        if holds(file, segment, &finder, &mut most_bytes)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes what it reads out of `most_bytes`.
fn holds(
    file: &(impl ReadAt + ?Sized),
    segment: &Segment,
    finder: &Finder<'_>,
    most_bytes: &mut u64,
) -> Result<bool, ImageError> {
    let end = segment.file_offset.saturating_add(segment.file_bytes.min(*most_bytes));
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut offset = segment.file_offset;
    while offset < end {
        let wanted = usize::try_from(end - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let length = match file.read_at(offset, &mut buffer[..wanted]) {
            Ok(length) => length,
            Err(source) => return Err(ImageError::Read { offset, source }),
        };
        *most_bytes = most_bytes.saturating_sub(length as u64);
        if finder.find(&buffer[..length]).is_some() {
            return Ok(true);
        }
        // What the end of this chunk may begin, the next one holds whole.
        let step = (length as u64).saturating_sub(HANDLER.len() as u64);
        if step == 0 || length < wanted {
            break;
        }
        offset += step;
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::{CHUNK_BYTES, HANDLER, Image, offers_pprof, offers_within};

    #[test]
    fn no_more_is_searched_than_a_program_of_any_size_has() {
        let mut data = vec![b'x'; 3 * CHUNK_BYTES];
        data.extend_from_slice(HANDLER);
        let all = data.len() as u64;
        assert!(offers_within(&executable(&data), all).unwrap());
        assert!(!offers_within(&executable(&data), all - 1).unwrap());
        // Two segments of the same bytes cost twice as much.
        let mut twice = executable(&data[..4096]);
        let header = twice[64..120].to_vec();
        twice.splice(120..120, header);
        twice[56] = 2;
        twice[72..80].copy_from_slice(&176_u64.to_le_bytes());
        let behind = 176 + 4096_u64;
        twice[128..136].copy_from_slice(&behind.to_le_bytes());
        twice.extend_from_slice(HANDLER);
        twice.extend_from_slice(&[b'x'; 4096]);
        // The end of the first is read twice, in case that the name crossed a boundary there.
        assert!(offers_within(&twice, 4096 + 2 * HANDLER.len() as u64).unwrap());
        assert!(!offers_within(&twice, 4096 + 8).unwrap());
    }

    /// An executable with one segment of data, which holds `data`.
    fn executable(data: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(16, &2_u16.to_le_bytes());
        put(18, &62_u16.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(54, &56_u16.to_le_bytes());
        put(56, &1_u16.to_le_bytes());
        put(64, &1_u32.to_le_bytes());
        put(68, &4_u32.to_le_bytes());
        put(64 + 8, &120_u64.to_le_bytes());
        put(64 + 16, &0x40_0000_u64.to_le_bytes());
        put(64 + 32, &(data.len() as u64).to_le_bytes());
        put(64 + 40, &(data.len() as u64).to_le_bytes());
        file.extend_from_slice(data);
        file
    }

    #[test]
    fn the_name_is_found_wherever_it_stands() {
        assert_eq!(Image::read(&executable(&[1; 8])).unwrap().segments.len(), 1);
        for before in [0, 1, CHUNK_BYTES - 10, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES - 3] {
            let mut data = vec![b'x'; before];
            data.extend_from_slice(HANDLER);
            data.extend_from_slice(&[b'x'; 100]);
            assert!(offers_pprof(&executable(&data)).unwrap(), "{before}");
        }
    }

    #[test]
    fn part_of_a_name_is_not_the_name() {
        for text in [
            &b""[..],
            b"net/http/pprof.Index",
            b"\0net/http/pprof.Index.func1\0",
            b"\0x/net/http/pprof.Index\0",
        ] {
            assert!(!offers_pprof(&executable(text)).unwrap());
        }
        assert!(offers_pprof(&b"#!/bin/sh".to_vec()).is_err());
    }
}
