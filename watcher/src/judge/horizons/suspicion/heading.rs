//! What rises at this very moment, and when it reaches its limit at this pace: by the newest few samples, so that one
//! knows in time. Nothing here accuses, and load that comes looks the same.

use crate::judge::terms::{Bounds, Kind};
use crate::observed::Sample;
use crate::store::Window;

/// The newest samples that are looked at.
const NEWEST: usize = 24;
/// Fewer values than this say nothing.
const MIN_VALUES: usize = 3;
/// A rise by fewer pieces than this is noise, and for bytes by less than so many.
const MIN_RISE_COUNT: f64 = 6.0;
const MIN_RISE_BYTES: f64 = 8.0 * 1024.0 * 1024.0;
/// ... and by this part of the level.
const MIN_RISE_SHARE: f64 = 0.02;

/// What rises, and where to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heading {
    /// Of what.
    pub kind: Kind,
    /// How much there is now, in the kind's unit; for sockets and files all descriptors.
    pub level: f64,
    /// The limit, in the same unit; `None` where there is none or it is not known.
    pub limit: Option<f64>,
    /// How fast it rose over the newest samples.
    pub per_second: f64,
    /// For so many seconds it has risen without a pause, as far as was looked.
    pub seconds: f64,
    /// Samples in them.
    pub samples: usize,
}

impl Heading {
    /// Seconds until the limit is reached at this pace.
    pub fn seconds_left(&self) -> Option<f64> {
        let left = (self.limit? - self.level).max(0.0);
        (self.per_second > 0.0).then(|| left / self.per_second)
    }

    /// It counts things, and not bytes.
    pub fn is_counted(&self) -> bool {
        !matches!(self.kind, Kind::Heap | Kind::Native)
    }
}

/// What rises without a pause over the newest samples; of several what reaches its limit first.
pub fn heading(window: &Window, bounds: &Bounds) -> Option<Heading> {
    let newest: Vec<&Sample> = window.samples().rev().take(NEWEST).collect();
    let latest = newest.first()?;
    let cgroup = latest.cgroup.seen();
    let limits = &bounds.limits;
    let task_limits = [
        bounds.limits.user_processes,
        cgroup.and_then(|cgroup| cgroup.pids_limit),
        bounds.is_go.then_some(GO_THREADS),
    ];
    type Read = fn(&Sample) -> Option<f64>;
    let memory_limit = cgroup.and_then(|cgroup| cgroup.memory_limit_bytes);
    let all: [(Kind, Option<u64>, Read); 6] =
        [
            (Kind::Fd, limits.open_files, |sample| Some(*sample.descriptors.seen()? as f64)),
            (Kind::Thread, task_limits.into_iter().flatten().min(), |sample| {
                Some(*sample.threads.seen()? as f64)
            }),
            (Kind::Child, task_limits[..2].iter().flatten().min().copied(), |sample| {
                Some(sample.children.seen()?.zombies as f64)
            }),
            (Kind::Mapping, limits.mappings, |sample| Some(*sample.mappings.seen()? as f64)),
            (Kind::Goroutine, None, |sample| Some(sample.runtime.seen()?.goroutines? as f64)),
            (Kind::Native, memory_limit, |sample| Some(sample.memory.seen()?.anon_bytes as f64)),
        ];
    let headings = all.into_iter().filter_map(|(kind, limit, read)| {
        let rise = Rise::of(&newest, read)?;
        let least = if kind == Kind::Native { MIN_RISE_BYTES } else { MIN_RISE_COUNT };
        let is_enough = rise.rise >= least.max(MIN_RISE_SHARE * rise.level);
        is_enough.then(|| Heading {
            kind,
            level: rise.level,
            limit: limit.map(|limit| limit as f64),
            per_second: rise.rise / rise.seconds,
            seconds: rise.seconds,
            samples: rise.samples,
        })
    });
    headings.min_by(|one, other| {
        let left = |it: &Heading| it.seconds_left().unwrap_or(f64::INFINITY);
        left(one).total_cmp(&left(other))
    })
}

/// Threads that a Go program may have unless it says otherwise (`runtime/debug.SetMaxThreads`).
const GO_THREADS: u64 = 10_000;

struct Rise {
    level: f64,
    rise: f64,
    seconds: f64,
    samples: usize,
}

impl Rise {
    /// The rise that goes back from the newest value for as long as each is higher than the one before it.
    fn of(newest: &[&Sample], read: impl Fn(&Sample) -> Option<f64>) -> Option<Rise> {
        let mut values = newest.iter().filter_map(|sample| Some((sample.at, read(sample)?)));
        let (at, level) = values.next()?;
        let (mut first, mut samples) = ((at, level), 1);
        for (earlier, value) in values {
            if value >= first.1 {
                break;
            }
            first = (earlier, value);
            samples += 1;
        }
        let seconds = at.seconds_since(&first.0);
        (samples >= MIN_VALUES && seconds > 0.0).then_some(Rise {
            level,
            rise: level - first.1,
            seconds,
            samples,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, heading};
    use crate::judge::simulation::{Beat, PROCESS, sample};
    use crate::judge::terms::Kind;
    use crate::store::Window;
    use crate::vocabulary::process::Limits;

    fn lived(beats: u32, files: impl Fn(u32) -> u64) -> Window {
        let mut window = Window::new(PROCESS, 96);
        for beat in 0..beats {
            let now = Beat { files: files(beat), ..Beat::default() };
            assert!(window.push(sample(f64::from(beat) * 10.0, &now)));
        }
        window
    }

    fn bounds() -> Bounds {
        Bounds { limits: Limits { open_files: Some(20_000), ..Limits::default() }, ..Bounds::default() }
    }

    #[test]
    fn three_values_tell_when_a_limit_is_reached() {
        let fills = lived(3, |beat| 20 + 1_660 * u64::from(beat));
        let heading = heading(&fills, &bounds()).expect("it rises");
        assert_eq!((heading.kind, heading.samples), (Kind::Fd, 3));
        let left = heading.seconds_left().expect("the limit is known");
        assert!((95.0..105.0).contains(&left), "{left}");
    }

    #[test]
    fn what_rests_wobbles_or_has_stopped_heads_nowhere() {
        assert_eq!(heading(&lived(9, |_| 500), &bounds()), None);
        assert_eq!(heading(&lived(9, |beat| 500 + 400 * u64::from(beat % 2)), &bounds()), None);
        assert_eq!(heading(&lived(9, |beat| 20 + 500 * u64::from(beat.min(5))), &bounds()), None);
        assert_eq!(heading(&lived(2, |beat| 20 + 500 * u64::from(beat)), &bounds()), None);
    }
}
