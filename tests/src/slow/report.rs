//! What came of all looks, as text and as JSON (schema `watcher.accuracy-slow/1`).

use super::tally::{Goal, Tally, first_accusation, goals};
use super::{Answer, Cell, Failure, Measured, Told, table};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Of the samples that were due this share must have been taken.
const MIN_LOOKS: f64 = 0.9;

/// What came of all looks.
#[derive(Debug)]
pub struct Report<'a> {
    measured: &'a Measured,
    goals: Vec<Goal>,
}

#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    busiest: Option<f64>,
    all: Tally,
    goals: &'a [Goal],
    looks: Vec<One>,
    run: Vec<OneTold>,
    not_measured: Vec<String>,
}

#[derive(Serialize)]
struct One {
    subject: String,
    go: String,
    kind: Option<&'static str>,
    after_seconds: u64,
    watched_seconds: u64,
    answer: &'static str,
    said: String,
    is_filling: bool,
    looks: f64,
}

#[derive(Serialize)]
struct OneTold {
    subject: String,
    kind: Option<&'static str>,
    told: Vec<(u64, &'static str)>,
}

impl<'a> Report<'a> {
    /// Of all that was measured.
    pub fn of(measured: &'a Measured) -> Report<'a> {
        Report { measured, goals: goals(measured) }
    }

    /// Every goal is held, and nothing was left out.
    pub fn is_good(&self) -> bool {
        self.measured.failures.is_empty()
            && !self.measured.cells.is_empty()
            && self.goals.iter().all(|goal| goal.is_met)
    }

    /// For programs. Ends in a newline.
    pub fn json(&self) -> serde_json::Result<String> {
        let measured = self.measured;
        let json = Json {
            schema: "watcher.accuracy-slow/1",
            busiest: measured.busiest,
            all: Tally::of(&measured.cells),
            goals: &self.goals,
            looks: measured.cells.iter().map(one).collect(),
            run: measured.told.iter().map(one_told).collect(),
            not_measured: measured.failures.iter().map(|it| format!("{}: {}", it.what, it.why)).collect(),
        };
        Ok(serde_json::to_string_pretty(&json)? + "\n")
    }

    /// For people. Ends in a newline.
    pub fn text(&self) -> String {
        let measured = self.measured;
        let mut text = String::new();
        let starved = measured.cells.iter().filter(|cell| cell.looks < MIN_LOOKS).count();
        let busiest = measured.busiest.map_or("-".to_owned(), |busy| format!("{:.0} %", 100.0 * busy));
        let _ = writeln!(
            text,
            "{} looks at programs; the machine was busy {busiest} at most. In {starved} of them the agent was starved: \
             it took less than nine samples of ten.",
            measured.cells.len()
        );
        table::by_look(&mut text, &measured.cells);
        table::of_the_nine(&mut text, &measured.cells);
        table::of_run(&mut text, measured);
        self.wrong(&mut text);
        text.push_str("\nGoals\n");
        for goal in &self.goals {
            let word = if goal.is_met { "met   " } else { "MISSED" };
            let _ = writeln!(text, "  {word}  {}: {}", goal.goal, goal.reached);
        }
        text
    }

    fn wrong(&self, text: &mut String) {
        let wrong = self.measured.cells.iter().filter(|cell| is_wrong(cell));
        let looks = wrong.map(|cell| {
            let filling = if cell.is_filling() { " while it fills" } else { "" };
            let look =
                format!("after {} for {}", table::short(cell.look.after), table::short(cell.look.window));
            format!(
                "{} {look}{filling}: {} [{}]",
                cell.subject.name(),
                cell.answer.said(),
                cell.saved.display()
            )
        });
        let innocents = self.measured.told.iter().filter(|told| told.subject.guilt().is_none());
        let by_run = innocents.filter_map(|told| {
            let (at, answer) = first_accusation(told)?;
            Some(format!("{} by `run` after {} s: {}", told.subject.name(), at.as_secs(), answer.said()))
        });
        let failures = failures(&self.measured.failures);
        for (title, lines) in [("Wrong", looks.chain(by_run).collect::<Vec<_>>()), ("Not measured", failures)]
        {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n{title}");
            }
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
    }
}

/// A line for each reason: one reason mostly meets many.
fn failures(failures: &[Failure]) -> Vec<String> {
    let mut by_why = BTreeMap::<&str, Vec<&str>>::new();
    for it in failures {
        by_why.entry(&it.why).or_default().push(&it.what);
    }
    let line = |(why, whats): (&str, Vec<&str>)| match &whats[..] {
        [what] => format!("{what}: {why}"),
        whats => format!("{}, among them {}: {why}", whats.len(), whats.first().copied().unwrap_or_default()),
    };
    by_why.into_iter().map(line).collect()
}

/// Wrong outright: what is not known is none of it.
fn is_wrong(cell: &Cell) -> bool {
    match (cell.subject.guilt(), &cell.answer) {
        (Some(_), Answer::Healthy | Answer::Other { .. } | Answer::Named { has_line: false, .. }) => true,
        (Some(_), _) => false,
        (None, answer) => answer.is_accusation(),
    }
}

fn one(cell: &Cell) -> One {
    One {
        subject: cell.subject.name(),
        go: cell.subject.toolchain.version.clone(),
        kind: cell.subject.guilt(),
        after_seconds: cell.look.after.as_secs(),
        watched_seconds: cell.look.window.as_secs(),
        answer: cell.answer.words(),
        said: cell.answer.said().to_owned(),
        is_filling: cell.is_filling(),
        looks: cell.looks,
    }
}

fn one_told(told: &Told) -> OneTold {
    OneTold {
        subject: told.subject.name(),
        kind: told.subject.guilt(),
        told: told.said.iter().map(|(at, answer)| (at.as_secs(), answer.words())).collect(),
    }
}
