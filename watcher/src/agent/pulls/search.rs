//! Which process has an endpoint, remembered for as long as it listens on the same sockets.

use super::settings::Settings;
use crate::golang::probes::handlers;
use crate::source::clock;
use crate::source::pprof::{self, Endpoint, Fault, Place};
use crate::source::proc::{FileIdentity, ProcRoot, ProcessDir};
use crate::vocabulary::process::{ProcessId, Target};
use crate::vocabulary::reading::{Moment, Reading};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Executables and processes that are remembered; beyond that everything is looked at anew.
const MAX_REMEMBERED: usize = 8192;

/// A process whose sockets are the same and that had no endpoint is asked again after this time.
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// Why nothing can be pulled from a process: each completes "no profile was pulled: …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// A Go program without the handlers.
    #[error("the program has no pprof handlers (net/http/pprof is not in it)")]
    NoHandlers,
    /// Its executable was read and is none of Go's.
    #[error("it is no Go program")]
    NotGo,
    /// Its executable was read, and where its functions are listed could not be told.
    #[error("whether the program has pprof handlers could not be told from its executable")]
    Unknown,
    /// The settings say so.
    #[error("the settings forbid it (--no-pprof)")]
    Forbidden,
    /// It listens nowhere.
    #[error("the program has pprof handlers, but it listens on no socket on which they could be asked")]
    NoListener,
    /// It listens, and no socket is an endpoint.
    #[error("the program has pprof handlers, but no socket on which it listens is an endpoint: {0}")]
    NoEndpoint(String),
    /// Its program or its sockets could not be looked at.
    #[error("{0}")]
    Unreadable(Fault),
    /// The index does not have it.
    #[error("the endpoint {endpoint} does not offer {profile}")]
    NotOffered {
        /// Where.
        endpoint: String,
        /// What was asked for.
        profile: &'static str,
    },
    /// Asked as often as it may be.
    #[error("{0} pulls an hour are the limit, and they are used up")]
    TooOften(usize),
    /// The endpoint was asked, and no profile came.
    #[error("{endpoint}: {fault}")]
    Failed {
        /// Where.
        endpoint: String,
        /// What was wrong.
        fault: Fault,
    },
}

impl Missing {
    /// Whether a person should know of it who did not ask for an endpoint.
    pub fn is_worth_telling(&self) -> bool {
        !matches!(
            self,
            Missing::NoHandlers | Missing::NotGo | Missing::NoListener | Missing::Unreadable(Fault::Gone)
        )
    }
}

/// The endpoints that are known.
#[derive(Debug, Default)]
pub struct Endpoints {
    programs: Mutex<HashMap<FileIdentity, bool>>,
    known: Mutex<HashMap<ProcessId, Arc<tokio::sync::Mutex<Option<Known>>>>>,
}

/// What was found of one process.
#[derive(Debug)]
struct Known {
    at: Moment,
    listeners: BTreeSet<u64>,
    endpoint: Result<Endpoint, Missing>,
}

/// A process that is there, with its endpoint.
#[derive(Clone, Debug)]
pub struct Found {
    /// The process, held open.
    pub process: Arc<ProcessDir>,
    /// Its endpoint.
    pub endpoint: Endpoint,
}

impl Endpoints {
    /// The endpoint of a process: looked for once, and again where the sockets on which it listens are others.
    ///
    /// # Errors
    /// Why it has none, or none is to be asked.
    pub async fn of(&self, target: &Target, settings: &Settings) -> Result<Found, Missing> {
        let process = Arc::new(open(target)?);
        if target.go.is_none() {
            return Err(match process.executable_identity() {
                Reading::Seen(_) => Missing::NotGo,
                Reading::Gone => Missing::Unreadable(Fault::Gone),
                _ => Missing::Unreadable(Fault::Denied { what: "its executable" }),
            });
        }
        if !self.has_handlers(&process).await? {
            return Err(Missing::NoHandlers);
        }
        if settings.forbids(target) {
            return Err(Missing::Forbidden);
        }
        let known = self.entry(target.id);
        // One search at a time for each process; others are not held up.
        let mut known = known.lock().await;
        let listing = Arc::clone(&process);
        let now = blocking(move || pprof::listeners(&listing)).await?.map_err(Missing::Unreadable)?;
        let now: BTreeSet<u64> = now.iter().map(|listener| listener.inode).collect();
        if known.as_ref().is_none_or(|known| known.listeners != now || known.is_worth_a_retry()) {
            let found = pprof::find(&process, &settings.of(target)).await.map_err(Missing::Unreadable)?;
            let listeners = found.listeners.iter().map(|listener| listener.inode).collect();
            let endpoint = match found.endpoint {
                Some(endpoint) => Ok(endpoint),
                None if found.listeners.is_empty() => Err(Missing::NoListener),
                None => Err(Missing::NoEndpoint(describe(&found.faults))),
            };
            *known = Some(Known { at: clock::now(), listeners, endpoint });
        }
        let endpoint = known.as_ref().map_or(Err(Missing::NoListener), |known| known.endpoint.clone())?;
        Ok(Found { process, endpoint })
    }

    /// Forgets processes that have left.
    pub fn forget(&self, left: &[ProcessId]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for id in left {
            known.remove(id);
        }
    }

    fn entry(&self, id: ProcessId) -> Arc<tokio::sync::Mutex<Option<Known>>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        Arc::clone(known.entry(id).or_default())
    }

    /// Whether its executable holds the handlers: read once for each file.
    async fn has_handlers(&self, process: &Arc<ProcessDir>) -> Result<bool, Missing> {
        let unreadable = |reading: Reading<()>| match reading {
            Reading::Gone => Missing::Unreadable(Fault::Gone),
            _ => Missing::Unreadable(Fault::Denied { what: "its executable" }),
        };
        let identity = match process.executable_identity() {
            Reading::Seen(identity) => identity,
            other => return Err(unreadable(other.map(drop))),
        };
        let programs = || self.programs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = programs().get(&identity) {
            return Ok(*known);
        }
        let file = match process.executable() {
            Reading::Seen(file) => file,
            other => return Err(unreadable(other.map(drop))),
        };
        let holds = blocking(move || handlers::offers_pprof(&file)).await?.map_err(|_| Missing::Unknown)?;
        let mut programs = programs();
        if programs.len() >= MAX_REMEMBERED {
            programs.clear();
        }
        programs.insert(identity, holds);
        Ok(holds)
    }
}

impl Known {
    /// A process that was starting, or too busy to answer, may answer later.
    fn is_worth_a_retry(&self) -> bool {
        let since = clock::now().since_boot.saturating_sub(self.at.since_boot);
        self.endpoint.is_err() && since >= RETRY_AFTER
    }
}

/// Opens the process and makes sure that it is still this one.
fn open(target: &Target) -> Result<ProcessDir, Missing> {
    let proc = ProcRoot::host().map_err(|_| Missing::Unreadable(Fault::Denied { what: "/proc" }))?;
    let process = proc.open(target.id.pid);
    match process.and_then(|process| process.id().map(|id| (process, id))) {
        Reading::Seen((process, id)) if id == target.id => Ok(process),
        Reading::Seen(_) | Reading::Gone => Err(Missing::Unreadable(Fault::Gone)),
        _ => Err(Missing::Unreadable(Fault::Denied { what: "its directory in /proc" })),
    }
}

/// What was wrong with each socket, the telling ones first.
fn describe(faults: &[(Place, Fault)]) -> String {
    const SHOWN: usize = 4;
    let mut faults: Vec<_> = faults.iter().collect();
    faults.sort_by_key(|(_, fault)| !fault.is_telling());
    let mut sentences: Vec<String> =
        faults.iter().take(SHOWN).map(|(place, fault)| format!("{place}: {fault}")).collect();
    if faults.len() > SHOWN {
        sentences.push(format!("and {} more", faults.len() - SHOWN));
    }
    sentences.join("; ")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Missing> {
    tokio::task::spawn_blocking(work).await.map_err(|_| {
        Missing::Unreadable(Fault::Unreachable { why: "looking at the process broke off".to_owned() })
    })
}
