//! `watcher run`: the loop that goes on until it is told to stop.

use super::ledgers;
use super::observer::Observer;
use super::pulls::{Arrival, Puller, Round, Settings};
use super::telling::{Telling, Told};
use super::{blocking, interruption};
use crate::config::Config;
use crate::discover::Changes;
use crate::explain::{self, Diagnosis, Kind, Verdict};
use crate::health::{Losses, OwnCost};
use crate::news::{Health, News, What};
use crate::process::{ProcessId, Target};
use crate::sample::sweep::SweepReport;
use crate::source::clock;
use crate::source::kernel::lifecycle::{Lifecycle, LifecycleEvent};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior};

/// Everything that can happen.
enum Event {
    /// It is time for the next sample of every process.
    BeatDue,
    /// The kernel tells of a process.
    FromKernel(LifecycleEvent),
    /// Processes of which the kernel told have had time to settle.
    LookDue,
    /// A process's endpoint has answered, or has not.
    Pulled(Arrival),
    /// Somebody asked us to stop, or the time is over.
    Stop,
}

/// A program that has just been started is looked at after this time: scripts execute many short-lived ones.
const SETTLING: Duration = Duration::from_millis(300);
/// A process is judged again after so many beats. Judging costs more than sampling does.
const BEATS_BETWEEN_JUDGEMENTS: u64 = 3;
/// All goroutines of a process are looked at only where their number, or the live heap, seems to grow, and not again
/// within this time.
const BETWEEN_CAPTURES: Duration = Duration::from_secs(60);
/// ... and of no more processes in one beat.
const CAPTURES_PER_BEAT: usize = 4;
/// A window holds what was seen lately; what was before that is the history's.
const RECENT: Duration = Duration::from_secs(3_600);
/// How often the agent tells how it is doing.
const HEALTH_INTERVAL: Duration = Duration::from_secs(60);

/// Watches the selected processes and tells `hear` what happens, until interrupted, until the configured time is
/// over, or until `hear` says that nobody listens any more (`false`).
///
/// # Errors
/// Where `/proc` cannot be read.
pub async fn run(config: &Config, mut hear: impl FnMut(News) -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut ears = Ears::new(config);
    let (observer, (found, lifecycle)) = blocking(Observer::with_config(config)?, |observer| {
        let lifecycle = observer.take_lifecycle();
        observer.keep_for(RECENT);
        (observer.discover(), lifecycle)
    })
    .await?;
    ears.lifecycle = lifecycle;
    tell_what_was_not_understood(&found);
    let mut tell = |what| hear(News { at: clock::now().wall, what });
    if !tell(What::Began { targets: observer.targets().to_vec(), denied: found.denied }) {
        return Ok(());
    }
    let mut agent = Agent {
        round: Round::new(Puller::new(Settings::load(&config.pprof)?)),
        observer: Some(observer),
        verdicts: HashMap::new(),
        beats: 0,
        sweep: SweepReport::default(),
        late: 0,
    };
    let mut health_told = began;
    loop {
        let event = tokio::select! {
            biased;
            event = ears.next() => event,
            Some(arrival) = agent.round.next() => Event::Pulled(arrival),
        };
        let news = match event {
            Event::Stop => return Ok(()),
            Event::FromKernel(event) => {
                ears.note(event);
                continue;
            }
            Event::Pulled(arrival) => {
                agent.lend(move |observer| observer.note_pulls(arrival)).await?;
                continue;
            }
            Event::LookDue => {
                let pids: Vec<i32> = std::mem::take(&mut ears.unsettled).into_iter().collect();
                agent.look_at(pids).await?
            }
            Event::BeatDue => {
                let due = Instant::now();
                let news = agent.beat().await?;
                agent.late += u64::from(due.elapsed() > config.interval);
                news
            }
        };
        if !news.into_iter().all(&mut tell) {
            return Ok(());
        }
        if health_told.elapsed() >= HEALTH_INTERVAL {
            health_told = Instant::now();
            if !tell(What::Health(agent.health(began.elapsed()))) {
                return Ok(());
            }
        }
    }
}

/// What the loop listens to.
struct Ears {
    beats: Interval,
    lifecycle: Option<Lifecycle>,
    unsettled: BTreeSet<i32>,
    look_at: Option<Instant>,
    stop: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Ears {
    fn new(config: &Config) -> Self {
        let mut beats = tokio::time::interval(config.interval);
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let duration = config.duration;
        let interrupted = interruption();
        let stop = Box::pin(async move {
            let over = async {
                match duration {
                    Some(duration) => tokio::time::sleep(duration).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = interrupted => {}
                () = over => {}
            }
        });
        Ears { beats, lifecycle: None, unsettled: BTreeSet::new(), look_at: None, stop }
    }

    async fn next(&mut self) -> Event {
        let from_kernel = async {
            match &mut self.lifecycle {
                Some(lifecycle) => lifecycle.next().await,
                None => std::future::pending().await,
            }
        };
        let look = async {
            match self.look_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        // In this order: a storm of processes must not keep the loop from stopping or sampling.
        let event = tokio::select! {
            biased;
            () = &mut self.stop => Event::Stop,
            _ = self.beats.tick() => Event::BeatDue,
            () = look => Event::LookDue,
            event = from_kernel => Event::FromKernel(event),
        };
        if matches!(event, Event::LookDue) {
            self.look_at = None;
        }
        event
    }

    fn note(&mut self, event: LifecycleEvent) {
        let (LifecycleEvent::Exec { process, .. } | LifecycleEvent::Exit { process, .. }) = event;
        self.unsettled.insert(process.pid);
        self.look_at.get_or_insert_with(|| Instant::now() + SETTLING);
    }
}

/// What the loop keeps between events.
struct Agent {
    round: Round,
    /// `None` only while it is lent to the thread that looks.
    observer: Option<Observer>,
    verdicts: HashMap<ProcessId, Telling>,
    beats: u64,
    sweep: SweepReport,
    late: u64,
}

impl Agent {
    async fn lend<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Observer) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let observer = self.observer.take().expect("the observer is back before the next event is taken");
        let (observer, result) = blocking(observer, work).await?;
        self.observer = Some(observer);
        Ok(result)
    }

    async fn look_at(&mut self, pids: Vec<i32>) -> anyhow::Result<Vec<What>> {
        let changes = self.lend(move |observer| observer.look_at(&pids)).await?;
        Ok(self.news_of(&changes))
    }

    async fn beat(&mut self) -> anyhow::Result<Vec<What>> {
        self.beats += 1;
        let beat = self.beats;
        let (changes, sweep, diagnoses, suspects) = self
            .lend(move |observer| {
                let changes = observer.discover();
                let sweep = observer.beat();
                let watched = observer.tend_watches();
                let due = observer.targets().iter().filter(|target| {
                    (u64::from(target.id.pid.unsigned_abs()) + beat).is_multiple_of(BEATS_BETWEEN_JUDGEMENTS)
                        || watched.contains(&target.id)
                });
                let due: Vec<Target> = due.cloned().collect();
                let mut captures = CAPTURES_PER_BEAT;
                let mut suspects: Vec<(Target, Vec<Kind>)> = Vec::new();
                let diagnoses: Vec<_> = due
                    .iter()
                    .filter_map(|target| {
                        let (told, diagnosis) = judged(observer, target)?;
                        if may_leak(&diagnosis, &observer.suspects(target.id)) {
                            observer.watch(target.id, Some(ledgers::TERM));
                        }
                        let looks_closer = captures > 0
                            && is_suspicious(&diagnosis)
                            && observer.capture_again(target.id, BETWEEN_CAPTURES);
                        captures -= usize::from(looks_closer);
                        if looks_closer {
                            let found = diagnosis.findings.iter().map(|finding| finding.kind);
                            let kinds = observer.rising_of(target.id).into_iter().chain(found).collect();
                            suspects.push((target.clone(), kinds));
                        }
                        let closer = looks_closer.then(|| judged(observer, target)).flatten();
                        Some((target.id, closer.unwrap_or((told, diagnosis))))
                    })
                    .collect();
                (changes, sweep, diagnoses, suspects)
            })
            .await?;
        self.sweep = sweep;
        for (target, kinds) in &suspects {
            self.round.suspect(target, kinds, "it seems to grow");
        }
        if let Some(observer) = &self.observer {
            self.round.follow_schedule(observer.targets());
        }
        let mut news = self.news_of(&changes);
        for (id, (told, diagnosis)) in diagnoses {
            if self.verdicts.entry(id).or_default().hear(told) {
                news.push(What::Verdict(Box::new(diagnosis)));
            }
        }
        Ok(news)
    }

    fn news_of(&mut self, changes: &Changes) -> Vec<What> {
        tell_what_was_not_understood(changes);
        for left in &changes.left {
            self.verdicts.remove(&left.id);
            self.round.forget(&[left.id]);
        }
        let left = changes.left.iter().cloned().map(What::Left);
        left.chain(changes.came.iter().cloned().map(What::Came)).collect()
    }

    fn health(&self, uptime: Duration) -> Health {
        let observer = self.observer.as_ref();
        let losses = observer.map(Observer::losses).unwrap_or_default();
        Health {
            watched: observer.map_or(0, |observer| observer.targets().len()),
            leaking: self.verdicts.values().filter(|telling| telling.told().verdict == Verdict::Leak).count(),
            sweep_cpu: self.sweep.cpu,
            losses: Losses { late_beats: self.late, ..losses },
            cost: OwnCost {
                cpu_time: clock::process_cpu_time(),
                rss_bytes: observer.and_then(Observer::own_rss_bytes),
                kernel_bytes: observer.and_then(Observer::kernel_bytes),
            },
            uptime,
        }
    }
}

/// One process judged and explained, and what of that may be told; `None` where nothing was seen of it.
fn judged(observer: &Observer, target: &Target) -> Option<(Told, Diagnosis)> {
    let judgement = observer.judge(target)?;
    let diagnosis = explain::explain(&judgement, target, &[]);
    let told = Told::of(&judgement, &diagnosis, observer.ladder(target.id)?);
    Some((told, diagnosis))
}

/// Something seems to grow, and watching it for longer does not yet acquit it.
fn may_leak(diagnosis: &Diagnosis, rising: &[Kind]) -> bool {
    let findings = diagnosis.findings.iter().map(|finding| finding.kind);
    let undecided = diagnosis.undecided.iter().filter(|one| one.need_seconds.is_some()).map(|one| one.kind);
    findings.chain(undecided).any(|kind| rising.contains(&kind))
}

/// Goroutines or the live heap grow, or may.
fn is_suspicious(diagnosis: &Diagnosis) -> bool {
    let costly = |kind: Kind| matches!(kind, Kind::Goroutine | Kind::Heap);
    diagnosis.findings.iter().any(|finding| costly(finding.kind))
        || diagnosis.undecided.iter().any(|one| costly(one.kind) && one.need_seconds.is_some())
}

fn tell_what_was_not_understood(changes: &Changes) {
    for (exe, why) in &changes.not_understood {
        tracing::warn!(%exe, %why, "cannot tell whether this executable is Go");
    }
}
