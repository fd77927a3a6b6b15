//! The vocabulary for open descriptors.
//!
//! Plain values; nothing here reads the system.

use crate::vocabulary::socket::Socket;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One open descriptor of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenDescriptor {
    /// Thread group id of the process.
    pub pid: i32,
    /// Its number.
    pub fd: i32,
    /// What it refers to.
    pub kind: DescriptorType,
    /// Inode number; for sockets the number in `socket:[N]`.
    pub inode: u64,
    /// For sockets, what the kernel knows of it; `None` where the route cannot tell.
    pub socket: Option<Socket>,
}

/// What a descriptor refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DescriptorType {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
    /// Pipe or FIFO.
    Pipe,
    /// Socket of any family.
    Socket,
    /// `eventfd(2)`.
    EventFd,
    /// `epoll_create(2)`.
    Epoll,
    /// `timerfd_create(2)`.
    TimerFd,
    /// `signalfd(2)`.
    SignalFd,
    /// `inotify_init(2)`.
    Inotify,
    /// `fanotify_init(2)`.
    Fanotify,
    /// `memfd_create(2)`.
    MemFd,
    /// `pidfd_open(2)` or `clone(CLONE_PIDFD)`.
    PidFd,
    /// `userfaultfd(2)`.
    UserFaultFd,
    /// `io_uring_setup(2)`.
    IoUring,
    /// `perf_event_open(2)`.
    PerfEvent,
    /// BPF map, program, link or iterator.
    Bpf,
    /// Namespace file (`/proc/PID/ns/*`).
    Namespace,
    /// Anything else.
    Other,
}

/// What the kernel keeps of one open descriptor that tells since when it is there and when it was used last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptorAge {
    /// Thread group id of the process.
    pub pid: i32,
    /// Its number.
    pub fd: i32,
    /// Inode number.
    pub inode: u64,
    /// When the inode was changed last, since 1970: for pipes and pidfds when they were made.
    pub changed: Duration,
    /// It is a pipe or a FIFO.
    pub is_pipe: bool,
    /// Nothing was read through the inode since.
    pub untouched: bool,
    /// No byte was read or written through this descriptor.
    pub never_used: bool,
    /// For connections of TCP.
    pub tcp: Option<TcpTimes>,
}

/// What TCP notes of the traffic on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTimes {
    /// Since data was sent last, or the connection was made.
    pub since_sent: Duration,
    /// Since data was received last, or the connection was made.
    pub since_received: Duration,
    /// Data was sent or received: `None` where that is not counted.
    pub carried_data: Option<bool>,
}

impl TcpTimes {
    /// Since data went either way, or the connection was made.
    pub fn idle(&self) -> Duration {
        self.since_sent.min(self.since_received)
    }
}
