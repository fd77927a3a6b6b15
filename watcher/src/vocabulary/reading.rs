//! What a reading can be, when it was taken, and by which route.
//!
//! "Could not read" is never 0: every number that comes from the system travels as a [`Reading`], and every
//! reading as a [`Stamped`].

use serde::{Deserialize, Serialize};
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The outcome of one read.
///
/// Written down, what was seen is `{"seen": …}` and the others are words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading<T> {
    /// The value was read.
    Seen(T),
    /// The process left before or while it was read: normal, no error.
    Gone,
    /// The kernel refused: a capability or ownership is missing.
    Denied,
    /// This kernel, or this process, does not offer it, or what it offered could not be understood.
    Unsupported,
    /// We could not, for want of descriptors or memory, or since a device failed: it says nothing of the process, and
    /// another time it may work.
    Failed,
}

impl<T> Reading<T> {
    /// The value, where there is one.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Reading::Seen(value) => Some(value),
            _ => None,
        }
    }

    /// The value, where there is one.
    pub fn into_seen(self) -> Option<T> {
        match self {
            Reading::Seen(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it says nothing of what was to be read, only of us.
    pub fn has_failed(&self) -> bool {
        matches!(self, Reading::Failed)
    }

    /// The same of a reference to the value.
    pub fn as_ref(&self) -> Reading<&T> {
        match self {
            Reading::Seen(value) => Reading::Seen(value),
            Reading::Gone => Reading::Gone,
            Reading::Denied => Reading::Denied,
            Reading::Unsupported => Reading::Unsupported,
            Reading::Failed => Reading::Failed,
        }
    }

    /// Applies `f` to a value that was read.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Reading<U> {
        self.and_then(|value| Reading::Seen(f(value)))
    }

    /// Goes on with `f` where a value was read.
    pub fn and_then<U>(self, f: impl FnOnce(T) -> Reading<U>) -> Reading<U> {
        match self {
            Reading::Seen(value) => f(value),
            Reading::Gone => Reading::Gone,
            Reading::Denied => Reading::Denied,
            Reading::Unsupported => Reading::Unsupported,
            Reading::Failed => Reading::Failed,
        }
    }

    /// What an I/O error means for a reading: ENOENT and ESRCH mean that the process left, EACCES and EPERM
    /// that we may not; want of descriptors or memory, and a device that fails, that we could not this time; everything
    /// else that it is not to be had.
    ///
    /// ENOENT means `Gone` only for paths that every process has. Where the kernel may lack the file itself,
    /// the caller says `Unsupported`.
    pub fn from_error(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH) => Reading::Gone,
            Some(libc::EACCES | libc::EPERM) => Reading::Denied,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS | libc::EIO) => Reading::Failed,
            _ => match error.kind() {
                io::ErrorKind::NotFound => Reading::Gone,
                io::ErrorKind::PermissionDenied => Reading::Denied,
                _ => Reading::Unsupported,
            },
        }
    }
}

impl<T> From<io::Result<T>> for Reading<T> {
    fn from(result: io::Result<T>) -> Self {
        match result {
            Ok(value) => Reading::Seen(value),
            Err(error) => Reading::from_error(&error),
        }
    }
}

/// When something was read, stamped by the reader at the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "(u64, u64, u32)", into = "(u64, u64, u32)")]
pub struct Moment {
    /// CLOCK_BOOTTIME: for arithmetic. It goes on while the machine sleeps and never jumps.
    pub since_boot: Duration,
    /// Wall clock: for people only.
    pub wall: SystemTime,
}

impl Moment {
    /// Seconds from `earlier` to `self`; zero where `earlier` is the later one.
    pub fn seconds_since(&self, earlier: &Moment) -> f64 {
        self.since_boot.saturating_sub(earlier.since_boot).as_secs_f64()
    }
}

/// As it is written down: nanoseconds since boot, and seconds and nanoseconds of the wall clock since 1970.
impl From<Moment> for (u64, u64, u32) {
    fn from(moment: Moment) -> Self {
        let wall = moment.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since_boot = u64::try_from(moment.since_boot.as_nanos()).unwrap_or(u64::MAX);
        (since_boot, wall.as_secs(), wall.subsec_nanos())
    }
}

impl From<(u64, u64, u32)> for Moment {
    fn from((since_boot, seconds, nanos): (u64, u64, u32)) -> Self {
        // More nanoseconds than a second has are none that were written here.
        let wall = Duration::new(seconds, nanos.min(999_999_999));
        Moment {
            since_boot: Duration::from_nanos(since_boot),
            wall: UNIX_EPOCH.checked_add(wall).unwrap_or(UNIX_EPOCH),
        }
    }
}

/// Writes a wall-clock time as seconds and nanoseconds since 1970.
pub mod wall {
    use super::{Duration, SystemTime, UNIX_EPOCH};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// For `#[serde(with)]`; a time before 1970 becomes 1970.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        (since.as_secs(), since.subsec_nanos()).serialize(serializer)
    }

    /// For `#[serde(with)]`; a time that the system cannot hold becomes 1970.
    ///
    /// # Errors
    /// What the format says.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        let (seconds, nanos) = <(u64, u32)>::deserialize(deserializer)?;
        Ok(UNIX_EPOCH.checked_add(Duration::new(seconds, nanos.min(999_999_999))).unwrap_or(UNIX_EPOCH))
    }
}

/// The route by which a number came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// Files of `/proc/PID`.
    Procfs,
    /// A BPF iterator over the kernel's own tables.
    KernelIterator,
    /// NETLINK_SOCK_DIAG in the process's network namespace.
    SockDiag,
    /// Files of the cgroup hierarchy.
    Cgroup,
    /// The Go runtime's own variables, read from the process's memory.
    RuntimeMemory,
}

/// A reading with its moment and its route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped<T> {
    /// When it was read.
    pub at: Moment,
    /// How it was read.
    pub via: Via,
    /// What came of it.
    pub reading: Reading<T>,
}

impl<T> Stamped<T> {
    /// What stands for a number that nobody tried to read, as in a recording that is older than the number. Made
    /// for `#[serde(default = "Stamped::not_read")]`.
    pub fn not_read() -> Self {
        let at = Moment { since_boot: Duration::ZERO, wall: UNIX_EPOCH };
        Stamped { at, via: Via::Procfs, reading: Reading::Unsupported }
    }

    /// The value, where there is one.
    pub fn seen(&self) -> Option<&T> {
        self.reading.seen()
    }
}

/// Growth per second between two totals; `None` where the counter began again or no time passed.
pub fn per_second(before: u64, after: u64, span: Duration) -> Option<f64> {
    let grown = after.checked_sub(before)?;
    (!span.is_zero()).then(|| grown as f64 / span.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::{Reading, per_second};
    use std::io;
    use std::time::Duration;

    #[test]
    fn an_error_says_which_kind_of_nothing() {
        for (errno, expected) in [
            (libc::ENOENT, Reading::Gone),
            (libc::ESRCH, Reading::Gone),
            (libc::EACCES, Reading::Denied),
            (libc::EPERM, Reading::Denied),
            (libc::EINVAL, Reading::Unsupported),
            (libc::EMFILE, Reading::Failed),
            (libc::ENFILE, Reading::Failed),
            (libc::ENOMEM, Reading::Failed),
            (libc::EIO, Reading::Failed),
        ] {
            assert_eq!(
                Reading::<u64>::from_error(&io::Error::from_raw_os_error(errno)),
                expected,
                "errno {errno}"
            );
        }
    }

    #[test]
    fn a_shrinking_counter_is_a_restart() {
        assert_eq!(per_second(10, 30, Duration::from_secs(4)), Some(5.0));
        assert_eq!(per_second(30, 10, Duration::from_secs(4)), None);
        assert_eq!(per_second(10, 30, Duration::ZERO), None);
    }
}
