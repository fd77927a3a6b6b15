//! What a descriptor refers to, and for a socket what the kernel knows of it.

use super::raw::{DecodeError, read};
use crate::vocabulary::descriptor::{DescriptorType, OpenDescriptor};
use crate::vocabulary::process::printable;
use crate::vocabulary::socket::{Family, Socket, SocketState, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use watcher_ebpf::{
    DESCRIPTOR_INET, DESCRIPTOR_NAMED, DESCRIPTOR_SOCKET, DESCRIPTOR_UNIX, DescriptorRecord, InetTail,
    NameTail, SocketTail, UnixTail,
};

/// Bytes that follow a [`DescriptorRecord`] of this kind.
pub(super) fn tail_size(kind: u32) -> usize {
    match kind {
        DESCRIPTOR_NAMED => size_of::<NameTail>(),
        DESCRIPTOR_SOCKET => size_of::<SocketTail>(),
        DESCRIPTOR_INET => size_of::<InetTail>(),
        DESCRIPTOR_UNIX => size_of::<UnixTail>(),
        _ => 0,
    }
}

/// The descriptor of `record`, which begins `bytes`.
pub(super) fn decode(record: &DescriptorRecord, bytes: &[u8]) -> Result<OpenDescriptor, DecodeError> {
    let tail = size_of::<DescriptorRecord>();
    let (name, socket) = match record.header.kind {
        DESCRIPTOR_NAMED => (Some(read::<NameTail>(bytes, tail)?), None),
        DESCRIPTOR_SOCKET => (None, Some(plain(&read(bytes, tail)?))),
        DESCRIPTOR_INET => (None, Some(inet(&read(bytes, tail)?))),
        DESCRIPTOR_UNIX => (None, Some(unix(&read(bytes, tail)?))),
        _ => (None, None),
    };
    Ok(OpenDescriptor {
        pid: record.tgid.cast_signed(),
        fd: record.fd.cast_signed(),
        kind: kind(record.magic, record.mode, name.as_ref().map(|tail| until_zero(&tail.name))),
        inode: record.inode,
        socket,
    })
}

/// `include/uapi/linux/magic.h`.
const ANON_INODE_FS_MAGIC: u32 = 0x0904_1934;
const NSFS_MAGIC: u32 = 0x6e73_6673;
const PIDFS_MAGIC: u32 = 0x5049_4446;
const SOCKFS_MAGIC: u32 = 0x534f_434b;

/// The file system first: the mode of an anonymous inode has no file type on most kernels, and pidfs and nsfs
/// call theirs regular files.
fn kind(magic: u32, mode: u32, name: Option<&[u8]>) -> DescriptorType {
    match magic {
        ANON_INODE_FS_MAGIC => return anonymous(name.unwrap_or_default()),
        NSFS_MAGIC => return DescriptorType::Namespace,
        PIDFS_MAGIC => return DescriptorType::PidFd,
        _ => {}
    }
    match mode & libc::S_IFMT {
        // Only files to which no path leads come with a name, so no ordinary file can pass for one of these.
        libc::S_IFREG if name.is_some_and(|name| name.starts_with(b"memfd:")) => DescriptorType::MemFd,
        libc::S_IFREG => DescriptorType::File,
        libc::S_IFDIR => DescriptorType::Directory,
        libc::S_IFCHR => DescriptorType::CharDevice,
        libc::S_IFBLK => DescriptorType::BlockDevice,
        libc::S_IFIFO => DescriptorType::Pipe,
        // The file of a unix socket's path, opened with O_PATH, is none.
        libc::S_IFSOCK if magic == SOCKFS_MAGIC => DescriptorType::Socket,
        _ => DescriptorType::Other,
    }
}

/// By the name that the kernel gave it in `anon_inode_getfd` or one of its siblings.
fn anonymous(name: &[u8]) -> DescriptorType {
    match name {
        b"[eventfd]" => DescriptorType::EventFd,
        b"[eventpoll]" => DescriptorType::Epoll,
        b"[timerfd]" => DescriptorType::TimerFd,
        b"[signalfd]" => DescriptorType::SignalFd,
        b"inotify" => DescriptorType::Inotify,
        b"[fanotify]" => DescriptorType::Fanotify,
        // Before Linux 6.9; then pidfs.
        b"[pidfd]" => DescriptorType::PidFd,
        b"[userfaultfd]" => DescriptorType::UserFaultFd,
        b"[io_uring]" => DescriptorType::IoUring,
        b"[perf_event]" => DescriptorType::PerfEvent,
        b"btf" => DescriptorType::Bpf,
        _ if name.starts_with(b"bpf-") || name.starts_with(b"bpf_") => DescriptorType::Bpf,
        _ => DescriptorType::Other,
    }
}

fn plain(tail: &SocketTail) -> Socket {
    let family = match i32::from(tail.family) {
        libc::AF_INET => Family::Inet,
        libc::AF_INET6 => Family::Inet6,
        libc::AF_UNIX => Family::Unix,
        libc::AF_NETLINK => Family::Netlink,
        libc::AF_PACKET => Family::Packet,
        libc::AF_VSOCK => Family::Vsock,
        _ => Family::Other(tail.family),
    };
    Socket {
        family,
        transport: transport(family, tail),
        state: SocketState::from_kernel(tail.state),
        local: None,
        peer: None,
        path: None,
    }
}

fn transport(family: Family, tail: &SocketTail) -> Transport {
    let internet = matches!(family, Family::Inet | Family::Inet6);
    match (i32::from(tail.socket_type), i32::from(tail.protocol)) {
        // Multipath TCP is TCP on the wire and in its states; Go listens with it by default.
        (libc::SOCK_STREAM, libc::IPPROTO_TCP | libc::IPPROTO_MPTCP) if internet => Transport::Tcp,
        (libc::SOCK_DGRAM, libc::IPPROTO_UDP) if internet => Transport::Udp,
        (libc::SOCK_STREAM, _) => Transport::Stream,
        (libc::SOCK_DGRAM, _) => Transport::Datagram,
        (libc::SOCK_SEQPACKET, _) => Transport::SeqPacket,
        (libc::SOCK_RAW, _) => Transport::Raw,
        _ => Transport::Other,
    }
}

fn inet(tail: &InetTail) -> Socket {
    let socket = plain(&tail.socket);
    let address = |bytes: &[u8; 16], port| {
        let [a, b, c, d, ..] = *bytes;
        let ip = match socket.family {
            Family::Inet => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
            _ => IpAddr::V6(Ipv6Addr::from(*bytes)),
        };
        SocketAddr::new(ip, port)
    };
    Socket {
        local: Some(address(&tail.local, tail.local_port)),
        peer: (tail.peer_port != 0).then(|| address(&tail.peer, tail.peer_port)),
        ..socket
    }
}

fn unix(tail: &UnixTail) -> Socket {
    let name = tail.name.get(..tail.name_length as usize).unwrap_or_default();
    let path = match name {
        [] => None,
        // An abstract name may contain further zero bytes; its length alone ends it.
        [0, name @ ..] => Some(format!("@{}", printable(name))),
        path => Some(printable(until_zero(path))),
    };
    Socket { path, ..plain(&tail.socket) }
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
