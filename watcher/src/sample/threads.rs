//! OS threads of a process by what they are.

use crate::observed::threads::{MAX_GROUPS, ThreadGroup, ThreadGroups};
use crate::vocabulary::task::ThreadState;
use std::collections::HashMap;

/// Counts the threads of one process.
#[derive(Debug, Default)]
pub struct Counter {
    counts: HashMap<(String, ThreadState), u64>,
    ungrouped: u64,
    total: u64,
}

/// Threads of further names are counted without a group while a process is visited; the bound lies far above
/// [`MAX_GROUPS`], so that the largest groups are found among the first names.
const MAX_NAMES: usize = 4096;

impl Counter {
    /// Adds one thread.
    pub fn add(&mut self, name: String, state: ThreadState) {
        self.total += 1;
        let key = (name, state);
        if self.counts.len() < MAX_NAMES || self.counts.contains_key(&key) {
            *self.counts.entry(key).or_default() += 1;
        } else {
            self.ungrouped += 1;
        }
    }

    /// All threads added so far.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The groups.
    pub fn finish(self) -> ThreadGroups {
        let groups = self.counts.into_iter().map(|((name, state), count)| ThreadGroup { name, state, count });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_unstable_by(|a, b| {
            b.count.cmp(&a.count).then_with(|| (&a.name, a.state).cmp(&(&b.name, b.state)))
        });
        let left = groups.split_off(groups.len().min(MAX_GROUPS));
        let ungrouped = self.ungrouped + left.iter().map(|group| group.count).sum::<u64>();
        ThreadGroups { groups, ungrouped }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counter, MAX_NAMES};
    use crate::observed::threads::MAX_GROUPS;
    use crate::vocabulary::task::ThreadState;

    #[test]
    fn largest_group_first() {
        let mut counter = Counter::default();
        for (name, state) in [
            ("b", ThreadState::Sleeping),
            ("a", ThreadState::Sleeping),
            ("a", ThreadState::Running),
            ("b", ThreadState::Sleeping),
        ] {
            counter.add(name.to_owned(), state);
        }
        assert_eq!(counter.total(), 4);
        let groups = counter.finish().groups;
        let groups: Vec<_> = groups.iter().map(|group| (&*group.name, group.state, group.count)).collect();
        assert_eq!(
            groups,
            [
                ("b", ThreadState::Sleeping, 2),
                ("a", ThreadState::Running, 1),
                ("a", ThreadState::Sleeping, 1)
            ]
        );
    }

    #[test]
    fn a_name_for_every_thread_is_bounded() {
        let mut counter = Counter::default();
        for thread in 0..MAX_NAMES as u64 + 100 {
            counter.add(format!("{thread}"), ThreadState::Sleeping);
            counter.add("pool".to_owned(), ThreadState::Sleeping);
        }
        let total = counter.total();
        let groups = counter.finish();
        assert_eq!(groups.groups.len(), MAX_GROUPS);
        assert_eq!(groups.groups[0].count, MAX_NAMES as u64 + 100);
        let grouped: u64 = groups.groups.iter().map(|group| group.count).sum();
        assert_eq!(grouped + groups.ungrouped, total);
    }
}
