//! Counts what came of looks. Pure: no clock, no process, no file.

use super::{Answer, Cell, Look, Measured, Told};
use serde::Serialize;
use std::time::Duration;

/// Of the leaks this share must be named after a long time by a long look,
const MIN_KIND: f64 = 0.95;
/// ... and this share with its lines.
const MIN_LINE: f64 = 0.9;
/// A long time of leaking, and a long look.
const LONG: Look = Look { after: Duration::from_secs(1800), window: Duration::from_secs(300) };
/// At first glance after a long time so many of the nine must be named or suspected, with a place.
const MIN_OF_THE_NINE: usize = 5;

/// What came of some looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Those that leak.
    pub leaks: usize,
    /// Of them: said to leak the right kind.
    pub named: usize,
    /// ... with all its lines among the first culprits.
    pub with_line: usize,
    /// Suspected of the right kind.
    pub suspected: usize,
    /// ... with a line, or what the things are.
    pub with_place: usize,
    /// Said to leak another kind.
    pub other: usize,
    /// Nothing decided or suspected.
    pub undecided: usize,
    /// Said to be healthy.
    pub healthy: usize,
    /// Those that do not leak.
    pub innocents: usize,
    /// Of them: accused.
    pub accused: usize,
    /// Accused while they filled for the first time: a window that ends before they are full cannot know.
    pub accused_filling: usize,
    /// Suspected.
    pub innocents_suspected: usize,
    /// Nothing decided or suspected.
    pub innocents_undecided: usize,
    /// Said to be healthy.
    pub acquitted: usize,
}

impl Tally {
    /// Counts.
    pub fn of<'a>(cells: impl IntoIterator<Item = &'a Cell>) -> Tally {
        let mut tally = Tally::default();
        for cell in cells {
            if cell.subject.guilt().is_some() {
                tally.leaks += 1;
                match cell.answer {
                    Answer::Named { has_line, .. } => {
                        tally.named += 1;
                        tally.with_line += usize::from(has_line);
                    }
                    Answer::Other { .. } => tally.other += 1,
                    Answer::Suspected { has_place, .. } => {
                        tally.suspected += 1;
                        tally.with_place += usize::from(has_place);
                    }
                    Answer::Undecided => tally.undecided += 1,
                    Answer::Healthy => tally.healthy += 1,
                }
            } else {
                tally.innocents += 1;
                match cell.answer {
                    Answer::Named { .. } | Answer::Other { .. } if cell.is_filling() => {
                        tally.accused_filling += 1;
                    }
                    Answer::Named { .. } | Answer::Other { .. } => tally.accused += 1,
                    Answer::Suspected { .. } => tally.innocents_suspected += 1,
                    Answer::Undecided => tally.innocents_undecided += 1,
                    Answer::Healthy => tally.acquitted += 1,
                }
            }
        }
        tally
    }
}

/// Something to hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Goal {
    /// In words.
    pub goal: String,
    /// What was reached, in words.
    pub reached: String,
    /// It is held.
    pub is_met: bool,
}

/// The goals that what was measured can tell of.
pub fn goals(measured: &Measured) -> Vec<Goal> {
    let all = Tally::of(&measured.cells);
    let told_innocents: Vec<&Told> = measured.told.iter().filter(|it| it.subject.guilt().is_none()).collect();
    let told_wrongly = told_innocents.iter().filter(|it| first_accusation(it).is_some()).count();
    let none = |goal: &str, reached: usize, of: usize| Goal {
        goal: goal.to_owned(),
        reached: format!("{reached} of {of}"),
        is_met: reached == 0,
    };
    let mut goals = vec![
        none("no leak is said to be healthy", all.healthy, all.leaks),
        none("no innocent is accused", all.accused, all.innocents),
        none("no innocent is accused by `run`", told_wrongly, told_innocents.len()),
    ];
    let share = |goal: String, reached: usize, share: f64, of: usize| Goal {
        goal,
        reached: format!("{reached} of {of}"),
        is_met: reached as f64 >= share * of as f64,
    };
    let long = Tally::of(measured.cells.iter().filter(|cell| cell.look == LONG));
    if long.leaks > 0 {
        let what = |kind, share: f64| {
            format!("right {kind} after 30 min of leaking, watched for 5 min: {:.0} %", 100.0 * share)
        };
        goals.push(share(what("kind", MIN_KIND), long.named, MIN_KIND, long.leaks));
        goals.push(share(what("lines", MIN_LINE), long.with_line, MIN_LINE, long.leaks));
    }
    let glance = Look { window: Duration::ZERO, ..LONG };
    let nine = measured.cells.iter().filter(|cell| {
        cell.look == glance && cell.subject.slow.is_of_the_nine && cell.subject.guilt().is_some()
    });
    let nine = Tally::of(nine);
    if nine.leaks > 0 {
        goals.push(Goal {
            goal: "at first glance after 30 min five of the nine have kind and place".to_owned(),
            reached: format!("{} of {}", nine.named + nine.with_place, nine.leaks),
            is_met: (nine.named + nine.with_place) * 9 >= MIN_OF_THE_NINE * nine.leaks,
        });
    }
    let due: Vec<&Told> =
        measured.told.iter().filter(|it| due_after(it).is_some_and(|due| due <= it.watched)).collect();
    if !due.is_empty() {
        let in_time = due.iter().filter(|it| {
            first_naming(it).zip(due_after(it)).is_some_and(|((at, has_line), due)| has_line && at <= due)
        });
        goals.push(Goal {
            goal: "`run` names kind and line in time".to_owned(),
            reached: format!("{} of {}", in_time.clone().count(), due.len()),
            is_met: in_time.count() == due.len(),
        });
    }
    goals
}

/// When a leak must have been told.
pub fn due_after(told: &Told) -> Option<Duration> {
    told.subject.guilt()?;
    told.subject.slow.told_within_minutes.map(|minutes| Duration::from_secs_f64(60.0 * minutes))
}

/// When the right kind was first named, and whether with its lines then.
pub fn first_naming(told: &Told) -> Option<(Duration, bool)> {
    told.said.iter().find_map(|(at, answer)| match answer {
        Answer::Named { has_line, .. } => Some((*at, *has_line)),
        _ => None,
    })
}

/// The first accusation, right or wrong. What fills for the first time is not accused wrongly before it is full.
pub fn first_accusation(told: &Told) -> Option<&(Duration, Answer)> {
    let fills = Duration::from_secs(told.subject.slow.fills_for_seconds);
    told.said.iter().find(|(at, answer)| answer.is_accusation() && *at >= fills)
}
