//! Pulls on suspicion: which profiles say something to what is suspected, asked for beside the loop, and what comes of
//! them put where the judge looks.

use super::{Missing, Pull, Puller, Wanted, digest};
use crate::explain::Kind;
use crate::process::{ProcessId, Target};
use crate::sample::pulls::EndpointUse;
use crate::source::pprof::ProfileName;
use crate::store::Captures;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Pulls and failures that are told of one process.
const MAX_TOLD: usize = 16;

/// Pulls under way.
#[derive(Debug)]
pub struct Round {
    puller: Arc<Puller>,
    running: JoinSet<Arrival>,
    asked: HashSet<ProcessId>,
    scheduled: HashMap<ProcessId, Instant>,
}

/// What came of asking one process.
#[derive(Debug)]
pub struct Arrival {
    /// Which one.
    pub process: ProcessId,
    /// Each profile, or why it did not come.
    pub results: Vec<Result<Pull, Missing>>,
}

impl Round {
    /// Nothing is under way yet.
    pub fn new(puller: Puller) -> Round {
        Round {
            puller: Arc::new(puller),
            running: JoinSet::new(),
            asked: HashSet::new(),
            scheduled: HashMap::new(),
        }
    }

    /// Asks a process for what says something to these kinds of growth, unless it is being asked already.
    pub fn suspect(&mut self, target: &Target, kinds: &[Kind], reason: &str) {
        let mut names = Vec::new();
        if kinds.iter().any(|kind| matches!(kind, Kind::Goroutine | Kind::Connection)) {
            names.push(ProfileName::Goroutine);
        }
        if kinds.contains(&Kind::Heap) {
            names.push(ProfileName::Heap);
        }
        self.ask(target, names, reason);
    }

    /// Asks for Go's own leak profile too: it costs the process a collection, so only with a finding.
    pub fn accuse(&mut self, target: &Target, kinds: &[Kind], reason: &str) {
        if kinds.contains(&Kind::Goroutine) {
            let mut names = vec![ProfileName::Goroutine, ProfileName::GoroutineLeak];
            names.extend(kinds.contains(&Kind::Heap).then_some(ProfileName::Heap));
            self.ask(target, names, reason);
        } else {
            self.suspect(target, kinds, reason);
        }
    }

    /// Asks those whose turn it is by the clock, where that is configured.
    pub fn follow_schedule(&mut self, targets: &[Target]) {
        let Some(every) = self.puller.settings().every else { return };
        let now = Instant::now();
        for target in targets {
            // The first turn comes after the first such time: a program that starts has nothing to tell.
            let due = *self.scheduled.entry(target.id).or_insert(now + every);
            if due <= now {
                self.scheduled.insert(target.id, now + every);
                self.ask(target, vec![ProfileName::Heap, ProfileName::Goroutine], "it was scheduled");
            }
        }
    }

    /// Forgets processes that have left.
    pub fn forget(&mut self, left: &[ProcessId]) {
        self.puller.forget(left);
        self.scheduled.retain(|id, _| !left.contains(id));
    }

    fn ask(&mut self, target: &Target, names: Vec<ProfileName>, reason: &str) {
        if names.is_empty() || target.go.is_none() || !self.asked.insert(target.id) {
            return;
        }
        let wanted: Vec<Wanted> = names
            .into_iter()
            .map(|name| Wanted { name, collect: false, reason: reason.to_owned() })
            .collect();
        let (puller, target) = (Arc::clone(&self.puller), target.clone());
        self.running.spawn(async move {
            let results = puller.pull(&target, &wanted).await;
            Arrival { process: target.id, results }
        });
    }

    /// The next that has come; `None` where nothing is under way.
    pub async fn next(&mut self) -> Option<Arrival> {
        loop {
            match self.running.join_next().await? {
                Ok(arrival) => {
                    self.asked.remove(&arrival.process);
                    return Some(arrival);
                }
                Err(error) => tracing::warn!(%error, "a pull broke off"),
            }
        }
    }

    /// Everything that comes within this time. What does not is given up.
    pub async fn all_within(&mut self, patience: Duration) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let deadline = Instant::now() + patience;
        while let Ok(Some(arrival)) = tokio::time::timeout_at(deadline, self.next()).await {
            arrivals.push(arrival);
        }
        // Dropped, and with them their connections.
        self.running = JoinSet::new();
        self.asked.clear();
        arrivals
    }
}

/// Puts what came where the judge looks.
pub fn note(captures: &mut Captures, arrival: Arrival) {
    let pulls = &mut captures.pulls;
    let used = pulls.used.get_or_insert_with(EndpointUse::default);
    for result in arrival.results {
        match result {
            Ok(pull) => {
                used.address = Some(pull.endpoint.clone());
                if let Err(why) = &pull.kept {
                    tracing::warn!(why, "a pulled profile was not kept");
                }
                used.pulls.push(pull.cost());
                match pull.name {
                    ProfileName::Goroutine => pulls.goroutines.push(digest::of(&pull.profile, None, pull.at)),
                    ProfileName::Heap => {
                        pulls.heap.push(digest::of(&pull.profile, Some("inuse_space"), pull.at));
                    }
                    ProfileName::GoroutineLeak => {
                        pulls.leaked = Some(digest::of(&pull.profile, None, pull.at));
                    }
                    _ => {}
                }
            }
            // Few programs have the newest profile, and nobody misses it.
            Err(Missing::NotOffered { .. }) => {}
            Err(missing) if missing.is_worth_telling() => {
                let why = missing.to_string();
                if !used.failures.contains(&why) {
                    used.failures.push(why);
                }
            }
            Err(_) => {}
        }
    }
    used.pulls.drain(..used.pulls.len().saturating_sub(MAX_TOLD));
    used.failures.drain(..used.failures.len().saturating_sub(MAX_TOLD));
    if *used == EndpointUse::default() {
        pulls.used = None;
    }
}
