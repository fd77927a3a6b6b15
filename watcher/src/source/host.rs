//! What is true of the whole host, and of ourselves.

use crate::source::clock;
use crate::vocabulary::process::printable;
use procfs::FromBufRead;
use procfs::process::MountInfo;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What is true of the whole host; each part `None` where it could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// `kernel.hostname`, printable form.
    pub hostname: Option<String>,
    /// `kernel.osrelease`: such as `6.12.111-amd64`.
    pub kernel_release: Option<String>,
    /// When it was booted, by the wall clock as it is now.
    pub booted: SystemTime,
    /// Clock ticks per second, in which start times are counted (USER_HZ).
    pub ticks_per_second: u64,
    /// Size of a page.
    pub page_bytes: u64,
    /// `MemTotal`.
    pub memory_bytes: Option<u64>,
    /// `kernel.pid_max`: one more than the highest pid.
    pub pid_max: Option<u64>,
    /// `kernel.threads-max`: tasks that the host can hold.
    pub threads_max: Option<u64>,
    /// `vm.max_map_count`: mappings that a process can hold.
    pub max_map_count: Option<u64>,
    /// Which processes `/proc` hides from us.
    pub hidepid: Option<HidePid>,
    /// What we ourselves may do.
    pub capabilities: Option<Capabilities>,
}

impl Host {
    /// Reads it all from the `/proc` that is mounted at `proc`.
    pub fn read(proc: &Path) -> Self {
        let now = clock::now();
        let number = |name: &str| text(proc, name)?.parse().ok();
        let memory = fs::read(proc.join("meminfo")).ok();
        let status = fs::read(proc.join("self/status")).ok();
        Host {
            hostname: text(proc, "sys/kernel/hostname").map(|name| printable(name.as_bytes())),
            kernel_release: text(proc, "sys/kernel/osrelease"),
            booted: now.wall.checked_sub(now.since_boot).unwrap_or(SystemTime::UNIX_EPOCH),
            ticks_per_second: procfs::ticks_per_second(),
            page_bytes: procfs::page_size(),
            memory_bytes: memory
                .and_then(|bytes| procfs::Meminfo::from_buf_read(bytes.as_slice()).ok())
                .map(|memory| memory.mem_total),
            pid_max: number("sys/kernel/pid_max"),
            threads_max: number("sys/kernel/threads-max"),
            max_map_count: number("sys/vm/max_map_count"),
            hidepid: text(proc, "self/mountinfo").and_then(|mounts| HidePid::of(&mounts, proc)),
            capabilities: status.and_then(|status| Capabilities::parse(&status)),
        }
    }

    /// Whether processes of other users are not even listed in `/proc`, so that none of them is found.
    pub fn hides_processes(&self) -> bool {
        let may_see_all = self.capabilities.is_some_and(|held| held.has(Capabilities::SYS_PTRACE));
        matches!(self.hidepid, Some(HidePid::Invisible | HidePid::PtraceableOnly)) && !may_see_all
    }

    /// Tasks that the host can hold: whichever of `pid_max` and `threads_max` is reached first.
    pub fn tasks_max(&self) -> Option<u64> {
        match (self.pid_max, self.threads_max) {
            (Some(pids), Some(threads)) => Some(pids.min(threads)),
            (pids, threads) => pids.or(threads),
        }
    }

    /// The wall-clock time that a start time in ticks after boot means.
    pub fn started(&self, start_ticks: u64) -> SystemTime {
        let ticks_per_second = self.ticks_per_second.max(1);
        let whole = Duration::from_secs(start_ticks / ticks_per_second);
        let rest =
            Duration::from_secs(start_ticks % ticks_per_second) / ticks_per_second.try_into().unwrap_or(1);
        self.booted.checked_add(whole + rest).unwrap_or(self.booted)
    }
}

/// What of the host is in use now; each part `None` where it could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostUsage {
    /// Bytes that processes can still have: `MemAvailable`, page cache that can be dropped included, and `SwapFree`.
    pub available_bytes: Option<u64>,
    /// Tasks that exist: behind the slash of `/proc/loadavg`.
    pub tasks: Option<u64>,
}

impl HostUsage {
    /// Reads it from the `/proc` that is mounted at `proc`.
    pub fn read(proc: &Path) -> Self {
        let memory = fs::read(proc.join("meminfo")).ok();
        let memory = memory.and_then(|bytes| procfs::Meminfo::from_buf_read(bytes.as_slice()).ok());
        let load = text(proc, "loadavg");
        HostUsage {
            available_bytes: memory.and_then(|it| it.mem_available?.checked_add(it.swap_free)),
            tasks: load.and_then(|load| load.split(' ').nth(3)?.split_once('/')?.1.parse().ok()),
        }
    }
}

fn text(proc: &Path, name: &str) -> Option<String> {
    fs::read_to_string(proc.join(name)).ok().map(|text| text.trim_end().to_owned())
}

/// The `hidepid` option with which `/proc` is mounted (proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HidePid {
    /// Everything can be seen.
    Off,
    /// Processes of others are listed, their files cannot be read.
    NoAccess,
    /// Processes of others are not even listed.
    Invisible,
    /// Only processes that we may ptrace are listed.
    PtraceableOnly,
}

impl HidePid {
    /// From the text of `/proc/self/mountinfo`, for the proc file system that is mounted at `proc`.
    fn of(mountinfo: &str, proc: &Path) -> Option<Self> {
        let mounts = mountinfo.lines().filter_map(|line| MountInfo::from_line(line).ok());
        // A later mount covers an earlier one at the same place.
        let mount = mounts.rev().find(|mount| mount.fs_type == "proc" && mount.mount_point == proc)?;
        match mount.super_options.get("hidepid") {
            None => Some(HidePid::Off),
            // Numbers before Linux 5.8, words since.
            Some(option) => match option.as_deref()? {
                "0" | "off" => Some(HidePid::Off),
                "1" | "noaccess" => Some(HidePid::NoAccess),
                "2" | "invisible" => Some(HidePid::Invisible),
                "4" | "ptraceable" => Some(HidePid::PtraceableOnly),
                _ => None,
            },
        }
    }
}

/// A set of capabilities (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

/// Names by number, `include/uapi/linux/capability.h`.
const CAPABILITY_NAMES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

impl Capabilities {
    /// To read descriptors, mappings, memory and executables of processes of other users.
    pub const SYS_PTRACE: &'static str = "CAP_SYS_PTRACE";
    /// To enter network namespaces.
    pub const SYS_ADMIN: &'static str = "CAP_SYS_ADMIN";
    /// To load kernel programs.
    pub const BPF: &'static str = "CAP_BPF";
    /// To attach kernel programs.
    pub const PERFMON: &'static str = "CAP_PERFMON";

    /// The effective set in the text of a `/proc/PID/status`.
    fn parse(status: &[u8]) -> Option<Self> {
        let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"CapEff:"))?;
        u64::from_str_radix(std::str::from_utf8(line).ok()?.trim(), 16).ok().map(Capabilities)
    }

    /// Whether the capability of this name is among them; `false` for a name that does not exist.
    pub fn has(self, name: &str) -> bool {
        self.names().any(|held| held == name)
    }

    /// Names of those that are held, as far as we know names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CAPABILITY_NAMES
            .into_iter()
            .enumerate()
            .filter_map(move |(number, name)| (self.0 & (1 << number) != 0).then_some(name))
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, HidePid, Host, HostUsage};
    use proptest::prelude::*;
    use std::path::Path;
    use std::time::{Duration, SystemTime};

    #[test]
    fn hidepid_old_and_new() {
        let root = "23 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        for (options, expected) in [
            ("rw", Some(HidePid::Off)),
            ("rw,hidepid=2", Some(HidePid::Invisible)),
            ("rw,gid=5,hidepid=invisible", Some(HidePid::Invisible)),
            ("rw,hidepid=1", Some(HidePid::NoAccess)),
            ("rw,hidepid=ptraceable", Some(HidePid::PtraceableOnly)),
            ("rw,hidepid=9", None),
        ] {
            let mounts = format!("{root}22 23 0:21 / /proc rw,relatime shared:5 - proc proc {options}\n");
            assert_eq!(HidePid::of(&mounts, Path::new("/proc")), expected, "{options}");
        }
        assert_eq!(HidePid::of(root, Path::new("/proc")), None);
    }

    #[test]
    fn capabilities_have_names() {
        let status = b"Name:\tx\nCapPrm:\t000001fffeffffff\nCapEff:\t0000008000080000\nCapBnd:\t0\n";
        let held = Capabilities::parse(status).unwrap();
        assert_eq!(held.names().collect::<Vec<_>>(), [Capabilities::SYS_PTRACE, Capabilities::BPF]);
        assert!(held.has("CAP_BPF") && !held.has("CAP_PERFMON") && !held.has("CAP_NONSENSE"));
        assert_eq!(Capabilities::parse(b"CapEff:\txyz\n"), None);
    }

    #[test]
    fn this_host() {
        let host = Host::read(Path::new("/proc"));
        assert!(host.memory_bytes.unwrap() > 1 << 20);
        assert!(host.tasks_max().unwrap() > 100);
        assert!(host.max_map_count.unwrap() > 100);
        assert!(host.capabilities.is_some() && host.kernel_release.is_some() && host.hostname.is_some());
        assert!(host.booted < SystemTime::now());
        let hertz = host.ticks_per_second;
        assert_eq!(host.started(hertz * 5 / 2), host.booted + Duration::from_millis(2500));
        assert_eq!(host.started(u64::MAX - hertz).max(host.booted), host.started(u64::MAX - hertz));
    }

    #[test]
    fn what_is_left_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(HostUsage::read(dir.path()), HostUsage::default());
        std::fs::write(dir.path().join("loadavg"), "0.52 0.58 0.59 3/1234 5678\n").unwrap();
        assert_eq!(HostUsage::read(dir.path()).tasks, Some(1234));
        let now = HostUsage::read(Path::new("/proc"));
        assert!(now.available_bytes.unwrap() > 1 << 20 && now.tasks.unwrap() > 10);
    }

    proptest! {
        #[test]
        fn mounts_never_panic(mounts in "([a-z0-9 :,=/-]|\\PC|\n){0,120}") {
            let _ = HidePid::of(&mounts, Path::new("/proc"));
        }
    }

    #[test]
    fn what_is_missing_is_none() {
        let empty = tempfile::tempdir().unwrap();
        let host = Host::read(empty.path());
        assert_eq!((host.memory_bytes, host.tasks_max(), host.hidepid), (None, None, None));
        assert_eq!((host.capabilities, host.kernel_release), (None, None));
    }
}
