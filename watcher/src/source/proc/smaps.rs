//! `/proc/PID/smaps` and `pagemap`: what of each mapping is resident. Costs the kernel a walk over all page tables of
//! the process, so it is for single looks only.

use super::overlap::make_room;
use crate::source::target_file::TargetFile;
use crate::vocabulary::process::printable;
use std::io::{self, BufRead, Read};
use std::ops::Range;

/// Longest line that is looked at: a path has 4 KiB, escaped four times as much.
const MAX_LINE_BYTES: u64 = 32 << 10;
/// x86-64's; others are not read.
const PAGE_BYTES: u64 = 4096;
/// A `u64` for each page (`Documentation/admin-guide/mm/pagemap.rst`).
const ENTRY_BYTES: u64 = 8;

/// One mapping, and what of it is in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MappingUse {
    /// Its addresses.
    pub range: Range<u64>,
    /// Its memory may be written.
    pub is_writable: bool,
    /// It may be read, written or executed; addresses that are only reserved, and guard pages, may not.
    pub is_accessible: bool,
    /// File, or the kernel's name for it in brackets, printable form; empty for plain anonymous memory.
    pub name: String,
    /// `Rss`.
    pub resident_bytes: u64,
    /// `Anonymous`: the part of that which belongs to no file.
    pub anonymous_bytes: u64,
    /// `Swap`.
    pub swapped_bytes: u64,
    /// `LazyFree`: freed by MADV_FREE, resident until the kernel needs it. 0 before Linux 4.12.
    pub lazily_freed_bytes: u64,
}

impl MappingUse {
    /// Nothing can have more in memory than it has addresses: it may have been larger when that was counted.
    fn fit(&mut self) {
        let length = self.range.end.saturating_sub(self.range.start);
        for bytes in [
            &mut self.resident_bytes,
            &mut self.anonymous_bytes,
            &mut self.swapped_bytes,
            &mut self.lazily_freed_bytes,
        ] {
            *bytes = length.min(*bytes);
        }
    }
}

/// Reads the list.
pub(super) fn read(mut file: impl BufRead) -> io::Result<Vec<MappingUse>> {
    let mut mappings: Vec<MappingUse> = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if Read::by_ref(&mut file).take(MAX_LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(mappings);
        }
        let Some(text) = line.strip_suffix(b"\n") else { return Err(io::ErrorKind::InvalidData.into()) };
        if let Some(mapping) = heading(text) {
            make_room(&mut mappings, mapping.range.start, |mapping| &mut mapping.range);
            if let Some(last) = mappings.last_mut() {
                last.fit();
            }
            mappings.push(mapping);
        } else if let (Some(mapping), Some((name, bytes))) = (mappings.last_mut(), field(text)) {
            match name {
                b"Rss" => mapping.resident_bytes = bytes,
                b"Anonymous" => mapping.anonymous_bytes = bytes,
                b"Swap" => mapping.swapped_bytes = bytes,
                b"LazyFree" => mapping.lazily_freed_bytes = bytes,
                _ => {}
            }
        }
    }
}

/// `start-end flags offset device inode   name`.
fn heading(line: &[u8]) -> Option<MappingUse> {
    let mut words = line.splitn(6, |byte| *byte == b' ');
    let (start, end) = std::str::from_utf8(words.next()?).ok()?.split_once('-')?;
    let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let range = number(start)?..number(end)?;
    let permissions = words.next()?;
    let name = words.nth(3).unwrap_or_default().trim_ascii();
    Some(MappingUse {
        range,
        is_writable: permissions.get(1) == Some(&b'w'),
        is_accessible: !permissions.starts_with(b"---"),
        name: printable(name),
        ..MappingUse::default()
    })
}

/// `Name:   12 kB`.
fn field(line: &[u8]) -> Option<(&[u8], u64)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let value = std::str::from_utf8(&line[colon + 1..]).ok()?.trim().strip_suffix(" kB")?;
    Some((&line[..colon], value.parse::<u64>().ok()?.checked_mul(1024)?))
}

/// How much of `ranges`, which are ascending, is resident, by `pagemap`.
pub(super) fn resident_bytes(pagemap: &TargetFile, ranges: &[Range<u64>]) -> io::Result<u64> {
    /// Bit 63: present.
    const PRESENT: u64 = 1 << 63;
    const CHUNK_PAGES: u64 = 8192;
    let mut pages = 0;
    let mut buffer = Vec::new();
    for range in ranges {
        let end = range.end.div_ceil(PAGE_BYTES);
        let mut page = range.start / PAGE_BYTES;
        while page < end {
            let count = (end - page).min(CHUNK_PAGES);
            buffer.resize(usize::try_from(count * ENTRY_BYTES).unwrap_or(0), 0);
            pagemap.read_exact_at(&mut buffer, page * ENTRY_BYTES)?;
            let (entries, _) = buffer.as_chunks::<8>();
            pages += entries.iter().filter(|entry| u64::from_ne_bytes(**entry) & PRESENT != 0).count() as u64;
            page += count;
        }
    }
    Ok(pages * PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{MappingUse, read};
    use crate::source::proc::ProcRoot;
    use proptest::prelude::*;

    const SMAPS: &[u8] = b"\
00400000-00401000 r-xp 00000000 08:01 1234                               /usr/bin/a b
Size:                  4 kB
Rss:                   4 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
c000000000-c000400000 rw-p 00000000 00:00 0                              [anon: Go: heap]
Rss:                3072 kB
Anonymous:          3072 kB
LazyFree:              8 kB
Swap:                 16 kB
7f0000000000-7f0000001000 rw-p 00000000 00:00 0 
Rss:                   4 kB
";

    #[test]
    fn mappings_and_what_is_resident_of_them() {
        let expected = [
            MappingUse {
                range: 0x40_0000..0x40_1000,
                is_accessible: true,
                name: "/usr/bin/a b".to_owned(),
                resident_bytes: 4096,
                ..MappingUse::default()
            },
            MappingUse {
                range: 0xc0_0000_0000..0xc0_0040_0000,
                is_writable: true,
                is_accessible: true,
                name: "[anon: Go: heap]".to_owned(),
                resident_bytes: 3072 << 10,
                anonymous_bytes: 3072 << 10,
                swapped_bytes: 16 << 10,
                lazily_freed_bytes: 8 << 10,
            },
            MappingUse {
                range: 0x7f00_0000_0000..0x7f00_0000_1000,
                is_writable: true,
                is_accessible: true,
                resident_bytes: 4096,
                ..MappingUse::default()
            },
        ];
        assert_eq!(read(SMAPS).unwrap(), expected);
        assert_eq!(read(&b""[..]).unwrap(), []);
        assert!(read(&SMAPS[..SMAPS.len() - 1]).is_err());
    }

    #[test]
    fn a_mapping_that_grows_while_it_is_listed_counts_once() {
        let smaps = b"\
1000-3000 rw-p 00000000 00:00 0 
Rss:                   8 kB
c000000000-c000400000 rw-p 00000000 00:00 0 
Rss:                4096 kB
Anonymous:          4096 kB
c000000000-c000800000 rw-p 00000000 00:00 0 
Rss:                4100 kB
Anonymous:          4100 kB
c000400000-c000c00000 rw-p 00000000 00:00 0 
Rss:                   4 kB
";
        let mappings = read(&smaps[..]).unwrap();
        let found: Vec<_> =
            mappings.into_iter().map(|mapping| (mapping.range, mapping.resident_bytes >> 10)).collect();
        let heap = 0xc0_0000_0000;
        let expected =
            [(0x1000..0x3000, 8), (heap..heap + 0x40_0000, 4096), (heap + 0x40_0000..heap + 0xc0_0000, 4)];
        assert_eq!(found, expected);
    }

    #[test]
    fn our_own_touched_pages_are_resident() {
        let own = ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap();
        let touched = vec![1_u8; 1 << 20];
        let start = touched.as_ptr().addr() as u64;
        let inner = start.next_multiple_of(4096)..start + (1 << 20) - 4096;
        let wanted = inner.end / 4096 * 4096 - inner.start;
        let whole = inner.start..inner.start + wanted;
        assert_eq!(own.resident_bytes(std::slice::from_ref(&whole)).into_seen(), Some(wanted));
        let mappings = own.mapping_use().into_seen().unwrap();
        let holds = |mapping: &&MappingUse| mapping.range.contains(&start);
        assert!(mappings.iter().find(holds).is_some_and(|mapping| mapping.resident_bytes >= wanted));
    }

    proptest! {
        #[test]
        fn damaged_lists_never_panic(at in 0..SMAPS.len(), byte in any::<u8>()) {
            let mut damaged = SMAPS.to_vec();
            damaged[at] = byte;
            let _ = read(&damaged[..]);
        }
    }
}
