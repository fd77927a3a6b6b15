//! Which descriptor a goroutine waits for, where it waits for the network poller.
//!
//! The runtime keeps a `pollDesc` for each descriptor that it polls, with the number of the descriptor and, while a
//! goroutine waits for it to become readable or writable, that goroutine's address (`runtime/netpoll.go`, Go 1.18 to
//! 1.27). The structures are in no list that could be walked, but a goroutine that waits has the address of its own
//! on its stack: `poll_runtime_pollWait` needs it when it goes on. So each word of the innermost frames is tried, and
//! believed only where the structure that it leads to names both an open descriptor and this very goroutine.

use crate::golang::bytes::u64_at;
use crate::golang::goroutines::{Goroutine, GoroutineSnapshot};
use crate::golang::{Memory, ranges};
use std::collections::HashMap;

/// Why such a goroutine waits, in the runtime's words (`waitReasonIOWait`).
const IO_WAIT: &str = "IO wait";
/// The frames of `gopark`, `netpollblock`, `poll_runtime_pollWait` and the first of `internal/poll` lie within this.
const STACK_BYTES: usize = 512;
/// `pollDesc.fd`, in words.
const DESCRIPTOR: usize = 1;
/// Words among which `rg` and `wg` are: two structures lie between them and `fd` since Go 1.21, one before.
const WAITERS: std::ops::RangeInclusive<usize> = 3..=5;
const POLL_BYTES: usize = 48;
const PAGE_BYTES: u64 = 4096;
/// Goroutines that are looked at together.
const CHUNK: usize = 256;
/// Goroutines that are looked at in one snapshot: bounds time and memory.
const MAX_GOROUTINES: usize = 65_536;
/// Addresses of user space that may hold something.
const USER_SPACE: std::ops::Range<u64> = 0x1000..0x7fff_ffff_f000;

/// Goroutines that wait for descriptors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Indices of goroutines in the snapshot, and the descriptor that each waits for.
    pub found: Vec<(usize, i32)>,
    /// Goroutines that wait for some descriptor of which it could not be told which.
    pub unknown: u64,
}

/// Finds what the goroutines of `snapshot` that wait for descriptors wait for. `is_open` tells the numbers of open
/// descriptors.
pub fn waiting(memory: &dyn Memory, snapshot: &GoroutineSnapshot, is_open: impl Fn(i32) -> bool) -> Waiting {
    let waits = |goroutine: &Goroutine| {
        let group = snapshot.groups.get(goroutine.group as usize);
        group.is_some_and(|group| group.wait_reason.as_deref() == Some(IO_WAIT))
    };
    let all = snapshot.goroutines.iter().enumerate().filter(|(_, goroutine)| waits(goroutine));
    let mut all: Vec<(usize, &Goroutine)> = all.collect();
    let mut waiting = Waiting::default();
    waiting.unknown += all.len().saturating_sub(MAX_GOROUTINES) as u64;
    all.truncate(MAX_GOROUTINES);
    // Neighbours are read together.
    all.sort_unstable_by_key(|(_, goroutine)| goroutine.stack_pointer);
    for chunk in all.chunks(CHUNK) {
        let found = of_chunk(memory, chunk, &is_open);
        waiting.unknown += (chunk.len() - found.len()) as u64;
        waiting.found.extend(found);
    }
    waiting.found.sort_unstable();
    waiting
}

fn of_chunk(
    memory: &dyn Memory,
    chunk: &[(usize, &Goroutine)],
    is_open: &impl Fn(i32) -> bool,
) -> Vec<(usize, i32)> {
    // A short stack may end where memory ends: what lies on the next page is read apart.
    let before = |sp: u64| (PAGE_BYTES - sp % PAGE_BYTES).min(STACK_BYTES as u64);
    let parts = chunk.iter().flat_map(|(_, goroutine)| {
        let sp = goroutine.stack_pointer;
        let first = before(sp);
        [(sp, first), (sp.saturating_add(first), STACK_BYTES as u64 - first)]
    });
    let parts = parts.map(|(start, length)| (start, usize::try_from(length).unwrap_or(0)));
    let stacks = read(memory, &parts.collect::<Vec<_>>());
    let stacks: Vec<Vec<u8>> = stacks.chunks(2).map(<[Vec<u8>]>::concat).collect();
    let words = |stack: &[u8]| -> Vec<u64> {
        let words = stack.chunks_exact(8).filter_map(|word| u64_at(word, 0));
        words.filter(|word| word.is_multiple_of(8) && USER_SPACE.contains(word)).collect()
    };
    let words: Vec<Vec<u64>> = stacks.iter().map(|stack| words(stack)).collect();
    let mut places: Vec<u64> = words.iter().flatten().copied().collect();
    places.sort_unstable();
    places.dedup();
    let polls = read(memory, &places.iter().map(|place| (*place, POLL_BYTES)).collect::<Vec<_>>());
    let polls: HashMap<u64, Vec<u8>> = places.into_iter().zip(polls).collect();
    let found = chunk.iter().zip(words).filter_map(|((index, goroutine), words)| {
        let polls = words.iter().filter_map(|word| polls.get(word));
        let mut descriptors =
            polls.filter_map(|poll| descriptor(poll, goroutine.address)).filter(|fd| is_open(*fd));
        let first = descriptors.next()?;
        // Several that contradict each other tell nothing.
        descriptors.all(|other| other == first).then_some((*index, first))
    });
    found.collect()
}

/// The descriptor of a `pollDesc` that the goroutine at this address waits for; `None` for any other bytes.
fn descriptor(poll: &[u8], goroutine: u64) -> Option<i32> {
    let mut waiters = WAITERS.filter_map(|word| u64_at(poll, word * 8));
    let is_its_own = goroutine != 0 && waiters.any(|waiter| waiter == goroutine);
    let descriptor = u64_at(poll, DESCRIPTOR * 8)?;
    i32::try_from(descriptor).ok().filter(|_| is_its_own)
}

/// What lies in these ranges, which are sorted; empty where that cannot be read.
fn read(memory: &dyn Memory, wanted: &[(u64, usize)]) -> Vec<Vec<u8>> {
    let mut merged = Vec::new();
    // What cannot be read must not spoil its neighbours: only what overlaps is read together.
    let places = ranges::merge(wanted.iter().copied(), 0, &mut merged);
    let mut buffer = vec![0; merged.iter().map(|(_, length)| length).sum()];
    let mut readable = Vec::new();
    memory.read_many(&merged, &mut buffer, &mut readable);
    let bytes = places.iter().zip(wanted).map(|(place, (_, length))| {
        let is_readable = readable.get(place.range).copied().unwrap_or(false);
        let bytes = buffer.get(place.offset..place.offset + length).filter(|_| is_readable);
        bytes.map(<[u8]>::to_vec).unwrap_or_default()
    });
    bytes.collect()
}

#[cfg(test)]
mod tests;
