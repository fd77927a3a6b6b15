//! The few that a stack keeps, where they are too few to decide.

use super::{
    Book, Evidence, Fate, Finding, LEAST_COUNT, MAX_STACKS, MOST_ENDED, REPLACED, STOPPED, Source, add_lines,
    sum,
};
use crate::judge::judgement::{Outcome, Suspected};
use crate::judge::series::growth::Course;
use crate::judge::terms::Kind;
use crate::judge::weigh::few::{Alike, Few, leaves_room};
use crate::observed::ledger::Site;
use crate::store::Captures;
use std::collections::HashMap;

/// Where totals see nothing in the noise of what comes and goes, survivors need so many times the usual count.
const IN_NOISE: u64 = 3;
/// Of what came and stayed this part must be known by its stack, else the stacks say too little.
const MOSTLY_KNOWN: f64 = 0.9;

/// The stacks of one place whose things stay.
struct Keeper<'b, 'a, T> {
    sources: Vec<&'b Source<'a, T>>,
    few: Few,
}

impl<'a, T> Book<'a, T> {
    /// Whether it tells the stacks of nearly all that came in nearly all of the window.
    pub fn tells_all(&self) -> bool {
        self.is_judge && self.known() >= MOSTLY_KNOWN
    }

    /// A suspicion of this kind by what stacks keep, whatever the totals made of it; `None` where the course needs none.
    /// `alike` says how many things like those of a site there are.
    pub fn suspects(
        &self,
        kind: Kind,
        course: &Course,
        captures: &Captures,
        alike: impl Fn(&Site<T>) -> Option<Alike>,
    ) -> Option<Outcome> {
        if !leaves_room(course) || !self.is_judge {
            return None;
        }
        let mut keepers = self.few(alike);
        keepers.sort_by_key(|keeper| std::cmp::Reverse(keeper.few.count));
        let few = keepers.iter().map(|keeper| keeper.few).reduce(Few::and)?;
        // Where others come and go the total sees nothing of so few, and survivors must be more.
        let in_noise = self.all().ended > few.count;
        let proof = if in_noise { IN_NOISE * LEAST_COUNT } else { LEAST_COUNT };
        let mut suspected = few.suspected(kind, proof);
        self.name_few(&keepers, &mut suspected, captures);
        Some(Outcome::Suspected(suspected))
    }

    /// Places whose things stay and keep coming.
    fn few(&self, alike: impl Fn(&Site<T>) -> Option<Alike>) -> Vec<Keeper<'_, 'a, T>> {
        // Of one stack, since who started its goroutine is known of some and not of others.
        let mut by_stack: HashMap<&[super::Frame], Vec<&Source<'a, T>>> = HashMap::new();
        for source in self.sources.iter().filter(|source| source.site.created > 0) {
            by_stack.entry(&source.site.stack).or_default().push(source);
        }
        let mut keepers = Vec::new();
        for sources in by_stack.into_values() {
            let created: u64 = sources.iter().map(|source| source.site.created).sum();
            let ended: u64 = sources.iter().map(|source| source.site.ended).sum();
            let kept: u64 = sources.iter().map(|source| source.kept).sum();
            let holders = || sources.iter().filter(|source| source.kept > 0).map(|source| source.site);
            let alike = holders().next().and_then(&alike);
            let few = Few {
                count: kept,
                oldest: holders().map(|site| site.oldest.as_secs_f64()).fold(0.0, f64::max),
                youngest: holders().map(|site| site.youngest.as_secs_f64()).fold(f64::INFINITY, f64::min),
                alike_before: alike.filter(|it| it.is_close).map_or(0, |it| it.before),
                seconds: self.seconds(),
            };
            // Where as many went that were there before, these took their places.
            let is_more = alike.is_none_or(|it| 2 * it.now.saturating_sub(it.before) >= kept);
            let replaced = !is_more && self.gone_of_before as f64 >= REPLACED * kept as f64;
            let stays = ended as f64 <= MOST_ENDED * created as f64
                || sources.iter().any(|it| matches!(it.fate, Fate::Kept | Fate::Began));
            if kept > 0 && stays && !replaced && few.keep_coming() {
                keepers.push(Keeper { sources, few });
            }
        }
        keepers
    }

    /// The stack that has most outstanding of what was created since it was watched, whatever becomes of that.
    pub fn most(&self) -> Option<&Source<'a, T>> {
        self.sources.first().filter(|source| source.kept > 0)
    }

    /// What all stacks have outstanding.
    pub fn kept_at_all(&self) -> u64 {
        self.sources.iter().map(|source| source.kept).sum()
    }

    /// The lines of those stacks that have most outstanding, whatever becomes of it: where a total says that it stays.
    pub fn name_most(&self, finding: &mut Finding, captures: &Captures) {
        let all = self.kept_at_all().max(1) as f64;
        for source in self.sources.iter().filter(|source| source.kept > 0).take(MAX_STACKS) {
            add_lines(&mut finding.culprits, source.site, source.kept as f64 / all, captures);
        }
    }

    /// A suspicion by a total, with the lines of those stacks that have most outstanding.
    pub fn named(&self, outcome: Outcome, captures: &Captures) -> Outcome {
        match outcome {
            Outcome::Suspected(mut one) => {
                self.name_most(&mut one.finding, captures);
                Outcome::Suspected(one)
            }
            other => other,
        }
    }

    fn name_few(&self, keepers: &[Keeper<'_, 'a, T>], suspected: &mut Suspected, captures: &Captures) {
        let finding: &mut Finding = &mut suspected.finding;
        let all: u64 = keepers.iter().map(|keeper| keeper.few.count).sum();
        for keeper in keepers.iter().take(MAX_STACKS) {
            let share = keeper.few.count as f64 / all.max(1) as f64;
            if let Some(source) = keeper.sources.iter().max_by_key(|source| source.kept) {
                add_lines(&mut finding.culprits, source.site, share, captures);
            }
        }
        let Some(top) = keepers.first() else { return };
        let is_here = |site: &Site<T>| top.sources.iter().any(|source| std::ptr::eq(source.site, site));
        let sites = || self.sources.iter().map(|source| source.site);
        finding.evidence = vec![Evidence::Survivors {
            here: sum(sites().filter(|site| is_here(site))),
            elsewhere: sum(sites().filter(|site| !is_here(site))),
            seconds: self.seconds(),
            keeping_stacks: keepers.len(),
        }];
    }

    /// So many stay that came not long ago, at stacks that keep too few to be judged.
    pub(super) fn recent_few(&self) -> u64 {
        let recent = self.sources.iter().filter(|source| {
            source.fate == Fate::Few && source.site.youngest.as_secs_f64() < STOPPED * self.seconds()
        });
        recent.map(|source| source.kept).sum()
    }
}
