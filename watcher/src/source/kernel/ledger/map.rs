//! Maps of the kernel programs as tables of plain records, read and changed many entries at a time.
//!
//! aya reads and removes one entry per system call; a process with 50,000 descriptors would cost 150,000 of them.

#![expect(unsafe_code, reason = "bpf(2) has no wrapper that takes many entries at once")]

use crate::source::kernel::decode::read;
use aya::Ebpf;
use aya::maps::Map;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use watcher_ebpf::Plain;

/// `enum bpf_cmd`, `include/uapi/linux/bpf.h`.
const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const DELETE: libc::c_long = 3;
const LOOKUP_BATCH: libc::c_long = 24;
const DELETE_BATCH: libc::c_long = 27;

/// What a batch takes of room, about.
const BATCH_BYTES: usize = 256 * 1024;
/// A bucket of a hash map that needs more entries than this is none of ours.
const MAX_BATCH: usize = 1 << 20;

/// The part of `union bpf_attr` for one element.
#[repr(C)]
#[derive(Default)]
struct Element {
    map: u32,
    reserved: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// The part of `union bpf_attr` for many elements.
#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    next: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// A hash map.
#[derive(Debug)]
pub(super) struct KernelMap<K, V> {
    fd: OwnedFd,
    types: PhantomData<fn(K) -> V>,
}

impl<K: Plain, V: Plain> KernelMap<K, V> {
    /// The map of this name; `None` where there is none, or it is no hash map of such entries.
    pub(super) fn of(ebpf: &Ebpf, name: &str) -> Option<Self> {
        let Map::HashMap(map) = ebpf.map(name)? else { return None };
        let info = map.info().ok()?;
        let fits = info.key_size() as usize == size_of::<K>() && info.value_size() as usize == size_of::<V>();
        fits.then(|| map.fd().as_fd().try_clone_to_owned().ok())
            .flatten()
            .map(|fd| KernelMap { fd, types: PhantomData })
    }

    /// The entry of this key, where there is one.
    pub(super) fn get(&self, key: &K) -> io::Result<Option<V>> {
        let mut value = vec![0u8; size_of::<V>()];
        match call(LOOKUP, &mut self.element(key, value.as_mut_ptr().addr())) {
            Ok(()) => Ok(read(&value, 0).ok()),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes or replaces an entry.
    pub(super) fn insert(&self, key: &K, value: &V) -> io::Result<()> {
        call(UPDATE, &mut self.element(key, (&raw const *value).addr()))
    }

    /// Removes an entry; no error where there was none.
    pub(super) fn remove(&self, key: &K) -> io::Result<()> {
        match call(DELETE, &mut self.element(key, 0)) {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }

    fn element(&self, key: &K, value: usize) -> Element {
        Element {
            map: self.number(),
            key: (&raw const *key).addr() as u64,
            value: value as u64,
            ..Element::default()
        }
    }

    /// Visits all entries. Those that come and go meanwhile may be met or not, and in rare cases twice.
    fn for_each(&self, mut each: impl FnMut(K, V)) -> io::Result<()> {
        let mut room = (BATCH_BYTES / (size_of::<K>() + size_of::<V>())).max(16);
        let mut keys = vec![0u8; room * size_of::<K>()];
        let mut values = vec![0u8; room * size_of::<V>()];
        // Of a hash map the number of a bucket; the kernel copies no more than that.
        let (mut from, mut next) = ([0u8; 16], [0u8; 16]);
        let mut is_first = true;
        loop {
            let mut batch = Batch {
                from: if is_first { 0 } else { from.as_ptr().addr() as u64 },
                next: next.as_mut_ptr().addr() as u64,
                keys: keys.as_mut_ptr().addr() as u64,
                values: values.as_mut_ptr().addr() as u64,
                count: room as u32,
                map: self.number(),
                ..Batch::default()
            };
            let is_last = match call(LOOKUP_BATCH, &mut batch) {
                Ok(()) => false,
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
                Err(error) if error.raw_os_error() == Some(libc::ENOSPC) && room < MAX_BATCH => {
                    room *= 2;
                    keys.resize(room * size_of::<K>(), 0);
                    values.resize(room * size_of::<V>(), 0);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for index in 0..(batch.count as usize).min(room) {
                if let (Ok(key), Ok(value)) =
                    (read(&keys, index * size_of::<K>()), read(&values, index * size_of::<V>()))
                {
                    each(key, value);
                }
            }
            if is_last {
                return Ok(());
            }
            from = next;
            is_first = false;
        }
    }

    /// What `pick` makes of the entries that it wants.
    pub(super) fn select<T>(&self, mut pick: impl FnMut(K, &V) -> Option<T>) -> io::Result<Vec<T>> {
        let mut picked = Vec::new();
        self.for_each(|key, value| picked.extend(pick(key, &value)))?;
        Ok(picked)
    }

    /// Removes the entries that `is_wanted` picks.
    pub(super) fn remove_where(&self, is_wanted: impl Fn(&K, &V) -> bool) -> io::Result<()> {
        self.remove_all(&self.select(|key, value| is_wanted(&key, value).then_some(key))?)
    }

    /// Removes these entries, as far as they are there.
    pub(super) fn remove_all(&self, keys: &[K]) -> io::Result<()> {
        let mut rest = keys;
        while !rest.is_empty() {
            let mut batch = Batch {
                keys: rest.as_ptr().addr() as u64,
                count: rest.len().min(MAX_BATCH) as u32,
                map: self.number(),
                ..Batch::default()
            };
            match call(DELETE_BATCH, &mut batch) {
                Ok(()) => {}
                // It stops at an entry that is not there any more: go on behind it.
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => batch.count += 1,
                Err(error) => return Err(error),
            }
            rest = rest.get(batch.count as usize..).unwrap_or_default();
        }
        Ok(())
    }

    fn number(&self) -> u32 {
        self.fd.as_raw_fd().cast_unsigned()
    }
}

/// bpf(2) for the commands that return nothing.
fn call<T>(command: libc::c_long, attributes: &mut T) -> io::Result<()> {
    // SAFETY: the attributes are initialised and as long as we say; the addresses in them are those of buffers that
    // live across the call and have room for as much as the map's sizes, which were compared, make the kernel copy.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
