//! What the probes in the Go runtime share: how often they may hit, and what user space set for them.
//!
//! A program that allocates or forks goroutines much would pay for every hit. Beyond a number of them the programs
//! do nothing any more, and user space, which sees the number, takes the probes out.

use crate::ledger::{Watching, add};
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;
use watcher_ebpf::{ProbeSettings, TallyKey};

/// By process and ledger.
#[map]
static PROBE_SETTINGS: HashMap<TallyKey, ProbeSettings> = HashMap::with_max_entries(128, 0);

/// Hits so far. User space makes the entry before it attaches.
#[map]
static PROBE_HITS: HashMap<TallyKey, u64> = HashMap::with_max_entries(128, 0);

/// Counts a hit; the settings, as long as more hits are wanted.
#[inline(always)]
pub fn hit(watching: &Watching, ledger: u32) -> Option<&'static ProbeSettings> {
    let key = TallyKey { tgid: watching.tgid, ledger };
    // SAFETY: user space replaces whole entries; a program that holds an old one sees it unchanged until it ends.
    let settings = unsafe { PROBE_SETTINGS.get(key) }?;
    let hits = PROBE_HITS.get_ptr(key)?;
    add(hits, 1);
    // SAFETY: the entry stays valid until this program ends; an old number does no harm.
    (unsafe { *hits } <= settings.hit_limit).then_some(settings)
}
