//! What could not be read in a window, and how often: what a judgement lacks.

use crate::reading::{Reading, Stamped};
use crate::sample::Sample;
use crate::store::Window;

/// Something that could not be read, at least in some samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What.
    pub what: What,
    /// Samples in which the kernel refused it.
    pub denied: usize,
    /// Samples in which this kernel or process did not offer it.
    pub unsupported: usize,
    /// Samples of the window.
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
}

#[derive(Clone, Copy, PartialEq)]
enum Outcome {
    Fine,
    Denied,
    Unsupported,
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
    let count = |of: OutcomeOf, wanted| window.samples().filter(|sample| of(sample) == wanted).count();
    rows.iter()
        .map(|(what, of)| Gap {
            what: *what,
            denied: count(*of, Outcome::Denied),
            unsupported: count(*of, Outcome::Unsupported),
            samples: window.len(),
        })
        .filter(|gap| gap.denied + gap.unsupported > 0)
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
    }
}

#[cfg(test)]
mod tests {
    use super::{Gap, What, of};
    use crate::judge::simulation::{Beat, PROCESS, sample};
    use crate::reading::Reading;
    use crate::sample::runtime::GoCounters;
    use crate::store::Window;

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
            if second >= 9 {
                sample.threads.reading = Reading::Unsupported;
            }
            assert!(window.push(sample));
        }
        assert_eq!(of(&window), [Gap { what: What::Threads, denied: 6, unsupported: 1, samples: 10 }]);
    }
}
