//! Finds the offsets of fields in the live process, without any table.
//!
//! Fields are recognised by what only they can hold in every goroutine: a pointer to the goroutine itself, the entry
//! of a function, ids that never repeat. The others lie at distances that have been the same in all versions. Where
//! a table and what was found differ, what was found counts: a table can be wrong, and a vendor can patch a runtime.

use super::layouts::{GoroutineLayout, ThreadLayout};
use super::locate::{follow_threads, longest_thread_list};
use crate::golang::binary::loaded::Loaded;
use crate::golang::bytes::{u32_at, u64_at};
use std::collections::HashSet;

/// Bytes of each goroutine that calibration looks at: all fields that matter lie in them.
pub(in crate::golang) const SAMPLE_BYTES: usize = 384;
/// `_Gidle`, `_Gdead` and, from Go 1.26 on, `_Gdeadextra` (`runtime/runtime2.go`).
const IDLE: u32 = 0;
const DEAD: u32 = 6;
const DEAD_EXTRA: u32 = 11;
const HIGHEST_STATUS: u32 = DEAD_EXTRA;
const SCAN_BIT: u32 = 0x1000;
const WAITING: u32 = 4;
/// A goroutine id beyond this would take a process years to reach.
const MAX_GOID: u64 = 1 << 44;
/// `PID_MAX_LIMIT` of the kernel.
const MAX_TID: u64 = 4 << 20;

/// A goroutine as it was read for calibration.
pub(in crate::golang) struct Sample {
    pub address: u64,
    pub bytes: Vec<u8>,
}

impl Sample {
    fn word(&self, offset: usize) -> u64 {
        u64_at(&self.bytes, offset).unwrap_or(0)
    }

    fn status(&self, goid: usize) -> u32 {
        u32_at(&self.bytes, goid - 8).unwrap_or(u32::MAX) & !SCAN_BIT
    }

    /// Of those that do not live some fields were never set: the runtime keeps one ready for threads of C that call into
    /// Go, in every program.
    fn lives(&self, goid: usize) -> bool {
        !matches!(self.status(goid), IDLE | DEAD | DEAD_EXTRA)
    }
}

/// The layout of goroutines by the content of some of them, the first of `runtime.allgs` first; `None` where they do
/// not tell.
pub(in crate::golang) fn goroutine_layout(
    samples: &[Sample],
    mut is_entry: impl FnMut(u64) -> bool,
) -> Option<GoroutineLayout> {
    if samples.len() < 2 {
        return None;
    }
    let mut goids = (120..200).step_by(8);
    let goid = goids
        .clone()
        .find(|offset| is_goid(samples, *offset))
        .or_else(|| goids.find(|offset| is_goid_without_main(samples, *offset)))?;
    let living: Vec<&Sample> = samples.iter().filter(|sample| sample.lives(goid)).collect();
    let sched_g = (32..120).step_by(8).find(|offset| most(&living, |s| s.word(*offset) == s.address))?;
    let sched_sp = sched_g - 16;
    // Between it and the saved frame pointer lie two words, or three up to Go 1.24.
    let waiting: Vec<&Sample> = samples.iter().filter(|sample| sample.status(goid) == WAITING).collect();
    let in_stack = |offset: usize| {
        let inside = waiting.iter().filter(|s| {
            let (low, high) = (s.word(GoroutineLayout::STACK_LOW), s.word(GoroutineLayout::STACK_HIGH));
            (low..high).contains(&s.word(offset))
        });
        inside.count()
    };
    let sched_bp = [sched_g + 24, sched_g + 32].into_iter().max_by_key(|offset| in_stack(*offset))?;
    if in_stack(sched_bp) * 2 < waiting.len() {
        return None;
    }
    let start_pc = (goid + 40..SAMPLE_BYTES - 48).step_by(8).find(|offset| {
        let started = living.iter().filter(|s| s.word(*offset) != 0 && is_entry(s.word(*offset))).count();
        started >= 2 && started * 2 >= living.len() && are_entries(&living, *offset, &mut is_entry)
    })?;
    let layout = GoroutineLayout {
        sched_sp,
        sched_bp,
        syscall_sp: sched_bp + 8,
        goid,
        locked_m: None,
        parent_goid: None,
        start_pc,
    };
    let parent = layout.go_pc() - 8;
    let highest = samples.iter().map(|sample| sample.word(goid)).max()?;
    // Not every parent is among the samples, and ids are handed out to processors in batches, so that a parent's can
    // be the higher one. In Go 1.20 and older an address of code lies here, or nothing.
    let bound = highest.saturating_mul(2).saturating_add(1 << 10);
    let is_parent = most(&living, |sample| sample.word(parent) <= bound)
        && samples.iter().any(|sample| sample.word(parent) != 0);
    Some(GoroutineLayout { parent_goid: is_parent.then_some(parent), ..layout })
}

/// Whether a layout by table fits goroutines that are too few, or too much alike, to tell it by themselves.
pub(in crate::golang) fn fits_goroutines(
    samples: &[Sample],
    layout: &GoroutineLayout,
    mut is_entry: impl FnMut(u64) -> bool,
) -> bool {
    let living: Vec<&Sample> = samples.iter().filter(|sample| sample.lives(layout.goid)).collect();
    !living.is_empty()
        && (is_goid(samples, layout.goid) || is_goid_without_main(samples, layout.goid))
        && most(&living, |sample| sample.word(layout.sched_g()) == sample.address)
        && living.iter().any(|sample| is_entry(sample.word(layout.start_pc)))
        && are_entries(&living, layout.start_pc, is_entry)
}

/// Whether goroutines that live begin at entries of functions. Those on which threads of C call into Go have no begin,
/// and no `go` statement either (`oneNewExtraM` in `runtime/proc.go`, Go 1.19 to 1.27).
fn are_entries(living: &[&Sample], start_pc: usize, mut is_entry: impl FnMut(u64) -> bool) -> bool {
    let go_pc = start_pc - 16;
    let started = living.iter().filter(|s| s.word(start_pc) != 0 || s.word(go_pc) != 0);
    let started: Vec<&Sample> = started.copied().collect();
    most(&started, |sample| is_entry(sample.word(start_pc)))
}

/// The id of the main goroutine is 1, and ids never repeat. The status before it must be one.
fn is_goid(samples: &[Sample], offset: usize) -> bool {
    samples.first().is_some_and(|main| main.word(offset) == 1) && has_ids(samples, offset)
}

/// The main goroutine of a library ends when the library is set up, and another takes its place. Then only a field
/// behind a status that says something is an id.
fn is_goid_without_main(samples: &[Sample], offset: usize) -> bool {
    const ENOUGH: usize = 4;
    samples.len() >= ENOUGH
        && has_ids(samples, offset)
        && most(&samples.iter().collect::<Vec<_>>(), |s| s.word(offset) != 0 && s.status(offset) != 0)
}

fn has_ids(samples: &[Sample], offset: usize) -> bool {
    let ids: HashSet<u64> = samples.iter().map(|sample| sample.word(offset)).collect();
    ids.iter().all(|id| *id < MAX_GOID)
        && ids.len() * 20 >= samples.len() * 19
        && samples.iter().all(|sample| sample.status(offset) <= HIGHEST_STATUS)
}

/// True of all samples but a few that may just be changing.
fn most(samples: &[&Sample], mut holds: impl FnMut(&Sample) -> bool) -> bool {
    let count = samples.iter().filter(|sample| holds(sample)).count();
    count * 10 >= samples.len() * 9
}

/// `curg` has followed `procid` at this distance in all versions.
const CURRENT_BEHIND_PROCID: usize = 120;

/// The layout of threads, from the list that begins with `first`.
pub(in crate::golang) fn thread_layout(loaded: &Loaded, first: u64) -> Option<ThreadLayout> {
    let list = longest_thread_list(loaded, first)?;
    let mut threads = Vec::new();
    for address in list.threads.iter().take(256) {
        let mut bytes = vec![0; 128];
        loaded.memory.read(*address, &mut bytes).ok()?;
        threads.push(Sample { address: *address, bytes });
    }
    let procid = (48..128).step_by(8).find(|offset| {
        let has_id = |thread: &&Sample| thread.word(*offset) != 0;
        let is_kept = |thread: &&Sample| {
            let current = thread.address.wrapping_add((offset + CURRENT_BEHIND_PROCID) as u64);
            loaded.word(current).is_some_and(|goroutine| goroutine != 0)
        };
        let (with, without): (Vec<&Sample>, Vec<&Sample>) = threads.iter().partition(has_id);
        let ids: HashSet<u64> = with.iter().map(|thread| thread.word(*offset)).collect();
        // Threads that are just being created have none yet.
        let creating = without.iter().filter(|thread| !is_kept(thread)).count();
        ids.len() == with.len()
            && creating <= 1
            && !ids.is_empty()
            && threads.len() > 1
            && ids.iter().all(|id| *id <= MAX_TID)
    })?;
    Some(ThreadLayout {
        procid,
        current: procid + CURRENT_BEHIND_PROCID,
        in_cgo: None,
        all_link: list.link,
        locked_g: None,
    })
}

/// Whether a layout by table fits the threads: the list along its link is as long as the longest, and ids are ids.
pub(in crate::golang) fn fits_threads(loaded: &Loaded, first: u64, layout: &ThreadLayout) -> bool {
    let Some(longest) = longest_thread_list(loaded, first) else { return false };
    let listed = follow_threads(loaded, first, layout.all_link);
    // What the runtime keeps ready for threads of C has a goroutine and, for as long as no thread uses it, no id
    // (`oneNewExtraM` in `runtime/proc.go`, `unminit` in `runtime/os_linux.go`, Go 1.19 to 1.27).
    let fits = |thread: &u64| match loaded.word(thread + layout.procid as u64)? {
        0 => Some(loaded.word(thread + layout.current as u64)? != 0),
        id => Some(id <= MAX_TID),
    };
    let fitting = listed.iter().filter(|thread| fits(thread) == Some(true)).count();
    let has_id = |thread: &u64| loaded.word(thread + layout.procid as u64).is_some_and(|id| id != 0);
    listed.len() >= longest.threads.len() && fitting + 2 >= listed.len() && listed.iter().any(has_id)
}
