//! The executable and the memory of a process.

use super::proc::ProcRoot;
use super::proc::file::open_place;
use super::process_vm::{probe_directly, read_directly, transfer};
use super::reader;
use super::recent_pages::RecentPages;
use super::target_file;
use crate::golang::{Memory, ReadAt, Unreadable};
use crate::vocabulary::reading::Reading;
use rustix::fs::CWD;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// `AT_ENTRY` of `getauxval(3)`.
const AT_ENTRY: u64 = 9;
/// The vector has about twenty pairs of words.
const MAX_AUXILIARY_VECTOR_BYTES: usize = 4096;

impl ReadAt for File {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

/// The memory of a live process: nothing is stopped, nothing written.
///
/// It is read by `process_vm_readv(2)`: by the expendable reader, since a page may never come. We ourselves read only
/// those who may administer this host and whose mappings all answer by themselves: whoever has CAP_SYS_ADMIN needs no
/// page that never comes to stop us, and nobody else can put one where it was not.
///
/// A pid says nothing about who bears it: whoever reads makes sure before and after that it is still the same
/// process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessMemory {
    pid: i32,
    is_direct: bool,
}

impl ProcessMemory {
    /// The memory of the process with this pid. What it maps is looked through.
    pub fn new(pid: i32) -> Self {
        ProcessMemory { pid, is_direct: may_be_read_directly(pid) }
    }

    /// Whether we read it ourselves.
    pub fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// Lets `look` read it for a moment with few questions; see [`RecentPages`].
    pub fn with_recent_pages<T>(&self, look: impl FnOnce(&dyn Memory) -> T) -> T {
        if self.is_direct { look(self) } else { look(&RecentPages::new(self)) }
    }

    /// Whether the memory can be read at all, tried on one byte at `address`.
    pub fn probe(&self, address: u64) -> Reading<()> {
        let is_direct = self.is_direct;
        let probed =
            if is_direct { probe_directly(self.pid, address) } else { reader::probe(self.pid, address) };
        probed.into()
    }
}

impl Memory for ProcessMemory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        let length = buffer.len();
        let unreadable = Unreadable { address, length };
        if self.is_direct {
            return match transfer(self.pid, buffer, &[(address, length)]) {
                Ok(count) if count == length => Ok(()),
                _ => Err(unreadable),
            };
        }
        // A long range in pieces that fit into a question.
        let mut at = address;
        let mut readable = Vec::new();
        for piece in buffer.chunks_mut(reader::MAX_READ_BYTES) {
            reader::memory(self.pid, &[(at, piece.len())], piece, &mut readable);
            if readable != [true] {
                return Err(unreadable);
            }
            at = at.wrapping_add(piece.len() as u64);
        }
        Ok(())
    }

    fn is_untouched(&self, range: Range<u64>) -> bool {
        /// Bits 63 (present) and 62 (swapped) of `/proc/PID/pagemap`.
        const TOUCHED: u64 = 0b11 << 62;
        const PAGE_BYTES: u64 = 4096;
        const ENTRY_BYTES: u64 = 8;
        let pages = range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES);
        let Ok(directory) = open_place(CWD, format!("/proc/{}", self.pid)) else { return false };
        let Ok(pagemap) = target_file::open(self.pid, &directory, "pagemap", false) else { return false };
        let mut entries =
            vec![0; usize::try_from(pages.end.saturating_sub(pages.start) * ENTRY_BYTES).unwrap_or(0)];
        let read = pagemap.read_exact_at(&mut entries, pages.start * ENTRY_BYTES);
        read.is_ok()
            && entries.chunks_exact(8).all(|entry| word(entry).is_some_and(|bits| bits & TOUCHED == 0))
    }

    fn read_many(&self, ranges: &[(u64, usize)], buffer: &mut [u8], readable: &mut Vec<bool>) {
        if self.is_direct {
            read_directly(self.pid, ranges, buffer, readable);
        } else {
            reader::memory(self.pid, ranges, buffer, readable);
        }
    }
}

fn may_be_read_directly(pid: i32) -> bool {
    if !reader::is_enabled() {
        return true;
    }
    let process = ProcRoot::host().ok().and_then(|proc| proc.open(pid).into_seen());
    process.is_some_and(|process| {
        let status = process.status().into_seen();
        status.is_some_and(|status| status.may_administer())
            && process.is_in_our_user_namespace()
            && process.every_mapping_answers()
    })
}

/// Where the kernel placed the entry point of a process's executable, from `/proc/PID/auxv` below `proc_root`.
pub fn entry_address(proc_root: &Path, pid: i32) -> Reading<u64> {
    auxiliary_vector(proc_root, pid)
        .and_then(|vector| vector.entry().map_or(Reading::Unsupported, Reading::Seen))
}

/// What the kernel told a program when it began, addresses that it chose at random among it: another program has
/// another, also where it is executed by the same process from the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuxiliaryVector(Vec<u8>);

impl AuxiliaryVector {
    /// Where the entry point of the executable lies.
    pub fn entry(&self) -> Option<u64> {
        entry_in(&self.0)
    }
}

/// The vector of the program that a process runs, from `/proc/PID/auxv` below `proc_root`. `Gone` for a process without
/// memory.
pub fn auxiliary_vector(proc_root: &Path, pid: i32) -> Reading<AuxiliaryVector> {
    let file = match File::open(proc_root.join(pid.to_string()).join("auxv")) {
        Ok(file) => file,
        Err(error) => return Reading::from_error(&error),
    };
    let mut buffer = [0; MAX_AUXILIARY_VECTOR_BYTES];
    match FileExt::read_at(&file, &mut buffer, 0) {
        Ok(0) => Reading::Gone,
        Ok(length) => Reading::Seen(AuxiliaryVector(buffer[..length].to_vec())),
        Err(error) => Reading::from_error(&error),
    }
}

fn entry_in(vector: &[u8]) -> Option<u64> {
    vector.chunks_exact(16).find(|pair| word(pair) == Some(AT_ENTRY)).and_then(|pair| word(&pair[8..]))
}

fn word(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().copied().map(u64::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::{ProcessMemory, entry_address, entry_in};
    use crate::golang::Memory;
    use crate::golang::binary::image::Image;
    use crate::vocabulary::reading::Reading;
    use std::path::Path;

    fn own_pid() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    fn address_of(bytes: *const u8) -> u64 {
        bytes.addr() as u64
    }

    #[test]
    fn our_own_memory_is_read_whole_or_not_at_all() {
        let memory = ProcessMemory::new(own_pid());
        let known = b"known bytes".to_vec();
        let mut buffer = [0; 5];
        memory.read(address_of(known.as_ptr()) + 6, &mut buffer).unwrap();
        assert_eq!(&buffer, b"bytes");
        assert_eq!(memory.read(8, &mut buffer).unwrap_err().to_string(), "5 bytes at 0x8 are not readable");
        assert_eq!(memory.probe(address_of(known.as_ptr())), Reading::Seen(()));
        assert_eq!(memory.probe(8), Reading::Unsupported);
        assert_eq!(ProcessMemory::new(i32::MAX).probe(8), Reading::Gone);
    }

    #[test]
    fn one_unreadable_range_costs_only_itself() {
        let memory = ProcessMemory::new(own_pid());
        let known: Vec<u8> = (0..=255).collect();
        let at = address_of(known.as_ptr());
        // More ranges than one call takes, every seventh of them nowhere.
        let ranges: Vec<(u64, usize)> =
            (0..3000).map(|index| if index % 7 == 3 { (16, 2) } else { (at + index % 250, 2) }).collect();
        let mut buffer = vec![0; 6000];
        let mut readable = vec![true; 3];
        memory.read_many(&ranges, &mut buffer, &mut readable);
        assert_eq!(readable.len(), ranges.len());
        for (index, readable) in readable.iter().enumerate() {
            assert_eq!(*readable, index % 7 != 3, "range {index}");
            if *readable {
                assert_eq!(usize::from(buffer[index * 2]), index % 250, "range {index}");
            }
        }
    }

    #[test]
    fn memory_that_was_never_touched_is_told_from_memory_that_was() {
        let memory = ProcessMemory::new(own_pid());
        // An allocation of this size is a mapping of its own, and nothing has been written to it yet.
        let mut fresh: Vec<u8> = Vec::with_capacity(64 << 20);
        let middle = address_of(fresh.spare_capacity_mut().as_ptr().cast::<u8>()) + (32 << 20);
        assert!(memory.is_untouched(middle..middle + (1 << 20)));
        fresh.resize(33 << 20, 1);
        assert!(!memory.is_untouched(middle..middle + 8));
        assert!(!ProcessMemory::new(i32::MAX).is_untouched(middle..middle + 8));
    }

    #[test]
    fn the_entry_address_tells_the_bias() {
        let proc_root = Path::new("/proc");
        let entry = entry_address(proc_root, own_pid()).into_seen().unwrap();
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let bias = entry - Image::read(&file).unwrap().entry;
        assert_eq!(bias % 4096, 0);
        assert_eq!(entry_address(proc_root, i32::MAX), Reading::Gone);
        assert_eq!(entry_in(&[0; 64]), None);
        assert_eq!(entry_in(&[]), None);
    }
}
