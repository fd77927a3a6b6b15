//! Goroutines: their total says whether they grow and how fast, captures say where, and whether those that came
//! have stayed.
//!
//! A group that has stopped growing may still be stuck. Nothing in a waiting goroutine says whether the one that
//! should wake it exists, so [`stuck`] asks for much: see there.

use super::culprit::{self, Owner, owner, package};
use super::growth::{Course, course};
use super::{Culprit, Evidence, Finding, Frame, Kind, Outcome, Rate, Thresholds, Undecided, UndecidedWhy};
use crate::sample::goroutines::{GoroutineCapture, GoroutineSite};
use crate::sample::heap_sites::HeapSite;
use crate::store::captures::{Captures, survivors};
use crate::store::{Series, Window};
use std::collections::{HashMap, HashSet};

pub(super) mod askers;
mod asleep;
pub(super) mod companions;
mod few;
mod lasting;
mod stuck;

/// An origin with less of the growth than this is no culprit.
const MIN_SHARE: f64 = 0.1;
/// Origins that are named.
const MAX_ORIGINS: usize = 3;
/// Of those that made up the growth of the first half, at least this part must still be there. Without churn it is
/// all of them; under load that rises it is next to none.
const MIN_STAYED: f64 = 0.25;
/// Fewer than this prove nothing either way.
const MIN_COHORT: f64 = 10.0;
/// Totals alone make us [`super::growth`]'s `MAX_CONFIDENCE` sure at most; knowing that all stay adds to it.
const SURER_BY_SURVIVORS: f64 = 0.07;
const MAX_CONFIDENCE: f64 = 0.97;

/// The number of goroutines over time.
pub fn series(window: &Window) -> Series {
    window.series(|sample| Some((sample.runtime.at, sample.runtime.seen()?.goroutines? as f64)))
}

/// Judges the number of goroutines; nothing where no runtime was read.
pub fn judge(window: &Window, thresholds: &Thresholds) -> Vec<Outcome> {
    let series = series(window);
    if series.values.is_empty() {
        return Vec::new();
    }
    let captures = window.captures();
    let course = course(&series, Kind::Goroutine.unit(), thresholds);
    if !matches!(course, Course::Grows(_))
        && let Some(outcome) = lasting::find(captures)
    {
        return vec![outcome];
    }
    match &course {
        Course::Steady(_) => match stuck::find(captures) {
            Some(stuck::Verdict::Stuck(finding)) => return vec![Outcome::Leaks(*finding)],
            Some(stuck::Verdict::MayAwait { count }) => {
                let why = UndecidedWhy::MayAwait { count };
                return vec![Outcome::Undecided(Undecided { kind: Kind::Goroutine, why })];
            }
            Some(stuck::Verdict::Unknown { count }) => {
                let why = UndecidedWhy::Unmoved { count, need_seconds: stuck::DECIDING_SECONDS };
                return vec![Outcome::Undecided(Undecided { kind: Kind::Goroutine, why })];
            }
            None => {}
        },
        Course::Grows(growth) if passes_through(captures) => {
            let why = UndecidedWhy::Ambiguous {
                per_second: growth.rate.per_second,
                slowing: false,
                need_seconds: (2.0 * window.seconds()).max(90.0),
            };
            return vec![Outcome::Undecided(Undecided { kind: Kind::Goroutine, why })];
        }
        Course::Grows(_) | Course::Undecided(_) => {}
    }
    let kept = few::found(&course, &series, captures).or_else(|| few::suspects(&course, &series, captures));
    let outcome =
        kept.unwrap_or_else(|| Outcome::of(Kind::Goroutine, course, |finding| attribute(finding, captures)));
    vec![asleep::weigh(outcome, window)]
}

/// Whether a `go` statement among these lines, or in their stacks, started the goroutines of a site.
fn is_of_origin(site: &GoroutineSite, culprits: &[Culprit]) -> bool {
    let creates = |frame: &Frame| site.created_by.iter().any(|creator| creator.function == frame.function);
    culprits.iter().any(|culprit| creates(&culprit.frame) || culprit.stack.iter().any(&creates))
}

/// Goroutines that one `go` statement created.
struct Origin<'a> {
    created_by: &'a [Frame],
    before: u64,
    after: u64,
    /// Where most of them are now.
    fullest: Option<&'a GoroutineSite>,
}

impl Origin<'_> {
    fn grown(&self) -> u64 {
        self.after.saturating_sub(self.before)
    }
}

/// All origins with growth between two captures, the fastest first.
fn origins<'a>(before: Option<&'a GoroutineCapture>, after: &'a GoroutineCapture) -> Vec<Origin<'a>> {
    let mut origins: HashMap<&[Frame], Origin> = HashMap::new();
    for site in &after.sites {
        let created_by = &*site.created_by;
        let origin =
            origins.entry(created_by).or_insert(Origin { created_by, before: 0, after: 0, fullest: None });
        origin.after += site.count;
        // Sites come by size.
        if origin.fullest.is_none() && !site.stack.is_empty() {
            origin.fullest = Some(site);
        }
    }
    for site in before.iter().flat_map(|before| &before.sites) {
        if let Some(origin) = origins.get_mut(&*site.created_by) {
            origin.before += site.count;
        }
    }
    let mut origins: Vec<Origin> = origins.into_values().filter(|origin| origin.grown() > 0).collect();
    origins.sort_by(|a, b| b.grown().cmp(&a.grown()).then(a.created_by.cmp(b.created_by)));
    origins
}

/// Names the lines: the `go` statement and where they wait, of each origin that grows.
fn attribute(finding: &mut Finding, captures: &Captures) {
    let Some(last) = captures.goroutines.last() else { return };
    let first = captures.goroutines.ends().map(|(first, _)| first);
    let origins = origins(first, last);
    let all: u64 = origins.iter().map(Origin::grown).sum();
    let module = captures.main_module.as_deref();
    for origin in origins.iter().take(MAX_ORIGINS) {
        let share = origin.grown() as f64 / all.max(1) as f64;
        if share < MIN_SHARE {
            break;
        }
        let asked = askers::seen(captures, origin.created_by);
        for asker in asked.iter().filter(|asker| asker.share >= MIN_SHARE) {
            // One call of a library may start several goroutines: it is one line.
            match finding.culprits.iter_mut().find(|known| known.frame == asker.line) {
                Some(known) => known.share = (known.share + asker.share * share).min(1.0),
                None => {
                    let culprit = culprit::culprit(&asker.line, &asker.stack, asker.share * share);
                    finding.culprits.push(culprit);
                }
            }
        }
        let several = asked.iter().filter(|asker| asker.is_one_of_several).count();
        if several > 1 {
            finding.evidence.push(Evidence::SeveralAskers { lines: several });
        }
        if asked.is_empty() {
            if let Some(caller) = caller(captures, origin.created_by) {
                finding.culprits.push(culprit::culprit(caller.0, caller.1, share));
            }
            finding.evidence.extend(askers::parent_now(captures, origin.created_by));
        }
        add_lines(&mut finding.culprits, origin.created_by, origin.fullest, share, module);
    }
    let Some(top) = origins.first() else { return };
    let Some(first) = first else {
        let share = top.after as f64 / last.total.max(1) as f64;
        finding.evidence.push(Evidence::Concentrated { share, now: top.after });
        return;
    };
    let cohort = Cohort::of(captures, top.created_by);
    finding.evidence.push(Evidence::Origin {
        grown: top.grown(),
        share: top.grown() as f64 / all.max(1) as f64,
        seconds: last.at.seconds_since(&first.at),
        came: cohort.as_ref().map_or(0, |cohort| cohort.came),
        stayed: cohort.as_ref().map_or(0, |cohort| cohort.stayed),
        wait: top.fullest.and_then(|site| site.wait_reason.clone()),
    });
    if cohort.is_some_and(|cohort| cohort.came as f64 >= MIN_COHORT && cohort.came == cohort.stayed) {
        finding.confidence = (finding.confidence + SURER_BY_SURVIVORS).min(MAX_CONFIDENCE);
    }
}

/// Names the lines of goroutines that are here, all of them.
pub(super) fn name(finding: &mut Finding, captures: &Captures, site: &GoroutineSite) {
    let asked = askers::seen(captures, &site.created_by);
    let by_births = asked.iter().filter(|asker| asker.share >= MIN_SHARE);
    finding.culprits.extend(by_births.map(|it| culprit::culprit(&it.line, &it.stack, it.share)));
    if asked.is_empty() {
        if let Some(caller) = caller(captures, &site.created_by) {
            finding.culprits.push(culprit::culprit(caller.0, caller.1, 1.0));
        }
        finding.evidence.extend(askers::parent_now(captures, &site.created_by));
    }
    add_lines(&mut finding.culprits, &site.created_by, Some(site), 1.0, captures.main_module.as_deref());
}

/// The `go` statement and the line at which they wait: the program's own first, and of two of the same owner the
/// `go` statement.
fn add_lines(
    culprits: &mut Vec<Culprit>,
    created_by: &[Frame],
    site: Option<&GoroutineSite>,
    share: f64,
    module: Option<&str>,
) {
    let waits_at = site.map(|site| &*site.stack).unwrap_or_default();
    // What a debugger shows: where they are, then who created them.
    let stack: Vec<Frame> = waits_at.iter().chain(created_by).cloned().collect();
    let mut lines: Vec<&Frame> =
        [culprit::line(created_by, module), culprit::line(waits_at, module)].into_iter().flatten().collect();
    lines.sort_by_key(|frame| owner(&frame.function, module));
    // The runtime's line says nothing where there is another.
    if lines.first().is_some_and(|first| owner(&first.function, module) < Owner::Runtime) {
        lines.retain(|frame| owner(&frame.function, module) < Owner::Runtime);
    }
    lines.dedup();
    culprits.extend(lines.into_iter().map(|frame| culprit::culprit(frame, &stack, share)));
}

/// The program's own line that calls the dependency whose `go` statement this is, and its stack. A goroutine knows who
/// created it, not who called that; what is allocated beside it in the same function does, and stands in the heap
/// profile. The profile is a sample: where none of it passed through that very function, what passed through the
/// dependency's package is the next best.
fn caller<'a>(captures: &'a Captures, created_by: &[Frame]) -> Option<(&'a Frame, &'a [Frame])> {
    let module = captures.main_module.as_deref();
    if created_by.is_empty() || created_by.iter().any(|frame| is_own(frame, module)) {
        return None;
    }
    let creates = |frame: &Frame| created_by.iter().any(|creator| creator.function == frame.function);
    let beside = |frame: &Frame| {
        created_by.iter().any(|creator| package(&creator.function) == package(&frame.function))
    };
    own_line_through(captures, creates).or_else(|| own_line_through(captures, beside))
}

fn is_own(frame: &Frame, module: Option<&str>) -> bool {
    owner(&frame.function, module) == Owner::Own
}

/// The program's own line, and its stack, in those stacks of the heap profile that pass `through` somewhere. Of
/// several lines the one with most bytes.
pub(super) fn own_line_through(
    captures: &Captures,
    through: impl Fn(&Frame) -> bool,
) -> Option<(&Frame, &[Frame])> {
    let module = captures.main_module.as_deref();
    let sites: &[HeapSite] = captures.heap.last()?.sites.as_ref().ok()?;
    let mut bytes: HashMap<&Frame, (u64, &[Frame])> = HashMap::new();
    for site in sites.iter().filter(|site| site.stack.iter().any(&through)) {
        if let Some(line) = culprit::line(&site.stack, module).filter(|line| is_own(line, module)) {
            bytes.entry(line).or_insert((0, &site.stack)).0 += site.bytes;
        }
    }
    let (line, (_, stack)) = bytes.into_iter().max_by(|a, b| a.1.0.cmp(&b.1.0).then(b.0.cmp(a.0)))?;
    Some((line, stack))
}

/// Those of one origin that came in the first half of the window, and of them those that are still there.
struct Cohort {
    came: u64,
    stayed: u64,
    one_in: u64,
}

impl Cohort {
    /// `None` where nothing was captured between the first and the newest capture.
    fn of(captures: &Captures, created_by: &[Frame]) -> Option<Cohort> {
        let (first, last) = captures.goroutines.ends()?;
        let middle = captures.goroutines.earlier().nth(1)?;
        let of_origin = |capture: &GoroutineCapture, site: u32| {
            capture.sites.get(site as usize).is_some_and(|site| &*site.created_by == created_by)
        };
        let one_in = first.one_in.max(middle.one_in).max(last.one_in);
        let old: HashSet<u64> = first.members.iter().map(|member| member.id).collect();
        let is_new = |id: u64| id.is_multiple_of(one_in) && !old.contains(&id);
        let came = middle.members.iter().filter(|it| is_new(it.id) && of_origin(middle, it.site)).count();
        let stayed =
            survivors(middle, last).filter(|(it, _)| is_new(it.id) && of_origin(middle, it.site)).count();
        Some(Cohort { came: came as u64, stayed: stayed as u64, one_in })
    }
}

/// The total grows and yet those that come go again: load that rises.
fn passes_through(captures: &Captures) -> bool {
    let Some((first, last)) = captures.goroutines.ends() else { return false };
    let Some(middle) = captures.goroutines.earlier().nth(1) else { return false };
    let origins = origins(Some(first), last);
    let Some(top) = origins.first() else { return false };
    let Some(cohort) = Cohort::of(captures, top.created_by) else { return false };
    let half = middle.at.seconds_since(&first.at) / last.at.seconds_since(&first.at).max(f64::MIN_POSITIVE);
    let expected = top.grown() as f64 * half / cohort.one_in as f64;
    expected >= MIN_COHORT && (cohort.stayed as f64) < MIN_STAYED * expected
}

/// A rate of nothing: it has stopped growing.
const STOPPED: Rate = Rate { per_second: 0.0, low: 0.0, high: 0.0 };

#[cfg(test)]
pub(crate) mod tests;
