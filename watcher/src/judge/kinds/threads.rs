//! OS threads: a goroutine that is locked to its thread, blocked in a system call or in C holds one each.
//!
//! Who asked the kernel for a thread says little, since the runtime does it on behalf of whoever comes next. Which
//! goroutines hold the threads says all.

use crate::judge::judgement::{Finding, Outcome};
use crate::judge::series::growth::{Course, Growth, course};
use crate::judge::terms::{Kind, Rate, Thresholds};
use crate::judge::weigh::culprit;
use crate::judge::weigh::evidence::{Evidence, Hold};
use crate::judge::weigh::few::{Few, leaves_room};
use crate::judge::weigh::reasons::UndecidedWhy;
use crate::judge::weigh::survivors::{Book, LEAST_COUNT};
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
use crate::observed::ledger::{Site, Tasks};
use crate::store::{Captures, Series, Window};
use crate::vocabulary::frame::Frame;
use std::collections::HashMap;
use std::sync::Arc;

/// A place with less of the growth than this is no culprit.
const MIN_SHARE: f64 = 0.1;
const MAX_PLACES: usize = 2;
/// Goroutines that hold less than this part of the growth do not explain it.
const HELD_SHARE: f64 = 0.5;
/// Fewer holders than this prove nothing.
const LEAST: u64 = 12;
/// A rise of the total by so many is enough for a verdict.
const PROOF: u64 = 16;
/// Where totals were undecided and their holders decide.
const BY_HOLDERS: f64 = 0.8;
/// Knowing which goroutines hold what grows makes us surer.
const SURER: f64 = 0.07;
const MAX_CONFIDENCE: f64 = 0.97;

/// Judges the number of OS threads.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = window.series(|sample| Some((sample.threads.at, *sample.threads.seen()? as f64)));
    let captures = window.captures();
    let risen = match (series.values.first(), series.values.last()) {
        (Some(first), Some(last)) => (last - first).max(0.0),
        _ => 0.0,
    };
    let course = match course(&series, Kind::Thread.unit(), thresholds) {
        Course::Undecided(UndecidedWhy::Ambiguous { per_second, slowing: false, .. })
            if all_stay(captures) =>
        {
            let rate = Rate { per_second, low: per_second, high: per_second };
            Course::Grows(Growth { rate, confidence: BY_HOLDERS - SURER, evidence: Vec::new() })
        }
        other => other,
    };
    let suspected = suspects(&course, &series, captures, risen);
    vec![suspected.unwrap_or_else(|| {
        Outcome::of(Kind::Thread, course, |finding| {
            let held = attribute(finding, captures, risen);
            if (held as f64) < HELD_SHARE * risen {
                started_by_c(finding, window);
            }
        })
    })]
}

/// A suspicion where a few threads came and stayed, each held by a goroutine or started by C. The runtime starts one now
/// and then for whoever needs it and keeps it, so that the number alone accuses nobody.
fn suspects(course: &Course, series: &Series, captures: &Captures, risen: f64) -> Option<Outcome> {
    let mut few = Few::of_series(series).filter(|_| leaves_room(course))?;
    let (first, last) = captures.goroutines.ends()?;
    let holders = growing(Some(first), last);
    let held: u64 = holders.iter().map(Holders::grown).sum();
    few.count = few.count.min(held);
    few.alike_before = holders.iter().map(|it| it.before).max().unwrap_or(0);
    if !few.keep_coming() {
        return None;
    }
    let mut suspected = few.suspected(Kind::Thread, LEAST.max(PROOF));
    attribute(&mut suspected.finding, captures, risen);
    Some(Outcome::Suspected(suspected))
}

/// Goroutines of one origin at one place that hold threads.
struct Holders<'a> {
    site: &'a GoroutineSite,
    before: u64,
    now: u64,
}

impl Holders<'_> {
    fn grown(&self) -> u64 {
        self.now.saturating_sub(self.before)
    }

    fn hold(&self) -> Hold {
        if self.site.stack.iter().any(|frame| &*frame.function == "runtime.cgocall") {
            Hold::C
        } else if self.site.wait_reason.is_some() {
            Hold::Locked
        } else {
            Hold::SystemCall
        }
    }
}

/// By origin and place.
type Key<'a> = (&'a Arc<[Frame]>, &'a Arc<[Frame]>);

fn by_place(capture: &GoroutineCapture) -> HashMap<Key<'_>, u64> {
    let mut holding = HashMap::new();
    for site in &capture.sites {
        *holding.entry((&site.created_by, &site.stack)).or_default() += site.holding_threads;
    }
    holding
}

/// Places that hold more threads than before, those with most first.
fn growing<'a>(first: Option<&GoroutineCapture>, last: &'a GoroutineCapture) -> Vec<Holders<'a>> {
    let before = first.map(by_place).unwrap_or_default();
    let mut holders: Vec<Holders> = Vec::new();
    for site in last.sites.iter().filter(|site| site.holding_threads > 0) {
        let same = |it: &&mut Holders| it.site.created_by == site.created_by && it.site.stack == site.stack;
        if let Some(known) = holders.iter_mut().find(same) {
            known.now += site.holding_threads;
        } else {
            let before = before.get(&(&site.created_by, &site.stack)).copied().unwrap_or(0);
            holders.push(Holders { site, before, now: site.holding_threads });
        }
    }
    holders.retain(|it| it.grown() > 0);
    holders.sort_by(|a, b| b.grown().cmp(&a.grown()).then(a.site.stack.cmp(&b.site.stack)));
    holders
}

/// Those that hold threads grew in number in both halves.
fn all_stay(captures: &Captures) -> bool {
    let runs = &captures.goroutines;
    let (Some((first, last)), Some(middle)) = (runs.ends(), runs.earlier().nth(1)) else { return false };
    let count =
        |capture: &GoroutineCapture| capture.sites.iter().map(|site| site.holding_threads).sum::<u64>();
    let (older, newer) =
        (count(middle).saturating_sub(count(first)), count(last).saturating_sub(count(middle)));
    older + newer >= LEAST && newer * 2 >= older && older * 2 >= newer
}

/// Names the lines that called C where C starts threads of its own: no goroutine sits on those.
fn started_by_c(finding: &mut Finding, window: &Window) {
    let captures = window.captures();
    let by_c = |site: &Site<Tasks>| is_started_by_c(site).then_some(site.outstanding);
    let Some(book) = Book::open(window, &captures.threads, LEAST_COUNT, by_c) else { return };
    if book.keepers().next().is_some() {
        finding.culprits.clear();
        book.describe(finding, captures);
    }
}

/// Whether C started these threads for itself. Go's runtime has C start threads too (`runtime/cgo`), on behalf of whoever
/// comes next.
fn is_started_by_c(site: &Site<Tasks>) -> bool {
    let is_native = |frame: &Frame| frame.line == 0;
    let is = |name: &str| site.stack.iter().any(|frame| &*frame.function == name);
    let is_runtimes = site.stack.iter().any(|frame| frame.function.contains("_cgo_"));
    let go = site.stack.iter().filter(|frame| !is_native(frame)).count();
    site.stack.first().is_some_and(is_native) && !is_runtimes && (go == 0 || is("runtime.cgocall"))
}

/// Names the lines that hold threads now, whenever these came.
pub(in crate::judge) fn name_holders(finding: &mut Finding, captures: &Captures) {
    if let Some(last) = captures.goroutines.last() {
        name_lines(finding, captures, &growing(None, last));
    }
}

/// How many more threads are held by goroutines. Names where those are.
fn attribute(finding: &mut Finding, captures: &Captures, risen: f64) -> u64 {
    let Some(last) = captures.goroutines.last() else { return 0 };
    let first = captures.goroutines.ends().map(|(first, _)| first);
    let holders = growing(first, last);
    let all = name_lines(finding, captures, &holders);
    if let Some(top) = holders.first().filter(|top| top.grown() >= LEAST / 2) {
        #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a count that rose")]
        let threads = risen as u64;
        finding
            .evidence
            .insert(0, Evidence::HoldingThreads { grown: top.grown(), threads, hold: top.hold() });
        if first.is_some() && top.grown() as f64 >= 0.5 * risen {
            finding.confidence = (finding.confidence + SURER).min(MAX_CONFIDENCE);
        }
    }
    all
}

fn name_lines(finding: &mut Finding, captures: &Captures, holders: &[Holders<'_>]) -> u64 {
    let all: u64 = holders.iter().map(Holders::grown).sum();
    let module = captures.main_module.as_deref();
    for place in holders.iter().take(MAX_PLACES) {
        let share = place.grown() as f64 / all.max(1) as f64;
        if share < MIN_SHARE {
            break;
        }
        let asked_by = || place.site.started_by.iter().flat_map(|stack| stack.iter());
        let created_by = || if asked_by().next().is_some() { &[][..] } else { &place.site.created_by[..] };
        let stack: Vec<Frame> =
            place.site.stack.iter().chain(created_by()).chain(asked_by()).cloned().collect();
        // Where it holds the thread, then where it was started, then who asked a library for that.
        let is_own = |frame: &&Frame| culprit::owner(&frame.function, module) == culprit::Owner::Own;
        let lines = [
            culprit::line(&place.site.stack, module),
            culprit::line(&place.site.created_by, module),
            asked_by().find(is_own),
        ];
        let mut lines: Vec<&Frame> = lines.into_iter().flatten().collect();
        lines.sort_by_key(|frame| culprit::owner(&frame.function, module));
        if lines.first().is_some_and(|it| culprit::owner(&it.function, module) < culprit::Owner::Runtime) {
            lines.retain(|it| culprit::owner(&it.function, module) < culprit::Owner::Runtime);
        }
        lines.dedup();
        finding.culprits.extend(lines.into_iter().map(|line| culprit::culprit(line, &stack, share)));
    }
    all
}

#[cfg(test)]
mod tests;
