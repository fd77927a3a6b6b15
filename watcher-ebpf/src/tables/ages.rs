//! What tells how old a descriptor is, and when it was used last.
//!
//! A pass of its own beside that over descriptors: ages are asked for once, descriptors at every beat.

use super::{IterTaskFile, S_IFMT, S_IFSOCK, Visit, flag};
use crate::kernel::{
    FILE_FLAGS, FILE_INODE, FILE_POSITION, FILE_READ_TO, INODE_ACCESSED_NANOS, INODE_ACCESSED_SECONDS,
    INODE_CHANGED_NANOS, INODE_CHANGED_SECONDS, INODE_MODE, INODE_NUMBER, INODE_SUPER_BLOCK, MPTCP_ANSWERED,
    MPTCP_RECEIVED, MPTCP_SENT, Pointer, SOCK_FAMILY, SOCK_PROTOCOL, SOCK_TYPE, SOCKET_SOCK,
    SUPER_BLOCK_MAGIC, Sock, TCP_ANSWERED, TCP_DATA_RECEIVED, TCP_DATA_SENT, TCP_RECEIVED, TCP_SENT,
};
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_sock_from_file};
use watcher_ebpf::{AGE_OF_MPTCP, AGE_OF_PIPE, AGE_OF_TCP, AGE_UNTOUCHED, AgeRecord, DESCRIPTOR_AGE, Header};

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const SOCK_STREAM: u16 = 1;
/// `include/uapi/linux/magic.h`.
const PIPEFS_MAGIC: u32 = 0x5049_5045;
const IPPROTO_TCP: u16 = 6;
const IPPROTO_MPTCP: u16 = 262;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// One record per open descriptor, of the same ones as [`super::descriptors`].
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub fn descriptor_ages(ctx: &IterTaskFile) -> i32 {
    let Some(Visit { seq, tgid, tid, fd, flags, file }) = Visit::of(ctx) else { return 0 };
    let inode = FILE_INODE.of(file);
    let (seconds, nanos) = (INODE_CHANGED_SECONDS.of(inode), INODE_CHANGED_NANOS.of(inode));
    let untouched = INODE_ACCESSED_SECONDS.of(inode) == seconds && INODE_ACCESSED_NANOS.of(inode) == nanos;
    let is_pipe = SUPER_BLOCK_MAGIC.of(INODE_SUPER_BLOCK.of(inode)) as u32 == PIPEFS_MAGIC;
    let mut record = AgeRecord {
        header: Header { size: size_of::<AgeRecord>() as u32, kind: DESCRIPTOR_AGE },
        tgid,
        tid,
        fd,
        flags: flags | flag(untouched, AGE_UNTOUCHED) | flag(is_pipe, AGE_OF_PIPE),
        inode: INODE_NUMBER.of(inode),
        changed_ns: seconds.wrapping_mul(NANOS_PER_SECOND).wrapping_add(u64::from(nanos)),
        position: FILE_POSITION.of(file),
        read_to: FILE_READ_TO.of(file),
        open_flags: FILE_FLAGS.of(file),
        // SAFETY: takes nothing.
        now_jiffies: unsafe { bpf_jiffies64() } as u32,
        sent_jiffies: 0,
        received_jiffies: 0,
        answered_jiffies: 0,
        data_received: 0,
        data_sent: 0,
        reserved: 0,
    };
    if u32::from(INODE_MODE.of(inode)) & S_IFMT == S_IFSOCK {
        // SAFETY: the verifier knows the type of `file`.
        let socket = unsafe { bpf_sock_from_file(file.as_ptr().cast_mut().cast()) };
        if !socket.is_null() {
            let sock = SOCKET_SOCK.of(Pointer::from_ptr(socket.cast_const().cast()));
            if !sock.is_null() {
                add_socket(&mut record, sock);
            }
        }
    }
    seq.write(&record);
    0
}

/// The structures of TCP and of MPTCP begin with their `struct sock`; the verifier knows only the latter, hence the
/// probing reads.
#[inline(always)]
fn add_socket(record: &mut AgeRecord, sock: Pointer<Sock>) {
    if !matches!(SOCK_FAMILY.of(sock), AF_INET | AF_INET6) || SOCK_TYPE.of(sock) != SOCK_STREAM {
        return;
    }
    match SOCK_PROTOCOL.of(sock) {
        IPPROTO_TCP => {
            let (Some(sent), Some(received)) = (TCP_SENT.probe(sock), TCP_RECEIVED.probe(sock)) else {
                return;
            };
            (record.sent_jiffies, record.received_jiffies) = (sent, received);
            record.answered_jiffies = TCP_ANSWERED.probe(sock).unwrap_or(0);
            record.data_received = TCP_DATA_RECEIVED.probe(sock).unwrap_or(0);
            record.data_sent = TCP_DATA_SENT.probe(sock).unwrap_or(0);
            record.flags |= AGE_OF_TCP;
        }
        // Since Linux 6.10.
        IPPROTO_MPTCP => {
            let (Some(sent), Some(received)) = (MPTCP_SENT.probe(sock), MPTCP_RECEIVED.probe(sock)) else {
                return;
            };
            (record.sent_jiffies, record.received_jiffies) = (sent, received);
            record.answered_jiffies = MPTCP_ANSWERED.probe(sock).unwrap_or(0);
            record.flags |= AGE_OF_MPTCP;
        }
        _ => {}
    }
}
