//! The directory of one process, held open.

use super::file::{numbers_in, open_directory, open_file, open_place, read_link, read_record, understood};
use super::program::{self, CgroupPath, ExePath};
use super::{
    Crowds, DescriptorLink, FileIdentity, Mapping, MappingUse, Stat, Status, WatchCount, WritableFile,
    crowds, descriptors, links, maps, smaps, stat, status, written,
};
use crate::source::proc::file::left;
use crate::source::reader;
use crate::source::target_file::{self, TargetFile};
use crate::vocabulary::descriptor::OpenDescriptor;
use crate::vocabulary::process::{Limits, ProcessId};
use crate::vocabulary::reading::Reading;
use crate::vocabulary::task::Task;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statat, statx};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// How much of one of the kernel's files about memory is asked for at once.
const LOCKED_BUFFER_BYTES: usize = 128 << 10;

/// `/proc/PID` of one process.
///
/// The handle is tied to the process and not to its number (the inode holds the kernel's `struct pid`,
/// `fs/proc/base.c`): once the process has been reaped every read through it fails with ESRCH or ENOENT, even
/// where its pid belongs to another one by then. So whoever has compared [`ProcessDir::id`] once knows whose
/// numbers all later reads are.
#[derive(Debug)]
pub struct ProcessDir {
    pub(super) pid: i32,
    pub(super) dir: OwnedFd,
    counts_descriptors: bool,
}

impl ProcessDir {
    pub(super) fn open_at(root: &OwnedFd, pid: i32, counts_descriptors: bool) -> io::Result<Self> {
        Ok(ProcessDir { pid, dir: open_place(root, pid.to_string())?, counts_descriptors })
    }

    /// The number under which it was opened.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Which process this is.
    pub fn id(&self) -> Reading<ProcessId> {
        self.stat().map(|stat| ProcessId { pid: self.pid, start_ticks: stat.start_ticks })
    }

    /// Name, state, parent, number of threads and start time.
    pub fn stat(&self) -> Reading<Stat> {
        read_record(&self.dir, "stat", stat::parse).into()
    }

    /// Effective user, number of threads and memory.
    pub fn status(&self) -> Reading<Status> {
        read_record(&self.dir, "status", status::parse).into()
    }

    /// Number of open descriptors.
    ///
    /// Where the kernel keeps the number ready this needs no privilege; elsewhere it needs the same as reading
    /// the descriptors does.
    pub fn descriptor_count(&self) -> Reading<u64> {
        count_descriptors(&self.dir, "fd", self.counts_descriptors).into()
    }

    /// Every open descriptor by type and inode. Sockets are left unresolved. One that is closed meanwhile is
    /// left out.
    pub fn descriptors(&self, each: &mut dyn FnMut(OpenDescriptor)) -> Reading<()> {
        open_directory(&self.dir, "fd").and_then(|fds| descriptors::visit(self.pid, &fds, each)).into()
    }

    /// Where these descriptors lead, and since when the kernel has their links.
    ///
    /// Needs ptrace access; about 10 µs each.
    pub fn links(&self, fds: &[i32]) -> Reading<Vec<DescriptorLink>> {
        links::read(&self.dir, fds).into()
    }

    /// The paths that most of its descriptors refer to, where `count` are open.
    ///
    /// About two microseconds for each descriptor. Needs ptrace access.
    pub fn descriptor_paths(&self, count: u64) -> Reading<Crowds> {
        crowds::of_descriptors(&self.dir, count).into()
    }

    /// The files that most of its mappings map; an empty path stands for anonymous memory. Costs what
    /// [`ProcessDir::mappings`] does.
    pub fn mapping_paths(&self) -> Reading<Crowds> {
        self.mappings().map(|mappings| crowds::of_mappings(&mappings))
    }

    /// Begins to count the watches of the inotify descriptor with this number. Needs ptrace access.
    pub fn inotify_watches(&self, fd: i32) -> Reading<WatchCount> {
        WatchCount::open(&self.dir, fd).into()
    }

    /// Ordinary files that are open for writing, with how far each is written; of the first 4,096 descriptors.
    ///
    /// Needs ptrace access.
    pub fn writable_files(&self) -> Reading<Vec<WritableFile>> {
        written::read(&self.dir).into()
    }

    /// Number of mappings (VMAs): the lines of `maps`. One that grows while it is listed may count twice.
    ///
    /// Costs the kernel about a microsecond per mapping. Needs ptrace access (PTRACE_MODE_READ).
    pub fn mapping_count(&self) -> Reading<u64> {
        self.locked("maps").and_then(count_mappings).into()
    }

    /// Every mapping, by address. Empty for a process without memory.
    ///
    /// Costs the kernel about a microsecond per mapping. Needs ptrace access.
    pub fn mappings(&self) -> Reading<Vec<Mapping>> {
        self.locked("maps").and_then(maps::read).into()
    }

    /// Mappings of files that hold code, each file once, by address; of lists that have more than so many bytes only
    /// what lies lowest. Costs the kernel what [`ProcessDir::mappings`] does.
    pub fn code_files(&self, most_bytes: u64) -> Reading<Vec<Mapping>> {
        self.locked("maps").and_then(|file| maps::code_files(file.take(most_bytes))).into()
    }

    /// The file behind a mapping of this process, also where it has been deleted or lies in another mount namespace.
    /// `Unsupported` for what is no ordinary file.
    pub fn mapped_file(&self, mapping: &Mapping) -> Reading<TargetFile> {
        let by_range = format!("map_files/{:x}-{:x}", mapping.range.start, mapping.range.end);
        // To follow a link in `map_files` takes CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE.
        let by_path = || {
            let path = mapping.name.strip_prefix('/').filter(|path| !path.contains('\\'));
            let file = target_file::open(self.pid, &self.dir, &format!("root/{}", understood(path)?), true)?;
            understood((file.identity().place().1 == mapping.inode).then_some(file))
        };
        match target_file::open(self.pid, &self.dir, &by_range, true) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => by_path().into(),
            opened => opened.into(),
        }
    }

    /// One of the kernel's files about its memory. The lock that guards it may be held by what waits for a page.
    pub(super) fn locked(&self, name: &str) -> io::Result<BufReader<TargetFile>> {
        Ok(BufReader::with_capacity(
            LOCKED_BUFFER_BYTES,
            target_file::open(self.pid, &self.dir, name, false)?,
        ))
    }

    /// Every mapping with what of it is resident. `Gone` for a process without memory.
    ///
    /// Walks all page tables of the process under its lock: for single looks only. Needs ptrace access.
    pub fn mapping_use(&self) -> Reading<Vec<MappingUse>> {
        self.locked("smaps").and_then(smaps::read).into()
    }

    /// How much of these ranges of addresses, which are ascending, is resident. Needs ptrace access.
    pub fn resident_bytes(&self, ranges: &[Range<u64>]) -> Reading<u64> {
        let pagemap = target_file::open(self.pid, &self.dir, "pagemap", false);
        pagemap.and_then(|pagemap| smaps::resident_bytes(&pagemap, ranges)).into()
    }

    /// Soft limits; that on mappings is the host's and stays `None`.
    pub fn limits(&self) -> Reading<Limits> {
        read_record(&self.dir, "limits", program::parse_limits).into()
    }

    /// `argv` as the process shows it, printable form, of the first 4 KiB. Empty for a process that has exited.
    pub fn args(&self) -> Reading<Vec<String>> {
        self.cmdline(program::LONGEST_ARGS_BYTES).map(|bytes| program::parse_args(&bytes)).into()
    }

    /// The executable as the kernel names it.
    pub fn exe(&self) -> Reading<ExePath> {
        read_link(&self.dir, "exe").map(|link| ExePath::from_link(&link)).into()
    }

    /// The executable itself, also where its file has been deleted or lies in another mount namespace.
    pub fn executable(&self) -> Reading<TargetFile> {
        target_file::open(self.pid, &self.dir, "exe", true).into()
    }

    /// Which file the executable is: another one once the process has executed another program.
    pub fn executable_identity(&self) -> Reading<FileIdentity> {
        reader::identify_file(self.pid, &self.dir, "exe").into()
    }

    /// The same without the reader, for an executable that lay on a file system that need not ask anybody
    /// ([`ProcessDir::executable_is_quick`]) when it was looked at last.
    pub fn executable_identity_at_once(&self) -> Reading<FileIdentity> {
        let stat = statx(&self.dir, "exe", AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS);
        stat.map(|stat| FileIdentity::from_statx(&stat)).map_err(io::Error::from).into()
    }

    /// Its cgroup in each hierarchy.
    pub fn cgroups(&self) -> Reading<Vec<CgroupPath>> {
        read_record(&self.dir, "cgroup", program::parse_cgroups).into()
    }

    /// Inode number of its network namespace.
    pub fn network_namespace(&self) -> Reading<u64> {
        read_link(&self.dir, "ns/net")
            .and_then(|link| understood(descriptors::number_in_brackets(&link)))
            .into()
    }

    /// Whether it lives in the same user namespace as we do; `false` also where that cannot be told.
    pub fn is_in_our_user_namespace(&self) -> bool {
        let theirs = read_link(&self.dir, "ns/user").ok();
        theirs.is_some() && theirs == read_link(CWD, "/proc/self/ns/user").ok()
    }

    /// Its network namespace, to enter it.
    pub fn open_network_namespace(&self) -> Reading<File> {
        open_file(&self.dir, "ns/net").into()
    }

    /// Its user namespace, to ask who made it.
    pub fn open_user_namespace(&self) -> Reading<File> {
        open_file(&self.dir, "ns/user").into()
    }

    /// Its root directory, as the kernel names it: `/` unless it was changed by `chroot(2)` or `pivot_root(2)`.
    pub fn root(&self) -> Reading<PathBuf> {
        read_link(&self.dir, "root").map(program::path_from_bytes).into()
    }

    /// A file or socket by its name in this process's root directory, as a place that is not opened for reading.
    /// Links in the path are followed as the process would follow them, and never lead out of its root.
    pub fn place_in_root(&self, path: &Path) -> Reading<OwnedFd> {
        let open = || -> io::Result<OwnedFd> {
            let root = open_place(&self.dir, "root")?;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let in_root = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
            // What is in use is in the kernel's cache. To look anywhere else may mean to ask a server that does not
            // answer. Before Linux 5.12 there is no such choice.
            match openat2(&root, path, flags, Mode::empty(), in_root | ResolveFlags::CACHED) {
                Err(Errno::INVAL) => Ok(openat2(&root, path, flags, Mode::empty(), in_root)?),
                opened => Ok(opened?),
            }
        };
        open().into()
    }

    /// `argv` as its bytes, each argument ended by a zero byte; of the first MiB. Empty for a process that has
    /// exited.
    pub fn command_line(&self) -> Reading<Vec<u8>> {
        self.cmdline(1 << 20).into()
    }

    /// The arguments lie in memory of the process, which may be of any kind.
    fn cmdline(&self, limit: usize) -> io::Result<Vec<u8>> {
        target_file::open(self.pid, &self.dir, "cmdline", false)?.read_rest(limit)
    }

    /// The first mapping that holds code, which is the executable's. Needs ptrace access (PTRACE_MODE_READ).
    pub fn first_code(&self) -> Reading<Range<u64>> {
        let find = || -> io::Result<Range<u64>> {
            // The executable comes first but for what was mapped below it, so a few lines hold it.
            let text = target_file::open(self.pid, &self.dir, "maps", false)?.read_rest(64 << 10)?;
            understood(String::from_utf8_lossy(&text).lines().find_map(code_range))
        };
        find().into()
    }

    /// Visits its threads, the leader included. One that leaves meanwhile is left out.
    pub fn tasks(&self, each: &mut dyn FnMut(Task)) -> Reading<()> {
        let mut visit = || -> io::Result<()> {
            let task_dir = open_directory(&self.dir, "task")?;
            numbers_in(&task_dir, |tid| {
                match read_record(&task_dir, &format!("{tid}/stat"), stat::parse) {
                    Ok(stat) => each(stat.into_task(self.pid, tid)),
                    Err(error) if left(&error) => {}
                    Err(error) => return Err(error),
                }
                Ok(())
            })
        };
        visit().into()
    }

    /// Pids of the children of all its threads. `Unsupported` on a kernel without CONFIG_PROC_CHILDREN.
    pub fn children(&self) -> Reading<Vec<i32>> {
        let mut pids = Vec::new();
        let mut unsupported = false;
        let mut visit = || -> io::Result<()> {
            let task_dir = open_directory(&self.dir, "task")?;
            numbers_in(&task_dir, |tid| {
                match read_record(&task_dir, &format!("{tid}/children"), program::parse_children) {
                    Ok(children) => pids.extend(children),
                    // The leader is there for as long as its process is, so it is the file that is missing.
                    Err(error) if error.kind() == io::ErrorKind::NotFound && tid == self.pid => {
                        unsupported = true;
                    }
                    Err(error) if left(&error) => {}
                    Err(error) => return Err(error),
                }
                Ok(())
            })
        };
        match Reading::from(visit()) {
            Reading::Seen(()) if unsupported && self.stat().seen().is_some() => Reading::Unsupported,
            Reading::Seen(()) if unsupported => Reading::Gone,
            reading => reading.map(|()| pids),
        }
    }
}

/// Entries of a directory of descriptors, which lies at `name` below `dir`.
pub(super) fn count_descriptors(dir: &OwnedFd, name: &str, counted_by_kernel: bool) -> io::Result<u64> {
    if counted_by_kernel {
        let fds = statat(dir, name, AtFlags::empty())?;
        return understood(u64::try_from(fds.st_size).ok());
    }
    let mut count = 0;
    numbers_in(&open_directory(dir, name)?, |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// The addresses of a line of `maps` whose permissions hold `x`.
fn code_range(line: &str) -> Option<Range<u64>> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    fields.next().filter(|permissions| permissions.contains('x'))?;
    Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
}

/// Counts the lines of `maps`, without the page of the kernel's that ends the list on x86: it is in no process's
/// count. Names of files may hold newlines, but the kernel escapes them here.
fn count_mappings(mut maps: impl Read) -> io::Result<u64> {
    const KERNEL_PAGE: &[u8] = b"[vsyscall]\n";
    let mut buffer = [0; 16 * 1024];
    let mut end = Vec::with_capacity(2 * KERNEL_PAGE.len());
    let mut lines = 0;
    loop {
        match maps.read(&mut buffer) {
            Ok(0) => return Ok(lines - u64::from(end.ends_with(KERNEL_PAGE))),
            Ok(n) => {
                lines += buffer[..n].iter().filter(|byte| **byte == b'\n').count() as u64;
                end.extend_from_slice(&buffer[n.saturating_sub(KERNEL_PAGE.len())..n]);
                end.drain(..end.len().saturating_sub(KERNEL_PAGE.len()));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::count_mappings;
    use crate::source::proc::{ProcRoot, ProcessDir};
    use crate::vocabulary::descriptor::DescriptorType;
    use crate::vocabulary::process::ProcessId;
    use crate::vocabulary::reading::Reading;
    use crate::vocabulary::task::ThreadState;
    use procfs::process::{LimitValue, MMapPath, Process};
    use rustix::fs::{Mode, OFlags};
    use std::collections::BTreeMap;
    use std::ffi::OsStr;
    use std::io::{self, Read};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::{Child, Command};
    use std::time::Duration;

    fn own() -> ProcessDir {
        ProcRoot::host().unwrap().open(std::process::id().cast_signed()).into_seen().unwrap()
    }

    /// A process whose numbers stand still.
    fn sleeper() -> (Child, ProcessDir) {
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = ProcRoot::host().unwrap().open(child.id().cast_signed()).into_seen().unwrap();
        let asleep = || {
            let stat = process.stat().into_seen().unwrap();
            stat.name == "sleep" && stat.state == ThreadState::Sleeping
        };
        while !asleep() {
            std::thread::sleep(Duration::from_millis(1));
        }
        (child, process)
    }

    #[test]
    fn numbers_agree_with_another_reader() {
        let (mut child, ours) = sleeper();
        let theirs = Process::new(ours.pid()).unwrap();
        let (stat, status) = (theirs.stat().unwrap(), theirs.status().unwrap());
        assert_eq!(ours.id(), Reading::Seen(ProcessId { pid: theirs.pid, start_ticks: stat.starttime }));
        let read = ours.status().into_seen().unwrap();
        assert_eq!((read.uid, read.threads), (status.euid, status.threads));
        let memory = read.memory.unwrap();
        for (bytes, kibibytes) in [
            (memory.anon_bytes, status.rssanon),
            (memory.file_bytes, status.rssfile),
            (memory.shmem_bytes, status.rssshmem),
            (memory.swap_bytes, status.vmswap),
            (memory.page_tables_bytes, status.vmpte),
            (memory.virtual_bytes, status.vmsize),
            (memory.peak_rss_bytes, status.vmhwm),
            (memory.rss_bytes(), status.vmrss),
        ] {
            assert_eq!(bytes, kibibytes.unwrap() * 1024);
        }
        assert_eq!(ours.stat().into_seen().unwrap().parent_pid, stat.ppid);
        assert_eq!(ours.exe().into_seen().unwrap().path, theirs.exe().unwrap());
        assert_eq!(ours.args().into_seen().unwrap(), theirs.cmdline().unwrap());
        assert_eq!(ours.root(), Reading::Seen(theirs.root().unwrap()));
        let maps = theirs.maps().unwrap();
        let mappings = maps.iter().filter(|map| map.pathname != MMapPath::Vsyscall).count();
        assert_eq!(ours.mapping_count(), Reading::Seen(mappings as u64));
        assert_eq!(ours.descriptor_count(), Reading::Seen(theirs.fd_count().unwrap() as u64));
        let net = theirs.namespaces().unwrap().0[OsStr::new("net")].identifier;
        assert_eq!(ours.network_namespace(), Reading::Seen(net));
        let limits = theirs.limits().unwrap();
        let open_files = ours.limits().into_seen().unwrap().open_files.unwrap();
        assert!(matches!(limits.max_open_files.soft_limit, LimitValue::Value(files) if files == open_files));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn the_kernels_own_page_is_no_mapping() {
        /// Hands out one byte at a time, as a slow reader would see the file.
        struct Slowly<'a>(&'a [u8]);
        impl Read for Slowly<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&mut self.0).take(1).read(buffer)
            }
        }
        for (maps, expected) in [
            ("", 0),
            ("400000-401000 r-xp 0 08:01 1 /x\n", 1),
            ("a /x\nb [stack]\n", 2),
            ("a /x\nb [stack]\nffffffffff600000-ffffffffff601000 --xp 0 00:00 0 [vsyscall]\n", 2),
            ("a /[vsyscall]\nb /y\n", 2),
        ] {
            assert_eq!(count_mappings(maps.as_bytes()).unwrap(), expected, "{maps}");
            assert_eq!(count_mappings(Slowly(maps.as_bytes())).unwrap(), expected, "{maps}");
        }
    }

    #[test]
    fn a_process_that_left_is_gone() {
        let (mut child, process) = sleeper();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(process.id(), Reading::Gone);
        assert_eq!(process.status(), Reading::Gone);
        assert_eq!(process.descriptor_count(), Reading::Gone);
        assert_eq!(process.descriptors(&mut |_| {}), Reading::Gone);
        assert_eq!(process.mapping_count(), Reading::Gone);
        assert_eq!(process.tasks(&mut |_| {}), Reading::Gone);
        assert_eq!(process.children(), Reading::Gone);
        assert_eq!(process.network_namespace(), Reading::Gone);
        assert!(matches!(process.executable(), Reading::Gone));
    }

    #[test]
    fn a_zombie_has_no_memory() {
        let mut child = Command::new("true").spawn().unwrap();
        let process = ProcRoot::host().unwrap().open(child.id().cast_signed()).into_seen().unwrap();
        while process.stat().into_seen().unwrap().state != ThreadState::Dead {
            std::thread::yield_now();
        }
        assert_eq!(process.status().into_seen().unwrap().memory, None);
        assert!(own().children().into_seen().unwrap().contains(&process.pid()));
        child.wait().unwrap();
    }

    #[test]
    fn kinds_of_own_descriptors() {
        let file = tempfile::tempfile().unwrap();
        let dir = std::fs::File::open("/").unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        let (socket, _peer) = UnixStream::pair().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let name = rustix::fs::open(&path, OFlags::PATH, Mode::empty()).unwrap();
        let (pipe, _writer) = io::pipe().unwrap();
        let mut kinds = BTreeMap::new();
        let seen = own().descriptors(&mut |descriptor| {
            kinds.insert(descriptor.fd, descriptor);
        });
        assert_eq!(seen, Reading::Seen(()));
        for (fd, kind) in [
            (file.as_raw_fd(), DescriptorType::File),
            (dir.as_raw_fd(), DescriptorType::Directory),
            (null.as_raw_fd(), DescriptorType::CharDevice),
            (socket.as_raw_fd(), DescriptorType::Socket),
            (pipe.as_raw_fd(), DescriptorType::Pipe),
            (name.as_raw_fd(), DescriptorType::Other),
        ] {
            assert_eq!(kinds[&fd].kind, kind, "descriptor {fd}");
            let inode = rustix::fs::statat(
                rustix::fs::CWD,
                format!("/proc/self/fd/{fd}"),
                rustix::fs::AtFlags::empty(),
            );
            assert_eq!(kinds[&fd].inode, inode.unwrap().st_ino, "descriptor {fd}");
        }
    }

    #[test]
    fn threads_by_name() {
        let (stop, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("a) b (c".into());
        let thread = thread.spawn(move || wait.recv().is_err()).unwrap();
        let named = |process: &ProcessDir| {
            let mut named = 0;
            let seen =
                process.tasks(&mut |task| named += u64::from(task.name == "a) b (c" && !task.is_leader()));
            assert_eq!(seen, Reading::Seen(()));
            named
        };
        // The thread names itself once it runs.
        while named(&own()) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(named(&own()), 1);
        drop(stop);
        thread.join().unwrap();
    }
}
