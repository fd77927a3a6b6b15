//! Pulls under way: asked for beside the loop, and what comes of them put where the judge looks.

use super::{Missing, Pull, Puller, Wanted, digest};
use crate::observed::pulls::EndpointUse;
use crate::source::pprof::ProfileName;
use crate::store::Captures;
use crate::vocabulary::process::{ProcessId, Target};
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

    /// Asks a process for these profiles, unless it is being asked already.
    pub fn ask(&mut self, target: &Target, names: Vec<ProfileName>, reason: &str) {
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

#[cfg(test)]
mod tests {
    use super::super::Missing;
    use super::{Arrival, Pull, note};
    use crate::report::pprof::{Builder, Function};
    use crate::source::pprof::{Fault, ProfileName};
    use crate::store::Captures;
    use crate::vocabulary::process::ProcessId;
    use crate::vocabulary::reading::Moment;
    use std::time::{Duration, UNIX_EPOCH};

    fn pull(name: ProfileName, seconds: u64, count: i64) -> Pull {
        let mut builder = Builder::goroutines(UNIX_EPOCH);
        let function = Function { name: "main.wait".to_owned(), ..Function::default() };
        let place = builder.location(1, [(function, 7)]);
        builder.sample(vec![place], vec![count], Vec::new());
        Pull {
            name,
            endpoint: "http://127.0.0.1:6060/debug/pprof/".to_owned(),
            at: Moment { since_boot: Duration::from_secs(seconds), wall: UNIX_EPOCH },
            profile: builder.build(),
            bytes: 100,
            took: Duration::from_millis(3),
            target_cpu: None,
            kept: Err("no room".to_owned()),
        }
    }

    fn arrival(results: Vec<Result<Pull, Missing>>) -> Arrival {
        Arrival { process: ProcessId { pid: 7, start_ticks: 1 }, results }
    }

    #[test]
    fn profiles_and_failures_come_to_where_the_judge_looks() {
        let mut captures = Captures::default();
        note(&mut captures, arrival(vec![Err(Missing::NoHandlers)]));
        assert_eq!(captures.pulls.used, None, "a program without an endpoint lacks nothing");
        for seconds in 1..40 {
            let endpoint = "http://127.0.0.1:6060/debug/pprof/".to_owned();
            let fault = Fault::Status(500 + u16::try_from(seconds % 2).unwrap());
            let failed = Missing::Failed { endpoint: endpoint.clone(), fault };
            let not_offered = Missing::NotOffered { endpoint, profile: "goroutineleak" };
            let pulled = pull(ProfileName::Goroutine, seconds, 5);
            note(&mut captures, arrival(vec![Ok(pulled), Err(failed), Err(not_offered)]));
        }
        note(&mut captures, arrival(vec![Ok(pull(ProfileName::GoroutineLeak, 40, 3))]));
        let pulls = captures.pulls;
        assert_eq!(pulls.goroutines.ends().map(|(first, last)| last.at.seconds_since(&first.at)), Some(38.0));
        assert_eq!(pulls.goroutines.len(), 3);
        assert_eq!((pulls.heap.len(), pulls.leaked.map(|leaked| leaked.total)), (0, Some(3)));
        let used = pulls.used.unwrap();
        assert_eq!((used.pulls.len(), used.failures.len()), (super::MAX_TOLD, 2));
        assert!(
            used.failures.iter().all(|why| why.starts_with("http://127.0.0.1:6060/debug/pprof/: status 50"))
        );
    }
}
