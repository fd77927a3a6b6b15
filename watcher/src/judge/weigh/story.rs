//! One story across the restarts of a program.
//!
//! Whoever restarts a leaking process, by hand, by a supervisor or by the kernel's OOM killer, cuts its growth into
//! pieces, each of which may be too short to judge. Seen together they are a line that falls back at each restart.
//!
//! A job that is started again and again and rises each time because it loads what it works on looks much the same.
//! Two things tell them apart: the next life follows at once, and each ends close to the same limit. Without both,
//! the story accuses nobody; it is told beside what the present life shows by itself.

use crate::judge::judgement::{Change, Chapter, Story};
use crate::judge::judgement::{Detail, Finding, Judgement};
use crate::judge::series::trend::Trend;
use crate::judge::terms::{Beyond, Bounds, Exhaustion, Kind, LimitName, Rate, Verdict};
use crate::judge::weigh::evidence::Evidence;
use crate::judge::weigh::reasons::{Undecided, UndecidedWhy};
use crate::store::lives::Life;
pub use crate::store::lives::Total;

/// Fewer values of a life than this do not show a line.
const LEAST_VALUES: usize = 8;
/// A life rises where the rise is at least this part of what it began with ...
const RISE_OF_LEVEL: f64 = 0.3;
/// ... and a trend beyond this p-value.
const RISE_P_VALUE: f64 = 0.01;
/// A new life begins below this part of the level at which the last one ended.
const FALLS_TO: f64 = 0.6;
/// So many ended lives that rise, besides the present one, accuse.
const LEAST_LIVES: usize = 2;
/// Nearly all lives must rise.
const NEARLY_ALL: f64 = 0.8;
/// The fastest life is at most so many times as fast as the slowest.
const ALIKE: f64 = 4.0;
/// Supervisors start again at once, or after a pause of five minutes at most (Kubernetes' `CrashLoopBackOff`).
const LONGEST_PAUSE_SECONDS: f64 = 330.0;
/// A pause as long as this part of the life before it belongs to a schedule.
const PAUSE_OF_LIFE: f64 = 0.5;
/// Lives end close to a limit from this part of it on.
const NEAR_THE_LIMIT: f64 = 0.8;
/// After another build a pace is another one where it differs by so much.
const CHANGED: f64 = 3.0;
/// What the lives of a chain show together is surer than any one of them, and yet totals only.
const CONFIDENCE: [f64; 2] = [0.75, 0.85];
/// The live heap explains the growth of memory from this part on, and does not below that one.
const HEAP_EXPLAINS: f64 = 0.3;
const HEAP_DOES_NOT: f64 = 0.1;

/// Adds the story of a chain of restarts to the judgement on its present life. `ended` come oldest first.
pub fn tell<'a>(
    judgement: &mut Judgement,
    ended: impl Iterator<Item = &'a Life>,
    present: &'a Life,
    bounds: &Bounds,
    cgroup_limit_bytes: Option<u64>,
) {
    let lives: Vec<&Life> = ended.chain([present]).collect();
    if lives.len() < 2 {
        return;
    }
    let limits = Limits { bounds, cgroup_limit_bytes };
    let found = judgement.findings.iter().find(|it| it.primary).map(|it| total_of(it.kind));
    let total = match found {
        Some(total) => total,
        None => [Total::Memory, Total::Descriptors]
            .into_iter()
            .find(|total| Chain::of(&lives, *total).accuses(limits))
            .unwrap_or(Total::Memory),
    };
    let chain = Chain::of(&lives, total);
    let accuses = found.is_none() && chain.accuses(limits);
    let Some(story) = chain.story(&lives, accuses, limits).filter(|story| {
        accuses || found.is_some() && (story.changed.is_some() || chain.risen().count() >= LEAST_LIVES)
    }) else {
        return;
    };
    if accuses {
        accuse(judgement, &story, &lives);
    }
    judgement.story = Some(story);
}

/// By which total a kind is followed from life to life.
fn total_of(kind: Kind) -> Total {
    match kind {
        Kind::Fd | Kind::Connection => Total::Descriptors,
        Kind::Goroutine => Total::Goroutines,
        Kind::Heap | Kind::Native | Kind::Mapping | Kind::Thread | Kind::Child => Total::Memory,
    }
}

/// A finding where the kind is known, else growth that is undecided for good reason.
fn accuse(judgement: &mut Judgement, story: &Story, lives: &[&Life]) {
    let kind = match story.total {
        Total::Descriptors => Some(Kind::Fd),
        _ => kind_of_memory(lives),
    };
    let Some(kind) = kind else {
        let part = crate::judge::weigh::reasons::MemoryPart::Anonymous;
        let why = UndecidedWhy::CompositionUnknown { part, per_second: story.rate.per_second };
        judgement.steady.retain(|it| !matches!(it.kind, Kind::Heap | Kind::Native));
        judgement.undecided.retain(|it| !matches!(it.kind, Kind::Heap | Kind::Native));
        let both = [Kind::Heap, Kind::Native].map(|kind| Undecided { kind, why: why.clone() });
        judgement.undecided.extend(both);
        judgement.verdict = Verdict::Inconclusive;
        return;
    };
    let rising = story.chapters.iter().filter(|it| it.rate.is_some()).count();
    judgement.steady.retain(|it| it.kind != kind);
    judgement.undecided.retain(|it| it.kind != kind);
    judgement.verdict = Verdict::Leak;
    judgement.findings.push(Finding {
        kind,
        primary: true,
        consequence_of: None,
        confidence: CONFIDENCE[usize::from(rising > LEAST_LIVES)],
        rate: story.rate,
        exhausts: story.exhausts,
        detail: Detail::default(),
        culprits: Vec::new(),
        evidence: vec![Evidence::Lives {
            rising,
            lives: story.chapters.len(),
            typical_seconds: story.typical_seconds,
        }],
    });
}

/// Whether the live heap rises with memory or stays where it is; `None` where neither is seen.
fn kind_of_memory(lives: &[&Life]) -> Option<Kind> {
    let rise = |life: &Life, total| {
        let values = &life.total(total).values;
        Some(values.last()? - values.first()?)
    };
    let shares = lives.iter().filter_map(|life| {
        let memory = rise(life, Total::Memory).filter(|rise| *rise > 0.0)?;
        Some(rise(life, Total::LiveHeap)? / memory)
    });
    match median(shares.collect())? {
        share if share >= HEAP_EXPLAINS => Some(Kind::Heap),
        share if share <= HEAP_DOES_NOT => Some(Kind::Native),
        _ => None,
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[derive(Clone, Copy)]
struct Limits<'a> {
    bounds: &'a Bounds,
    cgroup_limit_bytes: Option<u64>,
}

impl Limits<'_> {
    /// The tightest limit of a total.
    fn of(self, total: Total) -> Option<(LimitName, u64)> {
        let host = self.bounds.host_memory_bytes.map(|bytes| (LimitName::HostMemory, bytes));
        let cgroup = self.cgroup_limit_bytes.map(|bytes| (LimitName::CgroupMemory, bytes));
        let files = self.bounds.limits.open_files.map(|count| (LimitName::OpenFiles, count));
        match total {
            Total::Memory | Total::LiveHeap => {
                [host, cgroup].into_iter().flatten().min_by_key(|(_, bytes)| *bytes)
            }
            Total::Descriptors => files,
            Total::Goroutines => None,
        }
    }
}

/// The lives by one total.
struct Chain {
    total: Total,
    chapters: Vec<Chapter>,
}

impl Chain {
    fn of(lives: &[&Life], total: Total) -> Chain {
        let mut before: Option<&Life> = None;
        let chapters = lives.iter().filter_map(|life| {
            let series = life.total(total);
            let (from, to) = (*series.values.first()?, *series.values.last()?);
            let trend = (series.values.len() >= LEAST_VALUES).then(|| Trend::of(series)).flatten();
            let rises =
                |trend: &Trend| trend.p_rising < RISE_P_VALUE && trend.rise >= RISE_OF_LEVEL * from.max(1.0);
            let pause = before.replace(life).map(|before| (life.began - before.watched.1).max(0.0));
            Some(Chapter {
                started: life.started,
                seconds: life.seconds(),
                from,
                to,
                is_short: trend.is_none(),
                rate: trend.filter(rises).map(|trend| trend.rate),
                build: life.build,
                pause,
            })
        });
        Chain { total, chapters: chapters.collect() }
    }

    fn ended(&self) -> &[Chapter] {
        self.chapters.split_last().map(|(_, ended)| ended).unwrap_or_default()
    }

    /// Ended lives that rise.
    fn risen(&self) -> impl Iterator<Item = &Chapter> {
        self.ended().iter().filter(|it| it.rate.is_some())
    }

    /// All of it is one line, cut by restarts close to one limit.
    fn accuses(&self, limits: Limits<'_>) -> bool {
        let telling = self.ended().iter().filter(|it| !it.is_short).count();
        let risen: Vec<&Chapter> = self.risen().collect();
        let rates = || risen.iter().filter_map(|it| it.rate).map(|rate| rate.per_second);
        let (slowest, fastest) = (rates().fold(f64::INFINITY, f64::min), rates().fold(0.0, f64::max));
        let present_agrees = self.chapters.last().is_none_or(|it| it.is_short || it.rate.is_some());
        let near = |chapter: &&&Chapter| {
            limits.of(self.total).is_some_and(|(_, limit)| chapter.to >= NEAR_THE_LIMIT * limit as f64)
        };
        risen.len() >= LEAST_LIVES
            && risen.len() as f64 >= NEARLY_ALL * telling as f64
            && fastest <= ALIKE * slowest
            && present_agrees
            && self.falls_at_each_restart()
            && self.follows_at_once()
            && risen.iter().filter(near).count() as f64 >= NEARLY_ALL * risen.len() as f64
    }

    fn pairs(&self) -> impl Iterator<Item = (&Chapter, &Chapter)> {
        self.chapters.iter().zip(self.chapters.iter().skip(1))
    }

    fn falls_at_each_restart(&self) -> bool {
        self.pairs()
            .filter(|(before, _)| before.rate.is_some())
            .all(|(before, next)| next.from <= FALLS_TO * before.to)
    }

    fn follows_at_once(&self) -> bool {
        self.pairs().all(|(before, next)| {
            let pause = next.pause.unwrap_or(0.0);
            pause <= LONGEST_PAUSE_SECONDS && pause <= PAUSE_OF_LIFE * before.seconds.max(1.0)
        })
    }

    fn story(&self, lives: &[&Life], accuses: bool, limits: Limits<'_>) -> Option<Story> {
        let present = self.chapters.last()?;
        let of_build = |same: bool| {
            let of =
                self.chapters.iter().filter(move |it| (it.build == present.build) == same && !it.is_short);
            of.map(|it| it.rate.map_or(0.0, |rate| rate.per_second))
        };
        let rates: Vec<Rate> = self.chapters.iter().filter_map(|it| it.rate).collect();
        let all = |read: fn(&Rate) -> f64| rates.iter().map(read);
        let rate = Rate {
            per_second: median(all(|rate| rate.per_second).collect())?,
            low: all(|rate| rate.per_second).fold(f64::INFINITY, f64::min),
            high: all(|rate| rate.per_second).fold(0.0, f64::max),
        };
        let changed = median(of_build(false).collect()).zip(median(of_build(true).collect()));
        let changed = changed.filter(|(before, after)| {
            *after >= CHANGED * before.max(f64::MIN_POSITIVE)
                || *before >= CHANGED * after.max(f64::MIN_POSITIVE)
        });
        let first_of_build = lives.iter().find(|life| life.build == present.build)?;
        Some(Story {
            total: self.total,
            typical_seconds: median(self.ended().iter().map(|it| it.seconds).collect())?,
            rate,
            exhausts: limits.of(self.total).and_then(|limit| when(limit, present.to, rate)),
            changed: changed.map(|(before, after)| Change {
                since: first_of_build.started,
                build_name: first_of_build.build_name.clone(),
                before,
                after,
            }),
            accuses,
            chapters: self.chapters.clone(),
        })
    }
}

fn when((limit, limit_value): (LimitName, u64), used: f64, rate: Rate) -> Option<Exhaustion> {
    let left = (limit_value as f64 - used).max(0.0);
    let seconds = |per_second: f64| (per_second > 0.0).then(|| left / per_second);
    let beyond: Option<Beyond> = None;
    Some(Exhaustion {
        limit,
        limit_value,
        in_seconds: seconds(rate.per_second)?,
        low_seconds: seconds(rate.high)?,
        high_seconds: seconds(rate.low),
        beyond,
    })
}

#[cfg(test)]
mod tests;
