//! Who holds the memory of one process.

use crate::agent::views::subject::{GoSubject, Part, Subject, ViewError};
use crate::golang::graph::FrameMaps;
use crate::golang::graph::holders as graph;
use crate::report::holders::{Holders, Reading};
use crate::source::clock;
use std::time::Duration;

/// A reading that makes no sense is made anew so often at most.
const ATTEMPTS: u32 = 3;

/// Reads the heap of the process with this pid, and says who holds what of it.
///
/// # Errors
/// See [`ViewError`].
pub fn holders(pid: i32) -> Result<Holders, ViewError> {
    let mut subject = Subject::open(pid)?.attach()?;
    let (read, took) = read(&mut subject, &mut FrameMaps::default())?;
    Ok(Holders {
        process: subject.subject.target.clone(),
        taken: clock::now().wall,
        reached: read.reached,
        typed: read.typed,
        unreached: read.unreached,
        reading: Reading {
            took,
            places: read.places,
            own_bytes: read.own_bytes as u64,
            has_gaps: read.effort.has_gaps(),
            is_far_below_collector: read.is_far_below_collector(),
        },
        holders: read.holders,
        remarks: subject.remarks(&[Part::Goroutines, Part::Heap]),
    })
}

/// Reads the heap, and says who holds what, and how long that took; anew where it makes no sense.
pub(super) fn read(
    subject: &mut GoSubject,
    maps: &mut FrameMaps,
) -> Result<(graph::Holders, Duration), ViewError> {
    let places = *subject.runtime.places();
    let mut attempt = 1;
    loop {
        let began = clock::monotonic();
        let ground = subject.runtime.ground(&subject.file, &subject.memory);
        let read = ground.and_then(|mut ground| graph::Holders::read(&mut ground, &places, maps));
        let took = clock::monotonic().saturating_sub(began);
        subject.subject.verify()?;
        let read = read.map_err(|why| ViewError::Graph { who: subject.who(), why })?;
        if attempt == ATTEMPTS || !read.is_far_below_collector() {
            return Ok((read, took));
        }
        attempt += 1;
    }
}
