//! Why there is no graph.

use crate::golang::heap::HeapError;

/// Why there is no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// Layouts of this version are not known.
    #[error("it is of {version}, and how heaps are laid out is known of Go 1.21 to 1.27")]
    OtherVersion {
        /// The version.
        version: String,
    },
    /// More than is walked.
    #[error("its heap has {count} {what}, and at most {most} are walked")]
    TooLarge {
        /// Of what there is too much.
        what: &'static str,
        /// How much there is, or more.
        count: u64,
        /// How much is walked.
        most: u64,
    },
    /// The runtime's books could not be read.
    #[error(transparent)]
    Heap(#[from] HeapError),
    /// The goroutines were not found.
    #[error("the runtime's list of goroutines was not found")]
    NoGoroutines,
}
