//! Pipes and sockets, and descriptors that come through a socket.

use super::call::{address, address_mut, call, number, repeat};
use super::files::null;
use super::{Gained, Place, Step};
use anyhow::{Context, Result, ensure};
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_STREAM};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

pub const STEPS: &[Step] = &[
    ("pipe", pipe),
    ("pipe2", pipe2),
    ("socket", socket),
    ("socketpair", socketpair),
    ("connect", connect),
    ("accept", accept),
    ("accept4", accept4),
    ("receive", receive),
    ("receive_many", receive_many),
];

fn pipe(_: &Place) -> Gained {
    let mut ends = [0i32; 2];
    Ok(2 * repeat(3, libc::SYS_pipe, [address_mut(&mut ends)])?)
}

fn pipe2(_: &Place) -> Gained {
    let mut ends = [0i32; 2];
    Ok(2 * repeat(3, libc::SYS_pipe2, [address_mut(&mut ends), libc::O_CLOEXEC as usize])?)
}

fn socket(_: &Place) -> Gained {
    let inet = [AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0].map(number);
    let inet6 = [AF_INET6, SOCK_DGRAM, 0].map(number);
    let unix = [AF_UNIX, SOCK_STREAM, 0].map(number);
    Ok(repeat(3, libc::SYS_socket, inet)?
        + repeat(1, libc::SYS_socket, inet6)?
        + repeat(1, libc::SYS_socket, unix)?)
}

fn socketpair(_: &Place) -> Gained {
    let mut ends = [0i32; 2];
    let arguments = [number(AF_UNIX), number(SOCK_STREAM), 0, address_mut(&mut ends)];
    Ok(2 * repeat(3, libc::SYS_socketpair, arguments)?)
}

/// A socket that is connected stays the descriptor that it was.
fn connect(_: &Place) -> Gained {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    for _ in 0..3 {
        dial(&listener)?;
    }
    std::mem::forget(listener);
    Ok(4)
}

fn accept(_: &Place) -> Gained {
    accepted(|listener| call(libc::SYS_accept, [listener, 0, 0]).map(drop))
}

fn accept4(_: &Place) -> Gained {
    accepted(|listener| call(libc::SYS_accept4, [listener, 0, 0, SOCK_CLOEXEC as usize]).map(drop))
}

/// A listener, three connections to it, and their other ends.
fn accepted(accept: impl Fn(usize) -> nix::Result<()>) -> Gained {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
    for _ in 0..3 {
        dial(&listener)?;
        accept(number(listener.as_raw_fd()))?;
    }
    std::mem::forget(listener);
    Ok(7)
}

/// Opens a socket and connects it.
fn dial(listener: &TcpListener) -> Result<()> {
    let port = listener.local_addr()?.port();
    let peer = libc::sockaddr_in {
        sin_family: AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes([127, 0, 0, 1]) },
        sin_zero: [0; 8],
    };
    let socket = call(libc::SYS_socket, [number(AF_INET), number(SOCK_STREAM), 0])?;
    call(libc::SYS_connect, [number(socket), address(&peer), size_of_val(&peer)])?;
    Ok(())
}

/// Three messages with a descriptor each.
fn receive(_: &Place) -> Gained {
    passed(&[1, 1, 1])
}

/// One message with five, and two of one each.
fn receive_many(_: &Place) -> Gained {
    passed(&[5, 1, 1])
}

/// Both ends of a pair, one file, and what came out of the pair: it gives new descriptors of that file.
fn passed(messages: &[usize]) -> Gained {
    let (near, far) = UnixStream::pair().context("a pair of sockets")?;
    let file = null(0)?;
    for count in messages {
        let files = vec![file; *count];
        sendmsg::<()>(
            near.as_raw_fd(),
            &[IoSlice::new(b"x")],
            &[ControlMessage::ScmRights(&files)],
            MsgFlags::empty(),
            None,
        )?;
        let mut byte = [0];
        let mut parts = [IoSliceMut::new(&mut byte)];
        let mut room = nix::cmsg_space!([i32; 8]);
        let message =
            nix::sys::socket::recvmsg::<()>(far.as_raw_fd(), &mut parts, Some(&mut room), MsgFlags::empty())?;
        let received: usize = message
            .cmsgs()?
            .map(|part| match part {
                nix::sys::socket::ControlMessageOwned::ScmRights(files) => files.len(),
                _ => 0,
            })
            .sum();
        ensure!(received == *count, "{received} descriptors came of {count}");
    }
    std::mem::forget((near, far));
    Ok(3 + messages.iter().sum::<usize>().cast_signed() as i64)
}
