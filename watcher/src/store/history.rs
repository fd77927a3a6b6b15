//! What a process's totals did over weeks, in few bytes: buckets of a minute, of five, of half an hour, of two and of
//! six hours, each with the lowest, the middle and the highest value. The lowest tells what stays between two bursts
//! of work from what comes with them.
//!
//! Buckets lie on the clock that never jumps, so that neither a step of the wall clock nor a pause of the agent bends
//! a slope: buckets in which nothing was read are simply not there.

use super::compact::Compact;
use crate::vocabulary::reading::Moment;
use std::collections::VecDeque;

mod readings;

pub use crate::vocabulary::signal::{SIGNALS, Signal};
pub use readings::{Reader, Readings};

/// Length and number of the buckets, the finest first. Each length is a multiple of the one before it, and each
/// level reaches farther back than one bucket of the next, which is made of it.
pub const LEVELS: [(u64, usize); 5] = [(60, 60), (300, 72), (1_800, 120), (7_200, 84), (21_600, 56)];

/// Values of one signal that are kept of the minute that is under way.
const VALUES_OF_A_MINUTE: usize = 60;

/// The totals of one process, oldest first, at each resolution.
#[derive(Clone, Debug)]
pub struct History {
    minute: Option<u64>,
    gathered: [Vec<f32>; SIGNALS],
    levels: [VecDeque<Row>; LEVELS.len()],
}

/// One bucket: so many lengths of its level after boot.
#[derive(Clone, Debug)]
struct Row {
    bucket: u32,
    cells: [Cell; SIGNALS],
}

#[derive(Clone, Copy, Debug)]
struct Cell {
    low: Compact,
    middle: Compact,
    high: Compact,
}

/// What one signal did in one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds from boot to the bucket's middle.
    pub seconds: f64,
    /// The lowest value.
    pub low: f64,
    /// The median of the values; in buckets of more than a minute, that of the finer buckets' medians.
    pub middle: f64,
    /// The highest value.
    pub high: f64,
    /// Bytes that the Go runtime allocated per second meanwhile: how much work was done. `None` where not read.
    pub load: Option<f64>,
}

impl Default for History {
    fn default() -> Self {
        History {
            minute: None,
            gathered: std::array::from_fn(|_| Vec::new()),
            levels: std::array::from_fn(|_| VecDeque::new()),
        }
    }
}

impl History {
    /// Adds what was read at this moment. Nothing older than the minute that is under way is taken.
    pub fn push(&mut self, at: Moment, readings: &Readings) {
        let minute = at.since_boot.as_secs() / LEVELS[0].0;
        match self.minute {
            Some(current) if minute < current => return,
            Some(current) if minute > current => self.close(current, minute),
            _ => {}
        }
        self.minute = Some(minute);
        for (gathered, value) in self.gathered.iter_mut().zip(readings.values()) {
            let Some(value) = value else { continue };
            if gathered.len() >= VALUES_OF_A_MINUTE {
                let mut index = 0;
                gathered.retain(|_| {
                    index += 1;
                    index % 2 == 0
                });
            }
            #[expect(clippy::cast_possible_truncation, reason = "fewer digits are kept anyway")]
            gathered.push(*value as f32);
        }
    }

    /// Number of the newest whole bucket at this level; `None` before there is one.
    pub fn newest(&self, level: usize) -> Option<u32> {
        self.levels.get(level)?.back().map(|row| row.bucket)
    }

    /// What `signal` did in the newest `buckets` buckets of a level, oldest first. Buckets without it are left out.
    pub fn points(&self, level: usize, buckets: usize, signal: Signal) -> Vec<Point> {
        let (Some(rows), Some((seconds, _))) = (self.levels.get(level), LEVELS.get(level)) else {
            return Vec::new();
        };
        let Some(newest) = rows.back().map(|row| row.bucket) else { return Vec::new() };
        let oldest = u64::from(newest).saturating_sub(buckets as u64 - 1);
        let rows = rows.iter().filter(|row| u64::from(row.bucket) >= oldest);
        rows.filter_map(|row| {
            let cell = row.cells[signal as usize];
            Some(Point {
                seconds: (f64::from(row.bucket) + 0.5) * *seconds as f64,
                low: cell.low.value()?,
                middle: cell.middle.value()?,
                high: cell.high.value()?,
                load: row.cells[Signal::Allocation as usize].middle.value(),
            })
        })
        .collect()
    }

    /// The lowest and the highest value of a signal in the newest `buckets` buckets of a level: what a look at less
    /// than the whole costs next to nothing.
    pub fn range(&self, level: usize, buckets: usize, signal: Signal) -> Option<(f64, f64)> {
        let rows = self.levels.get(level)?.iter().rev().take(buckets);
        rows.filter_map(|row| {
            let cell = row.cells[signal as usize];
            Some((cell.low.value()?, cell.high.value()?))
        })
        .reduce(|(low, high), other| (low.min(other.0), high.max(other.1)))
    }

    /// The highest value of a signal in whole buckets of half an hour or more before this second after boot, and since
    /// which second there are any.
    pub fn before(&self, second: f64, signal: Signal) -> Option<(f64, f64)> {
        let levels = self.levels.iter().zip(LEVELS).skip(2);
        let rows = levels.flat_map(|(rows, (length, _))| {
            let ends = move |row: &&Row| (f64::from(row.bucket) + 1.0) * length as f64 <= second;
            rows.iter().take_while(ends).filter_map(move |row| {
                Some((row.cells[signal as usize].high.value()?, f64::from(row.bucket) * length as f64))
            })
        });
        rows.reduce(|(high, since), (other, at)| (high.max(other), since.min(at)))
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let rows: usize = self.levels.iter().map(|rows| rows.capacity() * size_of::<Row>()).sum();
        let gathered: usize = self.gathered.iter().map(|values| values.capacity() * size_of::<f32>()).sum();
        size_of::<Self>() + rows + gathered
    }

    /// Ends the minute `current`, and every longer bucket that ended with it or since.
    fn close(&mut self, current: u64, next: u64) {
        let mut cells = [Cell::NONE; SIGNALS];
        for (signal, (gathered, cell)) in self.gathered.iter_mut().zip(&mut cells).enumerate() {
            let is_rate = Signal::ALL[signal].is_rate();
            *cell = Cell::of(gathered.iter().map(|value| f64::from(*value)).collect(), is_rate);
            gathered.clear();
        }
        self.append(0, current, cells);
        let (now, then) = (current * LEVELS[0].0, next * LEVELS[0].0);
        for (level, (seconds, _)) in LEVELS.into_iter().enumerate().skip(1) {
            let bucket = now / seconds;
            if then / seconds > bucket {
                let cells = self.summary(level, bucket);
                self.append(level, bucket, cells);
            }
        }
    }

    /// A bucket of this level, made of those of the next finer one.
    fn summary(&self, level: usize, bucket: u64) -> [Cell; SIGNALS] {
        let (finer, longer) = (LEVELS[level - 1].0, LEVELS[level].0);
        let within = self.levels[level - 1].iter().rev();
        let within: Vec<&Row> =
            within.take_while(|row| u64::from(row.bucket) * finer >= bucket * longer).collect();
        std::array::from_fn(|signal| {
            let cells = || within.iter().map(|row| row.cells[signal]);
            let middles = cells().filter_map(|cell| cell.middle.value()).collect();
            let mut cell = Cell::of(middles, Signal::ALL[signal].is_rate());
            let lows = cells().filter_map(|cell| cell.low.value()).reduce(f64::min);
            let highs = cells().filter_map(|cell| cell.high.value()).reduce(f64::max);
            cell.low = lows.map_or(Compact::NONE, Compact::new);
            cell.high = highs.map_or(Compact::NONE, Compact::new);
            cell
        })
    }

    fn append(&mut self, level: usize, bucket: u64, cells: [Cell; SIGNALS]) {
        let rows = &mut self.levels[level];
        if rows.len() >= LEVELS[level].1 {
            rows.pop_front();
        }
        // Buckets of a minute last for eight thousand years.
        let bucket = u32::try_from(bucket).unwrap_or(u32::MAX);
        rows.push_back(Row { bucket, cells });
    }
}

impl Cell {
    const NONE: Cell = Cell { low: Compact::NONE, middle: Compact::NONE, high: Compact::NONE };

    /// The middle of a rate is its mean: what was allocated in bursts was allocated.
    fn of(mut values: Vec<f64>, is_rate: bool) -> Cell {
        if values.is_empty() {
            return Cell::NONE;
        }
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        let middle = if is_rate {
            values.iter().sum::<f64>() / values.len() as f64
        } else if values.len() % 2 == 1 {
            values[half]
        } else {
            f64::midpoint(values[half - 1], values[half])
        };
        Cell {
            low: Compact::new(values[0]),
            middle: Compact::new(middle),
            high: Compact::new(values[values.len() - 1]),
        }
    }
}

#[cfg(test)]
mod tests;
