//! The heap profile that the runtime keeps of itself: which stacks allocated what, and how much of it is in use.
//!
//! `runtime/mprof.go`. Every stack that ever had an allocation sampled has a bucket; buckets are linked into a list
//! that only grows at its head and are never freed, so it can be followed while the program runs. Counts become
//! visible in three steps, two collections behind: they are gathered in `future` slots, and what a completed
//! collection has seen both sides of (allocated and freed) is added to `active`, which is what `/debug/pprof/heap`
//! shows, and what is shown here.

use super::scale;
use crate::golang::Memory;
use crate::golang::bytes::u64_at;
use std::collections::HashSet;
use std::sync::Arc;

/// Programs of a million lines have some ten thousand.
const MAX_BUCKETS: usize = 1 << 18;
/// All stacks together.
const MAX_STACK_PCS: usize = 1 << 22;
/// `maxProfStackDepth`, the largest that GODEBUG=profstackdepth can ask for.
const MAX_DEPTH: u64 = 1024;
const HEADER_BYTES: usize = 48;
/// `memProfile` in `runtime.bucketType`.
const MEMORY_BUCKET: u64 = 1;
/// `memRecord.future`.
const FUTURE_SLOTS: usize = 3;
const ATTEMPTS: usize = 3;
/// Any program may set any rate, but none asks for less than one sample in so many bytes.
const MAX_RATE_BYTES: i64 = 1 << 48;

/// Where the runtime keeps its profile in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// `runtime.mbuckets`: pointer to the newest bucket; `None` where there was none yet.
    pub buckets: Option<u64>,
    /// `runtime.MemProfileRate`; see [`crate::golang::runtime::sampling::rate`].
    pub rate: Option<u64>,
    /// `runtime.mheap_.sweepgen`, which counts collections by two. Without it, what a collection that has just ended
    /// found may be missed.
    pub sweep_generation: Option<u64>,
    /// Whether the program holds the function that reports the profile; see [`crate::golang::runtime::sampling::is_linked`].
    pub is_linked: bool,
}

/// `runtime.memRecordCycle`, of which a bucket holds four.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordLayout {
    /// Go 1.26 and older: objects allocated and freed, bytes allocated and freed.
    ObjectsAndBytes,
    /// Go 1.27: objects allocated and freed.
    Objects,
}

/// The larger of the two.
const RECORD_BYTES: usize = 32 * (1 + FUTURE_SLOTS);

impl RecordLayout {
    /// All objects of a bucket have one size. Where bytes are recorded, they are a multiple of it; where they are
    /// not, the words in their place are other counts. `None` where every count is zero.
    fn of(buckets: &[Bucket]) -> Option<RecordLayout> {
        let (mut with_bytes, mut without) = (0, 0);
        for bucket in buckets {
            for slot in 0..=FUTURE_SLOTS {
                let Some(counts) = RecordLayout::ObjectsAndBytes.counts(bucket, slot) else { continue };
                if counts == Counts::default() {
                    continue;
                }
                let follows = counts.allocated.wrapping_mul(bucket.object_bytes) == counts.allocated_bytes
                    && counts.freed.wrapping_mul(bucket.object_bytes) == counts.freed_bytes;
                *(if follows { &mut with_bytes } else { &mut without }) += 1;
            }
        }
        match (with_bytes, without) {
            (0, 0) => None,
            // One that is being changed just now does not decide.
            (with_bytes, without) if with_bytes > without => Some(RecordLayout::ObjectsAndBytes),
            _ => Some(RecordLayout::Objects),
        }
    }

    /// The counts of a slot: 0 is `active`, the others are `future`.
    fn counts(self, bucket: &Bucket, slot: usize) -> Option<Counts> {
        let bytes = match self {
            RecordLayout::ObjectsAndBytes => 32,
            RecordLayout::Objects => 16,
        };
        let word = |index: usize| u64_at(&bucket.record, slot * bytes + index * 8);
        let (allocated, freed) = (word(0)?, word(1)?);
        let (allocated_bytes, freed_bytes) = match self {
            RecordLayout::ObjectsAndBytes => (word(2)?, word(3)?),
            RecordLayout::Objects => {
                (allocated.wrapping_mul(bucket.object_bytes), freed.wrapping_mul(bucket.object_bytes))
            }
        };
        Some(Counts { allocated, freed, allocated_bytes, freed_bytes })
    }
}

/// The profile of one moment, as sampled: nothing is scaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeapProfile {
    /// `runtime.MemProfileRate`: one sample in so many bytes allocated, on average.
    pub rate_bytes: i64,
    /// Every stack that had an allocation sampled, the newest first. A stack occurs once for each object size.
    pub sites: Vec<Site>,
    /// There were more sites than are read, or the list ended in something that is none.
    pub is_truncated: bool,
    /// A collection ended while it was read, each time it was tried: sites may belong to two moments.
    pub is_torn: bool,
    /// No collection has ended yet, and what was allocated so far is shown, as pprof does.
    pub is_before_first_gc: bool,
    /// pprof tells the size of objects of which none was allocated yet: since Go 1.27 the size stands in the record,
    /// before it was the quotient of two counts (`runtime/pprof/protomem.go`).
    pub tells_unused_sizes: bool,
}

/// What one stack allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// Return addresses, leaf first. A call that was inlined has one of its own.
    pub stack: Vec<u64>,
    /// Size of the objects, in bytes.
    pub object_bytes: u64,
    /// Sampled so far.
    pub counts: Counts,
}

/// Sampled objects and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects allocated since the start.
    pub allocated: u64,
    /// Objects of them that were freed.
    pub freed: u64,
    /// Bytes allocated since the start.
    pub allocated_bytes: u64,
    /// Bytes of them that were freed.
    pub freed_bytes: u64,
}

/// An estimate of all objects and bytes of a site, as pprof prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// Objects allocated since the start.
    pub allocated_objects: i64,
    /// Their bytes.
    pub allocated_bytes: i64,
    /// Objects in use.
    pub in_use_objects: i64,
    /// Their bytes.
    pub in_use_bytes: i64,
}

/// Why there is no heap profile. The texts complete "no heap samples are recorded in this program, because …".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoProfile {
    /// The linker turns sampling off where nothing in the program can ask for the profile
    /// (`runtime.disableMemoryProfiling`).
    #[error("nothing in it uses runtime.MemProfile or runtime/pprof, and the linker turned sampling off")]
    NotLinked,
    /// `runtime.MemProfileRate` is 0 or less.
    #[error("it set runtime.MemProfileRate to 0")]
    RateZero,
    /// No allocation has been sampled so far.
    #[error("no allocation has been sampled yet")]
    NothingYet,
    /// What was taken for the profile is something else, or cannot be read.
    #[error("the runtime's profile could not be found: {what}")]
    NotFound {
        /// Which check failed.
        what: &'static str,
    },
}

impl Location {
    /// Reads the profile.
    ///
    /// # Errors
    /// See [`NoProfile`].
    pub fn read(&self, memory: &(impl Memory + ?Sized)) -> Result<HeapProfile, NoProfile> {
        let not_found = |what| NoProfile::NotFound { what };
        // The runtime samples an allocation or two of its own before it learns that it should not.
        let rate_bytes = match self.rate.map(|address| word(memory, address)) {
            Some(Some(rate)) => rate.cast_signed(),
            _ if !self.is_linked => return Err(NoProfile::NotLinked),
            Some(None) => return Err(not_found("the sampling rate is not readable")),
            None => return Err(not_found("the sampling rate is not where it is looked for")),
        };
        if rate_bytes <= 0 {
            return Err(if self.is_linked { NoProfile::RateZero } else { NoProfile::NotLinked });
        }
        if rate_bytes > MAX_RATE_BYTES {
            return Err(not_found("the sampling rate makes no sense"));
        }
        let buckets = self.buckets.ok_or(NoProfile::NothingYet)?;
        let mut attempt = 1;
        loop {
            let cycle = self.cycle(memory);
            let head = word(memory, buckets).ok_or(not_found("the buckets are not readable"))?;
            if head == 0 {
                return Err(NoProfile::NothingYet);
            }
            let (buckets, is_truncated) = self.walk(memory, head);
            if buckets.is_empty() {
                return Err(not_found("the first bucket makes no sense"));
            }
            let is_torn = cycle != self.cycle(memory);
            if !is_torn || attempt == ATTEMPTS {
                return Ok(publish(buckets, rate_bytes, cycle, is_truncated, is_torn));
            }
            attempt += 1;
        }
    }

    /// Number of collections so far. `mProfCycle` counts them too, and both wrap around at multiples of three.
    fn cycle(&self, memory: &(impl Memory + ?Sized)) -> Option<u32> {
        let mut bytes = [0; 4];
        memory.read(self.sweep_generation?, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes) / 2)
    }

    fn walk(&self, memory: &(impl Memory + ?Sized), head: u64) -> (Vec<Bucket>, bool) {
        let mut window = Window::default();
        let mut seen = HashSet::new();
        let mut buckets = Vec::new();
        let mut pcs = 0;
        let mut address = head;
        while address != 0 {
            if buckets.len() == MAX_BUCKETS || !seen.insert(address) {
                return (buckets, true);
            }
            let Some(bucket) = self.bucket(memory, &mut window, address) else { return (buckets, true) };
            pcs += bucket.stack.len();
            if pcs > MAX_STACK_PCS {
                return (buckets, true);
            }
            address = bucket.next;
            buckets.push(bucket);
        }
        (buckets, false)
    }

    fn bucket(&self, memory: &(impl Memory + ?Sized), window: &mut Window, address: u64) -> Option<Bucket> {
        if !address.is_multiple_of(8) {
            return None;
        }
        let header = window.read(memory, address, HEADER_BYTES)?;
        let (next, kind) = (u64_at(header, 8)?, u64_at(header, 16)?);
        let (object_bytes, depth) = (u64_at(header, 32)?, u64_at(header, 40)?);
        if kind != MEMORY_BUCKET || depth > MAX_DEPTH || object_bytes > 1 << 48 {
            return None;
        }
        let stack_bytes = usize::try_from(depth).ok()? * 8;
        let behind = address.checked_add(HEADER_BYTES as u64)?;
        // The smaller record may end where memory does.
        let longest = window.read(memory, behind, stack_bytes + RECORD_BYTES).map(<[u8]>::to_vec);
        let body = match longest {
            Some(body) => body,
            None => window.read(memory, behind, stack_bytes + RECORD_BYTES / 2)?.to_vec(),
        };
        let (stack, counts) = body.split_at_checked(stack_bytes)?;
        let mut record = [0; RECORD_BYTES];
        record[..counts.len()].copy_from_slice(counts);
        let stack = stack.chunks_exact(8).filter_map(|pc| u64_at(pc, 0)).collect();
        Some(Bucket { next, object_bytes, stack, record })
    }
}

struct Bucket {
    next: u64,
    object_bytes: u64,
    stack: Vec<u64>,
    record: [u8; RECORD_BYTES],
}

/// `memProfileInternal`: what of the future slots belongs to the profile by now.
fn publish(
    buckets: Vec<Bucket>,
    rate_bytes: i64,
    cycle: Option<u32>,
    is_truncated: bool,
    is_torn: bool,
) -> HeapProfile {
    let layout = RecordLayout::of(&buckets).unwrap_or(RecordLayout::Objects);
    // Between the end of a collection and the moment the runtime adds up its counts, pprof adds them up itself. The
    // slot is emptied then, so that adding it again changes nothing.
    let slot = cycle.map(|cycle| 1 + cycle as usize % FUTURE_SLOTS);
    let counts = |bucket: &Bucket, slots: &[usize]| {
        let of_slot = |slot: &usize| layout.counts(bucket, *slot).unwrap_or_default();
        slots.iter().map(of_slot).fold(Counts::default(), |sum, each| sum.plus(&each))
    };
    let published: Vec<usize> = [0].into_iter().chain(slot).collect();
    let is_before_first_gc = buckets.iter().all(|bucket| counts(bucket, &published) == Counts::default());
    let slots = if is_before_first_gc { vec![0, 1, 2, 3] } else { published };
    let sites = buckets.into_iter().map(|bucket| {
        let counts = counts(&bucket, &slots);
        Site { stack: bucket.stack, object_bytes: bucket.object_bytes, counts }
    });
    HeapProfile {
        rate_bytes,
        sites: sites.collect(),
        is_truncated,
        is_torn,
        is_before_first_gc,
        tells_unused_sizes: layout == RecordLayout::Objects,
    }
}

impl Counts {
    fn plus(&self, other: &Counts) -> Counts {
        Counts {
            allocated: self.allocated.wrapping_add(other.allocated),
            freed: self.freed.wrapping_add(other.freed),
            allocated_bytes: self.allocated_bytes.wrapping_add(other.allocated_bytes),
            freed_bytes: self.freed_bytes.wrapping_add(other.freed_bytes),
        }
    }

    /// Objects and bytes in use, as sampled. Counts that were caught in the middle of a change may be negative, as
    /// they may in pprof.
    pub fn in_use(&self) -> (i64, i64) {
        let objects = self.allocated.wrapping_sub(self.freed).cast_signed();
        (objects, self.allocated_bytes.wrapping_sub(self.freed_bytes).cast_signed())
    }
}

impl HeapProfile {
    /// What is estimated of a site of this profile.
    pub fn estimate(&self, site: &Site) -> Estimate {
        let (objects, bytes) = site.counts.in_use();
        let allocated = (site.counts.allocated.cast_signed(), site.counts.allocated_bytes.cast_signed());
        let (allocated_objects, allocated_bytes) =
            scale::heap_sample(allocated.0, allocated.1, self.rate_bytes);
        let (in_use_objects, in_use_bytes) = scale::heap_sample(objects, bytes, self.rate_bytes);
        Estimate { allocated_objects, allocated_bytes, in_use_objects, in_use_bytes }
    }
}

/// The part of a site's stack that pprof shows (`writeHeapProto`): without the runtime's own frames at the leaf, as
/// long as anything else is in it. `name` gives the name of the innermost function at an address, which Go asks for
/// the return address itself here.
///
/// pprof before Go 1.24 still showed frames of `internal/runtime/`.
pub fn without_runtime(stack: &[u64], mut name: impl FnMut(u64) -> Option<Arc<str>>) -> &[u64] {
    let is_runtime = |name: Arc<str>| name.starts_with("runtime.") || name.starts_with("internal/runtime/");
    let shown = stack.iter().position(|pc| !name(*pc).is_some_and(is_runtime));
    shown.map_or(stack, |first| &stack[first..])
}

/// Puts the return addresses of a site together that stand for one place in the code: an inlined call has a return
/// address of its own, which lies in the function that it was inlined into.
///
/// `expand` gives the frames at a return address with all calls that were inlined there, innermost first;
/// `is_same_function` compares two of them. What comes back has one entry for each place, as the locations of pprof
/// do (`appendLocsForStack` and `pcDeck` in `runtime/pprof/proto.go`): a function that was inlined into itself
/// begins a new one.
pub fn places<F: PartialEq>(
    stack: &[u64],
    mut expand: impl FnMut(u64) -> Vec<F>,
    is_same_function: impl Fn(&F, &F) -> bool,
) -> Vec<Vec<F>> {
    let mut places = Vec::new();
    let mut rest = stack;
    while let Some((pc, behind)) = rest.split_first() {
        rest = behind;
        let mut frames = expand(*pc);
        loop {
            let mut together = 1;
            while together < frames.len() && !is_same_function(&frames[together - 1], &frames[together]) {
                // A stack that was cut off lacks the addresses of the calls around its last.
                if let Some((next, behind)) = rest.split_first() {
                    if expand(*next) != frames[together..] {
                        break;
                    }
                    rest = behind;
                }
                together += 1;
            }
            let outer = frames.split_off(together.min(frames.len()));
            places.push(frames);
            if outer.is_empty() || !rest.is_empty() {
                break;
            }
            frames = outer;
        }
    }
    places
}

/// A stretch of memory that was read lately: buckets lie close together, each new one above the one before.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn read(&mut self, memory: &(impl Memory + ?Sized), address: u64, length: usize) -> Option<&[u8]> {
        const PAGE: u64 = 4096;
        /// Older buckets lie below.
        const BELOW: u64 = 7 * PAGE;
        let end = address.checked_add(length as u64)?;
        let page = address / PAGE * PAGE;
        let page_end = end.checked_next_multiple_of(PAGE)?;
        // What lies around may be unmapped; what was asked for must not be.
        for (start, end) in [(page.saturating_sub(BELOW), page_end), (page, page_end), (address, end)] {
            let inside = address.wrapping_sub(self.start);
            let held = self.bytes.len() as u64;
            if inside.checked_add(length as u64).is_some_and(|end| end <= held) {
                break;
            }
            self.bytes.clear();
            self.bytes.resize(usize::try_from(end - start).ok()?, 0);
            self.start = start;
            if memory.read(start, &mut self.bytes).is_err() {
                self.bytes.clear();
            }
        }
        let inside = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.bytes.get(inside..)?.get(..length)
    }
}

fn word(memory: &(impl Memory + ?Sized), address: u64) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read(address, &mut bytes).ok()?;
    Some(u64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests;
