//! `watcher run`: the loop that goes on until it is told to stop.

use super::announcing::Announcing;
use super::beats::{Beats, Due};
use super::diagnose::{nothing_to_watch, refuse_kernel_thread};
use super::endings::{Ending, Judged};
use super::looks::{self, Looked, Rush};
use super::observer::Observer;
use super::pulls::{Arrival, Puller, Round, Settings};
use super::told::AllTold;
use super::{blocking, interruption};
use crate::config::{Config, Selection};
use crate::discover::Changes;
use crate::news::{Health, News, What};
use crate::sample::beat::SweepReport;
use crate::source::clock;
use crate::source::kernel::lifecycle::{Lifecycle, LifecycleEvent};
use crate::source::reader::{self, Silent};
use crate::vocabulary::health::{Losses, OwnCost, Unanswered};
use crate::vocabulary::process::ProcessId;
use anyhow::bail;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// Everything that can happen.
enum Event {
    /// It is time for the next sample of every process.
    BeatDue(Due),
    /// It is time for the next sample of those that cannot wait for that.
    RushDue,
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
/// A window holds what was seen lately; what was before that is the history's.
const RECENT: Duration = Duration::from_secs(3_600);
/// What is being looked at when we are told to stop may take so long more.
const GRACE: Duration = Duration::from_secs(2);

/// Watches the selected processes and tells `hear` what happens, until interrupted, until the configured time is
/// over, or until `hear` says that nobody listens any more (`false`).
///
/// # Errors
/// Where `/proc` cannot be read.
pub async fn run(config: &Config, mut hear: impl FnMut(News) -> bool) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut events = EventSource::new(config);
    let (observer, (found, lifecycle)) = blocking(Observer::with_config(config)?, |observer| {
        let lifecycle = observer.take_lifecycle();
        observer.keep_for(RECENT);
        observer.judge_endings(Judged::Rising);
        let found = observer.discover();
        // Before anything else of ours looks at what these processes hold.
        let ids: Vec<ProcessId> = observer.targets().iter().map(|target| target.id).collect();
        observer.glance(&ids);
        (found, lifecycle)
    })
    .await?;
    refuse_kernel_thread(&observer, &config.selection)?;
    if matches!(config.selection, Selection::Pid(_)) && observer.targets().is_empty() {
        bail!(nothing_to_watch(&observer, &config.selection, found.denied));
    }
    events.lifecycle = lifecycle;
    tell_what_was_not_understood(&found);
    let mut tell = |what| hear(News { at: clock::now().wall, what });
    let (targets, left_out) = (observer.targets().to_vec(), observer.left_out());
    if !tell(What::Began { targets, denied: found.denied, left_out }) {
        return Ok(());
    }
    let mut agent = Agent {
        round: Round::new(Puller::new(Settings::load(&config.pprof)?)),
        observer: Some(observer),
        told: AllTold::default(),
        rush: Rush::default(),
        rush_due: None,
        interval: config.interval,
        beats: 0,
        sweep: SweepReport::default(),
        unanswered: Vec::new(),
        stuck_readers: 0,
    };
    let (mut health_told, mut announcing) = (began, Announcing::default());
    loop {
        let event = tokio::select! {
            biased;
            event = events.next(agent.rush_due) => event,
            Some(arrival) = agent.round.next() => Event::Pulled(arrival),
        };
        let news = match event {
            Event::Stop => return Ok(()),
            Event::FromKernel(event) => {
                events.note(event);
                continue;
            }
            Event::Pulled(arrival) => {
                agent.lend(move |observer| observer.note_pulls(arrival)).await?;
                continue;
            }
            Event::LookDue => {
                let pids: Vec<i32> = std::mem::take(&mut events.unsettled).into_iter().collect();
                agent.look_at(pids).await?
            }
            Event::RushDue => agent.rush().await?,
            Event::BeatDue(due) => tokio::select! {
                news = agent.beat(due) => news?,
                // Whoever wants us to stop does not wait for what takes its time.
                () = events.stopped_for(GRACE) => return Ok(()),
            },
        };
        if !news.into_iter().all(&mut tell) {
            return Ok(());
        }
        let losses = agent.losses();
        // Who cannot be read is told at once.
        if agent.unanswered_changed() || announcing.is_due(&losses, health_told.elapsed()) {
            health_told = Instant::now();
            announcing.note(losses);
            if !tell(What::Health(agent.health(began.elapsed()))) {
                return Ok(());
            }
        }
    }
}

/// What the loop listens to.
struct EventSource {
    beats: Beats,
    lifecycle: Option<Lifecycle>,
    unsettled: BTreeSet<i32>,
    look_at: Option<Instant>,
    stop: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    is_stopped: bool,
}

impl EventSource {
    fn new(config: &Config) -> Self {
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
        EventSource {
            beats: Beats::new(config.interval),
            lifecycle: None,
            unsettled: BTreeSet::new(),
            look_at: None,
            stop,
            is_stopped: false,
        }
    }

    /// Ends so long after we were told to stop.
    async fn stopped_for(&mut self, grace: Duration) {
        if !self.is_stopped {
            (&mut self.stop).await;
            self.is_stopped = true;
        }
        tokio::time::sleep(grace).await;
    }

    async fn next(&mut self, rush_due: Option<Instant>) -> Event {
        if self.is_stopped {
            return Event::Stop;
        }
        let rush = async {
            match rush_due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
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
            due = self.beats.next() => Event::BeatDue(due),
            () = rush => Event::RushDue,
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
    /// What was told of each process.
    told: AllTold,
    rush: Rush,
    rush_due: Option<Instant>,
    interval: Duration,
    beats: u64,
    sweep: SweepReport,
    unanswered: Vec<Unanswered>,
    stuck_readers: usize,
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
        let (changes, endings) =
            self.lend(move |observer| (observer.look_at(&pids), observer.take_endings())).await?;
        Ok(self.hear_changes(&changes, &endings))
    }

    async fn beat(&mut self, due: Due) -> anyhow::Result<Vec<What>> {
        self.beats += 1;
        let (beat, interval) = (self.beats, self.interval);
        let work = move |observer: &mut Observer| {
            observer.note_due(due);
            looks::beat(observer, beat, interval)
        };
        let looked = self.lend(work).await?;
        self.sweep = looked.sweep.unwrap_or(self.sweep);
        let news = self.hear(looked);
        if let Some(observer) = &self.observer {
            self.round.follow_schedule(observer.targets());
        }
        Ok(news)
    }

    /// Whether others than before could not be read.
    fn unanswered_changed(&mut self) -> bool {
        let (silent, stuck_readers) = reader::silent();
        self.stuck_readers = stuck_readers;
        let of =
            |silent: &Silent| Unanswered { pid: silent.id.pid, name: silent.name.clone(), why: silent.why() };
        let unanswered: Vec<Unanswered> = silent.iter().map(of).collect();
        let has_changed = unanswered != self.unanswered;
        self.unanswered = unanswered;
        has_changed
    }

    async fn rush(&mut self) -> anyhow::Result<Vec<What>> {
        let (mut rush, interval) = (std::mem::take(&mut self.rush), self.interval);
        let (rush, looked) = self
            .lend(move |observer| {
                let looked = looks::rush(observer, &mut rush, interval);
                (rush, looked)
            })
            .await?;
        self.rush = rush;
        Ok(self.hear(looked))
    }

    /// What of a look is news.
    fn hear(&mut self, looked: Looked) -> Vec<What> {
        let Looked { changes, endings, judged, suspects, rushed, filling, .. } = looked;
        for (target, profiles) in suspects {
            self.round.ask(&target, profiles, "it seems to grow");
        }
        self.rush_due = rushed.iter().map(|one| one.apart).min().map(|apart| Instant::now() + apart);
        self.rush.rushed = rushed;
        let mut news = self.hear_changes(&changes, &endings);
        news.extend(filling.iter().filter_map(|(target, heading)| self.told.hear_filling(target, heading)));
        let now = clock::now().wall;
        let targets = self.observer.as_ref().map(Observer::targets).unwrap_or_default();
        for judged in judged {
            let target = targets.iter().find(|target| target.id == judged.id);
            news.extend(self.told.hear_judged(judged, target, now));
        }
        news
    }

    fn hear_changes(&mut self, changes: &Changes, endings: &[Ending]) -> Vec<What> {
        tell_what_was_not_understood(changes);
        let gone = changes.left.iter().chain(&changes.made_way);
        self.round.forget(&gone.map(|target| target.id).collect::<Vec<ProcessId>>());
        self.told.hear_changes(changes, endings)
    }

    fn losses(&self) -> Losses {
        self.observer.as_ref().map(Observer::losses).unwrap_or_default()
    }

    fn health(&self, uptime: Duration) -> Health {
        let observer = self.observer.as_ref();
        let (reader_cpu, reader_rss_bytes) = reader::cost();
        Health {
            watched: observer.map_or(0, |observer| observer.targets().len()),
            in_ledgers: observer.map_or(0, |observer| observer.kept_in_ledgers().0),
            leaking: self.told.leaking(),
            sweep_cpu: self.sweep.cpu,
            losses: self.losses(),
            left_out: observer.map(Observer::left_out).unwrap_or_default(),
            cost: OwnCost {
                cpu_time: clock::process_cpu_time() + reader_cpu,
                rss_bytes: observer.and_then(Observer::own_rss_bytes).map(|own| own + reader_rss_bytes),
                kernel_bytes: observer.and_then(Observer::kernel_bytes),
            },
            uptime,
            unanswered: self.unanswered.clone(),
            stuck_readers: self.stuck_readers,
        }
    }
}

fn tell_what_was_not_understood(changes: &Changes) {
    for (exe, why) in &changes.not_understood {
        tracing::warn!(%exe, %why, "cannot tell whether this executable is Go");
    }
}
