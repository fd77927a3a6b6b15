//! Which holders of a process hold ever more, by several readings of its heap.

use super::holders::read;
use super::subject::{Part, Subject, ViewError};
use crate::golang::graph::FrameMaps;
use crate::report::growing::{Growing, Grown, GrownStep, LEAST_OBJECTS};
use crate::source::clock;
use crate::vocabulary::holders::{Amount, Held, HolderKind, Step, What};
use std::collections::HashMap;
use std::thread;
use std::time::Duration;

/// Readings of the heap. What rises by chance in one interval seldom does so in four.
const READINGS: u32 = 5;

/// A holder and the way from it to objects of one type.
type Way = (HolderKind, String, Vec<(String, What)>);

/// Reads the heap of the process with this pid five times over `time`, and says which holders hold more each time.
///
/// # Errors
/// See [`ViewError`].
pub fn growing(pid: i32, time: Duration) -> Result<Growing, ViewError> {
    let mut subject = Subject::open(pid)?.attach()?;
    let mut maps = FrameMaps::default();
    let between = time / (READINGS - 1);
    let began = clock::monotonic();
    let (mut spent, mut own_bytes) = (Duration::ZERO, 0);
    let mut seconds = Vec::new();
    let mut readings = Vec::new();
    for number in 0..READINGS {
        let due = began + between * number;
        thread::sleep(due.saturating_sub(clock::monotonic()));
        let at = clock::monotonic();
        let (holders, _) = read(&mut subject, &mut maps)?;
        spent += clock::monotonic().saturating_sub(at);
        own_bytes = own_bytes.max(holders.own_bytes as u64);
        seconds.push(at.saturating_sub(began).as_secs_f64());
        readings.push(holders.holders);
    }
    Ok(Growing {
        process: subject.subject.target.clone(),
        taken: clock::now().wall,
        grown: compare(&readings),
        holders: readings.last().map_or(0, Vec::len),
        seconds,
        each: spent / READINGS,
        own_bytes,
        remarks: subject.remarks(&[Part::Goroutines, Part::Heap]),
    })
}

/// What there are more of in each reading than in the one before, by holder, most bytes first. Objects are counted, not
/// bytes: a map that gives its old table back has fewer bytes and no fewer entries. What the runtime itself holds is
/// left out, since it keeps caches of what the program gave back.
fn compare(readings: &[Vec<Held>]) -> Vec<Grown> {
    let mut ways: HashMap<Way, Vec<Amount>> = HashMap::new();
    for (number, holders) in readings.iter().enumerate() {
        for held in holders.iter().filter(|held| held.kind != HolderKind::Runtime) {
            let mut way = Vec::new();
            for step in &held.steps {
                enter(&mut ways, number, readings.len(), held, &mut way, step);
            }
        }
    }
    let mut grown: HashMap<(HolderKind, String), Vec<GrownStep>> = HashMap::new();
    for ((kind, name, way), amounts) in ways {
        let rises = rises(amounts.iter().map(|amount| amount.objects).collect());
        let more = |of: fn(&Amount) -> u64| {
            let ends = amounts.first().zip(amounts.last());
            ends.map_or(0, |(first, last)| of(last).saturating_sub(of(first)))
        };
        if rises && more(|amount| amount.objects) >= LEAST_OBJECTS {
            let objects = amounts.iter().map(|amount| amount.objects).collect();
            let bytes = amounts.iter().map(|amount| amount.bytes).collect();
            grown.entry((kind, name)).or_default().push(GrownStep { way, objects, bytes });
        }
    }
    let mut grown: Vec<Grown> = grown
        .into_iter()
        .map(|((kind, name), mut steps)| {
            // The way to each begins with those that lead to it.
            steps.sort_by(|a, b| {
                a.way.len().cmp(&b.way.len()).then_with(|| b.more_bytes().cmp(&a.more_bytes()))
            });
            Grown { kind, name, steps }
        })
        .collect();
    grown.sort_by(|a, b| b.more_bytes().cmp(&a.more_bytes()).then_with(|| a.name.cmp(&b.name)));
    grown
}

/// Whether each is larger than the one before. One reading may have lost sight of them, or taken them for something else:
/// one in the middle that is less than half of both its neighbours does not count.
fn rises(mut counts: Vec<u64>) -> bool {
    let is_lost =
        |counts: &[u64], at: usize| counts[at] < counts[at - 1] / 2 && counts[at] < counts[at + 1] / 2;
    let lost = (1..counts.len().saturating_sub(1)).find(|at| is_lost(&counts, *at));
    if let Some(lost) = lost {
        counts.remove(lost);
    }
    counts.windows(2).all(|pair| pair[0] < pair[1])
}

fn enter(
    ways: &mut HashMap<Way, Vec<Amount>>,
    number: usize,
    readings: usize,
    held: &Held,
    way: &mut Vec<(String, What)>,
    step: &Step,
) {
    way.push((step.field.clone(), step.what.clone()));
    let key = (held.kind, held.name.clone(), way.clone());
    let amounts = ways.entry(key).or_insert_with(|| vec![Amount::default(); readings]);
    if let Some(amount) = amounts.get_mut(number) {
        *amount += step.own;
    }
    for next in &step.steps {
        enter(ways, number, readings, held, way, next);
    }
    way.pop();
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::vocabulary::holders::{Amount, Held, HolderKind, Step, What};

    fn step(field: &str, name: &str, objects: u64, steps: Vec<Step>) -> Step {
        let own = Amount { objects, bytes: objects * 64 };
        Step { field: field.to_owned(), what: What::Type(name.into()), own, below: own, steps }
    }

    fn reading(number: u64) -> Vec<Held> {
        let held =
            |kind, name: &str, steps| Held { kind, name: name.to_owned(), below: Amount::default(), steps };
        let session =
            step("", "main.Session", 1000 + 50 * number, vec![step(".User", "main.User", 7, vec![])]);
        let wavering = [400, 500, 450, 600, 700][number as usize];
        vec![
            held(HolderKind::Variable, "sessions", vec![step(".all", "map", 3, vec![session])]),
            held(HolderKind::Variable, "cache", vec![step("", "main.Entry", wavering, vec![])]),
            held(HolderKind::Variable, "few", vec![step("", "main.Few", 10 + number, vec![])]),
            held(
                HolderKind::Runtime,
                "free lists",
                vec![step("", "runtime.sudog", 10 + 100 * number, vec![])],
            ),
        ]
    }

    #[test]
    fn only_what_rises_in_each_interval_is_told() {
        let readings: Vec<Vec<Held>> = (0..5).map(reading).collect();
        let grown = compare(&readings);
        assert_eq!(grown.len(), 1, "{grown:?}");
        assert_eq!((&*grown[0].name, grown[0].steps.len()), ("sessions", 1));
        let step = &grown[0].steps[0];
        assert_eq!(step.objects, [1000, 1050, 1100, 1150, 1200]);
        assert_eq!((step.way.len(), step.more_bytes()), (2, 200 * 64));
    }

    #[test]
    fn one_reading_may_lose_sight_of_them() {
        assert!(super::rises(vec![1000, 1050, 0, 1150, 1200]));
        assert!(super::rises(vec![1000, 1050, 1100, 1150, 1200]));
        assert!(!super::rises(vec![1000, 1050, 1049, 1150, 1200]));
        assert!(!super::rises(vec![1000, 0, 1100, 0, 1200]));
        assert!(!super::rises(vec![1000, 1050, 0, 1050, 1200]));
    }

    #[test]
    fn what_comes_only_later_rises_as_well() {
        let mut readings: Vec<Vec<Held>> = (0..5).map(reading).collect();
        readings[0].remove(0);
        assert_eq!(compare(&readings)[0].steps[0].objects[0], 0);
    }
}
