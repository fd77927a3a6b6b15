//! Finding the endpoint of a process among the sockets on which it listens.

use super::body::{describe, index, is_text_of};
use super::client::{Access, Bounds, Question, get};
use super::dial::{dial, speaks_first};
use super::fault::Fault;
use super::listeners::{Listener, Place, listeners};
use super::profile::ProfileName;
use crate::source::clock;
use crate::source::proc::ProcessDir;
use crate::vocabulary::process::printable;
use crate::vocabulary::reading::Reading;
use std::sync::Arc;
use std::time::Duration;

/// Where everybody has it.
const USUAL_PREFIX: &str = "/debug/pprof/";
/// How much an answer may take that only shows whether there is an endpoint: a list of goroutines may be long.
const PROBE: Bounds = Bounds { time: Duration::from_secs(3), bytes: 8 << 20 };
/// No more sockets are tried after this time.
const SEARCHED_FOR: Duration = Duration::from_secs(10);
/// Sockets that are tried: a process decides how many it listens on.
const MAX_LISTENERS: usize = 16;

/// An endpoint that answered.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Where it is.
    pub place: Place,
    /// What precedes the name of a profile in its path.
    pub prefix: String,
    /// How it is spoken to.
    pub access: Access,
    /// The profiles that its index page offers; `None` where it has no index page.
    pub offers: Option<Vec<ProfileName>>,
}

/// An endpoint as the settings name it.
#[derive(Clone, Debug)]
pub struct Configured {
    /// Only the socket that is this one; every one where `None`.
    pub place: Option<Place>,
    /// Paths to try besides the usual one.
    pub prefixes: Vec<String>,
    /// How it is spoken to.
    pub access: Access,
}

/// What looking for an endpoint came to.
#[derive(Clone, Debug)]
pub struct Search {
    /// Sockets on which the process listened: where this changes it is worth looking again.
    pub listeners: Vec<Listener>,
    /// The endpoint.
    pub endpoint: Option<Endpoint>,
    /// What was wrong with the sockets that were asked, in that order.
    pub faults: Vec<(Place, Fault)>,
}

impl Endpoint {
    /// Whether the profile is worth asking for.
    pub fn offers(&self, name: ProfileName) -> bool {
        // Few programs that have no index page know the newest profile.
        let unknown = name != ProfileName::GoroutineLeak;
        self.offers.as_ref().map_or(unknown, |offers| offers.contains(&name))
    }

    /// As people write it: `http://127.0.0.1:6060/debug/pprof/`, `unix:/run/x.sock /debug/pprof/`.
    pub fn address(&self) -> String {
        match (&self.place, self.access.tls.is_some()) {
            (Place::Tcp(_), false) => format!("http://{}{}", self.place, self.prefix),
            (Place::Tcp(_), true) => format!("https://{}{}", self.place, self.prefix),
            _ => format!("{} {}", self.place, self.prefix),
        }
    }

    /// Asks for any path over a connection of its own.
    pub(super) async fn ask(
        &self,
        process: &Arc<ProcessDir>,
        path: &str,
        bounds: Bounds,
    ) -> Result<Vec<u8>, Fault> {
        let (process, place) = (Arc::clone(process), self.place.clone());
        let dialled = tokio::task::spawn_blocking(move || dial(&process, &place)).await;
        let broke_off = |_| Fault::Unreachable { why: "connecting broke off".to_owned() };
        let host = match &self.place {
            Place::Tcp(_) => self.place.to_string(),
            Place::Path(_) | Place::Abstract(_) => "localhost".to_owned(),
        };
        let question = Question { path, host: &host, access: &self.access, bounds };
        get(dialled.map_err(broke_off)??, question).await
    }
}

/// Looks at what the process listens on and asks each socket whether it is an endpoint, the likeliest first.
///
/// # Errors
/// Where it cannot be told on what it listens.
pub async fn find(process: &Arc<ProcessDir>, configured: &Configured) -> Result<Search, Fault> {
    let listing = Arc::clone(process);
    let listed = tokio::task::spawn_blocking(move || listeners(&listing)).await;
    let listeners =
        listed.map_err(|_| Fault::Unreachable { why: "listing its sockets broke off".to_owned() })??;
    let mut faults = Vec::new();
    let wanted = |place: &Place| configured.place.as_ref().is_none_or(|only| is_same(only, place));
    let began = clock::now();
    for listener in listeners.iter().filter(|listener| wanted(&listener.place)).take(MAX_LISTENERS) {
        if clock::now().since_boot.saturating_sub(began.since_boot) > SEARCHED_FOR {
            break;
        }
        match try_listener(process, &listener.place, configured).await {
            Ok(endpoint) => return Ok(Search { endpoint: Some(endpoint), faults, listeners }),
            Err(Fault::Gone) => return Err(Fault::Gone),
            Err(fault) => faults.push((listener.place.clone(), fault)),
        }
    }
    Ok(Search { listeners, endpoint: None, faults })
}

/// A configured `127.0.0.1:80` also is what listens on all addresses at port 80.
fn is_same(configured: &Place, listens: &Place) -> bool {
    match (configured, listens) {
        (Place::Tcp(one), Place::Tcp(other)) => {
            one == other || other.ip().is_unspecified() && one.port() == other.port()
        }
        (one, other) => one == other,
    }
}

async fn try_listener(
    process: &Arc<ProcessDir>,
    place: &Place,
    configured: &Configured,
) -> Result<Endpoint, Fault> {
    greet(process, place).await?;
    let mut worst = Fault::NotPprof("nothing was asked".to_owned());
    let prefixes = configured.prefixes.iter().map(String::as_str).chain([USUAL_PREFIX]);
    for (tried, prefix) in prefixes.enumerate() {
        let candidate = Endpoint {
            place: place.clone(),
            prefix: prefix.to_owned(),
            access: configured.access.clone(),
            offers: None,
        };
        match confirm(process, candidate).await {
            Ok(endpoint) => return Ok(endpoint),
            Err(fault) if !fault.may_be_elsewhere() => return Err(fault),
            Err(fault) if tried == 0 || fault.is_telling() => worst = fault,
            Err(_) => {}
        }
    }
    Err(worst)
}

/// Connects once without a word: whoever speaks first is no HTTP server and should not be sent a request.
async fn greet(process: &Arc<ProcessDir>, place: &Place) -> Result<(), Fault> {
    let (process, place) = (Arc::clone(process), place.clone());
    let greeted = tokio::task::spawn_blocking(move || {
        let connection = dial(&process, &place)?;
        if speaks_first(&connection) { Err(Fault::SpeaksFirst) } else { Ok(()) }
    });
    greeted.await.map_err(|_| Fault::Unreachable { why: "connecting broke off".to_owned() })?
}

/// Makes sure that a candidate is an endpoint, and this process's own.
async fn confirm(process: &Arc<ProcessDir>, mut candidate: Endpoint) -> Result<Endpoint, Fault> {
    let prefix = candidate.prefix.clone();
    let page = candidate.ask(process, &prefix, PROBE).await;
    if let Err(fault) = &page
        && !fault.may_be_elsewhere()
    {
        return Err(fault.clone());
    }
    candidate.offers = page.as_ref().ok().and_then(|body| index(body));
    if candidate.offers.is_none() {
        // Some register single profiles and no index. The cheaper one first.
        let mut found = false;
        for name in [ProfileName::Heap, ProfileName::Goroutine] {
            let text = candidate.ask(process, &format!("{prefix}{}?debug=1", name.path()), PROBE).await;
            match text {
                Ok(text) if is_text_of(name, &text) => found = true,
                Ok(_) => {}
                Err(fault) if fault.may_be_elsewhere() => {}
                Err(fault) => return Err(fault),
            }
            if found {
                break;
            }
        }
        if !found {
            return Err(page.map_or_else(|fault| fault, |body| Fault::NotPprof(describe(&body))));
        }
    }
    is_own(process, &candidate).await?;
    Ok(candidate)
}

/// A proxy accepts the question and passes it on, so that the answer can be another's. Where the endpoint tells its
/// command line, it must be the one that the kernel tells.
async fn is_own(process: &Arc<ProcessDir>, endpoint: &Endpoint) -> Result<(), Fault> {
    let told = match endpoint.ask(process, &format!("{}cmdline", endpoint.prefix), PROBE).await {
        Ok(told) => told,
        // Not every program registers it; the addresses in each profile are compared as well.
        Err(fault) if fault.may_be_elsewhere() => return Ok(()),
        Err(fault) => return Err(fault),
    };
    match process.command_line() {
        // The kernel ends each argument with a zero byte, Go parts them by it.
        Reading::Seen(known) if known.strip_suffix(&[0]).unwrap_or(&known) == told => Ok(()),
        // A program that registers single profiles, and answers the same to every other path.
        Reading::Seen(_) if answers_anything(process, endpoint, &told).await => Ok(()),
        Reading::Seen(_) => {
            let told = String::from_utf8_lossy(&told[..told.len().min(120)]).replace('\0', " ");
            Err(Fault::OfAnother(format!("it says that it was started as {:?}", printable(told.as_bytes()))))
        }
        Reading::Gone => Err(Fault::Gone),
        Reading::Failed => Err(Fault::Lacking),
        _ => Err(Fault::Denied { what: "its command line" }),
    }
}

/// Whether a path that nobody registers is answered in the same way.
async fn answers_anything(process: &Arc<ProcessDir>, endpoint: &Endpoint, told: &[u8]) -> bool {
    let nowhere = format!("{}no-such-profile", endpoint.prefix);
    endpoint.offers.is_none() && endpoint.ask(process, &nowhere, PROBE).await.is_ok_and(|body| body == told)
}
