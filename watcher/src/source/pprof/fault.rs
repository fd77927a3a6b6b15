//! What can be wrong with an endpoint, one sentence's part each.

use std::time::Duration;

/// Why a listening socket is no endpoint, or why a pull brought nothing. Each completes "…: ".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The process left.
    #[error("the process has exited")]
    Gone,
    /// Its namespaces, its root directory or its descriptors may not be entered or read.
    #[error("{what} may not be entered or read; root would bring it")]
    Denied {
        /// What we need of it.
        what: &'static str,
    },
    /// We could not look, see [`crate::vocabulary::reading::Reading::Failed`].
    #[error("watcher itself lacks file descriptors or memory")]
    Lacking,
    /// Nothing could be connected to.
    #[error("it cannot be connected to: {why}")]
    Unreachable {
        /// What the system said.
        why: String,
    },
    /// The connection stayed in the listener's queue.
    #[error("the connection was not accepted within {}", seconds(.0))]
    NotAccepted(Duration),
    /// Another process, which shares the listening socket or its port, took the connection. It was sent nothing.
    #[error("another process accepts connections on this socket too, and took ours; nothing was sent to it")]
    TakenByAnother,
    /// The server talks before it is asked, so it does not speak HTTP. It was sent nothing.
    #[error("the server speaks first, so it is no HTTP server; nothing was sent to it")]
    SpeaksFirst,
    /// No whole answer in time.
    #[error("no whole answer came within {}: {got} bytes did", seconds(.within))]
    TooSlow {
        /// The limit.
        within: Duration,
        /// Bytes of the body that did come.
        got: usize,
    },
    /// More than is taken.
    #[error("the answer is larger than {limit} bytes, and the rest was not taken")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The connection ended, or made no sense, before the answer was whole.
    #[error("the answer broke off after {got} bytes: {why}")]
    BrokenOff {
        /// Bytes of the body that did come.
        got: usize,
        /// What was wrong.
        why: String,
    },
    /// A certificate that the configured roots do not vouch for, or no TLS at all.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// It wants TLS, and none is configured.
    #[error("it speaks TLS: name the endpoint and its tls_roots in the settings of pulls")]
    WantsTls,
    /// 401 or 403.
    #[error(
        "it asks for authentication (status {0}): name the endpoint and its headers in the settings of pulls"
    )]
    WantsAuthentication(u16),
    /// 3xx. It is not followed: what is elsewhere may be another's.
    #[error("it redirects to {to}, which is not followed")]
    Redirects {
        /// Where to, printable form.
        to: String,
    },
    /// Any other status than 200.
    #[error("status {0}")]
    Status(u16),
    /// Status 200, and no profile.
    #[error("the answer is no profile: {0}")]
    NotPprof(String),
    /// A profile of another process: a proxy passed the question on, perhaps.
    #[error("the answer is another process's: {0}")]
    OfAnother(String),
    /// A profile that is not the one that was asked for.
    #[error("the answer is another profile than was asked for: {0}")]
    OtherProfile(String),
    /// A profile from before the question: a cache answered, or another process.
    #[error("the answer was taken {seconds} s before it was asked for")]
    Stale {
        /// How long before.
        seconds: u64,
    },
}

fn seconds(time: &Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

impl Fault {
    /// Whether asking for another path at the same place could do better.
    pub fn may_be_elsewhere(&self) -> bool {
        matches!(
            self,
            Fault::Status(_) | Fault::NotPprof(_) | Fault::Redirects { .. } | Fault::WantsAuthentication(_)
        )
    }

    /// Whether this says more about a possible endpoint than that there is none.
    pub fn is_telling(&self) -> bool {
        !matches!(self, Fault::Status(_) | Fault::NotPprof(_) | Fault::SpeaksFirst | Fault::Gone)
    }
}
