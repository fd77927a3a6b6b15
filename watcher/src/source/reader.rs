//! The expendable reader: a process of its own that reads what may never answer.
//!
//! A page or a file of a watched process may lie on a file system whose server does not answer: by an outage, or because
//! its owner wants it so. The kernel then waits in a way that not even SIGKILL ends. So the agent itself reads nothing
//! of that kind: it asks its reader, with a deadline. A reader that is stuck is left behind and replaced; it holds
//! nothing that the agent needs, and ends when its read does. How many may be stuck is bounded, for each user and in
//! all, and who holds them up is remembered and asked ever more seldom.

mod in_a_row;
mod link;
mod serve;
mod silences;
mod wire;

pub use in_a_row::{Ranges, fits, memory_of};
pub use silences::{Asked, Silent};

use super::answering::{Device, Mount, Mounts};
use super::clock;
use super::proc::{FileIdentity, file, stat, status};
use crate::vocabulary::process::{ProcessId, printable};
use link::{Link, Lost, Patience};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use silences::{MAX_STUCK, MAX_STUCK_PER_USER, Silences};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use wire::{MAX_ANSWER_BYTES, MAX_RANGES, Question};

/// Bytes of a file that are read at once.
pub const MAX_READ_BYTES: usize = 1 << 20;
/// Shorter than a beat, and longer than any disk takes.
const PATIENCE: Patience = Patience { asleep: Duration::from_secs(1), busy: Duration::from_secs(10) };
/// While another reader is stuck: whoever waits for many who do not answer waits long enough.
const LESS_PATIENCE: Patience = Patience { asleep: Duration::from_millis(250), ..PATIENCE };
/// How much is read of the list of mappings to find out where a page lies.
const MAX_MAPS_BYTES: u32 = 1 << 20;

static POOL: OnceLock<Pool> = OnceLock::new();

/// From now on reads through readers, which are started when they are needed. Without this, as in tests of single
/// parts, everything is read directly.
pub fn enable() {
    let _ = POOL.set(Pool { program: PathBuf::from("/proc/self/exe"), state: Mutex::default() });
}

/// Whether this process was started as a reader. If so, it answers until nobody asks any more, and has to end then.
pub fn serve_if_asked() -> bool {
    if std::env::args_os().nth(1).is_none_or(|argument| argument != link::ARGUMENT) {
        return false;
    }
    let stdio = [io::stdin().as_fd().try_clone_to_owned(), io::stdout().as_fd().try_clone_to_owned()];
    if let [Ok(socket), Ok(shared)] = stdio {
        // Whoever asks learns of a failure by the silence.
        let _ = serve::serve(&socket, &File::from(shared));
    }
    true
}

/// Whether there is a reader to ask.
pub fn is_enabled() -> bool {
    POOL.get().is_some()
}

/// Processes of which something does not answer, and how many readers they hold up.
pub fn silent() -> (Vec<Silent>, usize) {
    let Some(pool) = POOL.get() else { return (Vec::new(), 0) };
    let mut state = pool.lock();
    state.reap();
    let is_there = |id: ProcessId| identify(id.pid) == Some(id);
    state.silences.keep(is_there);
    (state.silences.all(), state.left.len())
}

/// CPU time of the reader, and of those before it that have ended; and its resident set in bytes.
pub fn cost() -> (Duration, u64) {
    let Some(pool) = POOL.get() else { return (Duration::ZERO, 0) };
    let pid = pool.lock().link.as_ref().and_then(Link::pid);
    let ended = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(Duration::ZERO, |usage| {
        let times = [usage.user_time(), usage.system_time()];
        times
            .iter()
            .map(|time| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0)))
            .sum()
    });
    let Some(pid) = pid else { return (ended, 0) };
    // The time on a processor in nanoseconds comes first in the one, pages in memory second in the other.
    let number = |name: &str, index: usize| -> Option<u64> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{name}")).ok()?;
        text.split_whitespace().nth(index)?.parse().ok()
    };
    let running = Duration::from_nanos(number("schedstat", 0).unwrap_or(0));
    let pages = number("statm", 1).unwrap_or(0);
    (ended + running, pages.saturating_mul(4096))
}

/// Why a process could not be read, where that is because something of it does not answer.
pub fn silence_of(id: ProcessId) -> Option<String> {
    let state = POOL.get()?.lock();
    state.silences.of(id).map(Silent::why)
}

/// Reads ranges of the memory of a process, as `golang::Memory::read_many`; none of them where it does not answer.
pub(super) fn memory(pid: i32, ranges: &[(u64, usize)], buffer: &mut [u8], readable: &mut Vec<bool>) {
    readable.clear();
    let Some(pool) = POOL.get() else { return readable.resize(ranges.len(), false) };
    let (mut todo, mut rest) = (ranges, buffer);
    while !todo.is_empty() {
        let count = fitting(todo);
        let Some((asked, behind)) = todo.split_at_checked(count.max(1)) else { break };
        todo = behind;
        let bytes = asked.iter().map(|(_, length)| length).sum::<usize>().min(rest.len());
        let (part, behind) = rest.split_at_mut(bytes);
        rest = behind;
        let short = asked.iter().map(|(address, length)| Some((*address, u32::try_from(*length).ok()?)));
        let question = short.collect::<Option<Vec<_>>>().filter(|_| count > 0);
        let answer = question
            .and_then(|ranges| pool.ask(pid, Asked::Memory, None, &Question::Memory { pid, ranges }).ok());
        match answer {
            Some(answer) if answer.len() == asked.len() + bytes => {
                let (flags, bytes) = answer.split_at(asked.len());
                part.copy_from_slice(bytes);
                readable.extend(flags.iter().map(|flag| *flag == 1));
            }
            _ => readable.resize(readable.len() + asked.len(), false),
        }
    }
}

/// Whether one byte of the memory of a process can be read.
pub(super) fn probe(pid: i32, address: u64) -> io::Result<()> {
    let pool = POOL.get().ok_or(io::ErrorKind::Unsupported)?;
    pool.ask(pid, Asked::Memory, None, &Question::Probe { pid, address }).map(drop)
}

/// How many of the first ranges fit into one question; none where already the first is too long.
fn fitting(ranges: &[(u64, usize)]) -> usize {
    let mut total = 0_usize;
    let fits = |(_, length): &&(u64, usize)| {
        total = total.saturating_add(*length);
        total <= MAX_ANSWER_BYTES
    };
    ranges.iter().take(MAX_RANGES).take_while(fits).count()
}

/// Which file lies at `name` below the directory of a process.
pub(super) fn identify_file(pid: i32, directory: &OwnedFd, name: &str) -> io::Result<FileIdentity> {
    let Some(pool) = POOL.get() else {
        let stat = rustix::fs::statx(
            directory,
            name,
            rustix::fs::AtFlags::STATX_DONT_SYNC,
            rustix::fs::StatxFlags::BASIC_STATS,
        )?;
        return Ok(FileIdentity::from_statx(&stat));
    };
    let question = Question::Identify { name: name.to_owned() };
    let answer = pool.ask(pid, Asked::File, Some((directory, name)), &question)?;
    Ok(FileIdentity::from_numbers(wire::decode_file(&answer)?.1))
}

/// Has the reader open the file at `name` below the directory of a process; `None` where there is no reader. Where
/// `is_ordinary`, anything else is refused.
pub(super) fn open(
    pid: i32,
    directory: &OwnedFd,
    name: &str,
    is_ordinary: bool,
) -> io::Result<Option<(OpenFile, FileIdentity)>> {
    if !is_enabled() {
        return Ok(None);
    }
    let file = OpenFile {
        pid,
        directory: directory.try_clone()?,
        name: name.to_owned(),
        is_ordinary,
        number: Mutex::new(None),
    };
    let identity = file.open()?;
    Ok(Some((file, identity)))
}

/// A file that the reader has open. Another reader opens it anew.
#[derive(Debug)]
pub struct OpenFile {
    pid: i32,
    directory: OwnedFd,
    name: String,
    is_ordinary: bool,
    /// The generation of the reader, the file's number there, and which file it is.
    number: Mutex<Option<(u64, u64, FileIdentity)>>,
}

impl OpenFile {
    fn open(&self) -> io::Result<FileIdentity> {
        let pool = POOL.get().ok_or(io::ErrorKind::Unsupported)?;
        let question = Question::Open { name: self.name.clone(), is_ordinary: self.is_ordinary };
        let (answer, generation) =
            pool.ask_numbered(self.pid, Asked::File, Some((&self.directory, &self.name)), &question)?;
        let (number, identity) = wire::decode_file(&answer)?;
        let identity = FileIdentity::from_numbers(identity);
        let mut known = self.number.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_some_and(|(_, _, known)| known.place() != identity.place()) {
            return Err(io::Error::from_raw_os_error(libc::ESTALE));
        }
        *known = Some((generation, number, identity));
        Ok(identity)
    }

    /// Fills `buffer` from `offset`, as far as the file goes.
    ///
    /// # Errors
    /// What the system says, and that there is no answer.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let length = (buffer.len() - filled).min(MAX_READ_BYTES);
            let bytes = self.read_piece(offset.saturating_add(filled as u64), length)?;
            let count = bytes.len().min(length);
            buffer[filled..filled + count].copy_from_slice(&bytes[..count]);
            filled += count;
            if count < length {
                break;
            }
        }
        Ok(filled)
    }

    fn read_piece(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let pool = POOL.get().ok_or(io::ErrorKind::Unsupported)?;
        let mut is_new = false;
        loop {
            let known = *self.number.lock().unwrap_or_else(PoisonError::into_inner);
            let (generation, file, _) = known.ok_or(io::ErrorKind::NotFound)?;
            let question = Question::Read { file, offset, length: u32::try_from(length).unwrap_or(u32::MAX) };
            let is_current = pool.lock().generation == generation;
            if is_current {
                let place = Some((&self.directory, self.name.as_str()));
                match pool.ask_numbered(self.pid, Asked::File, place, &question) {
                    Ok((bytes, by)) if by == generation => return Ok(bytes),
                    // It has closed what was opened first, or is another one.
                    Ok(_) => {}
                    Err(error) if error.raw_os_error() == Some(libc::EBADF) => {}
                    Err(error) => return Err(error),
                }
            }
            if is_new {
                return Err(io::ErrorKind::NotFound.into());
            }
            self.open()?;
            is_new = true;
        }
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let known = *self.number.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(pool), Some((generation, file, _))) = (POOL.get(), known) {
            let mut state = pool.lock();
            if state.generation == generation
                && let Some(link) = &mut state.link
            {
                link.tell(Question::Close { file });
            }
        }
    }
}

/// The readers of this process.
#[derive(Debug)]
struct Pool {
    program: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    link: Option<Link>,
    /// Which reader it is: the first has 1.
    generation: u64,
    left: Vec<Left>,
    silences: Silences,
}

/// A reader that is stuck, and who holds it up.
#[derive(Debug)]
struct Left {
    child: Child,
    id: Option<ProcessId>,
    uid: Option<u32>,
    /// The file system that does not answer, where that is known.
    device: Option<Device>,
}

impl Left {
    fn has_pid(&self, pid: i32) -> bool {
        self.id.is_some_and(|id| id.pid == pid)
    }
}

/// The directory of a process and a name in it.
type Place<'a> = Option<(&'a OwnedFd, &'a str)>;

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, pid: i32, asked: Asked, place: Place<'_>, question: &Question) -> io::Result<Vec<u8>> {
        self.ask_numbered(pid, asked, place, question).map(|(answer, _)| answer)
    }

    fn ask_numbered(
        &self,
        pid: i32,
        asked: Asked,
        place: Place<'_>,
        question: &Question,
    ) -> io::Result<(Vec<u8>, u64)> {
        let mut state = self.lock();
        state.refuse(pid, place)?;
        // One that was ended by somebody else is replaced once.
        for _ in 0..2 {
            match state.put(&self.program, question, place.map(|(directory, _)| directory.as_fd()))? {
                Ok(answer) => {
                    if !state.silences.is_empty() && state.silences.has_pid(pid) {
                        identify(pid).into_iter().for_each(|id| state.silences.answered(id));
                    }
                    let generation = state.generation;
                    return answer.map(|answer| (answer, generation));
                }
                Err(Lost::Stuck) => {
                    state.left_by(&self.program, pid, asked, place);
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(Lost::Broken) => {
                    if let Some(child) = state.link.take().and_then(Link::leave_behind) {
                        state.left.push(Left { child, id: None, uid: None, device: None });
                    }
                }
            }
        }
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl State {
    /// Refuses to ask where there would be no answer.
    fn refuse(&mut self, pid: i32, place: Place<'_>) -> io::Result<()> {
        if self.left.is_empty() && self.silences.is_empty() {
            return Ok(());
        }
        self.reap();
        let now = clock::now().since_boot;
        let refused = || Err(io::ErrorKind::TimedOut.into());
        let may_be_known = self.silences.has_pid(pid) || self.left.iter().any(|left| left.has_pid(pid));
        // Whoever holds a reader up is not given another.
        if may_be_known
            && let Some(id) = identify(pid)
            && (self.silences.is_silent(id, now) || self.left.iter().any(|left| left.id == Some(id)))
        {
            return refused();
        }
        let is_stuck = |device: Device| self.left.iter().any(|left| left.device == Some(device));
        if self.left.iter().any(|left| left.device.is_some())
            && let Some(mount) = place_by_name(pid, place)
            && is_stuck(mount.device)
        {
            if let Some(silent) = describe(pid, Asked::File, Some(mount.place())) {
                self.silences.note(silent, now);
            }
            return refused();
        }
        if self.left.len() >= 2 * MAX_STUCK {
            return refused();
        }
        let by_one = if self.left.len() >= MAX_STUCK { 1 } else { MAX_STUCK_PER_USER };
        if self.left.len() >= by_one
            // Root's processes are those that an outage meets; who wants to harm us as root need not take this way.
            && let Some(uid) = user_of(pid).filter(|uid| *uid != 0)
            && self.left.iter().filter(|left| left.uid == Some(uid)).count() >= by_one
        {
            return refused();
        }
        Ok(())
    }

    fn put(
        &mut self,
        program: &Path,
        question: &Question,
        place: Option<BorrowedFd<'_>>,
    ) -> io::Result<Result<io::Result<Vec<u8>>, Lost>> {
        let patience = self.patience();
        Ok(self.link(program)?.ask(question.clone(), place, patience))
    }

    /// The reader, started where there is none.
    fn link(&mut self, program: &Path) -> io::Result<&mut Link> {
        if self.link.is_none() {
            self.link = Some(Link::start(program)?);
            self.generation += 1;
        }
        self.link.as_mut().ok_or(io::ErrorKind::BrokenPipe.into())
    }

    fn patience(&self) -> Patience {
        if self.left.is_empty() { PATIENCE } else { LESS_PATIENCE }
    }

    /// The reader is stuck at a question about this process.
    fn left_by(&mut self, program: &Path, pid: i32, asked: Asked, place: Place<'_>) {
        let id = identify(pid);
        if let Some(child) = self.link.take().and_then(Link::leave_behind) {
            self.left.push(Left { child, id, uid: user_of(pid), device: None });
        }
        let now = clock::now().since_boot;
        let mount = match place {
            Some((directory, name)) if is_targets_own(name) => {
                self.silent_place(program, pid, directory, name)
            }
            _ => None,
        };
        let at = match &mount {
            Some(mount) => {
                // As long as this reader is stuck, no other file of that file system is asked for.
                if let Some(left) = self.left.iter_mut().rfind(|left| left.id == id) {
                    left.device = Some(mount.device);
                }
                Some(mount.place())
            }
            None => self.silent_mapping(program, pid),
        };
        if let Some(silent) = describe(pid, asked, at) {
            tracing::debug!(pid, name = %silent.name, "{}", silent.why());
            self.silences.note(silent, now);
        }
    }

    /// The file system of a file that did not answer. Another reader asks for its device: where that needs no server, the
    /// answer cannot be forged, and where it does, the path says enough.
    fn silent_place(&mut self, program: &Path, pid: i32, directory: &OwnedFd, name: &str) -> Option<Mount> {
        let question = Question::Identify { name: name.to_owned() };
        let identified = match self.put(program, &question, Some(directory.as_fd())).ok()? {
            Ok(answer) => answer.ok().and_then(|answer| wire::decode_file(&answer).ok()),
            Err(_) => {
                self.give_up(pid);
                None
            }
        };
        let (theirs, own) = (mounts_of(pid)?, own_mounts()?);
        let mount = match identified.map(|(_, identity)| FileIdentity::from_numbers(identity).device()) {
            Some(device) => theirs.of_device(device).or_else(|| own.of_device(device)).cloned(),
            None => place_by_name(pid, Some((directory, name))),
        };
        mount.filter(|mount| !theirs.answers(mount.device, &own))
    }

    /// Where the first mapping lies that is not known to answer. The list is read by another reader: the lock that
    /// guards it may be held by what waits.
    fn silent_mapping(&mut self, program: &Path, pid: i32) -> Option<String> {
        let directory = directory_of(pid)?;
        let open = Question::Open { name: "maps".to_owned(), is_ordinary: false };
        let opened = self.put(program, &open, Some(directory.as_fd())).ok()?;
        let Ok(Ok(opened)) = opened else {
            self.give_up(pid);
            return None;
        };
        let (number, _) = wire::decode_file(&opened).ok()?;
        let read = Question::Read { file: number, offset: 0, length: MAX_MAPS_BYTES };
        let Ok(Ok(text)) = self.put(program, &read, None).ok()? else {
            self.give_up(pid);
            return None;
        };
        if let Some(link) = &mut self.link {
            link.tell(Question::Close { file: number });
        }
        let (theirs, own) = (mounts_of(pid)?, own_mounts()?);
        let devices = super::proc::mapped_devices(&text);
        let silent = devices.into_iter().filter(|device| !theirs.answers(*device, &own));
        silent
            .filter_map(|device| theirs.of_device(device).or_else(|| own.of_device(device)))
            .map(|it| it.place())
            .next()
    }

    fn give_up(&mut self, pid: i32) {
        if let Some(child) = self.link.take().and_then(Link::leave_behind) {
            self.left.push(Left { child, id: identify(pid), uid: user_of(pid), device: None });
        }
    }

    /// Readers that are no longer stuck.
    fn reap(&mut self) {
        let mut released = Vec::new();
        self.left.retain_mut(|left| match left.child.try_wait() {
            Ok(None) => true,
            _ => {
                released.extend(left.id);
                false
            }
        });
        for id in released {
            self.silences.released(id);
        }
    }
}

/// Whether the name below a process's directory leads to a file that is not the kernel's.
fn is_targets_own(name: &str) -> bool {
    name == "exe" || name.starts_with("map_files/") || name.starts_with("root/")
}

/// The file system on which a file lies, or else the executable of its process, by the name alone: nothing is touched.
fn place_by_name(pid: i32, place: Place<'_>) -> Option<Mount> {
    let path = match place.filter(|(_, name)| is_targets_own(name)) {
        Some((_, name)) if name.starts_with("root/") => name.strip_prefix("root")?.as_bytes().to_vec(),
        Some((directory, name)) => file::read_link(directory, name).ok()?,
        None => file::read_link(directory_of(pid)?, "exe").ok()?,
    };
    mounts_of(pid)?.of_path(&path).cloned()
}

/// The mounts that a process sees.
pub(super) fn mounts_of(pid: i32) -> Option<Mounts> {
    Some(Mounts::parse(&std::fs::read(format!("/proc/{pid}/mountinfo")).ok()?))
}

/// The mounts that we see.
pub(super) fn own_mounts() -> Option<Mounts> {
    Some(Mounts::parse(&std::fs::read("/proc/self/mountinfo").ok()?))
}

fn describe(pid: i32, asked: Asked, place: Option<String>) -> Option<Silent> {
    let stat = file::read_record(&directory_of(pid)?, "stat", stat::parse).ok()?;
    let id = ProcessId { pid, start_ticks: stat.start_ticks };
    Some(Silent { id, name: printable(stat.name.as_bytes()), asked, place })
}

/// Which process has this pid now.
fn identify(pid: i32) -> Option<ProcessId> {
    let stat = file::read_record(&directory_of(pid)?, "stat", stat::parse).ok()?;
    Some(ProcessId { pid, start_ticks: stat.start_ticks })
}

fn user_of(pid: i32) -> Option<u32> {
    let status = file::read_record(&directory_of(pid)?, "status", status::parse).ok()?;
    Some(status.uid)
}

/// What the kernel says of the process that has this pid now.
fn directory_of(pid: i32) -> Option<OwnedFd> {
    file::open_place(rustix::fs::CWD, format!("/proc/{pid}")).ok()
}
