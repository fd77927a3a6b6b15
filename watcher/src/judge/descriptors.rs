//! Descriptors that are no sockets, and of which type those are that grow.

use super::composition::{part_course, readings};
use super::growth::{Course, course};
use super::{Evidence, Finding, Kind, Outcome, Thresholds, UndecidedWhy};
use crate::descriptor::DescriptorType;
use crate::sample::descriptors::DescriptorTypes;
use crate::store::Window;

/// Confidence lost where nothing says what the growing descriptors are.
const TYPES_UNKNOWN: f64 = 0.2;

/// The growing type is named where it makes up this part of the growth.
const NAMED_SHARE: f64 = 0.5;

/// Judges the open descriptors that are no sockets.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let (types_read, ..) = readings(window);
    let unit = Kind::Fd.unit();
    if types_read > 0 {
        let course = part_course(window, unit, thresholds, DescriptorTypes::without_sockets);
        return vec![Outcome::of(Kind::Fd, course, |finding| name_type(window, finding))];
    }
    // Without types the growth of all descriptors is all there is; it is said as what it most often is.
    let total = window.series(|sample| Some((sample.descriptors.at, *sample.descriptors.seen()? as f64)));
    let course = match course(&total, unit, thresholds) {
        Course::Grows(growth) => Course::Grows(growth.scaled(
            1.0,
            TYPES_UNKNOWN,
            Evidence::Share { of_descriptors: 1.0, readings: 0 },
        )),
        Course::Steady(why) => Course::Steady(why),
        Course::Undecided(why) => Course::Undecided(why),
    };
    vec![Outcome::of(Kind::Fd, course, |_| {})]
}

/// Whether sockets can be told from other descriptors at all; if not, why.
pub(super) fn unread(window: &Window) -> Option<UndecidedWhy> {
    (readings(window).0 == 0).then_some(UndecidedWhy::NotRead)
}

fn name_type(window: &Window, finding: &mut Finding) {
    let (_, Some(first), Some(last)) = readings(window) else { return };
    let grown = |kind: &DescriptorType| {
        let before = first.counts.get(kind).copied().unwrap_or(0);
        last.counts.get(kind).copied().unwrap_or(0).saturating_sub(before)
    };
    let candidates = || last.counts.keys().filter(|kind| **kind != DescriptorType::Socket);
    let all: u64 = candidates().map(&grown).sum();
    let Some((kind, most)) = candidates().map(|kind| (*kind, grown(kind))).max_by_key(|(_, grown)| *grown)
    else {
        return;
    };
    let share = most as f64 / all.max(1) as f64;
    if share >= NAMED_SHARE {
        finding.detail.descriptor_type = Some(kind);
        let now = last.counts.get(&kind).copied().unwrap_or(0);
        finding.evidence.push(Evidence::Concentrated { share, now });
    }
}
