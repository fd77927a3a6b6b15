//! What could not be read in a window, and how often: what a judgement lacks.

use crate::observed::Sample;
use crate::store::Window;
use crate::vocabulary::reading::{Reading, Stamped};

/// Something that could not be read, at least in some samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What.
    pub what: What,
    /// Samples in which the kernel refused it.
    pub denied: usize,
    /// Samples in which this kernel or process did not offer it.
    pub unsupported: usize,
    /// Samples in which we could not read it, for want of descriptors or memory.
    pub failed: usize,
    /// Samples of the window; of [`What::Beats`] all that were due.
    pub samples: usize,
}

/// The readings of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum What {
    /// Number of open descriptors.
    Descriptors,
    /// Open descriptors by type.
    DescriptorTypes,
    /// Sockets by state and peer.
    Connections,
    /// Number of OS threads.
    Threads,
    /// OS threads by name and state.
    ThreadGroups,
    /// Children.
    Children,
    /// Number of mappings.
    Mappings,
    /// Resident memory.
    Memory,
    /// Usage and limits of the cgroup.
    Cgroup,
    /// The Go runtime's own totals.
    Runtime,
    /// Whole beats: watcher itself stood still.
    Beats,
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Fine,
    Denied,
    Unsupported,
    Failed,
}

/// All gaps of a window, one for each reading that has any.
pub fn of(window: &Window) -> Vec<Gap> {
    let rows: [(What, OutcomeOf); 10] = [
        (What::Descriptors, |sample| outcome(&sample.descriptors)),
        (What::DescriptorTypes, |sample| outcome(&sample.descriptor_types)),
        (What::Connections, |sample| outcome(&sample.connections)),
        (What::Threads, |sample| outcome(&sample.threads)),
        (What::ThreadGroups, |sample| outcome(&sample.thread_groups)),
        (What::Children, |sample| outcome(&sample.children)),
        (What::Mappings, |sample| outcome(&sample.mappings)),
        (What::Memory, |sample| outcome(&sample.memory)),
        (What::Cgroup, |sample| outcome(&sample.cgroup)),
        (What::Runtime, |sample| outcome(&sample.runtime)),
    ];
    let missed = usize::try_from(window.missed_beats()).unwrap_or(usize::MAX);
    let beats = Gap {
        what: What::Beats,
        denied: 0,
        unsupported: 0,
        failed: missed,
        samples: window.len().saturating_add(missed),
    };
    let count = |of: OutcomeOf, wanted| window.samples().filter(|sample| of(sample) == wanted).count();
    rows.iter()
        .map(|(what, of)| Gap {
            what: *what,
            denied: count(*of, Outcome::Denied),
            unsupported: count(*of, Outcome::Unsupported),
            failed: count(*of, Outcome::Failed),
            samples: window.len(),
        })
        .chain([beats])
        .filter(|gap| gap.denied + gap.unsupported + gap.failed > 0)
        .collect()
}

/// The outcome of one of a sample's readings.
type OutcomeOf = fn(&Sample) -> Outcome;

/// A process that has left is no gap: it is gone.
fn outcome<T>(stamped: &Stamped<T>) -> Outcome {
    match stamped.reading {
        Reading::Seen(_) | Reading::Gone => Outcome::Fine,
        Reading::Denied => Outcome::Denied,
        Reading::Unsupported => Outcome::Unsupported,
        Reading::Failed => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::{Gap, What, of};
    use crate::judge::simulation::{Beat, PROCESS, sample};
    use crate::observed::go_counters::GoCounters;
    use crate::store::Window;
    use crate::vocabulary::reading::Reading;

    #[test]
    fn beats_that_were_missed_are_a_gap_of_the_windows_that_were_open() {
        let mut window = Window::new(PROCESS, 16);
        for (second, missed_beats) in [(0.0, 7), (1.0, 0), (17.0, 15), (18.0, 0), (21.0, 2)] {
            let beat = Beat { runtime: Some(GoCounters::default()), ..Beat::default() };
            assert!(window.push(crate::observed::Sample { missed_beats, ..sample(second, &beat) }));
        }
        let expected = Gap { what: What::Beats, denied: 0, unsupported: 0, failed: 17, samples: 22 };
        assert_eq!(of(&window), [expected]);
    }

    #[test]
    fn what_failed_is_counted_and_what_left_is_not() {
        let mut window = Window::new(PROCESS, 16);
        for second in 0..10_u32 {
            let runtime = Some(GoCounters::default());
            let mut sample = sample(f64::from(second), &Beat { runtime, ..Beat::default() });
            sample.memory.reading = Reading::Gone;
            if second >= 3 {
                sample.threads.reading = Reading::Denied;
            }
            if second >= 8 {
                sample.threads.reading = Reading::Failed;
            }
            if second >= 9 {
                sample.threads.reading = Reading::Unsupported;
            }
            assert!(window.push(sample));
        }
        let expected = Gap { what: What::Threads, denied: 5, unsupported: 1, failed: 1, samples: 10 };
        assert_eq!(of(&window), [expected]);
    }
}
