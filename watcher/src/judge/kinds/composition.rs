//! Which part of all open descriptors moves.
//!
//! The total is read at every beat; of what types it consists, less often. Where the types were read often enough,
//! a part is judged by its own series; where not, the total's series gives the rate and the first and the last
//! reading of the types say whose it is.

use crate::judge::series::growth::{Course, Growth, course};
use crate::judge::terms::{Thresholds, Unit};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{SteadyWhy, UndecidedWhy};
use crate::observed::Sample;
use crate::observed::descriptors::DescriptorTypes;
use crate::store::{Series, Window};

/// A part must be read at this share of the total's moments to be judged by its own series.
const DENSE: f64 = 0.6;

/// A part that makes up less of the growth than this does not grow.
const MIN_SHARE: f64 = 0.1;

/// Confidence lost where the part rests on few readings, and where it is only guessed from one.
const FEW_READINGS: f64 = 0.05;
const ONE_READING: f64 = 0.15;

/// Judges one part of the open descriptors, told by its count among the types.
pub(in crate::judge) fn part_course(
    window: &Window,
    unit: Unit,
    thresholds: &Thresholds,
    part: impl Fn(&DescriptorTypes) -> u64,
) -> Course {
    let total = window.series(|sample| Some((sample.descriptors.at, *sample.descriptors.seen()? as f64)));
    let own = part_series(window, &part);
    let dense = own.values.len() as f64 >= DENSE * total.values.len() as f64;
    if dense && (own.values.len() >= thresholds.min_samples || total.values.is_empty()) {
        return course(&own, unit, thresholds);
    }
    match course(&total, unit, thresholds) {
        Course::Grows(growth) => share_of_growth(window, growth, &part),
        Course::Steady(why) => Course::Steady(own_range(window, &part, thresholds).unwrap_or(why)),
        undecided @ Course::Undecided(_) => undecided,
    }
}

/// The part over time. A reading of the types that is older than its sample still holds while the total has not
/// moved: nothing has made a new one due.
pub(in crate::judge) fn part_series(window: &Window, part: impl Fn(&DescriptorTypes) -> u64) -> Series {
    let mut newest = None;
    let mut readings = Vec::new();
    for sample in window.samples() {
        let Some(types) = sample.descriptor_types.seen() else { continue };
        let at = sample.descriptor_types.at;
        if newest.is_none_or(|newest| at > newest) {
            newest = Some(at);
            readings.push((sample, Some((at, part(types) as f64))));
        } else if sample.descriptors.seen() == Some(&types.total()) {
            readings.push((sample, Some((sample.descriptors.at, part(types) as f64))));
        }
    }
    let mut readings = readings.into_iter().peekable();
    // `Window::series` asks sample by sample and in order, so one pass over the readings answers all of it.
    let readings = std::cell::RefCell::new(&mut readings);
    window.series(|sample| {
        let mut readings = readings.borrow_mut();
        readings.next_if(|(of, _): &(&Sample, _)| std::ptr::eq(*of, sample)).and_then(|(_, reading)| reading)
    })
}

/// Lowest and highest count of the part, where it stayed within noise.
fn own_range(
    window: &Window,
    part: &impl Fn(&DescriptorTypes) -> u64,
    thresholds: &Thresholds,
) -> Option<SteadyWhy> {
    let (low, high) = window.samples().filter_map(|sample| sample.descriptor_types.seen()).map(part).fold(
        None,
        |range: Option<(u64, u64)>, count| match range {
            None => Some((count, count)),
            Some((low, high)) => Some((low.min(count), high.max(count))),
        },
    )?;
    let (low, high) = (low as f64, high as f64);
    (high - low < thresholds.min_rise_count).then_some(SteadyWhy::Flat { low, high })
}

/// The part's share of the total's growth.
fn share_of_growth(window: &Window, growth: Growth, part: &impl Fn(&DescriptorTypes) -> u64) -> Course {
    let (readings, first, last) = readings(window);
    let (Some(first), Some(last)) = (first, last) else {
        return Course::Undecided(UndecidedWhy::NotRead);
    };
    let grown = last.total() as f64 - first.total() as f64;
    let (share, doubt) = if readings >= 2 && grown > 0.0 {
        ((part(last) as f64 - part(first) as f64) / grown, FEW_READINGS)
    } else if !are_told(window) {
        return Course::Undecided(UndecidedWhy::NotRead);
    } else {
        // One reading: a leak that has been at work for a while is most of what is open.
        let share = part(last) as f64 / last.total().max(1) as f64;
        if share < 0.5 {
            return Course::Undecided(UndecidedWhy::NotRead);
        }
        (1.0, ONE_READING)
    };
    if share < MIN_SHARE {
        let (one, other) = (part(first) as f64, part(last) as f64);
        return Course::Steady(SteadyWhy::Flat { low: one.min(other), high: one.max(other) });
    }
    let share = share.min(1.0);
    Course::Grows(growth.scaled(share, doubt, Evidence::Share { of_descriptors: share, readings }))
}

/// Whether what was read of the types says anything of what grows: not where the only reading is of a time at which
/// most of what is open now had not come yet.
pub(in crate::judge) fn are_told(window: &Window) -> bool {
    let (readings, _, last) = readings(window);
    let now = window.samples().rev().find_map(|sample| sample.descriptors.seen().copied());
    match (readings, last, now) {
        (0, _, _) | (_, None, _) => false,
        (1, Some(types), Some(now)) => 2 * types.total() >= now,
        _ => true,
    }
}

/// How often the types were read, and the first and the last of these readings.
pub(in crate::judge) fn readings(
    window: &Window,
) -> (usize, Option<&DescriptorTypes>, Option<&DescriptorTypes>) {
    let mut count = 0;
    let mut newest = None;
    let mut first = None;
    let mut last = None;
    for sample in window.samples() {
        let Some(types) = sample.descriptor_types.seen() else { continue };
        let at = sample.descriptor_types.at;
        if newest.is_none_or(|newest| at > newest) {
            newest = Some(at);
            count += 1;
            first = first.or(Some(types));
            last = Some(types);
        }
    }
    (count, first, last)
}
