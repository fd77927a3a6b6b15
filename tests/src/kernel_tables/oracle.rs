//! A reader of `/proc` that knows nothing of the kernel half: links, stat lines and tables of sockets.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::{fs, io};
use watcher::vocabulary::descriptor::DescriptorType;
use watcher::vocabulary::socket::{Family, SocketState, Transport};
use watcher::vocabulary::task::ThreadState;

/// Open descriptors of a process, with type and inode number.
pub fn descriptors(pid: i32) -> Result<BTreeMap<i32, (DescriptorType, u64)>> {
    let directory = format!("/proc/{pid}/fd");
    let mut found = BTreeMap::new();
    for fd in numbers(&directory)? {
        let path = format!("{directory}/{fd}");
        let link = fs::read_link(&path)?.to_string_lossy().into_owned();
        let metadata = fs::metadata(&path)?;
        found.insert(fd, (kind(&link, &metadata), metadata.ino()));
    }
    Ok(found)
}

fn kind(link: &str, metadata: &fs::Metadata) -> DescriptorType {
    if let Some(name) = link.strip_prefix("anon_inode:") {
        return match name {
            "[eventfd]" => DescriptorType::EventFd,
            "[eventpoll]" => DescriptorType::Epoll,
            "[timerfd]" => DescriptorType::TimerFd,
            "[signalfd]" => DescriptorType::SignalFd,
            "inotify" => DescriptorType::Inotify,
            "[fanotify]" => DescriptorType::Fanotify,
            "[pidfd]" => DescriptorType::PidFd,
            name if name.starts_with("bpf") => DescriptorType::Bpf,
            _ => DescriptorType::Other,
        };
    }
    let file_type = metadata.file_type();
    match link.split_once(':') {
        Some(("socket", _)) => DescriptorType::Socket,
        Some(("pipe", _)) => DescriptorType::Pipe,
        Some(("net" | "pid" | "mnt" | "user", _)) => DescriptorType::Namespace,
        Some(("/memfd", _)) => DescriptorType::MemFd,
        _ if file_type.is_file() => DescriptorType::File,
        _ if file_type.is_dir() => DescriptorType::Directory,
        _ if file_type.is_char_device() => DescriptorType::CharDevice,
        _ if file_type.is_block_device() => DescriptorType::BlockDevice,
        _ if file_type.is_fifo() => DescriptorType::Pipe,
        _ => DescriptorType::Other,
    }
}

/// The entries of a directory that are numbers, in ascending order.
pub fn numbers(directory: &str) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("read {directory}"))? {
        found.extend(entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// What `/proc/PID/task/TID/stat` and `comm` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskLine {
    pub pid: i32,
    pub tid: i32,
    pub parent_pid: i32,
    pub start_ticks: u64,
    pub name: String,
    pub state: ThreadState,
    pub kernel_thread: bool,
}

/// All tasks of the host by thread id.
pub fn tasks() -> Result<BTreeMap<i32, TaskLine>> {
    let mut found = BTreeMap::new();
    for pid in numbers("/proc")? {
        let Ok(tids) = numbers(&format!("/proc/{pid}/task")) else { continue };
        for tid in tids {
            if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")) {
                found.insert(tid, task(pid, tid, &stat)?);
            }
        }
    }
    Ok(found)
}

fn task(pid: i32, tid: i32, stat: &str) -> Result<TaskLine> {
    let (_, rest) = stat.split_once('(').context("no name")?;
    let (name, rest) = rest.rsplit_once(") ").context("no end of the name")?;
    // The first is field 3 of proc(5).
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |number: usize| fields.get(number - 3).copied().context("too few fields");
    Ok(TaskLine {
        pid,
        tid,
        parent_pid: field(4)?.parse()?,
        start_ticks: field(22)?.parse()?,
        name: name.to_owned(),
        state: ThreadState::from_letter(field(3)?.chars().next().context("no state")?),
        kernel_thread: field(9)?.parse::<u32>()? & 0x0020_0000 != 0,
    })
}

/// A thread of the process that is no zombie.
pub fn living_thread(pid: i32) -> Result<i32> {
    tasks()?
        .into_values()
        .find(|task| task.pid == pid && task.state != ThreadState::Dead)
        .map(|task| task.tid)
        .context("no thread lives")
}

/// Number of mappings by process. The page of system calls at the end belongs to no process, and the kernel does
/// not count it.
pub fn mappings() -> Result<BTreeMap<i32, u64>> {
    let mut found = BTreeMap::new();
    for pid in numbers("/proc")? {
        let Ok(maps) = fs::read_to_string(format!("/proc/{pid}/maps")) else { continue };
        found.insert(pid, maps.lines().filter(|line| !line.ends_with("[vsyscall]")).count() as u64);
    }
    Ok(found)
}

/// What a table of `/proc/net` says of one socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketLine {
    pub family: Family,
    pub transport: Transport,
    pub state: SocketState,
    pub local: Option<SocketAddr>,
    pub peer: Option<SocketAddr>,
}

/// A socket, and for unix sockets its own name.
#[derive(Clone, Debug)]
pub struct Found {
    pub socket: SocketLine,
    pub path: Option<String>,
}

/// Sockets by inode number, in the network namespace of a process.
pub fn sockets(pid: i32) -> Result<BTreeMap<u64, Found>> {
    let mut found = BTreeMap::new();
    for (table, family, transport) in [
        ("tcp", Family::Inet, Transport::Tcp),
        ("tcp6", Family::Inet6, Transport::Tcp),
        ("udp", Family::Inet, Transport::Udp),
        ("udp6", Family::Inet6, Transport::Udp),
    ] {
        for line in lines(pid, table)? {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, peer, state, _, _, _, _, _, inode, ..] = fields.as_slice() else {
                bail!("{line}")
            };
            let peer = address(peer)?;
            let socket = SocketLine {
                family,
                transport,
                state: SocketState::from_kernel(u8::from_str_radix(state, 16)?),
                local: Some(address(local)?),
                peer: (peer.port() != 0).then_some(peer),
            };
            found.insert(inode.parse()?, Found { socket, path: None });
        }
    }
    for line in lines(pid, "unix")? {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, _, _, flags, socket_type, state, inode, path @ ..] = fields.as_slice() else {
            bail!("{line}")
        };
        let listens = u32::from_str_radix(flags, 16)? & 0x10000 != 0;
        let socket = SocketLine {
            family: Family::Unix,
            transport: match *socket_type {
                "0001" => Transport::Stream,
                "0002" => Transport::Datagram,
                "0005" => Transport::SeqPacket,
                _ => Transport::Other,
            },
            // The table has the state of the file half: SS_CONNECTED is 3.
            state: match (listens, *state) {
                (true, _) => SocketState::Listen,
                (false, "03") => SocketState::Established,
                (false, _) => SocketState::Close,
            },
            local: None,
            peer: None,
        };
        found.insert(inode.parse()?, Found { socket, path: path.first().map(|path| (*path).to_owned()) });
    }
    Ok(found)
}

fn lines(pid: i32, table: &str) -> Result<Vec<String>> {
    match fs::read_to_string(format!("/proc/{pid}/net/{table}")) {
        Ok(text) => Ok(text.lines().skip(1).map(str::to_owned).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// `0100007F:1F90`: words in the host's byte order, the port as people write it.
fn address(text: &str) -> Result<SocketAddr> {
    let (ip, port) = text.split_once(':').context("no port")?;
    let words: Vec<u8> = ip
        .as_bytes()
        .chunks(8)
        .map(|word| Ok(u32::from_str_radix(std::str::from_utf8(word)?, 16)?.to_ne_bytes()))
        .collect::<Result<Vec<_>>>()?
        .concat();
    let ip = match words.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(words.as_slice())?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words.as_slice())?)),
        length => bail!("an address of {length} bytes"),
    };
    Ok(SocketAddr::new(ip, u16::from_str_radix(port, 16)?))
}
