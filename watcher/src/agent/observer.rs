//! The eyes of the agent: processes discovered, samples taken, windows filled. It blocks while it looks.

use super::bounds;
use super::endings::{Ending, Endings, Judged};
use super::escalation;
use super::ledgers::{Subject, Watches};
use super::pulls::{self, Arrival};
use super::terms::{self, Admission, Claim};
use super::watched::Watched;
use crate::config::{Config, Selection};
use crate::discover::{Changes, Discovery};
use crate::judge;
use crate::judge::horizons::ladder::Ladder;
use crate::judge::horizons::suspicion;
use crate::judge::judgement::{Judgement, Standstill};
use crate::judge::terms::{Bounds, Kind, Thresholds, Verdict};
use crate::judge::weigh::{standstill, story};
use crate::sample::beat::{Sweep, SweepReport};
use crate::sample::sweep::Sweeper;
use crate::source::cgroup::Hierarchies;
use crate::source::host::{Host, HostUsage};
use crate::source::kernel::Kernel;
use crate::source::kernel::lifecycle::Lifecycle;
use crate::source::proc::ProcRoot;
use crate::source::{KernelTables, clock};
use crate::store::Window;
use crate::store::lives::{Born, Life, Lives};
use crate::store::recording::{HostFacts, HostUse};
use crate::vocabulary::health::{Check, Losses};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::Reading;
use anyhow::Context;
use std::collections::HashMap;
use std::time::Duration;

mod capturing;
mod own;

/// Everything that looks, and what it has seen.
#[derive(Debug)]
pub struct Observer {
    proc: ProcRoot,
    host: Host,
    host_usage: HostUsage,
    hierarchies: Hierarchies,
    kernel: Kernel,
    use_kernel: bool,
    watches: Watches,
    discovery: Discovery,
    sweeper: Sweeper,
    watched: HashMap<ProcessId, Watched>,
    lives: Lives,
    window_capacity: usize,
    reach: Option<Duration>,
    losses: Losses,
    missed: u64,
    endings: Endings,
    /// Nothing is compared with another look.
    looks_once: bool,
}

impl Observer {
    /// Loads the kernel half and opens `/proc`. Nothing is watched before [`Observer::discover`].
    ///
    /// # Errors
    /// Where there is no `/proc`: nothing can be watched then.
    pub fn start(selection: Selection, window_capacity: usize) -> anyhow::Result<Self> {
        Self::start_with(selection, window_capacity, Kernel::load())
    }

    fn start_with(selection: Selection, window_capacity: usize, kernel: Kernel) -> anyhow::Result<Self> {
        let proc = ProcRoot::host().context("open /proc")?;
        let host = Host::read(proc.path());
        let hierarchies = Hierarchies::read(proc.path()).unwrap_or_default();
        let sweeper =
            Sweeper::new(ProcRoot::host().context("open /proc")?, hierarchies.clone(), Default::default());
        Ok(Observer {
            host_usage: HostUsage::read(proc.path()),
            proc,
            host,
            hierarchies,
            watches: Watches::new(&kernel),
            kernel,
            use_kernel: true,
            discovery: Discovery::new(selection),
            sweeper,
            watched: HashMap::new(),
            lives: Lives::default(),
            window_capacity,
            reach: None,
            losses: Losses::default(),
            missed: 0,
            endings: Endings::default(),
            looks_once: false,
        })
    }

    /// The same with the settings of one invocation.
    ///
    /// # Errors
    /// As [`Observer::start`].
    pub fn with_config(config: &Config) -> anyhow::Result<Self> {
        Self::start(config.selection.clone(), config.window_capacity)
    }

    /// The same for one look: what only tells something when it is looked at twice is left out.
    pub(super) fn for_one_look(config: &Config) -> anyhow::Result<Self> {
        let selection = config.selection.clone();
        let observer = Self::start_with(selection, config.window_capacity, Kernel::load_tables())?;
        Ok(Observer { looks_once: true, ..observer })
    }

    /// Goes on as on a kernel that refuses the iterators.
    pub fn without_kernel_tables(&mut self) {
        self.use_kernel = false;
    }

    /// From the next process on, lets windows forget what is older than this.
    pub fn keep_for(&mut self, reach: Duration) {
        self.reach = Some(reach);
    }

    /// From now on judges these processes when they end, for [`Observer::take_endings`].
    pub(super) fn judge_endings(&mut self, judged: Judged) {
        self.endings.judge(judged);
    }

    /// The processes that have ended since this was called last, of those whose endings are judged.
    pub(super) fn take_endings(&mut self) -> Vec<Ending> {
        self.endings.take()
    }

    /// Looks at every process of the host, or at the only one that is asked for.
    pub fn discover(&mut self) -> Changes {
        // Not from the kernel's pass over tasks: a sandbox can hide processes from programs in the kernel. Whoever asks
        // about one process does not wait for others.
        let pids = match self.discovery.selection() {
            Selection::Pid(asked) => Ok(vec![*asked]),
            _ => self.proc.pids(),
        };
        let changes = match pids {
            Ok(pids) => self.discovery.scan(&self.proc, &self.host, &pids),
            // Nobody has left for that.
            Err(_) => Changes { failed: 1, ..Changes::default() },
        };
        self.adopt(&changes);
        changes
    }

    /// Looks at some processes, of which the kernel told something.
    pub fn look_at(&mut self, pids: &[i32]) -> Changes {
        let mut changes = Changes::default();
        self.discovery.begin_round();
        for &pid in pids {
            self.discovery.look_at(&self.proc, &self.host, pid, &mut changes);
        }
        self.adopt(&changes);
        changes
    }

    fn adopt(&mut self, changes: &Changes) {
        self.losses.unwatched_processes += changes.unwatched;
        self.losses.put_off_processes += changes.put_off;
        self.losses.failed_looks += changes.failed;
        for left in &changes.left {
            let judgement =
                self.endings.wants(|| !self.suspects(left.id).is_empty()).then(|| self.judge(left)).flatten();
            let watched = self.watched.remove(&left.id);
            if let Some(life) = watched.as_ref().and_then(|it| self.life(left, &it.window)) {
                self.lives.keep(left.lineage.id, life);
            }
            if let (Some(judgement), Some(Watched { window, ladder })) = (judgement, watched) {
                self.endings.keep(Ending { target: left.clone(), judgement, window, ladder });
            }
            self.watches.forget(left.id);
        }
        for other in &changes.made_way {
            self.watched.remove(&other.id);
            self.watches.forget(other.id);
        }
        for came in &changes.came {
            self.watched.insert(came.id, Watched::new(came, self.window_capacity, self.reach));
        }
    }

    /// Takes one sample of each process that is watched.
    pub fn beat(&mut self) -> SweepReport {
        self.host_usage = HostUsage::read(self.proc.path());
        let kernel: Option<&mut dyn KernelTables> = self.use_kernel.then_some(&mut self.kernel);
        let mut sweep = self.sweeper.sweep(self.discovery.targets(), kernel);
        let missed_beats = std::mem::take(&mut self.missed);
        sweep.samples.iter_mut().for_each(|sample| sample.missed_beats = missed_beats);
        self.take_in(sweep)
    }

    /// Takes one sample of each of these, between two beats.
    pub(super) fn beat_of(&mut self, ids: &[ProcessId]) {
        let targets = self.discovery.targets();
        let watched = targets.iter().map(|target| target.id).collect();
        let some: Vec<Target> = targets.iter().filter(|target| ids.contains(&target.id)).cloned().collect();
        let kernel: Option<&mut dyn KernelTables> = self.use_kernel.then_some(&mut self.kernel);
        let sweep = self.sweeper.sweep_some(&some, &watched, kernel);
        self.take_in(sweep);
    }

    /// What rises in a process at this moment, and when it reaches its limit.
    pub(super) fn heading(&self, target: &Target) -> Option<suspicion::Heading> {
        let bounds = bounds::of(target, &self.host_facts(), &self.host_use(), None);
        suspicion::heading(self.watched.get(&target.id).map(|it| &it.window)?, &bounds)
    }

    fn take_in(&mut self, sweep: Sweep) -> SweepReport {
        self.losses.failed_looks += sweep.report.failed;
        for (id, limits) in sweep.limits {
            self.discovery.set_limits(id, limits);
        }
        for sample in sweep.samples {
            // A process that has left keeps its window as it was when it was last seen whole.
            if sample.memory.reading == Reading::Gone {
                continue;
            }
            if let Some(watched) = self.watched.get_mut(&sample.process) {
                watched.take_in(sample);
            }
        }
        sweep.report
    }

    /// Begins to watch who opens, maps and starts what in a process for which `claim` speaks, for as long as that is
    /// worth what it costs; unless it is watched already, was watched lately, or too many are. Needs its runtime to be
    /// attached to.
    pub(super) fn watch(&mut self, id: ProcessId, claim: Claim) {
        // Nobody makes way for one that cannot be watched.
        if self.sweeper.runtimes().attached(id).is_none() {
            return;
        }
        match self.watches.admit(id, claim) {
            Admission::Refused => {}
            Admission::Room => self.begin_watch(id, false, claim),
            Admission::InsteadOf(other) => {
                self.capture(other);
                self.watches.end(other);
                self.begin_watch(id, false, claim);
            }
        }
    }

    /// What speaks for watching a process is this now.
    pub(super) fn note_claim(&mut self, id: ProcessId, claim: Claim) {
        self.watches.note_claim(id, claim);
    }

    /// Whether its ledgers are watched.
    pub(super) fn is_watched(&self, id: ProcessId) -> bool {
        self.watches.is_watched(id)
    }

    /// Processes whose ledgers are watched, and events per second in all of them.
    pub(super) fn kept_in_ledgers(&self) -> (usize, f64) {
        self.watches.kept()
    }

    fn begin_watch(&mut self, id: ProcessId, is_endless: bool, claim: Claim) {
        let Some(process) = self.proc.open(id.pid).into_seen() else { return };
        if process.id() != Reading::Seen(id) {
            return;
        }
        let Some(window) = self.watched.get_mut(&id).map(|it| &mut it.window) else { return };
        let Some(runtime) = self.sweeper.runtimes().attached(id) else { return };
        let captures = window.captures_mut();
        let subject = Subject { id, process: &process, runtime: &mut *runtime };
        let tables: Option<&mut dyn KernelTables> = self.use_kernel.then_some(&mut self.kernel);
        self.watches.begin(subject, tables, is_endless, claim, captures);
        let tables: Option<&mut dyn KernelTables> = self.use_kernel.then_some(&mut self.kernel);
        self.watches.scan(Subject { id, process: &process, runtime }, &self.proc, tables, None, captures);
    }

    /// The same for all processes without end, where they are few enough.
    pub fn watch_all_of_few(&mut self) {
        let ids: Vec<ProcessId> = self.targets().iter().map(|target| target.id).collect();
        if ids.len() <= terms::AT_ONCE {
            for id in ids.into_iter().filter(|id| !self.watches.is_watched(*id)).collect::<Vec<_>>() {
                self.begin_watch(id, true, Claim::Nothing);
            }
        }
    }

    /// The same for those that seem to grow, where they are many.
    pub fn watch_rising(&mut self) {
        let ids: Vec<ProcessId> = self.targets().iter().map(|target| target.id).collect();
        if ids.len() > terms::AT_ONCE {
            for id in ids.into_iter().filter(|id| !self.watches.is_watched(*id)).collect::<Vec<_>>() {
                if !self.suspects(id).is_empty() {
                    self.watch(id, Claim::Rises);
                }
            }
        }
    }

    /// Puts probes into the runtimes of those processes that are watched and seem to grow, and reads the ledgers of
    /// those whose time has come. Gives back the processes of which ledgers were read.
    pub fn tend_watches(&mut self) -> Vec<ProcessId> {
        for id in self.watches.watched() {
            let rising = self.suspects(id);
            if self.watches.wants_probes(id, &rising) {
                self.look_closer(id, &rising);
            }
        }
        let due = self.watches.due();
        for id in &due {
            self.capture(*id);
        }
        for id in self.watches.over() {
            self.watches.end(id);
        }
        due
    }

    fn look_closer(&mut self, id: ProcessId, rising: &[Kind]) {
        let Some(process) = self.proc.open(id.pid).into_seen() else { return };
        let Some(window) = self.watched.get_mut(&id).map(|it| &mut it.window) else { return };
        let Some(runtime) = self.sweeper.runtimes().attached(id) else { return };
        let subject = Subject { id, process: &process, runtime };
        self.watches.look_closer(subject, rising, window.captures_mut());
    }

    /// What seems to grow in a process.
    pub fn suspects(&self, id: ProcessId) -> Vec<Kind> {
        self.watched.get(&id).map(|it| &it.window).map(suspicion::rising).unwrap_or_default()
    }

    /// What seems to grow in it within minutes to hours.
    pub fn creeping(&self, id: ProcessId) -> Vec<Kind> {
        self.watched
            .get(&id)
            .map(|it| &it.window)
            .map(|window| suspicion::creeping(window.history()))
            .unwrap_or_default()
    }

    /// Judges one process by what was seen of it so far; `None` for one that is not watched.
    pub fn judge(&self, target: &Target) -> Option<Judgement> {
        let bounds = self.bounds(target);
        let Watched { window, ladder } = self.watched.get(&target.id)?;
        let mut judgement = judge::judge_with(window, ladder, &bounds, &Thresholds::default());
        if let Some(present) = self.life(target, window) {
            let cgroup = window.latest().and_then(|sample| sample.cgroup.seen()?.memory_limit_bytes);
            story::tell(&mut judgement, self.lives.of(target.lineage.id), &present, &bounds, cgroup);
        }
        if judgement.verdict != Verdict::Leak && self.is_frozen(target) {
            standstill::note(&mut judgement, Standstill::Frozen);
        }
        Some(judgement)
    }

    /// Whether this is a thread of the kernel: it has neither memory nor descriptors of its own.
    pub fn is_kernel_thread(&self, pid: i32) -> bool {
        self.proc.stat(pid).seen().is_some_and(|stat| stat.kernel_thread)
    }

    /// Whether the cgroup of a process is frozen, as far as that can be read.
    fn is_frozen(&self, target: &Target) -> bool {
        let paths = self.proc.open(target.id.pid).and_then(|process| process.cgroups());
        paths.seen().and_then(|paths| self.hierarchies.is_frozen(paths)).unwrap_or(false)
    }

    /// Seconds after boot at which a process started.
    fn began(&self, id: ProcessId) -> f64 {
        bounds::began(id, &self.host_facts()).unwrap_or_default()
    }

    fn life(&self, target: &Target, window: &Window) -> Option<Life> {
        let go = target.go.as_ref();
        let version = go.and_then(|go| go.module.as_ref()).map(|module| module.version.as_str());
        let revision = go.and_then(|go| go.revision.as_deref()).map(|it| it.get(..12).unwrap_or(it));
        let born = Born {
            build: target.lineage.build,
            build_name: version.filter(|it| *it != "(devel)").or(revision).map(str::to_owned),
            started: target.started,
            began: self.began(target.id),
        };
        Life::of(window, born)
    }

    fn bounds(&self, target: &Target) -> Bounds {
        let newest = self.watched.get(&target.id).map(|it| &it.window).and_then(Window::latest);
        let grows_by_tasks = || escalation::counts_tasks(&self.suspects(target.id));
        let bounds = bounds::of(target, &self.host_facts(), &self.host_use(), newest);
        // Counting the tasks of a user takes a pass over all processes.
        let user = target.uid.filter(|_| bounds.limits.user_processes.is_some() && grows_by_tasks());
        Bounds { user_tasks: user.and_then(|uid| self.proc.tasks_of_user(uid)), ..bounds }
    }

    /// What the horizons say of one process; `None` for one that is not watched.
    pub fn ladder(&self, id: ProcessId) -> Option<&Ladder> {
        self.watched.get(&id).map(|it| &it.ladder)
    }

    /// Whether every Go process that is watched has been attached to, or tried.
    pub fn is_settled(&mut self) -> bool {
        let (runtimes, targets) = (self.sweeper.runtimes(), self.discovery.targets());
        targets.iter().filter(|target| target.go.is_some()).all(|target| runtimes.tried(target.id))
    }

    /// The processes that are watched.
    pub fn targets(&self) -> &[Target] {
        self.discovery.targets()
    }

    /// What of the host verdicts depend on.
    pub fn host_facts(&self) -> HostFacts {
        bounds::facts(&self.host)
    }

    /// What of the host was in use at the newest beat.
    pub fn host_use(&self) -> HostUse {
        bounds::used(&self.host_usage)
    }

    /// What was seen of a process.
    pub fn window(&self, id: ProcessId) -> Option<&Window> {
        self.watched.get(&id).map(|it| &it.window)
    }

    /// Puts what an endpoint said into its process's window.
    pub fn note_pulls(&mut self, arrival: Arrival) {
        if let Some(window) = self.watched.get_mut(&arrival.process).map(|it| &mut it.window) {
            if let Some(reach) = self.reach {
                window.captures_mut().pulls.move_on(clock::now(), reach);
            }
            pulls::note(window.captures_mut(), arrival);
        }
    }

    /// What of a process has risen so far that its endpoint could say something to.
    pub fn rising_of(&self, id: ProcessId) -> Vec<Kind> {
        self.watched.get(&id).map(|it| &it.window).map(suspicion::risen).unwrap_or_default()
    }

    /// The same for each process of which something has.
    pub fn rising(&self) -> Vec<(Target, Vec<Kind>)> {
        let rising = self.targets().iter().map(|target| (target.clone(), self.rising_of(target.id)));
        rising.filter(|(_, kinds)| !kinds.is_empty()).collect()
    }

    /// Whether the process with this pid is there now, watched or not.
    pub fn exists(&self, pid: i32) -> bool {
        self.proc.open(pid).and_then(|process| process.id()).seen().is_some()
    }

    /// What this host and these privileges allow.
    pub fn checks(&self) -> Vec<Check> {
        super::checks::all(&self.proc, &self.host, &self.hierarchies, &self.kernel)
    }

    /// Begins to be told of starts and ends of processes; `None` where the kernel does not tell.
    pub fn take_lifecycle(&mut self) -> Option<Lifecycle> {
        self.kernel.take_lifecycle()
    }
}
