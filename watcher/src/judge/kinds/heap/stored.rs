//! A heap that grows in a process that stores data.
//!
//! Keys, series and messages that clients store live on the heap of a database for as long as they are wanted, and
//! each stack that allocates them keeps all of it, as a leak does: from outside the two look alike. What tells a
//! database is that it writes data to files while its heap grows. There growth is named with its place, and not
//! called a leak. How many bytes go to the files says little, since a new series takes a few bytes there and some
//! thousand in memory; that they go there all the time is what counts.

use crate::judge::judgement::{Finding, Outcome};
use crate::judge::kinds::heap::collected::SERIES_CYCLES;
use crate::judge::kinds::heap::grown::grown;
use crate::judge::terms::Kind;
use crate::judge::weigh::culprit::{self, Owner};
use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
use crate::observed::data_files::{DataFile, DataFiles};
use crate::store::{Captures, Window};
use crate::vocabulary::frame::Frame;
use std::collections::HashMap;

/// A state file that is brought up to date now and then is written more slowly than this.
const LEAST_BYTES_PER_SECOND: f64 = 1024.0;
/// ... and what has nothing to do with what grows, slower than this part of it.
const LEAST_SHARE: f64 = 0.005;

/// A stack that has grown by less has been met by a handful of samples, of which the runtime takes one in 512 KiB
/// (`runtime.MemProfileRate`): which stack it is may be chance.
const LEAST_PLACE_BYTES: u64 = 2 * 1024 * 1024;

/// What is said of a heap, unless it grows with what is stored. `cycles` collections say it.
pub(super) fn weigh(outcome: Outcome, window: &Window, cycles: usize) -> Outcome {
    let why = match &outcome {
        Outcome::Leaks(finding) => {
            stored(finding.rate.per_second, window).or_else(|| second_look(finding, window))
        }
        // Stores are filled as unevenly as clients come. Only a series of collections tells growth at all there, and
        // only a place says more than that it may be growth.
        Outcome::Undecided(Undecided {
            why: UndecidedWhy::Ambiguous { per_second, slowing: false, .. },
            ..
        }) if cycles >= SERIES_CYCLES => stored(*per_second, window)
            .filter(|why| matches!(why, UndecidedWhy::Stored { place: Some(_), .. })),
        _ => None,
    };
    why.map_or(outcome, |why| Outcome::Undecided(Undecided { kind: Kind::Heap, why }))
}

fn stored(per_second: f64, window: &Window) -> Option<UndecidedWhy> {
    let (before, now) = window.captures().data_files.ends()?;
    let written = written(before, now);
    let newest = written.iter().max_by_key(|(_, bytes)| *bytes)?.0;
    let seconds = now.at.seconds_since(&before.at);
    let bytes: u64 = written.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
    let written_per_second = bytes as f64 / seconds.max(1.0);
    let all_the_time = written_per_second >= LEAST_BYTES_PER_SECOND.max(LEAST_SHARE * per_second);
    all_the_time.then(|| UndecidedWhy::Stored {
        per_second,
        written_per_second,
        place: place(window.captures()),
        file: newest.name.clone(),
    })
}

/// Whether data files are written shows with the second look at them.
fn second_look(finding: &Finding, window: &Window) -> Option<UndecidedWhy> {
    let looks = &window.captures().data_files;
    let has_data = looks.first().is_some_and(|look| look.files.iter().any(|file| file.size > 0));
    (has_data && looks.ends().is_none()).then(|| UndecidedWhy::Ambiguous {
        per_second: finding.rate.per_second,
        slowing: false,
        need_seconds: (2.0 * window.seconds()).max(90.0),
    })
}

/// The line that allocated most of what came to stay between the two captures.
fn place(captures: &Captures) -> Option<Frame> {
    let (before, now) = captures.heap.ends()?;
    let (Ok(before), Ok(now)) = (&before.sites, &now.sites) else { return None };
    let module = captures.main_module.as_deref();
    let grown = grown(before, now);
    // Of the runtime's own objects only where nothing else has grown.
    let lines = grown
        .iter()
        .filter(|site| site.bytes >= LEAST_PLACE_BYTES)
        .filter_map(|site| culprit::line(site.stack, module));
    lines.min_by_key(|line| culprit::owner(&line.function, module) == Owner::Runtime).cloned()
}

/// Bytes that went to each file between two looks: those by which its position or its length moved. A new file
/// counts with all that it holds.
fn written<'a>(before: &DataFiles, now: &'a DataFiles) -> Vec<(&'a DataFile, u64)> {
    let known: HashMap<_, &DataFile> = before.files.iter().map(|file| (file.identity, file)).collect();
    let moved = |file: &DataFile| match known.get(&file.identity) {
        Some(then) => file.position.saturating_sub(then.position).max(file.size.saturating_sub(then.size)),
        // Its length may have been set ahead.
        None => {
            if file.position > 0 {
                file.position
            } else {
                file.size
            }
        }
    };
    now.files.iter().map(|file| (file, moved(file))).collect()
}

#[cfg(test)]
mod tests {
    use super::{SERIES_CYCLES, weigh};
    use crate::judge::judgement::{Detail, Finding, Outcome};
    use crate::judge::simulation::{moment, window};
    use crate::judge::terms::{Kind, Rate};
    use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
    use crate::observed::data_files::{DataFile, DataFiles};
    use crate::observed::heap::{HeapCapture, HeapSite};
    use crate::vocabulary::frame::Frame;

    fn finding(per_second: f64) -> Finding {
        Finding {
            kind: Kind::Heap,
            primary: false,
            consequence_of: None,
            confidence: 0.8,
            rate: Rate { per_second, low: per_second, high: per_second },
            exhausts: None,
            detail: Detail::default(),
            culprits: Vec::new(),
            evidence: Vec::new(),
        }
    }

    fn file(inode: u64, (position, size): (u64, u64)) -> DataFile {
        DataFile { identity: (8, 1, inode), position, size, name: format!("{inode}.wal").into() }
    }

    /// Inode, and position and size at first and at last.
    type Seen = (u64, Option<(u64, u64)>, (u64, u64));

    /// What a heap that grows by this rate is, in a process with these files: inode, position and size at both ends
    /// of 40 seconds.
    fn weighed(per_second: f64, files: &[Seen]) -> String {
        let mut window = window(|_, _| {});
        let looks = &mut window.captures_mut().data_files;
        let before = files.iter().filter_map(|(inode, before, _)| Some(file(*inode, (*before)?))).collect();
        let now = files.iter().map(|(inode, _, now)| file(*inode, *now)).collect();
        looks.push(DataFiles { at: moment(0.0), files: before });
        looks.push(DataFiles { at: moment(40.0), files: now });
        match weigh(Outcome::Leaks(finding(per_second)), &window, 5) {
            Outcome::Leaks(_) => "leak".to_owned(),
            Outcome::Undecided(one) => match one.why {
                UndecidedWhy::Stored { written_per_second, file, .. } => {
                    format!("stored, {written_per_second:.0} bytes/s to {file}")
                }
                other => format!("{other:?}"),
            },
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn growth_beside_data_that_is_written_is_no_leak() {
        const MIB: f64 = 1024.0 * 1024.0;
        for (name, per_second, files, expected) in [
            ("no data file", MIB, &[][..], "leak"),
            ("one that rests", MIB, &[(1, Some((500, 500)), (500, 500))], "leak"),
            ("a state file", 1000.0, &[(1, Some((0, 500)), (0, 900))], "leak"),
            ("a trickle", 10.0 * MIB, &[(1, Some((0, 0)), (80_000, 80_000))], "leak"),
            ("a journal", MIB, &[(1, Some((0, 0)), (400_000, 400_000))], "stored, 10000 bytes/s to 1.wal"),
            (
                "made long ahead",
                MIB,
                &[(1, Some((0, 9_000_000)), (400_000, 9_000_000))],
                "stored, 10000 bytes/s to 1.wal",
            ),
            (
                "written at places",
                MIB,
                &[(1, Some((0, 100)), (0, 400_100))],
                "stored, 10000 bytes/s to 1.wal",
            ),
            (
                "the next journal",
                MIB,
                &[(1, Some((900, 900)), (900, 900)), (2, None, (400_000, 9_000_000))],
                "stored, 10000 bytes/s to 2.wal",
            ),
            ("begun anew", MIB, &[(1, Some((900_000, 900_000)), (0, 0))], "leak"),
        ] {
            assert_eq!(weighed(per_second, files), expected, "{name}");
        }
    }

    #[test]
    fn one_look_tells_only_that_there_are_data_files() {
        for (size, expected) in [(500, true), (0, false)] {
            let mut window = window(|_, _| {});
            let files = vec![file(1, (0, size))];
            window.captures_mut().data_files.push(DataFiles { at: moment(5.0), files });
            let waits = !matches!(weigh(Outcome::Leaks(finding(1e6)), &window, 5), Outcome::Leaks(_));
            assert_eq!(waits, expected, "{size}");
        }
        assert!(matches!(weigh(Outcome::Leaks(finding(1e6)), &window(|_, _| {}), 5), Outcome::Leaks(_)));
    }

    #[test]
    fn uneven_growth_is_of_what_is_stored_where_a_series_shows_it_and_a_place_is_known() {
        let uneven = |slowing| UndecidedWhy::Ambiguous { per_second: 1e5, slowing, need_seconds: 90.0 };
        for (why, cycles, mib, expected) in [
            (uneven(false), SERIES_CYCLES, 5, true),
            (uneven(false), SERIES_CYCLES, 1, false),
            (uneven(false), SERIES_CYCLES - 1, 5, false),
            (uneven(true), SERIES_CYCLES, 5, false),
        ] {
            let mut window = window(|_, _| {});
            for (second, size, objects) in [(0.0, 0, 0), (40.0, 400_000, mib)] {
                let at = moment(second);
                let captures = window.captures_mut();
                captures.data_files.push(DataFiles { at, files: vec![file(1, (0, size))] });
                let stack = [Frame::new("example.com/shop.put", "/src/shop.go", 7)].into();
                let site = HeapSite { stack, objects, bytes: objects << 20, object_bytes: 1 << 20 };
                captures.heap.push(HeapCapture { at, sites: Ok(vec![site]), mapped_bytes: None });
            }
            let outcome = Outcome::Undecided(Undecided { kind: Kind::Heap, why: why.clone() });
            let Outcome::Undecided(said) = weigh(outcome, &window, cycles) else {
                panic!("it stays undecided")
            };
            let is_stored = matches!(said.why, UndecidedWhy::Stored { .. });
            assert_eq!(is_stored, expected, "{why:?} {cycles} {mib}");
        }
    }
}
