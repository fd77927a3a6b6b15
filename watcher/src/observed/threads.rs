//! OS threads by name and state.

use crate::vocabulary::task::ThreadState;
use serde::{Deserialize, Serialize};

/// OS threads by name and state, largest group first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadGroups {
    /// The groups.
    pub groups: Vec<ThreadGroup>,
    /// Threads that fell into no group because there were more groups than [`MAX_GROUPS`].
    pub ungrouped: u64,
}

/// More groups than this are not kept apart: a program may name every thread differently.
pub const MAX_GROUPS: usize = 64;

/// Threads that share a name and a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadGroup {
    /// `comm` of the thread, printable form.
    pub name: String,
    /// What the scheduler says of it.
    pub state: ThreadState,
    /// How many there are.
    pub count: u64,
}
