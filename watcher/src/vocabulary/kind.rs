//! What can leak, and in what it is counted.

/// The resources that can leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Live Go heap.
    Heap,
    /// Goroutines.
    Goroutine,
    /// Descriptors that are no sockets.
    Fd,
    /// Sockets of any family.
    Connection,
    /// OS threads.
    Thread,
    /// Memory outside the Go heap.
    Native,
    /// File and shared mappings, or the number of mappings.
    Mapping,
    /// Children that were not waited for.
    Child,
}

impl Kind {
    /// In what it is counted.
    pub const fn unit(self) -> Unit {
        match self {
            Kind::Heap | Kind::Native => Unit::Bytes,
            Kind::Goroutine => Unit::Goroutines,
            Kind::Fd => Unit::Fds,
            Kind::Connection => Unit::Connections,
            Kind::Thread => Unit::Threads,
            Kind::Mapping => Unit::Mappings,
            Kind::Child => Unit::Children,
        }
    }
}

/// Unit of a number or a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Goroutines.
    Goroutines,
    /// Descriptors.
    Fds,
    /// Sockets.
    Connections,
    /// OS threads.
    Threads,
    /// VMAs.
    Mappings,
    /// Processes.
    Children,
}
