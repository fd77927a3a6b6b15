use super::{Waiting, waiting};
use crate::golang::goroutines::labels::Labels;
use crate::golang::goroutines::{Goroutine, GoroutineGroup, GoroutineSnapshot, StackReading, Status};
use crate::golang::recorded::Recorded;
use crate::golang::{Memory, Unreadable};
use proptest::prelude::*;
use std::sync::Arc;

const STACK: u64 = 0xc000_0100_0000;
const POLLS: u64 = 0x7f00_0000_0000;
const FIRST: u64 = 0xc000_0000_1000;

fn group(wait_reason: &str) -> GoroutineGroup {
    GoroutineGroup {
        count: 1,
        status: Status::Waiting,
        wait_reason: Some(wait_reason.into()),
        frames: Arc::default(),
        addresses: Arc::default(),
        reading: StackReading::Complete,
        created_by: Arc::default(),
        start: None,
        labels: Arc::new(Labels::new()),
        is_system: false,
    }
}

/// Goroutines of the first group wait for a descriptor, those of the second for something else.
fn snapshot(groups: &[u32]) -> GoroutineSnapshot {
    let goroutine = |(index, group): (u64, &u32)| Goroutine {
        id: index + 1,
        parent_id: None,
        group: *group,
        waiting_since_nanos: None,
        address: FIRST + index * 0x200,
        locked_thread: None,
        stack_pointer: STACK + index * 0x1000,
    };
    GoroutineSnapshot {
        groups: vec![group("IO wait"), group("chan receive")],
        goroutines: (0..).zip(groups).map(goroutine).collect(),
        effort: crate::golang::goroutines::Effort::default(),
    }
}

/// The stack of the goroutine of this number, with these words at the places of these numbers.
fn stack(memory: Recorded, number: u64, words: &[(usize, u64)]) -> Recorded {
    let mut all = [0x45_0000; 128];
    for (place, word) in words {
        all[*place] = *word;
    }
    memory.with_words(STACK + number * 0x1000, &all)
}

const LINK: u64 = POLLS + 0x800;

#[test]
fn what_it_waits_for_is_told_by_its_own_stack_and_the_poller() {
    let memory = Recorded::new();
    // As since Go 1.21, to read.
    let memory = stack(memory, 0, &[(19, POLLS), (2, POLLS + 32)])
        .with_words(POLLS, &[LINK, 7, 3, 0, FIRST, 0, 0, 0, 0, 0, 0, 0]);
    // As before, to write, with somebody else who reads.
    let memory = stack(memory, 1, &[(40, POLLS + 0x100)])
        .with_words(POLLS + 0x100, &[0, 8, 0, FIRST + 0x400, FIRST + 0x200, 0, 0, 0, 0, 0, 0, 0]);
    let memory = stack(memory, 2, &[(41, POLLS + 0x100)]);
    // Has a descriptor and waits for something else.
    let memory = stack(memory, 3, &[(5, POLLS + 0x200)])
        .with_words(POLLS + 0x200, &[0, 9, 1, 0, FIRST + 0x600, 0, 0, 0, 0, 0, 0, 0]);
    // Saw somebody else's; what it leads to names a descriptor that is not open; what it leads to cannot be read.
    let memory = stack(memory, 4, &[(5, POLLS)]);
    let memory = stack(memory, 5, &[(5, POLLS + 0x300)])
        .with_words(POLLS + 0x300, &[0, 70, 1, 0, FIRST + 0xa00, 0, 0, 0, 0, 0, 0, 0]);
    let memory = stack(memory, 6, &[(5, POLLS + 0x9000)]);
    // Two that contradict each other.
    let memory = stack(memory, 7, &[(5, POLLS + 0x400), (6, POLLS + 0x500)])
        .with_words(POLLS + 0x400, &[0, 7, 1, 0, FIRST + 0xe00, 0, 0, 0, 0, 0, 0, 0])
        .with_words(POLLS + 0x500, &[0, 8, 1, 0, 0, FIRST + 0xe00, 0, 0, 0, 0, 0, 0]);
    // The ninth has no stack that could be read.
    let snapshot = snapshot(&[0, 0, 0, 1, 0, 0, 0, 0, 0]);
    let found = waiting(&memory, &snapshot, |descriptor| descriptor < 50);
    assert_eq!(found, Waiting { found: vec![(0, 7), (1, 8), (2, 8)], unknown: 5 });
}

/// Everything is readable, and says the same everywhere.
struct Filled(u64);

impl Memory for Filled {
    fn read(&self, _: u64, buffer: &mut [u8]) -> Result<(), Unreadable> {
        buffer.chunks_mut(8).for_each(|word| word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]));
        Ok(())
    }
}

proptest! {
    #[test]
    fn hostile_memory_makes_nobody_wait_for_anything(word: u64, count in 0..600_usize) {
        let snapshot = snapshot(&vec![0; count]);
        let found = waiting(&Filled(word), &snapshot, |_| true);
        prop_assert_eq!(found, Waiting { found: Vec::new(), unknown: count as u64 });
    }
}
