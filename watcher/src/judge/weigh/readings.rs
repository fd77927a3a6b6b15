//! What each kind was in the window, and the leak that would still have gone unnoticed in it.
//!
//! A slow leak shows nothing in a short window: nothing is ruled out but what would have shown. Of things that are counted
//! a few must come before they are no chance, and more of them where nobody knows who made them, or where others come and
//! go by the hundred; of bytes, as many as garbage and the kernel's own counting move by.

use super::survivors::{Book, LEAST_COUNT};
use crate::judge::judgement::Reading;
use crate::judge::kinds::{connections, descriptors, goroutines, heap, memory};
use crate::judge::series::trend::Trend;
use crate::judge::terms::{Kind, Thresholds};
use crate::judge::weigh::reasons::{Steady, SteadyWhy};
use crate::store::{Series, Window};

/// So many pieces come at the rate that may still go unnoticed, where stacks tell who made each of them, or where the
/// total moves for nobody else. At half as much again hardly any window passes without a suspicion.
const PIECES: f64 = 3.0;
/// Goroutines are looked at three times only.
const GOROUTINES: f64 = 4.0;
/// Nobody leaves a child that has exited for long.
const CHILDREN: f64 = 2.0;
/// The runtime maps memory and starts threads for its own reasons: where their number moves, a leak must move it by more.
const BY_NUMBER: f64 = 15.0;
/// Where things come and go, a leak must bring so many times what the total moves by around its course.
const OVER_NOISE: f64 = 8.0;

/// Of every kind that was read, in the order of kinds.
pub(in crate::judge) fn of(window: &Window, steady: &[Steady], thresholds: &Thresholds) -> Vec<Reading> {
    let kinds = [
        (Kind::Fd, descriptors::series(window)),
        (Kind::Connection, connections::series(window)),
        (Kind::Thread, window.series(|sample| Some((sample.threads.at, *sample.threads.seen()? as f64)))),
        (
            Kind::Child,
            window.series(|sample| Some((sample.children.at, sample.children.seen()?.zombies as f64))),
        ),
        (Kind::Mapping, window.series(|sample| Some((sample.mappings.at, *sample.mappings.seen()? as f64)))),
        (Kind::Goroutine, goroutines::lines::series(window)),
        (Kind::Heap, heap::live(window)),
        (Kind::Native, memory::native(window)),
    ];
    let reading = |(kind, series): (Kind, Series)| {
        let (first, last) = (*series.values.first()?, *series.values.last()?);
        let (low, high) = crate::judge::series::trend::range(&series.values)?;
        let why = steady.iter().find(|one| one.kind == kind).map(|one| one.why);
        let unnoticed_per_second = why.and_then(|why| unnoticed(kind, &series, why, window, thresholds));
        Some(Reading { kind, first, last, low, high, unnoticed_per_second })
    };
    kinds.into_iter().filter_map(reading).collect()
}

fn unnoticed(
    kind: Kind,
    series: &Series,
    why: SteadyWhy,
    window: &Window,
    thresholds: &Thresholds,
) -> Option<f64> {
    let seconds = series.seconds.last()? - series.seconds.first()?;
    if seconds <= 0.0 {
        return None;
    }
    let noise = || Trend::of(series).map_or(0.0, |trend| OVER_NOISE * trend.noise);
    let captures = window.captures();
    let exact = match kind {
        Kind::Fd => Book::open(window, &captures.descriptors, LEAST_COUNT, descriptors::files)
            .filter(Book::tells_all)
            .map(|book| PIECES / book.seconds()),
        Kind::Connection => Book::open(window, &captures.descriptors, LEAST_COUNT, connections::open_sockets)
            .filter(Book::tells_all)
            .map(|book| PIECES / book.seconds()),
        Kind::Goroutine => {
            captures.goroutines.ends().map(|(first, last)| GOROUTINES / last.at.seconds_since(&first.at))
        }
        _ => None,
    };
    let falls = series.values.windows(2).any(|pair| pair[1] < pair[0]);
    let moves = series.values.windows(2).any(|pair| (pair[1] - pair[0]).abs() > 0.0);
    let by_total = match kind {
        Kind::Heap => {
            return Some(match why {
                SteadyWhy::LittleAllocated { per_second, .. } => {
                    // Spans are counted once they are full.
                    per_second.max(heap::UNCOUNTED_BYTES / seconds)
                }
                SteadyWhy::LiveHeap { high, .. } => heap::little(high) / seconds,
                _ => {
                    noise().max(
                        thresholds.min_rise_bytes.max(thresholds.min_rise_byte_share * series.values.last()?),
                    ) / seconds
                }
            });
        }
        Kind::Native => return Some(noise().max(memory::CREEPING_BYTES) / seconds),
        Kind::Child if !falls => CHILDREN,
        Kind::Thread | Kind::Mapping if moves => BY_NUMBER.max(noise()),
        _ if falls => BY_NUMBER.max(noise()),
        _ => PIECES,
    };
    Some(exact.unwrap_or(by_total / seconds))
}

#[cfg(test)]
mod tests;
