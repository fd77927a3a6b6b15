//! Children of a process.

use serde::{Deserialize, Serialize};

/// Children of one process by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Children {
    /// Exited and not waited for.
    pub zombies: u64,
    /// Still there.
    pub running: u64,
}
