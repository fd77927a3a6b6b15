//! What the probes in the Go runtime keep in maps.

/// What user space sets for the probes of one ledger in one process; the key is a `TallyKey`. The number of hits so
/// far is kept apart, under the same key.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// From this many hits on nothing is done any more.
    pub hit_limit: u64,
    /// Spans are looked at whose mixed address has none of these bits; 0 for all.
    pub sample_mask: u32,
    /// Where `freeindex` and `nelems` lie in an `mspan`.
    pub counts: u32,
    /// These are words of 8 bytes and not of 2.
    pub counts_are_wide: u32,
    /// Where `allocCache` lies in an `mspan`; the rest is at fixed distances from there.
    pub allocation: u32,
}

/// `go` statements that one goroutine executed at one place, for one function.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BirthKey {
    /// Thread group id.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
    /// Id of the goroutine that executed them.
    pub parent: u64,
    /// Address behind the statement.
    pub created_at: u64,
    /// Entry of the function that was started.
    pub start: u64,
}

/// Who executed them, and from where.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BirthEntry {
    /// How many goroutines were started.
    pub count: u64,
    /// Id of the goroutine that started the one that executed them; 0 where unknown.
    pub grandparent: u64,
    /// Address behind the statement that did; 0 where unknown.
    pub parent_created_at: u64,
    /// The stacks that came last, in no order.
    pub stacks: [BirthStack; BIRTH_STACKS],
}

/// One stack that has executed a `go` statement.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BirthStack {
    /// Key of its `StackRecord`; 0 for none.
    pub stack: u64,
    /// How many goroutines were started by it.
    pub count: u64,
    /// When the newest of them was, in nanoseconds of CLOCK_BOOTTIME.
    pub newest_ns: u64,
}

/// Distinct stacks that are kept of one statement of one goroutine.
pub const BIRTH_STACKS: usize = 4;

/// A span of the heap that a thread has allocated from.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanKey {
    /// Thread group id.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
    /// Address of the `mspan`.
    pub span: u64,
}

/// Objects in it of which it is known who allocated them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanEntry {
    /// Where its objects begin.
    pub start: u64,
    /// Size of an object.
    pub object_bytes: u64,
    /// `spanclass`.
    pub span_class: u32,
    /// Index of the sample that came last.
    pub newest: u32,
    /// In no order.
    pub samples: [SpanSample; SPAN_SAMPLES],
}

/// The first object that was allocated after the span was got, standing for all that the thread allocated from it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanSample {
    /// Key of its `StackRecord`; 0 where there is none.
    pub stack: u64,
    /// When, in nanoseconds of CLOCK_BOOTTIME.
    pub at_ns: u64,
    /// Index of the object in the span.
    pub slot: u32,
    /// Objects that it stands for; 0 for no sample.
    pub weight: u32,
    /// `sweepgen` of the heap then: after the next collection it is 2 more.
    pub generation: u32,
    /// Of the weight, slots that are free as long as the thread has not filled them.
    pub open: u32,
}

/// Samples that are kept of one span. Where one more comes, it is merged with another so that sums stay right on
/// average.
pub const SPAN_SAMPLES: usize = 4;

/// What a stack has allocated; the key is that of its `StackRecord`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocated {
    /// Thread group id.
    pub tgid: u32,
    /// Zero.
    pub reserved: u32,
    /// Objects that its samples stood for, scaled.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}
