//! Children of a process: those it has to wait for.

/// Children of one process by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Children {
    /// Exited and not waited for.
    pub zombies: u64,
    /// Still there.
    pub running: u64,
}
