//! What to do next about a finding: what usually causes it in Go, and what to look for in the code.

use super::Kind;
use crate::judge::judgement::Finding;
use crate::judge::weigh::evidence::Evidence;
use crate::observed::connections::Peer;
use crate::vocabulary::descriptor::DescriptorType;
use crate::vocabulary::socket::SocketState;

/// Advice for the primary finding, fitted to what is known of it.
pub(super) fn for_finding(finding: &Finding) -> &'static str {
    match finding.kind {
        Kind::Connection => for_sockets(finding.detail.state, finding.detail.peer.as_ref()),
        Kind::Fd => for_descriptors(finding.detail.descriptor_type),
        Kind::Thread => {
            "Each goroutine that is locked to its thread, blocked in a system call or in C holds one. Look for \
             runtime.LockOSThread without an end, and for blocking calls without a timeout that are started per \
             request."
        }
        Kind::Child => {
            "Look for exec.Cmd.Start, os.StartProcess or a raw fork without Wait on every path; an exited child \
             keeps its pid until it is waited for."
        }
        Kind::Mapping => {
            "Look for Mmap without Munmap: memory-mapped files or segments that are opened per request or per \
             reload and never released."
        }
        Kind::Goroutine => {
            "Look where these goroutines are started, and for what each waits: a channel that nobody serves or \
             closes, a context that is never cancelled."
        }
        Kind::Heap if finding.evidence.iter().any(|it| matches!(it, Evidence::LargeObjects { .. })) => {
            "Look at what becomes of these large objects. Where only a part of each is wanted, copy that part \
             (strings.Clone, bytes.Clone, slices.Clone); else look for a map, a slice or a list of callbacks that \
             they are only ever added to."
        }
        Kind::Heap => {
            "Look for what is only ever added to: a map or slice in a package variable, a cache without expiry, \
             a small part kept of something large."
        }
        Kind::Native => {
            "Look at the calls into C and the anonymous mappings of the program: each allocation there needs its \
             free, which the garbage collector does not do."
        }
    }
}

/// The command that lists what grows, one by one or by line.
pub(super) fn listing(kind: Kind, pid: i32) -> String {
    let view = match kind {
        Kind::Connection | Kind::Fd => "fds",
        Kind::Thread => "goroutines --threads",
        Kind::Goroutine => "goroutines",
        Kind::Heap => "heap",
        Kind::Mapping | Kind::Native => "memory --mappings",
        Kind::Child => return format!("ps --ppid {pid}"),
    };
    format!("watcher {view} -p {pid}")
}

fn for_sockets(state: Option<SocketState>, peer: Option<&Peer>) -> &'static str {
    match (state, peer) {
        (Some(SocketState::CloseWait), Some(Peer::Client { .. })) => {
            "The clients have closed their end and the program has not. Look for accepted connections that are \
             not closed on every path, and for handlers that never return."
        }
        (Some(SocketState::CloseWait), _) => {
            "The other end has closed these and the program has not. Look for response bodies or connections \
             that are not closed on every path: resp.Body.Close(), rows.Close(), conn.Close()."
        }
        (Some(SocketState::Close), Some(_)) => {
            "The other end has closed these, and so has the kernel; only the descriptors are left. Look where the \
             connection is given up without being closed: resp.Body.Close(), rows.Close(), conn.Close() on every path."
        }
        (_, Some(Peer::Client { .. })) => {
            "Clients stay connected. Look for a server without read, write and idle timeouts, and for handlers \
             that never return; ask whether clients open a connection each time instead of keeping one."
        }
        (Some(SocketState::SynSent), _) => {
            "The program keeps dialling an address that does not answer. Look for dials without a timeout, and \
             check that the peer can be reached."
        }
        (_, Some(Peer::Server { .. })) => {
            "Connections to this server are opened and kept. Look for response bodies that are not read and \
             closed, for a client or transport made per request, and for a pool without a maximum."
        }
        _ => {
            "Look where sockets are made and whether each is closed on every path, also when an error returns \
             early."
        }
    }
}

fn for_descriptors(kind: Option<DescriptorType>) -> &'static str {
    match kind {
        Some(DescriptorType::File | DescriptorType::Directory) => {
            "Look for os.Open or os.Create without Close on every path, and for `defer f.Close()` inside a long \
             loop, which closes nothing until the function returns."
        }
        Some(DescriptorType::Pipe) => {
            "Look for commands whose StdoutPipe or StdinPipe is not closed and that are not waited for, and for \
             os.Pipe without two Close calls."
        }
        Some(DescriptorType::PidFd) => {
            "Go holds a pidfd for each child that it started: look for exec.Cmd.Start or os.FindProcess without \
             Wait or Release."
        }
        Some(DescriptorType::Inotify | DescriptorType::Fanotify) => {
            "Look for file watchers that are made per request or per reload and not closed."
        }
        Some(
            DescriptorType::EventFd
            | DescriptorType::Epoll
            | DescriptorType::TimerFd
            | DescriptorType::IoUring,
        ) => {
            "These come from event loops and timers outside of Go's own poller, often from a C library: look for \
             clients or loops that are made again and again and never destroyed."
        }
        _ => "Look where these descriptors are opened, and whether each is closed on every path.",
    }
}
