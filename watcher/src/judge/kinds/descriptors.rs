//! Descriptors that are no sockets, of which type those are that grow, and who opened them.

use super::collector;
use super::composition::{are_told, part_course, part_series, readings};
use crate::judge::judgement::{Finding, Outcome};
use crate::judge::series::growth::{Course, Growth, course};
use crate::judge::series::shape::tail;
use crate::judge::terms::{Kind, Thresholds};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::few::Alike;
use crate::judge::weigh::reasons::UndecidedWhy;
use crate::judge::weigh::survivors::{Book, LEAST_COUNT};
use crate::judge::weigh::{culprit, few};
use crate::observed::descriptors::DescriptorTypes;
use crate::observed::ledger::{Descriptors, Site};
use crate::store::{Series, Window};
use crate::vocabulary::descriptor::DescriptorType;

/// Confidence lost where nothing says what the growing descriptors are.
const TYPES_UNKNOWN: f64 = 0.2;

/// The growing type is named where it makes up this part of the growth.
const NAMED_SHARE: f64 = 0.5;

/// Judges the open descriptors that are no sockets.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let course = by_totals(window, thresholds);
    let captures = window.captures();
    let by_total = |course: &Course| {
        few::by_total(Kind::Fd, course, &part_series(window, DescriptorTypes::without_sockets), LEAST_COUNT)
    };
    let tail = tail(&part_series(window, DescriptorTypes::without_sockets), Kind::Fd.unit());
    let Some(book) =
        Book::open(window, &captures.descriptors, LEAST_COUNT, files).map(|book| book.beside(tail))
    else {
        return vec![by_total(&course).unwrap_or_else(|| outcome(window, course, None))];
    };
    let course = match book.decide(course) {
        // What the collector closes nobody else does: it grows until the next collection, and comes back.
        Course::Steady(why) => {
            collector::growth_between(window, &book).map_or(Course::Steady(why), Course::Grows)
        }
        other => other,
    };
    let alike = |site: &Site<Descriptors>| {
        let kind = site.what.types.first()?.0;
        let (_, Some(first), Some(last)) = readings(window) else { return None };
        let of = |types: &DescriptorTypes| types.counts.get(&kind).copied().unwrap_or(0);
        // A program opens files for a hundred reasons.
        let is_close = !matches!(kind, DescriptorType::File | DescriptorType::Pipe);
        Some(Alike { before: of(first), now: of(last), is_close })
    };
    let mut suspected = book.suspects(Kind::Fd, &course, captures, alike);
    if let Some(Outcome::Suspected(one)) = &mut suspected {
        name_type_of_sites(&book, &mut one.finding);
    } else if !book.tells_all() {
        suspected = by_total(&course).map(|outcome| book.named(outcome, captures));
    }
    vec![suspected.unwrap_or_else(|| outcome(window, course, Some(&book)))]
}

/// The outcome for this course, with all that is known of the descriptors that grow.
fn outcome(window: &Window, course: Course, book: Option<&Book<'_, Descriptors>>) -> Outcome {
    Outcome::of(Kind::Fd, course, |finding| {
        name_type(window, finding);
        if let Some(book) = book {
            book.describe(finding, window.captures());
            name_type_of_sites(book, finding);
        }
    })
}

/// Growth of what stacks keep that open other things than sockets, whatever the totals say.
pub(in crate::judge) fn kept(window: &Window) -> Option<Growth> {
    Book::open(window, &window.captures().descriptors, LEAST_COUNT, files)?.kept_growth()
}

/// A finding of this growth.
pub(in crate::judge) fn described(window: &Window, growth: Growth) -> Outcome {
    let book = Book::open(window, &window.captures().descriptors, LEAST_COUNT, files);
    outcome(window, Course::Grows(growth), book.as_ref())
}

/// Descriptors that are no sockets over time; where their types are not read, all of them.
pub(in crate::judge) fn series(window: &Window) -> Series {
    let own = part_series(window, DescriptorTypes::without_sockets);
    if own.values.is_empty() {
        return window.series(|sample| Some((sample.descriptors.at, *sample.descriptors.seen()? as f64)));
    }
    own
}

/// Without types the growth of all descriptors is all there is; it is said as what it most often is.
fn by_totals(window: &Window, thresholds: &Thresholds) -> Course {
    let unit = Kind::Fd.unit();
    if are_told(window) {
        return part_course(window, unit, thresholds, DescriptorTypes::without_sockets);
    }
    let total = window.series(|sample| Some((sample.descriptors.at, *sample.descriptors.seen()? as f64)));
    match course(&total, unit, thresholds) {
        Course::Grows(growth) => Course::Grows(growth.scaled(
            1.0,
            TYPES_UNKNOWN,
            Evidence::Share { of_descriptors: 1.0, readings: 0 },
        )),
        other => other,
    }
}

/// Descriptors of a site that are no sockets; `None` for a site that makes sockets.
pub(in crate::judge) fn files(site: &Site<Descriptors>) -> Option<u64> {
    (!makes_sockets(site)).then(|| {
        let files = site.what.types.iter().filter(|(kind, _)| *kind != DescriptorType::Socket);
        files.map(|(_, count)| count).sum()
    })
}

/// Whether a site makes sockets: by what it has outstanding, and where that is nothing, by Go's own names for it.
pub(in crate::judge) fn makes_sockets(site: &Site<Descriptors>) -> bool {
    match site.what.types.first() {
        Some((kind, _)) => *kind == DescriptorType::Socket,
        None => site.stack.iter().any(|frame| {
            culprit::package(&frame.function) == "net"
                || ["syscall.Socket", "syscall.socket", "syscall.accept4", "syscall.Accept4"]
                    .contains(&&*frame.function)
        }),
    }
}

/// The type by what the keeping stacks hold, where the totals did not tell it.
fn name_type_of_sites(book: &Book<'_, Descriptors>, finding: &mut Finding) {
    let top = book.foremost().and_then(|site| site.what.types.first());
    if finding.detail.descriptor_type.is_none() {
        finding.detail.descriptor_type = top.map(|(kind, _)| *kind);
    }
}

/// Whether sockets can be told from other descriptors at all; if not, why.
pub(in crate::judge) fn unread(window: &Window) -> Option<UndecidedWhy> {
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
