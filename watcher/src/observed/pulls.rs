//! What an endpoint said of a process: its own profiles by stack, and what asking for them took.
//!
//! Plain values. Nothing here knows how they were asked for.

use crate::vocabulary::frame::Frame;
use crate::vocabulary::process::Word;
use crate::vocabulary::reading::Moment;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Stacks that are kept of a profile, those with most first.
pub const MAX_SITES: usize = 4096;

/// A profile at one moment, by stack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PulledProfile {
    /// When it was asked for.
    pub at: Moment,
    /// Most first.
    pub sites: Vec<PulledSite>,
    /// The sum over all stacks: goroutines, or bytes in use.
    pub total: u64,
    /// What of it is at stacks beyond [`MAX_SITES`].
    pub beyond: u64,
}

/// One stack of a profile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PulledSite {
    /// Innermost frame first; functions as the linker names them.
    pub stack: Arc<[Frame]>,
    /// How many goroutines, or bytes in use.
    pub value: u64,
}

/// The endpoint of a process, and what was asked of it in a window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointUse {
    /// Where it is, as people write it; `None` where none was found, or none was to be asked.
    pub address: Option<String>,
    /// Profiles that came.
    pub pulls: Vec<PullCost>,
    /// What did not, each as part of a sentence, printable form.
    pub failures: Vec<String>,
}

/// What one pull took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PullCost {
    /// The profile's name, such as `heap`.
    #[serde(deserialize_with = "known_profile")]
    pub profile: Word,
    /// Bytes that came.
    pub bytes: u64,
    /// From connecting to the last byte.
    pub took: Duration,
    /// CPU time that the process used meanwhile, its own work included; `None` where that is unknown.
    pub target_cpu: Option<Duration>,
    /// Where it was kept; `None` where it was not.
    pub file: Option<String>,
}

/// The profiles of `net/http/pprof` (`runtime/pprof/pprof.go`, Go 1.27).
const PROFILES: [&str; 7] =
    ["heap", "allocs", "goroutine", "goroutineleak", "threadcreate", "block", "mutex"];

fn known_profile<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
    let name = String::deserialize(deserializer)?;
    let known = PROFILES.into_iter().find(|known| *known == name);
    known.ok_or_else(|| Error::custom("a profile that is not known"))
}
