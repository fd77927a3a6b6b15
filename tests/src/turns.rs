//! Whose turn it is: as many cases at once as the machine bears, and what failed among them once more when it is calm.
//!
//! Most cases watch real programs for a fixed time. Where too many of them run at once each of them sees too little,
//! and machines differ: so the kernel is asked how much of the time somebody waits for a core, and a case begins only
//! where that is not most of it.

use std::fs;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// So many run at once however busy the machine is: somebody else may be what keeps it busy.
const WHATEVER_LOAD: usize = 4;
/// So many of those that failed run at once, beside nothing else.
const WHEN_CALM: usize = 3;
/// Over this part of the time somebody may wait for a core.
const MAX_WAITING: f64 = 0.7;
/// How long is looked for that.
const LOOK: Duration = Duration::from_millis(300);
/// So long nothing may have begun or ended before the machine is calm.
const CALM: Duration = Duration::from_secs(1);

/// Who runs.
#[derive(Debug)]
pub struct Turns {
    at_once: usize,
    state: Mutex<State>,
    changed: Condvar,
    /// Held by who is about to begin, so that each sees what the one before it brought.
    door: Mutex<()>,
    /// Held by a case that keeps a core busy for as long as it runs.
    core: Mutex<()>,
}

#[derive(Debug)]
struct State {
    running: usize,
    /// Those among others that run or wait for it.
    among_others: usize,
    changed: Instant,
}

/// Somebody's turn, until it is dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    turns: &'a Turns,
    is_among_others: bool,
    _core: Option<MutexGuard<'a, ()>>,
}

impl Turns {
    /// With so many at once at most.
    pub fn new(at_once: usize) -> Turns {
        Turns {
            at_once: at_once.max(1),
            state: Mutex::new(State { running: 0, among_others: 0, changed: Instant::now() }),
            changed: Condvar::new(),
            door: Mutex::new(()),
            core: Mutex::new(()),
        }
    }

    /// Waits for a turn among others. Of those that are `busy`, which keep a core for themselves, one runs at a time.
    pub fn among_others(&self, busy: bool) -> Turn<'_> {
        self.state().among_others += 1;
        let core = busy.then(|| self.core.lock().unwrap_or_else(PoisonError::into_inner));
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let state = self.state();
            let state = self
                .changed
                .wait_while(state, |state| state.running >= self.at_once)
                .unwrap_or_else(PoisonError::into_inner);
            let few = state.running < WHATEVER_LOAD;
            drop(state);
            if few || waiting_over(LOOK).is_none_or(|share| share <= MAX_WAITING) {
                break;
            }
        }
        self.state().begin();
        drop(door);
        Turn { turns: self, is_among_others: true, _core: core }
    }

    /// Waits until nobody is left that runs among others, and then for a turn among a few.
    pub fn when_calm(&self) -> Turn<'_> {
        let mut state = self.state();
        loop {
            let calm = state.among_others == 0 && state.changed.elapsed() >= CALM;
            if calm && state.running < WHEN_CALM {
                state.begin();
                return Turn { turns: self, is_among_others: false, _core: None };
            }
            state = self.changed.wait_timeout(state, CALM).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self) {
        self.running += 1;
        self.changed = Instant::now();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.running -= 1;
        state.among_others -= usize::from(self.is_among_others);
        state.changed = Instant::now();
        drop(state);
        self.turns.changed.notify_all();
    }
}

/// The part of `time`, from now on, over which some task waited for a core; `None` where this kernel does not count it.
/// Source: `Documentation/accounting/psi.rst`.
fn waiting_over(time: Duration) -> Option<f64> {
    let (before, began) = (waited()?, Instant::now());
    thread::sleep(time);
    let waited = waited()?.saturating_sub(before);
    Some(waited.as_secs_f64() / began.elapsed().as_secs_f64())
}

fn waited() -> Option<Duration> {
    total_of(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn total_of(pressure: &str) -> Option<Duration> {
    let some = pressure.lines().find(|line| line.starts_with("some "))?;
    let total = some.split_ascii_whitespace().find_map(|word| word.strip_prefix("total="))?;
    Some(Duration::from_micros(total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{Turns, total_of};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    #[test]
    fn never_more_at_once_and_of_busy_ones_one() {
        let turns = Turns::new(3);
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let run = |busy: bool, running: &AtomicUsize, most: &AtomicUsize| {
            let _turn = turns.among_others(busy);
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(30));
            running.fetch_sub(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for _ in 0..9 {
                scope.spawn(|| run(false, &running, &most));
            }
        });
        assert_eq!(most.swap(0, Ordering::SeqCst), 3);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| run(true, &running, &most));
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn who_failed_waits_for_all_that_run_among_others() {
        let turns = Turns::new(2);
        let ended = AtomicUsize::new(0);
        thread::scope(|scope| {
            let others: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let _turn = turns.among_others(false);
                        thread::sleep(Duration::from_millis(100));
                        ended.fetch_add(1, Ordering::SeqCst);
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(20));
            let _turn = turns.when_calm();
            assert_eq!(ended.load(Ordering::SeqCst), 4);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
    }

    #[test]
    fn the_kernels_count_is_in_microseconds() {
        let pressure = "some avg10=4.10 avg60=13.38 avg300=17.87 total=7637626782\n\
                        full avg10=0.00 avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!(total_of(pressure), Some(Duration::from_micros(7_637_626_782)));
        assert_eq!(total_of("full avg10=0.00 total=3\n"), None);
        assert_eq!(total_of("some avg10=0.00 total=x\n"), None);
    }
}
