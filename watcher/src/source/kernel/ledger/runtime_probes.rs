//! Probes in the Go runtime of single processes: put in by position in the executable, and taken out again after their
//! time or their number of hits, whatever the rest of the agent does meanwhile.

use super::attach::{Attaching, Hook};
use super::map::KernelMap;
use super::watch::{Kind, Kinds};
use crate::golang::heap::spans::marks::SpanView;
use crate::golang::probes::span_probes::SpanProbes;
use crate::observed::ledger::Route;
use crate::source::clock;
use crate::source::kernel::probes::{Outcome, ProbeName};
use crate::source::proc::ProcRoot;
use crate::vocabulary::reading::Reading;
use aya::Ebpf;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeLink, UProbeScope};
use aya::programs::{ProgramError, UProbe};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};
use watcher_ebpf::{ProbeSettings, TallyKey};

/// How long probes may stay, and what they may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// They are taken out after this time.
    pub time: Duration,
    /// They are taken out after this many hits.
    pub hits: u64,
    /// Of spans, so many a second are looked at closely; of more, one in so many that it is about this number.
    pub samples_per_second: u64,
}

impl Bounds {
    /// A hit costs about a microsecond where the kernel emulates the instruction; this is a few seconds of CPU time in
    /// a minute at the most.
    pub const DEFAULT: Bounds =
        Bounds { time: Duration::from_secs(60), hits: 3_000_000, samples_per_second: 20_000 };
}

/// What became of the probes of one ledger in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// When they were put in, in time since boot.
    pub began: Duration,
    /// When they are, or would have been, taken out.
    pub until: Duration,
    /// How often they were hit.
    pub hits: u64,
    /// When they were taken out, and why; `None` while they are in.
    pub ended: Option<(Duration, End)>,
    /// One in so many spans is looked at closely; 1 for all.
    pub one_in: u32,
}

/// Why probes were taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Their time was over.
    Time,
    /// They were hit too often.
    Hits,
}

/// Where the spans of one process are seen, and how they are read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanWatch {
    /// Where.
    pub probes: SpanProbes,
    /// How.
    pub view: SpanView,
    /// One in so many spans is looked at from the beginning, rounded up to a power of two.
    pub one_in: u32,
}

/// Has the kernel check the programs of a ledger; they are attached process by process.
pub(super) fn load(attaching: &mut Attaching<'_>, kind: Kind) -> Result<Route, Outcome> {
    let programs: &[(&str, Hook)] = match kind {
        Kind::Births => &[(BIRTH, Hook::Instructions)],
        _ => &[
            (SPAN_FILLED, Hook::Instructions),
            (SPAN_MADE, Hook::Instructions),
            (SPAN_RETURNED, Hook::Instructions),
        ],
    };
    attaching.all(ProbeName::Uprobe, programs)?;
    Ok(Route::Runtime)
}

pub(super) const BIRTH: &str = "goroutine_born";
pub(super) const SPAN_FILLED: &str = "span_filled";
pub(super) const SPAN_MADE: &str = "span_made";
pub(super) const SPAN_RETURNED: &str = "span_returned";
pub(super) const NO_SETTINGS: ProbeSettings =
    ProbeSettings { hit_limit: 0, sample_mask: 0, counts: 0, counts_are_wide: 0, allocation: 0 };

/// How often the guard looks.
const BEAT: Duration = Duration::from_millis(200);
/// Thinner samples say nothing.
pub(super) const MAX_ONE_IN: u32 = 1 << 12;

/// All probes.
#[derive(Debug)]
pub(super) struct RuntimeProbes {
    settings: Arc<KernelMap<TallyKey, ProbeSettings>>,
    hits: Arc<KernelMap<TallyKey, u64>>,
    /// By process, as the programs know it, and ledger.
    probed: HashMap<(i32, Kind), Probed>,
}

/// Where a program goes.
pub(super) struct Place {
    pub(super) program: &'static str,
    /// Position in the executable's file.
    pub(super) file_offset: u64,
}

/// The executable of a process, held. The kernel reads the code that a probe stands in for: in a file of which that may
/// never come, no probe is put.
fn executable_that_answers(pid: i32) -> io::Result<OwnedFd> {
    match ProcRoot::host()?.open(pid).and_then(|process| process.executable_that_answers()) {
        Reading::Seen(executable) => Ok(executable),
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

impl RuntimeProbes {
    pub(super) fn of(ebpf: &Ebpf) -> Option<Self> {
        Some(RuntimeProbes {
            settings: Arc::new(KernelMap::of(ebpf, "PROBE_SETTINGS")?),
            hits: Arc::new(KernelMap::of(ebpf, "PROBE_HITS")?),
            probed: HashMap::new(),
        })
    }

    /// Puts in all of these probes, or none, into the process that we know by the first pid and the programs by the
    /// second. Those that are in for the same ledger are taken out first.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        (pid, kernel_pid, kind): (i32, i32, Kind),
        places: &[Place],
        settings: ProbeSettings,
        bounds: Bounds,
    ) -> Result<(), ProgramError> {
        self.probed.remove(&(kernel_pid, kind));
        let key = TallyKey { tgid: kernel_pid.cast_unsigned(), ledger: kind.bit() };
        let maps = |error: io::Error| ProgramError::IOError(error);
        let settings = ProbeSettings { hit_limit: bounds.hits, ..settings };
        self.hits.insert(&key, &0).map_err(maps)?;
        self.settings.insert(&key, &settings).map_err(maps)?;
        let scope = u32::try_from(pid).ok().and_then(NonZeroU32::new);
        let scope = UProbeScope::OneProcess(scope.ok_or(ProgramError::UnexpectedProgramType)?);
        let executable = executable_that_answers(pid).map_err(maps)?;
        let path = format!("/proc/self/fd/{}", executable.as_raw_fd());
        let mut links = Vec::new();
        for place in places {
            let program: &mut UProbe =
                ebpf.program_mut(place.program).ok_or(ProgramError::NotLoaded)?.try_into()?;
            let location = UProbeAttachLocation::AbsoluteOffset(place.file_offset);
            let link = program.attach(location, &path, scope)?;
            links.push(program.take_link(link)?);
        }
        let probed = Probed::guard(links, key, settings, bounds, &self.settings, &self.hits);
        self.probed.insert((kernel_pid, kind), probed.map_err(maps)?);
        Ok(())
    }

    /// What became of probes; `None` where there are none.
    pub(super) fn probing(&self, pid: i32, kind: Kind) -> Option<Probing> {
        self.probed.get(&(pid, kind)).map(|probed| {
            let probing = probed.shared.lock().probing;
            Probing { hits: probed.hits().unwrap_or(probing.hits), ..probing }
        })
    }

    /// Takes out the probes of all ledgers but these.
    pub(super) fn keep_only(&mut self, pid: i32, kinds: Kinds) {
        self.probed.retain(|(probed, kind), _| *probed != pid || kinds.contains(*kind));
    }

    /// Takes out the probes of a ledger.
    pub(super) fn detach(&mut self, pid: i32, kind: Kind) -> io::Result<()> {
        self.probed.remove(&(pid, kind));
        let key = TallyKey { tgid: pid.cast_unsigned(), ledger: kind.bit() };
        self.settings.remove(&key)?;
        self.hits.remove(&key)
    }
}

/// The probes of one ledger in one process, with the thread that takes them out in time. Dropping it takes them out.
struct Probed {
    shared: Arc<Shared>,
    hits: Arc<KernelMap<TallyKey, u64>>,
    key: TallyKey,
    guard: Option<JoinHandle<()>>,
}

struct Shared {
    guarded: Mutex<Guarded>,
    wake: Condvar,
}

struct Guarded {
    /// Empty once the probes are taken out.
    links: Vec<UProbeLink>,
    probing: Probing,
    is_dropped: bool,
}

impl Probed {
    fn guard(
        links: Vec<UProbeLink>,
        key: TallyKey,
        settings: ProbeSettings,
        bounds: Bounds,
        map: &Arc<KernelMap<TallyKey, ProbeSettings>>,
        hits: &Arc<KernelMap<TallyKey, u64>>,
    ) -> io::Result<Self> {
        let began = clock::now().since_boot;
        let probing = Probing {
            began,
            until: began.saturating_add(bounds.time),
            hits: 0,
            ended: None,
            one_in: settings.sample_mask.saturating_add(1),
        };
        let guarded = Mutex::new(Guarded { links, probing, is_dropped: false });
        let shared = Arc::new(Shared { guarded, wake: Condvar::new() });
        let guard = Guard {
            shared: Arc::clone(&shared),
            map: Arc::clone(map),
            hits: Arc::clone(hits),
            key,
            settings,
            bounds,
            steady: (began, 0),
        };
        let guard = thread::Builder::new().name("probe-guard".to_owned()).spawn(move || guard.run())?;
        Ok(Probed { shared, hits: Arc::clone(hits), key, guard: Some(guard) })
    }

    fn hits(&self) -> Option<u64> {
        self.hits.get(&self.key).ok().flatten()
    }
}

impl Drop for Probed {
    fn drop(&mut self) {
        let links = {
            let mut guarded = self.shared.lock();
            guarded.is_dropped = true;
            std::mem::take(&mut guarded.links)
        };
        drop(links);
        self.shared.wake.notify_all();
        if let Some(guard) = self.guard.take() {
            // It ends at once, and cannot have panicked while it holds what it shares.
            let _ = guard.join();
        }
    }
}

impl fmt::Debug for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Probed").field("probing", &self.shared.lock().probing).finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Guarded> {
        self.guarded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread.
struct Guard {
    shared: Arc<Shared>,
    map: Arc<KernelMap<TallyKey, ProbeSettings>>,
    hits: Arc<KernelMap<TallyKey, u64>>,
    key: TallyKey,
    settings: ProbeSettings,
    bounds: Bounds,
    /// When the rate began to be measured, and the hits by then.
    steady: (Duration, u64),
}

impl Guard {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut guarded = shared.lock();
        while !guarded.is_dropped {
            let links = self.look(&mut guarded);
            if !links.is_empty() {
                // Taking probes out takes the kernel a while, in which others may want to read.
                drop(guarded);
                drop(links);
                return;
            }
            let waited = shared.wake.wait_timeout(guarded, BEAT);
            guarded = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The probes, where they have to be taken out; looks less closely where hits come faster than was thought.
    fn look(&mut self, guarded: &mut Guarded) -> Vec<UProbeLink> {
        let now = clock::now().since_boot;
        let probing = &mut guarded.probing;
        let before = probing.hits;
        probing.hits = self.hits.get(&self.key).ok().flatten().unwrap_or(before);
        let end = match () {
            () if probing.hits >= self.bounds.hits => End::Hits,
            () if now >= probing.until => End::Time,
            () => {
                let (since, by_then) = self.steady;
                let Some(time) = now.checked_sub(since).filter(|time| *time >= STEADY) else {
                    return Vec::new();
                };
                self.steady = (now, probing.hits);
                let hits = u128::from(probing.hits.saturating_sub(by_then));
                let a_second = hits * Duration::from_secs(1).as_nanos() / time.as_nanos().max(1);
                let a_second = u64::try_from(a_second).unwrap_or(u64::MAX);
                let mask = thinner(self.settings.sample_mask, a_second, self.bounds.samples_per_second);
                if let Some(mask) = mask {
                    let settings = ProbeSettings { sample_mask: mask, ..self.settings };
                    if self.map.insert(&self.key, &settings).is_ok() {
                        self.settings = settings;
                        probing.one_in = mask.saturating_add(1);
                    }
                }
                return Vec::new();
            }
        };
        probing.ended = Some((now, end));
        std::mem::take(&mut guarded.links)
    }
}

/// Over how long hits are counted before that says how fast they come: a burst is none.
const STEADY: Duration = Duration::from_secs(1);

/// The mask that leaves about so many samples a second; `None` where `mask` does.
fn thinner(mask: u32, hits_per_second: u64, samples_per_second: u64) -> Option<u32> {
    let wanted = hits_per_second.div_ceil(samples_per_second.max(1)).next_power_of_two();
    let one_in = u32::try_from(wanted).unwrap_or(MAX_ONE_IN).min(MAX_ONE_IN);
    (one_in > mask.saturating_add(1)).then(|| one_in - 1)
}

#[cfg(test)]
mod tests {
    use super::thinner;

    #[test]
    fn the_faster_the_thinner_and_never_thicker_again() {
        for (mask, hits, samples, expected) in [
            (0, 0, 8000, None),
            (0, 8000, 8000, None),
            (0, 8001, 8000, Some(1)),
            (0, 64_000, 8000, Some(7)),
            (7, 64_000, 8000, None),
            (7, 1000, 8000, None),
            (7, 64_001, 8000, Some(15)),
            (0, u64::MAX / 2, 1, Some(4095)),
            (4095, u64::MAX / 2, 0, None),
        ] {
            assert_eq!(thinner(mask, hits, samples), expected, "{hits} hits with mask {mask}");
        }
    }
}
