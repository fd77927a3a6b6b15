//! Holds things open so that a test can look at them from outside: prints a line when it has them, and ends when
//! its standard input does.
//!
//! `holder everything DIRECTORY` one descriptor or more of every type, sockets in every state that can be had
//! `holder many COUNT`           that many descriptors of a file
//! `holder leaderless COUNT`     the same, held by three threads whose leader has exited
//! `holder mappings COUNT`       that many mappings besides those of the program
//! `holder programs`             all kernel programs of watcher, attached
//! `holder ledger PID`           the ledgers, watching that process
//! `holder rows`                 nothing: prints what the kernel allows, a row each, and ends

use anyhow::{Context, Result, bail, ensure};
use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::{MemfdFlags, Mode, OFlags, inotify, memfd_create, mkfifoat};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind, connect, ipproto, listen, socket,
    socketpair,
};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
use std::fs::File;
use std::io::{Read, Write, stdin, stdout};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;
use std::{env, thread};
use tests::descriptor_ledger::Watch;
use watcher::source::kernel::Kernel;
use watcher::source::kernel::ledger::{Kind, Kinds};

fn main() -> Result<()> {
    let (_, limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)?;
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args.as_slice() {
        ["everything", directory] => hold(&everything(Path::new(directory))?),
        ["many", count] => hold(&many(count.parse()?)?),
        ["leaderless", count] => leaderless(count.parse()?),
        ["programs"] => programs(),
        ["ledger", pid] => ledger(pid.parse()?),
        ["rows"] => rows(),
        ["mappings", count] => hold(&mappings(count.parse()?)?),
        _ => bail!(
            "holder everything DIRECTORY | many COUNT | leaderless COUNT | mappings COUNT | programs | rows"
        ),
    }
}

/// Says so and waits for the end of standard input.
fn hold<T>(_held: &T) -> Result<()> {
    stdout().write_all(b"ready\n")?;
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn many(count: usize) -> Result<Vec<File>> {
    let file = File::open("/dev/null")?;
    (0..count).map(|_| file.try_clone().context("duplicate a descriptor")).collect()
}

fn programs() -> Result<()> {
    let mut kernel = Kernel::load();
    let lifecycle = kernel.take_lifecycle().context("the kernel took no lifecycle program")?;
    hold(&(kernel, lifecycle))
}

fn ledger(pid: i32) -> Result<()> {
    let mut watch = Watch::begin(pid)?;
    let kinds = Kinds::from([Kind::Descriptors, Kind::Mappings, Kind::Tasks]);
    watch.ledgers.watch(watch.id, None, kinds)?;
    hold(&watch)
}

fn rows() -> Result<()> {
    for probe in Kernel::load().probes() {
        let why = probe.outcome.why().unwrap_or_default();
        writeln!(stdout(), "{}: {}: {why}", probe.name, probe.outcome.word())?;
    }
    Ok(())
}

/// Each mapping is of one page of a file that is not mapped elsewhere; the kernel merges no two of them, since
/// they alternate between two files.
fn mappings(count: usize) -> Result<Vec<OwnedFd>> {
    let files = [memfd_create("even", MemfdFlags::empty())?, memfd_create("odd", MemfdFlags::empty())?];
    for index in 0..count {
        let file = &files[index % 2];
        #[expect(unsafe_code, reason = "mmap has no safe form")]
        // SAFETY: the kernel chooses where; nothing uses the memory.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                libc::PROT_READ,
                libc::MAP_SHARED,
                std::os::fd::AsRawFd::as_raw_fd(file),
                0,
            )
        };
        ensure!(mapped != libc::MAP_FAILED, "mmap failed");
    }
    Ok(files.into())
}

fn leaderless(count: usize) -> Result<()> {
    let held = many(count)?;
    for _ in 0..2 {
        thread::spawn(|| thread::sleep(Duration::from_secs(600)));
    }
    thread::spawn(move || {
        // The leader is gone once /proc calls it a zombie.
        while !std::fs::read_to_string(format!("/proc/{}/stat", std::process::id()))
            .is_ok_and(|stat| stat.contains(") Z "))
        {
            thread::sleep(Duration::from_millis(5));
        }
        let outcome = hold(&held);
        #[expect(clippy::disallowed_methods, reason = "there is no leader that could return from main")]
        std::process::exit(i32::from(outcome.is_err()));
    });
    #[expect(unsafe_code, reason = "only the system call ends the leader and not the process")]
    // SAFETY: nothing runs on this thread afterwards, and what it owns is never used again.
    unsafe {
        libc::syscall(libc::SYS_exit, 0);
    }
    bail!("the leader outlived its exit")
}

/// Descriptors, whatever owns them.
type Held = Vec<OwnedFd>;

fn everything(directory: &Path) -> Result<Held> {
    let mut held = Held::new();
    files(directory, &mut held)?;
    anonymous(&mut held)?;
    tcp(&mut held).context("TCP sockets")?;
    udp(&mut held).context("UDP sockets")?;
    unix(directory, &mut held).context("unix sockets")?;
    held.push(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?);
    Ok(held)
}

fn files(directory: &Path, held: &mut Held) -> Result<()> {
    held.push(File::create(directory.join("file"))?.into());
    // An ordinary file whose name pretends to be a memfd.
    held.push(File::create(directory.join("memfd:pretender"))?.into());
    held.push(File::open("/dev/shm").or_else(|_| File::open("/"))?.into());
    if let Ok(pretender) = File::create("/dev/shm/memfd:pretender") {
        std::fs::remove_file("/dev/shm/memfd:pretender")?;
        held.push(pretender.into());
    }
    held.push(File::open(directory)?.into());
    held.push(File::open("/dev/null")?.into());
    held.push(File::open("/proc/self/ns/net")?.into());
    held.push(File::open("/proc/self/ns/pid")?.into());
    let fifo = directory.join("fifo");
    mkfifoat(rustix::fs::CWD, &fifo, Mode::RUSR | Mode::WUSR)?;
    held.push(File::options().read(true).write(true).open(fifo)?.into());
    let (reader, writer) = std::io::pipe()?;
    held.extend([OwnedFd::from(reader), OwnedFd::from(writer)]);
    std::os::unix::fs::symlink("file", directory.join("link"))?;
    held.push(rustix::fs::open(directory.join("link"), OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?);
    Ok(())
}

fn anonymous(held: &mut Held) -> Result<()> {
    held.push(eventfd(0, EventfdFlags::CLOEXEC)?);
    held.push(epoll::create(epoll::CreateFlags::CLOEXEC)?);
    held.push(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?);
    held.push(inotify::init(inotify::CreateFlags::CLOEXEC)?);
    held.push(memfd_create("cache", MemfdFlags::CLOEXEC)?);
    held.push(pidfd_open(getpid(), PidfdFlags::empty())?);
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    held.push(rustix::io::dup(SignalFd::new(&signals)?)?);
    let fanotify = Fanotify::init(InitFlags::FAN_CLASS_NOTIF, EventFFlags::O_RDONLY)?;
    held.push(rustix::io::dup(fanotify)?);
    Ok(())
}

/// LISTEN, ESTABLISHED, CLOSE_WAIT and FIN_WAIT2 on both versions of IP, SYN_SENT on one, and one that is not
/// connected.
fn tcp(held: &mut Held) -> Result<()> {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(address)?;
        let connected = || -> Result<(TcpStream, TcpStream)> {
            let near = TcpStream::connect(listener.local_addr()?)?;
            Ok((near, listener.accept()?.0))
        };
        let (near, far) = connected()?;
        held.extend([OwnedFd::from(near), OwnedFd::from(far)]);
        // The one that shut down is in FIN_WAIT2 for as long as the other, in CLOSE_WAIT, is not closed.
        let (near, far) = connected()?;
        near.shutdown(Shutdown::Write)?;
        held.extend([OwnedFd::from(near), OwnedFd::from(far)]);
        held.push(listener.into());
    }
    // A listener that accepts nothing and has room for one connection answers no further SYN.
    let full = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&full, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&full, 0)?;
    let address = rustix::net::getsockname(&full)?;
    for _ in 0..3 {
        let dialling = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::NONBLOCK,
            Some(ipproto::TCP),
        )?;
        match connect(&dialling, &address) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => held.push(dialling),
            Err(error) => return Err(error.into()),
        }
    }
    held.push(full);
    held.push(socket(AddressFamily::INET, SocketType::STREAM, None)?);
    Ok(())
}

fn udp(held: &mut Held) -> Result<()> {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let server = UdpSocket::bind(address)?;
        let client = UdpSocket::bind(address)?;
        client.connect(server.local_addr()?)?;
        held.extend([OwnedFd::from(server), OwnedFd::from(client)]);
    }
    held.push(socket(AddressFamily::INET6, SocketType::DGRAM, None)?);
    Ok(())
}

/// Stream, datagram and sequenced packets; with a path, an abstract name and none.
fn unix(directory: &Path, held: &mut Held) -> Result<()> {
    let path = directory.join("stream.sock");
    let listener = UnixListener::bind(&path)?;
    let near = UnixStream::connect(&path)?;
    let (far, _) = listener.accept()?;
    held.extend([OwnedFd::from(listener), near.into(), far.into()]);
    // The path itself, which is no socket.
    held.push(rustix::fs::open(&path, OFlags::PATH, Mode::empty())?);

    let name = format!("holder-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name)?;
    let listener = UnixListener::bind_addr(&abstract_name)?;
    let near = UnixStream::connect_addr(&abstract_name)?;
    let (far, _) = listener.accept()?;
    held.extend([OwnedFd::from(listener), near.into(), far.into()]);

    let (near, far) = UnixStream::pair()?;
    held.extend([OwnedFd::from(near), far.into()]);
    held.push(UnixDatagram::bind(directory.join("datagram.sock"))?.into());
    held.push(UnixDatagram::unbound()?.into());

    let (near, far) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    held.extend([near, far]);
    let address = SocketAddrUnix::new(directory.join("packets.sock"))?;
    let packets = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    bind(&packets, &address)?;
    listen(&packets, 8)?;
    let near = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
    connect(&near, &address)?;
    let far = accept(&packets)?;
    held.extend([packets, near, far]);
    Ok(())
}
