//! Goroutines of one process that can never go on, by several readings of its heap.

use super::goroutines::groups_of;
use crate::agent::views::subject::{GoSubject, Part, Subject, ViewError};
use crate::golang::graph::FrameMaps;
use crate::golang::graph::GraphError;
use crate::golang::graph::leaked::Verdict;
use crate::golang::graph::sightings::{Lacking, Sightings};
use crate::golang::graph::{Graph, Order};
use crate::report::leaked::{Leaked, LeakedGroup, Missing, Readings};
use crate::source::clock;
use std::collections::HashMap;
use std::thread;
use std::time::Duration;

/// Readings over the whole time, if each is quick enough.
const READINGS: u32 = 12;
/// Of the time at most this part is spent with reading: the rest is the program's.
const READING_PART: f64 = 0.5;

/// Reads the heap of the process with this pid again and again for `time`, and says which goroutines can never go on.
///
/// # Errors
/// See [`ViewError`].
pub fn leaked(pid: i32, time: Duration) -> Result<Leaked, ViewError> {
    let mut subject = Subject::open(pid)?.attach()?;
    let began = clock::monotonic();
    let between = time / (READINGS - 1);
    let mut maps = FrameMaps::default();
    let mut sightings = Sightings::default();
    let mut readings = Readings::default();
    let mut newest = Verdict::default();
    let mut first = None;
    let mut spent = Duration::ZERO;
    loop {
        let at = clock::monotonic();
        let order = if readings.tried.is_multiple_of(2) { Order::RootsFirst } else { Order::RootsLast };
        let read = read(&mut subject, &mut maps, order);
        subject.subject.verify()?;
        readings.tried += 1;
        let now = clock::monotonic();
        spent += now.saturating_sub(at);
        match read {
            Ok(reading) => {
                let seconds = at.saturating_sub(began).as_secs_f64();
                if sightings.add(&reading.verdict, seconds, reading.collections, reading.marked_bytes) {
                    let (from, collections) = *first.get_or_insert((seconds, reading.collections));
                    readings.used += 1;
                    readings.seconds = seconds - from;
                    readings.collections = reading.collections.wrapping_sub(collections);
                }
                readings.objects = reading.objects;
                readings.own_bytes = readings.own_bytes.max(reading.own_bytes);
                newest = reading.verdict;
            }
            // What it contradicts itself in may have been in the middle of a change.
            Err(GraphError::Heap(_)) if readings.used > 0 => {}
            Err(why) => return Err(ViewError::Graph { who: subject.who(), why }),
        }
        let took = now.saturating_sub(at);
        let pause = between.saturating_sub(took).max(took.mul_f64(1.0 / READING_PART - 1.0));
        let ends = now.saturating_sub(began) + pause > time;
        if sightings.is_settled() {
            if ends || newest.undated + newest.uncertain == 0 {
                break;
            }
            // Those of whom it could not be told yet were not accused by this reading, so that no later one may.
            sightings = Sightings::default();
        } else if ends {
            break;
        }
        thread::sleep(pause);
    }
    readings.each = spent / readings.tried.max(1);
    view(&mut subject, &sightings, readings, &newest)
}

/// One reading.
struct Reading {
    verdict: Verdict,
    collections: u32,
    marked_bytes: Option<u64>,
    objects: u64,
    own_bytes: u64,
}

fn read(subject: &mut GoSubject, maps: &mut FrameMaps, order: Order) -> Result<Reading, GraphError> {
    let mut ground = subject.runtime.ground(&subject.file, &subject.memory)?;
    let counters = ground.counters()?;
    let graph = Graph::load(&mut ground, maps, order, &mut ())?;
    let verdict = graph.leaked(&mut ground);
    Ok(Reading {
        verdict,
        collections: counters.gc_cycles,
        marked_bytes: counters.marked_bytes,
        objects: graph.objects().len() as u64,
        own_bytes: graph.own_bytes() as u64,
    })
}

/// Puts those that are accused together by where they are.
fn view(
    subject: &mut GoSubject,
    sightings: &Sightings,
    readings: Readings,
    newest: &Verdict,
) -> Result<Leaked, ViewError> {
    let accused = sightings.accused();
    let certainty = accused.first().map(|(_, certainty)| certainty.word());
    let stuck: HashMap<u64, _> = accused.into_iter().map(|(stuck, _)| (stuck.id, stuck)).collect();
    let taken = clock::now().wall;
    let snapshot = subject.runtime.goroutines(&subject.file, &subject.memory);
    subject.subject.verify()?;
    let snapshot = snapshot.map_err(|why| ViewError::Goroutines { who: subject.who(), why })?;
    let all = groups_of(subject, &snapshot);
    let goroutines = all.iter().filter(|group| !group.is_system).map(|group| group.count()).sum();
    let mut groups: Vec<LeakedGroup> = Vec::new();
    for mut group in all {
        group.members.retain(|member| stuck.contains_key(&member.id));
        if group.members.is_empty() {
            continue;
        }
        let of_group = || group.members.iter().filter_map(|member| stuck.get(&member.id));
        let mut waits_on: Vec<u64> = of_group().flat_map(|one| one.waits_on.iter().copied()).collect();
        waits_on.sort_unstable();
        waits_on.dedup();
        groups.push(LeakedGroup {
            held_objects: of_group().map(|one| one.held_objects).sum(),
            held_bytes: of_group().map(|one| one.held_bytes).sum(),
            stack_bytes: of_group().map(|one| one.stack_bytes).sum(),
            waits_on,
            group,
        });
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.group.count()));
    Ok(Leaked {
        process: subject.subject.target.clone(),
        taken,
        goroutines,
        groups,
        certainty,
        missing: sightings.lacking().into_iter().map(missing).collect(),
        uncertain: newest.uncertain,
        undated: newest.undated,
        unresolved: newest.unresolved,
        readings,
        remarks: subject.remarks(&[Part::Goroutines, Part::Heap]),
    })
}

fn missing(lacking: Lacking) -> Missing {
    match lacking {
        Lacking::Readings(count) => Missing::Readings(count),
        Lacking::Seconds(seconds) => Missing::Seconds(seconds),
        Lacking::Collections(count) => Missing::Collections(count),
        Lacking::FinalizersWait => Missing::Finalizers,
    }
}
