//! What the kernel knows of the socket behind a descriptor.

use super::{Sequence, write_headed};
use crate::kernel::{
    File, INET_SOURCE_PORT, Pointer, SOCK_FAMILY, SOCK_LOCAL_PORT, SOCK_LOCAL_V4, SOCK_LOCAL_V6,
    SOCK_PEER_PORT, SOCK_PEER_V4, SOCK_PEER_V6, SOCK_PROTOCOL, SOCK_STATE, SOCK_TYPE, SOCKET_SOCK, Sock,
    UNIX_ADDRESS, UNIX_ADDRESS_LENGTH, UNIX_ADDRESS_NAME, UNIX_PEER, UnixAddress, probe_read,
};
use aya_ebpf::helpers::generated::bpf_sock_from_file;
use watcher_ebpf::{
    DESCRIPTOR_INET, DESCRIPTOR_SOCKET, DESCRIPTOR_UNIX, DescriptorRecord, InetTail, SocketTail,
    UNIX_NAME_OF_PEER, UNIX_PATH_BYTES, UnixTail,
};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// `sun_family` before `sun_path` in `struct sockaddr_un`.
const SUN_FAMILY_BYTES: u32 = 2;

/// Writes the descriptor with its socket; false, and nothing written, where the file is no socket (the socket
/// file of a bound path, opened with O_PATH) or has lost its protocol half.
#[inline(always)]
pub fn write(seq: Sequence, record: &mut DescriptorRecord, file: Pointer<File>) -> bool {
    // SAFETY: the verifier knows the type of `file`.
    let socket = unsafe { bpf_sock_from_file(file.as_ptr().cast_mut().cast()) };
    if socket.is_null() {
        return false;
    }
    let sock = SOCKET_SOCK.of(Pointer::from_ptr(socket.cast_const().cast()));
    if sock.is_null() {
        return false;
    }
    let common = SocketTail {
        family: SOCK_FAMILY.of(sock),
        socket_type: SOCK_TYPE.of(sock),
        protocol: SOCK_PROTOCOL.of(sock),
        state: SOCK_STATE.of(sock),
        reserved: 0,
    };
    match common.family {
        AF_INET | AF_INET6 => {
            write_headed::<InetTail>(seq, record, DESCRIPTOR_INET);
            seq.write(&inet(sock, common));
        }
        AF_UNIX => {
            write_headed::<UnixTail>(seq, record, DESCRIPTOR_UNIX);
            seq.write(&unix(sock, common));
        }
        _ => {
            write_headed::<SocketTail>(seq, record, DESCRIPTOR_SOCKET);
            seq.write(&common);
        }
    }
    true
}

#[inline(always)]
fn inet(sock: Pointer<Sock>, common: SocketTail) -> InetTail {
    let mut tail = InetTail {
        socket: common,
        local: [0; 16],
        peer: [0; 16],
        local_port: local_port(sock),
        peer_port: u16::from_be(SOCK_PEER_PORT.of(sock)),
        reserved: 0,
    };
    if common.family == AF_INET {
        tail.local[..4].copy_from_slice(&SOCK_LOCAL_V4.of(sock).to_ne_bytes());
        tail.peer[..4].copy_from_slice(&SOCK_PEER_V4.of(sock).to_ne_bytes());
    } else {
        tail.local = SOCK_LOCAL_V6.probe(sock).unwrap_or([0; 16]);
        tail.peer = SOCK_PEER_V6.probe(sock).unwrap_or([0; 16]);
    }
    tail
}

/// A connection that has ended has given its port back (`inet_put_port`), and still says which it was.
#[inline(always)]
fn local_port(sock: Pointer<Sock>) -> u16 {
    match SOCK_LOCAL_PORT.of(sock) {
        0 if SOCK_PEER_PORT.of(sock) != 0 => u16::from_be(INET_SOURCE_PORT.probe(sock).unwrap_or(0)),
        port => port,
    }
}

/// `struct unix_sock` begins with its `struct sock`; the verifier knows only the latter, hence the probing reads.
/// Peer and address are read without their locks: at worst the name is that of a moment ago, or garbled.
#[inline(always)]
fn unix(sock: Pointer<Sock>, common: SocketTail) -> UnixTail {
    let mut tail = UnixTail { socket: common, name_length: 0, flags: 0, name: [0; UNIX_PATH_BYTES] };
    let peer = UNIX_PEER.probe(sock).and_then(address_of);
    let (address, flags) = match peer {
        Some(address) => (Some(address), UNIX_NAME_OF_PEER),
        None => (address_of(sock), 0),
    };
    let Some(address) = address else { return tail };
    let length = opaque(UNIX_ADDRESS_LENGTH.probe(address).unwrap_or(0).wrapping_sub(SUN_FAMILY_BYTES));
    if length > UNIX_PATH_BYTES as u32 {
        return tail;
    }
    let path = UNIX_ADDRESS_NAME.address(address).wrapping_add(SUN_FAMILY_BYTES as usize);
    if !probe_read(tail.name.as_mut_ptr().cast(), length, path) {
        tail.name_length = length;
        tail.flags = flags;
    }
    tail
}

#[inline(always)]
fn address_of(sock: Pointer<Sock>) -> Option<Pointer<UnixAddress>> {
    if sock.is_null() {
        return None;
    }
    UNIX_ADDRESS.probe(sock).filter(|address| !address.is_null())
}

/// Hides from the compiler how a number came about: it would otherwise move the subtraction behind the check, and
/// the verifier would not see that the result is bounded.
#[inline(always)]
fn opaque(number: u32) -> u32 {
    // SAFETY: a reference is valid.
    unsafe { core::ptr::read_volatile(&number) }
}
