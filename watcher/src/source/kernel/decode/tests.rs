use super::{DecodeError, NanosPerTick, Record, decode, thread_state};
use crate::vocabulary::task::ThreadState;
use expect_test::expect;
use proptest::prelude::*;
use std::fmt::Write as _;
use watcher_ebpf::{
    AGE_OF_MPTCP, AGE_OF_PIPE, AGE_OF_TCP, AGE_UNTOUCHED, COMM_BYTES, DESCRIPTOR, DESCRIPTOR_AGE,
    DESCRIPTOR_INET, DESCRIPTOR_NAMED, DESCRIPTOR_OF_THREAD, DESCRIPTOR_SOCKET, DESCRIPTOR_UNIX, EXEC, EXIT,
    TASK, TASK_HAS_MEMORY, TASK_KERNEL_THREAD,
};

const TICK: NanosPerTick = NanosPerTick(10_000_000);
const SOCKFS: u32 = 0x534f_434b;
const ANON: u32 = 0x0904_1934;
const TMPFS: u32 = 0x0102_1994;

/// Lays out a record by hand, so that a change of the wire format shows here.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }
    fn text(mut self, text: &[u8], room: usize) -> Self {
        let end = self.0.len() + room;
        self.0.extend(text);
        self.0.resize(end, 0);
        self
    }
    /// Puts the header in front.
    fn record(self, kind: u32) -> Vec<u8> {
        let header = Bytes::default().u32(self.0.len() as u32 + 8).u32(kind);
        [header.0, self.0].concat()
    }
}

fn task(flags: u32, state: u32, exit_state: u32, comm: &[u8]) -> Vec<u8> {
    let ids = Bytes::default().u32(70).u32(71).u32(1).u32(flags).u64(123_456_789_012).u64(77);
    ids.u32(state).u32(exit_state).u32(42).u32(0).text(comm, COMM_BYTES).record(TASK)
}

fn descriptor(flags: u32, magic: u32, mode: u32) -> Bytes {
    Bytes::default().u32(70).u32(71).u32(9).u32(flags).u64(5000).u32(magic).u32(mode)
}

fn socket(family: u16, socket_type: u16, protocol: u16, state: u8) -> Bytes {
    let bytes = descriptor(0, SOCKFS, 0o140_777);
    bytes.u16(family).u16(socket_type).u16(protocol).u8(state).u8(0)
}

fn inet(family: u16, protocol: u16, local: &[u8], peer: &[u8], ports: [u16; 2]) -> Vec<u8> {
    let bytes = socket(family, 1, protocol, 1).text(local, 16).text(peer, 16);
    bytes.u16(ports[0]).u16(ports[1]).u32(0).record(DESCRIPTOR_INET)
}

fn unix(name: &[u8]) -> Vec<u8> {
    socket(1, 1, 0, 10).u32(name.len() as u32).u32(0).text(name, 108).record(DESCRIPTOR_UNIX)
}

fn named(magic: u32, mode: u32, name: &[u8]) -> Vec<u8> {
    descriptor(2, magic, mode).text(name, 32).record(DESCRIPTOR_NAMED)
}

fn lines(records: &[Vec<u8>]) -> String {
    let mut text = String::new();
    for record in records {
        let (decoded, size) = decode(record, TICK).unwrap();
        assert_eq!(size, record.len());
        match decoded {
            Record::Descriptor { descriptor, reported_by } => {
                write!(text, "{:?} {reported_by:?}", descriptor.kind).unwrap();
                if let Some(socket) = descriptor.socket {
                    let (local, peer) = (socket.local, socket.peer);
                    write!(text, " {:?} {:?} {:?}", socket.family, socket.transport, socket.state).unwrap();
                    write!(text, " {local:?} -> {peer:?} {:?}", socket.path).unwrap();
                }
                writeln!(text).unwrap();
            }
            other => writeln!(text, "{other:?}").unwrap(),
        }
    }
    text
}

#[test]
fn tasks_and_moments() {
    let moment = |kind| Bytes::default().u32(70).u32(0).u64(30_000_000).u64(40_000_001).record(kind);
    expect![[r#"
        Task(Task { pid: 70, tid: 71, parent_pid: 1, start_ticks: 12345, last_run_nanos: Some(77), name: "server", state: Sleeping, kernel_thread: false, mappings: Some(42) })
        Task(Task { pid: 70, tid: 71, parent_pid: 1, start_ticks: 12345, last_run_nanos: Some(77), name: "kworker/0:1\\n", state: Other, kernel_thread: true, mappings: None })
        Task(Task { pid: 70, tid: 71, parent_pid: 1, start_ticks: 12345, last_run_nanos: Some(77), name: "sixteen bytes...", state: Dead, kernel_thread: false, mappings: None })
        Exec(Moment { process: ProcessId { pid: 70, start_ticks: 3 }, at: 40.000001ms })
        Exit(Moment { process: ProcessId { pid: 70, start_ticks: 3 }, at: 40.000001ms })
    "#]].assert_eq(&lines(&[
        task(TASK_HAS_MEMORY, 1, 0, b"server"),
        task(TASK_KERNEL_THREAD, 0x402, 0, b"kworker/0:1\n"),
        task(0, 0, 0x20, b"sixteen bytes..."),
        moment(EXEC),
        moment(EXIT),
    ]));
}

#[test]
fn descriptors_are_told_apart() {
    expect![[r#"
        File None
        Directory Some(71)
        CharDevice None
        BlockDevice None
        Pipe None
        Socket None
        Other None
        Namespace None
        PidFd None
        MemFd None
        File None
        EventFd None
        Epoll None
        TimerFd None
        SignalFd None
        Inotify None
        Fanotify None
        PidFd None
        UserFaultFd None
        IoUring None
        PerfEvent None
        Bpf None
        Bpf None
        Bpf None
        Other None
    "#]]
    .assert_eq(&lines(&[
        descriptor(0, TMPFS, 0o100_644).record(DESCRIPTOR),
        descriptor(DESCRIPTOR_OF_THREAD, TMPFS, 0o040_755).record(DESCRIPTOR),
        descriptor(0, 0, 0o020_666).record(DESCRIPTOR),
        descriptor(0, 0, 0o060_660).record(DESCRIPTOR),
        descriptor(0, 0, 0o010_600).record(DESCRIPTOR),
        descriptor(0, SOCKFS, 0o140_777).record(DESCRIPTOR),
        // A socket file on a disk, opened with O_PATH.
        descriptor(0, TMPFS, 0o140_777).record(DESCRIPTOR),
        descriptor(0, 0x6e73_6673, 0o100_444).record(DESCRIPTOR),
        descriptor(0, 0x5049_4446, 0o100_600).record(DESCRIPTOR),
        named(TMPFS, 0o100_777, b"memfd:cache"),
        named(TMPFS, 0o100_777, b"SYSV00000000"),
        named(ANON, 0o600, b"[eventfd]"),
        named(ANON, 0o600, b"[eventpoll]"),
        named(ANON, 0o600, b"[timerfd]"),
        named(ANON, 0o600, b"[signalfd]"),
        named(ANON, 0o600, b"inotify"),
        named(ANON, 0o600, b"[fanotify]"),
        named(ANON, 0o600, b"[pidfd]"),
        named(ANON, 0o600, b"[userfaultfd]"),
        named(ANON, 0o600, b"[io_uring]"),
        named(ANON, 0o600, b"[perf_event]"),
        named(ANON, 0o600, b"bpf-map"),
        named(ANON, 0o600, b"bpf_link"),
        named(ANON, 0o600, b"btf"),
        // Newer kernels give anonymous inodes a file type.
        named(ANON, 0o100_600, b"kvm-vm"),
    ]));
}

#[test]
fn sockets_are_told_apart() {
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9];
    expect![[r#"
        Socket None Inet Tcp Established Some(127.0.0.1:8080) -> Some(10.0.0.9:40000) None
        Socket None Inet Tcp Established Some(0.0.0.0:8080) -> None None
        Socket None Inet Stream Established Some(0.0.0.0:8080) -> None None
        Socket None Inet6 Tcp Established Some([2001:db8::9]:443) -> Some([2001:db8::9]:50000) None
        Socket None Unix Stream Listen None -> None Some("/run/a\\n.sock")
        Socket None Unix Stream Listen None -> None Some("@abstract\\u{0}name")
        Socket None Unix Stream Listen None -> None None
        Socket None Netlink Raw Close None -> None None
        Socket None Vsock SeqPacket Unknown None -> None None
        Socket None Other(200) Other Established None -> None None
    "#]]
    .assert_eq(&lines(&[
        inet(2, 6, &[127, 0, 0, 1], &[10, 0, 0, 9], [8080, 40000]),
        inet(2, 262, &[0, 0, 0, 0], &[0, 0, 0, 0], [8080, 0]),
        inet(2, 132, &[0, 0, 0, 0], &[0, 0, 0, 0], [8080, 0]),
        inet(10, 6, &v6, &v6, [443, 50000]),
        unix(b"/run/a\n.sock\0"),
        unix(b"\0abstract\0name"),
        unix(b""),
        socket(16, 3, 0, 7).record(DESCRIPTOR_SOCKET),
        socket(40, 5, 0, 77).record(DESCRIPTOR_SOCKET),
        socket(200, 77, 6, 1).record(DESCRIPTOR_SOCKET),
    ]));
}

#[test]
fn states_are_those_of_proc() {
    for (state, exit_state, expected) in [
        (0, 0, ThreadState::Running),
        (1, 0, ThreadState::Sleeping),
        (2, 0, ThreadState::DiskSleep),
        (0x402, 0, ThreadState::Other),
        (4, 0, ThreadState::Stopped),
        (8, 0, ThreadState::Stopped),
        (0, 0x10, ThreadState::Dead),
        (0x80, 0x20, ThreadState::Dead),
        (0x40, 0, ThreadState::Other),
        (0x8000, 0, ThreadState::DiskSleep),
        // A waker has claimed it; it is about to run.
        (0x200, 0, ThreadState::Running),
    ] {
        assert_eq!(thread_state(state, exit_state), expected, "{state:#x} {exit_state:#x}");
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let whole = task(0, 0, 0, b"x");
    for length in 0..whole.len() {
        assert_eq!(decode(&whole[..length], TICK), Err(DecodeError::Short), "{length} bytes");
    }
    let resized = Bytes::default().u32(0).record(TASK);
    assert_eq!(decode(&resized, TICK), Err(DecodeError::Size { kind: TASK, size: 12 }));
    let unknown = Bytes::default().record(77);
    assert_eq!(decode(&unknown, TICK), Err(DecodeError::Kind { kind: 77 }));
    let empty = Bytes::default().u32(0).u32(EXIT).0;
    assert_eq!(decode(&empty, TICK), Err(DecodeError::Size { kind: EXIT, size: 0 }));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(kind in 0u32..10, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let record = Bytes(body).record(kind);
        if let Ok((_, size)) = decode(&record, TICK) {
            prop_assert_eq!(size, record.len());
        }
    }

    #[test]
    fn no_content_makes_it_panic(content in prop::collection::vec(any::<u8>(), 164)) {
        for (kind, size) in [
            (TASK, 72),
            (DESCRIPTOR_UNIX, 164),
            (DESCRIPTOR_INET, 88),
            (DESCRIPTOR_NAMED, 72),
            (DESCRIPTOR_AGE, 88),
        ] {
            let record = Bytes(content[8..size].to_vec()).record(kind);
            prop_assert!(decode(&record, TICK).is_ok());
        }
    }
}

#[test]
fn what_tells_ages() {
    let age = |flags: u32| {
        let bytes = Bytes::default().u32(70).u32(71).u32(9).u32(flags).u64(5000).u64(1_500_000_000).u64(0);
        bytes
            .u64(u64::MAX)
            .u32(2)
            .u32(1_000)
            .u32(750)
            .u32(500)
            .u32(900)
            .u32(1)
            .u32(0)
            .u32(0)
            .record(DESCRIPTOR_AGE)
    };
    let decoded = |flags, per_second: f64| {
        let (Record::Age { age, reported_by }, _) = decode(&age(flags), TICK).unwrap() else {
            panic!("no age")
        };
        assert_eq!(reported_by, (flags & DESCRIPTOR_OF_THREAD != 0).then_some(71));
        // 1,000 jiffies after the clock's beginning, five minutes before its overflow.
        let now = std::time::Duration::from_secs_f64(300.0 + 1_000.0 / per_second);
        let seen = age.in_seconds(super::JiffiesPerSecond::of(age.now_jiffies(), now));
        let seen_tcp = seen.tcp.map(|tcp| (tcp.idle(), tcp.carried_data));
        (seen.pid, seen.fd, seen.is_pipe, seen.untouched, seen.never_used, seen_tcp)
    };
    let second = std::time::Duration::from_secs(1);
    assert_eq!(decoded(AGE_OF_TCP, 250.0), (70, 9, false, false, true, Some((second, Some(true)))));
    assert_eq!(
        decoded(AGE_OF_MPTCP | AGE_UNTOUCHED, 250.0),
        (70, 9, false, true, true, Some((second, None)))
    );
    assert_eq!(decoded(AGE_OF_PIPE | DESCRIPTOR_OF_THREAD, 250.0), (70, 9, true, false, true, None));
}
