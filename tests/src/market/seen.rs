//! What readings of a market say of its goroutines, of which is known where they can be.

use crate::answer::GoroutineReading;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

/// Every function that waits, how it came there, and what share of those that wait it has.
const STALLS: [&str; 4] = [
    "main.(*stall).queueForFish",
    "main.(*stall).queueForFruit",
    "main.(*stall).queueForBread",
    "main.(*stall).queueForCheese",
];

/// What all readings together had.
pub struct Seen {
    /// How many of its goroutines the market lets wait.
    waiting: u64,
    readings: u64,
    goroutines: u64,
    retried: u64,
    given_up: u64,
    running: u64,
    incomplete: u64,
    unreadable: u64,
    milliseconds: Vec<f64>,
    /// Stacks that were not walked to their root, and how often.
    cut_off: BTreeMap<String, u64>,
}

impl Seen {
    /// Nothing yet, of a market that lets so many wait.
    pub fn new(waiting: u64) -> Seen {
        Seen {
            waiting,
            readings: 0,
            goroutines: 0,
            retried: 0,
            given_up: 0,
            running: 0,
            incomplete: 0,
            unreadable: 0,
            milliseconds: Vec::new(),
            cut_off: BTreeMap::new(),
        }
    }

    /// How many readings there were.
    pub fn readings(&self) -> u64 {
        self.readings
    }

    /// Takes in one reading.
    ///
    /// Fails where a group is wrong.
    pub fn take(&mut self, reading: &GoroutineReading) -> Result<()> {
        let mut waiting = BTreeMap::new();
        for group in &reading.groups {
            let stack = &group.stack;
            if group.reading != "complete" {
                *self.cut_off.entry(format!("{}: {stack}", group.reading)).or_default() += group.count;
                continue;
            }
            ensure!(is_possible(stack), "no goroutine of this program has this stack: {stack}");
            if let Some(stall) = STALLS.iter().find(|stall| stack.contains(*stall)) {
                *waiting.entry(*stall).or_insert(0) += group.count;
            }
        }
        for stall in STALLS {
            let count = waiting.get(stall).copied().unwrap_or(0);
            ensure!(count == self.waiting / 4, "{count} of {} goroutines are in {stall}", self.waiting / 4);
        }
        self.readings += 1;
        self.goroutines += reading.live;
        self.retried += reading.retried;
        self.given_up += reading.given_up;
        self.running += reading.running;
        self.incomplete += reading.incomplete;
        self.unreadable += reading.unreadable;
        self.milliseconds.push(reading.milliseconds);
        Ok(())
    }

    /// Tells all of it, read in so much time.
    pub fn tell(mut self, out: &mut impl Write, watched: Duration) -> Result<()> {
        self.milliseconds.sort_by(f64::total_cmp);
        let most = self.milliseconds.last().context("too short: nothing was read")?;
        let median = self.milliseconds[self.milliseconds.len() / 2];
        writeln!(
            out,
            "{} snapshots in {:.0} s of watched time; no wrong group; {median:.1} ms each, {most:.1} at most",
            self.readings,
            watched.as_secs_f64()
        )?;
        writeln!(
            out,
            "{} goroutines read, {} of them again; {} given up, {} running, {} incomplete, {} unreadable",
            self.goroutines, self.retried, self.given_up, self.running, self.incomplete, self.unreadable
        )?;
        for (stack, count) in &self.cut_off {
            writeln!(out, "  {count:>6} {stack}")?;
        }
        Ok(())
    }
}

/// Whether the program can have this stack at all: each of its own functions is called by that which calls it in the
/// source, and the stack ends where every stack ends.
fn is_possible(stack: &str) -> bool {
    const CALLERS: [(&str, &[&str]); 9] = [
        ("main.(*stall).queueForFish", &["runtime.goexit"]),
        (
            "main.(*stall).queueForFruit",
            &["main.(*stall).queueForFruit", "main.main.gowrap", "runtime.goexit"],
        ),
        ("main.(*stall).queueForBread", &["runtime.goexit"]),
        ("main.(*stall).queueForCheese", &["runtime.goexit"]),
        ("main.bell", &["runtime.goexit"]),
        ("main.trade", &["main.main.gowrap", "runtime.goexit"]),
        ("main.haggle", &["main.trade.gowrap", "runtime.goexit"]),
        ("main.offer", &["main.offer", "main.haggle"]),
        ("main.main", &["runtime.main"]),
    ];
    let functions: Vec<&str> = stack.split(';').collect();
    let ends = functions.last().is_some_and(|last| *last == "runtime.goexit");
    let fruit = functions.iter().filter(|function| **function == "main.(*stall).queueForFruit").count();
    let fits = functions.windows(2).all(|pair| {
        let callers = CALLERS.iter().find(|(function, _)| *function == pair[0]);
        callers.is_none_or(|(_, callers)| callers.iter().any(|caller| pair[1].starts_with(caller)))
    });
    ends && fits && (fruit == 0 || fruit == 4)
}

#[cfg(test)]
mod tests {
    use super::{STALLS, Seen};
    use crate::answer::{GoroutineReading, ReadGroup};

    fn reading(stacks: &[(u64, &str)]) -> GoroutineReading {
        let group = |(count, stack): &(u64, &str)| ReadGroup {
            count: *count,
            reading: "complete".to_owned(),
            stack: (*stack).to_owned(),
        };
        GoroutineReading {
            attach_milliseconds: 1.0,
            milliseconds: 1.0,
            live: stacks.iter().map(|(count, _)| count).sum(),
            retried: 0,
            given_up: 0,
            running: 0,
            incomplete: 0,
            unreadable: 0,
            groups: stacks.iter().map(group).collect(),
        }
    }

    #[test]
    fn a_group_that_cannot_be_is_found() {
        let fruit = [STALLS[1]; 4].join(";");
        let waiting =
            [STALLS[0], &fruit, STALLS[2], STALLS[3]].map(|stack| format!("{stack};runtime.goexit"));
        let all: Vec<(u64, &str)> = waiting.iter().map(|stack| (2, stack.as_str())).collect();
        let with = |more: &[(u64, &'static str)]| Seen::new(8).take(&reading(&[&all[..], more].concat()));
        assert!(with(&[(3, "main.haggle;main.trade.gowrap1;runtime.goexit")]).is_ok());
        for wrong in [
            "main.haggle;main.bell;runtime.goexit",
            "main.haggle;main.trade.gowrap1",
            "main.main;x;runtime.goexit",
        ] {
            assert!(with(&[(1, wrong)]).is_err(), "{wrong}");
        }
        assert!(Seen::new(8).take(&reading(&all[1..])).is_err(), "a stall is empty");
        assert!(Seen::new(12).take(&reading(&all)).is_err(), "too few wait");
    }
}
