//! Survivors by the stack that created them.
//!
//! Totals only raise the suspicion: where stacks are known, what became of the things that each one created decides.
//! A stack that keeps what it creates, evenly and to the last, is the culprit; one whose things go again, or that has
//! stopped creating, acquits. What has no stack lowers the confidence and is said.

use super::culprit::{self, Owner, owner};
use crate::judge::judgement::{Culprit, Finding};
use crate::judge::series::growth::{Course, Growth, MAX_CONFIDENCE};
use crate::judge::series::shape::Tail;
use crate::judge::terms::Rate;
use crate::judge::weigh::evidence::{Begin, Created, Evidence};
use crate::judge::weigh::reasons::{SteadyWhy, UndecidedWhy};
use crate::observed::ledger::{Ledger, Site};
use crate::store::Window;
use crate::store::captures::{Captures, Run};
use crate::vocabulary::frame::Frame;
use std::sync::Arc;

/// Knowing what became of each thing makes us surer than totals do.
const SURER: f64 = 0.1;
const MOST_CERTAIN: f64 = 0.97;
/// Where most of the growth has no stack, what the stacks say is said with less confidence.
const LESS_SURE: f64 = 0.05;
/// Where totals were undecided and survivors decide.
const BY_SURVIVORS: f64 = 0.82;
/// Fewer than this prove nothing, for things that are counted.
pub(in crate::judge) const LEAST_COUNT: u64 = 12;
/// ... and from so many on they are no single thing that was made once.
const FEW: u64 = 2;
/// The same for bytes.
pub(in crate::judge) const LEAST_BYTES: u64 = 4 * 1024 * 1024;
/// A stack keeps what it creates where no larger part of it ended.
const MOST_ENDED: f64 = 0.1;
/// Where the survivors outlive all that ended so many times, some are kept and others are not.
const OUTLIVE: f64 = 2.0;
/// ... and these live for a short part of the time: else what is in use at the end is not told from what is kept.
const SHORT_LIVED: f64 = 1.0 / 6.0;
/// The newer half must bring at least this part of what the older one brought: less is a pool that fills.
const STILL_COMING: f64 = 0.5;
/// ... and the older one this part of the newer one: else it has only just begun.
const BEGAN_EARLY: f64 = 0.4;
/// A line must be so long, in seconds.
const LEAST_LINE_SECONDS: f64 = 12.0;
/// Where the oldest that is kept is younger than this part of the time, it began while it was watched.
const WHOLE: f64 = 0.85;
/// Both bring about the same: the newer half's pace against the older one's.
const EVEN: std::ops::RangeInclusive<f64> = 0.75..=1.34;
/// A stack that has created nothing for this part of the time has stopped.
const STOPPED: f64 = 0.3;
/// Where so much of what was there before went meanwhile, what is new took its place.
const REPLACED: f64 = 0.3;
/// What is given back within this time was given back by the code that took it.
const LASTING_SECONDS: f64 = 2.0;
/// A ledger that covers less than this part of the window names lines and decides nothing: a minute of a daily wave
/// looks like growth, and a slow leak like none.
const COVERS: f64 = 0.6;
/// ... unless it was kept for so long that a wave of load would have shown: it accuses then, and acquits of nothing.
const COVERS_SECONDS: f64 = 600.0;
/// ... and so does one that was read longer ago than this part of the time it covers.
const STALE: f64 = 0.25;
/// A stack with less of the growth than this is no culprit.
const MIN_SHARE: f64 = 0.1;
const MAX_STACKS: usize = 3;
/// A middle outside of this part of the time is none.
const MIDDLE: std::ops::RangeInclusive<f64> = 0.25..=0.75;

/// What became of the things that one stack created.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// They stay, and more keep coming at the same pace.
    Kept,
    /// They stay, and most of them came of late: a leak that has begun, or a pool that has begun to fill.
    Began,
    /// They stay, and no more come.
    Filled,
    /// They go again.
    ComeAndGo,
    /// They are too few to matter.
    Few,
    /// It cannot be told.
    Unclear,
}

/// One stack.
pub(in crate::judge) struct Source<'a, T> {
    pub site: &'a Site<T>,
    /// Outstanding now, in the unit of the kind.
    pub kept: u64,
    /// The same at the capture nearest to the middle.
    middle: Option<u64>,
    fate: Fate,
}

/// All stacks of one ledger that create things of one kind.
pub(in crate::judge) struct Book<'a, T> {
    ledger: &'a Ledger<T>,
    /// Most kept first.
    sources: Vec<Source<'a, T>>,
    /// When the middle was captured, as a part of the time watched.
    middle_at: Option<f64>,
    /// So many that were there before watching began have gone since.
    gone_of_before: u64,
    least: u64,
    /// It covers most of the window, to its end: it may overrule what the totals say.
    is_judge: bool,
    /// The total was level and rises in a line since.
    tail: Option<Tail>,
    /// It covers enough to say that something is kept, whatever the totals say.
    accuses: bool,
    /// Its things are pieces of others, that the kernel joins and parts: a few of them say nothing.
    is_of_pieces: bool,
}

/// The combined answer of all stacks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LedgerVerdict {
    /// Some keep what they create.
    Kept { total: u64 },
    /// Whatever is created goes again.
    ComeAndGo,
    /// What was created stays, and nothing more comes.
    Filled { for_seconds: f64 },
    /// Nothing.
    Silent,
}

impl<'a, T> Book<'a, T> {
    /// Reads the newest ledger and those before it. `amount` is what a site holds of the kind that is judged, in its
    /// unit, and `None` for a site that creates other things; less than `least` of it proves nothing.
    pub fn open(
        window: &Window,
        run: &'a Run<Ledger<T>>,
        least: u64,
        amount: impl Fn(&Site<T>) -> Option<u64>,
    ) -> Option<Self> {
        let ledger = run.last()?;
        let watched = ledger.watched().as_secs_f64();
        if watched <= 0.0 {
            return None;
        }
        // What was captured while it was watched another time counts from another zero.
        let same = || run.earlier().filter(|earlier| earlier.began == ledger.began);
        let middle = same()
            .map(|earlier| (earlier.watched().as_secs_f64() / watched, earlier))
            .filter(|(part, _)| MIDDLE.contains(part))
            .min_by(|a, b| (a.0 - 0.5).abs().total_cmp(&(b.0 - 0.5).abs()));
        let gone_of_before =
            same().next().map_or(0, |first| first.accounts.before.saturating_sub(ledger.accounts.before));
        let middle_at = middle.map(|(part, _)| part);
        let mut sources: Vec<Source<'a, T>> = ledger
            .sites
            .iter()
            .filter(|site| !site.stack.is_empty())
            .filter_map(|site| {
                let kept = amount(site)?;
                let alike =
                    |other: &&Site<T>| other.stack == site.stack && other.started_by == site.started_by;
                let middle = middle
                    .map(|(_, earlier)| earlier.sites.iter().find(alike).and_then(&amount).unwrap_or(0));
                let pace = Pace { kept, middle, middle_at };
                Some(Source { site, kept, middle, fate: fate(site, pace, least, watched) })
            })
            .collect();
        sources.sort_by_key(|source| std::cmp::Reverse(source.kept));
        let age = window.latest().map_or(0.0, |newest| newest.at.seconds_since(&ledger.at));
        let is_fresh = age <= STALE * watched;
        let is_judge = watched >= COVERS * window.seconds() && is_fresh;
        let accuses = is_judge || (watched >= COVERS_SECONDS && is_fresh);
        Some(Book {
            ledger,
            sources,
            middle_at,
            gone_of_before,
            least,
            is_judge,
            tail: None,
            accuses,
            is_of_pieces: false,
        })
    }

    /// The same of things that are pieces of others, such as mappings.
    pub fn of_pieces(self) -> Self {
        Book { is_of_pieces: true, ..self }
    }

    /// The same beside a total that began to rise while it was watched.
    pub fn beside(self, tail: Option<Tail>) -> Self {
        Book { tail, ..self }
    }

    /// Seconds that were watched.
    pub fn seconds(&self) -> f64 {
        self.ledger.watched().as_secs_f64()
    }

    /// Stacks that keep what they create, those that keep most first.
    pub fn keepers(&self) -> impl Iterator<Item = &Source<'a, T>> {
        self.sources.iter().filter(|source| self.is_keeper(source))
    }

    /// What came of late counts where all of it came in a line, and is much.
    fn is_keeper(&self, source: &Source<'a, T>) -> bool {
        let in_a_line = || {
            self.tail.as_ref().is_some_and(|tail| {
                tail.is_straight && tail.seconds >= LEAST_LINE_SECONDS && source.kept >= 2 * self.least
            })
        };
        source.fate == Fate::Kept || (source.fate == Fate::Began && in_a_line())
    }

    /// What the keeping stacks hold.
    pub fn kept(&self) -> u64 {
        self.keepers().map(|source| source.kept).sum()
    }

    /// Created since watching began, outstanding, and by whom is not known: by the kernel's table as a whole, so for
    /// descriptors it may be those of another kind.
    fn without_stack(&self) -> u64 {
        let accounts = &self.ledger.accounts;
        accounts.missed.saturating_add(accounts.without_stack)
    }

    /// Part of what is new whose stack is known: 0 to 1.
    fn known(&self) -> f64 {
        if self.without_stack() == 0 {
            return 1.0;
        }
        let known: u64 = self.sources.iter().map(|source| source.site.outstanding).sum();
        known as f64 / known.saturating_add(self.without_stack()).max(1) as f64
    }

    fn word(&self) -> LedgerVerdict {
        let total = self.kept();
        if total >= self.least {
            let replaced = self.gone_of_before as f64 >= REPLACED * total as f64;
            return if replaced { LedgerVerdict::Silent } else { LedgerVerdict::Kept { total } };
        }
        let unknown = self.without_stack().saturating_add(self.ledger.accounts.lost);
        let unclear = self.sources.iter().any(|source| matches!(source.fate, Fate::Unclear | Fate::Began));
        if unclear || unknown >= self.least || self.sources.is_empty() {
            return LedgerVerdict::Silent;
        }
        // A few that came of late and have not gone neither come and go nor fill anything.
        if !self.is_of_pieces && self.recent_few() >= FEW {
            return LedgerVerdict::Silent;
        }
        let stays = |source: &&Source<'a, T>| {
            source.fate == Fate::Filled || (source.fate == Fate::Few && source.kept > 0)
        };
        let filled = self.sources.iter().filter(stays);
        let youngest = filled.map(|source| source.site.youngest.as_secs_f64()).min_by(f64::total_cmp);
        match youngest {
            Some(for_seconds) => LedgerVerdict::Filled { for_seconds },
            None => LedgerVerdict::ComeAndGo,
        }
    }

    /// Growth of what the stacks keep, whatever the totals say; `None` where none keeps enough.
    pub fn kept_growth(&self) -> Option<Growth> {
        let LedgerVerdict::Kept { total } = self.word() else { return None };
        Some(self.growth(total))
    }

    /// What becomes of the totals' word when the stacks have theirs.
    pub fn decide(&self, course: Course) -> Course {
        let word = self.word();
        match (course, word) {
            (Course::Grows(mut growth), LedgerVerdict::Kept { total }) => {
                growth.confidence = self.confidence(growth.confidence, total);
                Course::Grows(growth)
            }
            (course, LedgerVerdict::Kept { .. }) if !self.accuses => course,
            (course, LedgerVerdict::ComeAndGo | LedgerVerdict::Filled { .. } | LedgerVerdict::Silent)
                if !self.is_judge =>
            {
                course
            }
            (Course::Grows(growth), LedgerVerdict::ComeAndGo | LedgerVerdict::Filled { .. }) => {
                Course::Undecided(UndecidedWhy::Ambiguous {
                    per_second: growth.rate.per_second,
                    slowing: false,
                    need_seconds: (2.0 * self.seconds()).max(90.0),
                })
            }
            (
                Course::Undecided(UndecidedWhy::Ambiguous { slowing: false, .. }),
                LedgerVerdict::Kept { total },
            ) => Course::Grows(self.growth(total)),
            // The noise of all others hid it, or made it look as if it slowed down.
            (
                Course::Steady(SteadyWhy::Flat { .. } | SteadyWhy::Plateau { .. })
                | Course::Undecided(UndecidedWhy::Ambiguous { slowing: true, .. }),
                LedgerVerdict::Kept { total },
            ) if self.is_even() && self.net_growth() as f64 >= 0.5 * total as f64 => {
                Course::Grows(self.growth(total))
            }
            (Course::Undecided(UndecidedWhy::Ambiguous { .. }), LedgerVerdict::ComeAndGo) => {
                let all = self.all();
                Course::Steady(SteadyWhy::ComeAndGo {
                    created: all.created,
                    ended: all.ended,
                    longest_seconds: all.longest_seconds,
                })
            }
            (Course::Undecided(UndecidedWhy::Ambiguous { .. }), LedgerVerdict::Filled { for_seconds }) => {
                let level = self.ledger.accounts.outstanding as f64;
                Course::Steady(SteadyWhy::Plateau { flat_seconds: for_seconds, level })
            }
            (course, _) => course,
        }
    }

    /// What the keeping stacks create comes as fast in the newer half as in the older one, and is much.
    fn is_even(&self) -> bool {
        let middle = self.keepers().map(|source| source.middle).sum::<Option<u64>>();
        let pace = Pace { kept: self.kept(), middle, middle_at: self.middle_at };
        pace.kept >= 3 * self.least && pace.newer_over_older().is_some_and(|ratio| EVEN.contains(&ratio))
    }

    /// By how many things more than when watching began the kernel's own table holds now: where other things went
    /// meanwhile, what is kept may have taken their place.
    fn net_growth(&self) -> u64 {
        let accounts = &self.ledger.accounts;
        accounts.outstanding.saturating_sub(accounts.before).saturating_sub(self.gone_of_before)
    }

    /// Growth by the ledger alone.
    fn growth(&self, total: u64) -> Growth {
        let oldest = self.keepers().map(|source| source.site.oldest.as_secs_f64()).fold(0.0, f64::max);
        if oldest > 0.0 && oldest < WHOLE * self.seconds() {
            let per_second = total as f64 / oldest;
            let (low, high) =
                self.tail.as_ref().map_or((per_second, per_second), |tail| (tail.rate.low, tail.rate.high));
            return Growth {
                rate: Rate { per_second, low, high }.ordered(),
                confidence: self.confidence(BY_SURVIVORS - SURER, total),
                evidence: vec![Evidence::Since { seconds: oldest, begin: Begin::Watched }],
            };
        }
        let per_second = total as f64 / self.seconds();
        let halves = self.middle_at.map(|at| {
            let middle: u64 = self.keepers().filter_map(|source| source.middle).sum();
            let older = middle as f64 / (at * self.seconds());
            let newer = total.saturating_sub(middle) as f64 / ((1.0 - at) * self.seconds());
            (older.min(newer), older.max(newer))
        });
        let (low, high) = halves.unwrap_or((per_second, per_second));
        Growth {
            rate: Rate { per_second, low, high },
            confidence: self.confidence(BY_SURVIVORS - SURER, total),
            evidence: Vec::new(),
        }
    }

    /// By how much the survivors move the confidence that the totals gave.
    fn confidence(&self, totals: f64, total: u64) -> f64 {
        let accounts = &self.ledger.accounts;
        let known = self.known();
        if known < 0.5 {
            return (totals - LESS_SURE).max(0.0);
        }
        let amount = (total as f64 / (4 * self.least) as f64).min(1.0);
        let exact = if accounts.lost == 0 && self.middle_at.is_some() { 1.0 } else { 0.5 };
        (totals + SURER * known * amount * exact).min(MOST_CERTAIN.max(MAX_CONFIDENCE))
    }

    /// The stack that created most of those things that were not given back soon after.
    pub fn most_lasting(&self) -> Option<&'a Site<T>> {
        let lasting = |site: &&Site<T>| {
            let ended_late =
                site.longest_ended.is_none_or(|longest| longest.as_secs_f64() >= LASTING_SECONDS);
            ended_late || site.oldest.as_secs_f64() >= LASTING_SECONDS
        };
        let sites = self.sources.iter().map(|source| source.site).filter(lasting);
        sites.max_by_key(|site| site.created)
    }

    /// The stack that matters most: that which keeps most, or else the one whose things last.
    pub fn foremost(&self) -> Option<&'a Site<T>> {
        self.keepers().next().map(|source| source.site).or_else(|| self.most_lasting())
    }

    fn all(&self) -> Created {
        sum(self.sources.iter().map(|source| source.site))
    }

    /// Names the lines and says what became of what they created.
    pub fn describe(&self, finding: &mut Finding, captures: &Captures) {
        let keeps = self.keepers().next().is_some();
        let mut named: Vec<&Source<'a, T>> =
            self.sources.iter().filter(|source| !keeps || self.is_keeper(source)).collect();
        // Of what the collector closes, little may be outstanding at this moment.
        let collected = finding.evidence.iter().any(|it| matches!(it, Evidence::ClosedByCollector { .. }));
        if collected {
            named.retain(|source| {
                source.site.longest_ended.is_none_or(|it| it.as_secs_f64() >= LASTING_SECONDS)
            });
            named.sort_by_key(|source| std::cmp::Reverse(source.site.created));
        }
        let part = |source: &Source<'a, T>| if collected { source.site.created } else { source.kept };
        let all: u64 = if collected {
            named.iter().map(|it| part(it)).sum()
        } else {
            self.sources.iter().map(part).sum()
        };
        let all = all.saturating_add(if self.known() < 0.9 { self.without_stack() } else { 0 });
        for source in named.iter().take(MAX_STACKS) {
            let share = part(source) as f64 / all.max(1) as f64;
            if share < MIN_SHARE {
                break;
            }
            add_lines(&mut finding.culprits, source.site, share, captures);
        }
        if let Some(top) = self.keepers().next() {
            let others = || self.sources.iter().map(|source| source.site);
            finding.evidence.insert(
                0,
                Evidence::Survivors {
                    here: sum(others().filter(|site| is_same(site, top.site))),
                    elsewhere: sum(others().filter(|site| !is_same(site, top.site))),
                    seconds: self.seconds(),
                    keeping_stacks: self.keepers().count(),
                },
            );
        }
        if self.known() < 0.9 {
            finding.evidence.push(Evidence::WithoutStack { count: self.without_stack() });
        }
    }
}

/// How many came by when.
#[derive(Clone, Copy)]
struct Pace {
    kept: u64,
    middle: Option<u64>,
    middle_at: Option<f64>,
}

impl Pace {
    /// The newer half's rate against the older half's; `None` where there was no capture in the middle.
    fn newer_over_older(self) -> Option<f64> {
        let (middle, at) = (self.middle?, self.middle_at?);
        let older = middle as f64 / at;
        let newer = self.kept.saturating_sub(middle) as f64 / (1.0 - at);
        Some(if older > 0.0 { newer / older } else { f64::INFINITY })
    }
}

fn fate<T>(site: &Site<T>, pace: Pace, least: u64, watched: f64) -> Fate {
    let (oldest, youngest) = (site.oldest.as_secs_f64(), site.youngest.as_secs_f64());
    let longest = site.longest_ended.map(|longest| longest.as_secs_f64());
    let stays = site.ended as f64 <= MOST_ENDED * site.created as f64;
    if !stays {
        match longest {
            Some(longest) if oldest <= 1.5 * longest + 1.0 => return Fate::ComeAndGo,
            Some(longest) if oldest > OUTLIVE * longest + 1.0 && longest <= SHORT_LIVED * watched => {}
            _ if site.outstanding as f64 <= 0.2 * site.created as f64 => return Fate::ComeAndGo,
            _ => return Fate::Unclear,
        }
    }
    if pace.kept < least {
        return Fate::Few;
    }
    let ratio = pace.newer_over_older();
    if stays && youngest <= STOPPED * watched && ratio.is_some_and(|ratio| ratio > 1.0 / BEGAN_EARLY) {
        return Fate::Began;
    }
    let still_coming = ratio
        .map_or(youngest <= STOPPED * watched, |ratio| (STILL_COMING..=1.0 / BEGAN_EARLY).contains(&ratio));
    match (still_coming, stays) {
        (true, _) => Fate::Kept,
        (false, true) if youngest >= STOPPED * watched => Fate::Filled,
        (false, _) => Fate::Unclear,
    }
}

/// Both are of one stack, and of who started its goroutine less is known of the one than of the other: what was created
/// before births of goroutines were watched has the `go` statement only.
fn is_same<T>(one: &Site<T>, other: &Site<T>) -> bool {
    let starts_like =
        |one: &Site<T>, other: &Site<T>| match (one.started_by.first(), other.started_by.first()) {
            (None, _) => true,
            (Some(one), Some(other)) => other.starts_with(one),
            (Some(_), None) => false,
        };
    one.stack == other.stack && starts_like(one, other)
}

fn sum<'a, T: 'a>(sites: impl IntoIterator<Item = &'a Site<T>>) -> Created {
    sites.into_iter().fold(Created::default(), |sum, site| Created {
        created: sum.created + site.created,
        ended: sum.ended + site.ended,
        longest_seconds: match (sum.longest_seconds, site.longest_ended) {
            (one, None) => one,
            (None, Some(other)) => Some(other.as_secs_f64()),
            (Some(one), Some(other)) => Some(one.max(other.as_secs_f64())),
        },
    })
}

/// The line to edit, and behind it the dependency's own where it is a dependency that creates these.
fn add_lines<T>(culprits: &mut Vec<Culprit>, site: &Site<T>, share: f64, captures: &Captures) {
    let module = captures.main_module.as_deref();
    let whole: Vec<Frame> =
        site.stack.iter().chain(site.started_by.iter().flat_map(|stack| stack.iter())).cloned().collect();
    for frame in lines(&site.stack, &site.started_by, module) {
        let known = culprits.iter().any(|it| it.frame == *frame);
        if !known {
            culprits.push(culprit::culprit(frame, &whole, share));
        }
    }
}

/// The lines that a person would edit, the likeliest first: of the stack itself, and where that is all of Go's
/// library, of the chain of those who started its goroutine.
pub(in crate::judge) fn lines<'a>(
    stack: &'a [Frame],
    started_by: &'a [Arc<[Frame]>],
    module: Option<&str>,
) -> Vec<&'a Frame> {
    let stacks = || [stack].into_iter().chain(started_by.iter().map(|stack| &**stack));
    let is = |frame: &Frame, wanted: Owner| owner(&frame.function, module) == wanted;
    let mut lines: Vec<&Frame> = Vec::new();
    if let Some(own) = stacks().find(|stack| stack.iter().any(|frame| is(frame, Owner::Own))) {
        let inner = own.iter().skip_while(|frame| !is(frame, Owner::Own));
        lines.extend(inner.clone().next());
        // A callback that a library calls, as a pool does to open a connection: who asked the library matters too.
        let mut beyond = inner.skip_while(|frame| is(frame, Owner::Own));
        let caller = beyond.find(|frame| is(frame, Owner::Own));
        lines.extend(caller.filter(|frame| &*frame.function != "main.main"));
    }
    lines.extend(stacks().flatten().find(|frame| is(frame, Owner::Dependency)));
    if lines.is_empty() {
        let standard = stacks().filter_map(|stack| culprit::line(stack, module));
        lines.extend(standard.min_by_key(|frame| owner(&frame.function, module)));
    }
    lines
}

/// None of the lines is the program's own or a dependency's: who called the library is not known.
pub(in crate::judge) fn ends_in_library(finding: &Finding, module: Option<&str>) -> bool {
    finding.culprits.iter().all(|it| owner(&it.frame.function, module) >= Owner::Standard)
}

mod few;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub(in crate::judge) mod world;
