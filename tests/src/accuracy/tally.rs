//! Counts what came of runs. Pure: no clock, no process, no file.

use super::{Run, Stated};
use crate::corpus::expect::{About, FIRST};
use serde::Serialize;

/// Unexplained memory may be this share of the resident.
pub const MAX_UNEXPLAINED: f64 = 0.02;
/// Of the leaks this share must have the right line among the first culprits, and this share all else right that is
/// said of them; of the innocents it must be acquitted.
const MOST: f64 = 0.95;
/// Who states at least so much confidence is sure,
const SURE: f64 = 0.9;
/// ... and this share of those who are must be right.
const MIN_SURE_RIGHT: f64 = 0.9;

/// What came of some runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Those that leak.
    pub leaks: usize,
    /// Of them: said to leak, whatever it was.
    pub seen: usize,
    /// The right kind called the cause.
    pub right_kind: usize,
    /// All its lines among the first three culprits.
    pub right_line: usize,
    /// One of its lines the very first culprit.
    pub first_line: usize,
    /// Rate, state, peer, limit, evidence and consequences right, wherever it is said to be.
    pub right_details: usize,
    /// Nothing wrong at all.
    pub all_right: usize,
    /// Neither accused nor acquitted.
    pub undecided_leaks: usize,
    /// Those that do not leak.
    pub innocents: usize,
    /// Of them: said to be healthy, and for the reason that they are.
    pub acquitted: usize,
    /// Accused.
    pub false_alarms: usize,
    /// Accused at some moment of the window, had it ended there.
    pub accused_on_the_way: usize,
    /// Neither accused nor acquitted.
    pub undecided_innocents: usize,
    /// Findings, primary or not, that are stated with a confidence of at least 0.9.
    pub sure: usize,
    /// Of them: right.
    pub sure_right: usize,
    /// Median seconds until the leak was told, of those of which it was.
    pub detected_median_seconds: Option<f64>,
    /// How many were told within the window.
    pub detected: usize,
    /// Those whose memory was taken apart.
    pub memories: usize,
    /// Of them: those with no more unexplained than [`MAX_UNEXPLAINED`].
    pub explained: usize,
    /// The largest unexplained share.
    pub most_unexplained: Option<f64>,
}

impl Tally {
    /// Counts.
    pub fn of<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Tally {
        let mut tally = Tally::default();
        let mut detections = Vec::new();
        for run in runs {
            let objects = |about| run.objections.iter().any(|objection| objection.about == about);
            let undecided = usize::from(objects(About::Undecided));
            if run.subject.guilt().is_some() {
                let is_seen = !objects(About::Missed) && !objects(About::Undecided);
                let has_kind = is_seen && !objects(About::Kind);
                tally.leaks += 1;
                tally.seen += usize::from(is_seen);
                tally.right_kind += usize::from(has_kind);
                tally.right_line += usize::from(has_kind && !objects(About::Line));
                tally.first_line += usize::from(has_kind && run.rank == Some(0));
                tally.right_details += usize::from(has_kind && !objects(About::Detail));
                tally.all_right += usize::from(run.objections.is_empty());
                tally.undecided_leaks += undecided;
                detections.extend(run.detected_after_seconds);
            } else {
                tally.innocents += 1;
                tally.acquitted += usize::from(run.objections.is_empty());
                tally.false_alarms += usize::from(objects(About::FalseAlarm));
                tally.accused_on_the_way += usize::from(run.accused_on_the_way);
                tally.undecided_innocents += undecided;
            }
            let sure = || run.findings.iter().filter(|finding| finding.confidence >= SURE);
            tally.sure += sure().count();
            tally.sure_right += sure().filter(|finding| finding.is_right).count();
            if let Some(unexplained) = run.unexplained {
                tally.memories += 1;
                tally.explained += usize::from(unexplained <= MAX_UNEXPLAINED);
                tally.most_unexplained =
                    Some(tally.most_unexplained.map_or(unexplained, |most| most.max(unexplained)));
            }
        }
        tally.detected = detections.len();
        tally.detected_median_seconds = median(detections);
        tally
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

/// Findings that state about the same confidence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    /// From this confidence, itself included.
    pub from: f64,
    /// To this one; included in the last bin only.
    pub to: f64,
    /// How many.
    pub findings: usize,
    /// How many of them are right.
    pub right: usize,
}

/// The bins: whoever states 0.9 shall be right nine times in ten.
pub fn calibration(stated: impl IntoIterator<Item = Stated>) -> [Bin; 5] {
    let bin = |from, to| Bin { from, to, findings: 0, right: 0 };
    let mut bins = [bin(0.0, 0.5), bin(0.5, 0.7), bin(0.7, 0.8), bin(0.8, 0.9), bin(0.9, 1.0)];
    for one in stated {
        if let Some(bin) = bins.iter_mut().rfind(|bin| one.confidence >= bin.from) {
            bin.findings += 1;
            bin.right += usize::from(one.is_right);
        }
    }
    bins
}

/// Something to hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Goal {
    /// In words.
    pub goal: &'static str,
    /// What was reached, in words.
    pub reached: String,
    /// It is held.
    pub is_met: bool,
}

/// The goals.
pub fn goals(tally: &Tally) -> [Goal; 7] {
    let of = |part: usize, all: usize| format!("{part} of {all}");
    let is_share = |part: usize, share: f64, all: usize| part as f64 >= share * all as f64;
    let Tally { leaks, innocents, memories, .. } = *tally;
    [
        Goal {
            goal: "right kind as the cause in 100 % of the leaks",
            reached: of(tally.right_kind, leaks),
            is_met: tally.right_kind == leaks,
        },
        Goal {
            goal: "right lines among the first three culprits in 95 % of the leaks",
            reached: of(tally.right_line, leaks),
            is_met: is_share(tally.right_line, MOST, leaks),
        },
        Goal {
            goal: "rate, state, peer, limit and consequences right in 95 % of the leaks",
            reached: of(tally.right_details, leaks),
            is_met: is_share(tally.right_details, MOST, leaks),
        },
        Goal {
            goal: "no false alarm",
            reached: of(tally.false_alarms, innocents),
            is_met: tally.false_alarms == 0,
        },
        Goal {
            goal: "95 % of the innocents healthy, and for the right reason",
            reached: of(tally.acquitted, innocents),
            is_met: is_share(tally.acquitted, MOST, innocents),
        },
        Goal {
            goal: "of the findings stated with 0.9 or more 90 % right",
            reached: of(tally.sure_right, tally.sure),
            is_met: is_share(tally.sure_right, MIN_SURE_RIGHT, tally.sure),
        },
        Goal {
            goal: "at most 2 % of memory unexplained in all",
            reached: of(tally.explained, memories),
            is_met: tally.explained == memories && memories == leaks + innocents,
        },
    ]
}

const _: () = assert!(FIRST == 3, "the goals say three");
