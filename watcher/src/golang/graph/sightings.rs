//! Several readings of one program, and what they say together of goroutines that wait for ever.
//!
//! A leak stays where it is, and a mistake of one reading does not repeat itself in the next for the same goroutine: a
//! goroutine is accused only where every reading does so, and where it has not run in between. A reference that is moved
//! from one place of the heap to another all the time escapes about two readings of five; ten of them in a row it does
//! not.

use super::leaked::{Stuck, Verdict};
use std::collections::HashMap;

/// So many readings make it likely.
pub const FOR_LIKELY: u32 = 3;
/// So many make it proven, if they lie over [`SECONDS_FOR_PROVEN`] and [`COLLECTIONS_FOR_PROVEN`].
pub const FOR_PROVEN: u32 = 10;
/// Whoever has something only in registers for so long is not met.
pub const SECONDS_FOR_PROVEN: f64 = 60.0;
/// Collections that have to fall between the first reading and the last.
pub const COLLECTIONS_FOR_PROVEN: u32 = 2;

/// How sure it is that a goroutine can never go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    /// A few readings agree.
    Likely,
    /// Many readings agree, over a minute and two collections at least.
    Proven,
}

impl Certainty {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Certainty::Likely => "likely",
            Certainty::Proven => "proven",
        }
    }
}

/// What stands in the way of calling anything proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// Readings that could be used.
    Readings(u32),
    /// Time between the first and the last, in whole seconds.
    Seconds(u32),
    /// Collections between the first and the last.
    Collections(u32),
    /// The goroutine that runs finalizers was held up in nearly all readings, and what waits for it is not seen.
    FinalizersWait,
}

/// Readings of one program.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// Accused by every reading so far; the newest reading of each.
    accused: HashMap<u64, Stuck>,
    readings: u32,
    discarded_in_a_row: u32,
    first: Option<(f64, u32)>,
    latest: (f64, u32),
    /// Readings in which no finalizer waited to be run.
    without_finalizers: u32,
    latest_live_bytes: u64,
}

impl Sightings {
    /// Takes in a reading made at `seconds` of any clock, when the runtime had made so many `collections`;
    /// `marked_bytes` is what the last of them found alive. `false` where the reading is of no use.
    pub fn add(
        &mut self,
        verdict: &Verdict,
        seconds: f64,
        collections: u32,
        marked_bytes: Option<u64>,
    ) -> bool {
        // A reading that finds much less than the collector did has lost its way: a map whose new table it missed, say.
        // A program may let go of much at once too; then the next readings say the same.
        const LARGE_BYTES: u64 = 1 << 20;
        const MAX_DISCARDED_IN_A_ROW: u32 = 2;
        let before = if self.readings == 0 { u64::MAX } else { self.latest_live_bytes };
        let expected = marked_bytes.unwrap_or(0).min(before);
        let is_far_below = expected > LARGE_BYTES && verdict.live_bytes < expected / 2;
        if verdict.has_gaps || (is_far_below && self.discarded_in_a_row < MAX_DISCARDED_IN_A_ROW) {
            self.discarded_in_a_row += 1;
            return false;
        }
        self.discarded_in_a_row = 0;
        self.latest_live_bytes = verdict.live_bytes;
        let seen = verdict.stuck.iter().map(|stuck| (stuck.id, stuck.clone()));
        if self.readings == 0 {
            self.accused = seen.collect();
        } else {
            let now: HashMap<u64, Stuck> = seen.collect();
            self.accused.retain(|id, before| {
                let same = now.get(id).filter(|stuck| {
                    stuck.waiting_since_nanos == before.waiting_since_nanos
                        && stuck.stack_pointer == before.stack_pointer
                });
                if let Some(stuck) = same {
                    before.clone_from(stuck);
                }
                same.is_some()
            });
        }
        self.readings += 1;
        self.without_finalizers += u32::from(!verdict.finalizers_wait);
        self.first.get_or_insert((seconds, collections));
        self.latest = (seconds, collections);
        true
    }

    /// Whether nobody is accused any more: further readings change nothing.
    pub fn is_settled(&self) -> bool {
        self.readings > 0 && self.accused.is_empty()
    }

    /// Seconds and collections between the first reading and the last.
    fn span(&self) -> (f64, u32) {
        self.first.map_or((0.0, 0), |(seconds, collections)| {
            (self.latest.0 - seconds, self.latest.1.wrapping_sub(collections))
        })
    }

    /// What is lacking for proof; empty where it is proven.
    pub fn lacking(&self) -> Vec<Lacking> {
        let (seconds, collections) = self.span();
        let mut lacking = Vec::new();
        if self.readings < FOR_PROVEN {
            lacking.push(Lacking::Readings(FOR_PROVEN - self.readings));
        }
        if seconds < SECONDS_FOR_PROVEN {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 60")]
            lacking.push(Lacking::Seconds((SECONDS_FOR_PROVEN - seconds).ceil() as u32));
        }
        if collections < COLLECTIONS_FOR_PROVEN {
            lacking.push(Lacking::Collections(COLLECTIONS_FOR_PROVEN - collections));
        }
        if self.readings > 0 && self.without_finalizers < FOR_LIKELY {
            lacking.push(Lacking::FinalizersWait);
        }
        lacking
    }

    /// The goroutines that can never go on, by number, and how sure that is. Empty after too few readings.
    pub fn accused(&self) -> Vec<(Stuck, Certainty)> {
        if self.readings < FOR_LIKELY {
            return Vec::new();
        }
        let certainty = if self.lacking().is_empty() { Certainty::Proven } else { Certainty::Likely };
        let mut accused: Vec<Stuck> = self.accused.values().cloned().collect();
        accused.sort_by_key(|stuck| stuck.id);
        accused.into_iter().map(|stuck| (stuck, certainty)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::leaked::{Stuck, Verdict};
    use super::{Certainty, Lacking, Sightings};

    fn stuck(id: u64, since: u64) -> Stuck {
        Stuck {
            id,
            stack_pointer: 0x1000,
            waiting_since_nanos: since,
            waits_on: vec![0xc0_0000_0000],
            held_objects: 1,
            held_bytes: 96,
            stack_bytes: 2048,
        }
    }

    fn verdict(ids: &[u64]) -> Verdict {
        let stuck = ids.iter().map(|id| stuck(*id, 7)).collect();
        Verdict { stuck, live_bytes: 4 << 20, ..Verdict::default() }
    }

    fn ids(sightings: &Sightings) -> Vec<u64> {
        sightings.accused().iter().map(|(stuck, _)| stuck.id).collect()
    }

    #[test]
    fn one_sighting_of_a_way_out_acquits_for_ever() {
        let mut sightings = Sightings::default();
        for (second, seen) in [&[1, 2, 3][..], &[1, 3], &[1, 2, 3, 4]].iter().enumerate() {
            assert!(sightings.add(&verdict(seen), second as f64, 5, Some(4 << 20)));
            if second < 2 {
                assert_eq!(ids(&sightings), [0; 0], "too few readings");
            }
        }
        assert_eq!(ids(&sightings), [1, 3]);
        let mut ran = verdict(&[1, 3]);
        ran.stuck[0].waiting_since_nanos = 8;
        sightings.add(&ran, 3.0, 5, None);
        assert_eq!(ids(&sightings), [3], "it has run in between");
        sightings.add(&verdict(&[]), 4.0, 5, None);
        assert!(sightings.is_settled());
    }

    #[test]
    fn proof_takes_readings_time_and_collections() {
        let read = |readings: u32, seconds: f64, collections: u32| {
            let mut sightings = Sightings::default();
            for reading in 0..readings {
                let part = f64::from(reading) / f64::from(readings - 1);
                sightings.add(
                    &verdict(&[1]),
                    part * seconds,
                    3 + reading * collections / (readings - 1),
                    None,
                );
            }
            (sightings.accused()[0].1, sightings.lacking())
        };
        assert_eq!(read(10, 60.0, 2), (Certainty::Proven, vec![]));
        assert_eq!(read(9, 60.0, 2), (Certainty::Likely, vec![Lacking::Readings(1)]));
        assert_eq!(read(12, 50.5, 2), (Certainty::Likely, vec![Lacking::Seconds(10)]));
        assert_eq!(read(12, 80.0, 1), (Certainty::Likely, vec![Lacking::Collections(1)]));
    }

    #[test]
    fn nothing_is_proven_while_finalizers_wait_to_be_run() {
        let is_proven = |waiting: u32| {
            let mut sightings = Sightings::default();
            for reading in 0..12 {
                let verdict = Verdict { finalizers_wait: reading < waiting, ..verdict(&[1]) };
                sightings.add(&verdict, 6.0 * f64::from(reading), reading, None);
            }
            sightings.accused()[0].1 == Certainty::Proven
        };
        assert_eq!([0, 9, 10, 12].map(is_proven), [true, true, false, false]);
    }

    #[test]
    fn readings_that_lost_their_way_are_not_used() {
        let mut sightings = Sightings::default();
        let lost = Verdict { live_bytes: 1 << 20, ..verdict(&[9]) };
        assert!(!sightings.add(&lost, 0.0, 1, Some(4 << 20)));
        assert!(sightings.add(&verdict(&[1]), 1.0, 1, Some(4 << 20)));
        assert!(!sightings.add(&Verdict { has_gaps: true, ..verdict(&[1]) }, 1.0, 1, Some(4 << 20)));
        assert!(!sightings.add(&lost, 2.0, 1, Some(4 << 20)));
        assert_eq!(sightings.readings, 1);
        // One that goes on saying so is right: the program has let go of it.
        assert!(sightings.add(&lost, 2.0, 1, Some(4 << 20)));
    }
}
