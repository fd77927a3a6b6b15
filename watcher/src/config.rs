//! What is true: the settings of one invocation, checked once.

use crate::cli;
pub use glob::Pattern;
use std::time::Duration;

/// Which processes are watched.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Every Go process of the host.
    AllGo,
    /// One process, Go or not.
    Pid(i32),
    /// Processes whose name or executable's file name matches, Go or not.
    Name(Pattern),
}

/// Settings that the agent's loop needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which processes are watched.
    pub selection: Selection,
    /// Time between two samples of a process.
    pub interval: Duration,
    /// When to stop by itself.
    pub duration: Option<Duration>,
    /// Samples kept per process.
    pub window_capacity: usize,
    /// What was typed about pprof endpoints.
    pub pprof: cli::Pprof,
}

/// Settings that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A pid is a positive number.
    #[error("{0} is no process id: process ids are positive")]
    BadPid(i32),
    /// Not a glob.
    #[error("{pattern:?} is no pattern: {why}")]
    BadPattern {
        /// As it was typed.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// Beats closer together than a sweep can be.
    #[error("an interval of {} s is too short: 100 ms is the shortest", .0.as_secs_f64())]
    IntervalTooShort(Duration),
    /// Too few samples for any verdict.
    #[error(
        "{} s are fewer than two intervals of {} s: watch longer or sample more often",
        duration.as_secs_f64(),
        interval.as_secs_f64()
    )]
    TooFewBeats {
        /// As it was typed.
        duration: Duration,
        /// As it was typed.
        interval: Duration,
    },
}

/// The shortest time between two beats.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// Samples kept per process: 45 s at 1 s beats unthinned, and some 50 KiB at the most.
pub const WINDOW_CAPACITY: usize = 96;

impl Config {
    /// Checks the settings of `watcher run`.
    ///
    /// # Errors
    /// Where they contradict themselves.
    pub fn for_run(args: &cli::Run) -> Result<Self, ConfigError> {
        let selection = selection(args.which.pid, args.which.name.as_deref())?;
        Self::check(selection, args.interval, args.duration).map(|config| config.with(&args.pprof))
    }

    /// Checks the settings of `watcher diagnose`.
    ///
    /// # Errors
    /// Where they contradict themselves.
    pub fn for_diagnose(args: &cli::Diagnose) -> Result<Self, ConfigError> {
        let selection = selection(args.which.pid, args.which.name.as_deref())?;
        // One look takes no time.
        if args.duration.is_zero() {
            let once = Self::check(selection, args.interval, None)?.with(&args.pprof);
            return Ok(Config { duration: Some(Duration::ZERO), ..once });
        }
        Self::check(selection, args.interval, Some(args.duration)).map(|config| config.with(&args.pprof))
    }

    /// Checks the settings of `watcher record`.
    ///
    /// # Errors
    /// Where they contradict themselves.
    pub fn for_record(args: &cli::Record) -> Result<Self, ConfigError> {
        let selection = selection(args.which.pid, args.which.name.as_deref())?;
        Self::check(selection, args.interval, Some(args.duration)).map(|config| config.with(&args.pprof))
    }

    fn with(self, pprof: &cli::Pprof) -> Self {
        Config { pprof: pprof.clone(), ..self }
    }

    fn check(
        selection: Selection,
        interval: Duration,
        duration: Option<Duration>,
    ) -> Result<Self, ConfigError> {
        if interval < SHORTEST_INTERVAL {
            return Err(ConfigError::IntervalTooShort(interval));
        }
        match duration {
            Some(duration) if duration < interval * 2 => Err(ConfigError::TooFewBeats { duration, interval }),
            _ => {
                let pprof = cli::Pprof::default();
                Ok(Config { selection, interval, duration, window_capacity: WINDOW_CAPACITY, pprof })
            }
        }
    }
}

/// What `--pid` and `--name` select; every Go process where neither is given.
///
/// # Errors
/// Where the pid or the pattern cannot be one.
pub fn selection(pid: Option<i32>, name: Option<&str>) -> Result<Selection, ConfigError> {
    match (pid, name) {
        (Some(pid), _) if pid <= 0 => Err(ConfigError::BadPid(pid)),
        (Some(pid), _) => Ok(Selection::Pid(pid)),
        (None, Some(pattern)) => Pattern::new(pattern).map(Selection::Name).map_err(|error| {
            ConfigError::BadPattern { pattern: pattern.to_owned(), why: error.msg.to_owned() }
        }),
        (None, None) => Ok(Selection::AllGo),
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, ConfigError, Selection, selection};
    use std::time::Duration;

    #[test]
    fn a_selection_is_checked() {
        assert!(matches!(selection(None, None), Ok(Selection::AllGo)));
        assert!(matches!(selection(Some(1), None), Ok(Selection::Pid(1))));
        assert_eq!(selection(Some(0), None).unwrap_err(), ConfigError::BadPid(0));
        assert!(selection(None, Some("prom*")).is_ok());
        assert!(matches!(selection(None, Some("a[")), Err(ConfigError::BadPattern { .. })));
    }

    #[test]
    fn beats_are_neither_too_close_nor_too_few() {
        let check =
            |interval, duration| Config::check(Selection::AllGo, Duration::from_millis(interval), duration);
        assert!(check(1000, None).is_ok());
        assert!(check(99, None).is_err());
        assert!(check(1000, Some(Duration::from_secs(2))).is_ok());
        assert!(check(1000, Some(Duration::from_millis(1999))).is_err());
        assert!(check(1000, Some(Duration::ZERO)).is_err());
    }
}
