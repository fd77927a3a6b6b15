//! Makes windows of a recording again, entry by entry, as they were when it was written.

use super::{CaptureKind, Captured, Entry, Header, HostUse, check};
use crate::observed::Sample;
use crate::observed::ages::Ages;
use crate::observed::data_files::DataFiles;
use crate::observed::goroutines::GoroutineCapture;
use crate::observed::heap::HeapCapture;
use crate::observed::ledger::{Descriptors, Ledger, Mappings, Spans, Tasks};
use crate::observed::pulls::PulledProfile;
use crate::store::captures::Run;
use crate::store::{Captures, History, Window};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::{Moment, Reading, Stamped};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// No more processes are played at once; the agent watches no more either.
const MAX_PROCESSES: usize = 4096;
/// Those that have left and are still spoken of.
const MAX_LEFT: usize = 4096;
/// What is kept at once may have so many bytes in the file.
const MAX_HELD_BYTES: usize = 2 << 30;
/// Captures that are kept of each kind, to choose from.
const MAX_CAPTURES: usize = 32;
/// A line about anything but captures is no longer than this.
const MAX_PLAIN_BYTES: usize = 1 << 20;

/// Limits that a process had not, to judge it as though it had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Override {
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// RLIMIT_NPROC.
    pub user_processes: Option<u64>,
    /// `vm.max_map_count`.
    pub mappings: Option<u64>,
    /// `memory.max` of the cgroup.
    pub cgroup_memory_bytes: Option<u64>,
    /// `pids.max` of the cgroup.
    pub cgroup_pids: Option<u64>,
    /// Memory of the host; what is in use of it is that of the recording.
    pub host_memory_bytes: Option<u64>,
    /// Tasks that the host can hold.
    pub host_tasks: Option<u64>,
}

/// The processes of a recording as they were at one moment.
#[derive(Debug)]
pub struct Stage {
    header: Header,
    limits: Override,
    window_capacity: usize,
    processes: BTreeMap<ProcessId, Played>,
    left: Vec<Left>,
    now: Moment,
    host_use: HostUse,
    held_bytes: usize,
}

/// One process of a recording.
#[derive(Debug)]
pub struct Played {
    target: Target,
    window: Window,
    /// Captures that were taken regularly, to choose from; `None` where the recorder chose.
    shelves: Option<Box<Shelves>>,
    sample_bytes: usize,
    capture_bytes: usize,
}

/// A process that was there no longer.
#[derive(Clone, Debug)]
pub struct Left {
    /// Who it was.
    pub target: Target,
    /// When that was noticed.
    pub at: Moment,
    /// It went on with another program.
    pub became_another: bool,
}

impl Stage {
    /// An empty stage. `window_capacity` is that of the windows that are judged.
    pub fn new(header: Header, limits: Override, window_capacity: usize) -> Stage {
        let now = header.began;
        let processes = BTreeMap::new();
        Stage {
            header,
            limits,
            window_capacity,
            processes,
            left: Vec::new(),
            now,
            host_use: HostUse::default(),
            held_bytes: 0,
        }
    }

    /// The header of the recording.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The processes that are there, by pid.
    pub fn processes(&self) -> impl Iterator<Item = &Played> {
        self.processes.values()
    }

    /// Those that are there no longer.
    pub fn left(&self) -> &[Left] {
        &self.left
    }

    /// When the last beat was over.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// What of the host was in use then.
    pub fn host_use(&self) -> HostUse {
        let mut host = self.host_use;
        // What others use stays what it was, however much there is.
        if let (Some(other), Some(own)) = (self.limits.host_memory_bytes, self.header.host.memory_bytes) {
            let left = |available| other.saturating_sub(own.saturating_sub(available));
            host.available_bytes = host.available_bytes.map(left);
        }
        host
    }

    /// Seconds from the begin of the recording to the last beat.
    pub fn seconds(&self) -> f64 {
        self.now.seconds_since(&self.header.began)
    }

    /// Takes in an entry that has so many bytes in the file.
    ///
    /// # Errors
    /// What is wrong with it, in part of a sentence.
    pub fn apply(&mut self, entry: Entry<'static>, bytes: usize) -> Result<(), &'static str> {
        if bytes > MAX_PLAIN_BYTES && !matches!(entry, Entry::Capture { .. }) {
            return Err("it is longer than any line of its kind");
        }
        match entry {
            Entry::Process(target) => self.enter(target.into_owned()),
            Entry::Left { process, at, became_another } => {
                let played = self.processes.remove(&process).ok_or(UNKNOWN)?;
                self.held_bytes -= played.held_bytes(self.window_capacity);
                if self.left.len() < MAX_LEFT {
                    self.left.push(Left { target: played.target, at, became_another });
                }
                Ok(())
            }
            Entry::Sample(sample) => self.sample(sample.into_owned(), bytes),
            Entry::Capture { process, what } => {
                check::captured(&what)?;
                self.change(process, |played| {
                    played.capture_bytes += bytes;
                    played.put(what, bytes);
                })
            }
            Entry::Anew { process, captures } => {
                self.change(process, |played| captures.iter().for_each(|kind| played.begin_anew(*kind)))
            }
            Entry::About { process, without_ledger, no_runtime, doubts, endpoint, anatomy } => {
                check::about(&without_ledger, endpoint.as_ref(), anatomy.as_ref())?;
                self.change(process, |played| {
                    let captures = played.window.captures_mut();
                    captures.without_ledger = without_ledger;
                    captures.no_runtime = no_runtime;
                    captures.doubts = doubts;
                    captures.pulls.used = endpoint;
                    captures.anatomy = anatomy;
                })
            }
            Entry::Beat { at, host } => {
                if at < self.now {
                    return Err("a beat that was over before the one before it");
                }
                self.now = at;
                self.host_use = host;
                Ok(())
            }
            Entry::End { .. } => Ok(()),
        }
    }

    fn enter(&mut self, mut target: Target) -> Result<(), &'static str> {
        let (own, other) = (&mut target.limits, &self.limits);
        own.open_files = other.open_files.or(own.open_files);
        own.user_processes = other.user_processes.or(own.user_processes);
        own.mappings = other.mappings.or(own.mappings);
        if let Some(played) = self.processes.get_mut(&target.id) {
            played.target = target;
            return Ok(());
        }
        if self.processes.len() >= MAX_PROCESSES {
            return Err("more processes at once than are ever watched");
        }
        let mut window = Window::new(target.id, self.window_capacity);
        let module = target.go.as_ref().and_then(|go| go.module_path());
        window.captures_mut().main_module = module.map(Into::into);
        let shelves = self.header.captures_every.is_some().then(Box::default);
        let played = Played { target, window, shelves, sample_bytes: 0, capture_bytes: 0 };
        self.processes.insert(played.target.id, played);
        Ok(())
    }

    fn sample(&mut self, mut sample: Sample, bytes: usize) -> Result<(), &'static str> {
        check::sample(&sample)?;
        let limits = self.limits;
        if let Reading::Seen(cgroup) = &mut sample.cgroup.reading {
            cgroup.memory_limit_bytes = limits.cgroup_memory_bytes.or(cgroup.memory_limit_bytes);
            cgroup.pids_limit = limits.cgroup_pids.or(cgroup.pids_limit);
        }
        let mut is_newer = false;
        self.change(sample.process, |played| {
            if let Some(before) = played.window.latest() {
                share(&before.thread_groups, &mut sample.thread_groups);
                share(&before.descriptor_types, &mut sample.descriptor_types);
                share(&before.connections, &mut sample.connections);
            }
            played.sample_bytes = played.sample_bytes.max(bytes);
            is_newer = played.window.push(sample);
        })?;
        if is_newer { Ok(()) } else { Err("a sample that is not newer than the one before it") }
    }

    fn change(&mut self, process: ProcessId, change: impl FnOnce(&mut Played)) -> Result<(), &'static str> {
        let played = self.processes.get_mut(&process).ok_or(UNKNOWN)?;
        let before = played.held_bytes(self.window_capacity);
        change(played);
        self.held_bytes = self.held_bytes - before + played.held_bytes(self.window_capacity);
        if self.held_bytes > MAX_HELD_BYTES {
            return Err("what was read up to here is more than can be kept at once");
        }
        Ok(())
    }
}

const UNKNOWN: &str = "it speaks of a process that no line before it has introduced";

/// Details that were not read anew are kept once.
fn share<T: PartialEq>(before: &Arc<Stamped<T>>, own: &mut Arc<Stamped<T>>) {
    if before == own {
        *own = Arc::clone(before);
    }
}

impl Played {
    /// Who it is, with the limits that it is judged by.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Its window, with the captures that a verdict at this moment would have: where they were taken regularly, the
    /// first, the one that is nearest to the middle, and the newest.
    pub fn window(&self) -> Cow<'_, Window> {
        let Some(shelves) = &self.shelves else { return Cow::Borrowed(&self.window) };
        let mut window = self.window.clone();
        shelves.choose(window.captures_mut());
        Cow::Owned(window)
    }

    /// The totals of all its samples so far.
    pub fn history(&self) -> &History {
        self.window.history()
    }

    fn held_bytes(&self, window_capacity: usize) -> usize {
        self.capture_bytes + self.sample_bytes * self.window.len().min(window_capacity)
    }

    fn put(&mut self, what: Captured<'static>, bytes: usize) {
        let captures = self.window.captures_mut();
        if let Some(shelves) = &mut self.shelves {
            self.capture_bytes -= shelves.put(what, bytes, captures);
            return;
        }
        match what {
            Captured::Goroutines(it) => captures.goroutines.push(it.into_owned()),
            Captured::Heap(it) => captures.heap.push(it.into_owned()),
            Captured::Ages(it) => captures.ages.push(it.into_owned()),
            Captured::DataFiles(it) => captures.data_files.push(it.into_owned()),
            Captured::Descriptors(it) => captures.descriptors.push(it.into_owned()),
            Captured::Mappings(it) => captures.mappings.push(it.into_owned()),
            Captured::Threads(it) => captures.threads.push(it.into_owned()),
            Captured::Children(it) => captures.children.push(it.into_owned()),
            Captured::Spans(it) => captures.spans.push(it.into_owned()),
            Captured::PulledGoroutines(it) => captures.pulls.goroutines.push(it.into_owned()),
            Captured::PulledHeap(it) => captures.pulls.heap.push(it.into_owned()),
            Captured::PulledLeaked(it) => captures.pulls.leaked = Some(it.into_owned()),
        }
    }

    fn begin_anew(&mut self, kind: CaptureKind) {
        let captures = self.window.captures_mut();
        if let Some(shelves) = &mut self.shelves {
            self.capture_bytes -= shelves.clear(kind);
        }
        match kind {
            CaptureKind::Goroutines => captures.goroutines = Run::default(),
            CaptureKind::Heap => captures.heap = Run::default(),
            CaptureKind::Ages => captures.ages = Run::default(),
            CaptureKind::DataFiles => captures.data_files = Run::default(),
            CaptureKind::Descriptors => captures.descriptors = Run::default(),
            CaptureKind::Mappings => captures.mappings = Run::default(),
            CaptureKind::Threads => captures.threads = Run::default(),
            CaptureKind::Children => captures.children = Run::default(),
            CaptureKind::Spans => captures.spans = Run::default(),
            CaptureKind::PulledGoroutines => captures.pulls.goroutines = Run::default(),
            CaptureKind::PulledHeap => captures.pulls.heap = Run::default(),
            CaptureKind::PulledLeaked => captures.pulls.leaked = None,
        }
    }
}

/// Captures of one process that were taken regularly.
#[derive(Debug, Default)]
struct Shelves {
    goroutines: Shelf<GoroutineCapture>,
    heap: Shelf<HeapCapture>,
    ages: Shelf<Ages>,
    data_files: Shelf<DataFiles>,
    descriptors: Shelf<Ledger<Descriptors>>,
    mappings: Shelf<Ledger<Mappings>>,
    threads: Shelf<Ledger<Tasks>>,
    children: Shelf<Ledger<Tasks>>,
    spans: Shelf<Ledger<Spans>>,
    pulled_goroutines: Shelf<PulledProfile>,
    pulled_heap: Shelf<PulledProfile>,
}

impl Shelves {
    /// Adds a capture, and gives back how many bytes made room for it.
    fn put(&mut self, what: Captured<'static>, bytes: usize, captures: &mut Captures) -> usize {
        match what {
            Captured::Goroutines(it) => self.goroutines.put(it.at, it.into_owned(), bytes),
            Captured::Heap(it) => self.heap.put(it.at, it.into_owned(), bytes),
            Captured::Ages(it) => self.ages.put(it.at, it.into_owned(), bytes),
            Captured::DataFiles(it) => self.data_files.put(it.at, it.into_owned(), bytes),
            Captured::Descriptors(it) => self.descriptors.put(it.at, it.into_owned(), bytes),
            Captured::Mappings(it) => self.mappings.put(it.at, it.into_owned(), bytes),
            Captured::Threads(it) => self.threads.put(it.at, it.into_owned(), bytes),
            Captured::Children(it) => self.children.put(it.at, it.into_owned(), bytes),
            Captured::Spans(it) => self.spans.put(it.at, it.into_owned(), bytes),
            Captured::PulledGoroutines(it) => self.pulled_goroutines.put(it.at, it.into_owned(), bytes),
            Captured::PulledHeap(it) => self.pulled_heap.put(it.at, it.into_owned(), bytes),
            Captured::PulledLeaked(it) => {
                captures.pulls.leaked = Some(it.into_owned());
                0
            }
        }
    }

    fn clear(&mut self, kind: CaptureKind) -> usize {
        match kind {
            CaptureKind::Goroutines => self.goroutines.clear(),
            CaptureKind::Heap => self.heap.clear(),
            CaptureKind::Ages => self.ages.clear(),
            CaptureKind::DataFiles => self.data_files.clear(),
            CaptureKind::Descriptors => self.descriptors.clear(),
            CaptureKind::Mappings => self.mappings.clear(),
            CaptureKind::Threads => self.threads.clear(),
            CaptureKind::Children => self.children.clear(),
            CaptureKind::Spans => self.spans.clear(),
            CaptureKind::PulledGoroutines => self.pulled_goroutines.clear(),
            CaptureKind::PulledHeap => self.pulled_heap.clear(),
            CaptureKind::PulledLeaked => 0,
        }
    }

    fn choose(&self, captures: &mut Captures) {
        captures.goroutines = self.goroutines.chosen();
        captures.heap = self.heap.chosen();
        captures.ages = self.ages.chosen();
        captures.data_files = self.data_files.chosen();
        captures.descriptors = self.descriptors.chosen();
        captures.mappings = self.mappings.chosen();
        captures.threads = self.threads.chosen();
        captures.children = self.children.chosen();
        captures.spans = self.spans.chosen();
        captures.pulls.goroutines = self.pulled_goroutines.chosen();
        captures.pulls.heap = self.pulled_heap.chosen();
    }
}

/// Captures of one kind, oldest first, with their moments and sizes.
#[derive(Debug)]
struct Shelf<T> {
    kept: Vec<(Moment, usize, T)>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf { kept: Vec::new() }
    }
}

impl<T: Clone> Shelf<T> {
    fn put(&mut self, at: Moment, capture: T, bytes: usize) -> usize {
        self.kept.push((at, bytes, capture));
        let before: usize = self.bytes();
        if self.kept.len() > MAX_CAPTURES {
            // Every second of the older half goes, and never the first: as with samples.
            let half = self.kept.len() / 2;
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index > half || index % 2 == 1
            });
        }
        before - self.bytes()
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|(_, bytes, _)| bytes).sum()
    }

    fn clear(&mut self) -> usize {
        let bytes = self.bytes();
        self.kept.clear();
        bytes
    }

    fn chosen(&self) -> Run<T> {
        let mut run = Run::default();
        let (Some((first, ..)), Some((last, ..))) = (self.kept.first(), self.kept.last()) else { return run };
        let middle = first.since_boot + last.since_boot.saturating_sub(first.since_boot) / 2;
        let inner = self.kept.get(1..self.kept.len() - 1).unwrap_or_default();
        let nearest = inner.iter().min_by_key(|(at, ..)| at.since_boot.abs_diff(middle));
        let ends = [self.kept.first(), nearest, self.kept.last().filter(|_| self.kept.len() > 1)];
        for (_, _, capture) in ends.into_iter().flatten() {
            run.push(capture.clone());
        }
        run
    }
}
