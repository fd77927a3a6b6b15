//! What is known of one process that is watched. It has one owner, so that all of it comes and goes with the process.

use crate::judge::horizons::ladder::Ladder;
use crate::observed::Sample;
use crate::store::Window;
use crate::vocabulary::process::Target;
use std::time::Duration;

/// One process, as far as it was seen.
#[derive(Debug)]
pub(super) struct Watched {
    /// What was seen lately, and what was captured beside it.
    pub window: Window,
    /// What the horizons say of its history.
    pub ladder: Ladder,
}

impl Watched {
    /// A process of which nothing was seen yet. Its window holds so many samples, and none that is older than `reach`.
    pub fn new(target: &Target, capacity: usize, reach: Option<Duration>) -> Watched {
        let mut window = Window::new(target.id, capacity);
        window.keep_for(reach);
        let module = target.go.as_ref().and_then(|go| go.module_path());
        window.captures_mut().main_module = module.map(Into::into);
        // Not all processes have their turn at once.
        Watched { window, ladder: Ladder::new(target.id.pid.unsigned_abs()) }
    }

    /// Takes in the next sample, and looks over those horizons whose time has come.
    pub fn take_in(&mut self, sample: Sample) {
        self.window.push(sample);
        self.ladder.look(self.window.history());
    }
}

#[cfg(test)]
mod tests {
    use super::Watched;
    use crate::explain::tests::target;
    use crate::judge::simulation::{Beat, sample};
    use crate::judge::terms::Kind;
    use crate::observed::Sample;
    use std::time::Duration;

    fn watched(reach: Option<Duration>, minutes: u32, files: impl Fn(u32) -> u64) -> Watched {
        let target = target();
        let mut watched = Watched::new(&target, 64, reach);
        for minute in 0..minutes {
            let beat = Beat { files: files(minute), ..Beat::default() };
            watched.take_in(Sample { process: target.id, ..sample(60.0 * f64::from(minute), &beat) });
        }
        watched
    }

    #[test]
    fn a_window_holds_so_many_samples_and_none_that_is_older_than_its_reach() {
        assert_eq!(watched(None, 10, |_| 5).window.len(), 10);
        let full = watched(None, 200, |_| 5);
        assert!((32..=64).contains(&full.window.len()), "{}", full.window.len());
        let short = watched(Some(Duration::from_secs(600)), 30, |_| 5);
        assert!((10..=11).contains(&short.window.len()), "{}", short.window.len());
    }

    #[test]
    fn horizons_are_looked_over_with_each_sample() {
        let alarms = |it: &Watched| it.ladder.alarms().map(|alarm| alarm.kind).collect::<Vec<_>>();
        let two_a_minute = |minute: u32| 20 + 2 * u64::from(minute.saturating_sub(14 * 60));
        assert_eq!(alarms(&watched(None, 16 * 60, two_a_minute)), [Kind::Fd]);
        assert_eq!(alarms(&watched(None, 16 * 60, |_| 20)), []);
    }

    #[test]
    fn what_belongs_to_the_main_module_is_known_from_the_begin() {
        let path = target().go.as_ref().and_then(|go| go.module_path().map(str::to_owned));
        let watched = Watched::new(&target(), 8, None);
        assert_eq!(watched.window.captures().main_module.as_deref(), path.as_deref());
    }
}
