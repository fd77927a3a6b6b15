//! What is in use of the heap at one moment, by the stack that allocated it.

use super::code::Frame;
use crate::reading::Moment;
use std::sync::Arc;

/// Sites that are kept, those with most bytes first.
pub const MAX_SITES: usize = 4096;

/// The heap profile of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct HeapCapture {
    /// When it was taken.
    pub at: Moment,
    /// What each stack has in use, most bytes first.
    pub sites: Vec<HeapSite>,
    /// One allocation is sampled in so many bytes; what is said of a site is an estimate from samples.
    pub rate_bytes: u64,
}

/// What one stack allocated and is still in use.
#[derive(Clone, Debug, PartialEq)]
pub struct HeapSite {
    /// Innermost frame first, without the allocator's own frames.
    pub stack: Arc<[Frame]>,
    /// Objects in use, estimated.
    pub objects: u64,
    /// Their bytes, estimated.
    pub bytes: u64,
}
