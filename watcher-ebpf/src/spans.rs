//! Who allocates what stays, in programs that record no heap profile.
//!
//! A thread of the Go runtime takes a span of slots at a time and fills it. Whoever makes it take one gets the first
//! free slot: a sample of one object in as many as the span has room for, of which the place is known. Whether that
//! object lives is told by its mark bit after later collections, in here when the span is taken again, else from
//! outside. Offsets within an `mspan` are those of `watcher::golang::spans`.

use crate::kernel::probe_user;
use crate::ledger::{ON_DEMAND, Watching, add, now_ns, watching};
use crate::probes::hit;
use crate::stacks::{ended, origin};
use aya_ebpf::helpers::generated::bpf_get_prandom_u32;
use aya_ebpf::macros::{map, uprobe};
use aya_ebpf::maps::HashMap;
use aya_ebpf::programs::ProbeContext;
use watcher_ebpf::{
    Allocated, LEDGER_SPANS, Origin, ProbeSettings, SPAN_SAMPLES, SpanEntry, SpanKey, SpanSample,
};

/// Of 8 KiB each and more: half a gigabyte of small objects. Beyond that user space asks for fewer.
#[map]
static SPANS: HashMap<SpanKey, SpanEntry> = HashMap::with_max_entries(65_536, ON_DEMAND);

/// By stack.
#[map]
static ALLOCATED: HashMap<u64, Allocated> = HashMap::with_max_entries(8192, ON_DEMAND);

/// `mspan.startAddr`.
const START: u64 = 0x18;
/// Largest number of objects in a span.
const MAX_OBJECTS: u32 = 1024;

/// From `allocCache` on.
#[repr(C)]
#[derive(Clone, Copy)]
struct Allocation {
    /// Bits of free slots, from `freeindex` on.
    cache: u64,
    /// Address of the bits of slots that the last collection found alive.
    bits: u64,
    mark_bits: u64,
    pinner_bits: u64,
    sweep_generation: u32,
    division: u32,
    allocated: u16,
    span_class: u8,
    state: u8,
    flags: u32,
    object_bytes: u64,
}

/// Where a thread has just got a span, before anything is allocated from it: it is in AX.
#[uprobe]
pub fn span_filled(ctx: ProbeContext) -> u32 {
    taken(&ctx, false)
}

/// Where a large object has just got a span for itself: it is in AX. None of them is left out: they are few, and one
/// that stood for many would be a bad guess.
#[uprobe]
pub fn span_made(ctx: ProbeContext) -> u32 {
    taken(&ctx, true)
}

#[inline(always)]
fn taken(ctx: &ProbeContext, is_large: bool) -> u32 {
    let Some(watching) = watching(LEDGER_SPANS) else { return 0 };
    let Some(settings) = hit(&watching, LEDGER_SPANS) else { return 0 };
    // SAFETY: the context of a uprobe is the registers.
    let span = unsafe { (*ctx.regs).rax };
    if span == 0 || !is_large && is_left_out(settings, span) {
        return 0;
    }
    let scale = if is_large { 1 } else { scale(settings) };
    if enter(ctx, &watching, settings, span, scale).is_none() {
        watching.tally(LEDGER_SPANS, |tally| &raw const tally.lost);
    }
    0
}

/// Where a collection takes back a span that may not be full: it is in BX.
#[uprobe]
pub fn span_returned(ctx: ProbeContext) -> u32 {
    let Some(watching) = watching(LEDGER_SPANS) else { return 0 };
    let Some(settings) = hit(&watching, LEDGER_SPANS) else { return 0 };
    // SAFETY: the context of a uprobe is the registers.
    let span = unsafe { (*ctx.regs).rbx };
    if span != 0 && !is_left_out(settings, span) {
        close(&watching, settings, span);
    }
    0
}

/// Spans are many and alike: a part of them says what the others do. Always the same, so that of each of them every
/// turn is seen.
#[inline(always)]
fn is_left_out(settings: &ProbeSettings, span: u64) -> bool {
    (span >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & u64::from(settings.sample_mask) != 0
}

#[inline(always)]
fn enter(
    ctx: &ProbeContext,
    watching: &Watching,
    settings: &ProbeSettings,
    span: u64,
    scale: u64,
) -> Option<()> {
    let allocation = probe_user::<Allocation>(span.wrapping_add(u64::from(settings.allocation)))?;
    let start = probe_user::<u64>(span.wrapping_add(START))?;
    let (first, room) = counts(settings, span)?;
    if room == 0 || room > MAX_OBJECTS || allocation.object_bytes == 0 {
        return None;
    }
    let free = room.checked_sub(u32::from(allocation.allocated)).filter(|free| *free > 0)?;
    let slot = first_free(&allocation, first, room)?;
    let origin = origin(ctx, watching, LEDGER_SPANS);
    count_allocated(watching, &origin, u64::from(free) * scale, allocation.object_bytes);
    let sample = SpanSample {
        stack: origin.stack,
        at_ns: now_ns(),
        slot,
        weight: free,
        generation: allocation.sweep_generation,
        open: free,
    };
    let key = SpanKey { tgid: watching.tgid, reserved: 0, span };
    let span_class = u32::from(allocation.span_class);
    if let Some(entry) = SPANS.get_ptr_mut(key) {
        // SAFETY: the entry stays valid until this program ends. A span belongs to one thread at a time, so that no
        // other program changes it now.
        let entry = unsafe { &mut *entry };
        // A large object has its span for itself; else it is another span by now, or the same once more.
        if span_class > 1 && entry.start == start && entry.span_class == span_class {
            bury(watching, entry, &allocation);
            merge(entry, sample);
            return Some(());
        }
    }
    let none = SpanSample { stack: 0, at_ns: 0, slot: 0, weight: 0, generation: 0, open: 0 };
    let entry = SpanEntry {
        start,
        object_bytes: allocation.object_bytes,
        span_class,
        newest: 0,
        samples: [sample, none, none, none],
    };
    SPANS.insert(key, entry, 0).ok()
}

/// `freeindex` and `nelems`.
#[inline(always)]
fn counts(settings: &ProbeSettings, span: u64) -> Option<(u32, u32)> {
    let place = span.wrapping_add(u64::from(settings.counts));
    if settings.counts_are_wide != 0 {
        probe_user::<[u64; 2]>(place).map(|[first, room]| (first as u32, room as u32))
    } else {
        probe_user::<[u16; 2]>(place).map(|[first, room]| (u32::from(first), u32::from(room)))
    }
}

/// The slot that will be allocated next, as `nextFreeFast` and `nextFreeIndex` find it.
#[inline(always)]
fn first_free(allocation: &Allocation, first: u32, room: u32) -> Option<u32> {
    if allocation.cache != 0 {
        return Some(first.wrapping_add(trailing_zeros(allocation.cache))).filter(|slot| *slot < room);
    }
    let from = first / 64 + 1;
    for word in 0..MAX_OBJECTS / 64 {
        if word < from {
            continue;
        }
        if word * 64 >= room {
            break;
        }
        let taken = probe_user::<u64>(allocation.bits.wrapping_add(u64::from(word) * 8))?;
        if taken != u64::MAX {
            return Some(word * 64 + trailing_zeros(!taken)).filter(|slot| *slot < room);
        }
    }
    None
}

/// By halves: the compiler's own way needs a table, which a program cannot have.
#[inline(always)]
fn trailing_zeros(mut bits: u64) -> u32 {
    let mut zeros = 0;
    if bits as u32 == 0 {
        (bits, zeros) = (bits >> 32, 32);
    }
    if bits & 0xffff == 0 {
        (bits, zeros) = (bits >> 16, zeros + 16);
    }
    if bits & 0xff == 0 {
        (bits, zeros) = (bits >> 8, zeros + 8);
    }
    if bits & 0xf == 0 {
        (bits, zeros) = (bits >> 4, zeros + 4);
    }
    if bits & 3 == 0 {
        (bits, zeros) = (bits >> 2, zeros + 2);
    }
    zeros + (bits as u32 & 1 ^ 1)
}

/// Takes out the samples whose objects a collection since then has not found alive.
#[inline(always)]
fn bury(watching: &Watching, entry: &mut SpanEntry, allocation: &Allocation) {
    for index in 0..SPAN_SAMPLES {
        let sample = &mut entry.samples[index];
        // The marks are those of a collection before this object was allocated.
        if sample.weight == 0 || sample.generation == allocation.sweep_generation {
            continue;
        }
        let byte = probe_user::<u8>(allocation.bits.wrapping_add(u64::from(sample.slot / 8))).unwrap_or(0);
        if byte >> (sample.slot % 8) & 1 == 0 {
            let gone =
                Origin { stack: sample.stack, goroutine: 0, parent: 0, created_at: 0, tid: 0, reserved: 0 };
            ended(watching, LEDGER_SPANS, &gone, now_ns().saturating_sub(sample.at_ns));
            sample.weight = 0;
        }
    }
}

/// Adds a sample. Where there is no room, one that is there and the new one become one that stands for both, and
/// each is that one as often as it has weight.
#[inline(always)]
fn merge(entry: &mut SpanEntry, new: SpanSample) {
    for index in 0..SPAN_SAMPLES {
        if entry.samples[index].weight == 0 {
            entry.samples[index] = new;
            entry.newest = index as u32;
            return;
        }
    }
    // SAFETY: takes nothing.
    let random = unsafe { bpf_get_prandom_u32() };
    let index = random as usize & (SPAN_SAMPLES - 1);
    let sample = &mut entry.samples[index];
    let weight = sample.weight.wrapping_add(new.weight).max(1);
    if (random >> 2) % weight < new.weight {
        *sample = new;
    }
    sample.weight = weight;
    sample.open = new.open;
    entry.newest = index as u32;
}

/// What the thread did not allocate from the span before it gave it back, the newest sample does not stand for.
#[inline(always)]
fn close(watching: &Watching, settings: &ProbeSettings, span: u64) {
    let Some(entry) = SPANS.get_ptr_mut(SpanKey { tgid: watching.tgid, reserved: 0, span }) else { return };
    let place = span.wrapping_add(u64::from(settings.allocation));
    let Some(allocation) = probe_user::<Allocation>(place) else { return };
    let Some((_, room)) = counts(settings, span) else { return };
    // SAFETY: as where it is entered.
    let entry = unsafe { &mut *entry };
    let sample = &mut entry.samples[entry.newest as usize & (SPAN_SAMPLES - 1)];
    let left = room.saturating_sub(u32::from(allocation.allocated));
    // At least the object of the sample itself was allocated.
    if left > 0 && left < sample.open && left < sample.weight {
        sample.weight -= left;
        if let Some(allocated) = ALLOCATED.get_ptr(sample.stack) {
            let objects = u64::from(left) * scale(settings);
            // SAFETY: the entry stays valid until this program ends.
            add(unsafe { &raw const (*allocated).objects }, objects.wrapping_neg());
            // SAFETY: as above.
            add(unsafe { &raw const (*allocated).bytes }, (objects * entry.object_bytes).wrapping_neg());
        }
    }
    sample.open = 0;
}

/// Spans for which one that is looked at stands.
#[inline(always)]
fn scale(settings: &ProbeSettings) -> u64 {
    u64::from(settings.sample_mask) + 1
}

#[inline(always)]
fn count_allocated(watching: &Watching, origin: &Origin, objects: u64, object_bytes: u64) {
    let bytes = objects * object_bytes;
    if let Some(allocated) = ALLOCATED.get_ptr(origin.stack) {
        // SAFETY: the entry stays valid until this program ends.
        add(unsafe { &raw const (*allocated).objects }, objects);
        // SAFETY: as above.
        add(unsafe { &raw const (*allocated).bytes }, bytes);
        return;
    }
    // Where two CPUs meet here, the count of one is lost once.
    let _ = ALLOCATED.insert(origin.stack, Allocated { tgid: watching.tgid, reserved: 0, objects, bytes }, 0);
}
