//! Goroutines: their total says whether they grow and how fast, captures say where, and whether those that came
//! have stayed.
//!
//! A group that has stopped growing may still be stuck. Nothing in a waiting goroutine says whether the one that
//! should wake it exists, so [`stuck`] asks for much: see there.

use crate::judge::judgement::{Finding, Outcome};
use crate::judge::kinds::goroutines::lines::{caller, series};
use crate::judge::kinds::goroutines::naming::{MIN_SHARE, add_lines};
use crate::judge::series::growth::{Course, course};
use crate::judge::terms::{Kind, Thresholds};
use crate::judge::weigh::culprit::{self};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
use crate::observed::goroutines::{GoroutineCapture, GoroutineSite};
use crate::store::Window;
use crate::store::captures::{Captures, survivors};
use crate::vocabulary::frame::Frame;
use std::collections::{HashMap, HashSet};

pub(in crate::judge) mod askers;
mod asleep;
pub(in crate::judge) mod companions;
mod few;
mod lasting;
pub(in crate::judge) mod lines;
pub(in crate::judge) mod naming;
mod stuck;

/// Origins that are named.
const MAX_ORIGINS: usize = 3;
/// Of those that made up the growth of the first half, at least this part must still be there. Without churn it is
/// all of them; under load that rises it is next to none.
const MIN_STAYED: f64 = 0.25;
/// Fewer than this prove nothing either way.
const MIN_COHORT: f64 = 10.0;
/// Totals alone make us [`crate::judge::series::growth`]'s `MAX_CONFIDENCE` sure at most; knowing that all stay adds to it.
const SURER_BY_SURVIVORS: f64 = 0.07;
const MAX_CONFIDENCE: f64 = 0.97;

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

#[cfg(test)]
pub(crate) mod tests;
