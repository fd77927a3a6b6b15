//! What is in use of the heap at one moment, by the stack that allocated it.

use crate::vocabulary::frame::Frame;
use crate::vocabulary::reading::Moment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Sites that are kept, those with most bytes first.
pub const MAX_SITES: usize = 4096;

/// The heap at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapCapture {
    /// When it was taken.
    pub at: Moment,
    /// What each stack has in use, most bytes first; or why that is not known, completing "no heap samples are
    /// recorded in this program, because …".
    pub sites: Result<Vec<HeapSite>, String>,
    /// All memory that the runtime has mapped and could be resident, its own structures included
    /// (`gcController.mappedReady`); `None` where it could not be read.
    pub mapped_bytes: Option<u64>,
}

/// What one stack allocated and is still in use. All of it is estimated from samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeapSite {
    /// Innermost frame first, without the allocator's own frames.
    pub stack: Arc<[Frame]>,
    /// Objects in use.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Size of each, which is exact: a stack occurs once for each size.
    pub object_bytes: u64,
}
