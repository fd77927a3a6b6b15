//! The captures of one process: the first, one between, and the newest of each kind. Never more.

use crate::observed::ages::Ages;
use crate::observed::anatomy::Anatomy;
use crate::observed::data_files::DataFiles;
use crate::observed::doubts::Doubt;
use crate::observed::goroutines::{GoroutineCapture, Member};
use crate::observed::heap::HeapCapture;
use crate::observed::ledger::{Descriptors, Ledger, Mappings, Spans, Tasks};
use crate::observed::pulls::{EndpointUse, PulledProfile};
use crate::vocabulary::reading::Moment;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How far back captures reach that tell of hours and days, ...
const LASTING: Duration = Duration::from_secs(2 * 86_400);
/// ... how far apart they are, ...
const LASTING_APART_SECONDS: f64 = 900.0;
/// ... and goroutines from which on none is kept.
const MAX_LASTING: u64 = 20_000;

/// A capture between the first and the newest that is nearer to the first than this part of the time is in the middle
/// of nothing.
const TOO_EARLY: f64 = 0.3;

/// What was captured of one process beside its samples.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    /// All goroutines.
    pub goroutines: Run<GoroutineCapture>,
    /// The same over as much as two days, and no more often than each quarter of an hour.
    pub lasting_goroutines: Run<GoroutineCapture>,
    /// What the heap holds, by stack.
    pub heap: Run<HeapCapture>,
    /// How old what it holds is.
    pub ages: Run<Ages>,
    /// Files in which it keeps data, as far as they are written.
    pub data_files: Run<DataFiles>,
    /// Descriptors, sockets among them, by the stack that opened them.
    pub descriptors: Run<Ledger<Descriptors>>,
    /// Mappings by the stack that asked for them.
    pub mappings: Run<Ledger<Mappings>>,
    /// OS threads by the stack that started them.
    pub threads: Run<Ledger<Tasks>>,
    /// Child processes by the stack that started them.
    pub children: Run<Ledger<Tasks>>,
    /// Spans of the heap by the stack that filled them, in programs that record no heap profile.
    pub spans: Run<Ledger<Spans>>,
    /// What resident memory consists of, measured mapping by mapping: the newest.
    pub anatomy: Option<Anatomy>,
    /// Ledgers that are not kept of this process, and why.
    pub without_ledger: Vec<(LedgerName, String)>,
    /// What its endpoint said.
    pub pulls: Pulls,
    /// Why the Go runtime is not read, in a sentence's part; `None` where it is.
    pub no_runtime: Option<String>,
    /// What makes what was read of the runtime less sure: the newest.
    pub doubts: Vec<Doubt>,
    /// Path of the main module, where the program was built from one: what belongs to it is the program's own.
    pub main_module: Option<Arc<str>>,
}

/// The ledgers that can be kept of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerName {
    /// Who opened descriptors.
    Descriptors,
    /// Who mapped memory.
    Mappings,
    /// Who started threads and children.
    Tasks,
    /// Who started goroutines, with their whole stacks.
    Births,
    /// Who filled spans of the heap.
    Spans,
}

/// Profiles from the endpoint of a process.
#[derive(Clone, Debug, Default)]
pub struct Pulls {
    /// All goroutines.
    pub goroutines: Run<PulledProfile>,
    /// What the heap holds.
    pub heap: Run<PulledProfile>,
    /// Goroutines that Go itself says nothing can wake: the newest.
    pub leaked: Option<PulledProfile>,
    /// Where the endpoint is and what asking it took; `None` where nothing was asked.
    pub used: Option<EndpointUse>,
}

impl Pulls {
    /// The same before profiles that were pulled are added.
    pub fn move_on(&mut self, now: Moment, reach: Duration) {
        self.goroutines.move_on(now, reach, |it| it.at);
        self.heap.move_on(now, reach, |it| it.at);
        self.leaked.take_if(|it| now.seconds_since(&it.at) > reach.as_secs_f64());
    }
}

/// The first capture, one between, and the newest. Where a window forgets what is older than its reach, the run moves
/// on with it: see [`Captures::move_on`].
#[derive(Clone, Debug)]
pub struct Run<T> {
    kept: Vec<T>,
}

impl<T> Default for Run<T> {
    fn default() -> Self {
        Run { kept: Vec::new() }
    }
}

impl<T> Run<T> {
    /// Adds the newest capture. The first two stay, the third makes room for it.
    pub fn push(&mut self, capture: T) {
        self.kept.truncate(2);
        self.kept.push(capture);
    }

    /// Makes room for a capture at `now` such that the one between stays near the middle: where it is too near to the
    /// first by now, the newest takes its place.
    fn spread(&mut self, now: Moment, at: impl Fn(&T) -> Moment) {
        let [first, between, _] = &self.kept[..] else { return };
        let after_first = |moment: Moment| moment.seconds_since(&at(first));
        if after_first(at(between)) < TOO_EARLY * after_first(now) {
            self.kept.remove(1);
        }
    }

    /// Makes room for a capture that is to be the one between.
    fn keep_first(&mut self) {
        self.kept.truncate(1);
    }

    /// Makes room for a capture at `now` in a run that reaches back for no longer than `reach`. What is older goes, and
    /// the one that was between comes to be the first. So that it is neither as old as the first nor as young as the
    /// newest then, the newest takes its place once, when the run is half as long as it may be.
    fn move_on(&mut self, now: Moment, reach: Duration, at: impl Fn(&T) -> Moment) {
        let reach = reach.as_secs_f64();
        self.kept.retain(|capture| now.seconds_since(&at(capture)) <= reach);
        if let [first, between, newest] = &self.kept[..] {
            let after_first = |capture| at(capture).seconds_since(&at(first));
            if after_first(newest) >= reach / 2.0 && after_first(between) < reach / 4.0 {
                self.kept.remove(1);
            }
        }
    }

    /// The oldest.
    pub fn first(&self) -> Option<&T> {
        self.kept.first()
    }

    /// The newest.
    pub fn last(&self) -> Option<&T> {
        self.kept.last()
    }

    /// The oldest and the newest, where these are two.
    pub fn ends(&self) -> Option<(&T, &T)> {
        match &self.kept[..] {
            [first, .., last] => Some((first, last)),
            _ => None,
        }
    }

    /// All but the newest, oldest first.
    pub fn earlier(&self) -> impl Iterator<Item = &T> {
        self.kept.split_last().map(|(_, earlier)| earlier).unwrap_or_default().iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl Captures {
    /// To be called before anything is captured at `now`: what lies between the first capture and the newest stays near
    /// the middle.
    pub fn spread(&mut self, now: Moment) {
        self.goroutines.spread(now, |it| it.at);
        self.heap.spread(now, |it| it.at);
        self.data_files.spread(now, |it| it.at);
        self.descriptors.spread(now, |it| it.at);
        self.mappings.spread(now, |it| it.at);
        self.threads.spread(now, |it| it.at);
        self.children.spread(now, |it| it.at);
        self.spans.spread(now, |it| it.at);
    }

    /// To be called before everything is captured in the middle of a watch: what was captured since its begin makes
    /// room for that.
    pub fn keep_first(&mut self) {
        self.goroutines.keep_first();
        self.heap.keep_first();
        self.data_files.keep_first();
        self.descriptors.keep_first();
        self.mappings.keep_first();
        self.threads.keep_first();
        self.children.keep_first();
        self.spans.keep_first();
    }

    /// To be called before goroutines, heap and data files are captured at `now`: what is older than the `reach` of the
    /// window makes room, so that captures tell of the same time as the samples do. Ledgers begin anew by themselves.
    pub fn move_on(&mut self, now: Moment, reach: Duration) {
        self.goroutines.move_on(now, reach, |it| it.at);
        self.heap.move_on(now, reach, |it| it.at);
        self.data_files.move_on(now, reach, |it| it.at);
        self.ages.move_on(now, reach, |it| it.at);
    }

    /// Keeps a capture of goroutines for comparisons over hours and days, unless one was kept a short while ago. Of a
    /// process with very many of them none is kept.
    pub fn keep_lasting(&mut self, capture: &GoroutineCapture) {
        let run = &mut self.lasting_goroutines;
        let is_recent =
            run.last().is_some_and(|last| capture.at.seconds_since(&last.at) < LASTING_APART_SECONDS);
        if is_recent || capture.total > MAX_LASTING {
            return;
        }
        run.move_on(capture.at, LASTING, |it| it.at);
        run.spread(capture.at, |it| it.at);
        run.push(capture.clone());
    }

    /// When the newest capture of goroutines was taken.
    pub fn newest(&self) -> Option<Moment> {
        self.goroutines.last().map(|capture| capture.at)
    }
}

/// Goroutines that are in both captures: as they were in the earlier, and as they are in the later one.
pub fn survivors<'a>(
    earlier: &'a GoroutineCapture,
    later: &'a GoroutineCapture,
) -> impl Iterator<Item = (&'a Member, &'a Member)> {
    let before: HashMap<u64, &Member> = earlier.members.iter().map(|member| (member.id, member)).collect();
    later.members.iter().filter_map(move |after| Some((*before.get(&after.id)?, after)))
}

#[cfg(test)]
mod tests {
    use super::{Captures, Run};
    use crate::judge::simulation::moment;
    use crate::observed::data_files::DataFiles;
    use std::time::Duration;

    /// An hour of reach, and one capture each minute for so long. The ages of those that are kept, in minutes.
    fn ages_after(minutes: u32) -> Vec<f64> {
        let mut captures = Captures::default();
        for minute in 0..=minutes {
            let at = moment(f64::from(minute) * 60.0);
            captures.move_on(at, Duration::from_secs(3_600));
            captures.data_files.push(DataFiles { at, files: Vec::new() });
        }
        let now = moment(f64::from(minutes) * 60.0);
        let run = &captures.data_files;
        run.earlier().chain(run.last()).map(|it| now.seconds_since(&it.at) / 60.0).collect()
    }

    #[test]
    fn a_run_of_days_reaches_back_no_further_than_the_window_and_has_one_between() {
        assert_eq!(ages_after(20), [20.0, 19.0, 0.0], "as it began");
        assert_eq!(ages_after(60), [60.0, 29.0 + 1.0, 0.0]);
        for minutes in (100..=3 * 24 * 60).step_by(7) {
            let ages = ages_after(minutes);
            let [first, between, 0.0] = ages[..] else { panic!("{minutes}: {ages:?}") };
            assert!((30.0..=60.0).contains(&first), "{minutes}: {ages:?}");
            assert!(between < first, "{minutes}: {ages:?}");
        }
    }

    #[test]
    fn the_capture_between_stays_near_the_middle_however_long_a_run_goes_on() {
        let mut captures = Captures::default();
        let mut second = 2.0;
        while second < 90_000.0 {
            let at = moment(second);
            captures.spread(at);
            captures.data_files.push(DataFiles { at, files: Vec::new() });
            if let [between] = captures.data_files.earlier().skip(1).collect::<Vec<_>>()[..] {
                let part = between.at.seconds_since(&moment(2.0)) / (second - 2.0).max(1.0);
                assert!(second < 10.0 || (0.29..=0.81).contains(&part), "{second}: {part}");
            }
            second = (second * 1.25).max(second + 2.0);
        }
        captures.keep_first();
        assert_eq!(captures.data_files.len(), 1);
    }

    #[test]
    fn after_a_long_pause_a_run_begins_anew() {
        let mut captures = Captures::default();
        for minute in [0.0, 1.0, 2.0, 500.0] {
            let at = moment(minute * 60.0);
            captures.move_on(at, Duration::from_secs(3_600));
            captures.data_files.push(DataFiles { at, files: Vec::new() });
        }
        assert_eq!(captures.data_files.len(), 1);
    }

    #[test]
    fn a_run_keeps_its_ends_and_one_between() {
        let mut run = Run::default();
        assert_eq!((run.ends(), run.is_empty()), (None, true));
        run.push(1);
        assert_eq!((run.first(), run.last(), run.ends()), (Some(&1), Some(&1), None));
        for number in 2..9 {
            run.push(number);
            assert_eq!(run.ends(), Some((&1, &number)));
        }
        assert_eq!(run.earlier().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(run.len(), 3);
    }
}
