//! The lives of one program across its restarts: of each that has ended, when it was and how its totals ran, at a
//! resolution that is enough to see a line. Bounded in chains, in lives of each, and in values of each life.

use super::{Series, Window};
use crate::observed::{Sample, totals};
use crate::vocabulary::process::ProcessId;
use crate::vocabulary::reading::Moment;
use crate::vocabulary::signal::Signal;
use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

/// Chains of restarts that are remembered; the one that was added to longest ago is forgotten first.
pub const MAX_CHAINS: usize = 256;
/// Ended lives of each.
pub const MAX_LIVES: usize = 12;
/// Values of each series of a life.
pub const MAX_VALUES: usize = 24;

/// Totals that are followed from life to life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Total {
    /// Anonymous memory, swapped out or not.
    Memory,
    /// What collections found live.
    LiveHeap,
    /// Open descriptors.
    Descriptors,
    /// Goroutines.
    Goroutines,
}

impl Total {
    /// All of them.
    pub const ALL: [Total; 4] = [Total::Memory, Total::LiveHeap, Total::Descriptors, Total::Goroutines];

    /// The signal that it is.
    pub const fn signal(self) -> Signal {
        match self {
            Total::Memory => Signal::Anonymous,
            Total::LiveHeap => Signal::LiveHeap,
            Total::Descriptors => Signal::Descriptors,
            Total::Goroutines => Signal::Goroutines,
        }
    }

    fn read(self, sample: &Sample) -> Option<(Moment, f64)> {
        let (at, total) = totals::of(sample, self.signal())?;
        Some((at, total as f64))
    }
}

/// One life, as far as it was watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// Whose.
    pub process: ProcessId,
    /// Tells builds of the program apart.
    pub build: u64,
    /// What people call the build, where its build information names it.
    pub build_name: Option<String>,
    /// When the process started.
    pub started: SystemTime,
    /// Seconds after boot at which it started.
    pub began: f64,
    /// Seconds after boot of its first sample and of its newest.
    pub watched: (f64, f64),
    totals: [Series; 4],
}

/// Who lives it: what a window does not know.
#[derive(Clone, Debug)]
pub struct Born {
    /// Tells builds apart.
    pub build: u64,
    /// What people call the build.
    pub build_name: Option<String>,
    /// When the process started.
    pub started: SystemTime,
    /// The same in seconds after boot.
    pub began: f64,
}

impl Life {
    /// What `window` shows of a life; `None` for an empty one.
    pub fn of(window: &Window, born: Born) -> Option<Life> {
        let seconds = |sample: &Sample| sample.at.since_boot.as_secs_f64();
        let (first, last) = (seconds(window.samples().next()?), seconds(window.latest()?));
        Some(Life {
            process: window.process(),
            build: born.build,
            build_name: born.build_name,
            started: born.started,
            began: born.began,
            watched: (first, last),
            totals: Total::ALL.map(|total| thinned(window.series(|sample| total.read(sample)))),
        })
    }

    /// How one total ran, in seconds since the first sample.
    pub fn total(&self, total: Total) -> &Series {
        let index = Total::ALL.iter().position(|it| *it == total).unwrap_or(0);
        &self.totals[index]
    }

    /// Seconds from its start to its newest sample.
    pub fn seconds(&self) -> f64 {
        (self.watched.1 - self.began).max(0.0)
    }
}

/// Evenly chosen values, the first and the last among them.
fn thinned(series: Series) -> Series {
    let count = series.values.len();
    if count <= MAX_VALUES {
        return series;
    }
    let chosen = || (0..MAX_VALUES).map(|index| index * (count - 1) / (MAX_VALUES - 1));
    Series {
        seconds: chosen().map(|index| series.seconds[index]).collect(),
        values: chosen().map(|index| series.values[index]).collect(),
        gaps: series.gaps,
    }
}

/// The ended lives of all programs.
#[derive(Debug, Default)]
pub struct Lives {
    chains: HashMap<u64, Chain>,
    clock: u64,
}

#[derive(Debug, Default)]
struct Chain {
    lives: VecDeque<Life>,
    touched: u64,
}

impl Lives {
    /// Keeps a life that has ended, in its chain of restarts.
    pub fn keep(&mut self, lineage: u64, life: Life) {
        self.clock += 1;
        if !self.chains.contains_key(&lineage) && self.chains.len() >= MAX_CHAINS {
            let oldest = self.chains.iter().min_by_key(|(_, chain)| chain.touched).map(|(id, _)| *id);
            if let Some(oldest) = oldest {
                self.chains.remove(&oldest);
            }
        }
        let chain = self.chains.entry(lineage).or_default();
        chain.touched = self.clock;
        chain.lives.push_back(life);
        if chain.lives.len() > MAX_LIVES {
            chain.lives.pop_front();
        }
    }

    /// The ended lives of a chain, oldest first.
    pub fn of(&self, lineage: u64) -> impl Iterator<Item = &Life> {
        self.chains.get(&lineage).into_iter().flat_map(|chain| &chain.lives)
    }
}

#[cfg(test)]
mod tests {
    use super::{Born, Life, Lives, MAX_CHAINS, MAX_LIVES, MAX_VALUES, Total};
    use crate::judge::simulation::{Beat, PROCESS, sample};
    use crate::store::Window;
    use std::time::SystemTime;

    fn life(samples: u64) -> Life {
        let mut window = Window::new(PROCESS, 512);
        for second in 0..samples {
            let beat = Beat { anon_bytes: second << 20, files: second, ..Beat::default() };
            assert!(window.push(sample(second as f64, &beat)));
        }
        let born = Born { build: 1, build_name: None, started: SystemTime::UNIX_EPOCH, began: 990.0 };
        Life::of(&window, born).expect("samples")
    }

    #[test]
    fn a_life_keeps_its_ends_and_a_line_between() {
        let life = life(100);
        let memory = life.total(Total::Memory);
        assert_eq!(memory.values.len(), MAX_VALUES);
        assert_eq!((memory.seconds[0], memory.seconds[MAX_VALUES - 1]), (0.0, 99.0));
        assert_eq!(memory.values[MAX_VALUES - 1], f64::from(99 << 20));
        assert_eq!(life.seconds(), 109.0);
        assert!(life.total(Total::Goroutines).values.is_empty(), "no runtime was read");
        assert_eq!(life.total(Total::Descriptors).values[1], 4.0 + 4.0);
    }

    #[test]
    fn lives_and_chains_are_bounded() {
        let mut lives = Lives::default();
        let one = life(3);
        for _ in 0..MAX_LIVES + 5 {
            lives.keep(0, one.clone());
        }
        assert_eq!(lives.of(0).count(), MAX_LIVES);
        for chain in 1..=MAX_CHAINS as u64 {
            lives.keep(chain, one.clone());
        }
        assert_eq!(lives.chains.len(), MAX_CHAINS);
        assert_eq!(lives.of(0).count(), 0, "the oldest is forgotten");
        assert_eq!(lives.of(MAX_CHAINS as u64).count(), 1);
    }
}
