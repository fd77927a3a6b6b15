//! Inode numbers as a clock, for sockets that no kernel dates.
//!
//! Sockets, pipes and what is below `/proc` take their numbers from one counter, 1,024 at a time for each processor
//! (`get_next_ino`, `fs/inode.c`): within such a block their order is that of their making, across blocks nearly. Those
//! of which the time is known say between which times another one was made. Nothing is reckoned by the rate at which
//! numbers go.

use crate::vocabulary::descriptor::DescriptorAge;
use std::time::Duration;

/// More are not needed: they are never farther apart than some seconds then.
const MAX_ANCHORS: usize = 65_536;
/// A bracket that is wider than this part of the age tells nothing.
const WIDEST: f64 = 0.25;
/// ... unless it is narrower than this, in seconds.
const NARROW_SECONDS: f64 = 2.0;

/// Numbers of which the age is known.
#[derive(Debug, Default)]
pub(super) struct InodeClock {
    anchors: Vec<(u64, f64)>,
}

impl InodeClock {
    /// Takes in a descriptor of any process; `wall` is now, since 1970.
    pub(super) fn note(&mut self, age: &DescriptorAge, wall: Duration) {
        if self.anchors.len() >= MAX_ANCHORS {
            return;
        }
        let seconds = match age.tcp {
            Some(tcp) if tcp.carried_data == Some(false) => tcp.idle().as_secs_f64(),
            Some(_) => return,
            // A pipe through which nothing went. Whatever else has a time of its own and a small number lies in a
            // file system with numbers of its own.
            None if age.is_pipe && age.untouched => wall.saturating_sub(age.changed).as_secs_f64(),
            None => return,
        };
        self.anchors.push((age.inode, seconds));
    }

    /// To be called when all were taken in.
    pub(super) fn ready(mut self) -> InodeClock {
        self.anchors.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.total_cmp(&a.1)));
        self.anchors.dedup_by_key(|anchor| anchor.0);
        self
    }

    /// Seconds since the inode of this number was made, and how far that may be off; `None` where its neighbours are too
    /// far apart.
    pub(super) fn age(&self, inode: u64) -> Option<(f64, f64)> {
        let index = self.anchors.partition_point(|(number, _)| *number < inode);
        let after = self.anchors.get(index)?;
        if after.0 == inode {
            return Some((after.1, 0.0));
        }
        let before = self.anchors.get(index.checked_sub(1)?)?;
        let width = (before.1 - after.1).abs();
        let part = (inode - before.0) as f64 / (after.0 - before.0).max(1) as f64;
        let age = before.1 + (after.1 - before.1) * part;
        (width <= NARROW_SECONDS || width <= WIDEST * age).then_some((age, width / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::InodeClock;

    #[test]
    fn a_number_lies_between_its_neighbours_in_time() {
        let clock = InodeClock { anchors: vec![(100, 60.0), (200, 50.0), (300, 1.0), (310, 0.0)] }.ready();
        assert_eq!(clock.age(150), Some((55.0, 5.0)));
        assert_eq!(clock.age(200), Some((50.0, 0.0)));
        assert_eq!(clock.age(305), Some((0.5, 0.5)));
        assert_eq!(clock.age(250), None, "half a minute apart");
        assert_eq!((clock.age(99), clock.age(311)), (None, None), "one neighbour only");
    }
}
