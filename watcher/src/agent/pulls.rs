//! Pulls of profiles from the endpoints of watched processes: bounded, one process never waiting for another that
//! hangs, and kept as files.

mod check;
pub mod digest;
pub mod round;
pub mod search;
pub mod settings;

use check::Asked;
pub use round::{Arrival, Round, note};
pub use search::{Endpoints, Found, Missing};
pub use settings::Settings;

use crate::observed::pulls::PullCost;
use crate::report::pprof::{self, Limits, Profile};
use crate::source::clock;
use crate::source::pprof::{Answer, Fault, ProfileName};
use crate::store::{FileName, PullDirectory};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::{Moment, Reading};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::Semaphore;

const HOUR: Duration = Duration::from_secs(3600);
/// Messages and numbers in one profile: a million goroutines with stacks of their own have some ten million.
const MAX_ITEMS: usize = 8 << 20;

/// What pulls, and what was pulled when.
#[derive(Debug)]
pub struct Puller {
    settings: Settings,
    endpoints: Endpoints,
    turns: Semaphore,
    taken: Mutex<HashMap<ProcessId, VecDeque<Duration>>>,
    directory: PullDirectory,
}

/// What is pulled and why.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which profile.
    pub name: ProfileName,
    /// Make the process collect garbage first.
    pub collect: bool,
    /// A few words for people who find the file.
    pub reason: String,
}

/// A profile that was pulled.
#[derive(Clone, Debug)]
pub struct Pull {
    /// Which one.
    pub name: ProfileName,
    /// Where it came from, as people write it.
    pub endpoint: String,
    /// When it was asked for.
    pub at: Moment,
    /// The profile, with what is known of the pull among its comments.
    pub profile: Profile,
    /// Bytes that came.
    pub bytes: usize,
    /// From connecting to the last byte.
    pub took: Duration,
    /// CPU time that the process used meanwhile, its own work included.
    pub target_cpu: Option<Duration>,
    /// Where it is kept, or why it is not.
    pub kept: Result<PathBuf, String>,
}

impl Puller {
    /// One that follows these settings.
    pub fn new(settings: Settings) -> Puller {
        Puller {
            turns: Semaphore::new(settings.at_once),
            directory: PullDirectory::new(settings.directory.clone(), settings.kept_bytes),
            endpoints: Endpoints::default(),
            taken: Mutex::default(),
            settings,
        }
    }

    /// What it follows.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Forgets processes that have left.
    pub fn forget(&self, left: &[ProcessId]) {
        self.endpoints.forget(left);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        left.iter().for_each(|id| drop(taken.remove(id)));
    }

    /// The endpoint of a process.
    ///
    /// # Errors
    /// Why it has none, or none is to be asked.
    pub async fn endpoint(&self, target: &Target) -> Result<Found, Missing> {
        let _turn = self.turns.acquire().await;
        self.endpoints.of(target, &self.settings).await
    }

    /// Pulls profiles of one process, one after the other: a process is never asked two things at once.
    pub async fn pull(&self, target: &Target, wanted: &[Wanted]) -> Vec<Result<Pull, Missing>> {
        let found = match self.endpoint(target).await {
            Ok(found) => found,
            Err(missing) => return vec![Err(missing)],
        };
        let mut pulled = Vec::with_capacity(wanted.len());
        for one in wanted {
            // Not held while others of the same process are asked for: whoever waits is let in between.
            let _turn = self.turns.acquire().await;
            pulled.push(self.pull_one(target, &found, one).await);
        }
        pulled
    }

    async fn pull_one(&self, target: &Target, found: &Found, wanted: &Wanted) -> Result<Pull, Missing> {
        let endpoint = found.endpoint.address();
        if !found.endpoint.offers(wanted.name) {
            return Err(Missing::NotOffered { endpoint, profile: wanted.name.path() });
        }
        self.note(target.id)?;
        let failed = |fault| Missing::Failed { endpoint: endpoint.clone(), fault };
        let answer =
            found.endpoint.pull(&found.process, wanted.name, wanted.collect, self.settings.bounds).await;
        let answer = answer.map_err(failed)?;
        let (directory, limits) = (self.directory.clone(), self.limits());
        let (target, found, wanted) = (target.clone(), found.clone(), wanted.clone());
        let (address, unpacking) = (endpoint.clone(), "unpacking it broke off");
        let worked = tokio::task::spawn_blocking(move || {
            understand(&target, &found, &wanted, &answer, &limits, &directory, address)
        });
        worked.await.unwrap_or_else(|_| Err(Fault::NotPprof(unpacking.to_owned()))).map_err(failed)
    }

    fn limits(&self) -> Limits {
        Limits {
            unpacked_bytes: self.settings.unpacked_bytes,
            items: MAX_ITEMS.min(self.settings.unpacked_bytes / 8),
        }
    }

    /// Takes one of the pulls that the process may be asked for in an hour.
    fn note(&self, id: ProcessId) -> Result<(), Missing> {
        let now = clock::now().since_boot;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let times = taken.entry(id).or_default();
        while times.front().is_some_and(|first| now.saturating_sub(*first) >= HOUR) {
            times.pop_front();
        }
        if times.len() >= self.settings.per_hour {
            return Err(Missing::TooOften(self.settings.per_hour));
        }
        times.push_back(now);
        Ok(())
    }
}

impl Pull {
    /// What it took, as the window keeps it.
    pub fn cost(&self) -> PullCost {
        PullCost {
            profile: self.name.path(),
            bytes: self.bytes as u64,
            took: self.took,
            target_cpu: self.target_cpu,
            file: self.kept.as_ref().ok().map(|path| path.display().to_string()),
        }
    }
}

/// Unpacks an answer, makes sure that it is this process's, and keeps it.
fn understand(
    target: &Target,
    found: &Found,
    wanted: &Wanted,
    answer: &Answer,
    limits: &Limits,
    directory: &PullDirectory,
    endpoint: String,
) -> Result<Pull, Fault> {
    let mut profile =
        pprof::decode(&answer.body, limits).map_err(|error| Fault::NotPprof(error.to_string()))?;
    let code = found.process.first_code();
    let (at, took) = (answer.at.wall, answer.took);
    check::expect_answer(&profile, &Asked { name: wanted.name, at, took, code: code.seen() })?;
    // Whoever was asked must still be the one; a pid that came back has another start time.
    if found.process.id() != Reading::Seen(target.id) {
        return Err(Fault::Gone);
    }
    profile.comments.extend(comments(target, wanted, &endpoint, answer));
    let kept = keep(directory, target, wanted, answer.at.wall, &profile);
    Ok(Pull {
        name: wanted.name,
        endpoint,
        at: answer.at,
        bytes: answer.body.len(),
        took: answer.took,
        target_cpu: answer.target_cpu,
        profile,
        kept,
    })
}

/// What `pprof -comments` tells of a pull.
fn comments(target: &Target, wanted: &Wanted, endpoint: &str, answer: &Answer) -> Vec<String> {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let cpu = answer.target_cpu.map_or_else(
        || "an unknown CPU time".to_owned(),
        |cpu| format!("{:.1} ms of CPU", milliseconds(cpu)),
    );
    vec![
        pprof::identity_comment(&target.name, target.id),
        format!("pulled from {endpoint}{} because {}", wanted.name.path(), wanted.reason),
        format!(
            "{} bytes in {:.1} ms; the process used {cpu} meanwhile, its own work included",
            answer.body.len(),
            milliseconds(answer.took)
        ),
    ]
}

fn keep(
    directory: &PullDirectory,
    target: &Target,
    wanted: &Wanted,
    taken: SystemTime,
    profile: &Profile,
) -> Result<PathBuf, String> {
    let told = |error: std::io::Error| format!("keep it in {}: {error}", directory.path().display());
    let mut packed = Vec::new();
    pprof::encode(profile, &mut packed).map_err(told)?;
    let taken = jiff::Timestamp::try_from(taken).map(|taken| taken.strftime("%Y%m%d%H%M%S").to_string());
    let name = FileName {
        process: &target.name,
        pid: target.id.pid,
        taken: taken.as_deref().unwrap_or("00000000000000"),
        profile: wanted.name.path(),
    };
    directory.keep(&name, &packed).map_err(told)
}
