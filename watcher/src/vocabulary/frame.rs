//! Places in the watched program's code, as sites of goroutines and of allocations name them.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Frames that are kept of a stack; deeper ones lose their outermost.
pub const MAX_FRAMES: usize = 64;

/// One frame of a stack, in printable form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frame {
    /// Function, as Go names it: `net/http.(*Transport).dialConn`.
    pub function: Arc<str>,
    /// Source file as the compiler recorded it.
    pub file: Arc<str>,
    /// Line, from 1; 0 where unknown.
    pub line: u32,
}

impl Frame {
    /// A frame of these.
    pub fn new(function: &str, file: &str, line: u32) -> Frame {
        Frame { function: function.into(), file: file.into(), line }
    }
}
