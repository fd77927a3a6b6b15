//! The profiles that net/http/pprof offers and that are pulled.

/// A profile by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ProfileName {
    /// What is in use of the heap, by the stack that allocated it.
    Heap,
    /// The same with what was allocated so far in the first place.
    Allocs,
    /// Goroutines by stack.
    Goroutine,
    /// Goroutines that nothing can ever wake, as a garbage collection of its own finds them (Go 1.27).
    GoroutineLeak,
    /// Stacks that led to new threads.
    ThreadCreate,
    /// Where goroutines waited for each other, where that is recorded.
    Block,
    /// Who held contended locks, where that is recorded.
    Mutex,
}

impl ProfileName {
    /// All of them.
    pub const ALL: [ProfileName; 7] = [
        ProfileName::Heap,
        ProfileName::Allocs,
        ProfileName::Goroutine,
        ProfileName::GoroutineLeak,
        ProfileName::ThreadCreate,
        ProfileName::Block,
        ProfileName::Mutex,
    ];

    /// Its name, which ends its path.
    pub fn path(self) -> &'static str {
        match self {
            ProfileName::Heap => "heap",
            ProfileName::Allocs => "allocs",
            ProfileName::Goroutine => "goroutine",
            ProfileName::GoroutineLeak => "goroutineleak",
            ProfileName::ThreadCreate => "threadcreate",
            ProfileName::Block => "block",
            ProfileName::Mutex => "mutex",
        }
    }
}
