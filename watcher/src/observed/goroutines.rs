//! All goroutines of a process at one moment, by where they were created and where they are.

use crate::vocabulary::frame::Frame;
use crate::vocabulary::reading::Moment;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Sites that are kept, those with most goroutines first.
pub const MAX_SITES: usize = 4096;

/// Goroutines that are kept one by one. Of more only those with certain ids are kept, the same in each capture.
pub const MAX_MEMBERS: u64 = 65_536;

/// Goroutines by site, and each of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoroutineCapture {
    /// When it was taken.
    pub at: Moment,
    /// The same on the runtime's clock, in nanoseconds.
    pub runtime_nanos: u64,
    /// Goroutines that are alike, the most numerous first; the runtime's own are left out.
    pub sites: Vec<GoroutineSite>,
    /// Goroutines one by one, by id.
    pub members: Vec<Member>,
    /// Only goroutines whose id is a multiple of this are among the members. A power of two.
    pub one_in: u64,
    /// All goroutines at the sites and beyond them.
    pub total: u64,
    /// Goroutines at sites beyond [`MAX_SITES`].
    pub beyond: u64,
    /// Goroutines whose stack could not be read.
    pub without_stack: u64,
}

/// Goroutines with the same origin and the same stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GoroutineSite {
    /// The `go` statement, innermost frame first where its function was inlined; empty for the main goroutine.
    pub created_by: Arc<[Frame]>,
    /// The stacks that executed the statement, and those that started the goroutines which did, nearest first, as far as
    /// to the program's own code. Empty where no birth was watched: there is no more than the statement then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub started_by: Vec<Arc<[Frame]>>,
    /// Further stacks that executed the statement in the same goroutine: some of these may have come from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub or_started_by: Vec<Arc<[Frame]>>,
    /// Where the goroutine is now that most of them go back to, innermost frame first: the nearest that is in code of the
    /// program's own. Told where all between live, no birth was watched, and the statement is not the program's own. Only
    /// since Go 1.21 goroutines know who started them.
    #[serde(default, skip_serializing_if = "<[Frame]>::is_empty")]
    pub parent_at: Arc<[Frame]>,
    /// Where they are, innermost frame first; empty where it could not be read.
    pub stack: Arc<[Frame]>,
    /// For what they wait, in the runtime's words; `None` for those that do not wait.
    pub wait_reason: Option<Arc<str>>,
    /// How many.
    pub count: u64,
    /// ... of them that hold an OS thread: locked to it, in a system call, or in C.
    pub holding_threads: u64,
}

/// One goroutine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id, never used twice in a process.
    pub id: u64,
    /// Index into the sites.
    pub site: u32,
    /// When a garbage collection first found it waiting as it waits now, in nanoseconds of the runtime's clock;
    /// `None` where there was no collection since. Whoever runs in between loses it (`runtime.execute`).
    pub waiting_since_nanos: Option<u64>,
}
