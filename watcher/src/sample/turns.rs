//! Whose turn it is: what is too costly to be read of every process in every beat is read of some of them.

use crate::vocabulary::process::ProcessId;
use std::collections::{HashMap, HashSet};

/// One process that waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Which process, as the caller counts them.
    pub index: usize,
    /// The beat of the last turn; `None` where there was none yet.
    pub last: Option<u64>,
    /// What the turn costs.
    pub cost: u64,
}

/// Those whose turn has come, and how much they cost.
///
/// Whoever never had a turn gets one, budget or not: a reading that nobody has taken yet is not to be told from
/// one that cannot be taken. Of the others those who have waited longest come first, one of them at least, so that
/// everybody's turn comes.
pub fn choose(mut waiting: Vec<Turn>, budget: u64) -> (Vec<usize>, u64) {
    waiting.sort_by_key(|turn| turn.last);
    let mut chosen = Vec::new();
    let mut cost = 0;
    let mut repeated = false;
    for turn in waiting {
        let fits = turn.last.is_none() || !repeated || cost + turn.cost <= budget;
        if !fits {
            break;
        }
        repeated |= turn.last.is_some();
        cost += turn.cost;
        chosen.push(turn.index);
    }
    (chosen, cost)
}

/// A reading that processes take turns in. Between its turns a process keeps what the last one brought.
#[derive(Debug)]
pub struct ByTurns<T> {
    kept: HashMap<ProcessId, Kept<T>>,
    chosen: HashSet<ProcessId>,
    beat: u64,
}

#[derive(Debug)]
struct Kept<T> {
    beat: u64,
    cost: u64,
    value: T,
}

impl<T> Default for ByTurns<T> {
    fn default() -> Self {
        ByTurns { kept: HashMap::new(), chosen: HashSet::new(), beat: 0 }
    }
}

impl<T: Clone> ByTurns<T> {
    /// Begins a beat: forgets who is watched no longer, and chooses whose turn it is.
    pub fn begin_beat(&mut self, watched: &HashSet<ProcessId>, budget: u64) {
        self.beat += 1;
        self.kept.retain(|id, _| watched.contains(id));
        let ids: Vec<ProcessId> = self.kept.keys().copied().collect();
        let turn = |(index, id): (usize, &ProcessId)| {
            let kept = self.kept.get(id)?;
            Some(Turn { index, last: Some(kept.beat), cost: kept.cost })
        };
        let waiting = ids.iter().enumerate().filter_map(turn).collect();
        self.chosen = choose(waiting, budget).0.into_iter().map(|index| ids[index]).collect();
    }

    /// The value of one process: read anew where it is its turn or its first time, otherwise as it was kept.
    /// `read` gives the value and what it has cost.
    pub fn value(&mut self, id: ProcessId, read: impl FnOnce() -> (T, u64)) -> T {
        if let Some(kept) = self.kept.get(&id)
            && !self.chosen.contains(&id)
        {
            return kept.value.clone();
        }
        let (value, cost) = read();
        self.kept.insert(id, Kept { beat: self.beat, cost, value: value.clone() });
        value
    }
}

#[cfg(test)]
mod tests {
    use super::{ByTurns, Turn, choose};
    use crate::vocabulary::process::ProcessId;

    fn chosen(waiting: &[(Option<u64>, u64)], budget: u64) -> Vec<usize> {
        let turns =
            waiting.iter().enumerate().map(|(index, (last, cost))| Turn { index, last: *last, cost: *cost });
        choose(turns.collect(), budget).0
    }

    #[test]
    fn who_waited_longest_comes_first() {
        for (waiting, budget, expected) in [
            (&[][..], 10, &[][..]),
            (&[(Some(3), 5), (Some(1), 5), (Some(2), 5)], 10, &[1, 2]),
            (&[(Some(1), 100), (Some(2), 1)], 10, &[0]),
            (&[(Some(2), 1), (None, 100), (None, 100)], 10, &[1, 2, 0]),
            (&[(Some(2), 1), (Some(3), 1), (None, 100)], 10, &[2, 0]),
            (&[(Some(1), 6), (Some(2), 5), (Some(3), 1)], 10, &[0]),
        ] {
            assert_eq!(chosen(waiting, budget), expected, "{waiting:?}");
        }
    }

    #[test]
    fn everybody_has_a_turn() {
        let mut last = vec![None; 50];
        let mut gap = 0;
        for beat in 1..200 {
            let turns = last.iter().enumerate().map(|(index, last)| Turn { index, last: *last, cost: 3 });
            for index in choose(turns.collect(), 10).0 {
                gap = gap.max(beat - last[index].unwrap_or(beat));
                last[index] = Some(beat);
            }
        }
        assert!(last.iter().all(|last| last.is_some()));
        assert!(gap <= 17, "somebody waited {gap} beats where 50/3 are needed");
    }

    #[test]
    fn values_are_kept_between_turns() {
        let ids = [1, 2, 3].map(|pid| ProcessId { pid, start_ticks: 7 });
        let watched = ids.into_iter().collect();
        let mut by_turns = ByTurns::default();
        let mut read_in = Vec::new();
        for beat in 0..4 {
            by_turns.begin_beat(&watched, 2);
            let values: Vec<i32> = ids.iter().map(|id| by_turns.value(*id, || (beat, 2))).collect();
            read_in.push(values);
        }
        // All at first, then one in each beat, the one that has waited longest.
        assert_eq!(read_in[0], [0, 0, 0]);
        for (beat, values) in (1..).zip(&read_in[1..]) {
            assert_eq!(values.iter().filter(|value| **value == beat).count(), 1, "{read_in:?}");
        }
        assert!(read_in[3].iter().all(|value| *value > 0), "{read_in:?}");
        by_turns.begin_beat(&[ids[0]].into(), 100);
        assert_eq!(by_turns.kept.len(), 1);
    }
}
