//! The ledger of descriptors by the allocations of open files: who made the file of each descriptor.
//!
//! The kernel keeps open files in a slab cache of their own, or before Linux 6.7 in one that other things of this size
//! may share. Which one, and which places in the kernel ask it for files, is learned by opening some.

use super::attach::{Attaching, Hook};
use super::map::KernelMap;
use crate::source::kernel::decode::{NanosPerTick, Record};
use crate::source::kernel::iterator::Table;
use crate::source::kernel::opened::RawDescriptor;
use crate::source::kernel::passes::{Passes, Reporters};
use crate::source::kernel::pids::{ELSEWHERE, Pids};
use crate::source::kernel::probes::{Outcome, ProbeName};
use aya::Ebpf;
use aya::maps::Array;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixDatagram;
use watcher_ebpf::{
    Allocation, CACHE, CACHE_OF_FILES, FileEntry, LEARNER, MAX_SITES, REMAINS_OF_OPENED, REMAINS_TELL, SITES,
};

/// All programs of this route.
pub(super) const PROGRAMS: &[(&str, Hook)] = &[TABLE, LEARN, FOLLOW];

const TABLE: (&str, Hook) = ("descriptors_opened", Hook::Iterator("task_file"));
const LEARN: (&str, Hook) = ("allocation_learned", Hook::Typed("kmem_cache_alloc"));
const FOLLOW: (&str, Hook) = ("file_allocated", Hook::Typed("kmem_cache_alloc"));

/// How often a file is opened and closed again, so that one is made where another was.
const REUSES: usize = 16;

/// What the programs keep of files.
#[derive(Debug)]
pub(super) struct FileMap(KernelMap<u64, FileEntry>);

impl FileMap {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        KernelMap::of(ebpf, "FILES").map(FileMap)
    }

    /// Forgets everything about a process.
    pub(super) fn forget_process(&self, pid: i32) -> io::Result<()> {
        self.0.remove_where(|_, entry| entry.tgid == pid.cast_unsigned())
    }
}

/// What allocations of files look like on this kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Learned {
    cache: u64,
    /// Empty where the cache serves nothing else.
    sites: Vec<u64>,
    remains_tell: bool,
}

/// Learns and attaches; the table of what is open is left with `attaching`.
pub(super) fn attach(attaching: &mut Attaching<'_>) -> Result<(), Outcome> {
    // It is learned from a thread of ours, by the id that we know.
    if !matches!(attaching.facts.pids, Pids::Same) {
        return Err(Outcome::Refused { why: ELSEWHERE.to_owned() });
    }
    let row = ProbeName::DescriptorsByAllocation;
    let kept = attaching.links.len();
    attaching.all(row, &[TABLE, LEARN])?;
    let learned = learn(attaching.ebpf);
    attaching.links.truncate(kept);
    let (table, learned) = learned.map_err(|why| Outcome::NotHere { why })?;
    let told = tell(attaching.ebpf, &learned);
    told.map_err(|error| Outcome::Refused {
        why: format!("The kernel's maps could not be written: {error}."),
    })?;
    attaching.all(row, &[FOLLOW])?;
    if !learned.remains_tell {
        let why = "This kernel wipes what lay at an address before it tells of the allocation.".to_owned();
        attaching.gap("which opens failed: they count as opened and closed", &Outcome::NotHere { why });
    }
    attaching.table = Some(table);
    Ok(())
}

/// Opens some files while the programs note what this thread allocates.
fn learn(ebpf: &mut Ebpf) -> Result<(Table, Learned), String> {
    let could_not = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}.");
    let program = ebpf.program("descriptors_opened").and_then(|program| program.fd().ok());
    let program = program.ok_or("The table of descriptors is not loaded.")?;
    let table = Table::new(program.as_fd()).map_err(|error| could_not("The table cannot be made", &error))?;
    let allocations: KernelMap<u64, Allocation> =
        KernelMap::of(ebpf, "ALLOCATIONS").ok_or("The object lacks a map that the ledgers need.")?;
    let thread = nix::unistd::gettid().as_raw().cast_unsigned();
    set(ebpf, &[(LEARNER, u64::from(thread))])
        .map_err(|error| could_not("A map cannot be written", &error))?;
    let files = open_some(&table);
    let files = files.map_err(|error| could_not("No files could be opened to learn from", &error));
    set(ebpf, &[(LEARNER, 0)]).map_err(|error| could_not("A map cannot be written", &error))?;
    let files = files?;
    let mut addresses = HashMap::new();
    let own = std::process::id().cast_signed();
    let pass = table.open_for(own).and_then(|pass| {
        Passes::new(NanosPerTick(1)).read(pass, &mut |record| {
            if let Record::Opened { pid, fd, file, .. } = record
                && pid == own
            {
                addresses.insert(fd, file);
            }
        })
    });
    pass.map_err(|error| could_not("The table of descriptors cannot be read", &error))?;
    let mut found = Vec::new();
    for fd in files.iter().map(|file| file.as_fd().as_raw_fd()) {
        let address = addresses.get(&fd).ok_or("Our own descriptors are not in the kernel's table.")?;
        let allocation =
            allocations.get(address).map_err(|error| could_not("A map cannot be read", &error))?;
        found.push(allocation.ok_or("The kernel does not tell of the allocation of every file.")?);
    }
    let all = allocations.select(|_, allocation| Some(*allocation));
    let all = all.map_err(|error| could_not("A map cannot be read", &error))?;
    let keys = allocations.select(|address, _| Some(address));
    let _ = keys.and_then(|keys| allocations.remove_all(&keys));
    let learned = conclude(&found, &all).ok_or("Files do not come from one cache and few places.")?;
    Ok((table, learned))
}

/// Files of the kinds that the kernel makes in places of their own.
fn open_some(table: &Table) -> io::Result<Vec<Box<dyn AsFd>>> {
    for _ in 0..REUSES {
        File::open("/dev/null")?;
    }
    let (one, other) = UnixDatagram::pair()?;
    let (read, write) = nix::unistd::pipe()?;
    let memory = nix::sys::memfd::memfd_create(c"learn", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    Ok(vec![
        Box::new(File::open("/dev/null")?),
        Box::new(one),
        Box::new(other),
        Box::new(read),
        Box::new(write),
        // An anonymous inode, as those of epoll and the like.
        Box::new(table.open_for(std::process::id().cast_signed())?),
        Box::new(memory),
    ])
}

/// What the allocations of known files, `found`, have in common; `all` are those of the same thread.
fn conclude(found: &[Allocation], all: &[Allocation]) -> Option<Learned> {
    let cache = found.first()?.cache;
    if cache == 0 || found.iter().any(|it| it.cache != cache) {
        return None;
    }
    let mut sites: Vec<u64> = found.iter().map(|it| it.site).collect();
    sites.sort_unstable();
    sites.dedup();
    if found.iter().all(|it| it.flags & CACHE_OF_FILES != 0) {
        sites.clear();
    } else if sites.contains(&0) || sites.len() > MAX_SITES as usize {
        return None;
    }
    let remains_tell = all.iter().any(|it| it.cache == cache && it.flags & REMAINS_OF_OPENED != 0);
    Some(Learned { cache, sites, remains_tell })
}

fn tell(ebpf: &mut Ebpf, learned: &Learned) -> Result<(), aya::maps::MapError> {
    let mut words = vec![(REMAINS_TELL, u64::from(learned.remains_tell)), (CACHE, learned.cache)];
    words.extend((SITES..SITES + MAX_SITES).zip(learned.sites.iter().copied().chain(std::iter::repeat(0))));
    set(ebpf, &words)
}

fn set(ebpf: &mut Ebpf, words: &[(u32, u64)]) -> Result<(), aya::maps::MapError> {
    let missing = || aya::maps::MapError::InvalidName { name: "FILE_CACHE".to_owned() };
    let mut map = Array::<_, u64>::try_from(ebpf.map_mut("FILE_CACHE").ok_or_else(missing)?)?;
    words.iter().try_for_each(|(index, word)| map.set(*index, word, 0))
}

/// What is open in a process and was opened by it since it is watched.
pub(super) fn of_process(table: &Table, pid: i32, kernel_pid: i32) -> io::Result<Vec<RawDescriptor>> {
    let mut open = Vec::new();
    let mut reporters = Reporters::default();
    Passes::new(NanosPerTick(1)).read(table.open_for(pid)?, &mut |record| {
        if let Record::Opened { descriptor: Some(descriptor), pid, reported_by, .. } = record
            && pid == kernel_pid
            && reporters.accept(pid, reported_by)
        {
            open.push(descriptor);
        }
    })?;
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::{Learned, conclude};
    use watcher_ebpf::{Allocation, CACHE_OF_FILES, REMAINS_OF_OPENED};

    #[test]
    fn a_cache_of_their_own_is_told_from_a_shared_one() {
        let of = |cache, site, flags| Allocation { cache, site, flags };
        let own = CACHE_OF_FILES;
        for (found, expected) in [
            (vec![of(8, 1, own), of(8, 2, own)], Some((8, vec![]))),
            (vec![of(8, 2, 0), of(8, 1, 0), of(8, 2, 0)], Some((8, vec![1, 2]))),
            // One cache, whatever it is called.
            (vec![of(8, 1, own), of(9, 1, own)], None),
            (vec![of(8, 1, 0), of(8, 2, 0), of(8, 3, 0), of(8, 4, 0), of(8, 5, 0)], None),
            (vec![of(8, 0, 0)], None),
            (vec![of(0, 1, own)], None),
            (vec![], None),
        ] {
            let learned = conclude(&found, &found);
            let expected = expected.map(|(cache, sites)| Learned { cache, sites, remains_tell: false });
            assert_eq!(learned, expected, "{found:?}");
        }
    }

    #[test]
    fn remains_of_other_caches_tell_nothing() {
        let of = |cache, flags| Allocation { cache, site: 1, flags };
        for (other, expected) in [(of(8, REMAINS_OF_OPENED), true), (of(9, REMAINS_OF_OPENED), false)] {
            let learned = conclude(&[of(8, 0)], &[of(8, 0), other]);
            assert_eq!(learned.map(|it| it.remains_tell), Some(expected));
        }
    }
}
