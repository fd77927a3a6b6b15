//! OS threads of a process by what they are.

use crate::task::ThreadState;

/// OS threads by name and state, largest group first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadGroups {
    /// The groups.
    pub groups: Vec<ThreadGroup>,
}

/// Threads that share a name and a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadGroup {
    /// `comm` of the thread, printable form.
    pub name: String,
    /// What the scheduler says of it.
    pub state: ThreadState,
    /// How many there are.
    pub count: u64,
}
