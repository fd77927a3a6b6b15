//! The client of `net/http/pprof`: finds the endpoint of a process and asks it for profiles.
//!
//! Only sockets on which the process itself listens are connected to, inside its own namespaces, and nothing is sent
//! before the kernel says that it is this process that has accepted. What comes back is judged by its body and not by
//! its status, is bounded in time and size, and no redirect is followed.

mod body;
mod client;
mod dial;
mod fault;
mod find;
mod inside;
mod listeners;
mod metered;
mod profile;

pub use body::describe;
pub use client::{Access, Bounds, Tls};
pub use fault::Fault;
pub use find::{Configured, Endpoint, Search, find};
pub use listeners::{Listener, Place, listeners};
pub use profile::ProfileName;

use crate::source::clock;
use crate::source::proc::ProcessDir;
use crate::vocabulary::reading::Moment;
use std::sync::Arc;
use std::time::Duration;

/// Everything that is asked of a body, for fuzz targets.
#[cfg(feature = "fuzzing")]
pub(super) fn understand(bytes: &[u8]) {
    let _ = body::index(bytes);
    let _ = body::is_packed(bytes);
    let _ = describe(bytes);
    for name in ProfileName::ALL {
        let _ = body::is_text_of(name, bytes);
    }
}

/// What an endpoint answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The body: packed, as a rule.
    pub body: Vec<u8>,
    /// When it was asked for.
    pub at: Moment,
    /// From connecting to the last byte.
    pub took: Duration,
    /// CPU time that the process used meanwhile, its own work included; `None` where the kernel does not say.
    pub target_cpu: Option<Duration>,
}

impl Endpoint {
    /// Asks for a profile. With `collect` the process is made to collect garbage first, which `heap` understands.
    ///
    /// # Errors
    /// See [`Fault`]. Whether a body is a profile is for the caller to find out, [`describe`] says what else it is.
    pub async fn pull(
        &self,
        process: &Arc<ProcessDir>,
        name: ProfileName,
        collect: bool,
        bounds: Bounds,
    ) -> Result<Answer, Fault> {
        let query = if collect { "?gc=1" } else { "" };
        let path = format!("{}{}{query}", self.prefix, name.path());
        let cpu_before = clock::cpu_time_of(process.pid());
        let at = clock::now();
        let body = self.ask(process, &path, bounds).await?;
        let took = clock::now().since_boot.saturating_sub(at.since_boot);
        let cpu_after = clock::cpu_time_of(process.pid());
        let target_cpu = cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
        if !body::is_packed(&body) {
            return Err(Fault::NotPprof(describe(&body)));
        }
        Ok(Answer { body, at, took, target_cpu })
    }
}
