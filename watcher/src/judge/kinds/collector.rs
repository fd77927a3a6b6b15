//! Descriptors that only the garbage collector closes: a file or connection of Go's that nobody refers to any more has
//! a finalizer, or a cleanup, that closes it. Their number is a sawtooth whose edges are collections.

use crate::judge::series::growth::Growth;
use crate::judge::terms::Rate;
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::survivors::Book;
use crate::observed::ledger::Descriptors;
use crate::store::Window;

/// Falls by fewer than this are noise.
const LEAST_FALL: f64 = 8.0;
/// With how many collections falls may have coincided by chance.
const BY_CHANCE: f64 = 0.05;
/// Besides those falls it must do next to nothing but rise.
const OTHER_FALLS: f64 = 0.15;
/// That these are closed late and not never makes it a lesser leak.
const CONFIDENCE: f64 = 0.75;

/// What falls show that only collections brought.
#[derive(Debug, PartialEq)]
struct Falls {
    collections: usize,
    count: f64,
    /// What came between them, per second.
    rises_per_second: f64,
}

/// Growth between collections, where each fall is a collection's doing and one stack opens what falls.
pub(in crate::judge) fn growth_between(window: &Window, book: &Book<'_, Descriptors>) -> Option<Growth> {
    let falls = falls(window)?;
    let lasting = book.most_lasting()?;
    let explains = lasting.ended as f64 >= 0.5 * falls.count;
    explains.then(|| Growth {
        rate: Rate {
            per_second: falls.rises_per_second,
            low: falls.rises_per_second,
            high: falls.rises_per_second,
        },
        confidence: CONFIDENCE,
        evidence: vec![Evidence::ClosedByCollector {
            collections: falls.collections,
            #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a sum of falls")]
            count: falls.count as u64,
        }],
    })
}

fn falls(window: &Window) -> Option<Falls> {
    let beats: Vec<(f64, f64, u64)> = window
        .samples()
        .filter_map(|sample| {
            let cycles = sample.runtime.seen()?.gc_cycles?;
            Some((sample.at.since_boot.as_secs_f64(), *sample.descriptors.seen()? as f64, cycles))
        })
        .collect();
    let steps = beats.len().checked_sub(1).filter(|steps| *steps >= 12)?;
    let collected = beats.windows(2).filter(|pair| pair[1].2 > pair[0].2).count();
    let (mut edges, mut fallen, mut other_falls, mut risen) = (0, 0.0, 0.0, 0.0);
    for at in 1..beats.len() {
        let step = beats[at].1 - beats[at - 1].1;
        // The collector hands them to a goroutine that closes them: a beat may lie between.
        let since = beats[at.saturating_sub(2)].2;
        match step {
            step if step >= 0.0 => risen += step,
            step if step <= -LEAST_FALL && beats[at].2 > since => {
                edges += 1;
                fallen -= step;
            }
            step => other_falls -= step,
        }
    }
    let chance = (collected as f64 / steps as f64).powi(edges);
    let seconds = beats.last()?.0 - beats.first()?.0;
    (edges > 0 && chance <= BY_CHANCE && other_falls <= OTHER_FALLS * risen).then(|| Falls {
        collections: usize::try_from(edges).unwrap_or(0),
        count: fallen,
        rises_per_second: risen / seconds,
    })
}

#[cfg(test)]
mod tests;
