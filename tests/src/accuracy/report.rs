//! What came of all runs, as a table and as JSON (schema `watcher.accuracy/1`).

use super::tally::{Bin, Goal, Tally, calibration, goals, median};
use super::{Failure, Measured, Run};
use crate::corpus::expect::About;
use crate::program::Style;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Duration;

/// How it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Circumstances {
    /// How long each was watched.
    pub window_seconds: f64,
    /// How many were watched at once.
    pub at_once: usize,
    /// Processors here.
    pub cores: usize,
    /// How busy they were while programs were watched: the median, 0 to 1.
    pub median_busy: Option<f64>,
    /// The most, of one window.
    pub most_busy: Option<f64>,
    /// Programs that were asked again since the agent had not got to look often enough.
    pub asked_again: usize,
    /// Of the answers that were discarded by that: those that were wrong.
    pub discarded_wrong: usize,
    /// Programs at which it did not get to look often enough in the end either.
    pub starved: usize,
}

/// What came of all runs.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    schema: &'static str,
    circumstances: Circumstances,
    all: Tally,
    by_kind: Vec<Group>,
    by_go: Vec<Group>,
    by_flavour: Vec<Group>,
    goals: Vec<FlavourGoals>,
    calibration: Vec<Bin>,
    misses: Vec<Miss>,
    discarded: Vec<Miss>,
    not_measured: Vec<Unmeasured>,
    runs: Vec<One>,
}

/// Runs that have something in common.
#[derive(Clone, Debug, Serialize)]
struct Group {
    name: String,
    #[serde(flatten)]
    tally: Tally,
}

/// The goals are held with each way to build programs, or they are not held.
#[derive(Clone, Debug, Serialize)]
struct FlavourGoals {
    flavour: String,
    goals: Vec<Goal>,
}

/// An answer that is not what it should be.
#[derive(Clone, Debug, Serialize)]
struct Miss {
    subject: String,
    /// The verdict, the kind and the lines are right, and something else that is said is not.
    is_detail: bool,
    said: String,
    diagnosis: String,
}

/// A program of which nothing can be said.
#[derive(Clone, Debug, Serialize)]
struct Unmeasured {
    subject: String,
    why: String,
}

/// One run.
#[derive(Clone, Debug, Serialize)]
struct One {
    subject: String,
    program: &'static str,
    situations: &'static [u32],
    kind: Option<&'static str>,
    keeps: bool,
    go: String,
    flavour: String,
    verdict: String,
    is_right: bool,
    rank: Option<usize>,
    detected_after_seconds: Option<f64>,
    unexplained: Option<f64>,
    accused_on_the_way: bool,
    busy: Option<f64>,
    looks: f64,
}

impl Report {
    /// Of all that was measured.
    pub fn of(measured: &Measured, window: Duration, at_once: usize, cores: usize) -> Report {
        let runs = &measured.runs;
        let busy = || runs.iter().filter_map(|run| run.busy);
        Report {
            schema: "watcher.accuracy/1",
            circumstances: Circumstances {
                window_seconds: window.as_secs_f64(),
                at_once,
                cores,
                median_busy: median(busy().collect()),
                most_busy: busy().max_by(f64::total_cmp),
                asked_again: measured.discarded.len(),
                discarded_wrong: measured.discarded.iter().filter(|run| !run.objections.is_empty()).count(),
                starved: runs.iter().filter(|run| !run.is_honest()).count(),
            },
            all: Tally::of(runs),
            by_kind: grouped(runs, |run| run.subject.row.about().to_owned()),
            by_go: grouped(runs, go),
            by_flavour: grouped(runs, flavour),
            goals: grouped(runs, flavour)
                .into_iter()
                .map(|group| FlavourGoals { flavour: group.name, goals: goals(&group.tally).to_vec() })
                .collect(),
            calibration: calibration(runs.iter().flat_map(|run| run.findings.iter().copied())).to_vec(),
            misses: runs.iter().flat_map(misses).collect(),
            discarded: measured.discarded.iter().flat_map(objections).collect(),
            not_measured: measured.failures.iter().map(unmeasured).collect(),
            runs: runs.iter().map(one).collect(),
        }
    }

    /// Every goal is held, and nothing was left out.
    pub fn is_good(&self) -> bool {
        self.not_measured.is_empty()
            && !self.runs.is_empty()
            && self.goals.iter().flat_map(|of| &of.goals).all(|goal| goal.is_met)
    }

    /// For programs. Ends in a newline.
    pub fn json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// For people. Ends in a newline.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let circumstances = &self.circumstances;
        let _ = writeln!(
            text,
            "{} programs, each watched for {:.0} s, {} at once on {} cores.{}",
            self.runs.len(),
            circumstances.window_seconds,
            circumstances.at_once,
            circumstances.cores,
            busy_words(circumstances),
        );
        self.table(&mut text);
        let Tally { leaks, seen, right_kind, false_alarms, .. } = self.all;
        let accused = seen + false_alarms;
        let _ =
            writeln!(text, "\nRecall {}: {right_kind} of {leaks} leaks named.", percent(right_kind, leaks));
        let _ = writeln!(
            text,
            "Precision {}: {right_kind} of {accused} accusations right.",
            percent(right_kind, accused)
        );
        text.push_str("\nHow sure the findings say to be, and how often they are right\n");
        for bin in &self.calibration {
            let share = percent(bin.right, bin.findings);
            let _ = writeln!(
                text,
                "  {:.1} to {:.1}  {:>5} findings {:>5} right {share:>8}",
                bin.from, bin.to, bin.findings, bin.right
            );
        }
        self.wrong(&mut text);
        text.push_str("\nGoals\n");
        for of in &self.goals {
            for goal in &of.goals {
                let word = if goal.is_met { "met   " } else { "MISSED" };
                let _ = writeln!(text, "  {word}  {:<10}  {}: {}", of.flavour, goal.goal, goal.reached);
            }
        }
        text
    }

    fn table(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n{:<12}|{:^58}|{:^35}|{:^16}|{:^17}",
            "", "leaking", "innocent", "told after", "memory explained"
        );
        let _ = writeln!(
            text,
            "{:<12}|{:>6}{:>6}{:>8}{:>9}{:>8}{:>9}{:>11} |{:>7}{:>9}{:>8}{:>10} |{:>8}{:>7} |{:>8}{:>9}",
            "",
            "number",
            "seen",
            "kind",
            "line ≤3",
            "line 1",
            "all",
            "undecided",
            "number",
            "accused",
            "on way",
            "undecid.",
            "median",
            "of",
            "≥98 %",
            "worst"
        );
        for (title, groups) in [("kind", &self.by_kind), ("Go", &self.by_go), ("build", &self.by_flavour)] {
            let _ = writeln!(text, "by {title}");
            for group in groups {
                line(text, &group.name, &group.tally);
            }
        }
        line(text, "all", &self.all);
    }

    fn wrong(&self, text: &mut String) {
        let (details, wrong): (Vec<&Miss>, Vec<&Miss>) = self.misses.iter().partition(|miss| miss.is_detail);
        let discarded = self.discarded.iter().collect();
        for (title, misses) in [
            ("Wrong", wrong),
            ("Right, but for a detail", details),
            ("Wrong where nobody had time to look, and asked again", discarded),
        ] {
            if !misses.is_empty() {
                let _ = writeln!(text, "\n{title}");
            }
            for miss in misses {
                let _ = writeln!(text, "  {}: {} [{}]", miss.subject, miss.said, miss.diagnosis);
            }
        }
        if !self.not_measured.is_empty() {
            text.push_str("\nNot measured\n");
        }
        for one in &self.not_measured {
            let _ = writeln!(text, "  {}: {}", one.subject, one.why);
        }
    }
}

fn line(text: &mut String, name: &str, tally: &Tally) {
    let after =
        tally.detected_median_seconds.map_or_else(|| "-".to_owned(), |median| format!("{median:.0} s"));
    let worst =
        tally.most_unexplained.map_or_else(|| "-".to_owned(), |most| format!("{:.1} %", 100.0 * most));
    let _ = writeln!(
        text,
        "{:<12}|{:>6}{:>6}{:>8}{:>9}{:>8}{:>9}{:>11} |{:>7}{:>9}{:>8}{:>10} |{:>8}{:>7} |{:>8}{:>9}",
        format!("  {name}"),
        tally.leaks,
        tally.seen,
        tally.right_kind,
        tally.right_line,
        tally.first_line,
        tally.all_right,
        tally.undecided_leaks,
        tally.innocents,
        tally.false_alarms,
        tally.accused_on_the_way,
        tally.undecided_innocents,
        after,
        tally.detected,
        tally.explained,
        worst,
    );
}

fn percent(part: usize, all: usize) -> String {
    if all == 0 { "-".to_owned() } else { format!("{:.1} %", 100.0 * part as f64 / all as f64) }
}

fn busy_words(circumstances: &Circumstances) -> String {
    let (Some(median), Some(most)) = (circumstances.median_busy, circumstances.most_busy) else {
        return String::new();
    };
    let (again, wrong, starved) =
        (circumstances.asked_again, circumstances.discarded_wrong, circumstances.starved);
    let hungry = match (again, starved) {
        (0, 0) => String::new(),
        _ => format!(
            "\nIt was too busy for the agent to look every second {again} times, and those programs were asked again: \
             {wrong} of the answers that were discarded were wrong. {starved} answers below are still of such a time."
        ),
    };
    format!(
        " The machine was busy {:.0} % of a window's time in the median, {:.0} % at most.{hungry}",
        100.0 * median,
        100.0 * most
    )
}

fn go(run: &Run) -> String {
    format!("1.{}", run.subject.toolchain.minor)
}

fn flavour(run: &Run) -> String {
    run.subject.flavour.to_string()
}

fn grouped(runs: &[Run], name_of: impl Fn(&Run) -> String) -> Vec<Group> {
    let names: BTreeSet<String> = runs.iter().map(&name_of).collect();
    let group =
        |name: String| Group { tally: Tally::of(runs.iter().filter(|run| name_of(run) == name)), name };
    names.into_iter().map(group).collect()
}

fn objections(run: &Run) -> impl Iterator<Item = Miss> {
    run.objections.iter().map(|objection| Miss {
        subject: run.subject.name(),
        is_detail: objection.about == About::Detail,
        said: objection.sentence.clone(),
        diagnosis: run.saved.display().to_string(),
    })
}

fn misses(run: &Run) -> Vec<Miss> {
    let mut misses: Vec<Miss> = objections(run).collect();
    if let Some(unexplained) = run.unexplained
        && unexplained > super::tally::MAX_UNEXPLAINED
    {
        misses.push(Miss {
            subject: run.subject.name(),
            is_detail: false,
            said: format!("{:.1} % of its memory is unexplained", 100.0 * unexplained),
            diagnosis: run.saved.display().to_string(),
        });
    }
    misses
}

fn unmeasured(failure: &Failure) -> Unmeasured {
    Unmeasured { subject: failure.subject.name(), why: failure.why.clone() }
}

fn one(run: &Run) -> One {
    One {
        subject: run.subject.name(),
        program: run.subject.row.program,
        situations: run.subject.row.situations,
        kind: run.subject.guilt(),
        keeps: run.subject.style == Style::Round,
        go: run.subject.toolchain.version.clone(),
        flavour: flavour(run),
        verdict: run.verdict.clone(),
        is_right: run.objections.is_empty(),
        rank: run.rank,
        detected_after_seconds: run.detected_after_seconds,
        unexplained: run.unexplained,
        accused_on_the_way: run.accused_on_the_way,
        busy: run.busy,
        looks: run.looks,
    }
}
